"""Frames of a detector out of files: HDF5 (NeXus, Eiger), TIFF, CBF, EDF and NumPy, one frame in memory at a time.

What is no count is never handed over as one: `overflow` is the smallest value that is not, `negative_marks` says
that -1 and -2 stand for pixels without data (Pilatus), `mask` is what the file itself declares unusable.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused

__all__ = [
    "FRAME_SUFFIXES",
    "HDF5_SUFFIXES",
    "MOST_A_SIDE",
    "MOST_FRAMES",
    "Frame",
    "FrameMetadata",
    "FrameSource",
    "check_shape",
    "frame_dtype",
    "open_frames",
    "overflow_of",
    "plain_frame",
]

Frame = NDArray[Any]
"""Counts (uint16, uint32, int32) or treated numbers (float32, float64), C-contiguous, shape (rows, columns)."""

HDF5_SUFFIXES: Final = (".h5", ".hdf5", ".nxs", ".hdf", ".nx5")
_IMAGE_SUFFIXES: Final = (".tif", ".tiff", ".cbf", ".edf")
FRAME_SUFFIXES: Final = (*HDF5_SUFFIXES, *_IMAGE_SUFFIXES, ".npy")
MOST_FRAMES: Final = 10_000_000
MOST_A_SIDE: Final = 32_768
_MOST_FRAME_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class FrameMetadata:
    """What a file says of its frames; None where it does not. `exposure_s` is the count time of one frame."""

    wavelength_m: float | None = None
    exposure_s: float | None = None
    detector: str = ""
    pixel1_m: float | None = None
    pixel2_m: float | None = None
    distance_m: float | None = None
    beam_row_px: float | None = None
    beam_column_px: float | None = None
    announced_frames: int | None = None
    """How many there will be once the detector is done."""
    simulated: bool = False


class FrameSource(Protocol):
    """Frames of one shape and type. A context manager; `frame` may be called in any order."""

    @property
    def path(self) -> Path: ...
    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what `frame` returns: uint16, uint32, int32, float32 or float64."""
        ...

    @property
    def overflow(self) -> int | None:
        """The smallest value that is no count; None for floats."""
        ...

    @property
    def negative_marks(self) -> bool: ...
    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """True where the file says that a pixel is of no use; None where it says nothing."""
        ...

    @property
    def metadata(self) -> FrameMetadata: ...
    def __len__(self) -> int: ...
    def frame(self, index: int) -> Frame:
        """Frame `index` from 0. Raises DataRefused where it cannot be decoded, IndexError beyond the end."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_frames(path: Path, dataset: str | None = None) -> FrameSource:
    """Open a file of frames by its ending. `dataset`: which one, for HDF5 with several.

    Raises ConfigError where it cannot be read or a package is missing, DataRefused for what is in it.
    """
    suffix = path.suffix.lower()
    if suffix not in FRAME_SUFFIXES:
        raise ConfigError(
            f"{path}: frames come from files that end in {', '.join(FRAME_SUFFIXES)}; convert it first"
        )
    if not path.is_file():
        raise ConfigError(f"{path} is no file that can be read; name a file of frames")
    if suffix in HDF5_SUFFIXES:
        from poliqi.lab.xray.h5frames import H5Frames

        return H5Frames(path, dataset)
    from poliqi.lab.xray.imageframes import ImageFrames, NpyFrames

    if dataset is not None:
        raise ConfigError(f"{path}: only HDF5 has datasets; leave out --dataset {dataset}")
    return NpyFrames(path) if suffix == ".npy" else ImageFrames(path)


def check_shape(path: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> tuple[int, int]:
    """The shape, where a frame of it is read at all. Raises DataRefused."""
    rows, columns = int(shape[0]), int(shape[1])
    size = rows * columns * dtype.itemsize
    if not (0 < rows <= MOST_A_SIDE and 0 < columns <= MOST_A_SIDE and size <= _MOST_FRAME_BYTES):
        raise DataRefused(
            f"{path}: a frame of {rows} x {columns} pixels, {size:,} bytes; up to {MOST_A_SIDE} a side and"
            f" {_MOST_FRAME_BYTES:,} bytes are read"
        )
    return rows, columns


def frame_dtype(path: Path, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What numbers of a file become: uint16, uint32, int32, float32 or float64. Raises DataRefused."""
    match dtype.kind, dtype.itemsize:
        case "u", 1 | 2:
            return np.dtype(np.uint16)
        case "u", 4 | 8:
            return np.dtype(np.uint32)
        case "i", 1 | 2 | 4 | 8:
            return np.dtype(np.int32)
        case "f", 2 | 4:
            return np.dtype(np.float32)
        case "f", 8:
            return np.dtype(np.float64)
        case _:
            raise DataRefused(f"{path}: pixels of type {dtype} are no intensities; integers or floats are read")


def overflow_of(dtype: np.dtype[Any], last_count: int | None = None, bits: int | None = None) -> int | None:
    """The smallest value that is no count: the largest of the type (or of `bits`), or what follows `last_count`."""
    if dtype.kind not in "ui":
        return None
    top = int(np.iinfo(dtype).max)
    if bits is not None and 0 < bits <= 8 * dtype.itemsize:
        top = min(top, (1 << bits) - 1)
    if last_count is not None and last_count > 0:
        top = min(top, last_count + 1)
    return min(top, (1 << 32) - 1)


def plain_frame(path: Path, array: NDArray[Any], dtype: np.dtype[Any]) -> Frame:
    """`array` as `dtype`, C-contiguous, in this machine's byte order. DataRefused where counts do not fit."""
    if array.dtype.kind in "ui" and array.dtype.itemsize > dtype.itemsize:
        limits = np.iinfo(dtype)
        least, most = int(array.min()), int(array.max())
        if least < limits.min or most > limits.max:
            raise DataRefused(f"{path}: counts from {least} to {most}; {limits.min} to {limits.max} are read")
    return np.ascontiguousarray(array, dtype=dtype)
