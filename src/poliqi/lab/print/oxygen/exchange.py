"""What vessels and tissue give each other on one grid: walls of wide vessels and lines of thin ones, together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.lab.print.oxygen.lines import line_means, spread_lines
from poliqi.lab.print.oxygen.transport import carry, carry_change

if TYPE_CHECKING:
    from poliqi.lab.print.oxygen.elements import Elements
    from poliqi.lab.print.oxygen.lines import Lines
    from poliqi.lab.print.oxygen.tissue import Carrier
    from poliqi.lab.print.oxygen.walls import Walls

__all__ = ["Exchange", "spread_walls", "wall_sums"]


@kernel
def wall_sums(
    first: NDArray[np.int64], cell: NDArray[np.int64], g: NDArray[np.float32], c: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:  # fmt: skip
    """Sum of g c over the links of each element; `c` is flat."""
    for e in range(out.size):
        total = 0.0
        for at in range(first[e], first[e + 1]):
            total += g[at] * c[cell[at]]
        out[e] = total


@kernel
def spread_walls(
    first: NDArray[np.int64], cell: NDArray[np.int64], g: NDArray[np.float32], mean: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Add g c of its element to the cell of each link; `out` is flat."""
    for e in range(mean.size):
        for at in range(first[e], first[e + 1]):
            out[cell[at]] += np.float32(g[at] * mean[e])


@dataclass(slots=True)
class Exchange:
    """Vessels on a grid. `inlet` is the concentration that comes in; `taken` is M0 h^2/D, `km` K.

    `mean`, `given` (e,) and `point` (n,) are those of the last call of `supply`; `into` what came in from outside.
    """

    elements: Elements
    walls: Walls
    lines: Lines
    carrier: Carrier
    inlet: float
    taken: float
    km: float
    mean: NDArray[np.float64] = field(init=False)
    given: NDArray[np.float64] = field(init=False)
    point: NDArray[np.float64] = field(init=False)
    beside: NDArray[np.float64] = field(init=False)
    into: float = 0.0
    _s: NDArray[np.float64] = field(init=False)
    _skin: NDArray[np.float64] = field(init=False)
    _slope: NDArray[np.float64] = field(init=False)
    _enter: NDArray[np.float64] = field(init=False)
    _owner: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        count = self.elements.count
        self.mean, self.given = np.full(count, self.inlet), np.zeros(count)
        self.point = np.full(self.elements.source.size, self.inlet)
        self._slope, self._enter = np.ones(count), np.ones(count)
        self._owner = np.repeat(np.arange(count), np.diff(self.walls.first))
        self._s = np.bincount(self._owner, self.walls.g, count).astype(np.float64)
        np.add.at(self._s, self.lines.element, self.lines.conductance)
        self._skin = np.bincount(self._owner, self.walls.beside, count).astype(np.float64)
        self.beside = np.zeros(count)

    def supply(self, c: NDArray[np.float32], level: float, out: NDArray[np.float32]) -> None:
        """Add to `out` what the vessels give to tissue at `level` + c; what goes back through walls' links stands
        on the diagonal already.

        The concentrations in the vessels are carried anew. Tissue between a wall and the first cell is fed by its
        element, with the share M/c of the call before.
        """
        t, around = self._around(c)
        t += level * self._s
        mean = np.maximum(level + around, 0.0)
        t[self.lines.element] += self.lines.conductance * self.taken * mean / (self.km + mean) * self.lines.reach
        skin = self._skin * self.taken / (self.km + np.maximum(self.mean, 0.0))
        e, carrier = self.elements, self.carrier
        self._total = self._s + skin
        self.into = carry(
            e.first, e.up, e.down, e.flow, e.source, self.inlet,
            carrier.capacity_mol_m3, carrier.half_mol_m3, carrier.exponent,
            self._total, t, self.mean, self.given, self._slope, self._enter, self.point,
        )  # fmt: skip
        self.beside = skin * self.mean
        spread_walls(self.walls.first, self.walls.cell, self.walls.g, self.mean - level, out.reshape(-1))
        thin = self.lines.element
        self._spread(self._s[thin] * self.mean[thin] - t[thin], out)

    _total: NDArray[np.float64] = field(init=False)

    def change(self, c: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Take from `out` what a change c of the tissue makes the vessels give more, by their slopes."""
        t, _ = self._around(c)
        e = self.elements
        mean = np.empty(e.count)
        carry_change(e.first, e.up, e.down, e.flow, e.source, self._total, t, self._slope, self._enter, mean)
        spread_walls(self.walls.first, self.walls.cell, self.walls.g, -mean, out.reshape(-1))
        thin = self.lines.element
        self._spread(t[thin] - self._s[thin] * mean[thin], out)

    def lumped(self, out: NDArray[np.float32]) -> None:
        """Add the lines' conductance to the cells that they are smeared over: the largest that they can act as."""
        self._spread(self.lines.conductance.astype(np.float64), out)

    def given_by_rise(self) -> NDArray[np.float64]:
        """What each piece gives more to its tissue when its concentration rises by 1, (e,)."""
        return self._s

    @property
    def slope(self) -> NDArray[np.float64]:
        """dC/dc of each piece."""
        return self._slope

    @property
    def enter(self) -> NDArray[np.float64]:
        """dC/dc where each piece begins."""
        return self._enter

    def _around(self, c: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        t = np.empty(self.elements.count)
        wall_sums(self.walls.first, self.walls.cell, self.walls.g, c.reshape(-1), t)
        around = np.empty(self.lines.element.size)
        line_means(c, self.lines.base, self.lines.weight, self.lines.scale, around)
        t[self.lines.element] = self.lines.conductance * around
        return t, around

    def _spread(self, q: NDArray[np.float64], out: NDArray[np.float32]) -> None:
        spread_lines(q.astype(np.float32), self.lines.base, self.lines.weight, self.lines.scale, out)
