"""One-time tags of the line between two ends, from the pads of their pairing.

A tag is Poly1305 (RFC 8439) under r and s: r is one pad word for a connection and direction, s one for each tag.
That is Poly1305-AES (Bernstein, FSE 2005) with a one-time pad in the place of the cipher: an attempt at another
message of L bytes succeeds with probability at most 8 ceil(L/16) / 2^106, whatever the forger's means. r is
clamped to 106 bits, hence the bound.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.hazmat.primitives.poly1305 import Poly1305

from poliqi.base.errors import AuthenticationError, KeyExhausted
from poliqi.base.ids import Role
from poliqi.distill.authenticate import Lane
from poliqi.distill.outcome import PadCursor

__all__ = ["Seal"]

_INDEX_BYTES: Final = 8
_LABEL: Final = b"poliqi device line 1"

Octets = bytes | memoryview


class Seal:
    """Both directions' tags over one connection. Whoever owns it makes `marks` durable before it acts on a tag."""

    def __init__(self, role: Role, lanes: Mapping[Role, Lane]) -> None:
        self._out: Final = lanes[role]
        self._in: Final = lanes[role.peer]
        self._own_r: bytes | None = None
        self._peer_r: bytes | None = None

    def tag(self, parts: Sequence[Octets]) -> bytes:
        """Tag what I say. Raises KeyExhausted."""
        if self._own_r is None:
            self._own_r = self._out.take()[1]
        index, word = self._out.take()
        return index.to_bytes(_INDEX_BYTES, "big") + _poly1305(self._own_r + word, self._out.sender, parts)

    def check(self, parts: Sequence[Octets], tag: bytes) -> None:
        """Verify what the other end said. Raises AuthenticationError; the word is used up either way."""
        lane, index = self._in, int.from_bytes(tag[:_INDEX_BYTES], "big")
        r = self._peer_r
        if r is None:
            if not lane.next_word < index < lane.end_word:
                raise AuthenticationError(
                    f"the other end's pad word {index} is not among the unused ones ({lane.next_word} to "
                    f"{lane.end_word}): a replay, or one end was restored from an old copy; if so, pair again"
                )
            r = lane.word(index - 1)
        elif index != lane.next_word:
            raise AuthenticationError(f"a tag names pad word {index}, word {lane.next_word} is due")
        try:
            expected = _poly1305(r + lane.word(index), lane.sender, parts)
        except KeyExhausted as error:
            raise AuthenticationError(str(error)) from error
        is_right = hmac.compare_digest(expected, tag[_INDEX_BYTES:])
        if is_right or self._peer_r is not None:  # a stranger's first tag must not cost any words
            lane.next_word = index + 1
        if not is_right:
            raise AuthenticationError(f"the tag at pad word {index} does not fit")
        self._peer_r = r

    def marks(self) -> list[PadCursor]:
        """What must be durable before a byte of mine leaves, and before I act on what was said."""
        return [PadCursor(lane.sender, lane.next_word) for lane in (self._out, self._in)]


def _poly1305(key: bytes, sender: Role, parts: Sequence[Octets]) -> bytes:
    mac = Poly1305(key)
    for part in (_LABEL, sender.encode(), *parts):
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.finalize()
