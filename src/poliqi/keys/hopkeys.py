"""Key for hops of a relay: taken once of one's own share with a neighbour, or of the neighbour's as it says."""

from __future__ import annotations

from typing import Final, NamedTuple

from poliqi.base.errors import DataRefused
from poliqi.base.ids import KmeId
from poliqi.base.secret import SecretBytes
from poliqi.keys.desk_state import DeskState
from poliqi.keys.grade import Grade, weakest
from poliqi.keys.peer import PeerLink
from poliqi.keys.relay_messages import PadRange
from poliqi.keys.segment import SegmentName
from poliqi.keys.stock import Piece

__all__ = ["HopKeys", "Taken"]

_UNIT_BYTES: Final = 64
"""Key is taken in so many bytes at a time, all that is needed or none; what is over at the end is burnt."""

_RANGES: Final = 64
"""More ranges do not fit into a parcel (relay_messages.py)."""


class Taken(NamedTuple):
    """Ranges of one's own share, their bytes, and what they are."""

    pads: tuple[PadRange, ...]
    key: SecretBytes
    grade: Grade


class HopKeys:
    """The key that a site's relays use. Only pools of fibres carry relayed shares, never relayed ones."""

    def __init__(self, state: DeskState) -> None:
        self._s: Final = state

    def take(self, neighbour: KmeId, total: int) -> Taken | None:
        """Take `total` bytes of one's own share with a neighbour; None where that cannot be done now."""
        s = self._s
        link = s.links.get(neighbour)
        if link is None or not link.is_live:
            return None

        def acceptable(grade: Grade) -> bool:
            return grade.is_direct and s.policy.judge_origin(grade.origin) is None

        for pool in s.pools_for(neighbour, None):
            if pool.is_relayed or pool.own_bytes < total:
                continue
            found = s.stock.take(pool, _UNIT_BYTES, -(-total // _UNIT_BYTES), acceptable, link.met, _RANGES)
            if found is not None:
                pool.relayed_bytes += total
                return self._key_of(_trimmed(found, total))
        return None

    def _key_of(self, pieces: list[tuple[Piece, int]]) -> Taken | None:
        ranges: list[PadRange] = []
        grades: dict[bytes, Grade] = {}
        key = bytearray()
        for piece, size in pieces:
            bits = self._s.stock.bits(piece.segment)
            if bits is None:
                return None
            key += bits[piece.offset : piece.offset + size]
            name = piece.segment.name
            ranges.append(PadRange(name.block, name.part, piece.offset, size))
            grades[name.block] = piece.segment.grade
        return Taken(tuple(ranges), SecretBytes(key), weakest(grades.values()))

    def use(self, link: PeerLink, pads: tuple[PadRange, ...]) -> tuple[SecretBytes, Grade]:
        """The bytes that a neighbour took of its share for a hop, and their grade. Raises DataRefused."""
        s = self._s
        key = bytearray()
        grades: dict[bytes, Grade] = {}  # one block's proof fails once, however many ranges come from it
        for pad in pads:
            name = SegmentName(pad.block, pad.part)
            found = [
                p.segments[name] for p in s.pools_for(link.kme, None) if name in p.segments and not p.is_relayed
            ]
            record = found[0] if len(found) == 1 else None
            end = pad.offset + pad.size
            if record is None or s.stock.peer_uses(record, pad.offset, end) is None:
                raise DataRefused(f"bytes {pad.offset} to {end} of a segment are not {link.kme}'s to use")
            bits = s.stock.bits(record)
            if bits is None:
                raise DataRefused("the segment of a hop's key cannot be read")
            key += bits[pad.offset : end]
            grades[pad.block] = record.grade
        return SecretBytes(key), weakest(grades.values())


def _trimmed(pieces: list[Piece], total: int) -> list[tuple[Piece, int]]:
    """Pieces and how many bytes of each, `total` together."""
    found: list[tuple[Piece, int]] = []
    for piece in pieces:
        size = min(total, piece.count * _UNIT_BYTES)
        found.append((piece, size))
        total -= size
    return found
