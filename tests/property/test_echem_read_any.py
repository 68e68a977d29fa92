"""Whatever stands in a file of a cycler: a record that holds what it must, or a refusal, in bounded time."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cycler_files import charge_and_discharge, csv_text, mpr_bytes, nda_bytes, write_ndax, write_xlsx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.bdf import bdf_bytes
from poliqi.lab.echem.readers import Positive, ReadOptions, Repeated, read_record
from poliqi.lab.echem.readers.naming import named
from poliqi.lab.echem.record import CyclingRecord

TIME, VOLTAGE, CURRENT = charge_and_discharge()
EASY = ReadOptions(
    positive=Positive.CHARGE, repeated=Repeated.APART, keep_gaps=True, keep_resets=True, ignore_counters=True
)
CELLS = st.one_of(
    st.floats().map(repr),
    st.sampled_from(
        ["", "nan", "1,5", '"1.5"', '"', "1e999", "0x1", "1_0", "٣", "2d 01:02:03", "99:99:99", "\0", "D"]
    ),
)
HEADS = st.sampled_from(
    [
        "Test Time / s,Voltage / V,Current / A",
        "time/s\tEwe/V\tI/mA",
        "Rec#\tTest (Min)\tAmps\tVolts\tState",
        "",
        "a;b",
    ]
)
LINES = st.lists(
    st.tuples(st.lists(CELLS, max_size=6), st.sampled_from(",\t;")).map(lambda line: line[1].join(line[0]))
)
TEXTS = st.tuples(HEADS, LINES).map(lambda text: "\n".join([text[0], *text[1]]).encode())


def read(data: bytes, ending: str) -> CyclingRecord | None:
    """The record, or None where it is refused; anything else is an error of the reader."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"cell{ending}"
        path.write_bytes(data)
        try:
            record = read_record(path, EASY)
        except (DataRefused, ConfigError):
            return None
    assert bool(np.all(np.isfinite(record.voltage_v) & np.isfinite(record.current_a)))
    assert bool(np.all(np.diff(record.time_s) > 0))
    return record


@given(st.one_of(TEXTS, st.binary(max_size=300)), st.sampled_from([".csv", ".mpt", ".txt", ".gz"]))
@settings(max_examples=80, deadline=None)
def test_text_gives_a_record_or_a_refusal(data: bytes, ending: str) -> None:
    read(data, ending)


@cache
def whole(ending: str) -> bytes:
    """A file of that ending that is read."""
    steps = [(1 + (k >= 20), 1 if k < 20 else 2, float(k), float(VOLTAGE[k]), float(CURRENT[k])) for k in range(40)]
    names = ("Test Time / s", "Voltage / V", "Current / A")
    match ending:
        case ".mpr":
            return mpr_bytes({"time/s": TIME, "Ewe/V": VOLTAGE, "I/mA": CURRENT})
        case ".nda":
            return nda_bytes(steps)
        case ".parquet":
            return bdf_bytes(CyclingRecord(TIME, VOLTAGE, CURRENT), ending)
        case ".mpt":
            return b"EC-Lab ASCII FILE\nNb header lines : 3\n" + csv_text(names, TIME, VOLTAGE, CURRENT).encode()
        case _:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"cell{ending}"
                if ending == ".ndax":
                    write_ndax(path, steps)
                else:
                    write_xlsx(
                        path, {"A": [names, *zip(TIME.tolist(), VOLTAGE.tolist(), CURRENT.tolist(), strict=True)]}
                    )
                return path.read_bytes()


@pytest.mark.parametrize("ending", [".mpr", ".nda", ".ndax", ".xlsx", ".mpt", ".parquet"])
@given(st.data())
@settings(max_examples=20, deadline=None)
def test_a_damaged_file_gives_a_record_or_a_refusal(ending: str, data: st.DataObject) -> None:
    if ending == ".mpr":
        pytest.importorskip("galvani")
    raw = bytearray(whole(ending))
    for _ in range(data.draw(st.integers(0, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    read(bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw), ending)


@given(
    arrays.arrays(np.float64, st.integers(2, 40), elements=st.floats(1e-9, 1e9), unique=True),
    st.sampled_from([".csv", ".parquet"]),
    st.data(),
)
@settings(max_examples=40, deadline=None)
def test_every_number_that_is_written_is_read(times: np.ndarray, ending: str, data: st.DataObject) -> None:
    volts = data.draw(arrays.arrays(np.float64, times.size, elements=st.floats(-10, 10)))
    record = CyclingRecord(np.sort(times), volts, np.zeros(times.size))
    found = read(bdf_bytes(record, ending), ending)
    assert found is not None
    assert np.array_equal(found.time_s, record.time_s)
    assert np.array_equal(found.voltage_v, record.voltage_v)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_name_of_a_column_is_taken_apart_or_left(header: str) -> None:
    found = named(header)
    assert found is None or found.factor is None or found.factor > 0


def test_the_files_that_are_damaged_are_read_whole() -> None:
    for ending in (".nda", ".ndax", ".xlsx", ".mpt", ".parquet"):
        assert read(whole(ending), ending) is not None, ending
