"""High q: exponent, Porod's law, invariant and specific surface of two phases with sharp walls.

I = K q^-4 + C q^-6 + B (Porod, Kolloid-Z. 124 (1951) 83; C of curved walls: Kirste and Porod, Kolloid-Z. 184 (1962)
1). C / K is 1 / R^2 for spheres; it is not set to zero but has a prior of 1.2 / Rg^2 with as much doubt, where Rg
is known. Invariant Q = integral of q^2 (I - B) dq from 0 to infinity; surface of the particles over their volume
S/V = pi K / Q (dilute; for a volume fraction phi, the surface over the whole volume is pi phi (1 - phi) K / Q).
With the intensity in 1/cm and a contrast, phi (1 - phi) = Q / (2 pi^2 contrast^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit
from poliqi.lab.xray.guinier import Guinier
from poliqi.lab.xray.leastsquares import chi2_p_value, inverse, products, range_variance, solved

__all__ = ["Porod", "porod"]

_LEAST_POINTS: Final = 10
_ROUNDS: Final = 60
_STARTS: Final = 16
_WORST_P: Final = 0.01
_SHARP: Final = 0.3
_CURVED: Final = 1.2
_OPEN: Final = 2.0


@dataclass(frozen=True, slots=True)
class Porod:
    """`exponent` p of I = K q^-p + B over `q_range`; `constant` is K with p = 4. Units follow the curve's.

    The invariant has the parts measured, below (from Guinier) and above (from Porod); `surface_per_volume` (inverse
    of the inverse unit of q) is None where the exponent is not 4 within its doubt and 0.3, or there is no Guinier
    range. `volume_fraction` is None unless the scale is absolute and the contrast was given.
    """

    exponent: float
    exponent_sigma: float
    background: float
    background_sigma: float
    constant: float
    constant_sigma: float
    q_range: tuple[float, float]
    reduced_chi2: float
    invariant: float | None
    invariant_sigma: float | None
    invariant_extrapolated: float | None
    """Which share of the invariant is not measured."""
    surface_per_volume: float | None
    surface_sigma: float | None
    volume_fraction: float | None
    volume_fraction_sigma: float | None
    cautions: tuple[str, ...]


def porod(
    curve: Curve,
    low: Guinier | None = None,
    *,
    q_range: tuple[float, float] | None = None,
    contrast_per_cm2: float | None = None,
) -> Porod:
    """Porod's law over `q_range`, by default to the end of q from the first start on from which it fits.

    Starts are tried from 4 / Rg (or the upper third of q on a log scale) on; where it fits from none, the one with
    the least reduced chi-square is taken and sigmas are widened.

    Raises DataRefused: no q axis, no sigma, fewer than 10 points in the range, an exponent with a sigma above 2.
    """
    if curve.axis is Axis.TWO_THETA_DEG:
        raise DataRefused(f"curve {curve.title!r} runs over 2theta; small-angle analysis needs q: reduce it to q")
    use = _range(curve, *(q_range or (_begin(curve, low), float(curve.x[-1]))))
    if np.count_nonzero(use) < _LEAST_POINTS:
        raise DataRefused(
            f"curve {curve.title!r}: {np.count_nonzero(use)} points with a sigma for Porod's law, at least"
            f" {_LEAST_POINTS} are needed; widen the range, or measure to higher q"
        )
    choice = 0.0
    if q_range is None:
        use, choice = _scanned(curve, use, low)
    q, intensity, sigma = curve.x[use], curve.intensity[use], curve.sigma[use]
    exponent, exponent_sigma = _exponent(q, intensity, sigma)
    if not exponent_sigma < _OPEN:  # also where it is no number
        raise DataRefused(
            f"curve {curve.title!r}: no power law at q {q[0]:.4g} to {q[-1]:.4g}: the exponent is open"
            f" ({exponent:.1f} +- {exponent_sigma:.2g}); name a range where the intensity falls, or measure longer"
        )
    law = _law(curve, use, low)
    law.cov[0, 0] += choice
    cautions: list[str] = []
    if not law.fits:
        cautions.append(
            f"q^-4 and a background leave a reduced chi-square of {law.reduced_chi2:.1f} (fringes of a narrow"
            " distribution, or walls that are not sharp): sigmas were widened by its root"
        )
    sharp = abs(exponent - 4) < _SHARP + 2 * exponent_sigma
    if not sharp:
        cautions.append(f"the exponent is {exponent:.2f}, not 4: no specific surface is given")
    total = _invariant(curve, low, law, use) if low is not None and sharp else None
    ratio, ratio_sigma = (None, None) if total is None else _surface(law, total)
    fraction, fraction_sigma = _fraction(curve, total, contrast_per_cm2)
    if total is not None and total.beyond > 0.3:
        cautions.append(f"{total.beyond:.0%} of the invariant is extrapolated")
    return Porod(
        exponent=exponent,
        exponent_sigma=exponent_sigma,
        background=law.background,
        background_sigma=math.sqrt(float(law.cov[1, 1])),
        constant=law.constant,
        constant_sigma=math.sqrt(float(law.cov[0, 0])),
        q_range=(float(q[0]), float(q[-1])),
        reduced_chi2=law.reduced_chi2,
        invariant=None if total is None else total.value,
        invariant_sigma=None if total is None else total.sigma,
        invariant_extrapolated=None if total is None else total.beyond,
        surface_per_volume=ratio,
        surface_sigma=ratio_sigma,
        volume_fraction=fraction,
        volume_fraction_sigma=fraction_sigma,
        cautions=tuple(cautions),
    )


@dataclass(frozen=True, slots=True)
class _Law:
    constant: float
    background: float
    curved: float
    cov: NDArray[np.float64]
    reduced_chi2: float
    fits: bool


@dataclass(frozen=True, slots=True)
class _Total:
    value: float
    sigma: float
    beyond: float


def _begin(curve: Curve, low: Guinier | None) -> float:
    ends = math.log(float(curve.x[0])), math.log(float(curve.x[-1]))
    upper = math.exp(ends[1] - (ends[1] - ends[0]) / 3)
    return upper if low is None else min(4 / low.rg, upper)


def _range(curve: Curve, begin: float, end: float) -> NDArray[np.bool_]:
    return (curve.x >= begin) & (curve.x <= end) & (curve.sigma > 0)


def _scanned(curve: Curve, use: NDArray[np.bool_], low: Guinier | None) -> tuple[NDArray[np.bool_], float]:
    """The widest range from which on the law fits, of at least a factor 1.5 in q, else the best.

    With it the variance of K that comes from this choice.
    """
    q = curve.x[use]
    tried: list[tuple[NDArray[np.bool_], _Law]] = []
    for begin in np.geomspace(float(q[0]), max(float(q[-1]) / 1.5, float(q[0])), _STARTS):
        part = _range(curve, float(begin) * (1 - 1e-12), float(q[-1]))
        if np.count_nonzero(part) >= _LEAST_POINTS:
            tried.append((part, _law(curve, part, low)))
    good = [at for at, (_, law) in enumerate(tried) if law.fits]
    chosen = good[0] if good else min(range(len(tried)), key=lambda at: tried[at][1].reduced_chi2)
    law = tried[chosen][1]
    pairs = [
        ((other.constant - law.constant) ** 2, float(other.cov[0, 0] - law.cov[0, 0]))
        for _, other in tried[chosen + 1 : chosen + 5]
    ]
    return tried[chosen][0], range_variance(pairs)


def _law(curve: Curve, use: NDArray[np.bool_], low: Guinier | None) -> _Law:
    """K, B and C by weighted least squares; common terms in the covariance."""
    q, intensity, sigma = curve.x[use], curve.intensity[use], curve.sigma[use]
    basis = np.stack((q**-4.0, np.ones_like(q), q**-6.0)) / sigma
    scale = np.sqrt((basis * basis).sum(1))
    basis = basis / scale[:, None]
    gram, right = products(basis, basis), (basis * (intensity / sigma)).sum(1)
    theta, normal = np.zeros(3), gram
    bent = 0.0
    for _ in range(1 if low is None else 4):
        prior = 1 / max(bent * scale[2], 1e-9) ** 2  # C is as doubtful as it is large
        normal = gram + np.diag([0.0, 0.0, prior])
        theta = solved(normal, right + np.array([0.0, 0.0, prior * bent * scale[2]]))
        bent = 0.0 if low is None else _CURVED / low.rg**2 * max(float(theta[0] / scale[0]), 0.0)
    chi2 = float((((intensity / sigma) - (basis * theta[:, None]).sum(0)) ** 2).sum())
    cov = inverse(normal)
    moves = [cov @ (basis * (term.change[use] / sigma)).sum(1) for term in curve.common]
    fits = chi2_p_value(chi2, q.size - 2) > _WORST_P
    if not fits:
        cov = cov * (chi2 / (q.size - 2))
    cov = sum((np.outer(move, move) for move in moves), cov) / np.outer(scale, scale)
    k, b, c = (float(value) for value in theta / scale)
    return _Law(k, b, c, cov, chi2 / max(q.size - 2, 1), fits)


def _exponent(
    q: NDArray[np.float64], intensity: NDArray[np.float64], sigma: NDArray[np.float64]
) -> tuple[float, float]:
    """p of K (q / q0)^-p + B by Gauss and Newton, from p = 4; sigma widened where the law does not fit."""
    q0 = math.sqrt(float(q[0] * q[-1]))
    log_q, weight = np.log(q / q0), 1 / sigma
    p = 4.0
    cov, chi2, lowest, trust = np.eye(3), math.inf, math.inf, 0.5
    best = p
    for _ in range(_ROUNDS):
        power = np.exp(-p * log_q)
        linear = np.stack((power, np.ones_like(q))) * weight
        size = np.sqrt((linear * linear).sum(1))
        theta = solved(
            products(linear, linear) / np.outer(size, size), (linear * (intensity * weight)).sum(1) / size
        )
        k, b = theta / size
        residual = (intensity - k * power - b) * weight
        chi2 = float((residual * residual).sum())
        if chi2 >= lowest:
            trust /= 2
            p = best + math.copysign(min(abs(p - best), trust), p - best)
            if trust < 1e-6:
                break
            continue
        lowest, best = chi2, p
        jacobian = np.stack((power, np.ones_like(q), -k * log_q * power)) * weight
        if not bool(np.any(jacobian[2])):
            return best, math.inf  # nothing falls: any exponent fits
        size = np.sqrt((jacobian * jacobian).sum(1))
        normal = products(jacobian, jacobian) / np.outer(size, size) + 1e-12 * np.eye(3)
        cov = inverse(normal) / np.outer(size, size)
        step = float((cov @ (jacobian * residual).sum(1))[2])
        if abs(step) < 1e-7:
            break
        p = min(max(p + math.copysign(min(abs(step), trust), step), 0.1), 12.0)
    widen = lowest / max(q.size - 3, 1) if chi2_p_value(lowest, q.size - 3) < _WORST_P else 1.0
    return best, math.sqrt(max(float(cov[2, 2]), 0.0) * widen)


def _invariant(curve: Curve, low: Guinier, law: _Law, use: NDArray[np.bool_]) -> _Total:
    """Trapezoids over what is measured, Guinier's law below it, K / q above."""
    first = low.first
    begin = float(curve.x[first])
    last = int(np.flatnonzero(use)[-1])
    q = curve.x[first : last + 1]
    net = curve.intensity[first : last + 1] - law.background
    width = np.gradient(q)
    width[0], width[-1] = (q[1] - q[0]) / 2, (q[-1] - q[-2]) / 2
    measured = float((q * q * net * width).sum())
    a = low.rg * low.rg / 3
    s = begin * math.sqrt(a)
    below = low.i0 * (math.sqrt(math.pi) / 4 * math.erf(s) - s / 2 * math.exp(-s * s)) / a**1.5
    below_gap = float(law.background) * begin**3 / 3
    above = law.constant / float(q[-1]) + law.curved / (3 * float(q[-1]) ** 3)
    value = measured + below - below_gap + above
    sigma = curve.sigma[first : last + 1]
    variance = float(((q * q * width * sigma) ** 2).sum())
    variance += (below * low.i0_sigma / low.i0) ** 2 + float(law.cov[0, 0]) / float(q[-1]) ** 2
    variance += float(law.cov[1, 1]) * (float(q[-1]) ** 3 / 3) ** 2
    for term in curve.common:
        variance += float((q * q * width * term.change[first : last + 1]).sum()) ** 2
    return _Total(value, math.sqrt(variance), abs(below - below_gap + above) / abs(value) if value else 1.0)


def _surface(law: _Law, total: _Total) -> tuple[float | None, float | None]:
    """pi K / Q; what moves K and Q alike (a scale) is counted in both, which errs on the safe side."""
    if law.constant <= 0 or total.value <= 0:
        return None, None
    ratio = math.pi * law.constant / total.value
    relative = math.hypot(math.sqrt(float(law.cov[0, 0])) / law.constant, total.sigma / total.value)
    return ratio, ratio * relative


def _fraction(
    curve: Curve, total: _Total | None, contrast_per_cm2: float | None
) -> tuple[float | None, float | None]:
    """phi of phi (1 - phi) = Q / (2 pi^2 contrast^2), the smaller root."""
    if total is None or contrast_per_cm2 is None or curve.intensity_unit is not IntensityUnit.PER_CM:
        return None, None
    to_cm = 1e21 if curve.axis is Axis.Q_PER_NM else 1e24
    product = total.value * to_cm / (2 * math.pi**2 * contrast_per_cm2**2)
    if not 0 < product < 0.25:
        return None, None
    root = math.sqrt(1 - 4 * product)
    return (1 - root) / 2, product * total.sigma / total.value / root
