"""A label volume as a domain: the voxels that carry one label, with their size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.domain import Domain
from poliqi.lab.print.domain.labelbody import MOST_VOXELS, label_body
from poliqi.lab.print.domain.labelraw import mha_voxels, nii_voxels, nrrd_voxels
from poliqi.lab.print.domain.labelstack import npz_voxels, tif_voxels
from poliqi.lab.print.domain.labelvolume import Voxels
from poliqi.lab.print.domain.labelvti import vti_voxels
from poliqi.lab.print.domain.meshcheck import Choice
from poliqi.lab.print.domain.meshfile import file_bytes, unit_um

__all__ = ["READERS", "from_labels", "labels_of"]

Triple = tuple[float, float, float]
READERS: Final[dict[str, Callable[[bytes, str], Voxels]]] = {
    ".vti": vti_voxels, ".nrrd": nrrd_voxels, ".mha": mha_voxels, ".nii": nii_voxels, ".gz": nii_voxels,
    ".npz": npz_voxels, ".tif": tif_voxels, ".tiff": tif_voxels,
}  # fmt: skip
_SHOWN: Final = 12


def from_labels(
    path: Path,
    label: int | str,
    *,
    unit: str | None = None,
    voxel_um: Triple | None = None,
    scale: float = 1.0,
    body: Choice = None,
    center_um: Triple | None = None,
) -> Domain:
    """The domain of one label of a volume (.vti, .nrrd, .mha, .nii, .nii.gz, .npz, .tif).

    `label`: its number, or its name where the file has names. Voxels are `voxel_um`, or the file's spacing in
    `unit` (or in the unit that the file names), times `scale`. `body`: "largest", "all", or a number from 1
    (largest first) where voxels of the label are not joined by faces. The middle of its box comes to `center_um`,
    (0, 0, 0) unless told; the file's own origin is not used. Raises DataRefused for the file, ConfigError for a
    setting.
    """
    return labels_of(
        file_bytes(path),
        path.name,
        label,
        unit=unit,
        voxel_um=voxel_um,
        scale=scale,
        body=body,
        center_um=center_um,
    )


def labels_of(
    data: bytes,
    name: str,
    label: int | str,
    *,
    unit: str | None = None,
    voxel_um: Triple | None = None,
    scale: float = 1.0,
    body: Choice = None,
    center_um: Triple | None = None,
) -> Domain:
    """The domain of a file's content; see `from_labels`."""
    reader = READERS.get(Path(name).suffix.lower())
    if reader is None:
        raise DataRefused(f"{name}: labels of this kind cannot be read; give one of {', '.join(READERS)}")
    found = reader(data, name)
    size = _voxel(found, name, unit, voxel_um, scale)
    mask = _cropped(_chosen(found, label, name), name)
    solid = _body(mask, body, name)
    if solid is not mask:
        solid = _cropped(solid, name)
    middle = (0.0, 0.0, 0.0) if center_um is None else center_um
    x, y, z = (float(middle[k] - size[k] * solid.shape[k] / 2) for k in range(3))
    return Domain((label_body(solid, size, (x, y, z), name),))


def _voxel(found: Voxels, name: str, unit: str | None, voxel_um: Triple | None, scale: float) -> Triple:
    """Size of a voxel in um."""
    if not 1e-9 <= scale <= 1e9:
        raise ConfigError(f"{name}: scale {scale:g} is not between 1e-9 and 1e9")
    if voxel_um is not None:
        if unit is not None:
            raise ConfigError(f"{name}: voxel_um and unit are both given; give one of them")
        spacing, factor = voxel_um, scale
    else:
        told = unit if unit is not None else found.unit
        if told is None or found.spacing is None:
            lacks = "spacing: give voxel_um = [x, y, z]" if found.spacing is None else "unit: give unit or voxel_um"
            raise DataRefused(f"{name}: it carries no {lacks}")
        spacing, factor = found.spacing, scale * unit_um(told, name)
    x, y, z = (float(number) * factor for number in spacing)
    if not all(1e-3 <= number <= 1e6 for number in (x, y, z)):
        raise DataRefused(f"{name}: voxels of {x:g} x {y:g} x {z:g} um; .001 to 1e6 um can be used: check the unit")
    return x, y, z


def _chosen(found: Voxels, label: int | str, name: str) -> NDArray[np.bool_]:
    if isinstance(label, str):
        if label not in found.names:
            known = ", ".join(sorted(found.names)[:_SHOWN]) or "none: give its number"
            raise DataRefused(f"{name}: label {label!r} is not named in it; names are {known}")
        label = found.names[label]
    mask = found.values == label
    if not mask.any():
        there = ", ".join(str(number) for number in np.unique(found.values)[:_SHOWN])
        raise DataRefused(f"{name}: no voxel has the label {label}; there are {there}")
    return mask


def _cropped(mask: NDArray[np.bool_], name: str) -> NDArray[np.bool_]:
    """The part of the volume that holds voxels inside."""
    slices: list[slice] = []
    for axis in range(3):
        there = np.flatnonzero(mask.any(axis=tuple(k for k in range(3) if k != axis)))
        slices.append(slice(int(there[0]), int(there[-1]) + 1))
    part = np.ascontiguousarray(mask[tuple(slices)])
    if part.size > MOST_VOXELS:
        raise DataRefused(f"{name}: the label spans {part.shape} voxels; {MOST_VOXELS} are the most: coarsen it")
    return part


def _body(mask: NDArray[np.bool_], choice: Choice, name: str) -> NDArray[np.bool_]:
    if choice == "all":
        return mask
    from scipy import ndimage

    engine: Any = ndimage  # it carries no annotations
    named: NDArray[np.int32]
    count: int
    named, count = engine.label(mask)
    if count == 1 and choice in {None, "largest", 1}:
        return mask
    sizes = np.bincount(named.ravel())[1:]
    order = np.argsort(-sizes, kind="stable")
    shown = ", ".join(f"{k + 1}: {int(sizes[order[k]])} voxels" for k in range(min(int(count), 5)))
    if choice is None:
        raise DataRefused(
            f'{name}: the label has {count} separate bodies ({shown}); choose body = its number, "largest" or "all"'
        )
    number = 1 if choice == "largest" else choice
    if isinstance(number, str) or not 1 <= number <= count:
        raise DataRefused(f'{name}: body = {choice!r} is not there ({shown}); give a number, "largest" or "all"')
    return named == order[number - 1] + 1
