# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Elements of GF(2^128) in vectors, inside compiled kernels: one source of a kernel, three widths.

The field is GF(2)[x] modulo x^128 + x^7 + x^2 + x + 1, an element two 64-bit words, coefficient of x^i in bit i:
polynomials of degree up to 127 are their own elements, and what a product carries over comes back by one
carry-less product with x^7 + x^2 + x + 1.

A kernel hands a unit, `unit(width)`, to these operations. The unit's type decides how many elements a vector has
and how it multiplies: each width is compiled when first called. Indices count the array's elements, words or bytes.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba.core import types

from poliqi.distill.kernels.gf128_emit import (
    Unit,
    clmul,
    constant,
    elements,
    kind_of,
    lowered,
    operation,
    raised,
    read,
    shuffled,
    swapped,
    unit,
    write,
    zeros,
)

__all__ = [
    "Unit",
    "butterfly",
    "butterfly_back",
    "lanes",
    "load",
    "mixed",
    "mixed_back",
    "product_high",
    "product_low",
    "product_middle",
    "reduced",
    "spread",
    "store",
    "store_halves",
    "transposed",
    "unit",
    "widened",
    "xor",
]

_FOLD: Final = (0x87, 0)  # x^128 = x^7 + x^2 + x + 1


@operation
def lanes(_typing: Any, unit: Any) -> Any:
    """lanes(unit): elements in a vector, a constant of the compiled code."""
    count = ir.Constant(ir.IntType(64), elements(unit))

    def codegen(_context: Any, _builder: Any, _signature: Any, _args: Any) -> Any:
        return count

    return types.int64(unit), codegen


@operation
def load(_typing: Any, unit: Any, array: Any, _index: Any) -> Any:
    """load(unit, array, index): a vector of elements."""
    kind = kind_of(unit)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return read(context, builder, signature.args[1], args[1], args[2], kind.lanes)

    return kind(unit, array, types.int64), codegen


@operation
def store(_typing: Any, array: Any, _index: Any, value: Any) -> Any:
    """store(array, index, vector)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write(context, builder, signature.args[0], *args)
        return context.get_dummy_value()

    return types.void(array, types.int64, value), codegen


@operation
def spread(_typing: Any, unit: Any, array: Any, _index: Any) -> Any:
    """spread(unit, array, index): one element in every place of a vector."""
    kind = kind_of(unit)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = read(context, builder, signature.args[1], args[1], args[2], 2)
        return shuffled(builder, one, one, [0, 1] * (kind.lanes // 2))

    return kind(unit, array, types.int64), codegen


@operation
def widened(_typing: Any, unit: Any, array: Any, _index: Any) -> Any:
    """widened(unit, array, index): words as elements, high halves zero."""
    kind, count = kind_of(unit), elements(unit)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = read(context, builder, signature.args[1], args[1], args[2], count)
        order = [place for i in range(count) for place in (i, count + i)]
        return shuffled(builder, words, zeros(count), order)

    return kind(unit, array, types.int64), codegen


@operation
def store_halves(_typing: Any, low: Any, high: Any, _index: Any, value: Any) -> Any:
    """store_halves(low, high, index, vector): the low words of the elements in one array, the high in another."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = value.lanes
        for k in (0, 1):
            half = shuffled(builder, args[3], args[3], list(range(k, words, 2)))
            write(context, builder, signature.args[k], args[k], args[2], half)
        return context.get_dummy_value()

    return types.void(low, high, types.int64, value), codegen


@operation
def xor(_typing: Any, a: Any, _b: Any) -> Any:
    """xor(a, b): the sum."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.xor(*args)

    return a(a, a), codegen


def _times(builder: Any, unit: Any, v: Any, c: Any, d: Any) -> Any:
    """The product of v and c, d being c x^64: five carry-less products of words."""
    low = builder.xor(clmul(builder, unit, v, c, 0x00), clmul(builder, unit, v, d, 0x01))
    high = builder.xor(clmul(builder, unit, v, c, 0x10), clmul(builder, unit, v, d, 0x11))
    # what lies above x^128 has at most 63 bits, and 70 once folded: it carries nothing over again
    over = clmul(builder, unit, high, constant(_FOLD, v.type.count), 0x01)
    return builder.xor(builder.xor(low, raised(builder, high)), over)


def _there(builder: Any, unit: Any, u: Any, v: Any, c: Any, d: Any) -> tuple[Any, Any]:
    u = builder.xor(u, _times(builder, unit, v, c, d))
    return u, builder.xor(v, u)


def _back(builder: Any, unit: Any, u: Any, v: Any, c: Any, d: Any) -> tuple[Any, Any]:
    v = builder.xor(v, u)
    return builder.xor(u, _times(builder, unit, v, c, d)), v


def _mixed(write_pair: Any) -> Any:
    @operation
    def mixed(_typing: Any, unit: Any, u: Any, _v: Any, _c: Any, _d: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pair = write_pair(builder, unit, *args[1:])
            return context.make_tuple(builder, signature.return_type, pair)

        return types.UniTuple(u, 2)(unit, u, u, u, u), codegen

    return mixed


def _butterfly(write_pair: Any) -> Any:
    @operation
    def butterfly(_typing: Any, unit: Any, array: Any, _i: Any, _j: Any, c: Any, _d: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, words, i, j, *twiddle = args
            u, v = (read(context, builder, signature.args[1], words, at, c.lanes) for at in (i, j))
            for at, value in zip((i, j), write_pair(builder, unit, u, v, *twiddle), strict=True):
                write(context, builder, signature.args[1], words, at, value)
            return context.get_dummy_value()

        return types.void(unit, array, types.int64, types.int64, c, c), codegen

    return butterfly


mixed: Final = _mixed(_there)
"""mixed(unit, u, v, c, c x^64): u + c v, and v plus that."""
mixed_back: Final = _mixed(_back)
"""mixed_back(unit, u, v, c, c x^64): u and v from what `mixed` made of them."""
butterfly: Final = _butterfly(_there)
"""butterfly(unit, array, i, j, c, c x^64): `mixed` of the vectors at i and j, in place."""
butterfly_back: Final = _butterfly(_back)
"""butterfly_back(unit, array, i, j, c, c x^64): its way back."""


def _part(halves: int | None) -> Any:
    @operation
    def part(_typing: Any, unit: Any, a: Any, _b: Any) -> Any:
        def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            _, v, w = args
            if halves is None:
                v, w = (builder.xor(u, swapped(builder, u)) for u in (v, w))
            return clmul(builder, unit, v, w, halves or 0)

        return a(unit, a, a), codegen

    return part


product_low: Final = _part(0x00)
"""product_low(unit, a, b): the product of the low halves, of the three parts of Karatsuba's."""
product_high: Final = _part(0x11)
"""product_high(unit, a, b): the product of the high halves."""
product_middle: Final = _part(None)
"""product_middle(unit, a, b): the product of the halves' sums."""


@operation
def reduced(_typing: Any, unit: Any, low: Any, _middle: Any, _high: Any) -> Any:
    """reduced(unit, low, middle, high): the element with these three parts, each a sum over any products."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, first, middle, last = args
        middle = builder.xor(middle, builder.xor(first, last))
        bottom = builder.xor(first, raised(builder, middle))
        top = builder.xor(last, lowered(builder, middle))
        fold = constant(_FOLD, low.lanes)
        upper = clmul(builder, unit, top, fold, 0x01)
        again = clmul(builder, unit, upper, fold, 0x01)
        bottom = builder.xor(bottom, builder.xor(raised(builder, upper), again))
        return builder.xor(bottom, clmul(builder, unit, top, fold, 0x00))

    return low(unit, low, low, low), codegen


@operation
def transposed(_typing: Any, a: Any, _b: Any, _c: Any, _d: Any) -> Any:
    """transposed(a, b, c, d): four vectors of four elements as a square, mirrored; vectors of one as they are."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = list(args)
        if a.lanes == 8:
            pairs = [0, 1, 8, 9, 2, 3, 10, 11], [4, 5, 12, 13, 6, 7, 14, 15]
            p, q = ([shuffled(builder, rows[i], rows[j], order) for order in pairs] for i, j in ((0, 2), (1, 3)))
            rows = [shuffled(builder, p[i], q[i], order) for i in (0, 1) for order in pairs]
        return context.make_tuple(builder, signature.return_type, rows)

    return types.UniTuple(a, 4)(a, a, a, a), codegen
