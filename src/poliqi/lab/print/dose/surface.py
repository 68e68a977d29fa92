"""Where the printed surface of the lumen is, against the designed one: rays, and errors by place and radius."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.dose.capsulelines import capsule_table
from poliqi.lab.print.dose.pointdose import reach_um
from poliqi.lab.print.dose.segmentcells import cells_of
from poliqi.lab.print.dose.surfacerays import design_kernel, printed_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.dose.exposure import Exposure
    from poliqi.lab.print.network import Network

__all__ = ["ErrorRow", "Place", "Rays", "errors_um", "printed_um", "rays_of", "rmse_um", "statistics"]

_AROUND: Final = 16
_FRACTIONS: Final = (1 / 6, 0.5, 5 / 6)
_SPHERE: Final = 24
_FARTHEST: Final = 2.5
"""Of a vessel's radius: a ray that has not met the wall by then runs along a lumen."""
_BLOCK: Final = 4096
_MANY: Final = 65_536
_MOST_RAYS: Final = 12_000_000
_RADII_UM: Final = (0.0, 2.0, 5.0, 10.0, 20.0, 50.0, math.inf)


class Place(IntEnum):
    """Where on a vessel a ray begins."""

    ALONG = 0
    BRANCHING = 1
    END = 2


@dataclass(frozen=True, slots=True)
class Rays:
    """From axes to the designed surface: origin and unit direction (n, 3), distance (n,), capsule left there.

    `place` (n,) is a `Place`. Rays that run along a lumen are left out already.
    """

    origin_um: NDArray[np.float64]
    unit: NDArray[np.float64]
    distance_um: NDArray[np.float64]
    owner: NDArray[np.int64]
    place: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Errors of the surface, printed less designed, among rays of a place or of vessels of some radii."""

    name: str
    rays: int
    rmse_um: float
    mean_um: float
    worst_um: float
    closed: int
    open: int


def rays_of(network: Network, most_segments: int | None = None) -> Rays:
    """Rays all round: 16 at three places of each segment, 24 from each branching, and from each end outwards.

    Ends that are ports are left out: they lead outside. With `most_segments`, so many segments spread evenly over
    the network. Raises DataRefused for more rays than can be worked on.
    """
    chosen = np.arange(len(network.segments))
    if most_segments is not None and most_segments < len(chosen):
        chosen = chosen[:: -(-len(chosen) // most_segments)]
    if len(chosen) * (_AROUND * len(_FRACTIONS) + _SPHERE) > _MOST_RAYS:
        raise DataRefused(
            f"dose: {len(chosen)} segments make too many rays; name a region, or fewer segments than "
            f"{_MOST_RAYS // (_AROUND * len(_FRACTIONS) + _SPHERE)}"
        )
    parts = [_rays_along(network, chosen), *_rays_at_nodes(network, chosen)]
    origin, unit, radius = (np.concatenate([one[at] for one in parts]) for at in range(3))
    place = np.concatenate([np.full(len(one[0]), kind, np.uint8) for kind, one in zip(Place, parts, strict=True)])
    distance = np.empty(len(origin))
    owner = np.empty(len(origin), dtype=np.int64)
    table = capsule_table(network)
    cells = cells_of(table, 0.0)
    for begin in range(0, len(origin), _MANY):
        part = slice(begin, begin + _MANY)
        most = _FARTHEST * radius[part]
        design_kernel(table, cells, origin[part], unit[part], most, distance[part], owner[part])
    met = distance >= 0.0
    return Rays(origin[met], unit[met], distance[met], owner[met], place[met])


def _rays_along(network: Network, chosen: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    start, span = network.start_um[chosen], network.end_um[chosen] - network.start_um[chosen]
    along = span / np.maximum(network.length_um[chosen], 1e-300)[:, None]
    helper = np.where(np.abs(along[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    one = np.cross(along, helper)
    one /= np.linalg.norm(one, axis=1)[:, None]
    two = np.cross(along, one)
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    around = one[:, None] * np.cos(angle)[:, None] + two[:, None] * np.sin(angle)[:, None]
    n, f = len(chosen), len(_FRACTIONS)
    origin = start[:, None] + span[:, None] * np.array(_FRACTIONS)[:, None]
    shape = (n, f, _AROUND, 3)
    return (
        np.broadcast_to(origin[:, :, None], shape).reshape(-1, 3).copy(),
        np.broadcast_to(around[:, None], shape).reshape(-1, 3).copy(),
        np.repeat(network.radius_um[chosen], f * _AROUND),
    )


def _rays_at_nodes(network: Network, chosen: NDArray[np.int64]) -> list[tuple[NDArray[np.float64], ...]]:
    """Of branchings all round, of ends the half that looks away from the vessel."""
    degree = network.degrees()
    thick = np.zeros(len(network.points_um))
    np.maximum.at(thick, network.segments.ravel(), np.repeat(network.radius_um, 2))
    outward = np.zeros_like(network.points_um)
    np.add.at(outward, network.segments[:, 0], network.start_um - network.end_um)
    np.add.at(outward, network.segments[:, 1], network.end_um - network.start_um)
    used = np.zeros(len(network.points_um), dtype=bool)
    used[network.segments[chosen].ravel()] = True
    is_port = np.zeros(len(network.points_um), dtype=bool)
    is_port[[port.node for port in network.ports]] = True
    sphere = _fibonacci(_SPHERE)
    found: list[tuple[NDArray[np.float64], ...]] = []
    for nodes, is_end in ((used & (degree >= 3), False), (used & (degree == 1) & ~is_port, True)):
        at = np.flatnonzero(nodes)
        origin = np.repeat(network.points_um[at], _SPHERE, axis=0)
        unit = np.tile(sphere, (len(at), 1))
        radius = np.repeat(thick[at], _SPHERE)
        keep = (
            np.einsum("ij,ij->i", unit, np.repeat(outward[at], _SPHERE, axis=0)) > 0
            if is_end
            else np.ones(len(unit), dtype=bool)
        )
        found.append((origin[keep], unit[keep], radius[keep]))
    return found


def _fibonacci(count: int) -> NDArray[np.float64]:
    """Directions spread evenly over a sphere, (count, 3)."""
    at = np.arange(count) + 0.5
    z = 1 - 2 * at / count
    angle = np.pi * (1 + math.sqrt(5)) * at
    flat = np.sqrt(1 - z**2)
    return np.column_stack([flat * np.cos(angle), flat * np.sin(angle), z])


def printed_um(
    network: Network, exposure: Exposure, rays: Rays, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.float64]:
    """Distance of the printed surface from the origin of each ray, (n,); 0: closed, infinite: open far beyond.

    `network` is what is written, which may have other radii than the design that the rays are of.
    """
    from concurrent.futures import ThreadPoolExecutor

    table = capsule_table(network)
    cells = cells_of(table, exposure.wall_um)
    printed = np.empty(len(rays.origin_um))
    fixed = (table, cells, exposure.parameters, exposure.kind, exposure.threshold, reach_um(exposure))
    total = len(printed)
    printed_kernel(*fixed, rays.origin_um, rays.unit, rays.distance_um, 0, 0, printed)  # compiled by one thread

    def block(begin: int) -> int:
        stop = min(begin + _BLOCK, total)
        printed_kernel(*fixed, rays.origin_um, rays.unit, rays.distance_um, begin, stop, printed)
        return stop - begin

    done = 0
    with ThreadPoolExecutor(2) as pool:
        for count in pool.map(block, range(0, total, _BLOCK)):
            done += count
            if progress is not None:
                progress(done, total)
    return printed


def errors_um(rays: Rays, printed: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Printed less designed, (n,); an open surface counts as `reach` too far."""
    return np.where(np.isfinite(printed), printed - rays.distance_um, reach)


def rmse_um(errors: NDArray[np.float64]) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(errors**2))) if len(errors) else 0.0


def statistics(network: Network, rays: Rays, printed: NDArray[np.float64], reach: float) -> list[ErrorRow]:
    """All rays, those of each place, and those of vessels by radius; rows without a ray are left out."""
    errors, radius = errors_um(rays, printed, reach), network.radius_um[rays.owner]
    groups: list[tuple[str, NDArray[np.bool_]]] = [("all", np.ones(len(errors), dtype=bool))]
    names = {Place.ALONG: "along vessels", Place.BRANCHING: "at branchings", Place.END: "at ends"}
    groups += [(names[one], rays.place == one) for one in Place]
    for low, high in pairwise(_RADII_UM):
        name = f"radius {low:g} to {high:g} um" if math.isfinite(high) else f"radius from {low:g} um"
        groups.append((name, (radius >= low) & (radius < high)))
    return [_row(name, errors[which], printed[which]) for name, which in groups if which.any()]


def _row(name: str, errors: NDArray[np.float64], printed: NDArray[np.float64]) -> ErrorRow:
    return ErrorRow(
        name,
        len(errors),
        rmse_um(errors),
        float(errors.mean()),
        float(np.abs(errors).max()),
        int((printed == 0).sum()),
        int(np.isinf(printed).sum()),
    )
