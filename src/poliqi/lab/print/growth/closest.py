"""Closest points of two segments, also with the neighbourhood along the vessels cut out.

Two vessels that meet are one lumen near the place where they meet. With s and t the distances along two segments
from the ends at which the path between them leaves and enters, and d the path between these ends, points further
apart along the path than a length k obey s + t >= k - d: a half-plane in (s, t). The squared distance is convex in
(s, t), so its least value there is the free one where that lies inside, and else lies on the half-plane's edge.
The free one: Ericson, Real-Time Collision Detection (2005), section 5.1.9.
"""

from __future__ import annotations

import math

from poliqi.base.jit import kernel

__all__ = ["apart", "free_closest"]


@kernel
def free_closest(
    ax: float, ay: float, az: float, ux: float, uy: float, uz: float, reach_a: float,
    bx: float, by: float, bz: float, vx: float, vy: float, vz: float, reach_b: float,
) -> tuple[float, float]:  # fmt: skip
    """Where a + s u, 0 <= s <= reach_a, and b + t v, 0 <= t <= reach_b, are closest: (s, t). u, v are unit
    vectors.
    """
    wx, wy, wz = ax - bx, ay - by, az - bz
    uv = ux * vx + uy * vy + uz * vz
    uw = ux * wx + uy * wy + uz * wz
    vw = vx * wx + vy * wy + vz * wz
    denominator = 1.0 - uv * uv
    s = 0.0
    if denominator > 1e-12:
        s = min(max((uv * vw - uw) / denominator, 0.0), reach_a)
    t = uv * s + vw
    if t < 0.0:
        t = 0.0
        s = min(max(-uw, 0.0), reach_a)
    elif t > reach_b:
        t = reach_b
        s = min(max(uv * reach_b - uw, 0.0), reach_a)
    return s, t


@kernel
def apart(
    ax: float, ay: float, az: float, ux: float, uy: float, uz: float, reach_a: float,
    bx: float, by: float, bz: float, vx: float, vy: float, vz: float, reach_b: float,
    least: float,
) -> tuple[float, float, float]:  # fmt: skip
    """Least distance over all s + t >= least, with s and t of it; infinite where the segments are too short for
    that.

    The arguments are those of `free_closest`; a and b are the ends at which the path between the two arrives.
    """
    if least > reach_a + reach_b:
        return math.inf, 0.0, 0.0
    s, t = free_closest(ax, ay, az, ux, uy, uz, reach_a, bx, by, bz, vx, vy, vz, reach_b)
    if s + t < least:
        wx, wy, wz = ax - bx - least * vx, ay - by - least * vy, az - bz - least * vz
        dx, dy, dz = ux + vx, uy + vy, uz + vz
        squared = dx * dx + dy * dy + dz * dz
        low, high = max(0.0, least - reach_b), min(reach_a, least)
        s = low
        if squared > 1e-18:
            s = -(wx * dx + wy * dy + wz * dz) / squared
        s = min(max(s, low), high)
        t = least - s
    x = ax + s * ux - bx - t * vx
    y = ay + s * uy - by - t * vy
    z = az + s * uz - bz - t * vz
    return math.sqrt(x * x + y * y + z * z), s, t
