"""Cycles: half cycles in pairs, their efficiencies, and the table of them.

Which half cycle begins a pair is stated, never guessed: in a full cell, or where the positive electrode is studied,
charge then discharge; in a half cell against lithium whose working electrode is the negative of a full cell,
discharge (lithiation) then charge. A half cycle before the first pair stands alone, as cycle 0, without an
efficiency.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.cycling.halfcycles import Direction, End, HalfCycle, HalfCycles, half_cycles
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.echem.record import CyclingRecord

__all__ = ["COLUMNS", "Cycle", "Cycles", "cycle_csv", "cycles", "is_cut", "per_area", "per_mass", "usual_end_v"]

_END_APART_V: Final = 0.02


@dataclass(frozen=True, slots=True)
class Cycle:
    """A pair, or a half cycle without its partner. `number` counts from 1; 0 is what came before the first pair."""

    number: int
    charge: HalfCycle | None
    discharge: HalfCycle | None
    first: Direction
    """Which one begins a pair."""

    @property
    def halves(self) -> tuple[HalfCycle, ...]:
        """In order of time."""
        return tuple(sorted((one for one in (self.charge, self.discharge) if one), key=lambda one: one.first))

    @property
    def coulombic_efficiency(self) -> float | None:
        """Charge of the second half cycle over that of the first; None without a partner."""
        return self._second_over_first("capacity_ah")

    @property
    def coulombic_doubt(self) -> float | None:
        """The most by which the intervals at the ends of steps can have moved it."""
        efficiency = self.coulombic_efficiency
        if efficiency is None:
            return None
        return efficiency * sum(one.edge_ah / one.capacity_ah for one in self.halves)

    @property
    def energy_efficiency(self) -> float | None:
        """Energy taken out by the discharge over energy put in by the charge; None without a partner."""
        if self.charge is None or self.discharge is None:
            return None
        return self.discharge.energy_wh / self.charge.energy_wh

    @property
    def voltage_gap_v(self) -> float | None:
        """Mean voltage of the charge less that of the discharge; None without a partner."""
        if self.charge is None or self.discharge is None:
            return None
        return self.charge.mean_voltage_v - self.discharge.mean_voltage_v

    def _second_over_first(self, name: str) -> float | None:
        if self.charge is None or self.discharge is None:
            return None
        ratio = float(getattr(self.discharge, name)) / float(getattr(self.charge, name))
        return ratio if self.first is Direction.CHARGE else 1 / ratio


@dataclass(frozen=True, slots=True)
class Cycles:
    """All cycles of a record in order, and by what rules they were found."""

    record: CyclingRecord
    found: HalfCycles
    cycles: tuple[Cycle, ...]
    first: Direction

    def discharges(self) -> tuple[tuple[Cycle, HalfCycle], ...]:
        """Cycles that have one."""
        return tuple((one, one.discharge) for one in self.cycles if one.discharge is not None)


def cycles(
    record: CyclingRecord,
    *,
    first: Direction = Direction.CHARGE,
    rest_current_a: float | None = None,
    least_swing_ah: float | None = None,
) -> Cycles:
    """Count the cycles of a record; arguments and errors as of `half_cycles`. `first` begins a pair."""
    found = half_cycles(record, rest_current_a=rest_current_a, least_swing_ah=least_swing_ah)
    halves = list(found.halves)
    pairs: list[tuple[HalfCycle, ...]] = []
    if halves[0].direction is not first:
        pairs.append((halves.pop(0),))
        number = 0
    else:
        number = 1
    pairs += [tuple(halves[at : at + 2]) for at in range(0, len(halves), 2)]
    told = tuple(_cycle(number + at, pair, first) for at, pair in enumerate(pairs))
    return Cycles(record, found, told, first)


def _cycle(number: int, pair: Sequence[HalfCycle], first: Direction) -> Cycle:
    by = {one.direction: one for one in pair}
    return Cycle(number, by.get(Direction.CHARGE), by.get(Direction.DISCHARGE), first)


def per_mass(capacity_ah: float, mass: Quantity | None) -> Quantity:
    """Specific capacity in mAh/g; `mass` in g. Raises DataRefused without one: none is assumed."""
    if mass is None:
        raise DataRefused("capacity per gram: the mass of active material is not stated; give it, or ask for mAh")
    _check_above_zero("the mass of active material", mass, "g")
    return _per(capacity_ah, mass, "mAh/g")


def per_area(capacity_ah: float, area: Quantity | None) -> Quantity:
    """Areal capacity in mAh/cm2; `area` in cm2. Raises DataRefused without one."""
    if area is None:
        raise DataRefused("capacity per area: the electrode's area is not stated; give it, or ask for mAh")
    _check_above_zero("the electrode's area", area, "cm2")
    return _per(capacity_ah, area, "mAh/cm2")


def _check_above_zero(name: str, what: Quantity, unit: str) -> None:
    if not what.value > 0:
        raise DataRefused(f"{name}: {what.value:g} {unit}; it must be above 0")


def _per(capacity_ah: float, what: Quantity, unit: str) -> Quantity:
    value = capacity_ah * 1e3 / what.value
    return Quantity(value, value * what.relative_sigma, unit, what.source)


def is_cut(found: Cycles, half: HalfCycle) -> bool:
    """Whether the record ends in it, elsewhere than where the others of its direction end."""
    if half.ended is not End.RECORD:
        return False
    usual = usual_end_v(found, half.direction)
    return usual is None or abs(half.end_v - usual) > _END_APART_V


def usual_end_v(found: Cycles, direction: Direction) -> float | None:
    """At which half cycles of that direction end, the last of the record left out; None where there is none."""
    ends = [one.end_v for one in found.found.halves[:-1] if one.direction is direction]
    return float(np.median(ends)) if ends else None


COLUMNS: Final = (
    "Cycle / 1",
    "Charging Capacity / Ah",
    "Discharging Capacity / Ah",
    "Charging Energy / Wh",
    "Discharging Energy / Wh",
    "Coulombic Efficiency / 1",
    "Coulombic Efficiency Bound / 1",
    "Energy Efficiency / 1",
    "Mean Charging Voltage / V",
    "Mean Discharging Voltage / V",
    "Charged at Constant Voltage / Ah",
    "Begin Time / s",
    "End Time / s",
    "First Row / 1",
    "Last Row / 1",
)
"""Of the table of cycles; a cell is empty where a partner is missing."""


def cycle_csv(found: Cycles) -> bytes:
    """The table, one cycle a row; numbers read back exactly."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in found.cycles:
        charge, discharge = one.charge, one.discharge
        halves = one.halves
        row = (
            one.number,
            charge and charge.capacity_ah,
            discharge and discharge.capacity_ah,
            charge and charge.energy_wh,
            discharge and discharge.energy_wh,
            one.coulombic_efficiency,
            one.coulombic_doubt,
            one.energy_efficiency,
            charge and charge.mean_voltage_v,
            discharge and discharge.mean_voltage_v,
            charge and charge.held_ah,
            halves[0].begin_s,
            halves[-1].end_s,
            found.record.row(halves[0].first),
            found.record.row(halves[-1].last),
        )
        assert len(row) == len(COLUMNS)
        writer.writerow("" if value is None else _number(value) for value in row)
    return out.getvalue().encode()


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""
