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

    @property
    def hops(self) -> tuple[tuple[KmeId, KmeId], ...]:
        """Neighbours along the paths."""
        return tuple(hop_of(*hop) for path in self.paths for hop in pairwise(path))


def settle(problem: AllocationProblem, flows: Sequence[Flow], effort: Effort) -> Allocation:
    """The allocation of these flows; where a hop has not room for all of a priority, each loses the same part.

    Raises KeyError for a flow over neighbours without a link.
    """
    left = dict(problem.capacity)
    granted: dict[int, list[GrantedWay]] = {}
    totals: dict[int, float] = {}
    for flow in flows:
        totals[flow.demand] = totals.get(flow.demand, 0.0) + flow.rate_bps
    kept = [flow for flow in flows if not _is_sliver(problem, flow, flow.rate_bps, totals[flow.demand])]
    for priority in sorted({problem.demands[flow.demand].priority for flow in kept}, reverse=True):
        members = [flow for flow in kept if problem.demands[flow.demand].priority == priority]
        load: dict[tuple[KmeId, KmeId], float] = {}
        for flow in members:
            for hop in flow.hops:
                load[hop] = load.get(hop, 0.0) + flow.rate_bps
        part = {
            hop: 1.0 if amount <= left[hop] * (1.0 - _ROUNDING) else left[hop] / amount * (1.0 - _ROUNDING)
            for hop, amount in load.items()
        }
        for flow in members:
            rate = flow.rate_bps * min(part[hop] for hop in flow.hops)
            if not _is_sliver(problem, flow, rate, rate):
                for hop in flow.hops:
                    left[hop] = max(0.0, left[hop] - rate)
                granted.setdefault(flow.demand, []).append(GrantedWay(flow.paths, rate))
    return Allocation(
        tuple(
            Grant(demand, tuple(sorted(granted.get(d, ()), key=lambda way: (-way.rate_bps, way.paths))))
            for d, demand in enumerate(problem.demands)
        ),
        _used(problem, granted),
        effort,
    )


def _is_sliver(problem: AllocationProblem, flow: Flow, rate_bps: float, total_bps: float) -> bool:
    """What rounding leaves over, no grant."""
    least = min(problem.capacity[hop] for hop in flow.hops)
    wanted = problem.demands[flow.demand].rate_bps
    return rate_bps <= _SLIVER * max(total_bps, min(least, wanted))


def _used(problem: AllocationProblem, granted: dict[int, list[GrantedWay]]) -> dict[LinkId, float]:
    """What each link gives; parallel links in proportion to their capacities."""
    shares: dict[tuple[KmeId, KmeId], list[float]] = {}
    for d, ways in granted.items():
        for way in ways:
            for hop in Flow(d, way.paths, way.rate_bps).hops:
                shares.setdefault(hop, []).append(way.rate_bps)
    used: dict[LinkId, float] = {}
    for link in problem.links:
        hop = hop_of(*link.ends)
        whole = problem.capacity.get(hop, 0.0)
        used[link.link] = math.fsum(shares.get(hop, ())) * (link.capacity_bps / whole) if whole > 0.0 else 0.0
    return used
