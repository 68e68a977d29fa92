"""Which column is what, and in which unit: stated, given, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from cycler_files import charge_and_discharge, csv_text

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.readers import Positive, ReadOptions, read_record
from poliqi.lab.echem.readers.choosing import said_columns
from poliqi.lab.echem.readers.naming import Role, named

TIME, VOLTAGE, CURRENT = charge_and_discharge()
CHARGING = ReadOptions(positive=Positive.CHARGE)


@pytest.mark.parametrize(
    ("header", "role", "factor"),
    [
        ("Test Time / s", Role.TIME, 1.0),
        ("test_time_second", Role.TIME, 1.0),
        ("Test (Min)", Role.TIME, 60.0),
        ("TestTime/h", Role.TIME, 3600.0),
        ("Time_s", Role.TIME, 1.0),
        ("Ewe/V", Role.VOLTAGE, 1.0),
        ("<Ewe>/V", Role.VOLTAGE, 1.0),
        ("Voltage(mV)", Role.VOLTAGE, 1e-3),
        ("Volts", Role.VOLTAGE, 1.0),
        ("Current [uA]", Role.CURRENT, 1e-6),
        ("Current(µA)", Role.CURRENT, 1e-6),
        ("I/mA", Role.CURRENT, 1e-3),
        ("Amps", Role.CURRENT, 1.0),
        ("Current", Role.CURRENT, None),
        ("Charge_Capacity (mAh)", Role.CHARGED, 1e-3),
        ("Amp-hr", Role.CAPACITY, 1.0),
        ("Step_Index", Role.STEP, 1.0),
        ("Cycle Count / 1", Role.CYCLE, 1.0),
    ],
)
def test_names_that_cyclers_write(header: str, role: Role, factor: float | None) -> None:
    found = named(header)
    assert found is not None
    assert (found.role, found.factor) == (role, factor)


@pytest.mark.parametrize(
    "header",
    [
        "Current(mA/g)",
        "Current(MA)",
        "Step Time(s)",
        "Step_Time",
        "Step (Min)",
        "|Ewe|/V",
        "Re(Z)/Ohm",
        "",
        "x" * 500,
    ],
)
def test_names_of_other_things(header: str) -> None:
    assert named(header) is None


def test_kelvin_becomes_celsius() -> None:
    found = named("Temperature / K")
    assert found is not None
    assert (found.factor, found.offset) == (1.0, -273.15)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("Test Time / s", "Voltage / V", "Power / W"), "no column of the current"),
        (("Test Time / s", "Power / W", "Current / A"), "no column of the voltage"),
        (("Day / 1", "Voltage / V", "Current / A"), "no column of the time"),
    ],
)
def test_a_missing_column_is_refused_with_those_there(tmp_path: Path, names: tuple[str, ...], missing: str) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(csv_text(names, TIME, VOLTAGE, CURRENT))
    with pytest.raises(DataRefused, match=missing) as refused:
        read_record(path)
    assert str(path) in str(refused.value)
    assert all(repr(name) in str(refused.value) for name in names)


@pytest.mark.parametrize("unstated", ["Test Time / s", "Voltage / V", "Current / A"])
def test_a_unit_that_is_not_stated_is_refused_with_the_column(tmp_path: Path, unstated: str) -> None:
    bare = unstated.partition(" /")[0]
    names = [bare if name == unstated else name for name in ("Test Time / s", "Voltage / V", "Current / A")]
    path = tmp_path / "cell.csv"
    path.write_text(csv_text(names, TIME, VOLTAGE, CURRENT))
    with pytest.raises(DataRefused, match=f"column '{bare}' .* states no unit"):
        read_record(path)


def test_a_stated_mapping_reads_any_names_in_si(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(
        csv_text(["Zeit", "Spannung", "Strom"], TIME / 3600, VOLTAGE * 1e3, CURRENT * 1e3, separator=";")
    )
    columns = said_columns(["time=Zeit [h]", "voltage=Spannung [mV]", "current=Strom [mA]"])
    record = read_record(path, ReadOptions(columns=columns, positive=Positive.CHARGE))
    assert record.time_s == pytest.approx(TIME)
    assert record.voltage_v == pytest.approx(VOLTAGE)
    assert record.current_a == pytest.approx(CURRENT)


def test_columns_without_names_are_told_by_number(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(csv_text(["0.0", "3.7", "1.0"], TIME[1:], VOLTAGE[1:], CURRENT[1:]))
    columns = {"time": "1 [s]", "voltage": "2 [V]", "current": "3 [A]"}
    record = read_record(path, ReadOptions(columns=columns, positive=Positive.CHARGE))
    assert record.time_s.size == TIME.size
    assert (record.voltage_v[0], record.row(0), record.row(1)) == (3.7, 1, 2)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(
        csv_text(["Time(s)", "Voltage(V)", "Voltage(V)", "Current(A)"], TIME, VOLTAGE, VOLTAGE, CURRENT)
    )
    with pytest.raises(DataRefused, match=r"'Voltage\(V\)' and 'Voltage\(V\)' are columns of the voltage"):
        read_record(path, CHARGING)


def test_the_voltage_of_the_cell_is_taken_before_that_of_an_electrode_and_told(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    names = ["time/s", "Ewe/V", "Ewe-Ece/V", "I/mA"]
    path.write_text(csv_text(names, TIME, VOLTAGE + 1, VOLTAGE, CURRENT * 1e3))
    record = read_record(path, CHARGING)
    assert record.voltage_v == pytest.approx(VOLTAGE)
    assert any("'Ewe-Ece/V'; left aside: 'Ewe/V'" in note for note in record.notes)


@pytest.mark.parametrize("said", ["current", "current=", "charge=x", "=x"])
def test_a_mapping_that_cannot_be_is_refused(said: str) -> None:
    with pytest.raises(ConfigError, match="write QUANTITY=NAME"):
        said_columns([said])


def test_a_unit_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(csv_text(["Time(s)", "Voltage(V)", "Current(A)"], TIME, VOLTAGE, CURRENT))
    with pytest.raises(ConfigError, match="'furlong' is no unit of the current"):
        read_record(path, ReadOptions(columns={"current": "Current(A) [furlong]"}))


def test_mah_for_ah_shows_in_the_charge_that_the_file_counts(tmp_path: Path) -> None:
    charge = [sum(CURRENT[:20][:n]) * 10 / 3600 * 1e3 for n in range(20)]  # mAh under the name of Ah
    path = tmp_path / "cell.csv"
    names = ["Time(s)", "Voltage(V)", "Current(A)", "Capacity(Ah)"]
    path.write_text(csv_text(names, TIME[:20], VOLTAGE[:20], CURRENT[:20], charge))
    with pytest.raises(DataRefused, match=r"'Capacity\(Ah\)' grows by 1000 times current x time"):
        read_record(path, CHARGING)
    assert read_record(path, ReadOptions(positive=Positive.CHARGE, ignore_counters=True)).time_s.size == 20


ARBIN = ["Data_Point", "Test_Time", "Step_Time", "Step_Index", "Cycle_Index", "Current", "Voltage",
         "Charge_Capacity", "Discharge_Capacity"]  # fmt: skip


def arbin(unit: float) -> str:
    """An export of Arbin's, without units, whose currents are in `unit` A."""
    n = TIME.size
    step = [10 * abs(one) / 3600 for one in CURRENT]
    charged = [sum(step[: min(k, 19)]) for k in range(n)]
    discharged = [sum(step[20 : k + 1]) for k in range(n)]
    zeros = [1] * n
    return csv_text(ARBIN, range(1, n + 1), TIME, TIME, zeros, zeros, CURRENT / unit, VOLTAGE, charged, discharged)


def test_arbins_export_without_units_is_confirmed_by_its_own_charge(tmp_path: Path) -> None:
    path = tmp_path / "arbin.csv"
    path.write_text(arbin(1.0))
    record = read_record(path)
    assert record.current_a == pytest.approx(CURRENT)
    assert any("state no unit" in note and "'Charge_Capacity'" in note for note in record.notes)
    assert record.file_step is not None
    assert set(record.file_step.tolist()) == {1}


def test_arbins_export_in_another_unit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arbin.csv"
    path.write_text(arbin(1e-3))
    with pytest.raises(DataRefused, match="a unit of current"):
        read_record(path)
