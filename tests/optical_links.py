"""Links for tests of the optics, and what a stream of clicks counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from poliqi.optics.channel import Expectation
from poliqi.optics.parameters import Detector, DetectorKind, Fibre, LinkParameters, Receiver, Source

PLAIN = LinkParameters(
    name="plain",
    source=Source(1e9, (0.5, 0.15), (0.7, 0.3), 0.9),
    fibre=Fibre(10e3, 0.2),
    receiver=Receiver(0.01, 0.02),
    detector=Detector(DetectorKind.SNSPD, 0.5),
)


def make_link(base: LinkParameters = PLAIN, **changes: Any) -> LinkParameters:
    """`base` with changes written as `detector__efficiency=0.2`, or `attack=Attack(...)` for a whole part."""
    parts: dict[str, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            parts.setdefault(section, {})[key] = value
        else:
            whole[section] = value
    changed = {section: replace(getattr(base, section), **values) for section, values in parts.items()}
    return replace(base, **changed, **whole)


def class_table(states: np.ndarray, outcomes: np.ndarray, levels: int) -> np.ndarray:
    """Sifted counts int64[2 bases, levels, 2]: right and wrong outcomes in the basis Alice used."""
    basis, bit, level = (states >> 1) & 1, states & 1, states >> 2
    sifted = (outcomes >> 1) == basis
    wrong = (outcomes & 1) != bit
    cell = (basis.astype(np.int64) * levels + level) * 2 + wrong
    return np.bincount(cell[sifted], minlength=4 * levels).reshape(2, levels, 2)


def expected_table(mean: Expectation) -> np.ndarray:
    """The same per emitted pulse, from the closed form."""
    return np.array(
        [
            [(n - m, m) for n, m in zip(basis.detections, basis.errors, strict=True)]
            for basis in (mean.key, mean.test)
        ]
    )


def z_scores(observed: np.ndarray, mean: Expectation, pulses: int) -> np.ndarray:
    """Deviations of class counts in standard deviations of the renewal process that makes them.

    A class has share q of the clicks; its count's variance is (pulses/C) q ((1 - q) + q s^2/C^2) with C and s^2
    the mean and variance of the cycle (renewal reward theorem, classes independent of the cycle's length).
    """
    expected = expected_table(mean) * pulses
    q = expected_table(mean) / mean.clicks
    spread = (1 - q) + q * mean.cycle_variance / mean.cycle_mean**2
    return (observed - expected) / np.sqrt(pulses / mean.cycle_mean * q * spread)
