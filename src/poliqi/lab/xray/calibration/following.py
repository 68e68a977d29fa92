"""From a first stand to one that all rings agree with: inner rings first, then farther out, then the tilt.

A wrong tilt moves inner rings less than outer ones, so that inner rings find their own before outer ones are asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.calibration.fit import ALL, UPRIGHT, fit_stand
from poliqi.lab.xray.calibration.panel import Panel, Stand
from poliqi.lab.xray.calibration.ridges import Ridges

__all__ = ["Followed", "Sight", "follow", "sight"]

Floats = NDArray[np.float64]

_REACHES: Final = (3, 5, 8, 12, 20, 40, 10_000)
_LEAN_PRIOR: Final = 0.1
_NARROW_PX: Final = 1.5
_SHARPEST: Final = 400
"""Rings at most that are followed."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A stand; `score` says how well ridges agree with its rings, and is the root of their number where all do."""

    stand: Stand
    score: float


@dataclass(frozen=True, slots=True)
class Sight:
    """Every some-th valid pixel of a frame: how long each ring is that a detector sees."""

    slow_m: Floats
    fast_m: Floats
    each: float
    """How many pixels each of them stands for."""


def sight(panel: Panel, valid: NDArray[np.bool_]) -> Sight:
    """Some fifty thousand valid pixels."""
    step = max(1, int((valid.size / 50_000) ** 0.5))
    rows, columns = np.nonzero(valid[::step, ::step])
    slow, fast = panel.centres(rows * step, columns * step)
    return Sight(slow, fast, float(step * step))


def follow(start: Stand, ridges: Ridges, rings: Floats, seen: Sight, panel: Panel) -> Followed | None:
    """The stand that ridges lead to from `start`; None where they lead nowhere. `rings`: angles (rad), rising."""
    stand = start
    rings = rings[:_SHARPEST]
    sigma = np.full(ridges.slow_m.size, panel.mean_pixel_m / start.distance_m)
    has_tilt = start.tilt_rad > 0
    for reach in _REACHES:
        angles = stand.two_theta(ridges.slow_m, ridges.fast_m)
        inner = int(np.searchsorted(rings, float(np.min(angles))))
        nearest, off, room = _nearest(angles, rings)
        chosen = (nearest < inner + reach) & (np.abs(off) < 0.5 * room)
        if int(chosen.sum()) < 20:
            return None
        is_free = has_tilt or np.unique(nearest[chosen]).size >= 3
        fit = fit_stand(
            stand,
            ridges.slow_m[chosen],
            ridges.fast_m[chosen],
            rings[nearest[chosen]],
            sigma[chosen],
            ALL if is_free else UPRIGHT,
            _LEAN_PRIOR,
        )
        if fit is None:
            return None
        stand = fit.stand
        if inner + reach > rings.size and reach > _REACHES[2]:
            break
    return Followed(stand, _agreement(stand, ridges, rings, seen, panel))


def _nearest(angles: Floats, rings: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """For each angle the nearest ring, how far it is, and half the room between that ring and the next."""
    if rings.size == 1:
        return np.zeros(angles.size, np.int64), angles - rings[0], np.full(angles.size, rings[0] / 2)
    right = np.clip(np.searchsorted(rings, angles), 1, rings.size - 1)
    nearest = np.where(angles - rings[right - 1] < rings[right] - angles, right - 1, right)
    gaps = np.diff(rings)
    room = np.minimum(np.append(gaps, gaps[-1]), np.insert(gaps, 0, gaps[0])) / 2
    return nearest.astype(np.int64), angles - rings[nearest], room[nearest]


def _agreement(stand: Stand, ridges: Ridges, rings: Floats, seen: Sight, panel: Panel) -> float:
    """Sum of the shares of the rings on the detector that are ridges, by the root of the rings' number."""
    near = _NARROW_PX * panel.mean_pixel_m / stand.distance_m
    angles = np.sort(stand.two_theta(ridges.slow_m, ridges.fast_m))
    everywhere = np.sort(stand.two_theta(seen.slow_m, seen.fast_m))
    wide = 4 * near  # the length of a ring is told from more pixels than its ridge is
    found = (np.searchsorted(angles, rings + near) - np.searchsorted(angles, rings - near)) * ridges.each
    there = (np.searchsorted(everywhere, rings + wide) - np.searchsorted(everywhere, rings - wide)) * seen.each
    there = there / (8 * _NARROW_PX)  # the ring's length, in pixels
    is_seen = there > 30
    if not is_seen.any():
        return 0.0
    share = np.minimum(found[is_seen] / there[is_seen], 1.0)
    return float(share.sum() / np.sqrt(share.size))
