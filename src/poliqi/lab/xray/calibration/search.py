"""First stands of a detector from the ridges of a frame: where the beam is, and which distances the rings allow.

The lines across the ridges of rings meet in the beam, on the detector or off it: pairs of ridges propose crossings,
and the crossing that most lines pass wins (M. A. Fischler and R. C. Bolles, Commun. ACM 24, 381 (1981)). The share
of ridges at each radius around it then is a profile, which is held against the calibrant at two thousand distances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.calibration.outside import package
from poliqi.lab.xray.calibration.panel import Panel, Stand
from poliqi.lab.xray.calibration.ridges import Ridges

__all__ = ["DISTANCES_M", "Aim", "aims", "likely_distances", "sharpened"]

Floats = NDArray[np.float64]

DISTANCES_M: Final = (0.01, 40.0)
"""The distances that are tried, 2000 of them, evenly in their logarithm."""
_TRIED: Final = 2000
_PAIRS: Final = 600
_JUDGES: Final = 800
_PASSES: Final = 0.05
"""Sine of the angle by which a line may miss the beam, seen from its ridge."""
_REACH: Final = 3.0
"""How far off the detector the beam is looked for, in diagonals of it."""
_TURNS: Final = 8
_BACK: Final = -0.2
"""By how much of the stretch the beam lies beside the place where lines across rings meet: measured."""
_LEAN: Final = 0.08
"""The stretch at the farthest ridge that is begun with: some five degrees at wide angles."""
_BLUR_PX: Final = 3.0
_APART: Final = 0.015
"""Distances that differ by less lead to the same place."""
_STEEPEST: Final = 1.5
"""Two theta (rad) up to which rings are looked for."""
_NEAR: Final = 0.05
"""Beams nearer to each other than this, in diagonals, are one."""


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the beam is (m), and how the radii around it are stretched by a tilt: by 1 / (1 + stretch . u) at u."""

    slow_m: float
    fast_m: float
    stretch_slow: float = 0.0
    stretch_fast: float = 0.0

    def radii(self, slow_m: Floats, fast_m: Floats) -> Floats:
        """Radii (m) that an upright detector at the same distance would see: distance times tan(two theta)."""
        u, v = slow_m - self.slow_m, fast_m - self.fast_m
        return np.hypot(u, v) / np.maximum(1.0 + self.stretch_slow * u + self.stretch_fast * v, 0.05)

    def stand(self, distance_m: float) -> Stand:
        """The stand at this distance: the stretch is the lean over the distance."""
        lean = np.clip(np.array([self.stretch_slow, self.stretch_fast]) * distance_m, -0.5, 0.5)
        return Stand(distance_m, self.slow_m, self.fast_m, float(lean[0]), float(lean[1]))


def aims(ridges: Ridges, panel: Panel) -> list[Aim]:
    """Up to three places where lines across ridges meet, the likeliest first."""
    n = ridges.slow_m.size
    if n < 20:
        return []
    draw = np.random.default_rng(1)  # chooses what to try, decides nothing
    crossings = _crossings(ridges, panel, draw)
    judges = np.unique(np.linspace(0, n - 1, min(n, _JUDGES)).astype(np.int64))
    votes = np.array([_votes(ridges, judges, place).sum() for place in crossings])
    near = _NEAR * _diagonal_m(panel)
    found: list[Floats] = []
    for at in np.argsort(votes)[::-1]:
        if len(found) == 3 or votes[at] < 0.3 * votes.max():
            break
        if all(float(np.hypot(*(crossings[at] - other))) > near for other in found):
            found.append(crossings[at])
    settled = [Aim(*_settled(ridges, place)) for place in found]
    return [
        aim
        for k, aim in enumerate(settled)
        if all(math.hypot(aim.slow_m - o.slow_m, aim.fast_m - o.fast_m) > near / 10 for o in settled[:k])
    ]


def _diagonal_m(panel: Panel) -> float:
    return math.hypot(panel.shape[0] * panel.pixel_m[0], panel.shape[1] * panel.pixel_m[1])


def _crossings(ridges: Ridges, panel: Panel, draw: np.random.Generator) -> Floats:
    """Crossings of pairs of lines, shape (n, 2), not too far off the detector."""
    n = ridges.slow_m.size
    i, j = draw.integers(n, size=(2, 8 * _PAIRS))
    sine = ridges.across_slow[i] * ridges.across_fast[j] - ridges.across_fast[i] * ridges.across_slow[j]
    apart_slow, apart_fast = ridges.slow_m[j] - ridges.slow_m[i], ridges.fast_m[j] - ridges.fast_m[i]
    diagonal = _diagonal_m(panel)
    good = (np.abs(sine) > 0.1) & (np.hypot(apart_slow, apart_fast) > 0.02 * diagonal)
    i, j = i[good], j[good]
    along = (apart_slow[good] * ridges.across_fast[j] - apart_fast[good] * ridges.across_slow[j]) / sine[good]
    slow = ridges.slow_m[i] + along * ridges.across_slow[i]
    fast = ridges.fast_m[i] + along * ridges.across_fast[i]
    middle_slow, middle_fast = (n * side / 2 for n, side in zip(panel.shape, panel.pixel_m, strict=True))
    inside = np.hypot(slow - middle_slow, fast - middle_fast) < _REACH * diagonal
    return np.stack([slow, fast], axis=1)[inside][:_PAIRS]


def _votes(ridges: Ridges, which: NDArray[np.int64] | slice, place: Floats) -> Floats:
    """For each ridge, 1 where its line passes the place and falling to 0 where it misses it."""
    slow, fast = ridges.slow_m[which] - place[0], ridges.fast_m[which] - place[1]
    away = np.maximum(np.hypot(slow, fast), 1e-9)
    sine = (slow * ridges.across_fast[which] - fast * ridges.across_slow[which]) / away
    return 1.0 / (1.0 + (sine / _PASSES) ** 2) ** 2


def _settled(ridges: Ridges, place: Floats) -> tuple[float, float]:
    """The place that lies nearest to the lines that pass it, by least squares with the votes as weights."""
    a, b = -ridges.across_fast, ridges.across_slow
    offset = a * ridges.slow_m + b * ridges.fast_m
    for _ in range(8):
        away = np.hypot(ridges.slow_m - place[0], ridges.fast_m - place[1])
        weight = _votes(ridges, slice(None), place) / np.maximum(away, 1e-3 * away.max()) ** 2
        matrix = np.array([[np.sum(weight * p * q) for p in (a, b)] for q in (a, b)])
        if float(np.linalg.cond(matrix)) > 1e10:
            break
        place = np.linalg.solve(matrix, np.array([np.sum(weight * a * offset), np.sum(weight * b * offset)]))
    return float(place[0]), float(place[1])


def sharpened(aim: Aim, ridges: Ridges, panel: Panel) -> list[Aim]:
    """Aims under which the ridges gather at few radii, found without knowing distance or calibrant.

    A tilt moves the middle of outer rings, and the lines meet in a middle of all: several tilts are begun with.
    """
    minimize: Any = package("scipy.optimize").minimize
    thin = slice(None, None, max(1, ridges.slow_m.size // 2500))
    slow, fast = ridges.slow_m[thin], ridges.fast_m[thin]
    reach = float(np.hypot(slow - aim.slow_m, fast - aim.fast_m).max())
    unit = np.array([reach, reach, 1 / reach, 1 / reach])

    def blunt(x: Floats, width: float) -> float:
        radii = Aim(*(float(v) for v in x * unit)).radii(slow, fast) / panel.mean_pixel_m
        return -_contrast(radii, width) + 10.0 * max(0.0, math.hypot(x[2], x[3]) - 0.5)

    def descended(start: Floats, width: float, spread: float, calls: int) -> tuple[float, Floats]:
        corners = np.concatenate([start[None], start + np.diag(spread * np.array([0.5, 0.5, 1.0, 1.0]))])
        options = {"initial_simplex": corners, "maxfev": calls, "xatol": 1e-5, "fatol": 1e-6}
        answer: Any = minimize(blunt, start, args=(width,), method="Nelder-Mead", options=options)
        return float(answer.fun), np.asarray(answer.x, np.float64)

    middle = np.array([aim.slow_m, aim.fast_m, 0.0, 0.0]) / unit
    starts = [middle]
    for turn in np.arange(_TURNS) * 2 * np.pi / _TURNS:
        lean = _LEAN * np.array([np.cos(turn), np.sin(turn)])
        starts.append(middle + np.concatenate([_BACK * lean, lean]))
    coarse = [descended(start, 6.0, 0.04, 150) for start in starts]
    tried = {0, int(np.argmin([value for value, _ in coarse]))}
    fine = [descended(coarse[k][1], 2.5, 0.01, 250)[1] for k in sorted(tried)]
    return [Aim(*(float(v) for v in found * unit)) for found in fine]


def _contrast(radii_px: Floats, width: float) -> float:
    """How much more the radii gather in cells of `width` pixels than in ones eight times as wide."""
    kept = radii_px[radii_px < 50_000] / width
    weight = 1.0 / np.maximum(kept, 5.0)
    low = np.floor(kept).astype(np.int64)
    part = kept - low
    cells = np.bincount(low, weight * (1 - part), int(low.max()) + 10) + np.bincount(
        low + 1, weight * part, int(low.max()) + 10
    )
    broad = np.convolve(cells, np.full(8, 1 / 8), "same")
    return float(np.sum(cells * cells) / max(np.sum(broad * broad), 1e-300))


def likely_distances(
    ridges: Ridges, panel: Panel, valid: NDArray[np.bool_], aim: Aim, rings: Floats, most: int
) -> list[float]:
    """Distances (m) whose rings (angles, rad) agree best with the ridges around the beam, the best first."""
    profile, seen = _profile(ridges, panel, valid, aim)
    distances = np.geomspace(*DISTANCES_M, _TRIED)
    tangents = np.tan(rings[rings < _STEEPEST]) / panel.mean_pixel_m
    scores = np.array([_score(profile, seen, d * tangents) for d in distances])
    is_peak = (scores >= np.roll(scores, 1)) & (scores >= np.roll(scores, -1)) & (scores > 0)
    peaks = np.flatnonzero(is_peak)
    chosen: list[float] = []
    for k in peaks[np.argsort(scores[peaks])[::-1]]:
        distance = float(distances[k])
        if all(abs(distance / other - 1) > _APART for other in chosen):
            chosen.append(distance)
        if len(chosen) == most:
            break
    return chosen


def _profile(ridges: Ridges, panel: Panel, valid: NDArray[np.bool_], aim: Aim) -> tuple[Floats, NDArray[np.bool_]]:
    """Share of the pixels at each radius (in pixels) that are ridges, and which radii the detector sees."""
    smooth: Any = package("scipy.ndimage").gaussian_filter1d
    pixel = panel.mean_pixel_m
    step = max(1, max(panel.shape) // 500)
    rows, columns = np.nonzero(valid[::step, ::step])
    everywhere = aim.radii(*panel.centres(rows * step, columns * step)) / pixel
    size = int(min(everywhere.max(), 50_000)) + 2
    there = np.bincount(np.minimum(everywhere, size - 1).astype(np.int64), minlength=size) * float(step * step)
    radius = np.minimum(aim.radii(ridges.slow_m, ridges.fast_m) / pixel, size - 1)
    counts = np.bincount(radius.astype(np.int64), minlength=size).astype(np.float64)
    share = smooth(counts, _BLUR_PX) / np.maximum(smooth(there, _BLUR_PX), 20.0)
    seen = there > 0
    return np.where(
        seen, share - float(np.sum(share * seen)) / int(seen.sum()), 0.0
    ), seen  # rings everywhere explain nothing


def _score(profile: Floats, seen: NDArray[np.bool_], radii: Floats) -> float:
    """Cosine between the profile and lines at these radii, close ones taken as one; 0 for fewer than two."""
    at = np.unique((radii[radii < profile.size - 2] / _BLUR_PX).astype(np.int64)) * int(_BLUR_PX) + 1
    at = at[seen[at]]
    return float(profile[at].sum() / np.sqrt(at.size)) if at.size >= 2 else 0.0
