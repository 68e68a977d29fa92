"""Sigma of counted curves: that of the expected counts, so that fits are not pulled down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from saxs_truth import schulz_intensity, volume_mean_diameter

from poliqi.lab.xray.curve import Axis, Curve, Step
from poliqi.lab.xray.noise import with_expected_sigma
from poliqi.lab.xray.saxs import Wanted, analyse

Q = np.linspace(0.004, 0.3, 1000)
CLEAN = schulz_intensity(Q, 50.0, 0.15) + 1e-4
TRUTH = volume_mean_diameter(50.0, 0.15)
COUNTED = Step("azimuthal integration", {})


def counted(counts: float, seed: int) -> Curve:
    """As `reduce` writes it: rings have more pixels further out; `counts` in the first."""
    pixels = Q / Q[0]
    seen = np.random.default_rng(seed).poisson(CLEAN * counts * pixels)
    sigma = np.sqrt(np.maximum(seen, 1))
    return Curve(Axis.Q_PER_ANGSTROM, Q, seen / pixels, sigma / pixels, steps=(COUNTED,))


def means(seeds: int, counts: float) -> tuple[float, float]:
    """Bias of the mean diameter, and how often one sigma holds the truth."""
    found = [analyse(counted(counts, seed), Wanted(sizes=True)).sizes for seed in range(seeds)]
    middles = [one.volume_mean for one in found if one is not None]
    inside = sum(abs(one.value - TRUTH) < one.sigma for one in middles) / seeds
    return float(np.mean([one.value for one in middles])) / TRUTH - 1, inside


def test_few_counts_do_not_pull_the_mean_diameter() -> None:
    bias, inside = means(25, 30)
    assert abs(bias) < 0.004
    assert 0.5 < inside < 0.96


@pytest.mark.soak
@pytest.mark.parametrize("counts", [30, 100, 300])
def test_few_counts_do_not_pull_the_mean_diameter_in_many_cases(counts: float) -> None:
    bias, inside = means(300, counts)
    assert abs(bias) < 0.004
    assert 0.6 < inside < 0.85


def test_few_counts_do_not_pull_the_forward_intensity() -> None:
    """Counts of a flat curve: the weighted mean of raw counts is about one count too low."""
    pulls: list[float] = []
    for seed in range(50):
        curve = with_expected_sigma(
            replace(
                counted(1, seed),
                intensity=(n := np.random.default_rng(seed).poisson(10.0, 1000)) * 1.0,
                sigma=np.sqrt(np.maximum(n, 1.0)),
            )
        )
        weight = curve.sigma**-2
        pulls.append(float((weight * curve.intensity).sum() / weight.sum()))
    assert float(np.mean(pulls)) == pytest.approx(10.0, abs=0.2)


def test_sigma_is_the_root_of_the_mean_square_of_eleven_neighbours_and_says_so_once() -> None:
    sigma = np.linspace(1, 2, 40)
    sigma[20] = 0.0
    curve = Curve(Axis.Q_PER_NM, np.arange(1.0, 41.0), np.ones(40), sigma, steps=(COUNTED,))
    found = with_expected_sigma(curve)
    assert found.sigma[10] == pytest.approx(np.sqrt(np.mean(sigma[5:16] ** 2)))
    assert found.sigma[20] == 0
    assert found.steps[-1] == Step("sigma of neighbours", {"points": 11})
    assert with_expected_sigma(found) is found


def test_what_was_not_counted_keeps_its_sigma() -> None:
    curve = replace(counted(30, 1), steps=())
    assert with_expected_sigma(curve) is curve
