"""The arrays of a perfusion's file against its head and the vessels: shapes, ranges, and no number that is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused

if TYPE_CHECKING:
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.oxygen.perfusionhead import PerfusionHead

__all__ = ["ensure_arrays"]

_REMEDY: Final = "write it anew with `poliqi lab print perfuse -o`"
_RANGES: Final = {
    "pressure_pa": (-1e12, 1e12),
    "flow_um3_s": (-1e18, 1e18),
    "wall_shear_pa": (0.0, 1e12),
    "viscosity_pa_s": (1e-6, 1e6),
    "oxygen_mol_m3": (0.0, 1e3),
    "mean_oxygen_mol_m3": (0.0, 1e3),
    "given_mol_s": (-1.0, 1.0),
}
_OF_VESSELS: Final = ("oxygen_mol_m3", "mean_oxygen_mol_m3", "given_mol_s")
_BY_POINT: Final = ("pressure_pa", "oxygen_mol_m3")
_MOST_MOL_M3: Final = 1e3
_CLOSE: Final = 1e-5
_SHARE: Final = 0.1
"""Cells that vessels and edges cut count by their part in the head, and whole here."""


def ensure_arrays(
    arrays: Mapping[str, NDArray[Any]], head: PerfusionHead, network: Network, domain: Domain, what: str
) -> None:
    """Raises DataRefused where an array does not belong to these vessels, or says what cannot be."""
    for name, (low, high) in _RANGES.items():
        if name not in arrays:
            continue
        array = arrays[name]
        size = len(network.points_um) if name in _BY_POINT else len(network.segments)
        if array.shape != (size,) or array.dtype.kind != "f":
            raise DataRefused(
                f"{what}: {name} holds {array.dtype} {array.shape}; "
                f"these vessels ask for numbers ({size},); {_REMEDY}"
            )
        if not bool(np.all((array >= low) & (array <= high))):
            raise DataRefused(f"{what}: {name} is not everywhere within {low:g} to {high:g}; {_REMEDY}")
    if len({name in arrays for name in _OF_VESSELS}) > 1:
        raise DataRefused(f"{what}: {', '.join(_OF_VESSELS)} do not stand together; {_REMEDY}")
    if (head.oxygen is None) != ("c_mol_m3" not in arrays) or (head.oxygen is None and "oxygen_mol_m3" in arrays):
        raise DataRefused(f"{what}: head and arrays differ in whether there is oxygen; {_REMEDY}")
    if head.oxygen is not None:
        _ensure_field(arrays["c_mol_m3"], arrays["kind"], head, domain, what)


def _ensure_field(c: NDArray[Any], kind: NDArray[Any], head: PerfusionHead, domain: Domain, what: str) -> None:
    from poliqi.lab.print.oxygen.grid import shape_of

    said = head.oxygen
    assert said is not None
    low = np.asarray(domain.bounds_um, np.float64)
    try:
        cells = shape_of(low, said.spacing_um)
    except ConfigError as error:
        raise DataRefused(f"{what}: {error}") from error
    here = head.low_um is not None and bool(
        np.allclose(head.low_um, low[0], rtol=0.0, atol=said.spacing_um * _CLOSE)
    )
    if not here or head.spacing_um != said.spacing_um or said.cells != cells or c.shape != cells:
        raise DataRefused(
            f"{what}: cells {c.shape} from {head.low_um} um; "
            f"the tissue has {cells} of {said.spacing_um:g} um; {_REMEDY}"
        )
    if c.dtype != np.float32 or kind.dtype != np.uint8 or int(kind.max()) > 2 or not bool((kind == 1).any()):
        raise DataRefused(f"{what}: kind is not 0, 1 and 2 with some tissue (1), or not bytes; {_REMEDY}")
    there = c[kind > 0]
    if not bool(np.all((there >= 0) & (there <= _MOST_MOL_M3))) or bool(np.isinf(c).any()):
        raise DataRefused(f"{what}: c_mol_m3 is not everywhere within 0 to {_MOST_MOL_M3:g}; {_REMEDY}")
    least, most = (float(one) for one in (c[kind == 1].min(), c[kind == 1].max()))
    slack = _CLOSE * max(most, 1e-6)
    if (
        abs(least - said.minimum_mol_m3) > slack
        or not least - slack <= said.mean_mol_m3 <= max(most, float(there.max())) + slack
    ):
        raise DataRefused(
            f"{what}: its head says {said.minimum_mol_m3:g} mol/m3 at least and {said.mean_mol_m3:g} on average, "
            f"its field {least:g} to {most:g}; {_REMEDY}"
        )
    below = float((c[kind == 1] < said.tissue.hypoxic_below_mol_m3).mean())
    if abs(below - said.hypoxic) > _SHARE:
        raise DataRefused(
            f"{what}: its head says that {100 * said.hypoxic:.3g} % of the tissue are hypoxic, its field "
            f"{100 * below:.3g} %; {_REMEDY}"
        )
