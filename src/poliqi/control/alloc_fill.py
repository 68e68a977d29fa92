"""Max-min fair filling, exact: raise the share of all open demands of a priority as far as links allow, bind those
that no other routing could raise (the price of their row is positive), and go on with the rest.

D. Nace and M. Pioro, "Max-min fairness and its applications to routing and load-balancing in communication
networks", IEEE Communications Surveys & Tutorials 10 (2008) 5. Ways are made as their price asks for them
(column generation), so every round's optimum is one over all ways, not over some list of them.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.control.alloc_master import ROUNDING, Master, Solution
from poliqi.control.alloc_model import Allocation, AllocationProblem, Effort
from poliqi.control.alloc_settle import settle
from poliqi.control.alloc_steady import TOLERANCE, cheapest_flows, kept_ways, steady_flows
from poliqi.control.alloc_ways import Column, Group, Pricing

__all__ = ["fill"]

_Floats = NDArray[np.float64]
_BOUND: Final = 1e-6
"""A demand's row with a price above this cannot be raised; 1 is the least that they can have on average."""
_SLACK: Final = 1e-9
"""A bound demand keeps its share less this part, so that rounding leaves room; a level so near its cap is there."""


class _Filling:
    """The filling of one problem."""

    def __init__(self, problem: AllocationProblem) -> None:
        self._problem = problem
        self._pricing = pricing = Pricing(problem)
        self._rates = self._reference_rates()
        everyone = pricing.groups(range(len(problem.demands)))
        unlimited = np.full(len(problem.demands), np.inf)
        narrow = 1.0 / pricing.capacity_bps
        self._first = pricing.cheapest(np.ones(len(pricing.hops)), unlimited, everyone)
        self._wide = kept_ways(problem, pricing, range(len(problem.demands)))
        if everyone and not self._wide:
            self._wide = pricing.cheapest(narrow + narrow.mean(), unlimited, everyone)
        self._scale = self._scales()
        self._units = self._rates * self._scale
        self.master = Master(pricing.capacity_bps, self._units)
        self._shares: dict[int, float] = {}
        self._met: set[int] = set()
        self.rounds = 0
        self._gap = 0.0

    def _reference_rates(self) -> _Floats:
        """Rates that shares refer to; an infinite one counts as the largest finite one of its priority."""
        demands = self._problem.demands
        finite: dict[int, float] = {}
        for demand in demands:
            if math.isfinite(demand.rate_bps):
                finite[demand.priority] = max(finite.get(demand.priority, 0.0), demand.rate_bps)
        rates = [d.rate_bps if math.isfinite(d.rate_bps) else finite.get(d.priority) or 1.0 for d in demands]
        return np.array(rates)

    def _scales(self) -> _Floats:
        """For each demand the share that all of its priority would get on their shortest ways with nobody else."""
        scale = np.ones(len(self._rates))
        demands = self._problem.demands
        for priority in {d.priority for d in demands}:
            load = np.zeros(len(self._pricing.hops))
            for way in self._first:
                if demands[way.demand].priority == priority:
                    np.add.at(load, list(way.hops), self._rates[way.demand])
            loaded = load > 0.0
            if loaded.any():
                share = float((self._pricing.capacity_bps[loaded] / load[loaded]).min())
                for d, demand in enumerate(demands):
                    if demand.priority == priority:
                        scale[d] = share
        return scale

    def run(self) -> Allocation:
        """All priorities, then the cheapest routing of what they got."""
        demands = self._problem.demands
        ways: dict[int, list[Column]] = {}
        for way in (*self._first, *self._wide):
            ways.setdefault(way.demand, []).append(way)
        routed: list[int] = []
        for priority in sorted({d.priority for d in demands}, reverse=True):
            members = [d for d in ways if demands[d].priority == priority and self._rates[d] > 0.0]
            if members:
                members.sort()
                self.master.add_ways([way for d in members for way in ways[d]])
                routed += members
                self._raise(members, routed)
        if not routed:
            return settle(self._problem, (), Effort())
        steady = self._problem, self._pricing, self._units, self._shares, frozenset(self._met)
        flows = steady_flows(*steady, self.master.columns.values()) if self._problem.previous is not None else None
        if flows is None:
            flows = cheapest_flows(self._problem, self._pricing, self.master, self._units, routed)
        gap = self._gap + self.master.relaxed + _SLACK + ROUNDING
        effort = Effort(self.rounds, self.master.solves, self.master.count, self.master.solver_s, gap)
        return settle(self._problem, flows, effort)

    def _raise(self, members: list[int], routed: list[int]) -> None:
        """Rounds of one priority."""
        demands = self._problem.demands
        open_, groups = set(members), self._pricing.groups(routed)
        cap = 1.0 / float(self._scale[members[0]])
        level = self.master.add_level(members, cap, float(len(routed)))
        limited = {d for d in members if math.isfinite(demands[d].rate_bps)}
        while open_:
            self.rounds += 1
            limited &= open_
            if not limited and cap < math.inf:
                cap = math.inf
                self.master.bound_level(level, cap)
            solution = self._solve(level, cap, groups)
            height = float(solution.values[level])
            if height >= cap * (1.0 - _SLACK):
                done = limited
                self._met |= limited
            else:
                carried = sum(self._shares.values()) + len(open_) * height
                self._gap = max(self._gap, TOLERANCE * carried / (len(routed) * height) if height > 0.0 else 0.0)
                done = {d for d in open_ if solution.demands[d] > _BOUND}
                done = done or {max(open_, key=solution.demands.__getitem__)}
            for d in sorted(done):
                self._shares[d] = height * (1.0 - _SLACK)
                self.master.release(level, d, self._shares[d])
            open_ = open_ - done
        self.master.price_ways({level: 0.0})

    def _solve(self, level: int, cap: float, groups: tuple[Group, ...]) -> Solution:
        """The optimum over all ways; at once where the level is at its cap."""
        while True:
            solution = self.master.solve()
            if solution.values[level] >= cap * (1.0 - _SLACK):
                return solution
            prices = solution.links / self._pricing.capacity_bps
            limits = (solution.demands - TOLERANCE) / self._units
            if not self.master.add_ways(self._pricing.cheapest(prices, limits, groups)):
                return solution


def fill(problem: AllocationProblem) -> Allocation:
    """The max-min fair allocation of a problem. Raises ArithmeticError where the solver fails."""
    return _Filling(problem).run()
