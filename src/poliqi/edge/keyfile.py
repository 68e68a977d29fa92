"""The key file of one end: finished keys, appended record by record (docs/spec/state.md).

A line `POLIQI-KEYS 1 LINK`, then per block: number (u64), origin (u8), length in bytes (u32), key; all
little-endian, numbers rising. Both ends of a link write the same bytes.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poliqi.base.errors import DataRefused, StoreError
from poliqi.base.ids import BlockNumber, LinkId, Origin
from poliqi.base.secret import SecretBytes
from poliqi.edge.keysink import ConfirmedBlock

__all__ = ["KeyFile", "KeyRecord", "read_keys"]

_MAGIC: Final = b"POLIQI-KEYS 1 "
_RECORD: Final = struct.Struct("<QBI")
_ORIGIN_CODES: Final = {Origin.PHOTONS: 1, Origin.SIMULATED: 2, Origin.REPLAY: 3}
_ORIGINS: Final = {code: origin for origin, code in _ORIGIN_CODES.items()}


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One block of a key file."""

    number: BlockNumber
    origin: Origin
    key: SecretBytes


def read_keys(path: Path) -> tuple[LinkId, list[KeyRecord]]:
    """Link and whole records of a key file, for whoever uses the keys.

    A record that is still being written at the end is left out. Raises DataRefused where the file
    cannot be read or is no key file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataRefused(f"key file {path}: cannot be read: {error.strerror}") from error
    line, newline, _ = data.partition(b"\n")
    if not line.startswith(_MAGIC) or not newline:
        raise DataRefused(f"{path} is no key file: its first line is not 'POLIQI-KEYS 1 LINK'")
    records: list[KeyRecord] = []
    for number, origin, start, end in _walk(data, len(line) + 1):
        records.append(KeyRecord(number, origin, SecretBytes(data[start:end])))
    return LinkId(line[len(_MAGIC) :].decode("ascii", "replace")), records


def _walk(data: bytes | mmap.mmap, position: int) -> Iterator[tuple[BlockNumber, Origin, int, int]]:
    """Number, origin, start and end of each sound record; stops before the first that is not."""
    last = 0
    while position + _RECORD.size <= len(data):
        number, code, length = _RECORD.unpack_from(data, position)
        start = position + _RECORD.size
        if number <= last or code not in _ORIGINS or length == 0 or start + length > len(data):
            return
        yield BlockNumber(number), _ORIGINS[code], start, start + length
        last, position = number, start + length


class KeyFile:
    """The key file, open for appending by the one process that holds it.

    `recovering` is the block that was being delivered here when the last process ended: only then may
    the file's end be a torn record, and only then is anything cut off.
    """

    def __init__(self, path: Path, link_id: LinkId, *, recovering: BlockNumber | None = None) -> None:
        self.path: Final = path
        try:
            self._file: Final = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(
                f"key file {path}: cannot be opened: {error.strerror}; name another with --key"
            ) from error
        try:
            self._lock()
            self._settle(_MAGIC + link_id.encode() + b"\n", recovering)
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"key file {self.path} is in use by another process: each end needs a file of its own (--key)"
            raise StoreError(message) from error
        state = os.fstat(self._file)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1 or state.st_uid != os.geteuid():
            raise StoreError(
                f"key file {self.path} is no plain file of yours with one name; name another with --key"
            )
        if state.st_mode & 0o077:
            raise StoreError(f"key file {self.path} can be read by others; run: chmod 600 {self.path}")

    def _settle(self, head: bytes, recovering: BlockNumber | None) -> None:
        """Check what stands in the file, start an empty one, and cut off a torn record where one is expected."""
        begun = os.pread(self._file, len(head), 0)
        if begun != head:
            if not head.startswith(begun):
                raise StoreError(
                    f"key file {self.path} belongs to another link or is no key file; name another (--key)"
                )
            self._rewrite(0, head)
            self._sync_folder()
        self._last, self._last_at, self._end = 0, len(head), len(head)
        with mmap.mmap(self._file, 0, access=mmap.ACCESS_READ) as data:
            size = len(data)
            for number, _, start, end in _walk(data, len(head)):
                self._last, self._last_at, self._end = int(number), start - _RECORD.size, end
        if self._end == size:
            return
        if recovering is None or recovering <= self._last:
            raise StoreError(
                f"key file {self.path}: byte {self._end} of {size} starts no sound record, unexplained by a crash; "
                "move the file away and check the disk"
            )
        self._rewrite(self._end, b"")

    @property
    def last_number(self) -> BlockNumber:
        """Number of the last record; 0 where there is none."""
        return BlockNumber(self._last)

    def reach(self) -> str:
        """The file's name: it is open already."""
        return str(self.path)

    def append(self, block: ConfirmedBlock) -> None:
        """Make one record durable; doing it again for the last record changes nothing. Raises StoreError."""
        self._check_place()
        number, origin, key = block.number, block.origin, block.key.view()
        record = _RECORD.pack(number, _ORIGIN_CODES[origin], len(key)) + bytes(key)
        if number < self._last:
            raise StoreError(f"key file {self.path} ends with block {self._last}: block {number} cannot follow")
        position = self._last_at if number == self._last else self._end
        stands = os.pread(self._file, self._end - position, position) == record
        self._rewrite(self._end if stands else position, b"" if stands else record)
        self._last, self._last_at, self._end = int(number), position, position + len(record)

    def _check_place(self) -> None:
        """Refuse to write where nobody looks: the open file must still be the one that the path names."""
        mine = os.fstat(self._file)
        try:
            there = self.path.lstat()
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise StoreError(
                f"key file {self.path} was moved or removed while in use; the keys that follow wait in the state: "
                "start again, with the file put back or with a new one, and they are delivered"
            )

    def _rewrite(self, position: int, data: bytes) -> None:
        """Put `data` at `position`, end the file there, and wait for the disk."""
        try:
            os.ftruncate(self._file, position)
            done = 0
            while done < len(data):
                done += os.pwrite(self._file, data[done:], position + done)
            os.fsync(self._file)
        except OSError as error:
            raise StoreError(
                f"key file {self.path}: cannot be written: {error.strerror}; free space and start again, "
                "no key is lost"
            ) from error

    def _sync_folder(self) -> None:
        folder = os.open(self.path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
