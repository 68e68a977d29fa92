"""The compiled machine and the plain one say the same bytes on honest and on false transcripts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.bits import BitString, pack_bits, unpack_bits
from poliqi.base.ids import Role
from poliqi.distill.reconcile import Cascade, CascadeParameters, ReconcilerTerms
from poliqi.distill.reconcile.reference import PublicCascade, ReferenceCascade

FRAME = 4096
BOTH = pytest.mark.parametrize("role", list(Role))


def other(role: Role) -> Role:
    return Role.BOB if role is Role.ALICE else Role.ALICE


def assert_same_on(fast: Cascade, slow: ReferenceCascade, data: bytes) -> None:
    assert fast.message() == slow.message()
    assert fast.asked_bits == slow.asked_bits
    fast.receive(data)
    slow.receive(data)


def assert_same_honest_run(
    mine: np.ndarray, theirs: np.ndarray, terms: ReconcilerTerms, parameters: CascadeParameters, role: Role
) -> None:
    own, others = BitString.from_bits(mine), BitString.from_bits(theirs)
    peer = Cascade(other(role), others, terms, parameters)
    fast, slow = (machine(role, own, terms, parameters) for machine in (Cascade, ReferenceCascade))
    while not fast.done:
        heard, said = peer.message(), fast.message()
        assert heard is not None
        assert said is not None
        assert_same_on(fast, slow, heard)
        peer.receive(said)
    assert slow.done
    assert peer.done
    assert fast.errors.to_bytes() == slow.errors.to_bytes() == peer.errors.to_bytes()
    assert fast.sent_bits == slow.sent_bits == peer.sent_bits


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(1, 900),
    errors=st.integers(0, 60),
    qber=st.sampled_from([0.002, 0.02, 0.05, 0.11]),
    seed=st.integers(0, (1 << 64) - 1),
    role=st.sampled_from(Role),
)
def test_honest_transcripts(n: int, errors: int, qber: float, seed: int, role: Role) -> None:
    rng = np.random.default_rng(seed)
    alice = rng.integers(0, 2, n, dtype=np.uint8)
    bob = alice.copy()
    bob[rng.integers(0, n, errors)] ^= 1
    assert_same_honest_run(alice, bob, ReconcilerTerms(qber, seed, FRAME), CascadeParameters(random_passes=3), role)


@BOTH
@pytest.mark.parametrize(
    ("n", "sizes"),
    [
        (4096, (128, 4096, 8192)),
        (5000, (64, 512, 1024)),
        (4600, (2, 16, 4096)),
        (8191, (16, 128, 8192)),
        (8193, (256, 1024, 2048)),
    ],
)
def test_block_sizes_and_frames_of_all_kinds(n: int, sizes: tuple[int, int, int], role: Role) -> None:
    rng = np.random.default_rng(n)
    alice = rng.integers(0, 2, n, dtype=np.uint8)
    bob = alice ^ (rng.random(n) < 0.01).astype(np.uint8)
    parameters = CascadeParameters(random_passes=2, block_sizes=sizes)
    assert_same_honest_run(alice, bob, ReconcilerTerms(0.01, 3, FRAME), parameters, role)


@pytest.mark.parametrize(("n", "frame_bits"), [(8192 + 4096, 12288), (8192, 8192), (20000, 16384)])
def test_frames_of_several_tiles(n: int, frame_bits: int) -> None:
    """Ranges longer than 4096 places, and a number of places that is no power of two."""
    rng = np.random.default_rng(n)
    alice = rng.integers(0, 2, n, dtype=np.uint8)
    bob = alice ^ (rng.random(n) < 0.004).astype(np.uint8)
    parameters = CascadeParameters(random_passes=5, block_sizes=(1024, 4096, 8192))
    assert_same_honest_run(alice, bob, ReconcilerTerms(0.01, 3, frame_bits), parameters, Role.BOB)


@settings(deadline=None, max_examples=20)
@given(
    n=st.integers(1, 300),
    seed=st.integers(0, 1 << 32),
    bias=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    k=st.integers(1, 7),
    role=st.sampled_from(Role),
)
def test_transcripts_that_no_honest_peer_could_send(n: int, seed: int, bias: float, k: int, role: Role) -> None:
    rng = np.random.default_rng(seed)
    bits = BitString.from_bits(rng.integers(0, 2, n, dtype=np.uint8))
    parameters = CascadeParameters(random_passes=2, block_sizes=(1 << k, 2 << k, 1024), round_limit=60)
    terms = ReconcilerTerms(0.05, seed, FRAME)
    fast, slow = (machine(role, bits, terms, parameters) for machine in (Cascade, ReferenceCascade))
    while not fast.done:
        assert_same_on(fast, slow, pack_bits((rng.random(fast.asked_bits) < bias).astype(np.uint8)))
    assert slow.done
    assert fast.errors.to_bytes() == slow.errors.to_bytes()


@BOTH
@pytest.mark.parametrize("bias", [0.02, 0.5, 1.0])
def test_a_lying_peer_does_not_keep_a_party_busy_for_ever(role: Role, bias: float) -> None:
    rng = np.random.default_rng(5)
    parameters = CascadeParameters(random_passes=4, round_limit=10**9)
    party = Cascade(role, BitString.zeros(3000), ReconcilerTerms(0.05, 9, FRAME), parameters)
    while not party.done:
        party.receive(pack_bits((rng.random(party.asked_bits) < bias).astype(np.uint8)))
    assert party.rounds < 4 * FRAME


@pytest.mark.parametrize("rate", [0.0, 0.03, 0.2])
def test_the_bits_counted_are_those_that_the_transcript_alone_shows(rate: float) -> None:
    """A machine that knows no string reads both ends' messages and counts the bits each said."""
    rng = np.random.default_rng(6)
    alice = rng.integers(0, 2, 5000, dtype=np.uint8)
    bob = alice ^ (rng.random(5000) < rate).astype(np.uint8)
    terms, parameters = ReconcilerTerms(0.03, 17, FRAME), CascadeParameters(random_passes=4)
    a = Cascade(Role.ALICE, BitString.from_bits(alice), terms, parameters)
    b = Cascade(Role.BOB, BitString.from_bits(bob), terms, parameters)
    transcript: list[tuple[bytes, bytes]] = []
    while (from_a := a.message()) is not None:
        from_b = b.message()
        assert from_b is not None
        transcript.append((from_a, from_b))
        a.receive(from_b)
        b.receive(from_a)

    public = PublicCascade(5000, terms, parameters)
    counted = [0, 0]
    for messages in transcript:
        answers = [unpack_bits(message, len(public.asked())) for message in messages]
        counted = [count + answer.size for count, answer in zip(counted, answers, strict=True)]
        public.take((answers[0] ^ answers[1]).tolist())
    assert public.asked() == []
    assert counted == [a.sent_bits, a.received_bits] == [b.received_bits, b.sent_bits]
    assert np.array_equal(np.flatnonzero(a.errors.to_bits()), public.errors())
