"""Capsules of flat triangles: as many as a tolerance asks for, each with exactly the volume of the round one.

A capsule is a prism of n sides with rings of n corners towards a point at both ends. Its corners lie a little
outside of the round one and the middles of its faces a little inside: across so that the prism has the cylinder's
volume, along so that each end has the half sphere's. How far the surfaces part at most, in radii, is `deviation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Facets", "capsule_mesh", "deviation", "facets_for"]

_SIDES: Final = (5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128)
_MOST_RINGS: Final = 40
_GOLDEN: Final = math.pi * (3.0 - math.sqrt(5.0))


@dataclass(frozen=True, slots=True)
class Facets:
    """`sides` of the prism and `rings` of each end; `across` and `along`: radii of corners over the round
    radius.
    """

    sides: int
    rings: int
    across: float
    along: float

    @property
    def triangles(self) -> int:
        """Of one capsule."""
        return 4 * self.sides * self.rings

    @property
    def vertices(self) -> int:
        """Of one capsule."""
        return 2 * self.sides * self.rings + 2


def _facets(sides: int, rings: int) -> Facets:
    """Volumes: n/2 sin(2 pi/n) R^2 = pi r^2; and sum over rings of pi R_j^2 frusta, times `along`, = 2/3 pi r^3."""
    across = math.sqrt(2.0 * math.pi / (sides * math.sin(2.0 * math.pi / sides)))
    angle = np.linspace(0.0, 0.5 * math.pi, rings + 1)
    wide, high = np.cos(angle), np.sin(angle)
    wide[-1] = 0.0
    frusta = np.diff(high) * (wide[1:] ** 2 + wide[1:] * wide[:-1] + wide[:-1] ** 2) / 3.0
    return Facets(sides, rings, across, 2.0 / (3.0 * float(frusta.sum())))


def deviation(facets: Facets) -> float:
    """How far flat and round surface part at most, over the radius: corners outside, middles of faces inside."""
    angle = np.linspace(0.0, 0.5 * math.pi, facets.rings + 1)
    inner = facets.across * math.cos(math.pi / facets.sides)
    x, y = inner * np.cos(angle), facets.along * np.sin(angle)
    dx, dy = np.diff(x), np.diff(y)
    share = np.clip(-(x[:-1] * dx + y[:-1] * dy) / (dx**2 + dy**2), 0.0, 1.0)
    nearest = float(np.hypot(x[:-1] + share * dx, y[:-1] + share * dy).min())
    return max(facets.across - 1.0, facets.along - 1.0, 1.0 - min(nearest, inner))


@cache
def _all() -> tuple[tuple[int, float, Facets], ...]:
    """Every choice with its deviation, fewest triangles first."""
    choices = [_facets(sides, rings) for sides in _SIDES for rings in range(1, min(sides, _MOST_RINGS) + 1)]
    return tuple(sorted(((one.triangles, deviation(one), one) for one in choices), key=lambda one: one[:2]))


@cache
def _for(share: float) -> Facets:
    for _, parted, one in _all():
        if parted <= share:
            return one
    finest = min(parted for _, parted, _ in _all())
    raise ConfigError(
        f"--tolerance-um: {share:.2g} of a radius is finer than {finest:.2g}, the finest that is drawn; give more"
    )


def facets_for(radius_um: float, tolerance_um: float) -> Facets:
    """The fewest triangles whose surface is within the tolerance of a round one. Raises ConfigError: too fine."""
    if not 0.0 < tolerance_um <= 1e4:
        raise ConfigError(f"--tolerance-um {tolerance_um:g}: above 0 to 10000 is possible")
    steps = math.floor(math.log2(tolerance_um / radius_um) * 4.0)  # few kinds, none coarser than asked
    return _for(min(2.0 ** (steps / 4.0), 0.5))


def capsule_mesh(
    start_um: NDArray[np.float64], end_um: NDArray[np.float64], radius_um: NDArray[np.float64], facets: Facets
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (m * v, 3) in um and triangles (m * t, 3) of m capsules with the same facets, outward.

    The corners of each are turned by another angle, so that faces of neighbours do not fall onto each other.
    """
    count, sides, rings = len(start_um), facets.sides, facets.rings
    run = end_um - start_um
    axis = run / np.linalg.norm(run, axis=1)[:, None]
    least = np.argmin(np.abs(axis), axis=1)
    side = np.cross(axis, np.eye(3)[least])
    side /= np.linalg.norm(side, axis=1)[:, None]
    other = np.cross(axis, side)
    turn = _GOLDEN * np.arange(count)[:, None] + 2.0 * math.pi / sides * np.arange(sides)
    wide = facets.across * radius_um[:, None, None]
    ring = wide * (np.cos(turn)[..., None] * side[:, None] + np.sin(turn)[..., None] * other[:, None])
    angle = np.arange(rings) * (0.5 * math.pi / rings)
    pole = (facets.along * radius_um)[:, None] * axis
    layers = [start_um - pole]
    vertices = np.empty((count, facets.vertices, 3))
    vertices[:, 0], vertices[:, -1] = layers[0], end_um + pole
    for at in range(2 * rings):
        base, tilt, sign = (start_um, rings - 1 - at, -1.0) if at < rings else (end_um, at - rings, 1.0)
        centre = base + sign * math.sin(angle[tilt]) * pole
        vertices[:, 1 + at * sides : 1 + (at + 1) * sides] = centre[:, None] + math.cos(angle[tilt]) * ring
    triangles = _triangles(sides, rings) + (facets.vertices * np.arange(count))[:, None, None]
    return vertices.reshape(-1, 3), triangles.reshape(-1, 3)


@cache
def _triangles(sides: int, rings: int) -> NDArray[np.int64]:
    """Of one capsule, (t, 3): the first point, rings from the first end to the last, the last point."""
    at = np.arange(sides)
    following = (at + 1) % sides
    last = 2 * sides * rings + 1
    parts = [np.stack([np.zeros_like(at), 1 + following, 1 + at], axis=1)]
    for ring in range(2 * rings - 1):
        a, b = 1 + ring * sides, 1 + (ring + 1) * sides
        parts += [
            np.stack([a + at, a + following, b + at], axis=1),
            np.stack([a + following, b + following, b + at], axis=1),
        ]
    top = last - sides
    parts.append(np.stack([np.full_like(at, last), top + at, top + following], axis=1))
    return np.concatenate(parts)
