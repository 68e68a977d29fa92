"""`poliqi lab print dose`: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from print_dose_cases import W_XY, W_Z, bush, rod

from poliqi.base.errors import PoliqiError
from poliqi.lab.print.domain.domain import box
from poliqi.lab.print.vesselfile import read_vessels, vessels_bytes
from poliqi.ops.commands.lab_print_dose import command

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "lab-print-dose.md").read_text(
    encoding="utf-8"
)


@pytest.fixture
def vessels(tmp_path: Path) -> Path:
    path = tmp_path / "tissue.vessels.json"
    path.write_bytes(vessels_bytes(bush(0), box((300, 300, 300)), {"seed": 0}))
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(command, [*map(str, words), "--profile", "illustrative"])


def test_compensated_vessels_print_better_and_are_a_file_for_the_next_step(vessels: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "c.vessels.json", tmp_path / "dose.html"
    told = run(vessels, "--threshold", "0.7", "--compensate", "2", "-o", out, "--report", page, "--json")
    assert told.exit_code == 0, told.output
    record = json.loads(told.stdout)
    rmse = record["rmse_um_by_loop"]
    assert rmse[0] > rmse[1] > rmse[2]
    assert record["simulated"] is True
    before, after = read_vessels(vessels), read_vessels(out)
    assert np.array_equal(before.network.points_um, after.network.points_um)
    assert (after.network.radius_um < before.network.radius_um).all()
    assert after.made["dose_compensation"]["vessels_blake3"] == before.digest
    ratios = [record[name] / record["designed_um3"] for name in ("open_um3", "open_compensated_um3")]
    assert abs(ratios[1] - 1) < abs(ratios[0] - 1)
    again = run(out, "--threshold", "0.7", "--json")
    assert json.loads(again.stdout)["surface"][0]["rmse_um"] > 0
    assert "<svg" in page.read_text(encoding="utf-8")


def test_people_read_numbers_with_units_and_cautions(vessels: Path) -> None:
    told = run(vessels, "--around", "1")
    assert told.exit_code == 0, told.output
    for words in (
        "rmse",
        "um3 open",
        "thinnest wall",
        "caution: the focus of profile 'illustrative' is not measured",
    ):
        assert words in told.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--hatch", "0.5"], "ripples by 30 %"),
        (["--layer", "2.5"], "layer 2.5 um"),
        (["-o", "x.json"], "--compensate LOOPS"),
        (["--region", "0,0,0,1,1"], "six numbers"),
        (["--region", "0,0,0,1,1,1", "--around", "1"], "two regions"),
        (["--region", "0,0,0,900,900,900"], "GB"),
        (["--region", "5,5,5,1,9,9"], "no box"),
        (["--around", "99"], "numbered 0 to 4"),
        (["--power", "60"], "at most 50"),
        (["--power", "10"], "10 mW at 100 mm/s gives 0.32 of the dose"),
        (["--speed", "-1"], "above 0"),
        (["--threshold", "1.2"], "threshold 1.2"),
        (["--threshold", "nan"], "threshold nan"),
        (["--mode", "lumen"], "is not lit so"),
        (["--wall", "4"], "--mode wall"),
        (["--mode", "wall", "--wall", "0.15"], "wall 0.15 um is below"),
        (["--allow-ripple", "0"], "--allow-ripple 0"),
        (["--allow-ripple", "1e6"], "at most 100000 percent"),
    ],
)
def test_refusals(vessels: Path, words: list[str], said: str) -> None:
    told = run(vessels, *words)
    assert isinstance(told.exception, PoliqiError)
    assert said in str(told.exception)


def test_ripple_can_be_allowed(vessels: Path) -> None:
    told = run(vessels, "--hatch", "0.5", "--allow-ripple", "35", "--region", "-2,-2,-2,2,2,2")
    assert told.exit_code == 0, told.output


def test_vessels_that_the_dose_cannot_print_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "thin.vessels.json"
    path.write_bytes(vessels_bytes(rod([-20, 0, 0], [20, 0, 0], 0.2), box((60, 60, 60)), {}))
    told = run(path)
    assert "prints closed" in str(told.exception)


def test_the_power_for_walls_in_place_does_not_depend_on_the_power_told(vessels: Path, tmp_path: Path) -> None:
    """Calibrated at K = 6.25 mW^2 s/mm: P^2/v pi w_xy w_z/(p h) is twice that, P from the profile's focus."""
    from importlib.resources import files

    machine = tmp_path / "m.toml"
    text = (files("poliqi.lab.print.profiles") / "illustrative.toml").read_text(encoding="utf-8")
    machine.write_text(text.replace("min_wall_um = 1.0", "min_wall_um = 1.0\nline_threshold_mw2_s_mm = 6.25"))
    found = []
    for power in ("25", "30", "40"):
        words = [str(vessels), "--profile", str(machine), "--power", power, "--region", "-1,-1,-1,1,1,1", "--json"]
        found.append(json.loads(CliRunner().invoke(command, words).stdout)["power_for_walls_in_place_mw"])
    wanted = (2 * 6.25 * 100 * 0.35 * 1.0 / (np.pi * W_XY * W_Z)) ** 0.5
    assert found == pytest.approx([wanted] * 3, rel=1e-3)


def test_a_domain_of_several_tiles_is_told(tmp_path: Path) -> None:
    path = tmp_path / "wide.vessels.json"
    path.write_bytes(vessels_bytes(bush(0), box((300, 500, 300)), {}))
    told = run(path, "--region", "-1,-1,-1,1,1,1")
    assert "caution: the domain of 300 x 500 um exceeds the field, 400 um" in told.output
    assert "caution: profile 'illustrative' assumes its laser" in told.output


def test_every_option_is_on_its_page() -> None:
    for option in command.params:
        if option.param_type_name == "option":
            assert any(f"`{name}" in PAGE for name in option.opts), option.name
