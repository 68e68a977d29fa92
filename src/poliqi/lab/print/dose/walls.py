"""The thinnest wall that a dose prints, by direction: the focus is longer than wide, so lying walls are thicker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.focus import blur_along_um
from poliqi.lab.print.growth.contacts import contacts
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.network import Network

__all__ = ["ThinWalls", "WallLimit", "check_between", "check_round", "thin_walls", "wall_limit"]


@dataclass(frozen=True, slots=True)
class WallLimit:
    """Least thickness of a flat wall: `factor` times the 1/e radius of its blur along its normal, um."""

    threshold: float
    factor: float
    w_xy_um: float
    w_z_um: float

    @property
    def upright_um(self) -> float:
        """Of walls whose normal lies across the light."""
        return self.factor * self.w_xy_um

    @property
    def lying_um(self) -> float:
        """Of walls whose normal lies along the light."""
        return self.factor * self.w_z_um

    def along_um(self, unit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of walls with unit normals (n, 3)."""
        return self.factor * blur_along_um(unit, self.w_xy_um, self.w_z_um)

    def round_um(self, network: Network) -> float:
        """Of a wall round each vessel: its normals are all those across the vessel's axis, the steepest counts."""
        span = network.end_um - network.start_um
        rise = (span[:, 2] / np.maximum(network.length_um, 1e-300)) ** 2
        steep = np.zeros((len(rise), 3))
        steep[:, 2] = np.sqrt(np.clip(1.0 - rise, 0.0, 1.0))
        return float(self.along_um(steep).max())


def wall_limit(threshold: float, action: Action, w_xy_um: float, w_z_um: float) -> WallLimit:
    """Of a threshold (part of the dose within a solid) and a focus.

    The dose in the middle of a lit wall t thick is erf(t/(2 w)), so t = 2 w erfinv(threshold); one that stays dark
    between lit lumens has 1 - erf(t/(2 w)), so t = 2 w erfinv(1 - threshold). w is that of the wall's normal.
    """
    from scipy.special import erfinv

    part = threshold if action is Action.SOLIDIFY else 1.0 - threshold
    return WallLimit(threshold, 2.0 * float(erfinv(part)), w_xy_um, w_z_um)


@dataclass(frozen=True, slots=True)
class ThinWalls:
    """Walls below their limit: pairs of segments (k, 2), thickness and least thickness (k,), places (k, 3); um."""

    pairs: NDArray[np.int32]
    wall_um: NDArray[np.float64]
    least_um: NDArray[np.float64]
    place_um: NDArray[np.float64]


def thin_walls(network: Network, limit: WallLimit) -> ThinWalls:
    """Walls between two lumens that the dose does not print.

    A wall's normal is taken along the gap: from the point of one axis to that of the other, each next to the
    middle of the closest points.
    """
    found = contacts(network, max(limit.upright_um, limit.lying_um))
    ends = [_next_to(network, found.pairs[:, at], found.place_um) for at in (0, 1)]
    gap = ends[1] - ends[0]
    size = np.linalg.norm(gap, axis=1)
    unit = np.where(size[:, None] > 1e-9, gap / np.maximum(size, 1e-9)[:, None], (1.0, 0.0, 0.0))
    least = limit.along_um(unit)
    thin = np.flatnonzero(found.distance_um < least)
    return ThinWalls(found.pairs[thin], found.distance_um[thin], least[thin], found.place_um[thin])


def check_between(network: Network, limit: WallLimit) -> None:
    """Raises DataRefused for a wall between lumens that the dose does not print, naming its place and limit."""
    thin = thin_walls(network, limit)
    if len(thin.pairs):
        at = int(np.argmin(thin.wall_um - thin.least_um))
        x, y, z = thin.place_um[at]
        raise DataRefused(
            f"dose: the wall at ({x:.1f}, {y:.1f}, {z:.1f}) um is {thin.wall_um[at]:.3g} um thick "
            f"({len(thin.pairs)} such); at least {thin.least_um[at]:.3g} um in its direction (dose at threshold "
            f"{limit.threshold:.2g}): design with a larger gap"
        )


def check_round(network: Network, limit: WallLimit, wall_um: float) -> None:
    """Raises ConfigError where a wall of that thickness round the lumens is below what the dose prints."""
    least = limit.round_um(network)
    if wall_um < least:
        raise ConfigError(
            f"dose: wall {wall_um:g} um is below {least:.3g} um, the least that prints round these vessels at "
            f"threshold {limit.threshold:.2g}; make it thicker, or change the threshold or the focus"
        )


def _next_to(network: Network, segment: NDArray[np.int32], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Point of each segment's axis that is next to a place, (k, 3)."""
    start, way = network.start_um[segment], (network.end_um - network.start_um)[segment]
    share = np.einsum("ij,ij->i", place - start, way) / np.maximum(np.einsum("ij,ij->i", way, way), 1e-300)
    return start + np.clip(share, 0.0, 1.0)[:, None] * way
