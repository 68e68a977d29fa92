"""Calibration without clicks: twenty simulated detectors, what is found of each, and how long it takes.

Seconds are processor time, after the packages are imported; nothing of it runs on several cores.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import Metric
from poliqi.lab.xray.calibration.calibrants import load_calibrant
from poliqi.lab.xray.calibration.panel import panel_of
from poliqi.lab.xray.calibration.procedure import calibrate
from poliqi.lab.xray.calibration.result import Calibration, report
from poliqi.lab.xray.calibration.simulated import Scene, simulate

SHAPES = {
    "Pilatus300k": (619, 487),
    "Pilatus1M": (1043, 981),
    "Eiger1M": (1065, 1030),
    "Eiger4M": (2167, 2070),
}
FAINT, BRIGHT = 300.0, 3000.0
# detector, calibrant, wavelength (A), distance (m), beam (share of width, of height), tilt (deg) and its plane,
# counts in a pixel of the strongest ring
GEOMETRIES: tuple[tuple[str, str, float, float, float, float, float, float, float], ...] = (
    ("Pilatus1M", "AgBh", 1.0, 1.203, 0.52, 0.47, 0.6, 30, FAINT),
    ("Pilatus1M", "AgBh", 1.5418, 0.55, 0.5, 0.5, 0.3, 200, FAINT),
    ("Pilatus300k", "AgBh", 1.0, 0.4, 0.45, 0.55, 1.0, 100, FAINT),
    ("Pilatus300k", "AgBh", 0.8, 1.0, 0.05, 0.95, 0.4, 10, BRIGHT),
    ("Eiger1M", "AgBh", 1.3414, 0.4, 0.5, 0.5, 0.5, 270, FAINT),
    ("Eiger1M", "AgBh", 0.7, 1.0, 0.1, 0.1, 0.3, 70, BRIGHT),
    ("Eiger4M", "AgBh", 0.9, 1.5, 0.5, 0.51, 0.4, 45, FAINT),
    ("Eiger4M", "AgBh", 0.7, 3.0, 0.48, 0.52, 0.2, 130, FAINT),
    ("Eiger4M", "AgBh", 1.0, 2.0, 0.02, 0.03, 0.5, 300, BRIGHT),
    ("Pilatus1M", "AgBh", 0.73, 3.0, 0.03, 0.97, 0.3, 12, BRIGHT),
    ("Pilatus1M", "LaB6", 0.9, 0.20, 0.5, 0.5, 3, 20, FAINT),
    ("Pilatus1M", "LaB6", 0.7, 0.15, 0.45, 0.6, 5, 150, FAINT),
    ("Pilatus300k", "LaB6", 0.6, 0.1, 0.5, 0.5, 2, 330, FAINT),
    ("Eiger1M", "LaB6", 0.8, 0.1, 0.4, 0.4, 4, 80, FAINT),
    ("Eiger4M", "LaB6", 0.5, 0.2, 0.5, 0.5, 6, 215, FAINT),
    ("Pilatus1M", "CeO2", 0.5, 0.4, 0.5, 0.5, 1, 99, FAINT),
    ("Eiger4M", "CeO2", 0.4, 0.3, 0.05, 0.95, 5, 160, FAINT),
    ("Eiger1M", "Si", 0.7, 0.12, 0.52, 0.5, 3, 10, FAINT),
    ("Pilatus1M", "Si", 0.5, 0.25, 0.02, 0.02, 4, 45, BRIGHT),
    ("Pilatus300k", "CeO2", 0.7, 0.15, 0.95, 0.5, 3, 250, BRIGHT),
)
CENTRE_PX, DISTANCE, SECONDS = 0.1, 2e-5, 5.0


def scene(number: int) -> Scene:
    """One of the twenty, by its place in GEOMETRIES."""
    detector, calibrant, wavelength_a, distance_m, across, down, tilt, plane, counts = GEOMETRIES[number]
    panel = panel_of(SHAPES[detector], None, detector)
    return Scene(
        panel,
        load_calibrant(calibrant),
        wavelength_a * 1e-10,
        distance_m,
        across * panel.shape[1] + 0.37,
        down * panel.shape[0] + 0.21,
        tilt,
        plane,
        peak_counts=counts,
        is_unsigned=detector.startswith("Eiger"),
    )


def found(truth: Scene, seed: int) -> tuple[Calibration, float]:
    """The calibration of a simulated frame, told its calibrant and wavelength alone; seconds of processor."""
    frame = simulate(truth, np.random.default_rng(seed)).astype(np.float64)
    valid = (frame >= 0) & (frame < 2**32 - 1)
    unmasked = replace(truth.panel, mask=None)  # the frame's own marks must do
    started = time.process_time()
    answer = calibrate(frame, valid, unmasked, truth.calibrant, truth.wavelength_m)
    return answer, time.process_time() - started


def row(truth: Scene, answer: Calibration, seconds: float) -> dict[str, Any]:
    """What was found beside what is true: `centre off` in pixels, `distance off` relative, along the beam."""
    told = report(answer)
    x, y = answer.beam_px
    return {
        "detector": truth.panel.name,
        "calibrant": truth.calibrant.name,
        "distance m": truth.distance_m,
        "beam px": [round(truth.beam_x_px, 2), round(truth.beam_y_px, 2)],
        "tilt deg": truth.tilt_deg,
        "rings": len(answer.rings),
        "centre off px": round(math.hypot(x - truth.beam_x_px, y - truth.beam_y_px), 4),
        "centre sigma px": round(math.hypot(told["beam_x_sigma_px"], told["beam_y_sigma_px"]), 4),
        "distance off": float(f"{answer.stand.distance_m / truth.distance_m - 1:.2g}"),
        "distance sigma": float(f"{told['sample_to_beam_spot_sigma_m'] / truth.distance_m:.2g}"),
        "tilt off deg": round(math.degrees(answer.stand.tilt_rad) - truth.tilt_deg, 4),
        "runner-up": None if answer.runner_up is None else round(answer.runner_up.share, 2),
        "s": round(seconds, 2),
    }


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """All twenty, or the first of each detector."""
    numbers = (0, 2, 4, 6, 14) if quick else range(len(GEOMETRIES))
    rows: list[dict[str, Any]] = []
    for number in numbers:
        truth = scene(number)
        rows.append(row(truth, *found(truth, number)))
    good = [r for r in rows if r["centre off px"] < CENTRE_PX and abs(r["distance off"]) < DISTANCE]
    return [
        Metric("geometries found", float(len(good)), f"of {len(rows)}", float(len(rows)), "min"),
        Metric("worst centre", max(r["centre off px"] for r in rows), "px", CENTRE_PX, "max"),
        Metric("worst distance", max(abs(r["distance off"]) for r in rows), "relative", DISTANCE, "max"),
        Metric("slowest", max(r["s"] for r in rows), "s", SECONDS, "max"),
        Metric("median", statistics.median(r["s"] for r in rows), "s", SECONDS, "max"),
    ], {"geometries": rows}


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table of the documentation."""
    lines = [
        "| detector | calibrant | distance | beam (px) | tilt | rings | centre off (px) | distance off, 1e-6 | s |",
        "|" + "---|" * 9,
    ]
    for r in rows:
        x, y = r["beam px"]
        lines.append(
            f"| {r['detector']} | {r['calibrant']} | {r['distance m']:g} m | {x:.0f}, {y:.0f} |"
            f" {r['tilt deg']:g}° | {r['rings']} | {r['centre off px']:.3f} ± {r['centre sigma px']:.3f} |"
            f" {r['distance off'] * 1e6:+.1f} ± {r['distance sigma'] * 1e6:.1f} | {r['s']:.1f} |"
        )
    return "\n".join(lines)


def draw(number: int, path: Path) -> None:
    """The picture of the documentation: one of the twenty with its rings."""
    from PIL import Image

    from poliqi.lab.xray.calibration.plot import draw_calibration

    truth = scene(number)
    frame = simulate(truth, np.random.default_rng(number)).astype(np.float64)
    valid = (frame >= 0) & (frame < 2**32 - 1)
    answer = calibrate(frame, valid, truth.panel, truth.calibrant, truth.wavelength_m)
    draw_calibration(answer, frame, valid, path, "simulated")
    with Image.open(path) as drawn:
        fewer = drawn.convert("RGB").resize((drawn.width * 3 // 4, drawn.height * 3 // 4)).quantize(64)
    fewer.save(path, optimize=True)


if __name__ == "__main__":  # python -m bench.calibrate [NUMBER FILE.png]
    if len(sys.argv) == 3:
        draw(int(sys.argv[1]), Path(sys.argv[2]))
    else:
        print(markdown(run(quick=False)[1]["geometries"]))
