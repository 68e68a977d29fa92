"""The interleaver of Cascade's second and third pass, on packed frames, by arithmetic alone.

A frame of W = 64 T words is sent through: a permutation of its words, a rotation of each word, a transposition
of each run of 64 words as a 64 x 64 bit matrix, and a second permutation of words. `tables` is int32[5, W]:
the first permutation, its inverse, the rotations, the second permutation, its inverse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.distill.kernels.words import Index, transpose64

__all__ = [
    "FIRST",
    "FIRST_INVERSE",
    "ROTATION",
    "SECOND",
    "SECOND_INVERSE",
    "interleave",
    "position_from",
    "position_to",
]

FIRST, FIRST_INVERSE, ROTATION, SECOND, SECOND_INVERSE = range(5)

_64 = np.uint64(64)
_63 = np.uint64(63)


@kernel
def interleave(
    frame: NDArray[np.uint64], tables: NDArray[np.int32], scratch: NDArray[np.uint64], result: NDArray[np.uint64]
) -> None:
    """Interleave the first W words of `frame` into `result`; W = tables.shape[1], `scratch` is uint64[>= W]."""
    count = tables.shape[1]
    for i in range(count):
        word = frame[tables[0, i]]
        turn = np.uint64(tables[2, i])
        scratch[i] = (word << turn) | (word >> ((_64 - turn) & _63))
    for first in range(0, count, 64):
        transpose64(scratch, first)
    for i in range(count):
        result[i] = scratch[tables[3, i]]


@kernel
def position_to(tables: NDArray[np.int32], p: Index, position: Index) -> Index:
    """Where a bit of the frame stands after interleaver p of `tables`, int32[passes, 5, W]."""
    row = np.int64(tables[p, 1, position >> 6])
    column = ((position & 63) + tables[p, 2, row]) & 63
    return (np.int64(tables[p, 4, (row & ~63) + column]) << 6) + (row & 63)


@kernel
def position_from(tables: NDArray[np.int32], p: Index, position: Index) -> Index:
    """Where a bit of the frame after interleaver p stands in the frame."""
    word = np.int64(tables[p, 3, position >> 6])
    row = (word & ~63) + (position & 63)
    return (np.int64(tables[p, 0, row]) << 6) + (((word & 63) - tables[p, 2, row]) & 63)
