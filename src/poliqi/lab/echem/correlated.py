"""Residuals that follow each other: how far error bars widen because neighbours tell the same thing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.echem.fitting import Fitted, Verdict

__all__ = ["widened", "widening"]

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


def widened(fitted: Fitted, factor: float) -> Fitted:
    """Sigmas times the factor, >= 1; whom they then cover within a factor of e is not identified."""
    sigma = fitted.sigma * factor
    relative = sigma / np.abs(fitted.value)
    verdicts = tuple(
        Verdict(one.name, False, f"known to a factor of {math.exp(min(float(wide), 50.0)):.2g} only")
        if said.is_identified and one.is_log and wide >= 1
        else said
        for one, said, wide in zip(fitted.parameters, fitted.verdicts, relative, strict=True)
    )
    hidden = np.where([one.is_identified for one in verdicts], 1.0, math.nan)
    covariance = fitted.covariance * factor**2 * np.outer(hidden, hidden)
    return replace(fitted, sigma=sigma * hidden, covariance=covariance, verdicts=verdicts)
