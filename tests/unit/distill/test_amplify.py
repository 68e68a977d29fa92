"""Privacy amplification: vectors, three other implementations, linearity, universality by enumeration."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.bits import pack_bits, unpack_bits
from poliqi.base.errors import DataRefused
from poliqi.distill.amplify import amplify, seed_bits
from poliqi.distill.kernels.definitions import clmul, toeplitz_product
from poliqi.distill.kernels.toeplitz import toeplitz_product_fft

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "amplify" / "amplify.json").read_text())


def random_bits(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng([n, seed]).integers(0, 2, n, dtype=np.uint8)


def by_integers(bits: np.ndarray, seed: np.ndarray, length: int) -> np.ndarray:
    """The same hash from a carry-less product of two Python integers."""
    c = bits.size - length
    if length == 0:
        return np.zeros(0, np.uint8)
    x, s = (int.from_bytes(pack_bits(a), "little") for a in (bits, seed))
    y = x ^ (clmul(s, x >> length) >> (c - 1) if c else 0)
    return unpack_bits((y & ((1 << length) - 1)).to_bytes(-(-length // 8), "little"), length)


@pytest.mark.parametrize("case", VECTORS["products"], ids=lambda case: f"{case['n']} to {case['length']}")
def test_known_answers(case: dict[str, Any]) -> None:
    bits = unpack_bits(bytes.fromhex(case["bits"]), case["n"])
    result = amplify(bits, bytes.fromhex(case["seed"]), case["length"])
    assert pack_bits(result).hex() == case["result"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_a_wrong_seed_or_length_is_refused(case: dict[str, Any]) -> None:
    bits = unpack_bits(bytes.fromhex(case["bits"]), case["n"])
    with pytest.raises((DataRefused, ValueError), match=r"seed|length"):
        amplify(bits, bytes.fromhex(case["seed"]), case["length"])


def test_failures_outnumber_successes_in_the_vectors() -> None:
    assert len(VECTORS["refused"]) > len(VECTORS["products"])


@settings(deadline=None)
@given(n=st.integers(1, 300), share=st.floats(0, 1), seed=st.integers(0, 1 << 30))
def test_every_size_equals_the_matrix_written_out(n: int, share: float, seed: int) -> None:
    length, bits, matrix = round(n * share), random_bits(n, seed), random_bits(n - 1, seed + 1)
    expected = bits[:length] ^ toeplitz_product(matrix, bits[length:], length)
    assert np.array_equal(amplify(bits, pack_bits(matrix), length), expected)


@pytest.mark.parametrize("n", [4096, 40_000])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 1.0])
def test_longer_strings_equal_the_product_of_two_integers(n: int, share: float) -> None:
    bits, seed, length = random_bits(n, 1), random_bits(n - 1, 2), round(n * share)
    assert np.array_equal(amplify(bits, pack_bits(seed), length), by_integers(bits, seed, length))


@pytest.mark.parametrize("rows", [-1, 0, 1])
@pytest.mark.parametrize("columns", [-1, 0, 1])
def test_sizes_around_tiles_and_groups(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poliqi.distill.kernels.toeplitz._tile_bits", lambda rows, columns: 64)
    monkeypatch.setattr("poliqi.distill.kernels.toeplitz._GROUP_BITS", 256)
    length, count = 2 * 256 + rows, 3 * 256 + 64 + columns
    seed, bits = random_bits(length + count - 1, 1), random_bits(count, 2)
    product = toeplitz_product_fft(np.frombuffer(pack_bits(seed), np.uint8), bits, length)
    assert np.array_equal(product, toeplitz_product(seed, bits, length))


@pytest.mark.parametrize("pattern", ["ones", "alternating", "single"])
def test_strings_that_load_the_rounding_most(pattern: str) -> None:
    from scipy.signal import oaconvolve

    n, length = 300_000, 100_000
    bits, seed = np.ones(n, np.uint8), np.ones(n - 1, np.uint8)
    if pattern == "alternating":
        bits[::2], seed[1::2] = 0, 0
    elif pattern == "single":
        bits[:-1] = 0
    counts = oaconvolve(seed.astype(float), bits[length:].astype(float), mode="valid")
    expected = bits[:length] ^ (np.rint(counts).astype(np.int64) & 1).astype(np.uint8)
    assert np.array_equal(amplify(bits, pack_bits(seed), length), expected)


def test_it_is_linear() -> None:
    n, length, seed = 5000, 1700, pack_bits(random_bits(4999, 3))
    a, b = random_bits(n, 1), random_bits(n, 2)
    assert np.array_equal(amplify(a ^ b, seed, length), amplify(a, seed, length) ^ amplify(b, seed, length))


@pytest.mark.parametrize(("n", "length"), [(2, 1), (4, 2), (6, 2), (6, 4), (7, 6), (7, 1)])
def test_no_difference_collides_for_more_than_its_share_of_seeds(n: int, length: int) -> None:
    """2-universality over all 2^(n-1) seeds; by linearity a collision is a difference that hashes to zero."""
    seeds = [pack_bits(np.array(s, np.uint8)) for s in itertools.product((0, 1), repeat=n - 1)]
    for difference in itertools.product((0, 1), repeat=n):
        x = np.array(difference, np.uint8)
        if x.any():
            collisions = sum(not amplify(x, seed, length).any() for seed in seeds)
            assert collisions <= len(seeds) >> length


@pytest.mark.parametrize(("n", "length"), [(5, 2), (6, 3)])
def test_the_dual_family_is_universal_too(n: int, length: int) -> None:
    """Dual universality: a non-zero word is in the row space (u, u T) for at most 2^-(n-l) of the seeds."""
    c = n - length
    hits: dict[tuple[int, ...], int] = {}
    for s in itertools.product((0, 1), repeat=n - 1):
        T = np.array([[s[i - j + c - 1] for j in range(c)] for i in range(length)])
        for u in itertools.product((0, 1), repeat=length):
            if any(u):
                word = (*u, *(int(v) & 1 for v in np.array(u) @ T))
                hits[word] = hits.get(word, 0) + 1
    assert max(hits.values()) <= 2 ** (n - 1) >> c


def test_the_seed_of_no_bits_is_empty() -> None:
    assert seed_bits(0) == 0
    assert amplify(np.zeros(0, np.uint8), b"", 0).size == 0


def test_bits_other_than_zero_and_one_are_refused() -> None:
    with pytest.raises(ValueError, match="0 and 1"):
        amplify(np.array([0, 2], np.uint8), b"\0", 1)


def test_a_convolution_that_lost_its_integers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = np.fft.irfft
    monkeypatch.setattr(np.fft, "irfft", lambda a, n: exact(a, n) + 0.02)
    with pytest.raises(ArithmeticError, match="lost its integers"):
        amplify(random_bits(100, 1), pack_bits(random_bits(99, 2)), 30)
