"""The stand that fits places to rings: Gauss-Newton with weights that let go of what lies far off (Cauchy's)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.calibration.panel import Stand

__all__ = ["ALL", "UPRIGHT", "Fit", "fit_stand"]

Floats = NDArray[np.float64]

ALL: Final = (0, 1, 2, 3, 4)
UPRIGHT: Final = (0, 1, 2)
"""Distance and beam: what is fitted while nothing tells the tilt."""
_ROUNDS: Final = 30
_LOOSE: Final = 2.5
"""Deviations at which a place's weight has halved."""


@dataclass(frozen=True, slots=True)
class Fit:
    """`covariance` of all five numbers (zero where one was held), scaled by how well the places agree.

    `residuals` are observed less expected angles (rad); `spread` is their robust deviation in units of sigma.
    """

    stand: Stand
    covariance: Floats
    residuals: Floats
    spread: float


def fit_stand(
    start: Stand,
    slow_m: Floats,
    fast_m: Floats,
    angles: Floats,
    sigma: Floats,
    free: tuple[int, ...] = ALL,
    lean_prior: float | None = None,
) -> Fit | None:
    """The stand whose scattering angles at the places are nearest to `angles` (rad), each with its sigma.

    `lean_prior` holds the leans near to zero with this deviation. None where the places do not determine a stand.
    """
    picked = list(free)
    x = start.vector
    scale = np.array([x[0], abs(x[0]), abs(x[0]), 1.0, 1.0])[picked]  # numbers of like size, whatever the distance
    prior = np.zeros((len(picked), len(picked)))
    if lean_prior is not None:
        prior = np.diag([lean_prior**-2 if k >= 3 else 0.0 for k in picked])
    residuals = angles - start.two_theta(slow_m, fast_m)
    weight, matrix = np.ones_like(sigma), prior
    for _ in range(_ROUNDS):
        spread = max(1.0, 1.4826 * float(np.median(np.abs(residuals / sigma))))
        weight = 1.0 / (1.0 + (residuals / (sigma * spread * _LOOSE)) ** 2) / (sigma * spread) ** 2
        slopes = Stand.of(x).slopes(slow_m, fast_m)[:, picked] * scale
        weighted = slopes * weight[:, None]
        matrix = np.einsum("ni,nj->ij", weighted, slopes, optimize=False) + prior
        pull = np.einsum("ni,n->i", weighted, residuals, optimize=False)
        pull -= np.einsum("ij,j->i", prior, x[picked] / scale)
        if not bool(np.all(np.isfinite(matrix))) or float(np.linalg.cond(matrix)) > 1e14:
            return None
        step = np.asarray(np.linalg.solve(matrix, pull), np.float64)
        x[picked] += np.clip(step, -0.3, 0.3) * scale
        if x[0] <= 0 or float(np.hypot(x[3], x[4])) > 0.95:
            return None
        residuals = angles - Stand.of(x).two_theta(slow_m, fast_m)
        if float(np.abs(step).max()) < 1e-10:
            break
    spread = 1.4826 * float(np.median(np.abs(residuals / sigma)))
    covariance = np.zeros((5, 5))
    inverse = np.linalg.inv(matrix) * np.outer(scale, scale)
    covariance[np.ix_(picked, picked)] = inverse
    return Fit(Stand.of(x), covariance, residuals, spread)
