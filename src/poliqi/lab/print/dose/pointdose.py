"""Dose at single points, from the scan lines near them, without a grid.

A line from a to b deposits, at distance y and z from it, exp(-y^2/w_xy^2 - z^2/w_z^2) (erf((x - a)/w_xy) -
erf((x - b)/w_xy))/2: the integral of a moving Gaussian I^2. As the integral is linear, lines round a lumen are
whole lines less the lumen's, and a wall is the thicker lumen less the lumen. The domain's edge is not seen here.

Speed goal: 3 us a point of a vessel of 10 um (`python -m bench print`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, kernel
from poliqi.lab.print.dose.capsulelines import capsule_table, line_in_union
from poliqi.lab.print.dose.exposure import REACH, Exposure
from poliqi.lab.print.dose.segmentcells import Cells, cells_of, near_ball

if TYPE_CHECKING:
    from poliqi.lab.print.network import Network

__all__ = ["dose_at", "dose_at_points", "reach_um"]

_REACH = REACH


def reach_um(exposure: Exposure) -> float:
    """How far the light of a line reaches: what lies farther away has no part in the dose."""
    return REACH * float(np.sqrt(2 * exposure.w_xy_um**2 + exposure.w_z_um**2))


def dose_at_points(network: Network, exposure: Exposure, points_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dose at points (n, 3) as parts of the mean within a solid, (n,). Raises nothing."""
    table = capsule_table(network)
    cells = cells_of(table, exposure.wall_um)
    out = np.empty(len(points_um))
    points = np.ascontiguousarray(points_um, dtype=np.float64)
    _points_kernel(points, table, cells, exposure.parameters, exposure.kind, reach_um(exposure), out)
    return out


@kernel
def _points_kernel(
    points: NDArray[np.float64],
    table: NDArray[np.float64],
    cells: Cells,
    parameters: NDArray[np.float64],
    kind: int,
    reach: float,
    out: NDArray[np.float64],
) -> None:
    seen = np.full(table.shape[0], -1, dtype=np.int64)
    near = np.empty(table.shape[0], dtype=np.int64)
    parts = np.empty((near.size, 2))
    for n in range(points.shape[0]):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        count = near_ball(cells, table, parameters[8], x, y, z, reach, seen, n, near)
        out[n] = dose_at(table, near, count, parameters, kind, x, y, z, parts)


@inlined
def _lit(
    table: NDArray[np.float64],
    near: NDArray[np.int64],
    count: int,
    wide: float,
    p: tuple[float, float, float],
    axis: int,
    at: float,
    w: float,
    parts: NDArray[np.float64],
) -> float:
    """Part of a whole line's light that comes from where it is in the union."""
    found = line_in_union(table, near, count, wide, p, axis, at - _REACH * w, at + _REACH * w, parts)
    total = 0.0
    for n in range(found):
        total += math.erf((at - parts[n, 0]) / w) - math.erf((at - parts[n, 1]) / w)
    return 0.5 * total


@kernel
def dose_at(
    table: NDArray[np.float64],
    near: NDArray[np.int64],
    count: int,
    parameters: NDArray[np.float64],
    kind: int,
    x: float,
    y: float,
    z: float,
    parts: NDArray[np.float64],
) -> float:
    """Dose at one point; `parameters` and `kind` are the exposure's, `near[:count]` the capsules within reach."""
    w, w_z, hatch, layer = parameters[0], parameters[1], parameters[2], parameters[3]
    total = 0.0
    k0 = math.ceil((z - _REACH * w_z - parameters[6]) / layer - 0.5)
    k1 = math.floor((z + _REACH * w_z - parameters[6]) / layer - 0.5)
    for k in range(k0, k1 + 1):
        plane = parameters[6] + (k + 0.5) * layer
        of_layer = math.exp(-((z - plane) ** 2) / (w_z * w_z))
        axis = k % 2
        across = y if axis == 0 else x
        along = x if axis == 0 else y
        first = parameters[5] if axis == 0 else parameters[4]
        i0 = math.ceil((across - _REACH * w - first) / hatch - 0.5)
        i1 = math.floor((across + _REACH * w - first) / hatch - 0.5)
        for i in range(i0, i1 + 1):
            line = first + (i + 0.5) * hatch
            of_line = math.exp(-((across - line) ** 2) / (w * w))
            p = (along, line, plane) if axis == 0 else (line, along, plane)
            lumen = _lit(table, near, count, 0.0, p, axis, along, w, parts)
            if kind == 0:
                lit = 1.0 - lumen
            elif kind == 1:
                lit = _lit(table, near, count, parameters[8], p, axis, along, w, parts) - lumen
            else:
                lit = lumen
            total += of_layer * of_line * lit
    return total * parameters[7]
