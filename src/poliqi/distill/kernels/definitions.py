"""What each kernel computes, in plain Python integers and numpy: slow, short, and the arbiter.

A compiled twin must give the same bits on every input; the tests compare them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["clmul", "polyval", "polyval_dot", "toeplitz_product"]

_POLYVAL_MODULUS: Final = 1 << 128 | 1 << 127 | 1 << 126 | 1 << 121 | 1
_X_TO_MINUS_128: Final = 1 << 127 | 1 << 124 | 1 << 121 | 1 << 114 | 1  # RFC 8452, section 3


def clmul(a: int, b: int) -> int:
    """Carry-less product: a and b as polynomials over GF(2), bit i the coefficient of x^i."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        b >>= 1
    return product


def _reduce(value: int) -> int:
    for degree in range(value.bit_length() - 1, 127, -1):
        if value >> degree & 1:
            value ^= _POLYVAL_MODULUS << (degree - 128)
    return value


def polyval_dot(a: int, b: int) -> int:
    """dot(a, b) = a b x^-128 in GF(2^128) modulo x^128 + x^127 + x^126 + x^121 + 1 (RFC 8452, section 3)."""
    return _reduce(clmul(_reduce(clmul(a, b)), _X_TO_MINUS_128))


def polyval(key: bytes, data: bytes, state: bytes = bytes(16)) -> bytes:
    """POLYVAL (RFC 8452, section 3) of whole 16-byte blocks, continued from `state`."""
    h, s = int.from_bytes(key, "little"), int.from_bytes(state, "little")
    for start in range(0, len(data), 16):
        s = polyval_dot(s ^ int.from_bytes(data[start : start + 16], "little"), h)
    return s.to_bytes(16, "little")


def toeplitz_product(seed: NDArray[np.uint8], bits: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """T bits over GF(2), T the Toeplitz matrix T[i, j] = seed[i - j + c - 1] with c = len(bits) columns.

    `seed` has length + c - 1 bits; the result has `length` bits.
    """
    c = bits.size
    if c == 0 or length == 0:
        return np.zeros(length, np.uint8)
    rows = np.arange(length)[:, None] - np.arange(c)[None, :] + c - 1
    return (seed[rows] & bits).sum(axis=1).astype(np.uint8) & 1
