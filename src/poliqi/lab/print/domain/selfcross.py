"""Compiled, exact search for triangles of a mesh that cut or touch each other away from shared corners.

All coordinates are whole lattice steps below 2^29 (`lattice`). The sign of a 3 x 3 determinant of their differences
needs 89 bits: minors (below 2^59) are split in two halves, and each half's sum fits in 64 bits.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel, part

__all__ = ["first_cut", "orient", "orients"]

_HALF: Final = 30
_MASK: Final = (1 << 30) - 1
Grid = NDArray[np.int64]


@part()
def orient(p: Grid, a: int, b: int, c: int, d: int) -> int:
    """Sign of det(b - a, c - a, d - a), exact: 1 where d is above the plane of a, b, c; 0 where it is in it."""
    bx, by, bz = p[b, 0] - p[a, 0], p[b, 1] - p[a, 1], p[b, 2] - p[a, 2]
    cx, cy, cz = p[c, 0] - p[a, 0], p[c, 1] - p[a, 1], p[c, 2] - p[a, 2]
    dx, dy, dz = p[d, 0] - p[a, 0], p[d, 1] - p[a, 1], p[d, 2] - p[a, 2]
    mx, my, mz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
    high = dx * (mx >> _HALF) + dy * (my >> _HALF) + dz * (mz >> _HALF)
    low = dx * (mx & _MASK) + dy * (my & _MASK) + dz * (mz & _MASK)
    high += low >> _HALF
    low &= _MASK
    if high != 0:
        return 1 if high > 0 else -1
    return 1 if low > 0 else 0


@part()
def _flat(p: Grid, k: int, a: int, b: int, c: int) -> int:
    """Sign of the area of a, b, c seen along axis k."""
    i, j = (1, 2) if k == 0 else ((2, 0) if k == 1 else (0, 1))
    area = (p[b, i] - p[a, i]) * (p[c, j] - p[a, j]) - (p[b, j] - p[a, j]) * (p[c, i] - p[a, i])
    return 1 if area > 0 else (-1 if area < 0 else 0)


@part()
def _view(p: Grid, a: int, b: int, c: int) -> int:
    """An axis along which a, b, c are seen with an area; -1 where they stand on one line."""
    for k in range(3):
        if _flat(p, k, a, b, c) != 0:
            return k
    return -1


@part()
def _between(p: Grid, a: int, b: int, q: int) -> bool:
    """Whether q, on the line of a and b, lies in the box of both."""
    near = True
    for k in range(3):
        near = near and min(p[a, k], p[b, k]) <= p[q, k] <= max(p[a, k], p[b, k])
    return near


@part()
def _edges_meet(p: Grid, k: int, a: int, b: int, c: int, d: int) -> bool:
    """Whether two segments of one plane, seen along k, share a point."""
    c_side, d_side = _flat(p, k, a, b, c), _flat(p, k, a, b, d)
    a_side, b_side = _flat(p, k, c, d, a), _flat(p, k, c, d, b)
    if c_side * d_side < 0 and a_side * b_side < 0:
        return True
    if c_side == 0 and _between(p, a, b, c):
        return True
    if d_side == 0 and _between(p, a, b, d):
        return True
    if a_side == 0 and _between(p, c, d, a):
        return True
    return b_side == 0 and _between(p, c, d, b)


@part()
def _meets(p: Grid, q: int, r: int, a: int, b: int, c: int) -> bool:
    """Whether the segment q r and the triangle a b c share a point."""
    q_side, r_side = orient(p, a, b, c, q), orient(p, a, b, c, r)
    if q_side * r_side > 0:
        return False
    if q_side == 0 and r_side == 0:
        k = _view(p, a, b, c)
        ab, bc, ca = _flat(p, k, a, b, q), _flat(p, k, b, c, q), _flat(p, k, c, a, q)
        if (ab >= 0 and bc >= 0 and ca >= 0) or (ab <= 0 and bc <= 0 and ca <= 0):
            return True
        return _edges_meet(p, k, q, r, a, b) or _edges_meet(p, k, q, r, b, c) or _edges_meet(p, k, q, r, c, a)
    ab, bc, ca = orient(p, q, r, a, b), orient(p, q, r, b, c), orient(p, q, r, c, a)
    return (ab >= 0 and bc >= 0 and ca >= 0) or (ab <= 0 and bc <= 0 and ca <= 0)


@part()
def _cut(p: Grid, one: NDArray[np.int64], two: NDArray[np.int64]) -> bool:
    """Whether two triangles share more than their common corners or edge."""
    shared = 0
    lone_one, lone_two = 3, 3  # sums of the places of corners that are not shared
    common_one, common_two = -1, -1
    for i in range(3):
        for j in range(3):
            if one[i] == two[j]:
                shared += 1
                lone_one -= i
                lone_two -= j
                common_one, common_two = i, j
    if shared == 3:
        return True
    if shared == 2:  # lone_* is now the place of the corner that is not shared
        far_one, far_two = one[lone_one], two[lone_two]
        a, b = one[(lone_one + 1) % 3], one[(lone_one + 2) % 3]
        if orient(p, a, b, far_one, far_two) != 0:
            return False
        k = _view(p, a, b, far_one)
        return _flat(p, k, a, b, far_one) == _flat(p, k, a, b, far_two)
    if shared == 1:
        i, j = common_one, common_two
        if _meets(p, one[(i + 1) % 3], one[(i + 2) % 3], two[0], two[1], two[2]):
            return True
        return _meets(p, two[(j + 1) % 3], two[(j + 2) % 3], one[0], one[1], one[2])
    for i in range(3):
        if _meets(p, one[i], one[(i + 1) % 3], two[0], two[1], two[2]):
            return True
        if _meets(p, two[i], two[(i + 1) % 3], one[0], one[1], one[2]):
            return True
    return False


@kernel
def first_cut(
    points: Grid,
    triangles: NDArray[np.int64],
    boxes: NDArray[np.int64],
    nodes: NDArray[np.int64],
    first: NDArray[np.int64],
    begin: int,
    stop: int,
) -> tuple[int, int]:
    """The first pair of triangles, one of them from `begin` to `stop`, that cut each other; (-1, -1) where none do.

    `points` (n, 3), `boxes` (m, 6) and `nodes`: lattice steps. `triangles` (m, 3), none without an area, in the
    order of the hierarchy (`nodes`, `first`).
    """
    leaves = first.size - 1
    for one in range(begin, stop):
        i = 1
        while i > 0:
            apart = False
            for k in range(3):
                if nodes[i, k] > boxes[one, k + 3] or nodes[i, k + 3] < boxes[one, k]:
                    apart = True
            if not apart and i < leaves:
                i *= 2
                continue
            if not apart:
                for two in range(max(first[i - leaves], one + 1), first[i - leaves + 1]):
                    near = True
                    for k in range(3):
                        if boxes[two, k] > boxes[one, k + 3] or boxes[two, k + 3] < boxes[one, k]:
                            near = False
                    if near and _cut(points, triangles[one], triangles[two]):
                        return one, two
            while i & 1:
                i >>= 1
            if i > 0:
                i += 1
    return -1, -1


@kernel
def orients(points: Grid, four: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    """`orient` of each row of `four` (n, 4), for tests."""
    for i in range(len(four)):
        found[i] = orient(points, four[i, 0], four[i, 1], four[i, 2], four[i, 3])
