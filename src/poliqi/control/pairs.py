"""What any two sites of a planned city would get: alone, with all pairs at once, and over how many ways."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import combinations
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.allocation import all_to_all
from poliqi.control.city import City, distance_km, relayed_pool
from poliqi.control.planner import grants, relays_of
from poliqi.control.routing import Edge, Network

__all__ = ["PairForecast", "pair_forecasts", "shortest_widest"]

MOST_SITES: Final = 64


@dataclass(frozen=True, slots=True)
class PairForecast:
    """Two sites. `alone_bps`: over `path`, the way with fewest hops, when nobody else draws;
    `together_bps`: its max-min fair part when all pairs draw all they can; `ways`: node-disjoint ones.
    """

    ends: tuple[KmeId, KmeId]
    distance_km: float
    path: tuple[KmeId, ...]
    alone_bps: float
    together_bps: float
    ways: int


def pair_forecasts(city: City, rates_bps: Mapping[LinkId, float]) -> tuple[PairForecast, ...]:
    """Every pair of a city of at most MOST_SITES sites, () for larger ones."""
    if len(city.sites) > MOST_SITES:
        return ()
    kmes = tuple(site.kme for site in city.sites)
    shares = grants(city, rates_bps, all_to_all(kmes))
    usable = tuple(Edge(one.link, one.ends, rates_bps[one.link]) for one in city.links if rates_bps[one.link] > 0.0)
    network = Network(kmes, usable, relays_of(city))
    hops: dict[frozenset[KmeId], float] = {}
    for edge in usable:
        pair = frozenset(edge.ends)
        hops[pair] = hops.get(pair, 0.0) + edge.rate_bps
    found: list[PairForecast] = []
    for a, b in combinations(kmes, 2):
        path, alone = shortest_widest(hops, a, b, relays_of(city))
        together = shares[relayed_pool(a, b)].granted_bps
        apart = distance_km(city.site[a], city.site[b])
        found.append(PairForecast((a, b), apart, path, alone, together, _disjoint(network, a, b)))
    return tuple(found)


def shortest_widest(
    rates_bps: Mapping[frozenset[KmeId], float], a: KmeId, b: KmeId, relays: frozenset[KmeId]
) -> tuple[tuple[KmeId, ...], float]:
    """Of the paths with fewest hops the one with the highest least rate, and that rate; () and 0 where none is."""
    near: dict[KmeId, list[tuple[KmeId, float]]] = {}
    for pair, rate in rates_bps.items():
        one, other = sorted(pair)
        near.setdefault(one, []).append((other, rate))
        near.setdefault(other, []).append((one, rate))
    waiting: list[tuple[int, float, tuple[KmeId, ...]]] = [(1, -math.inf, (a,))]
    done: set[KmeId] = set()
    while waiting:
        hops, width, path = heappop(waiting)
        here = path[-1]
        if here == b:
            return path, -width
        if here in done or (here != a and here not in relays):
            continue
        done.add(here)
        for other, rate in near.get(here, ()):
            if other not in done:
                heappush(waiting, (hops + 1, max(width, -rate), (*path, other)))
    return (), 0.0


def _disjoint(network: Network, a: KmeId, b: KmeId) -> int:
    count = 0
    while network.disjoint(a, b, count + 1):
        count += 1
    return count
