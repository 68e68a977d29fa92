"""Reduction of X-ray frames: Eiger 4M to I(q) with sigma, one thread, against pyFAI on the same frames."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before pyFAI is imported: one core against one core

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report import Metric

BINS = 1000
FRAMES = 12
"""Of 9 MB each: more than the caches hold, so that every frame is read from memory."""
OVERFLOW = 65_535
POLARISATION = 0.99


def frames(shape: tuple[int, int], gaps: NDArray[np.bool_]) -> list[NDArray[np.uint16]]:
    """Simulated counts of small angles: thousands near the beam, few outside; gaps and hot pixels overflow."""
    draw = np.random.default_rng(1)
    rows, columns = np.indices(shape, np.float32)
    radius = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2)
    mean = 3000.0 / (1.0 + (radius / 60.0) ** 3) + 0.3
    made: list[NDArray[np.uint16]] = []
    for _ in range(FRAMES):
        frame = draw.poisson(mean).astype(np.uint16)
        frame[gaps] = OVERFLOW
        frame.ravel()[draw.integers(0, frame.size, 20)] = OVERFLOW
        made.append(frame)
    return made


def timed(
    calls: dict[str, Callable[[Any], Any]], stack: list[NDArray[np.uint16]], rounds: int
) -> dict[str, list[float]]:
    """Milliseconds of every call on every frame, the calls in turn."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call(stack[0])
    for _ in range(rounds):
        for frame in stack:
            for name, call in calls.items():
                begun = time.perf_counter()
                call(frame)
                taken[name].append((time.perf_counter() - begun) * 1e3)
    return taken


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Both ways of splitting, each against every engine of pyFAI that runs on one core."""
    from poliqi.lab.xray.binning import Splitting
    from poliqi.lab.xray.geometry import Geometry
    from poliqi.lab.xray.reduction import Marks, Plan, Recipe, Settings, packed_mask

    place = Geometry(1.2, 0.0813, 0.0777, 1e-10, 0.01, -0.02, 0.3, "Eiger4M")
    integrator = place.integrator()
    shape = integrator.detector.shape
    gaps = integrator.detector.mask != 0
    stack = frames(shape, gaps)
    metrics: list[Metric] = []
    details: dict[str, Any] = {"frame": f"{shape[0]} x {shape[1]} uint16, simulated", "bins": BINS}
    for splitting, goal_ms, goal_ratio in ((Splitting.NO, 3.0, 12.0), (Splitting.BBOX, 25.0, 2.5)):
        settings = Settings(bins=BINS, splitting=splitting, polarisation=POLARISATION)
        begun = time.perf_counter()
        plan = Plan(Recipe(place, shape, packed_mask(gaps), settings))
        setup_s = time.perf_counter() - begun
        engines = ["csr", "csc", "histogram"] if splitting is Splitting.NO else ["csr", "csc"]

        def ours(frame: Any, plan: Plan = plan) -> Any:
            return plan.reduce(frame, Marks(OVERFLOW)).intensity()

        def theirs(frame: Any, engine: str, way: str = splitting.value) -> Any:
            return integrator.integrate1d(
                frame,
                BINS,
                unit="q_nm^-1",
                method=(way, engine, "cython"),
                error_model="poisson",
                polarization_factor=POLARISATION,
                mask=integrator.detector.mask,
                dummy=OVERFLOW,
                delta_dummy=0,
            )

        calls: dict[str, Callable[[Any], Any]] = {"ours": ours}
        calls |= {name: (lambda frame, name=name: theirs(frame, name)) for name in engines}
        worst = equality(ours(stack[0])[0], theirs(stack[0], "csr"))
        taken = timed(calls, stack[: 4 if quick else FRAMES], 1 if quick else 3)
        peer = min(engines, key=lambda name: min(taken[name]))
        mine, best = min(taken["ours"]), min(taken[peer])
        name = "no splitting" if splitting is Splitting.NO else "bbox"
        metrics.append(Metric(f"{name} ms", mine, "ms", goal_ms, "max", f"pyFAI {peer}", best))
        metrics.append(Metric(f"{name} / pyFAI", best / mine, "x", goal_ratio, "min", f"pyFAI {peer}", 1.0))
        details[name] = {
            "set up s": round(setup_s, 2),
            "largest relative difference of I": worst,
            "median ms": {key: round(median(values), 2) for key, values in taken.items()},
            "least ms": {key: round(min(values), 2) for key, values in taken.items()},
            "ratio of medians": round(median(taken[peer]) / median(taken["ours"]), 1),
        }
    return metrics, details


def equality(ours: NDArray[np.float64], theirs: Any) -> float:
    """The largest relative difference in bins that hold a pixel."""
    filled = np.asarray(theirs.count) > 0.01
    worst = float(np.max(np.abs(ours[filled] / theirs.intensity[filled] - 1)))
    assert worst < 1e-6, worst
    return worst
