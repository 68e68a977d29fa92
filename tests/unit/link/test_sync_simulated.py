"""Tags of the detector model, whose clicks are known one by one, through recovery and the streaming receiver."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tag_world import FixedEntropy, ListSource

from poliqi.base.ids import Origin
from poliqi.link.sync.gates import Filters
from poliqi.link.sync.receiver import TagReceiver
from poliqi.link.sync.recover import SyncSettings, recover
from poliqi.link.sync.window import SyncWindows
from poliqi.link.timetags.simulated import tagging_of
from poliqi.link.timetags.tags import Tags
from poliqi.optics.parameters import Detector, DetectorKind, Fibre, FrontEnd, LinkParameters, Receiver, Source
from poliqi.optics.states import alice_states
from poliqi.optics.tags import TagClock, TagStream, slot_time_ps, synthetic_tags

WINDOW = 1 << 19
DEAD_S = 30e-9
LINK = LinkParameters(
    name="tags",
    source=Source(1e9, (0.5, 0.15), (0.7, 0.3), 0.9, pulse_fwhm_s=30e-12),
    fibre=Fibre(35e3, 0.2),
    receiver=Receiver(0.01, 0.02, FrontEnd.POLARISATION),
    detector=Detector(DetectorKind.SNSPD, 0.3, dark_rate_hz=2000.0, dead_time_s=DEAD_S, jitter_fwhm_s=50e-12),
)
TIME_BIN = replace(LINK, receiver=replace(LINK.receiver, front_end=FrontEnd.TIME_BIN))
SETTINGS = SyncSettings(filters=Filters(dead_s=DEAD_S))


def draw(link: LinkParameters, seed: int, pulses: int) -> tuple[TagStream, TagClock]:
    generator = np.random.default_rng(seed)
    clock = TagClock(
        offset_s=float(generator.uniform(0.0, 0.01)),
        frequency_error=float(generator.uniform(-1e-6, 1e-6)),
        wander_s=float(generator.uniform(0.0, 2e-9)),
        wander_period_s=float(generator.uniform(1.0, 10.0)),
    )
    return synthetic_tags(link, seed, pulses, clock=clock), clock


def published(link: LinkParameters, seed: int, first: int, count: int) -> NDArray[np.uint8]:
    return alice_states(link.source, seed, np.arange(first, first + count, dtype=np.int64))


def check(link: LinkParameters, seed: int, pulses: int) -> None:
    """Slots start where the model says, and the sifted errors are the model's within four standard deviations."""
    stream, clock = draw(link, seed, pulses)
    tags, tagging = Tags(stream.times_ps, stream.channels), tagging_of(link)
    found = recover(tags, tagging, published(link, seed, 0, WINDOW), SETTINGS)
    for slot in range(WINDOW, pulses, pulses // 7):
        middle = slot_time_ps(link, clock, slot)  # of the slot's first bin
        at, part = found.line.at(round(middle))
        assert at == slot
        assert abs(part - 0.5 / tagging.bins) < 0.02
    device = TagReceiver(
        ListSource(tagging, tags, 1 << 16),
        lambda first, count: published(link, seed, first, count),
        SyncWindows(WINDOW),
        FixedEntropy(),
        origin=Origin.SIMULATED,
        settings=SETTINGS,
    )
    seen = device.detect(pulses - WINDOW - 4_000_000)
    truth = stream.clicks
    assert np.isin(seen.slots, truth.slots).mean() > 1 - 1e-3
    at = np.minimum(np.searchsorted(truth.slots, seen.slots), truth.slots.size - 1)
    same = (truth.slots[at] == seen.slots) & (truth.outcomes[at] == seen.outcomes)
    assert same.mean() > 0.995  # all but the draws of double clicks
    states = alice_states(link.source, seed, seen.slots)
    true_states = alice_states(link.source, seed, truth.slots)
    for basis in (0, 1):
        fits = (states >> 1 & 1 == basis) & (seen.outcomes >> 1 == basis)
        true = (true_states >> 1 & 1 == basis) & (truth.outcomes >> 1 == basis)
        wrong, total = int(((states ^ seen.outcomes)[fits] & 1).sum()), int(fits.sum())
        rate = float(((true_states ^ truth.outcomes)[true] & 1).mean())
        assert abs(wrong - rate * total) < 4 * math.sqrt(rate * (1 - rate) * total)


@pytest.mark.slow
@pytest.mark.parametrize("link", [LINK, TIME_BIN])
def test_the_detectors_clicks_come_back(link: LinkParameters) -> None:
    check(link, 7, 9_000_000)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100))
def test_a_hundred_simulated_starts_are_found(seed: int) -> None:
    check(TIME_BIN if seed % 2 else LINK, 100 + seed, 40_000_000)
