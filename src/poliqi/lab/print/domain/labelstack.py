"""Label volumes as numpy's .npz and as a stack of pages of a TIFF."""

from __future__ import annotations

import io
import warnings
from typing import Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.arrayfile import npz_arrays
from poliqi.lab.print.domain.labelvolume import (
    MOST_FILE_BYTES,
    MOST_FILE_VOXELS,
    Voxels,
    ensure_bytes,
    ensure_shape,
    integers,
)

__all__ = ["npz_voxels", "tif_voxels"]

_MOST: Final = {"labels": MOST_FILE_VOXELS, "spacing": 3, "unit": 1, "names": 65_536}
_REMEDY: Final = "save it again by numpy"
_MOST_PAGES: Final = 16_384
_PIXELS: Final = {"1": "u1", "L": "u1", "P": "u1", "I": "i4", "I;16": "u2", "I;16B": "u2"}


def npz_voxels(data: bytes, what: str) -> Voxels:
    """`labels` (nx, ny, nz); optional `spacing` (3,), `unit` and `names` (the name of label i at i)."""
    arrays = npz_arrays(data, what, _MOST, MOST_FILE_BYTES, _REMEDY)
    kinds = {"labels": "biuf", "spacing": "iuf", "unit": "U", "names": "U"}
    for name, array in arrays.items():
        if array.dtype.kind not in kinds[name]:
            raise DataRefused(f"{what}: {name} holds {array.dtype!s:.40}; {_REMEDY}")
    if "labels" not in arrays:
        raise DataRefused(f"{what}: it has {sorted(arrays)}; give labels, with spacing, unit, names or none")
    ensure_shape(arrays["labels"].shape, what)
    values = integers(arrays["labels"], what)
    if "spacing" in arrays and arrays["spacing"].shape != (3,):
        raise DataRefused(f"{what}: spacing has the shape {arrays['spacing'].shape}; give exactly 3 numbers")
    x, y, z = arrays["spacing"].tolist() if "spacing" in arrays else (0.0, 0.0, 0.0)
    if "unit" in arrays and arrays["unit"].size != 1:
        raise DataRefused(f"{what}: {arrays['unit'].size} units; give one")
    names: dict[str, int] = {}
    if "names" in arrays:
        if arrays["names"].ndim != 1:
            raise DataRefused(f"{what}: names have {arrays['names'].ndim} dimensions; give a list")
        names = {str(name): k for k, name in enumerate(arrays["names"].tolist())}
    unit = str(arrays["unit"].item()) if "unit" in arrays else None
    return Voxels(values, (float(x), float(y), float(z)) if "spacing" in arrays else None, unit, names)


def tif_voxels(data: bytes, what: str) -> Voxels:
    """Pages are layers along z, rows along y. Spacing is not read: give `voxel_um`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
                pages = int(getattr(image, "n_frames", 1))
                if pages > _MOST_PAGES:
                    raise DataRefused(f"{what}: {pages} pages; at most {_MOST_PAGES}: save it as .nrrd or .npz")
                shape = ensure_shape((*image.size, pages), what)
                mode = str(image.mode)
                kind = np.dtype(_PIXELS.get(mode, "i4"))
                ensure_bytes(shape, kind.itemsize, what)
                layers = np.empty((shape[2], shape[1], shape[0]), dtype=kind)
                for k in range(pages):
                    image.seek(k)
                    if image.size != (shape[0], shape[1]) or image.mode != mode or mode not in _PIXELS:
                        raise DataRefused(
                            f"{what}: page {k} is {image.size}, {image.mode}; give equal pages of labels"
                        )
                    layers[k] = np.asarray(image)
    except DataRefused:
        raise
    except Exception as error:  # a decoder of many formats inside: whatever it raises, the file is damaged
        raise DataRefused(f"{what}: it cannot be read as TIFF ({str(error)[:80]}); save it again") from None
    return Voxels(layers.transpose(2, 1, 0), None)
