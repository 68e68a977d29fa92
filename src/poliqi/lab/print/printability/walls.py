"""Walls: what is left between two lumens, and between a lumen and the outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.lab.print.printability.machine import place_of
from poliqi.lab.print.printability.problem import Flaw, Problem, Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.printability.check import Settings
    from poliqi.lab.print.profile import Profile

__all__ = ["check_walls"]

_AT_ONCE: Final = 500_000
_MOUTH: Final = 2.0
"""Around a port its own mouth is no thin wall: up to so many radii and walls from it."""


def check_walls(domain: Domain, network: Network, profile: Profile, settings: Settings) -> list[Problem]:
    """Both kinds of walls against `settings.min_wall_um`."""
    del profile
    return [*_between(network, settings), *_outside(domain, network, settings)]


def _between(network: Network, settings: Settings) -> list[Problem]:
    """Vessels that come too near each other away from their joints, or run into each other."""
    from poliqi.lab.print.growth.contacts import contacts

    found = contacts(network, settings.min_wall_um)
    if not len(found.pairs):
        return []
    worst = int(found.distance_um.argmin())
    return [
        Problem(
            Severity.REFUSE,
            Flaw.THIN_WALL,
            float(found.distance_um[worst]),
            settings.min_wall_um,
            place_of(found.place_um[worst]),
            "grow with a wider gap between vessels",
            len(found.pairs),
            "um",
            f"vessels {int(found.pairs[worst, 0])} and {int(found.pairs[worst, 1])}",
        )
    ]


def _outside(domain: Domain, network: Network, settings: Settings) -> list[Problem]:
    """Tissue between vessel and surface, at points along each vessel no further apart than its radius or the
    wall.
    """
    least = settings.min_wall_um
    step = np.maximum(np.minimum(network.radius_um, max(least, 1.0)), network.length_um / 256.0)
    counts = np.ceil(network.length_um / step).astype(np.int64) + 1
    worst, place, thin = np.inf, np.zeros(3), 0
    for part in np.array_split(np.arange(len(counts)), int(counts.sum()) // _AT_ONCE + 1):
        points, owner = _along(network, part, counts[part])
        wall = domain.clearance_um(points) - network.radius_um[owner]
        bad = (wall < least) & ~_in_mouth(domain, network, points, least)
        thin += len(np.unique(owner[bad]))
        if bad.any():
            at = int(np.where(bad, wall, np.inf).argmin())
            if wall[at] < worst:
                worst, place = float(wall[at]), points[at]
    if not thin:
        return []
    remedy = "grow with a wider distance from the surface, or make it a port"
    detail = "negative: the lumen is open there" if worst < 0 else ""
    return [Problem(Severity.REFUSE, Flaw.THIN_SHELL, worst, least, place_of(place), remedy, thin, "um", detail)]


def _along(
    network: Network, part: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points (p, 3) evenly along vessels, ends included, and the vessel of each."""
    owner = np.repeat(part, counts)
    at = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = at / np.maximum(np.repeat(counts, counts) - 1, 1)
    start, end = network.points_um[network.segments[owner, 0]], network.points_um[network.segments[owner, 1]]
    return start + share[:, None] * (end - start), owner


def _in_mouth(domain: Domain, network: Network, points: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Whether points are so near a port that its own opening is what is thin."""
    found = np.zeros(len(points), dtype=bool)
    for port in network.ports:
        ends = (network.segments == port.node).any(axis=1)
        radius = float(network.radius_um[ends].max(initial=0.0))
        away = np.linalg.norm(points - network.points_um[port.node], axis=1)
        beyond = -float(domain.clearance_um(network.points_um[port.node][None])[0])  # of a stub that sticks out
        found |= away < _MOUTH * (radius + least) + max(beyond, 0.0)
    return found
