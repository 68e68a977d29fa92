"""The job's file: vectors of the specification, round trips, damage, and limits in memory."""

from __future__ import annotations

import importlib.util
import io
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused
from poliqi.lab.print.hatch.jobformat import FORMAT, MOST_VECTORS, Header, Record
from poliqi.lab.print.hatch.jobreader import check_job, open_job, read_job
from poliqi.lab.print.hatch.jobwriter import JobWriter

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "print_job"
CASES = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))["cases"]
HEADER = Header(
    FORMAT,
    "test",
    True,
    "solid",
    ((-(10**7), -(10**7), 0), (10**7, 10**7, 10**6)),
    (2 * 10**7, 2 * 10**7),
    1,
    1,
    10,
    "tile",
    "up",
    0.0,
    100.0,
    0.5,
    {"a": [1, None]},
    {},
    "",
)


def record(vectors: Any, layer: int = 0, **changed: Any) -> Record:
    given = Record(0, 0, layer, 1000 * (100 * layer + 50), (0, 0), 20.0, 100.0, np.asarray(vectors, dtype=np.int32))
    return replace(given, **changed)


def written(records: list[Record], header: Header = HEADER) -> bytes:
    file = io.BytesIO()
    writer = JobWriter(file, header)
    for one in records:
        writer.add(one)
    digest = writer.finish()
    assert file.getvalue()[-32:].hex() == digest
    assert writer.bytes == len(file.getvalue())
    return file.getvalue()


def read(data: bytes) -> list[Record]:
    job = read_job(io.BytesIO(data))
    return list(job.records())


def test_the_cases_are_what_their_program_writes() -> None:
    spec = importlib.util.spec_from_file_location("print_job_cases", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (FOLDER / "cases.json").read_text(encoding="utf-8") == module.text()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_case_of_the_specification(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    if not case["valid"]:
        with pytest.raises(DataRefused, match=r"print job .*write it anew"):
            read(data)
        return
    found = [
        {
            "block": one.block,
            "tile": one.tile,
            "layer": one.layer,
            "z_nm": one.z_nm,
            "centre_nm": list(one.centre_nm),
            "power_mw": one.power_mw,
            "speed_mm_s": one.speed_mm_s,
            "vectors": one.vectors.tolist(),
        }
        for one in read(data)
    ]
    assert found == case["records"]


def test_failures_outnumber_successes() -> None:
    valid = [case["valid"] for case in CASES]
    assert valid.count(False) > 5 * valid.count(True)


numbers = st.integers(-(10**7), 10**7)


@st.composite
def vectors(draw: st.DrawFn) -> list[list[int]]:
    found = []
    for _ in range(draw(st.integers(1, 6))):
        along, across, other = draw(numbers), draw(numbers), draw(numbers)
        end = other if other != along else (along + 1 if along < 10**7 else along - 1)
        found.append([along, across, end, across] if draw(st.booleans()) else [across, along, across, end])
    return found


@given(st.lists(vectors(), min_size=1, max_size=4), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_what_is_written_is_read(layers: list[list[list[int]]], power: float, speed: float) -> None:
    records = [record(one, at, power_mw=power, speed_mm_s=speed) for at, one in enumerate(layers)]
    job = read_job(io.BytesIO(written(records)))
    assert job.header == HEADER
    found = list(job.records())
    assert [one.vectors.tolist() for one in found] == layers
    assert {(one.power_mw, one.speed_mm_s) for one in found} == {(power, speed)}
    assert job.totals is not None
    flat = np.concatenate([np.asarray(one) for one in layers])
    assert job.totals == (len(layers), len(flat), np.abs(flat[:, 2:] - flat[:, :2]).sum())


GOOD = written([record([[0, 0, 100, 0], [100, 500, 0, 500]]), record([[5, 5, 5, 9]], 3)])


@given(st.integers(0, 8 * len(GOOD) - 1))
def test_any_flipped_bit_is_refused(at: int) -> None:
    data = bytearray(GOOD)
    data[at // 8] ^= 1 << at % 8
    with pytest.raises(DataRefused):
        read(bytes(data))


@given(st.integers(0, len(GOOD) - 1))
def test_any_cut_is_refused(at: int) -> None:
    with pytest.raises(DataRefused, match=r"cut short|begin|header"):
        read(GOOD[:at])


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DataRefused):
        read(data)
    start = len(GOOD) - 64 - 16 - 64  # of the last record
    with pytest.raises(DataRefused):
        read(GOOD[:start] + data)


def test_a_record_that_promises_much_is_not_believed() -> None:
    data = bytearray(GOOD)
    data[8:12] = (2**32 - 1).to_bytes(4, "little")
    tracemalloc.start()
    with pytest.raises(DataRefused, match="4294967295"):
        read(bytes(data))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_layer_of_many_vectors_becomes_several_records() -> None:
    many = np.zeros((MOST_VECTORS + 3, 4), dtype=np.int32)
    many[:, 2] = 1
    found = read(written([record(many)]))
    assert [len(one.vectors) for one in found] == [MOST_VECTORS, 3]


def test_a_long_job_is_read_in_bounded_memory(tmp_path: Path) -> None:
    some = np.zeros((20_000, 4), dtype=np.int32)
    some[:, 2] = np.arange(1, 20_001)
    path = tmp_path / "long.job"
    with path.open("wb") as file:
        writer = JobWriter(file, HEADER)
        for at in range(100):
            writer.add(record(some, at // 10))
        writer.finish()
    assert path.stat().st_size > 32_000_000
    tracemalloc.start()
    totals = check_job(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert totals.vectors == 2_000_000
    assert peak < 4_000_000


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"power_mw": 0.0}, "power_mw"),
        ({"speed_mm_s": float("nan")}, "speed_mm_s"),
        ({"layer": 10}, "10 layers"),
        ({"tile": 1}, "1 tiles"),
        ({"z_nm": 50_002}, "puts the layer"),
        ({"vectors": np.array([[0, 0, 1, 1]], dtype=np.int32)}, "oblique"),
        ({"vectors": np.array([[10**7 + 1, 0, 10**7, 0]], dtype=np.int32)}, "bounds"),
        ({"centre_nm": (1, 0), "vectors": np.array([[-(10**7), 0, 10**7, 0]], dtype=np.int32)}, "field"),
    ],
)
def test_the_writer_refuses_what_the_reader_would(changed: dict[str, Any], words: str) -> None:
    writer = JobWriter(io.BytesIO(), HEADER)
    with pytest.raises(DataRefused, match=words):
        writer.add(replace(record([[0, 0, 1, 0]]), **changed))


def test_records_out_of_order_are_not_written() -> None:
    writer = JobWriter(io.BytesIO(), HEADER)
    writer.add(record([[0, 0, 1, 0]], 2))
    with pytest.raises(DataRefused, match="out of order"):
        writer.add(record([[0, 0, 1, 0]], 1))


def test_an_empty_job_is_not_written() -> None:
    writer = JobWriter(io.BytesIO(), HEADER)
    writer.add(record(np.zeros((0, 4))))
    with pytest.raises(DataRefused, match="nothing is lit"):
        writer.finish()


def test_a_header_too_large_is_not_written() -> None:
    wide = msgspec.structs.replace(HEADER, settings={"a": "b" * (1 << 20)})
    with pytest.raises(DataRefused, match="header of"):
        JobWriter(io.BytesIO(), wide)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match=r"none\.job: cannot be read"):
        open_job(tmp_path / "none.job")


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.job"
    path.write_bytes(GOOD[:-1])
    with pytest.raises(DataRefused, match=r"bad\.job: it is cut short"):
        check_job(path)
