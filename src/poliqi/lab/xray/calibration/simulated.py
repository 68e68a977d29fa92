"""Simulated frames of a calibrant: rays in space, nothing of the code that finds the geometry.

A powder ring is Gaussian in the scattering angle; each pixel is the mean of `oversampling` squared rays over its
face. Poisson noise, a background that falls with the angle, the shadow of a beam stop with its arm, dead, hot and
missing pixels as detectors write them (-1 in signed frames, the highest number in unsigned ones).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.calibration.calibrants import Calibrant
from poliqi.lab.xray.calibration.panel import Panel

__all__ = ["Scene", "simulate"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scene:
    """A detector before a powder. `beam_x_px`, `beam_y_px`: where the beam meets it, from the first pixel's corner.

    `distance_m` is along the beam; the detector leans by `tilt_deg` towards `tilt_plane_deg` (from the fast axis to
    the slow one). `width_px` is a ring's standard deviation on an upright detector, `peak_counts` what the
    strongest ring adds to a pixel, `background_counts` what lies under it near the beam.
    """

    panel: Panel
    calibrant: Calibrant
    wavelength_m: float
    distance_m: float
    beam_x_px: float
    beam_y_px: float
    tilt_deg: float = 0.0
    tilt_plane_deg: float = 0.0
    width_px: float = 1.5
    peak_counts: float = 200.0
    background_counts: float = 20.0
    beam_stop_px: float = 15.0
    hot_pixels: int = 20
    is_unsigned: bool = False
    oversampling: int = 3


def simulate(scene: Scene, draw: np.random.Generator) -> NDArray[np.int64]:
    """Counts, of the panel's shape; masked and dead pixels are -1, or 2^32 - 1 where the detector is unsigned."""
    expected = _expected(scene, draw)
    frame = draw.poisson(expected).astype(np.int64)
    rows, columns = scene.panel.shape
    for _ in range(scene.hot_pixels):
        frame[int(draw.integers(rows)), int(draw.integers(columns))] = int(draw.integers(10_000, 1_000_000))
    nothing = (1 << 32) - 1 if scene.is_unsigned else -1
    for _ in range(scene.hot_pixels // 2):
        frame[int(draw.integers(rows)), int(draw.integers(columns))] = nothing
    if scene.panel.mask is not None:
        frame[scene.panel.mask] = nothing
    return frame


def _expected(scene: Scene, draw: np.random.Generator) -> Floats:
    n = scene.oversampling
    offsets = (np.arange(n) + 0.5) / n
    total = np.zeros(scene.panel.shape)
    angles, profile = _profile(scene, draw)
    for down in offsets:
        for right in offsets:
            cosine = _cosine(scene, float(down), float(right))
            total += np.interp(np.arccos(cosine), angles, profile)
    total /= n * n
    y = np.arange(scene.panel.shape[0])[:, None] + 0.5 - scene.beam_y_px
    x = np.arange(scene.panel.shape[1])[None, :] + 0.5 - scene.beam_x_px
    if scene.beam_stop_px > 0:
        shadow = (np.hypot(x, y) < scene.beam_stop_px) | ((np.abs(x) < scene.beam_stop_px / 3) & (y > 0))
        total[shadow] *= 0.01
    return total


def _cosine(scene: Scene, down: float, right: float) -> Floats:
    """Cosine of the scattering angle of the rays that meet each pixel at one place of its face."""
    tilt, plane = math.radians(scene.tilt_deg), math.radians(scene.tilt_plane_deg)
    toward = np.array([math.cos(plane), math.sin(plane), 0.0])  # fast, slow, beam
    beam = np.array([0.0, 0.0, 1.0])
    axes: list[Floats] = []
    for axis in (np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])):
        part = float(axis[:2] @ toward[:2])
        leaning = math.cos(tilt) * toward + math.sin(tilt) * beam
        axes.append(axis - part * toward + part * leaning)  # turned about the line across `toward`
    x = (np.arange(scene.panel.shape[1])[None, :] + right - scene.beam_x_px) * scene.panel.pixel_m[1]
    y = (np.arange(scene.panel.shape[0])[:, None] + down - scene.beam_y_px) * scene.panel.pixel_m[0]
    place = [x * axes[0][k] + y * axes[1][k] for k in range(3)]
    place[2] = place[2] + scene.distance_m
    return place[2] / np.sqrt(place[0] ** 2 + place[1] ** 2 + place[2] ** 2)


def _profile(scene: Scene, draw: np.random.Generator) -> tuple[Floats, Floats]:
    """Intensity against the scattering angle, fine enough to interpolate."""
    pixel = math.sqrt(scene.panel.pixel_m[0] * scene.panel.pixel_m[1])
    width = scene.width_px * pixel / scene.distance_m
    angles = np.arange(0.0, math.pi, width / 12)
    intensity = scene.background_counts * (0.2 + np.exp(-((angles / (80 * width)) ** 2)) + np.exp(-angles / 0.2))
    rings = scene.calibrant.two_theta(scene.wavelength_m)
    strengths = scene.peak_counts * (0.25 + 0.75 * draw.random(rings.size)) / (1 + np.arange(rings.size) / 6)
    for ring, strength in zip(rings, strengths, strict=True):
        near = slice(*np.searchsorted(angles, [ring - 8 * width, ring + 8 * width]))
        intensity[near] += strength * np.exp(-0.5 * ((angles[near] - ring) / width) ** 2)
    return angles, intensity
