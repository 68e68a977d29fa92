"""Compiled signed distances to primitives, positive inside; each with the point in the primitive's own frame.

A primitive is a row of 16 numbers: its centre, the 3 x 3 rotation that turns directions of the world into its own
(rows: its axes), and four sizes. `poliqi.lab.print.domain.primitive` says what the sizes of each kind are.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import part

__all__ = ["BOX", "CAPSULE", "CHIP", "CYLINDER", "ELLIPSOID", "SPHERE", "TORUS", "primitive_depth"]

BOX: Final = 0
SPHERE: Final = 1
CYLINDER: Final = 2
ELLIPSOID: Final = 3
TORUS: Final = 4
CHIP: Final = 5
CAPSULE: Final = 6
_NEWTON: Final = 120


@part(inline=True)
def _extruded(across: float, along: float) -> float:
    """Depth in a prism, from the signed distances (negative inside) across its outline and along its height."""
    outside = math.hypot(max(across, 0.0), max(along, 0.0))
    return -(outside + min(max(across, along), 0.0))


@part()
def _ellipsoid_depth(x: float, y: float, z: float, a: float, b: float, c: float) -> float:
    """Signed distance to an ellipsoid: D. Eberly, Distance from a point to an ellipsoid (2013), section 3.

    Root of sum (r_i z_i/(r_i - 1 + w))^2 = 1 with z = |p|/e, r = (e/e_min)^2; its w is Eberly's s + 1, so that
    nothing cancels near the smallest axis. The sum is convex and falls: Newton's steps from below never overshoot.
    A coordinate of nought is moved by 1e-13 of its axis, which changes a distance by no more.
    """
    least = min(a, b, c)
    za, zb, zc = max(abs(x) / a, 1e-13), max(abs(y) / b, 1e-13), max(abs(z) / c, 1e-13)
    ra, rb, rc = (a / least) ** 2, (b / least) ** 2, (c / least) ** 2
    inside = za * za + zb * zb + zc * zc < 1.0
    w = max(ra * za - (ra - 1.0), rb * zb - (rb - 1.0), rc * zc - (rc - 1.0))
    for _ in range(_NEWTON):
        da, db, dc = ra - 1.0 + w, rb - 1.0 + w, rc - 1.0 + w
        ta, tb, tc = (ra * za / da) ** 2, (rb * zb / db) ** 2, (rc * zc / dc) ** 2
        excess = ta + tb + tc - 1.0
        step = excess / (2.0 * (ta / da + tb / db + tc / dc))
        w += step
        if step <= 1e-16 * w:
            break
    fa, fb, fc = ra / (ra - 1.0 + w), rb / (rb - 1.0 + w), rc / (rc - 1.0 + w)
    gap = math.sqrt(((fa - 1) * za * a) ** 2 + ((fb - 1) * zb * b) ** 2 + ((fc - 1) * zc * c) ** 2)
    return gap if inside else -gap


@part()
def primitive_depth(kind: int, frames: NDArray[np.float64], row: int, px: float, py: float, pz: float) -> float:
    """Signed distance in um from a point of the world to the surface of primitive `row`, positive inside."""
    wx, wy, wz = px - frames[row, 0], py - frames[row, 1], pz - frames[row, 2]
    x = frames[row, 3] * wx + frames[row, 4] * wy + frames[row, 5] * wz
    y = frames[row, 6] * wx + frames[row, 7] * wy + frames[row, 8] * wz
    z = frames[row, 9] * wx + frames[row, 10] * wy + frames[row, 11] * wz
    a, b, c, d = frames[row, 12], frames[row, 13], frames[row, 14], frames[row, 15]
    if kind == SPHERE:
        return a - math.sqrt(x * x + y * y + z * z)
    if kind == CYLINDER:
        return _extruded(math.hypot(x, y) - a, abs(z) - b)
    if kind == ELLIPSOID:
        return _ellipsoid_depth(x, y, z, a, b, c)
    if kind == TORUS:
        return b - math.hypot(math.hypot(x, y) - a, z)
    if kind == CAPSULE:
        beyond = max(abs(z) - b, 0.0)
        return a - math.sqrt(x * x + y * y + beyond * beyond)
    # a box is a plate with corners of radius nought
    qx, qy = abs(x) - a + d, abs(y) - b + d
    across = math.hypot(max(qx, 0.0), max(qy, 0.0)) + min(max(qx, qy), 0.0) - d
    return _extruded(across, abs(z) - c)
