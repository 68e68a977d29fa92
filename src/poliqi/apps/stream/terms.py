"""What two applications demand of a stream, and what they got: policies, modes, usage."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from poliqi.apps.keygrade import GradeDemand, KeyGrade, total_epsilon
from poliqi.base.ids import SaeId

__all__ = ["MODES", "Mode", "Policy", "StreamRule", "Usage", "Used"]

Used = tuple[str, KeyGrade]
"""A key that a stream used: its name and what its site says of it."""


class Mode(StrEnum):
    """How a stream is encrypted; said in its first message, bound into every key, never changed afterwards."""

    QUANTUM = "quantum"
    """X25519 and a quantum key; AES-256-GCM."""
    HYBRID = "hybrid"
    """The same, and ML-KEM-768."""
    PQC = "pqc"
    """No quantum key: X25519, ML-KEM-768, ML-DSA-65 signatures."""
    ONE_TIME = "one-time-pad"
    """Information-theoretic: one-time pad and one-time tags."""


class Policy(StrEnum):
    """What an application insists on. There is no way from one to a weaker one but changing the setting."""

    STRICT = "strict"
    """A quantum key at the start and at every rekey; without one nothing is sent."""
    HYBRID = "hybrid"
    """As strict, and ML-KEM-768 beside it: safe while either of the two is."""
    PQC_FALLBACK = "pqc-fallback"
    """As hybrid while there are keys; else ML-KEM-768 and ML-DSA-65, logged and shown."""
    PQC = "pqc"
    """No quantum key is asked for: ML-KEM-768 and ML-DSA-65, logged and shown. For a peer that has no site."""
    ITS = "information-theoretic"
    """One-time pad from keys of an information-theoretic grade; anything else is refused."""


MODES: Final[dict[Policy, frozenset[Mode]]] = {
    Policy.STRICT: frozenset({Mode.QUANTUM, Mode.HYBRID}),
    Policy.HYBRID: frozenset({Mode.HYBRID}),
    Policy.PQC_FALLBACK: frozenset({Mode.HYBRID, Mode.PQC}),
    Policy.PQC: frozenset({Mode.PQC}),
    Policy.ITS: frozenset({Mode.ONE_TIME}),
}
"""Modes that each policy takes from the other side; the first it offers itself is its own."""


@dataclass(frozen=True, slots=True)
class StreamRule:
    """What one side demands of a stream with one peer.

    `rekey_bytes`, `rekey_s`: at the latest after so many bytes or seconds in one direction a fresh key is used
    (AES-GCM keeps its bound of 2^-64 up to 64 GiB a key).
    """

    policy: Policy = Policy.STRICT
    demand: GradeDemand = field(default_factory=GradeDemand)
    rekey_bytes: int = 16 << 30
    rekey_s: float = 120.0
    one_time: GradeDemand | None = None
    """Where set, one-time pad is taken from the peer as well as the policy's modes, from keys that meet this."""

    @property
    def modes(self) -> frozenset[Mode]:
        """Modes that are taken."""
        return MODES[self.policy] | (frozenset[Mode]() if self.one_time is None else {Mode.ONE_TIME})

    def demand_for(self, mode: Mode) -> GradeDemand:
        """What keys of a stream in this mode have to meet."""
        is_extra = mode is Mode.ONE_TIME and self.policy is not Policy.ITS and self.one_time is not None
        return self.one_time if is_extra and self.one_time is not None else self.demand


@dataclass(frozen=True, slots=True)
class Usage:
    """What a stream has used until now: for receipts, screens and logs; never a key."""

    mode: Mode
    local: SaeId
    peer: SaeId
    key_ids: tuple[str, ...] = ()
    """Keys in both directions, in the order of use."""
    grades: tuple[KeyGrade, ...] = ()
    """One for each of `key_ids`."""
    sent_bytes: int = 0
    received_bytes: int = 0
    tag_epsilon: float = 0.0
    """Of the one-time tags; 0 in the computational modes, which prove nothing."""

    @property
    def is_simulated(self) -> bool:
        """True where simulated light stands behind any of its keys: the stream protects nothing."""
        return any(grade.is_simulated for grade in self.grades)

    @property
    def epsilon(self) -> float | None:
        """What the whole may fail by, keys and tags together; None where it is not information-theoretic."""
        keys = total_epsilon(self.grades) if self.mode is Mode.ONE_TIME and self.grades else None
        return None if keys is None else keys + self.tag_epsilon
