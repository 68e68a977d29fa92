"""What a quantum link is to the rest of the house: one device at each end, each a protocol of two names.

Alice's end prepares pulses and remembers what it prepared; Bob's end detects. Simulated light, a
recording and a driver of real hardware satisfy the same protocols: a driver opens its hardware in its
own constructor, blocks in `detect` until the pulses have gone by, and needs to inherit nothing.

A slot is the number of a pulse since the link's start, the same number at both ends. How a device keeps
that count in step with its peer (a shared clock, a synchronisation channel) is its own business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin

__all__ = [
    "MAX_LEVELS",
    "MAX_SLOT",
    "Condition",
    "Detections",
    "Receiver",
    "Transmitter",
    "Watched",
    "check_bytes",
    "check_detections",
    "check_slots",
]

MAX_SLOT: Final = 1 << 62
"""Slots stay below this: 146 years of a 1 GHz clock, and sums of two fit an int64."""

MAX_LEVELS: Final = 4
"""A state byte has two bits for the intensity."""

_STRETCH: Final = 1 << 20
"""Entries looked at in one go by a check: its temporaries stay in cache, whatever the column's length."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What Bob detected in `pulses` consecutive slots from `first_slot` on.

    `slots`: int64 [n], strictly increasing, inside `[first_slot, first_slot + pulses)`.
    `outcomes`: uint8 [n]; bit 0 is the bit value, bit 1 the basis (0 key, 1 test). A double click is one
    event with a random bit; slots that a dead detector could not see are absent in both bases.
    """

    first_slot: int
    pulses: int
    slots: NDArray[np.int64] = field(repr=False)
    outcomes: NDArray[np.uint8] = field(repr=False)


class Transmitter(Protocol):
    """Alice's end of a quantum link."""

    @property
    def origin(self) -> Origin:
        """Where the light comes from: it travels with every key made of it."""
        ...

    def states(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """What was prepared in each of `slots` (strictly increasing): uint8 of the same length.

        Bit 0 is the bit value, bit 1 the basis (0 key, 1 test), bits 2 and 3 the intensity's index
        (0 the brightest). Raises DataRefused for a slot of which nothing is known (never sent, or sent
        so long ago that the device has forgotten it): the list came from the peer and may name any slot.
        """
        ...


class Receiver(Protocol):
    """Bob's end of a quantum link."""

    @property
    def origin(self) -> Origin:
        """Where the light comes from: it travels with every key made of it."""
        ...

    def detect(self, pulses: int) -> Detections:
        """The detections of the next `pulses` slots; the slots of successive calls follow each other.

        Raises DataRefused when fewer are left (a recording that has ended); nothing is consumed then.
        """
        ...


@dataclass(frozen=True, slots=True)
class Condition:
    """What a device knows of its light at once, long before a block is made of it.

    `dark` says why no light comes, empty while it does. `noise` is the probability of a click a slot that no pulse
    of Alice's explains, None where the device cannot tell. `changes` grows each time that the light became another:
    whoever waits because blocks gave no key may try again.
    """

    dark: str = ""
    noise: float | None = None
    changes: int = 0


@runtime_checkable
class Watched(Protocol):
    """What a device may offer besides, at either end."""

    @property
    def condition(self) -> Condition:
        """How the light is now; never blocks, any thread."""
        ...

    def close(self) -> None:
        """End a `detect` that waits in another thread, with DataRefused, and let go of the hardware."""
        ...


def check_slots(slots: NDArray[np.int64], first_slot: int, pulses: int, name: str = "slots") -> None:
    """Refuse slots that do not strictly increase inside `[first_slot, first_slot + pulses)` (DataRefused)."""
    if slots.dtype != np.int64 or slots.ndim != 1:
        raise DataRefused(f"{name}: need one row of int64, got {slots.ndim} dimensions of {slots.dtype}")
    for start in range(0, slots.size - 1, _STRETCH):
        part = slots[start : start + _STRETCH + 1]
        falls = part[1:] <= part[:-1]
        if falls.any():
            at = start + int(falls.argmax()) + 1
            raise DataRefused(
                f"{name}: event {at} has slot {slots[at]} after slot {slots[at - 1]}; slots must increase "
                f"strictly. Sort the events by slot and drop repeats, or record again"
            )
    if slots.size and not (first_slot <= slots[0] and slots[-1] < first_slot + pulses):
        bad = slots[0] if slots[0] < first_slot else slots[-1]
        raise DataRefused(f"{name}: slot {bad} is outside {first_slot} to {first_slot + pulses - 1}; record again")


def check_bytes(column: NDArray[np.uint8], length: int, below: int, name: str) -> None:
    """Refuse a column of bytes of another length than `length` or with a byte of `below` or more (DataRefused)."""
    if column.dtype != np.uint8 or column.shape != (length,):
        raise DataRefused(f"{name}: need {length} bytes, one per slot, got {column.shape} of {column.dtype}")
    for start in range(0, length, _STRETCH):
        part = column[start : start + _STRETCH]
        if int(part.max()) >= below:
            at = start + int((part >= below).argmax())
            raise DataRefused(f"{name}: event {at} has byte {column[at]}; the largest is {below - 1}. Record again")


def check_detections(detections: Detections) -> None:
    """Refuse detections that break what `Detections` promises (DataRefused); costs a pass over the arrays."""
    first_slot, pulses = detections.first_slot, detections.pulses
    if not (first_slot >= 0 and 1 <= pulses <= MAX_SLOT - first_slot):
        raise DataRefused(f"detections: {pulses} pulses from slot {first_slot}; both must fit in 0 to {MAX_SLOT}")
    check_slots(detections.slots, first_slot, pulses, "detections, slots")
    check_bytes(detections.outcomes, detections.slots.size, 4, "detections, outcomes")
