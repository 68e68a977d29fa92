"""Widening, narrowing and signs of vectors inside kernels, against numpy."""

from __future__ import annotations

import numpy as np

from poliqi.base.jit import kernel
from poliqi.distill.kernels import simd

_I16, _U8 = simd.vector(16, 64), simd.vector(8, 64)
_load8, _store8, _load16, _store16 = _U8.load, _U8.store, _I16.load, _I16.store
_signed, _unsigned = simd.convert(_U8, _I16, signed=True), simd.convert(_U8, _I16)
_narrow, _negative, _signs = simd.convert(_I16, _U8), simd.negative(_U8), simd.signs(_U8)


@kernel
def everything(data, wide, plain, narrow, mask):
    vector = _load8(data, 0)
    _store16(wide, 0, _signed(vector))
    _store16(plain, 0, _unsigned(vector))
    _store8(narrow, 0, _narrow(_signed(vector)))
    _store8(mask, 0, _negative(vector))
    return _signs(vector)


def test_lanes_are_widened_narrowed_and_their_signs_gathered() -> None:
    data = np.random.default_rng(1).integers(0, 256, 64, dtype=np.uint8)
    data[:4] = 0, 127, 128, 255
    wide, plain = np.zeros((2, 64), np.int16)
    narrow, mask = np.zeros((2, 64), np.uint8)
    signs = everything(data, wide, plain, narrow, mask)
    assert (wide == data.view(np.int8)).all()
    assert (plain == data).all()
    assert (narrow == data).all()
    assert (mask == np.where(data >= 128, 255, 0)).all()
    assert int(signs) == sum(int(b >= 128) << i for i, b in enumerate(data.tolist()))
