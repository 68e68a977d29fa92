"""The inbox of an application: what is under way in it, what has arrived, whose it is.

```
inbox/PEER/NAME                     what has arrived, whole and verified
inbox/.partial/PEER/TRANSFER/       what is under way: state, list, facts, partial, tree/
inbox/.receipts/PEER/TRANSFER.json  the receipts that were given; TRANSFER.manifest beside each
```
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from poliqi.apps.share.names import numbered, peer_folder
from poliqi.apps.share.tree import open_folder
from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.folder import make_private_folder

__all__ = ["Arrived", "Inbox", "InboxRules", "sync_all"]

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

    def peer_path(self, peer: SaeId) -> Path:
        """Where what a peer sent arrives."""
        return self.folder / peer_folder(peer)

    def unfinished(self, peer: SaeId) -> list[Path]:
        """The folders of a peer's unfinished transfers."""
        try:
            return [path for path in (self.folder / PARTIAL / peer_folder(peer)).iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []

    def free_bytes(self) -> int:
        """What new files may take."""
        state = os.statvfs(self.folder)
        return max(0, state.f_bavail * state.f_frsize - self.rules.keep_free_bytes)

    def choose(self, peer: SaeId, name: str, is_folder: bool, chosen: str | None) -> str:
        """A free name in the peer's folder, taken by something empty; `chosen` is one from before a crash.

        Raises OSError.
        """
        target = self._peer(peer)
        try:
            return chosen if chosen and _is_free(chosen, target) else _reserve(name, is_folder, target)
        finally:
            os.close(target)

    def move(self, peer: SaeId, staged: int, name: str, chosen: str) -> None:
        """Move `name` from the open folder `staged` over the empty thing that `choose` made: one step, durable.

        Raises OSError.
        """
        target = self._peer(peer)
        try:
            os.rename(name, chosen, src_dir_fd=staged, dst_dir_fd=target)
            os.fsync(target)
        finally:
            os.close(target)

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
        """Remove unfinished transfers that are older than the rules keep them; their names."""
        limit = (time.time() if now is None else now) - self.rules.keep_days * _DAY_S
        gone: list[str] = []
        for folder in (self.folder / PARTIAL).glob("*/*"):
            with suppress(OSError):
                if max(path.lstat().st_mtime for path in [folder, *folder.iterdir()]) < limit:
                    shutil.rmtree(folder)
                    gone.append(folder.name)
        return gone

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


def _word(transfer: str) -> str:
    if not transfer.isalnum() or not transfer.isascii():
        raise ValueError(f"{transfer!r} is no transfer")
    return transfer


def _reserve(name: str, is_folder: bool, target: int) -> str:
    for number in range(1, _CLASHES_MOST):
        wanted = numbered(name, number, is_folder)
        try:
            if is_folder:
                os.mkdir(wanted, 0o700, dir_fd=target)
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(wanted, flags, 0o600, dir_fd=target))
        except FileExistsError:
            continue
        return wanted
    raise OSError(errno.EEXIST, f"{_CLASHES_MOST} things of that name are there", name)


def _is_free(name: str, target: int) -> bool:
    """True where nothing stands under the name but the empty thing that a crash left there."""
    try:
        state = os.stat(name, dir_fd=target, follow_symlinks=False)
        if not stat.S_ISDIR(state.st_mode):
            return stat.S_ISREG(state.st_mode) and state.st_size == 0
        inside = open_folder(name, target)
    except FileNotFoundError:
        return True
    try:
        return not os.listdir(inside)  # noqa: PTH208  # by handle, not by path
    finally:
        os.close(inside)


def sync_all(handle: int) -> None:
    """Make everything on the file system of an open file durable (Linux, syncfs(2)). Raises OSError."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(handle):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
