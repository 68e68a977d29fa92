"""Parity-check codes: syndromes, and layered sum-product decoding with 64 checks side by side.

A code is block rows of Z checks and block columns of Z bits. Edge e of a row joins check i of that row to bit
(i + shift[e]) mod Z of column[e]; the edges of row r are start[r] to start[r + 1]. Z is a multiple of 64.

Log-likelihood ratios are integers, SCALE to one natural unit. What is believed of a bit (`belief`, int16) is its
prior plus all messages that it got; a message from a check (`said`, int8) is kept for each edge and lane. A
column's beliefs stand LANES apart from its neighbours': up to a vector before and two after it, where the first
vector is repeated, so that every vector of a turned column is one unaligned load.

The box-plus of magnitudes a and b is min(a, b) + c(a + b) - c(|a - b|) with c(x) = log(1 + exp(-x)); c is taken
as max(5 / 8 - x / 4, 0), which saturating bytes do in a subtraction and a shift. Finer lines and finer steps
decode no better; a coarser range does worse, as it leaves chains of bits of degree 2 stuck.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.distill.kernels import simd
from poliqi.distill.kernels.simd import popcount

__all__ = ["CERTAIN", "LANES", "SCALE", "decode", "hard", "stride", "syndrome"]

Words: TypeAlias = NDArray[np.uint64]
Bytes: TypeAlias = NDArray[np.uint8]
Beliefs: TypeAlias = NDArray[np.int16]
Edges: TypeAlias = NDArray[np.int64]

SCALE: Final = 8
CERTAIN: Final = 4000
"""A belief that no message overturns."""
LANES: Final = 64
PATIENCE: Final = 8

_I16 = simd.vector(16, LANES)
_U8 = simd.vector(8, LANES)
_load16, _store16, _add16, _sub16 = _I16.load, _I16.store, _I16.add, _I16.sub
_load8, _store8, _add8, _sub8, _xor8, _or8 = _U8.load, _U8.store, _U8.add, _U8.sub, _U8.xor, _U8.or_
_widen, _narrow = simd.convert(_U8, _I16, signed=True), simd.convert(_I16, _U8)
_abs16 = _I16.llvm(f"llvm.abs.v{LANES}i16", 1, (1, 0))
_min16 = _I16.llvm(f"llvm.umin.v{LANES}i16", 2)
_min8, _max8 = _U8.llvm(f"llvm.umin.v{LANES}i8", 2), _U8.llvm(f"llvm.umax.v{LANES}i8", 2)
_plus8, _minus8 = _U8.llvm(f"llvm.uadd.sat.v{LANES}i8", 2), _U8.llvm(f"llvm.usub.sat.v{LANES}i8", 2)
_high = _I16.shifted(-8)
_quarter = _U8.shifted(-2)
_negative, _signs8, _signs16 = simd.negative(_U8), simd.signs(_U8), simd.signs(_I16)
_255 = _I16.constant([255] * LANES)
_line = _U8.constant([20] * LANES)
_round = _U8.constant([2] * LANES)
_127 = _U8.constant([127] * LANES)


def stride(lift: int) -> int:
    """Elements from one column's beliefs to the next one's."""
    return lift + 3 * LANES


@kernel
def syndrome(bits: Words, start: Edges, column: Edges, shift: Edges, words: int, out: Words) -> None:
    """Parities of all checks: `bits` uint64[columns * words] and `out` uint64[rows * words], Z = 64 words."""
    for r in range(start.size - 1):
        for w in range(words):
            out[r * words + w] = 0
        for e in range(start[r], start[r + 1]):
            base = column[e] * words
            turn, at = np.uint64(shift[e] & 63), shift[e] >> 6
            if turn == 0:
                for w in range(words):
                    out[r * words + w] ^= bits[base + at]
                    at = at + 1 if at + 1 < words else 0
            else:
                back = np.uint64(64) - turn
                low = bits[base + at]
                for w in range(words):
                    at = at + 1 if at + 1 < words else 0
                    high = bits[base + at]
                    out[r * words + w] ^= (low >> turn) | (high << back)
                    low = high


@kernel
def _box(a: Any, b: Any) -> Any:
    """The box-plus of two magnitudes."""
    small = _min8(a, b)
    less = _sub8(_minus8(_line(), _sub8(_max8(a, b), small)), _minus8(_line(), _plus8(a, b)))
    return _sub8(small, _quarter(_add8(less, _round())))


@kernel
def _row(
    belief: Beliefs,
    said: Bytes,
    odd: Bytes,
    odd_at: int,
    lanes: int,
    first: int,
    last: int,
    column: Edges,
    shift: Edges,
    lift: int,
    inputs: Beliefs,
    sizes: Bytes,
    ahead: Bytes,
) -> int | np.int64:
    """The first `lanes` checks of a block row: forward and backward over its edges, `first` to `last`.

    Returns how many of them the messages to them contradict.
    """
    step = lift + 3 * LANES
    failed = 0
    for i in range(0, lanes, LANES):
        parity = _load8(odd, odd_at + i)
        forward = _127()
        for e in range(first, last):
            k = (e - first) * LANES
            at = i + shift[e]
            at = at - lift if at >= lift else at
            at += column[e] * step + LANES
            value = _sub16(_load16(belief, at), _widen(_load8(said, e * lift + i)))
            size = _narrow(_min16(_abs16(value), _255()))
            _store16(inputs, k, value)
            _store8(sizes, k, size)
            _store8(ahead, k, forward)
            parity = _xor8(parity, _narrow(_high(value)))
            forward = size if e == first else _box(forward, size)
        failed += np.int64(popcount(_signs8(parity)))
        backward = _127()
        for e in range(last - 1, first - 1, -1):
            k = (e - first) * LANES
            value = _load16(inputs, k)
            size = _load8(sizes, k)
            if e == first:
                out = backward
            elif e == last - 1:
                out = _load8(ahead, k)
            else:
                out = _box(_load8(ahead, k), backward)
            backward = size if e == last - 1 else _box(backward, size)
            sign = _negative(_xor8(parity, _narrow(_high(value))))
            message = _sub8(_xor8(_min8(out, _127()), sign), sign)
            _store8(said, e * lift + i, message)
            at = i + shift[e]
            at = at - lift if at >= lift else at
            copy = at + lift if at < LANES else at
            copy = copy - lift if copy > lift - LANES and copy < lift else copy
            value = _add16(value, _widen(message))
            base = column[e] * step + LANES
            _store16(belief, base + at, value)
            _store16(belief, base + copy, value)
            if lift == LANES:
                _store16(belief, base + at - lift, value)
    return failed


@kernel
def hard(belief: Beliefs, columns: int, lift: int, out: Words) -> None:
    """Signs of the beliefs: `out` uint64[columns * lift / 64]."""
    step, words = lift + 3 * LANES, lift // 64
    for c in range(columns):
        for w in range(words):
            out[c * words + w] = _signs16(_load16(belief, c * step + LANES + 64 * w))


@kernel
def _same(a: Words, b: Words) -> bool:
    different = np.uint64(0)
    for i in range(a.size):
        different |= a[i] ^ b[i]
    return different == 0


@kernel
def decode(
    belief: Beliefs,
    said: Bytes,
    wanted: Words,
    start: Edges,
    column: Edges,
    shift: Edges,
    lift: int,
    limit: int,
    bits: Words,
    found: Words,
    odd: Bytes,
    scratch16: Beliefs,
    scratch8: Bytes,
) -> int:
    """Iterate until the signs of the beliefs have `wanted` as their first checks, uint64[any number].

    Returns the iterations, or minus the iterations where they never had: `limit`, or fewer where PATIENCE more did
    not lower the number of checks that messages contradict by a sixty-fourth. `bits` uint64[columns * Z / 64] are
    then the signs. `said` uint8[edges * Z] is zero at first. `found` and `odd` take all checks, uint64[rows * Z /
    64] and uint8[rows * Z]; the scratch, int16 and twice as many uint8, takes LANES for each edge of a row.
    """
    words = lift // 64
    rows = (wanted.size + words - 1) // words
    widest = scratch16.size
    for i in range(64 * wanted.size):
        odd[i] = ((wanted[i >> 6] >> np.uint64(i & 63)) & np.uint64(1)) << np.uint64(7)
    sizes, ahead = scratch8[:widest], scratch8[widest:]
    columns = bits.size // words
    before = 64 * wanted.size
    for iteration in range(1, limit + 1):
        failed = 0
        for r in range(rows):
            lanes = min(lift, 64 * wanted.size - r * lift)
            first, last = start[r], start[r + 1]
            failed += _row(
                belief, said, odd, r * lift, lanes, first, last, column, shift, lift, scratch16, sizes, ahead
            )
        if failed < 8 * wanted.size:
            hard(belief, columns, lift, bits)
            syndrome(bits, start[: rows + 1], column, shift, words, found)
            if _same(found[: wanted.size], wanted):
                return iteration
        if iteration % PATIENCE == 0:
            if 64 * failed > 63 * before:
                return -iteration
            before = failed
    return -limit
