"""From where a picture is taken: parallel rays, up is +z, as an isometric drawing has it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ISOMETRIC", "Camera", "Frame", "frame_of"]

_MARGIN: Final = 0.04


@dataclass(frozen=True, slots=True)
class Camera:
    """Azimuth from +x towards +y, and elevation above the xy plane, of the eye."""

    azimuth_deg: float
    elevation_deg: float

    @property
    def rotation(self) -> NDArray[np.float64]:
        """Rows: to the right, up, towards the eye; (3, 3)."""
        a, e = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        eye = np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])
        right = np.array([-math.sin(a), math.cos(a), 0.0])
        return np.stack([right, np.cross(eye, right), eye])


ISOMETRIC: Final = Camera(-58.0, 24.0)


@dataclass(frozen=True, slots=True)
class Frame:
    """What of the world a picture shows: `low_um` (2,) is the middle of its first pixel."""

    rotation: NDArray[np.float64]
    low_um: NDArray[np.float64]
    um_per_pixel: float
    shape: tuple[int, int]

    def turned(self, points_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Right, up, towards the eye, in um; (n, 3)."""
        return points_um @ self.rotation.T

    def pixels(self, points_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same in pixels; (n, 3)."""
        turned = self.turned(points_um)
        turned[:, :2] -= self.low_um
        return turned / self.um_per_pixel

    @property
    def extent_um(self) -> tuple[float, float, float, float]:
        """Left, right, low, high edges of the picture, for `imshow`."""
        high, wide = self.shape
        left, low = self.low_um - self.um_per_pixel / 2
        return (left, left + wide * self.um_per_pixel, low, low + high * self.um_per_pixel)


def frame_of(rotation: NDArray[np.float64], points_um: NDArray[np.float64], pixels: int) -> Frame:
    """One that holds all points, its longer side so many pixels."""
    flat = points_um @ rotation[:2].T
    low, high = flat.min(axis=0), flat.max(axis=0)
    margin = _MARGIN * float((high - low).max())
    size = high - low + 2 * margin
    um_per_pixel = float(size.max()) / pixels
    wide, tall = (max(8, math.ceil(one / um_per_pixel)) for one in size)
    return Frame(rotation, low - margin, um_per_pixel, (tall, wide))
