"""Best source settings of a link: four parameters by Nelder-Mead over the finite-key rate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.report import Metric, best
from poliqi.optics.channel import expectation
from poliqi.optics.optimise import optimise
from poliqi.optics.parameters import Block, Detector, DetectorKind, Fibre, LinkParameters, Receiver, Source
from poliqi.optics.prediction import merit, predict

BASE = LinkParameters(
    name="10 km",
    source=Source(1e9, (0.5, 0.15), (0.7, 0.3), 0.9),
    fibre=Fibre(10e3, 0.3, connectors_db=3.0),
    receiver=Receiver(0.01, 0.02, loss_db=3.0),
    detector=Detector(DetectorKind.SNSPD, 0.85, dark_rate_hz=100.0, dead_time_s=25e-9),
    block=Block(efficiency=1.16),
)
LINKS = {
    "snspd 10 km": BASE,
    "snspd 100 km": replace(BASE, fibre=replace(BASE.fibre, length_m=100e3)),
    "afterpulses": replace(
        BASE,
        detector=Detector(
            DetectorKind.GATED_APD, 0.2, dark_per_gate=5e-6, afterpulse=0.04, afterpulse_time_s=20e-9
        ),
    ),
}


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """The slowest of a few links, scipy imported before; and the two things that are done over and over."""
    runs = 3 if quick else 10
    details: dict[str, Any] = {}
    slowest = 0.0
    for name, link in LINKS.items():
        optimise(link)
        took = best(lambda link=link: optimise(link), runs=runs) * 1e3
        chosen = optimise(link)
        details[name] = {
            "ms": round(took, 2),
            "rate_bits_per_s": round(predict(chosen).rate_hz),
            "written_bits_per_s": round(predict(link).rate_hz),
            "intensities": [round(mu, 4) for mu in chosen.source.intensities],
            "probabilities": [round(p, 4) for p in chosen.source.probabilities],
            "key_basis": round(chosen.source.key_basis, 4),
        }
        slowest = max(slowest, took)

    def closed_form() -> None:
        for _ in range(200):
            expectation(BASE)

    def rate() -> None:
        for _ in range(200):
            merit(BASE)

    return [
        Metric("optimise four parameters ms", slowest, "ms", 50.0, "max"),
        Metric("finite-key rate of a link us", best(rate, runs=runs) / 200 * 1e6, "us", None, "max"),
        Metric("closed form of a link us", best(closed_form, runs=runs) / 200 * 1e6, "us", None, "max"),
    ], details
