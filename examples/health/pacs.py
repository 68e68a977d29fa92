"""A PACS that keeps what it is sent as files.

    python pacs.py 11105 PACS_ARIA archive

Needs: pip install pydicom pynetdicom
"""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path
from typing import Any

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt


def main(port: int, title: str, archive: Path) -> None:
    archive.mkdir(parents=True, exist_ok=True)

    def store(event: Any) -> int:
        path = archive / f"{event.request.AffectedSOPInstanceUID}.dcm"
        path.write_bytes(event.encoded_dataset())
        print(f"{event.assoc.requestor.ae_title}: {path.name}, {path.stat().st_size} bytes", flush=True)
        return 0x0000

    entity = AE(ae_title=title)
    entity.add_supported_context("1.2.840.10008.1.1")
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    print(f"{title} at 127.0.0.1:{port}; Ctrl-C ends it", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    server.shutdown()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
