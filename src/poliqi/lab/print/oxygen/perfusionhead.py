"""What the head of a perfusion's file says, as far as it is read again, held to what can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from poliqi.base.errors import DataRefused, words_of
from poliqi.lab.print.domain.primitive import LONGEST_UM

__all__ = ["OxygenHead", "PerfusionHead", "head_of"]

_Length = Annotated[float, msgspec.Meta(ge=1e-3, le=LONGEST_UM)]
_Coordinate = Annotated[float, msgspec.Meta(ge=-LONGEST_UM, le=LONGEST_UM)]
_Place = tuple[_Coordinate, _Coordinate, _Coordinate]
_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_Amount = Annotated[float, msgspec.Meta(ge=0.0, le=1e3)]
_Rate = Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Number = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
_Words = Annotated[str, msgspec.Meta(max_length=2000)]


class FluidHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fluid; its own ranges are narrower."""

    viscosity_pa_s: _Number
    hematocrit: _Number | None
    density_kg_m3: _Number


class TissueHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tissue; its own ranges are narrower."""

    diffusivity_m2_s: _Number
    consumption_mol_m3_s: _Number
    km_mol_m3: _Number
    inlet_mol_m3: _Number
    hypoxic_below_mol_m3: _Number
    bath_mol_m3: _Number | None
    source: _Words


class CarrierHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the fluid carries oxygen; its own ranges are narrower."""

    capacity_mol_m3: _Number
    half_mol_m3: _Number
    exponent: _Number
    diffusivity_m2_s: _Number
    sherwood: _Number | None


class BalanceHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Oxygen in mol/s."""

    carried_in_mol_s: _Rate
    carried_out_mol_s: _Rate
    bath_mol_s: _Rate
    consumed_mol_s: _Rate
    residual: float


class CoverageHead(msgspec.Struct, frozen=True):
    """Of the coverage the reach alone is read; the rest is worked out anew."""

    reach_um: _Length


class OxygenHead(msgspec.Struct, frozen=True):
    """Numbers of the oxygen field."""

    tissue: TissueHead
    carrier: CarrierHead | None
    spacing_um: _Length
    cells: tuple[_Count, _Count, _Count]
    hypoxic: _Share
    hypoxic_doubt: _Share | None
    minimum_mol_m3: _Amount
    minimum_at_um: _Place
    mean_mol_m3: _Amount
    balance: BalanceHead
    newton_steps: _Count
    cycles: _Count


class PerfusionHead(msgspec.Struct, frozen=True):
    """The head; what is not named here is not read."""

    format: Literal["poliqi-perfusion-2"]
    vessels: _Words
    fluid: FluidHead
    coverage: CoverageHead
    oxygen: OxygenHead | None
    spacing_um: _Length | None = None
    low_um: _Place | None = None


def head_of(head: Mapping[str, Any], what: str) -> PerfusionHead:
    """The head in its types. Raises DataRefused, naming the place."""
    try:
        return msgspec.convert(head, PerfusionHead)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DataRefused(
            f"{what}: its head is not as it has to be ({words_of(error)}); "
            "write it anew with `poliqi lab print perfuse -o`"
        ) from error
