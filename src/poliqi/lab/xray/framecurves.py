"""One file with the curve of every frame of a stack, written a frame at a time.

The form is that of NXcanSAS with two axes: `I` and `Idev` are (frames, points) with `I_axes` "Frame,Q". Where no
pixel of a bin was left in a frame, its numbers are not a number. Over 2theta it is a plain NXdata.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from poliqi.base.errors import StoreError
from poliqi.lab.xray.curve import Axis, IntensityUnit
from poliqi.lab.xray.h5tree import h5py_module
from poliqi.lab.xray.reduction import Plan, Sums

__all__ = ["write_frame_curves"]


def write_frame_curves(
    path: Path, plan: Plan, frames: Iterable[Sums], count: int, *, per: float = 1.0, simulated: bool = False
) -> None:
    """Write `count` curves; intensities are divided by `per` (seconds). The file is there whole or not at all.

    Raises StoreError where the disk does not take it.
    """
    h5py = h5py_module()
    partial = path.with_name(f".{path.name}.partial")
    try:
        try:
            with h5py.File(partial, "w") as file:
                _fill(file, plan, frames, count, per, simulated)
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}; make room, or name another place") from error


def _fill(file: Any, plan: Plan, frames: Iterable[Sums], count: int, per: float, simulated: bool) -> None:
    axis = plan.recipe.settings.axis
    is_q = axis is not Axis.TWO_THETA_DEG
    name = "Q" if is_q else "two_theta"
    unit = {Axis.Q_PER_NM: "1/nm", Axis.Q_PER_ANGSTROM: "1/angstrom", Axis.TWO_THETA_DEG: "degree"}[axis]
    intensity_unit = IntensityUnit.COUNTS if per == 1.0 else IntensityUnit.PER_SECOND
    file.attrs.update({"default": "sasentry01", "creator": f"poliqi {version('poliqi')}"})
    entry = file.create_group("sasentry01")
    entry.attrs.update({"NX_class": "NXentry", "default": "sasdata"})
    data = entry.create_group("sasdata")
    data.attrs.update({"NX_class": "NXdata", "signal": "I", "axes": ["Frame", name], f"{name}_indices": [1]})
    if is_q:
        entry.attrs.update({"canSAS_class": "SASentry", "version": "1.1"})
        entry["definition"] = "NXcanSAS"
        data.attrs.update({"canSAS_class": "SASdata", "I_axes": "Frame,Q"})
    entry["title"] = f"{count} frames"
    if simulated:
        entry["simulated"] = True
    data.create_dataset(name, data=plan.map.x).attrs["units"] = unit
    data.create_dataset("Frame", data=np.arange(count))
    shape = (count, plan.map.bins)
    made = [data.create_dataset(part, shape, np.float64, chunks=(1, plan.map.bins)) for part in ("I", "Idev")]
    for each in made:
        each.attrs["units"] = intensity_unit.value
    made[0].attrs["uncertainties"] = "Idev"
    for number, sums in enumerate(frames):
        intensity, sigma = sums.intensity()
        made[0][number], made[1][number] = intensity / per, sigma / per
