"""Frames in single images (TIFF, CBF, EDF, through fabio) and in NumPy files."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.lab.xray.frames import (
    MOST_FRAMES,
    Frame,
    FrameMetadata,
    check_shape,
    frame_dtype,
    overflow_of,
    plain_frame,
)
from poliqi.lab.xray.imagesizes import check_edf, check_tiff, guard_cbf, guard_edf

__all__ = ["ImageFrames", "NpyFrames", "open_npy"]

_MOST_IMAGE_BYTES: Final = 1 << 31
_READERS: Final = {".tif": "tifimage", ".tiff": "tifimage", ".cbf": "cbfimage", ".edf": "edfimage"}
_CBF_SECTION: Final = b"--CIF-BINARY-FORMAT-SECTION--"
_CBF_STARTER: Final = b"\x0c\x1a\x04\xd5"
_CBF_HEAD: Final = 8192
_CUTOFF: Final = re.compile(r"Count_cutoff\s+(\d{1,12})")
_EXPOSURE: Final = re.compile(r"Exposure_time\s+([0-9.eE+-]{1,20})")
_WAVELENGTH: Final = re.compile(r"Wavelength\s+([0-9.eE+-]{1,20})\s*A")


class _Held:
    """What all sources share."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path: Final = path
        if len(shape) < 2:
            raise DataRefused(f"{path}: an array of shape {shape} is no frame; rows and columns are needed")
        self.shape: Final[tuple[int, int]] = check_shape(path, (shape[-2], shape[-1]), dtype)
        self.dtype: Final = frame_dtype(path, dtype)
        self._count = int(np.prod(shape[:-2], dtype=np.int64)) if len(shape) > 2 else 1
        if not 0 < self._count <= MOST_FRAMES:
            raise DataRefused(f"{path}: {self._count:,} frames; 1 to {MOST_FRAMES:,} are read")

    def __len__(self) -> int:
        return self._count

    def _checked(self, index: int) -> int:
        if not 0 <= index < self._count:
            raise IndexError(f"{self.path}: frame {index}; there are {self._count}")
        return index

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NpyFrames(_Held):
    """A NumPy file with an array (rows, columns) or (frames, rows, columns), mapped rather than read."""

    negative_marks = False
    mask: NDArray[np.bool_] | None = None
    metadata = FrameMetadata()

    def __init__(self, path: Path) -> None:
        array = open_npy(path)
        super().__init__(path, array.shape, array.dtype)
        self._frames = array.reshape(-1, *self.shape)
        self.overflow = overflow_of(array.dtype)

    def frame(self, index: int) -> Frame:
        """One frame."""
        return plain_frame(self.path, self._frames[self._checked(index)], self.dtype)


def open_npy(path: Path) -> NDArray[Any]:
    """The array of a NumPy file, mapped, never unpickled. Raises DataRefused."""
    try:
        return open_memmap(path, mode="r")
    except Exception as error:  # numpy reads the header as an expression of Python: many errors are possible
        raise DataRefused(f"{path}: no NumPy array ({words_of(error)}); save it with numpy.save") from error


class ImageFrames(_Held):
    """TIFF, CBF or EDF through fabio; an EDF may hold several frames."""

    mask: NDArray[np.bool_] | None = None

    def __init__(self, path: Path) -> None:
        try:
            _check_image(path)
        except OSError as error:
            raise DataRefused(f"{path} cannot be read ({words_of(error)}); see to its rights") from error
        self._image: Any = _fabio_open(path)
        try:
            first: NDArray[Any] = np.asarray(self._image.data)
        except Exception as error:  # fabio raises what its decoders raise
            raise DataRefused(f"{path}: cannot be decoded ({words_of(error)}); copy it again") from error
        super().__init__(path, (max(1, int(self._image.nframes)), *first.shape), first.dtype)
        words = _words(self._image.header)
        cutoff = _CUTOFF.search(words)
        self.negative_marks = cutoff is not None or path.suffix.lower() == ".cbf"
        self.overflow = overflow_of(first.dtype, None if cutoff is None else int(cutoff[1]))
        exposure, wavelength = _EXPOSURE.search(words), _WAVELENGTH.search(words)
        self.metadata = FrameMetadata(exposure_s=_float(exposure), wavelength_m=_scaled(_float(wavelength), 1e-10))

    def frame(self, index: int) -> Frame:
        """One frame."""
        try:
            image: Any = self._image if self._checked(index) == 0 else self._image.getframe(index)
            array: NDArray[Any] = np.asarray(image.data)
        except IndexError:
            raise
        except Exception as error:  # fabio raises what its decoders raise
            raise DataRefused(f"{self.path}: frame {index} cannot be decoded ({words_of(error)})") from error
        if array.shape != self.shape:
            raise DataRefused(
                f"{self.path}: frame {index} is {array.shape}, frame 0 is {self.shape}; split the file"
            )
        return plain_frame(self.path, array, self.dtype)

    def close(self) -> None:
        """Close the file."""
        self._image.close()


def _words(header: Mapping[Any, Any]) -> str:
    """All of an image's header as one text of bounded length."""
    return "\n".join(f"{key} {value}"[:20_000] for key, value in list(header.items())[:1000])


def _fabio_open(path: Path) -> Any:
    """By the ending alone: fabio would go by what the file says of itself, and open any of its formats."""
    try:
        from fabio.fabioimage import FabioImage
    except ImportError as error:
        raise ConfigError(f'fabio cannot be imported ({error}); run: pip install "poliqi[xray]"') from error
    logging.getLogger("fabio").setLevel(logging.CRITICAL)  # what it says is told by the error
    factory: Any = FabioImage
    suffix = path.suffix.lower()
    try:
        image = factory.factory(_READERS[suffix])
        if suffix == ".edf":
            guard_edf(path, image)
        elif suffix == ".cbf":
            guard_cbf(path, image)
        image = image.read(str(path))
        if suffix == ".edf":
            check_edf(path, image)
    except DataRefused:
        raise
    except Exception as error:  # fabio raises what its decoders raise
        raise DataRefused(f"{path}: no image that fabio can read ({words_of(error)}); copy it again") from error
    return image


def _check_image(path: Path) -> None:
    """Bounds that hold before fabio opens anything."""
    size = path.stat().st_size
    if size > _MOST_IMAGE_BYTES:
        raise DataRefused(f"{path}: {size:,} bytes; images up to {_MOST_IMAGE_BYTES:,} are read, stacks from HDF5")
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        check_tiff(path)
    elif suffix == ".cbf":
        with path.open("rb") as file:
            head = file.read(1 << 18)
        if not _has_cbf_image(head):
            raise DataRefused(
                f"{path}: no image of a CBF begins in it; copy it again"
            )  # fabio would search for ever


def _has_cbf_image(head: bytes) -> bool:
    section = head[:_CBF_HEAD].find(_CBF_SECTION)
    return section >= 0 and head.find(_CBF_STARTER, section) >= 0


def _float(found: re.Match[str] | None) -> float | None:
    try:
        return None if found is None else float(found[1])
    except ValueError:
        return None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
