"""Where capillaries go: from each arterial terminal straight to a place where a vein can end.

Directions and lengths are drawn; of those that stay free of everything else, the one is taken whose far end has the
most room around it. Freedom along a capillary is certified by sphere tracing: from a point whose nearest vessel is
d away beyond what is needed, the next d of the way are free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.lab.print.closure.capsules import Capsules, add, capsules_of, surface_distance

if TYPE_CHECKING:
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network

__all__ = ["Needs", "Reach", "reach_out"]

_DIRECTIONS: Final = 48
_LENGTHS: Final = 3
_FINEST_UM: Final = 0.05
_SAMPLES: Final = 24


@dataclass(frozen=True, slots=True)
class Needs:
    """Distances in um that a capillary keeps: `gap` to other lumens, `wall` to the boundary; its longest and
    shortest lengths, its radius at the shortest, and the radius `vein` that its far end makes room for.
    """

    gap: float
    wall: float
    shortest: float
    longest: float
    radius: float
    vein: float


@dataclass(frozen=True, slots=True)
class Reach:
    """Far end (n, 3) and radius (n,) in um of each capillary, and whether one was found (n,)."""

    far_um: NDArray[np.float64]
    radius_um: NDArray[np.float64]
    found: NDArray[np.bool_]


@kernel
def _choose(
    capsules: Capsules,
    start: NDArray[np.float64],
    own: NDArray[np.int64],
    far: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    radius: NDArray[np.float64],
    order: NDArray[np.int64],
    needs: NDArray[np.float64],
    chosen: NDArray[np.int64],
) -> None:
    """Choose for each of `order` one of its candidates `far` (n, k, 3), with `radius` (n, k), and list it.

    `needs`: gap, vein radius, room beyond which more does not count, the narrowest step of tracing.
    """
    gap, vein, room, finest = needs[0], needs[1], needs[2], needs[3]
    for n in order:
        best, best_room = -1, 0.0
        x, y, z = start[n, 0], start[n, 1], start[n, 2]
        for k in range(far.shape[1]):
            if not allowed[n, k]:
                continue
            around = surface_distance(capsules, far[n, k, 0], far[n, k, 1], far[n, k, 2], room, -1) - gap - vein
            if around <= best_room:
                continue
            ux, uy, uz = far[n, k, 0] - x, far[n, k, 1] - y, far[n, k, 2] - z
            length = math.sqrt(ux * ux + uy * uy + uz * uz)
            need = gap + radius[n, k]
            at = 0.0
            while at < length:
                t = at / length
                free = surface_distance(capsules, x + t * ux, y + t * uy, z + t * uz, need + length, own[n]) - need
                if free < finest:
                    break
                at += free
            if at >= length:
                best, best_room = k, around
        chosen[n] = best
        if best >= 0:
            at_end = capsules.used[0]
            for axis in range(3):
                capsules.ends[at_end, axis] = start[n, axis]
                capsules.ends[at_end, axis + 3] = far[n, best, axis]
            capsules.radius[at_end] = radius[n, best]
            capsules.used[0] = at_end + 1
            add(capsules, at_end, at_end + 1)


def reach_out(
    domain: Domain,
    network: Network,
    own: NDArray[np.int64],
    needs: Needs,
    rng: np.random.Generator,
) -> Reach:
    """A capillary from the end of each segment `own` (n,), free of `network` and of each other."""
    points = network.end_um[own]
    far, length = _candidates(network, points, own, needs, rng)
    radius = needs.radius * (length / needs.shortest) ** 0.25
    allowed = _inside(domain, points, far, length, needs.wall + np.maximum(radius, needs.vein), needs.wall + radius)
    capsules = capsules_of(network, more=len(own), bounds_um=domain.bounds_um)
    chosen = np.full(len(own), -1, np.int64)
    numbers = np.array([needs.gap, needs.vein, 2.0 * needs.longest, _FINEST_UM])
    _choose(capsules, points, own, far, allowed, radius, rng.permutation(len(own)), numbers, chosen)
    found = chosen >= 0
    at = (np.arange(len(own)), np.maximum(chosen, 0))
    return Reach(far[at], radius[at], found)


def _candidates(
    network: Network, points: NDArray[np.float64], own: NDArray[np.int64], needs: Needs, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Far ends (n, k, 3) ahead of the terminals, and their distances (n, k)."""
    n = len(points)
    ahead = network.end_um[own] - network.start_um[own]
    ahead /= np.linalg.norm(ahead, axis=1)[:, None]
    way = rng.normal(size=(n, _DIRECTIONS * _LENGTHS, 3))
    way /= np.linalg.norm(way, axis=2)[:, :, None]
    along = np.einsum("nkd,nd->nk", way, ahead)
    turned = np.where(along < 0.0, -2.0 * along, 0.0)  # mirrored to the front
    way += turned[:, :, None] * ahead[:, None, :]
    length: NDArray[np.float64] = rng.uniform(needs.shortest, needs.longest, (n, way.shape[1]))
    return points[:, None, :] + length[:, :, None] * way, length


def _inside(
    domain: Domain,
    points: NDArray[np.float64],
    far: NDArray[np.float64],
    length: NDArray[np.float64],
    at_far: NDArray[np.float64],
    on_way: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Whether each way keeps its distance from the boundary, (n, k); a clearance changes by no more than the
    way.
    """
    n, k = length.shape
    clearance = domain.clearance_um(far.reshape(-1, 3)).reshape(n, k)
    first = domain.clearance_um(points)[:, None]
    allowed = clearance >= at_far
    doubtful = allowed & ((first + clearance - length) / 2.0 < on_way)
    row, column = np.nonzero(doubtful)
    t = np.linspace(0.0, 1.0, _SAMPLES)[:, None]
    for first_at in range(0, len(row), 4096):
        i, j = row[first_at : first_at + 4096], column[first_at : first_at + 4096]
        way = points[i][:, None] + t * (far[i, j] - points[i])[:, None]
        least = domain.clearance_um(way.reshape(-1, 3)).reshape(len(i), _SAMPLES)
        spare = length[i, j] / (2.0 * (_SAMPLES - 1))
        allowed[i, j] = (least - spare[:, None] >= on_way[i, j][:, None]).all(axis=1)
    return allowed
