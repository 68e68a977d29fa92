"""Distances from points to the surfaces of capsules, by a grid of cells that names the capsules in each.

A capsule is listed in every cell that its axis comes near to, half a cell's diagonal; its radius is taken off the
distance, so the search goes on until no capsule of the largest radius can come closer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel, part
from poliqi.lab.print.growth.cells import point_distance

if TYPE_CHECKING:
    from poliqi.lab.print.network import Network

__all__ = ["Capsules", "add", "capsules_of", "distances", "distances_numpy", "surface_distance"]

_MOST_CELLS: Final = 2_000_000
_BATCH: Final = 50_000


class Capsules(NamedTuple):
    """Capsules and the grid that finds them: cells of `edge` um from `origin`, each with a chain of entries.

    `ends` (n, 6), `radius` (n,), `largest` (1,); `head` by cell, `entry` and `follow` by entry; `used` (2,):
    capsules and entries in use.
    """

    ends: NDArray[np.float64]
    radius: NDArray[np.float64]
    largest: NDArray[np.float64]
    origin: NDArray[np.float64]
    edge: float
    shape: NDArray[np.int64]
    head: NDArray[np.int64]
    entry: NDArray[np.int64]
    follow: NDArray[np.int64]
    used: NDArray[np.int64]


@part(inline=True)
def _cell(place: float, origin: float, edge: float, count: int) -> int:
    return min(max(math.floor((place - origin) / edge), 0), count - 1)


@kernel
def add(capsules: Capsules, first: int, last: int) -> None:
    """List the capsules `first` to `last` - 1 in their cells; `used[1]` counts on where the entries do not
    suffice.
    """
    c = capsules
    edge = c.edge
    reach = 0.8660254037844387 * edge
    for i in range(first, last):
        c.largest[0] = max(c.largest[0], c.radius[i])
        x0 = _cell(min(c.ends[i, 0], c.ends[i, 3]), c.origin[0], edge, c.shape[0])
        x1 = _cell(max(c.ends[i, 0], c.ends[i, 3]), c.origin[0], edge, c.shape[0])
        y0 = _cell(min(c.ends[i, 1], c.ends[i, 4]), c.origin[1], edge, c.shape[1])
        y1 = _cell(max(c.ends[i, 1], c.ends[i, 4]), c.origin[1], edge, c.shape[1])
        z0 = _cell(min(c.ends[i, 2], c.ends[i, 5]), c.origin[2], edge, c.shape[2])
        z1 = _cell(max(c.ends[i, 2], c.ends[i, 5]), c.origin[2], edge, c.shape[2])
        for kx in range(x0, x1 + 1):
            for ky in range(y0, y1 + 1):
                for kz in range(z0, z1 + 1):
                    x = c.origin[0] + (kx + 0.5) * edge
                    y = c.origin[1] + (ky + 0.5) * edge
                    z = c.origin[2] + (kz + 0.5) * edge
                    if point_distance(x, y, z, c.ends[i, :3], c.ends[i, 3:]) <= reach:
                        at = c.used[1]
                        c.used[1] += 1
                        if at < c.entry.size:
                            cell = (kx * c.shape[1] + ky) * c.shape[2] + kz
                            c.entry[at] = i
                            c.follow[at] = c.head[cell]
                            c.head[cell] = at


@kernel
def surface_distance(capsules: Capsules, x: float, y: float, z: float, limit: float, skip: Any) -> Any:
    """Least signed distance of a point to the surfaces of all capsules but `skip`, or `limit` where none is
    closer.
    """
    c = capsules
    edge = c.edge
    px, py, pz = (x - c.origin[0]) / edge, (y - c.origin[1]) / edge, (z - c.origin[2]) / edge
    ci = _cell(x, c.origin[0], edge, c.shape[0])
    cj = _cell(y, c.origin[1], edge, c.shape[1])
    ck = _cell(z, c.origin[2], edge, c.shape[2])
    best = limit
    for shell in range(max(c.shape[0], max(c.shape[1], c.shape[2]))):
        if shell > 0:
            # nearest face of the block searched so far that is not the grid's own
            inner = math.inf
            for axis in range(3):
                p = px if axis == 0 else (py if axis == 1 else pz)
                at = ci if axis == 0 else (cj if axis == 1 else ck)
                if at - shell >= 0:
                    inner = min(inner, p - (at - shell + 1))
                if at + shell < c.shape[axis]:
                    inner = min(inner, at + shell - p)
            if inner * edge - c.largest[0] >= best:
                break
        for i in range(max(ci - shell, 0), min(ci + shell, c.shape[0] - 1) + 1):
            for j in range(max(cj - shell, 0), min(cj + shell, c.shape[1] - 1) + 1):
                rim = abs(i - ci) == shell or abs(j - cj) == shell
                step = 1 if rim or shell == 0 else 2 * shell
                for k in range(ck - shell, ck + shell + 1, step):
                    if k < 0 or k >= c.shape[2]:
                        continue
                    entry = c.head[(i * c.shape[1] + j) * c.shape[2] + k]
                    while entry >= 0:
                        one = c.entry[entry]
                        entry = c.follow[entry]
                        if one != skip:
                            far = point_distance(x, y, z, c.ends[one, :3], c.ends[one, 3:])
                            best = min(best, far - c.radius[one])
    return best


@kernel
def _distances(capsules: Capsules, points: NDArray[np.float64], limit: float, found: NDArray[np.float64]) -> None:
    for i in range(points.shape[0]):
        found[i] = surface_distance(capsules, points[i, 0], points[i, 1], points[i, 2], limit, -1)


def capsules_of(
    network: Network, *, more: int = 0, bounds_um: NDArray[np.float64] | None = None, edge_um: float | None = None
) -> Capsules:
    """The segments of a network, with room for `more`, which are put into `ends` and `radius` and then `add`ed."""
    points = np.concatenate([network.start_um, network.end_um])
    low, high = points.min(axis=0), points.max(axis=0)
    if bounds_um is not None:
        low, high = np.minimum(low, bounds_um[0]), np.maximum(high, bounds_um[1])
    size: NDArray[np.float64] = np.maximum(high - low, 1.0)
    m = len(network.segments)
    edge = edge_um or max(float(network.length_um.mean()), float(np.prod(size) / (2.0 * (m + more))) ** (1 / 3))
    edge = max(edge, float(np.prod(size) / _MOST_CELLS) ** (1 / 3), float(size.max()) / 1000.0)
    shape = np.maximum(np.ceil(size / edge), 1.0).astype(np.int64)
    ends = np.zeros((m + more, 6))
    ends[:m] = np.concatenate([network.start_um, network.end_um], axis=1)
    radius = np.zeros(m + more)
    radius[:m] = network.radius_um
    entries = 8 * (m + more) + 1024
    while True:
        made = Capsules(
            ends,
            radius,
            np.zeros(1),
            low.astype(np.float64),
            float(edge),
            shape,
            np.full(int(np.prod(shape)), -1, np.int64),
            np.empty(entries, np.int64),
            np.empty(entries, np.int64),
            np.array([m, 0], np.int64),
        )
        add(made, 0, m)
        if made.used[1] + 64 * more <= entries:
            return made
        entries = int(made.used[1]) + 64 * more + 1024


def distances(capsules: Capsules, points_um: NDArray[np.float64], limit_um: float = np.inf) -> NDArray[np.float64]:
    """Signed distance in um of each point (n, 3) to the nearest capsule's surface, at most `limit_um`, (n,)."""
    points = np.ascontiguousarray(points_um, np.float64)
    found = np.empty(len(points))
    for first in range(0, len(points), _BATCH):
        _distances(capsules, points[first : first + _BATCH], limit_um, found[first : first + _BATCH])
    return found


def distances_numpy(network: Network, points_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `distances` computes, in plain numpy: every point against every segment."""
    best = np.full(len(points_um), np.inf)
    for start, end, radius in zip(network.start_um, network.end_um, network.radius_um, strict=True):
        along = end - start
        t = np.clip((points_um - start) @ along / max(float(along @ along), 1e-300), 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(points_um - start - t[:, None] * along, axis=1) - radius)
    return best
