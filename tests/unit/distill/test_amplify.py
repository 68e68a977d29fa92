"""Privacy amplification: vectors, other implementations, two amplifiers in all widths, linearity, universality."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.bits import BitString, pack_bits, packed_size, unpack_bits
from poliqi.base.errors import DataRefused
from poliqi.base.jit import choose_width, widths
from poliqi.distill.amplify import AMPLIFIERS, DEFAULT_AMPLIFIER, Amplifier, amplify, seed_bits
from poliqi.distill.kernels.definitions import clmul, toeplitz_product
from poliqi.distill.kernels.toeplitz import toeplitz_product_fft

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "amplify"
VECTORS = json.loads((FOLDER / "amplify.json").read_text())
LONG = json.loads((FOLDER / "long.json").read_text())["products"]


@pytest.fixture(
    params=[("additive-fft", w) for w in widths()] + [("real-fft", None)], ids=lambda p: "-".join(filter(None, p))
)
def amplifier(request: pytest.FixtureRequest) -> Iterator[Amplifier]:
    name, width = request.param
    choose_width(width)
    yield AMPLIFIERS[name]
    choose_width(None)


def random_bits(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng([n, seed]).integers(0, 2, n, dtype=np.uint8)


def amplified(bits: np.ndarray, seed: np.ndarray, length: int, amplifier: Amplifier | None = None) -> np.ndarray:
    return amplify(BitString.from_bits(bits), pack_bits(seed), length, amplifier).to_bits()


def by_integers(bits: np.ndarray, seed: np.ndarray, length: int) -> np.ndarray:
    """The same hash from a carry-less product of two Python integers."""
    c = bits.size - length
    if length == 0:
        return np.zeros(0, np.uint8)
    x, s = (int.from_bytes(pack_bits(a), "little") for a in (bits, seed))
    y = x ^ (clmul(s, x >> length) >> (c - 1) if c else 0)
    return unpack_bits((y & ((1 << length) - 1)).to_bytes(-(-length // 8), "little"), length)


def stream(what: str, n: int, count: int) -> bytes:
    data = bytearray(hashlib.shake_128(f"amplify {what} {n}".encode()).digest(packed_size(count)))
    if count % 8:
        data[-1] &= (1 << count % 8) - 1
    return bytes(data)


@pytest.mark.parametrize("case", VECTORS["products"], ids=lambda case: f"{case['n']} to {case['length']}")
def test_known_answers(case: dict[str, Any], amplifier: Amplifier) -> None:
    bits = BitString.from_bytes(bytes.fromhex(case["bits"]), case["n"])
    result = amplify(bits, bytes.fromhex(case["seed"]), case["length"], amplifier)
    assert result.size == case["length"]
    assert result.to_bytes().hex() == case["result"]


@pytest.mark.parametrize("case", LONG, ids=lambda case: f"{case['n']} to {case['length']}")
def test_known_answers_of_another_library(case: dict[str, Any], amplifier: Amplifier) -> None:
    n = case["n"]
    bits, seed = BitString.from_bytes(stream("bits", n, n), n), stream("seed", n, n - 1)
    result = amplify(bits, seed, case["length"], amplifier)
    assert hashlib.sha256(result.to_bytes()).hexdigest() == case["result"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_a_wrong_seed_or_length_is_refused(case: dict[str, Any]) -> None:
    bits = BitString.from_bytes(bytes.fromhex(case["bits"]), case["n"])
    with pytest.raises((DataRefused, ValueError), match=r"seed|length"):
        amplify(bits, bytes.fromhex(case["seed"]), case["length"])


def test_failures_outnumber_successes_in_the_vectors() -> None:
    assert len(VECTORS["refused"]) > len(VECTORS["products"])


def test_the_default_is_in_the_table_under_its_name() -> None:
    assert DEFAULT_AMPLIFIER in AMPLIFIERS
    assert all(amplifier.name == name for name, amplifier in AMPLIFIERS.items())


@settings(deadline=None)  # the first call compiles
@given(
    n=st.integers(1, 300),
    share=st.floats(0, 1),
    seed=st.integers(0, 1 << 30),
    name=st.sampled_from(sorted(AMPLIFIERS)),
)
def test_every_size_equals_the_matrix_written_out(n: int, share: float, seed: int, name: str) -> None:
    length, bits, matrix = round(n * share), random_bits(n, seed), random_bits(n - 1, seed + 1)
    expected = bits[:length] ^ toeplitz_product(matrix, bits[length:], length)
    for width in widths() if name == DEFAULT_AMPLIFIER else [None]:
        choose_width(width)
        try:
            assert np.array_equal(amplified(bits, matrix, length, AMPLIFIERS[name]), expected)
        finally:
            choose_width(None)


@pytest.mark.parametrize("n", [4096, 40_000])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 1.0])
def test_longer_strings_equal_the_product_of_two_integers(n: int, share: float, amplifier: Amplifier) -> None:
    bits, seed, length = random_bits(n, 1), random_bits(n - 1, 2), round(n * share)
    assert np.array_equal(amplified(bits, seed, length, amplifier), by_integers(bits, seed, length))


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 127, 128, 129])
def test_word_borders_for_every_length(n: int, amplifier: Amplifier) -> None:
    bits, seed = random_bits(n, 1), random_bits(n - 1, 2)
    for length in range(n + 1):
        assert np.array_equal(amplified(bits, seed, length, amplifier), by_integers(bits, seed, length))


@pytest.mark.parametrize("length", [127 * 64 + off for off in (-64, -1, 0, 1, 64)])
@pytest.mark.parametrize("columns", [127 * 64 + off for off in (-64, -1, 0, 1, 64)])
def test_sizes_around_a_tile_of_the_smallest_transform(length: int, columns: int) -> None:
    bits, seed = random_bits(length + columns, 1), random_bits(length + columns - 1, 2)
    assert np.array_equal(amplified(bits, seed, length), by_integers(bits, seed, length))


@pytest.mark.parametrize(("n", "length"), [(1_300_000, 400_000), (5_000_000, 1_500_000), (9_000_000, 4_194_300)])
def test_the_two_amplifiers_agree_on_large_blocks(n: int, length: int) -> None:
    rng = np.random.default_rng(n)
    bits, seed = (BitString.from_bytes(bytes(1) + rng.bytes(m // 8 - 1), m) for m in (n, n - 8))
    seed_packed = seed.to_bytes() + b"\x41"
    by_both = [amplify(bits, seed_packed, length, amplifier) for amplifier in AMPLIFIERS.values()]
    assert np.array_equal(by_both[0].words, by_both[1].words)
    assert by_both[0].ones() > 0


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
    for amplifier in AMPLIFIERS.values():
        assert np.array_equal(amplified(bits, seed, length, amplifier), expected)


def test_it_is_linear(amplifier: Amplifier) -> None:
    n, length, seed = 5000, 1700, random_bits(4999, 3)
    a, b = random_bits(n, 1), random_bits(n, 2)
    apart = amplified(a, seed, length, amplifier) ^ amplified(b, seed, length, amplifier)
    assert np.array_equal(amplified(a ^ b, seed, length, amplifier), apart)


@pytest.mark.parametrize(("n", "length"), [(2, 1), (4, 2), (6, 2), (6, 4), (7, 6), (7, 1)])
def test_no_difference_collides_for_more_than_its_share_of_seeds(n: int, length: int) -> None:
    """2-universality over all 2^(n-1) seeds; by linearity a collision is a difference that hashes to zero."""
    seeds = [np.array(s, np.uint8) for s in itertools.product((0, 1), repeat=n - 1)]
    for difference in itertools.product((0, 1), repeat=n):
        x = np.array(difference, np.uint8)
        if x.any():
            collisions = sum(not amplified(x, seed, length).any() for seed in seeds)
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
    assert amplify(BitString.zeros(0), b"", 0).size == 0


def test_a_convolution_that_lost_its_integers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = np.fft.irfft
    monkeypatch.setattr(np.fft, "irfft", lambda a, n: exact(a, n) + 0.02)
    with pytest.raises(ArithmeticError, match="lost its integers"):
        amplified(random_bits(100, 1), random_bits(99, 2), 30, AMPLIFIERS["real-fft"])


@pytest.mark.slow
def test_a_block_of_1e8_bits_takes_512_mb_at_most() -> None:
    command = [sys.executable, "-m", "bench.amplify", "1e8", DEFAULT_AMPLIFIER, widths()[-1], "0"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).resolve().parents[3])
    assert json.loads(done.stdout)["peak_mb"] <= 512
