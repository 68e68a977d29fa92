"""How much a curve scatters from point to point, where nobody wrote it down, and where it came from counts."""

from __future__ import annotations

from typing import Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Curve, Step

__all__ = ["with_estimated_sigma", "with_expected_sigma"]

_COUNTED: Final = "azimuthal integration"
_EXPECTED: Final = "sigma of neighbours"
_NEIGHBOURS: Final = 11
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


def with_expected_sigma(curve: Curve) -> Curve:
    """Of a curve that was counted: sigma^2 as its mean over 11 neighbours, so that it is that of expected counts.

    A sigma that is the root of a point's own counts is small where the point happens to be low: weights 1/sigma^2
    then pull every fit down (Neyman's chi-square), by about one count a point. The step says so; a curve that was
    not counted, or has the step, comes back as it is. Points with a sigma of 0 keep it and are not averaged over.
    """
    names = {step.name for step in curve.steps}
    if _COUNTED not in names or _EXPECTED in names:
        return curve
    known = curve.sigma > 0
    if not bool(np.any(known)):
        return curve
    squares = np.pad(curve.sigma[known] ** 2, _NEIGHBOURS // 2, mode="edge")
    sigma = np.zeros_like(curve.sigma)
    sigma[known] = np.sqrt(np.lib.stride_tricks.sliding_window_view(squares, _NEIGHBOURS).mean(axis=1))
    return curve.after(Step(_EXPECTED, {"points": _NEIGHBOURS}), curve.intensity, sigma)
