"""The shapes that have a formula, as tables: the same keys in a design's TOML and in a record.

Lengths in micrometres. `center_um` is the middle of the shape; `axis` the direction of its height, of any length.
"""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["Box", "Capsule", "Chip", "Cylinder", "Ellipsoid", "Shape", "Sphere", "Torus"]

Triple = tuple[float, float, float]
_ORIGIN: Final[Triple] = (0.0, 0.0, 0.0)
_UP: Final[Triple] = (0.0, 0.0, 1.0)


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="box"):
    """Edges parallel to the axes; a slab is a flat one."""

    size_um: Triple
    center_um: Triple = _ORIGIN


class Sphere(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="sphere"):
    """A ball."""

    radius_um: float
    center_um: Triple = _ORIGIN


class Cylinder(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="cylinder"
):
    """A straight rod with flat ends."""

    radius_um: float
    height_um: float
    center_um: Triple = _ORIGIN
    axis: Triple = _UP


class Ellipsoid(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="ellipsoid"
):
    """Half axes along x, y and z."""

    semi_axes_um: Triple
    center_um: Triple = _ORIGIN


class Torus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="torus"):
    """A ring: the circle of `radius_um` around `axis`, thick by `tube_um` (a radius)."""

    radius_um: float
    tube_um: float
    center_um: Triple = _ORIGIN
    axis: Triple = _UP


class Chip(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="chip"):
    """A flat plate whose four upright edges are rounded by `corner_um`."""

    size_um: Triple
    corner_um: float
    center_um: Triple = _ORIGIN


class Capsule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="capsule"
):
    """Everything within `radius_um` of the line between two points."""

    from_um: Triple
    to_um: Triple
    radius_um: float


Shape = Box | Sphere | Cylinder | Ellipsoid | Torus | Chip | Capsule
