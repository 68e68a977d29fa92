"""The cheapest way of every demand at once, for prices of key on each link: the pricing of allocation's columns.

Single paths: Bellman and Ford hop by hop over all sources together, exact under the limit of hops. Several disjoint
paths: disjoint.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from poliqi.base.ids import KmeId
from poliqi.control.alloc_model import AllocationProblem, hop_of
from poliqi.control.disjoint import disjoint_paths_within

__all__ = ["Column", "Pricing"]

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Column:
    """A way of demand number `demand`: its paths, and the number of every hop of them."""

    demand: int
    paths: tuple[tuple[KmeId, ...], ...]
    hops: tuple[int, ...]


class _Reach:
    """Cost from some sites to all others by at most h hops, for h up to the limit."""

    def __init__(self, pricing: Pricing, costs: _Floats, starts: list[int], barred: NDArray[np.bool_]) -> None:
        self._pricing, self.row = pricing, {start: i for i, start in enumerate(starts)}
        onward = np.where(barred[pricing.tails], np.inf, costs)
        layer = np.full((len(starts), len(pricing.sites)), np.inf)
        layer[np.arange(len(starts)), starts] = 0.0
        self._steps, self._layers = costs, [layer]
        self._onward = onward
        for step in [costs] + [onward] * (pricing.max_hops - 1):
            reached = np.minimum.reduceat(layer[:, pricing.tails] + step, pricing.first_in, axis=1)
            further = layer.copy()
            further[:, pricing.heads] = np.minimum(layer[:, pricing.heads], reached)
            if len(self._layers) > 1 and np.array_equal(further, layer):
                break
            layer = further
            self._layers.append(layer)
        self.costs = layer

    def path(self, start: int, goal: int) -> list[int]:
        """The cheapest path, traced back through the layers."""
        row, at, h = self.row[start], goal, len(self._layers) - 1
        path = [goal]
        while at != start:
            while h > 1 and self._layers[h - 1][row, at] == self._layers[h][row, at]:
                h -= 1
            steps, before = (self._onward if h > 1 else self._steps), self._layers[h - 1]
            cost = self._layers[h][row, at]
            at = next(tail for tail, arc in self._pricing.arcs_in[at] if before[row, tail] + steps[arc] == cost)
            path.append(at)
            h -= 1
        return path[::-1]


class Pricing:
    """Sites and hops of a problem as arrays. `hops[i]` are the neighbours of hop i, `capacity_bps[i]` its rate."""

    def __init__(self, problem: AllocationProblem) -> None:
        self._demands, self.max_hops = problem.demands, problem.max_hops
        self.hops = tuple(problem.capacity)
        self.capacity_bps = np.array(list(problem.capacity.values()))
        self.sites = tuple(sorted({site for hop in self.hops for site in hop}))
        self._index = {site: i for i, site in enumerate(self.sites)}
        self._hop = {hop: i for i, hop in enumerate(self.hops)}
        arcs = sorted(
            (self._index[head], self._index[tail], i)
            for i, (a, b) in enumerate(self.hops)
            for tail, head in ((a, b), (b, a))
        )
        self.tails = np.array([tail for _, tail, _ in arcs], np.intp)
        self._arc_hop = np.array([i for _, _, i in arcs], np.intp)
        self.heads, self.first_in = np.unique(np.array([head for head, _, _ in arcs], np.intp), return_index=True)
        self.arcs_in: list[list[tuple[int, int]]] = [[] for _ in self.sites]
        for arc, (head, tail, _) in enumerate(arcs):
            self.arcs_in[head].append((tail, arc))
        self._relays = np.array([site in problem.relays for site in self.sites], np.bool_)

    def cheapest(self, prices: _Floats, limits: _Floats, demands: Iterable[int]) -> list[Column]:
        """For every demand whose cheapest way costs less than its limit, that way. `prices` a bit on each hop."""
        scopes: dict[frozenset[KmeId], list[int]] = {}
        found: list[Column] = []
        for d in demands:
            demand = self._demands[d]
            if not self._index.keys() >= set(demand.ends):
                continue
            if demand.paths > 1:
                found += self._together(prices, limits[d], d)
            else:
                scopes.setdefault(demand.never_through, []).append(d)
        for never, members in scopes.items():
            found += self._single(prices, limits, members, self._barred(never))
        return found

    def column(self, d: int, paths: Sequence[tuple[KmeId, ...]]) -> Column | None:
        """A way given by its sites; None where one of its hops is no more or one of its relays is not allowed."""
        hops = [self._hop.get(hop_of(*hop)) for path in paths for hop in pairwise(path)]
        known = tuple(hop for hop in hops if hop is not None)
        never = self._barred(self._demands[d].never_through)
        if len(known) < len(hops) or any(never[self._index[site]] for path in paths for site in path[1:-1]):
            return None
        return Column(d, tuple(paths), known)

    def _barred(self, never: frozenset[KmeId]) -> NDArray[np.bool_]:
        barred = ~self._relays
        for site in never & self._index.keys():
            barred[self._index[site]] = True
        return barred

    def _single(
        self, prices: _Floats, limits: _Floats, members: list[int], barred: NDArray[np.bool_]
    ) -> list[Column]:
        ends = [tuple(self._index[end] for end in self._demands[d].ends) for d in members]
        reach = _Reach(self, prices[self._arc_hop], sorted({start for start, _ in ends}), barred)
        rows = [reach.row[start] for start, _ in ends]
        is_cheaper = reach.costs[rows, [goal for _, goal in ends]] < limits[members]
        return [self._named(members[i], [reach.path(*ends[i])]) for i in np.flatnonzero(is_cheaper)]

    def _together(self, prices: _Floats, limit: float, d: int) -> list[Column]:
        """Disjoint paths, or the link between the ends, which nobody passes."""
        demand = self._demands[d]
        start, goal = (self._index[end] for end in demand.ends)
        direct = self._hop.get(hop_of(*demand.ends))
        near: list[list[tuple[int, float]]] = [[] for _ in self.sites]
        for i, (a, b) in enumerate(self.hops):
            if i != direct:
                near[self._index[a]].append((self._index[b], float(prices[i])))
                near[self._index[b]].append((self._index[a], float(prices[i])))
        barred = self._barred(demand.never_through).tolist()
        found = [disjoint_paths_within(near, start, goal, demand.paths, barred, self.max_hops)]
        if direct is not None:
            found.append([[start, goal]])
        ways = [self._named(d, paths) for paths in found if paths]
        best = min(ways, key=lambda way: math.fsum(prices[hop] for hop in way.hops), default=None)
        return [] if best is None or math.fsum(prices[hop] for hop in best.hops) >= limit else [best]

    def _named(self, d: int, paths: list[list[int]]) -> Column:
        named = tuple(tuple(self.sites[i] for i in path) for path in paths)
        return Column(d, named, tuple(self._hop[hop_of(*hop)] for path in named for hop in pairwise(path)))
