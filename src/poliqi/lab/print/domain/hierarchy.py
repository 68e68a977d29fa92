"""A hierarchy of boxes around the elements of a surface, in one array: the children of node i are 2 i and 2 i + 1.

The root is node 1; the `leaves` (a power of two) last nodes hold two to four elements each. Elements are put in an
order in which each leaf's stand together: halves by the median along the longest side, level by level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel, part

__all__ = ["Hierarchy", "hierarchy_of"]

_IN_LEAF: Final = 4


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """`order` (n,): which element stands where. `first` (leaves + 1,). `nodes` (2 leaves, 6): lows, then highs."""

    order: NDArray[np.int64]
    first: NDArray[np.int64]
    nodes: NDArray[np.float64]

    @property
    def leaves(self) -> int:
        """How many leaves."""
        return self.first.size - 1


@part()
def _select(
    order: NDArray[np.int64], middles: NDArray[np.float64], axis: int, low: int, high: int, at: int
) -> None:
    """Order [low, high) so that what stands before `at` is not above what stands behind it (Hoare's selection)."""
    high -= 1
    while low < high:
        pivot = middles[order[(low + high) // 2], axis]
        i, j = low, high
        while i <= j:
            while middles[order[i], axis] < pivot:
                i += 1
            while middles[order[j], axis] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if at <= j:
            high = j
        elif at >= i:
            low = i
        else:
            return


@kernel
def _split_level(order: NDArray[np.int64], middles: NDArray[np.float64], bounds: NDArray[np.int64]) -> None:
    """Split each of the pieces between `bounds` at its middle; every second bound is filled in."""
    for piece in range(0, bounds.size - 1, 2):
        low, high = bounds[piece], bounds[piece + 2]
        axis = 0
        longest = -1.0
        for k in range(3):
            least = most = middles[order[low], k]
            for i in range(low, high):
                least = min(least, middles[order[i], k])
                most = max(most, middles[order[i], k])
            if most - least > longest:
                longest = most - least
                axis = k
        at = (low + high) // 2
        _select(order, middles, axis, low, high, at)
        bounds[piece + 1] = at


@kernel
def _box(boxes: NDArray[np.float64], first: NDArray[np.int64], nodes: NDArray[np.float64]) -> None:
    """Boxes of all nodes, from the leaves up; `boxes` (n, 6) are the elements' in their order."""
    leaves = first.size - 1
    for leaf in range(leaves):
        for k in range(3):
            low, high = np.inf, -np.inf
            for i in range(first[leaf], first[leaf + 1]):
                low = min(low, boxes[i, k])
                high = max(high, boxes[i, k + 3])
            nodes[leaves + leaf, k], nodes[leaves + leaf, k + 3] = low, high
    for node in range(leaves - 1, 0, -1):
        for k in range(3):
            nodes[node, k] = min(nodes[2 * node, k], nodes[2 * node + 1, k])
            nodes[node, k + 3] = max(nodes[2 * node, k + 3], nodes[2 * node + 1, k + 3])


def hierarchy_of(boxes: NDArray[np.float64]) -> Hierarchy:
    """The hierarchy of elements whose boxes are (n, 6), lows then highs; n > 0."""
    n = len(boxes)
    middles = boxes[:, :3] + boxes[:, 3:]
    order = np.arange(n, dtype=np.int64)
    bounds = np.array([0, n], dtype=np.int64)
    while (bounds.size - 1) * _IN_LEAF < n:
        wider = np.zeros(2 * bounds.size - 1, dtype=np.int64)
        wider[::2] = bounds
        _split_level(order, middles, wider)
        bounds = wider
    nodes = np.zeros((2 * (bounds.size - 1), 6))
    _box(np.ascontiguousarray(boxes[order]), bounds, nodes)
    return Hierarchy(order, bounds, nodes)
