"""Cascade's searches: odd ranges that are halved, round by round, down to an error.

A search is a `tag`: frame << 36 | lane << 29 | span, its range as in `poliqi.distill.kernels.ranges`; lanes from 3
on are the random masks, in natural order. Searches over at most 64 places are *narrow*: `words` holds their own
bits, moved down to bit 0, so that all of them are halved without a look at the frames. The others are *wide*.

A lane is told of the errors that others found only when it is its turn: `pool` int32[2 * nodes] holds lists of such
errors, (place in the lane, next node or -1). `book` int64 is a header, then fields of one number for each frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, part
from poliqi.distill.kernels.interleave import natural_place, place_in_lane
from poliqi.distill.kernels.ranges import known_span, lane_cells, lane_marks, lane_step, note_cuts
from poliqi.distill.kernels.simd import prefetch, shift_down
from poliqi.distill.kernels.words import UP_TO, Index, bit_at, lowest_one, parity

__all__ = ["frame_words", "halve_wide", "left_parity", "log_block", "open_search", "settle", "table_at", "take"]

# The header of `book`. Frames and how many of them are full ones; words of those, and of the last one; log2 of the
# block sizes of both; masks; all ones where errors are flipped in the own string, else 0; cells of a frame; where
# the masks, the scratch words and the draft begin in the cells
FRAMES, FULL, WORDS, LAST_WORDS, SIZES, LAST_SIZES, MASKS, MINE, STRIDE = 0, 1, 2, 3, 4, 7, 10, 11, 12
MASK_CELLS, SCRATCH, DRAFT = 13, 14, 15
# searches of both kinds; first free node and nodes ever used; errors that lanes are to be told of; bits asked
NARROW, WIDE, FREE, TOP, PENDING, ASKED = 16, 17, 18, 19, 20, 21
HEADER = 24
# The fields: stage; searches (-1: finished); blocks or masks asked; odd masks, as bits; heads of the lanes' lists
STAGE, OPEN, ASKS, ODD_MASKS, HEADS = 0, 1, 2, 3, 4
FIELDS = 7

_1, _31, _63 = np.uint64(1), np.uint64(31), np.uint64(63)
_ZERO = np.uint64(0)


@inlined
def frame_words(book: NDArray[np.int64], f: Index) -> Index:
    """W of frame f."""
    return book[WORDS] if f < book[FULL] else book[LAST_WORDS]


@inlined
def log_block(book: NDArray[np.int64], f: Index, lane: Index) -> Index:
    """log2 of a lane's block size."""
    return book[(SIZES if f < book[FULL] else LAST_SIZES) + lane]


@inlined
def table_at(book: NDArray[np.int64], f: Index, lane: Index) -> Index:
    """Where lane 1's or 2's interleaver begins in the tables."""
    if f < book[FULL]:
        return 4 * (lane - 1) * book[WORDS]
    return 8 * book[WORDS] + 4 * (lane - 1) * book[LAST_WORDS]


@part(inline=True)
def left_parity(cells: NDArray[np.uint64], book: NDArray[np.int64], tag: np.uint64) -> np.uint64:
    """The own parity of the left half of a wide search."""
    search = np.int64(tag)
    f, lane, first, log = search >> 36, (search >> 29) & 127, (search >> 11) & 0x3FFFF, search & 31
    stop, frame, words = first + (1 << (log - 7)), f * book[STRIDE], frame_words(book, f)
    fold = _ZERO
    if lane < 3:
        at, step = frame + lane_cells(words, lane), lane_step(lane)
        for w in range(first, stop):
            fold ^= cells[at + step * w]
    else:
        mask = book[MASK_CELLS] + (lane - 3) * book[WORDS]
        for w in range(first, min(stop, words)):
            fold ^= cells[frame + 3 * w] & cells[mask + w]
    return parity(np.uint64(fold))


@part(inline=True)
def open_search(
    words: NDArray[np.uint64],
    tags: NDArray[np.uint64],
    wide: NDArray[np.uint64],
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
    search: Index,
) -> None:
    """Append a search, an int64 tag, to the narrow or the wide ones."""
    if search & 31 > 6:
        wide[book[WIDE]] = np.uint64(search)
        book[WIDE] += 1
        return
    f, lane, start = search >> 36, (search >> 29) & 127, (search >> 5) & 0xFFFFFF
    frame, w, count = f * book[STRIDE], start >> 6, frame_words(book, f)
    if lane < 3:
        word = cells[frame + lane_cells(count, lane) + lane_step(lane) * w]
    elif w < count:
        word = cells[frame + 3 * w] & cells[book[MASK_CELLS] + (lane - 3) * book[WORDS] + w]
    else:  # beyond the frame: no honest transcript leads here
        word = _ZERO
    i = book[NARROW]
    words[i] = shift_down(word, np.uint64(start) & _63) & UP_TO[(1 << (search & 31)) - 1]
    tags[i] = np.uint64(search)
    book[NARROW] = i + 1


@part()
def halve_wide(
    words: NDArray[np.uint64],
    tags: NDArray[np.uint64],
    wide: NDArray[np.uint64],
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
    difference: NDArray[np.uint64],
    offset: Index,
) -> None:
    """Go on with the odd halves of the wide searches; their answers begin at bit `offset`."""
    count = int(book[WIDE])
    book[WIDE] = 0
    for i in range(count):
        odd = shift_down(difference[(offset + i) >> 6], np.uint64(offset + i) & _63) & _1
        search = np.int64(wide[i])
        if odd == _ZERO:
            search += 1 << ((search & 31) + 4)
        open_search(words, tags, wide, cells, book, search - 1)


@part(inline=True)
def _tell(
    f: Index,
    lane: Index,
    natural: Index,
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
    pool: NDArray[np.int32],
    tables: NDArray[np.int32],
) -> None:
    """Note that a lane is to be told of an error."""
    size, place = frame_words(book, f), natural
    if lane > 0:
        place = place_in_lane(tables, table_at(book, f, lane), size, natural)
    prefetch(cells, f * book[STRIDE] + lane_cells(size, lane) + lane_step(lane) * (place >> 6))
    head = np.uint64(HEADER + f + (HEADS + lane) * book[FRAMES])
    node = int(book[FREE])
    if node >= 0:
        book[FREE] = pool[np.uint64(2 * node + 1)]
    else:
        node = int(book[TOP])
        book[TOP] = node + 1
    pool[np.uint64(2 * node)] = place
    pool[np.uint64(2 * node + 1)] = book[head]
    book[head] = node
    book[PENDING] += 1


@part(inline=True)
def _note_error(
    search: Index,
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
    pool: NDArray[np.int32],
    tables: NDArray[np.int32],
) -> None:
    frames, mine = int(book[FRAMES]), np.uint64(book[MINE])
    f, lane, place = search >> 36, (search >> 29) & 127, (search >> 5) & 0xFFFFFF
    frame, size = f * book[STRIDE], frame_words(book, f)
    stage = int(book[np.uint64(HEADER + f + STAGE * frames)])
    book[np.uint64(HEADER + f + OPEN * frames)] -= 1
    natural, bit = place, bit_at(place)
    if lane < 3:
        at, step = frame + lane_cells(size, lane), lane_step(lane)
        note_cuts(cells, at, step, frame + lane_marks(size, lane), log_block(book, f, lane), place)
        cells[np.uint64(at + step * (place >> 6))] ^= bit & mine
        if lane == 0:
            cells[np.uint64(at + 3 * (place >> 6) + 2)] ^= bit
        else:
            natural = natural_place(tables, table_at(book, f, lane), size, place)
    elif place >> 6 >= size or cells[frame + 3 * (place >> 6) + 2] & bit != _ZERO:
        # no place, or an error found before: no honest transcript leads here
        book[HEADER + f + ODD_MASKS * frames] &= ~(1 << (lane - 3))
        return
    for other in range(min(stage, 2) + 1):
        if other != lane:
            _tell(f, other, natural, cells, book, pool, tables)
    if stage == 3:
        odd = int(book[HEADER + f + ODD_MASKS * frames])
        for j in range(book[MASKS]):
            chosen = cells[book[MASK_CELLS] + j * book[WORDS] + (natural >> 6)] & bit_at(natural)
            odd ^= (1 << j) if chosen != _ZERO else 0
        book[HEADER + f + ODD_MASKS * frames] = odd


@part()
def settle(
    ended: NDArray[np.uint64],
    words: NDArray[np.uint64],
    tags: NDArray[np.uint64],
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
    pool: NDArray[np.int32],
    tables: NDArray[np.int32],
) -> None:
    """Take out the searches that have come down to one place: an error. The other lanes are told of it later."""
    count, kept, rest = int(book[NARROW]), 0, 0
    for first in range(0, count, 64):
        found = ended[first >> 6]
        if count - first < 64:
            found &= bit_at(count - first) - _1
        ahead = found
        while ahead != _ZERO:
            search = np.int64(tags[np.uint64(first + lowest_one(ahead))])
            ahead &= ahead - _1
            f, lane = search >> 36, (search >> 29) & 127
            at = f * book[STRIDE] + lane_cells(frame_words(book, f), lane if lane < 3 else 0)
            prefetch(cells, at + lane_step(lane) * ((search >> 11) & 0x3FFFF))
        while found != _ZERO:
            i = first + lowest_one(found)
            found &= found - _1
            _note_error(np.int64(tags[np.uint64(i)]), cells, book, pool, tables)
            if kept < rest:
                for j in range(rest, i):
                    words[np.uint64(kept + j - rest)] = words[np.uint64(j)]
                    tags[np.uint64(kept + j - rest)] = tags[np.uint64(j)]
            kept += i - rest
            rest = i + 1
    if kept < rest:
        for j in range(rest, count):
            words[np.uint64(kept + j - rest)] = words[np.uint64(j)]
            tags[np.uint64(kept + j - rest)] = tags[np.uint64(j)]
    book[NARROW] = kept + count - rest


@part()
def take(
    f: Index,
    lane: Index,
    words: NDArray[np.uint64],
    tags: NDArray[np.uint64],
    wide: NDArray[np.uint64],
    cells: NDArray[np.uint64],
    book: NDArray[np.int64],
    pool: NDArray[np.int32],
) -> Index:
    """Tell a lane of the errors found since it was last searched, and open a search of each range that they have
    made odd, ascending; returns how many."""
    head = HEADER + f + (HEADS + lane) * book[FRAMES]
    node = int(book[head])
    if node < 0:
        return 0
    size, mine = frame_words(book, f), np.uint64(book[MINE])
    at, step = f * book[STRIDE] + lane_cells(size, lane), lane_step(lane)
    marks, scratch = f * book[STRIDE] + lane_marks(size, lane), int(book[SCRATCH])
    summaries = scratch + size
    first, last = node, node
    while node >= 0:
        place = np.int64(pool[np.uint64(2 * node)])
        cell, bit = at + step * (place >> 6), bit_at(place)
        cells[np.uint64(cell)] ^= bit & mine
        if lane == 0:
            cells[np.uint64(cell + 2)] ^= bit
        span = known_span(cells, at, step, marks, place)
        if span & 31 != 0:  # else it contradicts what is known of this place: no honest transcript leads here
            cells[np.uint64(scratch + (span >> 11))] ^= bit_at(span >> 5)
            cells[np.uint64(summaries + (span >> 17))] |= bit_at(span >> 11)
        book[PENDING] -= 1
        last, node = node, np.int64(pool[np.uint64(2 * node + 1)])
    pool[2 * last + 1] = book[FREE]
    book[FREE] = first
    book[head] = -1
    taken = 0
    for s in range(size >> 6):
        summary = cells[np.uint64(summaries + s)]
        cells[np.uint64(summaries + s)] = _ZERO
        while summary != _ZERO:
            w = (s << 6) + lowest_one(summary)
            summary &= summary - _1
            odd = cells[np.uint64(scratch + w)]
            cells[np.uint64(scratch + w)] = _ZERO
            while odd != _ZERO:
                start = (w << 6) + lowest_one(odd)
                odd &= odd - _1
                span = known_span(cells, at, step, marks, start)
                open_search(words, tags, wide, cells, book, (f << 36) | (lane << 29) | span)
                taken += 1
    return taken
