"""Ridges of a frame: the places where it is highest across, with the direction across.

No geometry is assumed. Counts are made even in noise (F. J. Anscombe, Biometrika 35, 246 (1948)), missing pixels
filled from beside them, and the second derivatives of the smoothed frame searched for lines that are narrow one way
and long the other, to a fraction of a pixel (C. Steger, IEEE Trans. Pattern Anal. Mach. Intell. 20, 113 (1998)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.calibration.outside import package
from poliqi.lab.xray.calibration.panel import Panel

__all__ = ["Ridges", "find_ridges"]

Floats = NDArray[np.float64]

_SIDE: Final = 1200
"""Longer frames are binned until they fit."""
_SMOOTH: Final = 2.0
_FILL: Final = 6.0
_CLEAR: Final = 5.0
"""Deviations of the noise by which a ridge stands out."""
_LONG: Final = 0.5
_MOST: Final = 6000


@dataclass(frozen=True, slots=True)
class Ridges:
    """Points: places (m), unit directions across, strength in deviations of the noise; each of shape (n,)."""

    slow_m: Floats
    fast_m: Floats
    across_slow: Floats
    across_fast: Floats
    strength: Floats
    each: float = 1.0
    """How many ridge pixels of the frame each of them stands for."""


def find_ridges(counts: Floats, valid: NDArray[np.bool_], panel: Panel) -> Ridges:
    """Ridge points of a frame, at most 6000, evenly chosen. None are found where the frame has none."""
    bins = 1
    while max(panel.shape) / bins > _SIDE:
        bins += 1
    small, share = _binned(counts, valid, bins)
    is_good = share > 0.5
    level = np.sqrt(np.maximum(small, 0.0) + 0.375)
    filled, far = _filled(level, is_good)
    rows, columns, across, strength = _points(filled, far)
    each = float(bins)  # a line that is one pixel wide in bins was `bins` times as long
    if rows.size > _MOST:
        each *= rows.size / _MOST
        chosen = np.linspace(0, rows.size - 1, _MOST).astype(np.int64)
        rows, columns, across, strength = rows[chosen], columns[chosen], across[chosen], strength[chosen]
    slow, fast = panel.pixel_m
    direction = across / np.array([slow, fast])  # a gradient in pixels becomes one in metres
    direction /= np.hypot(direction[:, 0], direction[:, 1])[:, None]
    return Ridges(
        (rows + 0.5) * bins * slow, (columns + 0.5) * bins * fast, direction[:, 0], direction[:, 1], strength, each
    )


def _binned(counts: Floats, valid: NDArray[np.bool_], bins: int) -> tuple[Floats, Floats]:
    """Sums of bins x bins pixels, what is missing made up for, and the share of valid pixels of each."""
    held = np.where(valid, counts, 0.0)
    if bins == 1:
        return held, valid.astype(np.float64)
    rows, columns = (n // bins for n in counts.shape)
    cut = (slice(rows * bins), slice(columns * bins))
    shape = (rows, bins, columns, bins)
    share = valid[cut].reshape(shape).mean(axis=(1, 3))
    total = held[cut].reshape(shape).sum(axis=(1, 3))
    return total / np.maximum(share, 1e-9), share


def _filled(level: Floats, is_good: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Missing and hot pixels filled from beside them; where a point is far enough from either to be believed."""
    ndimage = package("scipy.ndimage")
    smooth: Any = ndimage.gaussian_filter
    around: Floats = ndimage.median_filter(np.where(is_good, level, 0.0), 3)
    is_hot = is_good & (level > around + 6.0) & (level > 1.5 * around)
    good = is_good & ~is_hot
    weight = smooth(good.astype(np.float64), _FILL, mode="nearest")
    near = smooth(np.where(good, level, 0.0), _FILL, mode="nearest") / np.maximum(weight, 1e-6)
    far = ndimage.uniform_filter(is_good.astype(np.float32), 7, mode="constant") > 0.999
    return np.where(good, level, near), far


def _points(level: Floats, far: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats, Floats]:
    smooth: Any = package("scipy.ndimage").gaussian_filter
    orders = {"r": (1, 0), "c": (0, 1), "rr": (2, 0), "cc": (0, 2), "rc": (1, 1)}
    d: dict[str, Floats] = {
        name: smooth(level, _SMOOTH, order=order, truncate=3.5) for name, order in orders.items()
    }
    half, difference = (d["rr"] + d["cc"]) / 2, (d["rr"] - d["cc"]) / 2
    root = np.hypot(difference, d["rc"])
    low, high = half - root, half + root
    noise = _noise(level, far) if far.any() else 0.0
    is_ridge = far & (low < -_CLEAR * max(noise, 1e-9)) & (np.abs(high) < _LONG * -low)
    r, c = np.nonzero(is_ridge)
    values = {name: array[r, c] for name, array in d.items()}
    # the eigenvector of the lower value: the direction in which the frame falls away on both sides
    turn = 0.5 * np.arctan2(2 * values["rc"], values["rr"] - values["cc"]) + np.pi / 2
    across = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    step = -(values["r"] * across[:, 0] + values["c"] * across[:, 1]) / low[r, c]
    on = np.abs(step) <= 0.6
    r, c, across, step = r[on], c[on], across[on], step[on]
    strength = -low[r, c] / max(noise, 1e-9)
    return r + step * across[:, 0], c + step * across[:, 1], across, strength


def _noise(level: Floats, far: NDArray[np.bool_]) -> float:
    """Deviation that the frame's noise gives to half the Laplacian of the smoothed frame.

    Told by what changes from each pixel to the next, which rings do not. For white noise of deviation s smoothed by
    a Gaussian of width w the Laplacian has the deviation s / (sqrt(2 pi) w^3).
    """
    twist = (level[1:, 1:] - level[1:, :-1] - level[:-1, 1:] + level[:-1, :-1])[far[1:, 1:]] / 2
    pixel = 1.4826 * float(np.median(np.abs(twist)))
    return pixel / (2 * np.sqrt(2 * np.pi) * _SMOOTH**3)
