"""Bit tricks on 64-bit words that the Cascade kernels are built from.

Word arrays hold packed bits in POLIQI's order: bit i is bit (i % 64) of word i // 64. Indices are int64 and
words uint64: numba turns a mixture of both into floating point, so every shift count is cast where it is used.
A shift count is masked to 0 to 63, which spares numba's check of its range.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, kernel
from poliqi.distill.kernels.simd import leading_zeros, popcount, shift_down, shift_up, trailing_zeros, vector

__all__ = [
    "PATHS",
    "UP_TO",
    "Index",
    "bit_at",
    "bits_from",
    "highest_one",
    "lowest_one",
    "ones_below",
    "parity",
    "put_bits",
    "transpose64",
]

Index: TypeAlias = int | np.int64

UP_TO: Final = np.array([(2 << p) - 1 for p in range(64)], np.uint64)
"""UP_TO[p]: ones at bits 0 to p."""

PATHS: Final = np.array(
    [1 | sum(1 << ((p >> j << j) | 1 << j - 1) for j in range(1, 7)) for p in range(64)], np.uint64
)
"""PATHS[p]: where a word has been cut once halving has led to bit p alone: bit 0 and the six middles."""

_1, _63 = np.uint64(1), np.uint64(63)


@inlined
def lowest_one(x: np.uint64) -> Index:
    """Position of the lowest one; 64 for no ones."""
    return np.int64(trailing_zeros(x))


@inlined
def highest_one(x: np.uint64) -> Index:
    """Position of the highest one; -1 for no ones."""
    return 63 - np.int64(leading_zeros(x))


@inlined
def parity(x: np.uint64) -> np.uint64:
    """1 where x has an odd number of ones, else 0."""
    return popcount(x) & _1


@inlined
def bit_at(place: Index) -> np.uint64:
    """A word whose only one stands at `place` modulo 64."""
    return shift_up(_1, np.uint64(place) & _63)


@inlined
def ones_below(count: np.uint64) -> np.uint64:
    """Ones at bits 0 to count - 1; count 0 to 63."""
    return shift_up(_1, count) - _1


@inlined
def bits_from(words: NDArray[np.uint64], offset: Index) -> np.uint64:
    """The 64 bits of `words` from bit `offset` on; the word after the last one is read too."""
    low, turn = offset >> 6, np.uint64(offset) & _63
    return shift_down(words[low], turn) | shift_up(words[low + 1] << _1, _63 - turn)


@inlined
def put_bits(words: NDArray[np.uint64], offset: Index, bits: np.uint64) -> None:
    """Write 64 bits at bit `offset`; what stood above them in the two words is lost."""
    low, turn = offset >> 6, np.uint64(offset) & _63
    words[low] = (words[low] & ones_below(turn)) | shift_up(bits, turn)
    words[low + 1] = shift_down(bits >> _1, _63 - turn)


_ROWS: Final[Any] = vector(64, 8)  # eight rows of a 64 x 64 bit matrix
_LOW = {w: sum(((1 << w) - 1) << at for at in range(0, 64, 2 * w)) for w in (1, 2, 4, 8, 16, 32)}
_load, _store, _xor, _and, _or = _ROWS.load, _ROWS.store, _ROWS.xor, _ROWS.and_, _ROWS.or_


def _between(width: int) -> Any:
    """Exchange, between a row and the row `width` further on, the bits that a transposition exchanges."""
    down, up, low = _ROWS.shifted(-width), _ROWS.shifted(width), _ROWS.constant([_LOW[width]] * 8)

    def exchange(words: NDArray[np.uint64], first: Index, second: Index) -> None:
        a, b = _load(words, first), _load(words, second)
        swap = _and(_xor(down(a), b), low())
        _store(words, first, _xor(a, up(swap)))
        _store(words, second, _xor(b, swap))

    return inlined(exchange)


def _within(width: int) -> Any:
    """The same between lanes of one vector of eight rows."""
    down, up = _ROWS.shifted(-width), _ROWS.shifted(width)
    low, high = _LOW[width], _LOW[width] << width
    kept = _ROWS.constant([high if lane & width else low for lane in range(8)])
    from_above = _ROWS.constant([0 if lane & width else high for lane in range(8)])
    from_below = _ROWS.constant([low if lane & width else 0 for lane in range(8)])
    partner = _ROWS.shuffle([lane ^ width for lane in range(8)])

    def exchange(rows: Any) -> Any:
        other = partner(rows, rows)
        return _or(_and(rows, kept()), _or(_and(up(other), from_above()), _and(down(other), from_below())))

    return inlined(exchange)


_between_32, _between_16, _between_8 = _between(32), _between(16), _between(8)
_within_4, _within_2, _within_1 = _within(4), _within(2), _within(1)


@kernel
def transpose64(words: NDArray[np.uint64], first: Index) -> None:
    """Transpose, in place, the 64 x 64 bit matrix whose row r is words[first + r]: bit c of row r moves to
    bit r of row c."""
    for r in range(first, first + 32, 8):
        _between_32(words, r, r + 32)
    for half in range(first, first + 64, 32):
        for r in range(half, half + 16, 8):
            _between_16(words, r, r + 16)
    for r in range(first, first + 64, 16):
        _between_8(words, r, r + 8)
    for r in range(first, first + 64, 8):
        _store(words, r, _within_1(_within_2(_within_4(_load(words, r)))))
