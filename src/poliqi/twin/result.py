"""What a twin's run came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from poliqi.base.ids import KmeId, LinkId
from poliqi.twin.faults import Expected
from poliqi.twin.load import Served
from poliqi.twin.scenario import Fault

__all__ = ["Alarm", "Injected", "Point", "Result"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm as the controller's book raised it."""

    at_s: float
    cause: str
    subjects: frozenset[str]
    """Names of what it is about."""
    line: str

    def names(self, wanted: Expected) -> bool:
        """Whether it names this cause, and its subject."""
        return self.cause == wanted.cause and (not wanted.subject or wanted.subject in self.subjects)


@dataclass(slots=True)
class Injected:
    """A fault that was done, and what came of it. `heal_s` None: no route went over it, or none was left."""

    fault: Fault
    at_s: float
    expected: tuple[Expected, ...]
    until_s: float | None = None
    heal_s: float | None = None
    first_alarm: Alarm | None = None
    """The first alarm after it."""
    named_s: float | None = None
    """How long after it the first alarm that names it came."""

    @property
    def is_named_first(self) -> bool:
        """The first alarm after it names it."""
        return self.first_alarm is not None and any(self.first_alarm.names(e) for e in self.expected)


@dataclass(frozen=True, slots=True)
class Point:
    """One sample of a run, for a plot."""

    at_s: float
    key_rate_bps: float
    """Of all links together."""
    stock_bits: dict[tuple[KmeId, KmeId], int]
    """Free bits of each pair, both ends and all its stocks together."""
    lit: frozenset[LinkId]


@dataclass(slots=True)
class Result:
    """A run. `broken` says which invariant broke; empty where all held. `digest` is that of the log."""

    scenario: str
    seed: int
    duration_s: float
    broken: str = ""
    digest: str = ""
    steps: int = 0
    frames: int = 0
    blocks: int = 0
    secret_bits: int = 0
    surplus_bits: int = 0
    """Made by the links; of it, for which no stock had room."""
    served: dict[str, Served] = field(default_factory=dict[str, Served])
    injected: list[Injected] = field(default_factory=list[Injected])
    alarms: list[Alarm] = field(default_factory=list[Alarm])
    events: dict[str, int] = field(default_factory=dict[str, int])
    points: list[Point] = field(default_factory=list[Point])
    recovered_s: float | None = None
    """How long after everything was mended keys flowed between all pairs again."""
    keys_delivered: int = 0
    keys_fetched: int = 0
    scanned_bytes: int = 0
    trace: Exception | None = None
    """What a core raised, where that is what broke."""

    @property
    def refused(self) -> int:
        """Orders that were refused."""
        return sum(sum(s.refused.values()) for s in self.served.values())

    @property
    def worst_heal_s(self) -> float | None:
        """Longest time from a fault of light to routes around it."""
        return max((i.heal_s for i in self.injected if i.heal_s is not None), default=None)

    @property
    def named(self) -> tuple[int, int]:
        """Of how many faults for which an alarm is due one named it, and of how many."""
        due = [i for i in self.injected if i.expected]
        return sum(i.named_s is not None for i in due), len(due)
