"""Vessels: capsules between points, and the ports through which they are perfused.

A segment is what lies within `radius_um` of the line between its two points; the lumen is the union of all of them.
Joints are therefore spheres, and a branching needs no rule of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MOST_SEGMENTS", "Kind", "Network", "Port", "Role"]

MOST_SEGMENTS: Final = 4_000_000
_LONGEST_UM: Final = 1e6
_LEAST_RADIUS_UM: Final = 1e-3
"""A nanometre: below it no lumen is printed, and powers of a radius vanish."""


class Kind(IntEnum):
    """What a segment is."""

    ARTERY = 0
    VEIN = 1
    CAPILLARY = 2


class Role(StrEnum):
    """Which way medium or blood goes through a port."""

    INLET = "inlet"
    OUTLET = "outlet"


@dataclass(frozen=True, slots=True)
class Port:
    """An end of the network that is connected from outside: node, pressure in Pa, flow in um^3/s as designed."""

    node: int
    role: Role
    pressure_pa: float
    flow_um3_s: float


@dataclass(frozen=True, slots=True)
class Network:
    """Vessels of a tissue.

    `points_um`: float64 (n, 3), every point used by a segment. `segments`: int32 (m, 2), the two points of each;
    the flow is designed from the first to the second. `radius_um`: float64 (m,). `kind`: uint8 (m,), a `Kind`.
    `tree`: int32 (m,), the port (its place in `ports`) that the tree of a segment hangs on; -1 for capillaries.
    Raises DataRefused for shapes, numbers or indices that cannot be.
    """

    points_um: NDArray[np.float64]
    segments: NDArray[np.int32]
    radius_um: NDArray[np.float64]
    kind: NDArray[np.uint8]
    tree: NDArray[np.int32]
    ports: tuple[Port, ...]

    def __post_init__(self) -> None:
        n, m = len(self.points_um), len(self.segments)
        if not 0 < m <= MOST_SEGMENTS:
            raise DataRefused(f"vessels: {m} segments; from 1 to {MOST_SEGMENTS} can be worked on")
        shapes = (
            ("points_um", self.points_um.shape, (n, 3)),
            ("segments", self.segments.shape, (m, 2)),
            ("radius_um", self.radius_um.shape, (m,)),
            ("kind", self.kind.shape, (m,)),
            ("tree", self.tree.shape, (m,)),
        )
        for name, got, wanted in shapes:
            if got != wanted:
                raise DataRefused(f"vessels: {name} has the shape {got}, not {wanted}")
        if not bool(np.all(np.abs(self.points_um) <= _LONGEST_UM)):
            raise DataRefused(f"vessels: a point is not finite or beyond {_LONGEST_UM:g} um; give micrometres")
        fits = (self.radius_um >= _LEAST_RADIUS_UM) & (self.radius_um <= _LONGEST_UM)
        if not bool(fits.all()):
            wrong = int(np.argmin(fits))
            raise DataRefused(
                f"vessels: segment {wrong} has the radius {self.radius_um[wrong]:g} um; from "
                f"{_LEAST_RADIUS_UM:g} to {_LONGEST_UM:g} um can be worked on: give micrometres"
            )
        if self.segments.min() < 0 or self.segments.max() >= n:
            wrong = int(self.segments.min() if self.segments.min() < 0 else self.segments.max())
            raise DataRefused(f"vessels: a segment names point {wrong} of {n}; they count from 0")
        if bool(np.any(self.segments[:, 0] == self.segments[:, 1])):
            raise DataRefused("vessels: a segment begins and ends at the same point")
        if len(np.unique(self.segments)) != n:
            raise DataRefused("vessels: a point belongs to no segment")
        if self.kind.max() > max(Kind):
            raise DataRefused(f"vessels: kind {int(self.kind.max())} is not known; the last is {max(Kind)}")
        if self.tree.min() < -1 or self.tree.max() >= len(self.ports):
            raise DataRefused(f"vessels: a tree's number is not one of the {len(self.ports)} ports, nor -1")
        if any(not 0 <= port.node < n for port in self.ports):
            raise DataRefused(f"vessels: a port names a point that is not there; there are {n}")

    @property
    def start_um(self) -> NDArray[np.float64]:
        """First point of each segment, (m, 3)."""
        return self.points_um[self.segments[:, 0]]

    @property
    def end_um(self) -> NDArray[np.float64]:
        """Second point of each segment, (m, 3)."""
        return self.points_um[self.segments[:, 1]]

    @property
    def length_um(self) -> NDArray[np.float64]:
        """Length of each segment between its points, (m,)."""
        return np.linalg.norm(self.end_um - self.start_um, axis=1)

    @property
    def cylinder_volume_um3(self) -> float:
        """Sum of pi r^2 l: the volume that growth minimises (joints counted twice, caps not at all)."""
        return float(np.pi * (self.radius_um**2 * self.length_um).sum())

    def degrees(self) -> NDArray[np.int64]:
        """How many segments meet at each point, (n,)."""
        return np.bincount(self.segments.ravel(), minlength=len(self.points_um))
