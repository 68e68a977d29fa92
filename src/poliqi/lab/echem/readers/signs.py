"""Whether a current that charges is positive in a file: what the file says, held against what the voltage does.

Charge that flows into a cell raises its voltage, by its resistance at once and by its open-circuit voltage in time:
dV/dq > 0 and R > 0 hold for every cell whose voltage and current are counted in one direction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.readers.choosing import Chosen
from poliqi.lab.echem.readers.naming import Role
from poliqi.lab.echem.readers.options import Positive, ReadOptions
from poliqi.lab.echem.readers.table import Floats

__all__ = ["Evidence", "evidence", "signed"]

FLOWS: Final = 1e-3
"""Share of the largest current from which on a current is told apart from none."""
_JUMP: Final = 0.2
_CLEAR: Final = 0.3
_AGREES: Final = 0.9
_LEAST_V: Final = 2e-3
_DISCHARGE: Final = re.compile(r"d|d[_ ].*|.*dis.*|.*dchr?g.*", re.IGNORECASE)
_CHARGE: Final = re.compile(r"c|c[_ ].*|.*charge.*|.*chr?g.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """How far the voltage follows the current: `share` from -1 (against it, everywhere) to 1; 0 where it says
    nothing. `against` is the point where most is against it."""

    share: float
    moved_v: float
    against: int

    @property
    def agrees(self) -> bool | None:
        """Whether positive current charges; None where the data does not show it."""
        if self.moved_v < _LEAST_V or abs(self.share) < _CLEAR:
            return None
        return self.share > 0


def evidence(current_a: Floats, voltage_v: Floats) -> Evidence:
    """What the voltage says of the current's sign.

    Counted are the voltage's change over each run of current of one sign, and its jump wherever the current
    changes by more than a fifth of its largest.
    """
    most = float(np.max(np.abs(current_a), initial=0.0))
    if not most or current_a.size < 2:
        return Evidence(0.0, 0.0, 0)
    sign = np.sign(np.where(np.abs(current_a) > FLOWS * most, current_a, 0.0)).astype(np.int8)
    starts = np.concatenate(([0], np.flatnonzero(sign[1:] != sign[:-1]) + 1))
    ends = np.concatenate((starts[1:], [current_a.size])) - 1
    over_runs = (voltage_v[ends] - voltage_v[starts]) * sign[starts]
    step = current_a[1:] - current_a[:-1]
    jumps_at = np.flatnonzero(np.abs(step) > _JUMP * most)
    over_jumps = (voltage_v[jumps_at + 1] - voltage_v[jumps_at]) * np.sign(step[jumps_at])
    said = np.concatenate((over_runs, over_jumps))
    where = np.concatenate((starts, jumps_at + 1))
    moved = float(np.sum(np.abs(said)))
    return Evidence(float(np.sum(said)) / moved if moved else 0.0, moved, int(where[np.argmin(said)]))


def signed(
    chosen: Chosen, current_a: Floats, voltage_v: Floats, rows: NDArray[np.int64] | None, options: ReadOptions
) -> tuple[Floats, tuple[str, ...]]:
    """The current, positive where it charges, and whence its sign is known. Raises DataRefused."""
    table, notes = chosen.table, ()
    by_state = None if options.positive else _by_state(chosen, current_a)
    if by_state is not None:
        current_a, how = by_state
    else:
        positive, how = _convention(chosen, current_a, options)
        if positive is None:
            raise _unknown(chosen, evidence(current_a, voltage_v))
        if positive is Positive.DISCHARGE:
            current_a = -current_a
    found = evidence(current_a, voltage_v)
    if found.agrees is False:
        row = found.against + 1 if rows is None else int(rows[found.against])
        swapped = " (or the leads of the negative voltage were swapped)" if float(np.median(voltage_v)) < 0 else ""
        raise DataRefused(
            f"{table.path}: the current's sign is that {how}, and with it the voltage falls where the cell is "
            f"charged (most plainly from {table.row_word} {row} on); say what a positive current does: "
            f"--positive {'discharge' if options.positive is not Positive.DISCHARGE else 'charge'}{swapped}"
        )
    if found.agrees is None and bool(np.any(current_a)):
        notes = (f"the voltage does not show whether a positive current charges: its sign is that {how}",)
    return current_a, notes


def _convention(chosen: Chosen, current_a: Floats, options: ReadOptions) -> tuple[Positive | None, str]:
    if options.positive is not None:
        return options.positive, "given by --positive"
    if (by_words := _by_words(chosen, current_a)) is not None:
        return by_words, f"of the column {chosen.name(Role.STATE)!r}"
    if (by_counters := _by_counters(chosen, current_a)) is not None:
        names = f"{chosen.name(Role.CHARGED)!r} and {chosen.name(Role.DISCHARGED)!r}"
        return by_counters, f"by which the file counts {names}"
    if chosen.table.positive is not None:
        return chosen.table.positive, f"of {chosen.table.source_format}"
    if not bool(np.any(current_a)):
        return Positive.CHARGE, "of no current"
    return None, ""


def _by_counters(chosen: Chosen, current_a: Floats) -> Positive | None:
    """By the file's own counters of charge in and out, where both are there and agree."""
    charged, discharged = chosen.numbers(Role.CHARGED), chosen.numbers(Role.DISCHARGED)
    if charged is None or discharged is None:
        return None
    taken = given = 0.0
    for counter, way in ((charged, 1.0), (discharged, -1.0)):
        grown = np.diff(counter)
        along = way * grown * np.sign(current_a[1:])
        counted = (grown > 0) & np.isfinite(grown) & (current_a[1:] * current_a[:-1] > 0)
        taken += float(np.sum(along[counted]))
        given += float(np.sum(np.abs(along[counted])))
    if not given or abs(taken) < _AGREES * given:
        return None
    return Positive.CHARGE if taken > 0 else Positive.DISCHARGE


def _ways(chosen: Chosen) -> tuple[Sequence[str], NDArray[np.int64]] | None:
    """States, and 1 where they say charge, -1 for discharge, 0 else; None where no row says either."""
    states = chosen.words(Role.STATE)
    if states is None:
        return None
    known: dict[str, int] = {}
    ways = np.empty(len(states), dtype=np.int64)
    for at, state in enumerate(states):
        way = known.get(state)
        if way is None:
            way = known[state] = _way(state)
        ways[at] = way
    return (states, ways) if bool(np.any(ways)) else None


def _by_words(chosen: Chosen, current_a: Floats) -> Positive | None:
    """By a column that says charge or discharge, where currents carry a sign, and it agrees with that nearly
    everywhere."""
    found = _ways(chosen)
    if found is None:
        return None
    along = float(np.sum(found[1] * current_a))
    across = float(np.sum(np.abs(found[1] * current_a)))
    if not across or abs(along) < _AGREES * across:
        return None
    return Positive.CHARGE if along > 0 else Positive.DISCHARGE


def _by_state(chosen: Chosen, current_a: Floats) -> tuple[Floats, str] | None:
    """By a column that says charge or discharge of each row, where currents carry no sign."""
    if bool(np.any(current_a < 0)) or (found := _ways(chosen)) is None:
        return None
    states, ways = found
    most = float(np.max(current_a, initial=0.0))
    unsaid = (ways == 0) & (current_a > FLOWS * most)
    if bool(np.any(unsaid)):
        at = int(np.argmax(unsaid))
        table = chosen.table
        row = at + 1 if table.rows is None else int(table.rows[at])
        raise DataRefused(
            f"{table.path}: {table.row_word} {row}: {current_a[at]:.4g} A in the state {states[at]!r}, which does "
            "not say whether it charges; leave such rows out"
        )
    return np.where(ways == 0, current_a, current_a * ways), f"of the column {chosen.name(Role.STATE)!r}"


def _way(state: str) -> int:
    words = state.strip()
    if _DISCHARGE.fullmatch(words):
        return -1
    return 1 if _CHARGE.fullmatch(words) else 0


def _unknown(chosen: Chosen, found: Evidence) -> DataRefused:
    seems = {True: "charge", False: "discharge", None: ""}[found.agrees]
    hint = f" (by the voltage it would be {seems})" if seems else ""
    return DataRefused(
        f"{chosen.table.path}: nothing says whether a positive {chosen.name(Role.CURRENT)!r} charges or discharges "
        f"the cell; say it: --positive charge or --positive discharge{hint}"
    )
