"""The compiled machine and the plain one say the same bytes on honest and on false transcripts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.bits import pack_bits
from poliqi.distill.reconcile import Cascade, CascadeParameters
from poliqi.distill.reconcile.reference import ReferenceCascade


def assert_same_on(fast: Cascade, slow: ReferenceCascade, data: bytes) -> None:
    assert fast.message() == slow.message()
    assert fast.message_size() == slow.message_size()
    fast.receive(data)
    slow.receive(data)


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(1, 900),
    errors=st.integers(0, 60),
    qber=st.sampled_from([0.002, 0.02, 0.05, 0.11]),
    seed=st.integers(0, (1 << 64) - 1),
)
def test_honest_transcripts(n: int, errors: int, qber: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    alice = rng.integers(0, 2, n, dtype=np.uint8)
    bob = alice.copy()
    bob[rng.integers(0, n, errors)] ^= 1
    parameters = CascadeParameters(frame_bits=4096, random_passes=3)
    peer = Cascade(alice, qber=qber, seed=seed, parameters=parameters)
    fast = Cascade(bob, qber=qber, seed=seed, parameters=parameters)
    slow = ReferenceCascade(bob, qber=qber, seed=seed, parameters=parameters)
    while not fast.done:
        heard, said = peer.message(), fast.message()
        assert heard is not None
        assert said is not None
        assert_same_on(fast, slow, heard)
        peer.receive(said)
    assert slow.done
    assert peer.done
    assert np.array_equal(fast.errors, slow.errors)
    assert np.array_equal(fast.errors, peer.errors)


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(4096, (128, 4096, 8192)), (5000, (64, 512, 1024)), (4600, (2, 16, 4096)), (8191, (16, 128, 8192))],
)
def test_block_sizes_and_frames_of_all_kinds(n: int, sizes: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(n)
    alice = rng.integers(0, 2, n, dtype=np.uint8)
    bob = alice ^ (rng.random(n) < 0.01).astype(np.uint8)
    parameters = CascadeParameters(frame_bits=4096, random_passes=2, block_sizes=sizes)
    fast, slow = (m(alice, qber=0.01, seed=3, parameters=parameters) for m in (Cascade, ReferenceCascade))
    peer = Cascade(bob, qber=0.01, seed=3, parameters=parameters)
    while not fast.done:
        heard, said = peer.message(), fast.message()
        assert heard is not None
        assert said is not None
        assert_same_on(fast, slow, heard)
        peer.receive(said)
    assert np.array_equal(slow.errors, fast.errors)
    assert np.array_equal(peer.errors, fast.errors)


@settings(deadline=None, max_examples=20)
@given(
    n=st.integers(1, 300),
    seed=st.integers(0, 1 << 32),
    bias=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    k=st.integers(1, 7),
)
def test_transcripts_that_no_honest_peer_could_send(n: int, seed: int, bias: float, k: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, n, dtype=np.uint8)
    parameters = CascadeParameters(
        frame_bits=4096, random_passes=2, block_sizes=(1 << k, 2 << k, 1024), round_limit=60
    )
    fast, slow = (m(bits, qber=0.05, seed=seed, parameters=parameters) for m in (Cascade, ReferenceCascade))
    while not fast.done:
        assert_same_on(fast, slow, pack_bits((rng.random(fast.asked_bits) < bias).astype(np.uint8)))
    assert slow.done
    assert np.array_equal(fast.errors, slow.errors)
