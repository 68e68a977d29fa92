"""One key stream as one site sees it: its ends, its chunks, their names, its pace (ETSI GS QKD 004)."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.ids import KmeId, SaeId
from poliqi.base.secret import SecretBytes
from poliqi.keys.etsi004_messages import METADATA_TYPE, Qos
from poliqi.keys.grade import Grade
from poliqi.keys.keyid import as_version_8

__all__ = [
    "HELD_BYTES",
    "HELD_CHUNKS",
    "Bucket",
    "Chunk",
    "End",
    "KeyCall",
    "Offer",
    "Stream",
    "chunk_id",
    "nearest",
]

HELD_CHUNKS: Final = 256
"""How far one end may read ahead of the other."""

HELD_BYTES: Final = 1 << 20
_AHEAD_CHUNKS: Final = 64
_AHEAD_S: Final = 0.25
_INDICES: Final = 1 << 32
_LABEL: Final = b"POLIQI ETSI 004 chunk 1"


def chunk_id(stream: bytes, life: bytes, number: int) -> bytes:
    """Name of a chunk: a UUIDv8 of SHA-256 over a label, the stream's id, its life and the chunk's number.

    It is no secret: a desk gives a key to those it was promised to and to nobody else.
    """
    return as_version_8(hashlib.sha256(_LABEL + stream + life + number.to_bytes(8, "big")).digest())


def nearest(index: int, around: int) -> int:
    """The number, nearest to `around`, whose low 32 bits are `index` (a wire index wraps, a number does not)."""
    half = _INDICES >> 1
    number = around + (index - around + half) % _INDICES - half
    return number if number >= 0 else number + _INDICES


@dataclass(slots=True)
class Bucket:
    """Tokens of one bit each: `rate_bps` flow in, a second's worth (or one chunk) fits."""

    rate_bps: int
    capacity_bits: int
    bits: float
    at_s: float

    @classmethod
    def full(cls, rate_bps: int, chunk_bytes: int, now: float) -> Bucket:
        capacity = max(rate_bps, 8 * chunk_bytes)
        return cls(rate_bps, capacity, capacity, now)

    def take(self, bits: int, now: float) -> bool:
        """Take `bits`, or nothing where fewer are there."""
        self.bits = min(self.capacity_bits, self.bits + max(0.0, now - self.at_s) * self.rate_bps)
        self.at_s = now
        if bits > self.bits:
            return False
        self.bits -= bits
        return True


@dataclass(frozen=True, slots=True)
class Offer:
    """What a site would grant to the opener of a stream."""

    chunk_least: int
    chunk_most: int
    chunk_bytes: int
    max_bps: int
    spare_bps: int
    ttl_s: int
    timeout_ms: int

    def answer(self, asked: Qos) -> tuple[Qos, bool]:
        """The QoS nearest to `asked` that is granted, and whether it meets what was asked."""
        chunk = min(max(asked.chunk_bytes, self.chunk_least), self.chunk_most) if asked.chunk_bytes else None
        ceiling = min(asked.max_bps or self.max_bps, self.max_bps)
        granted = Qos(
            chunk_bytes=self.chunk_bytes if chunk is None else chunk,
            max_bps=ceiling,
            min_bps=min(asked.min_bps, ceiling, self.spare_bps),
            jitter=asked.jitter,
            priority=asked.priority,
            timeout_ms=min(asked.timeout_ms, self.timeout_ms),
            ttl_s=min(asked.ttl_s or self.ttl_s, self.ttl_s),
            metadata_type=asked.metadata_type if asked.metadata_type in ("", METADATA_TYPE) else METADATA_TYPE,
        )
        met = (
            granted.chunk_bytes == (asked.chunk_bytes or granted.chunk_bytes)
            and granted.min_bps == asked.min_bps
            and granted.ttl_s == (asked.ttl_s or granted.ttl_s)
            and granted.metadata_type == asked.metadata_type
        )
        return granted, met


@dataclass(slots=True)
class Chunk:
    """A chunk that waits here for its one reader."""

    value: SecretBytes
    grade: Grade
    expires_s: float


@dataclass(slots=True)
class End:
    """An application of this site and its part in a stream. `next` is the number read when no index is given."""

    sae: SaeId
    qos: Qos
    bucket: Bucket
    is_open: bool = True
    next: int = 0
    held: dict[int, Chunk] = field(default_factory=dict[int, Chunk])

    def drop(self, number: int) -> None:
        """Wipe one chunk."""
        self.held.pop(number).value.close()

    def expire(self, now: float) -> None:
        """Wipe the chunks whose time is over."""
        for number in [n for n, chunk in self.held.items() if chunk.expires_s <= now]:
            self.drop(number)

    def wipe(self) -> None:
        """Wipe every chunk."""
        for number in list(self.held):
            self.drop(number)


@dataclass(slots=True)
class KeyCall:
    """A GET_KEY that waits. `is_patient`: its Timeout is not 0. `fetching` is the chunk under way for it."""

    call: int
    sae: SaeId
    number: int | None
    metadata_bytes: int | None
    deadline_s: float
    is_patient: bool
    fetching: int | None = None
    skipped: int = 0


@dataclass(slots=True)
class Stream:
    """A stream. `life` is drawn by its home and makes the chunks of a stream that was begun anew new ones.

    Chunks before `ordered` exist, as far as this site knows; `ordered_s` says when they came to be, oldest first.
    """

    stream_id: bytes
    life: bytes
    is_home: bool
    master: SaeId
    slave: SaeId
    peer: KmeId | None
    chunk_bytes: int
    ttl_s: int
    order_most: int
    ends: dict[SaeId, End] = field(default_factory=dict[SaeId, End])
    remote_open: bool = False
    met: bool = False
    lost: bool = False
    ordered: int = 0
    ordered_s: deque[tuple[int, float]] = field(default_factory=deque[tuple[int, float]])
    wanted: int = 0
    ahead: int = 1
    ordering: bool = False
    short: bool = False
    retry_s: float = 0.0
    told_s: float = float("-inf")
    remote_next: int = 0
    expired: int = 0
    closed_s: float | None = None
    calls: list[KeyCall] = field(default_factory=list[KeyCall])

    @property
    def saes(self) -> frozenset[SaeId]:
        """The two applications."""
        return frozenset((self.master, self.slave))

    @property
    def has_open_end(self) -> bool:
        """True where an application of this site has its end open."""
        return any(end.is_open for end in self.ends.values())

    @property
    def is_connected(self) -> bool:
        """True where both ends are open, as far as this site knows."""
        opened = sum(end.is_open for end in self.ends.values())
        return not self.lost and opened + self.remote_open == 2

    @property
    def room(self) -> int:
        """How many chunks may wait for one reader."""
        return max(1, min(HELD_CHUNKS, HELD_BYTES // self.chunk_bytes))

    def grow(self, qos: Qos) -> None:
        """Order further ahead: a reader had to wait."""
        by_rate = int(_AHEAD_S * qos.max_bps / (8 * self.chunk_bytes)) + 1
        self.ahead = min(2 * self.ahead, by_rate, _AHEAD_CHUNKS, self.room)

    def extend(self, upto: int, now: float) -> None:
        """The chunks before `upto` exist."""
        if upto > self.ordered:
            self.ordered = upto
            self.ordered_s.append((upto, now))

    def oldest(self, now: float) -> int:
        """The first chunk whose time to live is not over."""
        while self.ordered_s and self.ordered_s[0][1] + self.ttl_s <= now:
            self.expired, _ = self.ordered_s.popleft()
        return self.expired

    def wipe(self) -> None:
        """Wipe every chunk that waits here."""
        for end in self.ends.values():
            end.wipe()
