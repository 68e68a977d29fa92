"""SIMULATED light over the fibre plant of a demonstration: in real time, until somebody cuts the fibre or listens.

Both ends watch the file of the plant, as real devices watch their synchronisation: in a cut fibre the light's clock
stands still, and it goes on where it stood once the fibre is mended.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.edge.framing import FrameStream
from poliqi.link.device import Condition, Detections, Receiver, Transmitter
from poliqi.link.health import Health
from poliqi.link.simulated import SimulatedReceiver, SimulatedTransmitter
from poliqi.node.meddler import MeddledStream
from poliqi.node.plant import FibrePlant, SpanState
from poliqi.optics.attack import parse_attack
from poliqi.optics.parameters import Attack, DetectorKind, LinkParameters
from poliqi.optics.receiver import background_per_slot

__all__ = ["PlantLight", "PlantReceiver", "PlantTransmitter", "bent"]

_STEP_S: Final = 0.1
"""Light is gathered in stretches of so much of it: so soon a change of the fibre is felt."""
_BEHIND_S: Final = 1.0
"""Light that nobody gathered for longer is lost, as it is with a real device."""


@dataclass(frozen=True, slots=True)
class PlantLight:
    """Both ends compute the same light from one seed; whoever knows the seed knows the key."""

    seed: int
    plant: Path
    spans: tuple[str, ...]

    @property
    def origin(self) -> Origin:
        return Origin.SIMULATED

    def transmitter(self, link: LinkParameters) -> Transmitter:
        return PlantTransmitter(link, self.seed, _Fibre(FibrePlant(self.plant), self.spans))

    def receiver(self, link: LinkParameters, first_slot: int) -> Receiver:
        """Bob's device; slots below `first_slot` were used by earlier runs of this pairing."""
        return PlantReceiver(link, self.seed, first_slot, _Fibre(FibrePlant(self.plant), self.spans))

    def meddled(self, stream: FrameStream) -> FrameStream:
        """The connection of the two ends, with whoever the plant lets stand on it."""
        plant = FibrePlant(self.plant)
        return MeddledStream(stream, lambda: plant.look(self.spans), self.seed)


class _Fibre:
    """The spans of one link: their state, and how often it changed since this end first looked."""

    def __init__(self, plant: FibrePlant, spans: tuple[str, ...]) -> None:
        self._plant: Final = plant
        self._spans: Final = spans
        self._lock: Final = threading.Lock()
        self._state = plant.look(spans)
        self._changes = 0

    def look(self) -> tuple[SpanState, int]:
        state = self._plant.look(self._spans)
        with self._lock:
            if state != self._state:
                self._state = state
                self._changes += 1
            return state, self._changes

    def condition(self, noise: float | None) -> Condition:
        state, changes = self.look()
        dark = f"SIMULATED: the fibre {' and '.join(self._spans)} is cut" if state.cut else ""
        return Condition(dark, noise, changes)


class PlantTransmitter:
    """Alice's end: satisfies `poliqi.link.device.Transmitter`, `Watched` and `poliqi.link.health.SelfMeasuring`."""

    def __init__(self, link: LinkParameters, seed: int, fibre: _Fibre) -> None:
        self._link: Final = link
        self._bent_to = SpanState()
        self._inner: Final = SimulatedTransmitter(link, seed)
        self._fibre: Final = fibre

    @property
    def origin(self) -> Origin:
        return Origin.SIMULATED

    @property
    def condition(self) -> Condition:
        return self._fibre.condition(None)

    def states(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """What was prepared in each of these slots."""
        return self._inner.states(slots)

    def health(self) -> Health:
        """What enters the device, as long as it has entered by now, over the slots since the call before."""
        state, _ = self._fibre.look()
        if state != self._bent_to:
            self._inner.change(bent(self._link, state))
            self._bent_to = state
        return self._inner.health()

    def close(self) -> None:
        """Nothing is held."""


class PlantReceiver:
    """Bob's end: satisfies `poliqi.link.device.Receiver`, `Watched` and `poliqi.link.health.SelfMeasuring`.

    `detect` takes as long as its light.
    """

    def __init__(self, link: LinkParameters, seed: int, first_slot: int, fibre: _Fibre) -> None:
        self._link: Final = link
        self._inner: Final = SimulatedReceiver(link, seed, first_slot)
        self._fibre: Final = fibre
        self._closed: Final = threading.Event()
        self._clock_hz: Final = link.source.clock_hz
        self._step: Final = max(1, int(_STEP_S * self._clock_hz))
        self._due = 0.0
        self._bent_to = SpanState()
        self._noise = background_per_slot(link)

    @property
    def origin(self) -> Origin:
        return Origin.SIMULATED

    @property
    def condition(self) -> Condition:
        return self._fibre.condition(self._noise)

    def detect(self, pulses: int) -> Detections:
        """The clicks of the next `pulses` slots, once so much light has gone by."""
        parts: list[Detections] = []
        left = pulses
        while left:
            state, _ = self._fibre.look()
            if state.cut:
                self._wait(_STEP_S)
                continue
            self._bend(state)
            part = self._inner.detect(min(left, self._step))
            parts.append(part)
            left -= part.pulses
            self._pace(part.pulses)
        slots, outcomes = [p.slots for p in parts], [p.outcomes for p in parts]
        return Detections(parts[0].first_slot, pulses, np.concatenate(slots), np.concatenate(outcomes))

    def health(self) -> Health:
        """What the meters read over the slots since the call before."""
        return self._inner.health()

    def _bend(self, state: SpanState) -> None:
        """Light of the next slots meets what happens to the fibre now."""
        if state == self._bent_to:
            return
        link = bent(self._link, state)
        self._inner.change(link)
        self._noise = background_per_slot(link)
        self._bent_to = state

    def _pace(self, pulses: int) -> None:
        """Wait until these pulses have gone by."""
        now = time.monotonic()
        self._due = (now if now - self._due > _BEHIND_S else self._due) + pulses / self._clock_hz
        self._wait(self._due - now)

    def _wait(self, seconds: float) -> None:
        if self._closed.wait(max(0.0, seconds)):
            raise DataRefused("simulated light: the device is closed")

    def close(self) -> None:
        """End a `detect` under way."""
        self._closed.set()


def bent(link: LinkParameters, state: SpanState) -> LinkParameters:
    """A link whose fibre is in this state (a cut is none: then there is no light at all)."""
    detector = link.detector
    if state.noise_hz and detector.kind is DetectorKind.GATED_APD:
        per_gate = min(0.5, detector.dark_per_gate + state.noise_hz * link.window_s)
        detector = replace(detector, dark_per_gate=per_gate)
    elif state.noise_hz:
        detector = replace(detector, dark_rate_hz=min(1e9, detector.dark_rate_hz + state.noise_hz))
    return replace(
        link,
        attack=parse_attack(state.eve) if state.eve else Attack(),
        fibre=replace(link.fibre, connectors_db=min(100.0, link.fibre.connectors_db + state.extra_loss_db)),
        detector=detector,
    )
