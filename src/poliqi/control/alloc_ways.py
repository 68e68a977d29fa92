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

__all__ = ["Column", "Group", "Pricing"]

_Floats = NDArray[np.float64]
_Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Column:
    """A way of demand number `demand`: its paths, and the number of every hop of them."""

    demand: int
    paths: tuple[tuple[KmeId, ...], ...]
    hops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Demands with the same barred sites and number of paths: member i runs from starts[rows[i]] to goals[i]."""

    paths: int
    members: _Places
    starts: _Places
    rows: _Places
    goals: _Places
    barred: NDArray[np.bool_]


class _Reach:
    """Cost from a group's starts to all sites by at most h hops, for h up to the limit."""

    def __init__(self, pricing: Pricing, costs: _Floats, group: Group) -> None:
        self._pricing, self._starts = pricing, group.starts
        onward = np.where(group.barred[pricing.tails], np.inf, costs)
        layer = np.full((len(group.starts), len(pricing.sites)), np.inf)
        layer[np.arange(len(group.starts)), group.starts] = 0.0
        layers = [layer]
        for step in [costs] + [onward] * (pricing.max_hops - 1):
            reached = np.minimum.reduceat(layer[:, pricing.tails] + step, pricing.first_in, axis=1)
            further = layer.copy()
            further[:, pricing.heads] = np.minimum(layer[:, pricing.heads], reached)
            if len(layers) > 1 and np.array_equal(further, layer):
                break
            layer = further
            layers.append(layer)
        self.costs = layer
        self._layers, self._row, self._reached = layers, -1, list[list[float]]()
        self._step: list[float] = costs.tolist()
        self._onward: list[float] = onward.tolist()

    def path(self, row: int, goal: int) -> list[int]:
        """The cheapest path, traced back through the layers."""
        if row != self._row:
            self._row, self._reached = row, [layer[row].tolist() for layer in self._layers]
        at, h, start = goal, len(self._layers) - 1, int(self._starts[row])
        path = [goal]
        while at != start:
            cost, before = self._reached[h][at], self._reached[h - 1]
            if h > 1 and before[at] == cost:
                h -= 1
                continue
            steps = self._onward if h > 1 else self._step
            at = next(tail for tail, arc in self._pricing.arcs_in[at] if before[tail] + steps[arc] == cost)
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

    def groups(self, demands: Iterable[int]) -> tuple[Group, ...]:
        """Demands whose ways are looked for together: those with the same forbidden sites."""
        alike: dict[tuple[int, frozenset[KmeId]], list[int]] = {}
        for d in demands:
            demand = self._demands[d]
            if self._index.keys() >= set(demand.ends):
                alike.setdefault((demand.paths, demand.never_through), []).append(d)
        return tuple(
            self._group(paths, never, sorted(members))
            for (paths, never), members in sorted(alike.items(), key=lambda item: item[1])
        )

    def _group(self, paths: int, never: frozenset[KmeId], members: list[int]) -> Group:
        ends = np.array([[self._index[end] for end in self._demands[d].ends] for d in members], np.intp)
        starts, rows = np.unique(ends[:, 0], return_inverse=True)
        return Group(paths, np.array(members, np.intp), starts, rows, ends[:, 1], self._barred(never))

    def cheapest(self, prices: _Floats, limits: _Floats, groups: Iterable[Group]) -> list[Column]:
        """For every demand whose cheapest way costs less than its limit, that way. `prices` a bit on each hop."""
        found: list[Column] = []
        for group in groups:
            if group.paths > 1:
                for d in group.members.tolist():
                    found += self._together(prices, float(limits[d]), d, group.barred)
                continue
            reach = _Reach(self, prices[self._arc_hop], group)
            is_cheaper = reach.costs[group.rows, group.goals] < limits[group.members]
            found += [
                self._named(int(group.members[i]), [reach.path(int(group.rows[i]), int(group.goals[i]))])
                for i in np.flatnonzero(is_cheaper)
            ]
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

    def _together(self, prices: _Floats, limit: float, d: int, barred: NDArray[np.bool_]) -> list[Column]:
        """Disjoint paths, or the link between the ends, which nobody passes."""
        demand = self._demands[d]
        start, goal = (self._index[end] for end in demand.ends)
        direct = self._hop.get(hop_of(*demand.ends))
        near: list[list[tuple[int, float]]] = [[] for _ in self.sites]
        for i, (a, b) in enumerate(self.hops):
            if i != direct:
                near[self._index[a]].append((self._index[b], float(prices[i])))
                near[self._index[b]].append((self._index[a], float(prices[i])))
        found = [disjoint_paths_within(near, start, goal, demand.paths, barred.tolist(), self.max_hops)]
        if direct is not None:
            found.append([[start, goal]])
        ways = [self._named(d, paths) for paths in found if paths]
        best = min(ways, key=lambda way: math.fsum(prices[hop] for hop in way.hops), default=None)
        return [] if best is None or math.fsum(prices[hop] for hop in best.hops) >= limit else [best]

    def _named(self, d: int, paths: list[list[int]]) -> Column:
        named = tuple(tuple(self.sites[i] for i in path) for path in paths)
        return Column(d, named, tuple(self._hop[hop_of(*hop)] for path in named for hop in pairwise(path)))
