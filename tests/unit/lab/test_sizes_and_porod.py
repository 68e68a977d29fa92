"""Sizes without a model, and Porod's law, against closed forms."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from saxs_truth import moment, noisy, schulz_intensity, surface_per_volume, volume_mean_diameter
from scipy.optimize import nnls

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis, Common, Curve, IntensityUnit
from poliqi.lab.xray.guinier import guinier
from poliqi.lab.xray.porod import porod
from poliqi.lab.xray.posterior import nonnegative
from poliqi.lab.xray.sizes import size_distribution
from poliqi.lab.xray.spherekernel import sphere_factor, sphere_kernel

Q = np.geomspace(0.004, 0.3, 200)
TRUTHS = [(0.15, 0.01), (0.15, 0.001), (0.05, 0.01), (0.4, 0.01), (0.15, 0.05)]


@cache
def clean_of(spread: float) -> NDArray[np.float64]:
    return schulz_intensity(Q, 50.0, spread)


def sample(spread: float, noise: float, seed: int) -> Curve:
    clean = clean_of(spread)
    return noisy(Q, clean + 1e-3, noise * (0.3 * np.sqrt(clean) + 1e-3), seed)


def coverage(seeds: int, spread: float, noise: float, offset: float = 0.0) -> float:
    truth = volume_mean_diameter(50.0, spread)
    curves = (sample(spread, noise, seed) for seed in range(seeds))
    found = [size_distribution(replace(one, intensity=one.intensity + offset)).volume_mean for one in curves]
    return sum(abs(one.value - truth) < one.sigma for one in found) / seeds


@pytest.mark.parametrize("spread", [0.05, 0.15, 0.4])
def test_mean_and_width_of_schulz_spheres_are_those_of_the_moments(spread: float) -> None:
    found = size_distribution(sample(spread, 0.002, 1))
    m3, m4, m5 = (moment(k, 50.0, spread) for k in (3, 4, 5))
    assert abs(found.volume_mean.value - 2 * m4 / m3) < 4 * found.volume_mean.sigma
    width = 2 * math.sqrt(m5 / m3 - (m4 / m3) ** 2)
    assert abs(found.volume_width.value - width) < 4 * found.volume_width.sigma
    assert found.volume_width.sigma < 0.2 * width
    assert found.background == pytest.approx(1e-3, rel=0.02)
    assert found.reduced_chi2 < 1.4
    assert not found.inflated


def test_percentiles_of_a_narrow_distribution() -> None:
    """Schulz with a spread of .15 is, by volume, a gamma distribution of shape 1 / .15^2 + 3."""
    from scipy.stats import gamma

    found = size_distribution(sample(0.15, 0.001, 2))
    shape = 1 / 0.15**2 + 3
    for percent, at in found.volume_percentiles.items():
        truth = 100 * gamma.ppf(percent / 100, shape) / (1 / 0.15**2)
        assert at.value == pytest.approx(truth, rel=0.01), percent


def test_area_is_one_and_nothing_is_negative() -> None:
    found = size_distribution(sample(0.15, 0.01, 3))
    step = math.log(found.diameter[1] / found.diameter[0])
    assert found.volume.sum() * step == pytest.approx(1.0)
    assert found.number.sum() * step == pytest.approx(1.0)
    assert float(found.volume.min()) >= 0


def test_one_sigma_holds_the_mean_in_two_thirds_of_cases() -> None:
    assert 0.5 < coverage(40, 0.15, 0.01) < 0.9


def test_too_much_solvent_taken_off_leaves_a_negative_background_and_the_same_sizes() -> None:
    assert 0.5 < coverage(20, 0.15, 0.01, -2e-3) < 0.95
    curve = sample(0.15, 0.01, 1)
    below = size_distribution(replace(curve, intensity=curve.intensity - 0.5))
    assert below.background == pytest.approx(1e-3 - 0.5, rel=1e-3)
    assert below.volume_mean.value == pytest.approx(size_distribution(curve).volume_mean.value, rel=1e-6)


def test_noise_alone_has_no_sizes() -> None:
    q = np.linspace(0.01, 0.3, 200)
    for seed in range(8):
        curve = noisy(q, np.ones(200), np.full(200, 0.1), seed)
        with pytest.raises(DataRefused, match="times its sigma, at least 3 are needed"):
            size_distribution(curve)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0])
def test_nothing_is_found_in_a_flat_curve_and_nothing_is_said_beside(
    level: float, capfd: pytest.CaptureFixture[str]
) -> None:
    flat = Curve(Axis.Q_PER_ANGSTROM, Q, np.full(200, level), np.full(200, 0.01))
    with pytest.raises(DataRefused, match="times its sigma"):
        size_distribution(flat)
    with pytest.raises(DataRefused, match="the exponent is open"):
        porod(flat)
    assert capfd.readouterr() == ("", "")


@pytest.mark.soak
@pytest.mark.parametrize(
    ("spread", "noise"), [(0.15, 0.01), (0.15, 0.001), (0.05, 0.01), (0.4, 0.01), (0.15, 0.05)]
)
def test_one_sigma_holds_the_mean_in_two_thirds_of_a_thousand_cases(spread: float, noise: float) -> None:
    assert 0.63 < coverage(1000, spread, noise) < 0.8


def test_two_populations_are_told_apart() -> None:
    small, large = schulz_intensity(Q, 20.0, 0.1), schulz_intensity(Q, 120.0, 0.1)
    weight = moment(3, 20.0, 0.1) / moment(6, 20.0, 0.1) * moment(6, 120.0, 0.1) / moment(3, 120.0, 0.1)
    clean = small + weight * large  # the same volume of both
    found = size_distribution(noisy(Q, clean, 0.003 * np.sqrt(clean * clean[0]) * 0.1, 4))
    step = math.log(found.diameter[1] / found.diameter[0])
    below = float(found.volume[found.diameter < 90].sum() * step)
    assert below == pytest.approx(0.5, abs=0.06)


def test_volume_fraction_on_an_absolute_scale() -> None:
    contrast, fraction = 1e11, 0.01
    volume = 4 / 3 * math.pi * moment(6, 50.0, 0.15) / moment(3, 50.0, 0.15) * 1e-24
    clean = fraction * contrast**2 * volume * schulz_intensity(Q, 50.0, 0.15)
    curve = noisy(Q, clean, 0.003 * clean + 1e-4, 5, unit=IntensityUnit.PER_CM)
    found = size_distribution(curve, contrast_per_cm2=contrast).amount
    assert found is not None
    assert abs(found.value - fraction) < 4 * found.sigma
    assert found.sigma < 0.02 * fraction
    doubted = replace(curve, common=(Common("absolute scale", 0.1 * curve.intensity),))
    wider = size_distribution(doubted, contrast_per_cm2=contrast).amount
    assert wider is not None
    assert wider.sigma == pytest.approx(0.1 * wider.value, rel=0.1)


def test_sizes_that_the_curve_cannot_show_are_refused() -> None:
    with pytest.raises(DataRefused, match=r"q_min D_max is 4\.00, above pi: .* holds sizes up to 785"):
        size_distribution(sample(0.15, 0.01, 6), d_range=(10.0, 1000.0))


def test_a_volume_fraction_without_an_absolute_scale_is_refused() -> None:
    with pytest.raises(DataRefused, match="needs the intensity in 1/cm"):
        size_distribution(sample(0.15, 0.01, 7), contrast_per_cm2=1e11)


def test_too_few_points_are_refused() -> None:
    few = sample(0.15, 0.01, 8)
    cut = Curve(few.axis, few.x[:15], few.intensity[:15], few.sigma[:15])
    with pytest.raises(DataRefused, match="at least 20 are needed"):
        size_distribution(cut)


def test_larger_particles_than_can_be_seen_are_warned_of() -> None:
    clean = schulz_intensity(Q, 600.0, 0.2)
    found = size_distribution(noisy(Q, clean, 0.01 * clean + 1e-8, 9))
    assert any("there may be larger ones" in said for said in found.cautions)


def test_form_factor_of_a_sphere_and_its_series() -> None:
    zero = 4.493409457909064  # first zero of sin u - u cos u
    assert sphere_factor(np.array([zero]))[0] == pytest.approx(0, abs=1e-20)
    u = np.array([0.0499999, 0.0500001])
    assert np.diff(sphere_factor(u))[0] == pytest.approx(-2e-7 * 2 * 0.05 / 5, rel=0.05)


def test_kernel_of_a_bin_is_the_average_over_it() -> None:
    q = np.array([0.01, 0.1, 0.25])
    log_d = np.log(100.0) + np.arange(3) * 0.03
    fine = np.linspace(-0.03, 0.03, 20_001)
    d = np.exp(log_d[1] + fine)
    weight = 1 - np.abs(fine) / 0.03
    for at, row in zip(q, sphere_kernel(q, log_d), strict=True):
        u = at * d / 2
        factor = (3 * (np.sin(u) - u * np.cos(u)) / u**3) ** 2
        assert row[1] == pytest.approx(float((weight * d**3 * math.pi / 6 * factor).sum() / weight.sum()), rel=2e-3)


def test_non_negative_least_squares_equal_scipy_s() -> None:
    random = np.random.default_rng(0)
    for trial in range(20):
        a, b = random.normal(size=(30, 12)), random.normal(size=30)
        gram, right = a.T @ a, a.T @ b
        start = np.zeros(12, np.bool_) if trial % 2 else np.ones(12, np.bool_)
        assert nonnegative(gram, right, start) == pytest.approx(nnls(a, b)[0], abs=1e-8)
        both = nnls(np.column_stack((a, -a[:, -1])), b)[0]  # the last of either sign: a difference of two
        expected = np.append(both[:11], both[11] - both[12])
        assert nonnegative(gram, right, start, signed=1) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("spread", [0.15, 0.4])
def test_surface_and_volume_fraction_of_schulz_spheres(spread: float) -> None:
    q = np.geomspace(0.004, 0.4, 300)
    contrast, fraction = 1e11, 0.01
    volume = 4 / 3 * math.pi * moment(6, 50.0, spread) / moment(3, 50.0, spread) * 1e-24
    clean = fraction * (1 - fraction) * contrast**2 * volume * schulz_intensity(q, 50.0, spread) + 0.01
    sigma = 0.0005 * np.sqrt(clean * clean[0]) + 3e-5
    curve = noisy(q, clean, sigma, 1, unit=IntensityUnit.PER_CM)
    found = porod(curve, guinier(curve), contrast_per_cm2=contrast)
    assert found.exponent == pytest.approx(4.0, abs=0.3)
    assert found.background == pytest.approx(0.01, rel=0.1)
    assert found.surface_per_volume == pytest.approx(surface_per_volume(50.0, spread), rel=0.05)
    assert found.volume_fraction == pytest.approx(fraction, rel=0.01)


def test_the_exponent_of_a_power_law_and_no_surface_of_it() -> None:
    q = np.geomspace(0.01, 1.0, 200)
    clean = 2e-6 * q**-2.6 + 1e-5
    found = porod(noisy(q, clean, 0.01 * clean, 2), q_range=(0.01, 1.0))
    assert abs(found.exponent - 2.6) < 4 * found.exponent_sigma
    assert found.exponent_sigma < 0.05
    assert found.surface_per_volume is None
    assert any("not 4" in said for said in found.cautions)


def test_porod_refuses_an_angle_and_too_few_points() -> None:
    with pytest.raises(DataRefused, match="2theta"):
        porod(Curve(Axis.TWO_THETA_DEG, Q, Q, Q))
    with pytest.raises(DataRefused, match="at least 10 are needed"):
        porod(sample(0.15, 0.01, 3), q_range=(0.29, 0.3))


def test_resolution_is_taken_into_account() -> None:
    clean = schulz_intensity(Q, 50.0, 0.05)
    width = 0.03 * Q
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    parts = [w * schulz_intensity(Q + x * width, 50.0, 0.05) for x, w in zip(nodes, weights, strict=True)]
    smeared = np.sum(parts, axis=0) / math.sqrt(2 * math.pi)
    sigma = 0.003 * np.sqrt(clean) + 1e-6
    blurred = replace(noisy(Q, smeared, sigma, 4), x_sigma=width)
    unaware = replace(blurred, x_sigma=None)
    truth = 100 * 0.05
    aware_width, plain_width = (size_distribution(one).volume_width.value for one in (blurred, unaware))
    assert abs(aware_width - truth) < abs(plain_width - truth)


def test_the_same_curve_gives_the_same_numbers() -> None:
    first, second = itertools.islice((size_distribution(sample(0.15, 0.01, 5)) for _ in range(2)), 2)
    assert np.array_equal(first.volume, second.volume)
