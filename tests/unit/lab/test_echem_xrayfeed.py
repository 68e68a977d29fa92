"""What X-rays found, as numbers that cells are designed with."""

from __future__ import annotations

import math

import pytest

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.formula import ATOMIC_WEIGHTS, composition, molar_mass_kg_mol
from poliqi.lab.echem.xrayfeed import crystal_density, crystallite_radius, particle_radius, site_concentration
from poliqi.lab.store.findings import Finding, Findings


def found(*several: Finding, simulated: bool = False, cautions: tuple[str, ...] = ()) -> Findings:
    return Findings(several, "test", "powder 7", simulated, cautions)


def test_a_radius_is_half_the_volume_weighted_diameter() -> None:
    fed = particle_radius(
        found(
            Finding("diameter_mean_number", 8.0, "nm", 0.1),
            Finding("diameter_mean_volume", 10.0, "nm", 0.4, "sizes", "counting statistics"),
        ),
        source="dataset 1234",
    )
    assert fed.quantity.value == pytest.approx(5e-9)
    assert fed.quantity.sigma == pytest.approx(0.2e-9)
    assert (fed.quantity.unit, fed.finding) == ("m", "diameter_mean_volume")
    assert fed.quantity.source == "dataset 1234: diameter_mean_volume"
    assert any("counting statistics" in one for one in fed.assumed)


@pytest.mark.parametrize("unit", ["A", "Å"])
def test_angstroms_are_a_tenth_of_a_nanometre(unit: str) -> None:
    fed = particle_radius(found(Finding("diameter_d50_volume", 100.0, unit, 1.0)))
    assert fed.quantity.value == pytest.approx(5e-9)


def test_a_named_finding_is_used() -> None:
    both = found(Finding("diameter_mean_volume", 10.0, "nm", 1.0), Finding("radius@sphere", 4.0, "nm", 0.1))
    assert particle_radius(both, "radius@sphere").quantity.value == pytest.approx(4e-9)


def test_a_sphere_has_sqrt_five_thirds_of_its_radius_of_gyration() -> None:
    ball = found(Finding("radius_of_gyration", 10.0, "nm", 0.1, "Guinier, globular"))
    assert particle_radius(ball, "radius_of_gyration").quantity.value == pytest.approx(12.9099e-9, rel=1e-5)
    with pytest.raises(DataRefused, match="radius_of_gyration"):
        particle_radius(ball)  # only where it is asked for


def test_a_sphere_of_diameter_40_has_columns_of_30() -> None:
    fed = crystallite_radius(found(Finding("crystallite_size@NMC", 30.0, "nm", 3.0)), "NMC")
    assert fed.quantity.value == pytest.approx(20e-9)
    assert fed.quantity.sigma == pytest.approx(2e-9)


def test_a_doubt_that_nobody_knows_is_told() -> None:
    fed = particle_radius(found(Finding("diameter_mean_volume", 10.0, "nm")))
    assert fed.quantity.sigma == 0
    assert any("nobody knows the doubt" in one for one in fed.assumed)


def test_cautions_and_simulated_are_kept() -> None:
    fed = particle_radius(
        found(Finding("diameter_mean_volume", 10.0, "nm", 1.0), simulated=True, cautions=("few counts",))
    )
    assert fed.simulated
    assert "few counts" in fed.assumed


@pytest.mark.parametrize(
    ("finding", "name", "words"),
    [
        (Finding("strain@NMC", 0.01, "1"), "", "no diameter_mean_volume or"),
        (Finding("strain@NMC", 0.01, "1"), "strain@NMC", "not the size of a particle"),
        (Finding("diameter_mean_volume", 10.0, "1/nm"), "", "'1/nm'"),
        (Finding("diameter_mean_volume", -1.0, "nm"), "", "above 0"),
        (Finding("diameter_mean_volume", 10.0, "nm", 10.0), "", "not told apart from 0"),
        (Finding("diameter_mean_volume", 10.0, "nm"), "radius", "hold no 'radius'"),
        (Finding("diameter_width_volume", 3.0, "nm"), "diameter_width_volume", "not the size"),
    ],
)
def test_what_is_no_radius_is_refused(finding: Finding, name: str, words: str) -> None:
    with pytest.raises(DataRefused, match=words):
        particle_radius(found(finding), name)


def test_density_of_rock_salt() -> None:
    """NaCl: a = 5.6402 A, four formula units; 2.163 to 2.165 g/cm3 in every handbook."""
    fed = crystal_density(found(Finding("volume@NaCl", 5.6402**3, "A3", 0.1794)), "NaCl", "NaCl", 4)
    assert fed.quantity.value == pytest.approx(2164, abs=2)
    assert fed.quantity.relative_sigma == pytest.approx(1e-3, rel=1e-3)


def test_density_and_places_of_lithium_iron_phosphate() -> None:
    """LiFePO4: 291.39 A3, Z = 4 (Padhi et al. 1997): 3.60 g/cm3 and 22.8 mol/l."""
    cell = found(Finding("volume@LFP", 291.39, "A3", 0.1))
    assert crystal_density(cell, "LFP", "LiFePO4", 4).quantity.value == pytest.approx(3600, abs=10)
    assert site_concentration(cell, "LFP", 4).quantity.value == pytest.approx(22_800, rel=2e-3)


@pytest.mark.parametrize(
    ("unit", "phase", "formula", "units", "words"),
    [
        ("A3", "NMC", "LiFePO4", 4, "hold that of LFP"),
        ("nm3", "LFP", "LiFePO4", 4, "in A3"),
        ("A3", "LFP", "LiFePO4", 0, "formula units"),
        ("A3", "LFP", "LiFePO4", 400, "which no solid"),
        ("A3", "LFP", "LiFeP04x", 4, "character"),
    ],
)
def test_what_is_no_density_is_refused(unit: str, phase: str, formula: str, units: int, words: str) -> None:
    with pytest.raises(DataRefused, match=words):
        crystal_density(found(Finding("volume@LFP", 291.39, unit, 0.1)), phase, formula, units)


def test_too_many_places_are_refused() -> None:
    with pytest.raises(DataRefused, match="places for lithium"):
        site_concentration(found(Finding("volume@Si", 160.0, "A3", 0.1)), "Si", 8, 22.0)


def test_hydroxyapatite_weighs_1004_6_g_a_mole() -> None:
    assert composition("Ca10(PO4)6(OH)2") == {"Ca": 10, "P": 6, "O": 26, "H": 2}
    assert molar_mass_kg_mol("Ca10(PO4)6(OH)2") == pytest.approx(1.00462, rel=1e-5)


def test_shares_of_an_alloyed_oxide() -> None:
    assert molar_mass_kg_mol("LiNi0.8Mn0.1Co0.1O2") == pytest.approx(0.097280, rel=1e-4)


@pytest.mark.parametrize(
    "formula", ["", "Xx2", "li", "Li(", "Li)", "()", "Li0", "2Li", "Li-O", "Tc", "H" * 121, "((H9999)9999)9999"]
)
def test_what_is_no_formula_is_refused(formula: str) -> None:
    with pytest.raises(DataRefused, match="formula"):
        molar_mass_kg_mol(formula)


def test_weights_are_those_of_another_table() -> None:
    elements = pytest.importorskip("gemmi", reason="the extra of X-rays is not installed").Element
    for name, weight in ATOMIC_WEIGHTS.items():
        assert math.isclose(weight, elements(name).weight, rel_tol=3e-4), name
