"""Curves in NXcanSAS files: HDF5 that every program for small angles reads.

Source: NXcanSAS application definition of NeXus (manual.nexusformat.org/classes/applications/NXcanSAS.html). One
SASentry a curve; `Q` with `Qdev` (resolution), `I` with `Idev`, units as attributes, each step a SASprocess. Beyond
the definition go common terms of sigma, as datasets `Icommon_NN` beside I with their name as attribute `name`, and
`simulated` in the entry. A curve over 2theta stands in a plain NXdata, as NXcanSAS knows only q.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.wholefile import check_target, whole_file
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit, Step
from poliqi.lab.xray.nxcansas_read import MOST_ENTRIES, read_curves

__all__ = ["read_curves", "write_curve", "write_curves"]

_UNIT: Final = {Axis.Q_PER_NM: "1/nm", Axis.Q_PER_ANGSTROM: "1/angstrom", Axis.TWO_THETA_DEG: "degree"}
_INTENSITY: Final = {
    IntensityUnit.COUNTS: "counts",
    IntensityUnit.PER_SECOND: "counts/s",
    IntensityUnit.PER_CM: "1/cm",
    IntensityUnit.ARBITRARY: "arbitrary",
}


def write_curve(path: Path, curve: Curve, *, overwrite: bool = False) -> None:
    """One curve; see `write_curves`."""
    write_curves(path, (curve,), overwrite=overwrite)


def write_curves(path: Path, curves: Sequence[Curve], *, overwrite: bool = False) -> None:
    """Curves in their order; the file is there whole or not at all, and the same curves give the same bytes.

    Raises ConfigError (h5py not installed; the name is taken), DataRefused (none, or more than a file takes),
    StoreError (the disk).
    """
    if not 1 <= len(curves) <= MOST_ENTRIES:
        raise DataRefused(f"{path}: {len(curves)} curves; a file takes 1 to {MOST_ENTRIES}")
    check_target(path, overwrite=overwrite)
    h5py = _h5py()
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        file.attrs["default"] = "sasentry01"
        file.attrs["creator"] = f"poliqi {version('poliqi')}"
        for number, curve in enumerate(curves, 1):
            _write_entry(file.create_group(f"sasentry{number:02d}"), curve)
    with whole_file(path, overwrite=overwrite) as out:
        out.write(held.getbuffer())


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ConfigError('NXcanSAS files need the package h5py: pip install "poliqi[xray]"') from error
    return h5py


def _write_entry(entry: Any, curve: Curve) -> None:
    is_q = curve.axis is not Axis.TWO_THETA_DEG
    entry.attrs.update({"NX_class": "NXentry", "default": "sasdata"})
    if is_q:
        entry.attrs.update({"canSAS_class": "SASentry", "version": "1.1"})
        entry["definition"] = "NXcanSAS"
    entry["title"] = curve.title
    entry["run"] = ""
    if curve.simulated:
        entry["simulated"] = True
    data = entry.create_group("sasdata")
    name = "Q" if is_q else "two_theta"
    data.attrs.update(
        {"NX_class": "NXdata", "signal": "I", "axes": name, f"{name}_indices": np.array([0], np.int32)}
    )
    if is_q:
        data.attrs.update({"canSAS_class": "SASdata", "I_axes": "Q"})
    unit, intensity_unit = _UNIT[curve.axis], _INTENSITY[curve.intensity_unit]
    _put(data, name, curve.x, unit)
    _put(data, "I", curve.intensity, intensity_unit).attrs["uncertainties"] = "Idev"
    _put(data, "Idev", curve.sigma, intensity_unit)
    if curve.x_sigma is not None:
        data[name].attrs["resolutions"] = f"{name}dev"
        data[name].attrs["resolutions_description"] = "Gaussian"
        _put(data, f"{name}dev", curve.x_sigma, unit)
    for number, term in enumerate(curve.common, 1):
        _put(data, f"Icommon_{number:02d}", term.change, intensity_unit).attrs["name"] = term.name
    for number, step in enumerate(curve.steps, 1):
        _write_step(entry.create_group(f"sasprocess{number:02d}"), number, step)


def _put(group: Any, name: str, values: Any, unit: str) -> Any:
    made = group.create_dataset(name, data=values)
    made.attrs["units"] = unit
    return made


def _write_step(group: Any, number: int, step: Step) -> None:
    group.attrs.update({"NX_class": "NXprocess", "canSAS_class": "SASprocess"})
    group["name"] = step.name
    group["sequence_index"] = number
    settings = group.create_group("settings")
    settings.attrs.update({"NX_class": "NXcollection", "canSAS_class": "SASprocessnote"})
    for key, value in step.settings.items():
        if "/" in key or key in ("", "."):
            raise ValueError(f"setting {key!r} of step {step.name!r} cannot be a name in HDF5; leave '/' out of it")
        settings.attrs[key] = _h5py().Empty("f8") if value is None else value
