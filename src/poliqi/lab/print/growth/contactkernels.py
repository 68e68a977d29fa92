"""Compiled search for vessels that come too near; `poliqi.lab.print.growth.contacts` says what counts."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.lab.print.growth.cells import point_distance
from poliqi.lab.print.growth.closest import free_closest

__all__ = ["cell_counts", "cell_fill", "four_ways", "search"]

_HALF_DIAGONAL: Final = 0.8660254037844387
_WIDENINGS: Final = 64
_SAME_NUMBER: Final = 1.0 + 1e-9


@kernel
def _span(
    origin: NDArray[np.float64], edge: float, shape: NDArray[np.int64], axis: int, low: float, high: float
) -> tuple[int, int]:
    first = math.floor((low - origin[axis]) / edge)
    last = math.floor((high - origin[axis]) / edge)
    most = shape[axis] - 1
    return int(min(max(first, 0), most)), int(min(max(last, 0), most))


@kernel
def _cells_of(
    a: NDArray[np.float64], b: NDArray[np.float64], radius: float,
    origin: NDArray[np.float64], edge: float, shape: NDArray[np.int64],
    offset: NDArray[np.int64], listed: NDArray[np.int32], number: int, fill: bool,
) -> None:  # fmt: skip
    """Count (offset[cell + 1]) or list one segment in the cells within `radius` of its axis."""
    x0, x1 = _span(origin, edge, shape, 0, min(a[0], b[0]) - radius, max(a[0], b[0]) + radius)
    y0, y1 = _span(origin, edge, shape, 1, min(a[1], b[1]) - radius, max(a[1], b[1]) + radius)
    z0, z1 = _span(origin, edge, shape, 2, min(a[2], b[2]) - radius, max(a[2], b[2]) + radius)
    reach = radius + _HALF_DIAGONAL * edge
    few = (x1 - x0 + 1) * (y1 - y0 + 1) * (z1 - z0 + 1) <= 2
    for i in range(x0, x1 + 1):
        x = origin[0] + (i + 0.5) * edge
        for j in range(y0, y1 + 1):
            y = origin[1] + (j + 0.5) * edge
            for k in range(z0, z1 + 1):
                z = origin[2] + (k + 0.5) * edge
                if few or point_distance(x, y, z, a, b) <= reach:
                    cell = (i * shape[1] + j) * shape[2] + k
                    if fill:
                        listed[offset[cell]] = number
                        offset[cell] += 1
                    else:
                        offset[cell + 1] += 1


@kernel
def cell_counts(
    near: NDArray[np.float64], far: NDArray[np.float64], radius: NDArray[np.float64], half_gap: float,
    origin: NDArray[np.float64], edge: float, shape: NDArray[np.int64], offset: NDArray[np.int64],
) -> None:  # fmt: skip
    """How many segments each cell holds, into offset[1:], cells in rows of the last axis."""
    nothing = np.empty(0, dtype=np.int32)
    for s in range(near.shape[0]):
        _cells_of(near[s], far[s], radius[s] + half_gap, origin, edge, shape, offset, nothing, s, False)


@kernel
def cell_fill(
    near: NDArray[np.float64], far: NDArray[np.float64], radius: NDArray[np.float64], half_gap: float,
    origin: NDArray[np.float64], edge: float, shape: NDArray[np.int64],
    offset: NDArray[np.int64], listed: NDArray[np.int32],
) -> None:  # fmt: skip
    """List the segments of each cell; `offset` begins as the first place of each cell and ends as the last."""
    for s in range(near.shape[0]):
        _cells_of(near[s], far[s], radius[s] + half_gap, origin, edge, shape, offset, listed, s, True)


@kernel
def four_ways(
    p0: NDArray[np.float64], p1: NDArray[np.float64], q0: NDArray[np.float64], q1: NDArray[np.float64],
    ways: NDArray[np.float64], least: float,
) -> tuple[float, float, float]:  # fmt: skip
    """Least distance of points of two segments whose path is at least `least` long, and where (s, t from p0, q0).

    `ways` (2, 2): length of the path from end i of the first to end j of the second. The points allowed are a
    convex set: s, t within the segments and, for each pair of ends, s_i + ways[i, j] + t_j >= least.
    """
    ux, uy, uz = p1[0] - p0[0], p1[1] - p0[1], p1[2] - p0[2]
    vx, vy, vz = q1[0] - q0[0], q1[1] - q0[1], q1[2] - q0[2]
    a, b = math.sqrt(ux * ux + uy * uy + uz * uz), math.sqrt(vx * vx + vy * vy + vz * vz)
    ux, uy, uz, vx, vy, vz = ux / a, uy / a, uz / a, vx / b, vy / b, vz / b
    wx, wy, wz = p0[0] - q0[0], p0[1] - q0[1], p0[2] - q0[2]
    s, t = free_closest(p0[0], p0[1], p0[2], ux, uy, uz, a, q0[0], q0[1], q0[2], vx, vy, vz, b)
    tiny = 1e-9 * (a + b)
    best, best_s, best_t = math.inf, 0.0, 0.0
    allowed = True
    for i in range(2):
        for j in range(2):
            way = (a - s if i else s) + ways[i, j] + (b - t if j else t)
            allowed = allowed and way >= least - tiny
    if allowed:
        x, y, z = wx + s * ux - t * vx, wy + s * uy - t * vy, wz + s * uz - t * vz
        return math.sqrt(x * x + y * y + z * z), s, t
    for i in range(2):
        for j in range(2):
            # the line s_i + t_j = m, with s = s0 + si h and t = t0 + ti h: h = s_i
            m = least - ways[i, j]
            if not math.isfinite(m):
                continue
            s0, si = (a, -1.0) if i else (0.0, 1.0)
            t0, ti = (b - m, 1.0) if j else (m, -1.0)
            low, high = max(0.0, m - b), min(a, m)
            for k in range(2):
                for n in range(2):
                    # (a - s | s) + (b - t | t) >= least - ways[k, n], linear in h
                    rest = (a - s0 if k else s0) + (b - t0 if n else t0) - (least - ways[k, n])
                    rate = (-si if k else si) + (-ti if n else ti)
                    if rate > 0.5:
                        low = max(low, -rest / rate)
                    elif rate < -0.5:
                        high = min(high, -rest / rate)
                    elif rest < -tiny:
                        high = low - 1.0
            if low > high + tiny:
                continue
            dx, dy, dz = si * ux - ti * vx, si * uy - ti * vy, si * uz - ti * vz
            ex, ey, ez = wx + s0 * ux - t0 * vx, wy + s0 * uy - t0 * vy, wz + s0 * uz - t0 * vz
            squared = dx * dx + dy * dy + dz * dz
            h = low
            if squared > 1e-18:
                h = -(ex * dx + ey * dy + ez * dz) / squared
            h = max(min(h, high), low)
            x, y, z = ex + h * dx, ey + h * dy, ez + h * dz
            distance = math.sqrt(x * x + y * y + z * z)
            if distance < best:
                best, best_s, best_t = distance, s0 + si * h, t0 + ti * h
    return best, best_s, best_t


@kernel
def _paths_from(
    node: int, reach: float, first: NDArray[np.int64], ends: NDArray[np.int32], lengths: NDArray[np.float64],
    known: NDArray[np.float64], touched: NDArray[np.int32],
) -> int:  # fmt: skip
    """Lengths of paths from a node to all within `reach`, into `known` (n,), infinite elsewhere; which, and how
    many.

    `first` (n + 1,), `ends` and `lengths` list the neighbours of each node. What is near is few nodes, so they are
    worked off in the order in which they come, again where a shorter way is found.
    """
    known[node] = 0.0
    touched[0] = node
    top, at = 1, 0
    while at < top:
        here = touched[at]
        at += 1
        for e in range(first[here], first[here + 1]):
            other = ends[e]
            way = known[here] + lengths[e]
            if way <= reach and way < known[other]:
                known[other] = way
                if top == touched.size:
                    return top
                touched[top] = other
                top += 1
    return top


@kernel
def search(
    begin: int, end: int,
    points: NDArray[np.float64], segments: NDArray[np.int32], radius: NDArray[np.float64],
    gap: float, same: float,
    origin: NDArray[np.float64], edge: float, shape: NDArray[np.int64],
    offset: NDArray[np.int64], listed: NDArray[np.int32],
    first: NDArray[np.int64], ends: NDArray[np.int32], lengths: NDArray[np.float64],
    known: NDArray[np.float64], touched: NDArray[np.int32], seen: NDArray[np.int64],
    pairs: NDArray[np.int32], distances: NDArray[np.float64], places: NDArray[np.float64],
) -> int:  # fmt: skip
    """Pairs too near of which the first is in `begin` .. `end`; how many there are (more than fit are counted)."""
    count = 0
    ways = np.empty((2, 2))
    for one in range(begin, end):
        p0, p1 = points[segments[one, 0]], points[segments[one, 1]]
        reach = radius[one] + 0.5 * gap
        x0, x1 = _span(origin, edge, shape, 0, min(p0[0], p1[0]) - reach, max(p0[0], p1[0]) + reach)
        y0, y1 = _span(origin, edge, shape, 1, min(p0[1], p1[1]) - reach, max(p0[1], p1[1]) + reach)
        z0, z1 = _span(origin, edge, shape, 2, min(p0[2], p1[2]) - reach, max(p0[2], p1[2]) + reach)
        few = (x1 - x0 + 1) * (y1 - y0 + 1) * (z1 - z0 + 1) <= 2
        for i in range(x0, x1 + 1):
            for j in range(y0, y1 + 1):
                for k in range(z0, z1 + 1):
                    cell = (i * shape[1] + j) * shape[2] + k
                    if offset[cell] == offset[cell + 1]:
                        continue
                    if not few and point_distance(
                        origin[0] + (i + 0.5) * edge, origin[1] + (j + 0.5) * edge, origin[2] + (k + 0.5) * edge,
                    p0, p1 ) > reach + _HALF_DIAGONAL * edge:  # fmt: skip
                        continue
                    for at in range(offset[cell], offset[cell + 1]):
                        two = listed[at]
                        if two <= one or seen[two] == one:
                            continue
                        seen[two] = one
                        q0, q1 = points[segments[two, 0]], points[segments[two, 1]]
                        limit = radius[one] + radius[two] + gap
                        ways[:] = math.inf
                        distance, s, t = four_ways(p0, p1, q0, q1, ways, 0.0)
                        if distance >= limit:
                            continue
                        far = same * limit
                        for m in range(2):
                            top = _paths_from(segments[one, m], far, first, ends, lengths, known, touched)
                            ways[m, 0], ways[m, 1] = known[segments[two, 0]], known[segments[two, 1]]
                            for n in range(top):
                                known[touched[n]] = math.inf
                        apart = radius[one] + radius[two]
                        for _ in range(_WIDENINGS):
                            distance, s, t = four_ways(p0, p1, q0, q1, ways, same * apart)
                            if distance <= apart * _SAME_NUMBER or distance >= limit:
                                break
                            apart = distance
                        if distance >= limit:
                            continue
                        if count < pairs.shape[0]:
                            pairs[count, 0], pairs[count, 1] = one, two
                            distances[count] = distance - radius[one] - radius[two]
                            a = math.sqrt((p1[0] - p0[0]) ** 2 + (p1[1] - p0[1]) ** 2 + (p1[2] - p0[2]) ** 2)
                            b = math.sqrt((q1[0] - q0[0]) ** 2 + (q1[1] - q0[1]) ** 2 + (q1[2] - q0[2]) ** 2)
                            for axis in range(3):
                                places[count, axis] = 0.5 * (
                                    p0[axis]
                                    + s / a * (p1[axis] - p0[axis])
                                    + q0[axis]
                                    + t / b * (q1[axis] - q0[axis])
                                )
                        count += 1
    return count
