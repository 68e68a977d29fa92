"""State of charge by the charge that flows: only where its zero and its capacity are stated or seen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.chargeflow import REST_SHARE, flows
from poliqi.lab.echem.cycling.halfcycles import Direction, half_cycles
from poliqi.lab.echem.record import CyclingRecord

__all__ = ["StateOfCharge", "soc_of_window", "soc_stated"]

_NEAR_V: Final = 0.005


@dataclass(frozen=True, slots=True)
class StateOfCharge:
    """0 where the cell has taken `empty_ah` since the record's start, 1 at `empty_ah + capacity_ah`."""

    empty_ah: float
    capacity_ah: float
    source: str

    def at(self, charge_ah: float) -> float:
        """State of charge, 1 for full."""
        return (charge_ah - self.empty_ah) / self.capacity_ah


def soc_stated(capacity_ah: float, start: float) -> StateOfCharge:
    """By a capacity and the state of charge at the record's start. Raises DataRefused."""
    if not capacity_ah > 0 or not 0 <= start <= 1:
        raise DataRefused(
            f"capacity {capacity_ah} Ah, start {start}: give a capacity above 0 and a start of 0 to 1"
        )
    return StateOfCharge(
        -start * capacity_ah, capacity_ah, f"{capacity_ah:g} Ah and {100 * start:g} % at the start, as stated"
    )


def soc_of_window(
    record: CyclingRecord, low_v: float, high_v: float, asked_s: Sequence[float] = ()
) -> StateOfCharge:
    """Full where a charge ends at `high_v`, empty where a discharge ends at `low_v`, next to each other.

    Of several such pairs it is the one with the most of the times `asked_s` within, then a discharge, then the
    first: what is counted over many cycles drifts. Raises DataRefused where the record does not go from one to the
    other.
    """
    if not low_v < high_v:
        raise DataRefused(f"window {low_v} to {high_v} V: the first has to be the lower one")
    rest = REST_SHARE * float(np.abs(record.current_a).max())
    moved, _, _ = flows(record, 0, record.current_a.size, rest)
    charge = np.cumsum(moved) / 3600
    full = np.flatnonzero((record.current_a > rest) & (record.voltage_v >= high_v - _NEAR_V))
    empty = np.flatnonzero((record.current_a < -rest) & (record.voltage_v <= low_v + _NEAR_V))
    if not full.size or not empty.size:
        missing = f"charge reaches {high_v:g} V" if not full.size else f"discharge reaches {low_v:g} V"
        raise DataRefused(
            f"{record.title!r}: no {missing} (it goes from {record.voltage_v.min():.4g} to "
            f"{record.voltage_v.max():.4g} V); state a capacity and the state of charge at the start instead"
        )
    ends: list[int | None] = []
    for half in half_cycles(record).halves:  # a pulse that touches a limit ends none
        way = 1 if half.direction is Direction.CHARGE else -1
        among = full if way > 0 else empty
        among = among[(among >= half.first) & (among <= half.last)]
        ends.append(int(among[np.argmax(way * charge[among])]) if among.size else None)
    pairs = [(a, b) for a, b in itertools.pairwise(ends) if a is not None and b is not None]
    if not pairs:
        raise DataRefused(
            f"{record.title!r}: no charge to {high_v:g} V and discharge to {low_v:g} V follow each other; state a "
            "capacity and the state of charge at the start instead"
        )
    pair = max(pairs, key=lambda ab: (_count(asked_s, record.time_s[list(ab)]), record.current_a[ab[0]] > 0))
    top, bottom = sorted(pair, key=lambda point: record.current_a[point], reverse=True)
    most, least = float(charge[top]), float(charge[bottom])
    if not most > least:
        raise DataRefused(
            f"{record.title!r}: at {high_v:g} V it holds no more charge than at {low_v:g} V; is the window right?"
        )
    return StateOfCharge(
        least,
        most - least,
        f"{high_v:g} V full, {low_v:g} V empty: {most - least:.4g} Ah between rows {record.row(pair[0])} and "
        f"{record.row(pair[1])}",
    )


def _count(asked_s: Sequence[float], ends_s: NDArray[np.float64]) -> int:
    return sum(bool(ends_s[0] <= one <= ends_s[1]) for one in asked_s)
