"""What none beats: the Pareto front of several measures, and one of it to begin with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["front_of", "knee_of"]


def front_of(measures: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of (n, k) that no other row beats, ascending; less is better.

    A row beats another where it is nowhere greater and somewhere less. Equal rows do not beat each other.
    """
    kept: list[int] = []
    order: list[int] = np.lexsort(measures.T[::-1]).tolist()  # nothing later beats what is before
    for at in order:
        rows = measures[kept]
        beaten = (rows <= measures[at]).all(axis=1) & (rows < measures[at]).any(axis=1)
        if not beaten.any():
            kept.append(at)
    return np.sort(np.array(kept, np.int64))


def knee_of(measures: NDArray[np.float64]) -> int:
    """The row (of n, k) that is nearest to the best of each measure, each as a share of its range over all rows."""
    low, high = measures.min(axis=0), measures.max(axis=0)
    share = (measures - low) / np.where(high > low, high - low, 1.0)
    return int(np.argmin((share**2).sum(axis=1)))
