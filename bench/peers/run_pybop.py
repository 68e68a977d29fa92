"""Runs in the environment of PyBOP: two active fractions of a discharge, by its CMA-ES and by its Nelder-Mead.

Reads a JSON file: time_s, current_a (PyBaMM's sign), voltage_v, set, model, names, start, lower, upper. Prints
JSON: for each optimiser its values and wall seconds; building the simulator is timed with it, as it is with ours,
whose tolerance and single output it gets.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"

import numpy as np
import pybamm
import pybop

asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
data = {
    "Time [s]": np.array(asked["time_s"]),
    "Current [A]": np.array(asked["current_a"]),
    "Voltage [V]": np.array(asked["voltage_v"]),
}
answer: dict[str, object] = {}
for name, optimiser, options, runs in (
    ("CMA-ES", pybop.CMAES, pybop.PintsOptions(max_iterations=60), 1),
    ("Nelder-Mead", pybop.SciPyMinimize, pybop.SciPyMinimizeOptions(method="Nelder-Mead", jac=False), 3),
):
    walls: list[float] = []
    for _ in range(runs):
        np.random.seed(1)  # noqa: NPY002 - what its optimisers draw from
        begun = time.perf_counter()
        values = pybamm.ParameterValues(asked["set"])
        for at, key in enumerate(asked["names"]):
            values[key] = pybop.Parameter(
                pybop.Uniform(asked["lower"][at], asked["upper"][at]), initial_value=asked["start"][at]
            )
        dataset = pybop.Dataset(data)
        model = getattr(pybamm.lithium_ion, asked["model"])()
        solver = pybamm.IDAKLUSolver(rtol=3e-5, atol=3e-7)
        simulator = pybop.pybamm.Simulator(
            model, parameter_values=values, protocol=dataset, solver=solver, output_variables=["Voltage [V]"]
        )
        problem = pybop.Problem(simulator, pybop.SumSquaredError(dataset))
        found = optimiser(problem, options=options).run()
        walls.append(time.perf_counter() - begun)
    answer[name] = {"wall_s": min(walls), "values": [float(one) for one in found.x]}
print(json.dumps(answer))
