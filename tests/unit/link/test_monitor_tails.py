"""Tails and bounds of the monitor against scipy's exact distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from poliqi.link.monitor.tails import (
    binomial_lower,
    binomial_upper,
    chi_square_lower,
    clopper_pearson,
    exact_binomial_upper,
    normal_upper,
    quantile,
    share_bounds,
    student_upper,
)


def cases(count: int) -> list[tuple[int, int, float]]:
    """Hits of trials at probabilities from 1e-6 up, near the mean and far out."""
    dice = np.random.default_rng(5)
    found: list[tuple[int, int, float]] = []
    for _ in range(count):
        n, p = int(10 ** dice.uniform(0.5, 9)), float(min(0.99, 10 ** dice.uniform(-6, 0)))
        k = round(n * p + dice.uniform(-8, 8) * math.sqrt(n * p * (1 - p) + 1))
        found.append((max(0, min(n, k)), n, p))
    return found


def test_binomial_bounds_are_never_below_the_exact_tail() -> None:
    for k, n, p in cases(600):
        assert binomial_upper(k, n, p) >= stats.binom.sf(k - 1, n, p) * (1 - 1e-8), (k, n, p)
        assert binomial_lower(k, n, p) >= stats.binom.cdf(k, n, p) * (1 - 1e-8), (k, n, p)


def test_the_bound_is_near_the_exact_tail_where_counts_are_large() -> None:
    for k, n, p in ((50_500, 1_000_000, 0.05), (1_200, 100_000, 0.01), (5_000_000 + 12_000, 10_000_000, 0.5)):
        assert binomial_upper(k, n, p) < 3.0 * stats.binom.sf(k - 1, n, p)


def test_edges_of_the_binomial() -> None:
    assert binomial_upper(0, 10, 0.5) == 1.0
    assert binomial_upper(11, 10, 0.5) == 0.0
    assert binomial_upper(1, 10, 0.0) == 0.0
    assert binomial_lower(10, 10, 0.5) == 1.0


@pytest.mark.parametrize(("hits", "trials"), [(0, 200), (1, 200), (57, 200), (199, 200), (200, 200), (3, 10_000)])
def test_clopper_pearson_is_scipys(hits: int, trials: int) -> None:
    found = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
    assert clopper_pearson(hits, trials) == pytest.approx((found.low, found.high), abs=1e-9)
    low, high = share_bounds(hits, trials, 0.025)
    assert low <= found.low + 1e-12
    assert high >= found.high - 1e-12


def test_the_other_tails_are_scipys() -> None:
    for t, freedom in ((0.3, 7), (-2.0, 19), (9.0, 19), (40.0, 39)):
        assert student_upper(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-9)
    for x, freedom in ((0.1, 7), (3.0, 19), (60.0, 39)):
        assert chi_square_lower(x, freedom) == pytest.approx(stats.chi2.cdf(x, freedom), rel=1e-9)
    assert normal_upper(7.0) == pytest.approx(stats.norm.sf(7.0), rel=1e-9)
    assert quantile(normal_upper, 1e-9) == pytest.approx(stats.norm.isf(1e-9), rel=1e-9)
    assert exact_binomial_upper(60, 200, 0.2) == pytest.approx(stats.binom.sf(59, 200, 0.2), rel=1e-9)
