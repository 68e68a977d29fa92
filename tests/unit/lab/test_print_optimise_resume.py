"""A resume file's lines: what no design can have given is refused by its row; a solver that fails stops nobody."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from print_scenes import CUBE_UM, cube

from poliqi.base.errors import DataRefused
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.optimise.judge import Judge, Judged, fault_of
from poliqi.lab.print.optimise.study import study_of
from poliqi.lab.print.oxygen import newton
from poliqi.lab.print.oxygen.multigrid import Team, hierarchy_of
from poliqi.lab.print.oxygen.tissue import PRESETS
from poliqi.lab.sweep import Failed
from poliqi.ops.print_profile_toml import read_profile

pytestmark = pytest.mark.skipif(find_spec("manifold3d") is None, reason="needs the extra 'print'")

GOOD = Judged(
    {"hypoxic": 0.2, "covered": 0.9, "farthest": 300.0, "volume": 1e6,
     "thinnest": 4.0, "drop": 900.0, "power": 1e-8,
     "shear_low": 0.5, "shear_high": 2.0, "flaws": 1.0, "print": 600.0},
    0.01, 30, ["too thin"], "",
)  # fmt: skip


def judge() -> Judge:
    growth = GrowthSettings((Inlet((0.0, CUBE_UM / 2, CUBE_UM / 2)),), 4, 2e7, 400.0, wall_um=12.0, seed=2)
    parts = (growth, None, Fluid(), PRESETS["fibrin-1e13"], read_profile("illustrative"), "wall", 8)
    return Judge(json.dumps(cube().record), *parts)


@pytest.mark.parametrize(
    ("name", "value"),
    [("hypoxic", -5.0), ("hypoxic", 1.01), ("covered", 2.0), ("print", -1e9), ("volume", -1.0), ("power", -1e-9),
     ("shear_low", -1.0), ("drop", float("inf")), ("evil", 3.0), ("shear", 1.0)],
)  # fmt: skip
def test_measures_that_no_design_has_are_named(name: str, value: float) -> None:
    assert fault_of(GOOD) == ""
    assert name in fault_of(replace(GOOD, measures=GOOD.measures | {name: value}))


def test_what_does_not_belong_together_is_named() -> None:
    less = {name: value for name, value in GOOD.measures.items() if name != "print"}
    assert fault_of(replace(GOOD, measures=less, unknown="too coarse")) == ""
    assert "print" in fault_of(replace(GOOD, measures=less))
    assert "print" in fault_of(replace(GOOD, unknown="too coarse"))
    assert "volume" in fault_of(replace(GOOD, measures={"print": 1.0, "hypoxic": 0.1}))
    assert "flaws" in fault_of(replace(GOOD, flaws=[]))
    assert "segments" in fault_of(replace(GOOD, segments=0))
    assert "doubt" in fault_of(replace(GOOD, hypoxic_doubt=-0.1))


def test_a_line_that_no_design_gave_is_refused_by_its_row(tmp_path: Path) -> None:
    kept, wanted = tmp_path / "study.jsonl", [{"terminals": 1}, {"terminals": 2}]

    def run() -> Any:
        return study_of(judge(), wanted, [], ("hypoxic",), workers=1, resume=kept)

    run()
    assert run().taken.count == 2
    rows = [json.loads(row) for row in kept.read_text(encoding="utf-8").splitlines()]
    rows[2]["result"]["measures"]["hypoxic"] = -5.0
    kept.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(
        DataRefused, match=r"row 3 is no outcome \(hypoxic is -5, must be 0 to 1\); remove that row"
    ):
        run()


def test_a_solver_that_fails_puts_one_design_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = newton.gmres, [0]

    def first_explodes(*args: Any) -> Any:
        calls[0] += 1
        found, cycles = real(*args)
        return (found * np.float32(np.inf) if calls[0] == 1 else found), cycles

    monkeypatch.setattr(newton, "gmres", first_explodes)
    found = study_of(judge(), [{"terminals": 1}, {"terminals": 2}], [], ("hypoxic",), workers=1)
    assert isinstance(found.designs[0].outcome, Failed)
    assert "cells have no finite number" in found.designs[0].outcome.why
    assert isinstance(found.designs[1].outcome, Judged)
    assert found.best == 1


def closed(team: Team, held: float, taken: float) -> newton.System:
    """3 x 3 x 3 cells, nothing passes their faces, `held` comes into each, at most `taken` is consumed in each."""
    there = np.zeros((5, 5, 5), np.float32)
    there[1:-1, 1:-1, 1:-1] = 1
    links = [np.zeros_like(there) for _ in range(3)]
    for axis, link in enumerate(links):
        np.moveaxis(link, axis, 0)[1:-2] = np.moveaxis(there, axis, 0)[1:-2]
    nothing = np.zeros_like(there)
    hierarchy = hierarchy_of((links[0], links[1], links[2]), there, team)
    return newton.System(
        hierarchy, there, there.copy(), nothing, nothing, there * np.float32(held), taken, 0.01, 0.0, None
    )


def test_a_steady_state_is_found_where_there_is_one() -> None:
    with Team(1) as team:
        found = newton.solve(closed(team, 0.5, 1.0), np.zeros((5, 5, 5), np.float32), 1e-4)
    np.testing.assert_allclose(found.c[1:-1, 1:-1, 1:-1], 0.01, rtol=1e-3)  # c/(K + c) = 1/2 at c = K


def test_where_there_is_no_steady_state_the_solver_says_so() -> None:
    with Team(1) as team, pytest.raises(DataRefused, match=r"oxygen: .*of 3 x 3 x 3.*give more cells"):
        newton.solve(closed(team, 1.0, 0.1), np.zeros((5, 5, 5), np.float32), 1e-4)  # more comes than is ever taken


@pytest.mark.parametrize(
    ("value", "told"),
    [(np.nan, "1 of 27 cells have no finite number, the first is cell 2, 1, 0 of 3 x 3 x 3"),
     (1e30, "most is lost at cell 2, 1, 0 of 3 x 3 x 3")],
)  # fmt: skip
def test_a_number_beyond_float32_is_told_with_its_cell(value: float, told: str) -> None:
    with Team(1) as team:
        system = closed(team, 0.5, 1.0)
        system.held[3, 2, 1] = value
        with pytest.raises(DataRefused, match=told):
            newton.solve(system, np.zeros((5, 5, 5), np.float32), 1e-4)


def test_steps_that_do_not_suffice_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "_MOST_STEPS", 1)
    with Team(1) as team, pytest.raises(DataRefused, match=r"after 1 steps of Newton .* % of what is exchanged"):
        newton.solve(closed(team, 0.9, 1.0), np.zeros((5, 5, 5), np.float32), 1e-4)
