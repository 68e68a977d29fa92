"""A frame's cells, and what is known of the ranges of its three lanes.

A frame of P = 64 W places takes 7 W + 3 (W / 64 + 1) words of one flat array: for lane 0, W times (own word,
boundaries, errors found); for lanes 1 and 2, W times (own word, boundaries); then, for each lane, W / 64 + 1 words
that mark boundaries between words.

A word's `boundaries` are 0 while some known range reaches beyond it. Otherwise bit b says that a known range begins
at place b of the word; bit 0 is then set. In the marks between words, bit w says that a known range begins with
word w; a last bit stands where the lane ends. All ranges are powers of two of places long and begin at a multiple
of their length: a range is (first place << 5) | log2(length), a `span`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, part
from poliqi.distill.kernels.words import PATHS, UP_TO, Index, bit_at, highest_one, lowest_one

__all__ = ["begin_lane", "known_span", "lane_cells", "lane_marks", "lane_step", "note_cuts"]

_ZERO = np.uint64(0)


@inlined
def lane_cells(words: Index, lane: Index) -> Index:
    """Where a lane begins within its frame."""
    return (2 * lane + 1) * words if lane > 0 else 0


@inlined
def lane_step(lane: Index) -> Index:
    """Cells from one word of a lane to the next."""
    return 2 if lane > 0 else 3


@inlined
def lane_marks(words: Index, lane: Index) -> Index:
    """Where a lane's marks between words begin within its frame."""
    return 7 * words + lane * ((words >> 6) + 1)


@part()
def begin_lane(cells: NDArray[np.uint64], frame: Index, words: Index, lane: Index, log_block: Index) -> np.uint64:
    """Make the blocks of 2^log_block places the lane's known ranges; returns the boundaries of each word."""
    marks = frame + lane_marks(words, lane)
    inside, between = _ZERO, _ZERO
    for place in range(0, 64, 1 << min(log_block, 6)):
        inside |= bit_at(place)
    for word in range(0, 64, 1 << min(max(log_block - 6, 0), 6)):
        between |= bit_at(word)
    if log_block > 6:
        inside = _ZERO
    every = 1 << max(log_block - 12, 0)
    for m in range((words >> 6) + 1):
        cells[marks + m] = between if m % every == 0 else _ZERO
    return inside


@inlined
def known_span(cells: NDArray[np.uint64], at: Index, step: Index, marks: Index, place: Index) -> Index:
    """The known range of a lane that holds `place`; `at` and `marks`: where the lane's cells and marks begin."""
    w = place >> 6
    inside = cells[np.uint64(at + step * w + 1)]
    upto = UP_TO[np.uint64(place & 63)]
    if inside != _ZERO:
        start = highest_one(inside & upto)
        stop = lowest_one(inside & ~upto)
        return (((w << 6) + start) << 5) | lowest_one(np.uint64(stop - start))
    first = w >> 6
    last, upto = first, UP_TO[np.uint64(w & 63)]
    lower, upper = cells[np.uint64(marks + first)] & upto, cells[np.uint64(marks + first)] & ~upto
    while lower == _ZERO:
        first -= 1
        lower = cells[np.uint64(marks + first)]
    while upper == _ZERO:
        last += 1
        upper = cells[np.uint64(marks + last)]
    start = (first << 6) + highest_one(lower)
    stop = (last << 6) + lowest_one(upper)
    return (start << 11) | (6 + lowest_one(np.uint64(stop - start)))


@inlined
def note_cuts(
    cells: NDArray[np.uint64], at: Index, step: Index, marks: Index, log_block: Index, place: Index
) -> None:
    """Note the boundaries that halving down to `place` alone has made in its block of 2^log_block places."""
    w = place >> 6
    cells[np.uint64(at + step * w + 1)] |= PATHS[np.uint64(place & 63)]
    if log_block > 6:
        twin = at + step * (w ^ 1) + 1
        cells[np.uint64(twin)] |= np.uint64(1)
        cells[np.uint64(marks + (w >> 6))] |= PATHS[np.uint64(w & 63)]
        for level in range(13, log_block + 1):
            middle = (place >> level << level) + (1 << (level - 1))
            cells[marks + (middle >> 12)] |= np.uint64(1)
