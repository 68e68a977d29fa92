"""The receiving end of one transfer over an open stream (docs/spec/transfer.md, "send 1")."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from poliqi.apps.share.facts import Fact, State
from poliqi.apps.share.inbox import Inbox
from poliqi.apps.share.lane import SLOT_BYTES, HashLane, Hasher
from poliqi.apps.share.listing import Entry
from poliqi.apps.share.manifest import Manifest, close_manifest
from poliqi.apps.share.messages import (
    Begin,
    Item,
    Kind,
    Offer,
    Partial,
    Prefix,
    Refusal,
    RefusalCode,
    Summary,
    pack,
    pack_groups,
    read_batch,
    read_begin,
    read_index,
    read_json,
    split,
)
from poliqi.apps.share.receipt import use_of
from poliqi.apps.share.staged import Staged, hash_prefix, promised_bytes
from poliqi.apps.stream.channel import RECORD_BYTES, Channel
from poliqi.base.errors import LinkDown, PoliqiError, ProtocolError, StoreError

__all__ = ["Give", "Receiving", "TurnedDown"]

Give = Callable[[Staged, Manifest, Channel], bytes]
"""Puts what came in its place and gives the receipt, as the file that it is."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DRAIN_S: Final = 10.0
_BLOCK_BYTES: Final = 4096


class TurnedDown(StoreError):
    """This end takes no more of the transfer, and has told the sender why."""

    def __init__(self, refusal: Refusal, why: str) -> None:
        super().__init__(f"refused: {refusal.code.value}: {why}")
        self.refusal: Final = refusal


class Receiving:
    """One stream. `run` raises TurnedDown, and what a channel raises."""

    def __init__(
        self, channel: Channel, inbox: Inbox, give: Give, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._channel: Final = channel
        self._inbox: Final = inbox
        self._give: Final = give
        self._clock_ns: Final = clock_ns
        self._buffer: Final = memoryview(bytearray(RECORD_BYTES))
        self._lane: HashLane | None = None
        self._rest: Iterator[tuple[int, Entry]] = iter(())
        self._index = -1
        self._entry = Entry("d", 0, 0, "")
        self._partial = Partial()
        self._hasher: Hasher | None = None
        self._staged: Staged | None = None

    def run(self, offer: Offer) -> None:
        """Have the conversation, from the answer to `offer` on."""
        try:
            self._run(offer)
        except TurnedDown as down:
            self._refuse(down.refusal)
            raise
        except OSError as error:
            code = RefusalCode.NO_SPACE if error.errno in _FULL else RefusalCode.STORE_FAILED
            refusal = Refusal(code, needed_bytes=self._needed(offer) if code is RefusalCode.NO_SPACE else 0)
            self._refuse(refusal)
            raise TurnedDown(refusal, error.strerror or str(error)) from error
        except StoreError as error:
            refusal = Refusal(RefusalCode.STORE_FAILED)
            self._refuse(refusal)
            raise TurnedDown(refusal, str(error)) from error

    def _run(self, offer: Offer) -> None:
        peer = self._channel.peer
        known = self._inbox.receipt_file(peer, offer.transfer)
        with suppress(FileNotFoundError):
            self._channel.send(pack(Kind.RECEIPT) + known.read_bytes())
            self._channel.finish()
            return
        self._check(offer)
        staged = Staged(self._inbox.partial_folder(peer, offer.transfer), self._clock_ns(), offer.clock_ns)
        try:
            self._staged = staged
            staged.used(use_of(self._channel.usage), is_same_stream=False)
            if staged.state.placed is None or not self._is_placed():
                self._take(offer)
            self._end()
        finally:
            if self._lane is not None:
                self._lane.close()
            staged.close()

    def _check(self, offer: Offer) -> None:
        rules, peer = self._inbox.rules, self._channel.peer
        own = self._inbox.partial_folder(peer, offer.transfer)
        others = [folder for folder in self._inbox.unfinished(peer) if folder != own]
        if offer.entries > rules.max_files:
            raise TurnedDown(Refusal(RefusalCode.TOO_MANY, limit=rules.max_files), f"{offer.entries} entries")
        if len(others) >= rules.max_transfers:
            limit = rules.max_transfers
            raise TurnedDown(Refusal(RefusalCode.TOO_MANY, limit=limit), f"{len(others)} unfinished transfers")
        if rules.max_bytes is not None:
            held = sum(promised_bytes(folder) for folder in others)
            if held + offer.size_bytes > rules.max_bytes:
                raise TurnedDown(Refusal(RefusalCode.TOO_LARGE, limit=rules.max_bytes), f"{offer.size_bytes} bytes")

    def _is_placed(self) -> bool:
        """True where a crash came after the move and before the receipt."""
        return not (self._staged.folder / "tree" / self._staged.root.path).exists()

    def _take(self, offer: Offer) -> None:
        if self._staged.state.list_sha256 != offer.list_sha256:
            self._take_list(offer)
        self._say_what_is_here()
        self._check_space()
        self._channel.send(pack(Kind.GO, Prefix(None if self._hasher is None else self._hasher.digest().hex())))
        self._rest = enumerate(self._staged.ledger.entries())
        while True:
            size = self._next(self._buffer)
            kind, body = split(self._buffer[:size], Kind.BATCH, Kind.BEGIN, Kind.LEFT_OUT, Kind.END)
            match kind:
                case Kind.BATCH:
                    for item in read_batch(body):
                        self._take_item(item)
                    self._staged.ledger.facts.flush()
                case Kind.BEGIN:
                    self._take_file(read_begin(body))
                case Kind.LEFT_OUT:
                    entry = self._advance(read_index(body))
                    self._staged.tree.remove(entry.names)
                    self._staged.ledger.facts.put(self._index, Fact(State.LEFT_OUT))
                case _:
                    return self._compare(read_json(body, Summary))

    def _next(self, buffer: memoryview) -> int:
        size = self._channel.receive_into(buffer)
        if size is None:
            raise LinkDown(f"{self._channel.peer} ended the stream before the end of the transfer")
        return size

    def _take_list(self, offer: Offer) -> None:
        if offer.list_bytes > self._inbox.free_bytes():
            raise TurnedDown(Refusal(RefusalCode.NO_SPACE, needed_bytes=offer.size_bytes), "before the list")
        self._channel.send(pack(Kind.SEND_LIST))
        left = offer.list_bytes
        with self._staged.ledger.place(offer.list_sha256).open("wb", buffering=0) as file:
            while left:
                size = self._next(self._buffer)
                if not 0 < size <= left:
                    raise ProtocolError("the list is longer than was offered: drop the stream")
                file.write(self._buffer[:size])
                left -= size
        try:
            self._staged.take_list(offer)
        except ProtocolError:
            self._staged.ledger.place(offer.list_sha256).unlink(missing_ok=True)
            raise

    def _say_what_is_here(self) -> None:
        self._partial = self._staged.find_partial()
        self._channel.send(pack(Kind.PARTIAL, self._partial))
        for message in pack_groups(self._staged.ledger.facts.groups()):
            self._channel.send(message)
        if self._partial.index is not None:
            entry = next(e for i, e in enumerate(self._staged.ledger.entries()) if i == self._partial.index)
            handle = self._staged.tree.open_file(entry.names)
            try:
                self._hasher = hash_prefix(handle, self._partial.size_bytes)
            finally:
                os.close(handle)

    def _needed(self, offer: Offer) -> int:
        """How many bytes more the disk should have had."""
        try:
            files, size = self._staged.ledger.missing()
            wanted = size - self._staged.find_partial().size_bytes + files * _BLOCK_BYTES
        except (OSError, ValueError, AttributeError):
            wanted = offer.size_bytes
        return max(1, wanted - self._inbox.free_bytes())

    def _check_space(self) -> None:
        files, size = self._staged.ledger.missing()
        wanted = size - self._partial.size_bytes + files * _BLOCK_BYTES
        free = self._inbox.free_bytes()
        if files and wanted > free:
            raise TurnedDown(Refusal(RefusalCode.NO_SPACE, needed_bytes=wanted - free), f"{wanted} bytes wanted")

    def _advance(self, index: int) -> Entry:
        """The file `index`, the last one again or a later one; folders on the way are made."""
        while self._index < index:
            self._index, self._entry = next(self._rest, (1 << 62, self._entry))
            if self._entry.is_folder and self._index <= index:
                self._staged.tree.make_folder(self._entry.names)
        if self._index != index or self._entry.is_folder:
            raise ProtocolError(f"entry {index} is no file whose turn it is: drop the stream")
        return self._entry

    def _take_item(self, item: Item) -> None:
        entry = self._advance(item.index)
        handle = self._staged.tree.new_file(entry.names, 0o700 if item.is_executable else 0o600)
        try:
            _write(handle, item.data)
            os.utime(handle, ns=(item.mtime_ns, item.mtime_ns))
        finally:
            os.close(handle)
        digest = hashlib.sha256(item.data).digest()
        kind = "x" if item.is_executable else "f"
        self._staged.ledger.facts.put(item.index, Fact(State.DONE, kind, len(item.data), item.mtime_ns, digest))

    def _take_file(self, begin: Begin) -> None:
        entry, tree = self._advance(begin.index), self._staged.tree
        if begin.offset:
            if Partial(begin.index, begin.offset) != self._partial or self._hasher is None:
                raise ProtocolError("a file goes on where nothing is: drop the stream")
            handle, hasher, self._hasher = tree.open_standing(entry.names), self._hasher, None
        else:
            self._staged.ledger.facts.put(begin.index, Fact(State.MISSING))
            self._staged.ledger.facts.flush()
            self._staged.begin_file(entry.path)
            handle, hasher = tree.new_file(entry.names, 0o600), hashlib.sha256()
        try:
            os.lseek(handle, begin.offset, os.SEEK_SET)
            if not self._take_data(handle, begin.size_bytes - begin.offset, hasher):
                return
            os.fchmod(handle, 0o700 if begin.is_executable else 0o600)
            os.utime(handle, ns=(begin.mtime_ns, begin.mtime_ns))
        finally:
            os.close(handle)
        kind = "x" if begin.is_executable else "f"
        fact = Fact(State.DONE, kind, begin.size_bytes, begin.mtime_ns, hasher.digest())
        self._staged.ledger.facts.put(begin.index, fact)
        self._staged.ledger.facts.flush()

    def _take_data(self, handle: int, left: int, hasher: Hasher) -> bool:
        """False where the sender breaks the file off."""
        if self._lane is None:
            self._lane = HashLane()
        while left:
            slot = self._lane.take()
            filled, is_broken_off = self._fill(slot, left, handle)
            self._lane.give(hasher, slot, filled)
            _write(handle, slot[:filled])
            left -= filled
            if is_broken_off:
                self._lane.settle()
                return False
        self._lane.settle()
        return True

    def _fill(self, slot: memoryview, left: int, handle: int) -> tuple[int, bool]:
        """As many messages as fit; their bytes, and whether the sender broke the file off. What came stays, come what may."""
        filled = 0
        try:
            while filled < left and filled <= SLOT_BYTES - RECORD_BYTES:
                size = self._next(slot[filled:])
                if size > left - filled:
                    raise ProtocolError("a file is longer than was said: drop the stream")
                if not size:
                    return filled, True
                filled += size
        except PoliqiError:
            _write(handle, slot[:filled])
            raise
        return filled, False

    def _compare(self, theirs: Summary) -> None:
        """Both ends hold their manifests against each other; folders at the end of the list are made."""
        for self._index, self._entry in self._rest:
            if self._entry.is_folder:
                self._staged.tree.make_folder(self._entry.names)
        m = close_manifest(self._staged.ledger.list_path, self._staged.ledger.facts)
        mine = Summary(m.digest, m.files, m.folders, m.size_bytes, m.left_out)
        if m.missing or mine != theirs:
            raise TurnedDown(Refusal(RefusalCode.DIFFERS), "both ends know different files")

    def _end(self) -> None:
        staged = self._staged
        staged.used(use_of(self._channel.usage), is_same_stream=True)
        manifest = close_manifest(staged.ledger.list_path, staged.ledger.facts)
        receipt = self._give(staged, manifest, self._channel)
        self._channel.send(pack(Kind.RECEIPT) + receipt)
        self._channel.finish()

    def _refuse(self, refusal: Refusal) -> None:
        """Say why, then read on for a while: a connection that is closed on unread bytes would lose the answer."""
        with suppress(LinkDown, ProtocolError):
            self._channel.send(pack(Kind.REFUSED, refusal))
            self._channel.finish()
            until = time.monotonic() + _DRAIN_S
            while time.monotonic() < until and self._channel.receive_into(self._buffer) is not None:
                pass


def _write(handle: int, data: memoryview) -> None:
    while data:
        data = data[os.write(handle, data) :]
