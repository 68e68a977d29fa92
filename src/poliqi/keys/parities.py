"""Parity to the end inside a site: calls that go along a path, parities that go straight to its end.

The call names, hop by hop, which key the neighbours use; each relay adds the two keys that it holds and tells the
destination the sum. Without one-time keys between relay and destination the grade says "computational".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from poliqi.base.errors import DataRefused, ProtocolError
from poliqi.base.secret import SecretBytes
from poliqi.keys.desk_state import DeskState, EventKind
from poliqi.keys.grade import Grade
from poliqi.keys.hopkeys import HopKeys
from poliqi.keys.messages import ParcelMessage
from poliqi.keys.peer import PeerLink
from poliqi.keys.relay import add_hop, check_order
from poliqi.keys.relay_messages import (
    HopGrade,
    PadRange,
    Parity,
    ParityCall,
    RelayMessage,
    RelayOrder,
    Scheme,
    encode_relay,
    path_of,
    total_bytes,
)
from poliqi.keys.relay_parity import check_parity, make_parity, recover
from poliqi.keys.shares import join_xor

__all__ = ["Parities"]

_OPEN_MOST: Final = 64

Arrived = tuple[int, SecretBytes, HopGrade]


@dataclass(slots=True)
class _Path:
    """What came for one share: parities by place, and the last hop's key."""

    parities: dict[int, Parity] = field(default_factory=dict[int, Parity])
    last: tuple[tuple[PadRange, ...], SecretBytes, Grade] | None = None


class Parities:
    """The parities that a site makes and gathers."""

    def __init__(self, state: DeskState, hops: HopKeys) -> None:
        self._s: Final = state
        self._hops: Final = hops
        self._paths: Final[dict[tuple[bytes, int], _Path]] = {}

    def _send(self, link: PeerLink, message: RelayMessage) -> None:
        link.send(ParcelMessage(encode_relay(message)), self._s.ledger.emitted)

    def call(self, order: RelayOrder) -> tuple[SecretBytes, list[Grade]] | None:
        """Call on every path; the secret, which is the sum of the first hops' keys, and their grades.

        None where key is lacking.
        """
        if order.scheme is Scheme.SHAMIR:
            raise ValueError("nobody chooses what parities end in: only schemes single and xor can use them")
        keys: list[SecretBytes] = []
        grades: list[Grade] = []
        for number in range(1, len(order.paths) + 1):
            neighbour = path_of(order, number)[1]
            taken = self._hops.take(neighbour, order.size)
            if taken is None:
                return None
            keys.append(taken.key)
            grades.append(taken.grade)
            self._send(self._s.links[neighbour], ParityCall(order, number, 1, taken.pads))
        return SecretBytes(join_xor([key.view() for key in keys])), grades

    def called(self, link: PeerLink, call: ParityCall) -> Arrived | None:
        """A call from the site before: pass it on and send the parity, or, at the end, gather.

        Raises ProtocolError for a call that does not belong here, DataRefused where key is lacking.
        """
        s, order, path = self._s, call.order, path_of(call.order, call.share)
        try:
            check_order(order)
        except DataRefused as error:
            raise ProtocolError(str(error)) from None
        if call.hop >= len(path) or path[call.hop] != s.own or path[call.hop - 1] != link.kme:
            raise ProtocolError(f"{link.kme} calls for a parity at hop {call.hop} of another path")
        if total_bytes(call.pads) != order.size or order.scheme is Scheme.SHAMIR:
            raise ProtocolError(
                f"{link.kme} calls for parities of {total_bytes(call.pads)} bytes, not {order.size}"
            )
        key, grade = self._hops.use(link, call.pads)
        if call.hop == len(path) - 1:
            entry = self._entry(order, call.share)
            entry.last = (call.pads, key, grade)
            return self._finished(order, call.share, entry)
        taken = self._hops.take(path[call.hop + 1], order.size)
        end = s.links.get(path[-1])
        if taken is None or end is None or not end.is_live:
            raise DataRefused(f"{s.own} has too little key with {path[call.hop + 1]}, or no stream to {path[-1]}")
        self._send(s.links[path[call.hop + 1]], ParityCall(order, call.share, call.hop + 1, taken.pads))
        self._send(end, make_parity(order, call.share, call.hop, (call.pads, key, grade), taken[:2]))
        return None

    def heard(self, link: PeerLink, parity: Parity) -> Arrived | None:
        """A parity from a relay. Raises ProtocolError."""
        if parity.order.destination != self._s.own:
            raise ProtocolError(f"{link.kme} sends a parity for {parity.order.destination}")
        check_parity(parity, link.kme, None)
        entry = self._entry(parity.order, parity.share)
        entry.parities[parity.place] = parity
        return self._finished(parity.order, parity.share, entry)

    def _entry(self, order: RelayOrder, share: int) -> _Path:
        """What is known of a path; the oldest is forgotten where there are too many."""
        while len(self._paths) >= _OPEN_MOST and (order.block, share) not in self._paths:
            old = self._paths.pop(next(iter(self._paths)))
            if old.last is not None:
                old.last[1].close()
        return self._paths.setdefault((order.block, share), _Path())

    def _finished(self, order: RelayOrder, share: int, entry: _Path) -> Arrived | None:
        wanted = len(path_of(order, share)) - 2
        if entry.last is None or len(entry.parities) < wanted:
            return None
        del self._paths[order.block, share]
        if not wanted:  # no relay on this path: the key of its only hop is the share
            return share, entry.last[1], add_hop(None, entry.last[2])
        try:
            value, grade = recover(list(entry.parities.values()), *entry.last)
        except DataRefused as error:
            self._s.tell(EventKind.RELAY_REFUSED, str(error))  # whose fault it is cannot be told
            entry.last[1].close()
            return None
        return share, value, grade
