"""Files of tags and states: told apart, read in chunks, written whole, refused by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from ptufile import PtuRecordType as Kind

from bench import ptu_files
from poliqi.base.errors import ConfigError, DataRefused
from poliqi.base.ids import Origin
from poliqi.edge.timetags import is_tag_file, open_states, open_tags, write_states, write_tags, write_tags_text
from poliqi.link.timetags.raw import MOST_IN_CHUNK, TagHeader
from poliqi.link.timetags.states import SLOTS_IN_CHUNK, StateHeader
from poliqi.link.timetags.tags import Channel, Meaning, Tagging, Tags

MEANINGS = (Meaning.KEY_0, Meaning.KEY_1, Meaning.TEST_0, Meaning.TEST_1)
TAGGING = Tagging(1e9, tuple(Channel(i, meaning) for i, meaning in enumerate(MEANINGS)))
HEADER = TagHeader(Origin.SIMULATED, TAGGING)


def drawn(n: int, seed: int = 1, step: int = 10_000) -> Tags:
    generator = np.random.default_rng(seed)
    times = np.cumsum(generator.integers(0, step, n))
    return Tags(times, generator.integers(0, 4, n).astype(np.uint8))


def read(path: Path, tagging: Tagging | None = None) -> Tags:
    with closing(open_tags(path, tagging).source) as source:
        parts = list(iter(source.read, None))
    return Tags(np.concatenate([p.times_ps for p in parts]), np.concatenate([p.channels for p in parts]))


def same(one: Tags, other: Tags) -> bool:
    return np.array_equal(one.times_ps, other.times_ps) and np.array_equal(one.channels, other.channels)


def ptu(path: Path, kind: Kind, records: np.ndarray | list[int], **changes: object) -> Path:
    data = np.array(records, "<u4")
    path.write_bytes(ptu_files.header(kind, data.size, **changes) + data.tobytes())
    return path


# ---------------------------------------------------------------- what is written is read again


def test_raw_tags_of_several_chunks(tmp_path: Path) -> None:
    tags = drawn(MOST_IN_CHUNK + 1000)
    path = tmp_path / "bob.tags"
    cut = [Tags(tags.times_ps[a:b], tags.channels[a:b]) for a, b in ((0, 7), (7, 7), (7, tags.times_ps.size))]
    last = int(tags.times_ps[-1])
    assert write_tags(path, HEADER, cut, end_ps=last + 5) == tags.times_ps.size
    assert same(read(path), tags)
    opened = open_tags(path)
    opened.source.close()
    assert (opened.form, opened.origin, opened.end_ps) == ("raw", Origin.SIMULATED, last + 5)
    assert opened.source.tagging == TAGGING
    assert is_tag_file(path)


def test_raw_tags_say_replay_for_recorded_photons(tmp_path: Path) -> None:
    path = tmp_path / "bob.tags"
    write_tags(path, TagHeader(Origin.PHOTONS, TAGGING), [drawn(10)])
    opened = open_tags(path)
    opened.source.close()
    assert opened.origin is Origin.REPLAY


def test_a_channel_table_from_outside_takes_the_place_of_the_files_own(tmp_path: Path) -> None:
    path = tmp_path / "bob.tags"
    write_tags(path, HEADER, [drawn(100)])
    mended = Tagging(1e9, (Channel(0, Meaning.KEY_0), Channel(1, Meaning.KEY_1), Channel(2, Meaning.TEST_1)))
    with pytest.raises(DataRefused, match="channel 3, which has no meaning"):
        read(path, mended)


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "bob.csv"
    write_tags_text(path, [drawn(50_000)])
    assert is_tag_file(path)
    opened = open_tags(path, TAGGING)
    opened.source.close()
    assert (opened.form, opened.origin) == ("csv", Origin.REPLAY)
    assert same(read(path, TAGGING), drawn(50_000))


def test_states_of_several_chunks(tmp_path: Path) -> None:
    states = np.random.default_rng(3).integers(0, 8, 2 * SLOTS_IN_CHUNK + 5).astype(np.uint8)
    path = tmp_path / "alice.states"
    write_states(path, StateHeader(Origin.SIMULATED, 1e9, 2), np.array_split(states, 7), first_slot=40)
    table = open_states(path)
    assert (table.first_slot, table.slots) == (40, states.size)
    slots = np.sort(np.random.default_rng(4).choice(states.size, 5000, replace=False))
    assert np.array_equal(table.states(slots + 40), states[slots])
    assert path.stat().st_size < states.size // 2 + 1000
    for slot in (39, 40 + states.size):
        with pytest.raises(DataRefused, match=f"slot {slot} asked, the file holds 40 to"):
            table.states(np.array([slot], np.int64))


def test_a_rotten_chunk_of_states_is_found_when_it_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "alice.states"
    write_states(path, StateHeader(Origin.SIMULATED, 1e9, 2), [np.zeros(2 * SLOTS_IN_CHUNK, np.uint8)])
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    table = open_states(path)
    assert table.states(np.array([5], np.int64)) == [0]
    with pytest.raises(DataRefused, match="chunk 1 has another checksum"):
        table.states(np.array([5, SLOTS_IN_CHUNK], np.int64))


# ---------------------------------------------------------------- PTU


def test_a_t3_file_written_by_ptufile_is_read(tmp_path: Path) -> None:
    tags = drawn(400, step=200_000)
    data, kept = ptu_files.written_by_ptufile(tags.times_ps, tags.channels, sync_ps=1000, bin_ps=50)
    path = tmp_path / "bob.ptu"
    path.write_bytes(data)
    assert kept.sum() > 390
    found = read(path, TAGGING)
    assert np.array_equal(found.times_ps, tags.times_ps[kept] // 50 * 50)
    assert np.array_equal(found.channels, tags.channels[kept])


@pytest.mark.parametrize("kind", [Kind.GenericT2, Kind.HydraHarp2T2, Kind.TimeHarp260PT2])
def test_t2_records_with_overflows_and_gaps(tmp_path: Path, kind: Kind) -> None:
    """More than one stretch of records, and a gap of 128 overflows and more in one record."""
    tags = drawn(300_000, step=2_000_000)
    tags.times_ps[150_000:] += 1000 << 25
    path = ptu(tmp_path / "bob.ptu", kind, ptu_files.t2_records(tags.times_ps, tags.channels))
    assert same(read(path, TAGGING), tags)


def test_picoharp_t2_records(tmp_path: Path) -> None:
    """PicoHarp 300 counts in 4 ps; an overflow is 210698240 counts."""
    tags = drawn(2000, step=10**8)
    path = ptu(
        tmp_path / "bob.ptu",
        Kind.PicoHarpT2,
        ptu_files.picoharp_t2_records(tags.times_ps, tags.channels),
        unit_s=4e-12,
    )
    assert same(read(path, TAGGING), Tags(4 * tags.times_ps, tags.channels))


def test_t3_times_count_in_a_sync_period_that_is_no_whole_number(tmp_path: Path) -> None:
    syncs = np.array([0, 3, 1_000_000])
    records = ptu_files.t3_records(syncs, np.array([5, 6, 7]), np.array([0, 1, 2]))
    path = ptu(tmp_path / "bob.ptu", Kind.GenericT3, records, unit_s=12.4997e-9, bin_s=16e-12)
    assert read(path, TAGGING).times_ps.tolist() == [80, 37_499 + 96, 12_499_700_000 + 112]


def test_sync_events_and_markers_are_passed_over(tmp_path: Path) -> None:
    records = [ptu_files.special(0, 3), 1 << 25 | 5, ptu_files.special(2, 6), 2 << 25 | 7]
    path = ptu(tmp_path / "bob.ptu", Kind.GenericT2, records)
    assert (read(path, TAGGING).times_ps.tolist(), read(path, TAGGING).channels.tolist()) == ([5, 7], [1, 2])


RECORDS = [5, 1 << 25 | 9]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"TTResult_NumberOfRecords": 3}, "2 records of 3: cut short"),
        ({"TTResult_NumberOfRecords": 0}, "the measurement was not ended"),
        ({"TTResult_NumberOfRecords": "two"}, "TTResult_NumberOfRecords is 'two'"),
        ({"TTResultFormat_TTTRRecType": 99}, "records of type 0x63"),
        ({"TTResultFormat_TTTRRecType": None}, "TTResultFormat_TTTRRecType is None"),
        ({"TTResultFormat_BitsPerRecord": 64}, "records of 64 bits"),
        ({"Measurement_Mode": 3}, "Measurement_Mode is 3 with GenericT2"),
        ({"unit_s": 0.0}, "MeasDesc_GlobalResolution is 0.0 s"),
        ({"unit_s": float("nan")}, "MeasDesc_GlobalResolution is nan s"),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, changes: dict, says: str) -> None:
    path = ptu(tmp_path / "bob.ptu", Kind.GenericT2, RECORDS, **changes)
    with pytest.raises(DataRefused) as refusal:
        open_tags(path, TAGGING)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([9, 1 << 25 | 5], "tag 1 is at 5 ps after one at 9 ps"),
        ([5, 7 << 25 | 6], "of channel 7, which has no meaning"),
        ([ptu_files.special(63, (1 << 25) - 1)] * 5000, "overflow records come to more than"),
    ],
)
def test_records_that_cannot_be_are_refused(tmp_path: Path, records: list[int], says: str) -> None:
    path = ptu(tmp_path / "bob.ptu", Kind.GenericT2, records)
    with pytest.raises(DataRefused) as refusal:
        read(path, TAGGING)
    assert says in str(refusal.value)


def test_t3_records_out_of_order_are_refused(tmp_path: Path) -> None:
    path = ptu(tmp_path / "bob.ptu", Kind.GenericT3, [9, 5], unit_s=1e-9)
    with pytest.raises(DataRefused, match="out of order"):
        read(path, TAGGING)


def test_a_header_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bob.ptu"
    whole = ptu_files.header(Kind.GenericT2, 0)
    for length in (9, 100, len(whole) - 48, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataRefused, match="its header is corrupt"):
            open_tags(path, TAGGING)


@pytest.mark.parametrize("body", [b"", b"garbage " * 50, b"\xff" * 400, b"00.0\0\0\0\0" + b"\xff" * 300])
def test_what_is_said_of_a_header_of_garbage_is_about_the_header(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "bob.ptu"
    path.write_bytes(ptu_files.header(Kind.GenericT2, 0)[:8] + body)
    with pytest.raises(DataRefused, match="its header is corrupt") as refusal:
        open_tags(path, TAGGING)
    assert "variable" not in str(refusal.value)


def test_a_missing_ptufile_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ptu(tmp_path / "bob.ptu", Kind.GenericT2, RECORDS)
    monkeypatch.setitem(sys.modules, "ptufile", None)
    with pytest.raises(ConfigError) as refusal:
        open_tags(path, TAGGING)
    assert 'pip install "poliqi[timetags]"' in str(refusal.value)


# ---------------------------------------------------------------- what is no such file


def broken(path: Path) -> Iterator[tuple[str, bytes]]:
    write_tags(path, HEADER, [drawn(10)])
    whole = path.read_bytes()
    yield "no end record at the end: cut short", whole[:-8]
    yield "cut short", whole[:200]
    yield "cut short", whole[:20]
    yield "header has another checksum", whole[:40] + b"!" + whole[41:]
    yield "another checksum than its record says", whole[:-40] + b"\7" + whole[-39:]
    yield "is empty", b""


def test_broken_raw_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "bob.tags"
    for says, data in list(broken(path)):
        path.write_bytes(data)
        with pytest.raises(DataRefused) as refusal:
            read(path)
        assert says in str(refusal.value)
        assert str(path) in str(refusal.value)


def test_what_needs_a_channel_table_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bob.csv"
    write_tags_text(path, [drawn(3)])
    with pytest.raises(ConfigError, match="does not say what its channels mean; give --link"):
        open_tags(path)


def test_alices_states_are_no_tags(tmp_path: Path) -> None:
    path = tmp_path / "alice.states"
    write_states(path, StateHeader(Origin.SIMULATED, 1e9, 2), [np.zeros(3, np.uint8)])
    with pytest.raises(DataRefused, match="name it with --alice"):
        open_tags(path, TAGGING)
    with pytest.raises(DataRefused, match="not a file of this kind"):
        write_tags(tmp_path / "bob.tags", HEADER, [drawn(3)])
        open_states(tmp_path / "bob.tags")


def test_a_folder_or_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        open_tags(tmp_path / "absent")
    with pytest.raises(ConfigError, match="cannot be read"):
        open_tags(tmp_path)


def test_tags_that_fall_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "bob.tags"
    with pytest.raises(DataRefused, match="tag 10 is at"):
        write_tags(path, HEADER, [drawn(10), drawn(10)])
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "bob.tags"
    write_tags(path, HEADER, [drawn(10)])
    with pytest.raises(ConfigError, match="exists already"):
        write_tags(path, HEADER, [drawn(5)])
    write_tags(path, HEADER, [drawn(5)], overwrite=True)
    assert read(path).times_ps.size == 5
