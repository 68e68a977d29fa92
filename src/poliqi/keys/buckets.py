"""Token buckets: how many keys and bits an application, or a pair of them, may have a second.

A request larger than a bucket's burst is granted from a full bucket and owed for, so that nothing that the limits
allow is refused for ever; over any time T at most `burst + largest request + per_s * T` leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from poliqi.base.ids import SaeId

__all__ = ["UNLIMITED", "Bucket", "Quota", "Quotas", "Rate", "RateLimiter"]


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` a second in the long run, `burst` at once. Raises ValueError unless both are above zero."""

    per_s: float
    burst: float

    def __post_init__(self) -> None:
        if not (self.per_s > 0.0 and self.burst > 0.0):
            raise ValueError(f"a rate of {self.per_s:g}/s with a burst of {self.burst:g}: both must be above 0")


@dataclass(frozen=True, slots=True)
class Quota:
    """Keys and bits that may leave, each None where it is not limited."""

    keys: Rate | None = None
    bits: Rate | None = None


UNLIMITED = Quota()
_REMEMBERED: Final = 1 << 14


class Quotas(Protocol):
    """Whoever knows the quotas: a policy."""

    def quota(self, master: SaeId, slave: SaeId | None) -> Quota:
        """Of a master in all (slave None), or of a master towards one slave."""
        ...


class Bucket:
    """A token bucket. Time is in seconds of any clock that does not go back; where it does, nothing is added."""

    __slots__ = ("_at", "_level", "rate")

    def __init__(self, rate: Rate, now: float, level: float | None = None) -> None:
        self.rate = rate
        self._level = rate.burst if level is None else min(level, rate.burst)
        self._at = now

    def level(self, now: float) -> float:
        """Tokens at `now`; below zero where they are owed."""
        if now > self._at:
            self._level = min(self.rate.burst, self._level + (now - self._at) * self.rate.per_s)
            self._at = now
        return self._level

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken, 0 for at once."""
        missing = min(amount, self.rate.burst) - self.level(now)
        # less than a billionth of a burst is rounding: without it, waiting as told could miss by one unit
        return missing / self.rate.per_s if missing > 1e-9 * self.rate.burst else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take `amount` whether it is there or not."""
        self._level = self.level(now) - amount


_Place = tuple[SaeId, SaeId | None]


class RateLimiter:
    """The buckets of a site: for each master, and for each master with each slave, all of them or none."""

    __slots__ = ("_buckets", "_lines", "_quotas")

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._buckets: dict[_Place, tuple[Bucket | None, Bucket | None]] = {}
        self._lines: dict[tuple[SaeId, tuple[SaeId, ...]], list[tuple[Bucket, bool]]] = {}

    def take(self, master: SaeId, slaves: tuple[SaeId, ...], keys: int, bits: int, now: float) -> float | None:
        """None: granted and taken. Otherwise nothing is taken, and it makes sense to ask again after so long, in s.

        A key for several slaves counts once for the master and once for each of the pairs.
        """
        line = self._lines.get((master, slaves))
        if line is None:
            line = self._line(master, slaves, now)
        wait_s = 0.0
        for bucket, of_bits in line:
            wait_s = max(wait_s, bucket.wait_s(bits if of_bits else keys, now))
        if wait_s > 0.0:
            return wait_s
        for bucket, of_bits in line:
            bucket.take(bits if of_bits else keys, now)
        return None

    def _line(self, master: SaeId, slaves: tuple[SaeId, ...], now: float) -> list[tuple[Bucket, bool]]:
        """Every bucket that an order of these has to pass, and whether it counts bits."""
        places: list[_Place] = [(master, None), *((master, slave) for slave in slaves)]
        pairs = [self._buckets.get(place) or self._open(place, now) for place in places]
        line = [
            (b, of_bits) for pair in pairs for b, of_bits in zip(pair, (False, True), strict=True) if b is not None
        ]
        if len(self._lines) >= _REMEMBERED:
            self._lines.clear()
        self._lines[master, slaves] = line
        return line

    def adopt(self, quotas: Quotas, now: float) -> None:
        """Go on under a reloaded policy: what was taken stays taken, new bursts cap what is left."""
        self._quotas = quotas
        self._lines.clear()
        for place, pair in list(self._buckets.items()):
            quota = quotas.quota(*place)
            self._buckets[place] = (_carried(quota.keys, pair[0], now), _carried(quota.bits, pair[1], now))

    def _open(self, place: _Place, now: float) -> tuple[Bucket | None, Bucket | None]:
        quota = self._quotas.quota(*place)
        pair = (_carried(quota.keys, None, now), _carried(quota.bits, None, now))
        self._buckets[place] = pair
        return pair


def _carried(rate: Rate | None, old: Bucket | None, now: float) -> Bucket | None:
    if rate is None:
        return None
    return Bucket(rate, now, None if old is None else old.level(now))
