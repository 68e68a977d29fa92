"""Coin and pouch cells: capacity, N/P, amounts and masses against arithmetic by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.prototype.carbontable import CarbonTable, Factor
from poliqi.lab.echem.prototype.parts import Battery, Process, amounts_of
from poliqi.lab.echem.prototype.sheet import BuildSheet, build_sheet
from poliqi.lab.echem.prototype.steps import steps_of
from poliqi.lab.echem.prototype.told import findings_of, lines_of
from poliqi.lab.echem.quantity import Quantity, propagated
from poliqi.ops.prototype_examples import EXAMPLES
from poliqi.ops.prototype_make import prototype_of
from poliqi.ops.prototype_toml import read_table

MAH = 3.6
"""Coulombs."""


def sheet(kind: str, *settings: str, drop: str = "", draws: int = 2000) -> BuildSheet:
    """Of the example with settings over it; lines that begin with `drop` are taken out."""
    lines = [line for line in EXAMPLES[kind].splitlines() if not drop or not line.startswith(drop)]
    table = read_table("\n".join(lines).encode(), settings, kind=kind, where="a.toml")
    return build_sheet(prototype_of(table), draws=draws)


def of(made: BuildSheet, name: str) -> float:
    return made.tolerances.spreads[name].value


def test_the_capacity_of_a_coin_cell_by_hand() -> None:
    made = sheet("coin")
    positive = 12.0e-3 * 0.96 * 195  # mAh/cm2
    assert of(made, "positive areal capacity") / MAH / 1e4 == pytest.approx(positive)
    assert of(made, "capacity") / MAH == pytest.approx(positive * math.pi / 4 * 1.5**2)
    assert of(made, "energy") / 3600 == pytest.approx(of(made, "capacity") / MAH * 3.70 / 1000)


def test_the_negative_keeps_lithium_of_the_first_charge() -> None:
    made = sheet("coin", 'positive.first_charge="205 mAh/g"')
    first = 12.0e-3 * 0.96 * 205
    negative = 1.12 * 12.0e-3 * 0.96 * 195 / 350
    assert of(made, "capacity") / MAH == pytest.approx((first - negative * (378 - 350)) * math.pi / 4 * 1.5**2)
    assert any("min(P, P_first - (N_first - N), N)" in said for said in made.assumed)


def test_what_is_not_told_of_the_first_charge_is_said() -> None:
    made = sheet("coin", drop="first_charge")
    assert any("losses of the first charge are not subtracted" in said for said in made.assumed)


def test_the_negative_is_loaded_for_its_ratio_and_its_tolerance_is_its_own() -> None:
    made = sheet("coin")
    ratio = made.tolerances.spreads["np_ratio"]
    assert ratio.value == pytest.approx(1.12)
    parts = (0.2 / 12.0, 2 / 195, 3 / 350, 0.1 / (1.12 * 12.0 * 0.96 * 195 / (350 * 0.95)))
    assert ratio.sigma == pytest.approx(1.12 * math.sqrt(sum(part**2 for part in parts)), rel=1e-3)


def test_a_porosity_becomes_a_thickness_by_the_densities() -> None:
    made = sheet("coin")
    solid = 1 / (0.96 / 4.78 + 0.02 / 1.9 + 0.02 / 1.77)  # g/cm3
    assert isinstance(made.made, Battery)
    assert made.made.positive.thickness is not None
    assert made.made.positive.thickness.value * 1e6 == pytest.approx(12.0e-3 / (solid * 0.68) * 1e4)
    assert of(made, "positive porosity") == pytest.approx(0.32)


def test_electrolyte_fills_all_pores_times_its_excess() -> None:
    made = sheet("coin")
    assert isinstance(made.made, Battery)
    assert made.made.positive.thickness is not None
    assert made.made.negative.thickness is not None
    pores = (
        math.pi / 4 * 1.5**2 * made.made.positive.thickness.value * 100 * 0.32
        + math.pi / 4 * 1.6**2 * made.made.negative.thickness.value * 100 * 0.34
        + math.pi / 4 * 1.9**2 * 25e-4 * 0.41
    )
    assert of(made, "electrolyte volume") * 1e6 == pytest.approx(3 * pores)


def test_a_pouch_has_a_negative_at_both_ends() -> None:
    made = sheet("pouch")
    assert of(made, "positive areal capacity") / MAH / 1e4 == pytest.approx(2.5)
    faces, positive, negative = 20, 5.0 * 8.0, 5.2 * 8.2
    by_area = {item.where: item.mass.value * 1e3 for item in made.items}
    coated = 2.5e3 / (158 * 0.95) / 1e3  # g/cm2
    assert by_area["positive.LiFePO4"] == pytest.approx(faces * positive * coated * 0.95)
    assert by_area["positive.aluminium (collector)"] == pytest.approx(10 * positive * 15e-4 * 2.70)
    assert by_area["negative.copper (collector)"] == pytest.approx(11 * negative * 10e-4 * 8.96)
    assert by_area["separator.polyethylene"] == pytest.approx(faces * 5.4 * 8.4 * 16e-4 * 0.58 * 0.94)
    assert by_area["electrolyte.1 M LiPF6 in EC:DMC"] == pytest.approx(3.0 * of(made, "capacity") / 3600)
    assert of(made, "mass") * 1e3 == pytest.approx(sum(by_area.values()))


def test_a_foil_of_lithium_is_a_negative() -> None:
    lines = EXAMPLES["coin"].split("[negative]")
    rest = lines[1].split("[separator]", 1)[1]
    foil = (
        '[negative]\nactive = "lithium"\nfoil = true\ncapacity = "3861 mAh/g"\nthickness = "450(10) um"\n'
        'diameter = "16 mm"\n\n[separator]'
    )
    text = lines[0] + foil + rest + '\n[material.lithium]\nformula = "Li"\ndensity = "0.534 g/cm3"\n'
    made = build_sheet(prototype_of(read_table(text.encode(), kind="coin", where="a")), draws=500)
    assert of(made, "negative areal capacity") / MAH / 1e4 == pytest.approx(0.045 * 0.534 * 3861)
    assert "negative porosity" not in made.tolerances.spreads


def on_foil(thickness: str, *settings: str) -> BuildSheet:
    """The coin cell against a foil of lithium."""
    plain = ("np_ratio", "loading_sigma", "porosity", "thickness_sigma", "active_share", "solvent", "solids_share")
    without = [f"negative.{key}=" for key in (*plain, "additives", "first_charge")]
    foil = [f"negative.{one}" for one in ("foil=true", "active=lithium", "capacity=3861 mAh/g")]
    lithium = ("material.lithium.formula=Li", "material.lithium.density=0.534(16) g/cm3")
    return sheet("coin", *without, *foil, f"negative.thickness={thickness}", *lithium, *settings, draws=500)


def test_lithium_of_the_positive_plates_on_a_thin_foil() -> None:
    made = on_foil("8.0(2) um")
    assert of(made, "np_ratio") < 1
    assert of(made, "capacity") / MAH == pytest.approx(12.0e-3 * 0.96 * 195 * math.pi / 4 * 1.5**2)
    assert not any("plates" in said or "foil" in said for said in made.cautions)
    assert any("as the positive's lithium plates on the foil" in said for said in made.assumed)
    bare = on_foil("8.0(2) um", "positive.first_charge=")
    assert of(bare, "capacity") / MAH == pytest.approx(8e-4 * 0.534 * 3861 * math.pi / 4 * 1.5**2)
    assert any("the foil has 0.734 of the lithium that the positive takes" in said for said in bare.cautions)


def test_plating_in_the_first_charge_alone_is_said() -> None:
    cell = ("positive.first_charge=235(2) mAh/g", "positive.capacity=200(2) mAh/g", "negative.np_ratio=1.08")
    made = sheet("coin", *cell, "negative.first_charge=376(2) mAh/g")
    first = 1.08 * 200 * 376 / 350 / 235
    assert of(made, "first charge ratio") == pytest.approx(first)
    (said,) = (one for one in made.cautions if "plates" in one)
    assert said.startswith(f"N/P of the first charge is {first:.3f} and below 1 in ")
    assert "first charge ratio" not in sheet("coin", drop="first_charge").tolerances.spreads


def test_the_mass_of_a_foil_has_the_doubts_of_its_thickness_and_of_its_density() -> None:
    made = on_foil("450(9) um", "negative.diameter=16 mm")
    (item,) = (one for one in made.items if one.where == "negative.lithium")
    assert item.mass.value == pytest.approx(math.pi / 4 * 1.6**2 * 0.045 * 0.534e-3)
    assert item.mass.sigma / item.mass.value == pytest.approx(math.hypot(9 / 450, 16 / 534))


def test_what_stands_twice_in_a_layer_is_weighed_twice() -> None:
    plain = sheet("coin", draws=100)
    both = sheet("coin", 'negative.additives."carbon black"=', "negative.additives.graphite=0.01", draws=100)
    mass = {one.where: one.mass.value for one in plain.items}
    (graphite,) = (one.mass.value for one in both.items if one.where == "negative.graphite")
    assert graphite == pytest.approx(mass["negative.graphite"] + mass["negative.carbon black"])
    (grams,) = (one for one in steps_of(both) if one.startswith("mix for negative"))
    assert f"graphite {graphite * 20 / 0.85 * 1e3:.4g} g" in grams


def test_carbon_without_the_energy_of_making_is_a_part_and_no_finding() -> None:
    plain = sheet("coin", draws=100)
    table = CarbonTable(
        dict.fromkeys(plain.made.materials, Factor(Quantity(1.0, 0.0, "1"), "made up")),
        {"oven": Factor(Quantity(0.5, 0.0, "1"), "made up")},
    )
    part = build_sheet(plain.made, carbon=table, draws=100)
    assert part.carbon is not None
    assert (part.carbon.missing, part.carbon.is_partial) == ([], True)
    assert any("carbon (PARTIAL)" in line for line in lines_of(part))
    assert not [one for one in findings_of(part).findings if one.name == "carbon"]
    oven = Process("oven", Quantity(7.2e6, 0.0, "J"))
    whole = build_sheet(replace(plain.made, processes=(oven,)), carbon=table, draws=100)
    assert whole.carbon is not None
    assert whole.carbon.is_partial is False
    assert findings_of(whole).named("carbon").value == pytest.approx(part.carbon.total.value + 1.0)


def test_carbon_is_of_what_is_taken_with_the_lost_share_of_the_mixes() -> None:
    plain = sheet("coin", draws=100)
    table = CarbonTable(dict.fromkeys(plain.made.materials, Factor(Quantity(1.0, 0.0, "1"), "made up")), {})
    coated = of(plain, "positive coating") + of(plain, "negative coating")
    made = build_sheet(plain.made, carbon=table, draws=100)
    assert made.carbon is not None
    assert made.carbon.total.value == pytest.approx(of(plain, "mass") + coated * (1 / 0.85 - 1))
    assert "  with the 0.15 of the mixes that is lost; solvents are not in the sum" in lines_of(made)
    kept = build_sheet(replace(plain.made, loss=None), carbon=table, draws=100)
    assert kept.carbon is not None
    assert kept.carbon.total.value == pytest.approx(of(plain, "mass"))
    assert "  what is lost of the mixes is not told (loss), and not in the sum" in lines_of(kept)


def test_first_order_is_that_of_the_one_formula_and_the_draws_agree() -> None:
    made = sheet("coin", draws=20_000)
    amounts = amounts_of(made.made)
    inputs = {name: amounts[name] for name in ("positive.loading", "positive.capacity", "positive.diameter")}
    expected, moved = propagated(
        lambda v: v["positive.loading"] * 0.96 * v["positive.capacity"] * math.pi / 4 * v["positive.diameter"] ** 2,
        inputs,
        "C",
    )
    capacity = made.tolerances.spreads["capacity"]
    assert capacity.sigma == pytest.approx(expected.sigma, rel=1e-6)
    assert capacity.moved == pytest.approx(moved)
    assert capacity.sigma_drawn == pytest.approx(capacity.sigma, rel=0.03)
    assert capacity.low < capacity.value < capacity.high


def test_where_two_limits_meet_the_draws_say_that_first_order_misleads() -> None:
    made = sheet("coin", "negative.np_ratio=1.0", drop="first_charge", draws=20_000)
    capacity = made.tolerances.spreads["capacity"]
    assert capacity.mean < capacity.value - 0.3 * capacity.sigma
    assert any("capacity: first order does not hold" in said for said in made.cautions)
    assert any("lithium plates" in said for said in made.cautions)


@pytest.mark.parametrize(
    ("setting", "caution"),
    [
        ('negative.diameter="14 mm"', "lithium plates on its edge"),
        ('separator.diameter="15.5 mm"', "the electrodes may touch"),
        ('positive.particle_diameter="20 um"', "2 across, fewer than 3"),
        ("electrolyte.excess=0.5", "do not fill the pores"),
        ('positive.loading="12 mg/cm2"', "positive.loading has no doubt"),
    ],
)
def test_what_looks_wrong_is_said(setting: str, caution: str) -> None:
    assert any(caution in said for said in sheet("coin", setting).cautions)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('positive.loading="12 mAh/g"', r"positive\.loading: write a number with a unit"),
        ("positive.loading=12", "has no unit"),
        ('positive.areal_capacity="2 mAh/cm2"', "give one of loading, areal_capacity"),
        ('negative.np_ratio="1.1(1)"', "a target has no doubt"),
        ('positive.capacity="0 mAh/g"', "must be above 0"),
        ("positive.active_share=96", "is a share, at most 1"),
        ('positive.active="NCA"', "no .material. of that name"),
        ('positive.width="1 cm"', "a coin cell has none"),
        ("layers=3", "a coin cell has none"),
        ('separator.material="air"', "no .material. of that name"),
        ("electrolyte.volume='3 uL'", "give one of excess, volume, per_capacity"),
        ('negative.first_charge="300 mAh/g"', "the first charge takes at least what comes back"),
        ("positive.additives.PVDF=0.5", "sum to 1.4"),
        ("positive.porosity=1.0", "must be below 1"),
        ("material.NMC811.formula_units=0", "must be 1 to 10000"),
        ("loss='100 %'", "loss: 100 % leaves nothing of the mix"),
        ('material.NMC811.formula="NMC"', "is no element"),
        ('material.NMC811.raw_materials=["unobtainium"]', "is no entry of the annexes"),
        ('part=[{name="a", material="PVDF", mass="1 g"}, {name="a", material="PVDF", mass="1 g"}]', "twice"),
        ("positive.colour='black'", "unknown field"),
        ("kind='pouch'", "a coin was asked for"),
        ("nonsense", "write KEY=VALUE"),
    ],
)
def test_refusals_name_the_key(setting: str, words: str) -> None:
    with pytest.raises((ConfigError, DataRefused), match=words):
        sheet("coin", setting)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("active_share", "It is not assumed"),
        ("diameter", "a coin cell needs it"),
        ("porosity = 0.41", "missing required field `porosity`"),
        ("density", "is not stated"),
        ("collector_thickness", "go together"),
    ],
)
def test_nothing_is_assumed(key: str, words: str) -> None:
    with pytest.raises((ConfigError, DataRefused), match=words):
        sheet("coin", drop=key)


def test_a_coating_thinner_than_its_solids_is_refused() -> None:
    text = EXAMPLES["coin"].replace('porosity = 0.32\nthickness_sigma = "1 um"', 'thickness = "20 um"')
    table = read_table(text.encode(), kind="coin", where="a")
    with pytest.raises(DataRefused, match="without any pore"):
        build_sheet(prototype_of(table))


def test_a_doubt_wider_than_its_number_is_refused() -> None:
    with pytest.raises(DataRefused, match="hardly ever possible"):
        sheet("coin", 'positive.active_share="0.96 +- 300"')


def test_draws_that_cannot_be_are_told_by_their_share() -> None:
    made = sheet("coin", 'separator.porosity="0.41(15)"', draws=500)
    assert made.tolerances.redrawn >= 1
    assert any("drawn inputs could not be" in said for said in made.cautions)


def test_an_excess_over_pores_that_are_not_known_is_refused() -> None:
    with pytest.raises(DataRefused, match=r"the pores, which are not known: give positive\.thickness"):
        sheet("coin", "positive.porosity=", "positive.thickness_sigma=")


def test_a_stated_volume_needs_no_pores() -> None:
    without = ("positive.porosity=", "positive.thickness_sigma=", "negative.porosity=", "negative.thickness_sigma=")
    made = sheet("coin", *without, "electrolyte.excess=", 'electrolyte.volume="80(2) uL"')
    assert of(made, "electrolyte volume") * 1e9 == pytest.approx(80)
