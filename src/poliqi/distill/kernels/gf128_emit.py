# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""What the operations of `gf128` and `polyval_kernels` are written with: LLVM instructions on vectors of elements.

An element of GF(2^128) is two 64-bit words in a row, the low one first; a vector holds one or four of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from poliqi.base.jit import Width
from poliqi.distill.kernels.gf128_portable import carryless_product
from poliqi.distill.kernels.simd import vector

__all__ = [
    "PCLMUL",
    "PORTABLE",
    "VPCLMUL",
    "Unit",
    "clmul",
    "constant",
    "elements",
    "kind_of",
    "lowered",
    "operation",
    "raised",
    "read",
    "shuffled",
    "swapped",
    "unit",
    "write",
    "zeros",
]


class Portable(NamedTuple):
    """One element in a vector; products by integer arithmetic."""

    elements: int = 1


class Pclmul(NamedTuple):
    """One element in a vector; PCLMULQDQ."""

    elements: int = 1


class Vpclmul(NamedTuple):
    """Four elements in a vector; VPCLMULQDQ on 512 bits."""

    elements: int = 4


Unit: TypeAlias = Portable | Pclmul | Vpclmul
PORTABLE: Final = Portable()
PCLMUL: Final = Pclmul()
VPCLMUL: Final = Vpclmul()
_UNITS: Final[dict[Width, Unit]] = {Width.PORTABLE: PORTABLE, Width.PCLMUL: PCLMUL, Width.VPCLMUL: VPCLMUL}
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def operation(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operation inside kernels: `function(typing, *types)` gives its signature and writes its instructions."""
    return intrinsic(function)


def unit(width: Width) -> Unit:
    """What a kernel is given to run in this width."""
    return _UNITS[width]


def elements(unit: Any) -> int:
    """Elements in a vector of a unit, from the unit's numba type."""
    return unit.instance_class().elements


def kind_of(unit: Any) -> Any:
    """numba's type of a unit's vectors, from the unit's numba type."""
    return vector(64, 2 * elements(unit)).kind


def read(context: Any, builder: Any, array_type: Any, array: Any, index: Any, words: int) -> Any:
    """`words` words from array[index] on."""
    value = builder.load(_pointer(context, builder, array_type, array, index, words))
    value.align = array_type.dtype.bitwidth // 8
    return value


def write(context: Any, builder: Any, array_type: Any, array: Any, index: Any, value: Any) -> None:
    """A vector to array[index] and after."""
    target = _pointer(context, builder, array_type, array, index, value.type.count)
    builder.store(value, target).align = array_type.dtype.bitwidth // 8


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, words: int) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(_I64, words).as_pointer())


def shuffled(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    """Words of a and b in a row, in this order."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(order)), order))


def constant(pair: tuple[int, int], words: int) -> Any:
    """One element in every place."""
    return ir.Constant(ir.VectorType(_I64, words), list(pair) * (words // 2))


def zeros(words: int) -> Any:
    """So many words of zero."""
    return ir.Constant(ir.VectorType(_I64, words), [0] * words)


def swapped(builder: Any, a: Any) -> Any:
    """The halves of each element changed over."""
    return shuffled(builder, a, a, [i ^ 1 for i in range(a.type.count)])


def raised(builder: Any, a: Any) -> Any:
    """Each element's low half in the place of its high half."""
    words = a.type.count
    return shuffled(builder, a, zeros(words), [words if i % 2 == 0 else i - 1 for i in range(words)])


def lowered(builder: Any, a: Any) -> Any:
    """Each element's high half in the place of its low half."""
    words = a.type.count
    return shuffled(builder, a, zeros(words), [i + 1 if i % 2 == 0 else words for i in range(words)])


def clmul(builder: Any, unit: Any, a: Any, b: Any, halves: int) -> Any:
    """Product of a half of each element of a (bit 0 of `halves`) and a half of b's (bit 4)."""
    if unit.instance_class is Portable:
        x = builder.extract_element(a, ir.Constant(_I32, halves & 1))
        y = builder.extract_element(b, ir.Constant(_I32, halves >> 4))
        return builder.call(carryless_product(builder.module), [x, y])
    name = {2: "llvm.x86.pclmulqdq", 8: "llvm.x86.pclmulqdq.512"}[a.type.count]
    shape = ir.FunctionType(a.type, [a.type, a.type, ir.IntType(8)])
    function = cgutils.get_or_insert_function(builder.module, shape, name)
    return builder.call(function, [a, b, ir.Constant(ir.IntType(8), halves)])
