"""Packed bits: bit i of a string is bit (i % 8) of byte i // 8, and the padding of the last byte is zero.

The same convention holds in every message, file and kernel of POLIQI. Padding that is not zero is
refused: otherwise one bit string would have several encodings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

__all__ = ["BitString", "pack_bits", "packed_fault", "packed_size", "unpack_bits"]


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


@dataclass(frozen=True, slots=True, eq=False)
class BitString:
    """A string of `size` bits in 64-bit words: bit i is bit (i % 64) of word i // 64, padding zero.

    `words` is uint64[ceil(size / 64)], contiguous. Its bytes on a little-endian machine are the packed bits of
    every message and file. `repr` shows no bit.
    """

    words: NDArray[np.uint64] = field(repr=False)
    size: int

    def __post_init__(self) -> None:
        words, size = self.words, self.size
        if size < 0 or words.dtype != np.uint64 or words.shape != (-(-size // 64),) or not words.flags.c_contiguous:
            raise ValueError(f"{size} bits do not fit {words.dtype}{list(words.shape)}")
        if size % 64 and int(words[-1]) >> (size % 64):
            raise ValueError(f"the padding after bit {size - 1} is not zero")

    @staticmethod
    def zeros(size: int) -> BitString:
        """`size` zeros."""
        return BitString(np.zeros(-(-size // 64), np.uint64), size)

    @staticmethod
    def from_bits(bits: NDArray[np.uint8]) -> BitString:
        """From uint8[n], each 0 or 1; ValueError for anything else."""
        return BitString.from_bytes(pack_bits(bits), bits.size)

    @staticmethod
    def from_bytes(data: bytes | bytearray | memoryview, size: int) -> BitString:
        """From packed bits. Raises DataRefused where the length is wrong or the padding is not zero."""
        fault = packed_fault(data, size)
        if fault is not None:
            raise DataRefused(f"packed bits: {fault}")
        words = np.zeros(-(-size // 64), "<u8")
        words.view(np.uint8)[: packed_size(size)] = np.frombuffer(data, np.uint8)
        return BitString(words.astype(np.uint64, copy=False), size)

    def to_bytes(self) -> bytes:
        """Packed bits: ceil(size / 8) bytes."""
        return self.packed().tobytes()

    def packed(self) -> NDArray[np.uint8]:
        """Packed bits as uint8[ceil(size / 8)]: a view of the words where the machine is little-endian."""
        return self.words.astype("<u8", copy=False).view(np.uint8)[: packed_size(self.size)]

    def to_bits(self) -> NDArray[np.uint8]:
        """uint8[size], each 0 or 1."""
        return unpack_bits(self.packed().data, self.size)

    def ones(self) -> int:
        """How many bits are 1."""
        return int(np.bitwise_count(self.words).sum(dtype=np.int64))

    def __xor__(self, other: BitString) -> BitString:
        if self.size != other.size:
            raise ValueError(f"{self.size} bits xor {other.size} bits")
        return BitString(self.words ^ other.words, self.size)

    def part(self, start: int, stop: int) -> BitString:
        """Bits start to stop; a copy."""
        if not 0 <= start <= stop <= self.size:
            raise ValueError(f"bits {start} to {stop} of {self.size}")
        size, shift = stop - start, start % 64
        words = self.words[start // 64 : -(-stop // 64)].copy()
        if shift and words.size:
            words >>= np.uint64(shift)
            words[:-1] |= self.words[start // 64 + 1 : -(-stop // 64)] << np.uint64(64 - shift)
        words = np.ascontiguousarray(words[: -(-size // 64)])
        if size % 64:
            words[-1] &= np.uint64((1 << size % 64) - 1)
        return BitString(words, size)
