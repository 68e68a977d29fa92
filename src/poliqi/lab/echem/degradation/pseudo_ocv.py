"""Slow charges and discharges of a record as the cell's open-circuit voltage: nearly, for some current flows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.chargeflow import flows
from poliqi.lab.echem.cycling.halfcycles import Direction, HalfCycle, half_cycles
from poliqi.lab.echem.record import CyclingRecord

__all__ = ["SLOW_HOURS", "OpenCircuit", "Way", "slow_sweeps"]

Floats = NDArray[np.float64]
SLOW_HOURS: Final = 15.0
"""A sweep of fewer hours is told to be far from rest."""
_FEWEST_HOURS: Final = 3.0
_WHOLE: Final = 0.5
_LIKE: Final = 1.2
_CONSTANT: Final = 0.05
_MOST_POINTS: Final = 1000
_FEWEST_POINTS: Final = 30


class Way(StrEnum):
    """Which sweep is taken for the open-circuit voltage."""

    DISCHARGE = "discharge"
    CHARGE = "charge"
    MEAN = "mean"
    """The middle of a discharge and the charge before it, at equal charge below the top."""


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """`charge_ah` (n,) rising: what has left the cell since its fullest point; `voltage_v` (n,)."""

    charge_ah: Floats
    voltage_v: Floats
    way: Way
    current_a: float
    """Size of the current of the sweep."""
    title: str = ""
    notes: tuple[str, ...] = ()
    simulated: bool = False

    def __post_init__(self) -> None:
        """Raises DataRefused for a curve too short, or whose voltage does not fall as charge leaves."""
        q, v = self.charge_ah, self.voltage_v
        if q.size < _FEWEST_POINTS or v.shape != q.shape:
            raise DataRefused(
                f"{self.title!r}: {q.size} points of a slow {self.way.value}; give {_FEWEST_POINTS} at least"
            )
        if not bool(np.all(np.isfinite(q) & np.isfinite(v)) and np.all(q[1:] > q[:-1])) or not v[0] > v[-1]:
            raise DataRefused(
                f"{self.title!r}: charge has to rise from point to point and voltage to fall from the first to the "
                f"last; it goes from {v[0]:.4g} to {v[-1]:.4g} V"
            )

    @property
    def capacity_ah(self) -> float:
        """Charge between the first and the last point."""
        return float(self.charge_ah[-1] - self.charge_ah[0])


def slow_sweeps(
    record: CyclingRecord, way: Way = Way.DISCHARGE, *, most_current_a: float | None = None
) -> list[OpenCircuit]:
    """The slow sweeps of a record, in its order: each is a check-up.

    Those of at least half the largest charge whose current is within 20 % of the slowest, or below `most_current_a`
    where that is given; of each the part at constant current. Raises DataRefused where there is none, or the
    slowest is over within three hours.
    """
    halves = half_cycles(record).halves
    wanted = Direction.CHARGE if way is Way.CHARGE else Direction.DISCHARGE
    slow = _slow(record, halves, wanted, most_current_a)
    if way is not Way.MEAN:
        return [_open_circuit(record, one, way) for one in slow]
    charges = _slow(record, halves, Direction.CHARGE, most_current_a)
    pairs = [
        (one, max((c for c in charges if c.last < one.first), key=lambda c: c.last, default=None)) for one in slow
    ]
    found = [
        _middle(_open_circuit(record, one, Way.DISCHARGE), _open_circuit(record, before, Way.CHARGE), one)
        for one, before in pairs
        if before is not None
    ]
    if not found:
        raise DataRefused(
            f"{record.title!r}: no slow discharge has a slow charge before it to take the middle of; take the "
            "discharge alone"
        )
    return found


def _slow(
    record: CyclingRecord, halves: tuple[HalfCycle, ...], wanted: Direction, most_current_a: float | None
) -> list[HalfCycle]:
    of_way = [one for one in halves if one.direction is wanted]
    largest = max((one.capacity_ah for one in of_way), default=0.0)
    whole = [one for one in of_way if one.capacity_ah >= _WHOLE * largest]
    if not whole:
        raise DataRefused(f"{record.title!r}: holds no {wanted.value}; give a record with a slow one")
    slowest = min(abs(one.mean_current_a) for one in whole)
    limit = _LIKE * slowest if most_current_a is None else most_current_a
    slow = [one for one in whole if abs(one.mean_current_a) <= limit]
    if not slow:
        raise DataRefused(
            f"{record.title!r}: no {wanted.value} with at most {limit:.4g} A; the slowest has {slowest:.4g} A"
        )
    for one in slow:
        if one.flowing_s < _FEWEST_HOURS * 3600:
            raise DataRefused(
                f"{record.title!r}: the {wanted.value} of rows {record.row(one.first)} to "
                f"{record.row(one.last)} is "
                f"over in {one.flowing_s / 3600:.2f} h: too fast for an open-circuit voltage (at least "
                f"{_FEWEST_HOURS:g} h, better {SLOW_HOURS:g} h and more)"
            )
    return slow


def _open_circuit(record: CyclingRecord, half: HalfCycle, way: Way) -> OpenCircuit:
    """The part at constant current, charge counted from the fullest point."""
    part = slice(half.first, half.last + 1)
    moved, _, _ = flows(record, half.first, half.last + 1, 0.0)
    current, v = record.current_a[part], record.voltage_v[part]
    usual = float(np.median(current))
    keep = np.abs(current - usual) <= _CONSTANT * abs(usual)
    through = np.abs(np.cumsum(moved)) / 3600
    charge, v = through[keep], v[keep]
    if way is Way.CHARGE:  # full is the end of the hold, where there is one
        charge, v = (through[-1] - charge)[::-1], v[::-1]
    hours = half.flowing_s / 3600
    notes = list(record.notes)
    if hours < SLOW_HOURS:
        notes.append(
            f"the {half.direction.value} took {hours:.1f} h: part of its voltage is overpotential, not open circuit"
        )
    if not bool(keep.all()):
        notes.append(f"{int((~keep).sum())} of {keep.size} points are not at the constant current and are left out")
    charge, v = _thinned(*_rising(charge, v))
    title = f"{record.title}, rows {record.row(half.first)} to {record.row(half.last)}"
    return OpenCircuit(charge, v, way, abs(usual), title, tuple(notes), record.simulated)


def _rising(charge: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Without points at which no charge has flowed since the one before."""
    if not charge.size:
        return charge, v
    keep = np.concatenate((np.array([True]), charge[1:] > np.maximum.accumulate(charge)[:-1]))
    return charge[keep], v[keep]


def _thinned(charge: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Means over equal spans of charge, where there are many points."""
    if charge.size <= _MOST_POINTS:
        return charge, v
    span = (charge - charge[0]) / (charge[-1] - charge[0]) * _MOST_POINTS
    starts = np.unique(np.searchsorted(span, np.arange(_MOST_POINTS)))
    counts = np.diff(np.append(starts, charge.size))
    return np.add.reduceat(charge, starts) / counts, np.add.reduceat(v, starts) / counts


def _middle(down: OpenCircuit, up: OpenCircuit, half: HalfCycle) -> OpenCircuit:
    """The middle of both where both are, on the points of the discharge."""
    end = min(down.charge_ah[-1], up.charge_ah[-1])
    begin = max(down.charge_ah[0], up.charge_ah[0])
    keep = (down.charge_ah >= begin) & (down.charge_ah <= end)
    charge = down.charge_ah[keep]
    above = np.interp(charge, up.charge_ah, up.voltage_v)
    apart = float(np.median(above - down.voltage_v[keep]))
    del half
    note = f"middle of discharge and charge, which lie {1e3 * apart:.1f} mV apart (median)"
    return OpenCircuit(
        charge,
        0.5 * (above + down.voltage_v[keep]),
        Way.MEAN,
        0.5 * (down.current_a + up.current_a),
        down.title,
        (note, *down.notes),
        down.simulated,
    )
