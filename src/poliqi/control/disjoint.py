"""Node-disjoint ways of least total weight: successive shortest paths on the graph with every site split in two.

J. W. Suurballe, "Disjoint paths in a network", Networks 4 (1974) 125; R. Bhandari, "Survivable Networks" (1999).
Each augmentation may lead back over ways found before, so a shortest way that blocks all pairs ("trap") is undone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final

__all__ = ["disjoint_paths", "disjoint_paths_within"]

_NONE: Final = -1
_SLACK: Final = 1e-9
"""Rounding of potentials may make a reduced cost this much negative."""


class _Residual:
    """Arcs of the split graph: site v is 2v where ways enter and 2v + 1 where they leave; arc i ^ 1 leads back."""

    def __init__(self, nodes: int) -> None:
        self.head: list[int] = []
        self.cost: list[float] = []
        self.free: list[bool] = []
        self.out: list[list[int]] = [[] for _ in range(2 * nodes)]

    def add(self, tail: int, head: int, cost: float) -> None:
        self.out[tail].append(len(self.head))
        self.out[head].append(len(self.head) + 1)
        self.head += (head, tail)
        self.cost += (cost, -cost)
        self.free += (True, False)

    def augment(self, start: int, goal: int, potential: list[float]) -> bool:
        """Push one more way through (Dijkstra over reduced costs); False where there is no room."""
        cost_to = [math.inf] * len(self.out)
        by = [_NONE] * len(self.out)
        cost_to[start] = 0.0
        heap = [(0.0, start)]
        while heap:
            cost, tail = heappop(heap)
            if cost > cost_to[tail]:
                continue
            for arc in self.out[tail]:
                if not self.free[arc]:
                    continue
                head = self.head[arc]
                reduced = self.cost[arc] + potential[tail] - potential[head]
                if (there := cost + max(0.0, reduced)) < cost_to[head] - _SLACK:
                    cost_to[head], by[head] = there, arc
                    heappush(heap, (there, head))
        if by[goal] == _NONE:
            return False
        far = cost_to[goal]
        for node, cost in enumerate(cost_to):
            potential[node] += min(cost, far)
        node = goal
        while node != start:
            arc = by[node]
            self.free[arc], self.free[arc ^ 1] = False, True
            node = self.head[arc ^ 1]
        return True

    def follow(self, start: int, goal: int) -> list[int]:
        """One way along the pushed arcs, which are taken out."""
        nodes, node = [start], start
        while node != goal:
            arc = next(i for i in self.out[node] if i % 2 == 0 and not self.free[i])
            self.free[arc] = True
            node = self.head[arc]
            nodes.append(node)
        return nodes


def disjoint_paths(
    near: Sequence[Sequence[tuple[int, float]]], start: int, goal: int, count: int, barred: Sequence[int]
) -> list[list[int]]:
    """`count` paths from `start` to `goal` that share no other node, of least total weight; [] where there are
    fewer.

    `near[v]` lists (neighbour, weight >= 0) once for each neighbour, both ways; nodes with `barred[v]` are not
    passed. Of two optima the one found first in the order of `near` is given.
    """
    residual = _Residual(len(near))
    for node, neighbours in enumerate(near):
        is_end = node in (start, goal)
        if barred[node] and not is_end:
            continue
        if not is_end:
            residual.add(2 * node, 2 * node + 1, 0.0)
        if node == goal:
            continue
        for other, weight in neighbours:
            if other != start and (other == goal or not barred[other]):
                residual.add(2 * node + 1, 2 * other, weight)
    source, sink = 2 * start + 1, 2 * goal
    potential = [0.0] * len(residual.out)
    for _ in range(count):
        if not residual.augment(source, sink, potential):
            return []
    return [[*(node >> 1 for node in residual.follow(source, sink)[::2]), goal] for _ in range(count)]


def disjoint_paths_within(
    near: Sequence[Sequence[tuple[int, float]]],
    start: int,
    goal: int,
    count: int,
    barred: Sequence[int],
    max_hops: int,
) -> list[list[int]]:
    """The same with at most so many hops each, where the lightest or those of fewest hops in all are such; else [].

    To find them whenever there are any is NP-hard.
    """
    paths = disjoint_paths(near, start, goal, count, barred)
    if any(len(path) > max_hops + 1 for path in paths):
        hop = 1.0 + sum(weight for row in near for _, weight in row)
        by_hops = [[(other, hop + weight) for other, weight in row] for row in near]
        paths = disjoint_paths(by_hops, start, goal, count, barred)
    return [] if any(len(path) > max_hops + 1 for path in paths) else paths
