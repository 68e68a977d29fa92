"""Each kernel of synchronisation against its definition, on random and on adversarial tags."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tag_world import POLARISATION, TIME_BIN, FixedEntropy

from poliqi.base.errors import DataRefused
from poliqi.link.sync.clock import Timeline, phasor_sums
from poliqi.link.sync.definition import aligned, bins_of, ingested, phasors
from poliqi.link.sync.gates import Aligner, Filters, gate_table
from poliqi.link.sync.ingest import Ingest, settle_doubles
from poliqi.link.sync.rows import bins_of_tags
from poliqi.link.timetags.tags import Channel, Meaning, Tagging, Tags

GATED = Tagging(1e9, POLARISATION.channels, gate_ps=400.0)


def line_over(draw: np.random.Generator, span_ps: int, nodes: int = 5) -> Timeline:
    """A broken line of about 1 GHz from 0 to `span_ps`."""
    at = np.linspace(0, span_ps, nodes).astype(np.int64)
    turns = at / 1000.0 * (1 + 1e-6) + 0.3 + draw.normal(0, 0.01, nodes)
    return Timeline.through(at, np.floor(turns).astype(np.int64), turns % 1.0)


def random_tags(
    draw: np.random.Generator, n: int, gap_ps: float, codes: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    times = np.cumsum(draw.exponential(gap_ps, n)).astype(np.int64)
    return times, draw.choice(np.array(codes, np.uint8), n)


@pytest.mark.parametrize("gap_ps", [100.0, 900.0, 30_000.0])
@pytest.mark.parametrize("dead_ns", [0, 1, 20])
@pytest.mark.parametrize(("tagging", "codes"), [(GATED, (0, 1, 2, 3)), (TIME_BIN, (2, 3, 4, 4, 4))])
def test_the_ingest_kernel_computes_what_its_definition_says(
    gap_ps: float, dead_ns: int, tagging: Tagging, codes: tuple[int, ...]
) -> None:
    draw = np.random.default_rng(int(gap_ps) + dead_ns)
    times, which = random_tags(draw, 2000, gap_ps, codes)
    line = line_over(draw, int(times[-1]) + 1)
    filters = Filters(dead_ns * 1e-9, dead_ns * 0.5e-9)
    wanted = ingested(times, which, line, gate_table(tagging), dead_ns, round(filters.afterpulse_s * 1e12))
    kernel = Ingest(tagging, filters, FixedEntropy())
    slots: list[NDArray[np.int64]] = []
    outcomes: list[NDArray[np.uint8]] = []
    for start in range(0, 2000, 333):  # however the tags are cut
        events = kernel.take(times[start : start + 333], which[start : start + 333], line)
        slots.append(events.slots)
        outcomes.append(events.outcomes)
    rest = kernel.finish()
    found = np.concatenate([*slots, rest.slots])
    seen = np.concatenate([*outcomes, rest.outcomes])
    counters = kernel.counters()
    assert np.array_equal(found, wanted.slots)
    single = wanted.masks < 16
    assert np.array_equal(seen[single], wanted.masks[single])
    assert (wanted.masks[~single] >> seen[~single] & 1).all()  # a double click is one of those that fired
    assert counters.doubles == np.count_nonzero(~single)
    assert np.array_equal(counters.clicks, wanted.clicks)
    assert np.array_equal(counters.lost, wanted.lost)
    assert np.array_equal(counters.arrivals, wanted.arrivals)


def test_a_tag_on_the_edge_of_a_slot_belongs_to_the_slot_that_begins() -> None:
    line = Timeline.through(np.array([0, 10_000]), np.array([0, 10]), np.array([0.0, 0.0]))
    kernel = Ingest(POLARISATION, Filters(), FixedEntropy())
    times = np.array([0, 999, 1000, 3000, 3000, 9999], np.int64)
    events = kernel.take(times, np.zeros(6, np.uint8), line)
    assert [*events.slots, *kernel.finish().slots] == [0, 1, 3, 9]


def test_slots_before_alices_first_are_negative_and_kept_in_order() -> None:
    line = Timeline.through(np.array([0, 10_000]), np.array([-5, 5]), np.array([0.0, 0.0]))
    kernel = Ingest(POLARISATION, Filters(), FixedEntropy())
    events = kernel.take(np.array([0, 4500, 5500], np.int64), np.zeros(3, np.uint8), line)
    assert [*events.slots, *kernel.finish().slots] == [-5, -1, 0]


def test_any_tag_blinds_all_detectors_and_a_blind_tag_blinds_on() -> None:
    """Tags in slots 0, 3, 6, 9 with 4 dead slots: each falls into the dead time that the one before began."""
    line = Timeline.through(np.array([0, 100_000]), np.array([0, 100]), np.array([0.0, 0.0]))
    kernel = Ingest(POLARISATION, Filters(dead_s=4e-9), FixedEntropy())
    times = np.array([500, 3500, 6500, 9500, 14_500], np.int64)
    events = kernel.take(times, np.array([0, 1, 2, 3, 0], np.uint8), line)
    assert [*events.slots, *kernel.finish().slots] == [0, 14]
    assert kernel.counters().lost[:, 1].sum() == 3


def test_afterpulses_are_told_from_other_tags_in_the_dead_time() -> None:
    line = Timeline.through(np.array([0, 100_000]), np.array([0, 100]), np.array([0.0, 0.0]))
    kernel = Ingest(POLARISATION, Filters(dead_s=2e-9, afterpulse_s=10e-9), FixedEntropy())
    kernel.take(np.array([500, 5500, 8500], np.int64), np.array([0, 0, 1], np.uint8), line)
    lost = kernel.counters().lost
    assert (lost[0, 2], lost[1, 1]) == (1, 1)


@pytest.mark.parametrize("code", [0, 2, 4])
def test_tags_outside_the_gate_make_no_event(code: int) -> None:
    tagging = Tagging(1e9, TIME_BIN.channels, bins=2, gate_ps=100.0) if code == 4 else GATED
    line = Timeline.through(np.array([0, 10_000]), np.array([0, 10]), np.array([0.0, 0.0]))
    kernel = Ingest(tagging, Filters(), FixedEntropy())
    events = kernel.take(np.array([10, 1990], np.int64), np.full(2, code, np.uint8), line)
    assert events.slots.size + kernel.finish().slots.size == 0
    assert kernel.counters().lost[code, 0] == 2


def test_the_gate_of_a_time_bin_arm_reads_the_bit_from_the_bin() -> None:
    table = gate_table(TIME_BIN)
    assert (table[4, :512] == 0).all()
    assert (table[4, 512:] == 1).all()
    assert (table[2, :512] == -1).all()
    assert (table[2, 512:] == 2).all()


def test_double_clicks_become_a_random_basis_and_a_random_bit() -> None:
    masks = np.arange(1, 16, dtype=np.uint8)
    seen: dict[int, set[int]] = {int(mask): set() for mask in masks}
    for coin in range(4):
        for mask, outcome in zip(masks, settle_doubles(masks, np.full(15, coin, np.uint8)), strict=True):
            seen[int(mask)].add(int(outcome))
    assert seen[0b0011] == {0, 1}
    assert seen[0b1100] == {2, 3}
    assert seen[0b0110] == {1, 2}
    assert seen[0b1111] == {0, 1, 2, 3}
    assert seen[0b0111] == {0, 1, 2}
    assert all(found == {k for k in range(4) if mask >> k & 1} for mask, found in seen.items())


def test_the_phasor_kernel_computes_what_its_definition_says() -> None:
    draw = np.random.default_rng(4)
    times, _ = random_tags(draw, 5000, 1e5, (0,))
    sums, counts = phasor_sums(times, 1000, 0.0010000013, 2e7, 20)
    wanted = phasors(times, 1000, 0.0010000013, 2e7, 20)
    assert np.abs(sums - wanted).max() < 5000 * 2 * np.pi / 4096  # a table of the circle of 4096 entries
    assert counts.sum() == np.count_nonzero((times >= 1000) & (times < 1000 + 4e8))


@pytest.mark.parametrize("bins", [1, 2])
def test_the_bins_kernel_computes_what_its_definition_says(bins: int) -> None:
    draw = np.random.default_rng(5)
    times, _ = random_tags(draw, 3000, 1e5, (0,))
    line = line_over(draw, int(times[-1]))
    assert np.array_equal(bins_of_tags(times, line, bins), bins_of(times, line, bins))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("delays", [(0, 0, 0), (0, 5000, 100), (-700, 300, 40_000)])
def test_tags_come_out_in_order_with_their_delays_taken_off(chunk: int, delays: tuple[int, int, int]) -> None:
    draw = np.random.default_rng(chunk)
    times, channels = random_tags(draw, 1000, 2000.0, (0, 1, 2, 9))
    meanings = (Meaning.KEY_0, Meaning.KEY_1, Meaning.TEST_0)
    inputs = [Channel(k, meanings[k], delays[k]) for k in range(3)]
    tagging = Tagging(1e9, (*inputs, Channel(3, Meaning.TEST_1), Channel(9, Meaning.MARKER)))
    aligner = Aligner(tagging)
    parts = [
        aligner.take(Tags(times[k : k + chunk], channels[k : k + chunk]), last=k + chunk >= 1000)
        for k in range(0, 1000, chunk)
    ]
    codes = np.where(channels == 9, 6, channels).astype(np.uint8)
    late = np.array([*delays, 0, 0, 0, 0, 0, 0, 0])[channels]
    wanted, which = aligned(times, codes, late)
    found = np.concatenate([t for t, _ in parts])
    seen = np.concatenate([c for _, c in parts])
    assert np.array_equal(found, wanted)
    apart = np.flatnonzero(np.diff(wanted, prepend=-1, append=wanted[-1] + 1))
    alone = apart[:-1][np.diff(apart) == 1]  # tags at one time may come in any order
    assert np.array_equal(seen[alone], which[alone])
    assert aligner.seen[9] == np.count_nonzero(channels == 9)


def test_tags_out_of_order_are_refused_by_number() -> None:
    aligner = Aligner(POLARISATION)
    aligner.take(Tags(np.array([10, 20], np.int64), np.zeros(2, np.uint8)))
    with pytest.raises(DataRefused, match="tags out of order: tag 3 is at 25 ps after one at 30 ps"):
        aligner.take(Tags(np.array([30, 25], np.int64), np.zeros(2, np.uint8)))
    with pytest.raises(DataRefused, match="tag 2 is at 19 ps after one at 20 ps"):
        aligner.take(Tags(np.array([19], np.int64), np.zeros(1, np.uint8)))


def test_a_channel_without_a_meaning_is_refused() -> None:
    with pytest.raises(DataRefused, match="tag 1 is of channel 77, which has no meaning; known: 0, 1, 2, 3"):
        Aligner(POLARISATION).take(Tags(np.array([1, 2], np.int64), np.array([0, 77], np.uint8)))


def test_a_detector_that_gives_nothing_is_an_empty_arm() -> None:
    aligner = Aligner(POLARISATION)
    aligner.take(Tags(np.arange(200_000, dtype=np.int64), (np.arange(200_000) % 3).astype(np.uint8)))
    with pytest.raises(DataRefused, match=r"empty arm: channel 3 \(test1\) gave no tag among 200000"):
        aligner.check_arms()


@pytest.mark.parametrize("value", [-1.0, 0.5, float("nan")])
def test_a_dead_time_that_cannot_be_meant_is_refused(value: float) -> None:
    with pytest.raises(DataRefused, match="dead_s"):
        Ingest(POLARISATION, Filters(dead_s=value), FixedEntropy())
