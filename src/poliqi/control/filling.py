"""How a site fills one relayed stock by the route that it was given: which way next, how fast, when a spare."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.admission import Deficits, TokenBucket
from poliqi.control.messages import Route, site_path
from poliqi.keys.relay_messages import MAX_SECRET_BYTES, MIN_SECRET_BYTES, Scheme
from poliqi.keys.relaying import RelayRoute

__all__ = ["Filling"]

_BLOCK_S: Final = 2.0
"""So much of the rate goes into one block: fewer, larger blocks cost less key for tags."""
_BURST_S: Final = 4.0
_MOST_HALVINGS: Final = 4
_REST_S: Final = 10.0
"""So long a way that was refused is not tried while there are others."""

Way = Route.Way


class Filling:
    """One stock's route in use."""

    def __init__(self, route: Route, block_bytes: int, now: float) -> None:
        self.route = route
        self._least: Final = block_bytes
        self._halvings = 0
        self._bucket: Final = TokenBucket(route.rate_bps, self._burst_bits(), now)
        self._turns = Deficits([way.share for way in route.ways])
        self._rests_until: Final[dict[Way, float]] = {}
        self._on: Way | None = None
        self.is_on_spare = False

    @property
    def block_bytes(self) -> int:
        """Size of a block at this rate; smaller where larger ones were refused."""
        wanted = 256 * round(self.route.rate_bps * _BLOCK_S / 8 / 256)
        return max(MIN_SECRET_BYTES, max(self._least, min(wanted, MAX_SECRET_BYTES)) >> self._halvings)

    def _burst_bits(self) -> float:
        return max(8.0 * self.block_bytes, self.route.rate_bps * _BURST_S)

    def change(self, route: Route, now: float) -> None:
        """The route of a new table; deficits begin anew where the ways are others, what is owed stays."""
        if [(w.paths, w.share) for w in route.ways] != [(w.paths, w.share) for w in self.route.ways]:
            self._turns = Deficits([way.share for way in route.ways])
        self.route = route
        self._rests_until.clear()
        self._bucket.change(route.rate_bps, self._burst_bits(), now)

    def done(self, size: int, now: float) -> None:
        """A block arrived at the other end."""
        self._bucket.take(8.0 * size, now)
        self._halvings = max(0, self._halvings - 1)
        if self._on is not None and self._on in self.route.ways:
            self._turns.used(self.route.ways.index(self._on), size)

    def refused(self, now: float) -> None:
        """A block over the present way was refused or lost: the next is smaller, for key may be short there."""
        self._halvings = min(_MOST_HALVINGS, self._halvings + 1)
        if self._on is not None:
            self._rests_until[self._on] = now + _REST_S

    def next_timeout(self, now: float) -> float | None:
        """When the way or the rate may change by time alone."""
        ready = self._bucket.ready_at(8.0 * self.block_bytes, now)
        waits = [until for until in self._rests_until.values() if until > now]
        if ready is not None and ready > now:
            waits.append(ready)
        return min(waits, default=None)

    def relay_route(self, pool: LinkId, now: float, is_alone: bool, dead: Collection[str]) -> RelayRoute | None:
        """What to fill the stock over now; None while it may not be filled.

        `is_alone`: the controller is away, so that spares may be used. `dead`: neighbours to which no link gives
        key. A route without ways is for the time when the link to its other end is dead.
        """
        if self._bucket.level(now) < 8.0 * self.block_bytes:
            return None
        way = self._choose(now, is_alone, dead)
        self._on = way
        if way is None:
            return None
        scheme = Scheme.SINGLE if len(way.paths) == 1 else Scheme.XOR
        paths = tuple(site_path(path) for path in way.paths)
        return RelayRoute(pool, KmeId(self.route.to), scheme, len(paths), paths, self.block_bytes)

    def _choose(self, now: float, is_alone: bool, dead: Collection[str]) -> Way | None:
        ways = [self.route.ways[i] for i in self._turns.order()]
        fit = [way for way in ways if not _is_dead(way, dead)]
        fresh = [way for way in fit if self._rests_until.get(way, now) <= now]
        may_help = is_alone and not fresh and (bool(ways) or self.route.to in dead)
        spares = [way for way in self.route.spares if not _is_dead(way, dead)] if may_help else []
        rested = [way for way in spares if self._rests_until.get(way, now) <= now]
        for choice, is_spare in ((fresh, False), (rested, True), (fit, False), (spares, True)):
            if choice:
                self.is_on_spare = is_spare
                return choice[0]
        self.is_on_spare = False
        return None


def _is_dead(way: Way, dead: Collection[str]) -> bool:
    return any(path[1] in dead for path in way.paths)
