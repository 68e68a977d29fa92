"""What simulated devices say of themselves: the same in law from clicks and from counts, apart from the light."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from optical_links import make_link

from poliqi.link.health import Health, SelfMeasuring
from poliqi.link.played import PlayedLink
from poliqi.link.simulated import SimulatedReceiver, SimulatedTransmitter
from poliqi.optics.attack import parse_attack
from poliqi.optics.channel import expectation
from poliqi.optics.instruments import Instruments
from poliqi.optics.parameters import Attack, LinkParameters
from poliqi.optics.signature import signature

BASE = make_link(
    fibre__length_m=2e3,
    detector__dark_rate_hz=2e5,
    detector__dead_time_s=10e-9,
    detector__jitter_fwhm_s=100e-12,
    source__key_basis=0.7,
)
ATTACKS = ["", "intercept=0.3", "pns=0.6", "blinding=0.4", "time-shift=0.5", "trojan=1e-6", "tap=3dB", "jam=0.05"]
PULSES = 1_000_000


def link_under(text: str) -> LinkParameters:
    return replace(BASE, attack=parse_attack(text) if text else Attack())


def from_clicks(link: LinkParameters, seed: int = 3) -> Health:
    receiver = SimulatedReceiver(link, seed)
    for _ in range(4):
        receiver.detect(PULSES // 4)
    return receiver.health()


def from_counts(link: LinkParameters, seed: int = 3) -> Health:
    return PlayedLink(link).block(PULSES, np.random.default_rng(seed)).health_bob


@pytest.mark.parametrize("text", ATTACKS)
@pytest.mark.parametrize("measure", [from_clicks, from_counts])
def test_readings_scatter_about_their_means(text: str, measure: object) -> None:
    link = link_under(text)
    mean, means, meters = expectation(link), signature(link), link.instruments
    health: Health = measure(link)  # type: ignore[operator]
    assert health.pulses == PULSES
    assert health.clicks is not None
    assert health.doubles is not None
    # firings: clicks and what double clicks add; a block's number of clicks scatters as the renewal process
    doubles = mean.doubles * PULSES
    fired, spread = sum(health.clicks), math.sqrt(PULSES * mean.cycle_variance / mean.cycle_mean**3 + 4 * doubles)
    assert abs(fired - (mean.clicks + mean.doubles) * PULSES) < 5 * spread
    assert abs(health.doubles - doubles) < 5 * math.sqrt(doubles) + 1
    for zero, one in (health.clicks[:2], health.clicks[2:]):
        assert abs(zero - one) < 5 * math.sqrt(zero + one)
    key = sum(health.clicks[:2])
    assert key / fired == pytest.approx(expected_key_share(link), abs=5 * math.sqrt(0.25 / fired))
    current = means.current_a + meters.click_charge_c * fired / (PULSES * 1e-9)
    assert health.photocurrent_a == pytest.approx(current, abs=5 * meters.current_noise_a)
    assert health.arrival_s is not None
    for at, sign, n in zip(health.arrival_s, (1, -1, 1, -1), health.clicks, strict=True):
        noise = math.hypot(meters.time_noise_s, means.spread_s / math.sqrt(n))
        assert at == pytest.approx(sign * means.arrival_s, abs=5 * noise)
    assert health.arrival_spread_s == pytest.approx(means.spread_s, rel=5 / math.sqrt(2 * fired))
    assert health.pilot_loss_db == pytest.approx(means.pilot_loss_db, abs=5 * meters.pilot_noise_db)
    assert health.back_light_w is None


def expected_key_share(link: LinkParameters) -> float:
    """Firings in Bob's key basis of all firings: clicks of sifted and other detections, then of double clicks."""
    mean, means = expectation(link), signature(link)
    sifted_key, sifted = mean.key.total_detections, mean.key.total_detections + mean.test.total_detections
    key = sifted_key + (mean.clicks - sifted) * means.key_share + mean.doubles * means.extra_key
    return key / (mean.clicks + mean.doubles)


@pytest.mark.parametrize("text", ["", "time-shift=0.5"])
def test_counts_of_a_played_block_are_drawn_as_the_count_level_draws_them(text: str) -> None:
    from poliqi.optics.counts import CountSampler

    link = link_under(text)
    block = PlayedLink(link).block(10**8, np.random.default_rng(8))
    assert block.counts == CountSampler(link).draw(10**8, np.random.default_rng(8))
    sifted = block.counts.key.total_detections + block.counts.test.total_detections
    assert sifted < block.detections
    assert block.health_bob.clicks is not None
    assert sum(block.health_bob.clicks) == block.detections + (block.health_bob.doubles or 0)


def test_meters_draw_nothing_from_the_light() -> None:
    """Clicks are the same whether or not anybody reads the meters, and however often."""
    quiet, asked = SimulatedReceiver(BASE, 11), SimulatedReceiver(BASE, 11)
    for _ in range(3):
        a, b = quiet.detect(50_000), asked.detect(50_000)
        asked.health()
        assert np.array_equal(a.slots, b.slots)
        assert np.array_equal(a.outcomes, b.outcomes)


def test_a_reading_is_of_what_went_by_since_the_one_before() -> None:
    receiver = SimulatedReceiver(BASE, 5)
    first = receiver.detect(100_000)
    one = receiver.health()
    receiver.detect(300_000)
    two, none = receiver.health(), receiver.health()
    assert (one.pulses, two.pulses, none.pulses) == (100_000, 300_000, 0)
    assert one.clicks is not None
    assert sum(one.clicks) - (one.doubles or 0) == first.slots.size
    assert none == Health(0, (0, 0, 0, 0), 0)


def test_a_change_of_the_fibre_counts_from_there_on() -> None:
    """Half of the slots under bright light: half of its current."""
    meters = Instruments(current_noise_a=0.0, pilot_noise_db=0.0, click_charge_c=0.0)
    link = replace(BASE, instruments=meters)
    receiver = SimulatedReceiver(link, 5)
    receiver.detect(200_000)
    receiver.change(replace(link, attack=parse_attack("blinding")))
    receiver.detect(200_000)
    assert receiver.health().photocurrent_a == pytest.approx(50e-6)


def test_alice_reads_her_watch_detector_over_the_slots_that_were_asked() -> None:
    link = link_under("trojan=1e-6")
    transmitter = SimulatedTransmitter(link, 5)
    assert transmitter.health() == Health(0)
    transmitter.states(np.array([3, 999_999], np.int64))
    health = transmitter.health()
    assert health.pulses == 1_000_000
    assert health.back_light_w == pytest.approx(signature(link).back_light_w, abs=5e-10)
    transmitter.change(BASE)
    transmitter.states(np.array([1_999_999], np.int64))
    assert abs(transmitter.health().back_light_w or 0.0) < 5e-10


def test_a_dark_link_has_no_arrival_times() -> None:
    dark = make_link(attack=parse_attack("cut"), detector__dark_rate_hz=1e-3)
    health = PlayedLink(dark).block(1000, np.random.default_rng(1)).health_bob
    assert health.clicks == (0, 0, 0, 0)
    assert health.arrival_s == (None, None, None, None)
    assert health.arrival_spread_s is None


def test_both_devices_measure_themselves() -> None:
    assert isinstance(SimulatedReceiver(BASE, 1), SelfMeasuring)
    assert isinstance(SimulatedTransmitter(BASE, 1), SelfMeasuring)


def test_the_same_seed_reads_the_same() -> None:
    assert from_clicks(BASE, 9) == from_clicks(BASE, 9)
    assert from_clicks(BASE, 9) != from_clicks(BASE, 10)
