"""What a receiver says of itself: from counters of tags to health and background."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.link.health import Health
from poliqi.link.sync.ingest import Counters
from poliqi.link.sync.kernels import CELLS

__all__ = ["Reading", "background_per_slot", "health_between"]

_EDGE: Final = 0.4
"""Bins from the middle: cells beyond are taken as free of light."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The counters when slots below `slots` had gone by."""

    slots: int
    counters: Counters = field(repr=False)


def background_per_slot(before: Reading, now: Reading, gate: NDArray[np.int8], bins: int) -> float | None:
    """Probability of a click in a slot between two readings that no pulse explains, None where none went by.

    From the outer fifth of each bin, whose tags count for all accepted cells: tails of the light that reach there
    count as background.
    """
    if now.slots <= before.slots:
        return None
    arrivals = (now.counters.arrivals - before.counters.arrivals).astype(np.float64)
    edge = np.abs(_place(bins)) > _EDGE
    accepted = (gate >= 0).sum(axis=1)
    return min(1.0, float((arrivals[:, edge].mean(axis=1) * accepted).sum()) / (now.slots - before.slots))


def _place(bins: int) -> NDArray[np.float64]:
    """Where each cell stands from the middle of its bin, in bins: -1/2 to 1/2."""
    return (np.arange(CELLS) + 0.5) / CELLS * bins % 1.0 - 0.5


def health_between(before: Reading, now: Reading, gate: NDArray[np.int8], bins: int, slot_ps: float) -> Health:
    """Health over the slots between two readings; arrival is measured inside the gates, from the bin's middle."""
    clicks = now.counters.clicks - before.counters.clicks
    tags = (now.counters.arrivals - before.counters.arrivals).astype(np.float64)
    away_s = _place(bins) / bins * slot_ps * 1e-12
    arrival: list[float | None] = []
    total = square = 0.0
    for outcome in range(4):
        inside = np.where(gate == outcome, tags, 0.0).sum(axis=0)
        n = float(inside.sum())
        mean = float((inside * away_s).sum()) / n if n else None  # no BLAS: its threads wait by spinning
        arrival.append(mean)
        if mean is not None:
            total += n
            square += float((inside * (away_s - mean) ** 2).sum())
    key_0, key_1, test_0, test_1 = (int(n) for n in clicks)
    return Health(
        pulses=now.slots - before.slots,
        clicks=(key_0, key_1, test_0, test_1),
        doubles=now.counters.doubles - before.counters.doubles,
        arrival_s=(arrival[0], arrival[1], arrival[2], arrival[3]),
        arrival_spread_s=math.sqrt(square / total) if total else None,
    )
