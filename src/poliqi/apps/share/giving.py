"""Gives the files of a transfer to the stream in the order of the list: small ones in batches, large as data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poliqi.apps.share.content import Hasher
from poliqi.apps.share.facts import GROUP, Fact, Facts, State
from poliqi.apps.share.listing import Entry, read_entries
from poliqi.apps.share.messages import (
    ITEM,
    SMALL_BYTES,
    Begin,
    Kind,
    Offer,
    Partial,
    pack_begin,
    pack_left_out,
)
from poliqi.apps.share.progress import Progress
from poliqi.apps.share.source import Source
from poliqi.apps.stream.channel import RECORD_BYTES, Channel

__all__ = ["Giving", "Having", "Outgoing"]

_TRIES: Final = 3


class _Changing(Exception):
    """A file changed while it was read."""


@dataclass(slots=True)
class Outgoing:
    """A transfer at its sender: the source, the list and the facts on disk, and what could not be sent."""

    transfer: str
    source: Source
    list_path: Path
    list_sha256: str
    entries: int
    files: int
    size_bytes: int
    facts: Facts
    left_out: list[str]

    def offer(self, clock_ns: int) -> Offer:
        """What is told to the receiver first."""
        size = self.list_path.stat().st_size
        return Offer(self.transfer, self.entries, self.files, self.size_bytes, size, self.list_sha256, clock_ns)

    def entries_of_list(self) -> Iterator[Entry]:
        """Every entry, in order."""
        with self.list_path.open("rb", buffering=1 << 20) as file:
            yield from read_entries(file)


class Having:
    """Which entries the receiver has: one bit each."""

    def __init__(self, entries: int) -> None:
        self._bits: Final = bytearray(-(-entries // GROUP) * GROUP // 8)

    def add(self, group: int, done: int) -> None:
        """Take down which of a group it has."""
        self._bits[group * GROUP // 8 : (group + 1) * GROUP // 8] = done.to_bytes(GROUP // 8, "little")

    def has(self, index: int) -> bool:
        """True where it has that entry."""
        return bool(self._bits[index >> 3] >> (index & 7) & 1)


class Giving:
    """`theirs` is what the receiver has; `look_up` is called between messages and raises where there is an end."""

    def __init__(
        self,
        channel: Channel,
        out: Outgoing,
        progress: Progress,
        theirs: Having,
        look_up: Callable[[], None],
    ) -> None:
        self._channel: Final = channel
        self._out: Final = out
        self._progress: Final = progress
        self._theirs: Final = theirs
        self._look_up: Final = look_up
        self._record: Final = memoryview(bytearray(RECORD_BYTES))
        self._batch: Final = memoryview(bytearray(RECORD_BYTES))
        self._batched: list[tuple[int, Fact]] = []
        self._at = 1

    def run(self, partial: Partial, hasher: Hasher | None) -> None:
        """Raises Stopped, what `look_up` and a channel raise; StoreError."""
        self._out.left_out.clear()
        done_bytes = done_files = 0
        for index, fact in enumerate(self._out.facts):
            if self._theirs.has(index):
                done_bytes, done_files = done_bytes + fact.size_bytes, done_files + 1
        self._progress.expect(self._out.size_bytes, self._out.files)
        self._progress.start_from(done_bytes + partial.size_bytes, done_files)
        for index, entry in enumerate(self._out.entries_of_list()):
            if entry.is_folder or self._theirs.has(index):
                continue
            self._look_up()
            offset = partial.size_bytes if index == partial.index else 0
            self._send_file(index, entry, offset, hasher if offset else None)
        self._flush()

    def _send_file(self, index: int, entry: Entry, offset: int, hasher: Hasher | None) -> None:
        for _ in range(_TRIES):
            try:
                handle = self._out.source.open(entry.names)
            except OSError as error:
                return self._leave_out(index, entry, str(error.strerror))
            try:
                if self._send_open(index, handle, offset, hasher):
                    return None
            except OSError as error:
                return self._leave_out(index, entry, str(error.strerror))
            finally:
                os.close(handle)
            self._progress.note(f"{entry.path} changed while it was read; it is sent anew")
            offset, hasher = 0, None
        return self._leave_out(index, entry, f"it changed {_TRIES} times while it was read")

    def _leave_out(self, index: int, entry: Entry, why: str) -> None:
        self._flush()
        self._channel.send(pack_left_out(index))
        self._out.facts.put(index, Fact(State.LEFT_OUT))
        self._out.left_out.append(f"{entry.path}: {why}")
        self._progress.note(f"left out: {entry.path}: {why}")

    def _send_open(self, index: int, handle: int, offset: int, hasher: Hasher | None) -> bool:
        """False where it changed while it was read."""
        before = os.fstat(handle)
        if before.st_size <= SMALL_BYTES and not offset:
            return self._send_small(index, handle, before)
        if offset > before.st_size:
            return False
        self._flush()
        is_executable = bool(before.st_mode & 0o100)
        begin = Begin(index, is_executable, before.st_size, before.st_mtime_ns, offset)
        hasher = hasher or Hasher()
        if offset == before.st_size:
            self._note_done(begin, hasher)
        self._channel.send(pack_begin(begin))
        try:
            self._send_data(handle, begin, _stamp(before), hasher)
        except (_Changing, OSError) as error:
            self._channel.send(b"")
            if isinstance(error, OSError):
                raise
            return False
        self._progress.add(0, 1)
        return True

    def _send_data(self, handle: int, begin: Begin, stamp: tuple[int, int, int], hasher: Hasher) -> None:
        at, end = begin.offset, begin.size_bytes
        while at < end:
            count = os.preadv(handle, [self._record[: end - at]], at)
            # hashed while it is in the cache
            hasher.update(self._record[:count])
            at += count
            if at == end or not count:
                if _stamp(os.fstat(handle)) != stamp or not count:
                    raise _Changing
                self._note_done(begin, hasher)
            self._channel.send(self._record[:count])
            self._progress.add(count)
            self._look_up()

    def _note_done(self, b: Begin, hasher: Hasher) -> None:
        """On disk before the receiver can have the last byte."""
        kind = "x" if b.is_executable else "f"
        self._out.facts.put(b.index, Fact(State.DONE, kind, b.size_bytes, b.mtime_ns, hasher.digest()))
        self._out.facts.flush()

    def _send_small(self, index: int, handle: int, before: os.stat_result) -> bool:
        size = before.st_size
        if self._at + ITEM.size + size + 1 > RECORD_BYTES:
            self._flush()
        start = self._at + ITEM.size
        # one byte more than it had: a file that grew gives itself away
        count = os.preadv(handle, [self._batch[start : start + size + 1]], 0)
        if count != size or _stamp(os.fstat(handle)) != _stamp(before):
            return False
        is_executable = bool(before.st_mode & 0o100)
        ITEM.pack_into(self._batch, self._at, index, is_executable, before.st_mtime_ns, size)
        digest = Hasher(self._batch[start : start + size]).digest()
        fact = Fact(State.DONE, "x" if is_executable else "f", size, before.st_mtime_ns, digest)
        self._batched.append((index, fact))
        self._at = start + size
        return True

    def _flush(self) -> None:
        """Send the batch. What is known of it here is on disk before the receiver can have it."""
        if not self._batched:
            return
        for index, fact in self._batched:
            self._out.facts.put(index, fact)
        self._out.facts.flush()
        self._batch[0] = Kind.BATCH
        self._channel.send(self._batch[: self._at])
        self._progress.add(sum(fact.size_bytes for _, fact in self._batched), len(self._batched))
        self._batched, self._at = [], 1


def _stamp(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns
