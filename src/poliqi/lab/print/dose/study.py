"""A dose study: the surface that a network prints, the dose in a region, and radii that print as designed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.lab.print.dose.compensate import Compensation, compensate
from poliqi.lab.print.dose.field import (
    DoseField,
    design_volume_um3,
    dose_field,
    grid_of,
    open_volume_um3,
)
from poliqi.lab.print.dose.limits import check_lumens, least_radius_um, limit_of
from poliqi.lab.print.dose.pointdose import reach_um
from poliqi.lab.print.dose.surface import ErrorRow, Rays, printed_um, rays_of, statistics
from poliqi.lab.print.dose.walls import check_between, check_round, thin_walls
from poliqi.lab.print.hatch.settings import Mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.dose.exposure import Exposure
    from poliqi.lab.print.network import Network

__all__ = ["MOST_LOOPS", "DoseStudy", "around_segment", "dose_study"]

MOST_LOOPS: Final = 20
_SIDES: Final = 1.5
_MOST_SAMPLED: Final = 4000
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class DoseStudy:
    """What a network prints. `written` is the network with compensated radii, or the design.

    `rows` are errors of the surface as designed, `rows_after` as compensated (empty without). `field` is the dose
    of the design in the region, `field_after` that of what is written. Volumes in um^3, of the lumen in the region.
    `off_edge` counts segments whose surroundings reach over the domain's edge, which rays do not see. `size_um`
    is the domain's, along x and y.
    """

    exposure: Exposure
    design: Network
    written: Network
    compensation: Compensation | None
    rows: tuple[ErrorRow, ...]
    rows_after: tuple[ErrorRow, ...]
    sampled: int
    field: DoseField
    field_after: DoseField | None
    designed_um3: float
    open_um3: float
    open_after_um3: float | None
    off_edge: int
    size_um: tuple[float, float]


def around_segment(network: Network, exposure: Exposure, segment: int | None) -> NDArray[np.float64]:
    """A box (2, 3) around the middle of a segment (None: the one of median radius), with its wall. ConfigError."""
    count = len(network.segments)
    if segment is None:
        segment = int(np.argsort(network.radius_um, kind="stable")[count // 2])
    if not 0 <= segment < count:
        raise ConfigError(f"--around {segment}: segments are numbered 0 to {count - 1}")
    middle = (network.start_um[segment] + network.end_um[segment]) / 2
    blur = np.array([exposure.w_xy_um, exposure.w_xy_um, exposure.w_z_um])
    half = _SIDES * network.radius_um[segment] + 3 * blur
    return np.stack([middle - half, middle + half])


def dose_study(
    domain: Domain,
    network: Network,
    exposure: Exposure,
    box_um: NDArray[np.float64],
    *,
    loops: int = 0,
    progress: Progress | None = None,
    said: Callable[[str], None] | None = None,
) -> DoseStudy:
    """Simulate, and with `loops` correct the radii. All refusals but that of a compensated radius come first.

    Without `loops` at most 4000 segments, spread evenly, are looked at. `said` is told what is under way.
    Raises DataRefused for walls or lumens that the dose cannot print, and for regions that take too much memory.
    """
    if not 0 <= loops <= MOST_LOOPS:
        raise ConfigError(f"--compensate {loops}: from 1 to {MOST_LOOPS} loops")
    grid = grid_of(box_um, exposure)
    check_lumens(network, exposure)
    limit = limit_of(exposure)
    check_between(network, limit)
    if exposure.mode is Mode.WALL:
        check_round(network, limit, exposure.wall_um)
    tell = said if said is not None else _silent
    tell("dose: looking along the vessels")
    compensation = None
    if loops:
        compensation = compensate(
            network,
            exposure,
            loops,
            least_um=least_radius_um(exposure)[0],
            gap_um=limit.lying_um,
            contacts=lambda one, _gap: thin_walls(one, limit).pairs.astype(np.int64),
            progress=progress,
        )
        rays, printed = compensation.rays, compensation.first_um
    else:
        rays = rays_of(network, _MOST_SAMPLED)
        printed = printed_um(network, exposure, rays, progress)
    written = network if compensation is None else compensation.network
    tell("dose: in the region")
    field = dose_field(domain, network, exposure, grid, progress)
    after = None if compensation is None else dose_field(domain, written, exposure, grid, progress)
    rows, rows_after = _rows(network, exposure, rays, printed, compensation)
    return DoseStudy(
        exposure,
        network,
        written,
        compensation,
        rows,
        rows_after,
        min(len(network.segments), len(network.segments) if loops else _MOST_SAMPLED),
        field,
        after,
        design_volume_um3(network, grid, domain),
        open_volume_um3(field, exposure, domain, network),
        None if after is None else open_volume_um3(after, exposure, domain, network),
        _off_edge(domain, network, exposure),
        (float(np.ptp(domain.bounds_um[:, 0])), float(np.ptp(domain.bounds_um[:, 1]))),
    )


def _silent(words: str) -> None:
    """Say nothing."""


def _rows(
    network: Network, exposure: Exposure, rays: Rays, printed: NDArray[np.float64], found: Compensation | None
) -> tuple[tuple[ErrorRow, ...], tuple[ErrorRow, ...]]:
    reach = reach_um(exposure)
    after = () if found is None else tuple(statistics(network, rays, found.last_um, reach))
    return tuple(statistics(network, rays, printed, reach)), after


def _off_edge(domain: Domain, network: Network, exposure: Exposure) -> int:
    """Segments that come with their surface closer to the domain's edge than light reaches."""
    middle = (network.start_um + network.end_um) / 2
    near = [domain.clearance_um(at) for at in (network.start_um, middle, network.end_um)]
    least = np.min(np.stack(near), axis=0)
    return int((least < network.radius_um + reach_um(exposure)).sum())
