"""Cells over a domain: which lie inside, how much tissue each holds, and how far its boundary is along each axis.

Everything comes from exact intervals of lines through the cells' centres, so that the boundary is not a staircase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BYTES_PER_CELL", "MOST_CELLS", "Grid", "grid_of", "links_of", "shape_of"]

MOST_CELLS: Final = 27_000_000
BYTES_PER_CELL: Final = 200
"""Memory of a solution, all grids and vectors together."""
_LEAST_CELLS: Final = 4
_NEAREST: Final = 0.01
"""A boundary nearer than this part of the spacing counts as this near."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of a spacing h over a domain; arrays have one empty layer around them.

    `low_um` (3,): corner of the first cell. `inside`: float32, 1 where a cell's centre lies in the domain.
    `volume`: float32, tissue in a cell in h^3. `ground`: float32, conductance to the boundary in D h, where that is
    held; else 0.
    """

    low_um: NDArray[np.float64]
    spacing_um: float
    inside: NDArray[np.float32]
    volume: NDArray[np.float32]
    ground: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along x, y, z, without the layer around them."""
        nx, ny, nz = (n - 2 for n in self.inside.shape)
        return nx, ny, nz

    def place_um(self, at: tuple[int, ...]) -> tuple[float, float, float]:
        """Centre of a cell, counted from 0 without the layer."""
        x, y, z = (self.low_um + (np.array(at) + 0.5) * self.spacing_um).tolist()
        return x, y, z


def shape_of(bounds_um: NDArray[np.float64], spacing_um: float) -> tuple[int, int, int]:
    """Cells that cover a box. Raises ConfigError for fewer than 4 on the longest side or too many."""
    extent: NDArray[np.float64] = bounds_um[1] - bounds_um[0]
    if not spacing_um > 0 or not np.isfinite(spacing_um):
        raise ConfigError(f"oxygen: spacing {spacing_um} um; give a length above 0")
    counts: NDArray[np.float64] = np.maximum(np.ceil(extent / spacing_um - 1e-6), 1)
    total = float(np.prod(counts))
    if counts.max() < _LEAST_CELLS:
        raise ConfigError(f"oxygen: {counts.max():.0f} cells of {spacing_um:g} um; give at least {_LEAST_CELLS}")
    if total > MOST_CELLS:
        raise ConfigError(
            f"oxygen: {total:.3g} cells of {spacing_um:g} um need {total * BYTES_PER_CELL / 2**30:.1f} GiB; "
            f"the limit is {MOST_CELLS} cells, a spacing of {spacing_um * (total / MOST_CELLS) ** (1 / 3):.3g} um"
        )
    nx, ny, nz = counts.astype(int).tolist()
    return nx, ny, nz


def grid_of(domain: Any, spacing_um: float, *, is_held: bool) -> Grid:
    """The cells of a domain, which has `bounds_um`, `volume_um3` and `spans`; `is_held`: its boundary is a bath."""
    bounds = np.asarray(domain.bounds_um, np.float64)
    shape = shape_of(bounds, spacing_um)
    padded = tuple(n + 2 for n in shape)
    inside = np.zeros(padded, np.float32)
    ends = [_ends(domain, axis, bounds[0], spacing_um, shape, inside if axis == 0 else None) for axis in range(3)]
    ground = np.zeros(padded, np.float32)
    if not is_held:
        return Grid(bounds[0], spacing_um, inside, _filled(domain, bounds[0], spacing_um, inside), ground)
    volume = inside.copy()
    for cell, theta in ends:
        np.multiply.at(volume.reshape(-1), cell, (0.5 + 0.5 * theta).astype(np.float32))
        np.add.at(ground.reshape(-1), cell, (1 / np.maximum(theta, _NEAREST)).astype(np.float32))
    return Grid(bounds[0], spacing_um, inside, volume * inside, ground * inside)


def _filled(domain: Any, low: NDArray[np.float64], h: float, inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Tissue in each cell, from four lines through it; that of cells without an unknown goes to neighbours."""
    nx, ny, nz = inside.shape[0] - 2, inside.shape[1] - 2, inside.shape[2] - 2
    u, v = np.indices((2 * ny, 2 * nz)).reshape(2, -1)
    spans = domain.spans(0, low[1] + (u + 0.5) * h / 2, low[2] + (v + 0.5) * h / 2)
    line = np.repeat(np.arange(u.size), np.diff(spans.offsets))
    steps = np.zeros((nx + 2, ny, nz))
    for edge, sign in ((spans.start_um, 0.25), (spans.end_um, -0.25)):
        x = np.clip((edge - low[0]) / h, 0, nx)
        cell = np.floor(x).astype(np.int64)
        at = (u[line] // 2, v[line] // 2)
        np.add.at(steps, (cell, *at), sign * (1 - (x - cell)))
        np.add.at(steps, (cell + 1, *at), sign * (x - cell))
    volume = np.zeros(inside.shape)
    volume[1:-1, 1:-1, 1:-1] = np.cumsum(steps, axis=0)[:nx]
    whole = domain.volume_um3 / h**3
    orphans = volume * (inside == 0)
    volume *= inside
    beside = np.zeros_like(volume)
    for axis in range(3):
        for shift in (1, -1):
            beside += np.roll(inside, shift, axis)
    part = np.divide(orphans, beside, out=np.zeros_like(volume), where=beside > 0)
    for axis in range(3):
        for shift in (1, -1):
            volume += np.roll(part, shift, axis) * inside
    found = float(volume.sum())
    return (volume * (whole / found if found > 0 else 1.0)).astype(np.float32)


def _ends(
    domain: Any,
    axis: int,
    low: NDArray[np.float64],
    h: float,
    shape: tuple[int, int, int],
    inside: NDArray[np.float32] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells beside the boundary along an axis, and its distance from their centre over h."""
    p, q = [other for other in range(3) if other != axis]
    up, uq = np.meshgrid(np.arange(shape[p]), np.arange(shape[q]), indexing="ij")
    spans = domain.spans(axis, low[p] + (up.ravel() + 0.5) * h, low[q] + (uq.ravel() + 0.5) * h)
    line = np.repeat(np.arange(up.size), np.diff(spans.offsets))
    start, end = (spans.start_um - low[axis]) / h - 0.5, (spans.end_um - low[axis]) / h - 0.5
    first = np.maximum(np.ceil(start), 0).astype(np.int64)
    last = np.minimum(np.floor(end), shape[axis] - 1).astype(np.int64)
    real = last >= first
    line, start, end, first, last = line[real], start[real], end[real], first[real], last[real]
    at = np.zeros((3, line.size), np.int64)
    at[p], at[q] = up.ravel()[line] + 1, uq.ravel()[line] + 1
    cells: list[NDArray[np.int64]] = []
    padded = tuple(n + 2 for n in shape)
    for edge in (first, last):
        at[axis] = edge + 1
        cells.append((at[0] * padded[1] + at[1]) * padded[2] + at[2])
    if inside is not None:
        steps = np.zeros(padded, np.int32)
        np.add.at(steps.reshape(-1), cells[0], 1)
        after = cells[1] + int(np.prod(padded[axis + 1 :]))
        np.add.at(steps.reshape(-1), after, -1)
        inside[:] = np.cumsum(steps, axis=axis) > 0
    theta = np.concatenate([first - start, end - last])
    return np.concatenate(cells), np.clip(theta, 0.0, 1.0)


def links_of(grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Conductance between neighbours that lie inside, along x, y, z: 1, or the mean of what the two cells hold.

    The latter where the boundary is closed: a cell that is cut conducts less along the boundary.
    """
    found: list[NDArray[np.float32]] = []
    width = grid.volume if not grid.ground.any() else grid.inside
    for axis in range(3):
        this, following = [slice(None)] * 3, [slice(None)] * 3
        this[axis], following[axis] = slice(None, -1), slice(1, None)
        a, b = tuple(this), tuple(following)
        link = np.zeros_like(width)
        link[a] = np.float32(0.5) * (width[a] + width[b]) * grid.inside[a] * grid.inside[b]
        found.append(link)
    return found[0], found[1], found[2]
