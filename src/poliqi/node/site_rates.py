"""Rates and periods out of the counters of a site's stocks, for whoever shows them."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Final

from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.control.etsi015 import Statistics
from poliqi.control.etsi015_names import uint32
from poliqi.keys.stock import Pool

__all__ = ["Consumption", "Rates", "rfc3339"]

_WINDOW_S: Final = 30.0
_LEAST_S: Final = 0.5
_PERIOD_S: Final = 60.0
_PERIODS: Final = 10


class Rates:
    """Rates of stocks over the last seconds, from counters."""

    def __init__(self) -> None:
        self._seen: Final[dict[LinkId, deque[tuple[float, int, int, int]]]] = {}

    def note(self, now: float, pools: dict[LinkId, Pool]) -> None:
        """Take the counters down."""
        for pool in pools.values():
            seen = self._seen.setdefault(pool.link_id, deque())
            if seen and now - seen[-1][0] < _LEAST_S:
                seen.pop()
            seen.append((now, pool.filled_bytes, pool.taken_bytes, pool.relayed_bytes))
            while now - seen[0][0] > _WINDOW_S:
                seen.popleft()

    def of(self, link: LinkId) -> tuple[float, float, float]:
        """Filled, taken and carried, in bit/s."""
        seen = self._seen.get(link)
        if not seen or len(seen) < 2:
            return 0.0, 0.0, 0.0
        (first, *before), (last, *after) = seen[0], seen[-1]
        filled, taken, carried = (8.0 * (b - a) / (last - first) for a, b in zip(before, after, strict=True))
        return filled, taken, carried


class Consumption:
    """What each master took with each other site, minute by minute."""

    def __init__(self) -> None:
        self.periods: Final[dict[tuple[SaeId, KmeId], deque[Statistics]]] = {}
        self._before: dict[tuple[SaeId, KmeId], int] = {}
        self._since: float | None = None

    def note(self, wall_s: float, taken: dict[tuple[SaeId, KmeId], int]) -> None:
        """Take the counters down; at the end of a period, close it."""
        if self._since is None or wall_s < self._since:  # the first look, or the clock was set back
            self._since, self._before = wall_s, dict(taken)
        if wall_s - self._since < _PERIOD_S:
            return
        start, end = rfc3339(self._since), rfc3339(wall_s)
        for place, total in taken.items():
            bits = 8 * (total - self._before.get(place, 0))
            if bits:
                told = Statistics(end_time=end, start_time=start, consumed_bits=uint32(bits))
                self.periods.setdefault(place, deque(maxlen=_PERIODS)).append(told)
        self._since, self._before = wall_s, dict(taken)


def rfc3339(wall_s: float) -> str:
    """A wall clock's time as text, to the millisecond."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
