"""The public state machine of Cascade, compiled: which ranges are asked, and what the answers tell.

A *lane* is an order of a frame's bits: lanes 0 to 2 are the block passes, lanes 3 + 2 j and 4 + 2 j the two
halves of random mask j. Per frame and lane, `known` has a bit at each boundary between ranges whose parity
difference is known, and `odd` a bit at the start of each such range that holds an odd number of errors not yet
found. The last S = W / 64 words of both are a summary: bit w says that word w has a one. `found` holds the
errors found so far, in each of the three orders.

`status` is int64[frames, 5]: stage, lane being searched (-1: none, the stage's ranges are asked), parity
difference of the whole frame, lanes in use, ranges asked in this round. `shape` is int64[9]: W, number of
masks, the three block sizes, and where the blocks of each pass begin and end in `starts` (0 and three ends).

The definition is the reference machine in plain Python in tests/unit/distill; the rules stand in
docs/spec/cascade.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.distill.kernels.interleave import position_from, position_to
from poliqi.distill.kernels.words import (
    Index,
    bits_below,
    count_ones,
    highest_one,
    lowest_one,
    range_parity,
    select_one,
)

__all__ = ["ASKED", "FINISHED", "LANE", "STAGE", "STATUS_FIELDS", "advance", "answer", "begin"]

STAGE, LANE, TOTAL, ACTIVE, ASKED = range(5)
STATUS_FIELDS = 5
FINISHED = 4  # stages 0 to 2 ask block parities, stage 3 asks the masks

_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@kernel
def _range_end(known: NDArray[np.uint64], words: Index, start: Index) -> Index:
    """End of the known range that begins at `start`."""
    w = start >> 6
    rest = known[w] & ~bits_below((start & 63) + 1)
    if rest != _ZERO:
        return (w << 6) + lowest_one(rest)
    s = w >> 6
    rest = known[words + s] & ~bits_below((w & 63) + 1)
    while rest == _ZERO:
        s += 1
        if s == words >> 6:
            return words << 6
        rest = known[words + s]
    w = (s << 6) + lowest_one(rest)
    return (w << 6) + lowest_one(known[w])


@kernel
def _range_start(known: NDArray[np.uint64], words: Index, position: Index) -> Index:
    """Start of the known range that holds `position`; boundary 0 is always known."""
    w = position >> 6
    rest = known[w] & bits_below((position & 63) + 1)
    if rest == _ZERO:
        s = w >> 6
        rest = known[words + s] & bits_below(w & 63)
        while rest == _ZERO:
            s -= 1
            rest = known[words + s]
        w = (s << 6) + highest_one(rest)
        rest = known[w]
    return (w << 6) + highest_one(rest)


@kernel
def _set_boundary(known: NDArray[np.uint64], words: Index, position: Index) -> None:
    w = position >> 6
    known[w] |= _ONE << np.uint64(position & 63)
    known[words + (w >> 6)] |= _ONE << np.uint64(w & 63)


@kernel
def _flip_odd(odd: NDArray[np.uint64], words: Index, start: Index) -> Index:
    """Turn the odd bit at `start`; returns the change of the number of odd ranges."""
    w = start >> 6
    bit = _ONE << np.uint64(start & 63)
    odd[w] ^= bit
    mark = _ONE << np.uint64(w & 63)
    if odd[w] != _ZERO:
        odd[words + (w >> 6)] |= mark
    else:
        odd[words + (w >> 6)] &= ~mark
    return np.int64(1) if odd[w] & bit != _ZERO else np.int64(-1)


@kernel
def _middle(relevant: NDArray[np.uint64], start: Index, stop: Index) -> Index:
    """Where a known range is cut: the start of its right part; `start` where it has at most one bit."""
    if stop - start > 64:
        return (((start + stop) >> 1) + 63) & ~63
    inside = (relevant[start >> 6] >> np.uint64(start & 63)) & bits_below(stop - start)
    half = count_ones(inside) >> 1
    if half == 0:
        return start
    return start + select_one(inside, half - 1) + 1


@kernel
def _put_bit(message: NDArray[np.uint8], offset: Index, bit: Index) -> None:
    message[offset >> 3] |= np.uint8(bit << (offset & 7))


@kernel
def _get_bit(message: NDArray[np.uint8], offset: Index) -> Index:
    return (np.int64(message[offset >> 3]) >> (offset & 7)) & 1


@kernel
def answer(
    own: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    status: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    starts: NDArray[np.int32],
    shape: NDArray[np.int64],
    message: NDArray[np.uint8],
    offset: Index,
) -> Index:
    """Write the own parities of all ranges asked in this round; returns the next free bit of `message`."""
    words = int(shape[0])
    for f in range(status.shape[0]):
        stage, lane = int(status[f, STAGE]), int(status[f, LANE])
        if lane < 0:
            if stage < 3:
                first = int(shape[5 + stage])
                for i in range(first, first + status[f, ASKED]):
                    start = int(starts[i])
                    stop = min(start + int(shape[2 + stage]), words << 6)
                    parity = range_parity(own[f, stage], relevant[stage], start, stop)
                    _put_bit(message, offset, parity)
                    offset += 1
            elif stage == 3:
                for j in range(shape[1]):
                    _put_bit(message, offset, range_parity(own[f, 0], relevant[3 + 2 * j], 0, words << 6))
                    offset += 1
            continue
        mine = own[f, lane if lane < 3 else 0]
        here, marks, ends = relevant[lane], odd[f, lane], known[f, lane]
        for s in range(words >> 6):
            summary = marks[words + s]
            while summary != _ZERO:
                w = (s << 6) + lowest_one(summary)
                summary &= summary - _ONE
                rest = marks[w]
                while rest != _ZERO:
                    start = (w << 6) + lowest_one(rest)
                    rest &= rest - _ONE
                    middle = _middle(here, start, _range_end(ends, words, start))
                    _put_bit(message, offset, range_parity(mine, here, start, middle))
                    offset += 1
    return offset


@kernel
def _flip(
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    active: Index,
    relevant: NDArray[np.uint64],
    tables: NDArray[np.int32],
    words: Index,
    lane: Index,
    position: Index,
) -> None:
    """An error is found at `position` of `lane`: note it, and turn the known range around it in every lane.

    An error that was found before contradicts an honest transcript: its range is dropped, nothing turns.
    """
    natural = position
    if lane == 1 or lane == 2:
        natural = position_from(tables[lane - 1], position)
    bit = _ONE << np.uint64(natural & 63)
    if found[0, natural >> 6] & bit != _ZERO:
        start = _range_start(known[lane], words, position)
        counts[lane] += _flip_odd(odd[lane], words, start)
        return
    found[0, natural >> 6] |= bit
    for each in range(active):
        place = natural
        if each == 1 or each == 2:
            place = position_to(tables[each - 1], natural)
            found[each, place >> 6] |= _ONE << np.uint64(place & 63)
        elif each > 2 and relevant[each, natural >> 6] & bit == _ZERO:
            continue
        counts[each] += _flip_odd(odd[each], words, _range_start(known[each], words, place))
    for each in range(max(active, 1), 3):
        place = position_to(tables[each - 1], natural)
        found[each, place >> 6] |= _ONE << np.uint64(place & 63)


@kernel
def _settle(
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    active: Index,
    relevant: NDArray[np.uint64],
    tables: NDArray[np.int32],
    words: Index,
    lane: Index,
) -> None:
    """Flip the bit of each odd range of `lane` that has only one; drop odd ranges without any."""
    marks, ends, here = odd[lane], known[lane], relevant[lane]
    for s in range(words >> 6):
        summary = marks[words + s]
        while summary != _ZERO:
            w = (s << 6) + lowest_one(summary)
            summary &= summary - _ONE
            rest = marks[w]
            while rest != _ZERO:
                start = (w << 6) + lowest_one(rest)
                rest &= rest - _ONE
                stop = _range_end(ends, words, start)
                if _middle(here, start, stop) != start:
                    continue
                inside = (here[w] >> np.uint64(start & 63)) & bits_below(stop - start)
                if inside == _ZERO:
                    counts[lane] += _flip_odd(marks, words, start)
                else:
                    place = start + lowest_one(inside)
                    _flip(found, known, odd, counts, active, relevant, tables, words, lane, place)


@kernel
def _take_blocks(
    message: NDArray[np.uint8],
    offset: Index,
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    state: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    starts: NDArray[np.int32],
    shape: NDArray[np.int64],
) -> None:
    """Parity differences of a pass's blocks; from the second pass on, the last one follows from the total."""
    words, stage = int(shape[0]), int(state[STAGE])
    size, first = int(shape[2 + stage]), int(shape[5 + stage])
    last = shape[6 + stage]
    for start in range(0, words << 6, size):
        _set_boundary(known[stage], words, start)
    total = np.int64(0)
    for i in range(first, last):
        if i - first < state[ASKED]:
            difference = _get_bit(message, offset + i - first)
            total ^= difference
        else:
            difference = total ^ state[TOTAL]
        start = int(starts[i])
        stop = min(start + size, words << 6)
        if difference ^ range_parity(found[stage], relevant[stage], start, stop):
            counts[stage] += _flip_odd(odd[stage], words, start)
    if stage == 0:
        state[TOTAL] = total
    state[ACTIVE] = stage + 1


@kernel
def _take_masks(
    message: NDArray[np.uint8],
    offset: Index,
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    state: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    shape: NDArray[np.int64],
) -> None:
    """Parity differences of the masked halves; those of the other halves follow from the total."""
    words = int(shape[0])
    for j in range(shape[1]):
        difference = _get_bit(message, offset + j)
        for lane in range(3 + 2 * j, 5 + 2 * j):
            _set_boundary(known[lane], words, 0)
            if difference ^ range_parity(found[0], relevant[lane], 0, words << 6):
                counts[lane] += _flip_odd(odd[lane], words, 0)
            difference ^= state[TOTAL]
    state[ACTIVE] = 3 + 2 * shape[1]


@kernel
def _take_halves(
    message: NDArray[np.uint8],
    offset: Index,
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    relevant: NDArray[np.uint64],
    words: Index,
    lane: Index,
) -> None:
    """Parity differences of left parts: each odd range is cut, and its odd part stays marked."""
    marks, ends, here = odd[lane], known[lane], relevant[lane]
    errors = found[lane if lane < 3 else 0]
    passed = np.int64(0)
    for s in range(words >> 6):
        summary = marks[words + s]
        while summary != _ZERO:
            w = (s << 6) + lowest_one(summary)
            summary &= summary - _ONE
            rest = marks[w]
            while rest != _ZERO:
                start = (w << 6) + lowest_one(rest)
                rest &= rest - _ONE
                if start < passed:
                    continue  # the right part of a range that was cut just now
                passed = _range_end(ends, words, start)
                middle = _middle(here, start, passed)
                difference = _get_bit(message, offset) ^ range_parity(errors, here, start, middle)
                offset += 1
                _set_boundary(ends, words, middle)
                if difference == 0:
                    counts[lane] += _flip_odd(marks, words, start) + _flip_odd(marks, words, middle)


@kernel
def _next_queries(
    message: NDArray[np.uint8],
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    state: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    tables: NDArray[np.int32],
    starts: NDArray[np.int32],
    shape: NDArray[np.int64],
) -> None:
    """Choose what the frame asks next: the lane in hand, else the lowest lane with odd ranges, else the next
    stage."""
    words = int(shape[0])
    while True:
        lane = state[LANE]
        if lane >= 0:
            _settle(found, known, odd, counts, state[ACTIVE], relevant, tables, words, lane)
            if counts[lane] > 0:
                state[ASKED] = counts[lane]
                return
        state[LANE] = -1
        for each in range(state[ACTIVE]):
            if counts[each] > 0:
                state[LANE] = each
                break
        if state[LANE] >= 0:
            continue
        state[STAGE] += 1
        stage = state[STAGE]
        if stage >= FINISHED:
            state[ASKED] = 0
            return
        if stage == 3:
            state[ASKED] = shape[1]
            return
        last = shape[6 + stage]
        state[ASKED] = max(last - shape[5 + stage] - 1, 0)
        if state[ASKED] > 0:
            return
        _take_blocks(message, 0, found, known, odd, counts, state, relevant, starts, shape)


@kernel
def begin(status: NDArray[np.int64], shape: NDArray[np.int64]) -> None:
    """Put every frame at its start: all blocks of the first pass are asked."""
    status[:] = 0
    status[:, LANE] = -1
    status[:, ASKED] = shape[6]


@kernel
def advance(
    message: NDArray[np.uint8],
    offset: Index,
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    status: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    tables: NDArray[np.int32],
    starts: NDArray[np.int32],
    shape: NDArray[np.int64],
) -> Index:
    """Take a round's parity differences, bit `offset` of `message` on; returns the bit after the last one.

    `found` is uint64[frames, 3, W], `known` and `odd` uint64[frames, lanes, W + W/64], `counts` int32[frames,
    lanes]: the number of odd ranges.
    """
    for f in range(status.shape[0]):
        state = status[f]
        asked, lane, stage = state[ASKED], state[LANE], state[STAGE]
        if stage >= FINISHED:
            continue
        if lane >= 0:
            _take_halves(message, offset, found[f], known[f], odd[f], counts[f], relevant, shape[0], lane)
        elif stage < 3:
            _take_blocks(message, offset, found[f], known[f], odd[f], counts[f], state, relevant, starts, shape)
        else:
            _take_masks(message, offset, found[f], known[f], odd[f], counts[f], state, relevant, shape)
        offset += asked
        _next_queries(message, found[f], known[f], odd[f], counts[f], state, relevant, tables, starts, shape)
    return offset
