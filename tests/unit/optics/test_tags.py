"""Synthetic tags: against their definition in numpy, against the closed form, and whatever way they are taken."""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from optical_links import PLAIN, make_link
from pair_links import PAIRED

from poliqi.base.errors import ConfigError
from poliqi.optics.channel import expectation
from poliqi.optics.parameters import ClassicalChannel, DetectorKind, FrontEnd, LinkParameters
from poliqi.optics.states import alice_states
from poliqi.optics.tag_definition import extra_places, placed
from poliqi.optics.tag_kernels import extra_kernel, normal_kernel
from poliqi.optics.tag_plan import tag_plan
from poliqi.optics.tags import TagClock, TagSampler, slot_time_ps, synthetic_tags

POLARISATION = make_link(
    source__pulse_fwhm_s=60e-12,
    detector__jitter_fwhm_s=100e-12,
    detector__window_s=300e-12,
    detector__dark_rate_hz=2e6,
    detector__dead_time_s=20e-9,
    classical_channels=(ClassicalChannel(-10.0),),
)
TIME_BIN = make_link(
    POLARISATION,
    receiver__front_end=FrontEnd.TIME_BIN,
    receiver__test_loss_db=3.0,
    detector__jitter_fwhm_s=250e-12,
    detector__afterpulse=0.05,
    detector__afterpulse_time_s=200e-9,
)
NO_MEMORY = make_link(detector__jitter_fwhm_s=50e-12)
LINKS = {"polarisation": POLARISATION, "time-bin": TIME_BIN, "no memory": NO_MEMORY}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_clicks_are_placed_as_the_definition_says(link: LinkParameters) -> None:
    sampler = TagSampler(link, 11)
    stream = sampler.take(300_000, last=True)
    clicks = stream.clicks
    states = alice_states(link.source, 11, clicks.slots)
    slot, at, outcome, click = placed(sampler.plan, int(sampler._keys[0]), 0, clicks.slots, clicks.outcomes, states)
    period = Fraction(10**12) / Fraction(link.source.clock_hz)
    times = slot * int(period) + np.floor(at).astype(np.int64)
    mine = stream.click >= 0
    counted = click >= 0
    order = np.lexsort((sampler.plan.channels[outcome], times))
    expected = np.rec.fromarrays([times[order], sampler.plan.channels[outcome][order], click[order]])
    expected = expected[counted[order]]
    first = expected[expected.f0 >= 0]
    found_order = np.lexsort((stream.channels[mine], stream.times_ps[mine]))
    assert mine.sum() == first.size
    # a time may be rounded down to the picosecond beside where the two quantiles differ in their last bit
    assert np.abs(stream.times_ps[mine][found_order] - first.f0).max() <= 1
    assert np.mean(stream.channels[mine][found_order] == first.f1) > 0.999
    assert np.array_equal(np.sort(stream.click[mine]), np.sort(first.f2))


@pytest.mark.parametrize("link", [POLARISATION, TIME_BIN], ids=["polarisation", "time-bin"])
def test_what_does_not_count_is_placed_as_the_definition_says(link: LinkParameters) -> None:
    plan = tag_plan(link)
    end, going = 200_000, np.array([3.25, 17.0])
    out = np.empty(100_000, np.int64), np.empty(100_000, np.uint8), np.empty(100_000, np.int64)
    grid = 62, 0, np.zeros(1, np.int64), np.array([[0.0, 1000.0, 0.0]])
    written = int(
        extra_kernel(
            np.uint64(5),
            going,
            end,
            plan.extra_gap,
            plan.extra_ends,
            plan.extra_kinds,
            plan.extra_outcomes,
            plan.extra_centres,
            plan.gates,
            True,
            plan.shape,
            plan.bins,
            np.zeros(4),
            plan.channels,
            *grid,
            1,
            *out,
        )
    )
    slot, at, outcome = extra_places(plan, 5, 17, 3.25, end)
    assert written == slot.size > 1000
    assert np.abs(out[0][:written] - np.sort(slot * 1000 + np.floor(at).astype(np.int64))).max() <= 1
    assert np.array_equal(np.bincount(out[1][:written]), np.bincount(plan.channels[outcome]))


def test_quantiles_are_those_of_the_normal_law() -> None:
    p = np.array([1e-300, 1e-30, 1e-9, 0.001, 0.07, 0.075, 0.3, 0.5, 0.7, 0.93, 0.999, 1 - 1e-9])
    out = np.empty(p.size)
    normal_kernel(p, out)
    assert out == pytest.approx([NormalDist().inv_cdf(value) for value in p], rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_tags_do_not_depend_on_how_they_are_taken(link: LinkParameters) -> None:
    clock = TagClock(1e-4, 2e-6, 1e-7, 1e-7, 2.0, (0, 30, 5, 12), 4)
    whole = synthetic_tags(link, 3, 100_000, clock=clock)
    sampler = TagSampler(link, 3, clock)
    parts = [sampler.take(1), sampler.take(40_000), sampler.take(59_999, last=True)]
    for name in ("times_ps", "channels", "click"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
    assert (np.diff(whole.times_ps) >= 0).all()
    assert (whole.times_ps % 4 == 0).all()


def test_slots_stand_where_the_clock_says() -> None:
    clock = TagClock(0.004, 1e-6, 3e-5, 2e-9, 10.0)
    link = make_link(source__clock_hz=1e6, detector__jitter_fwhm_s=50e-12)
    t = 2.5  # seconds of Alice's time
    whole = 0.004 + t + 1e-6 * t + 3e-5 / 2 * t**2 + 2e-9 * math.sin(2 * math.pi * t / 10.0)
    assert slot_time_ps(link, clock, 2_500_000) == pytest.approx(whole * 1e12, abs=1.0)
    sampler = TagSampler(link, 1, clock)
    sampler.take(2_500_000)
    stream = sampler.take(50_000, last=True)
    mine = (stream.click >= 0) & (stream.click >= stream.click.max() - stream.clicks.slots.size + 1)
    slots = stream.clicks.slots[stream.click[mine] - (stream.click.max() - stream.clicks.slots.size + 1)]
    away = stream.times_ps[mine] - np.array([slot_time_ps(link, clock, int(slot)) for slot in slots])
    assert abs(np.mean(away)) < 5 * 21.2 / math.sqrt(away.size) + 1.0
    assert np.std(away) == pytest.approx(50.0 / 2.3548, rel=0.1)


def test_rates_are_those_of_the_closed_form() -> None:
    pulses = 2_000_000
    stream = synthetic_tags(POLARISATION, 8, pulses)
    mean = expectation(POLARISATION)
    assert stream.clicks.slots.size == pytest.approx(pulses * mean.clicks, abs=5 * math.sqrt(pulses * mean.clicks))
    counted, times = np.unique(stream.click[stream.click >= 0], return_counts=True)
    assert counted.size == stream.clicks.slots.size
    doubles = int((times == 2).sum())
    assert doubles == pytest.approx(stream.clicks.doubles, abs=6 * math.sqrt(stream.clicks.doubles))


def test_detectors_count_in_the_dark_before_the_light_comes() -> None:
    link = make_link(detector__dark_rate_hz=1e6)
    stream = synthetic_tags(link, 2, 1000, clock=TagClock(offset_s=0.01))
    dark = stream.times_ps < 10**10
    assert dark.sum() == pytest.approx(40_000, abs=5 * 200)  # four detectors of 1 MHz for 10 ms
    assert (stream.click[dark] == -1).all()
    assert np.bincount(stream.channels[dark]) == pytest.approx([10_000] * 4, abs=500)


def test_false_counts_fall_outside_a_gate_too() -> None:
    """Four detectors of 2 MHz, 700 of 1000 ps outside the gate: 1.4 MHz each."""
    link = make_link(detector__dark_rate_hz=2e6, detector__window_s=300e-12)
    stream = synthetic_tags(link, 2, 2_000_000)
    outside = np.abs((stream.times_ps + 500) % 1000 - 500) > 151
    assert outside.sum() == pytest.approx(4 * 1.4e6 * 2e-3, abs=5 * math.sqrt(11_200))
    assert (stream.click[outside] == -1).all()


def test_a_tagger_started_late_misses_the_first_slots() -> None:
    stream = synthetic_tags(PLAIN, 2, 20_000, clock=TagClock(offset_s=-5e-6))
    assert stream.times_ps[0] >= 0
    assert stream.clicks.slots[stream.click[stream.click >= 0]].min() >= 5000


def test_both_bins_of_a_time_bin_key_arm_are_one_detector() -> None:
    stream = synthetic_tags(TIME_BIN, 4, 50_000)
    assert set(np.unique(stream.channels)) == {0, 2, 3}
    key = (stream.click >= 0) & (stream.channels == 0)
    late = (stream.times_ps[key] + 250) % 1000 >= 500
    outcome = stream.clicks.outcomes[stream.click[key]]
    # a double click across the arms may have become the other basis
    own = outcome < 2
    assert np.array_equal(late[own], outcome[own] == 1)


def test_a_gated_detector_is_silent_between_its_gates() -> None:
    link = make_link(detector__kind=DetectorKind.GATED_APD, detector__dark_per_gate=1e-3, detector__window_s=2e-10)
    stream = synthetic_tags(link, 4, 500_000, clock=TagClock(offset_s=1e-3))
    assert np.abs((stream.times_ps + 500) % 1000 - 500).max() <= 101
    assert stream.times_ps[0] >= 10**9 - 101


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"offset_s": -11.0}, "offset: -11"),
        ({"frequency_error": 0.1}, "frequency_error: 0.1"),
        ({"resolution_ps": 0}, "resolution: 0"),
        ({"delays_ps": (0, 0, 0, -1)}, "delays: -1"),
        ({"wander_s": float("nan")}, "wander: nan"),
    ],
)
def test_a_clock_out_of_range_is_refused(changes: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        TagClock(**changes)


def test_entangled_pairs_have_no_tags_of_prepared_light() -> None:
    with pytest.raises(ConfigError, match="entangled pairs"):
        synthetic_tags(PAIRED, 1, 1000)
