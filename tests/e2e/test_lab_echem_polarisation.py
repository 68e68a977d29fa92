"""The commands: curves to a joint fit, a stack and a split, with pages, a store, and one line on what is wrong."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
from click.testing import CliRunner
from polarisation_curves import NOMINAL, calculated

from poliqi.base.errors import ConfigError, DataRefused, PoliqiError
from poliqi.lab.echem.polarisation.file import curve_bytes, read_curves
from poliqi.lab.echem.polarisation.fit import fit_polarisation
from poliqi.lab.echem.polarisation.page import findings_of_fit, page_of_fit, table_of_fit
from poliqi.lab.echem.polarisation.table import read_as
from poliqi.lab.store.findings import findings_in
from poliqi.lab.store.store import LabStore
from poliqi.ops.cli import cli
from poliqi.ops.lab_filing import Filing
from poliqi.ops.lab_polarisation import curves_read, held_values

PLANT = """
[vehicle]
mass_kg = 1500
drag_area_m2 = 0.6
rolling_coefficient = 0.01
drivetrain_efficiency = 0.9
regeneration = 0.5
auxiliary_w = 500
air_density_kg_m3 = 1.2
[battery]
capacity_wh = 500
lowest_charge = 0.3
highest_charge = 0.9
start_charge = 0.6
most_charge_w = 20000
most_discharge_w = 20000
charge_efficiency = 0.95
discharge_efficiency = 0.95
[stack]
ramp_w_s = 3000
"""


def poliqi(*words: object) -> str:
    """Run the command in this process; what it prints."""
    done = CliRunner().invoke(cli, ["lab", "echem", *map(str, words)])
    if isinstance(done.exception, PoliqiError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    path = tmp_path / "cell.csv"
    path.write_bytes(curve_bytes(calculated(NOMINAL, "nominal", noise_v=1e-3)))
    return path


@pytest.fixture
def drive(tmp_path: Path) -> list[object]:
    (tmp_path / "car.toml").write_text(PLANT)
    speeds = [0, 3, 7, 11, 14, 15, 15, 12, 6, 0, 0]
    rows = "\n".join(f"{2 * at},{speed}" for at, speed in enumerate(speeds))
    (tmp_path / "cycle.csv").write_text(f"time / s,speed / m/s\n{rows}\n")
    return ["--load", tmp_path / "cycle.csv", "--plant", tmp_path / "car.toml"]


def test_a_curve_is_fitted_drawn_and_kept(curve: Path, tmp_path: Path) -> None:
    LabStore.create(tmp_path / "store", "Laboratory")
    said = poliqi(
        "fit", "polarisation", curve, "--json", "--report", tmp_path / "fit.html", "-o", tmp_path / "points.csv",
        "--store", tmp_path / "store",
    )  # fmt: skip
    record = json.loads(said)
    assert record["simulated"] is True  # the file says so
    named = {one["name"]: one for one in record["parameters"]}
    assert named["transfer_coefficient"]["value"] == pytest.approx(1.1, abs=0.1)
    assert {one["name"] for one in record["held"]} >= {"oxygen_order", "activation_energy"}
    assert len((tmp_path / "points.csv").read_text().splitlines()) == 22
    with pytest.raises(DataRefused, match="simulated is 'yes' there"):
        read_curves(tmp_path / "points.csv", read_as(["simulated=no", "device=pem fuel cell"], []))
    assert "simulated" in (tmp_path / "fit.html").read_text()
    with LabStore.open(tmp_path / "store").tenant() as part:
        dataset = part.dataset(part.resolve(record["dataset"]))
        assert dataset.is_simulated
        assert {"points.csv", "figure.svg", "findings.json", "result.json"} <= {one.path for one in dataset.files}


@pytest.mark.parametrize("known", [True, False])
def test_curves_are_simulated_where_the_store_knows_them_so(known: bool, tmp_path: Path) -> None:
    """And a formula in a curve's name is words to a spreadsheet."""
    bare = replace(calculated(NOMINAL, "=1+1", noise_v=1e-3), simulated=False)
    (tmp_path / "bare.csv").write_bytes(curve_bytes(bare))
    (tmp_path / "own.csv").write_bytes(curve_bytes(calculated(NOMINAL, "own")))
    filing = cast("Filing", SimpleNamespace(is_simulated=known))
    paths = [tmp_path / "bare.csv", tmp_path / "own.csv"]
    read, saying = curves_read(paths, {"stated": (), "columns": ()}, filing)
    assert [one.simulated for one in read] == [known, True]
    assert saying == ["polarisation curve 2"]
    fit = fit_polarisation(read[:1])
    assert findings_of_fit(fit, (), "test").simulated is known
    table = table_of_fit(fit).decode()
    assert "\n'=1+1," in table
    assert table.startswith("# simulated: yes\n") is known
    page, axes = page_of_fit(fit, ()), MagicMock()
    page.panels[2].draw(axes)
    assert axes.plot.call_args.kwargs["label"] == page.panels[1].title.split()[0].lower()
    assert page.panels[1].title == ("Simulated less fitted" if known else "Measured less fitted")


def test_what_is_not_identified_is_named_without_a_value(tmp_path: Path) -> None:
    path = tmp_path / "low.csv"
    path.write_bytes(curve_bytes(calculated(NOMINAL, "low", noise_v=1e-3, most=4e3)))
    record = json.loads(poliqi("fit", "polarisation", path, "--json"))
    onset = next(one for one in record["parameters"] if one["name"] == "transport_onset")
    assert "value" not in onset
    assert onset["unidentified"]
    assert "transport onset" in (lines := poliqi("fit", "polarisation", path))
    assert "not identified (" in lines


def test_a_stack_is_sized_to_a_drive_cycle_with_a_battery(curve: Path, drive: list[object], tmp_path: Path) -> None:
    record: dict[str, Any] = json.loads(
        poliqi(
            "stack",
            curve,
            *drive,
            "--cell-voltage",
            0.65,
            "--area",
            200,
            "--json",
            "-o",
            tmp_path / "course.csv",
        )
    )
    assert record["simulated"] is True
    assert record["load"]["distance_m"] == pytest.approx(2 * (3 + 7 + 11 + 14 + 15 + 15 + 12 + 6))
    assert 0 <= record["split"]["gap"] < 0.02
    assert record["split"]["bound_kg"] <= record["load"]["hydrogen_kg"]
    assert record["point"]["cell_voltage_v"] >= 0.65
    assert len((tmp_path / "course.csv").read_text().splitlines()) == 11


def test_a_stack_without_a_battery_follows_its_load(curve: Path, tmp_path: Path) -> None:
    (tmp_path / "pump.csv").write_text("time / s,power / kW\n0,2\n60,8\n120,0\n")
    lines = poliqi("stack", curve, "--load", tmp_path / "pump.csv", "--cell-voltage", 0.65, "--cells", 50)
    assert "the stack follows the load" in lines
    assert "kg/100 km" not in lines


def test_conditions_outside_the_curves_are_a_caution(curve: Path, tmp_path: Path) -> None:
    """And there the doubt is a lower limit, which nothing files as a standard deviation."""
    LabStore.create(store := tmp_path / "store", "Laboratory")
    words = ["stack", curve, "--power", 10, "--efficiency", 0.5, "--area", 100]
    record = json.loads(poliqi(*words, "--at", "temperature=80 degC", "--json", "--store", store))
    assert record["cautions"][0] == "temperature 80 degC (curves: 68 degC): an extrapolation"
    assert record["point"]["cell_voltage_sigma_v"] is None
    assert record["point"]["cell_voltage_sigma_at_least_v"] > 0
    with LabStore.open(store).tenant() as part:
        _, findings = findings_in(part, record["dataset"])
    assert findings.named("cell_voltage").sigma is None
    assert findings.named("stack_power").sigma is None


def test_currents_beyond_the_nearest_curve_are_a_caution(curve: Path, tmp_path: Path) -> None:
    """The other curve goes further, at another pressure: at the operating point, and at the peak of a load."""
    low = replace(NOMINAL, cathode_pressure_pa=1.5e5)
    (tmp_path / "low.csv").write_bytes(curve_bytes(calculated(low, "low", noise_v=1e-3, most=1.6e4)))
    (tmp_path / "load.csv").write_text("time / s,power / kW\n0,1\n60,7\n120,0\n")
    words = ["stack", curve, tmp_path / "low.csv", "--cells", 100, "--area", 80, "--load", tmp_path / "load.csv"]
    beyond = r" at [0-9.]+ A/cm2 \(the curve nearest to these conditions, 'low', ends at 1.6 A/cm2\)"
    far = poliqi(*words, "--like", "low", "--current-density", 2)
    assert re.search("caution: operating point" + beyond, far)
    assert ", at least +- " in far
    assert re.search("caution: the load's peak" + beyond, far)
    assert "the curve nearest" not in poliqi(*words, "--like", "nominal", "--current-density", 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--power", 5, "--area", 100], "say where the stack works"),
        (["--power", 5, "--cell-voltage", 0.6], "say how many cells"),
        (["--cell-voltage", 0.6, "--area", 100], "say what the stack is for"),
        (["--power", 5, "--hydrogen", 1, "--cell-voltage", 0.6, "--area", 100], "give one"),
        (["--power", 5, "--cell-voltage", 0.6, "--efficiency", 0.5, "--area", 100], "give one"),
        (["--cells", 10, "--area", 100], "the stack is known"),
        (["--power", 5, "--cell-voltage", 0.6, "--area", 100, "--like", "other"], "there is no curve 'other'"),
        (["--power", 5, "--cell-voltage", 0.6, "--area", 100, "--plant", "car.toml"], "give the --load"),
        (["--load", "cycle.csv", "--cell-voltage", 0.6, "--area", 100], "is speed; describe the vehicle"),
        (["--load", "cycle.csv", "--plant", "bad.toml", "--cell-voltage", 0.6, "--area", 100], "colour"),
        (["--load", "cycle.csv", "--plant", "none.toml", "--cell-voltage", 0.6, "--area", 100], "cannot be read"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    words: list[object],
    said: str,
    curve: Path,
    drive: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert drive
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(PLANT.replace("mass_kg", "colour"), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        poliqi("stack", curve, *words)


@pytest.mark.parametrize("words", ["oxygen_order", "oxygen_order=1_0", "oxygen_order=inf"])
def test_what_is_held_is_a_number(words: str) -> None:
    with pytest.raises(ConfigError, match="NAME=NUMBER"):
        held_values([words])


def test_a_negative_offer_to_an_electrolyser_is_refused(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},{1.45 + 0.3 * i + 0.05 * i**0.5}" for i in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2))
    head = "# device: PEM electrolyser\n# temperature: 60 degC\n# pressure: 1 bar\n"
    (tmp_path / "cell.csv").write_text(f"{head}current_density / A/cm2,voltage / V\n{rows}\n")
    (tmp_path / "sun.csv").write_text("time / h,power / kW\n0,1\n1,40\n2,0\n")
    words = ["stack", tmp_path / "cell.csv", "--cell-voltage", 1.7, "--area", 100, "--power", 20]
    assert "kWh offered above what the stack takes" in poliqi(*words, "--load", tmp_path / "sun.csv")
    (tmp_path / "sun.csv").write_text("time / h,power / kW\n0,1\n1,-4\n2,0\n")
    with pytest.raises(DataRefused, match="below 0"):
        poliqi(*words, "--load", tmp_path / "sun.csv")
