"""The protocol of both parties: corrected strings, what is said and counted, and messages that must be refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.bits import BitString
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import Role
from poliqi.distill.reconcile.ldpc import Ldpc, ldpc, ldpc_blind
from poliqi.distill.reconcile.ldpc_rate import REACH, expected_leak
from poliqi.distill.reconcile.protocol import ReconcilerTerms

MAKERS = {"ldpc": ldpc, "ldpc-blind": ldpc_blind}
VECTORS = Path(__file__).parents[2] / "vectors" / "ldpc" / "ldpc.json"


def strings(n, rate, seed):
    random = np.random.default_rng(seed)
    alice = BitString.from_bits(random.integers(0, 2, n, dtype=np.uint8))
    errors = BitString.from_bits((random.random(n) < rate).astype(np.uint8))
    return alice, errors


def pair(make, n, rate, *, estimate=None, frame_bits=65536, seed=1):
    alice, errors = strings(n, rate, seed)
    terms = ReconcilerTerms(qber=rate if estimate is None else estimate, seed=0, frame_bits=frame_bits)
    return make(Role.ALICE, alice, terms), make(Role.BOB, alice ^ errors, terms), errors


def run(alice, bob):
    """Both to the end; the messages of every round."""
    rounds = []
    while not alice.done:
        assert not bob.done
        said, answered = alice.message(), bob.message()
        assert alice.message() == said
        rounds.append((said, answered))
        alice.receive(answered)
        bob.receive(said)
    assert bob.done
    assert alice.message() is None
    assert bob.message() is None
    assert (alice.sent_bits, alice.received_bits) == (bob.received_bits, bob.sent_bits)
    assert alice.rounds == bob.rounds == len(rounds)
    return rounds


def wrong_frames(bob, errors):
    wrong = bob.errors ^ errors
    return [frame for frame in bob.frame_bounds() if wrong.part(*frame).ones()]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("qber", [0.005, 0.02, 0.05, 0.08])
def test_bob_finds_the_errors_and_alice_learns_nothing(make, qber):
    alice, bob, errors = pair(make, 2 * 65536, qber, seed=round(1e4 * qber))
    run(alice, bob)
    assert alice.errors is None
    assert wrong_frames(bob, errors) == []
    assert (bob.errors ^ errors).ones() == 0


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 4095, 4096, 4097, 16384, 20000, 65535, 65537, 100_000])
def test_any_length(make, n):
    alice, bob, errors = pair(make, n, 0.01, seed=n)
    rounds = run(alice, bob)
    bounds = bob.frame_bounds()
    assert [a for a, _ in bounds] + [n] == [0, *(b for _, b in bounds)] if n else bounds == []
    assert all(0 < b - a <= 65536 for a, b in bounds)
    assert bob.errors.size == n
    assert wrong_frames(bob, errors) == []
    assert alice.sent_bits <= n
    assert (rounds == []) == (n == 0)


@pytest.mark.parametrize("n", [1, 63, 100])
def test_a_frame_that_no_code_serves_is_said_as_it_is(n):
    alice, bob, errors = pair(ldpc_blind, n, 0.05)
    string, _ = strings(n, 0.05, 1)
    assert run(alice, bob) == [(string.to_bytes(), b"")]
    assert (alice.sent_bits, bob.sent_bits) == (n, 0)
    assert (bob.errors ^ errors).ones() == 0


def test_short_frames_of_a_long_string():
    alice, bob, errors = pair(ldpc_blind, 30_000, 0.02, frame_bits=4096)
    run(alice, bob)
    assert len(bob.frame_bounds()) >= 8
    assert wrong_frames(bob, errors) == []


def test_a_fixed_rate_is_one_message():
    alice, bob, _ = pair(ldpc, 65536, 0.03)
    (only,) = run(alice, bob)
    assert only[1] == b""
    assert 8 * len(only[0]) == alice.sent_bits
    assert bob.sent_bits == 0


def test_the_count_is_what_the_transcript_holds():
    """An estimate that is too low makes frames fail, so that every kind of message occurs."""
    alice, bob, errors = pair(ldpc_blind, 4 * 65536, 0.0212, estimate=0.02, seed=3)
    rounds = run(alice, bob)
    open_frames, alice_bits, bob_bits = len(bob.frame_bounds()), 0, 0
    for k, (said, answered) in enumerate(rounds):
        if k % 2 == 0:
            assert answered == b""
            assert 8 * len(said) % open_frames == 0
            alice_bits += 8 * len(said)  # frames say multiples of 64 bits: nothing is padding
        else:
            assert said == b""
            bob_bits += open_frames
            open_frames = int.from_bytes(answered, "little").bit_count()
    assert len(rounds) > 2
    assert (alice.sent_bits, bob.sent_bits) == (alice_bits, bob_bits)
    assert wrong_frames(bob, errors) == []


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_an_estimate_of_a_third_ends_with_frames_that_count_as_unchanged(make):
    alice, bob, errors = pair(make, 65536, 0.06, estimate=0.02)
    run(alice, bob)
    assert wrong_frames(bob, errors) == bob.frame_bounds()
    assert bob.errors.ones() == 0


def test_an_estimate_of_three_times_costs_bits_only():
    alice, bob, errors = pair(ldpc_blind, 65536, 0.01, estimate=0.03)
    run(alice, bob)
    assert wrong_frames(bob, errors) == []


def test_above_the_reach_there_is_no_code():
    terms = ReconcilerTerms(qber=REACH[1] + 1e-6, seed=0, frame_bits=65536)
    with pytest.raises(ValueError, match="reach"):
        ldpc(Role.ALICE, BitString.zeros(1000), terms)


def test_frames_of_another_length_than_a_multiple_of_4096_are_refused():
    with pytest.raises(ValueError, match="4096"):
        ldpc(Role.ALICE, BitString.zeros(1000), ReconcilerTerms(qber=0.02, seed=0, frame_bits=5000))


def state(party):
    return party.rounds, party.sent_bits, party.received_bits, party.done, party.message()


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(list(MAKERS)), st.sampled_from(list(Role)), st.binary(max_size=40))
def test_a_message_of_the_wrong_size_changes_nothing(name, role, data):
    terms = ReconcilerTerms(qber=0.02, seed=0, frame_bits=4096)
    party = MAKERS[name](role, BitString.zeros(5000), terms)
    before = state(party)
    if role is Role.ALICE and not data:
        return
    with pytest.raises(ProtocolError):
        party.receive(data)
    assert state(party) == before


@pytest.mark.parametrize("data", [b"", b"\x08", b"\xff", b"\x00\x00"])
def test_bobs_answer_with_padding_or_another_size_is_refused(data):
    alice, bob, _ = pair(ldpc_blind, 3 * 65536, 0.02)
    said = alice.message()
    alice.receive(b"")
    bob.receive(said)
    before = state(alice)
    with pytest.raises(ProtocolError):
        alice.receive(data)
    assert state(alice) == before
    alice.receive(bob.message())
    bob.receive(alice.message() if alice.rounds == 1 else b"")


def test_nothing_is_taken_after_the_end():
    alice, bob, _ = pair(ldpc, 5000, 0.02)
    run(alice, bob)
    for party in (alice, bob):
        with pytest.raises(ProtocolError, match="after the last round"):
            party.receive(b"")


@pytest.mark.parametrize("role", list(Role))
def test_any_syndrome_ends(role):
    """A peer that says nonsense makes frames fail, and nothing else."""
    party = ldpc_blind(role, strings(65536, 0, 5)[0], ReconcilerTerms(qber=0.02, seed=0, frame_bits=65536))
    random = np.random.default_rng(9)
    rounds = 0
    while not party.done:
        speaker = Role.ALICE if rounds % 2 == 0 else Role.BOB
        if speaker is role:
            party.receive(b"")
        elif role is Role.ALICE:
            party.receive(b"\x01")
        else:
            size = len(ldpc_blind_message(party))
            party.receive(random.bytes(size))
        rounds += 1
    assert rounds < 60


def ldpc_blind_message(bob):
    """As many bytes as Alice's message of this round has: a second Alice's with a string of zeros."""
    alice = ldpc_blind(Role.ALICE, BitString.zeros(65536), ReconcilerTerms(qber=0.02, seed=0, frame_bits=65536))
    for k in range(bob.rounds):
        alice.receive(b"" if k % 2 == 0 else b"\x01")
    return alice.message()


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("qber", [0.01, 0.02, 0.05])
def test_the_forecast_is_near_what_is_said(blind, qber):
    make = ldpc_blind if blind else ldpc
    alice, bob, _ = pair(make, 8 * 65536, qber, seed=11)
    run(alice, bob)
    forecast, _ = expected_leak(8 * 65536, qber, blind=blind)
    assert alice.sent_bits == pytest.approx(forecast, rel=0.04)


def test_a_forecast_with_a_margin_is_larger_and_none_for_no_bits():
    assert expected_leak(10**6, 0.02, margin=6.0)[0] > expected_leak(10**6, 0.02)[0]
    assert expected_leak(0, 0.02) == (0, 0)


def test_the_vectors_are_those_that_their_script_writes():
    spec = importlib.util.spec_from_file_location("ldpc_vectors", VECTORS.with_name("generate.py"))
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.build() == json.loads(VECTORS.read_text())


@pytest.mark.parametrize("case", json.loads(VECTORS.read_text())["transcripts"], ids=lambda case: case["name"])
def test_vectors(case):
    terms = ReconcilerTerms(qber=case["qber"], seed=0, frame_bits=case["frame_bits"])
    blind, n = case["reconciler"] == "ldpc-blind", case["bits"]
    alice, bob = (
        Ldpc(role, BitString.from_bytes(bytes.fromhex(case[role]), n), terms, blind=blind) for role in Role
    )
    for said, answered in case["rounds"]:
        assert alice.message() == bytes.fromhex(said)
        assert bob.message() == bytes.fromhex(answered)
        alice.receive(bytes.fromhex(answered))
        bob.receive(bytes.fromhex(said))
    assert alice.done
    assert bob.done
    assert bob.errors.to_bytes() == bytes.fromhex(case["errors"])
    assert (alice.sent_bits, bob.sent_bits) == (case["alice_bits"], case["bob_bits"])


@pytest.mark.parametrize("case", json.loads(VECTORS.read_text())["refused"], ids=lambda case: case["name"])
def test_refused_vectors(case):
    terms = ReconcilerTerms(qber=case["qber"], seed=0, frame_bits=case["frame_bits"])
    party = Ldpc(Role(case["role"]), BitString.zeros(case["bits"]), terms, blind=case["reconciler"] == "ldpc-blind")
    for heard in case["heard"]:
        party.receive(bytes.fromhex(heard))
    with pytest.raises(ProtocolError):
        party.receive(bytes.fromhex(case["message"]))
