"""Bit tricks on 64-bit words that the Cascade kernels are built from.

Word arrays hold packed bits in POLIQI's order: bit i is bit (i % 64) of word i // 64. Indices are int64 and
words uint64: numba turns a mixture of both into floating point, so every shift count is cast where it is used.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel

__all__ = [
    "Index",
    "bits_below",
    "count_ones",
    "highest_one",
    "lowest_one",
    "range_parity",
    "select_one",
    "transpose64",
]

Index: TypeAlias = int | np.int64

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZERO = np.uint64(0)
_M1 = np.uint64(0x5555555555555555)
_M2 = np.uint64(0x3333333333333333)
_M4 = np.uint64(0x0F0F0F0F0F0F0F0F)
_BYTES = np.uint64(0x0101010101010101)
_1, _2, _4, _8, _16, _32, _56 = (np.uint64(s) for s in (1, 2, 4, 8, 16, 32, 56))


@kernel
def count_ones(x: np.uint64) -> Index:
    """Number of ones."""
    x = x - ((x >> _1) & _M1)
    x = (x & _M2) + ((x >> _2) & _M2)
    x = (x + (x >> _4)) & _M4
    return np.int64((x * _BYTES) >> _56)


@kernel
def bits_below(n: Index) -> np.uint64:
    """A word with ones at positions below n, 0 <= n <= 64."""
    if n >= 64:
        return _ALL
    return (_1 << np.uint64(n)) - _1


@kernel
def lowest_one(x: np.uint64) -> Index:
    """Position of the lowest one; 64 for no ones."""
    return count_ones(~x & (x - _1))


@kernel
def highest_one(x: np.uint64) -> Index:
    """Position of the highest one; -1 for no ones."""
    x |= x >> _1
    x |= x >> _2
    x |= x >> _4
    x |= x >> _8
    x |= x >> _16
    x |= x >> _32
    return count_ones(x) - 1


@kernel
def select_one(x: np.uint64, rank: Index) -> Index:
    """Position of the one that has `rank` ones below it; 64 where there is none."""
    for _ in range(rank):
        x &= x - _1
    return lowest_one(x)


@kernel
def range_parity(
    words: NDArray[np.uint64], at: Index, mask: NDArray[np.uint64], mask_at: Index, start: Index, stop: Index
) -> Index:
    """Parity of bits start to stop (start < stop) of words AND mask, strings that begin at words[at] and
    mask[mask_at]."""
    first, last = start >> 6, (stop - 1) >> 6
    head = ~bits_below(start & 63)
    tail = bits_below(((stop - 1) & 63) + 1)
    fold = words[at + first] & mask[mask_at + first] & head
    if first == last:
        return count_ones(fold & tail) & 1
    fold ^= words[at + last] & mask[mask_at + last] & tail
    for i in range(first + 1, last):
        fold ^= words[at + i] & mask[mask_at + i]
    return count_ones(fold) & 1


@kernel
def transpose64(words: NDArray[np.uint64], first: Index) -> None:
    """Transpose, in place, the 64 x 64 bit matrix whose row r is words[first + r]: bit c of row r moves to
    bit r of row c."""
    width = np.int64(32)
    mask = np.uint64(0x00000000FFFFFFFF)
    while width > 0:
        shift = np.uint64(width)
        row = np.int64(0)
        while row < 64:
            low, high = words[first + row], words[first + row + width]
            swap = ((low >> shift) ^ high) & mask
            words[first + row + width] = high ^ swap
            words[first + row] = low ^ (swap << shift)
            row = ((row | width) + 1) & ~width
        width >>= 1
        mask ^= mask << np.uint64(width)
