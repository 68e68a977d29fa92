"""The routing of an allocation: least key spent for the shares that were found, and no move for a small gain.

Key that is routed anew passes sites that may have little stock yet, and every move is one that an operator has to
understand. So ways of the allocation before are kept while they carry every share to within the hysteresis; only
demands that they fail, or that a way shorter by more than the hysteresis would serve, may take others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.control.alloc_master import Master, Solution
from poliqi.control.alloc_model import AllocationProblem
from poliqi.control.alloc_settle import Flow
from poliqi.control.alloc_ways import Column, Pricing

__all__ = ["TOLERANCE", "cheapest_flows", "kept_ways", "steady_flows"]

_Floats = NDArray[np.float64]
TOLERANCE: Final = 1e-7
"""Of prices, where an open demand's is 1 on average."""
_LACK: Final = 100.0
"""A share that is not carried weighs as so many ways of the most hops."""
_ENOUGH: Final = 1e-6
"""A share that lacks less than this part of a unit is carried."""


class _Cheapest:
    """The least key for shares whose rows stand in the master; kept ways count for less by the hysteresis."""

    def __init__(
        self, problem: AllocationProblem, pricing: Pricing, master: Master, units: _Floats, routed: list[int]
    ) -> None:
        self._problem, self._pricing, self._master, self._units = problem, pricing, master, units
        self.bit = 1.0 / float(units[routed].mean())
        """What a bit costs, so that prices of demands' rows are about 1 a hop."""
        self._priced = 0

    def solve(self, movers: Iterable[int], kept: frozenset[tuple[int, tuple[int, ...]]]) -> Solution:
        """The optimum over all ways of `movers` and the columns at hand of the others."""
        groups = self._pricing.groups(movers)
        while True:
            costs: dict[int, float] = {}
            for i, way in self._master.columns.items():
                if i >= self._priced:
                    part = 1.0 - self._problem.hysteresis if (way.demand, way.hops) in kept else 1.0
                    costs[i] = -self.bit * part * len(way.hops) * float(self._units[way.demand])
            self._master.price_ways(costs)
            self._priced = self._master.count
            solution = self._master.solve()
            prices = solution.links / self._pricing.capacity_bps + self.bit
            limits = (solution.demands - TOLERANCE) / self._units
            if not self._master.add_ways(self._pricing.cheapest(prices, limits, groups)):
                return solution


def cheapest_flows(
    problem: AllocationProblem, pricing: Pricing, master: Master, units: _Floats, routed: list[int]
) -> list[Flow]:
    """Flows of least key for the shares that the master holds; of two as short the way of the allocation before."""
    kept = kept_ways(problem, pricing, routed)
    master.add_ways(kept)
    cheapest = _Cheapest(problem, pricing, master, units, routed)
    return _flows(master, cheapest.solve(routed, _names(kept)), units)


def steady_flows(
    problem: AllocationProblem,
    pricing: Pricing,
    units: _Floats,
    shares: Mapping[int, float],
    is_met: frozenset[int],
    known: Iterable[Column],
) -> list[Flow] | None:
    """Flows over the ways of the allocation before, new ones for demands that these fail; None where that is not
    enough.

    `shares` in units of each demand; those of `is_met` are carried whole, others to within the hysteresis. `known`
    are ways at hand for demands that move.
    """
    routed = list(shares)
    kept = kept_ways(problem, pricing, routed)
    if not kept:
        return None
    master = Master(pricing.capacity_bps, units)
    cheapest = _Cheapest(problem, pricing, master, units, routed)
    most = _LACK * cheapest.bit * problem.max_hops
    little: dict[int, int] = {}
    much: dict[int, int] = {}
    for d, share in shares.items():
        master.demand(d, share)
        cost = most * float(units[d]) * max(1, problem.demands[d].paths)
        little[d] = master.add_lack(d, 0.0 if d in is_met else problem.hysteresis * share, cost)
        much[d] = master.add_lack(d, share, cost * (4.0 + problem.demands[d].priority))
    master.add_ways(kept)
    names = _names(kept)
    solution = cheapest.solve((), names)
    longest: dict[int, int] = {}
    for i, way in master.columns.items():
        if solution.values[i] > _ENOUGH:
            longest[way.demand] = max(longest.get(way.demand, 0), len(way.hops))
    shortest: dict[int, int] = {}
    for way in known:
        shortest[way.demand] = min(shortest.get(way.demand, len(way.hops)), len(way.hops))
    movers = {
        d
        for d, share in shares.items()
        if solution.values[much[d]] > _ENOUGH * share
        or shortest.get(d, 0) < longest.get(d, 0) * (1.0 - problem.hysteresis)
    }
    if movers:
        master.add_ways([way for way in known if way.demand in movers])
        solution = cheapest.solve(sorted(movers), names)
        if any(solution.values[much[d]] > _ENOUGH * share for d, share in shares.items()):
            return None
    return _flows(master, solution, units)


def kept_ways(problem: AllocationProblem, pricing: Pricing, routed: Iterable[int]) -> list[Column]:
    """Ways of the allocation before that are still allowed and whole."""
    if problem.previous is None:
        return []
    found: list[Column] = []
    for d in routed:
        demand = problem.demands[d]
        grant = problem.previous.grant.get(demand.name)
        if grant is None or grant.demand.ends != demand.ends:
            continue
        for way in grant.ways:
            if way.is_direct or len(way.paths) == demand.paths:
                column = pricing.column(d, way.paths)
                found += [column] if column is not None else []
    return found


def _names(ways: Iterable[Column]) -> frozenset[tuple[int, tuple[int, ...]]]:
    return frozenset((way.demand, way.hops) for way in ways)


def _flows(master: Master, solution: Solution, units: _Floats) -> list[Flow]:
    return [
        Flow(way.demand, way.paths, max(0.0, float(solution.values[i] * units[way.demand])))
        for i, way in master.columns.items()
    ]
