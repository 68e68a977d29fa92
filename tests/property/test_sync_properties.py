"""Whatever a tagger sends is either aligned in order or refused by name, and cutting it changes nothing."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tag_world import POLARISATION, FixedEntropy

from poliqi.base.errors import DataRefused
from poliqi.link.sync.clock import Timeline
from poliqi.link.sync.gates import Aligner, Filters
from poliqi.link.sync.ingest import Ingest
from poliqi.link.timetags.tags import Tags

TIMES = st.lists(st.integers(0, (1 << 62) - 1), max_size=60)
CHANNELS = st.integers(0, 255)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(-(1 << 62), (1 << 62) - 1), CHANNELS), max_size=60))
def test_any_tags_are_aligned_or_refused(tags: list[tuple[int, int]]) -> None:
    times = np.array([t for t, _ in tags], np.int64)
    channels = np.array([c for _, c in tags], np.uint8)
    try:
        aligned, codes = Aligner(POLARISATION).take(Tags(times, channels), last=True)
    except DataRefused as error:
        assert "tag" in str(error)
        return
    assert (np.diff(aligned) >= 0).all()
    assert (codes < 4).all()
    assert aligned.size == times.size


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 3)), max_size=60),
    st.integers(0, 5),
    st.lists(st.integers(0, 60), max_size=4),
)
def test_events_rise_and_do_not_depend_on_how_tags_are_cut(
    tags: list[tuple[int, int]], dead: int, cuts: list[int]
) -> None:
    tags.sort()
    times = np.array([t for t, _ in tags], np.int64)
    codes = np.array([c for _, c in tags], np.uint8)
    line = Timeline.through(np.array([0, 30_000, 60_000]), np.array([-3, 27, 57]), np.array([0.2, 0.3, 0.1]))
    whole = Ingest(POLARISATION, Filters(dead_s=dead * 1e-9), FixedEntropy())
    slots = [*whole.take(times, codes, line).slots, *whole.finish().slots]
    parted = Ingest(POLARISATION, Filters(dead_s=dead * 1e-9), FixedEntropy())
    edges = [0, *sorted(min(cut, times.size) for cut in cuts), times.size]
    found: list[int] = []
    for start, end in itertools.pairwise(edges):
        found += [*parted.take(times[start:end], codes[start:end], line).slots]
    assert [*found, *parted.finish().slots] == slots
    assert all(b - a > dead for a, b in itertools.pairwise(slots))
