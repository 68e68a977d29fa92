"""The published vectors of the time-tag formats; they are written from the specification alone."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.timetags.raw import TagWriting, decode_tags, encode_head
from poliqi.link.timetags.states import StateTable, StateWriting
from poliqi.link.timetags.states import encode_head as encode_states_head

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "timetags"
CASES = json.loads((VECTORS / "binary.json").read_text())["cases"]
REFUSED = [case for case in CASES if not case["valid"]]


def of(kind: str, *, valid: bool) -> list[dict]:
    return [case for case in CASES if case["kind"] == kind and case["valid"] is valid]


def named(case: dict) -> str:
    return f"{case['kind']}: {case['name']}"


def test_failures_outnumber_successes() -> None:
    assert len(REFUSED) > 5 * (len(CASES) - len(REFUSED))


def test_the_file_is_what_its_generator_writes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate_timetag_vectors", VECTORS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__file__ = str(tmp_path / "generate.py")
    module.main()
    assert (tmp_path / "binary.json").read_text() == (VECTORS / "binary.json").read_text()


@pytest.mark.parametrize("case", of("tags", valid=True), ids=named)
def test_tags_are_read(case: dict) -> None:
    header, tags, end_ps = decode_tags(bytes.fromhex(case["hex"]))
    assert header.origin is Origin.SIMULATED
    assert (tags.times_ps.tolist(), tags.channels.tolist(), end_ps) == (
        case["times"],
        case["channels"],
        case["end"],
    )
    tagging = header.tagging
    assert (tagging.bins, tagging.gate_ps) == (case["bins"], case["gate_ps"])
    assert [channel.meaning.value for channel in tagging.channels] == case["meanings"]


@pytest.mark.parametrize("case", of("tags", valid=True), ids=named)
def test_tags_are_written_as_the_specification_says(case: dict) -> None:
    data = bytes.fromhex(case["hex"])
    header, tags, end_ps = decode_tags(data)
    writing = TagWriting(header.tagging)
    again = b"".join([encode_head(header), *writing.chunk(tags), writing.end(end_ps)])
    assert decode_tags(again)[1].times_ps.tolist() == case["times"]
    length = int.from_bytes(data[12:16], "little")
    assert again[:length] == data[:length]
    assert again[-32:] == data[-32:]
    if case["name"] != "two chunks":
        assert again == data


@pytest.mark.parametrize("case", of("states", valid=True), ids=named)
def test_states_are_read_and_written(case: dict) -> None:
    data = bytes.fromhex(case["hex"])
    table = StateTable(data)
    assert (table.first_slot, table.slots) == (case["first"], len(case["states"]))
    slots = np.arange(table.first_slot, table.first_slot + table.slots, dtype=np.int64)
    assert table.states(slots).tolist() == case["states"]
    writing = StateWriting(2, table.first_slot)
    parts = writing.add(np.array(case["states"], np.uint8)) + writing.end()
    assert encode_states_head(table.header) + b"".join(parts) == data


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_what_is_wrong_is_refused_by_name(case: dict) -> None:
    data = bytes.fromhex(case["hex"])
    with pytest.raises(DataRefused) as refusal:
        if case["kind"] == "tags":
            decode_tags(data)
        else:
            StateTable(data).check()
    message = str(refusal.value)
    assert case["says"] in message
    assert message.isprintable()
    assert len(message) < 400
