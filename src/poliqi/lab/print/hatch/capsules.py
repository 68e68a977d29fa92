"""Where a scan line is within a capsule, and the algebra of intervals on a line: the plain definition.

A capsule is the points within r of a segment; it is convex, so a line meets it in one interval. `kernels` computes
the same at speed and is compared with this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.network import Network

__all__ = ["COLUMNS", "capsule_interval", "capsule_rows", "intersected", "joined", "subtracted"]

COLUMNS: Final = 8
"""Of a capsule's row: first point (along, across, z), unit vector (along, across, z), length, radius."""

Interval = tuple[float, float]


def capsule_rows(network: Network, axis: int) -> NDArray[np.float64]:
    """Capsules as rows (m, 8) for scan lines along `axis` (0: x, 1: y); those without length point along it."""
    order = [axis, 1 - axis, 2]
    start, length = network.start_um[:, order], network.length_um
    unit = (network.end_um[:, order] - start) / np.maximum(length, 1e-300)[:, None]
    unit[length == 0] = (1.0, 0.0, 0.0)
    return np.ascontiguousarray(np.column_stack([start, unit, length, network.radius_um]))


def capsule_interval(row: NDArray[np.float64], across: float, z: float) -> Interval | None:
    """(start, end) of the line at (across, z) within the capsule of a `row` (8,), or None.

    The union of what lies within the sphere about either end and within the cylinder between them; for a line that
    touches or misses, None or an interval of next to no length.
    """
    a, unit, length, radius = row[:3], row[3:6], float(row[6]), float(row[7])
    b = a + length * unit
    found = [_in_sphere(a, radius, across, z), _in_sphere(b, radius, across, z)]
    found.append(_in_cylinder(a, unit, length, radius, across, z))
    parts = [one for one in found if one is not None]
    return (min(one[0] for one in parts), max(one[1] for one in parts)) if parts else None


def _in_sphere(centre: NDArray[np.float64], radius: float, across: float, z: float) -> Interval | None:
    square = radius**2 - (across - centre[1]) ** 2 - (z - centre[2]) ** 2
    if square < 0:
        return None
    return float(centre[0] - np.sqrt(square)), float(centre[0] + np.sqrt(square))


def _in_cylinder(
    a: NDArray[np.float64], unit: NDArray[np.float64], length: float, radius: float, across: float, z: float
) -> Interval | None:
    """Within `radius` of the axis and between the planes through both ends.

    With w = (0, across, z) - a and s(x) = s0 + x ux the place along the axis, the squared distance from the axis is
    |w|^2 - s^2, a square function of x.
    """
    w = np.array([-a[0], across - a[1], z - a[2]])
    s0 = float(w @ unit)
    square, linear = float(unit[1] ** 2 + unit[2] ** 2), float(w[0] - s0 * unit[0])
    constant = float(w @ w) - s0**2 - radius**2
    low, high = -np.inf, np.inf
    if square > 0:
        root = linear**2 - square * constant
        if root < 0:
            return None
        low, high = (-linear - np.sqrt(root)) / square, (-linear + np.sqrt(root)) / square
    elif constant > 0:
        return None
    if unit[0] != 0:
        ends = sorted((-s0 / float(unit[0]), (length - s0) / float(unit[0])))
        low, high = max(low, ends[0]), min(high, ends[1])
    elif not 0 <= s0 <= length:
        return None
    return (float(low), float(high)) if low <= high else None


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Their union: ascending, none touching the next."""
    out: list[Interval] = []
    for start, end in sorted(one for one in intervals if one[0] < one[1]):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def intersected(a: Sequence[Interval], b: Sequence[Interval]) -> list[Interval]:
    """What two unions share."""
    pairs = ((max(p[0], q[0]), min(p[1], q[1])) for p in a for q in b)
    return joined(one for one in pairs if one[0] < one[1])


def subtracted(a: Sequence[Interval], b: Sequence[Interval]) -> list[Interval]:
    """What of a union `a` is not in the union `b`."""
    out: list[Interval] = []
    for start, end in a:
        at = start
        for cut_start, cut_end in b:
            if cut_end <= at or cut_start >= end:
                continue
            if cut_start > at:
                out.append((at, cut_start))
            at = max(at, cut_end)
        if at < end:
            out.append((at, end))
    return out
