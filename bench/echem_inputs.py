"""Inputs with known truth for the benchmark of electrochemistry: all simulated, each from a seed."""

from __future__ import annotations

import numpy as np

from poliqi.lab.echem.campaign.plan import Campaign, Cell, Chamber, Channel, Span
from poliqi.lab.echem.campaign.protocol import Block, Protocol, Step, StepKind, Sweep
from poliqi.lab.echem.polarisation.curve import Conditions, Curve, Device
from poliqi.lab.echem.polarisation.model import operation_at, parameters_of, voltage
from poliqi.lab.echem.record import CyclingRecord
from poliqi.lab.echem.spectrum import Spectrum

HOUR, DAY = 3600, 86_400


def spectrum() -> Spectrum:
    """66 points from 10 kHz to 3.16 mHz, as of a lithium-ion cell: L-R-(R|CPE)-((R-Wo)|CPE), .2 % noise."""
    f = np.geomspace(1e4, 3.1623e-3, 66)
    s = 2j * np.pi * f
    root = np.sqrt(s * 180.0)
    wo = 0.012 / (root * np.tanh(root))
    z = 1.2e-7 * s + 0.0145 + 1 / (1 / 0.005 + 1.1 * s**0.78) + 1 / (1 / (0.010 + wo) + 9.0 * s**0.86)
    rng = np.random.default_rng(7)
    noise = (rng.normal(size=f.size) + 1j * rng.normal(size=f.size)) * 0.002 * np.abs(z) / np.sqrt(2)
    return Spectrum(f, z + noise, title="simulated cell", simulated=True)


def cycling(points: int) -> CyclingRecord:
    """Full cycles of 20,000 points each, at constant current."""
    time = np.arange(points, dtype=np.float64)
    phase = (time / 20_000) % 1
    current = np.where(phase < 0.5, 1.0, -1.0)
    voltage = 3.0 + 2 * np.where(phase < 0.5, phase, 1 - phase) + 0.05 * current
    return CyclingRecord(time, voltage, current, title="simulated cycles", simulated=True)


def eight_curves() -> list[Curve]:
    """Of one fuel cell: four temperatures at two pressures, 24 points each with 2 mV of noise.

    The truth is far from where a fit begins, but for what it holds where there are two pressures.
    """
    start = np.array([one.start for one in parameters_of(Device.FUEL_CELL)])
    truth = start * np.array([30, 0.7, 1, 0.8, 1.8, 1.5, 1, 1, 1, 3])
    rng, made = np.random.default_rng(3), []
    for celsius in (55.0, 65.0, 72.0, 80.0):
        for pressure in (1.5e5, 2.5e5):
            at = Conditions(273.15 + celsius, pressure, pressure, 0.5, 0.5, 1.5, 2.0, 1.0, 0.2095)
            i = np.linspace(50.0, 18_000.0, 24)
            clean = voltage(operation_at(Device.FUEL_CELL, at, i), truth)
            name = f"{celsius:.0f} degC {pressure / 1e5:.1f} bar"
            made.append(Curve(Device.FUEL_CELL, name, at, i, clean + rng.normal(0, 0.002, i.size), simulated=True))
    return made


def thousand_cells() -> Campaign:
    """A thousand cells with three protocols each on 96 channels; a third of them in chambers, some booked."""
    rate = Step(StepKind.CHARGE, c_rate=0.5), Step(StepKind.DISCHARGE, c_rate=1.0)
    formation = Protocol(
        "formation", (Block((Step(StepKind.CHARGE, c_rate=0.1), Step(StepKind.DISCHARGE, c_rate=0.1)), 2),)
    )
    ageing = [Protocol(f"ageing {c:g} degC", (Block(rate, 40),), temperature_c=c) for c in (25.0, 45.0)]
    check = Protocol("check", (Block((*rate, Step(StepKind.EIS, sweep=Sweep(1e4, 1e-2, 10, 2.0)))),))
    rng = np.random.default_rng(11)
    cells = tuple(
        Cell(f"cell {at + 1}", float(rng.uniform(2.0, 5.0)), (formation, ageing[at % 2], check), 1 + at % 3)
        for at in range(1000)
    )
    chambers = tuple(Chamber(f"chamber {at + 1}", 10.0, 60.0, HOUR) for at in range(4))
    channels = tuple(
        Channel(
            f"ch {at + 1}",
            "cycler",
            10.0,
            0.0,
            5.0,
            impedance=at % 2 == 0,
            chamber=chambers[at // 8].name if at < 32 else None,
            room_c=None if at < 32 else 25.0,
            changeover_s=600,
            blocked=(Span(DAY * (1 + at % 9), DAY * (1 + at % 9) + 8 * HOUR, "booked"),),
        )
        for at in range(96)
    )
    return Campaign("a thousand cells", 0, channels, cells, chambers)
