"""The efficiency and the frame errors that the documents state; `pytest -s` prints the table."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from poliqi.base.bits import BitString
from poliqi.base.ids import Role
from poliqi.distill.reconcile import Cascade, CascadeParameters, ReconcilerTerms, efficiency, expected_leak_bits

FRAME = 65536


def measure(
    rate: float, frames: int, seed: int, qber: float | None = None, parameters: CascadeParameters | None = None
) -> tuple[int, int, int, float]:
    """Parities one party says, rounds, frames left wrong, CPU seconds of both parties."""
    n = frames * FRAME
    rng = np.random.default_rng([round(1e4 * rate), seed])
    alice = BitString(rng.integers(0, 1 << 64, n // 64, dtype=np.uint64), n)
    bits = np.zeros(n, np.uint8)
    bits[rng.choice(n, rng.binomial(n, rate), replace=False, shuffle=False)] = 1
    errors = BitString.from_bits(bits)
    terms = ReconcilerTerms(rate if qber is None else qber, seed, FRAME)
    start = time.process_time()
    a, b = (
        Cascade(role, own, terms, parameters) for role, own in ((Role.ALICE, alice), (Role.BOB, alice ^ errors))
    )
    while not a.done:
        from_a, from_b = a.message(), b.message()
        assert from_a is not None
        assert from_b is not None
        a.receive(from_b)
        b.receive(from_a)
    seconds = time.process_time() - start
    wrong = int((b.errors ^ errors).words.reshape(frames, -1).any(axis=1).sum())
    return a.sent_bits, a.rounds, wrong, seconds


def shannon(rate: float) -> float:
    return -rate * math.log2(rate) - (1 - rate) * math.log2(1 - rate)


def report(rate: float, frames: int, runs: int) -> tuple[float, int]:
    measure(rate, 1, 0)  # compiles, or reads the compiled code
    told = [measure(rate, frames, seed) for seed in range(1, runs + 1)]
    n = frames * runs * FRAME
    f = sum(t[0] for t in told) / (n * shannon(rate))
    wrong, seconds = sum(t[2] for t in told), sum(t[3] for t in told)
    print(
        f"\n{rate:.1%}: f {f:.4f}, up to {max(t[1] for t in told)} rounds, {wrong} of {frames * runs} frames wrong,"
        f" {n / seconds / 1e6:.1f} Mbit/s (CPU time of both parties together)"
    )
    return f, wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "frames", "limit"),
    [(0.01, 300, 1.035), (0.02, 300, 1.04), (0.03, 300, 1.04), (0.05, 300, 1.055), (0.08, 300, 1.075)],
)
def test_efficiency_and_frame_errors(rate: float, frames: int, limit: float) -> None:
    f, wrong = report(rate, frames, 1)
    assert f <= limit
    assert f <= efficiency(rate)
    assert wrong == 0


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "limit"), [(0.01, 1.055), (0.02, 1.06), (0.03, 1.065), (0.05, 1.07), (0.08, 1.1)])
def test_few_rounds_cost_one_or_two_percent_of_f(rate: float, limit: float) -> None:
    said, rounds, wrong, _ = measure(rate, 150, 1, parameters=CascadeParameters(few_rounds=True))
    f = said / (150 * FRAME * shannon(rate))
    print(f"\n{rate:.1%}, few rounds: f {f:.4f}, {rounds} rounds")
    assert f <= min(limit, efficiency(rate, few_rounds=True))
    assert rounds <= 330
    assert wrong == 0


@pytest.mark.parametrize("rate", [0.00396, 0.0079, 0.01575, 0.0267, 0.0315, 0.063])
def test_few_rounds_are_forecast_where_the_blocks_have_just_been_halved(rate: float) -> None:
    said, _, _, _ = measure(rate, 60, 2, parameters=CascadeParameters(few_rounds=True))
    assert said <= expected_leak_bits(60 * FRAME, rate, 2.0, few_rounds=True)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05])
def test_what_a_wrong_estimate_costs(rate: float) -> None:
    for ratio, limit in ((1 / 3, 1.06), (0.5, 1.06), (0.7, 1.06), (1.5, 1.07), (2.0, 1.13), (3.0, 1.16)):
        said, rounds, wrong, _ = measure(rate, 10, 1, qber=ratio * rate)
        f = said / (10 * FRAME * shannon(rate))
        print(f"\n{rate:.1%} with an estimate of {ratio * rate:.2%}: f {f:.4f}, {rounds} rounds")
        assert f < limit
        assert wrong == 0


def _only_when_chosen(request: pytest.FixtureRequest) -> None:
    if "soak" not in str(request.config.getoption("-m")):
        pytest.skip("long: choose it with -m soak")


@pytest.mark.soak
@pytest.mark.parametrize("rate", [0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1])
def test_scan_of_block_sizes(rate: float, request: pytest.FixtureRequest) -> None:
    _only_when_chosen(request)
    costs: list[tuple[float, str]] = []
    for k1 in (1 << i for i in range(2, 10) if 0.5 <= rate * (1 << i) <= 2):
        for k2 in (2 * k1, 4 * k1, 8 * k1, 16 * k1):
            sizes = CascadeParameters(block_sizes=(k1, k2, max(8192, 8 * k2)))
            said, rounds, _, _ = measure(rate, 48, 1, parameters=sizes)
            f = said / (48 * FRAME * shannon(rate))
            costs.append((f + 1e-5 * rounds, f"k1 {k1}, k2 {k2}: f {f:.4f}, {rounds} rounds"))
    chosen = measure(rate, 48, 1)
    cost = chosen[0] / (48 * FRAME * shannon(rate)) + 1e-5 * chosen[1]
    print(f"\n{rate:.1%}:", *(text for _, text in sorted(costs)[:4]), sep="\n  ")
    assert cost < min(costs)[0] + 0.006


@pytest.mark.soak
@pytest.mark.parametrize("rate", [0.01, 0.02, 0.03, 0.05, 0.08])
def test_frame_errors_over_ten_thousand_frames(rate: float, request: pytest.FixtureRequest) -> None:
    _only_when_chosen(request)
    _, wrong = report(rate, 100, 100)
    assert wrong <= 10
