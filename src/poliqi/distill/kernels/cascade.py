"""The public state machine of Cascade, compiled: which ranges are asked, and what the answers tell.

One call takes a whole round of all frames. The definition is `poliqi.distill.reconcile.reference`; the rules stand
in docs/spec/cascade.md. Arrays are those of `poliqi.distill.kernels.ranges` (cells: after the frames come the words
of the masks, scratch words that are zero between uses, and a draft of W words) and of `.search` (searches, book,
pool). `said` is the own message in words, with one word to spare.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel, part
from poliqi.distill.kernels.halving import halve_narrow, narrow_parities
from poliqi.distill.kernels.interleave import interleave
from poliqi.distill.kernels.ranges import begin_lane, lane_cells, lane_step
from poliqi.distill.kernels.search import (
    ASKED,
    ASKS,
    DRAFT,
    FRAMES,
    HEADER,
    HEADS,
    MASK_CELLS,
    MASKS,
    NARROW,
    ODD_MASKS,
    OPEN,
    STAGE,
    STRIDE,
    WIDE,
    WORDS,
    frame_words,
    halve_wide,
    left_parity,
    log_block,
    open_search,
    settle,
    table_at,
    take,
)
from poliqi.distill.kernels.simd import shift_up, vector
from poliqi.distill.kernels.words import Index, bit_at, bits_from, highest_one, lowest_one, parity, put_bits

__all__ = ["advance", "begin", "collect_errors"]

_EIGHT: Final[Any] = vector(64, 8)
_load, _splat, _and, _xor, _lane = _EIGHT.load, _EIGHT.splat, _EIGHT.and_, _EIGHT.xor, _EIGHT.lane
FINISHED = 4  # stages 0 to 2 ask block parities, stage 3 asks the masks

_1 = np.uint64(1)
_ZERO = np.uint64(0)


@part()
def _say_blocks(
    cells: NDArray[np.uint64],
    at: Index,
    step: Index,
    log: Index,
    count: Index,
    said: NDArray[np.uint64],
    offset: Index,
) -> None:
    """Write the own parities of the first `count` blocks of a lane from bit `offset` on."""
    bits, held = _ZERO, 0
    for block in range(count):
        fold = _ZERO
        if log >= 6:
            for w in range(block << (log - 6), (block + 1) << (log - 6)):
                fold ^= cells[np.uint64(at + step * w)]
        else:
            place = block << log
            word = cells[at + step * (place >> 6)] >> (np.uint64(place) & np.uint64(63))
            fold = word & (bit_at(1 << log) - _1)
        bits |= shift_up(parity(fold), np.uint64(held))
        held += 1
        if held == 64:
            put_bits(said, offset, bits)
            offset += 64
            bits, held = _ZERO, 0
    put_bits(said, offset, bits)


@part()
def _say_masks(
    cells: NDArray[np.uint64], book: NDArray[np.int64], f: Index, said: NDArray[np.uint64], offset: Index
) -> None:
    """Write the own parities of all masks."""
    size, frame, draft, bits = frame_words(book, f), f * book[STRIDE], int(book[DRAFT]), _ZERO
    for w in range(size):
        cells[draft + w] = cells[np.uint64(frame + 3 * w)]
    for j in range(book[MASKS]):
        mask, folds = book[MASK_CELLS] + j * book[WORDS], _splat(_ZERO)
        for w in range(0, size, 8):
            folds = _xor(folds, _and(_load(cells, draft + w), _load(cells, mask + w)))
        fold = _ZERO
        for lane in range(8):
            fold ^= _lane(folds, lane)
        bits |= shift_up(parity(fold), np.uint64(j))
    put_bits(said, offset, bits)


@part()
def _answer(
    said: NDArray[np.uint64],
    words: NDArray[np.uint64],
    tags: NDArray[np.uint64],
    wide: NDArray[np.uint64],
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
) -> None:
    """Write the own parities of everything that is asked: narrow searches, wide ones, blocks and masks by frame."""
    frames, offset = int(book[FRAMES]), int(book[NARROW])
    narrow_parities(words, tags, offset, said)
    for i in range(book[WIDE]):
        put_bits(said, offset, left_parity(cells, book, wide[i]))
        offset += 1
    for f in range(frames):
        asks = int(book[HEADER + ASKS * frames + f])
        if asks > 0:
            stage = int(book[HEADER + STAGE * frames + f])
            if stage < 3:
                at = f * book[STRIDE] + lane_cells(frame_words(book, f), stage)
                _say_blocks(cells, at, lane_step(stage), log_block(book, f, stage), asks, said, offset)
            else:
                _say_masks(cells, book, f, said, offset)
            offset += asks
    said[offset >> 6] &= bit_at(offset) - _1
    book[ASKED] = offset


@kernel
def begin(
    own: NDArray[np.uint64],
    bits: Index,
    said: NDArray[np.uint64],
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
) -> None:
    """Lay out the own string, `bits` bits in the words `own`, and ask the blocks of the first lane."""
    frames, offset = int(book[FRAMES]), 0
    for f in range(frames):
        size, frame, log = frame_words(book, f), f * book[STRIDE], log_block(book, f, 0)
        inside = begin_lane(cells, frame, size, 0, log)
        source = f * book[WORDS]
        for w in range(size):
            cells[frame + 3 * w] = own[source + w] if source + w < own.size else _ZERO
            cells[frame + 3 * w + 1] = inside
            cells[frame + 3 * w + 2] = _ZERO
        present = min(bits - (source << 6), size << 6)
        asks = (present + (1 << log) - 1) >> log
        book[HEADER + ASKS * frames + f] = asks
        _say_blocks(cells, frame, 3, log, asks, said, offset)
        offset += asks
        for lane in range(3):
            book[HEADER + (HEADS + lane) * frames + f] = -1
    said[offset >> 6] &= bit_at(offset) - _1
    book[ASKED] = offset


@part()
def _take_answers(
    f: Index,
    difference: NDArray[np.uint64],
    offset: Index,
    words: NDArray[np.uint64],
    tags: NDArray[np.uint64],
    wide: NDArray[np.uint64],
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
) -> None:
    """Parity differences of a frame's blocks or masks; the last block of lanes 1 and 2 follows from the others."""
    frames = int(book[FRAMES])
    asks, stage = int(book[HEADER + ASKS * frames + f]), int(book[HEADER + STAGE * frames + f])
    book[HEADER + ASKS * frames + f] = 0
    if stage == 3:
        book[HEADER + ODD_MASKS * frames + f] = np.int64(bits_from(difference, offset) & (bit_at(asks) - _1))
        return
    log, opened = log_block(book, f, stage), 0
    lane = (f << 36) | (stage << 29) | log
    for first in range(0, asks, 64):
        odd = bits_from(difference, offset + first)
        if asks - first < 64:
            odd &= bit_at(asks - first) - _1
        while odd != _ZERO:
            open_search(words, tags, wide, cells, book, lane | ((first + lowest_one(odd)) << (log + 5)))
            odd &= odd - _1
            opened += 1
    if stage > 0 and opened & 1 == 1:
        open_search(words, tags, wide, cells, book, lane | (asks << (log + 5)))
        opened += 1
    book[HEADER + OPEN * frames + f] = opened


@part()
def _choose(
    f: Index,
    words: NDArray[np.uint64],
    tags: NDArray[np.uint64],
    wide: NDArray[np.uint64],
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
    pool: NDArray[np.int32],
    tables: NDArray[np.int32],
) -> None:
    """What a frame without searches does next: the lowest lane with odd ranges, else the lowest odd mask, else the
    next stage."""
    frames, size = int(book[FRAMES]), frame_words(book, f)
    fields, frame = HEADER + f, f * book[STRIDE]
    while True:
        stage = int(book[fields + STAGE * frames])
        for lane in range(min(stage, 2) + 1):
            taken = take(f, lane, words, tags, wide, cells, book, pool)
            if taken > 0:
                book[fields + OPEN * frames] = taken
                return
        odd = np.uint64(book[fields + ODD_MASKS * frames])
        if odd != _ZERO:
            log = 7 + highest_one(np.uint64(size - 1))
            open_search(words, tags, wide, cells, book, (f << 36) | ((3 + lowest_one(odd)) << 29) | log)
            book[fields + OPEN * frames] = 1
            return
        stage += 1
        book[fields + STAGE * frames] = stage
        if stage == FINISHED:
            book[fields + OPEN * frames] = -1
            return
        asks = int(book[MASKS])
        if stage < 3:
            log = log_block(book, f, stage)
            asks = ((size << 6) >> log) - 1
            inside = begin_lane(cells, frame, size, stage, log)
            at, table = frame + lane_cells(size, stage), table_at(book, f, stage)
            interleave(cells, frame, tables, table, size, int(book[DRAFT]), at, inside)
        book[fields + ASKS * frames] = asks
        if asks > 0:
            return


@kernel
def advance(
    heard: NDArray[np.uint8],
    said: NDArray[np.uint64],
    difference: NDArray[np.uint64],
    words: NDArray[np.uint64],
    tags: NDArray[np.uint64],
    wide: NDArray[np.uint64],
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
    pool: NDArray[np.int32],
    tables: NDArray[np.int32],
) -> None:
    """Take the peer's message of a round, and write the own message of the next one into `said`."""
    own, both = said.view(np.uint8), difference.view(np.uint8)
    for i in range(heard.size):
        both[i] = own[i] ^ heard[i]
    frames, offset = int(book[FRAMES]), int(book[NARROW])
    halve_narrow(words, tags, offset, difference, said)
    settle(said, words, tags, cells, book, pool, tables)
    searches = offset + int(book[WIDE])
    halve_wide(words, tags, wide, cells, book, difference, offset)
    offset = searches
    for f in range(frames):
        if book[HEADER + OPEN * frames + f] == 0:
            asks = int(book[HEADER + ASKS * frames + f])
            if asks > 0:
                _take_answers(f, difference, offset, words, tags, wide, cells, book)
                offset += asks
            if book[HEADER + OPEN * frames + f] == 0:
                _choose(f, words, tags, wide, cells, book, pool, tables)
    _answer(said, words, tags, wide, cells, book)


@kernel
def collect_errors(
    cells: NDArray[np.uint64], book: NDArray[np.int64], pool: NDArray[np.int32], errors: NDArray[np.uint64]
) -> None:
    """The errors found so far, in natural order."""
    frames = int(book[FRAMES])
    for f in range(frames):
        start = f * book[WORDS]
        for w in range(start, min(start + frame_words(book, f), errors.size)):
            errors[w] = cells[f * book[STRIDE] + 3 * (w - start) + 2]
        node = int(book[HEADER + HEADS * frames + f])
        while node >= 0:
            place = np.int64(pool[2 * node])
            if start + (place >> 6) < errors.size:
                errors[start + (place >> 6)] ^= bit_at(place)
            node = np.int64(pool[2 * node + 1])
