"""A recording: what both devices of a link saw, as columns, and the two devices that replay it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.device import MAX_LEVELS, MAX_SLOT, Detections, check_bytes, check_slots

__all__ = [
    "MAX_EVENTS",
    "Light",
    "LinkFigures",
    "Recording",
    "ReplayReceiver",
    "ReplayTransmitter",
    "check_light",
    "check_recording",
    "state_bytes",
]

MAX_EVENTS: Final = 1 << 33
"""Events of one recording: 80 GiB of columns."""

_LONGEST_NAME: Final = 64


class LinkFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The public figures of the link that a recording was taken on.

    `intensities` are mean photon numbers, brightest first, chosen with `probabilities`; `key_basis_alice`
    and `key_basis_bob` are the probabilities of the key basis at each end. `seed` and `eve` (the attack)
    are known for simulated light only.
    """

    name: str
    intensities: tuple[float, ...]
    probabilities: tuple[float, ...]
    key_basis_alice: float
    key_basis_bob: float
    seed: int | None
    eve: str | None


@dataclass(frozen=True, slots=True)
class Light:
    """What a recording says of the light it holds.

    `origin` is where the light came from when it was recorded (REPLAY: nobody knows); `levels` the number
    of intensities, where 1 stands for entangled pairs: intensity 1 then says that Alice saw nothing; `clock_hz`
    (slots per second) and `link` are None where they are not known.
    """

    origin: Origin
    levels: int
    clock_hz: float | None
    link: LinkFigures | None


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Both ends' view of slots 0 to `pulses - 1`, one entry per detected slot.

    `slots`: int64 [n], strictly increasing; `states`: uint8 [n], what Alice prepared; `outcomes`: uint8
    [n], what Bob read; bits as in `poliqi.link.device`. The arrays are read-only and may lie in a mapped
    file.
    """

    light: Light
    pulses: int
    slots: NDArray[np.int64] = field(repr=False)
    states: NDArray[np.uint8] = field(repr=False)
    outcomes: NDArray[np.uint8] = field(repr=False)


def check_light(light: Light) -> None:
    """Refuse a description of light that contradicts itself (DataRefused)."""
    link, levels, clock = light.link, light.levels, light.clock_hz
    _in("levels", levels, 1, MAX_LEVELS)
    if clock is not None and not (math.isfinite(clock) and clock > 0):
        raise DataRefused(f"recording: clock_hz is {clock}, must be positive and finite, or absent")
    if link is None:
        return
    _text("name", link.name)
    if len(link.intensities) != levels or len(link.probabilities) != levels:
        given = f"{len(link.intensities)} intensities and {len(link.probabilities)} probabilities"
        raise DataRefused(f"recording: {given} for {levels} levels; give one of each per level")
    for mu in link.intensities:
        _in("intensities", mu, 0, 10)
    if any(a <= b for a, b in zip(link.intensities, link.intensities[1:], strict=False)):
        raise DataRefused(f"recording: intensities {link.intensities} do not fall; put the brightest first")
    if not (abs(math.fsum(link.probabilities) - 1) <= 1e-9 and min(link.probabilities) > 0):
        raise DataRefused(f"recording: probabilities {link.probabilities} must be positive and sum to 1")
    _in("key_basis_alice", link.key_basis_alice, 0, 1)
    _in("key_basis_bob", link.key_basis_bob, 0, 1)
    if light.origin is not Origin.SIMULATED and (link.seed is not None or link.eve is not None):
        raise DataRefused(f"recording: it names a seed or an attack, but its light is of origin {light.origin}")
    if link.seed is not None:
        _in("seed", link.seed, 0, (1 << 64) - 1)
    if link.eve is not None:
        _text("eve", link.eve)


def check_recording(recording: Recording) -> None:
    """Refuse a recording that breaks what `Recording` promises (DataRefused); one pass over the columns."""
    check_light(recording.light)
    _in("pulses", recording.pulses, 1, MAX_SLOT)
    events = recording.slots.size
    _in("events", events, 0, min(MAX_EVENTS, recording.pulses))
    check_slots(recording.slots, 0, recording.pulses, "recording, slots")
    check_bytes(recording.states, events, state_bytes(recording.light), "recording, states")
    check_bytes(recording.outcomes, events, 4, "recording, outcomes")


def state_bytes(light: Light) -> int:
    """State bytes of this light are below it."""
    return max(light.levels, 2) << 2


class ReplayTransmitter:
    """Alice's end of a recording: satisfies `poliqi.link.device.Transmitter`.

    It knows the states of recorded events only: what was sent in other slots is not in the file.
    """

    __slots__ = ("_recording",)

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    @property
    def origin(self) -> Origin:
        """Always REPLAY: events that lie in a file have been seen by whoever could read it."""
        return Origin.REPLAY

    def states(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The recorded states of `slots`; a view where they are neighbours in the recording."""
        known, states = self._recording.slots, self._recording.states
        if slots.size == 0:
            return states[:0]
        first = int(known.searchsorted(slots[:1])[0])
        if np.array_equal(known[first : first + slots.size], slots):
            return states[first : first + slots.size]
        where = np.searchsorted(known, slots)
        where[where == known.size] = 0
        missing = known[where] != slots if known.size else np.ones(slots.size, np.bool_)
        if missing.any():
            raise DataRefused(
                f"recording: no event at slot {slots[int(missing.argmax())]}, so Alice's state there is not known "
                f"({np.count_nonzero(missing)} of {slots.size} slots); replay both ends from the same file"
            )
        return states[where]


class ReplayReceiver:
    """Bob's end of a recording: satisfies `poliqi.link.device.Receiver`; starts at `first_slot`."""

    __slots__ = ("_event", "_recording", "_slot")

    def __init__(self, recording: Recording, first_slot: int = 0) -> None:
        self._recording = recording
        self._slot = min(first_slot, recording.pulses)
        self._event = int(np.searchsorted(recording.slots, self._slot))

    @property
    def origin(self) -> Origin:
        """Always REPLAY: events that lie in a file have been seen by whoever could read it."""
        return Origin.REPLAY

    @property
    def pulses_left(self) -> int:
        """Slots that `detect` can still give."""
        return self._recording.pulses - self._slot

    def detect(self, pulses: int) -> Detections:
        """The events of the next `pulses` slots, as views of the recording's columns."""
        if not 1 <= pulses <= self.pulses_left:
            raise DataRefused(
                f"recording: needs {pulses} pulses, {self.pulses_left} of {self._recording.pulses} are left; "
                f"ask for 1 to {self.pulses_left}, or make a longer recording"
            )
        first_slot, first = self._slot, self._event
        self._slot += pulses
        self._event = first + int(np.searchsorted(self._recording.slots[first:], self._slot))
        events = slice(first, self._event)
        return Detections(first_slot, pulses, self._recording.slots[events], self._recording.outcomes[events])


def _in(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise DataRefused(f"recording: {name} is {value}, must be {low} to {high}")


def _text(name: str, value: str) -> None:
    if not (1 <= len(value) <= _LONGEST_NAME and value.isprintable()):
        raise DataRefused(f"recording: {name} is {value[:80]!r}, must be 1 to {_LONGEST_NAME} printable characters")
