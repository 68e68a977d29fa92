"""How much a curve scatters from point to point, where nobody wrote its sigma down."""

from __future__ import annotations

from typing import Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Curve, Step

__all__ = ["with_estimated_sigma"]

_WINDOW: Final = 15
_LEAST_POINTS: Final = 15
_TO_SIGMA: Final = 1.4826
_LEAST: Final = 1e-4


def with_estimated_sigma(curve: Curve) -> Curve:
    """Sigma from how far each point is from the straight line between its neighbours: median of 15 points around.

    Correlated errors and a sharply bent curve make it wrong; it is never below 1e-4 of the intensity. The step says
    so. Raises DataRefused below 15 points.
    """
    n = curve.x.size
    if n < _LEAST_POINTS:
        raise DataRefused(
            f"curve {curve.title!r} has no sigma, and with {n} points none can be estimated ({_LEAST_POINTS} are"
            " needed); add a third column"
        )
    x, y = curve.x, curve.intensity
    part = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    off = y[1:-1] - (1 - part) * y[:-2] - part * y[2:]
    scatter = np.abs(off) / np.sqrt(1 + part**2 + (1 - part) ** 2)
    padded = np.pad(scatter, (_WINDOW // 2 + 1, _WINDOW // 2 + 1), mode="reflect")
    sigma = _TO_SIGMA * np.median(np.lib.stride_tricks.sliding_window_view(padded, _WINDOW), axis=1)
    sigma = np.maximum(sigma, _LEAST * np.abs(y))
    sigma = np.where(sigma > 0, sigma, _LEAST * float(np.max(np.abs(y))))
    return curve.after(Step("sigma from scatter", {"window_points": _WINDOW}), curve.intensity, sigma)
