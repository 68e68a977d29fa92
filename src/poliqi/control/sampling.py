"""Each second: which stocks are low, which demands are short, how the city served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from poliqi.control.city import Demand
from poliqi.control.citystate import CityState
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.lines import Value
from poliqi.control.pairstock import Pair, pair_of
from poliqi.control.records import Served
from poliqi.control.roster import Counts
from poliqi.control.router import Router
from poliqi.control.service import DemandNow, LinkNow, ServiceClock

__all__ = ["Sampler"]

_SHORT_S: Final = 3.0
"""A demand is short after so long: what is mended before is not told."""
_RESERVE_S: Final = 60.0
"""A demand whose stock lasts so long at its rate is served, whatever is granted."""

_K = CityEventKind


class Sampler:
    """Looks at everything once a second."""

    def __init__(self, state: CityState, router: Router, clock: ServiceClock) -> None:
        self._state: Final = state
        self._router: Final = router
        self._clock: Final = clock
        self._short_since: dict[str, float] = {}
        self._short: Final[set[str]] = set()
        self._has_begun = False
        """Some link has made key: before, a city that starts would call every demand short."""

    def events(self, now: float) -> Iterator[CityEvent]:
        """Stocks that became low or enough, demands that became short or are met."""
        for pair, stock in self._state.stocks.items():
            news = stock.judge()
            if news is not None:
                left = stock.seconds_left
                values: dict[str, Value] = {"other": pair[1]}
                if left is not None:
                    values["left"] = left
                kind = _K.STOCK_LOW if news else _K.STOCK_BACK
                yield CityEvent(kind, now, site=pair[0], values=values)
        self._has_begun |= any(watch.ever_lit for watch in self._state.links.values())
        if self._has_begun and self._router.allocation.grants:
            yield from self._demands(now)

    def _demands(self, now: float) -> Iterator[CityEvent]:
        demands = self._state.city.demands
        names = {demand.name for demand in demands}
        self._short.intersection_update(names)
        self._short_since = {name: at for name, at in self._short_since.items() if name in names}
        for demand in demands:
            granted = self._granted_bps(demand)
            if self._is_granted(demand, granted):
                self._short_since.pop(demand.name, None)
                if demand.name in self._short:
                    self._short.discard(demand.name)
                    yield CityEvent(_K.DEMAND_MET, now, demand=demand.name)
            elif (
                now - self._short_since.setdefault(demand.name, now) >= _SHORT_S and demand.name not in self._short
            ):
                self._short.add(demand.name)
                values: dict[str, Value] = {"granted": granted, "wanted": demand.rate_bps}
                yield CityEvent(_K.DEMAND_SHORT, now, demand=demand.name, values=values)

    def _granted_bps(self, demand: Demand) -> float:
        grant = self._router.allocation.grant.get(demand.name)
        return 0.0 if grant is None else grant.granted_bps

    def _is_granted(self, demand: Demand, granted_bps: float) -> bool:
        return granted_bps >= demand.rate_bps * self._state.city.service.rate_share * (1.0 - 1e-6)

    def _is_available(self, demand: Demand, granted_bps: float) -> bool:
        """Its key is to be had: both ends are there, and it is granted or in stock."""
        if not all(self._state.sites[end].is_up for end in demand.ends):
            return False
        stock = self._state.stocks.get(pair_of(*demand.ends))
        has_reserve = stock is not None and stock.free_bits >= demand.rate_bps * _RESERVE_S
        return self._is_granted(demand, granted_bps) or has_reserve

    def served(self, now: float) -> Served | None:
        """A record, where a period is full."""
        state = self._state
        demands: list[DemandNow] = []
        for demand, taken in self._taken():
            granted = self._granted_bps(demand)
            is_available = self._is_available(demand, granted)
            demands.append(DemandNow(demand.name, is_available, demand.rate_bps, granted, taken))
        links = (
            LinkNow(name, link.is_lit and link.is_fresh, link.figures.key_rate_bps or 0.0)
            for name, link in state.links.items()
        )
        total = Counts()
        for site in state.sites.values():
            total.include(site.counts)
        return self._clock.pass_by(demands, links, total.take(), now)

    def skip(self, now: float) -> None:
        """It is not known how the city served since the last call."""
        self._clock.skip(now)

    def _taken(self) -> Iterator[tuple[Demand, float]]:
        """What applications took since the last call, split among a pair's demands by what they want."""
        wanted: dict[Pair, float] = {}
        for demand in self._state.city.demands:
            pair = pair_of(*demand.ends)
            wanted[pair] = wanted.get(pair, 0.0) + demand.rate_bps
        bits = {
            pair: stock.take_delivered() for pair in wanted if (stock := self._state.stocks.get(pair)) is not None
        }
        for demand in self._state.city.demands:
            pair = pair_of(*demand.ends)
            share = demand.rate_bps / wanted[pair] if wanted[pair] > 0.0 else 0.0
            yield demand, bits.get(pair, 0) * share
