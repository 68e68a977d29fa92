"""Ways for keys through a city as it is now: shortest by key-aware weight, and several that share no site.

The weight of a link is hops + demand / usable rate + penalty for a low stock (docs/explanation/routing.md).
Answers depend on names and figures alone, never on the order in which sites and links were given, and the way from
B to A is the way from A to B backward.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from itertools import combinations, islice, pairwise
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.disjoint import disjoint_paths_within
from poliqi.control.shortest import LOAD_LIMIT, Row, cost, lightest_path, lightest_path_within, one_each
from poliqi.keys.relay_messages import MAX_HOPS

__all__ = ["LOAD_LIMIT", "LOW_STOCK", "Edge", "Limits", "Network", "Spread", "Way", "key_weight"]

LOW_STOCK: Final = 4.0
"""Weight of an empty stock, in hops."""
_TRIES: Final = 64
"""First ways that are tried for ways without a common risk."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A link that gives key now. Only usable links are edges.

    `rate_bps` is the key rate that may still be promised on it; `stock_bits` what lies ready, against
    `low_water_bits`, below which the link is spared. `groups` are its shared risks. `weight`, where given, stands
    in place of hops and stock penalty.
    """

    link: LinkId
    ends: tuple[KmeId, KmeId]
    rate_bps: float
    stock_bits: float = math.inf
    low_water_bits: float = 0.0
    groups: frozenset[str] = frozenset()
    weight: float | None = None

    def __post_init__(self) -> None:
        a, b = self.ends
        figures = (self.rate_bps, self.stock_bits, self.low_water_bits, self.weight or 0.0)
        if a == b or not all(figure >= 0.0 for figure in figures):
            raise ValueError(f"link {self.link!r} between {a!r} and {b!r} with figures {figures}: no edge")

    @property
    def base_weight(self) -> float:
        """The part of the weight that no demand changes."""
        if self.weight is not None:
            return self.weight
        lack = 1.0 - self.stock_bits / self.low_water_bits if self.low_water_bits > 0.0 else 0.0
        return 1.0 + LOW_STOCK * max(0.0, lack)


def key_weight(edge: Edge, demand_bps: float = 0.0) -> float:
    """Weight of a link for a demand, in hops: 1 + min(demand / rate, 8) + 4 (1 - stock / low water)+."""
    if demand_bps <= 0.0:
        return edge.base_weight
    return edge.base_weight + (min(demand_bps / edge.rate_bps, LOAD_LIMIT) if edge.rate_bps > 0.0 else LOAD_LIMIT)


@dataclass(frozen=True, slots=True)
class Way:
    """A path: its sites from end to end, the link of each hop, and the sum of the weights."""

    sites: tuple[KmeId, ...]
    links: tuple[LinkId, ...]
    weight: float

    @property
    def relays(self) -> tuple[KmeId, ...]:
        """Sites on the way: each of them knows the key."""
        return self.sites[1:-1]

    def reversed(self) -> Way:
        """The same way from the other end."""
        return Way(self.sites[::-1], self.links[::-1], self.weight)


@dataclass(frozen=True, slots=True)
class Spread:
    """Node-disjoint ways, lightest first, and whether they share no risk group either."""

    ways: tuple[Way, ...]
    is_risk_disjoint: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What a way must keep to: sites that it may not pass, links that it may not use, how many hops it may have."""

    never_through: frozenset[KmeId] = frozenset()
    without: frozenset[LinkId] = frozenset()
    max_hops: int = MAX_HOPS


_ANY: Final = Limits()


@dataclass(frozen=True)
class Network:
    """Sites and usable links. `relays`: sites that may be passed; None allows all.

    Questions about a site that is not of the network raise ValueError.
    """

    sites: tuple[KmeId, ...]
    edges: tuple[Edge, ...]
    relays: frozenset[KmeId] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", tuple(sorted(set(self.sites))))
        object.__setattr__(self, "edges", tuple(sorted(self.edges, key=lambda e: (e.base_weight, e.link))))
        known = set(self.sites)
        for edge in self.edges:
            if not known.issuperset(edge.ends):
                raise ValueError(f"link {edge.link!r} ends at {edge.ends}, which are not both sites of the network")

    @cached_property
    def _index(self) -> dict[KmeId, int]:
        return {site: i for i, site in enumerate(self.sites)}

    @cached_property
    def _barred(self) -> bytes:
        return bytes(self.relays is not None and site not in self.relays for site in self.sites)

    @cached_property
    def _near(self) -> list[Row]:
        near: list[Row] = [[] for _ in self.sites]
        for i, edge in enumerate(self.edges):
            a, b = (self._index[end] for end in edge.ends)
            per_bps = 1.0 / edge.rate_bps if edge.rate_bps > 0.0 else math.inf
            near[a].append((b, edge.base_weight, per_bps, i))
            near[b].append((a, edge.base_weight, per_bps, i))
        return near

    def has(self, *sites: KmeId) -> bool:
        """Whether all of these are sites of the network."""
        return self._index.keys() >= set(sites)

    def shortest(self, a: KmeId, b: KmeId, demand_bps: float = 0.0, limits: Limits = _ANY) -> Way | None:
        """The lightest way for a demand; None where there is none."""
        start, goal, barred = self._task(a, b, limits)
        near = self._left(limits.without)
        path = lightest_path(near, start, goal, demand_bps, barred)
        if path is not None and len(path) > limits.max_hops + 1:
            path = lightest_path_within(near, start, goal, demand_bps, barred, limits.max_hops)
        return None if path is None else self._way(a, path, near, demand_bps)

    def disjoint(
        self, a: KmeId, b: KmeId, count: int, demand_bps: float = 0.0, limits: Limits = _ANY
    ) -> tuple[Way, ...]:
        """`count` ways that share no site but the ends, of least total weight, lightest first; () where there are
        not so many.

        Least total weight under a limit of hops is NP-hard: where a way is too long, those of fewest hops in all
        are taken, and () given if one of them is too long still.
        """
        if count < 1:
            raise ValueError(f"{count} disjoint ways were asked for: at least 1")
        start, goal, barred = self._task(a, b, limits)
        near = self._left(limits.without)
        lightest = [one_each(row, demand_bps) for row in near]
        paths = disjoint_paths_within(lightest, start, goal, count, barred, limits.max_hops)
        found = (self._way(a, path, near, demand_bps) for path in paths)
        return tuple(sorted(found, key=lambda way: (way.weight, way.sites)))

    def ways(self, a: KmeId, b: KmeId, demand_bps: float = 0.0, limits: Limits = _ANY) -> Iterator[Way]:
        """All ways, lightest first (J. Y. Yen, Management Science 17 (1971) 712); each further one costs more time.

        Ways over the same sites by different parallel links count as one.
        """
        first = self.shortest(a, b, demand_bps, limits)
        waiting = [] if first is None else [(first.weight, first.sites, first)]
        seen = {entry[1] for entry in waiting}
        given: list[Way] = []
        while waiting:
            way = heappop(waiting)[2]
            yield way
            given.append(way)
            for i, spur in enumerate(way.sites[:-1]):
                root = way.sites[: i + 1]
                taken = {frozenset(g.sites[i : i + 2]) for g in given if g.sites[: i + 1] == root}
                rest = self.shortest(
                    spur,
                    b,
                    demand_bps,
                    Limits(
                        limits.never_through.union(root),
                        limits.without.union(e.link for e in self.edges if frozenset(e.ends) in taken),
                        limits.max_hops - i,
                    ),
                )
                if rest is None or (sites := root[:-1] + rest.sites) in seen:
                    continue
                seen.add(sites)
                weight = rest.weight + sum(key_weight(self._edge[link], demand_bps) for link in way.links[:i])
                heappush(waiting, (weight, sites, Way(sites, way.links[:i] + rest.links, weight)))

    def spread(
        self, a: KmeId, b: KmeId, count: int, demand_bps: float = 0.0, limits: Limits = _ANY
    ) -> Spread | None:
        """Node-disjoint ways that share no risk group either where such are found, else `disjoint`'s; None where
        there are not so many.

        Ways apart in risk groups are NP-hard to find (J. Q. Hu, IEEE Trans. Communications 51 (2003) 489): the
        64 lightest ways are tried as the first, so a Spread with `is_risk_disjoint` False is no proof that there is
        none.
        """
        plain = self.disjoint(a, b, count, demand_bps, limits)
        if not plain:
            return None
        if self._is_apart(plain):
            return Spread(plain, is_risk_disjoint=True)
        apart = self._apart(a, b, count, demand_bps, limits)
        return Spread(apart or plain, is_risk_disjoint=bool(apart))

    def groups(self, way: Way) -> frozenset[str]:
        """Shared risks of a way: those of which each takes all links of one of its hops."""
        return frozenset(group for hop in pairwise(way.sites) for group in self._risks[frozenset(hop)])

    @cached_property
    def _risks(self) -> dict[frozenset[KmeId], frozenset[str]]:
        """Between neighbours the risks that all their links share."""
        risks: dict[frozenset[KmeId], frozenset[str]] = {}
        for edge in self.edges:
            ends = frozenset(edge.ends)
            risks[ends] = risks.get(ends, edge.groups) & edge.groups
        return risks

    @cached_property
    def _edge(self) -> dict[LinkId, Edge]:
        return {edge.link: edge for edge in self.edges}

    def _is_apart(self, ways: Sequence[Way]) -> bool:
        return all(self.groups(one).isdisjoint(self.groups(other)) for one, other in combinations(ways, 2))

    def _apart(self, a: KmeId, b: KmeId, count: int, demand_bps: float, limits: Limits) -> tuple[Way, ...]:
        if count == 1:
            way = self.shortest(a, b, demand_bps, limits)
            return () if way is None else (way,)
        best: tuple[Way, ...] = ()
        for first in islice(self.ways(a, b, demand_bps, limits), _TRIES):
            if best and count * first.weight >= sum(way.weight for way in best):
                break
            risks = self.groups(first)
            taken = {frozenset(hop) for hop in pairwise(first.sites)}
            shared = (e.link for e in self.edges if self._risks[ends := frozenset(e.ends)] & risks or ends in taken)
            rest = Limits(limits.never_through.union(first.relays), limits.without.union(shared), limits.max_hops)
            others = self._apart(a, b, count - 1, demand_bps, rest)
            ways = tuple(sorted((first, *others), key=lambda way: (way.weight, way.sites)))
            if others and (not best or sum(w.weight for w in ways) < sum(w.weight for w in best)):
                best = ways
        return best

    def _task(self, a: KmeId, b: KmeId, limits: Limits) -> tuple[int, int, bytearray]:
        """Ends in the order of their names, and the sites that may not be passed."""
        index = self._index
        if a == b or a not in index or b not in index:
            raise ValueError(f"no way from {a!r} to {b!r}: two different sites of the network are needed")
        barred = bytearray(self._barred)
        for site in limits.never_through:
            if (i := index.get(site)) is not None:
                barred[i] = 1
        start, goal = index[a], index[b]
        barred[start] = barred[goal] = 0
        return (start, goal, barred) if start < goal else (goal, start, barred)

    def _left(self, without: frozenset[LinkId]) -> list[Row]:
        """Neighbours over links that may be used."""
        if not without:
            return self._near
        near, edges = list(self._near), self.edges
        touched = {self._index[end] for link in without if link in self._edge for end in self._edge[link].ends}
        for site in touched:
            near[site] = [entry for entry in near[site] if edges[entry[3]].link not in without]
        return near

    def _way(self, a: KmeId, path: list[int], near: list[Row], demand_bps: float) -> Way:
        """A path with its links, read from `a`."""
        if self.sites[path[0]] != a:
            path = path[::-1]
        hops = [
            min((cost(entry, demand_bps), entry[3]) for entry in near[here] if entry[0] == there)
            for here, there in pairwise(path)
        ]
        links = tuple(self.edges[i].link for _, i in hops)
        return Way(tuple(self.sites[i] for i in path), links, math.fsum(weight for weight, _ in hops))
