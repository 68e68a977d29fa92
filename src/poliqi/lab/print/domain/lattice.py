"""Compiled crossings of lines with triangles, decided without rounding.

The corners of a mesh stand on a lattice of 2^29 steps along its longest side, a power of two in micrometres (2 pm
for a millimetre): products of two differences then fit in 64 bits, and on which side of a projected edge a line
passes is an exact answer. A line through an edge or a corner is moved by an infinitely small step, first along u,
then, infinitely smaller, along v: each line crosses a closed surface an even number of times.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel, part

__all__ = ["LATTICE_STEPS", "crossings", "is_under", "side"]

LATTICE_STEPS: Final = 1 << 29


@part(inline=True)
def side(au: int, av: int, bu: int, bv: int, u: int, v: int) -> int:
    """On which side of the line from a to b the moved point (u, v) lies: 1 left, -1 right; 0 where a = b."""
    area = (bu - au) * (v - av) - (bv - av) * (u - au)
    if area == 0:
        area = av - bv
        if area == 0:
            area = bu - au
    return 1 if area > 0 else (-1 if area < 0 else 0)


@part(inline=True)
def _crossing(
    corners: NDArray[np.float64],
    i: int,
    axes: tuple[int, int, int],
    origin: tuple[float, float, float],
    per_um: float,
    u: int,
    v: int,
) -> tuple[bool, float]:
    """Whether the line at (u, v) crosses triangle i, and at which coordinate in um."""
    axis, first, second = axes
    au = int((corners[i, first] - origin[first]) * per_um)
    av = int((corners[i, second] - origin[second]) * per_um)
    bu = int((corners[i, 3 + first] - origin[first]) * per_um)
    bv = int((corners[i, 3 + second] - origin[second]) * per_um)
    ab = side(au, av, bu, bv, u, v)
    cu = int((corners[i, 6 + first] - origin[first]) * per_um)
    cv = int((corners[i, 6 + second] - origin[second]) * per_um)
    bc = side(bu, bv, cu, cv, u, v)
    ca = side(cu, cv, au, av, u, v)
    if ab == 0 or ab != bc or bc != ca:
        return False, 0.0
    wa = float((cu - bu) * (v - bv) - (cv - bv) * (u - bu))
    wb = float((au - cu) * (v - cv) - (av - cv) * (u - cu))
    wc = float((bu - au) * (v - av) - (bv - av) * (u - au))
    low = corners[i, axis]
    part_b = wb * (corners[i, 3 + axis] - low)
    part_c = wc * (corners[i, 6 + axis] - low)
    return True, low + (part_b + part_c) / (wa + wb + wc)


@part()
def is_under(
    nodes: NDArray[np.float64],
    first: NDArray[np.int64],
    corners: NDArray[np.float64],
    at: tuple[int, int, int, int],
    origin: tuple[float, float, float],
    per_um: float,
    point: tuple[float, float, float],
) -> bool:
    """Whether a point lies inside: the line up from it crosses the surface an odd number of times."""
    node_at, first_at, element_at, leaves = at
    x, y, z = point
    inside = False
    root = node_at + 1
    if not (nodes[root, 0] <= x <= nodes[root, 3] and nodes[root, 1] <= y <= nodes[root, 4]):
        return False
    u = round((x - origin[0]) * per_um)
    v = round((y - origin[1]) * per_um)
    x, y = origin[0] + u / per_um, origin[1] + v / per_um
    i = 1
    while i > 0:
        n = node_at + i
        near = nodes[n, 0] <= x <= nodes[n, 3] and nodes[n, 1] <= y <= nodes[n, 4]
        if near and nodes[n, 5] >= z:
            if i < leaves:
                i *= 2
                continue
            leaf = first_at + i - leaves
            for element in range(element_at + first[leaf], element_at + first[leaf + 1]):
                crosses, t = _crossing(corners, element, (2, 0, 1), origin, per_um, u, v)
                if crosses and t > z:
                    inside = not inside
        while i & 1:
            i >>= 1
        if i > 0:
            i += 1
    return inside


@kernel
def crossings(
    nodes: NDArray[np.float64],
    first: NDArray[np.int64],
    corners: NDArray[np.float64],
    origin: tuple[float, float, float],
    per_um: float,
    axis: int,
    u_um: NDArray[np.float64],
    v_um: NDArray[np.float64],
    begin: int,
    stop: int,
    offsets: NDArray[np.int64],
    found: NDArray[np.float64],
    owners: NDArray[np.int64],
) -> int:
    """Crossings of the lines from `begin` to `stop` with all triangles, ascending on each line.

    Fills `offsets` (n + 1,), `found` (coordinates, um) and, where it is as long, `owners` (which triangle). Returns
    the first line that was not done: `stop`, or the one for which `found` has no room.
    """
    axes = (0, 1, 2) if axis == 0 else ((1, 0, 2) if axis == 1 else (2, 0, 1))
    p, q = axes[1], axes[2]
    leaves = first.size - 1
    for line in range(begin, stop):
        n = offsets[line]
        x, y = u_um[line], v_um[line]
        offsets[line + 1] = n
        if not (nodes[1, p] <= x <= nodes[1, p + 3] and nodes[1, q] <= y <= nodes[1, q + 3]):
            continue
        u = round((x - origin[p]) * per_um)
        v = round((y - origin[q]) * per_um)
        x, y = origin[p] + u / per_um, origin[q] + v / per_um
        i = 1
        while i > 0:
            if nodes[i, p] <= x <= nodes[i, p + 3] and nodes[i, q] <= y <= nodes[i, q + 3]:
                if i < leaves:
                    i *= 2
                    continue
                leaf = i - leaves
                for element in range(first[leaf], first[leaf + 1]):
                    crosses, t = _crossing(corners, element, axes, origin, per_um, u, v)
                    if crosses:
                        if n >= found.size:
                            return line
                        k = n
                        while k > offsets[line] and found[k - 1] > t:
                            found[k] = found[k - 1]
                            if owners.size == found.size:
                                owners[k] = owners[k - 1]
                            k -= 1
                        found[k] = t
                        if owners.size == found.size:
                            owners[k] = element
                        n += 1
            while i & 1:
                i >>= 1
            if i > 0:
                i += 1
        offsets[line + 1] = n
    return stop
