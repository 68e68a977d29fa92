"""The inbox of an application: what is under way in it, what has arrived, whose it is.

```
inbox/PEER/NAME                     what has arrived, whole and verified
inbox/.partial/PEER/TRANSFER/       what is under way: state, list, facts, partial, tree/
inbox/.receipts/PEER/TRANSFER.json  the receipts that were given; TRANSFER.manifest beside each
```
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from poliqi.apps.share.kernel import is_there, rename_new
from poliqi.apps.share.names import numbered, peer_folder
from poliqi.apps.share.tree import open_folder
from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.folder import make_private_folder

__all__ = ["Arrived", "Inbox", "InboxRules"]

PARTIAL: Final = ".partial"
RECEIPTS: Final = ".receipts"
_CLASHES_MOST: Final = 10_000
_DAY_S: Final = 86_400.0


class InboxRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [inbox] of SAE.toml. `folder` is read elsewhere."""

    folder: str = "inbox"
    max_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Of all unfinished transfers of one peer; None: what the disk has."""
    max_files: Annotated[int, msgspec.Meta(ge=1)] = 1_000_000
    """Of files and folders in one transfer."""
    max_transfers: Annotated[int, msgspec.Meta(ge=1)] = 32
    """Unfinished, of one peer."""
    keep_days: Annotated[float, msgspec.Meta(gt=0)] = 7.0
    """Unfinished transfers that nobody went on with are removed after so long."""
    keep_free_bytes: Annotated[int, msgspec.Meta(ge=0)] = 64 << 20
    """Left free on the disk."""

    @classmethod
    def of(cls, extra: Mapping[str, Mapping[str, object]]) -> InboxRules:
        """The rules of a SAE.toml. Raises ConfigError."""
        try:
            return msgspec.convert(dict(extra.get("inbox", {})), cls)
        except msgspec.ValidationError as error:
            raise ConfigError(f"[inbox]: {error}; docs/reference/receive.md lists every key") from None


@dataclass(frozen=True, slots=True)
class Arrived:
    """Something in the inbox."""

    peer_folder: str
    name: str
    is_folder: bool
    received_ns: int
    """When it was moved there, by this machine's clock (its ctime)."""
    size_bytes: int
    """Of a file; 0 for a folder."""


class Inbox:
    """Any thread may call. Raises StoreError where the folder cannot be used."""

    def __init__(self, folder: Path, rules: InboxRules) -> None:
        self.folder: Final = folder
        self.rules: Final = rules
        self.promising: Final = threading.Lock()
        """Held by whoever looks at what is promised to a peer and promises more."""
        try:
            make_private_folder(folder)
            for name in (PARTIAL, RECEIPTS):
                make_private_folder(folder / name)
        except OSError as error:
            raise StoreError(f"inbox {folder}: cannot be made: {error.strerror}") from error

    def partial_folder(self, peer: SaeId, transfer: str) -> Path:
        """Where a transfer is staged. Raises ValueError on an id that is no plain word."""
        return self.folder / PARTIAL / peer_folder(peer) / _word(transfer)

    def receipt_file(self, peer: SaeId, transfer: str) -> Path:
        """Where the receipt of a transfer is kept."""
        return self.folder / RECEIPTS / peer_folder(peer) / f"{_word(transfer)}.json"

    def given_receipt(self, peer: SaeId, transfer: str) -> bytes | None:
        """The receipt that was given for a transfer, if one was; nothing else of it stays. Raises OSError."""
        try:
            receipt = self.receipt_file(peer, transfer).read_bytes()
        except FileNotFoundError:
            return None
        # a crash came between the receipt and the end of the tidying up
        shutil.rmtree(self.partial_folder(peer, transfer), ignore_errors=True)
        return receipt

    def peer_path(self, peer: SaeId) -> Path:
        """Where what a peer sent arrives."""
        return self.folder / peer_folder(peer)

    def unfinished(self, peer: SaeId) -> list[Path]:
        """The folders of a peer's unfinished transfers."""
        try:
            folders = list((self.folder / PARTIAL / peer_folder(peer)).iterdir())
            return [path for path in folders if path.is_dir() and not self._is_finished(path)]
        except FileNotFoundError:
            return []

    def free_bytes(self) -> int:
        """What new files may take."""
        state = os.statvfs(self.folder)
        return max(0, state.f_bavail * state.f_frsize - self.rules.keep_free_bytes)

    def free_name(self, peer: SaeId, name: str, is_folder: bool) -> str:
        """What `name` would be called among what the peer has sent before. Raises OSError."""
        target = self._peer(peer)
        try:
            for number in range(1, _CLASHES_MOST):
                wanted = numbered(name, number, is_folder)
                if not is_there(wanted, target):
                    return wanted
        finally:
            os.close(target)
        raise OSError(errno.EEXIST, f"{_CLASHES_MOST} things of that name are there", name)

    def move(self, peer: SaeId, staged: int, name: str, chosen: str) -> bool:
        """Move `name` from the open folder `staged` to the peer's, in one step, durable. Raises OSError.

        False where `chosen` is taken.
        """
        target = self._peer(peer)
        try:
            rename_new(name, staged, chosen, target)
            os.fsync(target)
        except FileExistsError:
            return False
        finally:
            os.close(target)
        return True

    def _peer(self, peer: SaeId) -> int:
        inbox = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(FileExistsError):
                os.mkdir(peer_folder(peer), 0o700, dir_fd=inbox)
                os.fsync(inbox)
            return open_folder(peer_folder(peer), inbox)
        finally:
            os.close(inbox)

    def tidy(self, now: float | None = None) -> list[str]:
        """Remove transfers that nobody went on with for as long as the rules keep them, and what a crash left of
        those that have their receipt; their names. One that is under way is held by who receives it, and stays.
        """
        limit = (time.time() if now is None else now) - self.rules.keep_days * _DAY_S
        gone: list[str] = []
        for folder in (self.folder / PARTIAL).glob("*/*"):
            with suppress(OSError):
                if self._is_finished(folder) or _last_change(folder) < limit:
                    self._remove_unused(folder)
                    gone.append(folder.name)
        return gone

    def _is_finished(self, partial: Path) -> bool:
        """True where there is a receipt: what came is in its place."""
        return (self.folder / RECEIPTS / partial.parent.name / f"{partial.name}.json").exists()

    @staticmethod
    def _remove_unused(folder: Path) -> None:
        """Raises OSError, also where it is being received just now."""
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(lock)

    def arrived(self) -> list[Arrived]:
        """What is there, the newest first."""
        found: list[Arrived] = []
        for peer in os.scandir(self.folder):
            if peer.name.startswith(".") or not peer.is_dir(follow_symlinks=False):
                continue
            for entry in os.scandir(peer.path):
                state = entry.stat(follow_symlinks=False)
                is_folder = entry.is_dir(follow_symlinks=False)
                size = 0 if is_folder else state.st_size
                found.append(Arrived(peer.name, entry.name, is_folder, state.st_ctime_ns, size))
        return sorted(found, key=lambda each: (-each.received_ns, each.peer_folder, each.name))

    def receipts(self) -> list[Path]:
        """Files of receipts that were given, the newest first."""
        return sorted((self.folder / RECEIPTS).glob("*/*.json"), key=lambda path: -path.lstat().st_mtime_ns)


def _last_change(folder: Path) -> float:
    """When anything came: into the facts, or into the large file that was coming in. Raises OSError."""
    paths = [folder, *folder.iterdir()]
    with suppress(OSError, ValueError):
        partial = folder / "tree" / (folder / "partial").read_text()
        partial.lstat()
        paths.append(partial)
    return max(path.lstat().st_mtime for path in paths)


def _word(transfer: str) -> str:
    if not transfer.isalnum() or not transfer.isascii():
        raise ValueError(f"{transfer!r} is no transfer")
    return transfer
