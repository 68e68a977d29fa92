"""The receiving end of one transfer over an open stream (docs/spec/transfer.md, "send 1")."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from poliqi.apps.share.content import Hasher, hash_prefix
from poliqi.apps.share.inbox import Inbox
from poliqi.apps.share.manifest import Manifest, close_manifest
from poliqi.apps.share.messages import (
    Kind,
    Offer,
    Partial,
    Prefix,
    Refusal,
    RefusalCode,
    Summary,
    pack,
    pack_groups,
)
from poliqi.apps.share.quota import Room, TurnedDown, reserve
from poliqi.apps.share.receipt import use_of
from poliqi.apps.share.staged import Staged
from poliqi.apps.share.taking import Taking, next_message
from poliqi.apps.stream.channel import RECORD_BYTES, Channel
from poliqi.base.errors import LinkDown, ProtocolError, StoreError

__all__ = ["Give", "Receiving", "TurnedDown"]

Give = Callable[[Staged, Manifest, Channel], bytes]
"""Puts what came in its place and gives the receipt, as the file that it is."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DRAIN_S: Final = 10.0
_BLOCK_BYTES: Final = 4096


class Receiving:
    """One stream. `run` raises TurnedDown, and what a channel raises."""

    def __init__(
        self, channel: Channel, inbox: Inbox, give: Give, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._channel: Final = channel
        self._inbox: Final = inbox
        self._give: Final = give
        self._clock_ns: Final = clock_ns

    def run(self, offer: Offer) -> None:
        """Have the conversation, from the answer to `offer` on."""
        try:
            self._run(offer)
        except TurnedDown as down:
            self._refuse(down.refusal)
            raise
        except OSError as error:
            self._refuse(refusal := self._refusal(error, offer))
            raise TurnedDown(refusal, error.strerror or str(error)) from error
        except StoreError as error:
            self._refuse(refusal := self._refusal(error.__cause__, offer))
            raise TurnedDown(refusal, str(error)) from error

    def _run(self, offer: Offer) -> None:
        peer = self._channel.peer
        given = self._inbox.given_receipt(peer, offer.transfer)
        if given is not None:
            self._channel.send(pack(Kind.RECEIPT) + given)
            self._channel.finish()
            return
        staged = reserve(self._inbox, peer, offer, self._clock_ns())
        try:
            staged.recover()
            staged.used(use_of(self._channel.usage), is_same_stream=False)
            taken = None if staged.is_moved else self._take(staged, offer)
            staged.used(use_of(self._channel.usage), is_same_stream=True)
            manifest = taken or close_manifest(staged.ledger.list_path, staged.ledger.facts)
            receipt = self._give(staged, manifest, self._channel)
        finally:
            staged.close()
        self._channel.send(pack(Kind.RECEIPT) + receipt)
        self._channel.finish()

    def _take(self, staged: Staged, offer: Offer) -> Manifest:
        if staged.state.list_sha256 != offer.list_sha256:
            self._take_list(staged, offer)
        partial = staged.find_partial()
        self._check_space(staged, partial)
        hasher = self._say_what_is_here(staged, partial)
        theirs = Taking(self._channel, staged, partial, hasher, Room(self._inbox, self._channel.peer, staged)).run()
        m = close_manifest(staged.ledger.list_path, staged.ledger.facts)
        if (
            m.missing
            or not m.files + m.folders
            or theirs != Summary(m.digest, m.files, m.folders, m.size_bytes, m.left_out)
        ):
            raise TurnedDown(Refusal(RefusalCode.DIFFERS), "both ends know different files")
        return m

    def _take_list(self, staged: Staged, offer: Offer) -> None:
        if offer.list_bytes > self._inbox.free_bytes():
            raise TurnedDown(Refusal(RefusalCode.NO_SPACE, needed_bytes=offer.size_bytes), "no room for the list")
        self._channel.send(pack(Kind.SEND_LIST))
        buffer, left = memoryview(bytearray(RECORD_BYTES)), offer.list_bytes
        try:
            with staged.coming_list.open("wb") as file:
                while left:
                    size = next_message(self._channel, buffer)
                    if not 0 < size <= left:
                        raise ProtocolError("the list is longer than was offered: drop the stream")
                    file.write(buffer[:size])
                    left -= size
                file.flush()
                os.fsync(file.fileno())
            staged.take_list(offer)
        except BaseException:
            staged.coming_list.unlink(missing_ok=True)
            raise

    def _say_what_is_here(self, staged: Staged, partial: Partial) -> Hasher | None:
        """Tell what is there; BLAKE3 of the partial file, made while the sender makes its own."""
        self._channel.send(pack(Kind.PARTIAL, partial))
        for message in pack_groups(staged.ledger.facts.groups()):
            self._channel.send(message)
        hasher = None
        if partial.index is not None:
            handle = staged.tree.open_file(staged.partial_names)
            try:
                hasher = hash_prefix(handle, partial.size_bytes)
            finally:
                os.close(handle)
        self._channel.send(pack(Kind.GO, Prefix(None if hasher is None else hasher.digest().hex())))
        return hasher

    def _check_space(self, staged: Staged, partial: Partial) -> None:
        files, size = staged.ledger.missing()
        wanted = size - partial.size_bytes + files * _BLOCK_BYTES
        free = self._inbox.free_bytes()
        if files and wanted > free:
            refusal = Refusal(RefusalCode.NO_SPACE, needed_bytes=wanted - free)
            raise TurnedDown(refusal, f"{wanted} bytes are wanted and {free} free")

    def _refusal(self, error: object, offer: Offer) -> Refusal:
        """What to tell the sender of a disk that failed."""
        if not isinstance(error, OSError) or error.errno not in _FULL:
            return Refusal(RefusalCode.STORE_FAILED)
        return Refusal(RefusalCode.NO_SPACE, needed_bytes=max(1, offer.size_bytes - self._inbox.free_bytes()))

    def _refuse(self, refusal: Refusal) -> None:
        """Say why, then read on for a while: a connection that is closed on unread bytes would lose the answer."""
        buffer = memoryview(bytearray(RECORD_BYTES))
        with suppress(LinkDown, ProtocolError):
            self._channel.send(pack(Kind.REFUSED, refusal))
            self._channel.finish()
            until = time.monotonic() + _DRAIN_S
            while time.monotonic() < until and self._channel.receive_into(buffer) is not None:
                pass
