"""A city's control: one way at 100 sites, all to all again at 10 and 50 sites; each part is a function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import rustworkx
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from bench.heal import heal as measure_heal
from bench.report import Metric, best
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.allocation import (
    Allocation,
    AllocationProblem,
    LinkCapacity,
    all_to_all,
    allocate,
    fast_reroute,
)
from poliqi.control.routing import Edge, Network

MEAN_DEGREE = 3.5
"""Of a metropolitan network: a ring and chords."""

Part = Callable[[bool, dict[str, Any]], list[Metric]]


def city(sites: int, seed: int) -> tuple[tuple[KmeId, ...], tuple[LinkCapacity, ...]]:
    """A ring with chords at random, 10 to 100 kbit/s a link."""
    random = np.random.default_rng(seed)
    names = tuple(KmeId(f"site-{i:03d}") for i in range(sites))
    pairs = [(i, (i + 1) % sites) for i in range(sites)]
    chords = [pair for pair in combinations(range(sites), 2) if pair not in pairs and pair[::-1] not in pairs]
    chosen = random.choice(len(chords), int(sites * MEAN_DEGREE / 2) - sites, replace=False)
    pairs += [chords[i] for i in sorted(chosen)]
    return names, tuple(
        LinkCapacity(LinkId(f"link-{a}-{b}"), (names[a], names[b]), float(random.uniform(1e4, 1e5)))
        for a, b in pairs
    )


def route(quick: bool, details: dict[str, Any]) -> list[Metric]:
    """A way for a demand between random ends, key-aware weights worked out on the way."""
    names, links = city(100, 1)
    network = Network(names, tuple(Edge(k.link, k.ends, k.capacity_bps, 1e6, 2e6) for k in links))
    random = np.random.default_rng(2)
    asked = [tuple(names[i] for i in random.choice(100, 2, replace=False)) for _ in range(300)]

    def ours() -> None:
        for a, b in asked:
            network.shortest(a, b, 2e3)

    def pairs() -> None:
        for a, b in asked:
            network.disjoint(a, b, 2)

    index = {name: i for i, name in enumerate(names)}
    graph = rustworkx.PyGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from([(index[k.ends[0]], index[k.ends[1]], 3.0 + 2e3 / k.capacity_bps) for k in links])
    places = [(index[a], index[b]) for a, b in asked]

    def theirs() -> None:
        for a, b in places:
            rustworkx.dijkstra_shortest_paths(graph, a, b, weight_fn=float)

    floor_s = 0.3 if quick else 1.5
    ours_us, theirs_us, pairs_us = (best(call, floor_s=floor_s) / 300 * 1e6 for call in (ours, theirs, pairs))
    found = [(network.shortest(a, b, 2e3), place) for (a, b), place in zip(asked, places, strict=True)]
    lengths = {
        start: rustworkx.dijkstra_shortest_path_lengths(graph, start, float) for start in {p[0] for p in places}
    }
    details["route"] = {
        "compared": "rustworkx knows no limit of hops and no barred sites, its weights are ready; ours names links",
        "ways equal in weight": sum(
            way is not None and math.isclose(way.weight, lengths[a][b]) for way, (a, b) in found
        ),
        "of": len(found),
        "pair of disjoint ways us": round(pairs_us, 1),
    }
    return [
        Metric("route 100 nodes us", ours_us, "us", 50.0, "max", f"rustworkx {rustworkx.__version__}", theirs_us)
    ]


def lowest_share(problem: AllocationProblem) -> float:
    """The first round alone, all arcs at once: the largest rate (bit/s) that all pairs can have (scipy's HiGHS)."""
    sites = sorted({end for k in problem.links for end in k.ends})
    place, arcs = (
        {site: i for i, site in enumerate(sites)},
        [*problem.capacity, *((b, a) for a, b in problem.capacity)],
    )
    n, m = len(sites), len(arcs)
    rows, columns, values = [], [], []
    for s in range(n):
        for j, (a, b) in enumerate(arcs):
            rows += [s * n + place[b], s * n + place[a]]
            columns += [s * m + j] * 2
            values += [1.0, -1.0]
        for other in range(s + 1, n):
            rows += [s * n + other, s * n + s]
            columns += [n * m] * 2
            values += [-1.0, 1.0]
    balance = coo_matrix((values, (rows, columns)), shape=(n * n, n * m + 1)).tocsr()
    hops, use = m // 2, (np.arange(n * m) % m) % (m // 2)
    room = coo_matrix((np.ones(n * m), (use, np.arange(n * m))), shape=(hops, n * m + 1)).tocsr()
    goal = np.zeros(n * m + 1)
    goal[-1] = -1.0
    capacity = np.array(list(problem.capacity.values()))
    answer = linprog(goal, A_ub=room, b_ub=capacity, A_eq=balance, b_eq=np.zeros(n * n), method="highs")
    return float(-answer.fun)


def reoptimise(quick: bool, details: dict[str, Any]) -> list[Metric]:
    """All pairs at once, every share max-min fair, from nothing; and after a cut, from the allocation before."""
    results: list[Metric] = []
    for sites, per_s, unit, goal, runs in ((10, 1e3, "ms", 50.0, 10), (50, 1.0, "s", 1.0, 2 if quick else 5)):
        names, links = city(sites, 3)
        problem = AllocationProblem(links, all_to_all(names), frozenset(names))
        found: list[Allocation] = []
        took_s = best(lambda ask=problem, into=found: into.append(allocate(ask)), runs=runs)
        before = found[0]
        cut = AllocationProblem(links[1:], problem.demands, problem.relays)
        again = replace(cut, previous=before)
        after = allocate(again)
        moved = fast_reroute(cut, before)
        more = details[f"re-optimise {sites} nodes"] = {
            "links": len(links),
            "demands": len(problem.demands),
            "rounds": before.effort.rounds,
            "linear programs": before.effort.solves,
            "ways made": before.effort.columns,
            "proven gap": before.effort.gap,
            "least share bit/s": min(grant.granted_bps for grant in before.grants),
            "after a cut ms": best(lambda ask=again: allocate(ask), runs=runs) * 1e3,
            "after a cut, shortest ways at once ms": best(
                lambda ask=cut, was=before: fast_reroute(ask, was), runs=runs
            )
            * 1e3,
            "demands whose ways a cut changes": sum(
                {way.paths for way in old.ways} != {way.paths for way in new.ways}
                for old, new in zip(before.grants, after.grants, strict=True)
            ),
            "least share at once bit/s": min(grant.granted_bps for grant in moved.grants),
            "least share after bit/s": min(grant.granted_bps for grant in after.grants),
        }
        peer = peer_value = None
        if sites == 10 or not quick:
            lowest: list[float] = []
            one_s = best(
                lambda ask=problem, into=lowest: into.append(lowest_share(ask)), runs=runs if sites == 10 else 1
            )
            more["scipy: least share bit/s"] = lowest[0]
            peer, peer_value = "scipy linprog, first round alone", one_s * per_s
        results.append(
            Metric(f"re-optimise {sites} nodes {unit}", took_s * per_s, unit, goal, "max", peer, peer_value)
        )
    return results


def heal(quick: bool, details: dict[str, Any]) -> list[Metric]:
    """A cut fibre in a city of real processes."""
    metric, found = measure_heal(quick=quick)
    details |= found
    return [metric]


PARTS: tuple[Part, ...] = (route, reoptimise, heal)


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Every part in turn."""
    details: dict[str, Any] = {"links": f"ring and chords, mean degree {MEAN_DEGREE}"}
    return [metric for part in PARTS for metric in part(quick, details)], details
