"""Rays from the axes of vessels to the designed surface and to the printed one, where the dose is the threshold.

The designed surface along a ray is where it first leaves the union of capsules. The printed one is looked for from
there: outwards in steps where the lumen is still open, else inwards, then by regula falsi (Illinois) to 1e-4 um.

Speed goal: 20 us a ray of a vessel of 10 um (`python -m bench print`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, kernel
from poliqi.lab.print.dose.capsulelines import line_in_capsule
from poliqi.lab.print.dose.pointdose import dose_at
from poliqi.lab.print.dose.segmentcells import Cells, near_ball

__all__ = ["design_kernel", "printed_kernel"]

_FINE_UM = 1e-4
_MOST_TRIES = 40
_STEPS = 6
"""Steps that a surface is looked for outwards, each half a 1/e radius of the blur along the ray."""


@kernel
def design_kernel(
    table: NDArray[np.float64],
    cells: Cells,
    origin: NDArray[np.float64],
    unit: NDArray[np.float64],
    most: NDArray[np.float64],
    distance: NDArray[np.float64],
    owner: NDArray[np.int64],
) -> None:
    """How far each ray (n, 3) runs in the union before it first leaves it, and the capsule that it leaves.

    Beyond `most` (n,) it is told as -1 with owner -1: the ray runs along a lumen.
    """
    seen = np.full(table.shape[0], -1, dtype=np.int64)
    near = np.empty(table.shape[0], dtype=np.int64)
    for n in range(origin.shape[0]):
        x, y, z = origin[n, 0], origin[n, 1], origin[n, 2]
        dx, dy, dz = unit[n, 0], unit[n, 1], unit[n, 2]
        count = near_ball(cells, table, 0.0, x, y, z, most[n], seen, n, near)
        at, who = 0.0, -1
        grew = True
        while grew:
            grew = False
            for m in range(count):
                row = table[near[m]]
                one, two = line_in_capsule(row, row[7], x, y, z, dx, dy, dz)
                if one <= at + 1e-9 and two > at + 1e-9:
                    at, who, grew = two, near[m], True
        distance[n] = at if at <= most[n] and who >= 0 else -1.0
        owner[n] = who if distance[n] >= 0.0 else -1


@inlined
def _excess(dose: float, threshold: float, kind: int) -> float:
    """Above zero where the lumen is open."""
    return threshold - dose if kind < 2 else dose - threshold


@kernel
def printed_kernel(
    table: NDArray[np.float64],
    cells: Cells,
    parameters: NDArray[np.float64],
    kind: int,
    threshold: float,
    reach: float,
    origin: NDArray[np.float64],
    unit: NDArray[np.float64],
    distance: NDArray[np.float64],
    begin: int,
    stop: int,
    printed: NDArray[np.float64],
) -> None:
    """For rays begin to stop (of n): where the printed surface is, from the origin; 0 where the lumen is closed.

    `distance` (n,) is where it is looked for first. Infinite where the lumen is open farther than six half radii of
    the blur beyond that; rays of distance below 0 are left out (nan).
    """
    seen = np.full(table.shape[0], -1, dtype=np.int64)
    near = np.empty(table.shape[0], dtype=np.int64)
    parts = np.empty((near.size, 2))
    for n in range(begin, stop):
        d = distance[n]
        if d < 0.0:
            printed[n] = math.nan
            continue
        x, y, z = origin[n, 0], origin[n, 1], origin[n, 2]
        dx, dy, dz = unit[n, 0], unit[n, 1], unit[n, 2]
        blur = math.sqrt(parameters[0] ** 2 * (1.0 - dz * dz) + parameters[1] ** 2 * dz * dz)
        step = 0.5 * blur
        px, py, pz = x + d * dx, y + d * dy, z + d * dz
        far = reach + _STEPS * step
        count = near_ball(cells, table, parameters[8], px, py, pz, far, seen, 2 * n, near)
        dose = dose_at(table, near, count, parameters, kind, px, py, pz, parts)
        here = _excess(dose, threshold, kind)
        t0, f0 = d, here
        t1, f1 = d, here
        if here > 0.0:
            for _ in range(_STEPS):
                t0, f0 = t1, f1
                t1 += step
                dose = dose_at(table, near, count, parameters, kind, x + t1 * dx, y + t1 * dy, z + t1 * dz, parts)
                f1 = _excess(dose, threshold, kind)
                if f1 <= 0.0:
                    break
            if f1 > 0.0:
                printed[n] = math.inf
                continue
        else:
            tick = 2 * n
            while f0 <= 0.0 and t0 > 0.0:
                t1, f1 = t0, f0
                t0 = max(t0 - step, 0.0)
                if t0 < d - _STEPS * step and tick == 2 * n:
                    tick += 1
                    count = near_ball(cells, table, parameters[8], x, y, z, reach + d, seen, tick, near)
                dose = dose_at(table, near, count, parameters, kind, x + t0 * dx, y + t0 * dy, z + t0 * dz, parts)
                f0 = _excess(dose, threshold, kind)
            if f0 <= 0.0:
                printed[n] = 0.0
                continue
        side = 0
        t = t0
        for _ in range(_MOST_TRIES):
            if t1 - t0 < _FINE_UM:
                break
            t = (t0 * f1 - t1 * f0) / (f1 - f0)
            dose = dose_at(table, near, count, parameters, kind, x + t * dx, y + t * dy, z + t * dz, parts)
            f = _excess(dose, threshold, kind)
            if abs(f) < 1e-6:
                t0, t1 = t, t
                break
            if f > 0.0:
                t0, f0 = t, f
                if side == 1:
                    f1 *= 0.5
                side = 1
            else:
                t1, f1 = t, f
                if side == -1:
                    f0 *= 0.5
                side = -1
        printed[n] = 0.5 * (t0 + t1)
