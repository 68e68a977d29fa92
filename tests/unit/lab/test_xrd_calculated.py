"""Wavelengths, structures and calculated patterns: certificates, published intensities, another program."""

from __future__ import annotations

import warnings
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from powder_patterns import STRUCTURES, cif, cubic_lines, write_cif

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.diffraction.calculated import joined_lines, lorentz_polarisation, reflections
from poliqi.lab.xray.diffraction.crystal import crystal_from, read_crystal
from poliqi.lab.xray.diffraction.radiation import (
    CU_KALPHA1_ANGSTROM,
    bragg_d_angstrom,
    bragg_two_theta_deg,
    radiation_named,
)

LICOO2 = """data_LiCoO2
_cell_length_a 2.8156
_cell_length_b 2.8156
_cell_length_c 14.0542
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_space_group_name_H-M_alt 'R -3 m:H'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Li Li 0 0 0.5 0.012
Co Co 0 0 0 0.004
O O 0 0 0.2395 0.007
"""
ZNO = """data_ZnO
_cell_length_a 3.2495
_cell_length_b 3.2495
_cell_length_c 5.2069
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_space_group_name_H-M_alt 'P 63 m c'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Zn Zn 0.33333333 0.66666667 0 0.006
O O 0.33333333 0.66666667 0.345 0.007
"""


@pytest.mark.parametrize(
    ("name", "file", "a"), [("LaB6", "LaB6_SRM660c.D", 4.156826), ("Si", "Si_SRM640e.D", 5.431179)]
)
def test_spacings_are_those_of_standards(name: str, file: str, a: float) -> None:
    """NIST SRM 660c and 640e: spacings as pyFAI ships them for the certified lattice parameter."""
    spacings = resources.files("pyFAI") / "resources" / "calibration" / file
    told = [float(line.split()[0]) for line in spacings.read_text().splitlines() if line and line[0] not in "#"]
    found = reflections(crystal_from(cif(name, a).encode(), Path("x")), 0.7, (5, 60))
    ours = joined_lines(found, least=0.0).d_angstrom
    for d in told[:10]:
        assert np.abs(ours / d - 1).min() < 2e-6, d


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("NaCl", [13, 100, 55, 2, 15]),  # PDF 5-628: 111 200 220 311 222
        ("Au", [100, 52, 32, 36, 12]),  # PDF 4-784: 111 200 220 311 222
        ("Ni", [100, 42]),  # PDF 4-850: 111 200
    ],
)
def test_intensities_are_the_measured_ones_of_the_powder_diffraction_file(name: str, told: list[int]) -> None:
    """Heights by the National Bureau of Standards, where K alpha 1 and 2 do not part yet."""
    found = reflections(crystal_from(cif(name).encode(), Path("x")), CU_KALPHA1_ANGSTROM, (20, 90))
    lines = joined_lines(found, least=0.5)
    np.testing.assert_allclose(lines.intensity[: len(told)], told, atol=4, rtol=0.12)


def test_multiplicities_and_absences_are_those_that_counting_gives() -> None:
    for name, centring in (("LaB6", "P"), ("Ni", "F"), ("Si", "D")):
        a = STRUCTURES[name][0]
        found = reflections(crystal_from(cif(name).encode(), Path("x")), CU_KALPHA1_ANGSTROM, (5, 120))
        counts: dict[int, int] = {}
        for hkl, many, strength in zip(found.hkl, found.multiplicity, found.f_squared, strict=True):
            if strength > 1e-6:
                n = int((hkl**2).sum())
                counts[n] = counts.get(n, 0) + int(many)
        told = {n: many for n, (_, many) in cubic_lines(a, centring, CU_KALPHA1_ANGSTROM, 120).items()}
        assert counts == told, name


def _of_rietx(path: Path) -> list[tuple[float, float]]:
    """2theta and m |F|^2 of each line, from rietx."""
    rietx = pytest.importorskip("rietx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = rietx.Structure.from_cif(path, aniso=True)
        x = np.arange(9, 101, 0.1)
        data = rietx.PatternData(two_theta=x.tolist(), intensity=np.full(x.size, 100.0).tolist())
        refinement = rietx.Refinement(structure, rietx.Instrument.bragg_brentano(radiation="CuKa1"), history=False)
        plan = rietx.RefinementPlan(stages=[rietx.Stage("scale", ["phases.*.scale"])])
        refinement.fit(data, plan=plan, telemetry=False)
        rows = refinement.reflection_table()
    return [(row.two_theta, row.multiplicity * row.f_squared) for row in rows]


@pytest.mark.parametrize("name", [*STRUCTURES, "LiCoO2", "ZnO"])
def test_structure_factors_are_those_of_another_program(tmp_path: Path, name: str) -> None:
    """rietx: its own symmetry, occupancies, Waasmaier-Kirfel form factors and dispersion table. Shares of the
    whole, within one per cent for each line that has more than one in a hundred of the strongest.
    """
    path = tmp_path / f"{name}.cif"
    path.write_text({"LiCoO2": LICOO2, "ZnO": ZNO}.get(name) or cif(name))
    found = reflections(read_crystal(path), CU_KALPHA1_ANGSTROM, (10, 99.9))
    ours = list(zip(found.two_theta_deg, found.multiplicity * found.f_squared, strict=True))
    theirs = [(at, strength) for at, strength in _of_rietx(path) if at < 99.9]
    scale = sum(strength for _, strength in theirs) / sum(strength for _, strength in ours)
    strongest = max(strength for _, strength in ours)
    checked = 0
    for at, strength in ours:
        if strength > 0.01 * strongest:
            together = scale * sum(each for other, each in ours if abs(other - at) < 0.02)
            assert together == pytest.approx(
                sum(each for other, each in theirs if abs(other - at) < 0.02), rel=0.01
            )
            checked += 1
    assert checked >= 4


def test_polarisation_of_a_tube_and_of_a_beam_line() -> None:
    """At 2theta = 90 degrees an unpolarised beam keeps half, one polarised across the plane all of it."""
    right = np.array([90.0])
    assert lorentz_polarisation(right, 1.0)[0] == pytest.approx(2 * lorentz_polarisation(right, 0.5)[0])
    assert lorentz_polarisation(right, 1.0)[0] == pytest.approx(2 * np.sqrt(2))


def test_a_structure_without_displacements_says_what_was_taken() -> None:
    bare = cif("Ni").replace("_atom_site_U_iso_or_equiv\n", "").replace("1 0.005", "1")
    assert "B = 0.5" in crystal_from(bare.encode(), Path("Ni.cif")).cautions[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("4.156826", "0.1"), "cell lengths"),
        (("angle_alpha 90", "angle_alpha 1"), "cell angles"),
        (("P m -3 m", "Q 7 7 7"), "space group"),
        (("La La 0", "Xx Xx 0"), "no chemical element"),
        (("0 0 0 1 0.005", "0 0 0 7 0.005"), "occupancy 7"),
        (("_atom_site_fract_x", "_nonsense"), "no atom sites"),
        (("data_LaB6", "loop_ _a"), "no CIF"),
    ],
)
def test_what_is_no_crystal_is_refused(change: tuple[str, str], words: str) -> None:
    with pytest.raises(DataRefused, match=words):
        crystal_from(cif("LaB6").replace(*change).encode(), Path("bad.cif"))


def test_a_file_larger_than_a_structure_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.cif"
    path.write_bytes(b"#" * ((4 << 20) + 1))
    with pytest.raises(DataRefused, match="bytes"):
        read_crystal(path)


def test_more_reflections_than_anybody_wants_are_refused(tmp_path: Path) -> None:
    path = write_cif(tmp_path, "LaB6", 150.0)
    with pytest.raises(DataRefused, match="smaller range"):
        reflections(read_crystal(path), 0.1, (1, 120))


@pytest.mark.parametrize(
    ("words", "first", "lines"),
    [
        ("CuKa", 1.5405929, 2),
        ("CuKa1", 1.5405929, 1),
        ("MoKa", 0.70931715, 2),
        ("0.413909A", 0.413909, 1),
        ("0.154nm", 1.54, 1),
        ("12.398419843320026keV", 1.0, 1),
    ],
)
def test_radiation_by_its_name(words: str, first: float, lines: int) -> None:
    beam = radiation_named(words)
    assert beam.wavelength_angstrom == pytest.approx(first)
    assert len(beam.wavelengths_angstrom) == lines


@pytest.mark.parametrize("words", ["", "CuKb", "XxKa", "0", "-1", "99A", "1e9", "1.5 furlongs", "nan"])
def test_radiation_that_is_none(words: str) -> None:
    with pytest.raises(ConfigError, match=r"wavelength|radiation"):
        radiation_named(words)


def test_bragg_both_ways() -> None:
    """Silicon 111, a = 5.431144 A: d = a / sqrt(3)."""
    d = 5.431144 / np.sqrt(3)
    assert bragg_d_angstrom(bragg_two_theta_deg(d, 1.5405929), 1.5405929) == pytest.approx(d)
    with pytest.raises(DataRefused, match="does not diffract"):
        bragg_two_theta_deg(0.5, 1.5405929)
