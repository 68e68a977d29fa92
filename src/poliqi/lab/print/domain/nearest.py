"""Compiled search for the nearest element of a surface: triangles, or rectangles across an axis.

The search goes down to the nearer child first and needs no stack: one bit a level says whether the other child has
been seen. A bound from outside (the coarse grid, a neighbour) cuts most of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel, part

__all__ = ["box_square", "nearest_square", "nearest_squares", "triangle_square"]


@part(inline=True)
def box_square(nodes: NDArray[np.float64], i: int, x: float, y: float, z: float) -> float:
    """Square of the distance from a point to the box in row i (lows, then highs)."""
    dx = max(nodes[i, 0] - x, x - nodes[i, 3], 0.0)
    dy = max(nodes[i, 1] - y, y - nodes[i, 4], 0.0)
    dz = max(nodes[i, 2] - z, z - nodes[i, 5], 0.0)
    return dx * dx + dy * dy + dz * dz


@part()
def triangle_square(corners: NDArray[np.float64], i: int, x: float, y: float, z: float) -> float:
    """Square of the distance from a point to triangle i of `corners` (n, 9).

    C. Ericson, Real-Time Collision Detection (2005), section 5.1.5; a, b, c are its corners.
    """
    ax, ay, az = corners[i, 0], corners[i, 1], corners[i, 2]
    abx, aby, abz = corners[i, 3] - ax, corners[i, 4] - ay, corners[i, 5] - az
    acx, acy, acz = corners[i, 6] - ax, corners[i, 7] - ay, corners[i, 8] - az
    px, py, pz = x - ax, y - ay, z - az
    d1 = abx * px + aby * py + abz * pz
    d2 = acx * px + acy * py + acz * pz
    bb = abx * abx + aby * aby + abz * abz
    bc = abx * acx + aby * acy + abz * acz
    cc = acx * acx + acy * acy + acz * acz
    d3, d4, d5, d6 = d1 - bb, d2 - bc, d1 - bc, d2 - cc
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    if d1 <= 0.0 and d2 <= 0.0:
        v, w = 0.0, 0.0
    elif d3 >= 0.0 and d4 <= d3:
        v, w = 1.0, 0.0
    elif d6 >= 0.0 and d5 <= d6:
        v, w = 0.0, 1.0
    elif vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        v, w = d1 / (d1 - d3), 0.0
    elif vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        v, w = 0.0, d2 / (d2 - d6)
    elif va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        v = 1.0 - w
    else:
        total = va + vb + vc
        v, w = vb / total, vc / total
    qx, qy, qz = px - v * abx - w * acx, py - v * aby - w * acy, pz - v * abz - w * acz
    return qx * qx + qy * qy + qz * qz


@part()
def nearest_square(
    nodes: NDArray[np.float64],
    first: NDArray[np.int64],
    elements: NDArray[np.float64],
    at: tuple[int, int, int, int],
    flat: bool,
    point: tuple[float, float, float],
    bound: float,
) -> float:
    """Square of the distance to the nearest element, or `bound` (a square) where none is nearer.

    `at`: where the surface begins in `nodes`, `first` and `elements`, and its leaves. `flat`: rectangles.
    """
    node_at, first_at, element_at, leaves = at
    x, y, z = point
    best = bound
    i = 1
    trail = 0
    if box_square(nodes, node_at + 1, x, y, z) >= best:
        return best
    while True:
        if i < leaves:
            left = box_square(nodes, node_at + 2 * i, x, y, z)
            right = box_square(nodes, node_at + 2 * i + 1, x, y, z)
            if min(left, right) < best:
                trail <<= 1
                i = 2 * i if left <= right else 2 * i + 1
                if max(left, right) >= best:
                    trail |= 1
                continue
        else:
            leaf = first_at + i - leaves
            for element in range(element_at + first[leaf], element_at + first[leaf + 1]):
                square = (
                    box_square(elements, element, x, y, z) if flat else triangle_square(elements, element, x, y, z)
                )
                best = min(best, square)
        while True:
            if i == 1:
                return best
            if trail & 1:
                trail >>= 1
                i >>= 1
                continue
            trail |= 1
            i ^= 1
            if box_square(nodes, node_at + i, x, y, z) < best:
                break


@kernel
def nearest_squares(
    nodes: NDArray[np.float64],
    first: NDArray[np.int64],
    elements: NDArray[np.float64],
    flat: bool,
    points: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """`nearest_square` of each of `points` (n, 3) into `found` (n,)."""
    for i in range(len(points)):
        point = (points[i, 0], points[i, 1], points[i, 2])
        found[i] = nearest_square(nodes, first, elements, (0, 0, 0, first.size - 1), flat, point, np.inf)
