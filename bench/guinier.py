"""Radius of gyration of five shapes from counted curves: bias, and how often one sigma holds the truth.

`python -m bench guinier`. Sphere, thin shell, thin disc, thin rod and Gaussian coil, each with Rg = 40 A, by their
closed forms; counts are Poisson's, their sigma is treated as `poliqi lab xray saxs` treats that of reduced frames.
The straight line of the same range stands beside, as most programs report it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report import Metric
from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis, Curve, Step
from poliqi.lab.xray.guinier import Guinier, guinier
from poliqi.lab.xray.noise import with_expected_sigma

RG = 40.0
Q = np.linspace(0.002, 0.06, 200)
COUNTS = (100, 1_000, 100_000)
"""Expected counts of a point at q = 0."""
LEAST = 0.55

Floats = NDArray[np.float64]


def _averaged(values: Floats, weights: Floats) -> Floats:
    return (values * weights).sum(1)


def _angles() -> tuple[Floats, Floats]:
    """Cosines from 0 to 1 and weights of their mean, Gauss and Legendre."""
    x, w = np.polynomial.legendre.leggauss(100)
    return (x + 1) / 2, w / 2


def shapes(q: Floats) -> dict[str, Floats]:
    """Form factors with Rg = 40, 1 at q = 0."""
    from scipy.special import j1

    cosine, weight = _angles()
    u = q * RG
    ball = u * np.sqrt(5 / 3)
    rod = np.outer(u * np.sqrt(3), cosine)
    disc = np.outer(u * np.sqrt(2), np.sqrt(1 - cosine**2))
    return {
        "sphere": (3 * (np.sin(ball) - ball * np.cos(ball)) / ball**3) ** 2,
        "thin shell": (np.sin(u) / u) ** 2,
        "thin disc": _averaged((2 * j1(disc) / disc) ** 2, weight),
        "thin rod": _averaged(np.sinc(rod / np.pi) ** 2, weight),
        "Gaussian coil": 2 * (np.exp(-(u**2)) - 1 + u**2) / u**4,
    }


def counted(clean: Floats, counts: int, seed: int) -> Curve:
    """As `reduce` writes it: counts and the root of them."""
    seen = np.random.default_rng(seed).poisson(clean * counts).astype(np.float64)
    steps = (Step("azimuthal integration", {}),)
    return Curve(Axis.Q_PER_ANGSTROM, Q, seen, np.sqrt(np.maximum(seen, 1)), steps=steps, simulated=True)


def found(clean: Floats, counts: int, seeds: int) -> list[Guinier]:
    """Of those curves in which a range was found."""
    answer: list[Guinier] = []
    for seed in range(seeds):
        try:
            answer.append(guinier(with_expected_sigma(counted(clean, counts, seed))))
        except DataRefused:
            continue
    return answer


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """The least and the largest coverage of all shapes and counts; the table of them."""
    seeds = 20 if quick else 200
    table: dict[str, dict[str, Any]] = {}
    shares: list[float] = []
    for name, clean in shapes(Q).items():
        for counts in COUNTS:
            made = found(clean, counts, seeds)
            rg, sigma = np.array([one.rg for one in made]), np.array([one.rg_sigma for one in made])
            line = np.array([one.rg_line for one in made])
            shares.append(float(np.mean(np.abs(rg - RG) < sigma)))
            table[f"{name}, {counts} counts"] = {
                "bias %": round(100 * (float(rg.mean()) / RG - 1), 2),
                "scatter %": round(100 * float(rg.std()) / RG, 2),
                "sigma %": round(100 * float(np.median(sigma)) / RG, 2),
                "within one sigma": round(shares[-1], 3),
                "bias of a straight line %": round(100 * (float(line.mean()) / RG - 1), 2),
                "refused": seeds - len(made),
            }
    details: dict[str, Any] = {"simulated": True, "seeds": seeds, "table": table}
    return [
        Metric("least share within one sigma", min(shares), "1", LEAST, "min"),
        Metric("largest share within one sigma", max(shares), "1", None, "max"),
    ], details
