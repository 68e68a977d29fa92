"""The sending end of one transfer over an open stream (docs/spec/transfer.md, "send 1").

Where a stream breaks, the next one goes on: the receiver says what it has, both compare, the rest is sent.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from poliqi.apps.share.facts import GROUP, Fact, Facts, State
from poliqi.apps.share.lane import Hasher, HashLane
from poliqi.apps.share.listing import Entry, read_entries
from poliqi.apps.share.manifest import Manifest, close_manifest
from poliqi.apps.share.messages import (
    ITEM,
    SMALL_BYTES,
    Begin,
    Kind,
    Offer,
    Partial,
    Prefix,
    Refusal,
    Refused,
    Summary,
    pack,
    pack_begin,
    pack_left_out,
    read_groups,
    read_json,
    split,
)
from poliqi.apps.share.progress import Phase, Progress
from poliqi.apps.share.source import Source
from poliqi.apps.share.staged import hash_prefix
from poliqi.apps.stream.channel import RECORD_BYTES, Channel
from poliqi.base.errors import DataRefused, LinkDown, PoliqiError, ProtocolError

__all__ = ["Outgoing", "Sent", "Stopped", "send_over"]

_TRIES: Final = 3
_ANSWER_S: Final = 2.0


class Stopped(LinkDown):
    """Whoever asked for the transfer asked to end it; the peer keeps what it has."""


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


class Sent(NamedTuple):
    """The receipt as it came, and the sender's own manifest to hold it against."""

    receipt: bytes
    manifest: Manifest
    is_new: bool
    """False where the receiver had all of it before, and only its receipt was lost."""


def send_over(
    channel: Channel, out: Outgoing, progress: Progress, clock_ns: Callable[[], int] = time.time_ns
) -> Sent:
    """Send all of it, or what is missing. Raises Refused, Stopped, what a channel raises, OSError of own files."""
    return _Sending(channel, out, progress).run(clock_ns())


class _Answer:
    """What the receiver says while it is being sent to: a receipt or a refusal, once."""

    def __init__(self, channel: Channel) -> None:
        self._channel: Final = channel
        self._message: bytes | None = None
        self._error: PoliqiError | None = None
        self._thread: Final = threading.Thread(target=self._listen, name="answer", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            message = self._channel.receive()
            if message is None:
                raise LinkDown(f"{self._channel.peer} ended the stream before its receipt")
            self._message = bytes(message)
        except PoliqiError as error:
            self._error = error

    @property
    def is_there(self) -> bool:
        """True once it has said something, or can no more."""
        return not self._thread.is_alive()

    def read(self, seconds: float | None) -> memoryview | None:
        """Wait for it; None where nothing came in time. Raises Refused, and what a channel raises."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            return None
        if self._error is not None:
            raise self._error
        kind, body = split(memoryview(self._message or b""), Kind.RECEIPT, Kind.REFUSED)
        if kind is Kind.REFUSED:
            raise Refused(self._channel.peer, read_json(body, Refusal))
        return body


class _Sending:
    def __init__(self, channel: Channel, out: Outgoing, progress: Progress) -> None:
        self._channel: Final = channel
        self._out: Final = out
        self._progress: Final = progress
        self._lane: HashLane | None = None
        self._answer: _Answer | None = None
        self._batch: Final = memoryview(bytearray(RECORD_BYTES))
        self._batched: list[tuple[int, Fact]] = []
        self._at = 1
        self._there: Final = _Having(out.entries)

    def run(self, clock_ns: int) -> Sent:
        self._progress.enter(Phase.COMPARING)
        self._channel.send(pack(Kind.OFFER, self._out.offer(clock_ns)))
        kind, body = self._receive(Kind.SEND_LIST, Kind.PARTIAL, Kind.RECEIPT)
        if kind is Kind.RECEIPT:
            receipt = bytes(body)
            return Sent(receipt, close_manifest(self._out.list_path, self._out.facts), is_new=False)
        if kind is Kind.SEND_LIST:
            self._send_list()
            kind, body = self._receive(Kind.PARTIAL)
        partial, hasher = self._compare(read_json(body, Partial))
        self._progress.enter(Phase.SENDING)
        self._answer = _Answer(self._channel)
        try:
            self._send_entries(partial, hasher)
            return self._confirm()
        except Stopped:
            raise
        except LinkDown:
            # a receiver that refuses says so before it hangs up
            self._answer.read(_ANSWER_S)
            raise
        finally:
            if self._lane is not None:
                self._lane.close()

    def _receive(self, *allowed: Kind) -> tuple[Kind, memoryview]:
        message = self._channel.receive()
        if message is None:
            raise LinkDown(f"{self._channel.peer} ended the stream")
        kind, body = split(message, *allowed, Kind.REFUSED)
        if kind is Kind.REFUSED:
            raise Refused(self._channel.peer, read_json(body, Refusal))
        return kind, body

    def _send_list(self) -> None:
        with self._out.list_path.open("rb", buffering=0) as file:
            while data := file.read(RECORD_BYTES):
                self._channel.send(data)

    def _compare(self, partial: Partial) -> tuple[Partial, Hasher | None]:
        """Hold what the receiver has against what is known here; both hash the partial file at the same time."""
        hasher = None if partial.index is None else self._hash_prefix(partial)
        while True:
            kind, body = self._receive(Kind.GROUPS, Kind.GO)
            if kind is Kind.GO:
                break
            for group in read_groups(body, self._out.entries):
                if self._out.facts.agrees(group):
                    self._there.add(group.number, group.done)
        known = read_json(body, Prefix).sha256
        if hasher is None or known is None or hasher.digest().hex() != known:
            if partial.index is not None and partial.size_bytes:
                self._progress.note("a file that was under way has changed since; it is sent anew")
            return Partial(), None
        return partial, hasher

    def _hash_prefix(self, partial: Partial) -> Hasher | None:
        entry = next((e for i, e in enumerate(self._read_list()) if i == partial.index), None)
        if entry is None or entry.is_folder:
            raise ProtocolError(f"{self._channel.peer} has a part of what is no file: drop the stream")
        try:
            handle = self._out.source.open(entry.names)
        except OSError:
            return None
        try:
            return hash_prefix(handle, partial.size_bytes)
        finally:
            os.close(handle)

    def _read_list(self) -> Iterator[Entry]:
        with self._out.list_path.open("rb", buffering=1 << 20) as file:
            yield from read_entries(file)

    def _send_entries(self, partial: Partial, hasher: Hasher | None) -> None:
        self._out.left_out.clear()
        done_bytes = done_files = 0
        for index, fact in enumerate(self._out.facts):
            if self._there.has(index):
                done_bytes, done_files = done_bytes + fact.size_bytes, done_files + 1
        self._progress.expect(self._out.size_bytes, self._out.files)
        self._progress.start_from(done_bytes + partial.size_bytes, done_files)
        for index, entry in enumerate(self._read_list()):
            if entry.is_folder or self._there.has(index):
                continue
            self._look_up()
            offset = partial.size_bytes if index == partial.index else 0
            self._send_file(index, entry, offset, hasher if offset else None)
        self._flush()

    def _look_up(self) -> None:
        """Between messages: is there a refusal, or does someone want an end?"""
        if self._answer is not None and self._answer.is_there:
            self._answer.read(0)
            raise ProtocolError(f"{self._channel.peer} gave a receipt before the end: drop the stream")
        if self._progress.is_stopping:
            raise Stopped("stopped; run the same command again and it goes on from here")

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
        self._channel.send(pack_begin(begin))
        hasher = hasher or hashlib.sha256()
        try:
            self._send_data(handle, offset, before.st_size, hasher)
        except (_Changing, OSError) as error:
            self._channel.send(b"")
            if isinstance(error, OSError):
                raise
            return False
        finally:
            self._settle()
        if _stamp(os.fstat(handle)) != _stamp(before):
            return False
        kind = "x" if is_executable else "f"
        fact = Fact(State.DONE, kind, before.st_size, before.st_mtime_ns, hasher.digest())
        self._out.facts.put(index, fact)
        self._out.facts.flush()
        self._progress.add(0, 1)
        return True

    def _send_data(self, handle: int, at: int, end: int, hasher: Hasher) -> None:
        if self._lane is None:
            self._lane = HashLane()
        while at < end:
            slot = self._lane.take()
            count = os.preadv(handle, [slot[: min(len(slot), end - at)]], at)
            if not count:
                self._lane.give(hasher, slot, 0)
                raise _Changing
            self._lane.give(hasher, slot, count)
            for start in range(0, count, RECORD_BYTES):
                self._channel.send(slot[start : min(start + RECORD_BYTES, count)])
            at += count
            self._progress.add(count)
            self._look_up()

    def _settle(self) -> None:
        if self._lane is not None:
            self._lane.settle()

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
        digest = hashlib.sha256(self._batch[start : start + size]).digest()
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

    def _confirm(self) -> Sent:
        self._progress.enter(Phase.CONFIRMING)
        m = close_manifest(self._out.list_path, self._out.facts)
        if not m.files + m.folders:
            raise DataRefused(f"nothing could be sent: {self._out.left_out[0]}")
        self._channel.send(pack(Kind.END, Summary(m.digest, m.files, m.folders, m.size_bytes, m.left_out)))
        assert self._answer is not None
        body = self._answer.read(None)
        assert body is not None  # it was waited for
        self._channel.finish()
        return Sent(bytes(body), m, is_new=True)


class _Having:
    """Which entries the receiver has: one bit each."""

    def __init__(self, entries: int) -> None:
        self._bits: Final = bytearray(-(-entries // GROUP) * GROUP // 8)

    def add(self, group: int, done: int) -> None:
        self._bits[group * GROUP // 8 : (group + 1) * GROUP // 8] = done.to_bytes(GROUP // 8, "little")

    def has(self, index: int) -> bool:
        return bool(self._bits[index >> 3] >> (index & 7) & 1)


def _stamp(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns
