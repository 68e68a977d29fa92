"""Parameters of a physical cell model from a record, each with its doubt, and what the model itself gets wrong.

The derivatives of the voltage by the parameters come from the solver's own sensitivity equations. Three things are
told that a plain fit hides: what is not identified (poliqi.lab.echem.fitting), how much residuals of neighbouring
points resemble each other (they then say less than their number suggests), and how far a better model stands from
this one (poliqi.lab.echem.models.modelcheck).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.correlated import widened, widening
from poliqi.lab.echem.fitting import Fitted, Parameter, fit_least_squares
from poliqi.lab.echem.models.cellmodel import CellModel, ModelKind, Trace
from poliqi.lab.echem.models.cellparameters import ParameterSet
from poliqi.lab.echem.models.drive import Drive, chosen_points, drive_of
from poliqi.lab.echem.record import CyclingRecord

__all__ = ["ModelFit", "fit_model"]

Floats = NDArray[np.float64]
_TOLERANCE: Final = 1e-6
_MOST_RUNS: Final = 80
_SEARCHED: Final = 5
_WARM_K: Final = 3.0
_OFF_V: Final = 0.05


@dataclass(frozen=True, slots=True)
class ModelFit:
    """What a fit found. `voltage_v` (n,) was measured at `drive.time_s`, `model_v` (n,) is the model's.

    Sigmas in `fitted` are those of the scatter that is left, times `doubt_factor` for what neighbours share.
    """

    kind: ModelKind
    parameters: ParameterSet
    fitted: Fitted
    drive: Drive
    voltage_v: Floats
    model_v: Floats
    slopes: Floats
    """(n, k): derivatives of `model_v` by the parameters, in their units."""
    sigma_v: float | None
    """Standard deviation of a measured voltage, where it was told."""
    correlation: float
    """Of residuals of neighbouring points, from -1 to 1."""
    doubt_factor: float
    """By how much sigmas were widened for it, and, where `sigma_v` was told, for residuals larger than that."""
    runs: int
    notes: tuple[str, ...]
    """Assumptions."""
    cautions: tuple[str, ...]
    simulated: bool

    @property
    def residual_v(self) -> Floats:
        """Measured less modelled voltage."""
        return self.voltage_v - self.model_v

    @property
    def rms_v(self) -> float:
        """Root of the mean square of `residual_v`."""
        return float(np.sqrt(np.mean(self.residual_v**2)))

    @property
    def values(self) -> dict[str, float]:
        """The minimum, for running models at it; what of it may be reported says `fitted`."""
        return {one.name: float(self.fitted.value[at]) for at, one in enumerate(self.fitted.parameters)}

    def fitted_set(self) -> ParameterSet:
        """The set with the fitted values. Raises DataRefused where one of them is not identified."""
        if self.fitted.unidentified:
            raise DataRefused(
                f"{', '.join(self.fitted.unidentified)}: not identified, so there is no fitted set; hold them "
                "(fit fewer parameters), or give a record that tells them"
            )
        return self.parameters.changed(self.values)


def fit_model(
    record: CyclingRecord,
    parameters: ParameterSet,
    vary: Sequence[Parameter],
    *,
    kind: ModelKind = ModelKind.DFN,
    sigma_v: float | None = None,
    most_points: int = 400,
    progress: Callable[[int], None] = lambda _runs: None,
) -> ModelFit:
    """The values of `vary` by which the model gives the record's voltage, driven by the record's current.

    The cell begins in the state that `parameters` says and stays at its temperature. `sigma_v` is the standard
    deviation of a voltage, where known. At most `most_points` points are compared. `progress` is told how often the
    model was run. Raises ConfigError for parameters that the set has not, DataRefused where no values within the
    limits can follow the record to its end.
    """
    if not vary:
        raise DataRefused("no parameter to fit; name at least one")
    points = chosen_points(record, most_points)
    drive, measured = drive_of(record, points), record.voltage_v[points]
    names = [one.name for one in vary]
    model = CellModel(kind, parameters, names, drive)
    last: dict[bytes, Trace] = {}
    runs = 0

    def run(x: Floats) -> Trace:
        nonlocal runs
        key = x.tobytes()
        if key not in last:
            runs += 1
            progress(runs)
            last.clear()
            last[key] = model.run(dict(zip(names, x.tolist(), strict=True)), slopes=True)
        return last[key]

    weight = 1.0 if sigma_v is None else 1.0 / sigma_v

    def residual(x: Floats) -> Floats:
        """What the model cannot follow to the end is no number: the search turns to smaller steps."""
        trace = run(x)
        return np.full(measured.size, math.nan) if trace.ended else (trace.voltage_v - measured) * weight

    def jacobian(x: Floats) -> Floats:
        slopes = run(x).slopes
        assert slopes is not None
        return slopes * weight

    start = _started(run, vary, measured, drive)
    fitted = fit_least_squares(
        residual,
        start,
        known_sigma=sigma_v is not None,
        jacobian=jacobian,
        most_evaluations=_MOST_RUNS,
        tolerance=_TOLERANCE,
    )
    trace = run(fitted.value)
    assert trace.slopes is not None
    correlation, factor = _doubt(fitted, known_sigma=sigma_v is not None)
    made = ModelFit(
        kind,
        parameters,
        widened(fitted, factor),
        drive,
        measured,
        trace.voltage_v,
        trace.slopes,
        sigma_v,
        correlation,
        factor,
        runs,
        _notes(record, parameters, drive, points.size),
        (),
        record.simulated,
    )
    return replace(made, cautions=_cautions(made, record))


def _started(
    run: Callable[[Floats], Trace], vary: Sequence[Parameter], measured: Floats, drive: Drive
) -> tuple[Parameter, ...]:
    """Where the search begins: as told, else the best of a few dozen points within the limits."""
    first = run(np.array([one.start for one in vary]))
    if not first.ended:
        return tuple(vary)
    best, least, longest = None, math.inf, first
    for x in _scattered(vary):
        trace = run(x)
        if trace.ended:
            longest = max(longest, trace, key=lambda one: one.time_s[-1] if one.time_s.size else 0.0)
            continue
        off = float(np.sum((trace.voltage_v - measured) ** 2))
        if off < least:
            best, least = x, off
    if best is None:
        reached = longest.time_s[-1] if longest.time_s.size else 0.0
        raise DataRefused(
            f"the model ends after {reached:.6g} of {drive.time_s[-1]:.6g} s ({longest.ended}) with any values "
            f"within the limits; the record moves {drive.charge_c / 3600:+.4g} Ah: check the set, the state at "
            "the start and the sign of the current, or widen the limits"
        )
    return tuple(replace(one, start=float(value)) for one, value in zip(vary, best, strict=True))


def _scattered(vary: Sequence[Parameter]) -> Floats:
    """Points that fill the limits evenly (Sobol), shape (31, k); without an end, a factor of 3 about the start."""
    from scipy.stats import qmc

    unit: Floats = qmc.Sobol(len(vary), scramble=False).random_base2(_SEARCHED)[1:]
    sides: list[Floats] = []
    for one, along in zip(vary, unit.T, strict=True):
        low = one.lower if math.isfinite(one.lower) else one.start / 3
        high = one.upper if math.isfinite(one.upper) else one.start * 3
        sides.append(np.exp(np.log(low) + along * np.log(high / low)) if one.is_log else low + along * (high - low))
    return np.stack(sides, axis=1)


def _doubt(fitted: Fitted, *, known_sigma: bool) -> tuple[float, float]:
    """Correlation of neighbours, and by how much it and residuals beyond the told sigma widen sigmas."""
    r = fitted.residual
    whole = float(r @ r)
    correlation = float(r[1:] @ r[:-1]) / whole if whole > 0 else 0.0
    factor = widening(r)
    if known_sigma:
        factor *= max(1.0, fitted.reduced_chi2)
    return correlation, math.sqrt(factor)


def _notes(record: CyclingRecord, parameters: ParameterSet, drive: Drive, points: int) -> tuple[str, ...]:
    celsius = parameters.temperature_c
    return (
        *record.notes,
        f"what is not fitted is as the {parameters.source} says, the state at the start included",
        "temperature: a function in the set" if celsius is None else f"isothermal at {celsius:.1f} degC",
        f"{points} of {record.time_s.size} points"
        + (", half evenly in time, half after steps of current" if points < record.time_s.size else ""),
        f"{drive.charge_c / 3600:+.5g} Ah flow; pieces in which the current is straight: {drive.knot_s.size - 1}",
    )


def _cautions(made: ModelFit, record: CyclingRecord) -> tuple[str, ...]:
    said: list[str] = []
    fitted, parameters = made.fitted, made.parameters
    if not fitted.converged:
        said.append(f"the search has not converged in {made.runs} runs: begin nearer, or fit fewer parameters")
    if made.sigma_v is not None and fitted.reduced_chi2 > 1 + 5 * math.sqrt(2 / max(fitted.degrees, 1)):
        said.append(
            f"chi2 over degrees of freedom is {fitted.reduced_chi2:.3g}: {made.kind.value} with this set does not "
            "describe the record within its sigma; sigmas are widened for it"
        )
    if made.correlation > 0.5:
        said.append(
            f"neighbouring residuals correlate ({made.correlation:.2f}): what is left is the model's error, not "
            f"noise; sigmas are widened by {made.doubt_factor:.3g} and do not cover a bias"
        )
    if abs(float(made.residual_v[0])) > _OFF_V:
        said.append(
            f"the record begins {made.residual_v[0] * 1e3:+.0f} mV off the model: is the state at the start right?"
        )
    celsius = parameters.temperature_c
    if record.temperature_c is not None and celsius is not None:
        low, high = float(np.min(record.temperature_c)), float(np.max(record.temperature_c))
        if max(abs(low - celsius), abs(high - celsius)) > _WARM_K:
            said.append(
                f"the cell's surface went from {low:.1f} to {high:.1f} degC, the model stays at {celsius:.1f}"
            )
    return (*said, *_too_full(made))


def _too_full(made: ModelFit) -> list[str]:
    """Electrodes whose parts are more than the whole."""
    said: list[str] = []
    for side in ("Negative", "Positive"):
        parts = [
            made.values.get(name, made.parameters.number(name))
            for name in (f"{side} electrode active material volume fraction", f"{side} electrode porosity")
        ]
        numbers = [one for one in parts if one is not None]
        if len(numbers) == 2 and sum(numbers) > 1:
            said.append(
                f"{side.lower()} electrode: active material and pores fill {sum(numbers):.3f} of it, above 1"
            )
    return said
