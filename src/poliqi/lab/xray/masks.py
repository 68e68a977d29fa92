"""Pixels that are left out: masks of files, of the detector itself, and their union."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.frames import HDF5_SUFFIXES, open_frames
from poliqi.lab.xray.h5tree import Tree
from poliqi.lab.xray.imageframes import open_npy

__all__ = ["detector_mask", "load_mask", "union_of_masks"]

Mask = NDArray[np.bool_]
_NAMES: Final = ("mask", "pixel_mask")


def load_mask(path: Path, shape: tuple[int, int], *, keeps: bool = False) -> Mask:
    """A mask of a file of any kind that frames come in; what is not 0 is left out, or with `keeps` what is 0.

    In HDF5 a dataset named mask or pixel_mask is preferred. Raises ConfigError, and DataRefused for another shape.
    """
    values = _values(path, shape)
    if values.shape != shape:
        raise DataRefused(
            f"mask {path} is {values.shape[0]} x {values.shape[1]} pixels, the frames are {shape[0]} x {shape[1]};"
            " give the mask of this detector"
        )
    return (values == 0) if keeps else (values != 0)


def _values(path: Path, shape: tuple[int, int]) -> NDArray[Any]:
    if path.suffix.lower() in HDF5_SUFFIXES and path.is_file():
        tree = Tree(path)
        try:
            for name, found in tree.datasets():
                if name.rpartition("/")[2] in _NAMES and found.shape == shape and found.dtype.kind in "biu":
                    return np.asarray(found[()])
        finally:
            tree.close()
    if path.suffix.lower() == ".npy" and path.is_file():
        stored = open_npy(path)
        if stored.dtype == np.bool_ and stored.ndim == 2:
            return np.array(stored)
    with open_frames(path) as source:
        return source.frame(0)


def detector_mask(integrator: Any, shape: tuple[int, int]) -> Mask | None:
    """Gaps between modules, as pyFAI knows them for a detector of a name; None for others.

    Raises DataRefused where the detector has another shape than the frames.
    """
    detector: Any = integrator.detector
    own = getattr(detector, "shape", None)
    if own is not None and tuple(own) != shape:
        raise DataRefused(
            f"the frames are {shape[0]} x {shape[1]} pixels, but the geometry is of {detector.name}"
            f" with {own[0]} x {own[1]}; give the geometry of this detector"
        )
    mask: Any = detector.mask if own is not None else None
    return None if mask is None else np.asarray(mask, np.int8) != 0


def union_of_masks(masks: list[Mask | None], shape: tuple[int, int], *, allow_none: bool = False) -> Mask:
    """All of them together. Raises DataRefused where there is none, unless `allow_none`."""
    found = [mask for mask in masks if mask is not None]
    if not found and not allow_none:
        raise DataRefused(
            "no mask: neither the file nor the detector of the geometry says which pixels are of no use, and gaps"
            " or the beam stop would count as data; give --mask FILE, or --mask none where there is nothing to mask"
        )
    union = np.zeros(shape, np.bool_)
    for mask in found:
        union |= mask
    return union
