"""One design at several rates: energy, power and charge until the lower voltage, with what doubts make of them.

A model is set up once a process; thickness, porosity, radius and the rest are its inputs, so that a further design
costs the solver's time alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.design.cell import Cell, Reference, reference_of
from poliqi.lab.echem.models.cellmodel import CellModel, ModelKind, Trace
from poliqi.lab.echem.models.cellparameters import parameter_set
from poliqi.lab.echem.models.drive import constant_drive

__all__ = ["AtRate", "Designed", "Doubt", "Job", "Settings", "calculate", "reference_named"]

_CURRENT: Final = "Current function [A]"
_TOLERANCES: Final = (1e-4, 1e-5, 1e-6)
"""Of the solver: where it fails in an electrode without electrolyte, the next one is tried."""
_POINTS: Final = 400
_LONGER: Final = 1.05
_BEND: Final = 0.5
_CUTOFF: Final = "Minimum voltage"
_FAILED: Final = "the solver failed"
_AT_ONCE: Final = "non-positive at initial conditions"
_ONE: Final = {
    "Number of electrodes connected in parallel to make a cell": 1.0,
    "Number of cells connected in series to make a battery": 1.0,
}
_SEPARATOR: Final = "Separator thickness [m]"
_INPUTS: Final = tuple(
    name.format(side=side, Side=side.capitalize())
    for side in ("positive", "negative")
    for name in (
        "{Side} electrode thickness [m]",
        "{Side} electrode porosity",
        "{Side} electrode active material volume fraction",
        "{Side} particle radius [m]",
        "Maximum concentration in {side} electrode [mol.m-3]",
        "Initial concentration in {side} electrode [mol.m-3]",
    )
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What all designs of a sweep share. `rates_per_h`: 1 empties the design's own capacity at rest in an hour."""

    parameters: str
    """Name of a set, or path of a BPX file."""
    model: ModelKind
    rates_per_h: tuple[float, ...]
    both_sides: bool = False
    refinement: int = 1
    """Times the model's own number of points of its grid."""

    def __post_init__(self) -> None:
        """Raises DataRefused for rates that are none."""
        if not self.rates_per_h or not all(0.005 <= one <= 100 for one in self.rates_per_h):
            told = ", ".join(f"{one:g}" for one in self.rates_per_h) or "none"
            raise DataRefused(f"rates are {told}; give one or more from 0.005 to 100 per hour")


@dataclass(frozen=True, slots=True)
class Doubt:
    """One source of doubt and by how much one sigma of it moves each variable: all of these together."""

    source: str
    moves: dict[str, float]


@dataclass(frozen=True, slots=True)
class Job:
    """One design, to be calculated."""

    settings: Settings
    chosen: dict[str, float]
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True)
class AtRate:
    """A discharge from full at one current. Energy is 0 where the voltage is below the limit from the start.

    Sigma is what the doubts make to first order; None where there are none, or a step of one sigma makes no cell.
    `ended`: why, where it was not the lower voltage.
    """

    rate_per_h: float
    current_density_a_m2: float
    energy_wh_kg: float
    energy_wh_l: float
    power_w_kg: float
    """Mean over the discharge."""
    share: float
    """Of the capacity at rest."""
    sigma_wh_kg: float | None = None
    sigma_wh_l: float | None = None
    moved_wh_kg: tuple[float, ...] = ()
    """By one sigma of each doubt."""
    is_bent: bool = False
    """Whether one sigma up and one down move it so unlike that sigma is of little meaning."""
    ended: str = ""


@dataclass(frozen=True, slots=True)
class Designed:
    """A design with all its variables and what it gives. Contents are of positive and negative electrode."""

    values: dict[str, float]
    capacity_ah_m2: float
    mass_kg_m2: float
    thickness_m: float
    layers_kg_m2: dict[str, float]
    full: tuple[float, float]
    empty: tuple[float, float]
    rates: tuple[AtRate, ...]


@dataclass(frozen=True, slots=True)
class _Run:
    """By area; `hours` until the end."""

    energy_wh_m2: float
    hours: float
    ended: str


@dataclass(frozen=True, slots=True)
class _Ends:
    """Wh/kg and Wh/l one sigma up and one sigma down."""

    up: tuple[float, float]
    down: tuple[float, float]


@cache
def reference_named(parameters: str) -> Reference:
    """The cell of a parameter set or a BPX file. Raises ConfigError, DataRefused."""
    return reference_of(parameter_set(parameters).changed(_ONE))


@cache
def _model(parameters: str, kind: ModelKind, refinement: int, tolerance: float) -> CellModel:
    return CellModel(
        kind,
        reference_named(parameters).parameters,
        (*_INPUTS, _SEPARATOR, _CURRENT),
        constant_drive(-1.0, 1.0),
        stop_at_cutoff=True,
        refinement=refinement,
        relative_tolerance=tolerance,
    )


def calculate(job: Job) -> Designed:
    """The design at all its rates. Raises DataRefused where it makes no cell, or the solver fails."""
    settings = job.settings
    cell = _cell(job, {})
    runs = [_run(settings, cell, rate) for rate in settings.rates_per_h]
    ends = [_ends(job, doubt) for doubt in job.doubts]
    rates = tuple(
        _at_rate(cell, rate, run, [one[at] for one in ends])
        for at, (rate, run) in enumerate(zip(settings.rates_per_h, runs, strict=True))
    )
    return Designed(
        dict(cell.values),
        cell.capacity_ah_m2,
        cell.mass_kg_m2,
        cell.thickness_m,
        dict(cell.layers_kg_m2),
        cell.full,
        cell.empty,
        rates,
    )


def _cell(job: Job, moves: Mapping[str, float], sigmas: float = 0.0) -> Cell:
    reference = reference_named(job.settings.parameters)
    held = {**reference.values, **job.chosen}
    moved = {name: held[name] + sigmas * move for name, move in moves.items()}
    return reference.cell({**job.chosen, **moved}, both_sides=job.settings.both_sides)


def _ends(job: Job, doubt: Doubt) -> list[_Ends | None]:
    """The energies one sigma up and one sigma down, at each rate; None where one of them makes no cell."""
    rates = job.settings.rates_per_h
    try:
        up, down = (_cell(job, doubt.moves, sigmas) for sigmas in (1.0, -1.0))
    except DataRefused:
        return [None] * len(rates)
    return [_pair(job.settings, up, down, rate) for rate in rates]


def _pair(settings: Settings, up: Cell, down: Cell, rate: float) -> _Ends | None:
    try:
        return _Ends(*(_energies(one, _run(settings, one, rate)) for one in (up, down)))
    except DataRefused:
        return None


def _energies(cell: Cell, run: _Run) -> tuple[float, float]:
    """Wh/kg and Wh/l."""
    return run.energy_wh_m2 / cell.mass_kg_m2, run.energy_wh_m2 / (1000 * cell.thickness_m)


def _at_rate(cell: Cell, rate: float, run: _Run, ends: list[_Ends | None]) -> AtRate:
    by_mass, by_volume = _energies(cell, run)
    known = [one for one in ends if one is not None]
    told = [((one.up[0] - one.down[0]) / 2, (one.up[1] - one.down[1]) / 2) for one in known]
    is_told = bool(ends) and len(told) == len(ends)
    bend = sum(abs(one.up[0] + one.down[0] - 2 * by_mass) / 2 for one in known)
    return AtRate(
        rate,
        rate * cell.capacity_ah_m2,
        by_mass,
        by_volume,
        by_mass / run.hours if run.hours > 0 else 0.0,
        run.hours * rate,
        math.hypot(*(one[0] for one in told)) if is_told else None,
        math.hypot(*(one[1] for one in told)) if is_told else None,
        tuple(one[0] for one in told) if is_told else (),
        is_told and bend > _BEND * math.hypot(*(one[0] for one in told)) and bend > _TOLERANCES[0] * by_mass,
        run.ended,
    )


def _run(settings: Settings, cell: Cell, rate_per_h: float) -> _Run:
    """From full at rest to the lower voltage. Raises DataRefused where the solver fails."""
    reference = reference_named(settings.parameters)
    density = rate_per_h * cell.capacity_ah_m2
    inputs = {_CURRENT: density * reference.area_m2, _SEPARATOR: cell.separator_m}
    for at, (side, one) in enumerate((("positive", cell.positive), ("negative", cell.negative))):
        inputs |= {
            f"{side.capitalize()} electrode thickness [m]": one.thickness_m,
            f"{side.capitalize()} electrode porosity": one.porosity,
            f"{side.capitalize()} electrode active material volume fraction": one.active,
            f"{side.capitalize()} particle radius [m]": one.radius_m,
            f"Maximum concentration in {side} electrode [mol.m-3]": one.sites_mol_m3,
            f"Initial concentration in {side} electrode [mol.m-3]": one.sites_mol_m3 * cell.full[at],
        }
    time_s = 3600 * _LONGER / rate_per_h * np.linspace(0.0, 1.0, _POINTS) ** 2  # the voltage bends most at first
    trace = Trace(time_s[:0], time_s[:0])
    for tolerance in _TOLERANCES:
        model = _model(settings.parameters, settings.model, settings.refinement, tolerance)
        trace = model.run(inputs, time_s=time_s)
        if not trace.ended.startswith(_FAILED) or _AT_ONCE in trace.ended:
            break
    if _AT_ONCE in trace.ended:
        return _Run(0.0, 0.0, "below the lower voltage from the start")
    if trace.ended.startswith(_FAILED) or not trace.time_s.size:
        raise DataRefused(f"at {rate_per_h:g} per hour {trace.ended or 'nothing was calculated'}")
    if not trace.ended:
        raise DataRefused(f"at {rate_per_h:g} per hour the lower voltage is not reached within the cell's capacity")
    energy = float(np.trapezoid(trace.voltage_v, trace.time_s)) * density / 3600
    return _Run(energy, float(trace.time_s[-1]) / 3600, "" if trace.ended.startswith(_CUTOFF) else trace.ended)
