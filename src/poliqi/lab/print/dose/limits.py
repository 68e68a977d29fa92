"""What the dose can print at all: the thinnest wall, the smallest lumen, the power that leaves walls in place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.dose.walls import WallLimit, wall_limit
from poliqi.lab.print.focus import blur_along_um
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.dose.exposure import Exposure
    from poliqi.lab.print.network import Network

__all__ = ["check_lumens", "even_power_mw", "least_radius_um", "least_wall_um", "limit_of"]

_ANGLES: Final = 200
_TOGETHER: Final = 10_000


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
    dark = _dark_of(exposure)
    upright = exposure.w_xy_um * math.sqrt(math.log(1.0 / dark))
    return upright, float(_least_um(np.array([exposure.w_z_um]), dark, exposure.w_xy_um)[0])


def _least_um(w_um: NDArray[np.float64], dark: float, w_xy_um: float) -> NDArray[np.float64]:
    """Radii (n,) of dark discs with the dose `dark` in the middle, blurred w_xy across the light and `w_um` the
    other way.
    """
    shortest, longest = np.minimum(w_um, w_xy_um), np.maximum(w_um, w_xy_um)
    low, high = (one * math.sqrt(math.log(1.0 / dark)) for one in (shortest, longest))
    for _ in range(50):
        middle = (low + high) / 2
        is_less = _dark_in_disc(middle, w_um, w_xy_um) > dark
        low, high = np.where(is_less, middle, low), np.where(is_less, high, middle)
    return high


def _dark_in_disc(radius_um: NDArray[np.float64], w_um: NDArray[np.float64], w_xy_um: float) -> NDArray[np.float64]:
    """Dose in the middle of dark discs: 1 less the Gaussian's integral over each, w_xy wide one way, `w_um` the
    other.
    """
    from scipy.special import erf

    angle = np.pi / 2 * (np.arange(_ANGLES) + 0.5) / _ANGLES
    along, height = radius_um[:, None] * np.sin(angle), radius_um[:, None] * np.cos(angle)
    inner = np.exp(-((along / w_xy_um) ** 2)) * erf(height / w_um[:, None])
    weight = np.sqrt(np.pi) / _ANGLES / w_xy_um
    return 1.0 - weight * np.einsum("ij,ij->i", height, inner)


def check_lumens(network: Network, exposure: Exposure) -> None:
    """Raises DataRefused where a vessel is so narrow that the dose leaves it closed, naming it and its place.

    The section of a vessel that rises by an angle is blurred w_xy wide one way, and the other way as a plane is
    whose normal rises by the cosine of that angle.
    """
    lying = least_radius_um(exposure)[1]
    close = np.flatnonzero(network.radius_um < lying)
    if not len(close):
        return
    span = (network.end_um - network.start_um)[close]
    rise = np.clip((span[:, 2] / np.maximum(network.length_um[close], 1e-300)) ** 2, 0.0, 1.0)
    normal = np.zeros((len(close), 3))
    normal[:, 2] = np.sqrt(1.0 - rise)
    w_um = blur_along_um(normal, exposure.w_xy_um, exposure.w_z_um)
    radius, dark = network.radius_um[close], _dark_of(exposure)
    parts = np.array_split(np.arange(len(close)), len(close) // _TOGETHER + 1)
    dose = np.concatenate([_dark_in_disc(radius[one], w_um[one], exposure.w_xy_um) for one in parts])
    small = close[dose > dark]
    if len(small):
        worst = int(np.argmax(dose))
        at, least = int(close[worst]), float(_least_um(w_um[worst : worst + 1], dark, exposure.w_xy_um)[0])
        x, y, z = (network.start_um[at] + network.end_um[at]) / 2
        raise DataRefused(
            f"dose: vessel {at} at ({x:.1f}, {y:.1f}, {z:.1f}) um has a radius of {network.radius_um[at]:.3g} um, "
            f"which prints closed ({len(small)} such); at least {least:.3g} um there, or another threshold or "
            "focus"
        )


def _dark_of(exposure: Exposure) -> float:
    """The dose in the middle of a lumen at which it closes, as if it were dark and all else lit."""
    return exposure.threshold if exposure.action is Action.SOLIDIFY else 1.0 - exposure.threshold


def even_power_mw(exposure: Exposure) -> float:
    """Power at which flat walls print where they are designed: the threshold is then half of the mean dose.

    The dose goes with the square of the power, so P = P0 sqrt(2 threshold), of the power P0 that has the threshold.
    """
    return exposure.power_mw * math.sqrt(2.0 * exposure.threshold)
