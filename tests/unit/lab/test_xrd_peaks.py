"""Peaks, Scherrer's sizes and phase candidates, on patterns whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from powder_patterns import (
    INSTRUMENT,
    STRUCTURES,
    counted,
    cubic_lines,
    ideal,
    with_size_and_strain,
    write_cif,
)

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.diffraction.candidates import cif_files, identify
from poliqi.lab.xray.diffraction.instrumentprofile import InstrumentProfile, profile_bytes, profile_from
from poliqi.lab.xray.diffraction.pattern import Pattern
from poliqi.lab.xray.diffraction.peaks import find_peaks
from poliqi.lab.xray.diffraction.radiation import Geometry, radiation_named
from poliqi.lab.xray.diffraction.scherrer import scherrer_nm

X = np.arange(25, 100, 0.02)
FCC = {3: 1.0, 4: 0.9, 8: 0.68, 11: 0.58, 12: 0.55, 16: 0.45}
"""Squared structure factors of gold over that of 111: they fall as its form factor does, within some per cent."""
FWHM = math.sqrt(8 * math.log(2))
PROFILE = InstrumentProfile(
    radiation="CuKa",
    wavelengths_angstrom=(1.5405929, 1.5444274),
    weights=(1.0, 0.5),
    geometry=Geometry.BRAGG_BRENTANO,
    u=0.0002,
    v=0.00166,
    w=0.00347,
    x=0.024,
    y=0.0,
    axial_sl=0.0,
    axial_hl=0.0,
    zero_shift_deg=0.0,
    range_deg=(21.4, 116.0),
    standard="LaB6",
    rwp=0.06,
)
"""What `powder_patterns.INSTRUMENT` is, in the words of a profile."""


def pattern(counts: NDArray[np.float64], x: NDArray[np.float64] = X) -> Pattern:
    sigma = np.sqrt(np.maximum(counts, 1))
    return Pattern(x, counts, sigma, radiation_named("CuKa"), Geometry.BRAGG_BRENTANO, "powder", simulated=True)


def nickel(seed: int, counts: float = 20_000) -> Pattern:
    expected = ideal(X, STRUCTURES["Ni"][0], FCC, "F", INSTRUMENT)
    return pattern(counted(expected, counts, 60, np.random.default_rng(seed)))


def test_peaks_stand_where_the_lattice_puts_them() -> None:
    truth = cubic_lines(STRUCTURES["Ni"][0], "F", 1.5405929, 99)
    peaks = find_peaks(nickel(1))
    assert len(peaks) == len(truth)
    for peak, (at, _) in zip(peaks, truth.values(), strict=True):
        assert abs(peak.two_theta_deg.value - at) < 4 * (peak.two_theta_deg.sigma or 0)
        assert peak.two_theta_deg.sigma < 0.002


def test_sigmas_of_place_width_and_area_cover_the_truth() -> None:
    """12 patterns, 5 peaks: 68 % within one sigma, and the standard deviation of the pulls is one."""
    expected = ideal(X, STRUCTURES["Ni"][0], FCC, "F", INSTRUMENT)
    scale = 20_000 / expected.max()
    pulls: list[tuple[float, float, float]] = []
    for seed in range(12):
        for peak, (n, (at, many)) in zip(
            find_peaks(nickel(seed)), cubic_lines(STRUCTURES["Ni"][0], "F", 1.5405929, 99).items(), strict=True
        ):
            theta = math.radians(at / 2)
            gauss, lorentz = FWHM * INSTRUMENT.sigma(theta), 2 * INSTRUMENT.gamma(theta)
            width = 0.5346 * lorentz + math.sqrt(0.2166 * lorentz**2 + gauss**2)
            lp = (1 + math.cos(2 * theta) ** 2) / (2 * math.sin(theta) ** 2 * math.cos(theta))
            pulls.append(
                (
                    (peak.two_theta_deg.value - at) / (peak.two_theta_deg.sigma or 0),
                    (peak.fwhm_deg.value - width) / (peak.fwhm_deg.sigma or 0),
                    (peak.area.value - scale * many * lp * FCC[n]) / (peak.area.sigma or 0),
                )
            )
    spread = np.array(pulls).std(axis=0)
    assert ((spread > 0.7) & (spread < 1.35)).all(), spread


def test_noise_alone_has_no_peaks() -> None:
    flat = np.random.default_rng(3).poisson(100, X.size).astype(np.float64)
    assert find_peaks(pattern(flat)) == ()


def test_broad_peaks_of_nanoparticles_are_found_too() -> None:
    expected = ideal(X, STRUCTURES["Au"][0], FCC, "F", with_size_and_strain(3.0, 0.0))
    peaks = find_peaks(pattern(counted(expected, 5_000, 100, np.random.default_rng(4))))
    places = [peak.two_theta_deg.value for peak in peaks]
    for n in (3, 4, 8, 11):
        at = cubic_lines(STRUCTURES["Au"][0], "F", 1.5405929, 99)[n][0]
        assert min(abs(at - place) for place in places) < 0.1


def test_scherrer_gives_the_size_of_broad_lines() -> None:
    """Lorentzian lines of column length L have FWHM lambda / (L cos theta) x 2 / pi; K = .9 then gives 1.41 L."""
    expected = ideal(X, STRUCTURES["Ni"][0], FCC, "F", with_size_and_strain(8.0, 0.0))
    peak = find_peaks(pattern(counted(expected, 30_000, 60, np.random.default_rng(5))))[0]
    size = scherrer_nm(peak, PROFILE, 1.5405929)
    assert size.value == pytest.approx(8.0 * 0.9 * math.pi / 2, abs=2 * (size.sigma or 0))


def test_scherrer_is_refused_where_the_instrument_explains_the_width() -> None:
    peak = find_peaks(nickel(6))[0]
    with pytest.raises(DataRefused, match="not above the instrument's"):
        scherrer_nm(peak, PROFILE, 1.5405929)


def test_scherrer_is_refused_where_the_standard_told_nothing() -> None:
    expected = ideal(X, STRUCTURES["Ni"][0], FCC, "F", with_size_and_strain(8.0, 0.0))
    peak = find_peaks(pattern(counted(expected, 30_000, 60, np.random.default_rng(5))))[-1]
    profile = profile_from(profile_bytes(PROFILE).replace(b"116.0", b"60.0"))
    with pytest.raises(DataRefused, match="the standard told"):
        scherrer_nm(peak, profile, 1.5405929)


@pytest.fixture
def structures(tmp_path: Path) -> list[Path]:
    return [write_cif(tmp_path, name) for name in ("Au", "Ag", "Ni", "Si", "NaCl")]


def names(found: object) -> list[set[str]]:
    return [{each.name for each in one} for one in found.sets]  # type: ignore[attr-defined]


def test_gold_and_silver_nanoparticles_are_one_set_and_none_is_chosen(structures: list[Path]) -> None:
    expected = ideal(X, STRUCTURES["Au"][0], FCC, "F", with_size_and_strain(2.5, 0.0))
    found = identify(pattern(counted(expected, 4_000, 100, np.random.default_rng(7))), structures)
    assert names(found)[0] == {"Au", "Ag"}


def test_gold_in_coarse_grains_is_gold(structures: list[Path]) -> None:
    expected = ideal(X, STRUCTURES["Au"][0], FCC, "F", INSTRUMENT)
    found = identify(pattern(counted(expected, 10_000, 60, np.random.default_rng(8))), structures)
    assert names(found)[0] == {"Au"}
    assert found.sets[0][0].merit > 0.9
    assert found.unexplained == ()


def test_a_tolerance_for_alloys_makes_them_one_set_again(structures: list[Path]) -> None:
    expected = ideal(X, 4.0824, FCC, "F", INSTRUMENT)
    grains = pattern(counted(expected, 10_000, 60, np.random.default_rng(9)))
    assert names(identify(grains, structures, tolerance=0.005))[0] == {"Au", "Ag"}


def test_what_no_structure_explains_is_told(structures: list[Path]) -> None:
    expected = ideal(X, STRUCTURES["Au"][0], FCC, "F", INSTRUMENT)
    with_line = expected / expected.max() + 0.4 * np.exp(-0.5 * ((X - 51.0) / 0.04) ** 2)
    found = identify(pattern(counted(with_line, 10_000, 60, np.random.default_rng(10))), structures)
    assert names(found)[0] == {"Au"}
    assert [round(at) for at in found.unexplained] == [51]


def test_a_folder_is_searched_and_files_without_a_structure_are_told(tmp_path: Path) -> None:
    write_cif(tmp_path, "Ni")
    (tmp_path / "broken.cif").write_text("data_x\n_cell_length_a 1\n")
    (tmp_path / "notes.txt").write_text("no structure")
    files = cif_files([tmp_path])
    assert [path.name for path in files] == ["Ni.cif", "broken.cif"]
    found = identify(nickel(11), files)
    assert names(found) == [{"Ni"}]
    assert "broken.cif" in found.passed_over[0][0]


def test_too_few_peaks_name_nothing(structures: list[Path]) -> None:
    lone = 5_000 * np.exp(-0.5 * ((X - 40) / 0.05) ** 2) + 60
    beam = radiation_named("CuKa1")
    single = replace(pattern(np.random.default_rng(12).poisson(lone).astype(np.float64)), radiation=beam)
    with pytest.raises(DataRefused, match="1 peak"):
        identify(single, structures)
    with pytest.raises(DataRefused, match="tolerance"):
        identify(single, structures, tolerance=0.5)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"poliqi-xrd-instrument-1", b"poliqi-xrd-instrument-2", "format"),
        (b'"w": 0.00347', b'"w": -0.00347', "width"),
        (b'"x": 0.024', b'"x": 1e300', "below 100"),
        (b'"standard"', b'"colour"', "no instrument profile"),
        (b"0.5\n", b"0.5,0.2\n", "lines"),
    ],
)
def test_an_instrument_file_that_is_none(old: bytes, new: bytes, words: str) -> None:
    data = profile_bytes(PROFILE)
    assert profile_from(data) == PROFILE
    with pytest.raises(DataRefused, match=words):
        profile_from(data.replace(old, new))
