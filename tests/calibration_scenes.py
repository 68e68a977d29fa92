"""Detectors before calibrants, as the tests of calibration and their benchmark know them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.calibration.calibrants import Calibrant
from poliqi.lab.xray.calibration.panel import Panel
from poliqi.lab.xray.calibration.simulated import Scene, simulate

LAB6_A = 4.156826 / np.sqrt(np.array([1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22]))
"""A primitive cubic cell has every sum of three squares, which leaves out 7 and 15."""
AGBH_A = 58.380 / np.arange(1, 20)
LAB6 = Calibrant("LaB6", LAB6_A)
AGBH = Calibrant("AgBh", AGBH_A)
SMALL = Panel((300, 340), (172e-6, 172e-6))


def small_scene(calibrant: Calibrant = LAB6, **changes: float) -> Scene:
    """LaB6 at 60 mm, or AgBh at 300 mm, on a small detector with a tilt of two degrees."""
    near = calibrant is LAB6
    settings: dict[str, float] = {
        "wavelength_m": 0.7e-10 if near else 1.2e-10,
        "distance_m": 0.06 if near else 0.3,
        "beam_x_px": 161.3,
        "beam_y_px": 148.8,
        "tilt_deg": 2.0,
        "tilt_plane_deg": 35.0,
        "peak_counts": 600.0,
        "beam_stop_px": 8.0,
        "hot_pixels": 6,
    }
    return Scene(SMALL, calibrant, **(settings | changes))  # pyright: ignore[reportArgumentType]


def frame_of(scene: Scene, seed: int = 1) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Counts, and which pixels hold any."""
    frame = simulate(scene, np.random.default_rng(seed)).astype(np.float64)
    return frame, (frame >= 0) & (frame < 2**32 - 1)
