"""A single fuel cell: Tafel's law in closed form, gases by Faraday's law, surface of spheres, masses by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import lambertw

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.prototype.fuelcell import tafel_current_density
from poliqi.lab.echem.prototype.sheet import BuildSheet, build_sheet
from poliqi.ops.prototype_examples import EXAMPLES
from poliqi.ops.prototype_make import prototype_of
from poliqi.ops.prototype_toml import read_table

STATED = tuple(
    f"operation.{name}=" for name in ("reference_voltage", "tafel_slope", "resistance", "specific_activity")
)
"""Settings that take Tafel's law out."""


def sheet(*settings: str) -> BuildSheet:
    table = read_table(EXAMPLES["fuel-cell"].encode(), settings, kind="fuel-cell", where="a.toml")
    return build_sheet(prototype_of(table), draws=2000)


def of(made: BuildSheet, name: str) -> float:
    return made.tolerances.spreads[name].value


def test_tafels_law_with_a_resistance_is_lamberts_function() -> None:
    draw = np.random.default_rng(3)
    voltage, slope = draw.uniform(0.3, 0.89, 200), draw.uniform(0.04, 0.14, 200)
    resistance, at_reference = draw.uniform(1e-6, 1e-4, 200), draw.uniform(1.0, 2000.0, 200)
    found = tafel_current_density(voltage, np.full(200, 0.9), slope, resistance, at_reference)
    a = slope / math.log(10)
    exact = a / resistance * lambertw(resistance / a * at_reference * np.exp((0.9 - voltage) / a)).real
    assert found == pytest.approx(exact, rel=1e-9)


def test_the_current_solves_the_law_with_the_surface_of_the_metal() -> None:
    made = sheet()
    j = of(made, "current density")
    roughness = 60 * 1e3 * 0.40e-2  # m2/g x mg/cm2
    assert 0.90 - 0.070 * math.log10(j / (2.0 * roughness)) - j * 70e-7 == pytest.approx(0.65, abs=1e-9)
    assert of(made, "current") == pytest.approx(j * 25e-4)


def test_spheres_of_three_nanometres_have_ninety_three_square_metres_a_gram() -> None:
    made = sheet("cathode.surface=", 'cathode.particle_diameter="3.00(10) nm"')
    assert of(made, "cathode surface") / 1e3 == pytest.approx(93.2, abs=0.1)
    assert "cathode.particle_diameter" in made.tolerances.spreads["current"].moved
    assert any("equal spheres" in said for said in made.assumed)


def test_gases_by_faradays_law() -> None:
    made = sheet(*STATED, 'operation.current_density="0.4 A/cm2"', "operation.air_stoichiometry=1.0")
    current = 10.0
    assert of(made, "current") == pytest.approx(current)
    litres = 22.414 * 60 * current / 96485.33
    assert of(made, "hydrogen") * 22.414 * 60 == pytest.approx(1.5 * litres / 2, rel=1e-4)
    assert of(made, "air") * 22.414 * 60 == pytest.approx(litres / 4 / 0.2095, rel=1e-3)
    assert of(made, "water") * 3.6e6 == pytest.approx(18.015 * 3600 * current / (2 * 96485.33))
    assert of(made, "heat") == pytest.approx((1.253 - 0.65) * current, rel=1e-3)


def test_masses_by_hand() -> None:
    made = sheet()
    grams = {item.where: item.mass.value * 1e3 for item in made.items}
    metal = 0.40e-3 * 25
    support = metal * (1 / 0.46 - 1)
    assert grams["cathode.platinum"] == pytest.approx(metal)
    assert grams["cathode.carbon support"] == pytest.approx(support)
    assert grams["cathode.ionomer"] == pytest.approx(0.8 * support)
    assert grams["membrane.PFSA membrane"] == pytest.approx(8 * 8 * 15e-4 * 1.97)
    assert grams["diffusion.carbon paper"] == pytest.approx(2 * 90e-4 * 25)
    assert of(made, "catalyst metal") * 1e3 == pytest.approx(0.50e-3 * 25)


def test_a_metal_without_a_support_is_weighed() -> None:
    made = sheet("cathode.support=platinum", "cathode.metal_share=1.0")
    grams = {item.where: item.mass.value * 1e3 for item in made.items}
    assert grams["cathode.platinum"] == pytest.approx(0.40e-3 * 25)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (STATED, "Tafel's law lacks reference_voltage, tafel_slope, resistance, either"),
        (('operation.current_density="1 A/cm2"',), "current_density is stated, and so is"),
        (("cathode.surface=",), "needs the metal's surface"),
        (('operation.voltage="0.95 V"',), "not below reference_voltage"),
        (('operation.mass_activity="0.3 A/mg"',), "either mass_activity or specific_activity"),
        (("material.PFSA membrane.density=",), "is no key"),
        (('material."PFSA membrane".density=',), "density is not stated"),
        (('cathode.ionomer="carbon support"',), "give the ionomer its own"),
        (("anode.support=ionomer",), "anode.ionomer = 'ionomer' is the metal or the support too"),
        (('membrane.material="paper"',), "no .material. of that name"),
    ],
)
def test_no_current_is_assumed(settings: tuple[str, ...], words: str) -> None:
    with pytest.raises((ConfigError, DataRefused), match=words):
        sheet(*settings)


def test_a_voltage_that_hydrogen_cannot_give_is_said() -> None:
    made = sheet('operation.voltage="1.3 V"', *STATED, 'operation.current_density="1 A/cm2"')
    assert any("above what hydrogen can give" in said for said in made.cautions)


def test_a_surface_needs_a_density() -> None:
    with pytest.raises(DataRefused, match="particle_diameter needs it"):
        sheet("cathode.surface=", 'cathode.particle_diameter="3 nm"', "material.platinum.density=")
