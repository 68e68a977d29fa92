"""What is done with a cell, step by step, how long that will take and what a channel must be able to do for it.

A step at constant current takes the share of the capacity that it moves over the current; a spectrum takes the sum
of its periods. A hold takes the hours that its author states: how fast a current falls is not guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from poliqi.base.errors import DataRefused

__all__ = ["Block", "Need", "Protocol", "Step", "StepKind", "Sweep", "need_of", "predicted_s"]

_LONGEST_S: Final = 10 * 366 * 86_400
_MOST_POINTS: Final = 10_000
_MOST_REPEATS: Final = 1_000_000


class StepKind(StrEnum):
    """What a channel does."""

    CHARGE = "charge"
    DISCHARGE = "discharge"
    HOLD = "hold"
    REST = "rest"
    EIS = "eis"


@dataclass(frozen=True, slots=True)
class Sweep:
    """Frequencies of a spectrum, evenly spaced in their logarithm; `periods` are measured at each."""

    from_hz: float
    to_hz: float
    points_per_decade: int
    periods: float

    def seconds(self) -> float:
        """Sum of all periods. Raises DataRefused for frequencies that are none."""
        if not (0 < self.from_hz < math.inf and 0 < self.to_hz < math.inf):
            raise DataRefused(f"eis from {self.from_hz} to {self.to_hz} Hz: frequencies are above 0")
        if not 1 <= self.points_per_decade <= _MOST_POINTS or not 0 < self.periods < math.inf:
            raise DataRefused(f"eis of {self.periods} periods: above 0, with 1 to {_MOST_POINTS} points a decade")
        decades = abs(math.log10(self.to_hz / self.from_hz))
        count = round(decades * self.points_per_decade) + 1
        if count > _MOST_POINTS:
            raise DataRefused(f"eis with {count} points: at most {_MOST_POINTS}")
        slowest = min(self.from_hz, self.to_hz)
        ratio = 10 ** (-decades / (count - 1)) if count > 1 else 1.0
        return self.periods / slowest * sum(ratio**at for at in range(count))


@dataclass(frozen=True, slots=True)
class Step:
    """One step. A charge or discharge has `c_rate` or `current_a`; the others have `hours` or a sweep."""

    kind: StepKind
    c_rate: float | None = None
    """Current over capacity, in 1/h."""
    current_a: float | None = None
    of_capacity: float = 1.0
    """Share of the cell's capacity that a charge or discharge moves."""
    hours: float | None = None
    """How long it takes; of a charge or discharge, at most."""
    voltage_v: float | None = None
    """At which it ends, or which it holds."""
    sweep: Sweep | None = None

    def current(self, capacity_ah: float) -> float:
        """Its size in A; 0 of what has none stated."""
        return self.current_a if self.current_a is not None else (self.c_rate or 0.0) * capacity_ah

    def seconds(self, capacity_ah: float) -> float:
        """Predicted. Raises DataRefused where what it takes is not stated or no positive number."""
        if self.voltage_v is not None and not math.isfinite(self.voltage_v):
            raise DataRefused(f"{self.kind}: a voltage of {self.voltage_v} V; give a number")
        if self.kind is StepKind.EIS:
            if self.sweep is None:
                raise DataRefused("eis: state from_hz, to_hz, points_per_decade and periods")
            return self.sweep.seconds()
        if self.hours is not None and not 0 < self.hours < math.inf:
            raise DataRefused(f"{self.kind}: {self.hours} hours; give a number above 0")
        if self.kind in (StepKind.HOLD, StepKind.REST):
            if self.hours is None:
                raise DataRefused(f"{self.kind}: state its hours")
            return self.hours * 3600
        if (self.c_rate is None) == (self.current_a is None):
            raise DataRefused(f"{self.kind}: state one of c_rate and current_a")
        current = self.current(capacity_ah)
        if not 0 < current < math.inf or not 0 < self.of_capacity <= 1.5:
            raise DataRefused(
                f"{self.kind} of {self.of_capacity} of the capacity at {current} A: a current above 0 (the step "
                "says which way), a share above 0 and at most 1.5"
            )
        full = self.of_capacity * capacity_ah / current * 3600
        return full if self.hours is None else min(full, self.hours * 3600)


@dataclass(frozen=True, slots=True)
class Block:
    """Steps in order, `repeat` times over."""

    steps: tuple[Step, ...]
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class Protocol:
    """Blocks in order, all of them `repeat` times over; on one channel, without an interruption."""

    name: str
    blocks: tuple[Block, ...]
    repeat: int = 1
    temperature_c: float | None = None
    """Which the cell needs; None: any."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a channel must be able to do."""

    current_a: float
    low_v: float | None
    high_v: float | None
    impedance: bool
    temperature_c: float | None


def predicted_s(protocol: Protocol, capacity_ah: float) -> float:
    """How long the protocol takes with a cell of that capacity. Raises DataRefused, naming block and step."""
    if not 0 < capacity_ah < math.inf:
        raise DataRefused(f"capacity {capacity_ah} Ah: give a number above 0")
    if not protocol.blocks:
        raise DataRefused(f"protocol {protocol.name!r} has no step")
    total = 0.0
    for at, block in enumerate(protocol.blocks, 1):
        if not 1 <= block.repeat <= _MOST_REPEATS or not block.steps:
            raise DataRefused(
                f"protocol {protocol.name!r}, block {at}: at least one step, once or more often, {_MOST_REPEATS} "
                "times at most"
            )
        for number, step in enumerate(block.steps, 1):
            try:
                total += block.repeat * step.seconds(capacity_ah)
            except DataRefused as error:
                raise DataRefused(f"protocol {protocol.name!r}, block {at}, step {number}: {error}") from None
    if not 1 <= protocol.repeat <= _MOST_REPEATS:
        raise DataRefused(f"protocol {protocol.name!r}: repeat must be from 1 to {_MOST_REPEATS}")
    total *= protocol.repeat
    if not 0 < total <= _LONGEST_S:
        raise DataRefused(
            f"protocol {protocol.name!r}: {total / 86_400:.4g} days, must be above 0 and at most ten years"
        )
    return total


def need_of(protocol: Protocol, capacity_ah: float) -> Need:
    """The widest of all steps."""
    steps = [step for block in protocol.blocks for step in block.steps]
    voltages = [step.voltage_v for step in steps if step.voltage_v is not None]
    return Need(
        max(step.current(capacity_ah) for step in steps),
        min(voltages, default=None),
        max(voltages, default=None),
        any(step.kind is StepKind.EIS for step in steps),
        protocol.temperature_c,
    )
