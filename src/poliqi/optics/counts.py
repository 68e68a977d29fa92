"""The count level: a block's counts drawn at once, at a cost that does not depend on its size."""

from __future__ import annotations

import math
from operator import add
from typing import Final

import numpy as np

from poliqi.optics.channel import Expectation, expectation, stated_intensities
from poliqi.optics.parameters import LinkParameters
from poliqi.proof import BasisCounts, Counts

__all__ = ["CountSampler", "sample_counts"]


class CountSampler:
    """Draws blocks of one link; build it once, `draw` is what is called often (goal: 10 us a block).

    The number of clicks: binomial without dead time and afterpulses (exact), else normal with the renewal
    process's mean and variance, rounded (the error of the central limit theorem, below 1/sqrt(clicks) in the
    distribution function). Their classes: multinomial, exact without afterpulses; afterpulses correlate the
    class of neighbouring clicks, which is left out: it moves a count's variance by at most a share 2 p_ap.
    """

    def __init__(self, link: LinkParameters) -> None:
        self.expectation: Final[Expectation] = expectation(link)
        mean = self.expectation
        self._intensities, self._probabilities = stated_intensities(link)
        self._rate = mean.clicks
        self._levels = len(link.source.intensities)
        self._memory = link.dead_slots > 0 or link.detector.afterpulse > 0.0
        self._spread = math.sqrt(mean.cycle_variance / mean.cycle_mean) / mean.cycle_mean
        wrong = (*mean.key.errors, *mean.test.errors)
        sifted = (*mean.key.detections, *mean.test.detections)
        right = (n - m for n, m in zip(sifted, wrong, strict=True))
        shares = np.array([*right, *wrong, 0.0]) / mean.clicks
        shares[-1] = max(1.0 - shares.sum(), 0.0)
        self._shares = shares / shares.sum()

    def draw(self, pulses: int, generator: np.random.Generator) -> Counts:
        """The counts of one block of `pulses`."""
        return self.draw_of(self._clicks(pulses, generator), generator)

    def draw_clicks(self, pulses: int, generator: np.random.Generator) -> int:
        """How many clicks one block of `pulses` has, sifted or not: what `draw_of` takes."""
        return self._clicks(pulses, generator)

    def draw_of(self, clicks: int, generator: np.random.Generator) -> Counts:
        """The counts of a block that has so many clicks."""
        k = self._levels
        classes: list[float] = generator.multinomial(clicks, self._shares).tolist()
        errors = tuple(classes[2 * k : 4 * k])
        sifted = tuple(map(add, classes, errors))
        key, test = BasisCounts(sifted[:k], errors[:k]), BasisCounts(sifted[k:], errors[k:])
        return Counts(self._intensities, self._probabilities, key, test)

    def _clicks(self, pulses: int, generator: np.random.Generator) -> int:
        if not self._memory:
            return int(generator.binomial(pulses, self._rate))
        drawn = round(pulses * self._rate + self._spread * math.sqrt(pulses) * generator.standard_normal())
        return min(max(drawn, 0), pulses)


def sample_counts(link: LinkParameters, pulses: int, generator: np.random.Generator) -> Counts:
    """The counts of one block of `pulses` on `link`; see `CountSampler` for many."""
    return CountSampler(link).draw(pulses, generator)
