"""The detector's plane: where each pixel stands on it, and the scattering angle that a place on it sees.

Places are in metres from the corner of the first pixel: `slow` along the first axis of a frame (its rows), `fast`
along the second. The stand of the plane is told by what a powder determines, with the beam along +z:

- `distance_m`, from the sample to the plane along the beam;
- `beam_slow_m`, `beam_fast_m`, where the beam meets the plane;
- `lean_slow`, `lean_fast`, the cosines between the beam and the plane's two axes: zero where it stands upright.

Turning the detector about the beam changes no scattering angle, and no powder tells it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.calibration.outside import package

__all__ = ["LARGEST_FRAME", "Panel", "Stand", "panel_of"]

Floats = NDArray[np.float64]

LARGEST_FRAME: Final = 1 << 26
"""Pixels of the largest frame that is taken in: twice those of any detector sold."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where the plane stands; lengths in metres, leans are cosines."""

    distance_m: float
    beam_slow_m: float
    beam_fast_m: float
    lean_slow: float = 0.0
    lean_fast: float = 0.0

    @property
    def vector(self) -> Floats:
        """Its five numbers, in the order of the fields."""
        parts = (self.distance_m, self.beam_slow_m, self.beam_fast_m, self.lean_slow, self.lean_fast)
        return np.array(parts, np.float64)

    @staticmethod
    def of(vector: Floats) -> Stand:
        """The inverse of `vector`."""
        distance, slow, fast, lean_slow, lean_fast = (float(v) for v in vector)
        return Stand(distance, slow, fast, lean_slow, lean_fast)

    @property
    def tilt_rad(self) -> float:
        """Between the beam and the plane's normal."""
        return math.asin(min(1.0, math.hypot(self.lean_slow, self.lean_fast)))

    def two_theta(self, slow_m: Floats, fast_m: Floats) -> Floats:
        """Scattering angle (rad) of places.

        The place is D + u from the sample, D along the beam and u in the plane, so its part along the beam is
        D + u.b, b being the leans, and its part across is what Pythagoras leaves of u.
        """
        u, v = slow_m - self.beam_slow_m, fast_m - self.beam_fast_m
        along = self.lean_slow * u + self.lean_fast * v
        across = np.sqrt(np.maximum(u * u + v * v - along * along, 0.0))
        return np.arctan2(across, self.distance_m + along)

    def slopes(self, slow_m: Floats, fast_m: Floats) -> Floats:
        """Derivatives of `two_theta` by the five numbers: shape (places, 5)."""
        u, v = slow_m - self.beam_slow_m, fast_m - self.beam_fast_m
        along = self.lean_slow * u + self.lean_fast * v
        across = np.sqrt(np.maximum(u * u + v * v - along * along, 1e-24))
        forward = self.distance_m + along
        square = across * across + forward * forward
        by_across, by_forward = forward / square, -across / square
        # along changes both: across^2 = u^2 + v^2 - along^2
        by_along = by_forward - by_across * along / across
        return np.stack(
            [
                by_forward,
                -by_across * u / across - by_along * self.lean_slow,
                -by_across * v / across - by_along * self.lean_fast,
                by_along * u,
                by_along * v,
            ],
            axis=1,
        )

    def azimuth(self, slow_m: Floats, fast_m: Floats) -> Floats:
        """Angle (rad) in the plane around the beam's place, from the fast axis towards the slow one."""
        return np.arctan2(slow_m - self.beam_slow_m, fast_m - self.beam_fast_m)


@dataclass(frozen=True, slots=True)
class Panel:
    """A flat detector: `shape` is (rows, columns), pixels in metres along (slow, fast).

    `name` is the detector's where it is known; `mask` is True where the detector has no pixel. `places`, of shape
    (2, rows, columns), holds the pixels' centres where they do not stand on a regular grid.
    """

    shape: tuple[int, int]
    pixel_m: tuple[float, float]
    name: str | None = None
    mask: NDArray[np.bool_] | None = None
    places: Floats | None = None

    @property
    def mean_pixel_m(self) -> float:
        """Geometric mean of the two sides of a pixel."""
        return math.sqrt(self.pixel_m[0] * self.pixel_m[1])

    def centres(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Places (m) of pixels' centres along slow and fast."""
        if self.places is not None:
            return self.places[0][rows, columns], self.places[1][rows, columns]
        return (rows + 0.5).astype(np.float64) * self.pixel_m[0], (columns + 0.5).astype(np.float64) * self.pixel_m[
            1
        ]

    def lines(self) -> tuple[Floats, Floats]:
        """Places (m) of all pixels' centres along slow and fast, in shapes that broadcast to the frame's."""
        if self.places is not None:
            return self.places[0], self.places[1]
        slow: Floats = (np.arange(self.shape[0], dtype=np.float64) + 0.5) * self.pixel_m[0]
        fast: Floats = (np.arange(self.shape[1], dtype=np.float64) + 0.5) * self.pixel_m[1]
        return slow[:, None], fast[None, :]


def panel_of(
    shape: tuple[int, int], pixel_m: tuple[float, float] | None = None, detector: str | None = None
) -> Panel:
    """The panel of frames of `shape`: of a detector by its name (pyFAI's table), or of square cells on a grid.

    Raises ConfigError where neither pixel nor detector is known, or the detector is unknown, bent or not of this
    shape; DataRefused where the frame is too small or too large.
    """
    if shape[0] * shape[1] > LARGEST_FRAME:
        raise DataRefused(f"a frame of {shape[0]} x {shape[1]} pixels: at most {LARGEST_FRAME} pixels are taken")
    if min(shape) < 32:
        raise DataRefused(f"a frame of {shape[0]} x {shape[1]} pixels: rings need 32 pixels along each side")
    if detector is None:
        if pixel_m is None:
            raise ConfigError("the pixels' size is not known: give --pixel-um or --detector")
        if not all(1e-7 <= side <= 0.01 for side in pixel_m):
            raise ConfigError(f"pixel of {pixel_m[0] * 1e6:g} x {pixel_m[1] * 1e6:g} um: give 0.1 to 10,000 um")
        return Panel(shape, pixel_m)
    return _named(shape, pixel_m, detector)


def _named(shape: tuple[int, int], pixel_m: tuple[float, float] | None, name: str) -> Panel:
    detectors = package("pyFAI.detectors")
    try:
        known: Any = detectors.detector_factory(name)
    except (RuntimeError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"--detector {name!r}: pyFAI knows no such detector; write it as pyFAI does (Pilatus1M, Eiger4M),"
            " or give --pixel-um"
        ) from None
    if known.max_shape is None or known.pixel1 is None:
        if pixel_m is None:
            raise ConfigError(f"--detector {name!r}: says no size of its pixels; give --pixel-um")
        return Panel(shape, pixel_m, name=None)
    if tuple(known.max_shape) != shape:
        raise ConfigError(
            f"--detector {name}: has {known.max_shape[0]} x {known.max_shape[1]} pixels, the frame {shape[0]} x"
            f" {shape[1]}; name the detector that took it, or give --pixel-um for a cut or binned frame"
        )
    own = (float(known.pixel1), float(known.pixel2))
    if pixel_m is not None and not all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(own, pixel_m, strict=True)):
        raise ConfigError(
            f"--detector {name}: has pixels of {own[0] * 1e6:g} x {own[1] * 1e6:g} um, --pixel-um or the frame's"
            f" header say {pixel_m[0] * 1e6:g} x {pixel_m[1] * 1e6:g}; mend the one that is wrong"
        )
    if not known.IS_FLAT or getattr(known, "CORNERS", 4) != 4:
        raise ConfigError(f"--detector {name}: is bent or has pixels of six sides; only flat grids are calibrated")
    places = None
    if not known.uniform_pixel:
        found: Any = known.calc_cartesian_positions()
        places = np.array([found[0], found[1]], np.float64)
    blind: Any = known.mask
    mask = None if blind is None else np.asarray(blind).astype(bool)
    return Panel(
        shape, own, str(known.name).replace(" ", ""), mask if mask is not None and mask.any() else None, places
    )
