"""A Toeplitz matrix times a bit string by additive FFTs: exact, in the time of a few transforms per tile.

The matrix is cut in square tiles of B words. Row tile r and column tile t meet in 2 B words of the seed that depend
on r - t alone: each of these segments, each column tile and each row tile is transformed once, and products are
summed in the frequency domain. Words of 64 bits are coefficients in GF(2^128): sums of products of two have at most
127 bits and are their own elements.

A transform of 2^k points gives the product modulo s_k(x) = sum_i (C(k, i) mod 2) x^(2^i). What lies above x^(2^k)
thus comes back at the bottom, at most G = 2^h above its own place, x^(2^h) being the second highest term of s_k. A
tile needs coefficients B - 1 to 2 B - 1 of a product of degree 3 B - 2, untouched as long as 2 B <= 2^k - G.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from poliqi.base.jit import kernel
from poliqi.distill.kernels.additive_basis import Steps, from_novel, novel_steps, to_novel, twiddles
from poliqi.distill.kernels.additive_fft import (
    PITCH,
    ROW,
    Tables,
    Words,
    columns,
    columns_back,
    multiply,
    row,
    row_back,
    work_words,
)
from poliqi.distill.kernels.gf128 import Unit, lanes

__all__ = ["Plan", "collect", "plan_tiles", "spectra", "tile_words", "toeplitz_product"]

_SIZES: Final = (8, 10, 12, 14, 16)
Plan = tuple[int, int, int, int]
"""(k, B, R, T): points 2^k, words of a tile, row tiles, column tiles."""


def tile_words(k: int) -> int:
    """The largest tile of a transform of 2^k points."""
    second = max(i for i in range(k) if i & ~k == 0)  # C(k, i) is odd where i's ones are among k's
    return ((1 << k) - (1 << second)) // 2


def plan_tiles(rows: int, columns: int) -> Plan:
    """The tiling of a matrix of so many words each way with the least work, in butterflies."""

    def plan(k: int) -> Plan:
        tile = tile_words(k)
        return k, tile, -(-rows // tile), -(-columns // tile)

    def cost(plan: Plan) -> float:
        k, _, R, T = plan
        return (1 << k) * ((2 * (R + T) - 1) * 0.6 * k + 0.6 * R * T)

    return min((plan(k) for k in _SIZES), key=cost)


def toeplitz_product(
    unit: Unit, seed: Words, origin: int, bits: Words, start: int, result: Words, plan: Plan
) -> None:
    """Add T x to `result` (uint64[words]), x the bits from `start` on, T[i, j] = bit i - j + origin of the seed.

    Bits outside of `seed` and `bits` count as zeros. Memory: (2 R + 2 T + 1) 2^k elements of 16 bytes.
    """
    k, tile, R, T = plan
    blocks, segments = (1 << k) // ROW, R + T - 1
    areas = (2 << k, work_words(k), blocks * segments * PITCH, blocks * T * PITCH, blocks * R * PITCH)
    memory = _area(sum(areas))
    ends = np.cumsum(areas).tolist()
    words, work, seeds, columns, sums = (memory[e - size : e] for e, size in zip(ends, areas, strict=True))
    tables, steps = twiddles(), novel_steps(k)
    seed_tiles, bit_tiles = (origin - 64 * tile * T, tile, 2 * tile, segments), (start, tile, tile, T)
    spectra(unit, seed, seed_tiles, tables, steps, words[: 1 << k], work, seeds)
    spectra(unit, bits, bit_tiles, tables, steps, words[: 1 << k], work, columns)
    multiply(unit, seeds, columns, sums, blocks, (R, T))
    collect(unit, sums, (tile, R), tables, steps, words, work, result)


def _area(words: int) -> Words:
    """Memory on a border of 64 bytes, so that no vector lies in two lines of the cache."""
    area = np.empty(words + 7, np.uint64)
    first = -(area.ctypes.data // 8) % 8
    return area[first : first + words]


@kernel
def _take(words: Words, start: int, count: int, target: Words) -> None:
    """Bits from `start` on as the first `count` words of target, zeros after them and outside of `words`."""
    first, shift = start >> 6, np.uint64(start & 63)
    rest, one, none = np.uint64(63) - shift, np.uint64(1), np.uint64(0)
    for m in range(target.size):
        low = words[first + m] if m < count and 0 <= first + m < words.size else none
        high = words[first + m + 1] if m < count and 0 <= first + m + 1 < words.size else none
        target[m] = (low >> shift) | (high << one << rest)


@kernel
def spectra(
    unit: Unit,
    string: Words,
    tiles: tuple[int, int, int, int],
    tables: Tables,
    steps: Steps,
    words: Words,
    work: Words,
    out: Words,
) -> None:
    """Values of polynomials whose coefficients are words of a bit string.

    `tiles` is (start, step, count, polynomials): `count` words from bit `start` on, then `count` from `step` words
    later on, and so forth. `out` has a row of PITCH words for each polynomial, and so for each 256 values. `words`
    (uint64[2^k]) and `work` are space to work in.
    """
    start, step, count, polynomials = tiles
    shared, ends, rows = tables
    height = words.size // ROW
    scratch = work[height * PITCH : height * (PITCH + 2 * lanes(unit))]
    for t in range(polynomials):
        _take(string, start + 64 * step * t, count, words)
        to_novel(words, steps)
        for b in range(0, ROW, lanes(unit)):
            columns(unit, words, b, shared, scratch, work)
        for a in range(height):
            row(unit, work, a * PITCH, shared, ends, rows, a, out, (a * polynomials + t) * PITCH)


@kernel
def collect(
    unit: Unit,
    sums: Words,
    tiles: tuple[int, int],
    tables: Tables,
    steps: Steps,
    words: Words,
    work: Words,
    result: Words,
) -> None:
    """Add words B to 2 B - 1 of each of R polynomials with these values to the result, tile by tile.

    `tiles` is (B, R); `words` (uint64[2 2^k]) and `work` are space to work in.
    """
    tile, polynomials = tiles
    shared, ends, rows = tables
    height = words.size // (2 * ROW)
    scratch = work[height * PITCH : height * (PITCH + 2 * lanes(unit))]
    low, high = words[: height * ROW], words[height * ROW :]
    for r in range(polynomials):
        for a in range(height):
            row_back(unit, sums, (a * polynomials + r) * PITCH, shared, ends, rows, a, work, a * PITCH)
        for b in range(0, ROW, lanes(unit)):
            columns_back(unit, work, b, shared, scratch, low, high)
        for half in range(2):
            from_novel(words[half * height * ROW : (half + 1) * height * ROW], steps)
        for m in range(tile):
            if r * tile + m < result.size:
                result[r * tile + m] ^= low[tile + m] ^ high[tile + m - 1]
