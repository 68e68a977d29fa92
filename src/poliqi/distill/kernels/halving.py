"""One round of Cascade's narrow searches, eight at a time: no look at the frames, no branch.

`words` and `tags` are those of `poliqi.distill.kernels.search`; both are gone through in steps of eight, past the
last search where their number is no multiple of eight.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, part
from poliqi.distill.kernels.simd import shift_up, signs, vector
from poliqi.distill.kernels.words import Index

__all__ = ["halve_narrow", "narrow_parities"]

_63 = np.uint64(63)
_ZERO = np.uint64(0)
_EIGHT: Final[Any] = vector(64, 8)
_load, _store, _splat, _and, _or, _add, _sub = (
    _EIGHT.load,
    _EIGHT.store,
    _EIGHT.splat,
    _EIGHT.and_,
    _EIGHT.or_,
    _EIGHT.add,
    _EIGHT.sub,
)
_lane, _signs = _EIGHT.lane, signs(_EIGHT)
_zeros, _ones, _thirty_one = (_EIGHT.constant([value] * 8) for value in (0, 1, 31))
_lanes = _EIGHT.constant(list(range(8)))
_count_ones, _below = _EIGHT.llvm("llvm.ctpop.v8i64", 1), _EIGHT.shifted(-1)
_to_place = _EIGHT.shifted(5)
_funnel_up, _funnel_down = _EIGHT.llvm("llvm.fshl.v8i64", 3), _EIGHT.llvm("llvm.fshr.v8i64", 3)


@inlined
def _up(rows: Any, counts: Any) -> Any:
    return _funnel_up(rows, _zeros(), counts)


@inlined
def _down(rows: Any, counts: Any) -> Any:
    return _funnel_down(_zeros(), rows, counts)


@part()
def halve_narrow(
    words: NDArray[np.uint64],
    tags: NDArray[np.uint64],
    count: Index,
    difference: NDArray[np.uint64],
    ended: NDArray[np.uint64],
) -> None:
    """Go on with the half of each narrow search that its answer, a bit of `difference`, shows to be odd.

    Bit i of `ended` then says whether search i has come down to one place.
    """
    found = _ZERO
    for i in range(0, count, 8):
        answers = _splat(difference[i >> 6] >> (np.uint64(i) & _63))
        left = _sub(_zeros(), _and(_down(answers, _lanes()), _ones()))
        tag, word = _sub(_load(tags, i), _ones()), _load(words, i)
        half = _up(_ones(), _and(tag, _thirty_one()))
        kept = _and(_and(word, _sub(_up(_ones(), half), _ones())), left)
        right = _sub(_zeros(), _add(left, _ones()))  # all ones where `left` is 0
        _store(words, i, _or(kept, _and(_down(word, half), right)))
        _store(tags, i, _add(tag, _to_place(_and(half, right))))
        found |= shift_up(_signs(_sub(_and(tag, _thirty_one()), _ones())), np.uint64(i) & _63)
        if i & 63 == 56 or i + 8 >= count:
            ended[i >> 6] = found
            found = _ZERO


@part()
def narrow_parities(
    words: NDArray[np.uint64], tags: NDArray[np.uint64], count: Index, said: NDArray[np.uint64]
) -> None:
    """The own parities of the left halves of all narrow searches."""
    for first in range(0, count, 64):
        bits = _zeros()
        for i in range(first, min(first + 64, count), 8):
            half = _up(_ones(), _and(_sub(_load(tags, i), _ones()), _thirty_one()))
            left = _and(_load(words, i), _sub(_up(_ones(), half), _ones()))
            place = _add(_lanes(), _splat(np.uint64(i - first)))
            bits = _or(bits, _up(_and(_count_ones(left), _ones()), place))
        word = _ZERO
        for lane in range(8):
            word |= _lane(bits, lane)
        said[first >> 6] = word
