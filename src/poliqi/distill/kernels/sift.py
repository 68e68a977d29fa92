"""Sifting on packed bits: bytes to bit planes, the bits at the ones of a mask side by side, gaps between slots.

Each is a line of numpy on bytes or booleans, which is how the tests define them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import has_feature, kernel
from poliqi.distill.kernels.simd import pext, plane, popcount, shift_down, shift_up

__all__ = ["bit_plane", "compress", "decode_gaps", "encode_gaps", "tally_gaps"]

Words = NDArray[np.uint64]
_WIDE = 255

_0, _1, _63 = (np.uint64(n) for n in (0, 1, 63))


@kernel
def _plane(states: NDArray[np.uint8], mask: int, words: Words) -> None:
    whole = states.size >> 6
    chosen = np.uint8(mask)
    for i in range(whole):
        words[i] = plane(states, i << 6, chosen)
    if states.size & 63:
        word = _0
        for j in range(whole << 6, states.size):
            if states[j] & chosen:
                word |= _1 << np.uint64(j & 63)
        words[whole] = word


def bit_plane(states: NDArray[np.uint8], place: int) -> Words:
    """Bit `place` of each of n bytes: uint64[ceil(n / 64)], packed."""
    words = np.empty(-(-states.size // 64), np.uint64)
    _plane(_frozen(states), 1 << place, words)
    return words


@kernel
def _compress_pext(words: Words, mask: Words, result: Words) -> None:
    held, fill, out = _0, _0, 0
    for i in range(words.size):
        chosen = mask[i]
        bits = pext(words[i], chosen)
        held |= shift_up(bits, fill)
        result[out] = held
        total = fill + popcount(chosen)
        over = shift_down(shift_down(bits, _63 - fill), _1)
        full = total > _63
        held = over if full else held
        out += 1 if full else 0
        fill = total & _63
    result[out] = held


@kernel
def _gather(word: np.uint64, mask: np.uint64) -> np.uint64:
    """The bits of `word` at the ones of `mask`, side by side (H. S. Warren, Hacker's Delight, section 7-4)."""
    word &= mask
    to_move = ~mask << _1
    for step in range(6):
        parity = to_move ^ (to_move << _1)
        parity ^= parity << np.uint64(2)
        parity ^= parity << np.uint64(4)
        parity ^= parity << np.uint64(8)
        parity ^= parity << np.uint64(16)
        parity ^= parity << np.uint64(32)
        moved = parity & mask
        mask = (mask ^ moved) | (moved >> np.uint64(1 << step))
        part = word & moved
        word = (word ^ part) | (part >> np.uint64(1 << step))
        to_move &= ~parity
    return word


@kernel
def _compress_portable(words: Words, mask: Words, result: Words) -> None:
    held, fill, out = _0, _0, 0
    for i in range(words.size):
        bits = _gather(words[i], mask[i])
        held |= shift_up(bits, fill)
        result[out] = held
        total = fill + popcount(mask[i])
        if total > _63:
            held = shift_down(shift_down(bits, _63 - fill), _1)
            out += 1
        fill = total & _63
    result[out] = held


def compress(words: Words, mask: Words, count: int) -> Words:
    """The bits of `words` at the ones of `mask`, side by side: uint64[ceil(count / 64)].

    `count` is the number of ones of `mask`; both strings have as many words.
    """
    size = -(-count // 64)
    result = np.empty(size + 1, np.uint64)  # the kernels write the word under way, even past the end
    (_compress_pext if has_feature("bmi2") else _compress_portable)(words, mask, result)
    return result[:size]


@kernel
def _encode(slots: NDArray[np.int64], before: int, gaps: NDArray[np.uint8]) -> int:
    wide = 0
    if slots.size:
        first = slots[0] - before - 1
        gaps[0] = min(first, _WIDE)
        wide += first >= _WIDE
    for i in range(1, slots.size):
        step = slots[i] - slots[i - 1] - 1
        gaps[i] = min(step, _WIDE)
        wide += step >= _WIDE
    return wide


@kernel
def _encode_wide(slots: NDArray[np.int64], before: int, gaps: NDArray[np.uint8], wide: NDArray[np.uint64]) -> None:
    out = 0
    for i in range(slots.size):
        if gaps[i] == _WIDE:
            wide[out] = slots[i] - (slots[i - 1] if i else before) - 1
            out += 1


def encode_gaps(slots: NDArray[np.int64], before: int) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """Empty slots before each of `slots` (rising, above `before`): uint8[n], 255 where the gap is 255 or more
    and stands in the second array, uint64[number of these]."""
    gaps = np.empty(slots.size, np.uint8)
    wide = np.empty(_encode(slots, before, gaps), np.uint64)
    if wide.size:
        _encode_wide(slots, before, gaps, wide)
    return gaps, wide


@kernel
def _tally(gaps: NDArray[np.uint8]) -> tuple[int, int]:
    count, total = 0, 0
    for i in range(gaps.size):
        count += gaps[i] == _WIDE
        total += gaps[i]
    return count, total


@kernel
def _decode(gaps: NDArray[np.uint8], before: np.int64, slots: NDArray[np.int64]) -> None:
    at = before
    for group in range(gaps.size >> 3):  # eight at a time: one addition waits for the one before, not eight
        ahead = np.int64(0)
        for i in range(8):
            ahead += np.int64(gaps[8 * group + i]) + 1
            slots[8 * group + i] = at + ahead
        at += ahead
    for i in range(gaps.size & ~7, gaps.size):
        at += np.int64(gaps[i]) + 1
        slots[i] = at


@kernel
def _decode_wide(gaps: NDArray[np.uint8], wide: Words, before: np.int64, slots: NDArray[np.int64]) -> None:
    at, out = before, 0
    for i in range(gaps.size):
        step = np.int64(gaps[i])
        if step == _WIDE:
            step = np.int64(wide[out])
            out += 1
        at += step + 1
        slots[i] = at


def tally_gaps(gaps: NDArray[np.uint8]) -> tuple[int, int]:
    """How many gaps are escaped (as many wide gaps follow), and the sum of those that are not."""
    count, total = _tally(_frozen(gaps))
    return int(count), int(total) - _WIDE * int(count)


def decode_gaps(gaps: NDArray[np.uint8], wide: Words, before: int) -> NDArray[np.int64]:
    """The slots of these gaps, int64[n]; `wide` has a gap for each escape, each below 2^62 / n."""
    slots = np.empty(gaps.size, np.int64)
    if wide.size:
        _decode_wide(_frozen(gaps), wide, np.int64(before), slots)
    else:
        _decode(_frozen(gaps), np.int64(before), slots)
    return slots


def _frozen(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A view that nobody writes to: what comes off the wire is one, and kernels are compiled for one kind."""
    view = data.view()
    view.flags.writeable = False
    return view
