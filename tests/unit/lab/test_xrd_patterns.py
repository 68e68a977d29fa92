"""Patterns from files: what diffractometers write, what agrees with an option, and what is refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from powder_patterns import write_cif
from scan_files import XRDML, write_brml, write_rasx, write_raw, write_xrdml
from xray_frames import counts, recipe, straight

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.curve import Axis, Curve, Step
from poliqi.lab.xray.diffraction.calculated import lorentz_polarisation, reflections
from poliqi.lab.xray.diffraction.candidates import match
from poliqi.lab.xray.diffraction.crystal import read_crystal
from poliqi.lab.xray.diffraction.pattern import Pattern, pattern_of_curve, read_pattern
from poliqi.lab.xray.diffraction.peaks import Peak
from poliqi.lab.xray.diffraction.radiation import Geometry, monochromated, radiation_named
from poliqi.lab.xray.diffraction.refinement import Quantity
from poliqi.lab.xray.diffraction.rietxmodel import instrument_for
from poliqi.lab.xray.reduction import Marks, Plan, Settings

X = 20 + 0.02 * np.arange(300)
COUNTS = np.random.default_rng(0).poisson(50, X.size).astype(np.float64)
Writer = Callable[[Path, NDArray[np.float64], NDArray[np.float64]], Path]


@pytest.mark.parametrize(
    ("write", "ending"), [(write_xrdml, "xrdml"), (write_rasx, "rasx"), (write_brml, "brml"), (write_raw, "raw")]
)
def test_a_diffractometers_own_file(tmp_path: Path, write: Writer, ending: str) -> None:
    pattern = read_pattern(write(tmp_path / f"scan.{ending}", X, COUNTS))
    np.testing.assert_allclose(pattern.two_theta_deg, X, atol=1e-9)
    np.testing.assert_array_equal(pattern.intensity, COUNTS)
    np.testing.assert_allclose(pattern.sigma, np.sqrt(np.maximum(COUNTS, 1)))
    assert pattern.radiation.name == "CuKa"
    assert pattern.geometry is Geometry.BRAGG_BRENTANO


def test_a_wavelength_that_the_file_denies_is_refused(tmp_path: Path) -> None:
    path = write_xrdml(tmp_path / "scan.xrdml", X, COUNTS)
    with pytest.raises(DataRefused, match="disagree"):
        read_pattern(path, radiation_named("CoKa"))
    assert read_pattern(path, radiation_named("CuKa1")).radiation.name == "CuKa1"


def test_a_scan_of_another_axis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="no pattern"):
        read_pattern(write_xrdml(tmp_path / "rocking.xrdml", X, COUNTS, axis="Omega"))


def test_columns_need_a_wavelength(tmp_path: Path) -> None:
    path = tmp_path / "scan.xye"
    np.savetxt(path, np.column_stack([X, COUNTS, np.sqrt(COUNTS + 1)]))
    with pytest.raises(DataRefused, match="wavelength"):
        read_pattern(path)
    pattern = read_pattern(path, radiation_named("0.4139A"))
    assert pattern.geometry is Geometry.DEBYE_SCHERRER
    np.testing.assert_allclose(pattern.intensity, COUNTS)


def test_a_curve_over_q_becomes_angles() -> None:
    """q = 4 pi sin(theta) / lambda: at 1 A, q = 4 pi sin(15 degrees) 1/A stands at 30 degrees."""
    q = 4 * np.pi * np.sin(np.radians(np.linspace(10, 40, 61) / 2))
    curve = Curve(
        Axis.Q_PER_ANGSTROM, q, np.full(61, 9.0), np.full(61, 3.0), steps=(Step("r", {"wavelength_m": 1e-10}),)
    )
    pattern = pattern_of_curve(curve, None)
    np.testing.assert_allclose(pattern.two_theta_deg, np.linspace(10, 40, 61))
    with pytest.raises(DataRefused, match="not seen"):
        pattern_of_curve(Curve(Axis.Q_PER_ANGSTROM, q, q, q), radiation_named("4A"))


def test_what_was_simulated_stays_so() -> None:
    curve = Curve(Axis.TWO_THETA_DEG, X, COUNTS, np.sqrt(COUNTS + 1), simulated=True)
    pattern = pattern_of_curve(curve, radiation_named("CuKa"))
    assert pattern.simulated
    assert "simulated, not measured" in pattern.within(20, 22).cautions


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (X, -COUNTS - 1, "negative intensities"),
        (X + 170, COUNTS, "0 to 180"),
        (X[:5], COUNTS[:5], "points"),
    ],
)
def test_what_is_no_pattern_is_refused(x: NDArray[np.float64], y: NDArray[np.float64], words: str) -> None:
    curve = Curve(Axis.TWO_THETA_DEG, x, y, np.zeros_like(y))
    with pytest.raises(DataRefused, match=words):
        pattern_of_curve(curve, radiation_named("CuKa"))


def test_intensities_that_are_no_counts_are_told() -> None:
    curve = Curve(Axis.TWO_THETA_DEG, X, COUNTS + 0.5, np.zeros_like(X))
    assert "no whole counts" in pattern_of_curve(curve, radiation_named("CuKa")).cautions[0]


def test_entities_are_refused_before_they_grow(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xrdml"
    path.write_text('<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>' + XRDML.split("\n", 1)[1])
    with pytest.raises(DataRefused, match="entities"):
        read_pattern(path)


def test_entities_inside_an_archive_are_refused(tmp_path: Path) -> None:
    path = write_rasx(tmp_path / "bomb.rasx", X, COUNTS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("Data0/other.xml", ('<!DOCTYPE a [<!ENTITY b "bb">]><a/>').encode("utf-16"))
    with pytest.raises(DataRefused, match="entities"):
        read_pattern(path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = write_brml(tmp_path / "bomb.brml", X, COUNTS)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Experiment0/RawData1.xml", b"<a>" + b" " * (33 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataRefused, match="unpacks to more"):
        read_pattern(path)


def test_too_many_files_in_an_archive_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.rasx"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2_001):
            archive.writestr(f"{number}", b"")
    with pytest.raises(DataRefused, match="2001 files"):
        read_pattern(path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = write_rasx(tmp_path / "cut.rasx", X, COUNTS)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataRefused, match="archive is corrupt"):
        read_pattern(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.raw"):
        read_pattern(tmp_path / "none.raw")


def reduced(polarisation: float | None) -> Curve:
    """Frames of a tube's wavelength, made a curve."""
    place = replace(straight(), distance_m=0.02, wavelength_m=1.5405929e-10)
    plan = Plan(recipe(place, Settings(bins=40, polarisation=polarisation)))
    return plan.curve(plan.reduce(counts(50.0), Marks(None)), "frames")


def test_frames_that_were_corrected_for_polarisation_are_not_corrected_again() -> None:
    pattern = pattern_of_curve(reduced(0.0), None)
    assert pattern.geometry is Geometry.DEBYE_SCHERRER
    assert pattern.polarised_share == 1.0
    assert pattern.within(*pattern.range_deg).polarised_share == 1.0
    assert instrument_for(pattern).source.polarization.value == 1.0


def test_frames_that_were_not_corrected_for_polarisation_are_told() -> None:
    pattern = pattern_of_curve(reduced(None), None)
    assert pattern.geometry is Geometry.DEBYE_SCHERRER
    assert pattern.polarised_share == 0.5
    assert any("without --polarisation" in caution for caution in pattern.cautions)


def test_a_monochromator_is_refused_for_frames() -> None:
    with pytest.raises(DataRefused, match="leave --monochromator away"):
        pattern_of_curve(reduced(0.0), None, polarisation=monochromated(27.3))


def test_a_phase_is_matched_with_the_polarisation_of_its_pattern(tmp_path: Path) -> None:
    """Lines of a powder without any factor of polarisation: only K = 1 explains all of their areas."""
    crystal = read_crystal(write_cif(tmp_path, "Ni"))
    lines = reflections(crystal, 1.5405929, (40, 140), 1.0)
    flat = np.ones(30)
    angles = np.linspace(40, 140, 30)
    peaks = [
        Peak(
            Quantity(at, 0.01),
            Quantity(d, None),
            Quantity(0.2, 0.01),
            Quantity(0.2, 0.01),
            Quantity(area, 1.0),
            1,
            1,
            1,
        )
        for at, d, area in zip(
            lines.two_theta_deg.tolist(), lines.d_angstrom.tolist(), lines.intensity.tolist(), strict=True
        )
    ]

    def explained(polarisation: float | None) -> float:
        pattern = Pattern(
            angles, flat, flat, radiation_named("CuKa1"), Geometry.DEBYE_SCHERRER, polarisation=polarisation
        )
        return match(pattern, peaks, crystal).explained

    assert explained(1.0) == pytest.approx(1.0, abs=1e-9)
    assert explained(None) < 0.99


def test_a_monochromator_weakens_one_polarisation() -> None:
    """(1 + cos^2 2theta_m cos^2 2theta) / (1 + cos^2 2theta_m), the form of textbooks, for germanium 111."""
    share, weak = monochromated(27.3), np.cos(np.radians(27.3)) ** 2
    assert share == pytest.approx(0.5588, abs=1e-4)
    textbook = (1 + weak * np.cos(np.radians(X)) ** 2) / (1 + weak)
    usual = (1 + np.cos(np.radians(X)) ** 2) / 2
    ours = lorentz_polarisation(X, share) / lorentz_polarisation(X, 0.5)
    np.testing.assert_allclose(ours, textbook / usual, rtol=1e-12)
    with pytest.raises(ConfigError, match="below 90"):
        monochromated(90.0)


def test_one_line_of_a_tube_states_what_is_taken_for_granted() -> None:
    curve = Curve(Axis.TWO_THETA_DEG, X, COUNTS, np.sqrt(COUNTS + 1))
    bare = pattern_of_curve(curve, radiation_named("CuKa1"))
    assert bare.polarised_share == 0.5
    assert "unpolarised beam" in bare.cautions[0]
    told = pattern_of_curve(curve, radiation_named("CuKa1"), polarisation=monochromated(27.3))
    assert told.cautions == ()
    assert told.polarised_share == monochromated(27.3)
