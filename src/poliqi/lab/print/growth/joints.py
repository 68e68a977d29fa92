"""Where a new terminal joins a vessel: the joint that makes the three vessels' volume least.

At a joint of vessels with radii r the sum of r^2 l is least where the pulls r^2 along the vessels balance; with
Murray's law these are the angles of Kamiya and Togawa (Bull. Math. Biophys. 34 (1972) 431). The joint is found by
Weiszfeld's iteration for the point of least weighted distance to three.
"""

from __future__ import annotations

import math

from poliqi.base.jit import kernel

__all__ = ["balanced", "kept_off"]

_MOST_ROUNDS = 40


@kernel
def _pull(
    ax: float, ay: float, az: float, own: float,
    bx: float, by: float, bz: float, pull_b: float,
    cx: float, cy: float, cz: float, pull_c: float,
) -> bool:  # fmt: skip
    """Whether the pulls towards b and c together do not move a joint that lies in a."""
    ux, uy, uz = bx - ax, by - ay, bz - az
    vx, vy, vz = cx - ax, cy - ay, cz - az
    u = math.sqrt(ux * ux + uy * uy + uz * uz)
    v = math.sqrt(vx * vx + vy * vy + vz * vz)
    if u <= 0.0 or v <= 0.0:
        return True
    x = pull_b * ux / u + pull_c * vx / v
    y = pull_b * uy / u + pull_c * vy / v
    z = pull_b * uz / u + pull_c * vz / v
    return x * x + y * y + z * z <= own * own


@kernel
def balanced(
    ax: float, ay: float, az: float, pull_a: float,
    bx: float, by: float, bz: float, pull_b: float,
    cx: float, cy: float, cz: float, pull_c: float,
) -> tuple[float, float, float]:  # fmt: skip
    """The point whose distances to a, b and c, times their pulls, have the least sum."""
    if _pull(ax, ay, az, pull_a, bx, by, bz, pull_b, cx, cy, cz, pull_c):
        return ax, ay, az
    if _pull(bx, by, bz, pull_b, ax, ay, az, pull_a, cx, cy, cz, pull_c):
        return bx, by, bz
    if _pull(cx, cy, cz, pull_c, ax, ay, az, pull_a, bx, by, bz, pull_b):
        return cx, cy, cz
    total = pull_a + pull_b + pull_c
    x = (pull_a * ax + pull_b * bx + pull_c * cx) / total
    y = (pull_a * ay + pull_b * by + pull_c * cy) / total
    z = (pull_a * az + pull_b * bz + pull_c * cz) / total
    for _ in range(_MOST_ROUNDS):
        a = math.sqrt((x - ax) ** 2 + (y - ay) ** 2 + (z - az) ** 2)
        b = math.sqrt((x - bx) ** 2 + (y - by) ** 2 + (z - bz) ** 2)
        c = math.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
        if a <= 0.0 or b <= 0.0 or c <= 0.0:
            break
        a, b, c = pull_a / a, pull_b / b, pull_c / c
        total = a + b + c
        nx, ny, nz = (
            (a * ax + b * bx + c * cx) / total,
            (a * ay + b * by + c * cy) / total,
            (a * az + b * bz + c * cz) / total,
        )
        moved = (nx - x) ** 2 + (ny - y) ** 2 + (nz - z) ** 2
        x, y, z = nx, ny, nz
        if moved * total * total < 1e-7 * (pull_a + pull_b + pull_c) ** 2:
            break
    return x, y, z


@kernel
def kept_off(
    x: float, y: float, z: float,
    ax: float, ay: float, az: float, least: float,
    tx: float, ty: float, tz: float,
) -> tuple[float, float, float]:  # fmt: skip
    """A joint, moved to `least` from the point a where it is closer; towards t where it lies in a."""
    ux, uy, uz = x - ax, y - ay, z - az
    far = math.sqrt(ux * ux + uy * uy + uz * uz)
    if far >= least:
        return x, y, z
    if far < 1e-6 * least:
        ux, uy, uz = tx - ax, ty - ay, tz - az
        far = math.sqrt(ux * ux + uy * uy + uz * uz)
        if far <= 0.0:
            return x, y, z
    far = least / far
    return ax + far * ux, ay + far * uy, az + far * uz
