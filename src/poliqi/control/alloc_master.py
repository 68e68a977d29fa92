"""The linear program of an allocation, kept in HiGHS between solves: rows for links and demands, columns for ways.

Everything is dimensionless: a link's row is in parts of its capacity, a demand's in its own unit of rate. The
primal simplex goes on from where it was: new columns, and rows bound to what they carry, leave the point at hand
feasible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Final

import highspy
import numpy as np
from numpy.typing import NDArray

from poliqi.control.alloc_ways import Column

__all__ = ["ROUNDING", "Master", "Solution"]

_Floats = NDArray[np.float64]
_INF: Final = float("inf")
_PRIMAL_SIMPLEX: Final = 4
ROUNDING: Final = 2e-7
"""HiGHS lets a row be off by 1e-7, here of a link's capacity or of a demand's unit; a share may lose to both."""
_LESS: Final = (1e-8, 1e-8, 1e-7, 1e-7, 1e-6)
"""The part that bound demands give way, try by try, where there is no point that keeps them all."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Values of the columns, what more of a link's capacity or a demand's row would be worth."""

    values: _Floats
    links: _Floats
    demands: _Floats


class Master:
    """Rows 0 .. links - 1 are the links, then one a demand; columns in the order in which they were added."""

    def __init__(self, capacity_bps: _Floats, units_bps: _Floats) -> None:
        self._room: list[float] = capacity_bps.tolist()
        self._unit: list[float] = units_bps.tolist()
        self._links = len(capacity_bps)
        self.columns: dict[int, Column] = {}
        self._known: set[tuple[int, tuple[int, ...]]] = set()
        self._bound: dict[int, float] = {}
        self._count = self.solves = 0
        self.relaxed = 0.0
        self._highs = highs = highspy.Highs()
        for option, value in (
            ("output_flag", False),
            ("threads", 1),
            ("solver", "simplex"),
            ("presolve", "off"),
            ("simplex_strategy", _PRIMAL_SIMPLEX),
            ("primal_simplex_bound_perturbation_multiplier", 0.0),
        ):
            highs.setOptionValue(option, value)
        rows = self._links + len(units_bps)
        highs.addRows(
            rows,
            np.concatenate([np.full(self._links, -_INF), np.zeros(len(units_bps))]),
            np.concatenate([np.ones(self._links), np.full(len(units_bps), _INF)]),
            0,
            np.zeros(rows, np.int32),
            np.zeros(0, np.int32),
            np.zeros(0),
        )

    def add_level(self, demands: Sequence[int], upper: float, worth: float) -> int:
        """A column that asks each of these demands for as much of its unit as its value; to be made large."""
        self._add([worth], [upper], [[self._links + d for d in demands]], [[-1.0] * len(demands)])
        return self._count - 1

    def add_ways(self, ways: Sequence[Column]) -> int:
        """Columns for ways that are not yet there; how many were new."""
        new = [way for way in ways if (way.demand, way.hops) not in self._known]
        rows: list[list[int]] = []
        values: list[list[float]] = []
        for way in new:
            self._known.add((way.demand, way.hops))
            self.columns[self._count + len(rows)] = way
            unit = self._unit[way.demand]
            rows.append([*way.hops, self._links + way.demand])
            values.append([*(unit / self._room[hop] for hop in way.hops), 1.0])
        self._add([0.0] * len(new), [_INF] * len(new), rows, values)
        return len(new)

    def _add(
        self,
        costs: list[float],
        uppers: list[float],
        rows: Sequence[Sequence[int]],
        values: Sequence[Sequence[float]],
    ) -> None:
        if not costs:
            return
        starts = np.array([0, *accumulate(len(row) for row in rows[:-1])], np.int32)
        index = np.fromiter(chain.from_iterable(rows), np.int32)
        value = np.fromiter(chain.from_iterable(values), np.float64)
        self._highs.addCols(
            len(costs), np.array(costs), np.zeros(len(costs)), np.array(uppers), len(index), starts, index, value
        )
        self._count += len(costs)

    def demand(self, demand: int, at_least: float) -> None:
        """The demand is to be carried so much of its unit."""
        self._bound[demand] = at_least
        self._highs.changeRowBounds(self._links + demand, at_least, _INF)

    def add_lack(self, demand: int, upper: float, cost: float) -> int:
        """A column that stands in for a demand's ways, up to so much of its unit, at a cost a unit."""
        self._add([-cost], [upper], [[self._links + demand]], [[1.0]])
        return self._count - 1

    def release(self, level: int, demand: int, at_least: float) -> None:
        """The demand no longer follows the level: it keeps so much of its unit."""
        self._highs.changeCoeff(self._links + demand, level, 0.0)
        self.demand(demand, at_least)

    def bound_level(self, level: int, upper: float) -> None:
        """How large the level may become."""
        self._highs.changeColBounds(level, 0.0, upper)

    def price_ways(self, costs: dict[int, float]) -> None:
        """What a unit of these columns is worth (less than nothing: what it costs)."""
        if costs:
            columns = np.array(list(costs), np.int32)
            self._highs.changeColsCost(len(columns), columns, np.array(list(costs.values())))

    def solve(self) -> Solution:
        """The optimum over the columns at hand. Raises ArithmeticError where HiGHS finds none.

        Rounding may leave no room for what bound demands keep: then all of them keep a little less, which `relaxed`
        sums up.
        """
        highs = self._highs
        highs.changeObjectiveSense(highspy.ObjSense.kMaximize)
        tries = iter(_LESS)
        while not self._run():
            if (less := next(tries, None)) is None:
                status = highs.modelStatusToString(highs.getModelStatus())
                raise ArithmeticError(f"allocation: HiGHS ends with {status}")
            if highs.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
                self._relax(less)
            else:
                highs.clearSolver()
        solution = highs.getSolution()
        duals = np.array(solution.row_dual)
        return Solution(np.array(solution.col_value), np.maximum(duals[: self._links], 0.0), -duals[self._links :])

    def _run(self) -> bool:
        self._highs.run()
        self.solves += 1
        return self._highs.getModelStatus() == highspy.HighsModelStatus.kOptimal

    def _relax(self, less: float) -> None:
        for demand, at_least in list(self._bound.items()):
            self.demand(demand, at_least * (1.0 - less))
        self.relaxed += less

    @property
    def solver_s(self) -> float:
        """Time spent in HiGHS."""
        return float(self._highs.getRunTime())

    @property
    def count(self) -> int:
        """Columns at hand."""
        return self._count
