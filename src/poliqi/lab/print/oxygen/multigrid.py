"""V-cycles over grids of cells, each half as fine as the one before.

A coarse conductance is half the sum of the four fine ones that it stands for, a coarse term of the diagonal the sum
of the eight: cell-centred multigrid with piecewise constant restriction and trilinear correction (Mohr and
Wienands, Comput. Vis. Sci. 7 (2004) 129). One cycle is a preconditioner, not a solver: outside it stands a Krylov
method.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.lab.print.oxygen.stencil import (
    apply_planes,
    gather_planes,
    lift_planes,
    lower_planes,
    sweep_planes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Hierarchy", "Level", "Team", "hierarchy_of"]

_SMALLEST: Final = 4
_COARSE_SWEEPS: Final = 12
_THREADED: Final = 32_768


class Team:
    """Two threads that divide the planes of a grid; used as a context manager."""

    def __init__(self, threads: int = 2) -> None:
        self._threads: Final = threads
        self._pool: Final = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def planes(self, work: Callable[[int, int], None], count: int, cells: int) -> None:
        """Call `work(first, last)` so that planes 1 to `count` are done once."""
        if self._pool is None or cells < _THREADED or count < self._threads:
            work(1, count + 1)
            return
        ends = [1 + count * at // self._threads for at in range(self._threads + 1)]
        others = [self._pool.submit(work, ends[at], ends[at + 1]) for at in range(1, self._threads)]
        work(ends[0], ends[1])
        for other in others:
            other.result()


@dataclass(slots=True)
class Level:
    """One grid: links, what else stands on the diagonal, and room for a cycle."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: NDArray[np.float32]
    sums: NDArray[np.float32]
    """Sum of the links of each cell."""
    diagonal: NDArray[np.float32]
    inverse: NDArray[np.float32]
    there: NDArray[np.float32]
    b: NDArray[np.float32]
    c: NDArray[np.float32]

    @property
    def count(self) -> int:
        """Planes of the grid."""
        return self.c.shape[0] - 2

    def set_extra(self, extra: NDArray[np.float32]) -> None:
        """What stands on the diagonal besides the links."""
        np.add(self.sums, extra, out=self.diagonal)
        self.diagonal *= self.there
        self.inverse.fill(0)
        np.divide(np.float32(1), self.diagonal, out=self.inverse, where=self.diagonal > 0)


class Hierarchy:
    """All grids; `cycle` answers a residual with a correction."""

    def __init__(self, levels: list[Level], team: Team) -> None:
        self._levels: Final = levels
        self._team: Final = team

    @property
    def levels(self) -> list[Level]:
        """All grids, the finest first."""
        return self._levels

    def set_extra(self, extra: NDArray[np.float32]) -> None:
        """What stands on the finest diagonal besides the links, handed down."""
        self._levels[0].set_extra(extra)
        for level in self._levels[1:]:
            lower = np.empty_like(level.c)
            lower_planes(extra, lower)
            extra = lower
            level.set_extra(extra)

    def apply(self, c: NDArray[np.float32], extra: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """out = (links + extra) c on the finest grid."""
        top = self._levels[0]
        self._team.planes(lambda a, e: apply_planes(c, top.x, top.y, top.z, extra, out, a, e), top.count, c.size)

    def cycle(self, residual: NDArray[np.float32]) -> NDArray[np.float32]:
        """A correction c with A c about `residual`; the array is used again by the next call."""
        self._levels[0].b = residual
        self._down(0)
        return self._levels[0].c

    def _sweep(self, level: Level, colour: int) -> None:
        self._team.planes(
            lambda a, e: sweep_planes(level.c, level.b, level.inverse, level.x, level.y, level.z, colour, a, e),
            level.count,
            level.c.size,
        )

    def _down(self, at: int) -> None:
        level = self._levels[at]
        level.c.fill(0)
        if at + 1 == len(self._levels):
            for turn in range(_COARSE_SWEEPS):
                self._sweep(level, turn % 2)
                self._sweep(level, 1 - turn % 2)
            return
        self._sweep(level, 0)
        self._sweep(level, 1)
        below = self._levels[at + 1]
        self._team.planes(
            lambda a, e: gather_planes(level.c, level.b, level.diagonal, level.x, level.y, level.z, below.b, a, e),
            below.count,
            level.c.size,
        )
        self._down(at + 1)
        self._team.planes(
            lambda a, e: lift_planes(below.c, below.there, level.inverse, level.c, a, e), level.count, level.c.size
        )
        self._sweep(level, 1)
        self._sweep(level, 0)


def hierarchy_of(
    links: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    there: NDArray[np.float32],
    team: Team,
) -> Hierarchy:
    """Grids from the finest links and the mask of its cells with an unknown, all with an empty layer around."""
    levels = [_level(links, there)]
    while max(levels[-1].c.shape) - 2 > _SMALLEST:
        links, there = _coarser(links, there)
        levels.append(_level(links, there))
    return Hierarchy(levels, team)


def _level(
    links: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], there: NDArray[np.float32]
) -> Level:
    sums = np.zeros_like(there)
    for axis, link in enumerate(links):
        sums += link
        after, before = [slice(None)] * 3, [slice(None)] * 3
        after[axis], before[axis] = slice(1, None), slice(None, -1)
        sums[tuple(after)] += link[tuple(before)]
    x, y, z = links
    empty = [np.zeros_like(there) for _ in range(4)]
    return Level(x, y, z, sums, empty[0], empty[1], there, empty[2], empty[3])


def _coarser(
    links: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], there: NDArray[np.float32]
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]:
    shape = tuple((n - 1) // 2 + 2 for n in there.shape)
    found: list[NDArray[np.float32]] = []
    for axis, link in enumerate(links):
        crossing = np.zeros_like(link)  # only those from an even cell to the next lead out of a coarse one
        even = [slice(None)] * 3
        even[axis] = slice(2, None, 2)
        crossing[tuple(even)] = link[tuple(even)] * np.float32(0.5)
        lower = np.empty(shape, np.float32)
        lower_planes(crossing, lower)
        found.append(lower)
    lower = np.empty(shape, np.float32)
    lower_planes(there, lower)
    return (found[0], found[1], found[2]), (lower > 0).astype(np.float32)
