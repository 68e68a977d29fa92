"""Which capsule is seen at each pixel, along parallel rays, and which one a plane cuts there.

Coordinates are those of the picture: x and y in pixels, from the middle of the first pixel, z in the same unit
towards the eye. A ray through a capsule has one interval, in closed form: the surface is exact, without facets.
Speed goal: 10,000 segments on 1400 x 1400 pixels in .5 s, one core.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, kernel

__all__ = ["cut_by_definition", "cut_kernel", "seen_by_definition", "seen_kernel"]

_ALONG: Final = 1e-12
"""A capsule whose axis is along the ray to this share is seen as its nearer end."""


@inlined
def _dome(dx: float, dy: float, z: float, r: float) -> float:
    """Height of a sphere's near side; -inf beside it."""
    inside = r * r - dx * dx - dy * dy
    return z + math.sqrt(inside) if inside >= 0 else -math.inf


@inlined
def _height(
    x: float, y: float, ax: float, ay: float, az: float, bx: float, by: float, bz: float, r: float
) -> float:
    """Where the ray through (x, y) enters the capsule; -inf where it passes by."""
    ux, uy, uz = bx - ax, by - ay, bz - az
    l2 = ux * ux + uy * uy + uz * uz
    qx, qy = x - ax, y - ay
    flat = (ux * ux + uy * uy) / l2
    if flat < _ALONG:
        return max(_dome(qx, qy, az, r), _dome(x - bx, y - by, bz, r))
    qu = qx * ux + qy * uy
    half_b = -qu * uz / l2
    disc = half_b * half_b - flat * (qx * qx + qy * qy - qu * qu / l2 - r * r)
    if disc < 0:
        return -math.inf
    z = (-half_b + math.sqrt(disc)) / flat
    s = (qu + z * uz) / l2
    if s < 0:
        return _dome(qx, qy, az, r)
    if s > 1:
        return _dome(x - bx, y - by, bz, r)
    return az + z


@kernel
def seen_kernel(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    r: NDArray[np.float64],
    first: int,
    depth: NDArray[np.float64],
    owner: NDArray[np.int32],
) -> None:
    """Draw capsules a (m, 3), b (m, 3), r (m,) into `depth` (h, w), -inf for none, and `owner`: first + i."""
    high, wide = depth.shape
    for i in range(a.shape[0]):
        ax, ay, az, bx, by, bz, ri = a[i, 0], a[i, 1], a[i, 2], b[i, 0], b[i, 1], b[i, 2], r[i]
        left, right = max(0, math.ceil(min(ax, bx) - ri)), min(wide - 1, math.floor(max(ax, bx) + ri))
        low, top = max(0, math.ceil(min(ay, by) - ri)), min(high - 1, math.floor(max(ay, by) + ri))
        ux, uy = bx - ax, by - ay
        across = ri * math.sqrt(ux * ux + uy * uy)
        for y in range(low, top + 1):
            for x in range(left, right + 1):
                if abs((x - ax) * uy - (y - ay) * ux) > across and across > 0:
                    continue
                z = _height(float(x), float(y), ax, ay, az, bx, by, bz, ri)
                if z > depth[y, x]:
                    depth[y, x] = z
                    owner[y, x] = first + i


@kernel
def cut_kernel(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    r: NDArray[np.float64],
    first: int,
    depth: NDArray[np.float64],
    owner: NDArray[np.int32],
) -> None:
    """What the plane z = 0 cuts: `depth` gets how deep inside a capsule a pixel lies, `owner` the deepest."""
    high, wide = depth.shape
    for i in range(a.shape[0]):
        ax, ay, az, bx, by, bz, ri = a[i, 0], a[i, 1], a[i, 2], b[i, 0], b[i, 1], b[i, 2], r[i]
        if min(az, bz) - ri > 0 or max(az, bz) + ri < 0:
            continue
        left, right = max(0, math.ceil(min(ax, bx) - ri)), min(wide - 1, math.floor(max(ax, bx) + ri))
        low, top = max(0, math.ceil(min(ay, by) - ri)), min(high - 1, math.floor(max(ay, by) + ri))
        ux, uy, uz = bx - ax, by - ay, bz - az
        l2 = ux * ux + uy * uy + uz * uz
        for y in range(low, top + 1):
            for x in range(left, right + 1):
                s = min(1.0, max(0.0, ((x - ax) * ux + (y - ay) * uy - az * uz) / l2))
                dx, dy, dz = x - ax - s * ux, y - ay - s * uy, -az - s * uz
                inside = ri - math.sqrt(dx * dx + dy * dy + dz * dz)
                if inside >= 0 and inside > depth[y, x]:
                    depth[y, x] = inside
                    owner[y, x] = first + i


def seen_by_definition(
    a: NDArray[np.float64], b: NDArray[np.float64], r: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """`depth` and `owner` of `seen_kernel`: the height of the union of a capsule's cylinder and its two spheres."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    depth, owner = np.full(shape, -np.inf), np.full(shape, -1, np.int32)
    for i in range(len(a)):
        z = np.maximum(_sphere(x, y, a[i], r[i]), _sphere(x, y, b[i], r[i]))
        z = np.maximum(z, _tube(x, y, a[i], b[i], r[i]))
        owner[z > depth] = i
        depth = np.maximum(depth, z)
    return depth, owner


def cut_by_definition(
    a: NDArray[np.float64], b: NDArray[np.float64], r: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """`depth` and `owner` of `cut_kernel`, by the distance of points of the plane from each axis."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    points = np.stack([x, y, np.zeros(shape)], axis=-1)
    depth, owner = np.full(shape, -np.inf), np.full(shape, -1, np.int32)
    for i in range(len(a)):
        u = b[i] - a[i]
        s = np.clip((points - a[i]) @ u / (u @ u), 0, 1)
        inside = r[i] - np.linalg.norm(points - a[i] - s[..., None] * u, axis=-1)
        better = (inside >= 0) & (inside > depth)
        owner[better], depth[better] = i, inside[better]
    return depth, owner


def _sphere(
    x: NDArray[np.float64], y: NDArray[np.float64], centre: NDArray[np.float64], r: float
) -> NDArray[np.float64]:
    inside = r**2 - (x - centre[0]) ** 2 - (y - centre[1]) ** 2
    return np.where(inside >= 0, centre[2] + np.sqrt(np.maximum(inside, 0)), -np.inf)


def _tube(
    x: NDArray[np.float64], y: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64], r: float
) -> NDArray[np.float64]:
    """The side of the cylinder: where the ray leaves the endless one, if that lies between the ends."""
    u = (b - a) / np.linalg.norm(b - a)
    ray = np.array([0.0, 0.0, 1.0])
    start = np.stack([x - a[0], y - a[1], np.full_like(x, -a[2])], axis=-1)
    across, ray_across = start - (start @ u)[..., None] * u, ray - (ray @ u) * u
    square = float(ray_across @ ray_across)
    if square < _ALONG:
        return np.full_like(x, -np.inf)
    half = across @ ray_across
    disc = half**2 - square * ((across**2).sum(axis=-1) - r**2)
    z = np.where(disc >= 0, (-half + np.sqrt(np.maximum(disc, 0))) / square, -np.inf)
    along = start @ u + np.where(np.isfinite(z), z, 0) * u[2]
    return np.where((along >= 0) & (along <= np.linalg.norm(b - a)), z, -np.inf)
