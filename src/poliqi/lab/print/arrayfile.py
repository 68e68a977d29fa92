"""An .npz from outside: every entry's header is read and held to limits before an array is made."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

__all__ = ["npz_arrays"]

_MOST_HEADER: Final = 4096
_SUFFIX: Final = ".npy"
_PACKINGS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_TOLD: Final = 60


def npz_arrays(
    data: bytes, what: str, most: Mapping[str, int], most_bytes: int, remedy: str
) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz by name, those that are there of the ones in `most`: name -> most elements.

    `most_bytes`: of all entries together, unpacked. Raises DataRefused for other names, a name that stands there
    twice, objects, elements of no size, a length that its header does not tell, and what is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _ensure_few(entries, what, most, most_bytes, remedy)
            for entry in entries:
                _check(archive, entry, what, most[_name(entry)], remedy)
            return {_name(entry): _array(archive, entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        raise DataRefused(f"{what}: it cannot be read ({str(error)[:80]}); {remedy}") from None
    except (TypeError, SyntaxError, MemoryError, AttributeError, OverflowError) as error:
        raise DataRefused(f"{what}: it is damaged ({type(error).__name__}); {remedy}") from None


def _name(entry: zipfile.ZipInfo) -> str:
    return entry.filename.removesuffix(_SUFFIX)


def _ensure_few(
    entries: list[zipfile.ZipInfo], what: str, most: Mapping[str, int], most_bytes: int, remedy: str
) -> None:
    seen: set[str] = set()
    for entry in entries:
        name = _name(entry)
        if name not in most or not entry.filename.endswith(_SUFFIX):
            raise DataRefused(f"{what}: {entry.filename!a:.{_TOLD}} is not known; give {', '.join(most)}; {remedy}")
        if name in seen:
            raise DataRefused(f"{what}: {name} stands there twice; {remedy}")
        if entry.compress_type not in _PACKINGS:
            raise DataRefused(f"{what}: {name} is packed in a way that numpy does not use; {remedy}")
        seen.add(name)
    whole = sum(entry.file_size for entry in entries)
    if whole > most_bytes:
        raise DataRefused(f"{what}: it unpacks to {whole} bytes, the limit is {most_bytes}; {remedy}")


def _check(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, what: str, most: int, remedy: str) -> None:
    name = _name(entry)
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file, max_header_size=_MOST_HEADER)
        fits = file.tell() + math.prod(shape) * kind.itemsize == entry.file_size
    if min(shape, default=0) < 0 or not kind.itemsize or kind.hasobject or kind.names or not fits:
        raise DataRefused(f"{what}: {name} says {shape!s:.{_TOLD}} of {kind!s:.{_TOLD}}, not its bytes; {remedy}")
    if math.prod(shape) > most:
        raise DataRefused(f"{what}: {name} has {math.prod(shape)} elements, the limit is {most}; {remedy}")


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(entry) as file:
        found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False, max_header_size=_MOST_HEADER)
        file.read(1)  # the checksum is compared at the end
    return found
