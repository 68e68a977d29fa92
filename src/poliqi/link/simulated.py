"""A link of simulated light: two devices that share nothing but the link's parameters and a seed.

The seed is the simulated fibre. Alice's device derives the state of a slot from (seed, slot) alone, Bob's
derives the clicks that those states would have caused; the two may run in two processes, on two machines,
and no light has to travel. Whoever knows the seed knows the key, so what comes from here is of origin
SIMULATED for ever, and no secret may be made of it outside a demonstration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.base.ids import Origin
from poliqi.link.device import MAX_SLOT, Detections
from poliqi.link.health import Health
from poliqi.link.readings import NOTHING, alice_health, bob_health, gone_by
from poliqi.link.recording import Light, LinkFigures

if TYPE_CHECKING:
    from poliqi.optics.parameters import LinkParameters
    from poliqi.optics.signature import Signature

__all__ = ["SimulatedReceiver", "SimulatedTransmitter", "check_seed", "record", "simulated_light"]

_EVENTS_PER_STEP: Final = 1 << 19  # 5 MiB of columns in one go, whatever the link
_STEPS: Final = 100  # at least, so that whoever waits sees it move
_METERS: Final = (0x6D65746572, 0x6E6F697365)
"""Streams of the seed that the light has no use for: second firings of double clicks, and noise of readings."""


class SimulatedTransmitter:
    """Alice's end of simulated light: satisfies `link.device.Transmitter` and `link.health.SelfMeasuring`."""

    __slots__ = ("_link", "_noise", "_prepared", "_read_to", "_seed", "_sent_to")

    def __init__(self, link: LinkParameters, seed: int) -> None:
        from poliqi.optics.pairs import prepared

        self._link = link
        self._prepared = prepared(link)
        self._seed = check_seed(seed)
        self._noise = np.random.default_rng([self._seed, _METERS[1], 1])
        self._sent_to = self._read_to = 0

    @property
    def origin(self) -> Origin:
        return Origin.SIMULATED

    def states(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """States of any slots from 0 on: they are computed, so none is ever forgotten."""
        from poliqi.optics.states import alice_states

        if slots.size and not (slots.min() >= 0 and slots.max() < MAX_SLOT):
            asked = f"slots {slots.min()} to {slots.max()}"
            raise DataRefused(f"simulated light: {asked} asked, must be 0 to {MAX_SLOT - 1}")
        if slots.size:
            self._sent_to = max(self._sent_to, int(slots[-1]) + 1)
        return alice_states(self._prepared, self._seed, slots)

    def change(self, link: LinkParameters) -> None:
        """From now on this happens on the fibre; states stay as they are, whatever comes back in."""
        self._link = link

    def health(self) -> Health:
        """What entered the device since the call before: over the slots up to the last whose state was asked."""
        from poliqi.optics.signature import back_light_w

        sent_to, link = self._sent_to, self._link
        pulses, self._read_to = max(0, sent_to - self._read_to), max(sent_to, self._read_to)
        return alice_health(pulses, back_light_w(link), link.instruments, self._noise)


class SimulatedReceiver:
    """Bob's end of simulated light: satisfies `link.device.Receiver` and `link.health.SelfMeasuring`.

    It starts at `first_slot`. What went by its meters is one value that `detect` puts in place of the one before,
    so that another thread may read them meanwhile.
    """

    __slots__ = ("_gone", "_link", "_means", "_noise", "_prepared", "_read", "_sampler", "_seconds")

    def __init__(self, link: LinkParameters, seed: int, first_slot: int = 0) -> None:
        from poliqi.optics.pairs import prepared
        from poliqi.optics.sampler import Sampler

        self._prepared = prepared(link)
        self._sampler = Sampler(link, check_seed(seed), first_slot)
        self._link = link
        self._means: Signature | None = None
        self._seconds = np.random.default_rng([seed, _METERS[0], first_slot])
        self._noise = np.random.default_rng([seed, _METERS[1], 2, first_slot])
        self._gone = self._read = NOTHING

    @property
    def origin(self) -> Origin:
        return Origin.SIMULATED

    @property
    def clicks_per_pulse(self) -> float:
        """How many detections to expect of a slot."""
        return self._sampler.plan.clicks_per_pulse

    def change(self, link: LinkParameters) -> None:
        """From the next slot on the light meets this link: another loss, other noise, somebody who listens."""
        from poliqi.optics.sampler import plan_of

        self._sampler.replace_plan(plan_of(link, self._prepared))
        self._link, self._means = link, None

    def detect(self, pulses: int) -> Detections:
        """The clicks of the next `pulses` slots; they do not depend on how the slots are cut into calls."""
        left = MAX_SLOT - self._sampler.next_slot
        if not 1 <= pulses <= left:
            raise DataRefused(f"simulated light: {pulses} pulses asked, must be 1 to {left}; start with a new seed")
        clicks = self._sampler.take(pulses)
        counted: list[int] = np.bincount(clicks.outcomes, minlength=4).tolist()
        self._gone += gone_by(self._signature(), pulses, counted, clicks.doubles, self._seconds)
        return Detections(clicks.first_slot, clicks.pulses, clicks.slots, clicks.outcomes)

    def health(self) -> Health:
        """What the meters read over the slots detected since the call before."""
        gone = self._gone
        since, self._read = gone - self._read, gone
        return bob_health(since, self._link, self._noise)

    def _signature(self) -> Signature:
        from poliqi.optics.signature import signature

        if self._means is None:
            self._means = signature(self._link)
        return self._means


def check_seed(seed: int) -> int:
    """`seed` where it is one: 0 to 2^64 - 1. Raises ConfigError."""
    if not 0 <= seed < 1 << 64:
        raise ConfigError(f"seed: {seed} is outside 0 to {(1 << 64) - 1}")
    return seed


def simulated_light(link: LinkParameters, seed: int) -> Light:
    """What a recording of this link says of its light, the attack on it included."""
    from poliqi.optics.attack import attack_text

    figures = LinkFigures(
        name=link.name,
        intensities=link.source.intensities,
        probabilities=link.source.probabilities,
        key_basis_alice=link.source.key_basis,
        key_basis_bob=link.receiver_key_basis,
        seed=check_seed(seed),
        eve=attack_text(link.attack),
    )
    return Light(Origin.SIMULATED, len(link.source.intensities), link.source.clock_hz, figures)


def record(link: LinkParameters, seed: int, pulses: int) -> Iterator[tuple[Detections, NDArray[np.uint8]]]:
    """Both ends' view of slots 0 to `pulses - 1`, in stretches of which each fits in a few MiB."""
    transmitter, receiver = SimulatedTransmitter(link, seed), SimulatedReceiver(link, seed)
    step = max(1, min(int(_EVENTS_PER_STEP / receiver.clicks_per_pulse), -(-pulses // _STEPS)))
    for start in range(0, pulses, step):
        detections = receiver.detect(min(step, pulses - start))
        yield detections, transmitter.states(detections.slots)
