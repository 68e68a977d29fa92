"""Studies of small designs: what comes out follows from physics, keeps to targets, and goes on after a stop."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from print_scenes import CUBE_UM, cube

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.table import domain_of
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.optimise.judge import Asked, Judge, Judged, grown
from poliqi.lab.print.optimise.page import cautions_of, study_page
from poliqi.lab.print.optimise.study import Study, study_csv, study_of
from poliqi.lab.print.optimise.targets import read_target
from poliqi.lab.print.oxygen.tissue import Tissue
from poliqi.lab.print.vesselfile import read_vessels
from poliqi.lab.sweep import Failed
from poliqi.ops.commands.lab_print_optimise import command
from poliqi.ops.print_best_design import best_toml
from poliqi.ops.print_design_toml import read_design
from poliqi.ops.print_profile_toml import read_profile

pytestmark = pytest.mark.skipif(find_spec("manifold3d") is None, reason="needs the extra 'print'")

DESIGN = b"""
[domain]
kind = "box"
size_um = [400, 400, 400]
center_um = [200, 200, 200]

[[inlet]]
point_um = [0, 200, 200]

[growth]
terminals = 4
flow = "20 nL/min"
pressure_drop_pa = 100
wall_um = 12
gap_um = 10
seed = 2

[tissue]
name = "fibrin-1e13"
consumption_mol_m3_s = 0.02

[targets]
most_print_s = 1e9
"""


def judge(**changed: Any) -> Judge:
    growth = GrowthSettings(
        (Inlet((0.0, CUBE_UM / 2, CUBE_UM / 2)),), 4, 2e7, 400.0, wall_um=12.0, gap_um=10.0, seed=2
    )
    tissue = Tissue(1.7e-9, 0.03, 8e-3)  # what flows in carries twice what is consumed
    parts = {
        "domain": json.dumps(cube().record),
        "growth": growth,
        "closure": None,
        "fluid": Fluid(),
        "tissue": tissue,
        "profile": read_profile("illustrative"),
        "mode": "wall",
        "cells": 16,
    }
    return Judge(**(parts | changed))


@pytest.fixture(scope="module")
def study() -> Study:
    wanted = [{"terminals": count} for count in (1, 4, 16, 40)]
    return study_of(judge(), wanted, [read_target("hypoxic<60%")], ("hypoxic", "volume"), workers=1)


def test_more_terminals_leave_less_hypoxic_and_take_more_volume(study: Study) -> None:
    hypoxic = [study.measure(at, "hypoxic") or 0.0 for at in range(4)]
    volume = [study.measure(at, "volume") or 0.0 for at in range(4)]
    assert hypoxic == sorted(hypoxic, reverse=True)
    assert hypoxic[0] > hypoxic[3] + 0.2
    assert volume == sorted(volume)


def test_the_budget_is_kept_and_what_is_out_says_why(study: Study) -> None:
    for number, one in enumerate(study.designs):
        hypoxic = study.measure(number, "hypoxic")
        assert isinstance(one.outcome, Judged)
        within = hypoxic is not None and hypoxic <= 0.6 and not one.outcome.flaws
        assert one.is_feasible is within
        assert one.is_feasible or any(words.startswith(("hypoxic<60%", "flaws")) for words in one.missed)
    if study.is_within:
        assert all(study.designs[number].is_feasible for number in study.front)
    assert study.best is not None


def test_the_power_of_pumping_is_pressure_times_flow(study: Study) -> None:
    for number in range(4):
        assert study.measure(number, "power") == pytest.approx(400.0 * 2e7 * 1e-18, rel=1e-6)
        assert study.measure(number, "drop") == pytest.approx(400.0, rel=1e-6)


def test_times_say_that_the_machine_is_assumed(study: Study) -> None:
    assert [one for one in cautions_of(study) if "assumes its scanner, which the time rests on" in one]


def test_the_table_has_a_row_for_every_design(study: Study) -> None:
    rows = list(csv.DictReader(io.StringIO(study_csv(study).decode())))
    assert [row["terminals"] for row in rows] == ["1", "4", "16", "40"]
    assert [float(row["hypoxic"]) for row in rows] == [study.measure(at, "hypoxic") for at in range(4)]
    assert {number for number, row in enumerate(rows) if row["front"] == "1"} == set(study.front)


def test_the_page_is_drawn(study: Study) -> None:
    from poliqi.lab.onepage import page_bytes

    text = page_bytes(study_page(study, "tissue.toml"), ".html").decode()
    assert "4 over terminals: 4 grown" in text
    assert "none beats these" in text


def test_a_study_that_was_stopped_goes_on_and_comes_to_the_same(study: Study, tmp_path: Path) -> None:
    wanted = [{"terminals": count} for count in (1, 4, 16, 40)]
    kept = tmp_path / "study.jsonl"

    def stop(done: int, _all: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    targets = [read_target("hypoxic<60%")]
    with pytest.raises(KeyboardInterrupt):
        study_of(judge(), wanted, targets, ("hypoxic", "volume"), workers=1, resume=kept, progress=stop)
    again = study_of(judge(), wanted, targets, ("hypoxic", "volume"), workers=1, resume=kept)
    assert again.taken is not None
    assert again.taken.count == 2
    assert again.designs == study.designs
    assert (again.front, again.best) == (study.front, study.best)
    with pytest.raises(DataRefused, match="other settings"):
        study_of(judge(cells=17), wanted, targets, workers=1, resume=kept)


def test_what_cannot_be_grown_is_out_with_its_reason() -> None:
    wanted: list[dict[str, Any]] = [{"wall_um": 190.0}, {"wall_um": 12.0}]
    found = study_of(judge(), wanted, [], ("hypoxic",), workers=1)
    assert isinstance(found.designs[0].outcome, Failed)
    assert found.designs[0].missed == (found.designs[0].outcome.why,)
    assert not found.designs[0].is_feasible
    assert 0 not in found.front
    assert b"190.0," in study_csv(found)


def test_nothing_within_the_budget_is_said_and_the_nearest_told() -> None:
    wanted: list[dict[str, Any]] = [{"terminals": 1}, {"terminals": 16}]
    found = study_of(judge(), wanted, [read_target("hypoxic<0")], ("hypoxic",), workers=1)
    assert not found.is_within
    assert found.best == 1
    page = study_page(found, "tissue.toml")
    assert any("no design is within the budget" in one for one in page.cautions)


def test_a_design_is_the_same_each_time() -> None:
    one, two = (judge()(Asked({"terminals": 8})) for _ in range(2))
    assert one == two
    assert (grown(judge(), {"terminals": 8}).radius_um == grown(judge(), {"terminals": 8}).radius_um).all()


def test_flow_and_pressure_are_those_asked_for() -> None:
    network = grown(judge(), {"flow_nl_min": 10.0, "pressure_drop_pa": 250.0})
    assert network.ports[0].flow_um3_s == pytest.approx(10e6 / 60)
    assert network.ports[0].pressure_pa == pytest.approx(500 + 250)


def test_the_chosen_design_is_written_as_it_was_judged(tmp_path: Path) -> None:
    design = read_design(DESIGN, "d.toml", tmp_path)
    values: dict[str, Any] = {
        "terminals": 9, "exponent": 2.7, "flow_nl_min": 15.0, "pressure_drop_pa": 80.0, "hatch_um": 0.4, "seed": 5,
    }  # fmt: skip
    again = read_design(best_toml(DESIGN, tmp_path / "d.toml", design, values), "best.toml", tmp_path)
    assert again.growth.terminals == 9
    assert again.growth.exponent == 2.7
    assert again.growth.flow_um3_s == pytest.approx(15e6 / 60)
    assert again.growth.pressure_drop_pa == 80
    assert (again.growth.seed, again.growth.wall_um) == (5, 12)
    assert again.tissue == design.tissue
    assert again.domain.record == design.domain.record
    assert b"# of the print: hatch_um = 0.4" in best_toml(DESIGN, tmp_path / "d.toml", design, values)


def test_the_command_grows_chooses_and_writes(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_bytes(DESIGN)
    asked = [
        str(tmp_path / "d.toml"), "--profile", "illustrative", "--mode", "wall", "--vary", "terminals=2,8",
        "--cells", "12",
        "--target", "hypoxic<90%", "--workers", "1", "--least", "volume",
    ]  # fmt: skip
    best, table = tmp_path / "best.vessels.json", tmp_path / "table.json"
    done = CliRunner().invoke(command, [*asked, "--best", str(best), "-o", str(table)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    record = json.loads(table.read_text(encoding="utf-8"))
    assert record["targets"] == ["hypoxic<90%", "print<1e+09s", "flaws<=0"]
    assert record["best"] is not None
    chosen = record["designs"][record["best"] - 1]["values"]["terminals"]
    vessels = read_vessels(best)
    assert vessels.made["values"] == {"terminals": chosen}
    ends = (vessels.network.degrees() == 1).sum() - 1
    assert ends == chosen
    assert f"wrote design {record['best']}" in done.output


def test_the_chosen_design_is_the_one_that_was_read_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, best = tmp_path / "d.toml", tmp_path / "best.toml"
    file.write_bytes(DESIGN)

    def edited(*args: Any, **options: Any) -> Study:
        found = study_of(*args, **options)
        file.write_bytes(DESIGN.replace(b"[400, 400, 400]", b"[1500, 400, 400]").replace(b"seed = 2", b"seed = 3"))
        return found

    monkeypatch.setattr("poliqi.lab.print.optimise.study.study_of", edited)
    asked = [
        str(file), "--profile", "illustrative", "--mode", "wall", "--vary", "terminals=2", "--cells", "12",
        "--workers", "1", "--best", str(best),
    ]  # fmt: skip
    done = CliRunner().invoke(command, asked, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    written = tomllib.loads(best.read_text(encoding="utf-8"))
    assert written["domain"]["size_um"] == [400, 400, 400]
    assert (written["growth"]["seed"], written["growth"]["terminals"]) == (2, 2)


def test_thin_tissue_gets_as_many_cells_as_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.toml").write_bytes(DESIGN.replace(b"[400, 400, 400]", b"[400, 400, 30]"))
    seen = list[int]()

    def asked(judge: Judge, *_args: Any, **_options: Any) -> Study:
        seen.append(judge.cells)
        raise ConfigError("enough")

    monkeypatch.setattr("poliqi.lab.print.optimise.study.study_of", asked)
    line = [str(tmp_path / "d.toml"), "--profile", "illustrative", "--vary", "terminals=2"]
    with pytest.raises(ConfigError, match="enough"):
        CliRunner().invoke(command, line, catch_exceptions=False)
    assert seen == [54]  # 4 x 400/30 = 53.3
    with pytest.raises(ConfigError, match="--cells 53: a tissue of 400 x 400 x 30 um needs at least 54"):
        CliRunner().invoke(command, [*line, "--cells", "53"], catch_exceptions=False)


def test_oxygen_that_cannot_be_solved_puts_the_design_out() -> None:
    table = {"kind": "box", "size_um": [400, 400, 75], "center_um": [200, 200, 200]}
    thin = json.dumps(domain_of(table, Path()).record)
    found = study_of(judge(domain=thin), [{"wall_um": 5.0}], [], ("hypoxic",), workers=1)
    assert isinstance(found.designs[0].outcome, Failed)
    assert "3 cells of 25 um across" in found.designs[0].outcome.why


def test_what_oxygen_leaves_unsure_is_said(study: Study) -> None:
    assert [one for one in cautions_of(study) if "too few cells to tell how sure" in one]  # 16 cells: a single grid
    outcome = study.designs[0].outcome
    assert isinstance(outcome, Judged)
    off = replace(study.designs[0], outcome=replace(outcome, unbalanced=0.25, hypoxic_doubt=0.0))
    told = cautions_of(replace(study, designs=(off,), front=(0,), best=0))
    assert [one for one in told if "1 designs: oxygen given and consumed differ by up to 25 %" in one]
    assert not [one for one in told if "how sure" in one]


def test_a_best_that_there_is_not_is_told(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_bytes(DESIGN)
    asked = [
        str(tmp_path / "d.toml"), "--profile", "illustrative", "--vary", "wall_um=190", "--cells", "12",
        "--workers", "1", "--best", str(tmp_path / "best.toml"),
    ]  # fmt: skip
    done = CliRunner().invoke(command, asked, catch_exceptions=False)
    assert "best.toml was not written: there is no design to begin with" in done.output
    assert not (tmp_path / "best.toml").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--vary", "terminals=1,2", "-o", "foo.txt"], "-o foo.txt: give a name that ends in .csv or .json"),
        (["--vary", "terminals=1,2", "--least", "shear"], "--least"),
        (["--vary", "longest_um=50,60"], "an \\[\\[outlet\\]\\]"),
        (["--vary", "terminals=1,2", "--best", "b.csv"], "--best"),
        (["--vary", "terminals=1,2", "--tissue", "stone"], "fibrin-1e13"),
        ([], "what to vary"),
    ],
)
def test_what_contradicts_itself_is_refused_before_any_work(more: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_bytes(DESIGN)
    with pytest.raises(ConfigError, match=told):
        CliRunner().invoke(
            command, [str(tmp_path / "d.toml"), "--profile", "illustrative", *more], catch_exceptions=False
        )
