"""What a model of a cell is driven by: the current of a record, in few straight pieces with the record's charge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.chargeflow import REST_SHARE, signs
from poliqi.lab.echem.record import CyclingRecord

__all__ = ["Drive", "chosen_points", "constant_drive", "drive_of", "part_of"]

Floats = NDArray[np.float64]
_STEADY: Final = 2e-3
"""Largest deviation from a mean, over the largest current, that counts as one steady step."""
_LEAST_POINTS: Final = 8
_DENSER: Final = 100.0
"""How much denser points stand at the start of a step than at its end."""
_EDGE_S: Final = 0.01
_EDGE_SHARE: Final = 0.1
"""A current begins, ends or turns within this time, or this share of the interval, after the earlier point."""


@dataclass(frozen=True, slots=True)
class Drive:
    """The current is straight between `knot_s` (m,), where it is `knot_a` (m,), positive where the cell is charged.

    `time_s` (n,) are the times from 0 at which the voltage is asked for.
    """

    time_s: Floats
    knot_s: Floats
    knot_a: Floats

    @property
    def is_constant(self) -> bool:
        """Whether it is one current from first to last."""
        return bool(np.ptp(self.knot_a) == 0)

    @property
    def charge_c(self) -> float:
        """What flows into the cell from the first to the last knot, in coulomb."""
        return float(np.trapezoid(self.knot_a, self.knot_s))


def constant_drive(current_a: float, duration_s: float, points: int = 400) -> Drive:
    """One current, positive where it charges."""
    return Drive(
        np.linspace(0.0, duration_s, points), np.array([0.0, duration_s]), np.array([current_a, current_a])
    )


def part_of(record: CyclingRecord, from_s: float | None, to_s: float | None) -> CyclingRecord:
    """The record's points from one time to another, both included. Raises DataRefused for fewer than 8."""
    from dataclasses import replace

    low = -np.inf if from_s is None else from_s
    high = np.inf if to_s is None else to_s
    inside = (record.time_s >= low) & (record.time_s <= high)
    if int(inside.sum()) < _LEAST_POINTS:
        raise DataRefused(
            f"{record.title!r}: {int(inside.sum())} points of {record.time_s[0]:g} to {record.time_s[-1]:g} s lie "
            f"between {low:g} and {high:g} s; a model needs at least {_LEAST_POINTS}: choose a longer part"
        )
    kept = np.flatnonzero(inside)
    rows = kept + 1 if record.rows is None else record.rows[kept]
    temperature, cycle, step = record.temperature_c, record.file_cycle, record.file_step
    return replace(
        record,
        time_s=record.time_s[kept],
        voltage_v=record.voltage_v[kept],
        current_a=record.current_a[kept],
        temperature_c=None if temperature is None else temperature[kept],
        file_cycle=None if cycle is None else cycle[kept],
        file_step=None if step is None else step[kept],
        rows=rows,
    )


def drive_of(record: CyclingRecord, points: NDArray[np.intp]) -> Drive:
    """The record's current, and the times of those of its points, both from the record's first.

    Between two points the current is straight; where it begins, ends or turns between them it is the later point's
    from just after the earlier one, as where charge is counted (chargeflow). Neighbours that differ from their mean
    by less than 0.2 % of the largest current are one steady step at their mean over time: the charge is that of the
    record.
    """
    time: Floats = record.time_s - record.time_s[0]
    current = record.current_a
    knot_s: list[float] = []
    knot_a: list[float] = []
    sign = signs(current, REST_SHARE * float(np.max(np.abs(current), initial=0.0)))
    for first, last in _steady(current):
        steps = first > 0 and sign[first] != sign[first - 1]
        if last == first and not steps:
            knot_s.append(float(time[first]))
            knot_a.append(float(current[first]))
            continue
        part = slice(first, last + 1)
        begin = float(time[first - 1] if steps else time[first])
        gap, length = float(time[first]) - begin, float(time[last]) - begin
        mean = (float(current[first]) * gap + float(np.trapezoid(current[part], time[part]))) / length
        knot_s += [begin + min(_EDGE_S, _EDGE_SHARE * gap), float(time[last])]
        knot_a += [mean, mean]
    return Drive(time[points], np.array(knot_s, float), np.array(knot_a, float))


def _steady(current: Floats) -> list[tuple[int, int]]:
    """First and last point of each run whose values stay within the tolerance of the run's middle."""
    width = 2 * _STEADY * float(np.max(np.abs(current), initial=0.0))
    runs: list[tuple[int, int]] = []
    first, low, high = 0, float(current[0]), float(current[0])
    for at, value in enumerate(current.tolist()):
        low_now, high_now = min(low, value), max(high, value)
        if high_now - low_now > width:
            runs.append((first, at - 1))
            first, low, high = at, value, value
        else:
            low, high = low_now, high_now
    runs.append((first, current.size - 1))
    return runs


def chosen_points(record: CyclingRecord, most: int) -> NDArray[np.intp]:
    """At most so many points of the record: half of them evenly in time, half densely after each step of current.

    The voltage has no say: points chosen by a noisy voltage are those with the most noise. First and last are
    always among them.
    """
    n = record.time_s.size
    if n <= most:
        return np.arange(n)
    time: Floats = record.time_s - record.time_s[0]
    runs = np.array(_steady(record.current_a))
    starts, ends = time[runs[:, 0]], time[runs[:, 1]]
    which = np.searchsorted(runs[:, 0], np.arange(n), side="right") - 1
    within = (time - starts[which]) / np.maximum(ends - starts, time[1] - time[0])[which]
    after = (which + np.log1p(_DENSER * within) / np.log1p(_DENSER)) / len(runs)
    along: Floats = time / time[-1] + np.maximum.accumulate(after)
    wanted = np.linspace(float(along[0]), float(along[-1]), most)
    return np.unique(np.minimum(np.searchsorted(along, wanted), n - 1))
