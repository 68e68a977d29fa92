# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""POLYVAL (RFC 8452, section 3) in three widths: one product per block, one reduction per 32 blocks.

With dot(a, b) = a b x^-128, m blocks X_1, ..., X_m take the state S to dot(S + X_1, H^m) + dot(X_2, H^(m-1)) + ...
+ dot(X_m, H): powers of the key are made once, and products are added before they are reduced. x^-128 is taken
off from below, 64 bits at a time: modulo x^128 + x^127 + x^126 + x^121 + 1, a low word w is x^64 times
w (x^64 + x^63 + x^62 + x^57). No branch and no address depends on key or text.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import Width, kernel
from poliqi.distill.kernels.gf128 import lanes, load, product_high, product_low, product_middle, store, xor
from poliqi.distill.kernels.gf128_emit import (
    PCLMUL,
    PORTABLE,
    VPCLMUL,
    Unit,
    clmul,
    constant,
    lowered,
    operation,
    raised,
    shuffled,
    swapped,
    zeros,
)
from poliqi.distill.kernels.simd import vector

__all__ = ["POWERS", "POWERS_OF", "UPDATE_OF"]

POWERS: Final = 32
"""Powers of the key that a reduction is spread over."""
_SHIFT: Final = (1 << 63 | 1 << 62 | 1 << 57, 0)

Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]


@operation
def _dot(_typing: Any, unit: Any, low: Any, _middle: Any, _high: Any) -> Any:
    """_dot(unit, low, middle, high): dot's value, one element, from sums of the parts of products.

    The parts may be wider vectors: the sum over their elements is taken first.
    """
    one = vector(64, 2).kind

    def folded(builder: Any, a: Any) -> Any:
        while a.type.count > 2:
            half = a.type.count // 2
            parts = (shuffled(builder, a, a, list(range(k, k + half))) for k in (0, half))
            a = builder.xor(*parts)
        return a

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        first, middle, last = (folded(builder, a) for a in args[1:])
        middle = builder.xor(middle, builder.xor(first, last))
        bottom = builder.xor(first, raised(builder, middle))
        for _ in range(2):
            bottom = builder.xor(swapped(builder, bottom), clmul(builder, unit, bottom, constant(_SHIFT, 2), 0x00))
        return builder.xor(builder.xor(last, lowered(builder, middle)), bottom)

    return one(unit, low, low, low), codegen


@operation
def _begin(_typing: Any, a: Any, b: Any) -> Any:
    """_begin(vector, element): the element added to the vector's first."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        words = a.lanes
        if words > 2:
            wide = shuffled(builder, args[1], zeros(2), [0, 1] + [2] * (words - 2))
            return builder.xor(args[0], wide)
        return builder.xor(*args)

    return a(a, b), codegen


@operation
def _nothing(_typing: Any, a: Any) -> Any:
    """_nothing(vector): zeros in its place."""

    def codegen(_context: Any, _builder: Any, _signature: Any, args: Any) -> Any:
        return zeros(args[0].type.count)

    return a(a), codegen


@kernel
def _powers(one: Unit, key: Words, powers: Words) -> None:
    h = load(one, key, 0)
    power = h
    store(powers, 2 * POWERS - 2, h)
    for i in range(POWERS - 2, -1, -1):
        power = _dot(one, product_low(one, power, h), product_middle(one, power, h), product_high(one, power, h))
        store(powers, 2 * i, power)


@kernel
def _update(many: Unit, one: Unit, state: Words, powers: Words, data: Bytes) -> None:
    s = load(one, state, 0)
    start, step = 0, 16 * lanes(many)
    while start + 16 * POWERS <= data.size:
        x, h = _begin(load(many, data, start), s), load(many, powers, 0)
        low, middle, high = product_low(many, x, h), product_middle(many, x, h), product_high(many, x, h)
        for i in range(step, 16 * POWERS, step):
            x, h = load(many, data, start + i), load(many, powers, i // 8)
            low = xor(low, product_low(many, x, h))
            middle = xor(middle, product_middle(many, x, h))
            high = xor(high, product_high(many, x, h))
        s = _dot(one, low, middle, high)
        start += 16 * POWERS
    if start < data.size:
        first = 2 * POWERS - (data.size - start) // 8
        t = s
        low = middle = high = _nothing(s)
        for i in range(0, data.size - start, 16):
            x, h = xor(load(one, data, start + i), t), load(one, powers, first + i // 8)
            t = _nothing(s)
            low = xor(low, product_low(one, x, h))
            middle = xor(middle, product_middle(one, x, h))
            high = xor(high, product_high(one, x, h))
        s = _dot(one, low, middle, high)
    store(state, 0, s)


@kernel
def _powers_portable(key: Words, powers: Words) -> None:
    _powers(PORTABLE, key, powers)


@kernel
def _powers_pclmul(key: Words, powers: Words) -> None:
    _powers(PCLMUL, key, powers)


@kernel
def _update_portable(state: Words, powers: Words, data: Bytes) -> None:
    _update(PORTABLE, PORTABLE, state, powers, data)


@kernel
def _update_pclmul(state: Words, powers: Words, data: Bytes) -> None:
    _update(PCLMUL, PCLMUL, state, powers, data)


@kernel
def _update_vpclmul(state: Words, powers: Words, data: Bytes) -> None:
    _update(VPCLMUL, PCLMUL, state, powers, data)


POWERS_OF: Final = {
    Width.PORTABLE: _powers_portable,
    Width.PCLMUL: _powers_pclmul,
    Width.VPCLMUL: _powers_pclmul,
}
"""(key uint64[2], powers uint64[64]): the 32nd to the first power of the key, in that order."""
UPDATE_OF: Final = {
    Width.PORTABLE: _update_portable,
    Width.PCLMUL: _update_pclmul,
    Width.VPCLMUL: _update_vpclmul,
}
"""(state uint64[2], powers, data uint8[16 n], read-only): absorb the blocks of `data` into `state`."""
