"""What spheres of each size add to each q, as a matrix: closed form, averaged over bins and over resolution."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["sphere_factor", "sphere_kernel"]

_SMALL: Final = 0.05
_INNER: Final = 4
_HERMITE: Final = ((-math.sqrt(3), 1 / 6), (0.0, 2 / 3), (math.sqrt(3), 1 / 6))


def sphere_factor(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(u) = [3 (sin u - u cos u) / u^3]^2 with u = q R, 1 at u = 0 (Rayleigh, Proc. R. Soc. A 84 (1911) 25)."""
    safe = np.maximum(u, _SMALL)
    amplitude = 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3
    return np.where(u < _SMALL, 1 - u * u / 5 + 3 * u**4 / 175, amplitude * amplitude)


def sphere_kernel(
    q: NDArray[np.float64], log_d: NDArray[np.float64], width: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(n, m): intensity at q (n,) of a unit of volume of spheres around the diameter exp(log_d) (m,).

    V(D) P(q D / 2), with the weight of a triangle over the neighbouring nodes (`log_d` is equally spaced), so that
    a bin shows no fringes of one single size; `width` (n,) smears q by a Gaussian (three nodes, Gauss and Hermite).
    """
    step = float(log_d[1] - log_d[0])
    offsets = (np.arange(-_INNER + 1, _INNER) / _INNER) * step
    weights = (1 - np.abs(offsets) / step) / _INNER
    fine = np.arange(-_INNER + 1, (log_d.size - 1) * _INNER + _INNER) * (step / _INNER) + log_d[0]
    diameter = np.exp(fine)
    parts = ((0.0, 1.0),) if width is None else _HERMITE
    table = np.zeros((q.size, fine.size))
    for shift, weight in parts:
        at = q if width is None else np.abs(q + shift * width)
        table += weight * sphere_factor(at[:, None] * (diameter / 2)[None, :])
    table *= (math.pi / 6) * diameter**3
    kernel = np.zeros((q.size, log_d.size))
    for number, weight in enumerate(weights):
        kernel += weight * table[:, number : number + (log_d.size - 1) * _INNER + 1 : _INNER]
    return kernel
