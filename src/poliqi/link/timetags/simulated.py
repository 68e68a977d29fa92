"""Simulated light as time tags: what a tagger beside the simulated receiver of a link would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.link.simulated import SimulatedTransmitter
from poliqi.link.timetags.tags import Channel, Meaning, Tagging, Tags

if TYPE_CHECKING:
    from poliqi.optics.parameters import LinkParameters
    from poliqi.optics.tags import TagClock

__all__ = ["SimulatedStates", "SimulatedTags", "tagging_of"]

_TAGS_A_CHUNK: Final = 1 << 18


def tagging_of(link: LinkParameters) -> Tagging:
    """What the inputs of a tagger at this link's receiver mean: detectors are numbered as their outcomes.

    Key 0, key 1, test 0, test 1 are inputs 0 to 3; the one detector of a time-bin key arm is input 0.
    """
    time_bin = link.receiver.front_end == "time-bin"
    key = (Channel(0, Meaning.KEY),) if time_bin else (Channel(0, Meaning.KEY_0), Channel(1, Meaning.KEY_1))
    channels = (*key, Channel(2, Meaning.TEST_0), Channel(3, Meaning.TEST_1))
    gate = None if link.detector.window_s is None else link.detector.window_s * 1e12
    return Tagging(link.source.clock_hz, channels, 2 if time_bin else 1, gate)


class SimulatedTags:
    """Tags of the first `pulses` slots of a link: satisfies `poliqi.link.timetags.tags.TagSource`."""

    def __init__(self, link: LinkParameters, seed: int, pulses: int, clock: TagClock | None = None) -> None:
        from poliqi.optics.tags import TagSampler

        self._sampler = TagSampler(link, seed, clock)
        self._tagging: Final = tagging_of(link)
        self._pulses: Final = pulses
        self._step: Final = max(1, round(_TAGS_A_CHUNK / max(self._sampler.plan.click, 1e-12)))

    @property
    def tagging(self) -> Tagging:
        return self._tagging

    def read(self) -> Tags | None:
        """The next tags; None after the last slot."""
        while self._sampler.next_slot < self._pulses:
            left = self._pulses - self._sampler.next_slot
            stream = self._sampler.take(min(self._step, left), last=left <= self._step)
            if stream.times_ps.size:
                return Tags(stream.times_ps, stream.channels)
        return None

    def close(self) -> None:
        """Nothing is held."""


class SimulatedStates:
    """Alice's states of the first `slots` slots of a simulated link, in whatever order they are asked for."""

    def __init__(self, link: LinkParameters, seed: int, slots: int) -> None:
        self._transmitter = SimulatedTransmitter(link, seed)
        self.first_slot: Final = 0
        self.slots: Final = slots

    def states(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """As `Transmitter.states`."""
        return self._transmitter.states(slots)
