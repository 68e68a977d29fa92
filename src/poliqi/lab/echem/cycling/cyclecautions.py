"""What a reader has to know of the cycles of a record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from poliqi.lab.echem.chargeflow import flows
from poliqi.lab.echem.cycling.cycles import Cycle, Cycles, is_cut, usual_end_v
from poliqi.lab.echem.cycling.halfcycles import HalfCycle

__all__ = ["cautions"]

_EDGE_TOLD: Final = 0.001
_GAP: Final = 20.0
_GAP_TOLD: Final = 0.005
_MOST_TOLD: Final = 5
_OUTSIDE_TOLD: Final = 0.01


def cautions(found: Cycles) -> list[str]:
    """What a reader has to know of these numbers: each names cycle and rows."""
    record, told = found.record, list[str]()
    halves = [(cycle, half) for cycle in found.cycles for half in cycle.halves]
    only = [f"cycle {c.number} ({h.direction})" for c, h in halves if len(c.halves) == 1]
    if only:
        told.append(
            f"{' and '.join(only)} {'stand' if len(only) > 1 else 'stands'} without a partner: no efficiency"
        )
    if (cut := _cut(found)) is not None:
        told.append(cut)
    loose = [(c, h) for c, h in halves if h.edge_ah > _EDGE_TOLD * h.capacity_ah]
    if loose:
        cycle, half = max(loose, key=lambda one: one[1].edge_ah / one[1].capacity_ah)
        told.append(
            f"{len(loose)} half cycles begin or end between two rows that are far apart: up to "
            f"{100 * half.edge_ah / half.capacity_ah:.2g} % of the {half.direction} of cycle {cycle.number} "
            f"(rows {record.row(half.first)} to {record.row(half.last)}) is uncertain; let the cycler record where "
            "a step ends"
        )
    told += _gaps(found, halves)
    back = [(c, h) for c, h in halves if h.reverse_ah > _EDGE_TOLD * h.capacity_ah]
    if back:
        cycle, half = max(back, key=lambda one: one[1].reverse_ah)
        told.append(
            f"{len(back)} half cycles hold current of the other direction (cycle {cycle.number}: "
            f"{half.reverse_ah:.4g} Ah): their capacity is net"
        )
    largest = max(half.capacity_ah for _, half in halves)
    if found.found.outside_ah > _OUTSIDE_TOLD * largest:
        told.append(f"{found.found.outside_ah:.3g} Ah flowed in swings too small to be half cycles")
    return told


def _cut(found: Cycles) -> str | None:
    last = found.found.halves[-1]
    if not is_cut(found, last):
        return None
    usual = usual_end_v(found, last.direction)
    at = f"at {last.end_v:.4g} V" + ("" if usual is None else f" (others: {usual:.4g} V)")
    return f"the record ends {at} while current flows: the last {last.direction} may be unfinished"


def _gaps(found: Cycles, halves: Iterable[tuple[Cycle, HalfCycle]]) -> list[str]:
    """Stretches without a row while current flows, which hold a share of the charge that counts."""
    record, told, more = found.record, list[str](), 0
    for cycle, half in halves:
        charge, _, dt = flows(record, half.first + 1, half.last + 1, found.found.rest_current_a)
        if not dt.size:
            continue
        at = int(np.argmax(dt))
        share = abs(float(charge[at])) / 3600 / half.capacity_ah
        if dt[at] > _GAP * float(np.median(dt)) and share > _GAP_TOLD:
            more += 1
            told.append(
                f"no row for {dt[at]:.4g} s before row {record.row(half.first + 1 + at)} while current flows: "
                f"{100 * share:.2g} % of the {half.direction} of cycle {cycle.number} is interpolated"
            )
    return told[:_MOST_TOLD] + ([f"and {more - _MOST_TOLD} more gaps"] if more > _MOST_TOLD else [])
