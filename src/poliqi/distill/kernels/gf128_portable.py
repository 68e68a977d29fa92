# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Carry-less products of two words where the processor has no instruction for them, in constant time.

Integer products of operands with three zero bits between any two data bits, so that no carry reaches the next
data bit (T. Pornin's notes on constant-time GHASH, https://www.bearssl.org/constanttime.html); the high half of a
product is the low half of the product of the reversed words, reversed. No table is indexed by data.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

__all__ = ["carryless_product"]

_I64 = ir.IntType(64)
_PAIR = ir.VectorType(_I64, 2)
_MASKS = [ir.Constant(_I64, 0x1111111111111111 << r) for r in range(4)]


def _sum(builder: Any, terms: list[Any]) -> Any:
    first, *rest = terms
    for term in rest:
        first = builder.xor(first, term)
    return first


def _low_product(builder: Any, x: Any, y: Any) -> Any:
    """Low 64 bits of the carry-less product: the data bits of residue r mod 4 come from residues p and r - p."""
    xs, ys = ([builder.and_(v, mask) for mask in _MASKS] for v in (x, y))
    parts = [
        builder.and_(_sum(builder, [builder.mul(xs[p], ys[(r - p) % 4]) for p in range(4)]), _MASKS[r])
        for r in range(4)
    ]
    return _sum(builder, parts)


def carryless_product(module: Any) -> Any:
    """The function (word, word) -> two words of an LLVM module; written into it on first use."""
    name = "poliqi_carryless_product"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(_PAIR, [_I64, _I64]), name)
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    x, y = function.args
    reverse = module.declare_intrinsic("llvm.bitreverse", [_I64])
    high = builder.call(reverse, [_low_product(builder, *(builder.call(reverse, [v]) for v in (x, y)))])
    pair = ir.Constant(_PAIR, ir.Undefined)
    for place, half in enumerate((_low_product(builder, x, y), builder.lshr(high, ir.Constant(_I64, 1)))):
        pair = builder.insert_element(pair, half, ir.Constant(ir.IntType(32), place))
    builder.ret(pair)
    return function
