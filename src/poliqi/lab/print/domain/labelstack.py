"""Label volumes as numpy's .npz and as a stack of pages of a TIFF."""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from typing import Any, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.domain.labelvolume import MOST_FILE_VOXELS, Voxels, ensure_shape, integers

__all__ = ["npz_voxels", "tif_voxels"]

_MOST_BYTES: Final = 4 * MOST_FILE_VOXELS
_MOST_HEADER: Final = 4096


def npz_voxels(data: bytes, what: str) -> Voxels:
    """`labels` (nx, ny, nz); optional `spacing` (3,), `unit` and `names` (the name of label i at i)."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            if "labels.npy" not in sizes or sum(sizes.values()) > _MOST_BYTES or len(sizes) > 16:
                raise DataRefused(
                    f"{what}: it has {sorted(sizes)[:8]}; give labels, with spacing, unit, names or none"
                )
            with archive.open("labels.npy") as file:
                shape = _npy_shape(file, sizes["labels.npy"], what)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            values = integers(np.asarray(arrays["labels"]), what)
            spacing = [float(n) for n in np.atleast_1d(arrays["spacing"])] if "spacing" in arrays else None
            unit = str(arrays["unit"].item()) if "unit" in arrays else None
            names = {str(name): k for k, name in enumerate(arrays["names"].tolist())} if "names" in arrays else {}
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        raise DataRefused(f"{what}: it cannot be read ({str(error)[:80]}); save it again by numpy") from None
    except (NotImplementedError, TypeError, SyntaxError, MemoryError, AttributeError) as error:
        raise DataRefused(f"{what}: it is damaged ({type(error).__name__}); save it again by numpy") from None
    if values.shape != shape or (spacing is not None and len(spacing) != 3):
        raise DataRefused(f"{what}: labels {values.shape} and spacing {spacing}; give 3 sizes and 3 spacings")
    return Voxels(values, None if spacing is None else (spacing[0], spacing[1], spacing[2]), unit, names)


def _npy_shape(file: Any, size: int, what: str) -> tuple[int, int, int]:
    """The shape that an array's header names, when its bytes can be there."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(file, max_header_size=_MOST_HEADER)
    found = ensure_shape(tuple(shape), what)
    if kind.hasobject or int(np.prod(found)) * kind.itemsize > size:
        raise DataRefused(f"{what}: labels {shape} of {kind} are not {size} bytes; save it again by numpy")
    return found


def tif_voxels(data: bytes, what: str) -> Voxels:
    """Pages are layers along z, rows along y. Spacing is not read: give `voxel_um`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
                pages = int(getattr(image, "n_frames", 1))
                shape = ensure_shape((*image.size, pages), what)
                layers = np.empty((shape[2], shape[1], shape[0]), dtype=np.int32)
                for k in range(pages):
                    image.seek(k)
                    if image.size != (shape[0], shape[1]) or image.mode not in {
                        "1",
                        "L",
                        "P",
                        "I",
                        "I;16",
                        "I;16B",
                    }:
                        raise DataRefused(
                            f"{what}: page {k} is {image.size}, {image.mode}; give equal pages of labels"
                        )
                    layers[k] = np.asarray(image)
    except DataRefused:
        raise
    except Exception as error:  # a decoder of many formats inside: whatever it raises, the file is damaged
        raise DataRefused(f"{what}: it cannot be read as TIFF ({str(error)[:80]}); save it again") from None
    return Voxels(layers.transpose(2, 1, 0), None)
