"""Recordings: what is written is read back, and nothing damaged is ever read."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.edge.recordings import open_recording, write_recording
from poliqi.link.binary import decode_recording
from poliqi.link.csv import COLUMNS, decode_csv, read_arrays, read_lines
from poliqi.link.device import Detections
from poliqi.link.recording import Light, LinkFigures, ReplayReceiver, ReplayTransmitter

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "events"
GOOD = bytes.fromhex(json.loads((VECTORS / "binary.json").read_text())["cases"][0]["hex"])
HEADER = ",".join(COLUMNS).encode() + b"\n"

probability = st.floats(0, 1)
names = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=64)


@st.composite
def lights(draw):
    levels = draw(st.integers(1, 4))
    origin = draw(st.sampled_from(Origin))
    clock = draw(st.none() | st.floats(1, 1e12))
    if draw(st.booleans()):
        return Light(origin, levels, clock, None)
    simulated = origin is Origin.SIMULATED
    intensities = draw(st.lists(st.floats(0, 10), min_size=levels, max_size=levels, unique=True))
    weights = draw(st.lists(st.integers(1, 1000), min_size=levels, max_size=levels))
    figures = LinkFigures(
        name=draw(names),
        intensities=tuple(sorted(intensities, reverse=True)),
        probabilities=tuple(weight / sum(weights) for weight in weights),
        key_basis_alice=draw(probability),
        key_basis_bob=draw(probability),
        seed=draw(st.none() | st.integers(0, 2**64 - 1)) if simulated else None,
        eve=draw(st.none() | names) if simulated else None,
    )
    return Light(origin, levels, clock, figures)


@st.composite
def stretches(draw, levels):
    """Consecutive stretches of slots, some silent, with Alice's states."""
    first_slot, made = 0, []
    for _ in range(draw(st.integers(1, 4))):
        pulses = draw(st.integers(1, 1 << 40))
        slots = sorted(draw(st.sets(st.integers(first_slot, first_slot + pulses - 1), max_size=20)))
        outcomes = draw(st.lists(st.integers(0, 3), min_size=len(slots), max_size=len(slots)))
        states = draw(st.lists(st.integers(0, 4 * levels - 1), min_size=len(slots), max_size=len(slots)))
        detections = Detections(first_slot, pulses, np.array(slots, np.int64), np.array(outcomes, np.uint8))
        made.append((detections, np.array(states, np.uint8)))
        first_slot += pulses
    return made


@settings(max_examples=50, deadline=None)
@given(st.data(), lights())
def test_what_is_written_is_replayed(data, light):
    chunks = data.draw(stretches(light.levels))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.poliqi-events"
        header = write_recording(path, light, chunks)
        recording = open_recording(path)
        assert [entry.name for entry in Path(folder).iterdir()] == ["made.poliqi-events"]
    assert recording.light == light == header.light
    receiver, transmitter = ReplayReceiver(recording), ReplayTransmitter(recording)
    for wanted, states in chunks:
        got = receiver.detect(wanted.pulses)
        assert (got.first_slot, got.pulses) == (wanted.first_slot, wanted.pulses)
        assert got.slots.tolist() == wanted.slots.tolist()
        assert got.outcomes.tolist() == wanted.outcomes.tolist()
        assert transmitter.states(got.slots).tolist() == states.tolist()
    assert receiver.pulses_left == 0


def test_a_file_with_any_one_bit_flipped_is_refused():
    for place in range(len(GOOD)):
        for bit in range(8):
            damaged = bytearray(GOOD)
            damaged[place] ^= 1 << bit
            with pytest.raises(DataRefused):
                decode_recording(damaged)


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_file_with_any_one_byte_changed_is_refused(place, change):
    damaged = bytearray(GOOD)
    damaged[place] ^= change
    with pytest.raises(DataRefused):
        decode_recording(damaged)


def test_a_file_cut_short_anywhere_is_refused():
    for length in range(len(GOOD)):
        with pytest.raises(DataRefused):
            decode_recording(GOOD[:length])


@settings(deadline=None)
@given(st.integers(0, len(GOOD)), st.binary(min_size=1, max_size=70))
def test_a_file_with_bytes_put_in_is_refused(place, extra):
    with pytest.raises(DataRefused):
        decode_recording(GOOD[:place] + extra + GOOD[place:])


@settings(deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(1, 70))
def test_a_file_with_bytes_taken_out_is_refused(place, count):
    if place == len(GOOD):
        return
    with pytest.raises(DataRefused):
        decode_recording(GOOD[:place] + GOOD[place + count :])


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_behind_the_magic_are_refused(noise):
    with pytest.raises(DataRefused):
        decode_recording(GOOD[:12] + noise)


@settings(deadline=None)
@given(st.integers(1, 9))
def test_a_buffer_at_any_address_is_read(shift):
    room = bytes(shift) + GOOD
    recording = decode_recording(memoryview(room)[shift:])
    assert recording.slots.flags.aligned
    assert not recording.slots.flags.writeable
    assert recording.slots.tolist() == decode_recording(GOOD).slots.tolist()


field = st.sampled_from(
    ["0", "1", "2", "9", "17", "True", "False", "true", "FALSE", "", "-1", "x", " 1", "\r", "\n"]
)
near_line = st.lists(field, min_size=6, max_size=8).map(",".join)
good_line = st.tuples(
    st.integers(0, 10**6),
    st.integers(0, 1),
    st.integers(0, 1),
    st.integers(0, 2),
    st.integers(0, 1),
    st.integers(0, 1),
).map(lambda v: f"{v[0]},{v[1]},{v[2]},{v[3]},{v[4]},{v[5]},{v[2] == v[5]}")
tail = st.sampled_from(["\n", "\r\n"])
lines = st.lists(st.tuples(good_line | near_line, tail).map("".join), min_size=1, max_size=5).map("".join)


@settings(max_examples=400, deadline=None)
@given(lines.map(str.encode) | st.binary(max_size=80).map(lambda noise: noise + b"\n"), st.permutations(range(7)))
def test_the_fast_reader_of_lines_reads_what_the_definition_reads(text, order):
    fast = read_arrays(text, order, -1)
    try:
        slow = read_lines(text, order, 2, -1)
    except DataRefused:
        assert fast is None
        return
    assert fast is not None
    assert fast.slots.tolist() == slow.slots.tolist()
    assert fast.bits.tolist() == slow.bits.tolist()


@settings(deadline=None)
@given(st.binary(max_size=300) | lines.map(str.encode))
def test_any_text_is_read_or_refused(text):
    for content in (text, HEADER + text):
        try:
            recording = decode_csv(content)
        except DataRefused as refusal:
            assert str(refusal).isprintable()
        else:
            assert recording.slots.size == recording.states.size == recording.outcomes.size > 0
