"""A number with one standard deviation, its unit and whence it came; first-order propagation for small formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import DataRefused

__all__ = ["Quantity", "propagated"]

_STEP: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` and `sigma` (one standard deviation, 0 where none is told) in `unit`.

    `source` is who says so: a dataset of the store, an option, a data sheet.
    """

    value: float
    sigma: float
    unit: str
    source: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or not 0 <= self.sigma < math.inf:
            raise DataRefused(
                f"{self.source or 'a quantity'}: {self.value} +- {self.sigma} {self.unit}; give a number and a "
                "standard deviation of 0 or more"
            )

    @property
    def relative_sigma(self) -> float:
        """Sigma over |value|; infinite at 0."""
        return self.sigma / abs(self.value) if self.value else math.inf if self.sigma else 0.0


def propagated(
    formula: Callable[[Mapping[str, float]], float], inputs: Mapping[str, Quantity], unit: str, source: str = ""
) -> tuple[Quantity, dict[str, float]]:
    """The formula at the inputs, with sigma to first order (GUM, JCGM 100:2008, eq. 10: independent inputs).

    Also by how much the result moves for one sigma of each input that has one.
    """
    at = {name: one.value for name, one in inputs.items()}
    moved: dict[str, float] = {}
    for name, one in inputs.items():
        if one.sigma > 0:
            step = max(one.sigma, abs(one.value) * _STEP)
            up, down = formula(at | {name: one.value + step}), formula(at | {name: one.value - step})
            moved[name] = (up - down) / (2 * step) * one.sigma
    return Quantity(formula(at), math.sqrt(sum(part * part for part in moved.values())), unit, source), moved
