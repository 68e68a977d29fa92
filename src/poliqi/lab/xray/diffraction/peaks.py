"""Peaks of a pattern: where each stands, how wide it is and how much is in it, each with its sigma.

Each is a Voigt function for each wavelength of the beam, neighbours and the background below them fitted together.
What is left is searched once more for what stronger peaks hid. Sigmas are of the counts, times the root of chi
squared per degree of freedom where that is above one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.diffraction.marquardt import Solution, minimise
from poliqi.lab.xray.diffraction.pattern import Pattern
from poliqi.lab.xray.diffraction.peaksearch import Seed, longest_line_deg, search
from poliqi.lab.xray.diffraction.peakshape import Group, breadth_deg, fwhm_deg
from poliqi.lab.xray.diffraction.radiation import bragg_d_angstrom
from poliqi.lab.xray.diffraction.refinement import Quantity

__all__ = ["Peak", "find_peaks"]

_REACH: Final = 4.0
"""How far from a peak it is fitted, in widths at half maximum."""
_TOGETHER: Final = 4.0
_MOST_TOGETHER: Final = 12
_MOST_PEAKS: Final = 500
_LEAST_SIGNAL: Final = 3.0
_SECOND_SIGNAL: Final = 8.0
_MODEL_DOUBT: Final = 0.05
"""Of its height, by which a strong peak may miss its model before something else is seen beside it."""


@dataclass(frozen=True, slots=True)
class Peak:
    """Angles in degrees of 2theta, for the first wavelength of the beam; `area` in intensity times degrees."""

    two_theta_deg: Quantity
    d_angstrom: Quantity
    fwhm_deg: Quantity
    breadth_deg: Quantity
    """Integral breadth: area over height."""
    area: Quantity
    """Of the first wavelength alone."""
    gauss_share: float
    """Gaussian part of the width: 1 for a Gaussian, 0 for a Lorentzian."""
    goodness: float
    """Chi squared per degree of freedom of the fit it came from."""
    together_with: int
    """How many others were fitted with it."""


def find_peaks(pattern: Pattern) -> tuple[Peak, ...]:
    """All peaks that stand out of the noise, by angle. Raises DataRefused where there are too many."""
    x, y, sigma = pattern.two_theta_deg, pattern.intensity, pattern.sigma
    seeds = search(x, y, sigma, pattern.radiation)
    _check_count(pattern, seeds)
    model = np.zeros_like(y)
    for group, window in _groups(pattern, seeds):
        solution = _solve(pattern, group, window)
        if solution is not None:
            model[window] += group.peaks_of(solution.p, x[window])
    doubt = np.hypot(sigma, _MODEL_DOUBT * model)
    hidden = search(x, y - model, doubt, pattern.radiation, _SECOND_SIGNAL)
    more = [seed for seed in hidden if all(_apart(seed, known) for known in seeds)]
    seeds = sorted([*seeds, *more], key=lambda seed: seed.two_theta_deg)
    _check_count(pattern, seeds)
    peaks: list[Peak] = []
    for group, window in _groups(pattern, seeds):
        solution = _solve(pattern, group, window)
        if solution is not None:
            peaks += _peaks(pattern, group, solution, int(window.sum()))
    return tuple(sorted(peaks, key=lambda peak: peak.two_theta_deg.value))


def _check_count(pattern: Pattern, seeds: Sequence[Seed]) -> None:
    if len(seeds) > _MOST_PEAKS:
        raise DataRefused(
            f"{pattern.title}: {len(seeds)} peaks, must be at most {_MOST_PEAKS}; choose a smaller range"
        )


def _apart(seed: Seed, known: Seed) -> bool:
    return abs(seed.two_theta_deg - known.two_theta_deg) > 0.8 * known.fwhm_deg


def _groups(pattern: Pattern, seeds: Sequence[Seed]) -> list[tuple[Group, NDArray[np.bool_]]]:
    """Peaks that reach into each other together, at most a dozen, with the points that they are fitted to."""
    lists: list[list[Seed]] = []
    for seed in seeds:
        if lists and len(lists[-1]) < _MOST_TOGETHER:
            last = lists[-1][-1]
            second = longest_line_deg(pattern.radiation, last.two_theta_deg)
            if seed.two_theta_deg - second < _TOGETHER * max(last.fwhm_deg, seed.fwhm_deg):
                lists[-1].append(seed)
                continue
        lists.append([seed])
    found: list[tuple[Group, NDArray[np.bool_]]] = []
    for index, members in enumerate(lists):
        width = max(seed.fwhm_deg for seed in members)
        low = members[0].two_theta_deg - _REACH * width
        high = longest_line_deg(pattern.radiation, members[-1].two_theta_deg) + _REACH * width
        if index:
            before = longest_line_deg(pattern.radiation, lists[index - 1][-1].two_theta_deg)
            low = max(low, (before + members[0].two_theta_deg) / 2)
        if index + 1 < len(lists):
            high = min(high, (members[-1].two_theta_deg + lists[index + 1][0].two_theta_deg) / 2)
        window = (pattern.two_theta_deg >= low) & (pattern.two_theta_deg <= high)
        found.append((Group(pattern.radiation, tuple(members), low, high), window))
    return found


def _solve(pattern: Pattern, group: Group, window: NDArray[np.bool_]) -> Solution | None:
    """The group's parameters, or None where there are too few points."""
    x, y, sigma = pattern.two_theta_deg[window], pattern.intensity[window], pattern.sigma[window]
    start, low, high = group.start(x, y)
    if x.size < start.size + 3:
        return None

    def misses(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return (group.model(p, x) - y) / sigma

    def slopes(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return group.slopes(p, x) / sigma[:, None]

    return minimise(misses, slopes, start, low, high)


def _peaks(pattern: Pattern, group: Group, solution: Solution, points: int) -> list[Peak]:
    """The peaks whose area is above three sigma."""
    p = solution.p
    goodness = solution.chi_squared / (points - p.size)
    scale = np.maximum(np.sqrt(np.diag(solution.normal)), 1e-150)
    normal = solution.normal / np.outer(scale, scale)
    inverse = np.asarray(np.linalg.pinv(normal, rcond=1e-12, hermitian=True), np.float64)
    covariance = inverse * (max(goodness, 1.0) / np.outer(scale, scale))
    found: list[Peak] = []
    for index in range(len(group.seeds)):
        area, place, gauss, lorentz = group.of_peak(index)
        area_sigma = math.sqrt(max(float(covariance[area, area]), 0.0))
        if not float(p[area]) > _LEAST_SIGNAL * area_sigma > 0:
            continue
        at, at_sigma = float(p[place]), math.sqrt(max(float(covariance[place, place]), 0.0))
        d = bragg_d_angstrom(at, pattern.wavelength_angstrom)
        widths = covariance[np.ix_([gauss, lorentz], [gauss, lorentz])]
        both = (math.exp(float(p[gauss])), math.exp(float(p[lorentz])))
        found.append(
            Peak(
                two_theta_deg=Quantity(at, at_sigma),
                d_angstrom=Quantity(d, d / math.tan(math.radians(at / 2)) * math.radians(at_sigma / 2)),
                fwhm_deg=_of_widths(fwhm_deg, both, widths),
                breadth_deg=_of_widths(breadth_deg, both, widths),
                area=Quantity(float(p[area]), area_sigma),
                gauss_share=both[0] / (both[0] + both[1]),
                goodness=goodness,
                together_with=len(group.seeds) - 1,
            )
        )
    return found


def _of_widths(function: Any, widths: tuple[float, float], covariance: NDArray[np.float64]) -> Quantity:
    """A function of both widths with its sigma; `covariance` (2, 2) is of their logarithms."""
    value = function(*widths)
    step = 1e-4
    slope = (
        (function(widths[0] * math.exp(step), widths[1]) - value) / step,
        (function(widths[0], widths[1] * math.exp(step)) - value) / step,
    )
    variance = sum(slope[i] * slope[j] * float(covariance[i, j]) for i in (0, 1) for j in (0, 1))
    return Quantity(value, math.sqrt(max(variance, 0.0)))
