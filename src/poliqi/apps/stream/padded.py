"""The two directions of the mode one-time-pad: every record under pad and a one-time tag of its own.

Pad hides perfectly (Shannon 1949). The tag is Poly1305 (RFC 8439) with its whole key fresh for each record: an
adversary without bounds passes one of L bytes off with probability at most 8 ceil(L/16) / 2^106.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from poliqi.apps.stream.needs import PAD_RECORD_BYTES, TAG_KEY_BYTES, tag_epsilon
from poliqi.apps.stream.opening import Frame, pack, read_key_ids, unpack
from poliqi.apps.stream.pads import PadDrawer, PadFetcher
from poliqi.apps.stream.records import TAG_BYTES, Octets, associated, head_word
from poliqi.apps.stream.wire import HEAD_BYTES
from poliqi.base.errors import AuthenticationError, ProtocolError
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["PaddedIn", "PaddedOut"]

_HEAD: Final = struct.Struct(">I")


class PaddedOut:
    """What this side sends. Implements poliqi.apps.stream.session.Outgoing."""

    def __init__(self, direction: int, drawer: PadDrawer) -> None:
        self._direction: Final = direction
        self._drawer: Final = drawer
        self._frame: Final = memoryview(bytearray(HEAD_BYTES + PAD_RECORD_BYTES + TAG_BYTES))
        self._sequence = 0
        self.epsilon = 0.0

    def seal(self, kind: Frame, data: Octets, context: bytes = b"") -> memoryview:
        """One record; `context` is under its tag, too. Names of keys and alerts go in clear under their tag."""
        pad, size = self._drawer.pad, len(data)
        is_clear = kind in (Frame.ANNOUNCE, Frame.ALERT)
        if TAG_KEY_BYTES + (0 if is_clear else size) > pad.left:
            raise KeysNotReady("the pad that is left does not reach for this record: open another stream", None)
        key, end = pad.take(TAG_KEY_BYTES), HEAD_BYTES + size
        text = self._frame[HEAD_BYTES:end]
        if is_clear:
            text[:] = data
        elif size:
            pad.xor(np.frombuffer(data, np.uint8), np.frombuffer(text, np.uint8))
        word = head_word(kind, size + TAG_BYTES)
        _HEAD.pack_into(self._frame, 0, word)
        mac = Poly1305(key)
        mac.update(associated(self._direction, self._sequence, word) + context)
        mac.update(text)
        self._frame[end : end + TAG_BYTES] = mac.finalize()
        self._sequence += 1
        self.epsilon += tag_epsilon(13 + len(context) + size)
        return self._frame[: end + TAG_BYTES]

    def message(self, data: Octets) -> Iterator[memoryview]:
        """The frames of one message; none of them where the pad does not reach for all. Raises KeysNotReady."""
        view = memoryview(data).cast("B")
        size = len(view)
        pieces = max(1, -(-size // PAD_RECORD_BYTES))
        while names := self._drawer.more(size + pieces * TAG_KEY_BYTES):
            yield self.seal(Frame.ANNOUNCE, pack([name.encode() for name in names]))
        for place in range(0, size - PAD_RECORD_BYTES, PAD_RECORD_BYTES):
            yield self.seal(Frame.MORE, view[place : place + PAD_RECORD_BYTES])
        yield self.seal(Frame.DATA, view[(pieces - 1) * PAD_RECORD_BYTES :])

    def close(self) -> None:
        """Wipe."""
        self._drawer.close()


class PaddedIn:
    """What the other side sends. Implements poliqi.apps.stream.session.Incoming."""

    def __init__(self, direction: int, fetcher: PadFetcher) -> None:
        self._direction: Final = direction
        self._fetcher: Final = fetcher
        self._sequence = 0
        self.epsilon = 0.0

    def open(self, kind: int, head: memoryview, body: memoryview, buffer: memoryview, context: bytes = b"") -> int:
        """As of `SealedIn`; nothing is deciphered before its tag is right."""
        size = len(body) - TAG_BYTES
        if not 0 <= size <= PAD_RECORD_BYTES or size > len(buffer):
            raise ProtocolError(f"a record of {len(body)} bytes is none under one-time pad: hang up")
        is_clear = kind in (Frame.ANNOUNCE, Frame.ALERT)
        self._fetcher.need(TAG_KEY_BYTES + (0 if is_clear else size))
        pad, text = self._fetcher.pad, body[:size]
        mac = Poly1305(pad.take(TAG_KEY_BYTES))
        (word,) = _HEAD.unpack(head)
        mac.update(associated(self._direction, self._sequence, word) + context)
        mac.update(text)
        try:
            mac.verify(bytes(body[size:]))
        except InvalidSignature:
            message = f"record {self._sequence} is not what the peer sent in this place: hang up"
            raise AuthenticationError(message) from None
        if is_clear:
            buffer[:size] = text
        elif size:
            pad.xor(np.frombuffer(text, np.uint8), np.frombuffer(buffer[:size], np.uint8))
        self._sequence += 1
        self.epsilon += tag_epsilon(13 + len(context) + size)
        return size

    def control(self, kind: int, text: bytes) -> None:
        """An announcement of keys. Raises ProtocolError."""
        if kind != Frame.ANNOUNCE:
            raise ProtocolError(f"a record of type {kind} has no place here: hang up")
        self._fetcher.fetch(read_key_ids(unpack(text)))

    def close(self) -> None:
        """Wipe."""
        self._fetcher.close()
