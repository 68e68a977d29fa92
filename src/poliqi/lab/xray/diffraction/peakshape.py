"""Voigt functions of some peaks that reach into each other, on one background: values and slopes.

Parameters, in this order: coefficients of the background (a polynomial over the window, scaled to -1 to 1), for
each peak its place and area, for each width that peaks share the logarithms of a Gaussian and a Lorentzian FWHM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.diffraction.peaksearch import Seed
from poliqi.lab.xray.diffraction.radiation import Radiation

__all__ = ["Group", "breadth_deg", "fwhm_deg"]

_FWHM: Final = math.sqrt(8 * math.log(2))
_DEGREES_A_BEND: Final = 12.0
_MOST_BENDS: Final = 4
_SHARED: Final = 1.2
"""Peaks nearer than this, in widths, have one width: two could not be told apart."""
_STEP: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Group:
    """Peaks from `low_deg` to `high_deg`."""

    radiation: Radiation
    seeds: tuple[Seed, ...]
    low_deg: float
    high_deg: float

    @property
    def bends(self) -> int:
        """Coefficients of the background: 2 for a straight line."""
        return min(2 + int((self.high_deg - self.low_deg) / _DEGREES_A_BEND), _MOST_BENDS)

    @property
    def width_of(self) -> tuple[int, ...]:
        """Which width each peak has."""
        which, found = 0, [0]
        for before, seed in zip(self.seeds, self.seeds[1:], strict=False):
            apart = seed.two_theta_deg - before.two_theta_deg
            which += apart >= _SHARED * max(before.fwhm_deg, seed.fwhm_deg)
            found.append(which)
        return tuple(found)

    def of_peak(self, index: int) -> tuple[int, int, int, int]:
        """Which parameters are its area, place, Gaussian and Lorentzian width."""
        first = self.bends + 2 * index
        widths = self.bends + 2 * len(self.seeds) + 2 * self.width_of[index]
        return first + 1, first, widths, widths + 1

    def start(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Where a fit begins, and its limits."""
        floor = float(np.quantile(y, 0.1)) if y.size else 0.0
        values = [floor] + [0.0] * (self.bends - 1)
        low, high = [-np.inf] * self.bends, [np.inf] * self.bends
        for seed in self.seeds:
            height = float(np.interp(seed.two_theta_deg, x, y)) - floor if y.size else 0.0
            values += [seed.two_theta_deg, max(height, 1e-3 * (abs(floor) + 1)) * seed.fwhm_deg]
            low += [seed.two_theta_deg - seed.fwhm_deg, 0.0]
            high += [seed.two_theta_deg + seed.fwhm_deg, np.inf]
        members = self.width_of
        for which in range(members[-1] + 1):
            own = [seed.fwhm_deg for seed, one in zip(self.seeds, members, strict=True) if one == which]
            middle = sum(own) / len(own)
            values += [math.log(0.6 * middle)] * 2
            low += [math.log(middle / 500)] * 2
            high += [math.log(4 * middle)] * 2
        return np.array(values), np.array(low), np.array(high)

    def model(self, p: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Intensity at `x`, of its shape."""
        return (self._powers(x) * p[: self.bends]).sum(axis=1) + self.peaks_of(p, x)

    def peaks_of(self, p: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same without the background."""
        total = np.zeros_like(x)
        for index in range(len(self.seeds)):
            area, place, gauss, lorentz = self.of_peak(index)
            total += p[area] * self._shape(x, float(p[place]), float(p[gauss]), float(p[lorentz]))
        return total

    def slopes(self, p: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the model in each parameter: (points, parameters)."""
        found = np.zeros((x.size, p.size))
        found[:, : self.bends] = self._powers(x)
        for index in range(len(self.seeds)):
            area, place, gauss, lorentz = self.of_peak(index)
            at = (float(p[place]), float(p[gauss]), float(p[lorentz]))
            shape = self._shape(x, *at)
            found[:, area] += shape
            for which, column in enumerate((place, gauss, lorentz)):
                step = _STEP * (math.exp(at[1]) + math.exp(at[2]) if which == 0 else 1.0)
                moved = tuple(value + step * (one == which) for one, value in enumerate(at))
                found[:, column] += p[area] * (self._shape(x, *moved) - shape) / step
        return found

    def _powers(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        middle, half = (self.low_deg + self.high_deg) / 2, (self.high_deg - self.low_deg) / 2
        return ((x - middle) / half)[:, None] ** np.arange(self.bends)

    def _shape(
        self, x: NDArray[np.float64], at: float, log_gauss: float, log_lorentz: float
    ) -> NDArray[np.float64]:
        """A line of unit area of the first wavelength, with those of the others."""
        from scipy.special import voigt_profile

        sigma, gamma = math.exp(log_gauss) / _FWHM, math.exp(log_lorentz) / 2
        sine = math.sin(math.radians(at / 2))
        total = np.zeros_like(x)
        beam = self.radiation
        for wavelength, weight in zip(beam.wavelengths_angstrom, beam.weights, strict=True):
            line = 2 * math.degrees(math.asin(min(sine * wavelength / beam.wavelength_angstrom, 1.0)))
            total += weight * voigt_profile(x - line, sigma, gamma)
        return total


def fwhm_deg(gauss: float, lorentz: float) -> float:
    """Of a Voigt function of these FWHM, within .02 % (Olivero and Longbothum 1977)."""
    return 0.5346 * lorentz + math.sqrt(0.2166 * lorentz**2 + gauss**2)


def breadth_deg(gauss: float, lorentz: float) -> float:
    """Integral breadth: one over the height of a Voigt function of unit area."""
    from scipy.special import voigt_profile

    return 1 / float(voigt_profile(0.0, gauss / _FWHM, lorentz / 2))
