"""Clock and offset found in tags whose truth is known, and refused by name where they are not there."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tag_world import POLARISATION, TIME_BIN, FixedEntropy, Scene, World, rewired, world

from poliqi.base.errors import DataRefused
from poliqi.link.sync.clock import find_clock, look_for_clock
from poliqi.link.sync.gates import Filters
from poliqi.link.sync.ingest import Ingest
from poliqi.link.sync.offset import Offset, find_offset
from poliqi.link.sync.recover import Recovered, SyncSettings, recover
from poliqi.link.sync.rows import Agreement, alice_row, click_values, weights
from poliqi.link.sync.tracking import Tracker
from poliqi.link.timetags.tags import Meaning, Tagging, Tags

WINDOW = 1 << 18
SHORT = Scene(slots=1_500_000, clicks=0.06)


def found(
    scene: World, tagging: Tagging | None = None, settings: SyncSettings | None = None, window: int = WINDOW
) -> Recovered:
    tagging = tagging or scene.scene.tagging
    return recover(scene.tags, tagging, scene.published(0, window), settings or SyncSettings())


def check_against_truth(scene: World, window: int = WINDOW) -> None:
    """Every light click stands in its own slot, and sifted errors are as many as were drawn."""
    result = found(scene, window=window)
    tagging = scene.scene.tagging
    ingest = Ingest(tagging, Filters(), FixedEntropy())
    events = ingest.take(result.times_ps, result.codes, result.line)
    lit = np.isin(scene.slots, events.slots)
    seen_from = np.searchsorted(scene.slots, events.slots[0])
    # the start is found by the light itself, so the first few clicks may go before it
    assert lit[seen_from:].mean() > 1 - 1e-4
    assert scene.slots[seen_from] < scene.scene.slots / 10
    alice, basis = scene.states[events.slots % scene.scene.slots], events.outcomes >> 1
    kept = np.isin(events.slots, scene.slots) & (alice >> 1 == basis)
    place = np.searchsorted(scene.slots, events.slots[kept])
    true = scene.outcomes[place]
    alone = true == events.outcomes[kept]  # all but double clicks with the background
    assert alone.mean() > 0.985
    wrong = np.count_nonzero((alice[kept][alone] ^ true[alone]) & 1)
    total, error = np.count_nonzero(alone), scene.scene.error
    assert abs(wrong - error * total) < 4 * math.sqrt(error * (1 - error) * total)


def random_scene(seed: int, base: Scene) -> Scene:
    draw = np.random.default_rng(seed)
    return replace(
        base,
        seed=seed,
        start_s=float(draw.uniform(0, 0.01)),
        off=float(draw.uniform(-1e-6, 1e-6)),
        swing_s=float(draw.uniform(0, 30e-12)),
        swing_period_s=float(draw.uniform(0.01, 0.1)),
        tagging=TIME_BIN if seed % 2 else POLARISATION,
    )


@pytest.mark.parametrize("seed", range(10))
def test_any_offset_and_drift_is_found(seed: int) -> None:
    check_against_truth(world(random_scene(seed, SHORT)))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100))
def test_a_hundred_offsets_and_drifts_are_found(seed: int) -> None:
    check_against_truth(world(random_scene(1000 + seed, Scene(slots=20_000_000))), 1 << 20)


def test_the_clocks_error_is_measured_within_its_own_sigma() -> None:
    for seed, off in enumerate((-5e-6, 1e-7, 4.9e-6)):
        scene = world(Scene(seed=seed, slots=400_000, off=off, start_s=0.0))
        tone = find_clock(scene.tags.times_ps, 1e9, 1)
        true = 1.0 / (1.0 - off) - 1.0
        assert abs(tone.off(1e9) - true) < 4 * tone.rate_sigma * 1e3
        assert tone.false_alarm < 1e-12


def test_ten_thousand_clicks_a_second_are_enough() -> None:
    """A count rate of 1e4 a second, a tenth of it background, for two seconds of a clock that walks."""
    draw = np.random.default_rng(3)
    slots = np.sort(draw.integers(0, 2_000_000_000, 18_000))
    middles = (slots + 0.5) * 1000.0 * (1 - 3e-6) + 1000 * np.sin(slots * 1e-9 * 0.5) + draw.normal(0, 40, 18_000)
    times = np.sort(np.concatenate([middles, draw.random(2000) * middles[-1]]).astype(np.int64))
    tracker = Tracker(find_clock(times, 1e9, 1), 1, 1e-9)
    tracking = tracker.follow(times, last=True)
    line = tracking.line
    assert line is not None
    assert not tracking.lost
    at = np.rint(middles[200:]).astype(np.int64)
    inside = np.array([line.at(int(t))[1] for t in at[::50]])
    assert abs(inside - 0.5).max() < 0.25  # 40 ps of jitter are .04 slots
    spread = np.diff([line.at(int(t))[0] for t in at]) - np.diff(slots[200:])
    assert not spread.any()  # no slot is slipped


def test_light_that_begins_late_is_not_measured_over_the_dark_before() -> None:
    """A few thousand dark counts before light at 50e6 a second: a lock on both together would know no rate."""
    draw = np.random.default_rng(6)
    dark = np.sort(draw.integers(0, 7_000_000_000, 4000))
    middles = 7_000_000_000 + (np.sort(draw.integers(0, 5_000_000, 250_000)) + 0.5) * 1000.0 * (1 - 2e-6)
    times = np.concatenate([dark, np.sort(middles + draw.normal(0, 30, middles.size)).astype(np.int64)])
    tone = find_clock(times, 1e9, 1)
    assert abs(tone.off(1e9) - 2e-6) < 4 * tone.rate_sigma * 1e3 + 1e-11
    assert tone.rate_sigma * 1e3 < 1e-8
    assert 7_000_000_000 <= tone.from_ps < 7_002_000_000


@pytest.mark.parametrize(
    ("clock_hz", "words"),
    [
        (1e9 * (1 + 50e-6), "no periodic signal.*Wrong clock: there is a period of (1e\\+09|99999999.) Hz"),
        (1.25e9, "no periodic signal"),
        (2e9, "wrong clock: light comes in every 2. slot of 2e\\+09 Hz only; the clock seems to be 1e\\+09 Hz"),
        (0.5e9, "no periodic signal|no offset"),
    ],
)
def test_a_wrong_clock_is_refused_by_name(clock_hz: float, words: str) -> None:
    scene = world(replace(SHORT, off=0.0))
    with pytest.raises(DataRefused, match=words):
        found(scene, replace(POLARISATION, clock_hz=clock_hz))


def test_light_of_two_bins_read_as_one_is_named() -> None:
    scene = world(replace(SHORT, tagging=TIME_BIN, key_basis=1.0))
    with pytest.raises(DataRefused, match=r"there is a period of .* with 2 bins a slot"):
        find_clock(scene.tags.times_ps, 1e9, 1)


@pytest.mark.parametrize("bins", [1, 2])
def test_no_light_gives_no_lock(bins: int) -> None:
    """Dark counts alone, twenty times: the chance of a false lock is stated as 1e-12 each."""
    draw = np.random.default_rng(8)
    for _ in range(20):
        times = np.sort(draw.integers(0, 50_000_000_000, 5000))
        tone, sure = look_for_clock(times, 1e9, bins)
        assert not sure
        assert tone.power < 40
    with pytest.raises(DataRefused, match=r"no periodic signal: 5000 tags over 0.05 s show no period"):
        find_clock(times, 1e9, bins)


def test_bunches_without_a_period_give_no_lock() -> None:
    """Tags in bursts, as afterpulses or a flickering lamp make them: the noise floor is measured, not assumed."""
    draw = np.random.default_rng(9)
    starts = np.repeat(draw.integers(0, 50_000_000_000, 500), 20)
    times = np.sort(starts + draw.exponential(40_000, starts.size).astype(np.int64))
    assert not look_for_clock(times, 1e9, 1)[1]


def test_the_power_of_noise_follows_its_law() -> None:
    """Schuster: the strongest of K frequencies exceeds P with a chance below K exp(-P)."""
    draw = np.random.default_rng(10)
    claims = np.array(
        [look_for_clock(np.sort(draw.integers(0, 10_000_000_000, 500)), 1e9, 1)[0].false_alarm for _ in range(200)]
    )
    for level in (0.5, 0.1, 0.02):
        most = 200 * level
        assert np.count_nonzero(claims < level) <= most + 4 * math.sqrt(most)


def test_a_window_that_is_not_there_gives_no_offset() -> None:
    scene = world(SHORT)
    other = world(replace(SHORT, seed=99))
    with pytest.raises(DataRefused, match=r"no offset: .* at none of \d+ offsets .*same window"):
        recover(scene.tags, POLARISATION, other.published(0, WINDOW), SyncSettings())


def fitted(states: np.ndarray, reach: int, seed: int, clicks: float = 0.02, echo: float = 0.0) -> Offset:
    """The offset of clicks at an Alice who plays `states` again and again, `reach` slots after the first guess.

    Of each click there is an `echo` 50 slots later: a tagger that counts some pulses twice.
    """
    draw = np.random.default_rng(seed)
    slots = np.flatnonzero(draw.random(states.size + 2 * reach) < clicks)
    state = states[(slots - reach) % states.size]
    basis = draw.integers(0, 2, slots.size)
    bit = np.where(basis == state >> 1, state & 1, draw.integers(0, 2, slots.size))
    twice = np.flatnonzero(draw.random(slots.size) < echo)
    at, codes = np.concatenate([slots, slots[twice] + 50]), (2 * basis + bit).astype(np.uint8)
    codes = np.concatenate([codes, codes[twice]])
    order = np.argsort(at, kind="stable")
    return find_offset(at[order].astype(np.int64), codes[order], states, 1, 0, 2 * reach)


@pytest.mark.parametrize("period", [1 << 15, 127, 1])
@pytest.mark.parametrize("seed", range(2))
def test_states_that_repeat_are_refused_since_two_offsets_fit(period: int, seed: int) -> None:
    """As a pattern generator of a laboratory repeats them; each of the offsets fits by far more than chance."""
    pattern = np.random.default_rng(seed).integers(0, 4, period).astype(np.uint8)
    with pytest.raises(DataRefused, match=r"no offset: two fit.*states repeat.*draw .* one by one"):
        fitted(np.resize(pattern, WINDOW), 100_000, seed)


def test_states_that_repeat_every_turn_of_the_search_are_refused() -> None:
    """A period of 2^18 slots falls on one place of a search of that length: the multiple is what does not show."""
    pattern = np.random.default_rng(4).integers(0, 4, 1 << 18).astype(np.uint8)
    with pytest.raises(DataRefused, match="no offset: two fit, 262144 slots apart"):
        fitted(np.tile(pattern, 4), 300_000, 4, clicks=0.05)


def test_clicks_that_are_counted_twice_are_no_second_offset() -> None:
    """An echo of a tenth fits by more than chance too, but a tenth as well as the light itself."""
    states = np.random.default_rng(5).integers(0, 4, WINDOW).astype(np.uint8)
    assert fitted(states, 100_000, 5, clicks=0.1, echo=0.1).bins == 100_000


def test_a_start_outside_its_uncertainty_gives_no_offset() -> None:
    scene = world(SHORT)
    with pytest.raises(DataRefused, match="no offset"):
        found(scene, settings=SyncSettings(start_ps=-6_000_000_000))


@pytest.mark.parametrize(("bins", "by_bin"), [(1, False), (2, False), (2, True)])
def test_the_weights_of_alices_bits_bound_what_each_can_add(bins: int, by_bin: bool) -> None:
    """Bit by bit: what the sum of matches changes by when one bit of hers is turned, half of it, squared."""
    draw = np.random.default_rng(12)
    codes = draw.integers(0, 4, 40).astype(np.uint8) if not by_bin else draw.choice([2, 3, 4], 40).astype(np.uint8)
    row = np.zeros(32 * bins, np.complex64)
    np.add.at(row, draw.integers(0, row.size, 40), click_values(codes, by_bin=by_bin))
    states = draw.integers(0, 4, 32).astype(np.uint8)
    for offset in range(bins):
        total = 0.0
        for k in range(32):
            turned = states.copy()
            turned[k] ^= 1
            change = alice_row(states, bins, by_bin=by_bin) - alice_row(turned, bins, by_bin=by_bin)
            total += (float(np.real(np.conj(change) @ np.roll(row, -offset))) / 2) ** 2
        assert total <= weights(row, bins, by_bin=by_bin) * (1 + 1e-6)


def test_the_stated_chance_of_a_wrong_offset_is_an_upper_bound() -> None:
    """Coin tosses: the best of many offsets reaches its stated chance no more often than it says."""
    draw = np.random.default_rng(11)
    tosses = draw.binomial(400, 0.5, (2000, 100)).min(axis=1)
    claims = np.array([100 * Agreement((400, 0), (int(wrong), 0)).false_alarm for wrong in tosses])
    for level in (0.5, 0.1, 0.02):
        assert np.count_nonzero(claims < level) <= 2000 * level


@pytest.mark.parametrize(
    ("meanings", "words"),
    [
        (
            {0: Meaning.KEY_1, 1: Meaning.KEY_0},
            "named key0 behaves as key1, the channel named key1 behaves as key0",
        ),
        (
            {2: Meaning.TEST_1, 3: Meaning.TEST_0},
            "named test0 behaves as test1, the channel named test1 behaves as test0",
        ),
        (
            {0: Meaning.TEST_0, 2: Meaning.KEY_0},
            "named key0 behaves as test0, the channel named test0 behaves as key0",
        ),
        (
            {0: Meaning.TEST_0, 1: Meaning.TEST_1, 2: Meaning.KEY_0, 3: Meaning.KEY_1},
            "the channel named key0 behaves as test0, the channel named key1 behaves as test1",
        ),
    ],
)
def test_swapped_channels_are_named(meanings: dict[int, Meaning], words: str) -> None:
    scene = world(replace(SHORT, slots=2_000_000, key_basis=0.7))
    with pytest.raises(DataRefused, match=words):
        found(scene, rewired(POLARISATION, meanings))


def test_swapped_test_detectors_of_a_time_bin_receiver_are_named() -> None:
    scene = world(replace(SHORT, tagging=TIME_BIN))
    with pytest.raises(DataRefused, match=r"swapped channels: the channel named test0 behaves as test1"):
        found(scene, rewired(TIME_BIN, {2: Meaning.TEST_1, 3: Meaning.TEST_0}))


def test_an_arm_without_light_is_named_though_it_clicks() -> None:
    scene = world(replace(SHORT, key_basis=0.7))
    draw = np.random.default_rng(1)
    dark = scene.tags.channels == 3
    times = scene.tags.times_ps.copy()
    times[dark] += draw.integers(-5000, 5000, np.count_nonzero(dark))
    order = np.argsort(times)
    with pytest.raises(
        DataRefused, match=r"empty arm: the \d+ tags of channel 3 \(test1\) do not come with the light"
    ):
        recover(
            Tags(times[order], scene.tags.channels[order]), POLARISATION, scene.published(0, WINDOW), SyncSettings()
        )


def test_a_late_channel_is_named_with_its_delay() -> None:
    scene = world(SHORT)
    times = scene.tags.times_ps + np.where(scene.tags.channels == 1, 400, 0)
    order = np.argsort(times)
    with pytest.raises(DataRefused, match=r"light comes to channel 1 \(key1\) (39|40)\d ps after channel \d"):
        recover(
            Tags(times[order], scene.tags.channels[order]), POLARISATION, scene.published(0, WINDOW), SyncSettings()
        )


def test_delays_in_the_channel_table_are_taken_off() -> None:
    scene = world(SHORT)
    times = scene.tags.times_ps + np.where(scene.tags.channels == 1, 12_400, 0)
    order = np.argsort(times, kind="stable")
    late = replace(
        POLARISATION,
        channels=tuple(replace(c, delay_ps=12_400 if c.number == 1 else 0) for c in POLARISATION.channels),
    )
    tags = Tags(times[order], scene.tags.channels[order])
    result = recover(tags, late, scene.published(0, WINDOW), SyncSettings())
    assert result.offset.agreement.qber(0) == pytest.approx(found(scene).offset.agreement.qber(0), abs=2e-3)


@pytest.mark.parametrize(("name", "value"), [("uncertainty_s", 2.0), ("most_off", 0.1), ("wander", 0.0)])
def test_settings_that_cannot_be_meant_are_refused(name: str, value: float) -> None:
    with pytest.raises(DataRefused, match=name):
        replace(SyncSettings(), **{name: value}).check()


def test_few_tags_over_a_long_time_are_refused_in_little_memory() -> None:
    """An hour of 4,096 tags would take a transform of some 10^8 points."""
    times = np.sort(np.random.default_rng(3).integers(0, 4_000_000_000_000_000, 4096))
    with pytest.raises(DataRefused, match="too few to find a clock"):
        find_clock(times[::50], 1e9, 1)
    with pytest.raises(DataRefused, match="no periodic signal"):
        find_clock(times, 1e9, 1)
