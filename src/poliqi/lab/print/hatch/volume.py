"""The volume of vessels within a domain, found without a single scan line: what a hatch is checked against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from poliqi.base.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network

__all__ = ["Volume", "lumen_volume"]

_GROUP: Final = 256
_EDGE_UM: Final = 1e-9


class Volume(NamedTuple):
    """um^3, with the standard deviation that comes from drawing points."""

    um3: float
    sigma_um3: float


def lumen_volume(
    domain: Domain, network: Network, wide_um: float = 0.0, points: int = 100_000, seed: int = 1
) -> Volume:
    """Volume of the union of capsules, each `wide_um` thicker, within the domain.

    Points are drawn evenly in the capsules, each capsule as often as it is large, V_i of their sum V; with m(x) the
    number of capsules that hold a point and 1 where it lies in the domain, the union is V mean(1/m): R. M. Karp,
    M. Luby, N. Madras, J. Algorithms 10 (1989) 429. Points are spread over capsules in equal steps of the
    summed volume, which leaves less to chance than the stated deviation.
    """
    generator = np.random.default_rng(seed)
    radius = network.radius_um + wide_um
    volumes = np.pi * radius**2 * network.length_um + 4 / 3 * np.pi * radius**3
    ends = np.cumsum(volumes)
    at = (np.arange(points) + generator.random(points)) / points * float(ends[-1])
    owner = np.minimum(np.searchsorted(ends, at, side="right"), len(ends) - 1)
    where = _drawn(network, radius, owner, generator)
    held = _held(network, radius, where)
    share = np.where(domain.clearance_um(where) > 0, 1.0 / np.maximum(held, 1), 0.0)
    return Volume(float(ends[-1] * share.mean()), float(ends[-1] * share.std() / np.sqrt(points)))


def _drawn(
    network: Network, radius: NDArray[np.float64], owner: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """One even point in each of the capsules `owner`: in its cylinder, or in one of its halves of a sphere."""
    n = len(owner)
    r, length = radius[owner], network.length_um[owner]
    start, end = network.start_um[owner], network.end_um[owner]
    axis = (end - start) / np.maximum(length, 1e-300)[:, None]
    axis[length == 0] = (1.0, 0.0, 0.0)
    helper = np.zeros((n, 3))
    helper[np.arange(n), np.argmin(np.abs(axis), axis=1)] = 1.0
    side: NDArray[np.float64] = np.cross(axis, helper)
    side /= np.linalg.norm(side, axis=1)[:, None]
    other: NDArray[np.float64] = np.cross(axis, side)
    ball = generator.normal(size=(n, 3))
    ball *= (r * generator.random(n) ** (1 / 3) / np.linalg.norm(ball, axis=1))[:, None]
    along = np.einsum("ij,ij->i", ball, axis)
    in_cap = np.where((along < 0)[:, None], start, end) + ball
    turn, out = 2 * np.pi * generator.random(n), r * np.sqrt(generator.random(n))
    flat = side * (out * np.cos(turn))[:, None] + other * (out * np.sin(turn))[:, None]
    in_rod = start + axis * (length * generator.random(n))[:, None] + flat
    is_rod = generator.random(n) * (length + 4 / 3 * r) < length
    return np.where(is_rod[:, None], in_rod, in_cap)


def _held(network: Network, radius: NDArray[np.float64], where: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many capsules hold each point; points and capsules sorted along x so that few pairs are looked at."""
    low = np.minimum(network.start_um, network.end_um) - radius[:, None]
    high = np.maximum(network.start_um, network.end_um) + radius[:, None]
    first = np.argsort(low[:, 0], kind="stable")
    found = np.zeros(len(where), dtype=np.int64)
    order = np.argsort(where[:, 0], kind="stable")
    start, end = network.start_um, network.end_um
    for at in range(0, len(order), _GROUP):
        group = order[at : at + _GROUP]
        least, most = where[group].min(axis=0), where[group].max(axis=0)
        near = first[: np.searchsorted(low[first, 0], most[0], side="right")]
        near = near[(high[near] >= least).all(axis=1) & (low[near] <= most).all(axis=1)]
        _count(where, group, start, end, radius, near, found)
    return found


@kernel
def _count(
    where: NDArray[np.float64],
    group: NDArray[np.int64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: NDArray[np.float64],
    near: NDArray[np.int64],
    found: NDArray[np.int64],
) -> None:
    """Add to `found` for each point of `group` how many of the capsules `near` hold it."""
    for g in range(group.size):
        i = group[g]
        for k in range(near.size):
            c = near[k]
            ux, uy, uz = end[c, 0] - start[c, 0], end[c, 1] - start[c, 1], end[c, 2] - start[c, 2]
            wx, wy, wz = where[i, 0] - start[c, 0], where[i, 1] - start[c, 1], where[i, 2] - start[c, 2]
            square = ux * ux + uy * uy + uz * uz
            t = 0.0
            if square > 0.0:
                t = min(max((wx * ux + wy * uy + wz * uz) / square, 0.0), 1.0)
            dx, dy, dz = wx - t * ux, wy - t * uy, wz - t * uz
            if dx * dx + dy * dy + dz * dz <= radius[c] * radius[c] * (1.0 + _EDGE_UM):
                found[i] += 1
