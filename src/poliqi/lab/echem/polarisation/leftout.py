"""What a fit to the other curves says of each curve: the honest measure of its predictions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.polarisation.curve import Curve
from poliqi.lab.echem.polarisation.fit import check_curves, fit_polarisation

__all__ = ["LeftOut", "Unpredicted", "leave_one_out"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One curve predicted by a fit to the others."""

    name: str
    left_v: Floats
    """Measured less predicted, (n,)."""
    sigma_v: Floats
    """(n,), as the others predict it; where there is `outside`, a lower limit."""
    outside: tuple[str, ...]
    """In what it lies outside the others."""

    @property
    def rms_v(self) -> float:
        return float(np.sqrt(np.mean(self.left_v**2)))

    @property
    def worst_v(self) -> float:
        return float(np.abs(self.left_v).max())

    @property
    def rms_over_sigma(self) -> float:
        """Root mean square of `left_v` over `sigma_v`: 1 where the doubt is told rightly."""
        return float(np.sqrt(np.mean((self.left_v / self.sigma_v) ** 2)))


@dataclass(frozen=True, slots=True)
class Unpredicted:
    """One curve that no fit to the others predicts, and why."""

    name: str
    why: str


def leave_one_out(
    curves: Sequence[Curve], *, hold: Mapping[str, float] | None = None, free: Collection[str] = ()
) -> tuple[LeftOut | Unpredicted, ...]:
    """Each curve as the others predict it, or why they do not."""
    given = check_curves(curves)
    if len(given) == 1:
        return (Unpredicted(given[0].name, "there is no other curve"),)
    found: list[LeftOut | Unpredicted] = []
    for out in given:
        try:
            fit = fit_polarisation([one for one in given if one is not out], hold=hold, free=free)
        except DataRefused as error:
            found.append(Unpredicted(out.name, str(error)))
            continue
        told, sigma = fit.predict(out.conditions, out.current_density_a_m2)
        found.append(LeftOut(out.name, out.voltage_v - told, sigma, fit.outside(out.conditions)))
    return tuple(found)
