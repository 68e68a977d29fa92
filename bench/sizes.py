"""Distribution of sizes without a model: one curve of 200 points, and what it finds of known spheres.

`python -m bench sizes`. Spheres with Schulz's distribution of radii (mean 50 A, spread .15) and 0.3 % noise at the
lowest q; the truth is the closed form of the moments. No peer: others either fix a formula of the distribution, or
draw random sets of spheres for seconds to minutes, which is another question asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.report import Metric, best
from poliqi.lab.xray.curve import Axis, Curve
from poliqi.lab.xray.guinier import guinier
from poliqi.lab.xray.sizes import size_distribution

RADIUS, SPREAD = 50.0, 0.15


def spheres(points: int, seed: int) -> Curve:
    """Schulz spheres with a background and noise."""
    q = np.geomspace(0.004, 0.3, points)
    z = 1 / SPREAD**2 - 1
    r = np.linspace(0.05 * RADIUS, 2.5 * RADIUS, 1500)
    weight = np.exp(z * np.log(r / RADIUS) - (z + 1) * (r / RADIUS - 1) + 6 * np.log(r / RADIUS))
    u = q[:, None] * r[None, :]
    clean = (weight * (3 * (np.sin(u) - u * np.cos(u)) / u**3) ** 2).sum(1) / weight.sum()
    sigma = 0.003 * np.sqrt(clean) + 1e-5
    noise = np.random.default_rng(seed).normal(size=points)
    return Curve(Axis.Q_PER_ANGSTROM, q, clean + 1e-3 + sigma * noise, sigma, simulated=True)


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Milliseconds a curve, and how far the mean is from the truth in its own sigmas."""
    curve, long_curve = spheres(200, 1), spheres(2000, 1)
    runs = 5 if quick else 30
    seconds = best(lambda: size_distribution(curve), runs=runs)
    long_s = best(lambda: size_distribution(long_curve), runs=runs)
    guinier_s = best(lambda: guinier(curve), runs=runs)
    found, z = size_distribution(curve), 1 / SPREAD**2 - 1
    truth = 2 * RADIUS * (z + 4) / (z + 1)
    seeds = 20 if quick else 200
    means = [size_distribution(spheres(200, seed)).volume_mean for seed in range(seeds)]
    details: dict[str, Any] = {
        "simulated": True,
        "volume mean, A": [round(found.volume_mean.value, 3), round(found.volume_mean.sigma, 3)],
        "truth, A": round(truth, 3),
        "share of seeds within one sigma": sum(abs(m.value - truth) < m.sigma for m in means) / seeds,
        "seeds": seeds,
    }
    return [
        Metric("size distribution ms", 1e3 * seconds, "ms", 50.0, "max"),
        Metric("size distribution of 2000 points ms", 1e3 * long_s, "ms", 50.0, "max"),
        Metric("Guinier with range scan ms", 1e3 * guinier_s, "ms", None, "max"),
    ], details
