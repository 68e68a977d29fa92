"""Packed bits: bit i of a string is bit (i % 8) of byte i // 8, and the padding of the last byte is zero.

The same convention holds in every message, file and kernel of POLIQI. Padding that is not zero is
refused: otherwise one bit string would have several encodings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

__all__ = ["pack_bits", "packed_fault", "packed_size", "unpack_bits"]


def packed_size(count: int) -> int:
    """Bytes that `count` bits take, 0 for no bits."""
    return (count + 7) // 8


def pack_bits(bits: NDArray[np.uint8]) -> bytes:
    """Pack `bits` (uint8[n], each 0 or 1) into ceil(n / 8) bytes.

    Raises ValueError where the array is not one-dimensional uint8 or holds a value above 1.
    """
    if bits.ndim != 1 or bits.dtype != np.uint8:
        raise ValueError(f"bits must be uint8[n], not {bits.dtype}{list(bits.shape)}")
    if bits.size and int(bits.max()) > 1:
        raise ValueError(f"bits must be 0 or 1; the largest value is {int(bits.max())}")
    return np.packbits(bits, bitorder="little").tobytes()


def packed_fault(data: bytes | bytearray | memoryview, count: int) -> str | None:
    """Say why `data` is not the packed form of `count` bits, or None where it is."""
    if count < 0:
        return f"a count of {count} bits is negative"
    size = memoryview(data).nbytes
    if size != packed_size(count):
        return f"{count} packed bits take {packed_size(count)} bytes, not {size}"
    if count % 8 and memoryview(data).cast("B")[-1] >> (count % 8):
        return f"the {8 - count % 8} padding bits after bit {count - 1} are not zero"
    return None


def unpack_bits(data: bytes | bytearray | memoryview, count: int) -> NDArray[np.uint8]:
    """Unpack `count` bits into uint8[count], each 0 or 1.

    Raises DataRefused where the length is not ceil(count / 8) bytes or the padding is not zero.
    """
    fault = packed_fault(data, count)
    if fault is not None:
        raise DataRefused(f"packed bits: {fault}")
    if count == 0:
        return np.zeros(0, np.uint8)
    return np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little")
