"""Records of cells whose parameters are known, for tests: calculated by PyBaMM itself, noise added."""

from __future__ import annotations

from typing import Any

import numpy as np

from poliqi.lab.echem.pybammdoor import pybamm
from poliqi.lab.echem.record import CyclingRecord

NEGATIVE = "Negative electrode active material volume fraction"
POSITIVE = "Positive electrode active material volume fraction"
TRUTH = {NEGATIVE: 0.72, POSITIVE: 0.64}


def discharge(model: str, numbers: dict[str, float], *, noise_v: float, seed: int, name: str = "Chen2020") -> Any:
    """A discharge at 1C to the set's lower limit, by `pybamm.Simulation`: a record, positive where charging.

    On the grid that POLIQI uses: with 20 points a layer, PyBaMM's usual one is 0.6 mV off it.
    """
    package = pybamm()
    built = getattr(package.lithium_ion, model)()
    usual, used = package.Uniform1DSubMesh, package.SymbolicUniform1DSubMesh
    grids = {part: used if grid is usual else grid for part, grid in built.default_submesh_types.items()}
    values = package.ParameterValues(name)
    values.update(numbers)
    simulation = package.Simulation(built, parameter_values=values, submesh_types=grids)
    found = simulation.solve([0, 4000])
    time = np.linspace(0, float(found.t[-1]) - 1, 400)
    current = float(values["Current function [A]"])
    voltage = found["Voltage [V]"](time) + np.random.default_rng(seed).normal(0, noise_v, time.size)
    return CyclingRecord(time, voltage, np.full(time.size, -current), title=f"{model} of {name}", simulated=True)
