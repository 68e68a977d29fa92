"""Photons on one core: clicks per second of the event stream, a block of counts, and how well they agree."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from bench.peers.environment import PeerMissing, measure
from bench.report import Metric, best
from poliqi.optics.channel import expectation
from poliqi.optics.counts import CountSampler
from poliqi.optics.parameters import Detector, DetectorKind, Fibre, LinkParameters, Receiver, Source
from poliqi.optics.sampler import Sampler
from poliqi.optics.states import alice_states

# total transmission 0.1: 7 dB of fibre, efficiency 0.5
LINK = LinkParameters(
    name="bench",
    source=Source(1e9, (0.5, 0.15), (0.7, 0.3), 0.9),
    fibre=Fibre(35e3, 0.2),
    receiver=Receiver(0.01, 0.02),
    detector=Detector(DetectorKind.SNSPD, 0.5, dark_rate_hz=100.0),
)
DEAD = replace(LINK, detector=replace(LINK.detector, dead_time_s=20e-9))
AFTERPULSING = replace(DEAD, detector=replace(DEAD.detector, afterpulse=0.04, afterpulse_time_s=20e-9))
OWN_WORDS = "a list of clicks and Alice's states of them; one core"
QKD_WORDS = (
    "qkd 0.2.0 makes a table of counts of three intensities without dead time and no click list, and adds an "
    "asymptotic rate; scaled from 2e7 pulses to 1e8; its best of three runs, wall clock"
)
SEQUENCE_WORDS = (
    "SeQUeNCe 0.8.5 follows each photon through a general network simulator, one intensity, and sifts; no decoy; "
    "scaled from 2e5 pulses to 1e8"
)


def _rate(link: LinkParameters, quick: bool) -> float:
    """Mclick/s of takes of 1e7 slots, the fastest of many."""
    sampler = Sampler(link, 1)
    sampler.take(1000)
    fastest, spent = 0.0, 0.0
    while spent < (0.5 if quick else 2.0):
        started = time.perf_counter()
        clicks = sampler.take(10_000_000).slots.size
        took = time.perf_counter() - started
        fastest, spent = max(fastest, clicks / took / 1e6), spent + took
    return fastest


def _decoy_run() -> None:
    """1e8 pulses: Bob's clicks, and Alice's states of the slots he reports."""
    seed = 7
    clicks = Sampler(LINK, seed).take(100_000_000)
    alice_states(LINK.source, seed, clicks.slots)


def class_z_scores(link: LinkParameters, seeds: range, pulses: int) -> np.ndarray:
    """Deviations float64[seeds, 2 bases, levels, 2 right and wrong] of sifted counts from the closed form.

    In standard deviations: a class of share q of the clicks has variance (pulses/C) q ((1 - q) + q s^2/C^2), C and
    s^2 being the mean and the variance of the cycle from click to click.
    """
    mean, levels = expectation(link), len(link.source.intensities)
    per_pulse = np.array(
        [[(n - m, m) for n, m in zip(b.detections, b.errors, strict=True)] for b in (mean.key, mean.test)]
    )
    q = per_pulse / mean.clicks
    spread = np.sqrt(pulses / mean.cycle_mean * q * ((1 - q) + q * mean.cycle_variance / mean.cycle_mean**2))
    found: list[np.ndarray] = []
    for seed in seeds:
        clicks = Sampler(link, seed).take(pulses)
        states = alice_states(link.source, seed, clicks.slots)
        basis = (states >> 1) & 1
        wrong = (states ^ clicks.outcomes) & 1
        cell = (basis.astype(np.int64) * levels + (states >> 2)) * 2 + wrong
        counted = np.bincount(cell[clicks.outcomes >> 1 == basis], minlength=4 * levels)
        found.append((counted.reshape(2, levels, 2) - per_pulse * pulses) / spread)
    return np.array(found)


def _agreement(quick: bool) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name, link in (("free", LINK), ("dead time 20 slots", DEAD), ("and afterpulses 4 %", AFTERPULSING)):
        z = class_z_scores(link, range(20 if quick else 100), 10_000_000)
        classes = {
            f"{basis} {mu:g} {what}": [round(float(z[:, b, k, w].mean()), 3), round(float(z[:, b, k, w].std()), 3)]
            for b, basis in enumerate(("key", "test"))
            for k, mu in enumerate(link.source.intensities)
            for w, what in enumerate(("right", "wrong"))
        }
        rows[name] = {
            "scores": z.size,
            "mean": round(float(z.mean()), 3),
            "std": round(float(z.std()), 3),
            "largest": round(float(np.abs(z).max()), 2),
            "classes (mean, std)": classes,
        }
    return rows


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Event stream and count level, beside peers where they install."""
    details: dict[str, Any] = {"work": OWN_WORDS, "z scores": _agreement(quick), "peers": {}}
    _decoy_run()
    decoy_s = best(_decoy_run, runs=3 if quick else 7)
    count_level, generator = CountSampler(DEAD), np.random.default_rng(1)

    def blocks() -> None:
        for _ in range(1000):
            count_level.draw(10**10, generator)

    block_us = best(blocks, runs=5) * 1e3
    results = [
        Metric("Mclick/s without dead time", _rate(LINK, quick), "Mclick/s", 100.0, "min"),
        Metric("Mclick/s with dead time", _rate(DEAD, quick), "Mclick/s", 40.0, "min"),
        Metric("Mclick/s with dead time and afterpulses", _rate(AFTERPULSING, quick), "Mclick/s", None, "min"),
        Metric("1e8-pulse decoy run s", decoy_s, "s", 0.15, "max"),
        Metric("count-level block us", block_us, "us", 10.0, "max"),
    ]
    for peer, script, pulses, words in (
        ("qkd==0.2.0", "run_qkd.py", 2e7, QKD_WORDS),
        ("sequence==0.8.5", "run_sequence.py", 1e5 if quick else 2e5, SEQUENCE_WORDS),
    ):
        name = peer.replace("==", " ")
        try:
            measured = measure(peer, script, str(pulses))
        except PeerMissing as missing:
            details["peers"][name] = {"skipped": str(missing)}
            continue
        seconds = measured["wall_s"] * 1e8 / measured["pulses"]
        details["peers"][name] = measured | {"compared": words, "times slower": round(seconds / decoy_s, 1)}
        results.append(Metric(f"1e8-pulse run s, beside {name}", decoy_s, "s", None, "max", name, seconds))
    return results, details
