"""Routing and allocation of small cities by brute force over all simple paths, to hold the fast ones against."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
from hypothesis import strategies as st
from scipy.optimize import linprog

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.alloc_model import AllocationProblem, LinkCapacity
from poliqi.control.city import Demand
from poliqi.control.routing import Edge, Network, key_weight

Hop = tuple[KmeId, KmeId]


def name(i: int) -> KmeId:
    return KmeId(f"site-{i}")


def simple_paths(
    hops: set[Hop], a: KmeId, b: KmeId, relays: frozenset[KmeId], max_hops: int
) -> Iterator[tuple[KmeId, ...]]:
    """Every path without a repeated site; `hops` in both directions."""
    stack: list[tuple[KmeId, ...]] = [(a,)]
    while stack:
        path = stack.pop()
        for u, v in hops:
            if u != path[-1] or v in path:
                continue
            if v == b:
                yield (*path, v)
            elif v in relays and len(path) < max_hops:
                stack.append((*path, v))


def both(hops: set[Hop]) -> set[Hop]:
    return hops | {(b, a) for a, b in hops}


def path_weight(network: Network, path: Sequence[KmeId], demand_bps: float) -> float:
    return sum(
        min(key_weight(e, demand_bps) for e in network.edges if set(e.ends) == set(hop)) for hop in pairwise(path)
    )


def least_disjoint(network: Network, a: KmeId, b: KmeId, count: int, max_hops: int) -> float | None:
    """Least total weight of so many node-disjoint paths."""
    relays = frozenset(network.sites) if network.relays is None else network.relays
    paths = list(simple_paths(both({e.ends for e in network.edges}), a, b, relays, max_hops))
    totals = [
        sum(path_weight(network, path, 0.0) for path in chosen)
        for chosen in combinations(paths, count)
        if all(not set(p[1:-1]) & set(q[1:-1]) for p, q in combinations(chosen, 2))
    ]
    return min(totals, default=None)


def risks_of(network: Network, path: Sequence[KmeId]) -> set[str]:
    """Risks each of which breaks the path: it takes every link of one of its hops."""
    return {
        group
        for hop in pairwise(path)
        for group in ("north", "south")
        if all(group in edge.groups for edge in network.edges if set(edge.ends) == set(hop))
    }


def least_key(problem: AllocationProblem, granted_bps: list[float]) -> float:
    """The least key (bit/s) that links must give for these rates, over all ways."""
    hops = sorted({frozenset(link.ends) for link in problem.links}, key=sorted)
    capacity = [sum(k.capacity_bps for k in problem.links if frozenset(k.ends) == hop) for hop in hops]
    columns = [(d, way) for d, demand in enumerate(problem.demands) for way in ways_of(problem, demand)]
    if not columns:
        return 0.0
    taken = [
        [sum(frozenset(h) == hop for path in way for h in pairwise(path)) for _, way in columns] for hop in hops
    ]
    carried = [[-float(d == e) for e, _ in columns] for d in range(len(granted_bps))]
    unit = max(capacity) or 1.0
    limits = [c / unit for c in capacity] + [-rate * (1 - 1e-7) / unit for rate in granted_bps]
    spent = [sum(len(path) - 1 for path in way) for _, way in columns]
    answer = linprog(spent, A_ub=np.array(taken + carried), b_ub=np.array(limits), method="highs")
    assert answer.status == 0, answer.message
    return float(answer.fun) * unit


def ways_of(problem: AllocationProblem, demand: Demand) -> list[tuple[tuple[KmeId, ...], ...]]:
    """Every way that a demand may be granted."""
    hops = both({link.ends for link in problem.links if link.capacity_bps > 0.0})
    relays = problem.relays - demand.never_through
    paths = list(simple_paths(hops, *demand.ends, relays, problem.max_hops))
    if demand.paths == 1:
        return [(path,) for path in paths]
    direct = [(path,) for path in paths if len(path) == 2]
    relayed = [path for path in paths if len(path) > 2]
    return direct + [
        chosen
        for chosen in combinations(relayed, demand.paths)
        if all(not set(p[1:-1]) & set(q[1:-1]) for p, q in combinations(chosen, 2))
    ]


def max_min_shares(problem: AllocationProblem) -> list[float]:
    """Granted rates (bit/s) by definition: raise all open demands, then ask of each whether it could rise alone."""
    hops = sorted({frozenset(link.ends) for link in problem.links}, key=sorted)
    capacity = [sum(k.capacity_bps for k in problem.links if frozenset(k.ends) == hop) for hop in hops]
    columns = [(d, way) for d, demand in enumerate(problem.demands) for way in ways_of(problem, demand)]
    use = np.zeros((len(hops), len(columns)))
    carry = np.zeros((len(problem.demands), len(columns)))
    for j, (d, way) in enumerate(columns):
        carry[d, j] = 1.0
        for path in way:
            for hop in pairwise(path):
                use[hops.index(frozenset(hop)), j] += 1.0
    finite = {
        p: max((d.rate_bps for d in problem.demands if d.priority == p and math.isfinite(d.rate_bps)), default=0.0)
        for p in range(8)
    }
    rate = [d.rate_bps if math.isfinite(d.rate_bps) else finite[d.priority] or 1.0 for d in problem.demands]
    kept: dict[int, float] = {d: 0.0 for d in range(len(rate)) if rate[d] == 0.0}
    for priority in range(7, -1, -1):
        open_ = {d for d, demand in enumerate(problem.demands) if demand.priority == priority and d not in kept}
        while open_:
            level = _highest(use, capacity, carry, kept, {d: rate[d] for d in open_}, columns)
            if all(math.isfinite(problem.demands[d].rate_bps) for d in open_):
                level = min(level, 1.0)
            full = {d for d in open_ if math.isfinite(problem.demands[d].rate_bps) and level >= 1.0 - 1e-9}
            if full:
                level = 1.0
            alone = {
                d: _highest(
                    use, capacity, carry, kept | {e: level * rate[e] for e in open_ - {d}}, {d: rate[d]}, columns
                )
                for d in open_ - full
            }
            lowest = min(alone.values(), default=0.0)
            stuck = full or {d for d in open_ if alone[d] <= max(level * (1.0 + 1e-5) + 1e-9, lowest)}
            kept |= {d: level * rate[d] for d in stuck}
            open_ -= stuck
    return [kept[d] for d in range(len(rate))]


def _highest(
    use: np.ndarray,
    capacity: list[float],
    carry: np.ndarray,
    kept: dict[int, float],
    raised: dict[int, float],
    columns: list[tuple[int, tuple[tuple[KmeId, ...], ...]]],
) -> float:
    """The largest share of their rates that all raised demands can have while the kept ones keep theirs."""
    if not columns:
        return 0.0
    unit = max(capacity) or 1.0
    limits = [c / unit for c in capacity]
    rows = [np.append(row, 0.0) for row in use]
    for d, amount in kept.items():
        rows.append(np.append(-carry[d], 0.0))
        limits.append(-amount * (1.0 - 1e-10) / unit)
    for d, amount in raised.items():
        rows.append(np.append(-carry[d], amount / unit))
        limits.append(0.0)
    goal = np.zeros(len(columns) + 1)
    goal[-1] = -1.0
    answer = linprog(goal, A_ub=np.array(rows), b_ub=np.array(limits), bounds=(0, None), method="highs")
    assert answer.status == 0, answer.message
    return float(-answer.fun)


@st.composite
def hops_of_cities(draw: st.DrawFn, largest: int = 6) -> tuple[int, list[tuple[int, int]]]:
    """Number of sites, and pairs of neighbours."""
    sites = draw(st.integers(3, largest))
    pairs = list(combinations(range(sites), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), min_size=2, max_size=9, unique=True))
    return sites, chosen


@st.composite
def networks(draw: st.DrawFn) -> Network:
    sites, pairs = draw(hops_of_cities(7))
    doubled = draw(st.lists(st.sampled_from(pairs), max_size=2))
    weights = st.one_of(st.integers(1, 4).map(float), st.floats(0.1, 10.0))
    edges = tuple(
        Edge(LinkId(f"link-{i}"), (name(a), name(b)), draw(st.sampled_from((1e3, 1e4, 1e5))), weight=draw(weights))
        for i, (a, b) in enumerate([*pairs, *doubled])
    )
    relays = draw(st.one_of(st.none(), st.frozensets(st.integers(0, sites - 1).map(name))))
    return Network(tuple(name(i) for i in range(sites)), edges, relays)


@st.composite
def problems(draw: st.DrawFn, most_paths: int = 2) -> AllocationProblem:
    sites, pairs = draw(hops_of_cities())
    doubled = draw(st.lists(st.sampled_from(pairs), max_size=1))
    capacities = st.one_of(st.sampled_from((0.0, 1e3, 2e3, 5e3)), st.floats(100.0, 1e5))
    links = tuple(
        LinkCapacity(LinkId(f"link-{i}"), (name(a), name(b)), draw(capacities))
        for i, (a, b) in enumerate([*pairs, *doubled])
    )
    asked = draw(st.lists(st.sampled_from(list(combinations(range(sites), 2))), min_size=1, max_size=6))
    rates = st.one_of(st.just(math.inf), st.sampled_from((500.0, 1e3, 4e3)), st.floats(100.0, 1e5))
    demands = tuple(
        Demand(
            f"demand-{i}",
            (name(a), name(b)) if draw(st.booleans()) else (name(b), name(a)),
            draw(rates),
            draw(st.sampled_from((0, 3, 7))),
            draw(st.integers(1, most_paths)),
            draw(st.frozensets(st.integers(0, sites - 1).map(name), max_size=1)),
        )
        for i, (a, b) in enumerate(asked)
    )
    relays = draw(st.frozensets(st.integers(0, sites - 1).map(name), min_size=sites - 2))
    return AllocationProblem(links, demands, relays, max_hops=draw(st.sampled_from((2, 3, 8))))
