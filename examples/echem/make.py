"""Makes the data of this example in the folder `run`: simulated, with known truth, the same at every run.

python make.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.echem.bdf import bdf_bytes
from poliqi.lab.echem.polarisation.curve import Conditions, Device
from poliqi.lab.echem.polarisation.model import operation_at, voltage
from poliqi.lab.echem.record import CyclingRecord

Floats = NDArray[np.float64]
RUN = Path("run")

CAPACITY_AH, FADE, SCATTER, EFFICIENCY, RESISTANCE_OHM = 4.4e-3, 0.004, 0.0003, 0.997, 20.0
CYCLES, RATE, REST_S, EVERY_S = 8, 0.2, 600.0, 120.0

INDUCTANCE_H, OHMIC_OHM = 1e-6, 5.0
ARCS = ((8.0, 1e-3, 0.9), (15.0, 0.2, 0.85))
"""Resistance in ohm, time constant in s, exponent."""

FUEL_CELL = np.array([2e-3, 1.1, 0.54, 60.0, 8e-6, 12.0, 3e3, 2.4, -20.0, 2e-5])
"""In the order of `polarisation.model.parameters_of`: i0 / A/m2, alpha, order, Ea / kJ/mol, R / ohm m2, ..."""


def open_circuit_v(charged: Floats) -> Floats:
    """Of a cell with two steps, over its state of charge."""
    return 3.45 + 0.55 * charged + 0.08 * np.tanh((charged - 0.3) / 0.05) + 0.1 * np.tanh((charged - 0.75) / 0.06)


def cell(draw: np.random.Generator) -> CyclingRecord:
    """Cycles at C/5 with rests: each discharge gives 0.4 % less than before, each charge takes 0.3 % more."""
    times, voltages, currents = list[Floats](), list[Floats](), list[Floats]()
    begin = 0.0
    for cycle in range(CYCLES):
        given_ah = CAPACITY_AH * (1 - FADE * cycle + SCATTER * draw.normal())
        for sign, charge_ah in ((1, given_ah / (EFFICIENCY + SCATTER * draw.normal())), (-1, given_ah)):
            current = sign * RATE * CAPACITY_AH
            for amperes, long_s in ((current, abs(charge_ah / current) * 3600), (0.0, REST_S)):
                time = np.append(np.append(0.001, np.arange(EVERY_S, long_s - 1.0, EVERY_S)), long_s)
                done = time / long_s if amperes else np.ones_like(time)
                charged = done if sign > 0 else 1 - done
                times.append(begin + time)
                voltages.append(open_circuit_v(charged) + RESISTANCE_OHM * amperes)
                currents.append(np.full_like(time, amperes))
                begin += long_s
    volts = np.concatenate(voltages)
    volts += draw.normal(0, 2e-4, volts.size)
    return CyclingRecord(np.concatenate(times), volts, np.concatenate(currents), title="cell", simulated=True)


def spectrum(draw: np.random.Generator) -> str:
    """Two depressed arcs behind a resistance and an inductance, with noise of 0.2 %."""
    f = np.logspace(4, -1, 41)
    s = 2j * np.pi * f
    z = OHMIC_OHM + INDUCTANCE_H * s + sum(r / (1 + (s * tau) ** n) for r, tau, n in ARCS)
    z += 0.002 * np.abs(z) * (draw.normal(size=f.size) + 1j * draw.normal(size=f.size))
    rows = (f"{a:.6g},{b.real:.6g},{-b.imag:.6g}\n" for a, b in zip(f, z, strict=True))
    return "frequency/Hz,Re(Z)/ohm,-Im(Z)/ohm\n" + "".join(rows)


def curve(celsius: int, draw: np.random.Generator) -> str:
    """A polarisation curve of a fuel cell in hydrogen and air, with noise of 1 mV."""
    at = Conditions(celsius + 273.15, 2e5, 2e5, 0.5, 0.5, 1.5, 2.0, 1.0, 0.2095)
    i = np.append(np.geomspace(50, 2000, 8), np.linspace(3000, 18000, 11))
    v = voltage(operation_at(Device.FUEL_CELL, at, i), FUEL_CELL) + draw.normal(0, 1e-3, i.size)
    head = (
        f"# device: PEM fuel cell\n# cell: simulated\n# simulated: yes\n# curve: {celsius} degC\n"
        f"# temperature: {celsius} degC\n# pressure: 2 bar\n# anode_humidity: 50 %\n# cathode_humidity: 50 %\n"
        "# anode_stoichiometry: 1.5\n# cathode_stoichiometry: 2\n# hydrogen_fraction: 1\n"
        "# oxygen_fraction: 0.2095\ncurrent_density / A/cm2, voltage / V\n"
    )
    return head + "".join(f"{a / 1e4:.4f}, {b:.4f}\n" for a, b in zip(i, v, strict=True))


def crossover(draw: np.random.Generator) -> str:
    """A sweep of 25 cm2 from 0.1 to 0.6 V and back at 2 mV/s: 2 mA/cm2 of hydrogen, a short of 100 ohm, 20 mF."""
    up = np.arange(0.1, 0.6, 0.002)
    e = np.concatenate([up, up[::-1]])
    i = 25 * 2e-3 * (1 - np.exp(-e / 0.02)) + e / 100 + 0.02 * 2e-3 * np.repeat([1, -1], up.size)
    i += draw.normal(0, 1e-5, e.size)
    rows = (f"{at:g},{a:.4f},{1e3 * b:.6f}\n" for at, (a, b) in enumerate(zip(e, i, strict=True)))
    return "time / s,E / V,I / mA\n" + "".join(rows)


def load() -> str:
    """Power that a small vehicle takes in ten minutes: cruising, with two climbs and a stop."""
    time = np.arange(0, 601, 5)
    power = 8 + 14 * np.exp(-(((time - 150) / 30) ** 2)) + 18 * np.exp(-(((time - 400) / 20) ** 2))
    power[(time > 260) & (time < 320)] = 1.0
    return "time / s, power / kW\n" + "".join(f"{a}, {b:.3f}\n" for a, b in zip(time, power, strict=True))


def main() -> None:
    drawn = np.random.default_rng
    RUN.mkdir(exist_ok=True)
    (RUN / "cell.csv").write_bytes(bdf_bytes(cell(drawn(5)), ".csv"))
    texts = {"spectrum.csv": spectrum(drawn(2))}
    texts |= {f"fuel-cell-{celsius}.csv": curve(celsius, drawn(celsius)) for celsius in (60, 70, 80)}
    texts |= {"lsv.csv": crossover(drawn(1)), "load.csv": load()}
    for name, text in texts.items():
        (RUN / name).write_text(text)
    print(f"{RUN}: {', '.join(sorted(['cell.csv', *texts]))}")


if __name__ == "__main__":
    main()
