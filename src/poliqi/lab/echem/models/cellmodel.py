"""Physical models of a lithium-ion cell, set up once and then run at many values of chosen parameters.

SPM: single particle (Atlung, West and Jacobsen, J. Electrochem. Soc. 126, 1979); SPMe: with electrolyte (Marquis et
al., J. Electrochem. Soc. 166, 2019); DFN: Doyle, Fuller and Newman (J. Electrochem. Soc. 140, 1993). All solved by
PyBaMM (Sulzer et al., J. Open Res. Softw. 9, 2021). Every parameter may be an input of the set-up model, also
thicknesses and radii: a run at other values costs milliseconds where a new model costs hundreds.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, words_of
from poliqi.lab.echem.models.cellparameters import ParameterSet
from poliqi.lab.echem.models.drive import Drive
from poliqi.lab.echem.pybammdoor import pybamm

__all__ = ["CellModel", "ModelKind", "Trace"]

Floats = NDArray[np.float64]
_CURRENT: Final = "Current function [A]"
_VOLTAGE: Final = "Voltage [V]"
_CONTACT: Final = "Contact resistance [Ohm]"
_ABSOLUTE: Final = 1e-2
"""Absolute tolerance of the solver over the relative one."""
_NEAR_S: Final = 1e-3
"""Knots of the current nearer than this are one."""


class ModelKind(StrEnum):
    """From the simplest to the most complete."""

    SPM = "SPM"
    SPME = "SPMe"
    DFN = "DFN"


@dataclass(frozen=True, slots=True)
class Trace:
    """A run: `voltage_v` (n,) at `time_s` (n,). `ended` says why it stopped before the drive's end; else empty.

    `slopes` (n, k) are the derivatives of the voltage by the inputs, where they were asked for.
    """

    time_s: Floats
    voltage_v: Floats
    ended: str = ""
    slopes: Floats | None = None


class CellModel:
    """A model whose `inputs` are told at each run.

    `inputs` are names of parameters of the set. A number is replaced; a function of concentration or temperature
    is multiplied by the input, which is 1 for the set as it is. The current is that of `drive`, unless
    "Current function [A]" (positive where the cell is discharged) is an input itself. `stop_at_cutoff`: a run ends
    at the set's voltage limits, else only where a particle is full or empty. `refinement` multiplies the number of
    points of the grid. Raises ConfigError where the set lacks what the model needs, or has no such input.
    """

    def __init__(
        self,
        kind: ModelKind,
        parameters: ParameterSet,
        inputs: Sequence[str],
        drive: Drive,
        *,
        stop_at_cutoff: bool = False,
        refinement: int = 1,
        relative_tolerance: float = 3e-5,
    ) -> None:
        self._inputs: Final = tuple(inputs)
        self._drive: Final = drive
        self._window: Final = _window(parameters)
        package = pybamm()
        values = _with_inputs(parameters, self._inputs, drive)
        lithium_ion: Any = package.lithium_ion
        options = {"contact resistance": "true"} if _CONTACT in parameters.values else {}
        model = getattr(lithium_ion, kind.value)(options)
        if not stop_at_cutoff:
            model.events = [one for one in model.events if "voltage" not in one.name.lower()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._model: Final = _discretised(package, model, values, refinement)
            except (KeyError, ValueError, NotImplementedError, package.DomainError) as error:
                raise ConfigError(
                    f"{parameters.source} cannot be used by {kind.value} ({words_of(error)}); choose another set"
                ) from error
            used = {one.name for one in self._model.input_parameters}
            self._heard: Final = [name for name in self._inputs if name in used] or False
            self._solver: Final = package.IDAKLUSolver(
                rtol=relative_tolerance,
                atol=relative_tolerance * _ABSOLUTE,
                output_variables=[_VOLTAGE],
                on_extrapolation="ignore",
                options={"silence_sundials_errors": True},
            )

    def run(self, values: Mapping[str, float], *, slopes: bool = False, time_s: Floats | None = None) -> Trace:
        """The voltage at the drive's times, or at `time_s`. A solver that fails ends the trace, it does not raise.

        Raises KeyError where an input has no value.
        """
        told = {name: float(values[name]) for name in self._inputs}
        asked = self._drive.time_s if time_s is None else time_s
        stops = self._stops(asked)
        package = pybamm()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                solution = self._solver.solve(
                    self._model,
                    stops,
                    t_interp=asked,
                    inputs=told,
                    calculate_sensitivities=self._heard if slopes else False,
                )
                found: Any = solution[_VOLTAGE]
                time, voltage = np.asarray(solution.t, float), np.asarray(found.data, float)
                by = _slopes(found, list(told), voltage.size) if slopes else None
            except (package.SolverError, RuntimeError, ArithmeticError) as error:
                return Trace(np.empty(0), np.empty(0), f"the solver failed: {words_of(error)}")
        return self._at(asked, time, voltage, by, str(solution.termination))

    def _stops(self, asked: Floats) -> Floats:
        """Where the solver begins anew: at each knot of the current, so that none is stepped over."""
        if self._drive.is_constant or _CURRENT in self._inputs:
            return asked[[0, -1]]
        knots = self._drive.knot_s
        inside = knots[(knots > asked[0] + _NEAR_S) & (knots < asked[-1] - _NEAR_S)]
        apart = inside[np.concatenate([[True], np.diff(inside) > _NEAR_S])] if inside.size else inside
        return np.concatenate([asked[:1], apart, asked[-1:]])

    def _at(self, asked: Floats, time: Floats, voltage: Floats, by: Floats | None, termination: str) -> Trace:
        """The values at the times that were asked for; the last of a run that ended early is where it ended."""
        ended = "" if termination == "final time" else termination.removeprefix("event: ")
        kept = np.flatnonzero(np.isin(time, asked))
        kept = kept[np.concatenate([np.diff(time[kept]) > 0, [True]])] if kept.size else kept
        if ended and time.size and (not kept.size or kept[-1] != time.size - 1):
            kept = np.append(kept, time.size - 1)
        low, high = self._window
        inside = (voltage[kept] >= low) & (voltage[kept] <= high)
        if not bool(inside.all()):
            kept = kept[: int(np.argmin(inside))]
            ended = f"the voltage leaves {low:g} to {high:g} V: a particle is full or empty"
        elif not ended and kept.size != asked.size:
            ended = f"{kept.size} of {asked.size} times were reached"
        return Trace(time[kept], voltage[kept], ended, None if by is None else by[kept])


def _slopes(found: Any, names: list[str], n: int) -> Floats:
    """Derivatives of the voltage, (n, k); 0 by what the model has not."""
    known: Any = found.sensitivities or {}
    columns = [np.asarray(known[name], float).reshape(-1) if name in known else np.zeros(n) for name in names]
    return np.stack(columns, axis=1) if columns else np.empty((n, 0))


def _window(parameters: ParameterSet) -> tuple[float, float]:
    """Voltages beyond which no cell is: 1 V outside of the set's limits."""
    low, high = (parameters.number(f"{which} voltage cut-off [V]") for which in ("Lower", "Upper"))
    return -math.inf if low is None else low - 1.0, math.inf if high is None else high + 1.0


def _with_inputs(parameters: ParameterSet, inputs: Sequence[str], drive: Drive) -> Any:
    package = pybamm()
    values = parameters.values.copy()
    for name in inputs:
        if name not in values:
            raise ConfigError(f"{parameters.source} has no parameter {name!r}; name one that it has")
        held = values[name]
        values[name] = _scaled(held, name) if callable(held) else "[input]"
    if _CURRENT not in inputs:
        values[_CURRENT] = (
            -float(drive.knot_a[0])
            if drive.is_constant
            else package.Interpolant(drive.knot_s, -drive.knot_a, package.t, interpolator="linear")
        )
    return values


def _scaled(function: Any, name: str) -> Any:
    """The function times the input of that name."""

    def times_input(*arguments: Any, **named: Any) -> Any:
        return pybamm().InputParameter(name) * function(*arguments, **named)

    return times_input


def _discretised(package: Any, model: Any, values: Any, refinement: int) -> Any:
    """The model on PyBaMM's grid whose lengths may be inputs.

    At an interface of two layers it also stands nearer to the limit of a fine grid than PyBaMM's usual one: with
    20 points a layer 0.2 mV against 0.8 mV, for Chen2020 at 1C.
    """
    geometry = model.default_geometry
    values.process_model(model)
    values.process_geometry(geometry)
    grids = {
        name: package.SymbolicUniform1DSubMesh
        if getattr(one, "submesh_type", one) is package.Uniform1DSubMesh
        else one
        for name, one in model.default_submesh_types.items()
    }
    points = {name: number * refinement for name, number in model.default_var_pts.items()}
    mesh = package.Mesh(geometry, grids, points)
    package.Discretisation(mesh, model.default_spatial_methods).process_model(model)
    return model
