"""What a monitor promises of small blocks, of long times and of devices that are no two alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from poliqi.link.monitor import Baseline, Level, Monitor, Observation, Tolerance
from poliqi.link.played import PlayedLink
from poliqi.link.response import Guard, WatchSettings
from poliqi.ops.config import default_link
from poliqi.optics.channel import expectation

LINK = default_link()
PLAYED = PlayedLink(LINK)


def test_sums_over_thousands_of_small_blocks_keep_to_the_stated_rate() -> None:
    """A sum that stayed high after its first alarm would call each later block attacked, too."""
    alpha, count = 1e-2, 8000
    pulses = round(3000 / expectation(LINK).clicks)
    monitor = Monitor(Baseline.of(LINK, Tolerance.none()), alpha=alpha, suspicion=alpha)
    dice = np.random.default_rng(2)
    seen = [monitor.see(PLAYED.block(pulses, dice).observation(), 0.0).level for _ in range(count)]
    assert 0 < seen.count(Level.ATTACK) <= int(stats.binom.isf(0.001, count, alpha))


def test_two_detectors_that_differ_are_commissioned_and_then_watched() -> None:
    """52 % of the clicks at one of two diodes is how diodes are; 58 % is not, once that was learned."""
    guard, dice = Guard(LINK, WatchSettings(commissioning=20)), np.random.default_rng(1)
    for _ in range(20):
        assert guard.see(uneven(dice, 0.02), 0.0, 0.0).refusal is None
    assert guard.commissioning is None
    assert guard.see(uneven(dice, 0.02), 0.0, 0.0).verdict.level is Level.CLEAR
    found = guard.see(uneven(dice, 0.08), 0.0, 0.0).verdict
    assert {row.figure for row in found.evidence} == {"detectors-key", "detectors-test"}


def uneven(dice: np.random.Generator, more: float) -> Observation:
    """A clean block of which `more` than half the clicks of each basis say 0."""
    seen = PLAYED.block(130_000_000, dice).observation()
    assert seen.bob is not None and seen.bob.clicks is not None
    key_0, key_1, test_0, test_1 = seen.bob.clicks
    key, test = int((key_0 + key_1) * more), int((test_0 + test_1) * more)
    clicks = key_0 + key, key_1 - key, test_0 + test, test_1 - test
    return replace(seen, bob=replace(seen.bob, clicks=clicks))
