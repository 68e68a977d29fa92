"""The file of a perfusion: an .npz (a zip of arrays) whose `head` is JSON; docs/reference/lab-print-perfuse.md."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.arrayfile import npz_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.oxygen.perfusion import Perfusion

__all__ = ["FORMAT", "PerfusionFile", "perfusion_bytes", "perfusion_from"]

FORMAT: Final = "poliqi-perfusion-2"
_MOST_BYTES: Final = 1 << 30
_MOST_UNPACKED: Final = 2 << 30
_MOST_HEAD: Final = 1 << 20
_REMEDY: Final = "write it anew with `poliqi lab print perfuse -o`"
_SEGMENTS: Final = ("flow_um3_s", "wall_shear_pa", "viscosity_pa_s")
_FIELDS: Final = ("c_mol_m3", "kind")
_MOST: Final = {
    "head": _MOST_HEAD,
    **dict.fromkeys(("pressure_pa", "oxygen_mol_m3", "mean_oxygen_mol_m3", "given_mol_s", *_SEGMENTS), 1 << 24),
    **dict.fromkeys(_FIELDS, 1 << 27),
}
"""Elements of each array that may be there."""


@dataclass(frozen=True, slots=True)
class PerfusionFile:
    """What such a file says: `head` in JSON's types, arrays by name."""

    head: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def perfusion_bytes(perfusion: Perfusion, head: Mapping[str, Any]) -> bytes:
    """The file's content; the same arguments give the same bytes.

    By point: pressure_pa, oxygen_mol_m3. By segment: flow_um3_s, wall_shear_pa, viscosity_pa_s,
    mean_oxygen_mol_m3, given_mol_s. The field c_mol_m3 float32 (nx, ny, nz) with kind (0 outside, 1 tissue, 2
    lumen); cell (i, j, k) has its centre at low_um + (i + 1/2, ...) spacing_um, which stand in the head.
    """
    flow, oxygen = perfusion.flow, perfusion.oxygen
    arrays: dict[str, Any] = {"pressure_pa": flow.pressure_pa} | {name: getattr(flow, name) for name in _SEGMENTS}
    said: dict[str, Any] = {"format": FORMAT, **head}
    if oxygen is not None:
        said |= {"spacing_um": oxygen.spacing_um, "low_um": list(oxygen.low_um)}
        arrays |= {"c_mol_m3": oxygen.c_mol_m3, "kind": oxygen.kind}
        if oxygen.vessels is not None:
            arrays["oxygen_mol_m3"] = oxygen.vessels.point_mol_m3
            arrays["mean_oxygen_mol_m3"] = oxygen.vessels.segment_mol_m3
            arrays["given_mol_s"] = oxygen.vessels.given_mol_s
    text = json.dumps(said, allow_nan=False).encode()
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, head=np.frombuffer(text, np.uint8), **arrays)
    return out.getvalue()


def perfusion_from(data: bytes, name: str = "perfusion") -> PerfusionFile:
    """What a file's content says, checked in size before it is unpacked. Raises DataRefused."""
    if len(data) > _MOST_BYTES:
        raise DataRefused(f"{name}: more than {_MOST_BYTES} bytes; {_REMEDY}")
    arrays = npz_arrays(data, name, _MOST, _MOST_UNPACKED, _REMEDY)
    try:
        head: Any = json.loads(arrays.pop("head").tobytes())
    except (KeyError, ValueError, RecursionError) as error:
        raise DataRefused(f"{name}: not a file of a perfusion ({type(error).__name__}); {_REMEDY}") from error
    said = cast("dict[str, Any]", head) if isinstance(head, dict) else {}
    if said.get("format") != FORMAT:
        raise DataRefused(f"{name}: its format is not {FORMAT!r}; {_REMEDY}")
    _check(said, arrays, name)
    return PerfusionFile(said, arrays)


def _check(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], name: str) -> None:
    lacking = [key for key in ("pressure_pa", *_SEGMENTS) if key not in arrays or arrays[key].ndim != 1]
    if lacking:
        raise DataRefused(f"{name}: {lacking[0]} is not there, by point or segment; {_REMEDY}")
    for key, array in arrays.items():
        if array.dtype.kind not in "fu":
            raise DataRefused(f"{name}: {key} holds {array.dtype}, not numbers; {_REMEDY}")
    there = [key in arrays for key in _FIELDS]
    if any(there):
        if not all(there) or arrays["c_mol_m3"].ndim != 3 or arrays["kind"].shape != arrays["c_mol_m3"].shape:
            raise DataRefused(f"{name}: c_mol_m3 and kind are not two fields of one shape; {_REMEDY}")
        low = head.get("low_um")
        if not _is_number(head.get("spacing_um")) or not isinstance(low, list):
            raise DataRefused(f"{name}: the head lacks spacing_um or low_um; {_REMEDY}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value <= sys.float_info.max
