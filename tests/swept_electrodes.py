"""Voltammograms whose charges, areas, crossover and short have closed forms, and files of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RATE = 0.02
LAYER_F = 2e-3


@dataclass(frozen=True, slots=True)
class Bell:
    """A Gaussian of current: its charge between far limits is amplitude * width * sqrt(2 pi) / rate."""

    middle_v: float
    width_v: float
    amplitude_a: float

    def current(self, e: Floats) -> Floats:
        return self.amplitude_a * np.exp(-0.5 * ((e - self.middle_v) / self.width_v) ** 2)

    def charge_c(self, low: float, high: float, rate: float = RATE) -> float:
        """Closed form, by the error function."""
        ends = [math.erf((v - self.middle_v) / (self.width_v * math.sqrt(2))) for v in (low, high)]
        return self.amplitude_a * self.width_v * math.sqrt(math.pi / 2) * (ends[1] - ends[0]) / rate


HYDROGEN = (Bell(0.13, 0.03, 300e-6), Bell(0.27, 0.03, 200e-6))
CO = Bell(0.75, 0.03, 900e-6)
WHOLE_HYDROGEN_C = sum(bell.charge_c(0.0, 0.42) for bell in HYDROGEN)


def cycles(
    count: int, low: float = 0.0, high: float = 1.2, step: float = 0.001
) -> tuple[Floats, NDArray[np.bool_]]:
    """Potentials of triangles from `low`, and where they go up."""
    up = np.arange(low, high, step)
    down = np.arange(high, low, -step)
    e = np.concatenate([np.concatenate((up, down)) for _ in range(count)])
    ways = np.concatenate(
        [np.concatenate((np.ones(up.size, bool), np.zeros(down.size, bool))) for _ in range(count)]
    )
    return e, ways


def hydrogen_voltammogram(noise_a: float = 0.0, seed: int = 1) -> tuple[Floats, Floats]:
    """Potential and current of two cycles over a double layer and two peaks of hydrogen, the same down as up."""
    e, ways = cycles(2)
    peaks = sum((bell.current(e) for bell in HYDROGEN), np.zeros_like(e))
    i = np.where(ways, 1.0, -1.0) * (LAYER_F * RATE + peaks)
    return e, i + np.random.default_rng(seed).normal(0, noise_a, e.size)


def stripping_voltammogram() -> tuple[Floats, Floats]:
    """Two cycles, CO oxidised in the first alone; an oxide's slope under it in both."""
    e, ways = cycles(2)
    i = np.where(ways, 1.0, -1.0) * (LAYER_F * RATE + 1e-4 * np.maximum(e - 0.6, 0))
    i[: e.size // 2] += np.where(ways, CO.current(e), 0.0)[: e.size // 2]
    return e, i


def crossover_sweep(
    crossover_a: float, short_ohm: float, noise_a: float = 0.0, *, both_ways: bool = True, seed: int = 1
) -> tuple[Floats, Floats]:
    """A sweep over a membrane: limiting hydrogen current, short, double layer."""
    e, ways = cycles(1, 0.05, 0.6)
    if not both_ways:
        e, ways = e[ways], ways[ways]
    i = crossover_a * (1 - np.exp(-e / 0.03)) + e / short_ohm + np.where(ways, 1.0, -1.0) * LAYER_F * RATE
    return e, i + np.random.default_rng(seed).normal(0, noise_a, e.size)


def write_swept(path: Path, e: Floats, i: Floats, head: str = "time / s,E / V,I / mA", factor: float = 1e3) -> Path:
    """A file of text with times by the rate; the head says what `factor` makes of amperes."""
    t = np.concatenate((np.zeros(1), np.cumsum(np.abs(np.diff(e))))) / RATE
    rows = (f"{a:.6f},{b:.6f},{factor * c:.9g}" for a, b, c in zip(t, e, i, strict=True))
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path
