"""Parity-check reconciliation: efficiency with everything that is said, and Mbit/s of both parties on one core."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from bench.report import Metric
from poliqi.base.bits import BitString
from poliqi.base.ids import Role
from poliqi.distill.correct import COUNT_BITS, TAG_BITS, VERDICT_BITS
from poliqi.distill.reconcile.ldpc import Ldpc
from poliqi.distill.reconcile.protocol import ReconcilerTerms

FRAME_BITS = 65536
GOALS = {0.02: True, 0.03: True, 0.05: True, 0.01: False, 0.08: False}
MEANING = (
    "f is (Alice's bits, Bob's bits, a tag of 128 bits and a verdict a block, two counts of errors of 64 bits, and "
    "for a block with a wrong frame a tag and a verdict for each frame and Alice's bits of the wrong ones) over "
    "n h(q); the estimate equals the rate; errors independent; "
    "Mbit/s is n over the CPU time of both parties"
)


def _entropy(q: float) -> float:
    return -q * math.log2(q) - (1 - q) * math.log2(1 - q)


def _point(qber: float, frames: int, *, blind: bool) -> dict[str, Any]:
    random = np.random.default_rng([round(qber * 1e6), frames, blind])
    n = frames * FRAME_BITS
    alice = BitString.from_bits(random.integers(0, 2, n, dtype=np.uint8))
    errors = BitString.from_bits((random.random(n) < qber).astype(np.uint8))
    terms = ReconcilerTerms(qber=qber, seed=0, frame_bits=FRAME_BITS)
    started = time.process_time()
    a, b = Ldpc(Role.ALICE, alice, terms, blind=blind), Ldpc(Role.BOB, alice ^ errors, terms, blind=blind)
    while not a.done:
        said, answered = a.message(), b.message()
        assert said is not None and answered is not None
        a.receive(answered)
        b.receive(said)
    seconds = time.process_time() - started
    assert b.errors is not None
    wrong = b.errors ^ errors
    bounds = b.frame_bounds()
    failed = [stop - start for start, stop in bounds if wrong.part(start, stop).ones()]
    tagged = 1 + (len(bounds) if failed else 0)
    tags = (TAG_BITS + VERDICT_BITS) * tagged + 2 * COUNT_BITS
    disclosed = sum(failed)
    total = a.sent_bits + b.sent_bits + tags + disclosed
    return {
        "qber": qber,
        "profile": "ldpc-blind" if blind else "ldpc",
        "f": total / (n * _entropy(qber)),
        "f_syndromes": a.sent_bits / (n * _entropy(qber)),
        "mbit_s": n / seconds / 1e6,
        "frames": len(bounds),
        "frame_errors": len(failed),
        "rounds": a.rounds,
        "iterations": b.iterations / len(bounds),
        "attempts": b.attempts / len(bounds),
        "leak": {"alice": a.sent_bits, "bob": b.sent_bits, "tags": tags, "disclosed": disclosed},
    }


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """With increments at 1 to 8 %, and at a fixed rate beside them."""
    frames = 50 if quick else 1000
    _point(0.02, 1, blind=True)
    points = [_point(qber, frames, blind=True) for qber in GOALS]
    fixed = [_point(qber, frames, blind=False) for qber, named in GOALS.items() if named]
    results: list[Metric] = []
    for point, named in zip(points, GOALS.values(), strict=True):
        if named:
            at = f"at {100 * point['qber']:g} %"
            results.append(Metric(f"LDPC f {at}", point["f"], "", 1.12, "max"))
            results.append(
                Metric(f"LDPC frame errors {at}", point["frame_errors"] / point["frames"], "", 1e-2, "max")
            )
            results.append(Metric(f"LDPC Mbit/s {at}", point["mbit_s"], "Mbit/s", 10.0, "min"))
    return results, {"work": MEANING, "points": points, "fixed rate": fixed}
