"""Units held against each other: current times time has to be what the file itself counts as charge."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.readers.choosing import Chosen
from poliqi.lab.echem.readers.naming import Role
from poliqi.lab.echem.readers.table import Floats

__all__ = ["check_charges"]

_ROLES: Final = (Role.CHARGED, Role.DISCHARGED, Role.CAPACITY, Role.MOVED)
_LEAST_POINTS: Final = 5
_CLOSE: Final = 1.05
_ANOTHER_UNIT: Final = 5.0
_LEAP: Final = 20.0
_RESTS: Final = 0.02
_S_PER_H: Final = 3600.0


def check_charges(chosen: Chosen, time_s: Floats, current_a: Floats) -> tuple[str, ...]:
    """What the file counts over what its current gives, where a counter grows and current of one sign flows.

    Raises DataRefused where that is not a matter of sampling: mAh for Ah, minutes for hours. Also where the format
    alone supplied units, and nothing in the file confirms them.
    """
    by_format = [column.name for column in chosen.columns.values() if not column.stated]
    counted = moved = 0.0
    points = 0
    name = ""
    for role in _ROLES:
        counter = chosen.numbers(role)
        if counter is None or (role is Role.CAPACITY and points):
            continue
        now, then, used = _grown(counter, time_s, current_a, is_step=role is Role.MOVED)
        counted, moved, points = counted + now, moved + then, points + used
        name = name or chosen.name(role)
    path = chosen.table.path
    if points < _LEAST_POINTS or not moved or not counted:
        if by_format and bool(np.any(current_a)):
            raise DataRefused(
                f"{path}: {', '.join(map(repr, by_format[:4]))} state no unit, and the file has no charge to hold "
                f"those of {chosen.table.source_format} against; say them: --column 'current=NAME [A]' and so on"
            )
        return ()
    ratio = counted / moved
    if not 1 / _ANOTHER_UNIT < ratio < _ANOTHER_UNIT:
        raise DataRefused(
            f"{path}: {name!r} grows by {ratio:.4g} times current x time, over {points} points: a unit of current, "
            "time or charge is not what it says; say the right one (--column 'current=NAME [mA]'), or "
            "leave that counter aside with --ignore-counters"
        )
    notes = ()
    if by_format:
        names = ", ".join(map(repr, by_format))
        said = f"{names} state no unit: those of {chosen.table.source_format} were taken, and current x time agrees"
        notes = (f"{said} with {name!r} ({1 / ratio:.3f} of it)",)
    if not 1 / _CLOSE < ratio < _CLOSE:
        notes += (f"{name!r} grows by {ratio:.3f} times current x time: points are far apart, or not all there",)
    return notes


def _grown(counter: Floats, time_s: Floats, current_a: Floats, *, is_step: bool) -> tuple[float, float, int]:
    """By how much a counter grows (Ah), what current x time gives over the same points, and how many they are.

    A counter of charge in, or out, rests while the other flows: the points are those of the current's sign with
    which it grows. Where it falls it was reset.
    """
    grown = np.abs(counter[1:]) if is_step else np.diff(counter)
    usable = (grown >= 0) & (grown < np.inf) & (current_a[1:] * current_a[:-1] > 0)
    by_current = np.abs(current_a[1:] + current_a[:-1]) / 2 * np.diff(time_s) / _S_PER_H
    usable &= ~_set(grown, by_current, usable)
    counted = moved = 0.0
    points = 0
    for way in (usable & (current_a[1:] > 0), usable & (current_a[1:] < 0)):
        here = float(np.sum(grown[way]))
        if here > _RESTS * float(np.sum(grown[usable])):
            counted, moved, points = (
                counted + here,
                moved + float(np.sum(by_current[way])),
                points + int(np.sum(way)),
            )
    return counted, moved, points


def _set(grown: Floats, by_current: Floats, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a counter was set to another value: far above its usual step, and what the current gives for it."""
    growing = usable & (grown > 0) & (by_current > 0)
    if not bool(np.any(growing)):
        return np.zeros(grown.size, dtype=np.bool_)
    usual = float(np.median(grown[growing] / by_current[growing]))
    return (grown > _LEAP * usual * by_current) & (grown > _LEAP * float(np.median(grown[growing])))
