"""Relaxation times of known truth: areas, ripples joined, what is open, what has none."""

from __future__ import annotations

import numpy as np
import pytest
from impedance_files import arcs, grid, noisy

from poliqi.lab.echem.eis.relaxation import relaxation_times
from poliqi.lab.echem.spectrum import Spectrum

F = grid(1e5, 1e-3, 81)
AREAS = (0.01, 0.02, 0.015)
TAUS = (1e-3, 0.1, 10.0)


@pytest.mark.parametrize("exponent", [1.0, 0.95, 0.9, 0.8, 0.7])
@pytest.mark.parametrize("seed", [0, 1])
def test_areas_of_three_arcs_are_within_five_percent(exponent: float, seed: int) -> None:
    told = [(area, tau, exponent) for area, tau in zip(AREAS, TAUS, strict=True)]
    found = relaxation_times(Spectrum(F, noisy(arcs(F, *told), 0.002, seed), title="three"))
    assert len(found.peaks) == 3
    assert [peak.area_ohm for peak in found.peaks] == pytest.approx(AREAS, rel=0.05)
    assert np.log10([peak.tau_s for peak in found.peaks]) == pytest.approx(np.log10(TAUS), abs=0.12)
    assert all(peak.is_closed for peak in found.peaks)


def test_series_elements_are_kept_apart() -> None:
    z = arcs(F, (0.02, 0.1, 1.0)) + 2j * np.pi * F * 2e-7 + 1 / (2j * np.pi * F * 5000)
    found = relaxation_times(Spectrum(F, noisy(z, 0.001, 3), title="series"))
    assert found.resistance_ohm == pytest.approx(0.01, rel=0.01)
    assert found.inductance_h == pytest.approx(2e-7, rel=0.01)


def test_two_arcs_too_near_each_other_are_told_as_one_with_their_sum() -> None:
    found = relaxation_times(
        Spectrum(F, noisy(arcs(F, (0.01, 0.1, 0.9), (0.012, 0.2, 0.9)), 0.002, 4), title="near")
    )
    assert [peak.area_ohm for peak in found.peaks] == pytest.approx([0.022], rel=0.05)


def test_an_arc_that_is_not_finished_is_open() -> None:
    found = relaxation_times(
        Spectrum(F, noisy(arcs(F, (0.01, 1e-2, 1.0), (0.02, 1e3, 1.0)), 0.002, 5), title="open")
    )
    assert [peak.is_closed for peak in found.peaks] == [True, False]


def test_a_spectrum_that_no_distribution_follows_is_told() -> None:
    """A parallel inductor: Re Z falls towards low frequency, which no sum of relaxations does."""
    s = 2j * np.pi * F
    found = relaxation_times(Spectrum(F, 0.01 + 1 / (1 / 0.05 + 1 / (0.02 * s)), title="inductive loop"))
    assert not found.follows


def test_a_weight_that_is_given_is_taken() -> None:
    z = noisy(arcs(F, (0.02, 0.1, 0.8)), 0.002, 6)
    rough, smooth = (relaxation_times(Spectrum(F, z, title="w"), weight=weight) for weight in (1e-10, 1e-3))
    assert rough.weight == 1e-10
    assert smooth.rms > rough.rms
    assert np.abs(np.diff(smooth.gamma_ohm, 2)).sum() < np.abs(np.diff(rough.gamma_ohm, 2)).sum()
