"""Incremental capacity dQ/dV (ICA) and differential voltage dV/dQ (DVA) of a half cycle.

The charge of each interval between two points is spread evenly over the voltages between them, so that the integral
of dQ/dV is the charge that flowed, whatever the voltage did. On a uniform grid of voltage it is then smoothed by
Savitzky and Golay (Anal. Chem. 36, 1627, 1964), continued at both ends by its mirror image: that keeps the integral
too. A hold at constant voltage has no dQ/dV and is left out; its charge is told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.chargeflow import flows
from poliqi.lab.echem.cycling.halfcycles import Direction, HalfCycle
from poliqi.lab.echem.record import CyclingRecord

__all__ = ["Differential", "Incremental", "differential_voltage", "incremental_capacity", "smoothing"]

Floats = NDArray[np.float64]
_THINNEST_V: Final = 5e-5
_MOST_POINTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Incremental:
    """dQ/dV against voltage. `voltage_v` (n,) are middles of a uniform grid; `dq_dv_ah_v` (n,), above 0 mostly."""

    direction: Direction
    voltage_v: Floats
    dq_dv_ah_v: Floats
    step_v: float
    charge_ah: float
    """What flowed without the hold: the integral of the curve equals it."""
    held_ah: float

    @property
    def integral_ah(self) -> float:
        """Of the curve as it stands."""
        return float(self.dq_dv_ah_v.sum()) * self.step_v


@dataclass(frozen=True, slots=True)
class Differential:
    """dV/dQ against charge. `charge_ah` (n,) from the begin of the half cycle; `dv_dq_v_ah` (n,)."""

    direction: Direction
    charge_ah: Floats
    dv_dq_v_ah: Floats


@cache
def smoothing(window: int, order: int, derivative: int = 0) -> tuple[float, ...]:
    """Weights of a Savitzky-Golay filter for the value (their sum is 1) or a derivative per step of the grid.

    Raises DataRefused.
    """
    if window % 2 == 0 or not derivative <= order < window or not 3 <= window <= 1001 or order > 9:
        raise DataRefused(
            f"smoothing over {window} points with order {order}: an odd number of points from 3 to 1001, more than "
            "the order, which is at most 9"
        )
    half = window // 2
    x = np.arange(-half, half + 1) / half
    vander = np.vander(x, order + 1, increasing=True)
    return tuple((np.linalg.pinv(vander)[derivative] * math.factorial(derivative) / half**derivative).tolist())


def incremental_capacity(
    record: CyclingRecord,
    half: HalfCycle,
    rest_current_a: float,
    *,
    step_v: float = 0.002,
    window: int = 21,
    order: int = 3,
) -> Incremental:
    """dQ/dV of one half cycle. Raises DataRefused where it moves less than a few steps of voltage."""
    charge, voltage, last = _constant_current(record, half, rest_current_a)
    low_v, high_v = float(voltage.min()), float(voltage.max())
    if not step_v > 0 or not 3 * step_v <= high_v - low_v <= _MOST_POINTS * step_v:
        raise DataRefused(
            f"dQ/dV of rows {record.row(half.first)} to {record.row(last)}: a step of {step_v} V for voltages from "
            f"{low_v:.4g} to {high_v:.4g} V; give one that fits 3 to {_MOST_POINTS} times"
        )
    edges: Floats = step_v * np.arange(math.floor(low_v / step_v), math.floor(high_v / step_v) + 2, dtype=float)
    within = np.diff(_charge_below(edges, voltage, charge))
    curve = _smoothed(within / step_v, smoothing(window, order))
    middles = 0.5 * (edges[1:] + edges[:-1])
    total = float(charge.sum()) / 3600
    return Incremental(half.direction, middles, curve / 3600, step_v, total, half.held_ah)


def differential_voltage(
    record: CyclingRecord,
    half: HalfCycle,
    rest_current_a: float,
    *,
    points: int = 1000,
    window: int = 21,
    order: int = 3,
) -> Differential:
    """dV/dQ of one half cycle on a uniform grid of its charge. Raises DataRefused for a grid that does not fit."""
    charge, voltage, last = _constant_current(record, half, rest_current_a)
    through = np.concatenate((np.zeros(1), np.cumsum(np.maximum(charge, 0.0))))
    keep = np.concatenate((np.array([True]), np.diff(through) > 0))
    if not window < points <= _MOST_POINTS or keep.sum() < window:
        raise DataRefused(
            f"dV/dQ of rows {record.row(half.first)} to {record.row(last)}: {points} points of {int(keep.sum())} "
            f"rows; more than {window} of both are needed"
        )
    grid = float(through[-1]) / (points - 1) * np.arange(points, dtype=float)
    even = np.interp(grid, through[keep], voltage[keep])
    slope = _convolved(even, smoothing(window, max(order, 1), 1)) / float(grid[1])
    edge = window // 2
    return Differential(half.direction, grid[edge:-edge] / 3600, half.direction.sign * slope * 3600)


def _constant_current(record: CyclingRecord, half: HalfCycle, rest: float) -> tuple[Floats, Floats, int]:
    """Charge (C) in the direction of each interval, voltages at its ends (one more), and the last point used."""
    charge, _, _ = flows(record, half.first + 1, half.last + 1, rest)
    charge = charge * half.direction.sign
    last = half.last
    if half.held_ah > 0:
        held = np.cumsum(charge[::-1])
        last -= min(int(np.searchsorted(held, half.held_ah * 3600 * (1 - 1e-9))) + 1, charge.size - 1)
        charge = charge[: last - half.first]
    return charge, record.voltage_v[half.first : last + 1], last


def _charge_below(edges: Floats, voltage: Floats, charge: Floats) -> Floats:
    """How much charge flowed below each voltage, each interval's spread evenly between its two voltages.

    An interval is two changes of slope; between them the sum is straight.
    """
    low, high = np.minimum(voltage[1:], voltage[:-1]), np.maximum(voltage[1:], voltage[:-1])
    thin = np.maximum(_THINNEST_V - (high - low), 0) / 2
    low, high = low - thin, high + thin
    slope = charge / (high - low)
    at = np.concatenate((low, high))
    change = np.concatenate((slope, -slope))
    order = np.argsort(at, kind="stable")
    at, change = at[order], change[order]
    rise = np.cumsum(change)
    total = np.concatenate((np.zeros(1), np.cumsum(rise[:-1] * np.diff(at))))
    total *= charge.sum() / total[-1] if total[-1] else 1.0  # rounding of many slopes
    return np.interp(edges, at, total, left=0.0, right=float(total[-1]))


def _smoothed(curve: Floats, weights: tuple[float, ...]) -> Floats:
    """Convolved with weights that sum to 1; mirrored at both ends, each end point twice, so that the sum stays."""
    return _convolved(np.pad(curve, len(weights) // 2, mode="symmetric"), weights)


def _convolved(curve: Floats, weights: tuple[float, ...]) -> Floats:
    """Where all of the weights fit: shorter by one less than there are weights."""
    numpy: Any = np  # convolve's annotation is partial
    found: Floats = numpy.correlate(curve, np.array(weights), mode="valid")
    return found
