"""Whole-pattern fits: the lattice of a measured pattern, sizes and strains of simulated ones."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from powder_patterns import INSTRUMENT, Broadening, counted, ideal, with_size_and_strain, write_cif
from scipy.special import voigt_profile

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.diffraction.instrumentprofile import InstrumentProfile
from poliqi.lab.xray.diffraction.microstructure import measure_profile, size_and_strain
from poliqi.lab.xray.diffraction.pattern import Pattern, read_pattern
from poliqi.lab.xray.diffraction.radiation import Geometry, radiation_named
from poliqi.lab.xray.diffraction.refinement import Method, Quantity, refine
from poliqi.lab.xray.diffraction.told import findings_of_fit, quoted

X = np.arange(20, 120, 0.025)
EVEN = {0: 1.0}
PROFILE = InstrumentProfile(
    radiation="CuKa",
    wavelengths_angstrom=(1.5405929, 1.5444274),
    weights=(1.0, 0.5),
    geometry=Geometry.BRAGG_BRENTANO,
    u=8 * np.log(2) * 0.006**2,
    v=8 * np.log(2) * 2 * 0.025 * 0.006,
    w=8 * np.log(2) * 0.025**2,
    x=0.024,
    y=0.0,
    axial_sl=0.0,
    axial_hl=0.0,
    zero_shift_deg=0.0,
    range_deg=(21.4, 116.8),
    standard="LaB6",
    rwp=0.05,
)
"""What `powder_patterns.INSTRUMENT` is, in the words of a profile."""


def pattern(expected: NDArray[np.float64], counts: float, seed: int) -> Pattern:
    seen = counted(expected, counts, 80, np.random.default_rng(seed))
    sigma = np.sqrt(np.maximum(seen, 1))
    return Pattern(X, seen, sigma, radiation_named("CuKa"), Geometry.BRAGG_BRENTANO, "powder", simulated=True)


def nickel(broadening: Broadening, seed: int) -> Pattern:
    return pattern(ideal(X, 3.52387, EVEN, "F", broadening), 15_000, seed)


@pytest.mark.slow
def test_the_lattice_of_a_measured_pattern_is_the_published_one(tmp_path: Path) -> None:
    """Na2Ca3Al2F14 with CaF2 at beam line 11-BM of the Advanced Photon Source, as rietx ships it: its README gives
    a = 10.251216(39) A, Rwp .0930.
    """
    examples = resources.files("rietx") / "data" / "examples"
    with resources.as_file(examples) as folder:
        measured = read_pattern(folder / "11BM_NAC.fxye", radiation_named("0.413909A")).within(2, 24)
        phases = [folder / "cod_1000236.cif", write_cif(tmp_path, "CaF2")]
        fit = refine(measured, phases, Method.RIETVELD)
    a = fit.phases[0].lattice["a"]
    assert fit.usable
    assert abs(a.value - 10.2512) < 1e-4
    assert a.sigma is not None
    assert 1e-5 < a.sigma < 1e-4
    assert fit.rwp < 0.10
    assert fit.phases[1].lattice["a"].value == pytest.approx(5.4646, abs=5e-4)


def test_lattices_of_a_mixture(tmp_path: Path) -> None:
    expected = ideal(X, 3.52387, EVEN, "F", INSTRUMENT) / 3 + ideal(X, 5.431144, EVEN, "D", INSTRUMENT)
    fit = refine(
        pattern(expected, 8_000, 1), [write_cif(tmp_path, "Ni"), write_cif(tmp_path, "Si", 5.44)], Method.LEBAIL
    )
    for phase, truth in zip(fit.phases, (3.52387, 5.431144), strict=True):
        a = phase.lattice["a"]
        assert abs(a.value - truth) < 4 * max(a.sigma or 0.0, 2e-5)
    assert fit.simulated
    assert [one.name for one in findings_of_fit(fit).findings][:2] == ["lattice_a@Ni", "volume@Ni"]


@pytest.mark.parametrize(("length_nm", "strain"), [(18.0, 6e-4), (6.0, 0.0)])
def test_size_and_strain_are_within_their_interval(tmp_path: Path, length_nm: float, strain: float) -> None:
    micro, fit = size_and_strain(
        nickel(with_size_and_strain(length_nm, strain), 2), [write_cif(tmp_path, "Ni")], PROFILE
    )
    size = micro[0].size_nm
    assert size is not None
    assert size.sigma is not None
    assert abs(size.value - length_nm) < 3 * size.sigma
    assert size.sigma < 0.05 * length_nm
    if strain:
        assert micro[0].strain is not None
        assert abs(micro[0].strain.value - strain) < 3 * (micro[0].strain.sigma or 0)
    else:
        assert micro[0].strain is None
        assert micro[0].strain_below is not None
        assert micro[0].strain_below < 2e-3
    assert fit.simulated


def test_what_the_instrument_explains_is_no_size(tmp_path: Path) -> None:
    micro, _ = size_and_strain(nickel(INSTRUMENT, 3), [write_cif(tmp_path, "Ni")], PROFILE)
    assert micro[0].size_nm is None
    assert micro[0].size_above_nm is None or micro[0].size_above_nm > 150
    assert micro[0].strain is None


@pytest.mark.slow
def test_a_standard_tells_the_instruments_widths(tmp_path: Path) -> None:
    standard = pattern(ideal(X, 4.156826, EVEN, "P", INSTRUMENT), 40_000, 4)
    profile, fit = measure_profile(standard, write_cif(tmp_path, "LaB6"))
    assert fit.rwp < 0.1
    assert profile.simulated
    for at in (25.0, 60.0, 110.0):
        assert profile.fwhm_deg(at) == pytest.approx(PROFILE.fwhm_deg(at), rel=0.02)


@pytest.mark.soak
def test_the_size_of_spheres_of_many_diameters(tmp_path: Path) -> None:
    """Lognormal diameters, median 6 nm, spread .25. In a sphere of diameter D a column of length r has the weight
    1 - 3 r / 2 D + r^3 / 2 D^3, and the line is its cosine transform (Wilson 1962); L is 3/4 <D^4> / <D^3>. The
    line is no Voigt function, so that five per cent are allowed.
    """
    rng = np.random.default_rng(5)
    diameters = np.exp(np.log(6.0) + 0.25 * rng.standard_normal(4_000))
    truth = 0.75 * (diameters**4).mean() / (diameters**3).mean()
    r = np.linspace(0, 30, 1_200)
    ratio = np.minimum(r[:, None] / diameters, 1.0)
    volume = ((1 - 1.5 * ratio + 0.5 * ratio**3) * diameters**3).sum(1) / (diameters**3).sum()
    total = np.zeros_like(X)
    for wavelength, weight in ((1.5405929, 1.0), (1.5444274, 0.5)):
        for n in (3, 4, 8, 11, 12, 16):
            theta = np.arcsin(wavelength * np.sqrt(n) / (2 * 3.52387))
            at = 2 * np.degrees(theta)
            s = (2 / wavelength) * (np.sin(np.radians(X / 2)) - np.sin(theta)) * 10
            line = (np.cos(2 * np.pi * s[:, None] * r) * volume).sum(1) * (r[1] - r[0])
            own = voigt_profile(np.arange(-3, 3.001, 0.025), 0.025, 0.012 / np.cos(theta)) * 0.025
            lp = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
            total += weight * lp * np.convolve(line, own, mode="same") * (0.5 < abs(at) < 179)
    micro, _ = size_and_strain(pattern(np.maximum(total, 0), 15_000, 6), [write_cif(tmp_path, "Ni")], PROFILE)
    assert micro[0].size_nm is not None
    assert micro[0].size_nm.value == pytest.approx(truth, rel=0.05)


def test_a_standard_measured_otherwise_is_refused(tmp_path: Path) -> None:
    sample = nickel(INSTRUMENT, 7)
    other = Pattern(
        sample.two_theta_deg, sample.intensity, sample.sigma, radiation_named("CoKa"), Geometry.BRAGG_BRENTANO
    )
    with pytest.raises(DataRefused, match="same beam"):
        size_and_strain(other, [write_cif(tmp_path, "Ni")], PROFILE)
    capillary = Pattern(
        sample.two_theta_deg, sample.intensity, sample.sigma, sample.radiation, Geometry.DEBYE_SCHERRER
    )
    with pytest.raises(DataRefused, match="geometry"):
        size_and_strain(capillary, [write_cif(tmp_path, "Ni")], PROFILE)


@pytest.mark.parametrize(
    ("value", "sigma", "words"),
    [
        (10.251216, 0.000039, "10.251216(39)"),
        (4.156826, 0.0000081, "4.1568260(81)"),
        (18.06, 0.17, "18.06(17)"),
        (1530.0, 230.0, "1530(230)"),
        (0.9996, 0.0999, "1.00(10)"),
        (5.0, None, "5"),
    ],
)
def test_numbers_are_quoted_as_crystallographers_do(value: float, sigma: float | None, words: str) -> None:
    assert quoted(Quantity(value, sigma)) == words
