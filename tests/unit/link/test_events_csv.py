"""Events as CSV: the published vectors, the two readers of lines against each other, the sample at hand."""

import csv
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.csv import COLUMNS, MAX_BYTES, decode_csv, read_arrays, read_lines

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT.parent / "shared" / "data" / "bb84-events" / "events-4000.csv"
CASES = json.loads((ROOT / "tests" / "vectors" / "events" / "csv.json").read_text())["cases"]
HEADER = (",".join(COLUMNS) + "\n").encode()


def named(case):
    return case["name"]


def test_failures_outnumber_successes():
    assert sum(not case["valid"] for case in CASES) > 3 * sum(case["valid"] for case in CASES)


@pytest.mark.parametrize("case", [case for case in CASES if case["valid"]], ids=named)
def test_a_valid_file_is_read(case):
    recording = decode_csv(case["text"].encode())
    assert recording.slots.tolist() == case["slots"]
    assert recording.states.tolist() == case["states"]
    assert recording.outcomes.tolist() == case["outcomes"]
    assert recording.light.levels == case["levels"]
    assert recording.pulses == case["pulses"]


@pytest.mark.parametrize("case", [case for case in CASES if not case["valid"]], ids=named)
def test_an_invalid_file_is_refused_with_line_and_reason(case):
    with pytest.raises(DataRefused) as refusal:
        decode_csv(case["text"].encode())
    message = str(refusal.value)
    assert case["says"] in message
    assert case["line"] is None or f"line {case['line']}:" in message
    assert message.isprintable()
    assert len(message) < 400


def test_what_the_file_does_not_say_is_not_made_up():
    light = decode_csv(HEADER + b"0,1,0,0,1,0,True\n").light
    assert light.origin is Origin.REPLAY
    assert light.clock_hz is None
    assert light.link is None


def many_lines(count, seed=5):
    rng = np.random.default_rng(seed)
    slots = np.cumsum(rng.integers(1, 1000, count))
    bits = rng.integers(0, 2, (count, 4))
    level = rng.integers(0, 3, count)
    rows = [
        f"{slot},{a},{b},{k},{c},{d},{b == d}" for slot, (a, b, c, d), k in zip(slots, bits, level, strict=True)
    ]
    return slots, bits, level, rows


def test_a_file_of_several_stretches_is_read_whole():
    slots, bits, level, rows = many_lines(40_000)
    recording = decode_csv(HEADER + "\r\n".join(rows).encode())
    assert recording.slots.tolist() == slots.tolist()
    assert recording.states.tolist() == (bits[:, 0] + 2 * bits[:, 1] + 4 * level).tolist()
    assert recording.outcomes.tolist() == (bits[:, 2] + 2 * bits[:, 3]).tolist()


@pytest.mark.parametrize("at", [0, 1, 12_345, 25_000, 39_999])
def test_a_fault_far_into_the_file_is_named_by_its_line(at):
    rows = many_lines(40_000)[3]
    rows[at] = rows[at].replace("e", "a")
    with pytest.raises(DataRefused, match=f"line {at + 2}: matching_basis"):
        decode_csv(HEADER + "\n".join(rows).encode())


def test_a_qubit_id_that_falls_between_two_stretches_is_found():
    rows = many_lines(40_000)[3]
    text = HEADER + "\n".join(rows).encode()
    first_stretch = text[len(HEADER) :][: 1 << 18].count(b"\n")
    rows[first_stretch] = "0," + rows[first_stretch].split(",", 1)[1]
    with pytest.raises(DataRefused, match=f"line {first_stretch + 2}: qubit_id is 0 after"):
        decode_csv(HEADER + "\n".join(rows).encode())


def test_a_line_without_end_is_refused_without_reading_it_all():
    with pytest.raises(DataRefused, match="line 2: more than"):
        decode_csv(HEADER + b"1" * 1_000_000)


def test_a_file_beyond_the_limit_is_refused():
    untouched = np.zeros(MAX_BYTES + 1, np.uint8)  # pages nobody reads take no memory
    with pytest.raises(DataRefused, match="binary format"):
        decode_csv(untouched.data)


def test_both_readers_agree_on_sound_lines():
    rows = ("\n".join(many_lines(3_000)[3]) + "\n").encode()
    fast, slow = read_arrays(rows, range(7), -1), read_lines(rows, range(7), 2, -1)
    assert fast.slots.tolist() == slow.slots.tolist()
    assert fast.bits.tolist() == slow.bits.tolist()


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample of events is not beside this checkout")
def test_the_sample_is_read_as_the_csv_module_reads_it():
    text = SAMPLE.read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    recording = decode_csv(text.encode())
    assert recording.slots.size == len(rows) == 4000
    index = {level: k for k, level in enumerate(sorted({row["decoy_level"] for row in rows}))}
    wanted = [int(r["tx_state"]) + 2 * int(r["tx_basis"]) + 4 * index[r["decoy_level"]] for r in rows]
    assert recording.states.tolist() == wanted
    assert recording.outcomes.tolist() == [int(r["rx_state"]) + 2 * int(r["rx_basis"]) for r in rows]
    assert recording.slots.tolist() == [int(r["qubit_id"]) for r in rows]
    # counted with awk: key basis at both ends, and errors there, by level
    key = (recording.states & 2 == 0) & (recording.outcomes & 2 == 0)
    wrong = key & ((recording.states ^ recording.outcomes) & 1 == 1)
    assert Counter((recording.states[key] >> 2).tolist()) == {0: 1566, 1: 440}
    assert Counter((recording.states[wrong] >> 2).tolist()) == {0: 10, 1: 2}
