"""Distribution of sizes without a model: one curve of 200 points, and what it finds of known spheres.

`python -m bench sizes`. Spheres with Schulz's distribution of radii (mean 50 A, spread .15) and 0.3 % noise at the
lowest q; the truth is the closed form of the moments. No peer: others either fix a formula of the distribution, or
draw random sets of spheres for seconds to minutes, which is another question asked.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is loaded, as `poliqi lab xray` does
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from bench.report import Metric, best
from poliqi.lab.xray.curve import Axis, Curve, Step
from poliqi.lab.xray.guinier import guinier
from poliqi.lab.xray.noise import with_expected_sigma
from poliqi.lab.xray.sizes import size_distribution

RADIUS, SPREAD = 50.0, 0.15

Floats = NDArray[np.float64]


def form(q: Floats) -> Floats:
    """Of Schulz spheres, 1 at q = 0."""
    z = 1 / SPREAD**2 - 1
    r = np.linspace(0.05 * RADIUS, 2.5 * RADIUS, 1500)
    weight = np.exp(z * np.log(r / RADIUS) - (z + 1) * (r / RADIUS - 1) + 6 * np.log(r / RADIUS))
    u = q[:, None] * r[None, :]
    return (weight * (3 * (np.sin(u) - u * np.cos(u)) / u**3) ** 2).sum(1) / weight.sum()


def spheres(points: int, seed: int) -> Curve:
    """Schulz spheres with a background and noise."""
    q = np.geomspace(0.004, 0.3, points)
    clean = form(q)
    sigma = 0.003 * np.sqrt(clean) + 1e-5
    noise = np.random.default_rng(seed).normal(size=points)
    return Curve(Axis.Q_PER_ANGSTROM, q, clean + 1e-3 + sigma * noise, sigma, simulated=True)


def counted(counts: float, seeds: int) -> list[Curve]:
    """As `reduce` writes them: 1,000 rings, further out of more pixels; `counts` expected in the first."""
    q = np.linspace(0.004, 0.3, 1000)
    pixels, steps = q / q[0], (Step("azimuthal integration", {}),)
    expected: Floats = (form(q) + 1e-4) * counts * pixels
    made: list[Curve] = []
    for seed in range(seeds):
        seen: Floats = np.random.default_rng(seed).poisson(expected).astype(np.float64)
        sigma = np.sqrt(np.maximum(seen, 1)) / pixels
        made.append(Curve(Axis.Q_PER_ANGSTROM, q, seen / pixels, sigma, steps=steps, simulated=True))
    return made


def held(curves: list[Curve], truth: float) -> dict[str, float]:
    """Bias of the mean diameter, and the share of curves whose one sigma holds it."""
    means = [size_distribution(curve).volume_mean for curve in curves]
    return {
        "bias %": round(100 * (float(np.mean([mean.value for mean in means])) / truth - 1), 2),
        "within one sigma": round(sum(abs(mean.value - truth) < mean.sigma for mean in means) / len(means), 3),
    }


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
    of_counts: dict[str, Any] = {}
    for counts in (30, 100, 300):
        raw = counted(counts, seeds)
        smooth = [with_expected_sigma(one) for one in raw]
        of_counts[f"{counts} counts"] = {
            "sigma of its own counts": held(raw, truth),
            "of neighbours": held(smooth, truth),
        }
    details: dict[str, Any] = {
        "simulated": True,
        "counted curves": of_counts,
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
