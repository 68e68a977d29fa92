"""Known ranges of a Cascade lane as two bitmaps: where ranges begin, and which of them are odd.

`known` has a bit at each boundary between ranges whose parity difference is known, `odd` a bit at the start of each
such range that holds an odd number of errors not yet found. A lane has W words of each, followed by a summary of
W / 64 words: bit w of it says that word w has a one. `at` is where a lane begins in the flat arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.distill.kernels.words import Index, bits_below, count_ones, highest_one, lowest_one, select_one

__all__ = ["cut_place", "get_bit", "put_bit", "range_end", "range_start", "set_boundary", "turn_odd"]

_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@kernel
def range_end(known: NDArray[np.uint64], at: Index, words: Index, start: Index) -> Index:
    """End of the known range that begins at `start`."""
    w = start >> 6
    rest = known[at + w] & ~bits_below((start & 63) + 1)
    if rest != _ZERO:
        return (w << 6) + lowest_one(rest)
    s = w >> 6
    rest = known[at + words + s] & ~bits_below((w & 63) + 1)
    while rest == _ZERO:
        s += 1
        if s == words >> 6:
            return words << 6
        rest = known[at + words + s]
    w = (s << 6) + lowest_one(rest)
    return (w << 6) + lowest_one(known[at + w])


@kernel
def range_start(known: NDArray[np.uint64], at: Index, words: Index, position: Index) -> Index:
    """Start of the known range that holds `position`; boundary 0 is always known."""
    w = position >> 6
    rest = known[at + w] & bits_below((position & 63) + 1)
    if rest == _ZERO:
        s = w >> 6
        rest = known[at + words + s] & bits_below(w & 63)
        while rest == _ZERO:
            s -= 1
            rest = known[at + words + s]
        w = (s << 6) + highest_one(rest)
        rest = known[at + w]
    return (w << 6) + highest_one(rest)


@kernel
def set_boundary(known: NDArray[np.uint64], at: Index, words: Index, position: Index) -> None:
    w = position >> 6
    known[at + w] |= _ONE << np.uint64(position & 63)
    known[at + words + (w >> 6)] |= _ONE << np.uint64(w & 63)


@kernel
def turn_odd(odd: NDArray[np.uint64], at: Index, words: Index, start: Index) -> Index:
    """Turn the odd bit at `start`; returns the change of the number of odd ranges."""
    w = start >> 6
    bit = _ONE << np.uint64(start & 63)
    odd[at + w] ^= bit
    mark = _ONE << np.uint64(w & 63)
    if odd[at + w] != _ZERO:
        odd[at + words + (w >> 6)] |= mark
    else:
        odd[at + words + (w >> 6)] &= ~mark
    return 1 if odd[at + w] & bit != _ZERO else -1


@kernel
def cut_place(relevant: NDArray[np.uint64], lane_at: Index, start: Index, stop: Index) -> Index:
    """Where a known range is cut: the start of its right part; `start` where 64 places have at most one bit."""
    if stop - start > 64:
        return (((start + stop) >> 1) + 63) & ~63
    places = bits_below(stop - start)
    inside = (relevant[lane_at + (start >> 6)] >> np.uint64(start & 63)) & places
    if inside == places:
        return (start + stop) >> 1
    half = count_ones(inside) >> 1
    if half == 0:
        return start
    return start + select_one(inside, half - 1) + 1


@kernel
def put_bit(message: NDArray[np.uint8], offset: Index, bit: Index) -> None:
    message[offset >> 3] |= np.uint8(bit << (offset & 7))


@kernel
def get_bit(message: NDArray[np.uint8], offset: Index) -> Index:
    return (np.int64(message[offset >> 3]) >> (offset & 7)) & 1
