"""Which capsules come near a place: a grid of cells, each with the capsules that reach into it."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, kernel

__all__ = ["Cells", "cells_of", "near_ball"]

_MOST_CELLS: Final = 4_000_000
_HALF_DIAGONAL: Final = 0.8660254037844387


class Cells(NamedTuple):
    """Cells of edge `edge` from `low`, `shape` along the axes; cell c has entry[offset[c]:offset[c + 1]]."""

    low: NDArray[np.float64]
    edge: float
    shape: NDArray[np.int64]
    offset: NDArray[np.int64]
    entry: NDArray[np.int64]


def cells_of(table: NDArray[np.float64], wide_um: float) -> Cells:
    """For capsules (m, 8), each `wide_um` thicker. Edges are about what a capsule covers: cells hold few."""
    ends = np.stack([table[:, :3], table[:, :3] + table[:, 3:6] * table[:, 6:7]])
    reach = table[:, 7:8] + wide_um
    low, high = (ends.min(axis=0) - reach).min(axis=0), (ends.max(axis=0) + reach).max(axis=0)
    size = np.maximum(high - low, 1e-6)
    typical = float(np.median(np.asarray(table[:, 6] / 2 + reach[:, 0])))
    volume, longest = math.prod(size.tolist()), max(size.tolist())
    edge = max(typical, 0.1, (volume / _MOST_CELLS) ** (1 / 3), longest / 2000)
    shape = np.maximum(np.ceil(size / edge), 1).astype(np.int64)
    count = np.zeros(math.prod(shape.tolist()) + 1, dtype=np.int64)
    none = np.empty(0, dtype=np.int64)
    _enlist_kernel(table, wide_um, low, edge, shape, count[1:], none, False)
    offset = np.cumsum(count)
    entry = np.empty(int(offset[-1]), dtype=np.int64)
    _enlist_kernel(table, wide_um, low, edge, shape, offset[:-1].copy(), entry, True)
    return Cells(low, edge, shape, offset, entry)


@kernel
def _enlist_kernel(
    table: NDArray[np.float64],
    wide: float,
    low: NDArray[np.float64],
    edge: float,
    shape: NDArray[np.int64],
    place: NDArray[np.int64],
    entry: NDArray[np.int64],
    is_filling: bool,
) -> None:
    """Count the capsules of each cell in `place`, or put them into `entry` from there on."""
    begin = np.empty(3, dtype=np.int64)
    stop = np.empty(3, dtype=np.int64)
    for m in range(table.shape[0]):
        row = table[m]
        reach = row[7] + wide
        for c in range(3):
            a, b = row[c], row[c] + row[3 + c] * row[6]
            begin[c] = min(max(math.floor((min(a, b) - reach - low[c]) / edge), 0), shape[c] - 1)
            stop[c] = min(max(math.floor((max(a, b) + reach - low[c]) / edge), 0), shape[c] - 1) + 1
        far = reach + _HALF_DIAGONAL * edge
        for i in range(begin[0], stop[0]):
            wx = low[0] + (i + 0.5) * edge - row[0]
            for j in range(begin[1], stop[1]):
                wy = low[1] + (j + 0.5) * edge - row[1]
                for k in range(begin[2], stop[2]):
                    wz = low[2] + (k + 0.5) * edge - row[2]
                    along = min(max(wx * row[3] + wy * row[4] + wz * row[5], 0.0), row[6])
                    ex, ey, ez = wx - along * row[3], wy - along * row[4], wz - along * row[5]
                    if ex * ex + ey * ey + ez * ez <= far * far:
                        cell = (i * shape[1] + j) * shape[2] + k
                        if is_filling:
                            entry[place[cell]] = m
                        place[cell] += 1


@inlined
def near_ball(
    cells: Cells,
    table: NDArray[np.float64],
    wide: float,
    x: float,
    y: float,
    z: float,
    radius: float,
    seen: NDArray[np.int64],
    tick: int,
    near: NDArray[np.int64],
) -> int:
    """Capsules, `wide` thicker, that come within `radius` of a point, into `near`; returns how many.

    `seen` (m,) remembers by `tick` what this search has looked at; both are the caller's.
    """
    count = 0
    i0 = max(math.floor((x - radius - cells.low[0]) / cells.edge), 0)
    j0 = max(math.floor((y - radius - cells.low[1]) / cells.edge), 0)
    k0 = max(math.floor((z - radius - cells.low[2]) / cells.edge), 0)
    i1 = min(math.floor((x + radius - cells.low[0]) / cells.edge) + 1, cells.shape[0])
    j1 = min(math.floor((y + radius - cells.low[1]) / cells.edge) + 1, cells.shape[1])
    k1 = min(math.floor((z + radius - cells.low[2]) / cells.edge) + 1, cells.shape[2])
    for i in range(i0, i1):
        for j in range(j0, j1):
            for k in range(k0, k1):
                cell = (i * cells.shape[1] + j) * cells.shape[2] + k
                for at in range(cells.offset[cell], cells.offset[cell + 1]):
                    m = cells.entry[at]
                    if seen[m] == tick:
                        continue
                    seen[m] = tick
                    row = table[m]
                    wx, wy, wz = x - row[0], y - row[1], z - row[2]
                    along = min(max(wx * row[3] + wy * row[4] + wz * row[5], 0.0), row[6])
                    ex, ey, ez = wx - along * row[3], wy - along * row[4], wz - along * row[5]
                    far = radius + row[7] + wide
                    if ex * ex + ey * ey + ez * ez <= far * far and count < near.size:
                        near[count] = m
                        count += 1
    return count
