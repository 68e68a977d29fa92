"""Shares meet at the destination of a relay: what was announced, what arrived, which secret they give.

The origin announces an order; shares that fit it are kept until all are there, or until the threshold is and no
more came for a while; the secret then goes into the virtual pool, whose segments both ends compare before use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade
from poliqi.keys.relay import block_grade, check_order, joint_grade
from poliqi.keys.relay_messages import HopGrade, RelayOrder, Scheme, hop_grade, path_of
from poliqi.keys.shares import Candidate, candidates, join_xor

__all__ = ["Gathered", "Gathering", "Lost"]


@dataclass(frozen=True, slots=True)
class Gathered:
    """A secret for the virtual pool. Shares `odd` contradict those that gave it; `behind` is for the origin."""

    block: bytes
    pool: LinkId
    secret: SecretBytes
    behind: HopGrade
    grade: Grade
    agreeing: tuple[int, ...]
    odd: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """An order that ran out of time, and the paths whose shares never came."""

    order: RelayOrder
    missing: tuple[tuple[KmeId, ...], ...]


@dataclass(slots=True)
class _Open:
    order: RelayOrder
    ends_s: float
    values: dict[int, SecretBytes] = field(default_factory=dict[int, SecretBytes])
    grades: dict[int, HopGrade] = field(default_factory=dict[int, HopGrade])
    enough_s: float | None = None
    is_given: bool = False

    @property
    def is_complete(self) -> bool:
        return len(self.values) == len(self.order.paths)

    def wipe(self) -> None:
        for value in self.values.values():
            value.close()


class Gathering:
    """The orders on their way to one destination; times are seconds of a monotonic clock.

    An order lives `patience_s` from its announcement until it is settled. `linger_s`: how long a share beyond
    the threshold is waited for, since it may unmask a wrong one.
    """

    def __init__(
        self,
        here: KmeId,
        *,
        forbidden: frozenset[KmeId] = frozenset(),
        capacity: int = 64,
        patience_s: float = 60.0,
        linger_s: float = 1.0,
    ) -> None:
        self._here: Final = here
        self._capacity: Final = capacity
        self._patience_s: Final = patience_s
        self._linger_s: Final = linger_s
        self._open: Final[dict[bytes, _Open]] = {}
        self.forbidden = forbidden
        """Sites that no share may pass; a new set holds for the orders announced after it."""

    def expect(self, order: RelayOrder, now: float) -> None:
        """Take note of an order that its origin announced itself. Saying it again changes nothing.

        Raises DataRefused where the order breaks a rule of this end or there is no room.
        """
        known = self._open.get(order.block)
        if known is not None:
            if known.order != order:
                raise DataRefused(f"relay order {order.block.hex()} was announced before with other words")
            return
        check_order(order, self.forbidden)
        if order.destination != self._here:
            raise DataRefused(f"relay order {order.block.hex()} is for {order.destination}, this is {self._here}")
        if len(self._open) >= self._capacity:
            raise DataRefused(f"{self._capacity} relay orders are open at {self._here}: wait for one to end")
        self._open[order.block] = _Open(order, now + self._patience_s)

    def add(
        self, order: RelayOrder, share: int, value: SecretBytes, behind: HopGrade, now: float
    ) -> Gathered | None:
        """Keep a share that arrived; the secret where it was the last. `behind` covers all hops of its path.

        Raises DataRefused for a share that was not announced so, came twice or too late; the others stay.
        """
        name = f"share {share} of relay order {order.block.hex()}"
        entry = self._open.get(order.block)
        if entry is None or now >= entry.ends_s:
            raise DataRefused(f"{name}: no such order is open at {self._here}")
        if entry.order != order:
            raise DataRefused(f"{name} says other things of the order than {order.origin} announced")
        if share in entry.values:
            raise DataRefused(f"{name} came before")
        path_of(order, share)
        if len(value) != order.size:
            raise DataRefused(f"{name} has {len(value)} bytes, announced were {order.size}")
        entry.values[share], entry.grades[share] = value, behind
        if len(entry.values) == order.threshold:
            entry.enough_s = now
        return self._give(entry, now)

    def tick(self, now: float) -> tuple[list[Gathered], list[Lost]]:
        """Secrets whose threshold was met `linger_s` ago, and orders whose time is over (their shares wiped)."""
        due = [entry for entry in self._open.values() if now >= entry.ends_s]
        for entry in due:
            del self._open[entry.order.block]
            entry.wipe()
        given = [self._give(entry, now) for entry in self._open.values()]
        lost = [Lost(e.order, self._missing(e)) for e in due if not e.is_given]
        return [gathered for gathered in given if gathered is not None], lost

    def next_timeout(self) -> float | None:
        """When `tick` has something to do; None where nothing is open."""
        times = [entry.ends_s for entry in self._open.values()]
        times += [
            e.enough_s + self._linger_s for e in self._open.values() if e.enough_s is not None and not e.is_given
        ]
        return min(times, default=None)

    def settle(self, block: bytes, confirmed: Gathered | None) -> tuple[tuple[KmeId, ...], ...]:
        """Close an order and wipe its shares; the paths whose shares contradict the secret both ends confirmed."""
        entry = self._open.pop(block, None)
        if entry is None:
            return ()
        entry.wipe()
        return () if confirmed is None else tuple(path_of(entry.order, share) for share in confirmed.odd)

    def _give(self, entry: _Open, now: float) -> Gathered | None:
        has_lingered = entry.enough_s is not None and now >= entry.enough_s + self._linger_s
        if entry.is_given or not (entry.is_complete or has_lingered):
            return None
        entry.is_given = True
        return self._gathered(entry.order, entry.grades, next(_secrets(entry)))

    @staticmethod
    def _missing(entry: _Open) -> tuple[tuple[KmeId, ...], ...]:
        shares = range(1, len(entry.order.paths) + 1)
        return tuple(path_of(entry.order, share) for share in shares if share not in entry.values)

    @staticmethod
    def _gathered(order: RelayOrder, grades: dict[int, HopGrade], found: Candidate) -> Gathered:
        words = hop_grade(joint_grade([grades[share] for share in found.agreeing], (), 1))
        secret = SecretBytes(found.secret)
        grade = block_grade(order, words)
        return Gathered(order.block, LinkId(order.pool), secret, words, grade, found.agreeing, found.odd)


def _secrets(entry: _Open) -> Iterator[Candidate]:
    if len(entry.values) < entry.order.threshold:
        return
    if entry.order.scheme is Scheme.SHAMIR:
        yield from candidates({n: bytes(v.view()) for n, v in entry.values.items()}, entry.order.threshold)
    else:
        yield Candidate(join_xor([v.view() for v in entry.values.values()]), tuple(sorted(entry.values)), ())
