"""What is refused of a record, with file, row and remedy; what is let pass where somebody says so, and told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cycler_files import charge_and_discharge, csv_text

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.readers import Positive, ReadOptions, Repeated, read_record
from poliqi.lab.echem.readers.windows import window_of

BDF = ("Test Time / s", "Voltage / V", "Current / A")
TIME, VOLTAGE, CURRENT = charge_and_discharge()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cell.csv"


def write(path: Path, time_s: np.ndarray, *more: np.ndarray, names: tuple[str, ...] = BDF) -> None:
    path.write_text(csv_text(names, time_s, *(more or (VOLTAGE, CURRENT))), encoding="utf-8")


def test_a_current_against_the_voltage_is_refused_with_the_row(path: Path) -> None:
    write(path, TIME, VOLTAGE, -CURRENT)
    with pytest.raises(DataRefused, match=r"the current's sign is that of BDF, .* line 2 on.*--positive discharge"):
        read_record(path)
    assert read_record(path, ReadOptions(positive=Positive.DISCHARGE)).current_a == pytest.approx(CURRENT)


def test_a_sign_that_somebody_states_wrongly_is_refused(path: Path) -> None:
    write(path, TIME)
    with pytest.raises(DataRefused, match=r"given by --positive.*--positive charge"):
        read_record(path, ReadOptions(positive=Positive.DISCHARGE))


def test_a_sign_that_nothing_states_is_refused_with_what_the_voltage_says(path: Path) -> None:
    write(path, TIME, names=("Time(s)", "Voltage(V)", "Current(A)"))
    with pytest.raises(DataRefused, match=r"'Current\(A\)' charges .*by the voltage it would be charge"):
        read_record(path)


def test_states_tell_the_sign_of_currents_without_one(path: Path) -> None:
    states = np.where(CURRENT > 0, "C", "D")
    write(path, TIME, VOLTAGE, abs(CURRENT), states, names=("Time(s)", "Voltage(V)", "Current(A)", "State"))
    assert read_record(path).current_a == pytest.approx(CURRENT)


def test_a_state_that_says_no_sign_is_refused_with_its_row(path: Path) -> None:
    states = np.where(CURRENT > 0, "C", "D").astype(object)
    states[7] = "P"
    write(path, TIME, VOLTAGE, abs(CURRENT), states, names=("Time(s)", "Voltage(V)", "Current(A)", "State"))
    with pytest.raises(DataRefused, match="line 9: 1 A in the state 'P'"):
        read_record(path)


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_counters_of_charge_tell_the_sign(path: Path, way: float) -> None:
    step = np.abs(CURRENT) * 10 / 3600
    charged, discharged = (np.cumsum(np.where(one, step, 0)) for one in (CURRENT > 0, CURRENT < 0))
    names = ("Time(s)", "Voltage(V)", "Current(A)", "Charge Capacity(Ah)", "Discharge Capacity(Ah)")
    write(path, TIME, VOLTAGE, way * CURRENT, charged, discharged, names=names)
    assert read_record(path).current_a == pytest.approx(CURRENT)


def test_time_that_goes_back_is_refused_with_the_row(path: Path) -> None:
    time_s = TIME.copy()
    time_s[20:] -= 150
    write(path, time_s)
    with pytest.raises(DataRefused, match=r"goes back at line 22, from 190 s to 50 s"):
        read_record(path)


def test_repeated_times_are_refused_with_row_and_number(path: Path) -> None:
    time_s = TIME.copy()
    time_s[[5, 30]] = time_s[[4, 29]]
    write(path, time_s)
    with pytest.raises(DataRefused, match=r"line 7 repeats the time .* 40 s, and 1 more do; .*--repeated apart"):
        read_record(path)


@pytest.mark.parametrize(
    ("repeated", "points", "lines"),
    [(Repeated.FIRST, 39, (21, 23)), (Repeated.LAST, 39, (20, 22)), (Repeated.APART, 40, (21, 22))],
)
def test_repeated_times_become_what_is_asked(
    path: Path, repeated: Repeated, points: int, lines: tuple[int, int]
) -> None:
    time_s = TIME.copy()
    time_s[20:] -= 10  # the first point of the second step at the time of the last point of the first
    write(path, time_s)
    record = read_record(path, ReadOptions(repeated=repeated))
    assert record.time_s.size == points
    at = int(np.argmax(record.current_a < 0))
    assert (record.row(at - 1), record.row(at)) == lines
    assert any("line 22" in note for note in record.notes)


def test_points_put_apart_keep_the_charge(path: Path) -> None:
    time_s = TIME.copy()
    time_s[20:] -= 10
    write(path, time_s)
    record = read_record(path, ReadOptions(repeated=Repeated.APART))
    charge = np.trapezoid(record.current_a, record.time_s)
    assert charge == pytest.approx(np.trapezoid(CURRENT, time_s), abs=2e-6)


def test_rounded_times_are_spread(path: Path) -> None:
    write(path, np.floor(TIME / 50) * 50)
    with pytest.raises(DataRefused, match="its times are rounded: --repeated spread"):
        read_record(path)
    record = read_record(path, ReadOptions(repeated=Repeated.SPREAD))
    assert record.time_s == pytest.approx(TIME)


def test_a_gap_while_current_flows_is_refused_with_the_row(path: Path) -> None:
    time_s = TIME.copy()
    time_s[12:] += 5000
    write(path, time_s)
    with pytest.raises(DataRefused, match=r"nothing is recorded for 5010 s before line 14, while current flows"):
        read_record(path)
    kept = read_record(path, ReadOptions(keep_gaps=True))
    assert any("5010 s before line 14" in note for note in kept.notes)


def test_a_long_step_at_rest_is_no_gap(path: Path) -> None:
    time_s, current = TIME.copy(), CURRENT.copy()
    time_s[12:] += 5000
    current[10:14] = 0
    write(path, time_s, VOLTAGE, current)
    assert read_record(path).time_s.size == TIME.size


def test_numbers_that_skip_tell_missing_points(path: Path) -> None:
    number = np.arange(1, 41)
    number[15:] += 7
    write(path, TIME, VOLTAGE, CURRENT, number, names=(*BDF, "Data_Point"))
    with pytest.raises(DataRefused, match="7 points are missing by their numbers, the first before line 17"):
        read_record(path)


def test_rows_in_another_order_are_put_in_order_and_told(path: Path) -> None:
    order = np.r_[20:40, 0:20]
    number = np.arange(1, 41)
    columns = (TIME[order], VOLTAGE[order], CURRENT[order], number[order])
    write(path, *columns, names=(*BDF, "Data_Point"))
    record = read_record(path)
    assert record.time_s == pytest.approx(TIME)
    assert record.row(0) == 22
    assert any("another order than 'Data_Point'" in note for note in record.notes)


def test_a_counter_that_falls_is_refused_with_the_row(path: Path) -> None:
    cycle = np.where(np.arange(40) < 25, 12, 1)
    write(path, TIME, VOLTAGE, CURRENT, cycle, names=(*BDF, "Cycle Count / 1"))
    with pytest.raises(DataRefused, match=r"'Cycle Count / 1' falls from 12 to 1 at line 27"):
        read_record(path)
    assert any("line 27" in note for note in read_record(path, ReadOptions(keep_resets=True)).notes)


def test_voltage_outside_the_chemistry_is_refused_with_the_row(path: Path) -> None:
    voltage = VOLTAGE.copy()
    voltage[33] = -3.787
    write(path, TIME, voltage, CURRENT)
    options = ReadOptions(window_v=window_of("graphite-nmc"), window_of="graphite-nmc")
    with pytest.raises(
        DataRefused, match=r"-3.787 V at line 35 is outside 1.4 to 4.6 V of graphite-nmc \(1 points are\)"
    ):
        read_record(path, options)


def test_a_chemistry_that_nobody_knows_lists_the_others() -> None:
    with pytest.raises(ConfigError, match="graphite-lfp"):
        window_of("unobtainium")


def test_a_file_cut_off_in_a_line_is_refused_with_it(path: Path) -> None:
    write(path, TIME)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataRefused, match=r"is cut off: its last line, 41, is '390.0"):
        read_record(path)


def test_a_field_that_is_no_number_is_refused_with_its_row(path: Path) -> None:
    write(path, TIME)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[17] = "160.0,Fehler,1.0"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataRefused, match="line 18: 'Fehler' in column 'Voltage / V' is no number"):
        read_record(path)


def test_an_empty_field_is_refused_with_its_row(path: Path) -> None:
    write(path, TIME)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[17] = "160.0,,1.0"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataRefused, match="line 18: no number in column 'Voltage / V'"):
        read_record(path)


def test_an_empty_file_and_one_that_is_not_there(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(DataRefused, match="is empty"):
        read_record(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_record(path.with_name("other.csv"))


def test_a_sheet_of_a_text_is_refused(path: Path) -> None:
    write(path, TIME)
    with pytest.raises(ConfigError, match="has no sheets"):
        read_record(path, ReadOptions(sheet="Channel_1"))


def test_a_negative_voltage_may_have_swapped_leads(path: Path) -> None:
    write(path, TIME, -VOLTAGE, CURRENT)
    with pytest.raises(DataRefused, match="the leads of the negative voltage were swapped"):
        read_record(path)
