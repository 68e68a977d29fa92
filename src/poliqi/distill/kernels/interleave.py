"""The interleavers of Cascade's second and third pass, on packed frames, by arithmetic alone.

A frame of W = 64 T words is sent through: a permutation of its words, a rotation of each word, a transposition
of each run of 64 words as a 64 x 64 bit matrix, and a second permutation of words. An interleaver is four rows of W
int32, which begin at `at` in `tables`:

- first[i] << 6 | turn[i]: the old word that becomes word i, and how far it is rotated;
- second[i]: the transposed word that becomes word i;
- the same two the other way: for each old word w, (i << 6) | turn[i] with first[i] = w; the inverse of second.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, kernel
from poliqi.distill.kernels.simd import shift_down, shift_up
from poliqi.distill.kernels.words import Index, transpose64

__all__ = ["interleave", "make_interleaver", "natural_place", "place_in_lane"]

_63 = np.uint64(63)
_32 = np.uint64(32)


@kernel
def _permute(draws: NDArray[np.uint64], order: NDArray[np.int32]) -> None:
    for i in range(order.size):
        order[i] = i
    for i in range(order.size - 1, 0, -1):
        j = np.int64(((draws[i] >> _32) * np.uint64(i + 1)) >> _32)
        order[i], order[j] = order[j], order[i]


@kernel
def make_interleaver(draws: NDArray[np.uint64], tables: NDArray[np.int32]) -> None:
    """Fill `tables` int32[4, W] from `draws` uint64[3, W]: a public stream each for the first permutation,
    the rotations, the second permutation."""
    _permute(draws[0], tables[0])
    _permute(draws[2], tables[1])
    for i in range(tables.shape[1]):
        turn = np.int64(draws[1, i] >> np.uint64(58))
        tables[2, tables[0, i]] = (i << 6) | turn
        tables[0, i] = (tables[0, i] << 6) | turn
        tables[3, tables[1, i]] = i


@kernel
def interleave(
    cells: NDArray[np.uint64],
    source: Index,
    tables: NDArray[np.int32],
    at: Index,
    words: Index,
    draft: Index,
    result: Index,
    beside: np.uint64,
) -> None:
    """Interleave cells[source + 3 i], i < words, into cells[result + 2 i] by way of cells[draft...].

    `beside` is written into cells[result + 2 i + 1].
    """
    for i in range(words):
        entry = np.int64(tables[np.uint64(at + i)])
        word, turn = cells[np.uint64(source + 3 * (entry >> 6))], np.uint64(entry & 63)
        cells[np.uint64(draft + i)] = shift_up(word, turn) | shift_down(word, (np.uint64(64) - turn) & _63)
    for first in range(draft, draft + words, 64):
        transpose64(cells, first)
    for i in range(words):
        cells[np.uint64(result + 2 * i)] = cells[np.uint64(draft + tables[np.uint64(at + words + i)])]
        cells[np.uint64(result + 2 * i + 1)] = beside


@inlined
def place_in_lane(tables: NDArray[np.int32], at: Index, words: Index, natural: Index) -> Index:
    """Where a bit of the frame stands after the interleaver."""
    entry = np.int64(tables[np.uint64(at + 2 * words + (natural >> 6))])
    column = (natural + entry) & 63
    return (np.int64(tables[np.uint64(at + 3 * words + (entry >> 12 << 6) + column)]) << 6) + ((entry >> 6) & 63)


@inlined
def natural_place(tables: NDArray[np.int32], at: Index, words: Index, place: Index) -> Index:
    """Where a bit that stands at `place` after the interleaver stands in the frame."""
    word = np.int64(tables[np.uint64(at + words + (place >> 6))])
    entry = np.int64(tables[np.uint64(at + (word & ~63) + (place & 63))])
    return (entry >> 6 << 6) + ((word - entry) & 63)
