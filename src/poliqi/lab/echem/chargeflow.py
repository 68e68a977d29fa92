"""Charge and energy between the points of a record, and stretches of one direction of the current.

The current is integrated by trapezoids while its direction stays. Where it begins, ends or turns between two points
the interval takes the later point's current: a cycler records the point at which a step ends, then the next step's
first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.echem.record import CyclingRecord

__all__ = ["REST_SHARE", "Runs", "flows", "runs_of", "signs"]

REST_SHARE: Final = 1e-3
"""A current below this share of the largest is none, unless a limit is given."""

_BLOCK: Final = 1 << 15

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Runs:
    """Stretches of points whose current has one direction (+1, -1, 0 at rest), with what flowed in each."""

    first: Ints
    sign: NDArray[np.int8]
    charge_c: Floats
    energy_j: Floats
    edge_c: Floats
    time_s: Floats


def flows(record: CyclingRecord, start: int, stop: int, rest_current_a: float) -> tuple[Floats, Floats, Floats]:
    """Charge (C), energy (J) and time (s) that each of the points start to stop - 1 adds to the one before it.

    The first point of a record adds nothing.
    """
    low = max(start - 1, 0)
    t, v, i = (column[low:stop] for column in (record.time_s, record.voltage_v, record.current_a))
    sign = signs(i, rest_current_a)
    dt = np.diff(t)
    same = sign[1:] == sign[:-1]
    current = np.where(same, 0.5 * (i[1:] + i[:-1]), i[1:])
    current[sign[1:] == 0] = 0.0
    charge = current * dt
    energy = charge * np.where(same, 0.5 * (v[1:] + v[:-1]), v[1:])
    if start == 0:
        zero = np.zeros(1)
        return np.concatenate((zero, charge)), np.concatenate((zero, energy)), np.concatenate((zero, dt))
    return charge, energy, dt


def signs(current: Floats, rest: float) -> NDArray[np.int8]:
    """+1, -1, or 0 where the current is below `rest` either way."""
    return (current > rest).view(np.int8) - (current < -rest).view(np.int8)


def runs_of(record: CyclingRecord, rest: float) -> Runs:
    """In blocks that stay in the processor's cache."""
    first, sign, charge, energy, time = (
        np.concatenate(column) for column in zip(*_pieces(record, rest), strict=True)
    )
    starts = np.flatnonzero(np.concatenate((np.array([True]), sign[1:] != sign[:-1])))
    point = first[starts]
    before = np.maximum(point - 1, 0)
    gap = record.time_s[point] - record.time_s[before]
    edge = np.abs(record.current_a[point]) * gap
    edge[:-1] += (np.abs(record.current_a[before]) * gap)[1:]
    charge, energy, time = (np.add.reduceat(column, starts) for column in (charge, energy, time))
    return Runs(point, sign[starts], charge, energy, edge, time)


def _pieces(record: CyclingRecord, rest: float) -> Iterator[tuple[NDArray[Any], ...]]:
    """Runs within one block: first point, sign, charge, energy, time."""
    n = record.time_s.size
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        sign = signs(record.current_a[start:stop], rest)
        at = np.flatnonzero(np.concatenate((np.array([True]), sign[1:] != sign[:-1])))
        yield at + start, sign[at], *(np.add.reduceat(column, at) for column in flows(record, start, stop, rest))
