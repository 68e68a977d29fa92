"""What may be chosen of a cell, and what X-rays choose; nothing here needs PyBaMM."""

from __future__ import annotations

import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.design.feed import Asked, inflow_of, inflow_of_values
from poliqi.lab.echem.design.variables import check_chosen, grid_of, read_range, sampled
from poliqi.lab.store.findings import Finding, Findings

SIZES = Findings(
    (
        Finding("diameter_mean_volume", 9.8, "um", 0.4, "sizes", "counting statistics"),
        Finding("crystallite_size@NMC", 60.0, "nm", 3.0),
    ),
    "test",
    "powder",
)
LATTICE = Findings((Finding("volume@NMC", 100.0, "A3", 1.0, "Rietveld"),), "test", "pattern", simulated=True)


def test_a_range_has_both_its_ends() -> None:
    assert read_range("positive_thickness_um=60:120:4").values == (60, 80, 100, 120)
    assert read_range("positive_porosity=0.25,0.3").values == (0.25, 0.3)


def test_a_grid_is_every_combination() -> None:
    grid = grid_of([read_range("positive_thickness_um=60:120:4"), read_range("np_ratio=1.1,1.2")])
    assert len(grid) == 8
    assert {"positive_thickness_um": 80.0, "np_ratio": 1.2} in grid


def test_samples_fill_their_ranges() -> None:
    found = sampled([read_range("positive_thickness_um=60:120"), read_range("np_ratio=1.1:1.3")], 64)
    thick = sorted(one["positive_thickness_um"] for one in found)
    assert len(found) == 64
    assert 60 < thick[0] < 62
    assert 118 < thick[-1] < 120
    assert all(1.1 < one["np_ratio"] < 1.3 for one in found)


@pytest.mark.parametrize(
    "text",
    [
        "thickness=60:120:4",
        "positive_thickness_um",
        "positive_thickness_um=",
        "positive_thickness_um=60:50:4",
        "positive_thickness_um=60:120:1",
        "positive_thickness_um=60:120:4:5",
        "positive_thickness_um=60:1e9:4",
        "positive_thickness_um=60:1e9",
        "positive_thickness_um=60:nan:4",
        "positive_thickness_um=60:120:100000",
        "positive_porosity=0.9",
    ],
)
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"positive_thickness_um=60:120:7"):
        read_range(text)


def test_too_many_designs_are_refused() -> None:
    with pytest.raises(ConfigError, match="1000000 combinations"):
        grid_of([read_range("positive_thickness_um=60:120:1000"), read_range("np_ratio=1:2:1000")])


def test_a_range_without_a_number_of_values_needs_samples() -> None:
    with pytest.raises(ConfigError, match="--samples"):
        grid_of([read_range("positive_thickness_um=60:120")])


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], "what to vary"),
        (["np_ratio=1,2", "np_ratio=1:2:3"], "twice"),
        (["np_ratio=1,2", "negative_thickness_um=60:90:3"], "the other follows"),
    ],
)
def test_ranges_that_contradict_are_refused(texts: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        grid_of([read_range(one) for one in texts])


def test_values_out_of_their_limits_are_refused() -> None:
    with pytest.raises(DataRefused, match=r"positive_porosity is 0\.9, must lie from 0\.05 to 0\.8"):
        check_chosen({"positive_porosity": 0.9})
    with pytest.raises(ConfigError, match="these can: positive_thickness_um"):
        check_chosen({"colour": 1.0})


def test_a_doubt_given_by_hand_is_one_source() -> None:
    flow = inflow_of_values({"positive_porosity": (0.3, 0.01), "np_ratio": (1.2, 0.0)})
    assert flow.chosen == {"positive_porosity": 0.3, "np_ratio": 1.2}
    assert [one.moves for one in flow.doubts] == [{"positive_porosity": 0.01}]


def test_the_diameter_of_particles_becomes_a_radius_with_half_its_doubt() -> None:
    flow = inflow_of([("dataset a", SIZES)], Asked("positive"))
    assert flow.chosen == pytest.approx({"positive_radius_um": 4.9})
    assert flow.doubts[0].source == "dataset a: diameter_mean_volume"
    assert flow.doubts[0].moves == pytest.approx({"positive_radius_um": 0.2})


def test_a_crystallite_is_the_way_of_lithium_where_it_is_named() -> None:
    flow = inflow_of([("dataset a", SIZES)], Asked("negative", particle="crystallite_size@NMC"))
    assert flow.chosen == pytest.approx({"negative_radius_um": 0.04})
    assert any("80 nm across" in one for one in flow.assumed)


def test_density_and_places_move_together_with_the_volume_of_the_cell() -> None:
    """3 LiNiO2 (97.63 g/mol) in 100 A3: 4864 kg/m3, 49,817 mol/m3; both 1 % up where the cell is 1 % smaller."""
    asked = Asked("positive", phase="NMC", formula="LiNiO2", formula_units=3, lithium=1.0)
    flow = inflow_of([("sizes", SIZES), ("lattice", LATTICE)], asked)
    assert flow.chosen["positive_density_kg_m3"] == pytest.approx(4864, rel=1e-3)
    assert flow.chosen["positive_sites_mol_m3"] == pytest.approx(49_817, rel=1e-3)
    together = next(one for one in flow.doubts if "volume@NMC" in one.source)
    assert together.moves == pytest.approx(
        {"positive_density_kg_m3": 48.64, "positive_sites_mol_m3": 498.17}, rel=1e-3
    )
    assert flow.simulated


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked("positive", particle="radius@sphere"), "none of the findings has it"),
        (Asked("positive", phase="LFP", formula="LiFePO4", formula_units=4), "no finding volume@LFP"),
        (Asked("positive", phase="NMC"), "--formula"),
    ],
)
def test_findings_that_lack_what_is_asked_are_refused(asked: Asked, words: str) -> None:
    with pytest.raises((ConfigError, DataRefused), match=words):
        inflow_of([("sizes", SIZES), ("lattice", LATTICE)], asked)


def test_findings_without_a_size_need_a_phase() -> None:
    with pytest.raises(ConfigError, match="--phase"):
        inflow_of([("lattice", LATTICE)], Asked("positive"))
