"""The streaming receiver: a device over tags as they come, whose count of slots is right or not used."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tag_world import TIME_BIN, FixedEntropy, ListSource, Scene, World, world

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.device import Detections, Receiver, Watched, check_detections
from poliqi.link.health import SelfMeasuring
from poliqi.link.recording import Light, Recording, ReplayTransmitter
from poliqi.link.sync.gates import Filters
from poliqi.link.sync.receiver import TagReceiver
from poliqi.link.sync.recover import SyncSettings
from poliqi.link.sync.window import SyncWindows, WindowedTransmitter
from poliqi.link.timetags.tags import Tags

WINDOW = 1 << 18
ONCE = SyncWindows(WINDOW)
OFTEN = SyncWindows(WINDOW, 2_000_000)
SETTINGS = SyncSettings(uncertainty_s=0.001, start_ps=2_000_000_000)
SCENE = Scene(slots=3_000_000, start_s=0.0024, off=7e-7)


def receiver(scene: World, windows: SyncWindows = ONCE, chunk: int = 20_000) -> TagReceiver:
    source = ListSource(scene.scene.tagging, scene.tags, chunk)
    return TagReceiver(source, scene.published, windows, FixedEntropy(), origin=Origin.SIMULATED, settings=SETTINGS)


def all_of(device: TagReceiver, pulses: int = 200_000) -> tuple[list[Detections], str]:
    """Every detection that can be had, and why there is no more."""
    found: list[Detections] = []
    try:
        while True:
            found.append(device.detect(pulses))
    except DataRefused as error:
        return found, str(error)


def joined(found: list[Detections]) -> tuple[np.ndarray, np.ndarray]:
    for one in found:
        check_detections(one)
    assert all(b.first_slot == a.first_slot + a.pulses for a, b in pairwise(found))
    return np.concatenate([d.slots for d in found]), np.concatenate([d.outcomes for d in found])


def sifted_errors(scene: World, slots: np.ndarray, outcomes: np.ndarray) -> tuple[int, int]:
    states = scene.states[slots]
    fits = states >> 1 == outcomes >> 1
    return int(np.count_nonzero((states ^ outcomes)[fits] & 1)), int(np.count_nonzero(fits))


def test_it_is_a_receiver_that_is_watched_and_measures_itself() -> None:
    device = receiver(world(replace(SCENE, slots=300_000)))
    as_receiver: Receiver = device
    assert as_receiver.origin is Origin.SIMULATED
    assert isinstance(device, Watched)
    assert isinstance(device, SelfMeasuring)


@pytest.mark.parametrize("scene", [SCENE, replace(SCENE, tagging=TIME_BIN, seed=2)])
def test_blocks_follow_each_other_and_hold_the_true_clicks(scene: Scene) -> None:
    truth = world(scene)
    slots, outcomes = joined(all_of(receiver(truth))[0])
    private = truth.slots[(truth.slots >= WINDOW) & (truth.slots <= slots[-1])]
    assert np.isin(private, slots).mean() > 1 - 1e-4
    wrong, total = sifted_errors(truth, slots, outcomes)
    lit = np.isin(slots, truth.slots)
    lit_wrong, lit_total = sifted_errors(truth, slots[lit], outcomes[lit])
    # a few clicks share their slot with a background click, which draws a new bit or basis
    assert abs(lit_wrong - scene.error * lit_total) < 4 * math.sqrt(scene.error * lit_total) + 0.005 * lit_total
    dark, expected = total - lit_total, (total - lit_total) / 2  # background bits are coin tosses
    assert abs(wrong - lit_wrong - expected) < 4 * math.sqrt(dark) / 2


@pytest.mark.parametrize("chunk", [777, 100_000, 10_000_000])
def test_what_is_detected_does_not_depend_on_the_chunks(chunk: int) -> None:
    truth = world(replace(SCENE, slots=1_500_000, background=0.0))
    whole = joined(all_of(receiver(truth, chunk=20_000))[0])
    other = joined(all_of(receiver(truth, chunk=chunk))[0])
    last = min(whole[0][-1], other[0][-1])
    seen, wanted = other[0][other[0] <= last], whole[0][whole[0] <= last]
    assert np.isin(seen, wanted).mean() > 1 - 1e-4
    assert np.isin(wanted, seen).mean() > 1 - 1e-4


def test_no_slot_of_any_window_is_detected() -> None:
    truth = world(replace(SCENE, slots=5_000_000))
    found, _ = all_of(receiver(truth, OFTEN))
    slots, _ = joined(found)
    assert found[0].first_slot == WINDOW
    assert not OFTEN.held(slots).any()
    assert slots[-1] > 4_000_000 + WINDOW


def test_alice_refuses_states_of_a_window_and_publishes_no_others() -> None:
    slots = np.arange(4000, dtype=np.int64)
    states = np.ones(4000, np.uint8)
    light = Light(Origin.SIMULATED, 2, 1e9, None)
    alice = WindowedTransmitter(
        ReplayTransmitter(Recording(light, 4000, slots, states, states)), SyncWindows(1024, 2048)
    )
    assert alice.states(np.array([1024, 2047], np.int64)).tolist() == [1, 1]
    assert alice.published(2048, 1024).size == 1024
    with pytest.raises(DataRefused, match="slot 2048 lies in a synchronisation window, whose states are public"):
        alice.states(np.array([1500, 2048], np.int64))
    with pytest.raises(DataRefused, match="not all in a synchronisation window"):
        alice.published(1000, 100)


def test_the_end_of_the_tags_is_said_and_nothing_is_consumed() -> None:
    truth = world(replace(SCENE, slots=1_000_000))
    device = receiver(truth)
    with pytest.raises(DataRefused, match=r"they end before slot 10262144; \d+ slots are left"):
        device.detect(10_000_000)
    assert device.detect(500_000).first_slot == WINDOW


def test_a_cut_of_the_light_is_dark_and_the_next_window_finds_the_count_again() -> None:
    """A cut of 1.2 ms, after which the light comes back three and a half slots late."""
    truth = world(replace(SCENE, slots=8_000_000, gap=(1_500_000, 2_700_000), jump_ps=3550))
    device = receiver(truth, OFTEN)
    found, why = all_of(device)
    slots, outcomes = joined(found)
    assert "they end before" in why
    wrong, total = sifted_errors(truth, slots, outcomes)
    assert wrong / total < 0.09  # 2 % and the background's half of one in ten
    after = slots > 2_700_000
    wrong, total = sifted_errors(truth, slots[after], outcomes[after])
    assert total > 10_000
    assert wrong / total < 0.09  # nothing by a count in doubt
    assert slots[-1] > 7_000_000
    assert device.condition.dark == ""
    assert device.condition.changes >= 3


def test_a_lost_count_with_no_window_left_stops_with_the_reason() -> None:
    truth = world(replace(SCENE, slots=5_000_000, gap=(1_500_000, 2_700_000), jump_ps=3550))
    device = receiver(truth, ONCE)
    found, why = all_of(device)
    assert "the count of slots is lost: the light's phase jumped" in why
    assert "let Alice publish windows at intervals" in why
    slots, outcomes = joined(found)
    assert slots[-1] < 2_700_000
    wrong, total = sifted_errors(truth, slots, outcomes)
    assert wrong / total < 0.09
    assert "phase jumped" in device.condition.dark


def test_a_jump_by_whole_slots_is_caught_by_the_next_window() -> None:
    """No phase shows it; the window's bits do, and the count is put right from there."""
    truth = world(replace(SCENE, slots=9_000_000, gap=(2_500_000, 2_500_001), jump_ps=-3000))
    slots, outcomes = joined(all_of(receiver(truth, OFTEN))[0])
    late = slots > 6_000_000 + WINDOW
    wrong, total = sifted_errors(truth, slots[late], outcomes[late])
    assert total > 10_000
    assert wrong / total < 0.09


def test_a_short_cut_is_bridged() -> None:
    truth = world(replace(SCENE, gap=(1_500_000, 1_700_000)))
    slots, outcomes = joined(all_of(receiver(truth))[0])
    wrong, total = sifted_errors(truth, slots, outcomes)
    assert slots[-1] > 2_500_000
    assert wrong / total < 0.09


def test_a_cut_too_long_for_its_phase_to_tell_is_verified_in_the_next_window() -> None:
    """Light that was away for 12 ms may have come back by another way: here by four slots of another way."""
    windows = SyncWindows(WINDOW, 20_000_000)
    truth = world(replace(SCENE, slots=24_000_000, clicks=0.02, gap=(1_500_000, 13_500_000), jump_ps=4000))
    device = receiver(truth, windows)
    found, _ = all_of(device, 1_000_000)
    slots, outcomes = joined(found)
    after = slots >= 13_500_000
    wrong, total = sifted_errors(truth, slots[after], outcomes[after])
    assert total > 10_000
    assert wrong / total < 0.09


def test_darkness_alone_never_locks() -> None:
    draw = np.random.default_rng(1)
    times = np.sort(draw.integers(0, 20_000_000_000, 30_000))
    dark = world(replace(SCENE, slots=300_000))
    tags = Tags(times, draw.integers(0, 4, 30_000).astype(np.uint8))
    device = receiver(replace(dark, tags=tags))
    assert device.condition.dark
    with pytest.raises(DataRefused, match="no periodic signal"):
        device.detect(1000)
    assert device.condition.dark


@pytest.mark.parametrize(
    ("origin", "filters", "refused"),
    [
        (Origin.PHOTONS, Filters(), True),
        (Origin.PHOTONS, Filters(afterpulse_s=1e-6), True),
        (Origin.PHOTONS, Filters(dead_s=0.0), False),
        (Origin.PHOTONS, Filters(dead_s=50e-9), False),
        (Origin.SIMULATED, Filters(), False),
    ],
)
def test_photons_need_a_dead_time_that_somebody_stated(origin: Origin, filters: Filters, refused: bool) -> None:
    scene = world(replace(SCENE, slots=300_000))
    source = ListSource(scene.scene.tagging, scene.tags, 20_000)
    named = {"origin": origin, "settings": replace(SETTINGS, filters=filters)}
    if refused:
        with pytest.raises(DataRefused, match=r"filters\.dead_s is not stated.*or 0 if none has any"):
            TagReceiver(source, scene.published, ONCE, FixedEntropy(), **named)
    else:
        assert TagReceiver(source, scene.published, ONCE, FixedEntropy(), **named).origin is origin


def test_a_closed_device_ends_its_detect() -> None:
    device = receiver(world(replace(SCENE, slots=300_000)))
    device.close()
    with pytest.raises(DataRefused, match="closed"):
        device.detect(1000)


def test_health_counts_what_went_by_and_where_it_arrived() -> None:
    truth = world(replace(SCENE, background=0.0, jitter_ps=40.0))
    device = receiver(truth)
    device.detect(2_000_000)
    health = device.health()
    assert health.clicks is not None
    assert health.arrival_s is not None
    assert health.arrival_spread_s == pytest.approx(40e-12, rel=0.1)
    seen = truth.slots < health.pulses
    expected = np.bincount(truth.outcomes[seen], minlength=4)
    assert np.abs(np.array(health.clicks) - expected).max() < 200  # but for the first tags, before the lock
    assert all(at is not None and abs(at) < 5e-12 for at in health.arrival_s)
    assert device.health().pulses == 0


def test_the_background_is_measured_as_probability_a_slot() -> None:
    truth = world(replace(SCENE, background=0.2, start_s=0.002))
    device = receiver(truth)
    device.detect(2_000_000)
    light = 0.05
    assert device.condition.noise == pytest.approx(light * 0.25, rel=0.2)
    clean = receiver(world(replace(SCENE, background=0.0)))
    clean.detect(2_000_000)
    assert clean.condition.noise == pytest.approx(0.0, abs=1e-6)


def test_tags_out_of_order_stop_the_device_by_name() -> None:
    truth = world(replace(SCENE, slots=1_000_000))
    times = truth.tags.times_ps.copy()
    times[30_000] = times[29_000]
    device = receiver(replace(truth, tags=Tags(times, truth.tags.channels)))
    with pytest.raises(DataRefused, match="tags out of order: tag 30000"):
        device.detect(900_000)


@pytest.mark.parametrize(("length", "every"), [(100, None), (1 << 31, None), (1 << 18, 1 << 18)])
def test_windows_that_cannot_be_meant_are_refused(length: int, every: int | None) -> None:
    with pytest.raises(DataRefused, match="synchronisation window"):
        SyncWindows(length, every)
