"""Charges and discharges of a record, found by the charge that flows and by nothing that the cycler counted.

A half cycle ends where the charge turns by more than a share of the largest swing: pulses, recuperation and noise
are part of the half cycle they stand in, and rests end none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.chargeflow import REST_SHARE, Runs, flows, runs_of
from poliqi.lab.echem.record import CyclingRecord

__all__ = ["SWING_SHARE", "Direction", "End", "HalfCycle", "HalfCycles", "half_cycles"]

SWING_SHARE: Final = 0.05
"""A charge that turns by less than this share of the largest swing ends no half cycle, unless a limit is given."""
_FIRST_PASS: Final = 0.01
_HOLD_V: Final = 0.003
_HOLD_FALL: Final = 0.9
_CONSTANT: Final = 0.995
_LEAST_HELD: Final = 4
_WRONG_SIGN_V: Final = 0.002

Floats = NDArray[np.float64]


class Direction(StrEnum):
    """Which way the charge goes."""

    CHARGE = "charge"
    DISCHARGE = "discharge"

    @property
    def sign(self) -> int:
        """That of the current."""
        return 1 if self is Direction.CHARGE else -1


class End(StrEnum):
    """What came after the last point of a half cycle."""

    REST = "rest"
    REVERSAL = "reversal"
    RECORD = "end of the record"
    """Current still flowed: whether the step was over is unknown."""


@dataclass(frozen=True, slots=True)
class HalfCycle:
    """One charge or discharge: points `first` to `last` of the record, both included."""

    direction: Direction
    first: int
    last: int
    begin_s: float
    end_s: float
    capacity_ah: float
    """Net charge in this direction, above 0."""
    reverse_ah: float
    """Charge that went the other way within, such as recuperation; taken off `capacity_ah` already."""
    energy_wh: float
    """Net energy in this direction, the integral of V I."""
    held_ah: float
    """Part of the charge that flowed at constant voltage at the end."""
    edge_ah: float
    """The most that intervals in which the current began, ended or turned may have hidden."""
    begin_v: float
    end_v: float
    flowing_s: float
    """Time with current."""
    ended: End

    @property
    def mean_current_a(self) -> float:
        """Charge over time with current: above 0 in a charge."""
        return self.direction.sign * self.capacity_ah * 3600 / self.flowing_s

    @property
    def mean_voltage_v(self) -> float:
        """Energy over charge."""
        return self.energy_wh / self.capacity_ah


@dataclass(frozen=True, slots=True)
class HalfCycles:
    """All of a record in order, directions taking turns, and what was taken for rest and for a turn."""

    halves: tuple[HalfCycle, ...]
    rest_current_a: float
    least_swing_ah: float
    outside_ah: float
    """Charge, both ways, that belongs to no half cycle: small swings before the first and after the last."""


def half_cycles(
    record: CyclingRecord, *, rest_current_a: float | None = None, least_swing_ah: float | None = None
) -> HalfCycles:
    """The charges and discharges of a record.

    `rest_current_a`: what is smaller is rest (else `REST_SHARE` of the largest current). `least_swing_ah`: a turn
    of less charge ends no half cycle (else `SWING_SHARE` of the largest swing). Raises DataRefused where no
    current flows, or charging lowers the voltage.
    """
    for name, value in (("rest current", rest_current_a), ("least swing", least_swing_ah)):
        if value is not None and not 0 < value < math.inf:
            raise DataRefused(f"{name} {value}: give a number above 0")
    largest = max(float(record.current_a.max()), -float(record.current_a.min()))
    rest = REST_SHARE * largest if rest_current_a is None else rest_current_a
    if largest <= rest or largest == 0:
        raise DataRefused(
            f"{record.title!r}: no current above {rest:.3g} A flows in {record.time_s.size} rows; "
            "there is no cycle to find"
        )
    runs = runs_of(record, rest)
    totals = np.cumsum(runs.charge_c)
    span = float(max(totals.max(), 0.0) - min(totals.min(), 0.0))
    if least_swing_ah is None:
        swings = [abs(totals[b] - (totals[a - 1] if a else 0.0)) for a, b in _turning(totals, _FIRST_PASS * span)]
        least = SWING_SHARE * max(swings, default=0.0)
    else:
        least = least_swing_ah * 3600
    found = _turning(totals, least) if least > 0 else []
    if not found:
        raise DataRefused(
            f"{record.title!r}: the charge never turns by {least / 3600:.3g} Ah; it moves by {span / 3600:.3g} Ah"
        )
    halves = tuple(_half(record, runs, a, b, rest) for a, b in found)
    _check_sign(record, halves)
    outside = np.abs(runs.charge_c[: found[0][0]]).sum() + np.abs(runs.charge_c[found[-1][1] + 1 :]).sum()
    return HalfCycles(halves, rest, least / 3600, float(outside) / 3600)


def _turning(totals: Floats, least: float) -> list[tuple[int, int]]:
    """First and last run of each swing of the running total that is followed or preceded by turns of `least`."""
    swings: list[tuple[int, int]] = []
    low, low_at, high, high_at = 0.0, -1, 0.0, -1
    way, begin = 0, -1
    for at, total in enumerate(totals.tolist()):
        if way == 0:
            if total > high:
                high, high_at = total, at
            if total < low:
                low, low_at = total, at
            if high_at > low_at and high - low >= least:
                way, begin = 1, low_at
            elif low_at > high_at and high - low >= least:
                way, begin = -1, high_at
        elif way > 0:
            if total > high:
                high, high_at = total, at
            elif high - total >= least:
                swings.append((begin + 1, high_at))
                way, begin, low, low_at = -1, high_at, total, at
        elif total < low:
            low, low_at = total, at
        elif total - low >= least:
            swings.append((begin + 1, low_at))
            way, begin, high, high_at = 1, low_at, total, at
    if way:
        swings.append((begin + 1, high_at if way > 0 else low_at))
    return swings


def _half(record: CyclingRecord, runs: Runs, a: int, b: int, rest: float) -> HalfCycle:
    charge = runs.charge_c[a : b + 1]
    net = float(charge.sum())
    way = 1 if net > 0 else -1
    direction = Direction.CHARGE if net > 0 else Direction.DISCHARGE
    signs = runs.sign[a : b + 1]
    begin = a + int(np.argmax(signs == way))
    n = record.time_s.size
    first = int(runs.first[begin])
    last = int(runs.first[b + 1]) - 1 if b + 1 < runs.first.size else n - 1
    ended = End.RECORD if last == n - 1 else End.REST if runs.sign[b + 1] == 0 else End.REVERSAL
    against = charge[charge * way < 0]
    return HalfCycle(
        direction,
        first,
        last,
        float(record.time_s[max(first - 1, 0)]),
        float(record.time_s[last]),
        abs(net) / 3600,
        float(np.abs(against).sum()) / 3600,
        way * float(runs.energy_j[a : b + 1].sum()) / 3600,
        _held(record, first, last, rest) / 3600,
        float(runs.edge_c[a : b + 1][signs != 0].sum()) / 3600,
        float(record.voltage_v[first]),
        float(record.voltage_v[last]),
        float(runs.time_s[a : b + 1][signs != 0].sum()),
        ended,
    )


def _held(record: CyclingRecord, first: int, last: int, rest: float) -> float:
    """Charge (C) of a hold at the end: the voltage stays while the current falls. 0 where there is none."""
    start = last
    step = 1024
    while start > first:  # backwards, a piece at a time: most half cycles hold nothing
        low = max(first, start - step)
        off = np.flatnonzero(np.abs(record.voltage_v[low:start] - record.voltage_v[last]) > _HOLD_V)
        if off.size:
            start = low + int(off[-1]) + 1
            break
        start, step = low, step * 2
    current = record.current_a[start : last + 1]
    if current.size < _LEAST_HELD or abs(current[-1]) > _HOLD_FALL * abs(current[0]):
        return 0.0
    constant = np.flatnonzero(np.abs(current) > _CONSTANT * abs(float(current[0])))
    start += int(constant[-1])  # the constant current before the hold is none of it
    charge, _, _ = flows(record, start + 1, last + 1, rest)
    return float(np.abs(charge).sum())


def _check_sign(record: CyclingRecord, halves: Sequence[HalfCycle]) -> None:
    """Raises DataRefused where most charge moved the voltage the wrong way and charges lie below discharges.

    The latter alone holds for symmetric cells, whose voltage is that of the resistance.
    """
    right = wrong = 0.0
    worst = halves[0]
    for one in halves:
        change = (one.end_v - one.begin_v) * one.direction.sign
        if change > _WRONG_SIGN_V:
            right += one.capacity_ah
        elif change < -_WRONG_SIGN_V:
            wrong, worst = wrong + one.capacity_ah, one
    energy, charge = (dict.fromkeys(Direction, 0.0) for _ in range(2))
    for one in halves:
        energy[one.direction] += one.energy_wh
        charge[one.direction] += one.capacity_ah
    if all(charge.values()):
        charging, discharging = (energy[way] / charge[way] for way in Direction)
        if charging > discharging:
            return
    if wrong > right:
        raise DataRefused(
            f"{record.title!r}: rows {record.row(worst.first)} to {record.row(worst.last)}, Current / A above 0 "
            f"should raise the voltage, it goes from {worst.begin_v:.4g} to {worst.end_v:.4g} V as a "
            f"{worst.direction}; the sign of the current is reversed: give the cycler's sign when reading"
        )
