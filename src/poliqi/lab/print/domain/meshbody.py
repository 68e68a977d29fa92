"""A closed triangle mesh as part of a domain."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.print.domain.intervals import Spans
from poliqi.lab.print.domain.lattice import LATTICE_STEPS, crossings
from poliqi.lab.print.domain.meshcheck import (
    Choice,
    chosen_bodies,
    ensure_closed,
    ensure_uncut,
    mesh_volume_um3,
    with_area,
)
from poliqi.lab.print.domain.meshform import MOST_TRIANGLES, MeshForm, on_lattice
from poliqi.lab.print.domain.surface import Surface, surface_of

__all__ = ["MeshBody", "MeshRecord", "mesh_body", "mesh_from"]

_LINES: Final = 100_000


class MeshRecord(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="mesh"
):
    """A mesh in a record: whole steps (int32, n x 3) and triangles (int32, m x 3), compressed, in base 64."""

    points: int
    triangles: int
    origin_um: tuple[float, float, float]
    step_um: float
    steps_zlib: str
    triangles_zlib: str


@dataclass(frozen=True, slots=True)
class MeshBody:
    """A checked mesh; made by `mesh_body` or `mesh_from`."""

    form: MeshForm
    surface: Surface = field(repr=False)

    @property
    def record(self) -> dict[str, Any]:
        """Everything that makes it again."""
        form = self.form
        record = MeshRecord(
            points=len(form.steps),
            triangles=len(form.triangles),
            origin_um=form.origin_um,
            step_um=form.step_um,
            steps_zlib=_packed(form.steps),
            triangles_zlib=_packed(form.triangles),
        )
        return msgspec.to_builtins(record)

    @property
    def bounds_um(self) -> NDArray[np.float64]:
        """The tight box, (2, 3)."""
        return self.surface.bounds_um

    @property
    def volume_um3(self) -> float:
        """Exact, but for rounding."""
        return mesh_volume_um3(self.form)

    def spans(self, axis: int, u_um: NDArray[np.float64], v_um: NDArray[np.float64]) -> Spans:
        """Where lines parallel to `axis` lie inside."""
        tree, form = self.surface.tree, self.form
        offsets = np.zeros(u_um.size + 1, dtype=np.int64)
        found = np.empty(4 * u_um.size + 256)
        nobody = np.empty(0, dtype=np.int64)
        begin = 0
        while begin < u_um.size:
            stop = min(begin + _LINES, u_um.size)
            begin = crossings(
                tree.nodes, tree.first, self.surface.elements, form.origin_um, 1.0 / form.step_um, axis,
                u_um, v_um, begin, stop, offsets, found, nobody,
            )  # fmt: skip
            if begin < stop:
                found = np.concatenate([found, np.empty(found.size)])
        ends = found[: offsets[-1]]
        return Spans(offsets // 2, ends[0::2].copy(), ends[1::2].copy())


def _packed(numbers: NDArray[np.int64]) -> str:
    return base64.b64encode(zlib.compress(numbers.astype("<i4").tobytes(), 6)).decode("ascii")


def _unpacked(text: str, count: int, what: str) -> NDArray[np.int64]:
    try:
        engine = zlib.decompressobj()
        data = engine.decompress(base64.b64decode(text, validate=True), 4 * count + 1)
    except (ValueError, zlib.error) as error:
        raise DataRefused(
            f"domain: the {what} of a mesh cannot be unpacked ({error}); make the file again"
        ) from None
    if len(data) != 4 * count or not engine.eof:
        raise DataRefused(f"domain: the {what} of a mesh are not {count} numbers; make the file again")
    return np.frombuffer(data, dtype="<i4").astype(np.int64)


def _body(form: MeshForm) -> MeshBody:
    corners = form.points_um[form.triangles[with_area(form)]].reshape(-1, 9)
    scale = np.full(3, 1.0 / form.step_um)
    return MeshBody(
        form, surface_of(corners, False, np.array(form.origin_um), scale, np.zeros((0, 0, 0), np.uint8))
    )


def mesh_body(
    points_um: NDArray[np.float64],
    triangles: NDArray[np.int64],
    body: Choice = None,
    what: str = "mesh",
    progress: Callable[[int, int], None] | None = None,
) -> MeshBody:
    """A body from corners (n, 3) and triangles (m, 3), outside seen anticlockwise.

    `body`: which one, where there are several: "largest", "all", or a number from 1, largest first. Raises
    DataRefused, with the place, for a mesh that is not closed, cuts itself, is inside out, or is too large.
    """
    form = on_lattice(points_um, triangles, what)
    ensure_closed(form, what)
    ensure_uncut(form, what, progress)
    return _body(chosen_bodies(form, body, what))


def mesh_from(record: MeshRecord) -> MeshBody:
    """The body of a record. Raises DataRefused; whether it cuts itself was asked when the record was made."""
    if not (0 < record.points <= 3 * MOST_TRIANGLES and 0 < record.triangles <= MOST_TRIANGLES):
        raise DataRefused(f"domain: a mesh of {record.points} corners and {record.triangles} triangles is refused")
    steps = _unpacked(record.steps_zlib, 3 * record.points, "corners").reshape(-1, 3)
    triangles = _unpacked(record.triangles_zlib, 3 * record.triangles, "triangles").reshape(-1, 3)
    if steps.min() < 0 or steps.max() > LATTICE_STEPS or triangles.min() < 0 or triangles.max() >= record.points:
        raise DataRefused("domain: a mesh's record holds numbers that are not on its lattice; make the file again")
    points = np.array(record.origin_um, dtype=np.float64) + np.float64(record.step_um) * steps
    form = on_lattice(points, triangles, "domain")
    ensure_closed(form, "domain")
    volume = mesh_volume_um3(form)
    if not volume > 0:
        raise DataRefused(f"domain: the mesh of a record has the volume {volume:.4g} um3; make the file again")
    return _body(form)
