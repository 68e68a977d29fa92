"""The Cantor basis of GF(2^128), the twiddles of the additive FFT, and the way into its polynomial basis.

b_0 = 1 and b_i^2 + b_i = b_(i-1) (D. G. Cantor, "On arithmetical algorithms over finite fields", J. Combin. Theory
A 50, 285 (1989)). The polynomial s_i that vanishes on span(b_0, ..., b_(i-1)) is then the i-fold iteration of
x^2 + x, has coefficients 0 and 1 alone, and s_i(b_j) = b_(j-i). So all layers share one table of twiddles:
block j of a layer takes W(j), the sum of b_(m+1) over the ones m of j.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.distill.kernels.gf128_emit import operation, read, shuffled, write, zeros
from poliqi.distill.kernels.simd import vector

__all__ = ["Steps", "cantor_basis", "from_novel", "novel_steps", "to_novel", "twiddles"]

Words = NDArray[np.uint64]
Steps = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Steps (d, half) of the change of basis, int64[steps, 2]: over all coefficients, then inside a row of 256."""

_BASIS_SIZE: Final = 16
_MODULUS: Final = 1 << 128 | 0x87


def _times_x(a: int) -> int:
    a <<= 1
    return a ^ _MODULUS if a >> 128 else a


@cache
def cantor_basis() -> tuple[int, ...]:
    """b_0, ..., b_15; of the two roots of each y^2 + y = b_(i-1) one without the constant term."""
    square = 1  # x^(2 i)
    rows: list[tuple[int, int]] = []  # reduced rows (image under y^2 + y, y), leading bits all different
    for i in range(128):
        image, y = square ^ 1 << i, 1 << i
        for leading, source in rows:
            if image ^ leading < image:
                image, y = image ^ leading, y ^ source
        if image:
            rows = sorted([*rows, (image, y)], reverse=True)
        square = _times_x(_times_x(square))
    basis = [1]
    while len(basis) < _BASIS_SIZE:
        target, root = basis[-1], 0
        for leading, source in rows:
            if target ^ leading < target:
                target, root = target ^ leading, root ^ source
        basis.append(root & ~1)
    return tuple(basis)


def _combinations(first: int, count: int) -> Words:
    """uint64[2^count, 4]: the sums of b_first, ..., b_(first + count - 1), and each times x^64, as words."""
    table = np.zeros((1, 4), np.uint64)
    for element in cantor_basis()[first : first + count]:
        far = element
        for _ in range(64):
            far = _times_x(far)
        words = np.frombuffer(element.to_bytes(16, "little") + far.to_bytes(16, "little"), "<u8")
        table = np.concatenate([table, table ^ words])
    return table


@cache
def twiddles() -> tuple[Words, Words, Words]:
    """Three tables of c and c x^64: W(0 to 255); those of the lowest two layers by lanes; those of the rows.

    The second is uint64[6 * 128]: c, then c x^64, of W(j), W(2 j) and W(2 j + 1) for j < 64. The third is
    uint64[8 * 256 * 4]: W(a 2^s) for the s-th of the lower eight layers in row a.
    """
    shared = _combinations(1, 8)
    ends = [
        shared[start:128:step][:64, half : half + 2] for start, step in ((0, 1), (0, 2), (1, 2)) for half in (0, 2)
    ]
    rows = [_combinations(s + 1, 8) for s in range(8)]
    return (
        shared.ravel(),
        np.concatenate([np.ascontiguousarray(part).ravel() for part in ends]),
        np.concatenate(rows).ravel(),
    )


@cache
def novel_steps(k: int) -> Steps:
    """The steps f[i - d] += f[i], i from 2 half - 1 down to half in each block of 2 half, of the change of basis.

    Those over the whole of 2^k coefficients and those inside a row of 256, int64[steps, 2] of (d, half); what is
    left happens inside 16 coefficients.
    """
    steps: list[tuple[int, int]] = []

    def convert(k: int, unit: int) -> None:
        if k < 2:
            return
        h = 1 << (k - 1).bit_length() - 1  # the largest power of two below k: s_h = x^(2^h) + x
        steps.extend((((1 << h) - 1 << t) * unit, (1 << h + t) * unit) for t in range(k - h - 1, -1, -1))
        convert(k - h, unit << h)
        convert(h, unit)

    convert(k, 1)
    wide = [s for s in steps if 2 * s[1] > 256]
    narrow = [s for s in steps if 16 < 2 * s[1] <= 256]
    return np.array(wide, np.int64).reshape(-1, 2), np.array(narrow, np.int64).reshape(-1, 2)


_V = vector(64, 8)
_load, _store, _xor = _V.load, _V.store, _V.xor
_INSIDE: Final = (
    # x^4 + x over 16 coefficients, two vectors of 8: (to, from, {lane: lane added to it})
    (1, 1, {0: 6, 1: 7}),
    (0, 1, {lane: lane - 2 for lane in range(2, 8)}),
    (0, 0, {4: 7}),
    (1, 1, {4: 7}),
    (0, 0, {1: 4, 2: 5, 3: 6}),
    (1, 1, {1: 4, 2: 5, 3: 6}),
    # x^2 + x between the groups of four, then inside them
    (1, 1, {lane: lane + 4 for lane in range(4)}),
    (0, 1, {lane: lane - 4 for lane in range(4, 8)}),
    (0, 0, {2: 3, 6: 7}),
    (1, 1, {2: 3, 6: 7}),
    (0, 0, {1: 2, 5: 6}),
    (1, 1, {1: 2, 5: 6}),
)


def _inside(steps: Sequence[tuple[int, int, dict[int, int]]]) -> Callable[..., Any]:
    @operation
    def inside(_typing: Any, words: Any, _index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            places = [args[1], builder.add(args[1], args[1].type(8))]
            pair = [read(context, builder, signature.args[0], args[0], at, 8) for at in places]
            for to, source, lanes in steps:
                added = shuffled(builder, pair[source], zeros(8), [lanes.get(lane, 8) for lane in range(8)])
                pair[to] = builder.xor(pair[to], added)
            for at, value in zip(places, pair, strict=True):
                write(context, builder, signature.args[0], args[0], at, value)
            return context.get_dummy_value()

        return types.void(words, types.int64), codegen

    return inside


_sixteen: Final = _inside(_INSIDE)
_sixteen_back: Final = _inside(_INSIDE[::-1])  # a step undoes itself


@kernel
def _step(words: Words, d: int, half: int) -> None:
    for block in range(0, words.size, 2 * half):
        for i in range(block + 2 * half - 8, block + half - 8, -8):
            _store(words, i - d, _xor(_load(words, i - d), _load(words, i)))


@kernel
def _step_back(words: Words, d: int, half: int) -> None:
    for block in range(0, words.size, 2 * half):
        for i in range(block + half, block + 2 * half, 8):
            _store(words, i - d, _xor(_load(words, i - d), _load(words, i)))


@kernel
def to_novel(words: Words, steps: Steps) -> None:
    """Coefficients of powers of x to coefficients of the novel basis, in place; `steps` = novel_steps(k)."""
    wide, narrow = steps
    for k in range(wide.shape[0]):
        _step(words, wide[k, 0], wide[k, 1])
    for row in range(0, words.size, 256):
        for k in range(narrow.shape[0]):
            _step(words[row : row + 256], narrow[k, 0], narrow[k, 1])
        for i in range(row, row + 256, 16):
            _sixteen(words, i)


@kernel
def from_novel(words: Words, steps: Steps) -> None:
    """The way back of `to_novel`."""
    wide, narrow = steps
    for row in range(0, words.size, 256):
        for i in range(row, row + 256, 16):
            _sixteen_back(words, i)
        for k in range(narrow.shape[0] - 1, -1, -1):
            _step_back(words[row : row + 256], narrow[k, 0], narrow[k, 1])
    for k in range(wide.shape[0] - 1, -1, -1):
        _step_back(words, wide[k, 0], wide[k, 1])
