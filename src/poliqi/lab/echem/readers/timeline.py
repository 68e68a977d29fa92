"""Time of a record as it has to be: rising, without holes where current flows, its counters going on.

Each function names the row at which something is wrong, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.readers.options import ReadOptions, Repeated
from poliqi.lab.echem.readers.signs import FLOWS
from poliqi.lab.echem.readers.table import Floats

__all__ = ["check_counter", "check_gaps", "check_numbers", "kept_points"]

_APART_S: Final = 1e-6
_ROUNDED: Final = 0.1
_WIDER: Final = 20.0
_LEAST_GAP_S: Final = 60.0
Row = Callable[[int], str]
"""Says where a point stands, such as "row 17"."""


def kept_points(
    where: str, time_s: Floats, repeated: Repeated, row: Row
) -> tuple[Floats, NDArray[np.int64] | None, tuple[str, ...]]:
    """Times that rise, which points stay (None: all), and what was done. Raises DataRefused."""
    step = time_s[1:] - time_s[:-1]
    if bool(np.all(step > 0)):
        return time_s, None, ()
    if bool(np.any(step < 0)):
        at = int(np.argmax(step < 0)) + 1
        raise DataRefused(
            f"{where}: the time goes back at {row(at)}, from {time_s[at - 1]:.6g} s to {time_s[at]:.6g} s: two "
            "tests in one file, or a clock that was set; read each part as a file of its own"
        )
    same = step == 0
    count, first = int(np.sum(same)), int(np.argmax(same)) + 1
    if repeated is Repeated.REFUSE:
        more = f", and {count - 1} more do" if count > 1 else ""
        why = (
            "its times are rounded: --repeated spread puts such points at equal distances, first keeps one of each"
            if count > _ROUNDED * time_s.size
            else "cyclers write such points where a step begins: say what becomes of them by --repeated apart, "
            "first or last"
        )
        raise DataRefused(
            f"{where}: {row(first)} repeats the time of the point before, {time_s[first]:.6g} s{more}; {why}"
        )
    told = f"{count} points at the time of the point before (the first is {row(first)})"
    if repeated is Repeated.APART:
        return _apart(where, time_s, same, row), None, (f"{told} were each put 1 us later",)
    if repeated is Repeated.SPREAD:
        return _spread(time_s, same), None, (f"{told} were put at equal distances up to the next time",)
    keep = np.ones(time_s.size, dtype=np.bool_)
    if repeated is Repeated.FIRST:
        keep[1:] = ~same
    else:
        keep[:-1] = ~same
    kept = np.flatnonzero(keep)
    return time_s[kept], kept, (f"{told}: the {repeated.value} of each time was kept",)


def _apart(where: str, time_s: Floats, same: NDArray[np.bool_], row: Row) -> Floats:
    """Each a microsecond after the one before it."""
    point = np.arange(time_s.size)
    leader = np.maximum.accumulate(np.where(np.concatenate(([True], ~same)), point, 0))
    spread = time_s + (point - leader) * _APART_S
    if not bool(np.all(spread[1:] > spread[:-1])):
        at = int(np.argmin(spread[1:] > spread[:-1])) + 1
        raise DataRefused(
            f"{where}: no room for the repeated times before {row(at)}: points are less than 1 us apart; "
            "use --repeated first"
        )
    return spread


def _spread(time_s: Floats, same: NDArray[np.bool_]) -> Floats:
    """Points of one time at equal distances up to the next time; of the last, as far apart as those before."""
    starts = np.flatnonzero(np.concatenate(([True], ~same)))
    count = np.diff(np.append(starts, time_s.size))
    length = np.diff(time_s[starts])
    length = np.append(length, length[-1] if length.size else 1.0)
    point = np.arange(time_s.size) - np.repeat(starts, count)
    return time_s + point * np.repeat(length / count, count)


def check_numbers(where: str, number: Floats | None, options: ReadOptions, row: Row) -> tuple[str, ...]:
    """The cycler's own numbers of the points: where they skip, points are missing. Raises DataRefused."""
    if number is None or number.size < 2 or not bool(np.all(np.isfinite(number))):
        return ()
    step = np.diff(number)
    back = step <= 0
    if bool(np.any(back)):
        at = int(np.argmax(back)) + 1
        said = f"the number of the points goes from {number[at - 1]:.0f} to {number[at]:.0f} at {row(at)}"
        if options.keep_resets:
            return (f"{said}, which was let pass",)
        raise DataRefused(
            f"{where}: {said}: parts of a file are in the wrong place, or of two tests; export it again, or let it "
            "pass with --keep-resets"
        )
    skipped = step > 1
    if not bool(np.any(skipped)) or float(np.median(step)) != 1:  # a file with every tenth point is thinned, whole
        return ()
    at, lost = int(np.argmax(skipped)) + 1, int(np.sum(step[skipped] - 1))
    said = f"{lost} points are missing by their numbers, the first before {row(at)}"
    if options.keep_gaps:
        return (f"{said}, which was let pass",)
    raise DataRefused(f"{where}: {said}; export the file again, or let it pass with --keep-gaps")


def check_gaps(where: str, time_s: Floats, current_a: Floats, options: ReadOptions, row: Row) -> tuple[str, ...]:
    """Holes in time while current flows: longer than a minute, and 20 times the steps beside them and the usual.

    What flowed in a hole is not known. Raises DataRefused.
    """
    if time_s.size < 4:
        return ()
    step = time_s[1:] - time_s[:-1]
    if not bool(np.any(step > _LEAST_GAP_S)):
        return ()
    flows = np.abs(current_a) > FLOWS * float(np.max(np.abs(current_a), initial=0.0))
    through = flows[1:] & flows[:-1]
    if not bool(np.any(through)):
        return ()
    most = max(_LEAST_GAP_S, _WIDER * float(np.median(step[through])))
    holes = np.flatnonzero(through & (step > most))
    beside = np.concatenate((step[1:2], step, step[-2:-1]))
    holes = holes[step[holes] > _WIDER * np.maximum(beside[holes], beside[holes + 2])]
    if not holes.size:
        return ()
    at = int(holes[0]) + 1
    more = f" ({holes.size} such holes)" if holes.size > 1 else ""
    said = f"nothing is recorded for {step[at - 1]:.5g} s before {row(at)}, while current flows{more}"
    if options.keep_gaps:
        return (f"{said}: charge over it is taken from the points beside it",)
    raise DataRefused(f"{where}: {said}; what flowed is not known: split the file there, or say --keep-gaps")


def check_counter(
    where: str, name: str, counter: NDArray[np.int64] | None, options: ReadOptions, row: Row
) -> tuple[str, ...]:
    """A counter of cycles that falls: two tests in one file. Raises DataRefused."""
    if counter is None or counter.size < 2:
        return ()
    falls = counter[1:] < counter[:-1]
    if not bool(np.any(falls)):
        return ()
    at = int(np.argmax(falls)) + 1
    said = f"{name!r} falls from {counter[at - 1]} to {counter[at]} at {row(at)}"
    if options.keep_resets:
        return (f"{said}, which was let pass",)
    raise DataRefused(
        f"{where}: {said}: a counter was reset, or two tests are in one file; split it there, or say --keep-resets"
    )
