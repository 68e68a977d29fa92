"""Slow changes of tissue and vessels together, solved directly on a grid of a few hundred cells.

A V-cycle holds the vessels' concentration. Where little flows, a change of the tissue is followed by its vessels,
and nothing but what flows in from outside stops it: such changes are what a V-cycle cannot see. Here each piece of
a vessel gives to the coarse cell that its middle lies in, and the response of all vessels to each cell is carried
along exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.lab.print.oxygen.stencil import lift_planes, lower_planes

if TYPE_CHECKING:
    from poliqi.lab.print.oxygen.exchange import Exchange
    from poliqi.lab.print.oxygen.multigrid import Hierarchy

__all__ = ["Slow", "respond"]

_MOST_CELLS: Final = 256
_MOST_NUMBERS: Final = 20_000_000


@kernel
def respond(
    first: NDArray[np.int64], up: NDArray[np.int64], down: NDArray[np.int64], flow: NDArray[np.float64],
    source: NDArray[np.float64], s: NDArray[np.float64], slope: NDArray[np.float64], enter: NDArray[np.float64],
    begin: NDArray[np.int64], own: NDArray[np.int64], part: NDArray[np.float64], out: NDArray[np.float64],
) -> None:  # fmt: skip
    """out[a, b] -= what pieces in cell a give more when cell b rises by 1; a piece e has
    the cells `own[begin[e]:begin[e + 1]]`, each with its part of the piece's surface."""
    count = out.shape[0]
    amount = np.zeros((source.size, count))
    through = source.copy()
    total, mean = np.zeros(count), np.zeros(count)
    for e in range(up.size):
        q = flow[e]
        if through[up[e]] > 0.0:
            total[:] = amount[up[e]] / through[up[e]]
        else:
            total[:] = 0.0
        for at in range(first[e], first[e + 1]):
            if s[at] <= 0.0:
                continue
            share = 0.0
            x = 0.0
            if q > 0.0:
                x = s[at] / (q * slope[at])
                share = -np.expm1(-x) / x if x > 1e-9 else 1.0 - 0.5 * x
            mean[:] = total * (share / enter[at])
            for n in range(begin[at], begin[at + 1]):
                mean[own[n]] += part[n] * (1.0 - share)
            for n in range(begin[at], begin[at + 1]):
                out[own[n]] -= s[at] * part[n] * mean
            for n in range(begin[at], begin[at + 1]):
                mean[own[n]] -= part[n]
            if q > 0.0:
                total -= s[at] / q * mean
        amount[down[e]] += q * total
        through[down[e]] += q


class Slow:
    """The direct solution on one coarse grid of a hierarchy; `correct` adds it to a correction."""

    def __init__(self, hierarchy: Hierarchy, exchange: Exchange) -> None:
        points = exchange.elements.source.size
        most = max(1, min(_MOST_CELLS, _MOST_NUMBERS // max(points, 1)))
        levels = hierarchy.levels
        at = next((n for n, one in enumerate(levels) if one.c.size <= 8 * most and _cells(one) <= most), None)
        self._depth: Final = len(levels) - 1 if at is None else at
        self._levels: Final = levels[: self._depth + 1]
        self._exchange: Final = exchange
        coarse = self._levels[-1]
        self._cells: Final = np.flatnonzero(coarse.there)
        number = np.full(coarse.there.size, -1, np.int64)
        number[self._cells] = np.arange(self._cells.size)
        self._links: Final = self._matrix(number)
        self._begin, self._own, self._part = self._shares(number)
        self._solved: Any = None

    def _shares(
        self, number: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Coarse cells of each piece: those of its walls' links, or the one in which a thin piece lies."""
        exchange, levels = self._exchange, self._levels
        walls, lines, count = exchange.walls, exchange.lines, exchange.elements.count
        fine, coarse = levels[0].there.shape, levels[-1].there.shape
        place = np.clip(np.rint(exchange.elements.middle[lines.element]).astype(np.int64), 1, np.array(fine) - 2)
        at = np.concatenate([np.stack(np.unravel_index(walls.cell, fine), axis=1), place])
        at = -(-at // 2**self._depth)
        cell = number[np.ravel_multi_index((at[:, 0], at[:, 1], at[:, 2]), coarse)]
        element = np.concatenate([np.repeat(np.arange(count), np.diff(walls.first)), lines.element])
        g = np.concatenate([walls.g, lines.conductance]).astype(np.float64)
        kept = cell >= 0
        pair, of = np.unique(element[kept] * self._cells.size + cell[kept], return_inverse=True)
        weight = np.bincount(of, g[kept], pair.size).astype(np.float64)
        element, cell = pair // self._cells.size, pair % self._cells.size
        whole = np.maximum(exchange.given_by_rise(), 1e-300)
        begin = np.searchsorted(element, np.arange(count + 1)).astype(np.int64)
        return begin, cell, weight / whole[element]

    def _matrix(self, number: NDArray[np.int64]) -> NDArray[np.float64]:
        """Links of the coarse grid."""
        coarse = self._levels[-1]
        size = self._cells.size
        matrix = np.zeros((size, size))
        ny, nz = coarse.there.shape[1:]
        for link, step in zip((coarse.x, coarse.y, coarse.z), (ny * nz, nz, 1), strict=True):
            here = np.flatnonzero(link.reshape(-1))
            a, b, g = number[here], number[here + step], link.reshape(-1)[here].astype(np.float64)
            np.add.at(matrix, (a, a), g)
            np.add.at(matrix, (b, b), g)
            np.add.at(matrix, (a, b), -g)
            np.add.at(matrix, (b, a), -g)
        return matrix

    def set_extra(self, dry: NDArray[np.float32]) -> None:
        """`dry`: what stands on the finest diagonal without links and vessels."""
        import scipy.linalg

        matrix = self._links.copy()
        lower = self._lowered(dry)
        on = np.arange(self._cells.size)
        e, exchange = self._exchange.elements, self._exchange
        surface = exchange.given_by_rise()
        element = np.repeat(np.arange(e.count), np.diff(self._begin))
        given = np.bincount(self._own, surface[element] * self._part, self._cells.size)
        matrix[on, on] += lower + given + 1e-9 * matrix[on, on] + 1e-12
        respond(
            e.first, e.up, e.down, e.flow, e.source, surface, exchange.slope, exchange.enter,
            self._begin, self._own, self._part, matrix,
        )  # fmt: skip
        linear: Any = scipy.linalg  # its annotations are partial
        self._solved = linear.lu_factor(matrix, check_finite=False)

    def _lowered(self, fine: NDArray[np.float32]) -> NDArray[np.float64]:
        for level in self._levels[1:]:
            lower = np.empty_like(level.c)
            lower_planes(fine, lower)
            fine = lower
        return fine.reshape(-1)[self._cells].astype(np.float64)

    def correct(self, residual: NDArray[np.float32], correction: NDArray[np.float32]) -> None:
        """Add to `correction` what answers the slow part of `residual`."""
        import scipy.linalg

        linear: Any = scipy.linalg  # its annotations are partial
        found = linear.lu_solve(self._solved, self._lowered(residual), check_finite=False)
        c = np.zeros_like(self._levels[-1].c)
        c.reshape(-1)[self._cells] = found
        for above, level in zip(self._levels[-2::-1], self._levels[:0:-1], strict=True):
            fine = correction if above is self._levels[0] else np.zeros_like(above.c)
            lift_planes(c, level.there, above.there, fine, 1, fine.shape[0] - 1)
            c = fine
        if self._depth == 0:
            correction += c


def _cells(level: Any) -> int:
    return int(np.count_nonzero(level.there))
