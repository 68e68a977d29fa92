"""Records of cells whose cycles are known, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from poliqi.lab.echem.record import CyclingRecord


@dataclass(frozen=True, slots=True)
class Step:
    """Constant current for a time; 0 A is a rest."""

    current_a: float
    hours: float


def record_of(steps: Sequence[Step], *, every_s: float = 60.0, capacity_ah: float = 1.0) -> CyclingRecord:
    """A cell whose voltage is 3 V + 1 V times its state of charge.

    Each step is recorded a millisecond after it began, every `every_s`, and when it ends, as cyclers do.
    """
    times, voltages, currents = list[float](), list[float](), list[float]()
    begin, charge = 0.0, 0.5 * capacity_ah
    for step in steps:
        long = step.hours * 3600
        within = np.concatenate((np.array([1e-3]), np.arange(every_s, long - 1e-3, every_s), np.array([long])))
        soc = (charge + step.current_a * within / 3600) / capacity_ah
        times += (begin + within).tolist()
        voltages += (3 + soc + 0.05 * step.current_a / capacity_ah).tolist()
        currents += [step.current_a] * within.size
        begin, charge = begin + long, charge + step.current_a * step.hours
    return CyclingRecord(np.array(times), np.array(voltages), np.array(currents), title="by hand")


def cycling(losses: Sequence[float], *, capacity_ah: float = 1.0) -> CyclingRecord:
    """Charge and discharge at 1 A with rests; discharge k gives capacity (1 - loss), its charge takes 1 % more."""
    steps: list[Step] = []
    for loss in losses:
        taken = capacity_ah * (1 - loss)
        steps += [Step(1.0, 1.01 * taken), Step(0.0, 0.5), Step(-1.0, taken), Step(0.0, 0.25)]
    return record_of(steps, capacity_ah=capacity_ah)
