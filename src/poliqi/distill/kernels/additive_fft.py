"""Additive FFT over GF(2^128): values of a polynomial at the 2^k points of a subspace, and back.

S.-J. Lin, W.-H. Chung, Y. S. Han, "Novel polynomial basis and its application to Reed-Solomon erasure codes",
arXiv 1404.3458, on the Cantor basis: in their basis of products of s_i, a layer i joins halves f0 and f1 of each
block as f0 + s_i(w) f1 at the points w + span(b_0, ..., b_(i-1)) and one f1 more at those shifted by b_i. See
`additive_basis` for the basis, the twiddles and the way from coefficients to the novel basis.

The array of 2^k elements is a matrix with rows of 256: the upper k - 8 layers run down a few columns at a time, in
a scratch of 16 KiB, the lower 8 in one row of 4 KiB. The lowest two run across four vectors; values stay in the
order that gives, the same for every transform.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.distill.kernels.gf128 import (
    Unit,
    butterfly,
    butterfly_back,
    lanes,
    load,
    mixed,
    mixed_back,
    product_high,
    product_low,
    product_middle,
    reduced,
    spread,
    store,
    store_halves,
    transposed,
    widened,
    xor,
)

__all__ = [
    "PITCH",
    "ROW",
    "Tables",
    "Words",
    "columns",
    "columns_back",
    "multiply",
    "row",
    "row_back",
    "work_words",
]

Words = NDArray[np.uint64]
Tables = tuple[Words, Words, Words]
"""What `additive_basis.twiddles` gives."""

ROW = 256
"""Elements in a row."""
PITCH = 2 * ROW + 8
"""Words from row to row: not a power of two, or the rows of a column would share one set of the cache."""


def work_words(k: int) -> int:
    """Words of working space that a transform of 2^k points takes, of any width; best aligned to 64 bytes."""
    return (1 << k) // ROW * (PITCH + 8)


@kernel
def columns(unit: Unit, words: Words, b: int, shared: Words, scratch: Words, work: Words) -> None:
    """The upper layers of columns b to b + elements - 1, from coefficients (uint64[2^k], novel basis) to `work`.

    `work` holds rows of PITCH words, `scratch` a vector for each row.
    """
    width = 2 * lanes(unit)
    count = scratch.size // width
    for a in range(count):
        store(scratch, a * width, widened(unit, words, a * ROW + b))
    stride = scratch.size // 2
    blocks = 1
    while stride >= width:
        for i in range(0, stride, width):  # W(0) = 0
            store(scratch, i + stride, xor(load(unit, scratch, i), load(unit, scratch, i + stride)))
        for j in range(1, blocks):
            c, d = spread(unit, shared, 4 * j), spread(unit, shared, 4 * j + 2)
            first = 2 * j * stride
            for i in range(first, first + stride, width):
                butterfly(unit, scratch, i, i + stride, c, d)
        stride //= 2
        blocks *= 2
    for a in range(count):
        store(work, a * PITCH + 2 * b, load(unit, scratch, a * width))


@kernel
def row(
    unit: Unit, work: Words, base: int, shared: Words, ends: Words, rows: Words, a: int, out: Words, at: int
) -> None:
    """The lower eight layers of row a, which lies at work[base]; its values go to out[at] and the words after."""
    width = 2 * lanes(unit)
    for s in range(6):
        own = 4 * (256 * s + a)
        row_c, row_d = spread(unit, rows, own), spread(unit, rows, own + 2)
        stride = ROW >> s
        for j in range(1 << s):
            c = xor(row_c, spread(unit, shared, 4 * j))
            d = xor(row_d, spread(unit, shared, 4 * j + 2))
            first = base + 2 * j * stride
            for i in range(first, first + stride, width):
                butterfly(unit, work, i, i + stride, c, d)
    own = 4 * (256 * 6 + a)
    c6, d6 = spread(unit, rows, own), spread(unit, rows, own + 2)
    own = 4 * (256 * 7 + a)
    c7, d7 = spread(unit, rows, own), spread(unit, rows, own + 2)
    for g in range(0, 128, width):
        i = base + 4 * g
        p, q, r, t = transposed(
            load(unit, work, i),
            load(unit, work, i + width),
            load(unit, work, i + 2 * width),
            load(unit, work, i + 3 * width),
        )
        c, d = xor(c6, load(unit, ends, g)), xor(d6, load(unit, ends, 128 + g))
        p, r = mixed(unit, p, r, c, d)
        q, t = mixed(unit, q, t, c, d)
        c, d = xor(c7, load(unit, ends, 256 + g)), xor(d7, load(unit, ends, 384 + g))
        p, q = mixed(unit, p, q, c, d)
        c, d = xor(c7, load(unit, ends, 512 + g)), xor(d7, load(unit, ends, 640 + g))
        r, t = mixed(unit, r, t, c, d)
        i = at + 4 * g
        store(out, i, p)
        store(out, i + width, q)
        store(out, i + 2 * width, r)
        store(out, i + 3 * width, t)


@kernel
def row_back(
    unit: Unit, values: Words, at: int, shared: Words, ends: Words, rows: Words, a: int, work: Words, base: int
) -> None:
    """The way back of `row`."""
    width = 2 * lanes(unit)
    own = 4 * (256 * 6 + a)
    c6, d6 = spread(unit, rows, own), spread(unit, rows, own + 2)
    own = 4 * (256 * 7 + a)
    c7, d7 = spread(unit, rows, own), spread(unit, rows, own + 2)
    for g in range(0, 128, width):
        i = at + 4 * g
        p, q = load(unit, values, i), load(unit, values, i + width)
        r, t = load(unit, values, i + 2 * width), load(unit, values, i + 3 * width)
        c, d = xor(c7, load(unit, ends, 256 + g)), xor(d7, load(unit, ends, 384 + g))
        p, q = mixed_back(unit, p, q, c, d)
        c, d = xor(c7, load(unit, ends, 512 + g)), xor(d7, load(unit, ends, 640 + g))
        r, t = mixed_back(unit, r, t, c, d)
        c, d = xor(c6, load(unit, ends, g)), xor(d6, load(unit, ends, 128 + g))
        p, r = mixed_back(unit, p, r, c, d)
        q, t = mixed_back(unit, q, t, c, d)
        p, q, r, t = transposed(p, q, r, t)
        i = base + 4 * g
        store(work, i, p)
        store(work, i + width, q)
        store(work, i + 2 * width, r)
        store(work, i + 3 * width, t)
    for s in range(5, -1, -1):
        own = 4 * (256 * s + a)
        row_c, row_d = spread(unit, rows, own), spread(unit, rows, own + 2)
        stride = ROW >> s
        for j in range(1 << s):
            c = xor(row_c, spread(unit, shared, 4 * j))
            d = xor(row_d, spread(unit, shared, 4 * j + 2))
            first = base + 2 * j * stride
            for i in range(first, first + stride, width):
                butterfly_back(unit, work, i, i + stride, c, d)


@kernel
def columns_back(unit: Unit, work: Words, b: int, shared: Words, scratch: Words, low: Words, high: Words) -> None:
    """The way back of `columns`: low and high words of the coefficients."""
    width = 2 * lanes(unit)
    count = scratch.size // width
    for a in range(count):
        store(scratch, a * width, load(unit, work, a * PITCH + 2 * b))
    stride = width
    blocks = count // 2
    while blocks > 0:
        for i in range(0, stride, width):  # W(0) = 0
            store(scratch, i + stride, xor(load(unit, scratch, i), load(unit, scratch, i + stride)))
        for j in range(1, blocks):
            c, d = spread(unit, shared, 4 * j), spread(unit, shared, 4 * j + 2)
            first = 2 * j * stride
            for i in range(first, first + stride, width):
                butterfly_back(unit, scratch, i, i + stride, c, d)
        stride *= 2
        blocks //= 2
    for a in range(count):
        store_halves(low, high, a * ROW + b, load(unit, scratch, a * width))


@kernel
def multiply(unit: Unit, seeds: Words, columns: Words, sums: Words, blocks: int, tiles: tuple[int, int]) -> None:
    """Row tile r's values become the sum over the column tiles t of seeds[r - t + T - 1] columns[t].

    Arrays hold, for each block of 256 values, R + T - 1, T and R rows of PITCH words; `tiles` is (R, T).
    """
    R, T = tiles
    width = 2 * lanes(unit)
    for a in range(blocks):
        first_seed, first_column, first_sum = a * (R + T - 1) * PITCH, a * T * PITCH, a * R * PITCH
        for i in range(0, 2 * ROW, width):
            for r in range(R):
                x = load(unit, columns, first_column + i)
                y = load(unit, seeds, first_seed + (r + T - 1) * PITCH + i)
                low, middle, high = product_low(unit, x, y), product_middle(unit, x, y), product_high(unit, x, y)
                for t in range(1, T):
                    x = load(unit, columns, first_column + t * PITCH + i)
                    y = load(unit, seeds, first_seed + (r + T - 1 - t) * PITCH + i)
                    low = xor(low, product_low(unit, x, y))
                    middle = xor(middle, product_middle(unit, x, y))
                    high = xor(high, product_high(unit, x, y))
                store(sums, first_sum + r * PITCH + i, reduced(unit, low, middle, high))
