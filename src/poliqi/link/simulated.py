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
from poliqi.link.recording import Light, LinkFigures

if TYPE_CHECKING:
    from poliqi.optics.parameters import Attack, LinkParameters

__all__ = ["SimulatedReceiver", "SimulatedTransmitter", "check_seed", "record", "simulated_light"]

_EVENTS_PER_STEP: Final = 1 << 19  # 5 MiB of columns in one go, whatever the link
_STEPS: Final = 100  # at least, so that whoever waits sees it move


class SimulatedTransmitter:
    """Alice's end of simulated light: satisfies `poliqi.link.device.Transmitter`."""

    __slots__ = ("_seed", "_source")

    def __init__(self, link: LinkParameters, seed: int) -> None:
        self._source = link.source
        self._seed = check_seed(seed)

    @property
    def origin(self) -> Origin:
        return Origin.SIMULATED

    def states(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """States of any slots from 0 on: they are computed, so none is ever forgotten."""
        from poliqi.optics.states import alice_states

        if slots.size and not (slots.min() >= 0 and slots.max() < MAX_SLOT):
            asked = f"slots {slots.min()} to {slots.max()}"
            raise DataRefused(f"simulated light: {asked} asked, must be 0 to {MAX_SLOT - 1}")
        return alice_states(self._source, self._seed, slots)


class SimulatedReceiver:
    """Bob's end of simulated light: satisfies `poliqi.link.device.Receiver`; starts at `first_slot`."""

    __slots__ = ("_sampler",)

    def __init__(self, link: LinkParameters, seed: int, first_slot: int = 0) -> None:
        from poliqi.optics.sampler import Sampler

        self._sampler = Sampler(link, check_seed(seed), first_slot)

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

        self._sampler.replace_plan(plan_of(link))

    def detect(self, pulses: int) -> Detections:
        """The clicks of the next `pulses` slots; they do not depend on how the slots are cut into calls."""
        left = MAX_SLOT - self._sampler.next_slot
        if not 1 <= pulses <= left:
            raise DataRefused(f"simulated light: {pulses} pulses asked, must be 1 to {left}; start with a new seed")
        clicks = self._sampler.take(pulses)
        return Detections(clicks.first_slot, clicks.pulses, clicks.slots, clicks.outcomes)


def check_seed(seed: int) -> int:
    """`seed` where it is one: 0 to 2^64 - 1. Raises ConfigError."""
    if not 0 <= seed < 1 << 64:
        raise ConfigError(f"seed: {seed} is outside 0 to {(1 << 64) - 1}")
    return seed


def simulated_light(link: LinkParameters, seed: int) -> Light:
    """What a recording of this link says of its light, the attack on it included."""
    figures = LinkFigures(
        name=link.name,
        intensities=link.source.intensities,
        probabilities=link.source.probabilities,
        key_basis_alice=link.source.key_basis,
        key_basis_bob=link.receiver_key_basis,
        seed=check_seed(seed),
        eve=_attack_named(link.attack),
    )
    return Light(Origin.SIMULATED, len(link.source.intensities), link.source.clock_hz, figures)


def record(link: LinkParameters, seed: int, pulses: int) -> Iterator[tuple[Detections, NDArray[np.uint8]]]:
    """Both ends' view of slots 0 to `pulses - 1`, in stretches of which each fits in a few MiB."""
    transmitter, receiver = SimulatedTransmitter(link, seed), SimulatedReceiver(link, seed)
    step = max(1, min(int(_EVENTS_PER_STEP / receiver.clicks_per_pulse), -(-pulses // _STEPS)))
    for start in range(0, pulses, step):
        detections = receiver.detect(min(step, pulses - start))
        yield detections, transmitter.states(detections.slots)


def _attack_named(attack: Attack) -> str | None:
    if attack.kind == "none":
        return None
    if attack.kind == "photon-number-splitting":
        return "pns" if attack.fraction == 1 else f"pns={attack.fraction:.6g}"
    if attack.key_basis in (0.5, 1.0):
        return f"{'intercept' if attack.key_basis == 0.5 else 'intercept-key'}={attack.fraction:.6g}"
    return f"intercept={attack.fraction:.6g}, key basis {attack.key_basis:.6g}"
