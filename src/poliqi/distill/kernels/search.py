"""What Cascade's answers tell: ranges become known, odd ones are cut, errors are found.

The arrays are those of `poliqi.distill.kernels.cascade`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.distill.kernels.interleave import position_from, position_to
from poliqi.distill.kernels.ranges import cut_place, get_bit, range_end, range_start, set_boundary, turn_odd
from poliqi.distill.kernels.words import Index, bits_below, lowest_one, range_parity

__all__ = ["ACTIVE", "ASKED", "LANE", "STAGE", "STATUS_FIELDS", "TOTAL", "search", "take_blocks", "take_masks"]

STAGE, LANE, TOTAL, ACTIVE, ASKED = range(5)
STATUS_FIELDS = 5

_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@kernel
def _note_error(
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    status: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    tables: NDArray[np.int32],
    shape: NDArray[np.int64],
    f: Index,
    lane: Index,
    position: Index,
) -> None:
    """An error is found at `position` of `lane`: note it, and turn the known range around it in every lane.

    An error that was found before contradicts an honest transcript: its range is dropped, nothing turns.
    """
    words, lanes = int(shape[0]), int(shape[1])
    stride = words + (words >> 6)
    natural = position
    if lane == 1 or lane == 2:
        natural = position_from(tables, lane - 1, position)
    frame = 3 * words * f
    bit = _ONE << np.uint64(natural & 63)
    if found[frame + (natural >> 6)] & bit != _ZERO:
        at = (f * lanes + lane) * stride
        counts[f * lanes + lane] += turn_odd(odd, at, words, range_start(known, at, words, position))
        return
    found[frame + (natural >> 6)] |= bit
    active = int(status[STATUS_FIELDS * f + ACTIVE])
    for each in range(max(active, 3)):
        place = natural
        if each == 1 or each == 2:
            place = position_to(tables, each - 1, natural)
            found[frame + each * words + (place >> 6)] |= _ONE << np.uint64(place & 63)
        if each < active and relevant[each * words + (place >> 6)] >> np.uint64(place & 63) & _ONE != _ZERO:
            at = (f * lanes + each) * stride
            counts[f * lanes + each] += turn_odd(odd, at, words, range_start(known, at, words, place))


@kernel
def _settle(
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    status: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    tables: NDArray[np.int32],
    shape: NDArray[np.int64],
    f: Index,
    lane: Index,
    start: Index,
    stop: Index,
) -> None:
    """Flip the bit of an odd range of at most 64 places that has only one; drop the range if it has none."""
    if stop - start > 64:
        return
    words, lanes = int(shape[0]), int(shape[1])
    inside = (relevant[lane * words + (start >> 6)] >> np.uint64(start & 63)) & bits_below(stop - start)
    if inside == _ZERO:
        at = (f * lanes + lane) * (words + (words >> 6))
        counts[f * lanes + lane] += turn_odd(odd, at, words, start)
    elif inside & (inside - _ONE) == _ZERO:
        place = start + lowest_one(inside)
        _note_error(found, known, odd, counts, status, relevant, tables, shape, f, lane, place)


@kernel
def take_blocks(
    message: NDArray[np.uint8],
    offset: Index,
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    status: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    starts: NDArray[np.int32],
    shape: NDArray[np.int64],
    f: Index,
) -> None:
    """Parity differences of a pass's blocks; from the second pass on, the last one follows from the total."""
    words, lanes = int(shape[0]), int(shape[1])
    state = STATUS_FIELDS * f
    stage = int(status[state + STAGE])
    size, first, last = int(shape[2 + stage]), int(shape[5 + stage]), int(shape[6 + stage])
    at, here = (f * lanes + stage) * (words + (words >> 6)), (3 * f + stage) * words
    for start in range(0, words << 6, size):
        set_boundary(known, at, words, start)
    total = int(status[state + TOTAL])
    for i in range(first, last):
        difference = total  # what is left for the last block
        if i - first < status[state + ASKED]:
            difference = get_bit(message, offset + i - first)
        total ^= difference
        start = int(starts[i])
        stop = min(start + size, words << 6)
        if difference ^ range_parity(found, here, relevant, stage * words, start, stop):
            counts[f * lanes + stage] += turn_odd(odd, at, words, start)
    if stage == 0:
        status[state + TOTAL] = total
    status[state + ACTIVE] = stage + 1


@kernel
def take_masks(
    message: NDArray[np.uint8],
    offset: Index,
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    status: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    shape: NDArray[np.int64],
    f: Index,
) -> None:
    """Parity differences of the masked halves; those of the other halves follow from the total."""
    words, lanes = int(shape[0]), int(shape[1])
    state = STATUS_FIELDS * f
    for lane in range(3, lanes):
        difference = get_bit(message, offset + ((lane - 3) >> 1))
        if lane & 1 == 0:
            difference ^= int(status[state + TOTAL])
        at = (f * lanes + lane) * (words + (words >> 6))
        set_boundary(known, at, words, 0)
        if difference ^ range_parity(found, 3 * words * f, relevant, lane * words, 0, words << 6):
            counts[f * lanes + lane] += turn_odd(odd, at, words, 0)
    status[state + ACTIVE] = lanes


@kernel
def search(
    message: NDArray[np.uint8],
    offset: Index,
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    status: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    tables: NDArray[np.int32],
    shape: NDArray[np.int64],
    f: Index,
    lane: Index,
    halved: Index,
) -> None:
    """Go through the odd ranges of a lane: cut each in two by its answer (where `halved`), then settle it."""
    words, lanes = int(shape[0]), int(shape[1])
    at, errors = (f * lanes + lane) * (words + (words >> 6)), (3 * f + (lane if lane < 3 else 0)) * words
    stop = 0
    for s in range(words >> 6):
        summary = odd[at + words + s]
        while summary != _ZERO:
            w = (s << 6) + lowest_one(summary)
            summary &= summary - _ONE
            rest = odd[at + w]
            while rest != _ZERO:
                start = (w << 6) + lowest_one(rest)
                rest &= rest - _ONE
                if start < stop:
                    continue  # the right part of the range that was cut last
                stop = range_end(known, at, words, start)
                if not halved:
                    _settle(found, known, odd, counts, status, relevant, tables, shape, f, lane, start, stop)
                    continue
                middle = cut_place(relevant, lane * words, start, stop)
                left = range_parity(found, errors, relevant, lane * words, start, middle)
                left ^= get_bit(message, offset)
                offset += 1
                set_boundary(known, at, words, middle)
                if left:
                    _settle(found, known, odd, counts, status, relevant, tables, shape, f, lane, start, middle)
                else:
                    turn_odd(odd, at, words, start)
                    turn_odd(odd, at, words, middle)
                    _settle(found, known, odd, counts, status, relevant, tables, shape, f, lane, middle, stop)
