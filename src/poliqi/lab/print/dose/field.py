"""The dose in a box of the tissue, voxel by voxel, and the volume that it leaves open."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.dose.capsulelines import capsule_table
from poliqi.lab.print.dose.depositing import (
    add_plane_kernel,
    add_vectors_kernel,
    lit_kernel,
)
from poliqi.lab.print.dose.exposure import REACH, Exposure
from poliqi.lab.print.hatch.settings import Mode
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network

__all__ = ["DoseField", "Grid", "design_volume_um3", "dose_field", "dose_of_vectors", "grid_of", "open_volume_um3"]

MOST_BYTES: Final = 2 << 30
_BYTES_PER_VOXEL: Final = 4
_FINEST: Final = 2.0
"""Voxels to a 1/e radius: the surface between them is then found to 3 % of the radius (tests)."""
_FIRST_ROOM: Final = 4096


@dataclass(frozen=True, slots=True)
class Grid:
    """Voxels at low + i step: `low_um` and `step_um` (x, y, z), `shape` (z, y, x)."""

    low_um: tuple[float, float, float]
    step_um: tuple[float, float, float]
    shape: tuple[int, int, int]

    def places_um(self, axis: int) -> NDArray[np.float64]:
        """Coordinates of the voxels' centres along x, y or z (0, 1, 2)."""
        return self.low_um[axis] + self.step_um[axis] * np.arange(self.shape[2 - axis], dtype=np.float64)

    @property
    def bytes(self) -> int:
        """What a field on it takes in memory, with the plane that is worked on."""
        return _BYTES_PER_VOXEL * (math.prod(self.shape) + self.shape[1] * self.shape[2])


@dataclass(frozen=True, slots=True)
class DoseField:
    """Dose as parts of the mean within a solid: `values` float32 (z, y, x) on `grid`."""

    grid: Grid
    values: NDArray[np.float32]


def grid_of(
    box_um: NDArray[np.float64],
    exposure: Exposure,
    step_um: tuple[float, float] | None = None,
    most_bytes: int = MOST_BYTES,
) -> Grid:
    """Voxels of half a 1/e radius (or `step_um`: across, along the light) at most, that fill a box (2, 3) exactly.

    Raises DataRefused where the box is none or the field would take more than `most_bytes`.
    """
    if box_um.shape != (2, 3) or not bool(np.isfinite(box_um).all()) or bool(np.any(box_um[1] <= box_um[0])):
        raise DataRefused(
            f"dose: region {box_um.tolist()} is no box; give x0,y0,z0,x1,y1,z1 with x0 < x1 and so on"
        )
    step = (exposure.w_xy_um / _FINEST, exposure.w_z_um / _FINEST) if step_um is None else step_um
    size = (box_um[1] - box_um[0]).tolist()
    counts = [max(math.ceil(size[axis] / step[axis // 2]), 1) for axis in range(3)]
    x, y, z = (size[axis] / counts[axis] for axis in range(3))
    low = [float(box_um[0, axis]) + one / 2 for axis, one in enumerate((x, y, z))]
    grid = Grid((low[0], low[1], low[2]), (x, y, z), (counts[2], counts[1], counts[0]))
    if grid.bytes > most_bytes:
        side = (most_bytes / grid.bytes) ** (1 / 3) * max(size)
        raise DataRefused(
            f"dose: a region of {size[0]:.4g} x {size[1]:.4g} x {size[2]:.4g} um has {math.prod(grid.shape):,} "
            f"voxels and takes {grid.bytes / 1e9:.1f} GB, more than {most_bytes / 1e9:.1f} GB; name a smaller one, "
            f"with sides up to {side:.0f} um"
        )
    return grid


def dose_field(
    domain: Domain,
    network: Network,
    exposure: Exposure,
    grid: Grid,
    progress: Callable[[int, int], None] | None = None,
) -> DoseField:
    """The dose where every line within reach of the grid is lit as it is hatched: exact but for light beyond 4 w.

    What that leaves out is less than 2e-7 of the dose within a solid; sums are of 32 bits, good to 2e-6.
    """
    low, high = _box_within_reach(grid, exposure)
    table = capsule_table(network)
    near = _near_box(table, low, high, exposure.wall_um)

    def layers() -> Iterable[tuple[float, int, NDArray[np.float64]]]:
        first = math.ceil((float(low[2]) - exposure.origin_um[2]) / exposure.layer_um - 0.5)
        last = math.floor((float(high[2]) - exposure.origin_um[2]) / exposure.layer_um - 0.5)
        for k in range(first, last + 1):
            z = exposure.origin_um[2] + (k + 0.5) * exposure.layer_um
            yield z, k % 2, _lit_lines(domain, table, near, exposure, k % 2, z, low, high)
            if progress is not None:
                progress(k - first + 1, last - first + 1)

    return dose_of_vectors(exposure, layers(), grid)


def dose_of_vectors(
    exposure: Exposure, layers: Iterable[tuple[float, int, NDArray[np.float64]]], grid: Grid
) -> DoseField:
    """The dose of scan vectors: of each layer its z (um), the axis its lines run along, and lines (n, 3).

    A line is (across, from, to) in um; two entries for a layer that has lines both ways.
    """
    values = np.zeros(grid.shape, dtype=np.float32)
    plane = np.zeros(grid.shape[1:], dtype=np.float32)
    room = max(plane.shape)
    along, across = np.empty(room), np.empty(room)
    w, w_z, peak = exposure.w_xy_um, exposure.w_z_um, float(exposure.parameters[7])
    z = grid.places_um(2)
    for z_um, axis, lines in layers:
        reached = np.flatnonzero(np.abs(z - z_um) <= REACH * w_z)
        if not len(reached) or not len(lines):
            continue
        plane[:] = 0
        low = (grid.low_um[0], grid.low_um[1])
        add_vectors_kernel(axis, np.ascontiguousarray(lines), w, low, grid.step_um[:2], plane, along, across)
        weights = (peak * np.exp(-(((z[reached] - z_um) / w_z) ** 2))).astype(np.float32)
        add_plane_kernel(plane, weights, int(reached[0]), values)
    return DoseField(grid, values)


def _box_within_reach(grid: Grid, exposure: Exposure) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low = np.array(grid.low_um)
    high = np.array([grid.places_um(axis)[-1] for axis in range(3)])
    far = REACH * np.array([exposure.w_xy_um, exposure.w_xy_um, exposure.w_z_um])
    return low - far, high + far


def _near_box(
    table: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], wide_um: float
) -> NDArray[np.int64]:
    """Capsules whose bounding boxes come into a box."""
    one, two = table[:, :3], table[:, :3] + table[:, 3:6] * table[:, 6:7]
    reach = table[:, 7:8] + wide_um
    meets = (np.minimum(one, two) - reach <= high) & (np.maximum(one, two) + reach >= low)
    return np.flatnonzero(meets.all(axis=1)).astype(np.int64)


def _lit_lines(
    domain: Domain,
    table: NDArray[np.float64],
    near: NDArray[np.int64],
    exposure: Exposure,
    axis: int,
    z: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Lines of one layer within a box: (n, 3) across, from, to."""
    other = 1 - axis
    first, pitch = exposure.origin_um[other], exposure.hatch_um
    begin = math.ceil((float(low[other]) - first) / pitch - 0.5)
    stop = math.floor((float(high[other]) - first) / pitch - 0.5) + 1
    numbers = np.arange(begin, max(stop, begin), dtype=np.float64)
    across = first + (numbers + 0.5) * pitch
    spans = domain.spans(axis, across, np.full(len(across), z))
    reach = table[near, 7] + exposure.wall_um
    one, two = table[near, 2], table[near, 2] + table[near, 5] * table[near, 6]
    at_height = near[(np.minimum(one, two) - reach <= z) & (np.maximum(one, two) + reach >= z)]
    window = (float(low[axis]), float(high[axis]))
    fixed = (table, at_height, exposure.kind, exposure.wall_um, axis, across, z)
    fill = partial(lit_kernel, *fixed, spans.offsets, spans.start_um, spans.end_um, window)
    return _lit(fill, 2 * len(spans.start_um))


def _lit(fill: Callable[[NDArray[np.float64]], int], room: int) -> NDArray[np.float64]:
    """Rows that `fill` puts into an array, in as much room as it takes."""
    room = max(_FIRST_ROOM, room)
    while True:
        out = np.empty((room, 3))
        count = fill(out)
        if count >= 0:
            return out[:count]
        room *= 4


def open_volume_um3(field: DoseField, exposure: Exposure, domain: Domain, network: Network) -> float:
    """Volume that prints as lumen in the grid's box, within the domain.

    Where the dose crosses the threshold between two voxels it is taken as linear, so that the volume goes with the
    dose and not in steps of voxels; a voxel counts where its centre is in the domain, and of walls where it is
    within half a wall of the designed lumen: beyond the wall all is open.
    """
    lack = exposure.threshold - field.values.astype(np.float64)
    if exposure.action is Action.DEGRADE:
        lack = -lack
    inside = _inside(field.grid, domain, network, exposure)
    part = np.zeros_like(lack)
    here, there = lack[:, :, :-1], lack[:, :, 1:]
    span = np.abs(here - there)
    crossing = (here > 0) != (there > 0)
    reach = np.where(crossing, np.abs(here) / np.where(crossing, span, 1.0), 1.0)
    left = np.where(crossing, np.clip(2 * reach, 0, 1), 1.0)
    right = np.where(crossing, np.clip(2 * (1 - reach), 0, 1), 1.0)
    half_left = np.where(here > 0, left, np.where(crossing, 1 - left, 0.0))
    half_right = np.where(there > 0, right, np.where(crossing, 1 - right, 0.0))
    part[:, :, :-1] += 0.5 * half_left
    part[:, :, 1:] += 0.5 * half_right
    part[:, :, 0] += 0.5 * (lack[:, :, 0] > 0)
    part[:, :, -1] += 0.5 * (lack[:, :, -1] > 0)
    return float(part[inside].sum() * math.prod(field.grid.step_um))


def _inside(grid: Grid, domain: Domain, network: Network, exposure: Exposure) -> NDArray[np.bool_]:
    """Which voxels have their centre where lumen is counted, by scan lines."""
    x, y, z = (grid.places_um(axis) for axis in range(3))
    v, u = np.meshgrid(z, y, indexing="ij")
    spans = domain.spans(0, u.ravel(), v.ravel())
    line = np.repeat(np.arange(u.size), np.diff(spans.offsets))
    inside = _between(x, u.size, line, spans.start_um, spans.end_um).reshape(grid.shape)
    if exposure.mode is not Mode.WALL:
        return inside
    table = capsule_table(network)
    table[:, 7] += exposure.wall_um / 2
    low, high = _box_within_reach(grid, exposure)
    near = _near_box(table, low, high, 0.0)
    whole = np.arange(len(y) + 1, dtype=np.int64)
    starts, ends = np.full(len(y), low[0]), np.full(len(y), high[0])
    window = (float(low[0]), float(high[0]))
    for k, plane in enumerate(z):
        fill = partial(lit_kernel, table, near, 2, 0.0, 0, y, float(plane), whole, starts, ends, window)
        found = _lit(fill, 2 * len(y))
        inside[k] &= _between(x, len(y), np.searchsorted(y, found[:, 0]), found[:, 1], found[:, 2])
    return inside


def _between(
    x: NDArray[np.float64],
    lines: int,
    line: NDArray[np.int64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Which of the places `x` of each line are in its intervals, (lines, x)."""
    change = np.zeros((lines, len(x) + 1), dtype=np.int32)
    np.add.at(change, (line, np.searchsorted(x, start)), 1)
    np.add.at(change, (line, np.searchsorted(x, end)), -1)
    return np.cumsum(change, axis=1)[:, :-1] > 0


def design_volume_um3(network: Network, grid: Grid, domain: Domain) -> float:
    """Volume of the designed lumen in the grid's box and the domain: exact along x, the midpoint rule across."""
    table = capsule_table(network)
    half = grid.step_um[0] / 2
    x, y, z = (grid.places_um(axis) for axis in range(3))
    low = np.array([x[0] - half, y[0], z[0]])
    high = np.array([x[-1] + half, y[-1], z[-1]])
    near = _near_box(table, low, high, 0.0)
    window = (float(low[0]), float(high[0]))
    length = 0.0
    for plane in z.tolist():
        spans = domain.spans(0, y, np.full(len(y), plane))
        inside = (spans.offsets, spans.start_um, spans.end_um)
        fill = partial(lit_kernel, table, near, 2, 0.0, 0, y, plane, *inside, window)
        found = _lit(fill, 2 * len(y))
        length += float((found[:, 2] - found[:, 1]).sum())
    return length * grid.step_um[1] * grid.step_um[2]
