"""Frames in HDF5: an Eiger's master file with its data files, NeXus stacks, or any file with one stack in it."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
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
from poliqi.lab.xray.h5tree import Tree

__all__ = ["H5Frames"]

_EIGER: Final = re.compile(r"(.*)/data_(\d{6})")
_MOST_VALUES: Final = 4096
_MOST_CHUNK_BYTES: Final = 1 << 30
_DEFLATE: Final = 1
_DEFLATE_GROWS: Final = 1032
"""The most that a byte of a deflate stream can become (RFC 1951)."""
_SMALLEST_SIDE: Final = 16
_METRES: Final = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "nm": 1e-9}
_ANGSTROM: Final = {"angstrom", "a", "å", "angstroms", ""}


@dataclass(frozen=True, slots=True)
class _Part:
    """A dataset of the stack, and the number of its first frame."""

    dataset: Any
    first: int
    count: int


class H5Frames:
    """Frames of an HDF5 file, those of the files that it links included.

    Without `dataset`, the frames are the datasets data_000001, data_000002, ... of an Eiger, else what the file's
    NXdata names as its signal, else the only stack of integers. Frames of four dimensions are numbered through.
    """

    negative_marks = False

    def __init__(self, path: Path, dataset: str | None = None, *, swmr: bool = False) -> None:
        self.path: Final = path
        self._tree = Tree(path, swmr=swmr)
        try:
            named = dict(self._tree.datasets()) if dataset is None else {}
            chosen, is_eiger = self._chosen(named) if dataset is None else ([self._tree.dataset(dataset)], False)
            self._parts = self._joined(chosen)
            first = chosen[0]
            self.shape: Final = check_shape(path, (first.shape[-2], first.shape[-1]), first.dtype)
            self.dtype: Final = frame_dtype(path, first.dtype)
            told = _Told(named or dict(self._tree.datasets()))
            self.mask: Final = told.mask(self.shape)
            self.metadata: Final = told.metadata(is_simulated=_is_simulated(self._tree.root), is_eiger=is_eiger)
            bits = told.whole("bit_depth_image")
            last = told.whole("saturation_value") or told.whole("countrate_correction_count_cutoff")
            self.overflow: Final = overflow_of(first.dtype, last, bits)
        except BaseException:
            self._tree.close()
            raise

    def __len__(self) -> int:
        return self._parts[-1].first + self._parts[-1].count

    def frame(self, index: int) -> Frame:
        """One frame. Raises DataRefused where it cannot be decoded."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: frame {index}; there are {len(self)}")
        part = next(p for p in reversed(self._parts) if p.first <= index)
        place = np.unravel_index(index - part.first, part.dataset.shape[:-2]) if part.dataset.ndim > 2 else ()
        where = tuple(int(n) for n in place)
        _check_chunk(self.path, part.dataset, where)
        try:
            array: NDArray[Any] = part.dataset[where]
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            raise DataRefused(
                f"{self.path}: frame {index} cannot be decoded ({words_of(error)}); copy the file again"
            ) from error
        return plain_frame(self.path, array, self.dtype)

    def close(self) -> None:
        """Close the file and those that it names."""
        self._tree.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _chosen(self, named: dict[str, Any]) -> tuple[list[Any], bool]:
        """The datasets of the stack, and whether they are an Eiger's."""
        stacks = {name: found for name, found in named.items() if _is_stack(found)}
        eiger: dict[str, list[str]] = {}
        for name in stacks:
            if (found := _EIGER.fullmatch(name)) is not None:
                eiger.setdefault(found[1], []).append(name)
        if len(eiger) == 1:
            return [stacks[name] for name in sorted(next(iter(eiger.values())))], True
        signals = {name: found for name, found in stacks.items() if _is_signal(found)}
        whole = {name: found for name, found in stacks.items() if found.dtype.kind in "ui" and _is_data(name)}
        for candidates in (signals, whole, stacks):
            if len(candidates) == 1:
                return list(candidates.values()), False
        if not stacks:
            raise DataRefused(f"{self.path}: no stack of frames in it; name the file with the frames")
        names = ", ".join(sorted(stacks)[:12])
        raise ConfigError(f"{self.path}: several stacks; choose with --dataset one of: {names}")

    def _joined(self, chosen: list[Any]) -> list[_Part]:
        parts: list[_Part] = []
        first = 0
        for dataset in chosen:
            if dataset.ndim < 2 or dataset.shape[-2:] != chosen[0].shape[-2:] or dataset.dtype != chosen[0].dtype:
                raise DataRefused(
                    f"{self.path}: {dataset.name} is {dataset.shape} of {dataset.dtype}, but {chosen[0].name} is"
                    f" {chosen[0].shape} of {chosen[0].dtype}; name one with --dataset"
                )
            count = int(np.prod(dataset.shape[:-2], dtype=np.int64)) if dataset.ndim > 2 else 1
            if count:
                parts.append(_Part(dataset, first, count))
            first += count
        if not 0 < first <= MOST_FRAMES:
            raise DataRefused(f"{self.path}: {first:,} frames; 1 to {MOST_FRAMES:,} are read")
        return parts


class _Told:
    """What the datasets beside the frames say."""

    def __init__(self, named: dict[str, Any]) -> None:
        self._named: dict[str, Any] = {}
        self._detector = ""
        for path, dataset in named.items():
            if "detector" in path and path.endswith("/description"):
                self._detector = self._detector or _text(dataset)
            if "detectorModule" not in path:
                self._named.setdefault(path.rpartition("/")[2], dataset)

    def mask(self, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Where the pixel mask is not zero (NXdetector: any set bit tells a pixel of no use or of doubt)."""
        found = self._named.get("pixel_mask")
        if found is None or found.shape != shape or found.dtype.kind not in "uib":
            return None
        values: NDArray[Any] = found[()]
        return values != 0

    def whole(self, name: str) -> int | None:
        """A whole number of that name."""
        value = self._value(name)
        return None if value is None or value != int(value) else int(value)

    def metadata(self, *, is_simulated: bool, is_eiger: bool) -> FrameMetadata:
        """Settings of the measurement."""
        images, triggers = self.whole("nimages"), self.whole("ntrigger")
        announced = images * (triggers or 1) if is_eiger and images is not None else None
        wavelength = self._length("incident_wavelength") or self._length("wavelength")
        column, row = self._value("beam_center_x"), self._value("beam_center_y")
        return FrameMetadata(
            wavelength_m=wavelength,
            exposure_s=self._value("count_time"),
            detector=self._detector,
            announced_frames=announced,
            simulated=is_simulated,
            pixel1_m=self._length("y_pixel_size", "m"),
            pixel2_m=self._length("x_pixel_size", "m"),
            distance_m=self._length("detector_distance", "m") or self._length("distance", "m"),
            beam_row_px=row if _unit(self._named.get("beam_center_y")) in ("", "pixel", "pixels") else None,
            beam_column_px=column if _unit(self._named.get("beam_center_x")) in ("", "pixel", "pixels") else None,
        )

    def _value(self, name: str) -> float | None:
        """The number of that name, the first of several."""
        found = self._named.get(name)
        if found is None or found.dtype.kind not in "uif" or not 0 < found.size <= _MOST_VALUES:
            return None
        value = float(np.ravel(found[()])[0])
        return value if np.isfinite(value) else None

    def _length(self, name: str, default: str = "angstrom") -> float | None:
        """A length in metres."""
        value = self._value(name)
        if value is None or value <= 0:
            return None
        unit = _unit(self._named[name]) or default
        return value * 1e-10 if unit in _ANGSTROM else value * _METRES[unit] if unit in _METRES else None


def _unit(dataset: Any) -> str:
    unit: Any = "" if dataset is None else dataset.attrs.get("units", "")
    text = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit)
    return text.strip().lower()


def _is_simulated(root: Any) -> bool:
    """What was calculated says so in an attribute of the file."""
    value: Any = root.attrs.get("simulated", False)
    return np.ndim(value) == 0 and str(value) in ("True", "1")


def _text(dataset: Any) -> str:
    value: Any = dataset[()] if dataset.size == 1 and dataset.ndim == 0 else b""
    words = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c for c in words[:100] if c.isprintable())


def _is_stack(dataset: Any) -> bool:
    shape = dataset.shape
    return (
        shape is not None and len(shape) >= 2 and min(shape[-2:]) >= _SMALLEST_SIDE and dataset.dtype.kind in "uif"
    )


def _is_data(name: str) -> bool:
    return name.rpartition("/")[2] in ("data", "images", "frames")


def _is_signal(dataset: Any) -> bool:
    signal = dataset.parent.attrs.get("signal")
    text = signal.decode("utf-8", "replace") if isinstance(signal, bytes) else signal
    return text == dataset.name.rpartition("/")[2]


def _check_chunk(path: Path, dataset: Any, where: tuple[int, ...]) -> None:
    """What a chunk unpacks to is bounded: the filter of HDF5 for deflate is not."""
    if dataset.chunks is None:
        return
    size = int(np.prod(dataset.chunks, dtype=np.int64)) * dataset.dtype.itemsize
    if size > _MOST_CHUNK_BYTES:
        raise DataRefused(
            f"{path}: chunks of {size:,} bytes; up to {_MOST_CHUNK_BYTES:,} are read: repack (h5repack)"
        )
    if dataset.compression != "gzip" or dataset.is_virtual:
        return
    rows = range(0, dataset.shape[-2], dataset.chunks[-2])
    columns = range(0, dataset.shape[-1], dataset.chunks[-1])
    before = tuple(w // c * c for w, c in zip(where, dataset.chunks[:-2], strict=True))
    for at in ((*before, row, column) for row in rows for column in columns):
        stored = int(dataset.id.get_chunk_info_by_coord(at).size or 0)
        if stored * _DEFLATE_GROWS <= _MOST_CHUNK_BYTES:
            continue
        skipped, packed = dataset.id.read_direct_chunk(at)
        if skipped & _DEFLATE:
            continue
        try:
            unpacked = zlib.decompressobj().decompress(packed, size + 1)
        except zlib.error as error:
            raise DataRefused(f"{path}: a chunk is corrupt ({error}); copy the file again") from error
        if len(unpacked) > size:
            raise DataRefused(
                f"{path}: a chunk unpacks to more than its {size:,} bytes; the file is not what it says"
            )
