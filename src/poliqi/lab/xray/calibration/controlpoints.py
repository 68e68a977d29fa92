"""Control points: how far each piece of each ring lies from where a stand says, with its sigma.

A ring is cut into pieces along the azimuth. In each piece the counts are a Gaussian across the ring on a straight
background; how much of its derivative must be added tells the shift. Linear least squares, all pieces at once; hot
pixels are let go in a second and third look, where the noise is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.calibration.panel import Panel, Stand

__all__ = ["Pieces", "RingPixels", "control_points", "ring_pixels"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PIECES: Final = 180
"""Pieces of a whole ring at most."""
_ARC_PX: Final = 14.0
_WINDOW_PX: Final = 14.0
_LOOKS: Final = 3
_FAR: Final = 5.0
_HOT: Final = 3.0
"""How far a pixel's square root may lie above its neighbours' in a ring's profile."""
_MOST_PIXELS: Final = 1_200_000
_CLEAR: Final = 4.0
"""Deviations by which a piece must stand out of its background."""
_SHARP: Final = 2.2
"""How many of its own deviations a ring must have of room on either side."""


@dataclass(frozen=True, slots=True)
class RingPixels:
    """Valid pixels near rings: place (m), counts, which ring (index), which piece of it; each of shape (n,).

    `room` is, for each ring, the angle (rad) on either side that is its own.
    """

    slow_m: Floats
    fast_m: Floats
    counts: Floats
    ring: Ints
    piece: Ints
    room: Floats


@dataclass(frozen=True, slots=True)
class Pieces:
    """Control points: the place (m) sees `angle` (rad, give or take `sigma`) if the ring is where its counts are.

    `ring` is the ring's index. `width` (rad), for each ring: its standard deviation, not a number where it has no
    peak. `seen`, for each ring: how many of its pieces the detector shows.
    """

    slow_m: Floats
    fast_m: Floats
    angle: Floats
    sigma: Floats
    ring: Ints
    width: Floats
    seen: Ints


def ring_pixels(counts: Floats, valid: NDArray[np.bool_], panel: Panel, stand: Stand, rings: Floats) -> RingPixels:
    """The pixels that `control_points` looks at, chosen once by a stand that is right to a pixel or two."""
    slow, fast = panel.lines()
    angles = stand.two_theta(slow, fast)
    pixel = panel.mean_pixel_m * np.cos(rings) ** 2 / stand.distance_m
    gaps = np.concatenate([[rings[0]], np.diff(rings), [np.inf]])
    room = np.minimum(np.minimum(gaps[:-1], gaps[1:]) * 0.5, _WINDOW_PX * pixel)
    edges = np.stack([rings - room, rings + room], axis=1).ravel()
    place = np.searchsorted(edges, angles.ravel())
    inside = ((place % 2) == 1) & valid.ravel()
    at = np.flatnonzero(inside)
    ring = place[at] // 2
    rows, columns = np.divmod(at, panel.shape[1])
    y, x = panel.centres(rows, columns)
    around = stand.azimuth(y, x) / (2 * np.pi) % 1.0
    radius_px = stand.distance_m * np.tan(np.minimum(rings, 1.5)) / panel.mean_pixel_m
    pieces = np.clip(2 * np.pi * radius_px / _ARC_PX, 12, PIECES).astype(np.int64)
    piece = np.minimum((around * pieces[ring]).astype(np.int64), PIECES - 1)
    thin = -(-at.size // _MOST_PIXELS)
    if thin > 1:  # fewer pieces of each ring, evenly; rings begin at different ones
        kept = (piece + ring) % thin == 0
        at, ring, piece, y, x = at[kept], ring[kept], piece[kept], y[kept], x[kept]
    return RingPixels(y, x, counts.ravel()[at], ring, piece, room)


def control_points(pixels: RingPixels, stand: Stand, rings: Floats, panel: Panel) -> Pieces:
    """The control points of all rings that have a peak, seen from `stand`."""
    off = stand.two_theta(pixels.slow_m, pixels.fast_m) - rings[pixels.ring]
    width = _widths(pixels, off, stand, rings, panel)
    is_sharp = np.isfinite(width) & (pixels.room > _SHARP * width)
    count = PIECES * rings.size
    group = pixels.ring * PIECES + pixels.piece
    seen = np.bincount(np.unique(group) // PIECES, minlength=rings.size)
    used = is_sharp[pixels.ring] & (np.abs(off) < pixels.room[pixels.ring])
    used &= np.abs(off) < 5 * np.where(is_sharp, width, 0.0)[pixels.ring]
    held = np.flatnonzero(used)
    if held.size == 0:
        nothing = np.zeros(0)
        return Pieces(nothing, nothing, nothing, nothing, np.zeros(0, np.int64), width, seen)
    ring, group, counts = pixels.ring[held], group[held], pixels.counts[held]
    z = off[held] / width[ring]
    bell = np.exp(-0.5 * z * z)
    basis = (bell, z * bell, np.ones_like(z), z)
    weight = np.ones_like(z)
    solved = np.zeros((count, 4))
    inverse = np.zeros((count, 4, 4))
    for look in range(_LOOKS):
        solved, inverse = _solved(basis, counts, weight, group, count)
        model = np.zeros_like(z)
        for k in range(4):
            model += solved[group, k] * basis[k]
        variance = np.maximum(model, 0.25) + 1e-3 * np.maximum(solved[group, 2], 0.0)
        residual = counts - model
        gain = (
            float(np.median(residual * residual / variance)) / 0.4549
        )  # the median of chi squared with one degree
        weight = 1.0 / (variance * max(gain, 1e-12))
        if look:
            weight[residual * residual * weight > _FAR * _FAR] = 0.0
        else:
            weight[counts > 8 * np.maximum(model, 4.0)] = 0.0
    return _told(pixels, held, solved, inverse, bell, group, width, seen, stand)


def _solved(
    basis: tuple[Floats, ...], counts: Floats, weight: Floats, group: Ints, count: int
) -> tuple[Floats, Floats]:
    """Weighted least squares in each group: coefficients (count, 4) and covariances, zero where there are none."""
    normal = np.zeros((count, 4, 4))
    right = np.zeros((count, 4))
    for i in range(4):
        weighted = weight * basis[i]
        right[:, i] = np.bincount(group, weighted * counts, count)
        for j in range(i + 1):
            normal[:, i, j] = normal[:, j, i] = np.bincount(group, weighted * basis[j], count)
    scale = np.sqrt(np.maximum(np.einsum("nii->ni", normal), 1e-300))
    even = normal / (scale[:, :, None] * scale[:, None, :])
    good = np.linalg.det(even) > 1e-4
    inverse = np.zeros_like(normal)
    inverse[good] = np.linalg.inv(even[good]) / (scale[good][:, :, None] * scale[good][:, None, :])
    return np.einsum("nij,nj->ni", inverse, right), inverse


def _told(
    pixels: RingPixels,
    held: Ints,
    solved: Floats,
    inverse: Floats,
    bell: Floats,
    group: Ints,
    width: Floats,
    seen: Ints,
    stand: Stand,
) -> Pieces:
    count = solved.shape[0]
    height, slope = solved[:, 0], solved[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = slope / height  # in widths
        sigma = np.sqrt(inverse[:, 1, 1]) / height
        clear = height / np.sqrt(inverse[:, 0, 0])
    good = (inverse[:, 0, 0] > 0) & (height > 0) & (clear > _CLEAR) & (np.abs(shift) < 1.0)
    total = np.maximum(np.bincount(group, bell, count), 1e-300)
    slow = np.bincount(group, bell * pixels.slow_m[held], count) / total
    fast = np.bincount(group, bell * pixels.fast_m[held], count) / total
    at = np.flatnonzero(good)
    ring = at // PIECES
    angle = stand.two_theta(slow[at], fast[at]) - shift[at] * width[ring]
    return Pieces(slow[at], fast[at], angle, sigma[at] * width[ring], ring, width, seen)


def _widths(pixels: RingPixels, off: Floats, stand: Stand, rings: Floats, panel: Panel) -> Floats:
    """Standard deviation (rad) of each ring, out of its width at half height over the whole ring."""
    cell = 0.5 * panel.mean_pixel_m * np.cos(rings) ** 2 / stand.distance_m
    cells = 2 * int(np.ceil(_WINDOW_PX / 0.5)) + 5
    place = np.clip(np.rint(off / cell[pixels.ring]).astype(np.int64) + cells // 2, 0, cells - 1)
    group = pixels.ring * cells + place
    size = rings.size * cells
    there = np.bincount(group, minlength=size)
    root = np.sqrt(np.maximum(pixels.counts, 0.0))  # its noise is half a unit wherever counts are counts
    for _ in range(2):  # a hot pixel among hundreds is cut down to the others
        root = np.minimum(root, (np.bincount(group, root, size) / np.maximum(there, 1))[group] + _HOT)
    mean = np.bincount(group, root, size) / np.maximum(there, 1)
    mean, there = mean.reshape(rings.size, cells), there.reshape(rings.size, cells)
    answer = np.full(rings.size, np.nan)
    for k in range(rings.size):
        known = np.flatnonzero(there[k] >= 5)
        if known.size >= 7:
            profile = mean[k, known] ** 2
            answer[k] = _half_width((known * 0.5).astype(np.float64), profile) / 2.3548
    known = np.isfinite(answer)
    if known.any():  # noise makes single cells peaks: no ring is much narrower than its fellows
        answer[known] = np.maximum(answer[known], max(0.5, 0.7 * float(np.median(answer[known]))))
    return answer * cell / 0.5


def _half_width(place: Floats, profile: Floats) -> float:
    """Full width at half height above the line through both ends' lower parts; not a number without a peak."""
    third = max(2, place.size // 4)
    low, high = float(np.mean(np.sort(profile[:third])[:2])), float(np.mean(np.sort(profile[-third:])[:2]))
    flat = profile - np.interp(place, [place[0], place[-1]], [low, high])
    top = int(np.argmax(flat))
    half = flat[top] / 2
    if half <= 0 or not 0 < top < place.size - 1:
        return float("nan")
    below_left = np.flatnonzero(flat[:top] < half)
    below_right = np.flatnonzero(flat[top:] < half)
    if below_left.size == 0 or below_right.size == 0:
        return float("nan")
    i, j = int(below_left[-1]), top + int(below_right[0])
    left = place[i] + (place[i + 1] - place[i]) * (half - flat[i]) / (flat[i + 1] - flat[i])
    right = place[j] - (place[j] - place[j - 1]) * (half - flat[j]) / (flat[j - 1] - flat[j])
    return float(right - left)
