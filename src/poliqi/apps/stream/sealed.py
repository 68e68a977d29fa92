"""Both directions of the modes quantum, hybrid and pqc: AES-256-GCM records, and the change of keys under them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import Key
from poliqi.apps.stream.opening import Frame, Offer
from poliqi.apps.stream.records import Octets, RecordOpener, RecordSealer
from poliqi.apps.stream.rekey import Announced, Budget, NextKey
from poliqi.apps.stream.terms import Used
from poliqi.base.errors import ProtocolError
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["SealedIn", "SealedOut"]

_WITHOUT_KEY_S: Final = 3600.0
"""A stream without a quantum key ends after an hour: the next one may have one."""


class SealedOut:
    """What this side sends. Implements poliqi.apps.stream.session.Outgoing."""

    def __init__(self, sealer: RecordSealer, offer: Offer, used: list[Used], following: NextKey | None) -> None:
        """`following` draws the keys after the first; None in mode pqc, where the stream ends instead."""
        self._sealer: Final = sealer
        self._used: Final = used
        self._next: Final = following
        self._budget: Final = Budget(offer.rekey_bytes, offer.rekey_s if following else _WITHOUT_KEY_S)

    @property
    def epsilon(self) -> float:
        """Nothing is claimed beyond computation."""
        return 0.0

    def seal(self, kind: Frame, data: Octets) -> memoryview:
        """One record."""
        return self._sealer.seal(kind, data)

    def message(self, data: Octets) -> Iterator[memoryview]:
        """The frames of one message, and of a change of keys where one is due. Raises KeysNotReady, ConfigError."""
        size = len(data)
        if self._budget.is_worn(size):
            yield from self._change_key(size)
        yield self._sealer.seal(Frame.DATA, data)
        self._budget.used_bytes += size

    def _change_key(self, size: int) -> Iterator[memoryview]:
        """Draw ahead; announce what was drawn; switch before a message of `size` bytes that is over the budget."""
        is_due, ahead = self._budget.is_spent(size), self._next
        if ahead is None:
            if is_due:
                raise KeysNotReady("a stream without a quantum key has reached its limit: open another", 0.0)
            return
        ahead.begin(is_due)
        key_id = ahead.announce(is_due)
        if key_id is not None:
            yield self._sealer.seal(Frame.ANNOUNCE, key_id.encode())
        if is_due:
            key = ahead.take()
            yield self._sealer.seal(Frame.SWITCH, b"")
            self._sealer.ratchet(key.key_id, key.value)
            self._budget.renew()
            self._used.append((key.key_id, KeyGrade.read(key.grade)))

    def close(self) -> None:
        """Wipe."""
        self._sealer.close()
        if self._next is not None:
            self._next.close()


class SealedIn:
    """What the other side sends. Implements poliqi.apps.stream.session.Incoming."""

    def __init__(self, opener: RecordOpener, offer: Offer, used: list[Used], announced: Announced | None) -> None:
        self._opener: Final = opener
        self._used: Final = used
        self._announced: Final = announced
        self._budget: Final = Budget(offer.rekey_bytes, float("inf"))

    @property
    def epsilon(self) -> float:
        """As of SealedOut."""
        return 0.0

    def open(self, kind: int, head: memoryview, body: memoryview, buffer: memoryview) -> int:
        """The size of the text, which lies at the start of `buffer`. Raises AuthenticationError, ProtocolError."""
        if kind == Frame.MORE:
            raise ProtocolError("a piece of a message came, and messages are whole in this mode: hang up")
        size = self._opener.open(head, body, buffer)
        if kind == Frame.DATA:
            if self._budget.is_spent(size):
                raise ProtocolError("the other side uses a key for more bytes than was agreed on: hang up")
            self._budget.used_bytes += size
        return size

    def control(self, kind: int, text: bytes) -> None:
        """A record about keys. Raises what the key source raises, ProtocolError."""
        if self._announced is None or kind not in (Frame.ANNOUNCE, Frame.SWITCH):
            raise ProtocolError(f"a record of type {kind} has no place here: hang up")
        if kind == Frame.ANNOUNCE:
            self._announced.fetch(text)
            return
        key: Key = self._announced.take()
        self._opener.ratchet(key.key_id, key.value)
        self._budget.renew()
        self._used.append((key.key_id, KeyGrade.read(key.grade)))

    def close(self) -> None:
        """Wipe."""
        self._opener.close()
        if self._announced is not None:
            self._announced.close()
