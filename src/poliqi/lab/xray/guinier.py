"""Guinier's law: radius of gyration and forward intensity from the lowest q, over a range that is found.

ln(q^d I) = ln I0 - (q Rg)^2 / k + kappa (q Rg)^4, with d = 0, 1, 2 and k = 3, 2, 1 for globular particles, rods
(Rg of the cross-section) and sheets (of the thickness): Guinier, Ann. Phys. 12 (1939) 161; Guinier and Fournet,
Small-angle scattering of X-rays (1955), chapter 4. The last term is what the law leaves out. It is not set to zero
but has a prior as wide as known shapes differ (for globular ones: thin shell -1/90, sphere -1/126, thin disc 0,
thin rod 11/450, Gaussian coil 1/36), so that the doubt about it stands in sigma. What comes after it changes Rg by
up to 0.5 % (measured without noise: rod +0.46, shell -0.31, disc +0.28, sphere -0.16 %), of which 0.4 % is added.

With noisy data the prior decides, and its mean is no shape's: Rg of compact particles then comes out up to 5 % too
large (a straight line: 3 %), that of thin rods and coils 3 % too small (a straight line: 6 %), within sigma.
`python -m bench guinier` shows how often one sigma holds the truth.

The range ends where q Rg is 1.3 and begins at the first point from which on the law fits, with q Rg of at most 0.65
there (1 for rods and sheets).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis, Curve
from poliqi.lab.xray.leastsquares import chi2_p_value, inverse, products, range_variance, solved

__all__ = ["LEAST_POINTS", "LIMIT", "Guinier", "Shape", "guinier"]

LIMIT: Final = 1.3
LEAST_POINTS: Final = 10
_STARTS: Final = 40
_WORST_P: Final = 0.01
_ROUNDS: Final = 12
_BEYOND: Final = 4e-3


class Shape(StrEnum):
    """Which form of the law is used."""

    GLOBULAR = "globular"
    ROD = "rod"
    SHEET = "sheet"


_LAW: Final = {
    Shape.GLOBULAR: (0, 3.0, 0.01, 0.02),
    Shape.ROD: (1, 2.0, 0.0, 0.04),
    Shape.SHEET: (2, 1.0, 0.0, 0.1),
}
"""d, k, and mean and standard deviation of the prior of kappa."""


_LATEST: Final = {Shape.GLOBULAR: 0.65, Shape.ROD: 1.0, Shape.SHEET: 1.0}
"""Where q Rg may be at the first point: later, any wiggle of a curve looks like a law of its own."""


@dataclass(frozen=True, slots=True)
class Guinier:
    """Rg in the inverse unit of q, I0 (of q^d I) in the unit of the intensity; sigmas are one standard deviation.

    `rg_range_sigma` is the part of `rg_sigma` that comes from the choice of the range; `rg_line` is what a straight
    line alone gives, as most programs report. `first`, `last` are the points used, both included.
    """

    shape: Shape
    rg: float
    rg_sigma: float
    rg_range_sigma: float
    rg_line: float
    i0: float
    i0_sigma: float
    kappa: float
    first: int
    last: int
    qmax_rg: float
    reduced_chi2: float
    inflated: bool
    """Whether sigmas were multiplied by the root of the reduced chi-square, as the law fits nowhere within it."""

    @property
    def points(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class _Fit:
    first: int
    last: int
    theta: NDArray[np.float64]
    cov: NDArray[np.float64]
    chi2: float
    rg: float

    @property
    def reduced(self) -> float:
        return self.chi2 / max(self.last - self.first + 1 - 2, 1)

    @property
    def rg_var(self) -> float:
        """d Rg = k / (2 Rg) d(slope), with the slope in units where the law reads a - b q^2."""
        return float(self.cov[1, 1]) * (self.rg / (2 * float(self.theta[1]))) ** 2


def guinier(curve: Curve, *, shape: Shape = Shape.GLOBULAR, q_range: tuple[float, float] | None = None) -> Guinier:
    """The radius of gyration; `q_range`, where given, is used as it stands.

    Raises DataRefused: q is not the axis, sigma is not known, no falling intensity, q_max Rg above 1.3, fewer than
    10 points.
    """
    if curve.axis is Axis.TWO_THETA_DEG:
        raise DataRefused(f"curve {curve.title!r} runs over 2theta; small-angle analysis needs q: reduce it to q")
    if not bool(np.any(curve.sigma > 0)):
        raise DataRefused(f"curve {curve.title!r} has no sigma; give one (third column), or estimate it first")
    if q_range is not None:
        best, others = _given(curve, shape, q_range), []
    else:
        best, others = _found(curve, shape)
    return _result(curve, shape, best, others)


def _given(curve: Curve, shape: Shape, q_range: tuple[float, float]) -> _Fit:
    first, end = (int(i) for i in np.searchsorted(curve.x, q_range))
    _check_points(curve, end - first)
    fit = _fit(curve, shape, first, end - 1)
    if fit is None:
        raise DataRefused(f"curve {curve.title!r}: the intensity does not fall over q {q_range[0]} to {q_range[1]}")
    reach = float(curve.x[end - 1]) * fit.rg
    if reach > LIMIT:
        raise DataRefused(
            f"curve {curve.title!r}: q_max Rg is {reach:.2f}, Guinier's law holds up to {LIMIT}; end the range at"
            f" q = {LIMIT / fit.rg:.4g}"
        )
    return fit


def _check_points(curve: Curve, n: int) -> None:
    if n < LEAST_POINTS:
        raise DataRefused(
            f"curve {curve.title!r}: {n} points where Guinier's law can hold (q Rg up to {LIMIT}), at least"
            f" {LEAST_POINTS} are needed; measure to lower q"
        )


def _found(curve: Curve, shape: Shape) -> tuple[_Fit, list[_Fit]]:
    """The first start from which the law fits, and other ranges that fit too."""
    fits: list[_Fit] = []
    most = 0
    good: list[_Fit] = []
    for first in range(min(_STARTS, max(curve.x.size - LEAST_POINTS + 1, 1))):
        fit, points = _self_consistent(curve, shape, first)
        most = max(most, points)
        if fit is not None:
            fits.append(fit)
            if _p_value(fit) > _WORST_P:
                good.append(fit)
        if good and first >= good[0].first + (good[0].last - good[0].first) // 4:
            break
    if not fits:
        _check_points(curve, most)
        raise DataRefused(
            f"curve {curve.title!r}: the intensity does not fall where Guinier's law could hold (repulsion between"
            f" the particles, or too little background taken off)"
        )
    best = good[0] if good else min(fits, key=lambda fit: fit.reduced)
    reach = best.first + (best.last - best.first) // 4
    others = [fit for fit in (good or fits) if best.first < fit.first <= reach]
    for part in (0.85, 0.7):
        last = best.first + round(part * (best.last - best.first))
        if last - best.first + 1 >= LEAST_POINTS and (shorter := _fit(curve, shape, best.first, last)) is not None:
            others.append(shorter)
    return best, others


def _p_value(fit: _Fit) -> float:
    return chi2_p_value(fit.chi2, fit.last - fit.first - 1)


def _self_consistent(curve: Curve, shape: Shape, first: int) -> tuple[_Fit | None, int]:
    """The range from `first` to where q Rg is 1.3 with the Rg of that very range; how many points it could have."""
    last = min(first + LEAST_POINTS - 1, curve.x.size - 1)
    if last - first + 1 < LEAST_POINTS:
        return None, last - first + 1
    seen: set[int] = set()
    for _ in range(_ROUNDS):
        fit = _fit(curve, shape, first, last)
        if fit is None:  # not falling so far: look further
            further = min(first + 2 * (last - first) + 1, curve.x.size - 1)
            if further == last:
                return None, last - first + 1
            last = further
            continue
        end = int(np.searchsorted(curve.x, LIMIT / fit.rg, side="right")) - 1
        if end - first + 1 < LEAST_POINTS:
            return None, max(end - first + 1, 0)
        if end == last or end in seen:
            break
        seen.add(last)
        last = end
    fit = _fit(curve, shape, first, last)
    while fit is not None and float(curve.x[last]) * fit.rg > LIMIT:
        last -= 1
        if last - first + 1 < LEAST_POINTS:
            return None, last - first + 1
        fit = _fit(curve, shape, first, last)
    if fit is None or float(curve.x[first]) * fit.rg > _LATEST[shape]:
        return None, 0
    if 9 * fit.rg_var * max(fit.reduced, 1.0) > fit.rg**2:
        return None, 0  # a slope that is nothing but noise
    return fit, last - first + 1


def _fit(curve: Curve, shape: Shape, first: int, last: int, *, bent: bool = True) -> _Fit | None:
    """Weighted least squares on the intensity itself (its logarithm is biased); None where it does not fall."""
    d, k, kappa, kappa_sigma = _LAW[shape]
    use = slice(first, last + 1)
    q, sigma = curve.x[use], curve.sigma[use]
    y, weight = curve.intensity[use] * q**d, np.zeros_like(q)
    np.divide(1.0, sigma * q**d, out=weight, where=sigma > 0)
    t = (q / q[-1]) ** 2
    basis = np.stack((np.ones_like(t), -t, t * t))
    theta = _start(basis, y, weight)
    if theta is None:
        return None
    prior, normal = np.zeros((3, 3)), np.eye(3)
    for _ in range(_ROUNDS):
        b = max(float(theta[1]), 1e-3)
        prior[2, 2] = 1e18 if not bent else 1 / (kappa_sigma * (k * b) ** 2) ** 2  # (q_last Rg)^2 is k b
        centre = 0.0 if not bent else kappa * (k * b) ** 2
        model = np.exp(np.clip((basis * theta[:, None]).sum(0), -700, 700))
        slope = basis * (model * weight)
        residual = (y - model) * weight
        normal = products(slope, slope) + prior
        step = solved(normal, (slope * residual).sum(1) + prior[:, 2] * (centre - theta[2]))
        theta = theta + np.clip(step, -2, 2)
        if not np.all(np.isfinite(theta)):
            return None
        if float(np.max(np.abs(step))) < 1e-9:
            break
    if theta[1] <= 0:
        return None
    model = np.exp(np.clip((basis * theta[:, None]).sum(0), -700, 700))
    rg = float(np.sqrt(k * theta[1])) / float(q[-1])
    return _Fit(first, last, theta, inverse(normal), float((((y - model) * weight) ** 2).sum()), rg)


def _start(
    basis: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Straight line through the logarithm of what is positive."""
    use = (y > 0) & (weight > 0)
    if np.count_nonzero(use) < 3:
        return None
    line, w = basis[:2, use], (y * weight)[use]
    normal = products(line * w, line * w) + 1e-12 * np.eye(2)
    found = solved(normal, (line * w * w * np.log(y[use])).sum(1))
    return np.array([float(found[0]), max(float(found[1]), 1e-3), 0.0])


def _result(curve: Curve, shape: Shape, best: _Fit, others: list[_Fit]) -> Guinier:
    d, _, _, _ = _LAW[shape]
    inflated = _p_value(best) < _WORST_P
    factor = max(best.reduced, 1.0) if inflated else 1.0
    spread_rg = range_variance([((o.rg - best.rg) ** 2, o.rg_var - best.rg_var) for o in others])
    spread_a = range_variance(
        [(float(o.theta[0] - best.theta[0]) ** 2, float(o.cov[0, 0] - best.cov[0, 0])) for o in others]
    )
    common = _common_moves(curve, d, best)
    rg_move = common[:, 1] * best.rg / (2 * float(best.theta[1]))
    line = _fit(curve, shape, best.first, best.last, bent=False)
    i0 = float(np.exp(best.theta[0]))
    kappa = float(best.theta[2]) / (best.rg * float(curve.x[best.last])) ** 4
    return Guinier(
        shape=shape,
        rg=best.rg,
        rg_sigma=float(np.sqrt(factor * best.rg_var + spread_rg + (rg_move**2).sum() + (_BEYOND * best.rg) ** 2)),
        rg_range_sigma=float(np.sqrt(spread_rg)),
        rg_line=best.rg if line is None else line.rg,
        i0=i0,
        i0_sigma=i0 * float(np.sqrt(factor * best.cov[0, 0] + spread_a + (common[:, 0] ** 2).sum())),
        kappa=kappa,
        first=best.first,
        last=best.last,
        qmax_rg=float(curve.x[best.last]) * best.rg,
        reduced_chi2=best.reduced,
        inflated=inflated,
    )


def _common_moves(curve: Curve, d: int, fit: _Fit) -> NDArray[np.float64]:
    """By how much the parameters move with each common term of the curve: (terms, 3)."""
    use = slice(fit.first, fit.last + 1)
    q, sigma = curve.x[use], curve.sigma[use]
    weight = np.zeros_like(q)
    np.divide(1.0, sigma * q**d, out=weight, where=sigma > 0)
    t = (q / q[-1]) ** 2
    basis = np.stack((np.ones_like(t), -t, t * t))
    slope = basis * (np.exp((basis * fit.theta[:, None]).sum(0)) * weight)
    moves = [fit.cov @ (slope * (term.change[use] * q**d * weight)).sum(1) for term in curve.common]
    return np.array(moves).reshape(-1, 3)
