"""Distribution of relaxation times: how much resistance relaxes at which time, without a circuit in mind.

Z = R + j omega L + 1 / (j omega C) + integral of gamma(ln tau) / (1 + j omega tau) d ln tau, with gamma of 0 or
more, and its second derivative held small (Tikhonov; Saccoccio, Wan, Chen and Ciucci, Electrochim. Acta 147, 470,
2014). The weight lambda is found by generalised cross-validation (Golub, Heath and Wahba, Technometrics 21, 215,
1979), which is known to leave ripples: the largest lambda is taken that leaves at most 15 % more than it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.eis.elements import j_omega
from poliqi.lab.echem.eis.kramerskronig import rms_of
from poliqi.lab.echem.spectrum import Spectrum

__all__ = ["Peak", "Relaxation", "relaxation_times"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_PER_DECADE: Final = 12
_BEYOND: Final = 1.0
_MORE: Final = 1.15
_STEPS: Final = 8
_SIDE_SHARE: Final = 0.12
_SIDE_DECADES: Final = 1.8
_LEAST_SHARE: Final = 0.01
_FOLLOWS: Final = 0.03


@dataclass(frozen=True, slots=True)
class Peak:
    """One process: its time, the resistance below it, and how many ripples were joined into that."""

    tau_s: float
    area_ohm: float
    joined: int
    is_closed: bool
    """False where it reaches past the frequencies measured: its area is then no resistance of the cell."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """`gamma_ohm` (m,) over `tau_s` (m,), rising. Series elements are 0 where nothing of them shows."""

    tau_s: Floats
    gamma_ohm: Floats
    resistance_ohm: float
    inductance_h: float
    weight: float
    """lambda, in units of the square of the kernel's largest singular value."""
    residual: Complexes
    """(Z - model) / |Z|, (n,)."""
    peaks: tuple[Peak, ...]

    @property
    def rms(self) -> float:
        """Root mean square of |Z - model| / |Z|."""
        return rms_of(self.residual)

    @property
    def follows(self) -> bool:
        """Whether the distribution describes the spectrum: else its areas say nothing."""
        return self.rms <= _FOLLOWS


def relaxation_times(spectrum: Spectrum, *, weight: float | None = None) -> Relaxation:
    """The distribution of a spectrum; `weight` is lambda in place of the one that is found.

    Raises DataRefused where the problem cannot be solved.
    """
    f, z = spectrum.frequency_hz, spectrum.impedance_ohm
    problem = _Problem.of(f, z)
    found = problem.cross_validated() if weight is None else weight
    gamma, series = problem.solved(found)
    if weight is None:
        allowed = _MORE * problem.left(gamma, series)
        for _ in range(_STEPS):
            smoother = problem.solved(found * 10**0.5)
            if problem.left(*smoother) > allowed:
                break
            found, (gamma, series) = found * 10**0.5, smoother
    left = problem.data - problem.kernel @ gamma - problem.series @ series
    shown = series / problem.lengths
    band = (1 / (2 * math.pi * f[0]), 1 / (2 * math.pi * f[-1]))
    return Relaxation(
        problem.tau,
        gamma,
        float(shown[0]),
        float(shown[1]),
        found,
        left[: f.size] + 1j * left[f.size :],
        _peaks(problem.tau, gamma, band),
    )


@dataclass(frozen=True, slots=True)
class _Problem:
    """Least squares of real and imaginary parts over |Z|."""

    tau: Floats
    kernel: Floats
    series: Floats
    lengths: Floats
    roughness: Floats
    data: Floats
    scale: float

    @staticmethod
    def of(f: Floats, z: Complexes) -> _Problem:
        s = j_omega(f)[:, None]
        low, high = -math.log(2 * math.pi * f[0]), -math.log(2 * math.pi * f[-1])
        beyond = _BEYOND * math.log(10)
        count = math.ceil((high - low + 2 * beyond) / math.log(10) * _PER_DECADE) + 1
        log_tau, step = np.linspace(low - beyond, high + beyond, count, retstep=True)
        tau = np.exp(log_tau)
        weight = 1 / np.abs(z)[:, None]

        def stacked(table: Complexes) -> Floats:
            return np.concatenate([(table * weight).real, (table * weight).imag])

        kernel = stacked(step / (1 + s * tau))
        series = stacked(np.concatenate([np.ones_like(s), s, 1 / s], axis=1))
        lengths = np.linalg.norm(series, axis=0)
        roughness = (np.eye(count, k=1) - 2 * np.eye(count) + np.eye(count, k=-1)) / step**1.5
        scale = float(np.linalg.norm(kernel, 2)) ** 2
        return _Problem(tau, kernel, series / lengths, lengths, roughness, stacked(z[:, None])[:, 0], scale)

    def cross_validated(self) -> float:
        """lambda of the least generalised cross-validation, with gamma of either sign: that is linear."""
        basis = np.linalg.qr(self.series)[0]
        kernel = self.kernel - basis @ (basis.T @ self.kernel)
        data = self.data - basis @ (basis.T @ self.data)
        left, singular, _ = np.linalg.svd(np.linalg.solve(self.roughness.T, kernel.T).T, full_matrices=False)
        seen = left.T @ data
        unseen = max(float(data @ data - seen @ seen), 0.0)
        weights = np.logspace(-16, -2, 57) * self.scale
        kept = singular**2 / (singular**2 + weights[:, None])
        count = data.size - self.series.shape[1]
        scores = (np.sum(((1 - kept) * seen) ** 2, axis=1) + unseen) / (count - np.sum(kept, axis=1)) ** 2
        return float(weights[int(np.argmin(scores))] / self.scale)

    def solved(self, weight: float) -> tuple[Floats, Floats]:
        """gamma (m,) and the scaled series elements (3,), all 0 or more."""
        from scipy import optimize

        solver: Any = optimize  # its annotations are partial
        count = self.tau.size
        below = np.concatenate([math.sqrt(weight * self.scale) * self.roughness, np.zeros((count, 3))], axis=1)
        table = np.concatenate([np.concatenate([self.kernel, self.series], axis=1), below])
        try:
            found: Floats = solver.nnls(table, np.concatenate([self.data, np.zeros(count)]))[0]
        except RuntimeError as error:
            raise DataRefused(f"relaxation times: no solution at lambda {weight:g}; give another weight") from error
        return found[:count], found[count:]

    def left(self, gamma: Floats, series: Floats) -> float:
        return float(np.linalg.norm(self.data - self.kernel @ gamma - self.series @ series))


def _peaks(tau: Floats, gamma: Floats, band: tuple[float, float]) -> tuple[Peak, ...]:
    """Maxima, small ones beside a large one joined with it: a ripple between two is shared at its top."""
    padded = np.concatenate([[0.0], gamma, [0.0]])
    tops = np.flatnonzero((padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:]))
    if not tops.size:
        return ()
    step = math.log(tau[1] / tau[0])
    summed = np.concatenate([[0.0], np.cumsum(gamma) * step])
    valleys = [int(first + np.argmin(gamma[first : second + 1])) for first, second in itertools.pairwise(tops)]
    edges = np.array([0, *valleys, tau.size])
    areas = np.diff(summed[edges])
    decades = np.log10(tau[tops])
    is_side = np.array(
        [
            bool(np.any((np.abs(decades - decade) < _SIDE_DECADES) & (areas * _SIDE_SHARE > area)))
            for decade, area in zip(decades, areas, strict=True)
        ]
    )
    is_side &= areas < areas.max()
    is_side |= areas < _LEAST_SHARE * areas.sum()
    kept = np.flatnonzero(~is_side)
    cuts = [0.0]
    for first, second in itertools.pairwise(kept):
        between = tops[first + 1 : second]
        cuts.append(float(valleys[first] if not between.size else between[between.size // 2] + 0.5))
    cuts.append(float(tau.size))
    whole = np.interp(cuts, np.arange(tau.size + 1), summed)
    joined = [int(np.sum((tops >= low) & (tops < high))) for low, high in itertools.pairwise(cuts)]
    return tuple(
        Peak(float(tau[tops[one]]), float(area), count, bool(band[0] <= tau[tops[one]] <= band[1]))
        for one, area, count in zip(kept, np.diff(whole), joined, strict=True)
    )
