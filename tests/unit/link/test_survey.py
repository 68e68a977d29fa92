"""What a survey counts: courses that grow without growing, and tables of detections."""

from __future__ import annotations

import numpy as np
import pytest
from tag_world import FixedEntropy

import poliqi.link.survey as survey_module
from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.recording import Light, Recording
from poliqi.link.survey import Course, TagPass, Tally, survey_recording
from poliqi.link.sync.recover import SyncSettings
from poliqi.link.sync.window import SyncWindows
from poliqi.link.timetags.simulated import SimulatedStates, SimulatedTags
from poliqi.ops.config import default_link


def test_a_course_widens_its_places_and_loses_nothing() -> None:
    at = np.sort(np.random.default_rng(1).integers(0, 100_000, 5000))
    kind = np.random.default_rng(2).integers(0, 3, 5000).astype(np.uint8)
    course = Course(1, 3)
    for start in range(0, 5000, 700):
        course.add(at[start : start + 700], kind[start : start + 700])
    assert course.width == 512  # 256 places reach 131072
    assert course.counts.sum(axis=0).tolist() == np.bincount(kind, minlength=3).tolist()
    place = np.histogram(at, bins=np.arange(0, 512 * (course.counts.shape[0] + 1), 512))[0]
    assert course.counts.sum(axis=1).tolist() == place.tolist()


def test_silence_at_the_end_is_part_of_a_course() -> None:
    course = Course(10, 1)
    course.add(np.array([5]), np.zeros(1, np.uint8))
    course.reach(95)
    assert course.counts[:, 0].tolist() == [1] + [0] * 9


def test_a_tally_separates_bases_bits_and_intensities() -> None:
    """Alice: key 0 bright, key 1 dim, test 1 bright, key 0 bright. Bob: right, wrong, right, other basis."""
    tally = Tally(1)
    tally.add(np.arange(4), np.array([0, 5, 3, 0], np.uint8), np.array([0, 0, 3, 2], np.uint8))
    assert tally.bases.tolist() == [[2, 1], [0, 1]]
    assert tally.sifted[:2].tolist() == [[[1, 0], [1, 0]], [[1, 1], [0, 0]]]
    assert tally.errors_over_time[:, :, 1].tolist() == [[0, 0], [1, 0], [0, 0], [0, 0]]


def test_a_recording_is_tallied_to_its_last_slot() -> None:
    light = Light(Origin.REPLAY, 2, 1e9, None)
    columns = np.array([3, 9], np.int64), np.array([0, 2], np.uint8), np.array([1, 2], np.uint8)
    tally = survey_recording(Recording(light, 1000, *columns))
    assert tally.sifted.sum(axis=0).tolist() == [[1, 1], [1, 0]]
    assert tally.course.until == 1000


def test_a_window_beyond_the_known_states_is_refused() -> None:
    link = default_link()
    source, known = SimulatedTags(link, 1, 1000), SimulatedStates(link, 1, 1000)
    with pytest.raises(DataRefused, match="slots 0 to 999 are known, the synchronisation window is 0 to 1023"):
        TagPass(source, known, SyncSettings(), SyncWindows(1024), None)  # type: ignore[arg-type]


def test_tags_beyond_alices_states_are_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times as many tags as states: what is joined to what waits stays as large as a chunk."""
    link, slots = default_link(), 2_000_000
    waited: list[int] = []
    join = np.concatenate

    def seen(parts: object, *rest: object, **more: object) -> object:
        if isinstance(parts, list) and len(parts) == 2 and parts[0].dtype == np.int64:
            waited.append(parts[0].size)
        return join(parts, *rest, **more)  # type: ignore[call-overload]

    source = SimulatedTags(link, 1, 10 * slots)
    survey = TagPass(source, SimulatedStates(link, 1, slots), SyncSettings(), SyncWindows(1 << 20), FixedEntropy())
    monkeypatch.setattr(survey_module.np, "concatenate", seen)
    inside = sum(found.slots.size for found, _ in survey.run())
    assert survey.beyond > 5 * inside > 0
    assert max(waited) < survey.beyond / 4
