"""Pairs of capsules that touch or nearly do: a grid of cells, then the exact distance of two segments.

`near_pairs_plain` says in numpy what the kernel finds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from poliqi.base.jit import kernel
from poliqi.lab.print.dose.capsulelines import capsule_table
from poliqi.lab.print.growth.closest import free_closest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.network import Network

__all__ = ["Pairs", "near_pairs", "near_pairs_plain"]

_MOST_CELLS: Final = 2_000_000
_AT_ONCE: Final = 50_000


class Pairs(NamedTuple):
    """Pairs of segments, i < j: `gap_um` between their surfaces (negative: they overlap), and the nearest points.

    `first`, `second`: int64 (p,); `gap_um`: float64 (p,); `at_first`, `at_second`: float64 (p,), where along each
    segment the two axes come nearest, from 0 to 1.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    gap_um: NDArray[np.float64]
    at_first: NDArray[np.float64]
    at_second: NDArray[np.float64]


@kernel
def _enter(
    low: NDArray[np.int64], high: NDArray[np.int64], shape: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """How many capsules lie in each cell, by their boxes."""
    for i in range(low.shape[0]):
        for x in range(low[i, 0], high[i, 0] + 1):
            for y in range(low[i, 1], high[i, 1] + 1):
                for z in range(low[i, 2], high[i, 2] + 1):
                    counts[(x * shape[1] + y) * shape[2] + z] += 1


@kernel
def _list(
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    shape: NDArray[np.int64],
    place: NDArray[np.int64],
    listed: NDArray[np.int32],
) -> None:
    """Capsules of each cell; `place` begins where each cell's part begins."""
    for i in range(low.shape[0]):
        for x in range(low[i, 0], high[i, 0] + 1):
            for y in range(low[i, 1], high[i, 1] + 1):
                for z in range(low[i, 2], high[i, 2] + 1):
                    cell = (x * shape[1] + y) * shape[2] + z
                    listed[place[cell]] = i
                    place[cell] += 1


@kernel
def _search(
    begin: int,
    end: int,
    table: NDArray[np.float64],
    low: NDArray[np.int64],
    shape: NDArray[np.int64],
    offsets: NDArray[np.int64],
    listed: NDArray[np.int32],
    gap: float,
    indices: NDArray[np.int64],
    numbers: NDArray[np.float64],
) -> int:
    """Pairs of the cells from `begin` to `end`; how many there are, also where the arrays are too short.

    A pair is looked at only in the last of the first cells of both, so no pair comes twice.
    """
    count = 0
    for cell in range(begin, end):
        z = cell % shape[2]
        y = (cell // shape[2]) % shape[1]
        x = cell // (shape[2] * shape[1])
        for p in range(offsets[cell], offsets[cell + 1]):
            i = listed[p]
            for q in range(p + 1, offsets[cell + 1]):
                j = listed[q]
                if (
                    max(low[i, 0], low[j, 0]) != x
                    or max(low[i, 1], low[j, 1]) != y
                    or max(low[i, 2], low[j, 2]) != z
                ):
                    continue
                a, b = table[i], table[j]
                s, t = free_closest(
                    a[0], a[1], a[2], a[3], a[4], a[5], a[6], b[0], b[1], b[2], b[3], b[4], b[5], b[6]
                )
                dx = a[0] + s * a[3] - b[0] - t * b[3]
                dy = a[1] + s * a[4] - b[1] - t * b[4]
                dz = a[2] + s * a[5] - b[2] - t * b[5]
                free = math.sqrt(dx * dx + dy * dy + dz * dz) - a[7] - b[7]
                if free < gap:
                    if count < indices.shape[0]:
                        indices[count, 0] = i
                        indices[count, 1] = j
                        numbers[count, 0] = free
                        numbers[count, 1] = s / max(a[6], 1e-300)
                        numbers[count, 2] = t / max(b[6], 1e-300)
                    count += 1
    return count


def near_pairs(network: Network, gap_um: float) -> Pairs:
    """All pairs of segments whose surfaces are less than `gap_um` apart, those that share a point too; by i, j."""
    reach = network.radius_um[:, None] + 0.5 * max(gap_um, 0.0)
    least = np.minimum(network.start_um, network.end_um) - reach
    most = np.maximum(network.start_um, network.end_um) + reach
    origin = least.min(axis=0)
    extent = most.max(axis=0) - origin
    cell = max(float(np.median((most - least).max(axis=1))), float((extent.prod() / _MOST_CELLS) ** (1 / 3)))
    shape = (extent // cell).astype(np.int64) + 1
    while int(shape.prod()) > 2 * _MOST_CELLS:
        cell *= 1.5
        shape = (extent // cell).astype(np.int64) + 1
    low = ((least - origin) // cell).astype(np.int64)
    high = np.minimum(((most - origin) // cell).astype(np.int64), shape - 1)
    counts = np.zeros(int(shape.prod()), dtype=np.int64)
    _enter(low, high, shape, counts)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    listed = np.empty(int(offsets[-1]), dtype=np.int32)
    _list(low, high, shape, offsets[:-1].copy(), listed)
    return _in_parts(capsule_table(network), low, shape, offsets, listed, gap_um)


def _in_parts(
    table: NDArray[np.float64],
    low: NDArray[np.int64],
    shape: NDArray[np.int64],
    offsets: NDArray[np.int64],
    listed: NDArray[np.int32],
    gap_um: float,
) -> Pairs:
    """Cells in parts of about equal work, so that a key press comes through."""
    room = 4 * len(table) + 64
    indices, numbers = np.empty((room, 2), dtype=np.int64), np.empty((room, 3))
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    cuts = np.searchsorted(offsets, np.arange(0, len(listed) + _AT_ONCE, _AT_ONCE))
    cuts = np.unique(np.append(np.clip(cuts, 0, len(offsets) - 1), [0, len(offsets) - 1]))
    for begin, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        count = _search(begin, end, table, low, shape, offsets, listed, gap_um, indices, numbers)
        if count > len(indices):
            indices, numbers = np.empty((count, 2), dtype=np.int64), np.empty((count, 3))
            _search(begin, end, table, low, shape, offsets, listed, gap_um, indices, numbers)
        found.append((indices[:count].copy(), numbers[:count].copy()))
    both, numbers = np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])
    swapped = both[:, 0] > both[:, 1]
    first, second = both.min(axis=1), both.max(axis=1)
    at_first = np.where(swapped, numbers[:, 2], numbers[:, 1])
    at_second = np.where(swapped, numbers[:, 1], numbers[:, 2])
    order = np.lexsort((second, first))
    return Pairs(first[order], second[order], numbers[order, 0], at_first[order], at_second[order])


def near_pairs_plain(network: Network, gap_um: float, steps: int = 4000) -> list[tuple[int, int, float]]:
    """What `near_pairs` finds, by sampling each segment finely: (i, j, gap), the gap at most a little too large."""
    t = np.linspace(0.0, 1.0, steps)[:, None]
    found: list[tuple[int, int, float]] = []
    for i in range(len(network.segments)):
        points = network.start_um[i] + t * (network.end_um[i] - network.start_um[i])
        for j in range(i + 1, len(network.segments)):
            run = network.end_um[j] - network.start_um[j]
            share = np.clip((points - network.start_um[j]) @ run / (run @ run), 0.0, 1.0)
            near = np.linalg.norm(points - network.start_um[j] - share[:, None] * run, axis=1).min()
            gap = float(near - network.radius_um[i] - network.radius_um[j])
            if gap < gap_um:
                found.append((i, j, gap))
    return found
