"""The public state machine of Cascade, compiled: which ranges are asked, and what the answers tell.

A *lane* is an order of a frame's bits: lanes 0 to 2 are the block passes, lanes 3 + 2 j and 4 + 2 j the two
halves of random mask j. Per frame and lane, `known` has a bit at each boundary between ranges whose parity
difference is known, and `odd` a bit at the start of each such range that holds an odd number of errors not yet
found, each followed by a summary of S = W / 64 words. `found` holds the errors found so far, in each of the three
orders.

All arrays are flat, and a frame's or lane's part is named by where it begins:

- `own`, `found`: uint64[frames * 3 * W], by frame and order
- `known`, `odd`: uint64[frames * lanes * (W + S)], by frame and lane; `counts`: int32[frames * lanes], odd ranges
- `relevant`: uint64[lanes * W], the places of each lane that carry a bit; `tables`: int32[2, 5, W], interleavers
- `status`: int64[frames * 5]: stage, lane being searched (-1: none, the stage's ranges are asked), parity
  difference of the whole frame, lanes in use, ranges asked in this round
- `shape`: int64[9]: W, lanes, the three block sizes, and where the blocks of each pass begin and end in `starts`

The definition is `poliqi.distill.reconcile.reference`; the rules stand in docs/spec/cascade.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.distill.kernels.ranges import cut_place, put_bit, range_end
from poliqi.distill.kernels.search import (
    ACTIVE,
    ASKED,
    LANE,
    STAGE,
    STATUS_FIELDS,
    search,
    take_blocks,
    take_masks,
)
from poliqi.distill.kernels.words import Index, lowest_one, range_parity

__all__ = ["ASKED", "FINISHED", "STATUS_FIELDS", "advance", "answer", "begin"]

FINISHED = 4  # stages 0 to 2 ask block parities, stage 3 asks the masks

_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@kernel
def begin(status: NDArray[np.int64], shape: NDArray[np.int64]) -> None:
    """Put every frame at its start: all blocks of the first pass are asked."""
    status[:] = 0
    for f in range(status.size // STATUS_FIELDS):
        status[STATUS_FIELDS * f + LANE] = -1
        status[STATUS_FIELDS * f + ASKED] = shape[6]


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
    words, lanes = int(shape[0]), int(shape[1])
    for f in range(status.size // STATUS_FIELDS):
        state, frame = STATUS_FIELDS * f, 3 * words * f
        stage, lane = int(status[state + STAGE]), int(status[state + LANE])
        if lane < 0 and stage < 3:
            first = int(shape[5 + stage])
            for i in range(first, first + status[state + ASKED]):
                start = int(starts[i])
                stop = min(start + int(shape[2 + stage]), words << 6)
                bit = range_parity(own, frame + stage * words, relevant, stage * words, start, stop)
                put_bit(message, offset, bit)
                offset += 1
        elif lane < 0 and stage == 3:
            for each in range(3, lanes, 2):
                put_bit(message, offset, range_parity(own, frame, relevant, each * words, 0, words << 6))
                offset += 1
        elif lane >= 0:
            mine = frame + (lane if lane < 3 else 0) * words
            at = (f * lanes + lane) * (words + (words >> 6))
            for s in range(words >> 6):
                summary = odd[at + words + s]
                while summary != _ZERO:
                    w = (s << 6) + lowest_one(summary)
                    summary &= summary - _ONE
                    rest = odd[at + w]
                    while rest != _ZERO:
                        start = (w << 6) + lowest_one(rest)
                        rest &= rest - _ONE
                        stop = range_end(known, at, words, start)
                        middle = cut_place(relevant, lane * words, start, stop)
                        bit = range_parity(own, mine, relevant, lane * words, start, middle)
                        put_bit(message, offset, bit)
                        offset += 1
    return offset


@kernel
def _next_queries(
    message: NDArray[np.uint8],
    found: NDArray[np.uint64],
    known: NDArray[np.uint64],
    odd: NDArray[np.uint64],
    counts: NDArray[np.int32],
    status: NDArray[np.int64],
    relevant: NDArray[np.uint64],
    tables: NDArray[np.int32],
    starts: NDArray[np.int32],
    shape: NDArray[np.int64],
    f: Index,
) -> None:
    """Choose what the frame asks next: the lane in hand while it has odd ranges, else the lowest lane that has,
    else the next stage."""
    lanes, state = int(shape[1]), STATUS_FIELDS * f
    while True:
        lane = int(status[state + LANE])
        if lane >= 0 and counts[f * lanes + lane] > 0:
            status[state + ASKED] = counts[f * lanes + lane]
            return
        lane = 0
        while lane < status[state + ACTIVE] and counts[f * lanes + lane] == 0:
            lane += 1
        if lane < status[state + ACTIVE]:
            status[state + LANE] = lane
            search(message, 0, found, known, odd, counts, status, relevant, tables, shape, f, lane, 0)
            continue
        status[state + LANE] = -1
        status[state + STAGE] += 1
        stage = int(status[state + STAGE])
        if stage >= FINISHED:
            status[state + ASKED] = 0
            return
        asked = (lanes - 3) >> 1 if stage == 3 else max(int(shape[6 + stage] - shape[5 + stage]) - 1, 0)
        status[state + ASKED] = asked
        if asked > 0:
            return
        take_blocks(message, 0, found, known, odd, counts, status, relevant, starts, shape, f)


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
    """Take a round's parity differences, bit `offset` of `message` on; returns the bit after the last one."""
    for f in range(status.size // STATUS_FIELDS):
        state = STATUS_FIELDS * f
        asked, lane, stage = int(status[state + ASKED]), int(status[state + LANE]), int(status[state + STAGE])
        if stage >= FINISHED:
            continue
        if lane >= 0:
            search(message, offset, found, known, odd, counts, status, relevant, tables, shape, f, lane, 1)
        elif stage < 3:
            take_blocks(message, offset, found, known, odd, counts, status, relevant, starts, shape, f)
        else:
            take_masks(message, offset, found, known, odd, counts, status, relevant, shape, f)
        offset += asked
        _next_queries(message, found, known, odd, counts, status, relevant, tables, starts, shape, f)
    return offset
