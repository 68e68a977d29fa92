"""Time tags: what is written is read again, and hostile bytes are refused, whichever they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from ptufile import PtuRecordType

from bench.ptu_files import header, t2_records, t3_records
from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.edge.ptu import PtuTags
from poliqi.link.timetags.raw import TagHeader, TagWriting, decode_tags, encode_head
from poliqi.link.timetags.states import StateHeader, StateTable, StateWriting
from poliqi.link.timetags.states import encode_head as encode_states_head
from poliqi.link.timetags.tags import Channel, Meaning, Tagging, Tags
from poliqi.link.timetags.text import TagText, encode_lines, read_arrays, read_lines

MEANINGS = (Meaning.KEY_0, Meaning.KEY_1, Meaning.TEST_0, Meaning.TEST_1)
TAGGING = Tagging(1e9, tuple(Channel(i, meaning) for i, meaning in enumerate(MEANINGS)))
TAGS = st.lists(st.tuples(st.integers(0, 10**18 - 1), st.integers(0, 3)), max_size=60)


def made(pairs: list[tuple[int, int]]) -> Tags:
    pairs = sorted(pairs)
    return Tags(np.array([t for t, _ in pairs], np.int64), np.array([c for _, c in pairs], np.uint8))


def written(tags: Tags) -> bytes:
    writing = TagWriting(TAGGING)
    return b"".join([encode_head(TagHeader(Origin.SIMULATED, TAGGING)), *writing.chunk(tags), writing.end()])


def same(one: Tags, other: Tags) -> bool:
    return np.array_equal(one.times_ps, other.times_ps) and np.array_equal(one.channels, other.channels)


@given(TAGS)
def test_raw_tags_are_read_as_they_were_written(pairs: list[tuple[int, int]]) -> None:
    assert same(decode_tags(written(made(pairs)))[1], made(pairs))


FILE = written(made([(5, 0), (7, 3), (10**15, 1)]))


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(at: int, change: int) -> None:
    with pytest.raises(DataRefused):
        decode_tags(FILE[:at] + bytes([FILE[at] ^ change]) + FILE[at + 1 :])


@given(st.integers(0, len(FILE) - 1))
def test_any_shortened_file_is_refused(length: int) -> None:
    with pytest.raises(DataRefused):
        decode_tags(FILE[:length])


@given(st.lists(st.integers(0, 7), min_size=1, max_size=99), st.integers(0, 10**6), st.data())
def test_states_are_read_as_they_were_written_and_any_changed_byte_is_refused(
    states: list[int], first: int, data: st.DataObject
) -> None:
    writing = StateWriting(2, first)
    half = len(states) // 2
    parts = [encode_states_head(StateHeader(Origin.SIMULATED, 1e9, 2))]
    for some in (states[:half], states[half:]):
        parts += writing.add(np.array(some, np.uint8))
    file = b"".join([*parts, *writing.end()])
    slots = np.arange(first, first + len(states), dtype=np.int64)
    assert StateTable(file).states(slots).tolist() == states
    at = data.draw(st.integers(0, len(file) - 1))
    with pytest.raises(DataRefused):
        StateTable(file[:at] + bytes([file[at] ^ 16]) + file[at + 1 :]).check()


@given(TAGS, st.integers(1, 40), st.sampled_from([b"\n", b"\r\n"]), st.integers(0, 2))
def test_text_is_read_in_pieces_of_any_size(pairs: list, size: int, line_end: bytes, empty: int) -> None:
    text = b"".join(encode_lines([made(pairs)])).replace(b"\n", line_end) + line_end * empty
    reader, found = TagText(), []
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    found = [reader.feed(piece) for piece in pieces] + [reader.feed(b"", last=True)]
    whole = Tags(np.concatenate([t.times_ps for t in found]), np.concatenate([t.channels for t in found]))
    assert same(whole, made(pairs))


LINES = st.text("0123456789,\n\r x-", max_size=60).map(lambda text: text.encode() + b"\n")


@given(LINES)
@example(b"1,2\n0,2\n")
@example(b"1,256\n")
@example(b"999999999999999999,255\r\n")
def test_both_readers_of_text_agree(text: bytes) -> None:
    fast = read_arrays(text, 0)
    try:
        slow = read_lines(text, 2, 0)
    except DataRefused:
        assert fast is None
        return
    assert fast is None or same(fast, slow)


@given(st.binary(max_size=300))
def test_text_of_any_bytes_is_read_or_refused(text: bytes) -> None:
    reader = TagText()
    try:
        reader.feed(b"time_ps,channel\n" + text, last=True)
    except DataRefused as refusal:
        assert len(str(refusal)) < 300


def read_all(data: bytes, path: Path) -> Tags:
    path.write_bytes(data)
    source = PtuTags(path, TAGGING)
    parts = [Tags(np.empty(0, np.int64), np.empty(0, np.uint8))]
    try:
        while (tags := source.read()) is not None:
            parts.append(tags)
    finally:
        source.close()
    return Tags(np.concatenate([p.times_ps for p in parts]), np.concatenate([p.channels for p in parts]))


@pytest.fixture(scope="module")
def ptu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ptu") / "bob.ptu"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 3)), max_size=40))
@example([(5, 0), (128 * 2**25, 1), (300 * 2**25 + 9, 2)])
def test_t2_records_are_read(ptu: Path, pairs: list[tuple[int, int]]) -> None:
    tags = made(pairs)
    records = t2_records(tags.times_ps, tags.channels)
    assume(records.size)
    data = header(PtuRecordType.GenericT2, records.size) + records.astype("<u4").tobytes()
    assert same(read_all(data, ptu), tags)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 32767), st.integers(0, 3)), min_size=1, max_size=40)
)
def test_t3_records_come_out_in_order_of_time(ptu: Path, rows: list[tuple[int, int, int]]) -> None:
    """A dtime may reach over several sync periods, so records of later ones may be earlier in time."""
    rows = sorted(rows, key=lambda row: row[0])
    syncs, bins, channels = (np.array(column) for column in zip(*rows, strict=True))
    records = t3_records(syncs, bins, channels)
    data = header(PtuRecordType.GenericT3, records.size, unit_s=1e-9, bin_s=4e-12) + records.astype("<u4").tobytes()
    found = read_all(data, ptu)
    assert (np.diff(found.times_ps) >= 0).all()
    expected = sorted(zip((syncs * 1000 + bins * 4).tolist(), channels.tolist(), strict=True))
    assert sorted(zip(found.times_ps.tolist(), found.channels.tolist(), strict=True)) == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=30), st.sampled_from(list(PtuRecordType)))
def test_any_records_are_read_or_refused(ptu: Path, records: list[int], kind: PtuRecordType) -> None:
    data = header(kind, len(records)) + np.array(records, "<u4").tobytes()
    try:
        assert (np.diff(read_all(data, ptu).times_ps) >= 0).all()
    except DataRefused as refusal:
        assert len(str(refusal)) < 500


SMALL = header(PtuRecordType.GenericT2, 2) + np.array([5, 9], "<u4").tobytes()


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_header_is_read_or_refused(ptu: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for at, value in changes:
        data[at] = value
    try:
        read_all(bytes(data), ptu)
    except DataRefused as refusal:
        assert len(str(refusal)) < 500
