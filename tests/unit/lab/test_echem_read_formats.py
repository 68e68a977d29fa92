"""Each format of file that cyclers write, made here by what is known of it."""

from __future__ import annotations

import gzip
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cycler_files import charge_and_discharge, csv_text, mpr_bytes, nda_bytes, write_ndax, write_xlsx

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.readers import Positive, ReadOptions, Repeated, read_record
from poliqi.lab.echem.readers.filebytes import text_bytes

TIME, VOLTAGE, CURRENT = charge_and_discharge()
NAMES = ("Test Time / s", "Voltage / V", "Current / A")
CHARGING = ReadOptions(positive=Positive.CHARGE)
STEPS = [
    (1 + (k >= 20), 1 if k < 20 else 2, float(k % 20 * 10), float(VOLTAGE[k]), float(CURRENT[k])) for k in range(40)
]
"""As Neware counts: the second step begins at 0 s again, when the first has lasted 190 s."""


def test_biologic_binary(tmp_path: Path) -> None:
    pytest.importorskip("galvani")
    path = tmp_path / "cell.mpr"
    path.write_bytes(mpr_bytes({"time/s": TIME, "Ewe/V": VOLTAGE, "I/mA": CURRENT * 1e3}))
    record = read_record(path)
    assert record.source_format == "BioLogic .mpr"
    assert record.time_s == pytest.approx(TIME)
    assert record.voltage_v == pytest.approx(VOLTAGE, rel=1e-7)
    assert record.current_a == pytest.approx(CURRENT, rel=1e-7)
    assert any("2026-03-02 09:30:00" in note for note in record.notes)


def test_biologic_binary_without_current_has_the_mean_of_each_interval(tmp_path: Path) -> None:
    pytest.importorskip("galvani")
    moved = np.r_[0, CURRENT[1:] * 10 / 3600 * 1e3]
    path = tmp_path / "cell.mpr"
    path.write_bytes(mpr_bytes({"time/s": TIME, "Ewe/V": VOLTAGE, "dq/mA.h": moved}))
    record = read_record(path)
    assert record.current_a[1:] == pytest.approx(CURRENT[1:])
    assert record.current_a[0] == 0
    assert any("'dq/mA.h'" in note for note in record.notes)


def test_biologic_binary_that_is_cut_off(tmp_path: Path) -> None:
    pytest.importorskip("galvani")
    path = tmp_path / "cell.mpr"
    path.write_bytes(mpr_bytes({"time/s": TIME, "Ewe/V": VOLTAGE, "I/mA": CURRENT})[:900])
    with pytest.raises(DataRefused, match=r"is cut off: .*copy it again"):
        read_record(path)


def test_biologic_text_with_decimal_commas(tmp_path: Path) -> None:
    head = "EC-Lab ASCII FILE\r\nNb header lines : 5\r\n\r\nAcquisition started on : 03/02/2026 09:30:00\r\n"
    table = csv_text(("time/s", "Ecell/V", "I/mA", "Temperature/°C"), TIME, VOLTAGE, CURRENT * 1e3, TIME * 0 + 25.5)
    path = tmp_path / "cell.mpt"
    path.write_bytes((head + table.replace(",", "\t").replace(".", ",").replace("\n", "\r\n")).encode("cp1252"))
    record = read_record(path)
    assert record.source_format == "BioLogic .mpt"
    assert record.voltage_v == pytest.approx(VOLTAGE)
    assert record.current_a == pytest.approx(CURRENT)
    assert record.temperature_c == pytest.approx(25.5)
    assert (record.row(0), record.row(39)) == (6, 45)


@pytest.mark.parametrize("said", ["Nb header lines : many", "Nb header lines : 9000", ""])
def test_biologic_text_with_a_wrong_header(tmp_path: Path, said: str) -> None:
    path = tmp_path / "cell.mpt"
    path.write_text(f"EC-Lab ASCII FILE\n{said}\n" + csv_text(("time/s", "Ewe/V", "I/mA"), TIME, VOLTAGE, CURRENT))
    with pytest.raises(DataRefused, match="does not say how long it is"):
        read_record(path)


def test_maccor_text_takes_signs_from_its_states(tmp_path: Path) -> None:
    names = ("Rec#", "Cyc#", "Step", "Test (Min)", "Step (Min)", "Amps", "Volts", "State")
    states = np.where(CURRENT > 0, "C", "D")
    number = range(1, 41)
    rows = csv_text(names, number, TIME * 0, TIME * 0 + 3, TIME / 60, TIME, abs(CURRENT), VOLTAGE, states)
    path = tmp_path / "cell.001"
    path.write_text("Today's Date 03/02/2026\tFilename: a\n" + rows.replace(",", "\t"))
    record = read_record(path)
    assert record.source_format == "Maccor text"
    assert record.time_s == pytest.approx(TIME)
    assert record.current_a == pytest.approx(CURRENT)
    assert record.file_step is not None
    assert record.file_step[0] == 3


@pytest.mark.parametrize("ending", [".nda", ".ndax"])
def test_neware_counts_time_over_its_steps(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("NewareNDA")
    path = tmp_path / f"cell{ending}"
    if ending == ".nda":
        path.write_bytes(nda_bytes(STEPS))
    else:
        write_ndax(path, STEPS)
    with pytest.raises(DataRefused, match="record 21 repeats the time of the point before, 190 s"):
        read_record(path)
    record = read_record(path, ReadOptions(repeated=Repeated.APART))
    assert record.time_s == pytest.approx(np.r_[TIME[:20], TIME[20:] - 10], abs=2e-6)
    assert record.voltage_v == pytest.approx(VOLTAGE, abs=6e-5)
    assert record.current_a == pytest.approx(CURRENT / 1e3, rel=1e-6)


def test_neware_cut_off_in_a_record(tmp_path: Path) -> None:
    pytest.importorskip("NewareNDA")
    path = tmp_path / "cell.nda"
    path.write_bytes(nda_bytes(STEPS)[:-50])
    with pytest.raises(DataRefused, match="ends 36 bytes into a record of 86: it is cut off"):
        read_record(path)


def test_neware_without_any_record_does_not_search_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "cell.nda"
    data = nda_bytes(STEPS[:1])
    path.write_bytes(data[:1200] + (b"\0\0\0\0\x55\0" + bytes(40)) * 20 + bytes(200))
    with pytest.raises(DataRefused, match="no record of a measurement"):
        read_record(path)


def test_a_neware_archive_that_unpacks_to_too_much(tmp_path: Path) -> None:
    path = tmp_path / "cell.ndax"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("data.ndc", "w") as out:
        for _ in range(129):
            out.write(bytes(1 << 20))
    with pytest.raises(DataRefused, match="unpacks to 1 files of 129 MiB"):
        read_record(path)


SHEET = [NAMES, *zip(TIME.tolist(), VOLTAGE.tolist(), CURRENT.tolist(), strict=True)]


def test_a_sheet_of_excel_is_found_among_others(tmp_path: Path) -> None:
    path = tmp_path / "cell.xlsx"
    write_xlsx(path, {"Info": [["Test report"], [], ["Creator", "me"]], "Channel_1": [["a title"], [], *SHEET]})
    record = read_record(path, CHARGING)
    assert record.voltage_v == pytest.approx(VOLTAGE)
    assert record.row(0) == 4
    assert any("'Channel_1'" in note for note in record.notes)


def test_two_sheets_of_channels_are_named_and_none_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "cell.xlsx"
    write_xlsx(path, {"Channel_1": SHEET, "Channel_2": SHEET})
    with pytest.raises(DataRefused, match=r"2 sheets .*'Channel_1', 'Channel_2'; say which by --sheet NAME"):
        read_record(path, CHARGING)
    assert read_record(path, ReadOptions(sheet="Channel_2", positive=Positive.CHARGE)).time_s.size == 40
    with pytest.raises(ConfigError, match="none of that name; it has 'Channel_1'"):
        read_record(path, ReadOptions(sheet="Channel_3"))


def test_a_cell_that_is_no_number_is_refused_with_sheet_and_row(tmp_path: Path) -> None:
    path = tmp_path / "cell.xlsx"
    write_xlsx(path, {"C": [*SHEET[:5], ("40", "n/a", 1.0), *SHEET[6:]]})
    with pytest.raises(DataRefused, match="sheet 'C', row 6: 'n/a' in column 'Voltage / V' is no number"):
        read_record(path, CHARGING)


def test_gzip_is_unpacked_and_a_bomb_is_not(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv.gz"
    text = csv_text(NAMES, TIME, VOLTAGE, CURRENT).encode()
    path.write_bytes(gzip.compress(text[:300]) + gzip.compress(text[300:]))
    assert read_record(path).time_s.size == 40
    path.write_bytes(gzip.compress(bytes(4 << 20)))
    with pytest.raises(DataRefused, match="unpacks to more than 1 MiB"):
        text_bytes(path, 1 << 20)


def test_a_clock_of_hours_is_read_in_seconds(tmp_path: Path) -> None:
    clock = [f"{int(t // 3600) + 30:02d}:{int(t % 3600 // 60):02d}:{t % 60:04.1f}" for t in TIME]
    path = tmp_path / "cell.csv"
    path.write_text(csv_text(("Test Time(s)", "Voltage(V)", "Current(A)"), clock, VOLTAGE, CURRENT))
    assert read_record(path, CHARGING).time_s == pytest.approx(TIME + 30 * 3600)


def test_a_line_of_words_above_the_names_is_not_taken_for_them(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    words = "Voltage range,Current range\nVoltage,Current\n5 V,1 A\n"
    path.write_text(words + csv_text(NAMES, TIME, VOLTAGE, CURRENT))
    assert read_record(path).row(0) == 5


def test_decimal_commas_are_seen_beyond_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    rows = csv_text(NAMES, TIME.astype(int), VOLTAGE, CURRENT.astype(int), separator=";").replace("3.65;", "4;", 1)
    path.write_text(rows.replace(".", ","))
    assert read_record(path, CHARGING).voltage_v[1:] == pytest.approx(VOLTAGE[1:])


def test_utf_16_is_text(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(csv_text(NAMES, TIME, VOLTAGE, CURRENT), encoding="utf-16")
    assert read_record(path).time_s.size == 40


def test_bytes_of_nothing_known_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.bin"
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(DataRefused, match="none of the binary formats"):
        read_record(path)


RES = b"\x00\x01\x00\x00Standard Jet DB\x00" + bytes(100)


def test_arbins_database_without_mdbtools_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cell.res"
    path.write_bytes(RES)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"mdb-export cell.res Channel_Normal_Table > cell.csv"):
        read_record(path)


def test_arbins_database_by_mdbtools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tool = tmp_path / "cell.res", tmp_path / "mdb-export"
    path.write_bytes(RES)
    (tmp_path / "table.csv").write_text(csv_text(("Test_ID", *NAMES), [3] * 40, TIME, VOLTAGE, CURRENT))
    tool.write_text(f'#!/bin/sh\ntest "$2" = Channel_Normal_Table && test -f "$1" && cat {tmp_path}/table.csv\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert read_record(path).voltage_v == pytest.approx(VOLTAGE)
    (tmp_path / "table.csv").write_text(csv_text(("Test_ID", *NAMES), [3] * 20 + [4] * 20, TIME, VOLTAGE, CURRENT))
    with pytest.raises(DataRefused, match="holds 2 tests"):
        read_record(path)
    tool.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(DataRefused, match="takes no table Channel_Normal_Table out of it"):
        read_record(path)
