"""Where a straight line is within a capsule, and within a union of capsules near it: the pieces kernels share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined
from poliqi.lab.print.network import Network

__all__ = ["capsule_table", "line_in_capsule", "line_in_union"]

_PARALLEL = 1e-14


def capsule_table(network: Network) -> NDArray[np.float64]:
    """Capsules (m, 8): first point, unit vector along it, length, radius; um."""
    length = network.length_um
    start = network.start_um
    unit = (network.end_um - start) / np.maximum(length, 1e-300)[:, None]
    return np.ascontiguousarray(np.column_stack([start, unit, length, network.radius_um]))


@inlined
def line_in_capsule(
    row: NDArray[np.float64], radius: float, px: float, py: float, pz: float, dx: float, dy: float, dz: float
) -> tuple[float, float]:
    """(from, to) along the line p + t d, |d| = 1, within `radius` of the axis of a `row` (8,); from > to if beside.

    The capsule is convex: what the line has of its cylinder and of both spheres makes one interval.
    """
    wx, wy, wz = px - row[0], py - row[1], pz - row[2]
    ux, uy, uz, length = row[3], row[4], row[5], row[6]
    square = radius * radius
    low, high = 1.0, -1.0
    du = dx * ux + dy * uy + dz * uz
    wu = wx * ux + wy * uy + wz * uz
    # across the axis: w and d without their parts along it
    ax, ay, az = wx - wu * ux, wy - wu * uy, wz - wu * uz
    bx, by, bz = dx - du * ux, dy - du * uy, dz - du * uz
    bb = bx * bx + by * by + bz * bz
    aa = ax * ax + ay * ay + az * az
    inside = True
    one, two = -1e18, 1e18
    if bb > _PARALLEL:
        ab = ax * bx + ay * by + az * bz
        # distance of the two lines, from the cross product: nothing cancels
        cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        root = square * bb - (cx * cx + cy * cy + cz * cz)
        if root < 0.0:
            return 1.0, -1.0
        root = math.sqrt(root)
        one = (-ab - root) / bb
        two = (-ab + root) / bb
    elif aa > square:
        return 1.0, -1.0
    if abs(du) > _PARALLEL:
        three = -wu / du
        four = (length - wu) / du
        one = max(one, min(three, four))
        two = min(two, max(three, four))
    elif wu < 0.0 or wu > length:
        inside = False
    if inside and one <= two:
        low, high = one, two
    for end in range(2):
        ex, ey, ez = wx - end * length * ux, wy - end * length * uy, wz - end * length * uz
        along = ex * dx + ey * dy + ez * dz
        gx, gy, gz = ex - along * dx, ey - along * dy, ez - along * dz
        left = square - (gx * gx + gy * gy + gz * gz)
        if left >= 0.0:
            half = math.sqrt(left)
            if low > high:
                low, high = -along - half, -along + half
            else:
                low = min(low, -along - half)
                high = max(high, -along + half)
    return low, high


@inlined
def line_in_union(
    table: NDArray[np.float64],
    near: NDArray[np.int64],
    count: int,
    wide: float,
    p: tuple[float, float, float],
    axis: int,
    low: float,
    high: float,
    parts: NDArray[np.float64],
) -> int:
    """Disjoint ascending intervals of a line along x (axis 0) or y (1), within [low, high], in the union.

    Of the capsules `near[:count]`, each `wide` thicker; places are coordinates along `axis`. They are put into
    `parts` (n, 2), n >= `count`, which suffices as each capsule adds one at most; returns how many.
    """
    found = 0
    dx = 1.0 if axis == 0 else 0.0
    dy = 1.0 - dx
    base = p[0] if axis == 0 else p[1]
    for n in range(count):
        row = table[near[n]]
        one, two = line_in_capsule(row, row[7] + wide, p[0], p[1], p[2], dx, dy, 0.0)
        if one >= two:
            continue
        one, two = max(one + base, low), min(two + base, high)
        if one >= two:
            continue
        at = 0
        while at < found and parts[at, 1] < one:
            at += 1
        stop = at
        while stop < found and parts[stop, 0] <= two:
            one = min(one, parts[stop, 0])
            two = max(two, parts[stop, 1])
            stop += 1
        if stop == at:
            for k in range(found, at, -1):
                parts[k, 0] = parts[k - 1, 0]
                parts[k, 1] = parts[k - 1, 1]
            found += 1
        elif stop > at + 1:
            gone = stop - at - 1
            for k in range(at + 1, found - gone):
                parts[k, 0] = parts[k + gone, 0]
                parts[k, 1] = parts[k + gone, 1]
            found -= gone
        parts[at, 0] = one
        parts[at, 1] = two
    return found
