"""Fits of physical cell models: what `python -m bench echem` measures of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from poliqi.lab.echem.models.cellmodel import CellModel, ModelKind
from poliqi.lab.echem.models.cellparameters import parameter_set, varied
from poliqi.lab.echem.models.drive import constant_drive
from poliqi.lab.echem.models.modelfit import fit_model
from poliqi.lab.echem.pybammdoor import pybamm
from poliqi.lab.echem.record import CyclingRecord

__all__ = ["TRUTH", "TwoParameters", "noisy_discharge", "two_parameters"]

TRUTH = {
    "Negative electrode active material volume fraction": 0.72,
    "Positive electrode active material volume fraction": 0.64,
}
NOISE_V = 0.005


@dataclass(frozen=True, slots=True)
class TwoParameters:
    """Wall and processor seconds of one fit, model set-up included, PyBaMM's import not; pulls are in sigmas."""

    wall_s: float
    processor_s: float
    pulls: tuple[float, ...]
    runs: int


def noisy_discharge(seed: int = 1) -> CyclingRecord:
    """DFN at 1C with the fractions of TRUTH and 5 mV of noise, to 2.5 V."""
    cell = parameter_set("Chen2020").changed(TRUTH)
    trace = CellModel(ModelKind.DFN, cell, [], constant_drive(-5.0, 4000.0, 1000), stop_at_cutoff=True).run({})
    noise = np.random.default_rng(seed).normal(0, NOISE_V, trace.time_s.size)
    return CyclingRecord(
        trace.time_s, trace.voltage_v + noise, np.full(trace.time_s.size, -5.0), title="DFN", simulated=True
    )


def two_parameters(record: CyclingRecord, kind: ModelKind = ModelKind.DFN) -> TwoParameters:
    """The two-parameter fit with covariance, once."""
    pybamm()
    cell = parameter_set("Chen2020")
    wall, processor = time.perf_counter(), time.process_time()
    fit = fit_model(record, cell, [varied(cell, name) for name in TRUTH], kind=kind, sigma_v=NOISE_V)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    found = [fit.fitted.quantity(name) for name in TRUTH]
    pulls = tuple(
        (one.value - true) / one.sigma if one is not None else float("nan")
        for one, true in zip(found, TRUTH.values(), strict=True)
    )
    return TwoParameters(wall, processor, pulls, fit.runs)
