"""Long ageing runs, cycle by cycle, whose end is a value: all cycles, a worn-out cell, or a solver that gave up.

A run that the solver fails on is tried again from the last cycle that stands, with stricter tolerances and shorter
steps; what had to be done so is told. Everything before stays.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, words_of
from poliqi.lab.echem.models.cellmodel import ModelKind
from poliqi.lab.echem.models.cellparameters import ParameterSet
from poliqi.lab.echem.pybammdoor import pybamm

__all__ = ["SEI_GROWTH", "Aged", "Ageing", "age"]

SEI_GROWTH: Final[Mapping[str, str]] = MappingProxyType({"SEI": "solvent-diffusion limited"})
"""One mechanism: growth of the SEI by diffusion of solvent through it."""
_TRIES: Final = ((1e-4, 600.0), (1e-6, 60.0), (1e-8, 10.0))
"""Relative tolerance and longest step in seconds, one after another."""
_WANTED: Final = (
    "Capacity [A.h]",
    "Loss of lithium inventory [%]",
    "Loss of active material in negative electrode [%]",
    "Loss of active material in positive electrode [%]",
)


@dataclass(frozen=True, slots=True)
class Aged:
    """The cell after a cycle. Losses are shares of what the new cell had, from 0 to 1.

    `capacity_ah` is that between the set's voltage limits at rest, whatever the currents of the run.
    """

    cycle: int
    capacity_ah: float
    lost_lithium: float
    lost_negative: float
    lost_positive: float


@dataclass(frozen=True, slots=True)
class Ageing:
    """What became of a run. `ended` is empty where all cycles were done, else why they were not."""

    cycles: tuple[Aged, ...]
    asked: int
    ended: str
    retried: tuple[int, ...]
    """Cycles that needed stricter tolerances."""


def age(
    parameters: ParameterSet,
    cycles: int,
    *,
    kind: ModelKind = ModelKind.SPM,
    charge_c: float = 0.5,
    discharge_c: float = 1.0,
    mechanisms: Mapping[str, str] = SEI_GROWTH,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Ageing:
    """So many cycles between the set's voltage limits: discharge, charge, hold until C/50.

    `mechanisms` are options of PyBaMM's model, such as {"SEI": "ec reaction limited", "loss of active material":
    "stress-driven"}; the set must have their parameters. What is told is simulated. Raises ConfigError where the
    model does not know a mechanism or the set lacks its parameters.
    """
    package = pybamm()
    run = _Run(package, parameters, kind, mechanisms, charge_c, discharge_c)
    done: list[Aged] = []
    retried: list[int] = []
    for cycle in range(1, cycles + 1):
        values, tries, why = run.cycle()
        if why:
            return Ageing(tuple(done), cycles, f"cycle {cycle}: {why}", tuple(retried))
        if tries:
            retried.append(cycle)
        capacity, *losses = (values[name] for name in _WANTED)
        lithium, negative, positive = (max(percent, 0.0) / 100 for percent in losses)
        done.append(Aged(cycle, capacity, lithium, negative, positive))
        progress(cycle, cycles)
    return Ageing(tuple(done), cycles, "", tuple(retried))


class _Run:
    """A cell on a protocol, which is built once for each pair of tolerance and step, and goes on from its state."""

    def __init__(
        self,
        package: Any,
        parameters: ParameterSet,
        kind: ModelKind,
        mechanisms: Mapping[str, str],
        charge_c: float,
        discharge_c: float,
    ) -> None:
        low, high = (parameters.number(f"{which} voltage cut-off [V]") for which in ("Lower", "Upper"))
        self._steps: Final = (
            f"Discharge at {discharge_c:g}C until {low:g} V",
            f"Charge at {charge_c:g}C until {high:g} V",
            f"Hold at {high:g} V until C/50",
        )
        self._package: Final = package
        self._parameters: Final = parameters
        self._built: Final[dict[int, Any]] = {}
        self._state: Any = None
        try:
            self._model: Final = getattr(package.lithium_ion, kind.value)(dict(mechanisms))
        except package.OptionError as error:
            raise ConfigError(f"mechanisms: {words_of(error)}; name options that PyBaMM has") from error

    def cycle(self) -> tuple[dict[str, float], int, str]:
        """What the cell is after one more cycle, how often it was tried again, and why there is none."""
        why = ""
        for tries in range(len(_TRIES)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    found = self._simulation(tries).solve(starting_solution=self._state)
                    why = self._stopped(found)
                    summary = {} if why else self._summary(found)
                except (self._package.SolverError, RuntimeError, ArithmeticError) as error:
                    why = f"the solver failed: {words_of(error)}"
                except KeyError as error:
                    source = self._parameters.source
                    raise ConfigError(f"{source}: {words_of(error)}; choose a set that has it") from error
                else:
                    if why:  # the cell, not the solver
                        return {}, tries, why
                    self._state = found.last_state
                    return summary, tries, ""
        return {}, len(_TRIES), f"{why}, {len(_TRIES)} times, with ever stricter tolerances"

    def _simulation(self, tries: int) -> Any:
        if tries not in self._built:
            tolerance, step_s = _TRIES[tries]
            package = self._package
            self._built[tries] = package.Simulation(
                self._model,
                parameter_values=self._parameters.values,
                experiment=package.Experiment([self._steps]),
                solver=package.IDAKLUSolver(
                    rtol=tolerance,
                    atol=tolerance * 1e-2,
                    options={"dt_max": step_s, "silence_sundials_errors": True},
                ),
            )
        return self._built[tries]

    def _stopped(self, found: Any) -> str:
        """Which step of the protocol the cell could not do."""
        last_cycle: Any = found.cycles[-1] if found is not None and found.cycles else None
        steps: list[Any] = [] if last_cycle is None else last_cycle.steps
        for at, said in enumerate(self._steps):
            if at >= len(steps) or isinstance(steps[at], self._package.EmptySolution):
                last = str(found.termination).removeprefix("event: ") if found is not None else "nothing was done"
                return f"the cell cannot do {said!r} ({last})"
        return ""

    @staticmethod
    def _summary(found: Any) -> dict[str, float]:
        summary = found.summary_variables
        return {name: float(np.atleast_1d(summary[name])[-1]) for name in _WANTED}
