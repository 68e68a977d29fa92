"""The stock between two sites, all their pools together, from both ends' reports: how much, how fast it goes."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.control.messages import PoolReport

__all__ = ["Pair", "PairStock", "pair_of"]

Pair = tuple[KmeId, KmeId]
"""Two sites in the order of their names."""

_MEMORY_S: Final = 30.0
_LOW_S: Final = 600.0
_LOW_BITS: Final = 16_384
"""64 keys of 256 bits."""


def pair_of(a: str, b: str) -> Pair:
    """Two sites in the order of their names."""
    return (KmeId(a), KmeId(b)) if a < b else (KmeId(b), KmeId(a))


class _Meter:
    """A counter's rate, exponentially weighted over half a minute."""

    __slots__ = ("at", "count", "per_s")

    def __init__(self, count: int, now: float) -> None:
        self.count, self.at, self.per_s = count, now, 0.0

    def see(self, count: int, now: float) -> int:
        """A new count; how much it grew. A counter that began anew counts from here."""
        passed, grown = now - self.at, count - self.count
        self.count = count
        if grown < 0:
            self.at = max(now, self.at)
            return 0
        if passed <= 0.0:
            return grown
        self.at = now
        self.per_s += (grown / passed - self.per_s) * -math.expm1(-passed / _MEMORY_S)
        return grown


@dataclass(slots=True)
class _PoolEnd:
    report: PoolReport
    taken: _Meter
    filled: _Meter


@dataclass(slots=True)
class PairStock:
    """What stands between two sites."""

    ends: Pair
    free_bits: int = 0
    relayed_bits: int = 0
    delivered_bits: int = 0
    """Taken by applications since it was asked for last (`take_delivered`)."""
    is_low: bool = False
    relayed_at: set[KmeId] = field(default_factory=set[KmeId])
    """Ends that have a stock that relays fill."""
    _pools: dict[tuple[KmeId, str], _PoolEnd] = field(default_factory=dict[tuple[KmeId, str], _PoolEnd])

    def heard(self, site: KmeId, report: PoolReport, now: float) -> None:
        """An end's report of one pool, which is plausible."""
        known = self._pools.get((site, report.pool))
        if known is None:
            known = _PoolEnd(report, _Meter(report.taken_bits, now), _Meter(report.filled_bits, now))
            self._pools[site, report.pool] = known
            self._count(report, 1)
            return
        self._count(known.report, -1)
        self._count(report, 1)
        known.report = report
        self.delivered_bits += known.taken.see(report.taken_bits, now)
        known.filled.see(report.filled_bits, now)

    def _count(self, report: PoolReport, sign: int) -> None:
        self.free_bits += sign * report.free_bits
        if report.is_relayed:
            self.relayed_bits += sign * report.free_bits

    def forget(self, site: KmeId, pool: str) -> None:
        """A pool is gone at an end."""
        known = self._pools.pop((site, pool), None)
        if known is not None:
            self._count(known.report, -1)

    def keep(self, site: KmeId, pools: Container[str]) -> None:
        """An end that was started anew has these pools, and no others of before."""
        for at, name in [key for key in self._pools if key[0] == site and key[1] not in pools]:
            self.forget(at, name)
        if not any(end.report.is_relayed for (at, _), end in self._pools.items() if at == site):
            self.relayed_at.discard(site)

    def free_in(self, pool: str) -> int:
        """Free bits of one pool, both ends' shares."""
        return sum(end.report.free_bits for (_, name), end in self._pools.items() if name == pool)

    @property
    def taken_bps(self) -> float:
        """What applications take, both ends together."""
        return sum(end.taken.per_s for end in self._pools.values())

    @property
    def filled_bps(self) -> float:
        """What is put in; each end counts both shares, so of each pool the larger count."""
        most: dict[str, float] = {}
        for (_, pool), end in self._pools.items():
            most[pool] = max(most.get(pool, 0.0), end.filled.per_s)
        return sum(most.values())

    @property
    def seconds_left(self) -> float | None:
        """At the rate it is taken now and nothing filled; None while nothing is taken."""
        taken = self.taken_bps
        return self.free_bits / taken if taken > 1e-3 else None

    def judge(self) -> bool | None:
        """Whether the stock has become low (True) or enough (False); None where neither is new."""
        left = self.seconds_left
        is_low = left is not None and (left < _LOW_S or self.free_bits < _LOW_BITS)
        is_enough = self.free_bits >= 2 * _LOW_BITS and (left is None or left >= 2.0 * _LOW_S)
        if is_low and not self.is_low:
            self.is_low = True
            return True
        if self.is_low and is_enough:
            self.is_low = False
            return False
        return None

    def take_delivered(self) -> int:
        """Bits that applications took since the last call."""
        bits, self.delivered_bits = self.delivered_bits, 0
        return bits
