"""What to do at once after a cut, before the optimum is known: broken ways move, the rest stays."""

from __future__ import annotations

import math
from itertools import pairwise

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.alloc_model import Allocation, AllocationProblem, Effort, GrantedWay, hop_of
from poliqi.control.alloc_settle import Flow, settle
from poliqi.control.city import Demand
from poliqi.control.routing import Edge, Limits, Network

__all__ = ["reroute"]


def reroute(problem: AllocationProblem, previous: Allocation) -> Allocation:
    """`previous` on the problem's links: ways that are whole keep their rate, what broken ones carried moves to the
    lightest that remain, demands with a rate that had nothing get a way; then what does not fit is cut back.
    """
    sites = tuple({end for link in problem.links for end in link.ends})
    edges = tuple(Edge(LinkId(f"{hop[0]} {hop[1]}"), hop, bps) for hop, bps in problem.capacity.items())
    network = Network(sites, edges, problem.relays)
    flows: list[Flow] = []
    for d, demand in enumerate(problem.demands):
        grant = previous.grant.get(demand.name)
        had = grant.ways if grant is not None and grant.demand.ends == demand.ends else ()
        whole = [way for way in had if _is_whole(problem, demand, way)]
        flows += [Flow(d, way.paths, way.rate_bps) for way in whole]
        lost = math.fsum(way.rate_bps for way in had) - math.fsum(way.rate_bps for way in whole)
        if not had and math.isfinite(demand.rate_bps):
            lost = demand.rate_bps
        if lost > 0.0 and network.has(*demand.ends) and (paths := _lightest(network, problem, demand, lost)):
            flows.append(Flow(d, paths, lost))
    return settle(problem, flows, Effort())


def _is_whole(problem: AllocationProblem, demand: Demand, way: GrantedWay) -> bool:
    relays = {site for path in way.paths for site in path[1:-1]}
    return (
        (way.is_direct or len(way.paths) == demand.paths)
        and relays <= problem.relays
        and relays.isdisjoint(demand.never_through)
        and all(hop_of(*hop) in problem.capacity for path in way.paths for hop in pairwise(path))
    )


def _lightest(
    network: Network, problem: AllocationProblem, demand: Demand, rate_bps: float
) -> tuple[tuple[KmeId, ...], ...]:
    """Paths to take now; () where there are none."""
    if hop_of(*demand.ends) in problem.capacity:
        return (demand.ends,)
    limits = Limits(demand.never_through, max_hops=problem.max_hops)
    if demand.paths > 1:
        return tuple(way.sites for way in network.disjoint(*demand.ends, demand.paths, rate_bps, limits))
    way = network.shortest(*demand.ends, rate_bps, limits)
    return () if way is None else (way.sites,)
