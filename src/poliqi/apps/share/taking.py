"""Takes the files of a transfer as they come, into the folder where it is staged."""

from __future__ import annotations

import os
from typing import Final

from poliqi.apps.share.content import Hasher
from poliqi.apps.share.facts import Fact, State
from poliqi.apps.share.lane import SLOT_BYTES, WriteLane, write_all
from poliqi.apps.share.listing import Entry
from poliqi.apps.share.messages import (
    Begin,
    Item,
    Kind,
    Partial,
    Summary,
    read_batch,
    read_begin,
    read_index,
    read_json,
    split,
)
from poliqi.apps.share.quota import Room
from poliqi.apps.share.staged import Staged
from poliqi.apps.stream.channel import RECORD_BYTES, Channel
from poliqi.base.errors import LinkDown, ProtocolError

__all__ = ["Taking", "next_message"]

_BEYOND: Final = 1 << 62


def next_message(channel: Channel, buffer: memoryview) -> int:
    """The length of the next message, in `buffer`. Raises LinkDown at an end before the end of the transfer."""
    size = channel.receive_into(buffer)
    if size is None:
        raise LinkDown(f"{channel.peer} ended the stream before the end of the transfer")
    return size


class Taking:
    """`partial` is the file of which a part is there, `hasher` has seen that part."""

    def __init__(
        self, channel: Channel, staged: Staged, partial: Partial, hasher: Hasher | None, room: Room
    ) -> None:
        self._channel: Final = channel
        self._staged: Final = staged
        self._room: Final = room
        self._facts: Final = staged.ledger.facts
        self._partial: Final = partial
        self._hasher = hasher
        self._buffer: Final = memoryview(bytearray(RECORD_BYTES))
        self._lane: WriteLane | None = None
        self._rest: Final = enumerate(staged.ledger.entries())
        self._index = -1
        self._entry = Entry("d", 0, 0, "")

    def run(self) -> Summary:
        """Until the sender has said all; its manifest. Raises OSError of the disk, what a channel raises."""
        try:
            while True:
                size = next_message(self._channel, self._buffer)
                kind, body = split(self._buffer[:size], Kind.BATCH, Kind.BEGIN, Kind.LEFT_OUT, Kind.END)
                if kind is Kind.END:
                    self._make_folders()
                    return read_json(body, Summary)
                self._take(kind, body)
        finally:
            if self._lane is not None:
                self._lane.close()

    def _take(self, kind: Kind, body: memoryview) -> None:
        if kind is Kind.BATCH:
            self._room.look(len(body))
            for item in read_batch(body):
                self._take_item(item)
            self._facts.flush()
        elif kind is Kind.BEGIN:
            self._take_file(read_begin(body))
        else:
            index = read_index(body)
            self._staged.tree.remove(self._advance(index).names)
            self._facts.put(index, Fact(State.LEFT_OUT))

    def _advance(self, index: int) -> Entry:
        """The file `index`, the last one again or a later one; folders on the way are made."""
        while self._index < index:
            self._index, self._entry = next(self._rest, (_BEYOND, self._entry))
            if self._entry.is_folder and self._index <= index:
                self._staged.tree.make_folder(self._entry.names)
        if self._index != index or self._entry.is_folder:
            raise ProtocolError(f"entry {index} is no file whose turn it is: drop the stream")
        return self._entry

    def _make_room(self, index: int, entry: Entry, size_bytes: int) -> None:
        """A file that has grown since it was listed: what is beyond is counted, once, before it comes."""
        if size_bytes > entry.size_bytes:
            extra_bytes = size_bytes - max(entry.size_bytes, self._facts.get(index).size_bytes)
            if extra_bytes > 0:
                self._room.grow(extra_bytes)

    def _make_folders(self) -> None:
        for _, entry in self._rest:
            if entry.is_folder:
                self._staged.tree.make_folder(entry.names)

    def _take_item(self, item: Item) -> None:
        entry = self._advance(item.index)
        self._make_room(item.index, entry, len(item.data))
        handle = self._staged.tree.new_file(entry.names, 0o700 if item.is_executable else 0o600)
        try:
            write_all(handle, item.data)
            os.utime(handle, ns=(item.mtime_ns, item.mtime_ns))
        finally:
            os.close(handle)
        digest = Hasher(item.data).digest()
        kind = "x" if item.is_executable else "f"
        self._facts.put(item.index, Fact(State.DONE, kind, len(item.data), item.mtime_ns, digest))

    def _take_file(self, begin: Begin) -> None:
        entry = self._advance(begin.index)
        self._make_room(begin.index, entry, begin.size_bytes)
        handle, hasher = self._open(begin, entry)
        try:
            os.lseek(handle, begin.offset, os.SEEK_SET)
            if not self._take_data(handle, begin.size_bytes - begin.offset, hasher):
                return
            os.fchmod(handle, 0o700 if begin.is_executable else 0o600)
            os.utime(handle, ns=(begin.mtime_ns, begin.mtime_ns))
        finally:
            os.close(handle)
        kind = "x" if begin.is_executable else "f"
        self._facts.put(begin.index, Fact(State.DONE, kind, begin.size_bytes, begin.mtime_ns, hasher.digest()))
        self._facts.flush()

    def _open(self, begin: Begin, entry: Entry) -> tuple[int, Hasher]:
        tree = self._staged.tree
        if begin.offset:
            hasher, self._hasher = self._hasher, None
            if hasher is None or (begin.index, begin.offset) != (self._partial.index, self._partial.size_bytes):
                raise ProtocolError("a file goes on where nothing is: drop the stream")
            self._note_coming(begin)
            return tree.open_standing(entry.names), hasher
        self._note_coming(begin)
        self._staged.begin_file(entry.path)
        return tree.new_file(entry.names, 0o600), Hasher()

    def _note_coming(self, begin: Begin) -> None:
        """Missing until it is whole; the size is what `_make_room` has counted."""
        self._facts.put(begin.index, Fact(State.MISSING, size_bytes=begin.size_bytes))
        self._facts.flush()

    def _take_data(self, handle: int, left: int, hasher: Hasher) -> bool:
        """False where the sender breaks the file off. Bytes that came are kept, whatever follows."""
        lane = self._lane = self._lane or WriteLane()
        is_broken_off = False
        try:
            while left and not is_broken_off:
                self._room.look()
                slot, filled = lane.take(), 0
                try:
                    while filled < left and filled <= SLOT_BYTES - RECORD_BYTES and not is_broken_off:
                        size = self._take_message(slot[filled:], left - filled)
                        # while it is in the cache
                        hasher.update(slot[filled : filled + size])
                        filled, is_broken_off = filled + size, not size
                finally:
                    lane.give(handle, slot, filled)
                left -= filled
        finally:
            lane.settle()
        return not is_broken_off

    def _take_message(self, buffer: memoryview, left: int) -> int:
        size = next_message(self._channel, buffer)
        if size > left:
            raise ProtocolError("a file is longer than was said: drop the stream")
        return size
