"""Connected regions of intervals on scan lines: a union-find that goes once over neighbouring lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from poliqi.base.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.export.scanlines import Runs

__all__ = ["regions", "regions_plain"]


@kernel
def _root(parent: NDArray[np.int64], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def _join(
    parent: NDArray[np.int64],
    offsets: NDArray[np.int64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    one: int,
    two: int,
) -> None:
    """Unite the intervals of two lines that lie beside each other."""
    i, j = offsets[one], offsets[two]
    while i < offsets[one + 1] and j < offsets[two + 1]:
        if min(end[i], end[j]) > max(start[i], start[j]):
            a, b = _root(parent, i), _root(parent, j)
            parent[max(a, b)] = min(a, b)
        if end[i] < end[j]:
            i += 1
        else:
            j += 1


@kernel
def _label(
    offsets: NDArray[np.int64], start: NDArray[np.float64], end: NDArray[np.float64], wide: int
) -> NDArray[np.int64]:
    parent = np.arange(start.size)
    for line in range(offsets.size - 1):
        if line % wide:
            _join(parent, offsets, start, end, line, line - 1)
        if line >= wide:
            _join(parent, offsets, start, end, line, line - wide)
    for i in range(start.size):
        parent[i] = _root(parent, i)
    return parent


def regions(runs: Runs, wide: int) -> NDArray[np.int64]:
    """The region of each interval, from 0, in the order in which regions begin.

    Lines are those of a grid, `wide` in a row. Intervals of neighbouring lines belong together where they overlap.
    """
    roots = _label(*runs, wide)
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def regions_plain(runs: Runs, wide: int) -> NDArray[np.int64]:
    """What `regions` finds, by comparing every interval with every other one."""
    lines = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets))
    label = np.arange(len(lines))
    changed = True
    while changed:
        changed = False
        for i in range(len(lines)):
            for j in range(i):
                apart = lines[i] - lines[j]
                beside = (apart == 1 and lines[i] % wide != 0) or apart == wide
                overlap = min(runs.end_um[i], runs.end_um[j]) > max(runs.start_um[i], runs.start_um[j])
                if beside and overlap and label[i] != label[j]:
                    label[[i, j]] = min(label[i], label[j])
                    changed = True
    return np.unique(label, return_inverse=True)[1].astype(np.int64)
