"""Designs of a cell, against PyBaMM models that are built anew for each, and against figures known beforehand."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from click.testing import CliRunner

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.design.run import Doubt, Job, Settings, calculate, reference_named
from poliqi.lab.echem.design.tradeoff import Study, cautions_of, check_of, designs_csv, study_of
from poliqi.lab.echem.design.variables import read_range, sampled
from poliqi.lab.echem.models.cellmodel import ModelKind
from poliqi.lab.store.findings import Finding, Findings, findings_bytes
from poliqi.lab.store.store import LabStore
from poliqi.lab.sweep import Failed

pytestmark = pytest.mark.skipif(find_spec("pybamm") is None, reason='the extra "echem" is not installed')
THICK = {"positive_thickness_um": 94.0, "positive_porosity": 0.29}


def dfn(*rates: float, **more: Any) -> Settings:
    return Settings("Chen2020", ModelKind.DFN, rates, **more)


def simple(*rates: float) -> Settings:
    return Settings("Chen2020", ModelKind.SPM, rates)


@pytest.fixture(scope="module")
def study() -> Study:
    wanted = [{"positive_thickness_um": one} for one in (60.0, 90.0, 110.0)] + [
        {"positive_thickness_um": 75.6, "np_ratio": 0.6}
    ]
    doubts = [Doubt("x", {"positive_radius_um": 0.2})]
    return study_of(Settings("Chen2020", ModelKind.SPME, (0.5, 2.0)), wanted, doubts=doubts)


def test_the_set_s_cell_is_taken_as_published() -> None:
    """Chen et al. 2020: 75.6 and 85.2 um, and what Wh/kg its layers have at its nominal 5 Ah."""
    cell = reference_named("Chen2020").cell({})
    assert cell.values["negative_thickness_um"] == pytest.approx(85.2)
    assert cell.mass_kg_m2 == pytest.approx(
        12e-6 * 8960 + 85.2e-6 * 1657 + 12e-6 * 397 + 75.6e-6 * 3262 + 16e-6 * 2700
        + 1200 * (85.2e-6 * 0.25 + 12e-6 * 0.47 + 75.6e-6 * 0.335)
    )  # fmt: skip
    assert cell.thickness_m == pytest.approx((12 + 85.2 + 12 + 75.6 + 16) * 1e-6)


def test_a_thick_dense_electrode_has_more_energy_slowly_and_next_to_none_fast() -> None:
    """280 -> 297 Wh/kg at 94 um and porosity 0.29 at about 1/h, and a collapse at 3/h, are known for this cell."""
    nominal = 5.0 / (reference_named("Chen2020").cell({}).capacity_ah_m2 * 0.1027)
    begun, thick = (calculate(Job(dfn(nominal, 3.0), chosen)) for chosen in ({}, THICK))
    assert begun.rates[0].energy_wh_kg == pytest.approx(280, abs=2)
    assert thick.rates[0].energy_wh_kg == pytest.approx(297, abs=2)
    assert thick.rates[1].energy_wh_kg < 0.25 * begun.rates[1].energy_wh_kg


def built_anew(chosen: dict[str, float], rate_per_h: float) -> tuple[float, float]:
    """Wh/m2 and hours of a PyBaMM model with these numbers in it, on PyBaMM's own grid."""
    import pybamm

    cell = reference_named("Chen2020").cell(chosen)
    values, area = pybamm.ParameterValues("Chen2020"), 1.58 * 0.065
    for side, one, full in (("positive", cell.positive, cell.full[0]), ("negative", cell.negative, cell.full[1])):
        values.update(
            {
                f"{side.capitalize()} electrode thickness [m]": one.thickness_m,
                f"{side.capitalize()} electrode porosity": one.porosity,
                f"{side.capitalize()} electrode active material volume fraction": 1 - one.porosity,
                f"{side.capitalize()} particle radius [m]": one.radius_m,
                f"Maximum concentration in {side} electrode [mol.m-3]": one.sites_mol_m3,
                f"Initial concentration in {side} electrode [mol.m-3]": one.sites_mol_m3 * full,
            }
        )
    values["Current function [A]"] = rate_per_h * cell.capacity_ah_m2 * area
    values["Separator thickness [m]"] = cell.separator_m
    model = pybamm.lithium_ion.DFN({"calculate discharge energy": "true"})
    solver = pybamm.IDAKLUSolver(rtol=1e-6, atol=1e-8, output_variables=["Discharge energy [W.h]"])
    found = pybamm.Simulation(model, parameter_values=values, solver=solver).solve([0, 3700 / rate_per_h])
    return float(found["Discharge energy [W.h]"].entries[-1]) / area, float(found.t[-1]) / 3600


def assert_as_built_anew(chosen: dict[str, float], rate_per_h: float, within: float) -> None:
    cell, design = reference_named("Chen2020").cell(chosen), calculate(Job(dfn(rate_per_h), chosen)).rates[0]
    energy, hours = built_anew(chosen, rate_per_h)
    assert design.energy_wh_kg == pytest.approx(energy / cell.mass_kg_m2, rel=within)
    assert design.energy_wh_l == pytest.approx(energy / cell.thickness_m / 1000, rel=within)
    assert design.share == pytest.approx(hours * rate_per_h, rel=within)


def test_a_design_is_what_a_model_built_for_it_gives() -> None:
    chosen = {**THICK, "positive_radius_um": 3.0, "negative_porosity": 0.3, "positive_sites_mol_m3": 60e3}
    chosen |= {"separator_thickness_um": 20.0, "negative_radius_um": 4.0, "np_ratio": 1.2}
    assert_as_built_anew(chosen, 1.0, 3e-4)


@pytest.mark.soak
def test_any_design_is_what_a_model_built_for_it_gives() -> None:
    texts = ("positive_thickness_um=40:110", "positive_porosity=0.2:0.5", "negative_radius_um=1:10")
    texts += ("np_ratio=1.1:1.6", "separator_thickness_um=8:30", "negative_porosity=0.2:0.5")
    for number, chosen in enumerate(sampled([read_range(one) for one in texts], 40)):
        # where lithium runs out, how a grid ends at the separator shows: twice the grid brings both together
        assert_as_built_anew(chosen, (0.3, 1.0, 2.0)[number % 3], 3e-4 if number % 3 < 2 else 2e-2)


def test_a_full_cell_rests_at_the_upper_voltage_and_an_empty_one_at_the_lower() -> None:
    import pybamm

    cell = reference_named("Chen2020").cell({"np_ratio": 1.3})
    values = pybamm.ParameterValues("Chen2020")
    for (positive, negative), volts in ((cell.full, 4.2), (cell.empty, 2.5)):
        up = values["Positive electrode OCP [V]"](pybamm.Scalar(positive)).evaluate()
        down = values["Negative electrode OCP [V]"](pybamm.Scalar(negative)).evaluate()
        assert up - down == pytest.approx(volts, abs=2e-3)


def test_the_negative_electrode_follows_the_ratio() -> None:
    reference = reference_named("Chen2020")
    thick = reference.cell({"positive_thickness_um": 151.2})
    assert thick.values["negative_thickness_um"] == pytest.approx(170.4)
    told = reference.cell({"negative_thickness_um": 170.4})
    assert told.values["np_ratio"] == pytest.approx(2 * reference.values["np_ratio"])


def test_collectors_coated_on_both_sides_are_shared() -> None:
    one, both = (reference_named("Chen2020").cell({}, both_sides=sides) for sides in (False, True))
    assert one.mass_kg_m2 - both.mass_kg_m2 == pytest.approx((12e-6 * 8960 + 16e-6 * 2700) / 2)
    assert one.thickness_m - both.thickness_m == pytest.approx(14e-6)


def test_a_negative_electrode_that_would_be_overfilled_is_refused() -> None:
    with pytest.raises(DataRefused, match="lithium would plate; raise np_ratio"):
        calculate(Job(simple(1.0), {"np_ratio": 0.6}))


def test_what_the_set_does_not_tell_has_to_be_set() -> None:
    words = r"does not tell positive_density_kg_m3, negative.*--set positive_density_kg_m3=VALUE --set"
    with pytest.raises(DataRefused, match=words):
        reference_named("Marquis2019").cell({})


def test_sets_of_other_cells_are_refused() -> None:
    with pytest.raises(ConfigError, match="Chen2020"):
        reference_named("Xu2019")


def test_a_cell_below_its_voltage_from_the_start_gives_nothing() -> None:
    """At 5 kA/m2 an ohm square centimetre of electrolyte alone takes 0.5 V, and this cell has several."""
    one = calculate(Job(Settings("Chen2020", ModelKind.SPME, (100.0,)), {})).rates[0]
    assert (one.energy_wh_kg, one.power_w_kg, one.share) == (0, 0, 0)
    assert one.ended == "below the lower voltage from the start"


def test_sigma_is_the_slope_times_the_doubt() -> None:
    """The slope by two designs far closer than a sigma; a mass that nothing else depends on by closed form."""
    doubts = (Doubt("r", {"positive_radius_um": 0.2}), Doubt("rho", {"positive_density_kg_m3": 50.0}))
    one = calculate(Job(simple(2.0), {}, doubts)).rates[0]
    near = [calculate(Job(simple(2.0), {"positive_radius_um": 5.22 + step})).rates[0] for step in (0.05, -0.05)]
    slope = (near[0].energy_wh_kg - near[1].energy_wh_kg) / 0.1
    assert one.moved_wh_kg[0] == pytest.approx(0.2 * slope, rel=0.05)
    mass = reference_named("Chen2020").cell({}).mass_kg_m2
    assert one.moved_wh_kg[1] == pytest.approx(-one.energy_wh_kg * 50 * 75.6e-6 * 0.665 / mass, rel=1e-3)
    assert one.sigma_wh_kg == pytest.approx(np.hypot(*one.moved_wh_kg))


def test_without_doubts_there_is_no_sigma() -> None:
    assert calculate(Job(simple(1.0), {})).rates[0].sigma_wh_kg is None


def test_no_design_on_the_front_is_beaten(study: Study) -> None:
    done = {at: one for at, one in enumerate(study.designs) if not isinstance(one, Failed)}
    for number in study.front:
        mine = [one.energy_wh_kg for one in study.design(number).rates]
        assert not any(
            other.rates[0].energy_wh_kg > mine[0] and other.rates[-1].energy_wh_kg > mine[1]
            for other in done.values()
        )
    assert study.begun.values["positive_thickness_um"] == pytest.approx(75.6)


def test_a_design_that_is_none_is_told_beside_the_others(study: Study) -> None:
    last = study.designs[4]
    assert isinstance(last, Failed)
    rows = list(csv.DictReader(io.StringIO(designs_csv(study).decode())))
    assert len(rows) == 4 * 2 + 1
    assert rows[-1]["energy_wh_kg"] == ""
    assert "plate" in rows[-1]["ended"]
    assert float(rows[0]["sigma_wh_kg"]) > 0


def test_the_full_model_shows_what_the_simple_one_leaves_out(study: Study) -> None:
    """SPMe and DFN of this cell agree in capacity to 0.02 % at 1/h, as is known; at 2/h they part."""
    checks = check_of(study)
    assert {one.design for one in checks} == {0, study.front[0], study.front[-1]}
    begun = checks[0]
    assert abs(begun.deviations[0]) < 2e-3 < abs(begun.deviations[1])


def test_no_words_of_a_resume_file_are_a_formula_to_a_spreadsheet(study: Study) -> None:
    lie = replace(study, designs=(study.begun, *[Failed("=HYPERLINK(A1)")] * (len(study.designs) - 1)))
    ended = replace(study.begun, rates=(replace(study.begun.rates[0], ended="@SUM(A1)"),))
    for one, words in ((lie, "'=HYPERLINK(A1)"), (replace(study, designs=(ended,)), "'@SUM(A1)")):
        assert list(csv.DictReader(io.StringIO(designs_csv(one).decode())))[-1]["ended"] == words


def test_a_sweep_goes_on_from_its_file(tmp_path: Path, study: Study) -> None:
    wanted = [{"positive_thickness_um": 60.0}]
    file, seen = tmp_path / "kept", list[tuple[int, int]]()
    first = study_of(simple(1.0), wanted, resume=file)
    again = study_of(simple(1.0), wanted, resume=file, progress=lambda done, total: seen.append((done, total)))
    assert again.designs == first.designs
    assert first.taken is None
    assert again.taken is not None
    assert any("1 of 1 designs were not calculated now" in line for line in cautions_of(again, []))
    assert seen == [(1, 1)]
    with pytest.raises(DataRefused, match="kept"):
        study_of(simple(1.0), wanted, resume=file, software={"poliqi": "another"})


def test_from_a_dataset_to_a_result_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The particle size of a dataset is used, its doubt widens the energies, its identifier is in the record."""
    monkeypatch.setattr("poliqi.lab.echem.design.tradeoff.check_of", lambda _study: [])
    from poliqi.ops.commands.lab_echem_design import command

    root, found = tmp_path / "store", tmp_path / "findings.json"
    size = Finding("diameter_mean_volume", 9.8, "um", 0.4, "sizes", "counting statistics")
    found.write_bytes(findings_bytes(Findings((size,), "test", "powder")))
    with LabStore.create(root, "Test").tenant() as part:
        source = str(part.register([found], title="powder").id)
    files = ["-o", str(tmp_path / "d.csv"), "--report", str(tmp_path / "d.html")]
    asked = ["--parameters", "Chen2020", "--model", "SPM", "--vary", "positive_thickness_um=60,90", "--rates", "1"]
    feed = ["--store", str(root), "--dataset", source[:8], "--electrode", "positive", "--json"]
    feed += ["--resume", str(tmp_path / "kept")]
    told = CliRunner().invoke(command, [*asked, *feed, *files], catch_exceptions=False)
    record = json.loads(told.stdout)
    assert record["set"]["positive_radius_um"] == pytest.approx(4.9)
    assert record["doubts"][0]["source"] == f"dataset {source}: diameter_mean_volume"
    assert record["designs"][0]["rates"][0]["sigma_wh_kg"] > 0
    assert "counting statistics" in " ".join(record["assumed"])
    with LabStore.open(root).tenant() as part:
        made = part.dataset(part.resolve(record["dataset"]))
        assert made.is_simulated
        assert source in {str(one.id) for one in part.provenance(made.id).datasets}
    assert (tmp_path / "d.html").read_text().count("<svg") == 4
    assert "simulated" in (tmp_path / "d.html").read_text()
    assert record["resumed"] is None
    again = json.loads(CliRunner().invoke(command, [*asked, *feed], catch_exceptions=False).stdout)
    assert again["resumed"]["designs"] == 2
    assert again["dataset"] != record["dataset"], "what a file told is no calculation"


@pytest.mark.parametrize(
    ("options", "words"), [([], "nothing was kept; --resume FILE"), (["--resume", "r.res"], "is kept in r.res")]
)
def test_work_that_is_stopped_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    from poliqi.ops.commands import lab_echem_design

    monkeypatch.setattr(lab_echem_design, "_study", Mock(side_effect=KeyboardInterrupt))
    given = ["--parameters", "Chen2020", "--vary", "np_ratio=1,1.2", *options]
    done = CliRunner().invoke(lab_echem_design.command, given)
    assert done.exit_code != 0
    assert "setting the model up" in done.stderr
    assert words in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vary", "np_ratio=1,1.2", "--set", "np_ratio=1.2"], "np_ratio is varied, and set"),
        (["--vary", "np_ratio=1,1.2", "--set", "porosity"], "give NAME=VALUE"),
        (["--vary", "np_ratio=1,1.2", "--rates", "fast"], "--rates"),
        (["--vary", "np_ratio=1,1.2", "--rates", "1000"], "from 0.005 to 100"),
        (["--vary", "np_ratio=1,1.2", "--phase", "NMC"], "--phase belongs to findings"),
        (["--vary", "np_ratio=1,1.2", "--findings", "FILE"], "--electrode"),
        ([], "what to vary"),
    ],
)
def test_options_that_contradict_are_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    from poliqi.ops.commands.lab_echem_design import command

    file = tmp_path / "findings.json"
    file.write_bytes(findings_bytes(Findings((Finding("diameter_mean_volume", 9.8, "um"),), "test")))
    given = [str(file) if one == "FILE" else one for one in arguments]
    with pytest.raises((ConfigError, DataRefused), match=words):
        CliRunner().invoke(command, ["--parameters", "Chen2020", *given], catch_exceptions=False)


def test_findings_are_hashed_before_they_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from poliqi.ops import lab_filing
    from poliqi.ops.commands.lab_echem_design import command

    done: list[str] = []

    def stop(*_: object) -> None:
        done.append("read")
        raise DataRefused("enough")

    monkeypatch.setattr(lab_filing, "Filing", lambda *_: done.append("hashed"))
    monkeypatch.setattr("poliqi.lab.store.findings.read_findings", stop)
    CliRunner().invoke(command, ["--parameters", "Chen2020", "--findings", str(tmp_path / "a.json")])
    assert done == ["hashed", "read"]
