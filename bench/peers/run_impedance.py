"""Runs in the environment of impedance.py: a circuit fitted to one spectrum from the guesses it is given.

Reads a JSON file: frequency_hz, real_ohm, imag_ohm, circuit, guesses (lists of numbers), runs. Prints JSON: for
each guess the least wall seconds of `runs` fits and the rms of |Z - model| / |Z|.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from impedance.models.circuits import CustomCircuit

warnings.filterwarnings("ignore")
asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
f = np.array(asked["frequency_hz"])
z = np.array(asked["real_ohm"]) + 1j * np.array(asked["imag_ohm"])
answer = []
for guess in asked["guesses"]:
    walls: list[float] = []
    try:
        for _ in range(asked["runs"]):
            circuit = CustomCircuit(asked["circuit"], initial_guess=guess)
            begun = time.perf_counter()
            circuit.fit(f, z, weight_by_modulus=True)
            walls.append(time.perf_counter() - begun)
    except RuntimeError as error:
        answer.append({"failed": str(error)[:200]})
        continue
    rms = float(np.sqrt(np.mean(np.abs((circuit.predict(f) - z) / z) ** 2)))
    answer.append({"wall_s": min(walls), "rms": rms})
print(json.dumps(answer))
