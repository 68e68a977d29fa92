"""How long it takes until keys go around a fault: from the fault to routes at every site that avoid what broke."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City
from poliqi.keys.relaying import RelayRoute
from poliqi.twin.result import Injected

__all__ = ["Healing"]

Hop = frozenset[KmeId]


class Healing:
    """Watches the routes in use at all sites."""

    def __init__(self, city: City) -> None:
        self._city: Final = city
        self._routes: Final[dict[KmeId, dict[LinkId, RelayRoute]]] = {}
        self._open: Final[list[tuple[Injected, dict[tuple[KmeId, LinkId], KmeId]]]] = []
        self._dead: frozenset[Hop] = frozenset()

    def routed(self, site: KmeId, routes: tuple[RelayRoute, ...], now: float) -> None:
        """A site has other routes. A stock that may not be filled now keeps the route that it had."""
        mine = self._routes.setdefault(site, {})
        mine.update({route.pool: route for route in routes})
        self._look(now)

    def broke(self, injected: Injected, dead: Iterable[Hop], now: float) -> None:
        """Something broke; these hops give no key now (all that are broken, not the new ones alone)."""
        before, self._dead = self._dead, frozenset(dead)
        new = self._dead - before
        hit = {
            (site, pool): route.to
            for site, routes in self._routes.items()
            for pool, route in routes.items()
            if self._hops(route) & new and self._is_reachable(site, route.to)
        }
        if hit:
            self._open.append((injected, hit))
            self._look(now)

    def mended(self, dead: Iterable[Hop]) -> None:
        """Something was mended; what waited for a way around it does not count any more."""
        self._dead = frozenset(dead)

    @staticmethod
    def _hops(route: RelayRoute) -> set[Hop]:
        return {frozenset(path[i : i + 2]) for path in route.paths for i in range(len(path) - 1)}

    def _look(self, now: float) -> None:
        for entry in list(self._open):
            injected, hit = entry
            for site, pool in [*hit]:
                route = self._routes[site].get(pool)
                if route is None or not self._hops(route) & self._dead:
                    del hit[site, pool]
            if not hit:
                self._open.remove(entry)
                injected.heal_s = now - injected.at_s
            elif any(not self._is_reachable(site, to) for (site, _), to in hit.items()):
                self._open.remove(entry)  # something else broke and left no way

    def _is_reachable(self, a: KmeId, b: KmeId) -> bool:
        """Whether any way over relays is left."""
        seen, edge = {a}, [a]
        hops = [frozenset(link.ends) for link in self._city.links]
        while edge:
            here = edge.pop()
            if here != a and not self._city.site[here].is_relay:
                continue
            for hop in hops:
                if here in hop and hop not in self._dead:
                    for there in sorted(hop - seen):
                        seen.add(there)
                        edge.append(there)
        return b in seen
