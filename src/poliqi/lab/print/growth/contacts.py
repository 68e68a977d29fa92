"""The judge of contacts: vessels whose lumens come nearer than a gap where they are not one lumen.

Two points at a distance d, one on the axis of each of two segments, belong to one lumen where the shortest path
between them along the axes of the network is shorter than three times d, or than 3 (r1 + r2); 3 lets two vessels of
a joint part at 39 degrees or more. Two segments are in contact where points that are not of one lumen are nearer
than r1 + r2 + gap; what is in contact at a gap is so at every larger one. See docs/explanation/vessel-growth.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.base.jit import load_compiler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.network import Network

__all__ = ["SAME_LUMEN", "Contacts", "contacts"]

SAME_LUMEN: Final = 3.0
_PART: Final = 20_000
_FIRST_ROOM: Final = 1024
_MOST_CELLS: Final = 16_000_000


@dataclass(frozen=True, slots=True)
class Contacts:
    """Pairs of segments (k, 2) that come too near, in order.

    `distance_um` (k,): between their surfaces, negative where they overlap. `place_um` (k, 3): half-way between the
    two closest points of their axes.
    """

    pairs: NDArray[np.int32]
    distance_um: NDArray[np.float64]
    place_um: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.pairs)


def contacts(network: Network, gap_um: float, *, progress: Callable[[int, int], None] | None = None) -> Contacts:
    """All pairs of segments in contact. Exact, for capsules and any graph; `gap_um` from 0. Raises ConfigError."""
    if not 0.0 <= gap_um < np.inf:
        raise ConfigError(f"contacts: gap_um = {gap_um!r}; give a distance in um from 0")
    load_compiler()
    from poliqi.lab.print.growth.contactkernels import cell_counts, cell_fill, search

    points = np.ascontiguousarray(network.points_um, dtype=np.float64)
    segments = np.ascontiguousarray(network.segments, dtype=np.int32)
    radius = np.ascontiguousarray(network.radius_um, dtype=np.float64)
    near, far = network.start_um, network.end_um
    m = len(segments)
    origin, edge, shape = _grid(points, network.length_um, radius, gap_um)
    offset = np.zeros(int(np.prod(shape)) + 1, dtype=np.int64)
    cell_counts(near, far, radius, 0.5 * gap_um, origin, edge, shape, offset)
    np.cumsum(offset, out=offset)
    listed = np.empty(int(offset[-1]), dtype=np.int32)
    cell_fill(near, far, radius, 0.5 * gap_um, origin, edge, shape, offset[:-1].copy(), listed)
    first, ends, lengths = _neighbours(segments, network.length_um, len(points))
    known = np.full(len(points), np.inf)
    touched = np.empty(max(4 * len(points), 64), dtype=np.int32)
    seen = np.full(m, -1, dtype=np.int64)
    found: list[tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]] = []
    for begin in range(0, m, _PART):
        end = min(begin + _PART, m)
        room = _FIRST_ROOM
        while True:
            pairs, distances, places = np.empty((room, 2), np.int32), np.empty(room), np.empty((room, 3))
            many = search(
                begin, end, points, segments, radius, gap_um, SAME_LUMEN, origin, edge, shape, offset, listed,
                first, ends, lengths, known, touched, seen, pairs, distances, places,
            )  # fmt: skip
            if many <= room:
                break
            room = many
            seen[:] = -1
        found.append((pairs[:many], distances[:many], places[:many]))
        if progress is not None:
            progress(end, m)
    pairs = np.concatenate([one[0] for one in found])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Contacts(
        pairs[order],
        np.concatenate([one[1] for one in found])[order],
        np.concatenate([one[2] for one in found])[order],
    )


def _grid(
    points: NDArray[np.float64], length: NDArray[np.float64], radius: NDArray[np.float64], gap: float
) -> tuple[NDArray[np.float64], float, NDArray[np.int64]]:
    """Origin, edge and shape of cells of about a vessel's length."""
    margin = float(radius.max()) + gap
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    size: NDArray[np.float64] = high - low
    edge = float(np.median(length)) + 2.0 * float(np.median(radius)) + gap
    edge = max(edge, float(np.prod(size) / (2.0 * len(length) + 64.0)) ** (1.0 / 3.0))
    edge = max(edge, float(np.prod(size) / _MOST_CELLS) ** (1.0 / 3.0), float(size.max()) / 4000.0)
    return low, edge, np.maximum(np.ceil(size / edge), 1.0).astype(np.int64)


def _neighbours(
    segments: NDArray[np.int32], length: NDArray[np.float64], nodes: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Neighbours of each node: where they begin, which they are, how far they are."""
    begin = np.concatenate((segments[:, 0], segments[:, 1]))
    end = np.concatenate((segments[:, 1], segments[:, 0]))
    order = np.argsort(begin, kind="stable")
    first = np.searchsorted(begin[order], np.arange(nodes + 1))
    return first.astype(np.int64), end[order], np.concatenate((length, length))[order]
