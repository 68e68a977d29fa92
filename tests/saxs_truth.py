"""Scattering of spheres whose radii follow Schulz's distribution, with moments in closed form (test support).

Schulz (gamma) with mean R and relative width p: <R^k> = (R / (z + 1))^k (z + 1) ... (z + k), z = 1 / p^2 - 1
(Aragon and Pecora, J. Chem. Phys. 64 (1976) 2395).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit

Array = NDArray[np.float64]


def moment(k: int, radius: float, spread: float) -> float:
    z = 1 / spread**2 - 1
    return math.prod((z + i) * radius / (z + 1) for i in range(1, k + 1))


def radius_of_gyration(radius: float, spread: float) -> float:
    """Of the z-average: Rg^2 = 3/5 <R^8> / <R^6>."""
    return math.sqrt(0.6 * moment(8, radius, spread) / moment(6, radius, spread))


def volume_mean_diameter(radius: float, spread: float) -> float:
    return 2 * moment(4, radius, spread) / moment(3, radius, spread)


def surface_per_volume(radius: float, spread: float) -> float:
    return 3 * moment(2, radius, spread) / moment(3, radius, spread)


def schulz_intensity(q: Array, radius: float, spread: float) -> Array:
    """1 at q = 0; by 2,000 radii."""
    z = 1 / spread**2 - 1
    r = np.linspace(radius * max(1 - 7 * spread, 0.01), radius * (1 + 10 * spread), 2000)
    log_weight = z * np.log(r / radius) - (z + 1) * (r / radius - 1) + 6 * np.log(r / radius)
    weight = np.exp(log_weight - log_weight.max())
    u = q[:, None] * r[None, :]
    amplitude = 3 * (np.sin(u) - u * np.cos(u)) / u**3
    return (weight * amplitude**2).sum(1) / weight.sum()


def noisy(
    q: Array,
    clean: Array,
    sigma: Array,
    seed: int,
    axis: Axis = Axis.Q_PER_ANGSTROM,
    unit: IntensityUnit = IntensityUnit.ARBITRARY,
) -> Curve:
    noise = np.random.default_rng(seed).normal(size=q.size)
    return Curve(axis, q, clean + sigma * noise, sigma, unit, title="simulated", simulated=True)
