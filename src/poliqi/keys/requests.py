"""What applications ask of the key management, and what they are told; no wire format in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade

__all__ = [
    "Accepted",
    "Block",
    "Delivered",
    "Key",
    "KeyOrder",
    "Outcome",
    "Reason",
    "Refused",
    "Shipment",
    "StockReport",
    "Ticket",
]


class Key(NamedTuple):
    """One key: its 16-byte name, its bytes, its grade."""

    key_id: bytes
    value: bytes
    grade: Grade

    def __repr__(self) -> str:
        return f"<Key {self.key_id.hex()} of {8 * len(self.value)} bits>"


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """`number` fresh keys of `size_bits` for `master` and every one of `slaves`, all or nothing.

    `pool` asks for one link. `key_ids` are given where the names are agreed elsewhere (key streams); otherwise
    they are derived or drawn.
    """

    master: SaeId
    slaves: tuple[SaeId, ...]
    number: int
    size_bits: int
    pool: LinkId | None = None
    key_ids: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Shipment:
    """Keys that were made elsewhere, to be carried to the sites of `slaves` under one-time pads (ETSI 020)."""

    master: SaeId
    slaves: tuple[SaeId, ...]
    key_ids: tuple[bytes, ...]
    values: tuple[bytes, ...]
    grade: Grade

    def __repr__(self) -> str:
        return f"<Shipment of {len(self.key_ids)} keys from {self.master} to {', '.join(self.slaves)}>"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of key as a link or a device gives it, the same at both ends. `name` has 16 bytes."""

    pool: LinkId
    name: bytes
    key: SecretBytes
    grade: Grade


class Reason(StrEnum):
    """Why something was refused; every adapter has one status for each."""

    BAD_REQUEST = "bad-request"
    NOT_PERMITTED = "not-permitted"
    NOT_FOUND = "not-found"
    NO_ROUTE = "no-route"
    INSUFFICIENT = "insufficient"
    PEER_DOWN = "peer-down"
    RATE_LIMITED = "rate-limited"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Refused:
    """No, why, and after how many seconds it makes sense to ask again."""

    reason: Reason
    message: str
    retry_s: float | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The keys, in the order asked for."""

    keys: list[Key]

    def __repr__(self) -> str:
        return f"<Delivered {len(self.keys)} keys>"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Done and durable, nothing to hand over (an ingested block, a shipment carried to its sites, a void)."""

    detail: str = ""


Outcome = Delivered | Accepted | Refused


class Ticket:
    """Something under way. `listener` is called once with the outcome, when it is durable; or read `outcome`."""

    __slots__ = ("listener", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.listener: Callable[[Outcome], None] | None = None

    def settle(self, outcome: Outcome) -> None:
        """Tell the outcome, once; what comes later changes nothing."""
        if self.outcome is None:
            self.outcome = outcome
            if self.listener is not None:
                self.listener(outcome)


@dataclass(frozen=True, slots=True)
class StockReport:
    """What a master has towards a slave: counts are keys of the default size."""

    source_kme: KmeId
    target_kme: KmeId
    master: SaeId
    slave: SaeId
    key_size_bits: int
    stored_keys: int
    capacity_keys: int
    max_keys_per_request: int
    max_size_bits: int
    min_size_bits: int
    max_slaves: int
    connected: bool
    grades: tuple[Grade, ...]
    """Grades that stock of this way can have now."""
    filled_bytes: int = 0
    """What came in for the master to use since the site's start; it only grows, so two looks give a rate."""
