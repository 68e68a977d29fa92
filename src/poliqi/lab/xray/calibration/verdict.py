"""What a match amounts to: rings, residuals, a check that does not trust the fit's own sigma, cautions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.calibration.calibrants import Calibrant
from poliqi.lab.xray.calibration.controlpoints import Pieces
from poliqi.lab.xray.calibration.fit import ALL, UPRIGHT, Fit, fit_stand
from poliqi.lab.xray.calibration.panel import Panel
from poliqi.lab.xray.calibration.result import Calibration, Ring, RunnerUp

__all__ = ["FLOOR_PX", "LEAST_POINTS", "LEAST_RINGS", "Matched", "doubts_of", "verdict"]

Floats = NDArray[np.float64]

LEAST_RINGS: Final = 2
LEAST_POINTS: Final = 5
"""Pieces of a ring that must be found for the ring to count."""
FLOOR_PX: Final = 0.01
"""Added to every control point's sigma: no detector's pixels are placed better."""
_AMBIGUOUS: Final = 0.85
_SECTORS: Final = 8
_DISAGREE: Final = 3.0
_MISSED: Final = 0.4
"""Rings not found between the matched ones, as a share of those, from which the calibrant is another."""
_EXPLAINED: Final = 0.6
_WELL_EXPLAINED: Final = 0.85


@dataclass(frozen=True, slots=True)
class Matched:
    """A fit and the control points it rests on. `indices` are the calibrant's rings that the detector sees, `rings`
    their angles (rad); `chosen` are places in `indices` of rings that count, `points` which control points do.
    """

    fit: Fit
    pieces: Pieces
    points: NDArray[np.bool_]
    chosen: NDArray[np.int64]
    has_tilt: bool
    indices: NDArray[np.int64]
    rings: Floats


def _missed(best: Matched) -> tuple[int, ...]:
    inner = range(int(best.chosen.max()))
    indices = (k for k in inner if k not in best.chosen and best.pieces.seen[k] >= LEAST_POINTS)
    return tuple(int(best.indices[k]) + 1 for k in indices)


def doubts_of(best: Matched, explained: float, name: str) -> str:
    """Why a match is none after all, or nothing. `explained`: share of the frame's ridges that lie on rings."""
    count, missed = int(best.chosen.size), _missed(best)
    if len(missed) > max(1.0, _MISSED * count):  # one may hide behind a beam stop
        return (
            f"{count} rings of {name} matched, but {len(missed)} between them were not found"
            f" ({', '.join(map(str, missed[:8]))}): this is another calibrant or wavelength"
        )
    if explained < _EXPLAINED:
        return (
            f"{count} rings of {name} matched, but {100 * (1 - explained):.0f} % of the frame's ridges lie on no"
            " ring of it: this is another calibrant or wavelength"
        )
    return ""


def verdict(
    best: Matched,
    explained: float,
    panel: Panel,
    calibrant: Calibrant,
    wavelength_m: float,
    runner_up: RunnerUp | None,
    frames: int,
    cautions: tuple[str, ...],
) -> Calibration:
    """The calibration that a match is."""
    stand, pieces, seen = best.fit.stand, best.pieces, best.indices
    pixel = panel.mean_pixel_m * np.cos(best.rings) ** 2 / stand.distance_m
    ring = pieces.ring[best.points]
    slow, fast = pieces.slow_m[best.points], pieces.fast_m[best.points]
    off = best.fit.residuals / pixel[ring]
    told = tuple(
        Ring(
            int(seen[k]) + 1,
            float(calibrant.spacings_a[seen[k]]),
            float(best.rings[k]),
            int((ring == k).sum()),
            int(pieces.seen[k]),
            _rms(off[ring == k]),
            float(pieces.width[k] / pixel[k]),
        )
        for k in best.chosen
    )
    answer = Calibration(
        panel=panel,
        calibrant=calibrant.name,
        wavelength_m=wavelength_m,
        stand=stand,
        stand_covariance=best.fit.covariance,
        check_covariance=_check(best, slow, fast, pixel),
        has_tilt=best.has_tilt,
        rings=told,
        missed=_missed(best),
        explained=explained,
        rms_px=_rms(off),
        points=np.stack([slow, fast, seen[ring] + 1.0, off], axis=1).astype(np.float64),
        runner_up=runner_up,
        frames=frames,
    )
    return replace(answer, cautions=(*cautions, *_cautions(answer)))


def _rms(off: Floats) -> float:
    """Root of the mean square, without what lies beyond five deviations (the fit lets go of it, too)."""
    limit = 5 * 1.4826 * float(np.median(np.abs(off)))
    return float(np.sqrt(np.mean(off[np.abs(off) <= max(limit, 1e-12)] ** 2)))


def _check(best: Matched, slow: Floats, fast: Floats, pixel: Floats) -> Floats:
    """Covariance of the five numbers from leaving out each eighth of the control points, by azimuth (jackknife)."""
    ring, stand = best.pieces.ring[best.points], best.fit.stand
    sigma = np.hypot(best.pieces.sigma[best.points], FLOOR_PX * pixel[ring])
    order = np.argsort(stand.azimuth(slow, fast))
    sector = np.empty(order.size, np.int64)
    sector[order] = np.arange(order.size) * _SECTORS // order.size
    left: list[Floats] = []
    for k in range(_SECTORS):
        kept = sector != k
        angle = best.pieces.angle[best.points][kept]
        fit = fit_stand(stand, slow[kept], fast[kept], angle, sigma[kept], ALL if best.has_tilt else UPRIGHT)
        if fit is not None:
            left.append(fit.stand.vector)
    if len(left) < _SECTORS:
        return best.fit.covariance
    off = np.array(left) - np.mean(left, axis=0)
    return (_SECTORS - 1) / _SECTORS * np.einsum("ki,kj->ij", off, off)


def _cautions(found: Calibration) -> list[str]:
    said: list[str] = []
    runner_up = found.runner_up
    if runner_up is not None and runner_up.share > _AMBIGUOUS:
        said.append(
            f"ambiguous: a distance of {runner_up.distance_m * 1e3:.5g} mm agrees"
            f" {100 * runner_up.share:.0f} % as well; check it against a ruler, or take a frame with more rings"
        )
    if len(found.rings) == LEAST_RINGS:
        said.append(
            "two rings only: distance and wavelength are right if the calibrant is; more rings would check it"
        )
    if found.missed:
        said.append(
            f"rings {', '.join(map(str, found.missed[:8]))} should be there and were not found: is it"
            f" {found.calibrant}?"
        )
    if found.explained < _WELL_EXPLAINED:
        said.append(
            f"{100 * (1 - found.explained):.0f} % of the frame's ridges lie on no ring of {found.calibrant}: mask"
            " what is none, and make sure of the calibrant"
        )
    if not found.has_tilt:
        said.append(
            "the rings do not tell the tilt to a degree: it is held at zero, and the uncertainties are those of an"
            " upright detector"
        )
    rows, columns = found.panel.shape
    x, y = found.beam_px
    if not (0 <= x <= columns and 0 <= y <= rows):
        said.append(f"the beam misses the detector: it would meet its plane at x {x:.1f}, y {y:.1f} px")
    own, check = (
        np.sqrt(np.diag(c)[: 5 if found.has_tilt else 3]) for c in (found.stand_covariance, found.check_covariance)
    )
    if bool(np.any(check > _DISAGREE * own)):
        said.append(
            f"parts of the rings disagree by {float(np.max(check / own)):.1f} times what counting allows, and"
            " the uncertainties are those of the disagreement; modules out of line, a bent detector or a wrong mask"
            " do that"
        )
    return said
