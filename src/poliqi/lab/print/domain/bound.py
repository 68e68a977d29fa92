"""Compiled signed distance to a surface, positive inside: exact, or a proven lower bound from a coarse grid.

The grid holds exact signed distances s at its nodes, spaced by h. Let C be the corner of the point p's cell drawn
with the trilinear weights, so that E C = p, V = E |C - p|^2 = h^2 sum f (1 - f) <= 3 h^2/4, and T = E s(C) the
interpolated value. A distance changes by no more than one moves: |s(p) - T| <= sqrt(V). Where s(p) > 0 and b is the
nearest point of the boundary, s(C) <= |C - b| <= d + u.(C - p) + |C - p|^2/(2 d) with d = |p - b| (as
sqrt(q) <= (q + d^2)/(2 d)), hence T <= d + V/(2 d), and d is at least the larger root,

    s(p) >= (T + sqrt(T^2 - 2 V))/2    for T >= 2 sqrt(V),

which is V/(2 d) from the truth: a hundredth of h at a distance of 40 h. The same holds from outside with -s.
Nearer than `NEAR` nodes the search itself answers.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel, part
from poliqi.lab.print.domain.lattice import is_under
from poliqi.lab.print.domain.nearest import nearest_square

__all__ = ["FACTS", "LABELS", "MESH", "NEAR", "grid_distances", "surface_bound", "surface_depth"]

NEAR: Final = 2.5
MESH: Final = 7
LABELS: Final = 8
FACTS: Final = 14
"""Numbers of a part's row: see `surface_depth`."""
_ROUNDING: Final = 1e-9


@part()
def _is_inside(
    parts: NDArray[np.int64],
    frames: NDArray[np.float64],
    n: int,
    nodes: NDArray[np.float64],
    first: NDArray[np.int64],
    elements: NDArray[np.float64],
    mask: NDArray[np.uint8],
    point: tuple[float, float, float],
) -> bool:
    at = (parts[n, 2], parts[n, 3], parts[n, 4], parts[n, 5])
    if parts[n, 0] == MESH:
        return is_under(nodes, first, elements, at, (frames[n, 4], frames[n, 5], frames[n, 6]), frames[n, 7], point)
    i = math.floor((point[0] - frames[n, 4]) * frames[n, 7])
    j = math.floor((point[1] - frames[n, 5]) * frames[n, 8])
    k = math.floor((point[2] - frames[n, 6]) * frames[n, 9])
    if not (0 <= i < parts[n, 11] and 0 <= j < parts[n, 12] and 0 <= k < parts[n, 13]):
        return False
    return mask[parts[n, 10] + (int(i) * parts[n, 12] + int(j)) * parts[n, 13] + int(k)] != 0


@part()
def surface_depth(
    parts: NDArray[np.int64],
    frames: NDArray[np.float64],
    n: int,
    nodes: NDArray[np.float64],
    first: NDArray[np.int64],
    elements: NDArray[np.float64],
    mask: NDArray[np.uint8],
    point: tuple[float, float, float],
    bound: float,
    known: int,
) -> float:
    """Signed distance in um, exact; `bound`: no less than its size; `known`: its sign where that is sure, else 0.

    Row n of `parts`: kind, sign; where it begins in nodes, first and elements, its leaves; where it begins in the
    grid and the grid's shape; where it begins in the mask and the mask's shape. Row n of `frames`: the grid's
    origin and spacing, the origin of lattice or voxels, and their number per um along each axis.
    """
    at = (parts[n, 2], parts[n, 3], parts[n, 4], parts[n, 5])
    square = nearest_square(nodes, first, elements, at, parts[n, 0] == LABELS, point, bound * bound)
    distance = math.sqrt(square)
    if known == 0:
        known = 1 if _is_inside(parts, frames, n, nodes, first, elements, mask, point) else -1
    return distance if known > 0 else -distance


@part()
def surface_bound(
    parts: NDArray[np.int64],
    frames: NDArray[np.float64],
    n: int,
    nodes: NDArray[np.float64],
    first: NDArray[np.int64],
    elements: NDArray[np.float64],
    mask: NDArray[np.uint8],
    grid: NDArray[np.float64],
    point: tuple[float, float, float],
    turn: float,
) -> float:
    """A lower bound of `turn` (1 or -1) times the signed distance; exact near the surface and off the grid."""
    h = frames[n, 3]
    if h == 0.0:  # no grid
        return turn * surface_depth(parts, frames, n, nodes, first, elements, mask, point, math.inf, 0)
    x, y, z = (point[0] - frames[n, 0]) / h, (point[1] - frames[n, 1]) / h, (point[2] - frames[n, 2]) / h
    if not (0.0 <= x < parts[n, 7] - 1 and 0.0 <= y < parts[n, 8] - 1 and 0.0 <= z < parts[n, 9] - 1):
        return turn * surface_depth(parts, frames, n, nodes, first, elements, mask, point, math.inf, -1)
    i, j, k = int(x), int(y), int(z)
    f, g, e = x - i, y - j, z - k
    c = parts[n, 6] + (i * parts[n, 8] + j) * parts[n, 9] + k
    s, p = parts[n, 9], parts[n, 8] * parts[n, 9]
    low = (1 - g) * ((1 - e) * grid[c] + e * grid[c + 1]) + g * ((1 - e) * grid[c + s] + e * grid[c + s + 1])
    c += p
    high = (1 - g) * ((1 - e) * grid[c] + e * grid[c + 1]) + g * ((1 - e) * grid[c + s] + e * grid[c + s + 1])
    value = (1 - f) * low + f * high
    spread = h * h * (f * (1 - f) + g * (1 - g) + e * (1 - e))
    root = math.sqrt(spread)
    turned = turn * value
    if turned >= NEAR * h:  # at least 2 sqrt(V), as V <= 3 h^2/4
        return 0.5 * (turned + math.sqrt(turned * turned - 2.0 * spread)) - _ROUNDING * turned
    if turned <= -NEAR * h:
        return turned - root
    known = 1 if value > root * (1 + _ROUNDING) else (-1 if value < -root * (1 + _ROUNDING) else 0)
    reach = (abs(value) + root) * (1 + _ROUNDING) + _ROUNDING * h
    return turn * surface_depth(parts, frames, n, nodes, first, elements, mask, point, reach, known)


@kernel
def grid_distances(
    parts: NDArray[np.int64],
    frames: NDArray[np.float64],
    n: int,
    nodes: NDArray[np.float64],
    first: NDArray[np.int64],
    elements: NDArray[np.float64],
    mask: NDArray[np.uint8],
    grid: NDArray[np.float64],
    begin: int,
    stop: int,
) -> None:
    """Exact signed distances at the nodes of the grid (n,) in the layers from `begin` to `stop` along x."""
    h = frames[n, 3]
    far = h * (1 + _ROUNDING)
    for i in range(begin, stop):
        for j in range(parts[n, 8]):
            c = parts[n, 6] + (i * parts[n, 8] + j) * parts[n, 9]
            for k in range(parts[n, 9]):
                reach = np.inf
                known = 0
                if k > 0 or j > 0 or i > begin:
                    near = grid[c + k - (1 if k > 0 else (parts[n, 9] if j > 0 else parts[n, 8] * parts[n, 9]))]
                    reach = abs(near) + far
                    known = 1 if near > far else (-1 if near < -far else 0)
                point = (frames[n, 0] + i * h, frames[n, 1] + j * h, frames[n, 2] + k * h)
                grid[c + k] = surface_depth(parts, frames, n, nodes, first, elements, mask, point, reach, known)
