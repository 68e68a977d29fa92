"""The tissue's outer shape: a union of bodies less a union of obstacles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.field import Field, clearances
from poliqi.lab.print.domain.fieldmaking import bare_field, grid_of
from poliqi.lab.print.domain.intervals import Spans, less, together
from poliqi.lab.print.domain.labelbody import MOST_RECTANGLES, MOST_VOXELS, LabelBody, LabelRecord, labels_from
from poliqi.lab.print.domain.meshbody import MeshBody, MeshRecord, mesh_from
from poliqi.lab.print.domain.meshform import MOST_TRIANGLES
from poliqi.lab.print.domain.primitive import Primitive
from poliqi.lab.print.domain.shapes import Box, Capsule, Chip, Cylinder, Ellipsoid, Shape, Sphere, Torus
from poliqi.lab.print.domain.solid import solid_of_mesh, solid_of_primitive, united
from poliqi.lab.print.domain.surface import Surface
from poliqi.lab.print.domain.voxelmesh import voxel_mesh

__all__ = [
    "MOST_PARTS",
    "Domain",
    "Part",
    "Spans",
    "box",
    "capsule",
    "chip",
    "cylinder",
    "domain_from",
    "ellipsoid",
    "of_shape",
    "sphere",
    "torus",
]

MOST_PARTS: Final = 64
_QUADRATURE: Final = 384
_SMALL_UM: Final = 20.0
_LARGE_UM: Final = 30_000.0

Part = Primitive | MeshBody | LabelBody
Triple = tuple[float, float, float]


@dataclass(slots=True)
class _Kept:
    """What is worked out once, when it is first asked for."""

    bare: Field | None = None
    field: Field | None = None
    volume_um3: float | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """The tissue's shape: `bodies` together, less `obstacles` together. Lengths in micrometres.

    The boundary is that of the difference. Raises ConfigError for no body or too many parts.
    """

    bodies: tuple[Part, ...]
    obstacles: tuple[Part, ...] = ()
    _kept: _Kept = field(default_factory=_Kept, repr=False, compare=False)

    def __post_init__(self) -> None:
        n = len(self.bodies) + len(self.obstacles)
        if not self.bodies or n > MOST_PARTS:
            raise ConfigError(f"domain: {len(self.bodies)} bodies and {n} parts; give 1 to {MOST_PARTS} parts")
        parts = (*self.bodies, *self.obstacles)
        meshes = [part for part in parts if isinstance(part, MeshBody)]
        labels = [part for part in parts if isinstance(part, LabelBody)]
        _ensure_few(
            sum(part.solid.size for part in labels),
            sum(len(part.form.triangles) for part in meshes),
            sum(len(part.surface.elements) for part in labels),
        )

    def minus(self, obstacle: Domain) -> Domain:
        """This domain without another one, which may not have obstacles itself (ConfigError)."""
        if obstacle.obstacles:
            raise ConfigError("domain: an obstacle has obstacles of its own; give its parts one by one")
        return Domain(self.bodies, (*self.obstacles, *obstacle.bodies))

    def plus(self, other: Domain) -> Domain:
        """Both domains together; neither may have obstacles (ConfigError): unite first, then take away."""
        if self.obstacles or other.obstacles:
            raise ConfigError(
                "domain: bodies with obstacles cannot be united; unite bodies, then take obstacles away"
            )
        return Domain((*self.bodies, *other.bodies))

    @property
    def bounds_um(self) -> NDArray[np.float64]:
        """Lowest and highest corner of the box around its bodies, (2, 3)."""
        boxes = np.stack([body.bounds_um for body in self.bodies])
        return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])

    @property
    def volume_um3(self) -> float:
        """Exact for one body without obstacles; else from exact spans on 384 x 384 lines (about 1e-4 of it)."""
        if self._kept.volume_um3 is None:
            alone = len(self.bodies) == 1 and not self.obstacles
            self._kept.volume_um3 = self.bodies[0].volume_um3 if alone else self._measured()
        return self._kept.volume_um3

    def _measured(self) -> float:
        low, high = self.bounds_um
        steps = (high[1:] - low[1:]) / _QUADRATURE
        u, v = (low[1 + k] + (np.arange(_QUADRATURE) + 0.5) * steps[k] for k in (0, 1))
        uu, vv = np.repeat(u, _QUADRATURE), np.tile(v, _QUADRATURE)
        return self.spans(0, uu, vv).length_um * float(steps[0] * steps[1])

    @property
    def record(self) -> dict[str, Any]:
        """Everything that makes it again, for JSON: `domain_from` reads it."""
        return {
            "bodies": [body.record for body in self.bodies],
            "obstacles": [obstacle.record for obstacle in self.obstacles],
        }

    @property
    def field(self) -> Field:
        """Arrays for `field_clearance` inside kernels."""
        if self._kept.field is None:
            self._kept.field = grid_of(self._bare())
        return self._kept.field

    def _bare(self) -> Field:
        if self._kept.bare is None:
            parts = (*self.bodies, *self.obstacles)
            signs = [1] * len(self.bodies) + [-1] * len(self.obstacles)
            self._kept.bare = bare_field([_seen(part) for part in parts], signs)
        return self._kept.bare

    @property
    def cautions(self) -> tuple[str, ...]:
        """What is possible but unlikely to be meant: a size that a wrong unit would give."""
        longest = float(np.diff(self.bounds_um, axis=0).max())
        if longest < _SMALL_UM:
            return (f"domain: its longest side is {longest:.3g} um, smaller than {_SMALL_UM:g} um; check its unit",)
        if longest > _LARGE_UM:
            return (f"domain: its longest side is {longest:.3g} um, above {_LARGE_UM:g} um; check its unit",)
        return ()

    def manifold(self) -> Any:
        """The domain as a manifold3d.Manifold in um; curved primitives too small by less than .2 %.

        Raises ConfigError without the extra, DataRefused for a mesh that manifold3d does not take.
        """
        body = united([_solid(part) for part in self.bodies])
        return body - united([_solid(part) for part in self.obstacles]) if self.obstacles else body

    def clearance_um(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Signed distance of points (n, 3) to the boundary, (n,): positive inside, exact there for one body.

        Within two overlapping bodies it is a lower bound; outside it is negative, and near obstacles no further
        from nought than the true one. Raises DataRefused for another shape or points that are not finite.
        """
        points = np.ascontiguousarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or not bool(np.isfinite(points).all()):
            raise DataRefused(f"domain: points of shape {points.shape}; give finite ones, (n, 3), in micrometres")
        found = np.empty(len(points))
        clearances(self._bare(), points, found)
        return found

    def spans(self, axis: int, u_um: NDArray[np.float64], v_um: NDArray[np.float64]) -> Spans:
        """Intervals of scan lines inside the domain, exact.

        Lines are parallel to `axis` (0: x, 1: y, 2: z); `u_um` and `v_um` (n,) are their other two coordinates in
        the order of the axes: (y, z), (x, z), (x, y). Raises DataRefused for anything else.
        """
        u = np.ascontiguousarray(u_um, dtype=np.float64)
        v = np.ascontiguousarray(v_um, dtype=np.float64)
        finite = bool(np.isfinite(u).all() and np.isfinite(v).all())
        if axis not in {0, 1, 2} or u.ndim != 1 or u.shape != v.shape or not finite:
            raise DataRefused(
                f"domain: lines along axis {axis}, {u.shape} and {v.shape}; give 0 to 2 and two of (n,)"
            )
        found = self.bodies[0].spans(axis, u, v)
        for body in self.bodies[1:]:
            found = together(found, body.spans(axis, u, v))
        for obstacle in self.obstacles:
            found = less(found, obstacle.spans(axis, u, v))
        return found


def _seen(part: Part) -> Primitive | Surface:
    return part if isinstance(part, Primitive) else part.surface


def _solid(part: Part) -> Any:
    if isinstance(part, Primitive):
        return solid_of_primitive(part)
    if isinstance(part, MeshBody):
        return solid_of_mesh(part.form.points_um, part.form.triangles, "mesh")
    mesh = voxel_mesh(part.solid, np.array(part.origin_um), np.array(part.voxel_um))
    return solid_of_mesh(*mesh, "labels")


def of_shape(shape: Shape) -> Domain:
    """A domain of one primitive. Raises ConfigError for sizes that cannot be."""
    return Domain((Primitive.of(shape),))


def box(size_um: Triple, center_um: Triple = (0.0, 0.0, 0.0)) -> Domain:
    """A block with edges along the axes; a slab is a flat one."""
    return of_shape(Box(size_um=size_um, center_um=center_um))


def sphere(radius_um: float, center_um: Triple = (0.0, 0.0, 0.0)) -> Domain:
    """A ball."""
    return of_shape(Sphere(radius_um=radius_um, center_um=center_um))


def cylinder(
    radius_um: float, height_um: float, center_um: Triple = (0.0, 0.0, 0.0), axis: Triple = (0.0, 0.0, 1.0)
) -> Domain:
    """A rod with flat ends."""
    return of_shape(Cylinder(radius_um=radius_um, height_um=height_um, center_um=center_um, axis=axis))


def ellipsoid(semi_axes_um: Triple, center_um: Triple = (0.0, 0.0, 0.0)) -> Domain:
    """Half axes along x, y and z."""
    return of_shape(Ellipsoid(semi_axes_um=semi_axes_um, center_um=center_um))


def torus(
    radius_um: float, tube_um: float, center_um: Triple = (0.0, 0.0, 0.0), axis: Triple = (0.0, 0.0, 1.0)
) -> Domain:
    """A ring: a circle of `radius_um` around `axis`, thick by `tube_um` (a radius)."""
    return of_shape(Torus(radius_um=radius_um, tube_um=tube_um, center_um=center_um, axis=axis))


def chip(size_um: Triple, corner_um: float, center_um: Triple = (0.0, 0.0, 0.0)) -> Domain:
    """A plate with rounded upright edges."""
    return of_shape(Chip(size_um=size_um, corner_um=corner_um, center_um=center_um))


def capsule(from_um: Triple, to_um: Triple, radius_um: float) -> Domain:
    """Everything within `radius_um` of the line between two points."""
    return of_shape(Capsule(from_um=from_um, to_um=to_um, radius_um=radius_um))


def domain_from(record: Mapping[str, Any]) -> Domain:
    """The domain that a record describes. Raises DataRefused, naming what is wrong with it."""
    try:
        if set(record) != {"bodies", "obstacles"}:
            raise DataRefused(f"domain: a record has the keys {sorted(map(str, record))}, not bodies and obstacles")
        made = {name: [_made(entry) for entry in record[name]] for name in ("bodies", "obstacles")}
        listed = (*made["bodies"], *made["obstacles"])
        meshes = [one for one in listed if isinstance(one, MeshRecord)]
        labels = [one for one in listed if isinstance(one, LabelRecord)]
        if len(listed) > MOST_PARTS:
            raise DataRefused(f"domain: a record of {len(listed)} parts; {MOST_PARTS} are the most")
        _ensure_few(
            sum(math.prod(max(size, 0) for size in one.shape) for one in labels),
            sum(max(one.triangles, one.points // 3) for one in meshes),
        )
        rectangles = 0
        parts: dict[str, list[Part]] = {"bodies": [], "obstacles": []}
        for name, ones in made.items():
            for one in ones:
                part = _part_of(one)
                rectangles += len(part.surface.elements) if isinstance(part, LabelBody) else 0
                _ensure_few(0, 0, rectangles)
                parts[name].append(part)
        return Domain(tuple(parts["bodies"]), tuple(parts["obstacles"]))
    except (msgspec.ValidationError, ConfigError, TypeError) as error:
        raise DataRefused(f"domain: a record cannot be read: {error}; make the file again") from None


def _ensure_few(voxels: int, triangles: int, rectangles: int = 0) -> None:
    """One budget for all parts together. Raises ConfigError."""
    counted = {"voxels": (voxels, MOST_VOXELS), "triangles": (triangles, MOST_TRIANGLES),
               "pieces of surface around voxels": (rectangles, MOST_RECTANGLES)}  # fmt: skip
    for name, (count, most) in counted.items():
        if count > most:
            raise ConfigError(
                f"domain: all parts together have {count} {name}; {most} are the most: coarsen them, or take fewer"
            )


def _made(entry: object) -> Shape | MeshRecord | LabelRecord:
    return msgspec.convert(entry, Shape | MeshRecord | LabelRecord)


def _part_of(made: Shape | MeshRecord | LabelRecord) -> Part:
    if isinstance(made, MeshRecord):
        return mesh_from(made)
    return labels_from(made) if isinstance(made, LabelRecord) else Primitive.of(made)
