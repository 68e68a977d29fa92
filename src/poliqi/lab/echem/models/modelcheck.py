"""What a fitted model gets wrong: a better one at the same values, and where that takes the parameters.

SPM and SPMe are held against DFN, which is then fitted itself, from there. DFN is held against itself on a grid
twice as fine; as that is near, where it takes the parameters is told to first order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.echem.fitting import Parameter, fit_least_squares
from poliqi.lab.echem.models.cellmodel import CellModel, ModelKind, Trace
from poliqi.lab.echem.models.modelfit import ModelFit

__all__ = ["ModelCheck", "check_model"]

Floats = NDArray[np.float64]
_MOST_RUNS: Final = 20
_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """`error_v` (n,) is the fitted model less the better one, at the fitted values.

    `shift` says by how much the better model moves each identified parameter, in its unit.
    """

    reference: str
    error_v: Floats
    shift: dict[str, float]
    beyond: tuple[str, ...] = ()
    """Whom the better model takes to a limit, or does not identify."""
    ended: str = ""
    """Why the better model could not be run to the end; then there is no error and no shift."""

    @property
    def rms_v(self) -> float:
        """Root of the mean square of the error; nan where there is none."""
        return float(np.sqrt(np.mean(self.error_v**2))) if self.error_v.size else math.nan

    @property
    def worst_v(self) -> float:
        """Largest error."""
        return float(np.max(np.abs(self.error_v))) if self.error_v.size else math.nan


def check_model(fit: ModelFit) -> ModelCheck:
    """The fitted model against a better one. Raises ConfigError where the set lacks what that one needs."""
    names = [one.name for one in fit.fitted.parameters]
    known = [
        replace(one, start=float(value))
        for one, value, said in zip(fit.fitted.parameters, fit.fitted.value, fit.fitted.verdicts, strict=True)
        if said.is_identified
    ]
    if fit.kind is ModelKind.DFN:
        finer = CellModel(ModelKind.DFN, fit.parameters, names, fit.drive, refinement=2, relative_tolerance=1e-6)
        trace = finer.run(fit.values)
        if trace.ended:
            return ModelCheck("DFN, grid twice as fine", np.empty(0), {}, ended=trace.ended)
        error = fit.model_v - trace.voltage_v
        return ModelCheck("DFN, grid twice as fine", error, _first_order(fit, error, known))
    better = CellModel(ModelKind.DFN, fit.parameters, names, fit.drive)
    trace = better.run(fit.values, slopes=bool(known))
    if trace.ended:
        return ModelCheck("DFN", np.empty(0), {}, ended=trace.ended)
    error = fit.model_v - trace.voltage_v
    if not known:
        return ModelCheck("DFN", error, {})
    return ModelCheck("DFN", error, *_refitted(fit, better, known))


def _refitted(
    fit: ModelFit, better: CellModel, known: Sequence[Parameter]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """The better model's own minimum; what this one did not identify stays where it is."""
    columns = [at for at, said in enumerate(fit.fitted.verdicts) if said.is_identified]
    weight = 1.0 if fit.sigma_v is None else 1.0 / fit.sigma_v
    last: dict[bytes, Trace] = {}

    def run(x: Floats) -> Trace:
        if x.tobytes() not in last:
            last.clear()
            told = dict(zip((one.name for one in known), x.tolist(), strict=True))
            last[x.tobytes()] = better.run(fit.values | told, slopes=True)
        return last[x.tobytes()]

    def residual(x: Floats) -> Floats:
        trace = run(x)
        return np.full(fit.voltage_v.size, math.nan) if trace.ended else (trace.voltage_v - fit.voltage_v) * weight

    def jacobian(x: Floats) -> Floats:
        slopes = run(x).slopes
        assert slopes is not None
        return slopes[:, columns] * weight

    found = fit_least_squares(
        residual,
        known,
        known_sigma=fit.sigma_v is not None,
        jacobian=jacobian,
        most_evaluations=_MOST_RUNS,
        tolerance=_TOLERANCE,
    )
    lost = set(found.unidentified)
    shift = {one.name: found[one.name] - one.start for one in known if one.name not in lost}
    return shift, tuple(one.name for one in known if one.name in lost)


def _first_order(fit: ModelFit, error: Floats, known: Sequence[Parameter]) -> dict[str, float]:
    """(J^T J)^-1 J^T e."""
    if not known:
        return {}
    slopes = fit.slopes[:, [at for at, said in enumerate(fit.fitted.verdicts) if said.is_identified]]
    length = np.sqrt(np.sum(slopes**2, axis=0))
    alike: Floats = slopes / length
    moved: Floats = np.linalg.solve(alike.T @ alike, alike.T @ error) / length
    return dict(zip((one.name for one in known), moved.tolist(), strict=True))
