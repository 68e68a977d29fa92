"""What is known of each entry of a list: sent and received whole or not, its real size, time and BLAKE3.

One record of fixed size for each entry, in a file beside the list. Both ends keep one; after a cut they compare
them in groups, so that agreeing on a million files takes some kilobytes.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, Self

from poliqi.base.errors import StoreError

__all__ = ["GROUP", "RECORD_BYTES", "Fact", "Facts", "GroupState", "State"]

_FORM: Final = struct.Struct("<BBQq32s")
RECORD_BYTES: Final = _FORM.size
GROUP: Final = 64
"""Entries that are compared together."""
_CHUNK: Final = 4096
_KINDS: Final = ("-", "f", "x")


class State(IntEnum):
    """How far an entry is."""

    MISSING = 0
    DONE = 1
    LEFT_OUT = 2


@dataclass(frozen=True, slots=True)
class Fact:
    """What was really read of a file, which may have changed since it was listed."""

    state: State
    kind: str = "-"
    size_bytes: int = 0
    mtime_ns: int = 0
    digest: bytes = b""

    def pack(self) -> bytes:
        """Its record."""
        return _FORM.pack(self.state, _KINDS.index(self.kind), self.size_bytes, self.mtime_ns, self.digest)

    @classmethod
    def unpack(cls, record: bytes) -> Self:
        """Raises ValueError where it is none."""
        fields: tuple[int, int, int, int, bytes] = _FORM.unpack(record)
        state, kind, size, mtime, digest = fields
        if kind >= len(_KINDS):
            raise ValueError("no such kind")
        return cls(State(state), _KINDS[kind], size, mtime, digest)


@dataclass(frozen=True, slots=True)
class GroupState:
    """Which of 64 entries are done (bit 0 is the first), and SHA-256 over the records of those."""

    number: int
    done: int
    digest: bytes


class Facts:
    """The file of records. Raises OSError, StoreError in `flush`. What was put is in the file after `flush`."""

    def __init__(self, handle: int, entries: int) -> None:
        self._handle: Final = handle
        self._entries: Final = entries
        self._fresh: dict[int, bytes] = {}
        os.ftruncate(handle, entries * RECORD_BYTES)

    @classmethod
    def open(cls, path: Path, entries: int) -> Self:
        """Open or make it, for so many entries."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return cls(os.open(path, flags, 0o600), entries)

    def put(self, index: int, fact: Fact) -> None:
        """Take down what is known of an entry."""
        if not 0 <= index < self._entries:
            raise ValueError(f"entry {index} of {self._entries}")
        self._fresh[index] = fact.pack()
        if len(self._fresh) >= _CHUNK:
            self.flush()

    def get(self, index: int) -> Fact:
        """What is known of an entry; a record that is none counts as missing."""
        record = self._fresh.get(index)
        if record is None:
            record = os.pread(self._handle, RECORD_BYTES, index * RECORD_BYTES)
        return _read(record)

    def flush(self) -> None:
        """Write what was put, runs of neighbours at once."""
        run: list[bytes] = []
        start = -1
        for index in sorted(self._fresh):
            if index != start + len(run):
                self._write(start, run)
                start, run = index, []
            run.append(self._fresh[index])
        self._write(start, run)
        self._fresh = {}

    def _write(self, start: int, run: list[bytes]) -> None:
        data, at = memoryview(b"".join(run)), start * RECORD_BYTES
        try:
            while data:
                done = os.pwrite(self._handle, data, at)
                data, at = data[done:], at + done
        except OSError as error:
            # told apart from an error of the files that are sent
            raise StoreError(f"what is known of a transfer cannot be written down: {error.strerror}") from error

    def __iter__(self) -> Iterator[Fact]:
        """Every entry's, in order."""
        self.flush()
        for start in range(0, self._entries, _CHUNK):
            size = min(_CHUNK, self._entries - start) * RECORD_BYTES
            data = os.pread(self._handle, size, start * RECORD_BYTES)
            for at in range(0, size, RECORD_BYTES):
                yield _read(data[at : at + RECORD_BYTES])

    def groups(self) -> Iterator[GroupState]:
        """The groups of which anything is done."""
        self.flush()
        size = GROUP * RECORD_BYTES
        for number in range(-(-self._entries // GROUP)):
            data = os.pread(self._handle, size, number * size)
            if data.count(0) == len(data):
                continue
            records = [data[at : at + RECORD_BYTES] for at in range(0, len(data), RECORD_BYTES)]
            done = [bit for bit, record in enumerate(records) if record[0] == State.DONE]
            if done:
                digest = hashlib.sha256(b"".join(records[bit] for bit in done)).digest()
                yield GroupState(number, sum(1 << bit for bit in done), digest)

    def agrees(self, theirs: GroupState) -> bool:
        """True where all that they have of a group is here, too, and the same."""
        self.flush()
        size = GROUP * RECORD_BYTES
        data = os.pread(self._handle, size, theirs.number * size)
        chosen = [
            data[bit * RECORD_BYTES : (bit + 1) * RECORD_BYTES] for bit in range(GROUP) if theirs.done >> bit & 1
        ]
        if not all(len(record) == RECORD_BYTES and record[0] == State.DONE for record in chosen):
            return False
        return hashlib.sha256(b"".join(chosen)).digest() == theirs.digest

    def close(self) -> None:
        """Write what was put and close the file."""
        try:
            self.flush()
        finally:
            os.close(self._handle)


def _read(record: bytes) -> Fact:
    try:
        return Fact.unpack(record)
    except (ValueError, struct.error):
        return Fact(State.MISSING)
