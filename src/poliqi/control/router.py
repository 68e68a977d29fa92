"""The routes in force: kept while they are good, mended where they break, replaced by what `allocate` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.allocation import Allocation, AllocationProblem, Grant, fast_reroute
from poliqi.control.citystate import CityState
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.journal import Journal
from poliqi.control.lines import Value
from poliqi.control.pairstock import Pair, pair_of
from poliqi.control.planning import UsableLink, Wishes, demands_of, problem_of, wishes_of
from poliqi.control.records import PairRoutes, RoutesIntended
from poliqi.control.ways import Ways, pair_routes, same_routes, way_text

__all__ = ["Router"]

_DRIFT: Final = 0.15
"""A link whose capacity changed by more than this part is planned with anew."""
_LEAST_S: Final = 1.0
"""No two questions nearer to each other; the first after a quiet time is asked at once."""
_DRIFT_S: Final = 10.0
"""The same, where only rates drift."""
_REVIEW_S: Final = 30.0
"""Demands are looked at anew so often."""
_PATIENCE_S: Final = 60.0
_TOLD: Final = 32
"""Pairs that are told of by name for one change."""
_RECORD: Final = 256

_K = CityEventKind
_NOTHING: Final = Allocation((), {})

_AS_LONG: Final[dict[str, Value]] = {
    "left": "as long as nothing is taken",
    "left_it": "finché nulla viene prelevato",
}


class Router:
    """The plan in force."""

    def __init__(self, state: CityState, journal: Journal, tell: Callable[[CityEvent], None]) -> None:
        self._state: Final = state
        self._journal: Final = journal
        self._tell: Final = tell
        self.allocation = _NOTHING
        self.routes: Final[dict[Pair, PairRoutes]] = {}
        self.pairs_of: Final[dict[KmeId, dict[Pair, None]]] = {}
        self.has_routes = False
        """Something was planned, or taken over from the log."""
        self.used_bps: dict[LinkId, float] = {}
        self._usable: dict[LinkId, UsableLink] = {}
        self._planned_bps: dict[LinkId, float] = {}
        self._wishes: dict[Pair, Wishes] = {}
        self._has_broken = False
        self._is_dirty = False
        self._has_drifted = False
        self._asked_at = self._reviewed_at = float("-inf")
        self._is_asked = False
        self._routeless: Final[set[Pair]] = set()

    def restore(self, routes: Iterable[PairRoutes]) -> None:
        """Routes that the log says are in force."""
        for found in routes:
            pair = pair_of(*found.ends)
            if pair[0] in self._state.sites and pair[1] in self._state.sites:
                self._set(pair, found)
                self.has_routes = True

    def _set(self, pair: Pair, routes: PairRoutes | None) -> None:
        if routes is None:
            self.routes.pop(pair, None)
        else:
            self.routes[pair] = routes
        for site in pair:
            pairs = self.pairs_of.setdefault(site, {})
            if routes is None:
                pairs.pop(pair, None)
            else:
                pairs[pair] = None
            self._state.table_due(site)

    # ---------------------------------------------------------------- what changed

    def touch(self, name: LinkId) -> None:
        """A link may be usable, or no longer, or make key at another rate."""
        now, before = self._state.usable(name), self._usable.get(name)
        if now is None:
            if before is not None:
                del self._usable[name]
                self._has_broken = self._is_dirty = True
            return
        self._usable[name] = now
        planned = self._planned_bps.get(name)
        if before is None or planned is None:
            self._is_dirty = True
        elif abs(now.capacity_bps - planned) > _DRIFT * planned:
            self._has_drifted = True

    def change(self, *, is_urgent: bool = False) -> None:
        """The plan, a demand, or who may relay changed; urgent: routes in force may not be allowed any more."""
        self._is_dirty = True
        self._has_broken |= is_urgent

    def replan_all(self) -> None:
        """Another city: look at every link."""
        self._usable = {name: link for name in self._state.links if (link := self._state.usable(name)) is not None}
        for pair in [p for p in self.routes if p[0] not in self._state.sites or p[1] not in self._state.sites]:
            self._set(pair, None)
            self._record([PairRoutes(ends=pair, priority=0, granted_bps=0.0)])
        self._has_broken = self._is_dirty = True

    # ---------------------------------------------------------------- plans

    def mend(self, now: float) -> bool:
        """Move what broke, at once; True where routes changed."""
        if not self._has_broken:
            return False
        self._has_broken = False
        problem, ways = self._problem(), self._ways()
        if all(self._is_good(ways, pair, found) for pair, found in self.routes.items()):
            return False
        return self._adopt(fast_reroute(problem, self.allocation), ways, now, is_mending=True)

    def _is_good(self, ways: Ways, pair: Pair, found: PairRoutes) -> bool:
        """Whether a pair's routes can stay."""
        wish = self._wishes.get(pair)
        return wish is not None and all(ways.allows(wish, way) for way in found.ways)

    def ask(self, now: float) -> AllocationProblem | None:
        """The question for `allocate`, where it is time for one."""
        if now >= max(self._reviewed_at, self._asked_at) + _REVIEW_S:
            self._reviewed_at = now
            self._has_drifted |= self._have_demands_changed()
        at = self.asks_at()
        if at is None or now < at:
            return None
        self._is_dirty = self._has_drifted = False
        self._is_asked, self._asked_at = True, now
        self._planned_bps = {name: link.capacity_bps for name, link in self._usable.items()}
        return self._problem()

    def asks_at(self) -> float | None:
        """When the next question is due; None for none."""
        if self._is_asked:
            return self._asked_at + _PATIENCE_S if self._is_dirty else None
        if self._is_dirty:
            return self._asked_at + _LEAST_S
        return self._asked_at + _DRIFT_S if self._has_drifted else None

    def _have_demands_changed(self) -> bool:
        before = {d.name: d.rate_bps for d in (grant.demand for grant in self.allocation.grants)}
        return before != {d.name: d.rate_bps for d in self._problem().demands}

    def planned(self, allocation: Allocation, now: float) -> bool:
        """The answer; True where routes changed."""
        self._is_asked = False
        problem, ways = self._problem(), self._ways()
        if not all(ways.is_whole(way) for grant in allocation.grants for way in grant.ways):
            allocation = fast_reroute(problem, allocation)
        return self._adopt(allocation, ways, now, is_mending=False)

    def pass_over(self) -> None:
        """The answer is of no use any more: ask again when it is time."""
        self._is_asked, self._is_dirty = False, True

    def _problem(self) -> AllocationProblem:
        state = self._state
        pairs = [pair for pair, stock in state.stocks.items() if stock.relayed_at]
        self._wishes = wishes_of(state.city, pairs, state.policies())
        usable = [self._usable[name] for name in state.links if name in self._usable]
        makes_bps: dict[KmeId, float] = {}
        for link in usable:
            for end in link.ends:
                makes_bps[end] = makes_bps.get(end, 0.0) + link.rate_bps
        demands = demands_of(state.city, self._wishes, state.stocks, makes_bps)
        previous = self.allocation if self.allocation.grants else None
        return problem_of(usable, demands, state.relays(), state.max_hops(), previous)

    def _ways(self) -> Ways:
        state = self._state
        return Ways(state.sites, self._usable.values(), state.relays())

    # ---------------------------------------------------------------- taking it into use

    def _adopt(self, allocation: Allocation, ways: Ways, now: float, *, is_mending: bool) -> bool:
        self.allocation = allocation
        self.used_bps = dict(allocation.used_bps)
        grants: dict[Pair, list[Grant]] = {}
        for grant in allocation.grants:
            grants.setdefault(pair_of(*grant.demand.ends), []).append(grant)
        changed: list[PairRoutes] = []
        for pair, wish in self._wishes.items():
            old = self.routes.get(pair)
            if is_mending and old is not None and old.ways and self._is_good(ways, pair, old):
                continue
            new = pair_routes(pair, wish, grants.get(pair, ()), ways)
            if old is None or not same_routes(old, new):
                changed.append(new)
        gone = [pair for pair in self.routes if pair not in self._wishes]
        changed += [PairRoutes(ends=pair, priority=0, granted_bps=0.0) for pair in gone]
        self._tell_of(changed, now)
        for new in changed:
            pair = pair_of(*new.ends)
            self._set(pair, new if pair in self._wishes else None)
        self._record(changed)
        self.has_routes = True
        return bool(changed)

    def _record(self, changed: list[PairRoutes]) -> None:
        for start in range(0, len(changed), _RECORD):
            pairs = tuple(changed[start : start + _RECORD])
            self._journal.write(RoutesIntended(n=0, wall_ns=0, pairs=pairs))

    def record_all(self) -> None:
        """Write down all that stands."""
        self._record(list(self.routes.values()))

    def _tell_of(self, changed: list[PairRoutes], now: float) -> None:
        """Pairs whose key takes another way, or has none; those with a demand first."""
        told = 0
        for new in sorted(changed, key=lambda r: (-r.priority, r.ends)):
            pair = pair_of(*new.ends)
            old = self.routes.get(pair)
            had = bool(old and old.ways)
            is_moved = had and bool(new.ways) and old is not None and old.ways[0].paths != new.ways[0].paths
            is_back = bool(new.ways) and pair in self._routeless
            is_lost = had and not new.ways and pair in self._wishes
            if is_lost:
                self._routeless.add(pair)
            elif new.ways:
                self._routeless.discard(pair)
            if told >= _TOLD or not (is_moved or is_back or is_lost):
                continue
            told += 1
            values: dict[str, Value] = {"other": pair[1]}
            if is_lost:
                stock = self._state.stocks.get(pair)
                left = None if stock is None else stock.seconds_left
                values |= _AS_LONG if left is None else {"left": left}
            else:
                values["path"] = way_text(new.ways[0])
            self._tell(CityEvent(_K.NO_ROUTE if is_lost else _K.REROUTED, now, site=pair[0], values=values))
