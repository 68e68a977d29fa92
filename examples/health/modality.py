"""A CT that sends pydicom's bundled images, and asks for storage commitment.

    python modality.py 127.0.0.1 11112 PACS_ARIA        to the gateway, for the PACS of the other site

Needs: pip install pydicom pynetdicom
"""

from __future__ import annotations

import sys
import threading
import warnings
from typing import Any

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context

IMAGES = ("CT_small.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "JPEG2000.dcm", "examples_palette.dcm")
OWN, REPORTS, WAIT_S = "CT_1", 11104, 60.0
COMMITMENT, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"


def main(host: str, port: int, called: str) -> int:
    warnings.simplefilter("ignore")
    images = [dcmread(str(get_testdata_file(name, download=False))) for name in IMAGES]
    reported = threading.Event()

    def report(event: Any) -> tuple[int, None]:
        there = len(event.event_information.get("ReferencedSOPSequence", []))
        missing = len(event.event_information.get("FailedSOPSequence", []))
        print(f"storage commitment: {there} images are at {called}, {missing} are not")
        reported.set()
        return 0x0000, None

    ear = AE(ae_title=OWN)
    ear.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
    server = ear.start_server(("127.0.0.1", REPORTS), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)])

    mouth = AE(ae_title=OWN)
    kinds = dict.fromkeys((image.SOPClassUID, image.file_meta.TransferSyntaxUID) for image in images)
    contexts = [build_context(*kind) for kind in kinds] + [build_context(COMMITMENT)]
    association = mouth.associate(host, port, contexts=contexts, ae_title=called)
    if not association.is_established:
        print(f"{called} at {host}:{port} does not let {OWN} in", file=sys.stderr)
        return 1
    for image in images:
        status = association.send_c_store(image).get("Status")
        print(f"{image.SOPClassUID.name}, {image.file_meta.TransferSyntaxUID.name}: status {status:#06x}")
    question = Dataset()
    question.TransactionUID = generate_uid()
    question.ReferencedSOPSequence = [_reference(image) for image in images]
    association.send_n_action(question, 1, COMMITMENT, INSTANCE)
    association.release()
    came = reported.wait(WAIT_S)
    server.shutdown()
    return 0 if came else 1


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
