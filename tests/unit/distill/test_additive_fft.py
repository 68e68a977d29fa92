"""Additive FFT over GF(2^128): the field, the Cantor basis, values against Horner's rule, wrap-around, widths."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.jit import Width, widths
from poliqi.distill.kernels.additive_basis import cantor_basis, from_novel, novel_steps, to_novel, twiddles
from poliqi.distill.kernels.additive_fft import PITCH, multiply, work_words
from poliqi.distill.kernels.additive_toeplitz import collect, plan_tiles, spectra, tile_words, toeplitz_product
from poliqi.distill.kernels.definitions import clmul
from poliqi.distill.kernels.gf128 import unit

MODULUS = 1 << 128 | 0x87


def reduced(value: int, modulus: int) -> int:
    while value.bit_length() >= modulus.bit_length():
        value ^= modulus << (value.bit_length() - modulus.bit_length())
    return value


def times(a: int, b: int) -> int:
    return reduced(clmul(a, b), MODULUS)


def words(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng([count, seed]).integers(0, 1 << 64, count, dtype=np.uint64)


def point(index: int) -> int:
    """The sum of the basis elements at the ones of the index."""
    return sum_of(b for i, b in enumerate(cantor_basis()) if index >> i & 1)


def sum_of(elements: Iterable[int]) -> int:
    total = 0
    for element in elements:
        total ^= element
    return total


def transformed(coefficients: np.ndarray, k: int, width: Width) -> np.ndarray:
    """Values of one polynomial as `spectra` leaves them: rows of PITCH words."""
    out = np.zeros((1 << k) // 256 * PITCH, np.uint64)
    space = np.empty(1 << k, np.uint64), np.empty(work_words(k), np.uint64)
    tiles = (0, 1, coefficients.size, 1)
    spectra(unit(width), coefficients, tiles, twiddles(), novel_steps(k), *space, out)
    return out


def values(coefficients: np.ndarray, k: int, width: Width) -> np.ndarray:
    """The same without the gaps: uint64[2^k, 2]."""
    return transformed(coefficients, k, width).reshape(-1, PITCH)[:, :512].reshape(-1, 2)


def place(index: int, width: Width) -> int:
    """Where the value at a point stands: four vectors are a square that lies on its side."""
    if width is not Width.VPCLMUL:
        return index
    group, inside = divmod(index, 16)
    return 16 * group + 4 * (inside % 4) + inside // 4


def test_the_basis_is_cantors() -> None:
    basis = cantor_basis()
    assert basis[0] == 1
    for before, b in itertools.pairwise(basis):
        assert times(b, b) ^ b == before


def test_the_modulus_is_irreducible() -> None:
    """Rabin's test: x^(2^128) = x, and x^(2^64) + x has no factor in common with the modulus."""
    power = 2
    for i in range(128):
        if i == 64:
            a, b = MODULUS, power ^ 2
            while b:
                a, b = b, reduced(a, b)
            assert a == 1
        power = times(power, power)
    assert power == 2


@pytest.mark.parametrize("k", [8, 10, 12, 14, 16])
def test_the_change_of_basis_has_its_way_back(k: int) -> None:
    first = words(1 << k, 1)
    there = first.copy()
    to_novel(there, novel_steps(k))
    assert not np.array_equal(there, first)
    from_novel(there, novel_steps(k))
    assert np.array_equal(there, first)


@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize(
    ("k", "indices"), [(8, range(0, 256, 5)), (10, range(3, 1024, 71)), (12, range(1365, 4096, 1365))]
)
def test_values_are_those_of_horners_rule(k: int, indices: range, width: Width) -> None:
    coefficients = words(1 << k, 2)
    found = values(coefficients, k, width)
    for index in indices:
        x, expected = point(index), 0
        for c in reversed(coefficients.tolist()):
            expected = times(expected, x) ^ c
        low, high = found[place(index, width)].tolist()
        assert low | high << 64 == expected


@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize("k", [8, 10, 12])
def test_a_transform_has_its_way_back(k: int, width: Width) -> None:
    coefficients, half = words(1 << k, 3), 1 << k - 1
    sums, found = transformed(coefficients, k, width), np.zeros(half, np.uint64)
    space = np.empty(2 << k, np.uint64), np.empty(work_words(k), np.uint64)
    collect(unit(width), sums, (half, 1), twiddles(), novel_steps(k), *space, found)
    assert np.array_equal(found, coefficients[half:])


@pytest.mark.parametrize("width", widths())
def test_products_of_values_are_those_of_the_field(width: Width) -> None:
    seeds, columns, sums = words(4 * PITCH, 4), words(2 * PITCH, 5), np.empty(3 * PITCH, np.uint64)
    multiply(unit(width), seeds, columns, sums, 1, (3, 2))

    def element(array: np.ndarray, row: int, i: int) -> int:
        low, high = array[row * PITCH + 2 * i : row * PITCH + 2 * i + 2].tolist()
        return low | high << 64

    for r in range(3):
        for i in range(256):
            expected = sum_of(times(element(seeds, r - t + 1, i), element(columns, t, i)) for t in range(2))
            assert element(sums, r, i) == expected


@settings(deadline=None, max_examples=30)
@given(data=st.data(), spread=st.sampled_from([0, 1, 64, 255, 256]))
def test_widths_give_the_same_values(data: st.DataObject, spread: int) -> None:
    extremes = st.sampled_from([0, 1, (1 << 64) - 1, 1 << 63, 0x5555555555555555])
    few = data.draw(st.lists(st.one_of(extremes, st.integers(0, (1 << 64) - 1)), min_size=1, max_size=8))
    coefficients = np.zeros(256, np.uint64)
    for i, word in enumerate(few):
        coefficients[i * spread % 256] ^= np.uint64(word)
    found = {w: values(coefficients, 8, w)[[place(i, w) for i in range(256)]] for w in widths()}
    assert all(np.array_equal(found[w], found[Width.PORTABLE]) for w in widths())


@pytest.mark.parametrize("k", [8, 10, 12, 14, 16])
def test_wrap_around_stays_below_what_a_tile_needs(k: int) -> None:
    """x^j modulo s_k for every degree j of a tile's product, from s_k's binomials alone."""
    tile = tile_words(k)
    lower = [1 << i for i in range(k) if comb(k, i) % 2]
    touched = {degree - (1 << k) + term for degree in range(1 << k, 3 * tile - 1) for term in lower}
    assert max(touched) < tile - 1
    assert 2 * (tile + 1) + max(lower) > 1 << k  # and no larger tile would do


def test_the_least_work_grows_with_the_matrix() -> None:
    sizes = [plan_tiles(rows, rows)[0] for rows in (1, 100, 2_000, 100_000, 1_000_000)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 8
    assert sizes[-1] == 16


@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("origin", [0, 63, 64, 8 * 127 * 64 + 5])
def test_tiles_join_without_a_seam(off: int, origin: int, width: Width) -> None:
    rows, columns = 2 * 127 + off, 3 * 127 - off
    seed, bits, result = words(rows + columns, 6), words(columns + 2, 7), np.zeros(rows, np.uint64)
    start = 70
    toeplitz_product(unit(width), seed, origin, bits, start, result, (8, 127, -(-rows // 127), -(-columns // 127)))
    s, x = (int.from_bytes(a.tobytes(), "little") for a in (seed, bits))
    x = x >> start & (1 << 64 * 127 * -(-columns // 127)) - 1
    expected = clmul(x, s) >> origin & (1 << 64 * rows) - 1
    assert int.from_bytes(result.tobytes(), "little") == expected
