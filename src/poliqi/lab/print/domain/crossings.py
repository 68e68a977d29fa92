"""Compiled crossings of lines with primitives: where a line parallel to an axis enters and leaves.

Every primitive but the ring is convex, so that a line meets it in one interval; plates and capsules are unions of
simpler bodies, and the interval of the union is the hull of theirs. A line meets a ring in at most two intervals,
between roots of a quartic that are bracketed by the roots of its derivatives, so that none is missed.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel, part
from poliqi.lab.print.domain.depths import BOX, CAPSULE, CYLINDER, ELLIPSOID, SPHERE, TORUS

__all__ = ["primitive_crossings"]

_NOTHING: Final = (math.inf, -math.inf)
_BISECTIONS: Final = 80


@part(inline=True)
def _slab(o: float, d: float, half: float) -> tuple[float, float]:
    """Where |o + t d| <= half."""
    if d == 0.0:
        return (-math.inf, math.inf) if abs(o) <= half else _NOTHING
    s, e = (-half - o) / d, (half - o) / d
    return min(s, e), max(s, e)


@part(inline=True)
def _round(a: float, b: float, c: float, shift: float) -> tuple[float, float]:
    """Where a s^2 + 2 b s + c <= 0, with t = s + shift, for a >= 0; a = 0 only where b = 0."""
    if a == 0.0:
        return (-math.inf, math.inf) if c <= 0.0 else _NOTHING
    under = b * b - a * c
    if under < 0.0:
        return _NOTHING
    root = math.sqrt(under)
    return shift + (-b - root) / a, shift + (-b + root) / a


@part(inline=True)
def _meet(one: tuple[float, float], two: tuple[float, float]) -> tuple[float, float]:
    return max(one[0], two[0]), min(one[1], two[1])


@part(inline=True)
def _hull(one: tuple[float, float], two: tuple[float, float]) -> tuple[float, float]:
    if one[1] < one[0]:
        return two
    if two[1] < two[0]:
        return one
    return min(one[0], two[0]), max(one[1], two[1])


@part()
def _rod(o: tuple[float, float, float], d: tuple[float, float, float], r: float, h: float) -> tuple[float, float]:
    """An upright rod of radius r and half height h around the origin."""
    flat = d[0] * d[0] + d[1] * d[1]
    if flat <= 1e-24:
        wall = (-math.inf, math.inf) if o[0] * o[0] + o[1] * o[1] <= r * r else _NOTHING
    else:
        shift = -(o[0] * d[0] + o[1] * d[1]) / flat
        px, py = o[0] + shift * d[0], o[1] + shift * d[1]
        wall = _round(flat, 0.0, px * px + py * py - r * r, shift)
    return _meet(wall, _slab(o[2], d[2], h))


@part()
def _ball(o: tuple[float, float, float], d: tuple[float, float, float], r: float) -> tuple[float, float]:
    shift = -(o[0] * d[0] + o[1] * d[1] + o[2] * d[2])
    px, py, pz = o[0] + shift * d[0], o[1] + shift * d[1], o[2] + shift * d[2]
    return _round(1.0, 0.0, px * px + py * py + pz * pz - r * r, shift)


@part()
def _block(
    o: tuple[float, float, float], d: tuple[float, float, float], a: float, b: float, c: float
) -> tuple[float, float]:
    return _meet(_meet(_slab(o[0], d[0], a), _slab(o[1], d[1], b)), _slab(o[2], d[2], c))


@part()
def _plate(
    o: tuple[float, float, float], d: tuple[float, float, float], a: float, b: float, c: float, corner: float
) -> tuple[float, float]:
    """A block with rounded upright edges: two blocks and four rods."""
    found = _hull(_block(o, d, a - corner, b, c), _block(o, d, a, b - corner, c))
    for turn in range(4):
        sx = a - corner if turn % 2 else corner - a
        sy = b - corner if turn // 2 else corner - b
        found = _hull(found, _rod((o[0] - sx, o[1] - sy, o[2]), d, corner, c))
    return found


@part()
def _convex(
    kind: int,
    o: tuple[float, float, float],
    d: tuple[float, float, float],
    size: tuple[float, float, float, float],
) -> tuple[float, float]:
    a, b, c, corner = size
    if kind == BOX:
        return _block(o, d, a, b, c)
    if kind == SPHERE:
        return _ball(o, d, a)
    if kind == CYLINDER:
        return _rod(o, d, a, b)
    if kind == ELLIPSOID:
        e = (d[0] / a, d[1] / b, d[2] / c)
        q = (o[0] / a, o[1] / b, o[2] / c)
        square = e[0] * e[0] + e[1] * e[1] + e[2] * e[2]
        shift = -(q[0] * e[0] + q[1] * e[1] + q[2] * e[2]) / square
        px, py, pz = q[0] + shift * e[0], q[1] + shift * e[1], q[2] + shift * e[2]
        return _round(square, 0.0, px * px + py * py + pz * pz - 1.0, shift)
    if kind == CAPSULE:
        ends = _hull(_ball((o[0], o[1], o[2] - b), d, a), _ball((o[0], o[1], o[2] + b), d, a))
        return _hull(ends, _rod(o, d, a, b))
    return _plate(o, d, a, b, c, corner)


@part(inline=True)
def _value(k: tuple[float, float, float, float, float], t: float) -> float:
    return (((k[4] * t + k[3]) * t + k[2]) * t + k[1]) * t + k[0]


@part()
def _root(k: tuple[float, float, float, float, float], low: float, high: float) -> float:
    """The root of a quartic between two places of different sign: halving, then nothing is left to improve."""
    rising = _value(k, high) > 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        if (_value(k, middle) > 0.0) == rising:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)


@part()
def _between(
    k: tuple[float, float, float, float, float], inner: tuple[float, float, float], reach: float
) -> tuple[float, float, float, float]:
    """Roots of k in (-reach, reach), ascending, given the roots of its derivative there (inf: none)."""
    found = (math.inf, math.inf, math.inf, math.inf)
    count = 0
    low = -reach
    for turn in range(4):
        high = reach
        if turn < 3 and inner[turn] < reach:
            high = inner[turn]
        if high > low and (_value(k, low) > 0.0) != (_value(k, high) > 0.0):
            root = _root(k, low, high)
            if count == 0:
                found = (root, math.inf, math.inf, math.inf)
            elif count == 1:
                found = (found[0], root, math.inf, math.inf)
            elif count == 2:
                found = (found[0], found[1], root, math.inf)
            else:
                found = (found[0], found[1], found[2], root)
            count += 1
        low = max(low, high)
        if high >= reach:
            break
    return found


@part()
def _ring(
    o: tuple[float, float, float], d: tuple[float, float, float], radius: float, tube: float
) -> tuple[float, float, float, float]:
    """The four crossings of a ring, ascending, in t; inf where there are fewer. Lengths in units of its size.

    (|p|^2 + R^2 - r^2)^2 <= 4 R^2 (x^2 + y^2), p = q + s d with q the point nearest to the centre.
    """
    scale = radius + tube
    shift = -(o[0] * d[0] + o[1] * d[1] + o[2] * d[2])
    x, y, z = (o[0] + shift * d[0]) / scale, (o[1] + shift * d[1]) / scale, (o[2] + shift * d[2]) / scale
    big, small = radius / scale, tube / scale
    q = x * x + y * y + z * z
    if q > 1.0:
        return math.inf, math.inf, math.inf, math.inf
    m = q + big * big - small * small
    four = 4.0 * big * big
    k = (
        m * m - four * (x * x + y * y),
        -2.0 * four * (x * d[0] + y * d[1]),
        2.0 * m - four * (d[0] * d[0] + d[1] * d[1]),
        0.0,
        1.0,
    )
    reach = 1.0 + 1e-9
    third = math.sqrt(max(-k[2] / 6.0, 0.0))
    turns = (-third, third, math.inf) if third > 0.0 else (math.inf, math.inf, math.inf)
    bends = _between((k[1], 2.0 * k[2], 0.0, 4.0, 0.0), turns, reach)
    roots = _between(k, (bends[0], bends[1], bends[2]), reach)
    return (
        shift + scale * roots[0],
        shift + scale * roots[1],
        shift + scale * roots[2],
        shift + scale * roots[3],
    )


@kernel
def primitive_crossings(
    kind: int,
    frames: NDArray[np.float64],
    row: int,
    axis: int,
    u_um: NDArray[np.float64],
    v_um: NDArray[np.float64],
    count: NDArray[np.int64],
    found: NDArray[np.float64],
) -> None:
    """Intervals of lines parallel to `axis` inside one primitive: `count` (n,) of them, ends in `found` (n, 4)."""
    d = (frames[row, 3 + axis], frames[row, 6 + axis], frames[row, 9 + axis])
    size = (frames[row, 12], frames[row, 13], frames[row, 14], frames[row, 15])
    first, second = (1, 2) if axis == 0 else ((0, 2) if axis == 1 else (0, 1))
    at = frames[row, axis]
    for i in range(u_um.size):
        wu, wv = u_um[i] - frames[row, first], v_um[i] - frames[row, second]
        o = (
            frames[row, 3 + first] * wu + frames[row, 3 + second] * wv,
            frames[row, 6 + first] * wu + frames[row, 6 + second] * wv,
            frames[row, 9 + first] * wu + frames[row, 9 + second] * wv,
        )
        count[i] = 0
        if kind == TORUS:
            four = _ring(o, d, size[0], size[1])
            if four[1] < math.inf:
                found[i, 0], found[i, 1] = at + four[0], at + four[1]
                count[i] = 1
            if four[3] < math.inf:
                found[i, 2], found[i, 3] = at + four[2], at + four[3]
                count[i] = 2
        else:
            start, end = _convex(kind, o, d, size)
            if end > start:
                found[i, 0], found[i, 1] = at + start, at + end
                count[i] = 1
