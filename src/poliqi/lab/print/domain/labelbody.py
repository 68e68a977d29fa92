"""The voxels of a label as part of a domain: exactly the union of their boxes, stairs included.

The stairs are meant: spans, clearance, volume and solid then describe one and the same body without a parameter,
and no surface is invented that the volume does not hold. What is printed is coarser than most voxels; where it is
not, resample the volume before.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.print.domain.intervals import Spans
from poliqi.lab.print.domain.labelvolume import inflated
from poliqi.lab.print.domain.primitive import LONGEST_UM
from poliqi.lab.print.domain.rectangles import face_rectangles, runs
from poliqi.lab.print.domain.surface import Surface, surface_of

__all__ = ["MOST_RECTANGLES", "MOST_VOXELS", "LabelBody", "LabelRecord", "label_body", "labels_from"]

MOST_VOXELS: Final = 64_000_000
MOST_RECTANGLES: Final = 2_000_000

Triple = tuple[float, float, float]
Runs = tuple[NDArray[np.int64], NDArray[np.int32]]


class LabelRecord(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="labels"
):
    """Voxels in a record: one bit each, z fastest, compressed, in base 64."""

    shape: tuple[int, int, int]
    voxel_um: Triple
    origin_um: Triple
    bits_zlib: str


@dataclass(frozen=True, slots=True)
class LabelBody:
    """`solid` uint8 (nx, ny, nz), ones and noughts; voxel (i, j, k) begins at `origin_um` + (i, j, k) voxels."""

    solid: NDArray[np.uint8]
    voxel_um: Triple
    origin_um: Triple
    surface: Surface = field(repr=False)
    _runs: dict[int, Runs] = field(default_factory=dict[int, Runs], repr=False)

    @property
    def record(self) -> dict[str, Any]:
        """Everything that makes it again."""
        bits = base64.b64encode(zlib.compress(np.packbits(self.solid).tobytes(), 6)).decode("ascii")
        a, b, c = self.solid.shape
        record = LabelRecord(shape=(a, b, c), voxel_um=self.voxel_um, origin_um=self.origin_um, bits_zlib=bits)
        return msgspec.to_builtins(record)

    @property
    def bounds_um(self) -> NDArray[np.float64]:
        """The tight box, (2, 3)."""
        return self.surface.bounds_um

    @property
    def volume_um3(self) -> float:
        """Number of voxels times the volume of one."""
        return float(np.count_nonzero(self.solid) * np.prod(self.voxel_um))

    def spans(self, axis: int, u_um: NDArray[np.float64], v_um: NDArray[np.float64]) -> Spans:
        """Where lines parallel to `axis` lie inside; a line between two voxels belongs to the one above."""
        first, second = ((1, 2), (0, 2), (0, 1))[axis]
        offsets, found = self._runs_along(axis)
        i = np.floor((u_um - self.origin_um[first]) * self.surface.scale[first])
        j = np.floor((v_um - self.origin_um[second]) * self.surface.scale[second])
        n, m = self.solid.shape[first], self.solid.shape[second]
        there = (i >= 0) & (i < n) & (j >= 0) & (j < m)
        row = np.where(there, i * m + j, 0).astype(np.int64)
        count = np.where(there, offsets[row + 1] - offsets[row], 0)
        places = np.zeros(u_um.size + 1, dtype=np.int64)
        np.cumsum(count, out=places[1:])
        at: NDArray[np.int64] = np.repeat(offsets[row] - places[:-1], count)
        at += np.arange(at.size)
        ends = self.origin_um[axis] + self.voxel_um[axis] * found[at].astype(np.float64)
        return Spans(places, ends[:, 0].copy(), ends[:, 1].copy())

    def _runs_along(self, axis: int) -> Runs:
        if axis not in self._runs:
            turned = np.ascontiguousarray(np.moveaxis(self.solid, axis, 2))
            n, m = turned.shape[:2]
            starts = int(np.count_nonzero(turned[:, :, 0])) + int(
                np.count_nonzero(turned[:, :, 1:] > turned[:, :, :-1])
            )
            offsets, found = np.zeros(n * m + 1, dtype=np.int64), np.zeros((starts + 1, 2), dtype=np.int32)
            runs(turned, offsets, found)
            self._runs[axis] = offsets, found
        return self._runs[axis]


def _rectangles(solid: NDArray[np.uint8], origin: Triple, voxel: Triple, what: str) -> NDArray[np.float64]:
    parts: list[NDArray[np.float64]] = []
    for axis in range(3):
        order = (axis, (axis + 1) % 3, (axis + 2) % 3)
        turned = np.ascontiguousarray(solid.transpose(order))
        found = np.empty((MOST_RECTANGLES, 5), dtype=np.int32)
        n = face_rectangles(turned, found)
        if n < 0 or n + sum(map(len, parts)) > MOST_RECTANGLES:
            raise DataRefused(
                f"{what}: its surface has more than {MOST_RECTANGLES} pieces; smooth or coarsen the labels"
            )
        rows = np.zeros((n, 9))
        for k, (low, high) in zip(order, ((0, 0), (1, 2), (3, 4)), strict=True):
            rows[:, k] = origin[k] + voxel[k] * found[:n, low]
            rows[:, 3 + k] = origin[k] + voxel[k] * found[:n, high]
        parts.append(rows)
    return np.concatenate(parts)


def label_body(solid: NDArray[np.bool_], voxel_um: Triple, origin_um: Triple, what: str = "labels") -> LabelBody:
    """The body of the voxels that are true. Raises DataRefused for none, too many, or impossible sizes."""
    sizes = np.array(voxel_um) * solid.shape
    fine = all(1e-3 <= size <= LONGEST_UM for size in voxel_um) and bool(np.all(np.abs(origin_um) <= LONGEST_UM))
    if not fine or sizes.max() > LONGEST_UM or not 0 < solid.size <= MOST_VOXELS:
        raise DataRefused(
            f"{what}: {solid.shape} voxels of {voxel_um} um; up to {MOST_VOXELS} of .001 um or more, within "
            f"{LONGEST_UM:g} um, can be used: check unit and scale"
        )
    if not solid.any():
        raise DataRefused(f"{what}: no voxel lies inside; choose another label")
    bytes_ = np.ascontiguousarray(solid).astype(np.uint8)
    scale = 1.0 / np.array(voxel_um)
    surface = surface_of(_rectangles(bytes_, origin_um, voxel_um, what), True, np.array(origin_um), scale, bytes_)
    return LabelBody(bytes_, voxel_um, origin_um, surface)


def labels_from(record: LabelRecord) -> LabelBody:
    """The body of a record. Raises DataRefused."""
    n = 1
    for size in record.shape:
        n *= max(size, 0)
    if not 0 < n <= MOST_VOXELS:
        raise DataRefused(f"domain: labels of the shape {record.shape} are refused; up to {MOST_VOXELS} voxels")
    try:
        packed = base64.b64decode(record.bits_zlib, validate=True)
    except ValueError as error:
        raise DataRefused(f"domain: the voxels of a record cannot be unpacked ({error})") from None
    bits = np.frombuffer(inflated(packed, -(-n // 8), "domain"), dtype=np.uint8)
    solid = np.unpackbits(bits, count=n).reshape(record.shape).astype(bool)
    return label_body(solid, record.voxel_um, record.origin_um, "domain")
