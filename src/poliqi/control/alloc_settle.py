"""Flows become grants: what does not fit is cut back, lower priorities first, and each link's use is summed up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.alloc_model import Allocation, AllocationProblem, Effort, Grant, GrantedWay, hop_of

__all__ = ["Flow", "settle"]

_Hop = tuple[KmeId, KmeId]
_ROUNDING: Final = 1e-12
_SLIVER: Final = 1e-7
"""A way with less than this part of its demand's grant is left out, and one with less than this part of each of its
links and of the demand's rate."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A rate for demand number `demand` over paths that are used together."""

    demand: int
    paths: tuple[tuple[KmeId, ...], ...]
    rate_bps: float


def settle(problem: AllocationProblem, flows: Sequence[Flow], effort: Effort) -> Allocation:
    """The allocation of these flows: none above its demand's rate, and where a hop has not room for all of a
    priority, each loses the same part.

    Raises KeyError for a flow over neighbours without a link.
    """
    given: dict[_Hop, list[float]] = {}
    granted: dict[int, list[GrantedWay]] = {}
    left = dict(problem.capacity)
    fitted = _fitted(problem, flows)
    for priority in sorted({problem.demands[flow.demand].priority for flow, _, _ in fitted}, reverse=True):
        members = [one for one in fitted if problem.demands[one[0].demand].priority == priority]
        load: dict[_Hop, float] = {}
        for _, rate, hops in members:
            for hop in hops:
                load[hop] = load.get(hop, 0.0) + rate
        part = {
            hop: 1.0 if amount <= left[hop] * (1.0 - _ROUNDING) else left[hop] / amount * (1.0 - _ROUNDING)
            for hop, amount in load.items()
        }
        for flow, wanted, hops in members:
            rate = wanted * min(part[hop] for hop in hops)
            if rate <= _least(problem, flow, hops):
                continue
            for hop in hops:
                left[hop] = max(0.0, left[hop] - rate)
                given.setdefault(hop, []).append(rate)
            granted.setdefault(flow.demand, []).append(GrantedWay(flow.paths, rate))
    return Allocation(
        tuple(
            Grant(demand, tuple(sorted(granted.get(d, ()), key=lambda way: (-way.rate_bps, way.paths))))
            for d, demand in enumerate(problem.demands)
        ),
        _used(problem, {hop: math.fsum(rates) for hop, rates in given.items()}),
        effort,
    )


def _fitted(problem: AllocationProblem, flows: Sequence[Flow]) -> list[tuple[Flow, float, list[_Hop]]]:
    """Flows with the rates that their demands want of them and their hops; without slivers."""
    totals: dict[int, float] = {}
    for flow in flows:
        totals[flow.demand] = totals.get(flow.demand, 0.0) + flow.rate_bps
    found: list[tuple[Flow, float, list[_Hop]]] = []
    for flow in flows:
        total = totals[flow.demand]
        if flow.rate_bps > _SLIVER * total:
            hops = [hop_of(*hop) for path in flow.paths for hop in pairwise(path)]
            wanted = flow.rate_bps * min(1.0, problem.demands[flow.demand].rate_bps / total)
            if wanted > _least(problem, flow, hops):
                found.append((flow, wanted, hops))
    return found


def _least(problem: AllocationProblem, flow: Flow, hops: list[_Hop]) -> float:
    """Rates no greater are what rounding leaves over."""
    return _SLIVER * min(problem.demands[flow.demand].rate_bps, *[problem.capacity[hop] for hop in hops])


def _used(problem: AllocationProblem, given: dict[_Hop, float]) -> dict[LinkId, float]:
    """What each link gives; parallel links in proportion to their capacities."""
    used: dict[LinkId, float] = {}
    for link in problem.links:
        hop = hop_of(*link.ends)
        used[link.link] = given[hop] * (link.capacity_bps / problem.capacity[hop]) if hop in given else 0.0
    return used
