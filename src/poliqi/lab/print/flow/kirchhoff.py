# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportMissingTypeStubs=false
"""Kirchhoff's law on a graph of conductances: pressures by a sparse factorisation, flows that balance to rounding.

All points whose pressure is held are one node here, `size`; the unknowns are 0..size-1. scipy has no annotations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import splu

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["balance", "free_pressures", "pieces"]


def pieces(segments: NDArray[np.integer[Any]], points: int) -> tuple[int, NDArray[np.int32]]:
    """How many connected pieces a graph has, and the piece of each point (points,)."""
    ones = np.ones(len(segments), np.int8)
    graph = sparse.coo_array((ones, (segments[:, 0], segments[:, 1])), shape=(points, points))
    count, piece = csgraph.connected_components(graph, directed=False)
    return int(count), piece


def free_pressures(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    g: NDArray[np.float64],
    from_a: NDArray[np.float64],
    from_b: NDArray[np.float64],
    size: int,
) -> NDArray[np.float64]:
    """The unknowns 0..size-1 for both right sides, (size, 2); `size` itself stands for all held points."""
    right = np.zeros((size + 1, 2))
    diagonal = np.bincount(a, g, size + 1) + np.bincount(b, g, size + 1)
    for column in range(2):
        right[:, column] = np.bincount(a, from_b[:, column], size + 1) + np.bincount(b, from_a[:, column], size + 1)
    both = (a < size) & (b < size)
    every = np.arange(size)
    rows = np.concatenate([every, a[both], b[both]])
    columns = np.concatenate([every, b[both], a[both]])
    values = np.concatenate([diagonal[:size], -g[both], -g[both]])
    matrix = sparse.csc_array((values, (rows, columns)), shape=(size, size))
    return _factorised(matrix).solve(right[:size]) if size else right[:0]


def _factorised(matrix: sparse.csc_array) -> Any:
    return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def balance(
    a: NDArray[np.int64], b: NDArray[np.int64], g: NDArray[np.float64], flow: NDArray[np.float64], size: int
) -> None:
    """Add to `flow` what makes every unknown point balance, along the widest vessels to the held points."""
    if size == 0:
        return
    low, high = np.minimum(a, b), np.maximum(a, b)
    key = low * (size + 1) + high
    order = np.lexsort((-g, key))
    order = order[low[order] != high[order]]
    widest = order[np.append(True, key[order][1:] != key[order][:-1])]
    graph = sparse.csr_array((1.0 / g[widest], (low[widest], high[widest])), shape=(size + 1, size + 1))
    path, before = csgraph.breadth_first_order(csgraph.minimum_spanning_tree(graph), size, directed=False)
    nodes = path[1:].astype(np.int64)
    up = before[nodes].astype(np.int64)
    edge = widest[np.searchsorted(key[widest], np.minimum(nodes, up) * (size + 1) + np.maximum(nodes, up))]
    below = _below(nodes, up, size)
    for _ in range(2):
        left = np.bincount(b, flow, size + 1) - np.bincount(a, flow, size + 1)
        left[size] = 0.0
        carried = below.solve(left)[nodes]
        flow[edge] += np.where(a[edge] == nodes, carried, -carried)


def _below(nodes: NDArray[np.int64], up: NDArray[np.int64], root: int) -> Any:
    """Solver that sums all that lies below each node of a tree; `up` are the predecessors of `nodes`."""
    every = np.arange(root + 1)
    values = np.concatenate([np.ones(root + 1), -np.ones(len(nodes))])
    matrix = sparse.csc_array((values, (np.append(every, up), np.append(every, nodes))), shape=(root + 1, root + 1))
    return _factorised(matrix)
