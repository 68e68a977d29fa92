"""How two electrodes share the lithium of a cell at rest: its window of contents between two voltages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.models.cellparameters import ParameterSet
from poliqi.lab.echem.pybammdoor import pybamm

__all__ = ["FULLEST", "OpenCircuit", "open_circuit_of"]

Floats = NDArray[np.float64]
_EDGE: Final = 1e-4
FULLEST: Final = 0.99
"""Content of a negative electrode above which lithium is held to plate: graphite is near 0 V against it there."""
_POINTS: Final = 4001


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """Potentials in V (n,) of both electrodes at rest at `content` (n,), lithium over places; linear between."""

    content: Floats
    positive_v: Floats
    negative_v: Floats
    upper_v: float
    lower_v: float

    def full_and_empty(
        self, positive: float, negative: float, lithium: float, fullest: float = FULLEST
    ) -> tuple[float, float]:
        """Content of the positive electrode at the upper and the lower voltage.

        `positive` and `negative` are places, `lithium` what cycles, all in one unit. Raises DataRefused where a
        voltage is not reached before the content of the negative is `fullest`.
        """
        return (
            self._positive_at(self.upper_v, positive, negative, lithium, fullest),
            self._positive_at(self.lower_v, positive, negative, lithium, fullest),
        )

    def _positive_at(self, volts: float, positive: float, negative: float, lithium: float, fullest: float) -> float:
        from scipy import optimize

        solver: Any = optimize  # its annotations are partial
        low = max((lithium - negative * fullest) / positive, _EDGE)
        high = min((lithium - negative * _EDGE) / positive, 1 - _EDGE)

        def above(content: float) -> float:
            other = (lithium - positive * content) / negative
            return float(
                np.interp(content, self.content, self.positive_v)
                - np.interp(other, self.content, self.negative_v)
                - volts
            )

        if low >= high or above(low) < 0:
            raise DataRefused(
                f"the negative electrode is more than {100 * fullest:g} % full before the cell has {volts:g} V, "
                "lithium would plate; raise np_ratio or negative_thickness_um"
            )
        if above(high) > 0:
            raise DataRefused(f"the cell has more than {volts:g} V when no lithium is left to move; lower np_ratio")
        return float(solver.brentq(above, low, high, xtol=1e-12))


def open_circuit_of(parameters: ParameterSet) -> OpenCircuit:
    """Of a set with one material in each electrode, at its own temperature, as PyBaMM's models have it.

    Raises DataRefused for other sets.
    """
    package = pybamm()
    content = np.linspace(_EDGE, 1 - _EDGE, _POINTS)
    model: Any = package.LithiumIonParameters()
    limits = [parameters.number(f"{which} voltage cut-off [V]") for which in ("Upper", "Lower")]
    kelvin = parameters.number("Ambient temperature [K]")
    try:
        curves = [
            np.asarray(
                parameters.values.process_symbol(
                    side.prim.U(package.Vector(content), package.Scalar(kelvin))
                ).evaluate(),
                dtype=np.float64,
            ).ravel()
            for side in (model.p, model.n)
        ]
    except (KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise DataRefused(
            f"the {parameters.source} does not tell both potentials of a cell with one material in each electrode "
            f"({type(error).__name__}); name another set"
        ) from error
    if None in limits or any(one.shape != content.shape or not bool(np.all(np.isfinite(one))) for one in curves):
        raise DataRefused(f"the {parameters.source} tells no voltage limits, or no potentials; name another set")
    upper, lower = (float(one or 0.0) for one in limits)
    return OpenCircuit(content, curves[0], curves[1], upper, lower)
