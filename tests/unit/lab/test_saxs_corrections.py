"""Corrections of curves: values, order, sigma of points and common doubts; absolute scale by standards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.corrections import by_thickness, by_transmission, covariance, without_background
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit, Step
from poliqi.lab.xray.saxs import Wanted, analyse
from poliqi.lab.xray.standards import STANDARDS, Standard, absolute, scale_of

X = np.geomspace(0.01, 0.24, 60)
SAMPLE = Curve(Axis.Q_PER_ANGSTROM, X, 100 * X**-1, 3.0 * np.ones(60), title="sample")
SOLVENT = Curve(Axis.Q_PER_ANGSTROM, X, 50 * np.ones(60), 2.0 * np.ones(60), title="solvent")


def corrected(
    transmission: float, thickness: float, solvent: float, scale: float = 1.0, factor: float = 2.0
) -> Curve:
    sample = by_thickness(by_transmission(SAMPLE, transmission, 0.01), thickness, 0.05)
    background = by_thickness(by_transmission(SOLVENT, solvent, 0.02), thickness, 0.05)
    return absolute(without_background(sample, background, scale=scale, scale_sigma=0.03), factor, 0.1, "given")


def test_values_are_those_of_the_formula() -> None:
    found = corrected(0.7, 2.0, 0.8)
    assert found.intensity == pytest.approx(2.0 * (100 / X / 0.7 - 50 / 0.8) / 0.2)
    assert found.sigma == pytest.approx(2.0 * np.hypot(3 / 0.7, 2 / 0.8) / 0.2 * np.ones(60))
    assert found.intensity_unit is IntensityUnit.PER_CM


def test_every_correction_stands_in_the_steps_in_its_order() -> None:
    steps = corrected(0.7, 2.0, 0.8).steps
    assert [one.name for one in steps] == ["transmission", "thickness", "background", "absolute scale"]
    assert steps[0].settings["transmission"] == 0.7
    assert steps[0].settings["transmission_sigma"] == 0.01
    assert steps[2].settings["scale_sigma"] == 0.03


def test_common_terms_are_the_derivatives_of_the_whole_formula() -> None:
    """Each by shifting the quantity by one sigma: the thickness is one quantity in sample and background."""
    base = corrected(0.7, 2.0, 0.8)
    tiny = 1e-6
    shifted = {
        "transmission": (corrected(0.7 - tiny, 2.0, 0.8), 0.01),
        "thickness": (corrected(0.7, 2.0 - tiny, 0.8), 0.05),
        "background transmission": (corrected(0.7, 2.0, 0.8 - tiny), 0.02),
        "background scale": (corrected(0.7, 2.0, 0.8, scale=1 + tiny), 0.03),
        "absolute scale": (corrected(0.7, 2.0, 0.8, factor=2 + tiny), 0.1),
    }
    terms = {term.name: term.change for term in base.common}
    assert set(terms) == set(shifted)
    for name, (other, sigma) in shifted.items():
        assert terms[name] == pytest.approx((other.intensity - base.intensity) / tiny * sigma, rel=1e-4), name


def test_common_doubts_do_not_average_out() -> None:
    found = corrected(0.7, 2.0, 0.8)
    mean_sigma = np.sqrt(covariance(found).sum()) / 60
    common = np.sqrt(sum(term.change.mean() ** 2 for term in found.common))
    assert mean_sigma == pytest.approx(np.hypot(common, found.sigma[0] / np.sqrt(60)))


def test_sigma_of_an_interpolated_background() -> None:
    coarse = replace(SOLVENT, x=X[::2], intensity=SOLVENT.intensity[::2], sigma=SOLVENT.sigma[::2])
    found = without_background(SAMPLE, coarse)
    assert found.x.size == 59
    assert found.intensity == pytest.approx(SAMPLE.intensity[:59] - 50)
    assert found.sigma[0] == pytest.approx(np.hypot(3, 2))
    part = (X[1] - X[0]) / (X[2] - X[0])
    assert found.sigma[1] == pytest.approx(np.sqrt(9 + 4 * ((1 - part) ** 2 + part**2)))


def counted(exposure_s: float | None, step: str = "azimuthal integration") -> Curve:
    """As `reduce` writes it."""
    return replace(SAMPLE, intensity_unit=IntensityUnit.COUNTS, steps=(Step(step, {"exposure_s": exposure_s}),))


def test_counts_of_frames_with_other_count_times_are_refused() -> None:
    with pytest.raises(DataRefused, match="counts 100 s a frame, the curve 10 s; reduce both with --per-second"):
        without_background(counted(10.0), counted(100.0))
    met = without_background(counted(10.0), counted(10.0))
    assert met.steps[-1].settings["count_times"] == "alike"
    rates = (replace(counted(time), intensity_unit=IntensityUnit.PER_SECOND) for time in (10.0, 100.0))
    assert "count_times" not in without_background(*rates).steps[-1].settings


def test_count_times_that_are_not_known_are_a_caution() -> None:
    met = without_background(counted(10.0), counted(None))
    assert any("reduce both with --per-second" in said for said in analyse(met, Wanted()).cautions)


def test_counts_and_counts_a_second_are_not_alike() -> None:
    rate = replace(counted(10.0), intensity_unit=IntensityUnit.PER_SECOND)
    with pytest.raises(DataRefused, match="is in counts/s, the curve in counts; give both alike"):
        without_background(counted(10.0), rate)


def test_a_simulated_background_makes_a_simulated_curve() -> None:
    assert without_background(SAMPLE, replace(SOLVENT, simulated=True)).simulated


def test_the_order_is_kept_and_nothing_is_done_twice() -> None:
    done = by_thickness(SAMPLE, 1.0)
    with pytest.raises(DataRefused, match="transmission cannot follow thickness"):
        by_transmission(done, 0.5)
    with pytest.raises(DataRefused, match="thickness was corrected before"):
        by_thickness(done, 1.0)
    reduced = replace(SAMPLE, steps=(Step("transmission", {"transmission": 0.5}),))
    with pytest.raises(DataRefused, match="transmission was corrected before"):
        by_transmission(reduced, 0.5)


@pytest.mark.parametrize("value", [0.0, -0.1, 1.2, 71.0, float("nan")])
def test_transmission_is_a_share(value: float) -> None:
    with pytest.raises(DataRefused, match="at most 1"):
        by_transmission(SAMPLE, value)


def test_thickness_and_doubts_have_limits() -> None:
    with pytest.raises(DataRefused, match="must be above 0"):
        by_thickness(SAMPLE, 0.0)
    with pytest.raises(DataRefused, match="sigma -1"):
        absolute(SAMPLE, 2.0, -1.0, "given")


def test_a_background_of_another_kind_or_place_is_refused() -> None:
    with pytest.raises(DataRefused, match="give both alike"):
        without_background(SAMPLE, replace(SOLVENT, axis=Axis.Q_PER_NM))
    with pytest.raises(DataRefused, match="no q in common"):
        without_background(SAMPLE, replace(SOLVENT, x=X + 1))


def test_glassy_carbon_is_as_the_certificate_of_srm_3600_says() -> None:
    """First and last line of table 1, and the relative uncertainty 2.5795 % (0.901092 of 34.933380)."""
    carbon = STANDARDS[Standard.GLASSY_CARBON]
    assert carbon.q_per_angstrom.size == 59
    assert (carbon.q_per_angstrom[0], carbon.per_cm[0]) == (0.00827568, 34.933380)
    assert (carbon.q_per_angstrom[-1], carbon.per_cm[-1]) == (0.247402, 4.463604)
    assert bool(np.all(np.diff(carbon.q_per_angstrom) > 0))
    assert bool(np.all(np.diff(carbon.per_cm) < 0))
    assert carbon.relative_sigma == pytest.approx(0.115137 / 4.463604, rel=1e-4)  # last line
    assert carbon.thickness_mm == 1.055


@pytest.mark.parametrize("axis", [Axis.Q_PER_NM, Axis.Q_PER_ANGSTROM])
def test_the_factor_of_a_measured_standard(axis: Axis) -> None:
    carbon = STANDARDS[Standard.GLASSY_CARBON]
    clean = np.interp(X, carbon.q_per_angstrom, carbon.per_cm) / 0.037
    noise = np.random.default_rng(1).normal(size=60)
    curve = Curve(axis, X * (10 if axis is Axis.Q_PER_NM else 1), clean * (1 + 0.01 * noise), 0.01 * clean)
    found = scale_of(curve, Standard.GLASSY_CARBON)
    assert found.factor == pytest.approx(0.037, rel=0.005)
    assert found.sigma == pytest.approx(0.0258 * 0.037, rel=0.03)
    assert found.reduced_chi2 == pytest.approx(1, abs=0.5)


def test_water_scatters_what_its_compressibility_says() -> None:
    flat = Curve(Axis.Q_PER_NM, np.linspace(0.5, 3, 30), 4.0 * np.ones(30), 0.1 * np.ones(30))
    exact = replace(flat, sigma=1e-6 * flat.sigma)
    assert scale_of(flat, Standard.WATER).factor == pytest.approx(0.01632 / 4.0)
    assert scale_of(exact, Standard.WATER).sigma == pytest.approx(0.006 * 0.01632 / 4.0, rel=1e-3)


def test_a_standard_without_common_q_or_signal_is_refused() -> None:
    with pytest.raises(DataRefused, match="at least 5 are needed"):
        scale_of(replace(SAMPLE, x=X + 1), Standard.GLASSY_CARBON)
    with pytest.raises(DataRefused, match="not positive"):
        scale_of(replace(SAMPLE, intensity=-SAMPLE.intensity), Standard.GLASSY_CARBON)
