"""How long it takes until keys go around a fault: from the fault to tables at every site that avoid it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.control.city import City
from poliqi.control.messages import Route, Table
from poliqi.twin.result import Injected

__all__ = ["Healing"]

Hop = frozenset[KmeId]


class Healing:
    """Watches the tables of all sites."""

    def __init__(self, city: City) -> None:
        self._city: Final = city
        self._tables: Final[dict[KmeId, dict[str, Route]]] = {}
        self._open: Final[list[tuple[Injected, dict[tuple[KmeId, str], KmeId]]]] = []
        self._dead: frozenset[Hop] = frozenset()
        self._never: Final[dict[frozenset[KmeId], frozenset[KmeId]]] = {}
        for demand in city.demands:
            ends = frozenset(demand.ends)
            self._never[ends] = self._never.get(ends, frozenset()) | demand.never_through

    def told(self, site: KmeId, table: Table, now: float) -> None:
        """A site has another table."""
        self._tables[site] = {route.pool: route for route in table.routes}
        self._look(now)

    def broke(self, injected: Injected, dead: Iterable[Hop], now: float) -> None:
        """Something broke; these hops give no key now (all that are broken, not the new ones alone)."""
        before, self._dead = self._dead, frozenset(dead)
        new = self._dead - before
        hit = {
            (site, pool): KmeId(route.to)
            for site, routes in self._tables.items()
            for pool, route in routes.items()
            if self._hops(route) & new and self._is_reachable(site, KmeId(route.to))
        }
        if hit:
            self._open.append((injected, hit))
            self._look(now)

    def mended(self, dead: Iterable[Hop]) -> None:
        """Something was mended; what waited for a way around it is no longer measured."""
        self._dead = frozenset(dead)
        self._open.clear()

    @staticmethod
    def _hops(route: Route) -> set[Hop]:
        paths = [path for way in route.ways for path in way.paths]
        return {frozenset(KmeId(s) for s in path[i : i + 2]) for path in paths for i in range(len(path) - 1)}

    def _look(self, now: float) -> None:
        for entry in list(self._open):
            injected, hit = entry
            for (site, pool), to in list(hit.items()):
                route = self._tables[site].get(pool)
                if not self._is_reachable(site, to):  # something else broke and left no way
                    del hit[site, pool]
                elif route is not None and route.ways and not self._hops(route) & self._dead:
                    del hit[site, pool]
                    injected.heal_s = now - injected.at_s
            if not hit:
                self._open.remove(entry)

    def _is_reachable(self, a: KmeId, b: KmeId) -> bool:
        """Whether a way over relays is left that the pair's demands allow."""
        never = self._never.get(frozenset((a, b)), frozenset())
        relays = {s.kme for s in self._city.sites if s.is_relay} - never
        hops = {frozenset(link.ends) for link in self._city.links} - self._dead
        seen, edge = {a}, [a]
        while edge:
            here = edge.pop()
            if here == a or here in relays:
                found = {there for hop in hops if here in hop for there in hop} - seen
                seen |= found
                edge.extend(found)
        return b in seen
