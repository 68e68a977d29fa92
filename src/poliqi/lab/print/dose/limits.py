"""What the dose can print at all: the thinnest wall, the smallest lumen, the power that leaves walls in place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.dose.walls import WallLimit, wall_limit
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from poliqi.lab.print.dose.exposure import Exposure
    from poliqi.lab.print.network import Network

__all__ = ["check_lumens", "even_power_mw", "least_radius_um", "least_wall_um", "limit_of"]


def least_wall_um(exposure: Exposure) -> tuple[float, float]:
    """Thinnest wall of material left or made between two lumens: upright and lying (across the light, along it)."""
    limit = limit_of(exposure)
    return limit.upright_um, limit.lying_um


def limit_of(exposure: Exposure) -> WallLimit:
    """The thinnest walls of an exposure, by direction."""
    return wall_limit(exposure.threshold, exposure.action, exposure.w_xy_um, exposure.w_z_um)


def least_radius_um(exposure: Exposure) -> tuple[float, float]:
    """Least written radius at which a lumen is open in its middle: of vessels along the light, and across it.

    Along the light the dose in the middle of a lit disc is 1 - exp(-r^2/w^2), in that of a dark one exp(-r^2/w^2);
    across it the disc is integrated over the ellipse of the focus, in the even limit of fine lines.
    """
    dark = exposure.threshold if exposure.action is Action.SOLIDIFY else 1.0 - exposure.threshold
    upright = exposure.w_xy_um * math.sqrt(math.log(1.0 / dark))
    low, high = upright, upright * exposure.w_z_um / exposure.w_xy_um + upright
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _dark_in_disc(middle, exposure) > dark else (low, middle)
    return upright, high


def _dark_in_disc(radius_um: float, exposure: Exposure) -> float:
    """Dose in the middle of a dark disc in the plane of y and z: 1 less the Gaussian's integral over the disc."""
    from scipy.special import erf

    y = radius_um * np.sin(np.pi / 2 * (np.arange(200) + 0.5) / 200)
    height = np.sqrt(np.maximum(radius_um**2 - y**2, 0.0))
    weight = np.pi / 2 / 200 * height  # dy = r cos(a) da
    inner = np.exp(-((y / exposure.w_xy_um) ** 2)) * erf(height / exposure.w_z_um)
    return 1.0 - float(np.sum(weight * inner)) * 2.0 / (math.sqrt(math.pi) * exposure.w_xy_um)


def check_lumens(network: Network, exposure: Exposure) -> None:
    """Raises DataRefused where a vessel is so narrow that the dose leaves it closed, naming it and its place."""
    upright, lying = least_radius_um(exposure)
    span = network.end_um - network.start_um
    rise = np.abs(span[:, 2]) / np.maximum(network.length_um, 1e-300)
    least = lying + (upright - lying) * rise**2
    small = np.flatnonzero(network.radius_um < least)
    if len(small):
        at = int(small[np.argmin(network.radius_um[small] / least[small])])
        x, y, z = (network.start_um[at] + network.end_um[at]) / 2
        raise DataRefused(
            f"dose: vessel {at} at ({x:.1f}, {y:.1f}, {z:.1f}) um has a radius of {network.radius_um[at]:.3g} um, "
            f"which prints closed ({len(small)} such); at least {least[at]:.3g} um there, or another threshold or "
            "focus"
        )


def even_power_mw(exposure: Exposure) -> float:
    """Power at which flat walls print where they are designed: the threshold is then half of the mean dose.

    The dose goes with the square of the power, so P = P0 sqrt(2 threshold), of the power P0 that has the threshold.
    """
    return exposure.power_mw * math.sqrt(2.0 * exposure.threshold)
