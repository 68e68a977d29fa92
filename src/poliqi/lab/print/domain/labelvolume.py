"""Labels on a grid of voxels as a file gives them, and the limits of every reader."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

__all__ = [
    "MOST_FILE_BYTES",
    "MOST_FILE_VOXELS",
    "Bytes",
    "Voxels",
    "array_of",
    "ensure_bytes",
    "ensure_shape",
    "inflated",
    "integers",
]

MOST_FILE_VOXELS: Final = 256_000_000
MOST_FILE_BYTES: Final = 1 << 29
"""Of all voxels, unpacked."""
_CHUNK: Final = 1 << 20
_SLAB: Final = 1 << 22

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Voxels:
    """`values` integers (nx, ny, nz); `spacing` of voxels in `unit`, None where the file does not say; `names`."""

    values: NDArray[Any]
    spacing: tuple[float, float, float] | None
    unit: str | None = None
    names: dict[str, int] = field(default_factory=dict[str, int])


def ensure_shape(shape: tuple[int, ...], what: str) -> tuple[int, int, int]:
    """Three sizes above nought, not too many voxels together. Raises DataRefused."""
    if len(shape) != 3 or min(shape) < 1 or prod(shape) > MOST_FILE_VOXELS:
        raise DataRefused(
            f"{what}: its shape is {shape}; 3 sizes and at most {MOST_FILE_VOXELS} voxels can be read"
        )
    return shape[0], shape[1], shape[2]


def ensure_bytes(shape: tuple[int, int, int], itemsize: int, what: str) -> int:
    """Bytes of so many voxels, not too many. Raises DataRefused."""
    size = prod(shape) * itemsize
    if size > MOST_FILE_BYTES:
        raise DataRefused(
            f"{what}: {shape} voxels of {itemsize} bytes are {size} bytes; {MOST_FILE_BYTES} are the most: save "
            "the labels as whole numbers of one byte, or crop them"
        )
    return size


def inflated(data: Bytes, size: int, what: str, wbits: int = zlib.MAX_WBITS) -> bytearray:
    """Exactly `size` bytes from a compressed stream, never more in memory. Raises DataRefused."""
    engine = zlib.decompressobj(wbits)
    found, at, source = bytearray(size), 0, memoryview(data)
    try:
        for begin in range(0, len(source) + _CHUNK, _CHUNK):  # the last is empty: what is left within
            feed: Bytes = source[begin : begin + _CHUNK]
            while not engine.eof and at <= size:
                part = engine.decompress(feed, _CHUNK)
                found[at : at + len(part)] = part
                at += len(part)
                feed = engine.unconsumed_tail
                if not feed and not part:
                    break
            if engine.eof or at > size:
                break
    except zlib.error as error:
        raise DataRefused(f"{what}: its data cannot be unpacked ({error}); save it again") from None
    if at != size or not engine.eof:
        raise DataRefused(f"{what}: its data unpack to other than {size} bytes; save it again")
    return found


def array_of(data: Bytes, dtype: str, shape: tuple[int, int, int], what: str) -> NDArray[Any]:
    """Voxels whose first index runs fastest in the file, as (nx, ny, nz). Raises DataRefused for another length."""
    kind = np.dtype(dtype)
    if len(data) != prod(shape) * kind.itemsize:
        raise DataRefused(f"{what}: {len(data)} bytes for {shape} voxels of {kind.itemsize} bytes; it is cut off")
    return integers(np.frombuffer(data, dtype=kind).reshape(shape[::-1]).transpose(2, 1, 0), what)


def integers(values: NDArray[Any], what: str) -> NDArray[Any]:
    """The labels, where all are whole numbers. Raises DataRefused."""
    if values.dtype.kind in "iub":
        return values
    found = np.empty_like(values, dtype=np.int32)
    axis = int(np.argmax(np.abs(values.strides)))  # slabs that lie together in memory
    source, goal = np.moveaxis(values, axis, 0), np.moveaxis(found, axis, 0)
    step = max(1, _SLAB * len(source) // max(values.size, 1))
    for begin in range(0, len(source), step):
        part = source[begin : begin + step]
        whole = (
            part.dtype.kind == "f" and bool(np.all(np.abs(part) < 2**31)) and bool(np.all(part == np.rint(part)))
        )
        if not whole:
            raise DataRefused(
                f"{what}: its voxels are not whole numbers ({values.dtype}); give labels, not an image"
            )
        goal[begin : begin + step] = part
    return found
