"""Where trees enter the tissue.

An inlet on the surface gets a stub: a straight vessel of the trunk's radius along the inward normal. It begins a
bit more than its radius outside the surface, so that the lumen opens there, and ends where the trunk has its
clearance. Where no trunk leads on from there, longer stubs are tried, and at last such as lean from the normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.growth.settings import GrowthSettings

__all__ = ["OUTSIDE_RADII", "Root", "root_of"]

OUTSIDE_RADII: Final = 1.25
"""The stub begins this many trunk radii outside the surface."""
_SURE: Final = 1.3
"""By how much the trunk may become thicker than expected."""
_STEPS: Final = 400
_FURTHER: Final = 5
_LEANS: Final = (0.35, 0.7)
_TURNS: Final = 8
_ROOM: Final = 1.1
_NORMAL_STEP_UM: Final = 0.5
_WALKS: Final = 4
_REMEDY: Final = "move it, lower the flow, or raise the pressure drop"


@dataclass(frozen=True, slots=True)
class Root:
    """Begin and end of a tree's stub, in um; `pierces` says whether it goes through the surface."""

    start_um: NDArray[np.float64]
    end_um: NDArray[np.float64]
    pierces: bool
    others_um: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]
    """Begin and end of stubs to be tried where no trunk leads on from the first: longer, then leaning."""


def root_of(domain: Domain, settings: GrowthSettings, at: int, radius_um: float) -> Root:
    """The stub of inlet `at` (from 0) for a trunk of `radius_um`. Raises DataRefused with numbers."""
    inlet = settings.inlets[at]
    point = np.asarray(inlet.point_um, dtype=np.float64)
    clearance = float(domain.clearance_um(point[None, :])[0])
    name = f"inlet {at + 1} at ({point[0]:g}, {point[1]:g}, {point[2]:g}) um"
    need = _SURE * radius_um + settings.wall_um
    if clearance < -settings.on_surface_um:
        raise DataRefused(
            f"{name}: lies {-clearance:.4g} um outside the domain; put it on the surface (within "
            f"{settings.on_surface_um:g} um{_surface_near(domain, point, settings.on_surface_um)}) or at least "
            f"{need:.4g} um inside"
        )
    normal = _inward(domain, point)
    if clearance > settings.on_surface_um:
        if clearance < need:
            raise DataRefused(
                f"{name}: is {clearance:.4g} um from the wall; its trunk of about {radius_um:.4g} um radius and "
                f"the wall of {settings.wall_um:g} um need {need:.4g} um; {_REMEDY}, or put it on the surface"
                f"{_surface_near(domain, point, settings.on_surface_um)}"
            )
        return Root(point, _inner_end(domain, point, normal, need, radius_um), False, ())
    surface = point - clearance * normal
    ways = [_ends(domain, surface, way, need) for way in _ways(normal)]
    if not len(ways[0][0]):
        raise DataRefused(
            f"{name}: the domain is too narrow there: along the inward normal the wall is at most "
            f"{ways[0][1]:.4g} um away, a trunk of about {radius_um:.4g} um radius needs {_ROOM * need:.4g} um; "
            f"{_REMEDY}"
        )
    stubs = [
        (surface - OUTSIDE_RADII * radius_um / float(way @ normal) * way, end)
        for way, (ends, _) in zip(_ways(normal), ways, strict=True)
        for end in ends
    ]
    return Root(*stubs[0], True, tuple(stubs[1:]))


def _surface_near(domain: Domain, point: NDArray[np.float64], within_um: float) -> str:
    """Words for a point of the surface near by, or none where the way there is not found."""
    at = point
    for _ in range(_WALKS):
        at = at - float(domain.clearance_um(at[None, :])[0]) * _inward(domain, at)
    at = np.round(at, 2)
    if abs(float(domain.clearance_um(at[None, :])[0])) > within_um:
        return ""
    return f", such as ({at[0]:g}, {at[1]:g}, {at[2]:g})"


def _ways(normal: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The normal, then directions that lean from it, unit vectors."""
    across = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
    across /= np.linalg.norm(across)
    other = np.cross(normal, across)
    found = [normal]
    for lean in _LEANS:
        for turn in np.arange(_TURNS) * 2.0 * np.pi / _TURNS:
            side = np.cos(turn) * across + np.sin(turn) * other
            found.append(np.cos(lean) * normal + np.sin(lean) * side)
    return found


def _ends(
    domain: Domain, surface: NDArray[np.float64], way: NDArray[np.float64], need: float
) -> tuple[list[NDArray[np.float64]], float]:
    """Ends that a stub along `way` may have, from the nearest on, and the most clearance found."""
    depths = np.linspace(0.0, 8.0 * need, _STEPS + 1)[1:]
    along = domain.clearance_um(surface + depths[:, None] * way)
    enough = along >= _ROOM * need
    if not enough.any():
        return [], float(along.max())
    first = int(np.argmax(enough))
    last = first + int(np.argmin(enough[first:])) if not enough[first:].all() else len(along)
    chosen = np.unique(np.linspace(first, last - 1, _FURTHER).astype(np.int64))
    return [surface + depths[at] * way for at in chosen], float(along.max())


def _inner_end(
    domain: Domain, point: NDArray[np.float64], normal: NDArray[np.float64], need: float, radius_um: float
) -> NDArray[np.float64]:
    """A stub of one radius inside, away from the wall; towards it where that has less clearance."""
    for way in (normal, *np.eye(3), *-np.eye(3)):
        end = point + radius_um * way
        if float(domain.clearance_um(end[None, :])[0]) >= _ROOM * need:
            return end
    return point + 0.1 * radius_um * normal


def _inward(domain: Domain, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vector along which the clearance grows most."""
    steps = _NORMAL_STEP_UM * np.concatenate((np.eye(3), -np.eye(3)))
    around = domain.clearance_um(point + steps)
    gradient = around[:3] - around[3:]
    size = float(np.linalg.norm(gradient))
    if size <= 0.0:
        return np.array([0.0, 0.0, 1.0])
    return gradient / size
