"""A link played at count level: a block's counts and what the devices' meters said of it, in microseconds.

For sweeps and cities, where no click needs to exist. The counts are those of `poliqi.optics.counts`, with the same
draws; the readings agree with those of the simulated devices (`poliqi.link.simulated`) in law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from poliqi.link.health import Health
from poliqi.link.monitor.observation import Observation
from poliqi.link.readings import alice_health, bob_health, gone_by
from poliqi.optics.counts import CountSampler
from poliqi.optics.parameters import LinkParameters
from poliqi.optics.signature import signature
from poliqi.proof import Counts

__all__ = ["PlayedBlock", "PlayedLink"]


@dataclass(frozen=True, slots=True)
class PlayedBlock:
    """One block: its counts as a proof takes them, all of Bob's detections, and a reading of each end's meters."""

    pulses: int
    counts: Counts
    detections: int
    health_bob: Health
    health_alice: Health

    def observation(self) -> Observation:
        """What both ends together report of it."""
        key, test = self.counts.key, self.counts.test
        return Observation(
            pulses=self.pulses,
            detections=self.detections,
            counts=self.counts,
            sifted_key=int(key.total_detections),
            sifted_test=int(test.total_detections),
            test_errors=test.total_errors,
            bob=self.health_bob,
            alice=self.health_alice,
            sessions=1,
        )


class PlayedLink:
    """Plays blocks of one link under its attack; build it once. Raises ConfigError where nothing can ever click."""

    __slots__ = ("_link", "_means", "_sampler")

    def __init__(self, link: LinkParameters) -> None:
        self._link = link
        self._sampler = CountSampler(link)
        self._means = signature(link)

    @property
    def link(self) -> LinkParameters:
        """What is played."""
        return self._link

    def block(self, pulses: int, generator: np.random.Generator) -> PlayedBlock:
        """One block of `pulses`; `generator` is the simulation's."""
        clicks = self._sampler.draw_clicks(pulses, generator)
        return self.read(pulses, clicks, self._sampler.draw_of(clicks, generator), generator)

    def read(self, pulses: int, clicks: int, counts: Counts, generator: np.random.Generator) -> PlayedBlock:
        """A block of so many clicks and of these counts, with what the meters said of it."""
        link, means = self._link, self._means
        key, test = int(counts.key.total_detections), int(counts.test.total_detections)
        key += int(generator.binomial(clicks - key - test, means.key_share))
        zeros: list[int] = generator.binomial((key, clicks - key), 0.5).tolist()
        counted = [zeros[0], key - zeros[0], zeros[1], clicks - key - zeros[1]]
        doubles = int(generator.binomial(clicks, means.doubles))
        gone = gone_by(means, pulses, counted, doubles, generator)
        return PlayedBlock(
            pulses,
            counts,
            clicks,
            bob_health(gone, link, generator),
            alice_health(pulses, means.back_light_w, link.instruments, generator),
        )
