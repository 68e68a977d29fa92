"""What images declare of themselves, held against the bytes of their file before fabio makes room for it.

A header of a hundred bytes can declare a frame of gigabytes: fabio fills with zeros what is not there. EDF and CBF
are checked on the headers that fabio itself has parsed, TIFF by a walk over its directories (TIFF 6.0, section 2).
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.frames import MOST_A_SIDE

__all__ = ["check_edf", "check_tiff", "guard_cbf", "guard_edf"]

_MOST_PAGES: Final = 100_000
_MOST_ENTRIES: Final = 512
_MOST_VALUES: Final = 1 << 20
_GROWS: Final = 1500
"""The most that a byte of LZW, deflate or PackBits becomes."""
_DIMENSION: Final = re.compile(r"DIM_(\d+)", re.ASCII)
_MOST_DIMENSIONS: Final = 4
_NUMBER: Final = re.compile(r"(\d{1,15})(?:\.0*)?", re.ASCII)
_WHOLE_BITS: Final = (8, 16, 32, 64)
_COLUMNS, _ROWS, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_WHOLE: Final = {1: "B", 3: "H", 4: "I"}


# ---- EDF


def guard_edf(path: Path, image: Any) -> None:
    """Have headers checked as fabio's reader of EDF comes to them: a negative size would send it back for ever."""
    read = image._read_header_block

    def checked(file: Any, number: int) -> Any:
        found = read(file, number)
        if found.header is not None:
            _check_edf_header(path, found.header)
        return found

    image._read_header_block = checked


def _check_edf_header(path: Path, header: Mapping[str, str]) -> None:
    for key, value in header.items():
        name = key.upper()
        if name in ("EDF_BINARYFILENAME", "EDF_BINARYFILEPOSITION", "EDF_BINARYFILESIZE"):
            raise DataRefused(f"{path}: its numbers are in another file ({value[:100]!r}); save them in one EDF")
        if name == "COMPRESSION" and not value.upper().startswith("NO"):
            raise DataRefused(f"{path}: a compressed EDF is not read; save it without compression")
        if name in ("SIZE", "EDF_BINARYSIZE") and not _NUMBER.fullmatch(value):
            raise DataRefused(f"{path}: {key} is {value[:40]!r}, no number of bytes; copy it again")
        if (dimension := _DIMENSION.fullmatch(name)) is not None:
            if len(dimension[1]) > 2 or int(dimension[1]) > _MOST_DIMENSIONS:
                raise DataRefused(f"{path}: more than {_MOST_DIMENSIONS} dimensions; save frames of two")
            _check_side(path, value)


def check_edf(path: Path, image: Any) -> None:
    """Every frame lies in the file, before any is read. `image` is what fabio's reader has made of the headers."""
    size = path.stat().st_size
    for number, frame in enumerate(image.frames()):
        needed = math.prod(frame.shape) * frame.dtype.itemsize
        held = min(frame.blobsize, size - frame.start)
        if not 0 < needed <= held:
            raise DataRefused(
                f"{path}: frame {number} declares {needed:,} bytes and has {max(0, held):,}; copy it again"
            )


def _check_side(path: Path, value: str) -> None:
    found = _NUMBER.fullmatch(value)
    if found is None or not 0 < int(found[1]) <= MOST_A_SIDE:
        raise DataRefused(f"{path}: a side of {value[:20]} pixels; 1 to {MOST_A_SIDE} are read")


# ---- CBF


def guard_cbf(path: Path, image: Any) -> None:
    """Have the sides checked when fabio's reader of CBF has them: byte offsets take a byte a pixel or more."""
    read = image._readheader

    def checked(file: Any) -> None:
        read(file)
        rows, columns = (int(side) for side in image._shape)
        for side in (rows, columns):
            _check_side(path, str(side))
        if rows * columns > (size := path.stat().st_size):
            raise DataRefused(f"{path}: {rows} x {columns} pixels cannot be in {size:,} bytes; copy it again")

    image._readheader = checked


# ---- TIFF


def check_tiff(path: Path) -> None:
    """Every picture of the file, by its directory. Raises DataRefused."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        order = {b"II": "<", b"MM": ">"}.get(file.read(2), "")
        if not order or _numbers(path, file, order + "H") != (42,):
            raise DataRefused(f"{path}: no TIFF begins in it; copy it again")
        seen = set[int]()
        (at,) = _numbers(path, file, order + "I")
        while at:
            if at in seen or len(seen) >= _MOST_PAGES:
                raise DataRefused(f"{path}: more than {_MOST_PAGES:,} pictures, or one after another in a circle")
            seen.add(at)
            at = _check_page(path, file, order, at, size)


def _check_page(path: Path, file: BinaryIO, order: str, at: int, size: int) -> int:
    """One directory; where the next one stands, 0 at the end."""
    file.seek(at)
    (count,) = _numbers(path, file, order + "H")
    if not 0 < count <= _MOST_ENTRIES:
        raise DataRefused(f"{path}: a directory of {count} entries; 1 to {_MOST_ENTRIES} are read")
    declared: dict[int, list[int]] = {}
    for _ in range(count):
        tag, kind, values, inline = _numbers(path, file, order + "HHI4s")
        bytes_each = _TYPE_BYTES.get(kind)
        if bytes_each is None or values > _MOST_VALUES or values * bytes_each > size:
            raise DataRefused(f"{path}: tag {tag} has {values:,} values of type {kind}; copy it again")
        if tag in (_COLUMNS, _ROWS, _BITS, _COMPRESSION, _SAMPLES):
            if values != 1 or kind not in _WHOLE:
                raise DataRefused(
                    f"{path}: tag {tag} has {values} values of type {kind}; frames of grey pixels are read"
                )
            declared.setdefault(tag, []).extend(struct.unpack_from(order + _WHOLE[kind], inline))
    _check_picture(path, declared, size)
    (following,) = _numbers(path, file, order + "I")
    return following


def _check_picture(path: Path, declared: Mapping[int, list[int]], size: int) -> None:
    for tag in (_COLUMNS, _ROWS):
        if len(declared.get(tag, [])) != 1:
            raise DataRefused(f"{path}: a picture without its size; copy it again")
        _check_side(path, str(declared[tag][0]))
    if declared.get(_SAMPLES, [1]) != [1]:
        raise DataRefused(f"{path}: a picture in colours; frames of grey pixels are read")
    bits = max(declared.get(_BITS, [1]))
    if bits not in _WHOLE_BITS:
        raise DataRefused(f"{path}: pixels of {bits} bits; those of 8, 16, 32 or 64 are read")
    rows, columns = declared[_ROWS][0], declared[_COLUMNS][0]
    grows = 1 if all(how == 1 for how in declared.get(_COMPRESSION, [1])) else _GROWS
    if rows * columns * bits > 8 * grows * size:
        raise DataRefused(
            f"{path}: {rows} x {columns} pixels of {bits} bits cannot be in {size:,} bytes; copy it again"
        )


def _numbers(path: Path, file: BinaryIO, form: str) -> tuple[Any, ...]:
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise DataRefused(f"{path}: it ends in the middle; copy it again")
    return struct.unpack(form, data)
