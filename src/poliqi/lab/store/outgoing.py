"""What is on its way out of a tenant: for each peer crates while they are sent, and marks of what is to go on.

```
outgoing/PEER/dataset-ID/       a crate of hard links; made anew by each attempt, removed by whoever finds it unheld
outgoing/PEER/.dataset-ID.lock  empty, locked by the one process that sends this dataset to this peer
outgoing/PEER/onward-ID         a mark, empty: a dataset that came for this peer and is still to be sent to it
```
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from poliqi.apps.share.names import peer_folder
from poliqi.base.errors import DataRefused, StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.folder import make_private_folder
from poliqi.lab.store.records import DatasetId

__all__ = ["MARK", "hold_outgoing", "marks_below", "outgoing_below", "sweep_outgoing"]

MARK: Final = "onward-"
_NAME: Final = "outgoing"
_LOCK: Final = ".lock"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK_FILE: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def outgoing_below(tenant: Path, peer: SaeId) -> Path:
    """Where what is sent to a peer stands; `tenant` is the tenant's folder."""
    return tenant / _NAME / peer_folder(peer)


@contextmanager
def hold_outgoing(folder: Path, dataset: DatasetId) -> Generator[None]:
    """Make a peer's folder, keep what is in it from being swept, and send this dataset alone.

    Any number may hold a folder, one a dataset: its crate has one path, by which a sending that stopped is known.
    Raises DataRefused where it is being sent to this peer already, StoreError.
    """
    try:
        make_private_folder(folder)
        handle = os.open(folder, _FOLDER)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made: {error.strerror or error}; check the disk") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        path = folder / f".dataset-{dataset}{_LOCK}"
        lock = _lock(path, dataset)
        try:
            yield
        finally:
            with suppress(OSError):  # it is swept, then
                path.unlink()
            os.close(lock)
    finally:
        os.close(handle)


def _lock(path: Path, dataset: DatasetId) -> int:
    while True:
        try:
            lock = os.open(path, _LOCK_FILE, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: cannot be made: {error.strerror}; remove it, or check the disk") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), path.lstat()):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise DataRefused(
                f"dataset {dataset} is being sent to {path.parent.name} already: let that end, then send it again"
            ) from None
        except FileNotFoundError:
            pass  # who held it has just removed it
        except OSError as error:
            os.close(lock)
            raise StoreError(f"{path}: cannot be locked: {error.strerror}; its disk must have flock") from error
        os.close(lock)


def sweep_outgoing(tenant: Path) -> None:
    """Remove crates of sendings that were given up or killed: a later attempt makes its own.

    What cannot be removed now is left for the next time: no tenant stays closed for it.
    """
    with suppress(StoreError):
        for folder in _peers(tenant):
            with suppress(OSError):
                _sweep(folder)


def _sweep(folder: Path) -> None:
    handle = os.open(folder, _FOLDER)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where its process lives
        for path in [path for path in folder.iterdir() if not path.name.startswith(MARK)]:
            if path.name.endswith(_LOCK):
                with suppress(OSError):
                    path.unlink()
            else:
                shutil.rmtree(path, ignore_errors=True)  # a file stays: nothing here makes one
    finally:
        os.close(handle)


def marks_below(tenant: Path) -> dict[str, int]:
    """How many marks wait, by the name of the peer's folder; peers that are none any more, too.

    Raises StoreError.
    """
    found = {folder.name: sum(1 for _ in folder.glob(f"{MARK}*")) for folder in _peers(tenant)}
    return {name: count for name, count in found.items() if count}


def _peers(tenant: Path) -> list[Path]:
    """The folders: a file or a symlink there is no peer's."""
    try:
        with os.scandir(tenant / _NAME) as entries:
            return sorted(Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{tenant / _NAME}: cannot be read: {error.strerror}; it must be a folder") from error
