"""What must be on disk before anything that follows from it leaves the site, and what a store gives back.

The core emits marks; a store makes a list of them durable in one transaction, all or none; only then do the
frames and answers that wait for them go out. `docs/spec/keystore.md` says what a crash leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.run import Run, RunKey
from poliqi.keys.segment import SegmentRecord

__all__ = [
    "Audited",
    "Dropped",
    "Ingested",
    "Leased",
    "Mark",
    "NameUsed",
    "Owned",
    "PeerMemory",
    "PeerRemembered",
    "Readied",
    "RunAdded",
    "RunDropped",
    "RunUsed",
    "SecretKept",
    "Store",
    "StoredState",
    "Vault",
]


@dataclass(frozen=True, slots=True)
class Ingested:
    """A new segment with its bits; its block's name is remembered for ever, so it cannot come twice."""

    segment: SegmentRecord
    payload: SecretBytes


@dataclass(frozen=True, slots=True)
class Readied:
    """Both ends hold the segment and found it equal."""

    number: int


@dataclass(frozen=True, slots=True)
class Leased:
    """Bytes of the segment below `upto` may be used from now on, or were used by the peer."""

    number: int
    upto: int


@dataclass(frozen=True, slots=True)
class Owned:
    """The segment belongs to this end from now on."""

    number: int
    owner: KmeId


@dataclass(frozen=True, slots=True)
class Dropped:
    """The segment is gone: destroy its key and its bits."""

    number: int


@dataclass(frozen=True, slots=True)
class RunAdded:
    """A run was promised."""

    run: Run


@dataclass(frozen=True, slots=True)
class RunUsed:
    """Keys of a run are delivered or granted: the run's `used`, `user` and `user_used` as they now stand."""

    key: RunKey
    used: int
    user: bytes = b""
    user_used: int = 0


@dataclass(frozen=True, slots=True)
class RunDropped:
    """A run is over: delivered, expired or void."""

    key: RunKey


@dataclass(frozen=True, slots=True)
class NameUsed:
    """A name that others chose is used and never taken again; `Vault.has_seen(space, name)` tells."""

    space: LinkId
    name: bytes


@dataclass(frozen=True, slots=True)
class PeerMemory:
    """What this site remembers of a peer: its instance, its latest accepted start, how many it had."""

    instance: bytes
    boot: bytes
    generation: int


@dataclass(frozen=True, slots=True)
class PeerRemembered:
    """A peer was met."""

    peer: KmeId
    memory: PeerMemory


@dataclass(frozen=True, slots=True)
class SecretKept:
    """A secret shared with a peer that is no key stock (`name` such as "pool leonardo-bovisa" or "kem 7")."""

    peer: KmeId
    name: str
    secret: SecretBytes | None
    """None destroys it."""


@dataclass(frozen=True, slots=True)
class Audited:
    """A line of the audit: what happened, never key material. The store adds number, time and chain."""

    event: str
    detail: dict[str, object]


Mark = (
    Ingested
    | Readied
    | Leased
    | Owned
    | Dropped
    | RunAdded
    | RunUsed
    | RunDropped
    | NameUsed
    | PeerRemembered
    | SecretKept
    | Audited
)


@dataclass(slots=True)
class StoredState:
    """What a core starts from. `boots` ends with this start's own random name, `generation` counts starts."""

    instance: bytes
    generation: int
    boots: tuple[bytes, ...]
    next_segment: int
    segments: list[SegmentRecord] = field(default_factory=list[SegmentRecord])
    runs: list[Run] = field(default_factory=list[Run])
    peers: dict[KmeId, PeerMemory] = field(default_factory=dict[KmeId, PeerMemory])
    secrets: dict[tuple[KmeId, str], SecretBytes] = field(default_factory=dict[tuple[KmeId, str], SecretBytes])


class Vault(Protocol):
    """What a core may ask of its store while it works."""

    def read(self, number: int) -> SecretBytes:
        """The bits of a segment that is stored. Raises StoreError where they are gone or damaged."""
        ...

    def has_seen(self, pool: LinkId, block: bytes) -> bool:
        """True where a block of this name was ever ingested into this pool."""
        ...


class Store(Vault, Protocol):
    """Where a site's keys lie: embedded SQLite, or a database server."""

    def load(self) -> StoredState:
        """Open for one more start: counts the generation, renews keys of keys. Raises StoreError."""
        ...

    def apply(self, marks: Sequence[Mark]) -> None:
        """Make all of `marks` durable, or none. Raises StoreError; after one, nothing is written again."""
        ...

    def erase_used(self, upto: Mapping[int, int]) -> int:
        """Destroy used bytes of these segments below a place; how many segments. Raises StoreError."""
        ...

    def rotate(self) -> None:
        """Renew the keys of keys while running. Raises StoreError."""
        ...

    def prune_audit(self, before: int) -> int:
        """Forget lines of the audit with lower numbers, but not their hash; how many. Raises StoreError."""
        ...

    def close(self) -> None:
        """Let go of everything and wipe what is held in memory."""
        ...
