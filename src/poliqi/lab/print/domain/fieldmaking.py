"""The arrays of a field from the parts of a domain, and the coarse grids of distances to surfaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.print.domain.bound import FACTS, LABELS, MESH, grid_distances
from poliqi.lab.print.domain.field import Field
from poliqi.lab.print.domain.primitive import Primitive
from poliqi.lab.print.domain.surface import Surface

__all__ = ["GRID_NODES", "bare_field", "grid_of"]

GRID_NODES: Final = 300_000
_LAYERS: Final = 4

Progress = Callable[[int, int], None]


def _surface_row(surface: Surface, sign: int, at: tuple[int, int, int, int]) -> tuple[list[int], list[float]]:
    nodes, first, elements, mask = at
    kind = LABELS if surface.flat else MESH
    row = [kind, sign, nodes, first, elements, surface.tree.leaves, 0, 0, 0, 0, mask, *surface.mask.shape]
    return row, [0.0] * 4 + surface.origin_um.tolist() + surface.scale.tolist() + [0.0] * 6


def bare_field(parts: Sequence[Primitive | Surface], signs: Sequence[int]) -> Field:
    """The field without grids, which answers exactly everywhere."""
    rows: list[list[int]] = []
    frames: list[list[float]] = []
    surfaces: list[Surface] = []
    at = (0, 0, 0, 0)
    for part, sign in zip(parts, signs, strict=True):
        if isinstance(part, Primitive):
            rows.append([part.kind, sign] + [0] * (FACTS - 2))
            frames.append(part.frame.tolist())
            continue
        row, frame = _surface_row(part, sign, at)
        rows.append(row)
        frames.append(frame)
        surfaces.append(part)
        n, f, e, m = at
        at = (n + len(part.tree.nodes), f + part.tree.first.size, e + len(part.elements), m + part.mask.size)
    return Field(
        np.array(rows, dtype=np.int64),
        np.array(frames, dtype=np.float64),
        _one([surface.tree.nodes for surface in surfaces], np.empty((0, 6))),
        _one([surface.tree.first for surface in surfaces], np.empty(0, dtype=np.int64)),
        _one([surface.elements for surface in surfaces], np.empty((0, 9))),
        _one([surface.mask.ravel() for surface in surfaces], np.empty(0, dtype=np.uint8)),
        np.empty(0),
    )


def _one(arrays: list[NDArray[Any]], nothing: NDArray[Any]) -> NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate([nothing, *arrays])


def grid_of(field: Field, progress: Progress | None = None) -> Field:
    """The same field with a grid of at most `GRID_NODES` distances for each surface; about half a second each."""
    rows = np.flatnonzero(field.parts[:, 0] >= MESH)
    if not rows.size:
        return field
    parts, frames = field.parts.copy(), field.frames.copy()
    at = 0
    for n in rows:
        box = field.nodes[parts[n, 2] + 1]
        shape, step = _shape(box[3:] - box[:3])
        frames[n, :4] = [*(box[:3] - 1.5 * step), step]
        parts[n, 6:10] = [at, *shape]
        at += int(np.prod(shape))
    grid = np.zeros(at)
    for n in rows:
        layers = int(parts[n, 7])
        for begin in range(0, layers, _LAYERS):
            stop = min(begin + _LAYERS, layers)
            grid_distances(
                parts, frames, int(n), field.nodes, field.first, field.elements, field.mask, grid, begin, stop
            )
            if progress is not None:
                progress(stop, layers)
    return field._replace(parts=parts, frames=frames, grid=grid)


def _shape(size: NDArray[np.float64]) -> tuple[list[int], float]:
    """Nodes along each axis and their spacing: the finest cubes within `GRID_NODES`, with room around the body."""
    step = float(np.cbrt(np.prod(np.maximum(size, size.max() / 64)) / GRID_NODES))
    while True:
        shape = [int(number) for number in np.ceil(size / step) + 4]
        if np.prod(shape) <= GRID_NODES:
            return shape, step
        step *= 1.02
