"""Guinier's law against closed forms, and its refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from saxs_truth import noisy, radius_of_gyration, schulz_intensity

from bench.guinier import COUNTS, RG, found, shapes
from bench.guinier import Q as SHAPE_Q
from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis, Common, Curve
from poliqi.lab.xray.curvefiles import read_curve_file
from poliqi.lab.xray.guinier import Shape, guinier

Q = np.linspace(0.004, 0.3, 300)
CLEAN = schulz_intensity(Q, 50.0, 0.15)
SIGMA = 0.01 * np.sqrt(CLEAN) + 1e-6


def coverage(seeds: int, spread: float, noise: float) -> float:
    clean = schulz_intensity(Q, 50.0, spread)
    sigma = noise * np.sqrt(clean) + 1e-6
    truth = radius_of_gyration(50.0, spread)
    found = [guinier(noisy(Q, clean, sigma, seed)) for seed in range(seeds)]
    return sum(abs(one.rg - truth) < one.rg_sigma for one in found) / seeds


def test_radius_of_gyration_of_polydisperse_spheres_is_that_of_the_moments() -> None:
    found = guinier(noisy(Q, CLEAN, 0.1 * SIGMA, 1))
    assert abs(found.rg - radius_of_gyration(50.0, 0.15)) < 3 * found.rg_sigma
    assert found.rg_sigma < 0.3
    assert abs(found.i0 - 1.0) < 3 * found.i0_sigma


def test_the_curved_law_is_nearer_to_the_truth_than_a_straight_line() -> None:
    truth = radius_of_gyration(50.0, 0.15)
    found = guinier(noisy(Q, CLEAN, 0.02 * SIGMA, 2))
    assert abs(found.rg - truth) < 0.3 * abs(found.rg_line - truth)


def test_one_sigma_holds_the_truth_in_two_thirds_of_cases() -> None:
    assert 0.55 < coverage(80, 0.15, 0.01) < 0.92


@pytest.mark.soak
@pytest.mark.parametrize(("spread", "noise"), [(0.15, 0.01), (0.01, 0.01), (0.4, 0.01), (0.15, 0.05)])
def test_one_sigma_holds_the_truth_in_two_thirds_of_a_thousand_cases(spread: float, noise: float) -> None:
    assert 0.65 < coverage(1000, spread, noise) < 0.82


@pytest.mark.parametrize("name", list(shapes(SHAPE_Q)))
def test_what_lies_beyond_the_curvature_is_in_sigma(name: str) -> None:
    clean = shapes(SHAPE_Q)[name]
    curve = Curve(Axis.Q_PER_ANGSTROM, SHAPE_Q, clean, 1e-5 * np.sqrt(clean) + 1e-9)
    one = guinier(curve)
    assert abs(one.rg - RG) < 1.2 * one.rg_sigma


@pytest.mark.soak
@pytest.mark.parametrize("name", list(shapes(SHAPE_Q)))
@pytest.mark.parametrize("counts", COUNTS)
def test_one_sigma_holds_the_radius_of_every_shape(name: str, counts: int) -> None:
    made = found(shapes(SHAPE_Q)[name], counts, 300)
    assert 0.55 < sum(abs(one.rg - RG) < one.rg_sigma for one in made) / len(made) < 0.92


def test_range_ends_at_the_limit_and_begins_after_what_does_not_follow() -> None:
    clean = CLEAN + 3.0 * np.exp(-((Q / 0.005) ** 2))  # aggregates, or the shadow of a beam stop
    found = guinier(noisy(Q, clean, SIGMA, 3))
    assert found.qmax_rg <= 1.3
    assert found.first > 2
    assert abs(found.rg - radius_of_gyration(50.0, 0.15)) < 4 * found.rg_sigma


def test_the_unit_of_q_is_the_unit_of_the_answer() -> None:
    curve = noisy(Q, CLEAN, SIGMA, 4)
    per_nm = replace(curve, axis=Axis.Q_PER_NM, x=curve.x * 10)
    assert guinier(per_nm).rg == pytest.approx(guinier(curve).rg / 10, rel=1e-9)


def test_radius_of_a_thin_disc_s_thickness_and_of_a_rod_s_cross_section() -> None:
    q = np.linspace(0.02, 0.3, 200)
    rod = np.exp(-((q * 8.0) ** 2) / 2) / q
    sheet = np.exp(-((q * 8.0) ** 2)) / q**2
    for clean, shape in ((rod, Shape.ROD), (sheet, Shape.SHEET)):
        found = guinier(noisy(q, clean, 0.003 * clean, 5), shape=shape)
        assert abs(found.rg - 8.0) < 3 * found.rg_sigma, shape


@pytest.mark.parametrize(
    ("name", "rg"),
    [("apoferritin", 76.33), ("x_coreshell_1", 149.43), ("PolySpheres", 58.80), ("n_coreshell", 174.96)],
)
def test_the_straight_line_is_that_of_freesas(name: str, rg: float) -> None:
    """autoRg of freesas 2026.10.0 on the same files of sasdata; it gives sigmas of tens of angstrom."""
    import sasdata

    path = Path(sasdata.__file__).parent / "example_data" / "1d_data" / f"{name}.txt"
    (curve,) = read_curve_file(path, unit=Axis.Q_PER_ANGSTROM)
    assert guinier(curve).rg_line == pytest.approx(rg, rel=0.03)


def test_a_file_that_names_its_sphere_gives_its_radius_of_gyration() -> None:
    """x_coreshell_1: a homogeneous sphere of 190 A, Rg = sqrt(3/5) 190."""
    import sasdata

    path = Path(sasdata.__file__).parent / "example_data" / "1d_data" / "x_coreshell_1.txt"
    (curve,) = read_curve_file(path, unit=Axis.Q_PER_ANGSTROM)
    found = guinier(curve)
    assert abs(found.rg - 0.6**0.5 * 190) < 2 * found.rg_sigma
    assert found.rg_sigma < 0.7


def test_a_doubtful_scale_moves_the_forward_intensity_and_not_the_radius() -> None:
    curve = noisy(Q, CLEAN, SIGMA, 6)
    doubted = replace(curve, common=(Common("absolute scale", 0.05 * curve.intensity),))
    before, after = guinier(curve), guinier(doubted)
    assert after.i0_sigma == pytest.approx(np.hypot(before.i0_sigma, 0.05 * after.i0), rel=0.05)
    assert after.rg_sigma < 1.1 * before.rg_sigma


def test_a_range_beyond_the_limit_is_refused() -> None:
    with pytest.raises(DataRefused, match=r"q_max Rg is .* up to 1\.3; end the range at q = 0\.0"):
        guinier(noisy(Q, CLEAN, SIGMA, 7), q_range=(0.0, 0.06))


def test_fewer_than_ten_points_are_refused() -> None:
    q = np.linspace(0.01, 0.3, 60)
    clean = schulz_intensity(q, 50.0, 0.15)
    with pytest.raises(DataRefused, match="at least 10 are needed; measure to lower q"):
        guinier(noisy(q, clean, 0.01 * np.sqrt(clean), 8))
    with pytest.raises(DataRefused, match="5 points"):
        guinier(noisy(Q, CLEAN, SIGMA, 8), q_range=(0.0, float(Q[4]) + 1e-6))


def test_a_rising_curve_is_refused() -> None:
    with pytest.raises(DataRefused, match="does not fall"):
        guinier(noisy(Q, 1 + Q, 1e-3 * np.ones_like(Q), 9))


def test_a_curve_without_sigma_or_over_an_angle_is_refused() -> None:
    with pytest.raises(DataRefused, match="has no sigma"):
        guinier(Curve(Axis.Q_PER_NM, Q, CLEAN, np.zeros_like(Q)))
    with pytest.raises(DataRefused, match="2theta"):
        guinier(Curve(Axis.TWO_THETA_DEG, Q, CLEAN, SIGMA))
