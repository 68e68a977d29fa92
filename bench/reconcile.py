"""Reconciliation on one core: f, Mbit/s of both parties together, rounds and frame errors of each profile."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.report import Metric
from poliqi.base.bits import BitString
from poliqi.base.ids import Role
from poliqi.distill.reconcile import DEFAULT_RECONCILER, RECONCILERS
from poliqi.distill.reconcile.protocol import ReconcilerMaker, ReconcilerTerms

FRAME_BITS = 65536
BLOCK_FRAMES = 152  # a block of 1e7 bits
TAG_BITS = 128
GOALS_F = {0.01: 1.035, 0.02: 1.04, 0.03: 1.04, 0.05: 1.055, 0.08: 1.075}
GOALS_MBIT_S = {0.02: 250.0, 0.05: 80.0}
FEW = "cascade-few-rounds"
COMPARED = (("f", "f", "", "max"), ("Mbit/s", "mbit_s", "Mbit/s", "min"), ("rounds", "rounds", "", "max"))
WORDS = (
    "CPU time of one thread that runs both parties in turn, from making them out of packed strings to the error "
    "string at both ends, messages as bytes in between; mbit_s is the best block, mbit_s_mean all of them. Errors "
    "are drawn bit by bit at the true rate; the estimate is that rate and nothing else is known. f: bits that "
    "Alice says (parities, a tag of 128 bits for the block, and where a frame stays wrong a tag for each frame and "
    "that frame in full) over n h(q); f_both_directions adds what Bob says. No peer: cascade-cpp is not on a "
    "registry."
)


@dataclass
class Point:
    """Sums over the blocks of one error rate."""

    qber: float
    profile: str
    frames: int = 0
    frame_errors: int = 0
    alice: int = 0
    bob: int = 0
    rounds: int = 0
    seconds: float = math.inf
    total_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        q, n = self.qber, self.frames * FRAME_BITS
        shannon = n * (-q * math.log2(q) - (1 - q) * math.log2(1 - q))
        return {
            "qber": q,
            "f": round(self.alice / shannon, 5),
            "f_both_directions": round((self.alice + self.bob) / shannon, 5),
            "mbit_s": round(BLOCK_FRAMES * FRAME_BITS / self.seconds / 1e6, 1),
            "mbit_s_mean": round(n / self.total_s / 1e6, 1),
            "frames": self.frames,
            "frame_errors": self.frame_errors,
            "rounds": self.rounds,
            "profile": self.profile,
        }


def strings(qber: float, block: int) -> tuple[BitString, BitString]:
    """Alice's string and the errors of a block, the same for whoever is measured."""
    n = BLOCK_FRAMES * FRAME_BITS
    generator = np.random.default_rng([round(1e6 * qber), block])
    alice = BitString(generator.integers(0, 1 << 64, n // 64, dtype=np.uint64), n)
    errors = np.zeros(n, np.uint8)
    errors[generator.choice(n, generator.binomial(n, qber), replace=False, shuffle=False)] = 1
    return alice, BitString.from_bits(errors)


def reconcile(make: ReconcilerMaker, alice: BitString, errors: BitString, seed: int, point: Point) -> None:
    """Run both parties on one block and add what it took to the point."""
    terms, bob = ReconcilerTerms(point.qber, seed, FRAME_BITS), alice ^ errors
    started = time.thread_time()
    a, b = make(Role.ALICE, alice, terms), make(Role.BOB, bob, terms)
    while not a.done:
        from_a, from_b = a.message(), b.message()
        assert from_a is not None
        assert from_b is not None
        a.receive(from_b)
        b.receive(from_a)
    found, _ = b.errors, a.errors
    took = time.thread_time() - started
    assert found is not None
    left = (found ^ errors).words.reshape(BLOCK_FRAMES, -1).any(axis=1)
    wrong = int(left.sum())
    point.frames += BLOCK_FRAMES
    point.frame_errors += wrong
    point.alice += a.sent_bits + TAG_BITS + (TAG_BITS * BLOCK_FRAMES if wrong else 0) + FRAME_BITS * wrong
    point.bob += b.sent_bits + 1 + (BLOCK_FRAMES if wrong else 0) + FRAME_BITS * wrong
    point.rounds = max(point.rounds, a.rounds)
    point.seconds, point.total_s = min(point.seconds, took), point.total_s + took


def measure(makers: dict[str, ReconcilerMaker], qber: float, blocks: int) -> list[Point]:
    """All makers on the same blocks."""
    points = [Point(qber, name) for name in makers]
    for block in range(blocks):
        alice, errors = strings(qber, block)
        for point, make in zip(points, makers.values(), strict=True):
            reconcile(make, alice, errors, 1 + block, point)
    return points


def run(quick: bool, maker: ReconcilerMaker | None = None) -> tuple[list[Metric], dict[str, Any]]:
    """Every profile of Cascade at every rate; `maker` (role, own string, terms) on the same blocks."""
    makers = {name: RECONCILERS[name].make for name in (DEFAULT_RECONCILER, FEW)}
    if maker is not None:
        makers[getattr(maker, "__name__", "candidate")] = maker
    for make in makers.values():  # compiles, or reads the compiled code
        reconcile(make, *strings(0.02, 0), 0, Point(0.02, ""))
    results: list[Metric] = []
    rows: list[dict[str, Any]] = []
    for qber, goal in GOALS_F.items():
        at = f"at {100 * qber:g} %"
        own, *others = [p.as_json() for p in measure(makers, qber, 2 if quick else 66)]
        rows += [own, *others]
        results += [
            Metric(f"f {at}", own["f"], "", goal, "max"),
            Metric(f"Mbit/s {at}", own["mbit_s"], "Mbit/s", GOALS_MBIT_S.get(qber), "min"),
            Metric(f"frame errors {at}", own["frame_errors"] / own["frames"], "", 1e-3, "max"),
        ]
        for other in others:
            name = other["profile"]
            results += [
                Metric(f"{what} {at}, {name}", other[key], unit, None, sense, DEFAULT_RECONCILER, own[key])
                for what, key, unit, sense in COMPARED
            ]
    return results, {"timed": WORDS, "block_frames": BLOCK_FRAMES, "frame_bits": FRAME_BITS, "points": rows}
