"""Labels on a grid of voxels as a file gives them, and the limits of every reader."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

__all__ = ["MOST_FILE_VOXELS", "Voxels", "array_of", "ensure_shape", "inflated", "integers"]

MOST_FILE_VOXELS: Final = 256_000_000


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


def inflated(data: bytes, size: int, what: str, wbits: int = zlib.MAX_WBITS) -> bytes:
    """Exactly `size` bytes from a compressed stream, never more in memory. Raises DataRefused."""
    engine = zlib.decompressobj(wbits)
    try:
        found = engine.decompress(data, size + 1)
    except zlib.error as error:
        raise DataRefused(f"{what}: its data cannot be unpacked ({error}); save it again") from None
    if len(found) != size or not engine.eof:
        raise DataRefused(f"{what}: its data unpack to other than {size} bytes; save it again")
    return found


def array_of(data: bytes, dtype: str, shape: tuple[int, int, int], what: str) -> NDArray[Any]:
    """Voxels whose first index runs fastest in the file, as (nx, ny, nz). Raises DataRefused for another length."""
    kind = np.dtype(dtype)
    if len(data) != prod(shape) * kind.itemsize:
        raise DataRefused(f"{what}: {len(data)} bytes for {shape} voxels of {kind.itemsize} bytes; it is cut off")
    return integers(np.frombuffer(data, dtype=kind).reshape(shape[::-1]).transpose(2, 1, 0), what)


def integers(values: NDArray[Any], what: str) -> NDArray[Any]:
    """The labels, where all are whole numbers. Raises DataRefused."""
    if values.dtype.kind in "iub":
        return values
    if (
        values.dtype.kind != "f"
        or not bool(np.all(np.abs(values) < 2**31))
        or bool(np.any(values != np.rint(values)))
    ):
        raise DataRefused(f"{what}: its voxels are not whole numbers ({values.dtype}); give labels, not an image")
    return values.astype(np.int32)
