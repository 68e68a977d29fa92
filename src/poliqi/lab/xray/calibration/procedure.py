"""The whole calibration: ridges, aims, distances, rings followed, control points in three rounds, and a verdict."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.calibration.calibrants import Calibrant
from poliqi.lab.xray.calibration.controlpoints import Pieces, control_points, ring_pixels
from poliqi.lab.xray.calibration.fit import UPRIGHT, Fit, fit_stand
from poliqi.lab.xray.calibration.following import Followed, follow, sight
from poliqi.lab.xray.calibration.panel import Panel, Stand
from poliqi.lab.xray.calibration.result import Calibration, RunnerUp
from poliqi.lab.xray.calibration.ridges import Ridges, find_ridges
from poliqi.lab.xray.calibration.search import aims, likely_distances, sharpened
from poliqi.lab.xray.calibration.verdict import FLOOR_PX, LEAST_POINTS, LEAST_RINGS, Matched, doubts_of, verdict

__all__ = ["calibrate"]

Floats = NDArray[np.float64]

_ROUNDS: Final = 3
_DISTANCES: Final = 10
"""How many of the best distances are followed for each aim."""
_TRIALS: Final = 3
"""How many solutions are looked at closely, the best first, until one has rings."""
_APART: Final = 0.01
"""Distances that differ by less are the same solution."""
_TILT_KNOWN_RAD: Final = 0.0175
_LEAST_SHARE: Final = 0.25
"""Share of a ring's pieces that must be found for the ring to count."""
_WORST_PX: Final = 1.0
"""How far the pieces of a ring may scatter, where it is narrow."""
_APART_PX: Final = 0.3
"""How far the middle of a ring's pieces may lie from it after a fit, where it is narrow."""
_CLEAR: Final = 8.0
"""Deviations of the noise from which a ridge has to be explained."""
_ON_RING_PX: Final = 2.5
_REMEDY: Final = (
    "check --calibrant and --wavelength-A, mask what is no ring, expose longer, or move the detector so that at"
    " least two whole rings fall on it"
)


def calibrate(
    counts: Floats,
    valid: NDArray[np.bool_],
    panel: Panel,
    calibrant: Calibrant,
    wavelength_m: float,
    *,
    frames: int = 1,
    cautions: tuple[str, ...] = (),
) -> Calibration:
    """Where the detector stands. `counts` and `valid` have the panel's shape; `valid` is False where nothing is
    known, `cautions` are carried into the answer.

    Raises DataRefused where fewer than two rings are matched, and says why.
    """
    if counts.shape != panel.shape or valid.shape != panel.shape:
        raise ValueError(
            f"counts {counts.shape} and valid {valid.shape} are not of the panel's shape {panel.shape}"
        )
    if panel.mask is not None:
        valid = valid & ~panel.mask
    valid = valid & np.isfinite(counts)
    _refuse_nothing(counts, valid)
    rings = calibrant.two_theta(wavelength_m)
    if rings.size < LEAST_RINGS:
        raise DataRefused(
            f"calibrant {calibrant.name} has {rings.size} rings at {wavelength_m * 1e10:.5g} A, at least"
            f" {LEAST_RINGS} are needed; give the wavelength in angstrom, or another calibrant"
        )
    ridges = find_ridges(counts, valid, panel)
    found = _followed(ridges, panel, valid, rings)
    most, doubt = 0, ""
    for place, one in enumerate(found[:_TRIALS]):
        matched = _matched(counts, valid, panel, one.stand, rings)
        count = 0 if matched is None else int(matched.chosen.size)
        most = max(most, count)
        if matched is None or count < LEAST_RINGS:
            continue
        explained = _explained(matched, ridges, panel)
        doubts = doubts_of(matched, explained, calibrant.name)
        if not doubts:
            runner_up = _runner_up(found, place)
            return verdict(matched, explained, panel, calibrant, wavelength_m, runner_up, frames, cautions)
        doubt = doubt or doubts
    if doubt:
        raise DataRefused(f"{doubt}; {_REMEDY}")
    raise DataRefused(
        f"{most or 'no'} ring{'' if most == 1 else 's'} of {calibrant.name} matched at {wavelength_m * 1e10:.5g} A,"
        f" at least {LEAST_RINGS} are needed; {_REMEDY}"
    )


def _runner_up(found: list[Followed], place: int) -> RunnerUp | None:
    """The best of the other solutions."""
    others = [other for k, other in enumerate(found) if k != place]
    if not others:
        return None
    best = max(others, key=lambda other: other.score)
    return RunnerUp(best.stand.distance_m, best.score / max(found[place].score, 1e-9))


def _explained(matched: Matched, ridges: Ridges, panel: Panel) -> float:
    """Share of the clear ridges that lie on rings of the calibrant."""
    stand, rings = matched.fit.stand, matched.rings
    clear = ridges.strength > _CLEAR
    if not bool(clear.any()):
        return 1.0
    angles = stand.two_theta(ridges.slow_m[clear], ridges.fast_m[clear])
    right = np.clip(np.searchsorted(rings, angles), 1, max(rings.size - 1, 1))
    last = np.minimum(right, rings.size - 1)
    off = np.minimum(np.abs(angles - rings[right - 1]), np.abs(angles - rings[last]))
    pixel = panel.mean_pixel_m * np.cos(angles) ** 2 / stand.distance_m
    return float(np.mean(off < _ON_RING_PX * pixel))


def _refuse_nothing(counts: Floats, valid: NDArray[np.bool_]) -> None:
    if float(valid.mean()) < 0.02:
        raise DataRefused(
            f"{100 * float(valid.mean()):.2g} % of the pixels hold counts, at least 2 % must;"
            " the rest is masked, saturated or not a number: look at the mask and the frame"
        )
    held = counts[valid]
    if float(held.max()) == float(held.min()):
        raise DataRefused(f"every pixel holds {held[0]:g}: the frame is empty; was the shutter open?")


def _followed(ridges: Ridges, panel: Panel, valid: NDArray[np.bool_], rings: Floats) -> list[Followed]:
    """Solutions that differ in distance, the best first."""
    seen = sight(panel, valid)
    found: list[Followed] = []
    for aim in aims(ridges, panel):
        for one in (aim, *sharpened(aim, ridges, panel)):
            for distance in likely_distances(ridges, panel, valid, one, rings, _DISTANCES):
                followed = follow(one.stand(distance), ridges, rings, seen, panel)
                if followed is not None:
                    found.append(followed)
    distinct: list[Followed] = []
    for one in sorted(found, key=lambda f: -f.score):
        if all(abs(one.stand.distance_m / o.stand.distance_m - 1) > _APART for o in distinct):
            distinct.append(one)
    return distinct


def _seen(stand: Stand, panel: Panel, valid: NDArray[np.bool_], rings: Floats) -> NDArray[np.int64]:
    """Indices of the rings between the smallest and the largest angle that a valid pixel sees."""
    angles = stand.two_theta(*panel.lines())
    low = float(np.min(angles, where=valid, initial=np.inf))
    high = float(np.max(angles, where=valid, initial=0.0))
    return np.flatnonzero((rings > low) & (rings < high))


def _matched(counts: Floats, valid: NDArray[np.bool_], panel: Panel, stand: Stand, rings: Floats) -> Matched | None:
    """Three rounds of control points and fits; None where hardly anything is found."""
    indices = _seen(stand, panel, valid, rings)
    if indices.size == 0:
        return None
    rings = rings[indices]
    pixels = ring_pixels(counts, valid, panel, stand, rings)
    answer: Matched | None = None
    for turn in range(_ROUNDS):
        pieces = control_points(pixels, stand, rings, panel)
        pixel = panel.mean_pixel_m * np.cos(rings) ** 2 / stand.distance_m
        points, chosen = _chosen(pieces, pixel, stand, _WORST_PX if turn == 0 else _APART_PX)
        if chosen.size == 0:
            return None
        fit, has_tilt = _fitted(pieces, points, pixel, stand)
        if fit is None:
            return None
        stand = fit.stand
        answer = Matched(fit, pieces, points, chosen, has_tilt, indices, rings)
    return answer


def _chosen(
    pieces: Pieces, pixel: Floats, stand: Stand, apart_px: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which control points count: those of rings of which enough was found, agreeing among themselves."""
    off = (stand.two_theta(pieces.slow_m, pieces.fast_m) - pieces.angle) / pixel[pieces.ring]
    counts = np.bincount(pieces.ring, minlength=pixel.size)
    kept: list[int] = []
    for k in np.flatnonzero((counts >= LEAST_POINTS) & (counts >= _LEAST_SHARE * pieces.seen)):
        own = off[pieces.ring == k]
        middle, wide = float(np.median(own)), float(pieces.width[k] / pixel[k])
        scatter = 1.4826 * float(np.median(np.abs(own - middle)))
        if scatter < max(_WORST_PX, 0.5 * wide) and abs(middle) < apart_px * max(1.0, 0.5 * wide):
            kept.append(int(k))
    chosen = np.array(kept, np.int64)
    return np.isin(pieces.ring, chosen), chosen


def _fitted(pieces: Pieces, points: NDArray[np.bool_], pixel: Floats, stand: Stand) -> tuple[Fit | None, bool]:
    """The fit with the tilt where the rings tell it to a degree, else of an upright detector."""
    slow, fast, ring = pieces.slow_m[points], pieces.fast_m[points], pieces.ring[points]
    sigma = np.hypot(pieces.sigma[points], FLOOR_PX * pixel[ring])
    fit = fit_stand(stand, slow, fast, pieces.angle[points], sigma)
    if fit is not None and float(np.sqrt(np.diag(fit.covariance)[3:]).max()) < _TILT_KNOWN_RAD:
        return fit, True
    upright = Stand(stand.distance_m, stand.beam_slow_m, stand.beam_fast_m)
    return fit_stand(upright, slow, fast, pieces.angle[points], sigma, UPRIGHT), False
