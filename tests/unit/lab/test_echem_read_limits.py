"""Small files that would take much memory or time."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cycler_files import charge_and_discharge, csv_text, write_ndax

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.eis.reading import read_spectrum
from poliqi.lab.echem.readers import ReadOptions, Repeated, read_record
from poliqi.lab.echem.unittable import Wanted, unit_table

NAMES = ("Test Time / s", "Voltage / V", "Current / A")
TIME, VOLTAGE, CURRENT = charge_and_discharge()
MANY = tuple(f"Temp{'.' * count} / degC" for count in range(1, 60))
STEPS = [
    (1 if amps > 0 else 2, 2 if amps > 0 else 3, float(at % 20) * 10, float(volts), float(amps))
    for at, (volts, amps) in enumerate(zip(VOLTAGE, CURRENT, strict=True))
]


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    return tmp_path / "cell.csv"


def test_columns_that_say_the_same_are_read_when_they_are_asked_for(
    cell: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell.write_text(csv_text((*NAMES, *MANY), TIME, VOLTAGE, CURRENT, *[TIME] * len(MANY)), encoding="utf-8")
    monkeypatch.setattr("poliqi.lab.echem.readers.textcolumns._MOST_NUMBERS", 4 * TIME.size)
    assert read_record(cell).temperature_c is not None
    monkeypatch.setattr("poliqi.lab.echem.readers.textcolumns._MOST_NUMBERS", 4 * TIME.size - 1)
    with pytest.raises(DataRefused, match=r"40 lines of 4 columns; at most .* split it"):
        read_record(cell)


@pytest.mark.parametrize("line", ["", "\r", ",,", "  ", "\t;|", ",,\n500,3.5,1"])
@pytest.mark.parametrize("slice_bytes", [7, 1 << 24])
def test_a_text_of_empty_lines_is_refused_before_it_is_parsed(
    line: str, slice_bytes: int, cell: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poliqi.lab.echem.readers.textcolumns._SLICE", slice_bytes)
    monkeypatch.setattr("poliqi.lab.echem.readers.textcolumns._MOST_EMPTY", 9)
    cell.write_bytes((csv_text(NAMES, TIME, VOLTAGE, CURRENT) + f"{line}\n" * 10).encode())
    with pytest.raises(DataRefused, match="more than 9 of its lines are empty; take them out"):
        read_record(cell)
    monkeypatch.setattr("poliqi.lab.echem.readers.textcolumns._MOST_EMPTY", 10)
    assert read_record(cell, ReadOptions(repeated=Repeated.FIRST)).time_s.size >= TIME.size


def test_some_empty_lines_are_left_out_and_padded_rows_are_not(cell: Path) -> None:
    text = csv_text(NAMES, *([f"  {one}" for one in column] for column in (TIME, VOLTAGE, CURRENT)))
    head, first, *rest = text.splitlines()
    cell.write_text("\n".join([head, "", first, " ,\t;", *rest, "", ",,\x1a"]), encoding="utf-8")
    record = read_record(cell)
    assert record.time_s == pytest.approx(TIME)
    assert record.rows is not None
    assert record.rows.tolist() == [3, *range(5, 44)]


def test_a_parquet_of_too_many_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    columns = dict(zip((*NAMES, *MANY), (TIME, VOLTAGE, CURRENT, *[TIME] * len(MANY)), strict=True))
    parquet.write_table(pyarrow.table(columns), tmp_path / "cell.parquet")
    monkeypatch.setattr("poliqi.lab.echem.readers.parquet._MOST_NUMBERS", 4 * TIME.size)
    assert read_record(tmp_path / "cell.parquet").time_s.size == TIME.size
    monkeypatch.setattr("poliqi.lab.echem.readers.parquet._MOST_NUMBERS", 4 * TIME.size - 1)
    with pytest.raises(DataRefused, match="40 rows of 4 columns"):
        read_record(tmp_path / "cell.parquet")


def auxiliary(numbers: list[int]) -> bytes:
    """A table of temperatures beside data.ndc, by the numbers of the points: 20 degC, 20.1 degC ..."""
    head = bytearray(4096)
    head[0], head[2] = 5, 5
    rows = [
        bytes(3) + b"\1" + bytes(3) + b"\x65" + struct.pack("<I", number) + bytes(29)
        + struct.pack("<h", 200 + at) + bytes(44)
        for at, number in enumerate(numbers)
    ]  # fmt: skip
    blocks = [(bytes(125) + b"".join(rows[at : at + 44])).ljust(4096, b"\0") for at in range(0, len(rows), 44)]
    return bytes(head) + b"".join(blocks)


def test_an_archive_that_tells_a_point_many_times_does_not_grow(tmp_path: Path) -> None:
    pytest.importorskip("NewareNDA")
    path = tmp_path / "cell.ndax"
    write_ndax(path, STEPS, **{"data_AUX_1_1_1.ndc": auxiliary([*range(1, 41), *[1] * 500])})
    record = read_record(path, ReadOptions(repeated=Repeated.APART))
    assert record.temperature_c == pytest.approx(20 + np.arange(40) / 10, abs=1e-4)
    assert "data_AUX_1_1_1.ndc tells 500 points more than once: the first was kept" in record.notes


def test_an_archive_of_very_many_channels_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("NewareNDA")
    more = {f"data_AUX_1_1_{number}.ndc": auxiliary([1]) for number in range(33)}
    write_ndax(tmp_path / "cell.ndax", STEPS, **more)
    with pytest.raises(DataRefused, match="33 tables of auxiliary channels"):
        read_record(tmp_path / "cell.ndax")


def test_long_lines_of_a_header_are_searched_in_no_time(tmp_path: Path) -> None:
    """By a pattern that goes back, a line of so many blanks would take hours."""
    rows = csv_text(("time/s", "Ewe/V", "I/mA"), TIME, VOLTAGE, 1e3 * CURRENT, separator="\t")
    line = "Acquisition started on : " + " " * 300_000 + "x\n"
    path = tmp_path / "cell.mpt"
    path.write_text("EC-Lab ASCII FILE\nNb header lines : 4\n" + line + rows)
    assert read_record(path).time_s.size == TIME.size
    heading = "E" + " " * 300_000 + "x"
    wanted = {"potential": Wanted(("e",), {"V": 1.0})}
    assert unit_table(f"E / V,{heading}\n1,2\n".encode(), wanted).columns["potential"].tolist() == [1.0]


def test_a_table_of_too_many_lines_or_columns_is_refused_before_it_is_parted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = {"potential": Wanted(("e",), {"V": 1.0})}
    monkeypatch.setattr("poliqi.lab.echem.unittable._MOST_LINES", 3)
    assert unit_table(b"E / V,x\n1,2\n3,4\n", wanted).rows.size == 2
    with pytest.raises(DataRefused, match="more than 3 lines"):
        unit_table(b"E / V,x\n1,2\n\n\n", wanted)
    assert unit_table(b"E / V" + b",x" * 999 + b"\n" + b"1," * 1000, wanted).rows.size == 1
    with pytest.raises(DataRefused, match="no row of numbers"):
        unit_table(b"E / V" + b",x" * 1000 + b"\n" + b"1," * 1001, wanted)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\v", "\u2028"])
def test_a_spectrum_of_too_many_lines_is_refused_before_they_are_parted(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cell.csv"
    path.write_bytes(end.join(["freq/Hz,Re(Z)/Ohm,Im(Z)/Ohm", "10,1,-1", "1,2,-1", ""]).encode())
    monkeypatch.setattr("poliqi.lab.echem.eis.reading._MOST_LINES", 3)
    assert read_spectrum(path).frequency_hz.size == 2
    monkeypatch.setattr("poliqi.lab.echem.eis.reading._MOST_LINES", 2)
    with pytest.raises(DataRefused, match="more than 2 lines"):
        read_spectrum(path)
