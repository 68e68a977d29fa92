"""Residuals that follow each other: how far error bars widen because neighbours tell the same thing."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["widening"]

_MOST: Final = 0.9999
_FEWEST: Final = 8


def widening(*runs: NDArray[np.float64]) -> float:
    """What a variance is multiplied by, >= 1, for residuals (n,) in the order of the measurement.

    (1 + r) / (1 - r) with the autocorrelation r of neighbours: n points of an AR(1) process count as n (1 - r) /
    (1 + r) independent ones (Bayley and Hammersley, J. R. Stat. Soc. Suppl. 8, 184, 1946; large n). A model that
    is wrong leaves residuals of long waves, r near 1, and so gets error bars that own up to it. r within two
    standard errors of 0 (2 / sqrt(n)) counts as 0. Several runs are averaged by their length.
    """
    used = [run for run in runs if run.size >= _FEWEST]
    whole = sum(float(run @ run) for run in used)
    if not whole > 0:
        return 1.0
    neighbour = sum(float(run[1:] @ run[:-1]) for run in used) / whole
    points = sum(run.size for run in used)
    if neighbour < 2 / np.sqrt(points):
        return 1.0
    r = min(neighbour, _MOST)
    return (1 + r) / (1 - r)
