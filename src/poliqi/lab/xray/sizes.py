"""Distribution of sizes of spheres from I(q), without a formula for its form.

I(q) = contrast^2 * integral of phi(D) V(D) P(q D / 2) dlnD + background, P Rayleigh's form factor of a sphere
(Proc. R. Soc. A 84 (1911) 25). phi(D), volume per lnD, is not negative; the background may be, as after a solvent
that was taken off a little too strongly. Of all that fit, one that is smooth in lnD is preferred (second
differences, weight alpha), as in Glatter, J. Appl. Cryst. 13 (1980) 7. alpha is not chosen: each value is weighed
by its evidence (MacKay, Neural Comput. 4 (1992) 415; Hansen, J. Appl. Cryst. 33 (2000) 1415), that of the Gaussian
on the bins that are not at zero, and what it leaves open stands in sigma.

Sigmas of means and percentiles are those of repeated measurements; the sigmas of the curves themselves (a band in
a plot) hold in addition what the preference for smoothness leaves open. Goal: at most 50 ms (bench sizes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis, Curve
from poliqi.lab.xray.leastsquares import chi2_p_value
from poliqi.lab.xray.posterior import Posterior, posterior
from poliqi.lab.xray.spherekernel import sphere_kernel

__all__ = ["Mean", "Sizes", "size_distribution"]

_MOST_USED: Final = 400
_PER_DECADE: Final = 50
_LEAST_NODES: Final = 30
_MOST_NODES: Final = 110
_LEAST_POINTS: Final = 20
_WORST_P: Final = 0.01
_LEAST_SIGMAS: Final = 3.0
_PERCENTILES: Final = (10, 50, 90)


@dataclass(frozen=True, slots=True)
class Mean:
    """One quantity and its standard deviation, in the inverse unit of q where it is a length."""

    value: float
    sigma: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """`diameter` (m,) in the inverse unit of q; `volume`, `number` (m,): share per lnD, each with an area of 1.

    Means and percentiles are of diameters. `amount` is the integral of phi: the volume fraction, where the
    intensity is in 1/cm and the contrast was given, else None. `alpha` is the most probable weight of smoothness.
    """

    diameter: NDArray[np.float64]
    volume: NDArray[np.float64]
    volume_sigma: NDArray[np.float64]
    number: NDArray[np.float64]
    number_sigma: NDArray[np.float64]
    volume_mean: Mean
    volume_width: Mean
    number_mean: Mean
    volume_percentiles: dict[int, Mean]
    number_percentiles: dict[int, Mean]
    amount: Mean | None
    background: float
    model: NDArray[np.float64]
    """The intensity that the distribution gives, at `used_q`."""
    used_q: NDArray[np.float64]
    alpha: float
    reduced_chi2: float
    inflated: bool
    cautions: tuple[str, ...]


def size_distribution(
    curve: Curve, *, d_range: tuple[float, float] | None = None, contrast_per_cm2: float | None = None
) -> Sizes:
    """Sizes of spheres; the grid spans 2 pi/q_max (smaller ones are a background) to pi/q_min, or `d_range`.

    Raises DataRefused: no q axis, no sigma, fewer than 20 points, a largest size with q_min D_max > pi (of such the
    curve holds no trace), a volume of spheres below three times its own sigma.
    """
    if curve.axis is Axis.TWO_THETA_DEG:
        raise DataRefused(f"curve {curve.title!r} runs over 2theta; small-angle analysis needs q: reduce it to q")
    use = (curve.sigma > 0) & np.isfinite(curve.intensity)
    if np.count_nonzero(use) < _LEAST_POINTS:
        raise DataRefused(
            f"curve {curve.title!r}: {np.count_nonzero(use)} points with a sigma, at least {_LEAST_POINTS} are"
            f" needed; estimate one, or measure more"
        )
    q, intensity, sigma, width, common = _thinned(curve, use)
    low, high = d_range or (2 * math.pi / float(q[-1]), math.pi / float(q[0]))
    if not 0 < low < high:
        raise DataRefused(f"sizes {low:g} to {high:g} are no range; give the smaller one first, both above 0")
    if float(q[0]) * high > math.pi * (1 + 1e-9):
        raise DataRefused(
            f"curve {curve.title!r}: q_min D_max is {float(q[0]) * high:.2f}, above pi: the curve begins at q ="
            f" {float(q[0]):.4g} and holds sizes up to {math.pi / float(q[0]):.4g}; end the sizes there"
        )
    nodes = int(np.clip(_PER_DECADE * math.log10(high / low), _LEAST_NODES, _MOST_NODES))
    log_d = np.linspace(math.log(low), math.log(high), nodes)
    kernel = sphere_kernel(q, log_d, width)
    level = float((intensity / sigma**2).sum() / (1 / sigma**2).sum())  # near the background, which is free
    intensity = intensity - level
    unit = float(np.max(np.abs(intensity))) or 1.0
    columns = np.concatenate((kernel / np.max(kernel), np.ones((q.size, 1))), axis=1) * (unit / sigma)[:, None]
    found = posterior(columns, intensity / sigma, common / sigma)
    freedom = max(q.size - found.effective, 1.0)
    inflated = chi2_p_value(found.chi2, round(freedom)) < _WORST_P
    if inflated:
        factor = math.sqrt(found.chi2 / freedom)
        found = posterior(columns / factor, intensity / sigma / factor, common / sigma / factor)
    _check_spheres(curve, found)
    fit = (columns @ found.x) * sigma
    chi2 = float((((intensity - fit) / sigma) ** 2).sum())
    scale = unit / float(np.max(kernel))
    amount = None if contrast_per_cm2 is None else _amount(curve, found, scale, contrast_per_cm2)
    background = float(found.x[-1]) * unit + level
    return _described(np.exp(log_d), found, (q, fit + level), (chi2 / freedom, inflated), amount, background)


def _thinned(
    curve: Curve, use: NDArray[np.bool_]
) -> tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.float64]
]:
    """At most 400 points: neighbours averaged by their weights. The last are the common terms, (terms, n)."""
    q, intensity, sigma = curve.x[use], curve.intensity[use], curve.sigma[use]
    width = None if curve.x_sigma is None else curve.x_sigma[use]
    common = np.array([term.change[use] for term in curve.common]).reshape(-1, q.size)
    step = -(-q.size // _MOST_USED)
    if step == 1:
        return q, intensity, sigma, width, common
    first = np.arange(0, q.size, step)
    weight = 1 / sigma**2
    total = np.add.reduceat(weight, first)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.add.reduceat(weight * values, first, axis=-1) / total

    wide = None if width is None else mean(width)
    return mean(q), mean(intensity), 1 / np.sqrt(total), wide, mean(common)


def _amount(curve: Curve, found: Posterior, scale: float, contrast_per_cm2: float) -> Mean | None:
    """Volume fraction: the kernel holds D^3 in the inverse unit of q, so lengths become cm here."""
    from poliqi.lab.xray.curve import IntensityUnit

    if curve.intensity_unit is not IntensityUnit.PER_CM:
        raise DataRefused(
            f"curve {curve.title!r}: a volume fraction needs the intensity in 1/cm, this is"
            f" {curve.intensity_unit.value}; put it on an absolute scale, or leave the contrast out"
        )
    cm = 1e-7 if curve.axis is Axis.Q_PER_NM else 1e-8
    to_fraction = scale / (contrast_per_cm2**2 * cm**3)
    total = _total(found)
    return Mean(total.value * to_fraction, total.sigma * to_fraction)


def _total(found: Posterior) -> Mean:
    """All spheres together, in the unit of `found`."""
    return Mean(float(found.x[:-1].sum()), found.sigma_of(np.concatenate((np.ones(found.x.size - 1), [0.0]))))


def _check_spheres(curve: Curve, found: Posterior) -> None:
    """Noise alone gives sizes too, as some are always a little better than none: such are no finding."""
    total = _total(found)
    if total.value > 0 and total.value >= _LEAST_SIGMAS * total.sigma:
        return
    seen = f"{total.value / total.sigma:.1f}" if total.sigma > 0 else "0"
    raise DataRefused(
        f"curve {curve.title!r}: the volume of spheres is {seen} times its sigma, at least {_LEAST_SIGMAS:g} are"
        " needed for sizes, which are open below; measure longer, or give a narrower range of sizes"
    )


def _described(
    diameter: NDArray[np.float64],
    found: Posterior,
    fitted: tuple[NDArray[np.float64], NDArray[np.float64]],
    quality: tuple[float, bool],
    amount: Mean | None,
    background: float,
) -> Sizes:
    step = math.log(diameter[1] / diameter[0])
    volume, volume_sigma = _shares(found, diameter, 0, step)
    number, number_sigma = _shares(found, diameter, -3, step)
    edge = float(volume[-3:].sum() * step)
    cautions: list[str] = []
    if edge > 0.05:
        cautions.append(
            f"{edge:.0%} of the volume is at the largest size that the lowest q can show: there may be larger ones"
        )
    if quality[1]:
        cautions.append(f"reduced chi-square is {quality[0]:.1f}: sigmas were widened by its root")
    number_mean = _mean(found, diameter, 1, -3)
    if number_mean.sigma > 0.3 * number_mean.value:
        cautions.append("the number-weighted mean is open: few photons tell of the smallest particles")
    centre = _mean(found, diameter, 1, 0)
    return Sizes(
        diameter=diameter,
        volume=volume,
        volume_sigma=volume_sigma,
        number=number,
        number_sigma=number_sigma,
        volume_mean=centre,
        volume_width=_width(found, diameter, centre.value),
        number_mean=number_mean,
        volume_percentiles=_percentiles(found, diameter, 0),
        number_percentiles=_percentiles(found, diameter, -3),
        amount=amount,
        background=background,
        model=fitted[1],
        used_q=fitted[0],
        alpha=found.alpha,
        reduced_chi2=quality[0],
        inflated=quality[1],
        cautions=tuple(cautions),
    )


def _powers(diameter: NDArray[np.float64], power: int) -> NDArray[np.float64]:
    """Mean of D^power over the triangle in lnD that each node stands for."""
    width = power * math.log(diameter[1] / diameter[0])
    return diameter**power * (2 * (math.cosh(width) - 1) / width**2 if width else 1.0)


def _shares(
    found: Posterior, diameter: NDArray[np.float64], power: int, step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distribution weighted by D^power, and its sigma, with an area of 1 over lnD."""
    weight = _powers(diameter, power)
    total = float((found.x[:-1] * weight).sum()) * step
    return found.x[:-1] * weight / total, np.sqrt(np.diagonal(found.cov)[:-1]) * weight / total


def _mean(found: Posterior, diameter: NDArray[np.float64], power: int, weight_power: int) -> Mean:
    """Mean of D^power over the distribution weighted by D^weight_power; sigma by the gradient."""
    above, below = _powers(diameter, power + weight_power), _powers(diameter, weight_power)
    total = float((found.x[:-1] * below).sum())
    mean = float((found.x[:-1] * above).sum()) / total
    return Mean(mean, found.sigma_of(np.concatenate(((above - mean * below) / total, [0.0]))))


def _width(found: Posterior, diameter: NDArray[np.float64], mean: float) -> Mean:
    """Standard deviation of the diameters, volume-weighted."""
    square, one = _powers(diameter, 2), _powers(diameter, 1)
    total = float(found.x[:-1].sum())
    variance = float((found.x[:-1] * square).sum()) / total - mean**2
    gradient = (square - 2 * mean * one + mean**2 - variance) / total
    width = math.sqrt(max(variance, 0.0))
    return Mean(width, found.sigma_of(np.concatenate((gradient, [0.0]))) / (2 * width) if width else 0.0)


def _percentiles(found: Posterior, diameter: NDArray[np.float64], power: int) -> dict[int, Mean]:
    """Diameters below which 10, 50 and 90 % lie; straight between the nodes of lnD."""
    weight = _powers(diameter, power)
    shares = found.x[:-1] * weight
    total = float(shares.sum())
    below = (np.cumsum(shares) - shares / 2) / total
    log_d = np.log(diameter)
    step = float(log_d[1] - log_d[0])
    answer: dict[int, Mean] = {}
    for percent in _PERCENTILES:
        wanted = percent / 100
        at = float(np.interp(wanted, below, log_d))
        inside = np.clip((at - log_d) / step + 0.5, 0.0, 1.0)
        density = max(float(np.interp(at, log_d, shares / total)), 1e-6) / step
        gradient = (inside - wanted) * weight / total / density
        answer[percent] = Mean(math.exp(at), math.exp(at) * found.sigma_of(np.concatenate((gradient, [0.0]))))
    return answer
