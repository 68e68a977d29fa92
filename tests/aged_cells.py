"""Cells of two analytic half cells with stated capacities and lithium: their slow discharges and charges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from poliqi.lab.echem.degradation.halfcell import HalfCell
from poliqi.lab.echem.degradation.pseudo_ocv import OpenCircuit, Way
from poliqi.lab.echem.record import CyclingRecord

Floats = NDArray[np.float64]


def graphite_like(x: Floats) -> Floats:
    """Falling with steps at a half and at an eighth, steep at the ends."""
    steps = 0.09 + 0.04 / (1 + np.exp((x - 0.5) / 0.015)) + 0.07 / (1 + np.exp((x - 0.13) / 0.02))
    return steps + 0.9 * np.exp(-x / 0.012) - 0.03 * x


def oxide_like(x: Floats) -> Floats:
    """Falling with one soft step."""
    return 4.35 - 0.75 * x + 0.04 * np.tanh((0.55 - x) / 0.05) - 0.3 / (1 + np.exp((1.0 - x) / 0.012))


GRID: Floats = np.linspace(0, 1, 4001)
NEGATIVE = HalfCell(GRID, graphite_like(GRID), "graphite-like", True)
POSITIVE = HalfCell(GRID, oxide_like(GRID), "oxide-like", True)


@dataclass(frozen=True, slots=True)
class Cell:
    """Ah of each electrode from 0 to 1, and of the lithium that they share."""

    negative_ah: float
    positive_ah: float
    lithium_ah: float

    def lithium_at(self, voltage: float) -> float:
        """Content of the negative electrode where the cell rests at that voltage."""

        def off(x: float) -> float:
            y = (self.lithium_ah - x * self.negative_ah) / self.positive_ah
            return float(oxide_like(np.array(y)) - graphite_like(np.array(x))) - voltage

        low = max((self.lithium_ah - self.positive_ah) / self.negative_ah, 1e-4)
        return float(brentq(off, low, min(0.9999, self.lithium_ah / self.negative_ah)))

    def discharge(self, points: int = 400, top: float = 4.15, bottom: float = 3.0) -> tuple[Floats, Floats]:
        """Charge taken out and open-circuit voltage."""
        full, empty = self.lithium_at(top), self.lithium_at(bottom)
        charge = np.linspace(0, (full - empty) * self.negative_ah, points)
        x = full - charge / self.negative_ah
        return charge, oxide_like((self.lithium_ah - x * self.negative_ah) / self.positive_ah) - graphite_like(x)

    def sweep(self, noise_v: float = 0.0, eta_v: float = 0.0, seed: int = 1, points: int = 400) -> OpenCircuit:
        charge, v = self.discharge(points)
        noise = np.random.default_rng(seed).normal(0, noise_v, v.size) if noise_v else 0.0
        return OpenCircuit(charge, v - eta_v + noise, Way.DISCHARGE, 0.1, "cell")

    def record(self, current_a: float = 0.1, eta_v: float = 0.0, title: str = "cell") -> CyclingRecord:
        """A slow charge, a rest, a slow discharge."""
        charge, v = self.discharge(300)
        t = charge / current_a * 3600
        up, down = v[::-1] + eta_v, v - eta_v
        rest = np.array([600.0, 1200.0])
        time = np.concatenate((t, t[-1] + rest, t[-1] + 1200 + 60 + t))
        volts = np.concatenate((up, np.full(2, v[0]), down))
        current = np.concatenate((np.full(t.size, current_a), np.zeros(2), np.full(t.size, -current_a)))
        return CyclingRecord(time, volts, current, title=title)


def write_record(path: Path, record: CyclingRecord) -> Path:
    """As a BDF table in text."""
    columns = (record.time_s.tolist(), record.voltage_v.tolist(), record.current_a.tolist())
    rows = (f"{t!r},{v!r},{i!r}" for t, v, i in zip(*columns, strict=True))
    path.write_text("\n".join(["Test Time / s,Voltage / V,Current / A", *rows]) + "\n", encoding="utf-8")
    return path
