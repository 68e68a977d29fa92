"""Degradation modes of cells whose electrodes and lithium are stated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from aged_cells import GRID, NEGATIVE, POSITIVE, Cell, graphite_like, oxide_like, write_record
from click.testing import CliRunner

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.correlated import widening
from poliqi.lab.echem.degradation.halfcell import HalfCell, read_half_cell
from poliqi.lab.echem.degradation.modes import CAPACITIES, fit_check_up
from poliqi.lab.echem.degradation.modespage import modes_cautions, modes_csv, modes_lines
from poliqi.lab.echem.degradation.pseudo_ocv import OpenCircuit, Way, slow_sweeps
from poliqi.lab.echem.degradation.trend import degradation
from poliqi.lab.echem.record import CyclingRecord
from poliqi.lab.echem.unittable import read_stated
from poliqi.lab.store.findings import findings_in
from poliqi.lab.store.store import LabStore
from poliqi.ops.commands.lab_echem_fit_modes import command

FRESH = Cell(3.0, 3.4, 3.1)
AGED = Cell(2.85, 3.2, 2.8)
NOISE_V = 5e-4


def _pulls(seed: int, cell: Cell = AGED) -> list[float]:
    found = fit_check_up(cell.sweep(NOISE_V, 0.01, seed), NEGATIVE, POSITIVE)
    return [
        (found.capacities[name].value - getattr(cell, name)) / found.capacities[name].sigma for name in CAPACITIES
    ]


def test_electrodes_and_lithium_are_recovered_without_noise() -> None:
    found = fit_check_up(AGED.sweep(), NEGATIVE, POSITIVE)
    for name in CAPACITIES:
        assert found.capacities[name].value == pytest.approx(getattr(AGED, name), rel=3e-4)
    assert found.rms_v < 1e-4


def test_a_constant_overpotential_is_told_apart_from_the_electrodes() -> None:
    found = fit_check_up(AGED.sweep(eta_v=0.015), NEGATIVE, POSITIVE)
    assert found.fitted["overpotential"] == pytest.approx(0.015, abs=1e-4)
    assert found.capacities["lithium_ah"].value == pytest.approx(AGED.lithium_ah, rel=1e-3)
    held = fit_check_up(AGED.sweep(eta_v=0.015), NEGATIVE, POSITIVE, overpotential=False)
    assert held.rms_v > 5 * found.rms_v


def test_errors_cover_the_truth() -> None:
    pulls = np.array([_pulls(seed) for seed in range(24)])
    inside = np.mean(np.abs(pulls) < 1)
    assert 0.5 < inside < 0.85
    assert np.all(np.abs(pulls) < 5)


@pytest.mark.soak
def test_errors_cover_the_truth_in_68_percent() -> None:
    pulls = np.array([_pulls(seed) for seed in range(1000)])
    assert np.all((np.mean(np.abs(pulls) < 1, axis=0) > 0.63) & (np.mean(np.abs(pulls) < 1, axis=0) < 0.73))


def test_an_electrode_that_reaches_the_end_of_its_curve_has_no_capacity_to_tell() -> None:
    cell = Cell(3.0, 3.4, 3.4)
    assert cell.lithium_at(4.15) > 0.85  # beyond what the half cell was measured over
    short = HalfCell(GRID[GRID <= 0.8], graphite_like(GRID[GRID <= 0.8]), "short", True)
    found = fit_check_up(cell.sweep(), short, POSITIVE)
    assert "negative_ah" not in found.capacities
    assert "lithium_ah" not in found.capacities
    assert "limit" in found.why["negative_ah"]
    table = degradation([found], [0.0], "cycles")
    lines = "\n".join(modes_lines(table, short, POSITIVE))
    assert "negative electrode not identified" in lines
    assert "positive electrode: told with the above held" in lines
    assert modes_csv(table).decode().splitlines()[1].count(",,") > 0


def test_losses_and_rates_follow_from_the_capacities() -> None:
    middle = Cell(*((a + b) / 2 for a, b in ((3.0, 2.85), (3.4, 3.2), (3.1, 2.8))))
    fits = [
        fit_check_up(one.sweep(NOISE_V, seed=at), NEGATIVE, POSITIVE)
        for at, one in enumerate((FRESH, middle, AGED))
    ]
    found = degradation(fits, [0, 100, 200], "cycles")
    for name in CAPACITIES:
        before, after = getattr(FRESH, name), getattr(AGED, name)
        loss, rate = found.losses[-1][name], found.trends[name].rate
        assert loss is not None
        assert rate is not None
        assert loss.value == pytest.approx(100 * (1 - after / before), abs=4 * loss.sigma)
        assert rate.value == pytest.approx(100 * (1 - after / before) / 200, abs=4 * rate.sigma)
        assert 0 < loss.sigma < 1


def test_two_check_ups_give_a_rate_and_one_gives_none() -> None:
    fits = [fit_check_up(one.sweep(NOISE_V), NEGATIVE, POSITIVE) for one in (FRESH, AGED)]
    two = degradation(fits, [0, 10], "days")
    assert two.trends["lithium_ah"].rate is not None
    assert two.trends["capacity_ah"].rate is None  # a sweep's charge has no error of its own
    assert degradation(fits[:1], [0], "days").trends["lithium_ah"].rate is None


@pytest.mark.parametrize("at", [[0.0], [1.0, 1.0], [2.0, 1.0], [0.0, float("nan")]])
def test_places_that_do_not_rise_are_refused(at: list[float]) -> None:
    fits = [fit_check_up(one.sweep(NOISE_V), NEGATIVE, POSITIVE) for one in (FRESH, AGED)]
    with pytest.raises(DataRefused, match="check-ups"):
        degradation(fits, at, "cycles")


def test_half_cells_of_another_chemistry_are_told_by_the_residual() -> None:
    other = HalfCell(GRID, 4.3 - 0.5 * GRID - 0.2 * GRID**2 - 0.3 / (1 + np.exp((1 - GRID) / 0.012)), "other", True)
    found = degradation([fit_check_up(AGED.sweep(), NEGATIVE, other)], [0], "cycles")
    assert any("half cells of this cell" in one for one in modes_cautions(found, NEGATIVE, other))


def test_half_cells_that_give_no_discharge_are_refused() -> None:
    flat = HalfCell(GRID, 3.6 - 0.2 * GRID - 1.0 * np.exp((GRID - 1) / 0.02), "flat", True)
    with pytest.raises(DataRefused, match="half cells of this cell"):
        fit_check_up(AGED.sweep(), NEGATIVE, flat)


def test_residuals_of_long_waves_widen_errors_and_noise_does_not() -> None:
    generator = np.random.default_rng(3)
    assert widening(generator.normal(size=400)) < 1.3
    walk = np.zeros(4000)
    for at in range(1, walk.size):
        walk[at] = 0.8 * walk[at - 1] + generator.normal()
    assert widening(walk) == pytest.approx(1.8 / 0.2, rel=0.25)  # AR(1) in closed form
    assert widening(np.zeros(100)) == 1.0


def test_slow_sweeps_are_found_and_the_middle_has_no_overpotential() -> None:
    record = AGED.record(eta_v=0.02)
    (down,), (up,), (middle,) = (slow_sweeps(record, way) for way in Way)
    charge, v = AGED.discharge(300)
    assert down.capacity_ah == pytest.approx(charge[-1], rel=5e-3)
    assert np.interp(1.0, down.charge_ah, down.voltage_v) == pytest.approx(
        np.interp(1.0, charge, v) - 0.02, abs=2e-3
    )
    assert np.interp(1.0, up.charge_ah, up.voltage_v) == pytest.approx(np.interp(1.0, charge, v) + 0.02, abs=2e-3)
    assert np.interp(1.0, middle.charge_ah, middle.voltage_v) == pytest.approx(np.interp(1.0, charge, v), abs=2e-3)
    apart = float(middle.notes[0].split(" mV apart")[0].rsplit(" ", 1)[1])
    assert apart == pytest.approx(40, abs=1)


def test_the_middle_begins_at_the_end_of_the_hold() -> None:
    """U = 3 V + .24 V/Ah q, .3 ohm: .25 A to 4.2 V, held while the current falls as exp(-.8 t / h), and back."""
    hour = np.arange(0.0, 18.76, 0.05)
    held = np.arange(0.05, 3.0, 0.05)
    low = np.arange(0.05, 18.0, 0.05)
    full = 5 - 0.3125 * np.exp(-0.8 * held[-1])
    charge = np.concatenate((0.25 * hour, 5 - 0.3125 * np.exp(-0.8 * held), full - 0.25 * low))
    current = np.concatenate((np.full(hour.size, 0.25), 0.25 * np.exp(-0.8 * held), np.full(low.size, -0.25)))
    time = 3600 * np.concatenate((hour, 18.75 + held, 18.75 + held[-1] + low))
    record = CyclingRecord(time, 3 + 0.24 * charge + 0.3 * current, current, title="held")
    (found,) = slow_sweeps(record, Way.MEAN)
    assert found.voltage_v == pytest.approx(3 + 0.24 * (full - found.charge_ah), abs=1e-3)
    assert found.charge_ah[0] > 0.25


def test_a_fast_discharge_is_no_open_circuit_voltage() -> None:
    with pytest.raises(DataRefused, match=r"over in 0\.\d+ h"):
        slow_sweeps(AGED.record(current_a=5.0))


def test_a_moderate_one_is_told() -> None:
    (found,) = slow_sweeps(AGED.record(current_a=0.5))
    assert "overpotential" in found.notes[0]


def test_a_voltage_that_rises_as_charge_leaves_is_refused() -> None:
    with pytest.raises(DataRefused, match="fall"):
        OpenCircuit(np.arange(40.0), np.linspace(3, 4, 40), Way.DISCHARGE, 1.0, "upside down")


def test_a_half_cell_in_stoichiometry_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "positive.csv"
    path.write_text("\n".join(["x / 1,E / mV", *(f"{x},{1e3 * oxide_like(x)}" for x in GRID[::40])]))
    found = read_half_cell(path)
    assert found.is_stoichiometry
    assert found.at(np.array([0.3])) == pytest.approx(oxide_like(np.array([0.3])), abs=1e-4)


def test_a_charge_becomes_a_share_and_its_direction_follows_from_the_potential(tmp_path: Path) -> None:
    path = tmp_path / "delithiated.csv"
    taken = np.linspace(0, 350, 60)
    rows = (f"{q} {graphite_like(np.array(1 - q / 350))}" for q in taken)
    path.write_text("\n".join(["capacity (mAh/g)  potential (V vs Li)", *rows]))
    found = read_half_cell(path)
    assert not found.is_stoichiometry
    assert found.at(np.array([0.2])) == pytest.approx(graphite_like(np.array([0.2])), abs=5e-3)
    assert any("leaves" in note for note in found.notes)


def test_columns_without_units_have_to_be_stated(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("\n".join(["x,E", *(f"{x},{oxide_like(x)}" for x in GRID[::40])]))
    with pytest.raises(DataRefused, match="states no unit"):
        read_half_cell(path)
    stated = read_stated(("lithium=1 [1]", "potential=E [V]"), ("lithium", "potential"))
    assert read_half_cell(path, stated).lithium[-1] == 1.0


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([f"{x},{4 - x}" for x in np.linspace(0, 1, 10)], "points"),
        ([f"{x},{3 + x}" for x in np.linspace(0, 1, 30)], "rises by"),
        ([f"{x},{4 - x}" for x in np.linspace(0, 1.4, 30)], "must lie in 0 to 1"),
        ([f"{x},{4000 - x}" for x in np.linspace(0, 1, 30)], "unit"),
        ([f"{x},{4 - x}" for x in [*np.linspace(0, 1, 30), 0.5]], "row 32"),
    ],
)
def test_curves_that_are_none_of_a_half_cell_are_refused(tmp_path: Path, rows: list[str], why: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(["x / 1,E / V", *rows]))
    with pytest.raises(DataRefused, match=why):
        read_half_cell(path)


def _half_cell_files(folder: Path) -> list[str]:
    for name, curve in (("negative", graphite_like), ("positive", oxide_like)):
        rows = "\n".join(f"{x!r},{float(curve(np.array(x)))!r}" for x in GRID[::4].tolist())
        (folder / f"{name}.csv").write_text(f"stoichiometry / 1,potential / V\n{rows}\n")
    return [
        "--negative-half-cell",
        str(folder / "negative.csv"),
        "--positive-half-cell",
        str(folder / "positive.csv"),
    ]


def test_the_command_tells_losses_writes_and_draws(tmp_path: Path) -> None:
    files = [
        str(write_record(tmp_path / f"{name}.csv", cell.record(eta_v=0.004)))
        for name, cell in (("fresh", FRESH), ("aged", AGED))
    ]
    out, page = tmp_path / "modes.csv", tmp_path / "modes.html"
    told = [*_half_cell_files(tmp_path), "--at", "0,500", "--unit", "cycles", "--json"]
    done = CliRunner().invoke(command, [*files, *told, "-o", str(out), "--report", str(page)])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    losses = record["check_ups"][1]["losses_percent"]
    assert losses["lithium"]["value"] == pytest.approx(100 * (1 - 2.8 / 3.1), abs=0.3)
    assert losses["negative"]["value"] == pytest.approx(5.0, abs=0.3)
    assert losses["positive"]["value"] == pytest.approx(100 * (1 - 3.2 / 3.4), abs=0.5)
    assert not record["simulated"]
    negative = tmp_path / "negative.csv"
    head, *rows = negative.read_text().splitlines()
    negative.write_text("\n".join([f"{head},Simulated / 1", *(f"{row},1" for row in rows)]) + "\n")
    again = CliRunner().invoke(command, [files[0], *told[:4], "--json"])
    assert json.loads(again.stdout)["simulated"], "a half cell that was calculated"
    assert out.read_text().startswith("At / cycles,Capacity / Ah,")
    assert "assumed" in page.read_text()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "--half-cells SET"),
        (["--negative-half-cell", "x.csv"], "both"),
        (
            ["--half-cells", "Chen2020", "--negative-half-cell", "x.csv", "--positive-half-cell", "y.csv"],
            "--half-cells SET",
        ),
        (["--at", "1,2,3"], "3 numbers for 1"),
        (["--at", "soon"], "give numbers"),
        (["--most-current", "0"], "above 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: list[str], why: str) -> None:
    path = write_record(tmp_path / "cell.csv", AGED.record())
    done = CliRunner().invoke(command, [str(path), *options])
    assert isinstance(done.exception, ConfigError)
    assert why in str(done.exception)


def test_a_store_keeps_the_losses_with_records_and_half_cells(tmp_path: Path) -> None:
    """Of the records, one is simulated and says so; the other stays measured."""
    root = tmp_path / "lab"
    LabStore.create(root, "Politecnico di Milano")
    files = [
        str(write_record(tmp_path / f"{name}.csv", cell.record()))
        for name, cell in (("fresh", FRESH), ("aged", AGED))
    ]
    head, *rows = Path(files[1]).read_text(encoding="utf-8").splitlines()
    Path(files[1]).write_text(
        "\n".join([f"{head},Simulated / 1", *(f"{row},1" for row in rows)]) + "\n", encoding="utf-8"
    )
    told = [*_half_cell_files(tmp_path), "--store", str(root), "--json"]
    done = CliRunner().invoke(command, [*files, *told])
    assert done.exit_code == 0, done.output
    with LabStore.open(root).tenant() as part:
        made, found = findings_in(part, json.loads(done.stdout)["dataset"])
        sources = [one for one in part.provenance(made.id).datasets if one.id != made.id]
    held = {file.path: one.is_simulated for one in sources for file in one.files}
    assert found.named("loss_lithium_inventory").value == pytest.approx(100 * (1 - 2.8 / 3.1), abs=0.3)
    assert held == {"fresh.csv": False, "aged.csv": True, "negative.csv": False, "positive.csv": False}
    assert made.is_simulated
