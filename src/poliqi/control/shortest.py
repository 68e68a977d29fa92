"""Shortest paths on the links of a city: arrays of neighbours, weights that grow with the demand.

Sites are numbers in the order of their names here; routing.py gives them their names.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import Final

from poliqi.keys.relay_messages import MAX_HOPS

__all__ = ["LOAD_LIMIT", "Row", "cost", "lightest_path", "lightest_path_within", "one_each"]

LOAD_LIMIT: Final = float(MAX_HOPS)
"""A link that cannot carry a demand weighs as much more as the longest detour, in hops."""

Row = list[tuple[int, float, float, int]]
"""A site's links, lightest first: neighbour, weight without a demand, 1 / rate (s/bit), place of the edge."""


def cost(entry: tuple[int, float, float, int], demand_bps: float) -> float:
    """key_weight of a link."""
    return entry[1] if demand_bps <= 0.0 else entry[1] + min(demand_bps * entry[2], LOAD_LIMIT)


def one_each(row: Row, demand_bps: float) -> list[tuple[int, float]]:
    """Of parallel links the lightest."""
    best: dict[int, float] = {}
    for entry in row:
        best[entry[0]] = min(best.get(entry[0], math.inf), cost(entry, demand_bps))
    return list(best.items())


def lightest_path(near: list[Row], start: int, goal: int, demand_bps: float, barred: bytearray) -> list[int] | None:
    """Dijkstra from both ends in turn until no way over an open site can be lighter than the one found."""
    cost_to = ([math.inf] * len(near), [math.inf] * len(near))
    before = ([-1] * len(near), [-1] * len(near))
    open_ = ([(0.0, start)], [(0.0, goal)])
    cost_to[0][start] = cost_to[1][goal] = 0.0
    best, middle = math.inf, -1
    while open_[0] and open_[1]:
        ahead, behind = open_[0][0][0], open_[1][0][0]
        if ahead + behind >= best:
            break
        side = 0 if ahead <= behind else 1
        heap, costs, others, came = open_[side], cost_to[side], cost_to[1 - side], before[side]
        so_far, here = heappop(heap)
        if so_far > costs[here]:
            continue
        for there, weight, per_bps, _ in near[here]:
            if barred[there]:
                continue
            if demand_bps:
                load = demand_bps * per_bps
                weight += load if load < LOAD_LIMIT else LOAD_LIMIT
            if (total := so_far + weight) < costs[there]:
                costs[there], came[there] = total, here
                heappush(heap, (total, there))
                if total + others[there] < best:
                    best, middle = total + others[there], there
    if middle < 0:
        return None
    path = [middle]
    while path[-1] != start:
        path.append(before[0][path[-1]])
    path.reverse()
    while path[-1] != goal:
        path.append(before[1][path[-1]])
    return path


def lightest_path_within(
    near: list[Row], start: int, goal: int, demand_bps: float, barred: bytearray, max_hops: int
) -> list[int] | None:
    """The lightest path of at most so many hops (Bellman and Ford, hop by hop)."""
    costs, steps = {start: 0.0}, list[dict[int, int]]()
    best, hops_of_best = math.inf, 0
    for hop in range(1, max_hops + 1):
        reached, came = dict[int, float](), dict[int, int]()
        for here in sorted(costs):
            if here == goal:
                continue
            for entry in near[here]:
                there = entry[0]
                total = costs[here] + cost(entry, demand_bps)
                if not barred[there] and total < min(reached.get(there, math.inf), best):
                    reached[there], came[there] = total, here
        costs = reached
        steps.append(came)
        if goal in reached:
            best, hops_of_best = reached[goal], hop
    if not hops_of_best:
        return None
    path = [goal]
    for came in reversed(steps[:hops_of_best]):
        path.append(came[path[-1]])
    return path[::-1]
