"""What doubts of inputs make of results: to first order (GUM) and by drawing them (its supplement 1), both told.

A model is a function of named arrays, so that all steps and all draws are one call of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

if TYPE_CHECKING:
    from poliqi.lab.echem.quantity import Quantity

__all__ = ["DRAWS", "Model", "Spread", "Tolerances", "spread_of"]

Floats = NDArray[np.float64]
Model = Callable[[Mapping[str, Floats]], Mapping[str, Floats]]
"""Results by name from inputs by name, all arrays of one length."""

DRAWS: Final = 20_000
_INTERVAL: Final = (2.5, 97.5)
_MOST_ROUNDS: Final = 50
_STEP: Final = 1e-5
_MISLEADS: Final = 0.1
_NOISE: Final = 4.0
_EQUAL: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Spread:
    """One result: at the inputs' values, to first order, and by draws. `low` to `high` hold 95 % of the draws."""

    value: float
    sigma: float
    moved: Mapping[str, float]
    """By how much one sigma of each input moves it, to first order."""
    mean: float
    sigma_drawn: float
    low: float
    high: float
    draws: int

    @property
    def disagrees(self) -> bool:
        """Whether first order misleads: mean or sigma of the draws is elsewhere by more than a tenth of sigma.

        And by more than four times what the number of draws leaves open.
        """
        scale = max(self.sigma, self.sigma_drawn)
        near = (_MISLEADS + _NOISE / math.sqrt(self.draws)) * scale + _EQUAL * abs(self.value)
        return max(abs(self.mean - self.value), abs(self.sigma_drawn - self.sigma)) > near


@dataclass(frozen=True, slots=True)
class Tolerances:
    """All results. `drawn` are the draws of each, shape (draws,); `redrawn` had an input that cannot be."""

    spreads: Mapping[str, Spread]
    drawn: Mapping[str, Floats]
    redrawn: int

    def share_below(self, name: str, limit: float) -> float:
        """Share of the draws in which a result is below a limit."""
        return float(np.mean(self.drawn[name] < limit))


def spread_of(
    model: Model, inputs: Mapping[str, Quantity], *, draws: int = DRAWS, seed: int = 1, shares: frozenset[str]
) -> Tolerances:
    """Inputs are independent and normal; draws that are not positive, or above 1 in `shares`, are drawn anew.

    First order: JCGM 100:2008, eq. 10, with central steps of one sigma; draws: JCGM 101:2008. Raises DataRefused
    where a result is no number, or where inputs are hardly ever possible.
    """
    doubtful = [name for name, one in inputs.items() if one.sigma > 0]
    drawn, redrawn = _drawn(inputs, doubtful, draws, seed, shares)
    steps = {name: max(inputs[name].sigma, abs(inputs[name].value) * _STEP) for name in doubtful}
    rows = 1 + 2 * len(doubtful)
    whole: dict[str, Floats] = {}
    for name, one in inputs.items():
        column = np.full(rows + draws, one.value)
        if name in steps:
            at = 1 + 2 * doubtful.index(name)
            column[at] += steps[name]
            column[at + 1] -= steps[name]
            column[rows:] = drawn[name]
        whole[name] = column
    with np.errstate(all="ignore"):
        results = model(whole)
    spreads: dict[str, Spread] = {}
    for name, result in results.items():
        if not bool(np.isfinite(result).all()):
            raise DataRefused(f"{name} is no number at these inputs, or within their doubts; check them")
        moved = {
            one: float(result[1 + 2 * at] - result[2 + 2 * at]) / (2 * steps[one]) * inputs[one].sigma
            for at, one in enumerate(doubtful)
        }
        with np.errstate(all="ignore"):
            spreads[name] = _spread(float(result[0]), moved, result[rows:])
    return Tolerances(spreads, {name: result[rows:] for name, result in results.items()}, redrawn)


def _spread(value: float, moved: Mapping[str, float], drawn: Floats) -> Spread:
    low, high = np.percentile(drawn, _INTERVAL)
    sigma = math.sqrt(math.fsum(part * part for part in moved.values()))
    told = {name: part for name, part in moved.items() if part != 0}
    mean, sigma_drawn = float(np.mean(drawn)), float(np.std(drawn))
    return Spread(value, sigma, told, mean, sigma_drawn, float(low), float(high), drawn.size)


def _drawn(
    inputs: Mapping[str, Quantity], doubtful: list[str], draws: int, seed: int, shares: frozenset[str]
) -> tuple[dict[str, Floats], int]:
    generator = np.random.default_rng(seed)
    redrawn, found = 0, dict[str, Floats]()
    for name in doubtful:
        one = inputs[name]
        column = generator.normal(one.value, one.sigma, draws)
        for _ in range(_MOST_ROUNDS):
            bad = (column <= 0) | ((column > 1) if name in shares else False)
            count = int(np.count_nonzero(bad))
            if not count:
                break
            redrawn += count
            column[bad] = generator.normal(one.value, one.sigma, count)
        else:
            raise DataRefused(
                f"{name}: {one.value:g} +- {one.sigma:g} {one.unit} is hardly ever possible (above 0"
                f"{', at most 1' if name in shares else ''}); give its doubt anew"
            )
        found[name] = column
    return found, redrawn
