"""What users of Cascade rely on: both ends agree, all sizes work, every bit is counted, bad input is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poliqi.base.bits import BitString
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import Role
from poliqi.distill.reconcile import (
    RECONCILERS,
    Cascade,
    CascadeParameters,
    Reconciler,
    ReconcilerTerms,
    efficiency,
    expected_leak_bits,
)
from poliqi.distill.reconcile.plan import block_sizes

FRAME = 65536


def strings(n: int, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, seed])
    alice = rng.integers(0, 2, n, dtype=np.uint8)
    return alice, alice ^ (rng.random(n) < rate).astype(np.uint8)


def party(
    role: Role,
    bits: np.ndarray,
    qber: float = 0.02,
    seed: int = 7,
    frame_bits: int = FRAME,
    parameters: CascadeParameters | None = None,
) -> Cascade:
    return Cascade(role, BitString.from_bits(bits), ReconcilerTerms(qber, seed, frame_bits), parameters)


def reconcile(alice: np.ndarray, bob: np.ndarray, **options: Any) -> tuple[Cascade, Cascade, int]:
    """Run both parties; returns them and the bytes one of them sent."""
    a, b = party(Role.ALICE, alice, **options), party(Role.BOB, bob, **options)
    said = 0
    while not a.done:
        from_a, from_b = a.message(), b.message()
        assert from_a is not None
        assert from_b is not None
        assert len(from_a) == len(from_b) == -(-a.asked_bits // 8)
        said += len(from_a)
        a.receive(from_b)
        b.receive(from_a)
    assert b.done
    return a, b, said


@pytest.mark.parametrize("n", [0, 1, 2, 63, 64, 65, 4095, 4096, 4097, 12288, 65535, 65536, 65537, 131072 + 4096])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.06])
def test_both_ends_find_all_errors_at_every_size(n: int, rate: float) -> None:
    alice, bob = strings(n, rate, 1)
    a, b, _ = reconcile(alice, bob)
    for end in (a, b):
        assert end.errors.size == n
        assert np.array_equal(end.errors.to_bits(), alice ^ bob)


@pytest.mark.parametrize("kind", ["all different", "burst", "every second", "both ends of a frame"])
def test_error_patterns_unlike_a_channel_are_corrected_or_left_equal_at_both_ends(kind: str) -> None:
    n = 70_000
    alice, _ = strings(n, 0, 2)
    errors = np.zeros(n, np.uint8)
    match kind:
        case "all different":
            errors[:] = 1
        case "burst":
            errors[30_000:32_000] = 1
        case "every second":
            errors[::2] = 1
        case _:
            errors[[0, 65535, 65536, n - 1]] = 1
    a, b, _ = reconcile(alice, alice ^ errors)
    assert np.array_equal(a.errors.to_bits(), b.errors.to_bits())
    assert np.array_equal(a.errors.to_bits(), errors)


@pytest.mark.parametrize(
    ("estimate", "rate"), [(0.007, 0.02), (0.06, 0.02), (0.02, 0.06), (0.0, 0.01), (1.0, 0.01)]
)
def test_a_wrong_estimate_costs_bits_or_rounds_and_no_errors(estimate: float, rate: float) -> None:
    alice, bob = strings(65536, rate, 3)
    _, b, _ = reconcile(alice, bob, qber=estimate)
    assert np.array_equal(b.errors.to_bits(), alice ^ bob)


def test_equal_strings_take_few_rounds_and_block_parities_alone() -> None:
    alice, _ = strings(65536, 0, 4)
    a, b, _ = reconcile(alice, alice)
    assert a.rounds == 4
    assert a.sent_bits == 65536 // 64 + (65536 // 256 - 1) + (65536 // 8192 - 1) + 16
    assert b.errors.ones() == 0


def test_every_bit_said_is_counted_at_both_ends() -> None:
    alice, bob = strings(20_000, 0.03, 5)
    a, b, said = reconcile(alice, bob)
    assert a.sent_bits == a.received_bits == b.sent_bits == b.received_bits
    assert 8 * said - 7 * a.rounds <= a.sent_bits <= 8 * said


def test_the_messages_depend_on_the_seed_and_the_roles_do_not_matter() -> None:
    alice, bob = strings(8192, 0.03, 6)
    first, second = reconcile(alice, bob, seed=1)[0], reconcile(alice, bob, seed=2)[0]
    swapped = reconcile(bob, alice, seed=1)[0]
    assert first.sent_bits != second.sent_bits
    assert first.sent_bits == swapped.sent_bits


def test_asking_twice_gives_the_same_message() -> None:
    alice, _ = strings(5000, 0, 7)
    one = party(Role.ALICE, alice)
    assert one.message() == one.message()


def test_the_own_string_is_not_touched() -> None:
    alice, bob = strings(5000, 0.05, 8)
    kept = bob.copy()
    reconcile(alice, bob)
    assert np.array_equal(bob, kept)


def test_a_random_peer_meets_the_round_limit_and_the_ends_agree() -> None:
    alice, bob = strings(4096, 0.5, 9)
    a, b, _ = reconcile(alice, bob, parameters=CascadeParameters(round_limit=50))
    assert a.rounds == 50
    assert a.message() is None
    assert a.asked_bits == 0
    assert np.array_equal(a.errors.to_bits(), b.errors.to_bits())


@pytest.mark.parametrize("step", [0, 1, 2])
def test_frames_cover_the_string(step: int) -> None:
    n = 2 * 4096 + step
    bounds = party(Role.ALICE, np.zeros(n, np.uint8), frame_bits=4096).frame_bounds()
    assert bounds == [(0, 4096), (4096, 8192), (8192, n)][: 3 if step else 2]


@pytest.mark.parametrize("data", [b"", b"\0", bytes(10_000)])
def test_a_message_of_another_size_is_refused_and_changes_nothing(data: bytes) -> None:
    one = party(Role.ALICE, np.ones(9000, np.uint8))
    before = one.message()
    with pytest.raises(ProtocolError, match=r"Cascade round 0: 141 packed bits take 18 bytes"):
        one.receive(data)
    assert one.message() == before
    assert (one.rounds, one.sent_bits) == (0, 0)


def test_padding_that_is_not_zero_is_refused() -> None:
    one = party(Role.BOB, np.ones(9000, np.uint8))
    with pytest.raises(ProtocolError, match="padding"):
        one.receive(b"\xff" * 18)


def test_a_message_after_the_end_is_refused() -> None:
    a, _, _ = reconcile(*strings(100, 0.02, 1))
    with pytest.raises(ProtocolError, match="after the last round"):
        a.receive(b"\0")


@pytest.mark.parametrize(
    "options",
    [
        {"random_passes": 0},
        {"random_passes": 33},
        {"round_limit": 0},
        {"block_sizes": (63, 512, 8192)},
        {"block_sizes": (1, 512, 8192)},
    ],
)
def test_parameters_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options)).replace("_", "[ _]")):
        CascadeParameters(**options)


@pytest.mark.parametrize(
    ("qber", "seed", "frame_bits"),
    [
        (-0.01, 1, FRAME),
        (1.5, 1, FRAME),
        (float("nan"), 1, FRAME),
        (0.02, -1, FRAME),
        (0.02, 1 << 64, FRAME),
        (0.02, 1, 0),
        (0.02, 1, 4095),
        (0.02, 1, 1 << 25),
    ],
)
def test_terms_that_make_no_sense_are_refused(qber: float, seed: int, frame_bits: int) -> None:
    with pytest.raises(ValueError, match=r"QBER|seed|frame_bits"):
        party(Role.ALICE, np.zeros(2, np.uint8), qber, seed, frame_bits)


@pytest.mark.parametrize("name", ["cascade", "cascade-few-rounds"])
def test_contracts_name_two_profiles_of_cascade(name: str) -> None:
    alice, bob = strings(100_000, 0.03, 12)
    terms = ReconcilerTerms(0.03, 5, FRAME)
    ends: list[Reconciler] = [
        RECONCILERS[name].make(role, BitString.from_bits(bits), terms)
        for role, bits in ((Role.ALICE, alice), (Role.BOB, bob))
    ]
    while not ends[0].done:
        told = [end.message() for end in ends]
        assert told[0] is not None
        assert told[1] is not None
        ends[0].receive(told[1])
        ends[1].receive(told[0])
    assert ends[0].errors is not None
    assert np.array_equal(ends[0].errors.to_bits(), alice ^ bob)


def test_few_rounds_are_fewer() -> None:
    alice, bob = strings(4 * FRAME, 0.02, 13)
    usual, _, _ = reconcile(alice, bob)
    few, _, _ = reconcile(alice, bob, parameters=CascadeParameters(few_rounds=True))
    assert few.rounds < 0.8 * usual.rounds
    assert few.sent_bits < 1.04 * usual.sent_bits


@pytest.mark.parametrize(
    ("qber", "sizes"),
    [
        (0.0, (1024, 4096, 32768)),
        (0.01, (128, 512, 8192)),
        (0.02, (64, 256, 8192)),
        (0.03, (32, 256, 8192)),
        (0.05, (16, 128, 8192)),
        (0.08, (16, 64, 8192)),
        (0.5, (8, 64, 8192)),
    ],
)
def test_block_sizes_of_an_estimate(qber: float, sizes: tuple[int, int, int]) -> None:
    assert block_sizes(qber) == sizes


@pytest.mark.parametrize("n", [1, 100, 3000, 65536, 200_001])
@pytest.mark.parametrize("rate", [0.0, 0.005, 0.02, 0.07, 0.15])
def test_the_forecast_of_the_leak_bounds_what_is_said(n: int, rate: float) -> None:
    alice, bob = strings(n, rate, 11)
    _, b, _ = reconcile(alice, bob, qber=rate)
    assert b.sent_bits <= expected_leak_bits(n, rate)


def test_the_forecast_is_not_far_above() -> None:
    shannon = 1e7 * 0.1414405
    assert expected_leak_bits(10**7, 0.02) < 1.06 * shannon
    assert efficiency(0.02) * shannon < expected_leak_bits(10**7, 0.02, 0.0) + 1


@pytest.mark.parametrize(("n", "qber"), [(-1, 0.02), (10, -0.1), (10, 1.1), (10, float("nan"))])
def test_a_forecast_of_nothing_sensible_is_refused(n: int, qber: float) -> None:
    with pytest.raises(ValueError, match="no forecast"):
        expected_leak_bits(n, qber)


def test_no_bits_leak_nothing() -> None:
    assert expected_leak_bits(0, 0.02) == 0
