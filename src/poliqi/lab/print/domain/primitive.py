"""Primitives: shapes that have a formula, as parts of a domain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, assert_never

import msgspec
import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError
from poliqi.lab.print.domain import depths, shapes
from poliqi.lab.print.domain.crossings import primitive_crossings
from poliqi.lab.print.domain.intervals import Spans, of_counts
from poliqi.lab.print.domain.shapes import Shape

__all__ = ["LONGEST_UM", "SMALLEST_UM", "Primitive"]

LONGEST_UM: Final = 1e6
"""A metre: no coordinate or size may be beyond."""
SMALLEST_UM: Final = 0.01
"""Ten nanometres, a tenth of the finest voxel that is printed: no size may be below."""

Row = tuple[int, tuple[float, float, float], tuple[float, float, float], tuple[float, float, float, float]]
_UP: Final = (0.0, 0.0, 1.0)


def _ensure(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:  # false for nan
        raise ConfigError(f"domain: {name} is {value:g}; give micrometres from {low:g} to {high:g}")
    return float(value)


def _size(name: str, value: float) -> float:
    return _ensure(name, value, SMALLEST_UM, LONGEST_UM)


def _place(name: str, value: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = (_ensure(name, number, -LONGEST_UM, LONGEST_UM) for number in value)
    return x, y, z


def _halves(size_um: tuple[float, float, float]) -> tuple[float, float, float]:
    a, b, c = (_size("size_um", number) / 2 for number in size_um)
    return a, b, c


def _row(shape: Shape) -> Row:
    """Kind, centre, axis and the four sizes of `depths`."""
    match shape:
        case shapes.Box():
            return depths.BOX, shape.center_um, _UP, (*_halves(shape.size_um), 0.0)
        case shapes.Sphere():
            return depths.SPHERE, shape.center_um, _UP, (_size("radius_um", shape.radius_um), 0.0, 0.0, 0.0)
        case shapes.Cylinder():
            half = _size("height_um", shape.height_um) / 2
            sizes = (_size("radius_um", shape.radius_um), half, 0.0, 0.0)
            return depths.CYLINDER, shape.center_um, shape.axis, sizes
        case shapes.Ellipsoid():
            a, b, c = (_size("semi_axes_um", number) for number in shape.semi_axes_um)
            return depths.ELLIPSOID, shape.center_um, _UP, (a, b, c, 0.0)
        case shapes.Torus():
            radius, tube = _size("radius_um", shape.radius_um), _size("tube_um", shape.tube_um)
            if tube > radius:
                raise ConfigError(f"domain: a ring's tube_um {tube:g} is above its radius_um {radius:g}; lower it")
            return depths.TORUS, shape.center_um, shape.axis, (radius, tube, 0.0, 0.0)
        case shapes.Chip():
            a, b, c = _halves(shape.size_um)
            corner = _ensure("corner_um", shape.corner_um, 0.0, min(a, b))
            return depths.CHIP, shape.center_um, _UP, (a, b, c, corner)
        case shapes.Capsule():
            low = np.array(_place("from_um", shape.from_um))
            high = np.array(_place("to_um", shape.to_um))
            middle = (low + high) / 2
            along = high - low
            half = float(np.linalg.norm(along)) / 2
            x, y, z = (float(number) for number in (along if half > 0 else _UP))
            center = (float(middle[0]), float(middle[1]), float(middle[2]))
            return depths.CAPSULE, center, (x, y, z), (_size("radius_um", shape.radius_um), half, 0.0, 0.0)
        case _:
            assert_never(shape)


def _rotation(axis: tuple[float, float, float]) -> NDArray[np.float64]:
    """Rows: two directions across `axis`, then `axis`; the identity for an axis along z."""
    length = math.hypot(*axis)
    if not 1e-300 < length < 1e300:
        raise ConfigError(f"domain: axis {axis} has no direction; give for example [0, 0, 1]")
    up: NDArray[np.float64] = np.array(axis, dtype=np.float64) / length
    up[np.abs(up) < 1e-15] = 0.0
    least = int(np.argmin(np.abs(up)))
    across = np.asarray(np.cross(up, np.eye(3)[least]), dtype=np.float64)
    across /= np.linalg.norm(across)
    third = np.asarray(np.cross(across, up), dtype=np.float64)
    return np.eye(3) if up[2] == 1.0 else np.stack([third, across, up])


@dataclass(frozen=True, slots=True)
class Primitive:
    """A shape with its row for kernels. `Primitive.of` makes it, or raises ConfigError for impossible sizes."""

    shape: Shape
    kind: int
    frame: NDArray[np.float64]

    @classmethod
    def of(cls, shape: Shape) -> Primitive:
        """The part of a domain that a shape describes."""
        kind, center, axis, sizes = _row(shape)
        frame = np.concatenate([_place("center_um", center), _rotation(axis).ravel(), sizes])
        return cls(shape, kind, frame)

    @property
    def record(self) -> dict[str, Any]:
        """The table that makes it again."""
        return msgspec.to_builtins(self.shape)

    @property
    def bounds_um(self) -> NDArray[np.float64]:
        """The tight box around it, (2, 3)."""
        a, b, c, _ = self.frame[12:]
        turn = self.frame[3:12].reshape(3, 3)
        along = np.abs(turn[2])
        across = np.sqrt(np.clip(1.0 - along**2, 0.0, None))
        if self.kind in {depths.BOX, depths.CHIP, depths.ELLIPSOID}:
            half = np.array([a, b, c])
        elif self.kind == depths.SPHERE:
            half = np.full(3, a)
        elif self.kind == depths.CYLINDER:
            half = a * across + b * along
        elif self.kind == depths.TORUS:
            half = a * across + b
        else:
            half = a + b * along
        return np.stack([self.frame[:3] - half, self.frame[:3] + half])

    @property
    def volume_um3(self) -> float:
        """By formula."""
        a, b, c, corner = (float(size) for size in self.frame[12:])
        pi = math.pi
        volumes = {
            depths.BOX: 8 * a * b * c,
            depths.SPHERE: 4 / 3 * pi * a**3,
            depths.CYLINDER: 2 * pi * a * a * b,
            depths.ELLIPSOID: 4 / 3 * pi * a * b * c,
            depths.TORUS: 2 * pi * pi * a * b * b,
            depths.CHIP: 2 * c * (4 * a * b - (4 - pi) * corner**2),
            depths.CAPSULE: pi * a * a * (4 / 3 * a + 2 * b),
        }
        return volumes[self.kind]

    def spans(self, axis: int, u_um: NDArray[np.float64], v_um: NDArray[np.float64]) -> Spans:
        """Where lines parallel to `axis` lie inside."""
        count = np.zeros(u_um.size, dtype=np.int64)
        ends = np.empty((u_um.size, 4))
        primitive_crossings(self.kind, self.frame[None], 0, axis, u_um, v_um, count, ends)
        return of_counts(count, ends)
