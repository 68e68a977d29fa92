"""The efficiency and the frame errors that the documents state; `pytest -s` prints the table."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from poliqi.distill.reconcile import Cascade

FRAME = 65536


def shannon_bits(n: int, q: float) -> float:
    return n * (-q * math.log2(q) - (1 - q) * math.log2(1 - q))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "frames", "limit"),
    [(0.01, 60, 1.04), (0.02, 300, 1.045), (0.03, 60, 1.05), (0.05, 60, 1.06), (0.08, 60, 1.08)],
)
def test_efficiency_and_frame_errors(rate: float, frames: int, limit: float) -> None:
    n = frames * FRAME
    rng = np.random.default_rng(round(1e4 * rate))
    alice = rng.integers(0, 2, n, dtype=np.uint8)
    errors = np.zeros(n, np.uint8)
    errors[rng.choice(n, round(n * rate), replace=False)] = 1
    Cascade(alice[:10], qber=rate, seed=1).receive(b"\0")  # compiles, or reads the compiled code
    start = time.perf_counter()
    a, b = (Cascade(bits, qber=rate, seed=1) for bits in (alice, alice ^ errors))
    while not a.done:
        from_a, from_b = a.message(), b.message()
        assert from_a is not None
        assert from_b is not None
        a.receive(from_b)
        b.receive(from_a)
    seconds = time.perf_counter() - start
    wrong = (b.corrected() != alice).reshape(frames, FRAME).any(axis=1).sum()
    f = a.sent_bits / shannon_bits(n, rate)
    print(
        f"{rate:.0%}: f {f:.4f}, {a.rounds} rounds, {wrong} of {frames} frames wrong, "
        f"{n / seconds / 1e6:.1f} Mbit/s for both parties on one core"
    )
    assert f <= limit
    assert wrong == 0
