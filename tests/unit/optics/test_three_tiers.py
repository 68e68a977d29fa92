"""Closed form, count level and event stream are one model: they agree over a grid of links and detectors."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from optical_links import class_table, expected_table, make_link, z_scores

from poliqi.optics.attack import parse_attack
from poliqi.optics.channel import expectation
from poliqi.optics.counts import CountSampler, sample_counts
from poliqi.optics.parameters import (
    BasisChoice,
    ClassicalChannel,
    DeadTimeModel,
    Detector,
    DetectorKind,
    FrontEnd,
    LinkParameters,
)
from poliqi.optics.sampler import Sampler
from poliqi.optics.states import alice_states
from poliqi.proof import Counts

SNSPD = Detector(DetectorKind.SNSPD, 0.85, dark_rate_hz=1e4, jitter_fwhm_s=50e-12)
GATED = Detector(DetectorKind.GATED_APD, 0.2, dark_per_gate=5e-5, jitter_fwhm_s=200e-12)
FREE = Detector(DetectorKind.FREE_RUNNING_APD, 0.2, dark_rate_hz=1e5, dead_time_s=1e-6)

DETECTORS: dict[str, dict[str, Any]] = {
    "snspd": {"detector": SNSPD},
    "snspd, dead time": {"detector": SNSPD, "detector__dead_time_s": 50e-9},
    "snspd, paralysable": {
        "detector": SNSPD,
        "detector__dead_time_s": 20e-9,
        "detector__dead_time_model": DeadTimeModel.PARALYSABLE,
    },
    "gated, afterpulses": {
        "detector": GATED,
        "detector__afterpulse": 0.05,
        "detector__afterpulse_time_s": 10e-9,
    },
    "free-running, afterpulses": {
        "detector": FREE,
        "detector__afterpulse": 0.1,
        "detector__afterpulse_time_s": 1e-6,
    },
}
CHANNELS: dict[str, dict[str, Any]] = {
    "5 km": {"fibre__length_m": 5e3},
    "25 km beside 0 dBm": {
        "fibre__length_m": 25e3,
        "fibre__mux_db": 1.0,
        "classical_channels": (ClassicalChannel(0.0),),
        "detector__window_s": 100e-12,
    },
    "noisy time-bin": {
        "receiver__front_end": FrontEnd.TIME_BIN,
        "receiver__test_loss_db": 3.0,
        "receiver__drift_rad_per_sqrt_s": 0.5,
        "receiver__tracking_time_s": 0.1,
        "source__intensity_noise": 0.02,
        "source__pulse_fwhm_s": 150e-12,
    },
    "active": {"receiver__basis_choice": BasisChoice.ACTIVE},
    "intercept": {"attack": parse_attack("intercept=0.2")},
    "pns": {"attack": parse_attack("pns"), "fibre__length_m": 20e3},
}
GRID = list(product(DETECTORS, CHANNELS))
SOURCE = {"source__key_basis": 0.75, "source__probabilities": (0.6, 0.4)}
CLICKS = 300_000


def grid_link(detector: str, channel: str) -> LinkParameters:
    changes = SOURCE | DETECTORS[detector] | CHANNELS[channel]
    base = make_link(detector=changes.pop("detector"))
    return make_link(base, **changes)


def tables(counts: Counts) -> np.ndarray:
    return np.array(
        [
            [(n - m, m) for n, m in zip(basis.detections, basis.errors, strict=True)]
            for basis in (counts.key, counts.test)
        ]
    )


def observe(link: LinkParameters, seed: int, pulses: int) -> tuple[np.ndarray, int, int]:
    clicks = Sampler(link, seed).take(pulses)
    states = alice_states(link.source, seed, clicks.slots)
    table = class_table(states, clicks.outcomes, len(link.source.intensities))
    return table, clicks.slots.size, clicks.doubles


@pytest.mark.parametrize(("detector", "channel"), GRID)
def test_event_stream_agrees_with_the_closed_form(detector: str, channel: str) -> None:
    link = grid_link(detector, channel)
    mean = expectation(link)
    pulses = int(CLICKS / mean.clicks)
    observed, clicks, doubles = observe(link, 2, pulses)
    assert np.abs(z_scores(observed, mean, pulses)).max() < 4
    assert abs(clicks - mean.clicks * pulses) < 4 * math.sqrt(pulses * mean.cycle_variance / mean.cycle_mean**3)
    assert abs(doubles - mean.doubles * pulses) < 4 * math.sqrt(mean.doubles * pulses) + 1


@pytest.mark.parametrize(("detector", "channel"), GRID)
def test_count_level_agrees_with_the_closed_form(detector: str, channel: str) -> None:
    link = grid_link(detector, channel)
    sampler = CountSampler(link)
    pulses = 10**9
    counts = sampler.draw(pulses, np.random.default_rng(3))
    assert np.abs(z_scores(tables(counts), sampler.expectation, pulses)).max() < 4


@pytest.mark.parametrize(("detector", "channel"), GRID)
def test_event_stream_agrees_with_the_count_level(detector: str, channel: str) -> None:
    link = grid_link(detector, channel)
    mean = expectation(link)
    pulses = int(CLICKS / mean.clicks)
    observed, _, _ = observe(link, 12, pulses)
    drawn = tables(sample_counts(link, pulses, np.random.default_rng(13)))
    spread = np.sqrt(2 * expected_table(mean) * pulses)
    assert np.abs((observed - drawn) / spread).max() < 4


def test_class_z_scores_of_the_stream_are_normal() -> None:
    names = [("snspd", "5 km"), ("snspd, dead time", "noisy time-bin"), ("gated, afterpulses", "active")]
    names += [("snspd", "intercept"), ("snspd, dead time", "25 km beside 0 dBm"), ("snspd", "pns")]
    scores: list[np.ndarray] = []
    for detector, channel in names:
        link = grid_link(detector, channel)
        mean = expectation(link)
        pulses = int(CLICKS / mean.clicks)
        for seed in range(100, 120):
            observed, _, _ = observe(link, seed, pulses)
            scores.append(z_scores(observed, mean, pulses).ravel())
    z = np.concatenate(scores)
    assert z.size == 960
    assert abs(z.mean()) < 0.2
    assert 0.9 < z.std() < 1.1
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("detector", DETECTORS)
def test_count_level_scatters_as_the_stream_does(detector: str) -> None:
    """Standard deviation of the number of clicks, dead time included, over many blocks."""
    link = grid_link(detector, "5 km")
    mean = expectation(link)
    pulses, blocks = int(2000 / mean.clicks), 400
    sampler = Sampler(link, 77)
    stream = np.array([sampler.take(pulses).slots.size for _ in range(blocks)])
    level, rng = CountSampler(link), np.random.default_rng(78)
    drawn = np.array([level._clicks(pulses, rng) for _ in range(blocks)])
    renewal = math.sqrt(pulses * mean.cycle_variance / mean.cycle_mean**3)
    for seen in (stream, drawn):
        assert abs(seen.mean() - pulses * mean.clicks) < 5 * renewal / math.sqrt(blocks) + 1
        assert seen.std() == pytest.approx(renewal, rel=5 / math.sqrt(2 * blocks))


def test_count_level_is_whole_numbers_and_repeats_under_a_seed() -> None:
    link = grid_link("snspd, dead time", "5 km")
    first = sample_counts(link, 10**8, np.random.default_rng(5))
    again = sample_counts(link, 10**8, np.random.default_rng(5))
    assert first == again
    assert all(isinstance(n, int) for n in (*first.key.detections, *first.test.errors))


def test_a_block_of_no_pulses_counts_nothing() -> None:
    counts = sample_counts(grid_link("snspd, dead time", "5 km"), 0, np.random.default_rng(1))
    assert counts.key.total_detections == counts.test.total_detections == 0
