# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false
# pyright: reportUnknownVariableType=false
"""Vectors of a fixed number of lanes inside compiled kernels.

numba vectorises simple loops by itself. Where a kernel needs more, a wide carry-less multiplication, saturating
16-bit arithmetic or a whole-vector shuffle, it uses these: `vector(bits, lanes)` is a type that numba's
kernels can hold in variables, and its attributes are the operations on it, each a few LLVM instructions. LLVM
breaks vectors wider than the processor's into pieces, so all of them run everywhere, except those that name an
instruction of x86 (`clmul`, `pext`): whoever calls one asks `poliqi.base.jit` for the width first.

Indices count elements of the array, not vectors, and are not checked; loads and stores need no alignment.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import (
    intrinsic,
    register_model,  # pyright: ignore[reportUnknownVariableType]  # as above
)

__all__ = [
    "VectorOperations",
    "convert",
    "leading_zeros",
    "negative",
    "pext",
    "plane",
    "popcount",
    "prefetch",
    "shift_down",
    "shift_up",
    "signs",
    "trailing_zeros",
    "vector",
]

Operation: TypeAlias = Callable[..., Any]
"""An operation inside a kernel; outside of one it cannot be called."""


class VectorType(types.Type):
    """numba's type of `lanes` numbers of `bits` bits: integers, or floats where `real`."""

    def __init__(self, bits: int, lanes: int, real: bool) -> None:
        self.bits, self.lanes, self.real = bits, lanes, real
        super().__init__(name=f"vector({'f' if real else 'i'}{bits} x {lanes})")

    @property
    def element(self) -> Any:
        if self.real:
            return ir.FloatType() if self.bits == 32 else ir.DoubleType()
        return ir.IntType(self.bits)

    @property
    def scalar(self) -> Any:
        """numba's type of one lane."""
        return getattr(types, f"{'float' if self.real else 'uint'}{self.bits}")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: VectorType) -> None:
        super().__init__(manager, kind, ir.VectorType(kind.element, kind.lanes))


def _pointer(context: Any, builder: Any, signature: Any, args: Any, kind: VectorType) -> Any:
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), ir.VectorType(kind.element, kind.lanes).as_pointer())


def _operation(
    result: Any, arguments: int, generate: Callable[[Any, list[Any]], Any], kind: VectorType
) -> Operation:
    """An operation on `arguments` vectors of `kind`; `generate(builder, values)` writes the instructions."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return generate(builder, list(args))

    if arguments == 1:

        @intrinsic
        def unary(_typing: Any, _a: Any) -> Any:
            return result(kind), codegen

        return unary
    if arguments == 2:

        @intrinsic
        def binary(_typing: Any, _a: Any, _b: Any) -> Any:
            return result(kind, kind), codegen

        return binary

    @intrinsic
    def ternary(_typing: Any, _a: Any, _b: Any, _c: Any) -> Any:
        return result(kind, kind, kind), codegen

    return ternary


class VectorOperations:
    """The operations on one vector type; take those a kernel needs as names of its module."""

    def __init__(self, bits: int, lanes: int, real: bool) -> None:
        self.kind: Final = VectorType(bits, lanes, real)
        self.lanes: Final = lanes
        self._llvm: Final = ir.VectorType(self.kind.element, lanes)

        kind, vector_type, align = self.kind, self._llvm, bits // 8

        @intrinsic
        def load(_typing: Any, array: Any, _index: Any) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                value = builder.load(_pointer(context, builder, signature, args, kind))
                value.align = align
                return value

            return kind(array, types.int64), codegen

        @intrinsic
        def store(_typing: Any, array: Any, _index: Any, _value: Any) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                builder.store(args[2], _pointer(context, builder, signature, args, kind)).align = align
                return context.get_dummy_value()

            return types.void(array, types.int64, kind), codegen

        @intrinsic
        def splat(_typing: Any, _value: Any) -> Any:
            def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
                return _splat(builder, args[0], vector_type)

            return kind(kind.scalar), codegen

        @intrinsic
        def lane(_typing: Any, _value: Any, _index: Any) -> Any:
            def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
                return builder.extract_element(args[0], args[1])

            return kind.scalar(kind, types.int64), codegen

        self.load: Final[Operation] = load
        """load(array, index): lanes elements from array[index] on."""
        self.store: Final[Operation] = store
        """store(array, index, vector)."""
        self.splat: Final[Operation] = splat
        """splat(scalar): the scalar in every lane; the scalar has the lane's numpy type."""
        self.lane: Final[Operation] = lane
        """lane(vector, index): one lane as a scalar."""
        self.xor: Final = _operation(kind, 2, lambda b, v: b.xor(*v), kind)
        self.and_: Final = _operation(kind, 2, lambda b, v: b.and_(*v), kind)
        self.or_: Final = _operation(kind, 2, lambda b, v: b.or_(*v), kind)
        self.add: Final = _operation(kind, 2, lambda b, v: (b.fadd if real else b.add)(*v), kind)
        self.sub: Final = _operation(kind, 2, lambda b, v: (b.fsub if real else b.sub)(*v), kind)

    def constant(self, values: list[Any]) -> Operation:
        """An operation without arguments that gives the vector of these values."""
        kind, made = self.kind, ir.Constant(self._llvm, values)

        @intrinsic
        def constant(_typing: Any) -> Any:
            return kind(), lambda _c, _b, _s, _a: made

        return constant

    def shifted(self, places: int) -> Operation:
        """Each lane moved by `places` bits: up where positive, down (zeros in) where negative."""
        count = ir.Constant(self._llvm, [abs(places)] * self.lanes)
        return _operation(
            self.kind, 1, lambda b, v: b.shl(v[0], count) if places >= 0 else b.lshr(v[0], count), self.kind
        )

    def shuffle(self, order: list[int]) -> Operation:
        """shuffle(a, b): lane i is lane order[i] of a and b in a row (0 to lanes - 1: a; from lanes on: b)."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), order)
        return _operation(self.kind, 2, lambda b, v: b.shuffle_vector(v[0], v[1], mask), self.kind)

    def llvm(self, name: str, arguments: int, flag: tuple[int, int] | None = None) -> Operation:
        """LLVM's intrinsic `name` on `arguments` vectors of this type, such as "llvm.smin.v32i16".

        `flag`: a constant last argument as (bits, value).
        """
        kinds = [self._llvm] * arguments + ([ir.IntType(flag[0])] if flag else [])
        shape = ir.FunctionType(self._llvm, kinds)
        extra = [ir.Constant(ir.IntType(flag[0]), flag[1])] if flag else []

        def generate(builder: Any, values: list[Any]) -> Any:
            return builder.call(cgutils.get_or_insert_function(builder.module, shape, name), values + extra)

        return _operation(self.kind, arguments, generate, self.kind)

    def clmul(self, select: int) -> Operation:
        """Carry-less product of one 64-bit half of each 128-bit lane of a and one of b (x86, 64-bit elements).

        Bit 0 of `select` chooses the half of a, bit 4 that of b. 2 lanes need pclmul, 4 and 8 vpclmulqdq.
        """
        name = "llvm.x86.pclmulqdq" + {2: "", 4: ".256", 8: ".512"}[self.lanes]
        return self.llvm(name, 2, (8, select))


@cache
def vector(bits: int, lanes: int, real: bool = False) -> VectorOperations:
    """The operations on `lanes` integers of `bits` bits (or floats, where `real`)."""
    return VectorOperations(bits, lanes, real)


def _scalar(name: str, arguments: int, extra: list[Any]) -> Operation:
    word = ir.IntType(64)
    shape = ir.FunctionType(word, [word] * arguments + [c.type for c in extra])

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.call(cgutils.get_or_insert_function(builder.module, shape, name), [*args, *extra])

    if arguments == 1:

        @intrinsic
        def unary(_typing: Any, _x: Any) -> Any:
            return types.uint64(types.uint64), codegen

        return unary

    @intrinsic
    def binary(_typing: Any, _x: Any, _y: Any) -> Any:
        return types.uint64(types.uint64, types.uint64), codegen

    return binary


popcount: Final = _scalar("llvm.ctpop.i64", 1, [])
"""popcount(uint64) -> uint64: number of ones; an instruction where there is one, arithmetic elsewhere."""

trailing_zeros: Final = _scalar("llvm.cttz.i64", 1, [ir.Constant(ir.IntType(1), 0)])
"""trailing_zeros(uint64) -> uint64: position of the lowest one, 64 for none."""

pext: Final = _scalar("llvm.x86.bmi.pext.64", 2, [])
"""pext(word, mask) -> uint64: the bits of word at the ones of mask, side by side. x86 with BMI2 only."""


def _raw_shift(up: bool) -> Operation:
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return (builder.shl if up else builder.lshr)(args[0], args[1])

    @intrinsic
    def shift(_typing: Any, _x: Any, _count: Any) -> Any:
        return types.uint64(types.uint64, types.uint64), codegen

    return shift


shift_up: Final = _raw_shift(up=True)
"""shift_up(uint64, count) -> uint64: x << count without a range check; count must be 0 to 63."""

shift_down: Final = _raw_shift(up=False)
"""shift_down(uint64, count) -> uint64: x >> count without a range check; count must be 0 to 63."""


def _plane() -> Operation:
    lanes, byte = 64, ir.IntType(8)
    shape = ir.VectorType(byte, lanes)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        value = builder.load(builder.bitcast(builder.gep(data, [args[1]]), shape.as_pointer()))
        value.align = 1
        chosen = builder.and_(value, _splat(builder, args[2], shape))
        return builder.bitcast(builder.icmp_unsigned("!=", chosen, ir.Constant(shape, None)), ir.IntType(64))

    @intrinsic
    def plane(_typing: Any, array: Any, _index: Any, _mask: Any) -> Any:
        return types.uint64(array, types.int64, types.uint8), codegen

    return plane


def _splat(builder: Any, value: Any, shape: Any) -> Any:
    undefined = ir.Constant(shape, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), shape.count), [0] * shape.count)
    )


plane: Final = _plane()
"""plane(bytes, index, mask) -> uint64: bit i says whether byte index + i has any bit of `mask`; 64 bytes."""


def convert(source: VectorOperations, target: VectorOperations, *, signed: bool = False) -> Operation:
    """An operation that turns a vector of `source` into one of `target`, integers of as many lanes.

    Narrower lanes keep the low bits; wider ones are filled with zeros, or with the sign where `signed`.
    """
    made, shape = target.kind, ir.VectorType(target.kind.element, target.lanes)

    @intrinsic
    def converted(_typing: Any, _value: Any) -> Any:
        def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            if target.kind.bits < source.kind.bits:
                return builder.trunc(args[0], shape)
            return (builder.sext if signed else builder.zext)(args[0], shape)

        return made(source.kind), codegen

    return converted


def negative(operations: VectorOperations) -> Operation:
    """negative(vector): all ones in the lanes whose highest bit is 1, zero in the others."""
    shape = ir.VectorType(operations.kind.element, operations.lanes)
    zero = ir.Constant(shape, [0] * operations.lanes)
    return _operation(
        operations.kind, 1, lambda b, v: b.sext(b.icmp_signed("<", v[0], zero), shape), operations.kind
    )


def signs(operations: VectorOperations) -> Operation:
    """signs(vector) -> uint64: bit i is the highest bit of lane i; at most 64 lanes."""
    zero = ir.Constant(ir.VectorType(operations.kind.element, operations.lanes), [0] * operations.lanes)

    @intrinsic
    def gathered(_typing: Any, _value: Any) -> Any:
        def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            word = builder.bitcast(builder.icmp_signed("<", args[0], zero), ir.IntType(operations.lanes))
            return word if operations.lanes == 64 else builder.zext(word, ir.IntType(64))

        return types.uint64(operations.kind), codegen

    return gathered


leading_zeros: Final = _scalar("llvm.ctlz.i64", 1, [ir.Constant(ir.IntType(1), 0)])
"""leading_zeros(uint64) -> uint64: zeros above the highest one, 64 for no ones."""


def _prefetch() -> Operation:
    number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
    shape = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), pointer)
        call = cgutils.get_or_insert_function(builder.module, shape, "llvm.prefetch.p0")
        builder.call(call, [place, number(1), number(3), number(1)])
        return context.get_dummy_value()

    @intrinsic
    def prefetch(_typing: Any, array: Any, _index: Any) -> Any:
        return types.void(array, types.int64), codegen

    return prefetch


prefetch: Final = _prefetch()
"""prefetch(array, index): bring array[index] near, for writing; no effect but on time."""
