"""What is on its way out of a tenant: for each peer crates while they are sent, and marks of what is to go on.

```
outgoing/PEER/dataset-ID/   a crate of hard links; made anew by each attempt, removed by whoever finds it unheld
outgoing/PEER/onward-ID     a mark, empty: a dataset that came for this peer and is still to be sent to it
```
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from poliqi.apps.share.names import peer_folder
from poliqi.base.errors import StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.folder import make_private_folder

__all__ = ["MARK", "hold_outgoing", "marks_below", "outgoing_below", "sweep_outgoing"]

MARK: Final = "onward-"
_NAME: Final = "outgoing"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def outgoing_below(tenant: Path, peer: SaeId) -> Path:
    """Where what is sent to a peer stands; `tenant` is the tenant's folder."""
    return tenant / _NAME / peer_folder(peer)


@contextmanager
def hold_outgoing(folder: Path) -> Generator[None]:
    """Make a peer's folder and keep what is in it from being swept; any number may. Raises StoreError."""
    try:
        make_private_folder(folder)
        handle = os.open(folder, _FOLDER)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made: {error.strerror or error}; check the disk") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def sweep_outgoing(tenant: Path) -> None:
    """Remove crates of sendings that were given up or killed: a later attempt makes its own. Raises StoreError."""
    for folder in _peers(tenant):
        try:
            handle = os.open(folder, _FOLDER)
        except OSError as error:
            raise StoreError(f"{folder}: is no folder of a peer: remove it ({error.strerror})") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for crate in [path for path in folder.iterdir() if not path.name.startswith(MARK)]:
                shutil.rmtree(crate)
        except BlockingIOError:
            continue  # its process lives
        except OSError as error:
            raise StoreError(f"{folder}: cannot be cleared: {error.strerror or error}; clear it by hand") from error
        finally:
            os.close(handle)


def marks_below(tenant: Path) -> dict[str, int]:
    """How many marks wait, by the name of the peer's folder; peers that are none any more, too."""
    found = {folder.name: sum(1 for _ in folder.glob(f"{MARK}*")) for folder in _peers(tenant)}
    return {name: count for name, count in found.items() if count}


def _peers(tenant: Path) -> list[Path]:
    try:
        return sorted((tenant / _NAME).iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{tenant / _NAME}: cannot be read: {error.strerror}") from error
