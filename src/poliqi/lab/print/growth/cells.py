"""A grid of cells over the domain: which segments are near a place.

Each segment is listed in every cell that it covers with its radius, not only where its axis runs: thick vessels are
found from beside. A segment that moves is listed anew and its old entries stay: they name it where it is no more,
which costs a look and is never wrong. The grid is made anew as the tree grows, so that a cell holds few segments.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel, part
from poliqi.lab.print.growth.reduced import Trees

__all__ = ["Cells", "cell_of", "enlist", "enlist_all", "make_cells", "nearest", "point_distance"]

_MOST_CELLS: Final = 8_000_000
_HALF_DIAGONAL: Final = 0.8660254037844387


class Cells(NamedTuple):
    """Cells of edge `edge_um` from `origin`; each has a chain of entries that begins at `head`."""

    origin: NDArray[Any]
    shape: NDArray[Any]
    edge: NDArray[Any]
    """(1,)"""
    head: NDArray[Any]
    entry: NDArray[Any]
    follow: NDArray[Any]
    used: NDArray[Any]
    """(1,): entries in use; beyond the capacity nothing is listed, and the grid must be made anew."""
    seen: NDArray[Any]
    """(m,): the last search in which a segment was looked at."""
    tick: NDArray[Any]
    """(1,): number of the last search."""


def make_cells(bounds_um: NDArray[np.float64], edge_um: float, capacity: int, entries: int) -> Cells:
    """An empty grid; the edge is made larger where there would be too many cells."""
    size: NDArray[np.float64] = np.maximum(bounds_um[1] - bounds_um[0], 1e-9)
    edge = max(edge_um, float(np.prod(size) / _MOST_CELLS) ** (1 / 3), float(size.max()) / 4000)
    shape: NDArray[np.int64] = np.maximum(np.ceil(size / edge), 1.0).astype(np.int64)
    return Cells(
        np.ascontiguousarray(bounds_um[0], dtype=np.float64),
        shape,
        np.array([edge]),
        np.full(int(np.prod(shape)), -1, dtype=np.int32),
        np.empty(entries, dtype=np.int32),
        np.empty(entries, dtype=np.int32),
        np.zeros(1, dtype=np.int64),
        np.zeros(capacity, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )


@kernel
def cell_of(cells: Cells, axis: int, place: float) -> int:
    """Index of the cell along an axis; the outermost one for what lies outside."""
    at = math.floor((place - cells.origin[axis]) / cells.edge[0])
    return int(min(max(at, 0), cells.shape[axis] - 1))


@part(inline=True)
def point_distance(x: float, y: float, z: float, near: NDArray[np.float64], far: NDArray[np.float64]) -> float:
    """Distance of a point from the line between two."""
    ux, uy, uz = far[0] - near[0], far[1] - near[1], far[2] - near[2]
    wx, wy, wz = x - near[0], y - near[1], z - near[2]
    squared = ux * ux + uy * uy + uz * uz
    t = 0.0
    if squared > 0.0:
        t = min(max((ux * wx + uy * wy + uz * wz) / squared, 0.0), 1.0)
    wx, wy, wz = wx - t * ux, wy - t * uy, wz - t * uz
    return math.sqrt(wx * wx + wy * wy + wz * wz)


@kernel
def enlist(cells: Cells, trees: Trees, segment: int, radius: float) -> None:
    """List a segment in all cells within `radius` of its axis."""
    near, far = trees.near[segment], trees.far[segment]
    edge = cells.edge[0]
    reach = radius + _HALF_DIAGONAL * edge
    x0, x1 = cell_of(cells, 0, min(near[0], far[0]) - radius), cell_of(cells, 0, max(near[0], far[0]) + radius)
    y0, y1 = cell_of(cells, 1, min(near[1], far[1]) - radius), cell_of(cells, 1, max(near[1], far[1]) + radius)
    z0, z1 = cell_of(cells, 2, min(near[2], far[2]) - radius), cell_of(cells, 2, max(near[2], far[2]) + radius)
    few = (x1 - x0 + 1) * (y1 - y0 + 1) * (z1 - z0 + 1) <= 2
    for i in range(x0, x1 + 1):
        x = cells.origin[0] + (i + 0.5) * edge
        for j in range(y0, y1 + 1):
            y = cells.origin[1] + (j + 0.5) * edge
            for k in range(z0, z1 + 1):
                z = cells.origin[2] + (k + 0.5) * edge
                outer = (
                    i == 0 or j == 0 or k == 0
                    or i == cells.shape[0] - 1 or j == cells.shape[1] - 1 or k == cells.shape[2] - 1
                )  # fmt: skip
                if few or outer or point_distance(x, y, z, near, far) <= reach:
                    at = cells.used[0]
                    cells.used[0] += 1
                    if at < cells.entry.size:
                        cell = (i * cells.shape[1] + j) * cells.shape[2] + k
                        cells.entry[at] = segment
                        cells.follow[at] = cells.head[cell]
                        cells.head[cell] = at


@kernel
def enlist_all(cells: Cells, trees: Trees, radius: NDArray[np.float64]) -> None:
    """List all segments in use, each with its `radius`; entries beyond the capacity are only counted."""
    for j in range(trees.used[0]):
        if trees.terminals[j] > 0 or trees.tree[j] < 0:
            enlist(cells, trees, j, radius[j])


@kernel
def nearest(
    cells: Cells,
    trees: Trees,
    first: int,
    open_trees: NDArray[np.bool_],
    x: float, y: float, z: float,
    found: NDArray[np.int64],
    distance: NDArray[np.float64],
) -> int:  # fmt: skip
    """Segments (from `first`, of trees that are open) nearest to a point, in order; returns how many.

    Cells are searched in shells around the point until no closer segment can come.
    """
    cells.tick[0] += 1
    tick = cells.tick[0]
    edge = cells.edge[0]
    ci, cj, ck = cell_of(cells, 0, x), cell_of(cells, 1, y), cell_of(cells, 2, z)
    ni, nj, nk = cells.shape[0], cells.shape[1], cells.shape[2]
    count = 0
    for shell in range(max(ni, nj, nk)):
        if count == found.size and distance[count - 1] <= (shell - 1) * edge:
            break
        for i in range(max(ci - shell, 0), min(ci + shell, ni - 1) + 1):
            for j in range(max(cj - shell, 0), min(cj + shell, nj - 1) + 1):
                inner = abs(i - ci) < shell and abs(j - cj) < shell
                step = 2 * shell if inner and shell > 0 else 1
                for k in range(ck - shell, ck + shell + 1, step):
                    if k < 0 or k >= nk:
                        continue
                    at = cells.head[(i * nj + j) * nk + k]
                    while at >= 0:
                        one: int = cells.entry[at]  # pyright: ignore[reportAssignmentType]
                        at = cells.follow[at]
                        if cells.seen[one] == tick:
                            continue
                        cells.seen[one] = tick
                        if one < first or not open_trees[trees.tree[one]]:
                            continue
                        far = point_distance(x, y, z, trees.near[one], trees.far[one])
                        if count == found.size and far >= distance[count - 1]:
                            continue
                        place = count if count < found.size else count - 1
                        while place > 0 and distance[place - 1] > far:
                            distance[place] = distance[place - 1]
                            found[place] = found[place - 1]
                            place -= 1
                        distance[place] = far
                        found[place] = one
                        count = min(count + 1, found.size)
    return count
