"""Where peaks stand in a pattern, narrow or broad: maxima over place and width of a filter that no slope passes.

The pattern is filtered by the negative second derivative of a Gaussian, of widths from three points to a
quarter of the range; what comes out is divided by its noise, and has to stand above it. A peak is a maximum
over place and over width (T. Lindeberg, Int. J. Comput. Vision 30 (1998) 79) of the signal over the width: for
a Gaussian of standard deviation r the signal goes as s^2.5 / (s^2 + r^2)^1.5 with the filter's s, and over s it
is greatest at s = r. A straight background gives nothing, a curved one little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.diffraction.radiation import Radiation

__all__ = ["Seed", "longest_line_deg", "search"]

_FWHM: Final = math.sqrt(8 * math.log(2))
_FACTOR: Final = 1.3
_LEAST_POINTS: Final = 3.0
_WIDEST_DEG: Final = 8.0
_LEAST_SIGNAL: Final = 6.0
_TOO_NEAR: Final = 0.6
_MOST_POINTS: Final = 1 << 18
_EDGE: Final = 0.75


@dataclass(frozen=True, slots=True)
class Seed:
    """A peak to be fitted: `two_theta_deg` of the first wavelength, a width, the signal over its noise."""

    two_theta_deg: float
    fwhm_deg: float
    signal: float


def longest_line_deg(radiation: Radiation, two_theta_deg: float) -> float:
    """Where the longest wavelength of a beam has the line that its first one has here."""
    ratio = max(radiation.wavelengths_angstrom) / radiation.wavelength_angstrom
    return 2 * math.degrees(math.asin(min(ratio * math.sin(math.radians(two_theta_deg / 2)), 1.0)))


def search(
    two_theta_deg: NDArray[np.float64],
    intensity: NDArray[np.float64],
    sigma: NDArray[np.float64],
    radiation: Radiation,
    least_signal: float = _LEAST_SIGNAL,
) -> list[Seed]:
    """Peaks by angle; lines of the second wavelength of a beam are left to the first one's."""
    x, y, variance = _evenly(two_theta_deg, intensity, sigma**2)
    step = float(x[1] - x[0])
    widest = min(_WIDEST_DEG, (x[-1] - x[0]) / 4)
    count = max(2, 1 + math.ceil(math.log(max(widest / (_LEAST_POINTS * step), 1.1)) / math.log(_FACTOR)))
    widths: NDArray[np.float64] = np.multiply(_LEAST_POINTS * step, _FACTOR ** np.arange(count, dtype=np.float64))
    signal = np.stack([_filtered(y, variance, width / step) for width in widths.tolist()])
    found = sorted(_maxima(x, widths, signal, least_signal), key=lambda seed: -seed.signal / seed.fwhm_deg)
    kept: list[Seed] = []
    for seed in found:
        if not any(_hides(radiation, stronger, seed) for stronger in kept):
            kept.append(seed)
    return sorted(kept, key=lambda seed: seed.two_theta_deg)


def _evenly(
    x: NDArray[np.float64], y: NDArray[np.float64], variance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """On an even grid; one that is even already stays."""
    steps = np.diff(x)
    if steps.max() < 1.01 * steps.min() and x.size <= _MOST_POINTS:
        return x, y, variance
    points = int(min((x[-1] - x[0]) / np.median(steps) + 1, _MOST_POINTS))
    even: NDArray[np.float64] = x[0] + np.arange(points) * ((x[-1] - x[0]) / (points - 1))
    return even, np.interp(even, x, y), np.interp(even, x, variance)


def _filtered(y: NDArray[np.float64], variance: NDArray[np.float64], width_points: float) -> NDArray[np.float64]:
    """The filter's output over its noise, (n,); ends are continued by their mirror image."""
    s = width_points / _FWHM
    reach = min(math.ceil(4 * s), y.size - 1)
    t = np.arange(-reach, reach + 1) / s
    kernel = (1 - t**2) * np.exp(-0.5 * t**2)
    kernel -= kernel.mean()
    out = _convolved(np.pad(y, reach, mode="reflect", reflect_type="odd"), kernel)
    noise = _convolved(np.pad(variance, reach, mode="reflect"), kernel**2)
    return out / np.sqrt(np.maximum(noise, 1e-300))


def _convolved(padded: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    import scipy.signal

    signal: Any = scipy.signal
    return signal.oaconvolve(padded, kernel, mode="valid")


def _maxima(
    x: NDArray[np.float64], widths: NDArray[np.float64], signal: NDArray[np.float64], least: float
) -> list[Seed]:
    """Maxima over place and width of signal / width, where the signal is enough."""
    level = np.pad(signal / widths[:, None], ((1, 1), (1, 1)), constant_values=-np.inf)
    middle = level[1:-1, 1:-1]
    is_top = signal >= least
    for row in (0, 1, 2):
        for column in (0, 1, 2):
            if (row, column) != (1, 1):
                is_top &= middle >= level[row : row + middle.shape[0], column : column + middle.shape[1]]
    rows, columns = np.nonzero(is_top)
    return [
        Seed(float(x[column]), float(widths[row]), float(signal[row, column]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if min(x[column] - x[0], x[-1] - x[column]) > _EDGE * widths[row]
    ]


def _hides(radiation: Radiation, stronger: Seed, seed: Seed) -> bool:
    """Whether a seed is but another view of a stronger one, or its line of the second wavelength."""
    apart = abs(seed.two_theta_deg - stronger.two_theta_deg)
    if apart < _TOO_NEAR * max(stronger.fwhm_deg, seed.fwhm_deg):
        return True
    if not radiation.has_doublet:
        return False
    second = longest_line_deg(radiation, stronger.two_theta_deg)
    return abs(seed.two_theta_deg - second) < _TOO_NEAR * max(stronger.fwhm_deg, seed.fwhm_deg)
