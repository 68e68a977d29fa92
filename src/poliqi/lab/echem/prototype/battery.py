"""A coin or pouch cell from its parts: capacity, N/P ratio, amounts, masses, as one function of all doubts.

Capacity: what of the lithium that the positive gives in the first charge comes back, after the negative has kept
its irreversible share, and neither electrode takes more than its reversible capacity:
Q = min(P, P_first - (N_first - N), N) over the facing area. On a foil (lithium) that a positive with a told first
charge faces, the positive's own lithium plates: there N has room for P_first more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.prototype.parts import Battery, Electrode, Kind, material_named

__all__ = ["SIDES", "battery_model", "facing_pairs", "loading_for", "solids_density", "thickness_for"]

Floats = NDArray[np.float64]
Values = Mapping[str, Floats]
SIDES: Final = ("positive", "negative")
_KEPT: Final = 1e-6


def facing_pairs(cell: Battery) -> int:
    """Faces of positive that look at a negative."""
    match cell.kind:
        case Kind.COIN:
            return 1
        case Kind.POUCH:
            return 2 * cell.layers


def loading_for(electrode: Electrode, areal_capacity: float) -> float:
    """Loading in kg/m2 for a capacity in C/m2."""
    return areal_capacity / (electrode.capacity.value * electrode.active_share.value)


def thickness_for(cell: Battery, side: str, porosity: float) -> float:
    """Thickness in m of a side's coating at its loading for a porosity. Raises DataRefused."""
    electrode = _side(cell, side)
    densities = {f"material.{name}.density": np.float64(_density(cell, name)) for name in _solids(electrode)}
    values = {f"{side}.active_share": np.float64(electrode.active_share.value), **densities}
    solid = float(solids_density(cell, side, values))  # pyright: ignore[reportArgumentType] - scalars do as arrays do
    return electrode.loading.value / (solid * (1 - porosity))


def solids_density(cell: Battery, side: str, v: Values) -> Floats:
    """Of a side's solids without pores, in kg/m3: masses over volumes."""
    electrode = _side(cell, side)
    volume = v[f"{side}.active_share"] / v[f"material.{electrode.active}.density"]
    for name, share in electrode.additives.items():
        volume = volume + share / v[f"material.{name}.density"]
    return 1 / volume


def battery_model(cell: Battery) -> Callable[[Values], dict[str, Floats]]:
    """Results by name; those that begin with "mass " are of items. Raises DataRefused for what lacks."""
    for side in SIDES:
        _check_side(cell, side)
    wetting = _wetting(cell)

    def model(v: Values) -> dict[str, Floats]:
        one: Floats = np.ones_like(v["positive.loading"])
        areas = _areas(cell, v)
        found: dict[str, Floats] = {}
        areal = {side: v[f"{side}.loading"] * _share(v, side) * v[f"{side}.capacity"] for side in SIDES}
        lost = (
            v["negative.loading"] * _share(v, "negative") * (v["negative.first_charge"] - v["negative.capacity"])
            if "negative.first_charge" in v
            else 0 * one
        )
        first = (
            v["positive.loading"] * _share(v, "positive") * v["positive.first_charge"]
            if "positive.first_charge" in v
            else areal["positive"]
        )
        pairs = facing_pairs(cell)
        facing = pairs * np.minimum(areas["positive"], areas["negative"])
        room = areal["negative"]
        if cell.negative.is_foil and "positive.first_charge" in v:
            room = room + first
        found["capacity"] = facing * np.minimum(np.minimum(areal["positive"], first - lost), room)
        found["np_ratio"] = areal["negative"] / areal["positive"]
        if {"positive.first_charge", "negative.first_charge"} <= v.keys() and not cell.negative.is_foil:
            found["first charge ratio"] = (areal["negative"] + lost) / first
        if "voltage" in v:
            found["energy"] = found["capacity"] * v["voltage"]
        for side in SIDES:
            found[f"{side} areal capacity"] = areal[side]
            if f"{side}.thickness" in v and not _side(cell, side).is_foil:
                found[f"{side} porosity"] = 1 - v[f"{side}.loading"] / (
                    v[f"{side}.thickness"] * solids_density(cell, side, v)
                )
            found |= _electrode_masses(cell, side, areas[side], v)
        found |= wetting(found, areas, v)
        for part in cell.parts:
            found[f"mass part.{part.name}"] = part.count * v[f"part.{part.name}.mass"]
        found["stack thickness"] = _stack_thickness(cell, v) * one
        found["mass"] = np.sum([mass for name, mass in found.items() if name.startswith("mass ")], axis=0) * one
        if "energy" in found:
            found["specific energy"] = found["energy"] / found["mass"]
            pieces = sum((part.count * v[f"part.{part.name}.mass"] for part in cell.parts), 0 * one)
            found["specific energy of the stack"] = found["energy"] / (found["mass"] - pieces)
        return found

    return model


def _share(v: Values, side: str) -> Floats:
    return v[f"{side}.active_share"]


def _side(cell: Battery, side: str) -> Electrode:
    return cell.positive if side == "positive" else cell.negative


def _solids(electrode: Electrode) -> tuple[str, ...]:
    return (electrode.active, *electrode.additives)


def _density(cell: Battery, name: str) -> float:
    density = material_named(cell, name, "material").density
    if density is None:
        raise DataRefused(f"material.{name}.density is not stated; give it, or have it of X-rays")
    return density.value


def _check_side(cell: Battery, side: str) -> None:
    electrode = _side(cell, side)
    for name in _solids(electrode):
        material_named(cell, name, f"{side}.active or additives")
    if electrode.thickness is not None or electrode.is_foil:
        for name in _solids(electrode):
            _density(cell, name)
    whole = electrode.active_share.value + math.fsum(electrode.additives.values())
    if abs(whole - 1) > _KEPT + 3 * electrode.active_share.sigma:
        raise DataRefused(
            f"{side}: active_share and additives sum to {whole:.4f} of the solids, must be 1; name every solid"
        )
    if bool(electrode.collector) != (electrode.collector_thickness is not None):
        raise DataRefused(f"{side}: collector and collector_thickness go together; give both or neither")
    if electrode.collector:
        _density(cell, electrode.collector)
    if electrode.first_charge is not None and electrode.first_charge.value < electrode.capacity.value:
        raise DataRefused(
            f"{side}.first_charge is below {side}.capacity: the first charge takes at least what comes back"
        )
    if electrode.thickness is not None and not electrode.is_foil:
        solid = thickness_for(cell, side, 0.0)
        if electrode.thickness.value <= solid:
            raise DataRefused(
                f"{side}.thickness: {electrode.thickness.value * 1e6:.4g} um is less than the {solid * 1e6:.4g} um "
                "that the solids have without any pore; check loading, thickness and densities"
            )


def _areas(cell: Battery, v: Values) -> dict[str, Floats]:
    """Of one face of each electrode and of one sheet of separator, in m2."""
    match cell.kind:
        case Kind.COIN:
            return {one: np.pi / 4 * v[f"{one}.diameter"] ** 2 for one in (*SIDES, "separator")}
        case Kind.POUCH:
            width, height = v["positive.width"], v["positive.height"]
            over = 2 * v["negative.overhang"]
            wide = over + 2 * v["separator.overhang"]
            return {
                "positive": width * height,
                "negative": (width + over) * (height + over),
                "separator": (width + wide) * (height + wide),
            }


def _coated(cell: Battery, side: str) -> tuple[int, int]:
    """Coated faces, and sheets of collector: a pouch has a negative at both ends, coated inside alone."""
    match cell.kind:
        case Kind.COIN:
            return 1, 1
        case Kind.POUCH:
            return 2 * cell.layers, cell.layers + (side == "negative")


def _electrode_masses(cell: Battery, side: str, area: Floats, v: Values) -> dict[str, Floats]:
    electrode = _side(cell, side)
    faces, sheets = _coated(cell, side)
    coating = v[f"{side}.loading"] * area
    found = {f"mass {side}.{electrode.active}": faces * coating * v[f"{side}.active_share"]}
    for name, share in electrode.additives.items():
        key = f"mass {side}.{name}"  # an additive may be of the active material
        found[key] = found.get(key, 0.0) + faces * coating * share
    collector = 0 * coating
    if electrode.collector:
        collector = area * v[f"{side}.collector_thickness"] * v[f"material.{electrode.collector}.density"]
        found[f"mass {side}.{electrode.collector} (collector)"] = sheets * collector
    return found | {f"{side} coating": coating, f"{side} sheet": collector + coating * (faces / sheets)}


def _wetting(cell: Battery) -> Callable[[dict[str, Floats], dict[str, Floats], Values], dict[str, Floats]]:
    """Separator and electrolyte. Raises DataRefused where the amount of electrolyte cannot be had."""
    liquid, sheets = cell.electrolyte, facing_pairs(cell)
    given = [one for one in ("excess", "volume", "per_capacity") if getattr(liquid, one) is not None]
    if len(given) != 1:
        raise DataRefused(
            f"electrolyte: give one of excess, volume, per_capacity (given: {', '.join(given) or 'none'})"
        )
    coatings = [side for side in SIDES if not _side(cell, side).is_foil]
    without = [side for side in coatings if _side(cell, side).thickness is None]
    if given == ["excess"] and without:
        raise DataRefused(
            f"electrolyte.excess is over the pores, which are not known: give {without[0]}.thickness or "
            f"{without[0]}.porosity, or electrolyte.volume"
        )
    for name in (cell.separator.material, liquid.material):
        _density(cell, name)

    def wet(found: dict[str, Floats], areas: dict[str, Floats], v: Values) -> dict[str, Floats]:
        sheet = areas["separator"] * v["separator.thickness"]
        solid = sheet * (1 - v["separator.porosity"]) * v[f"material.{cell.separator.material}.density"]
        made = {f"mass separator.{cell.separator.material}": sheets * solid}
        density = v[f"material.{liquid.material}.density"]
        if not without:
            pores = sheets * sheet * v["separator.porosity"]
            for side in coatings:
                coated = _coated(cell, side)[0] * areas[side] * v[f"{side}.thickness"]
                pores = pores + coated * found[f"{side} porosity"]
            made["pore volume"] = pores
        if liquid.excess is not None:
            volume = made["pore volume"] * v["electrolyte.excess"]
        elif liquid.volume is not None:
            volume = v["electrolyte.volume"]
        else:
            volume = v["electrolyte.per_capacity"] * found["capacity"] / density
        made["electrolyte volume"] = volume
        made[f"mass electrolyte.{liquid.material}"] = volume * density
        return made | {"electrolyte per capacity": volume * density / found["capacity"]}

    return wet


def _stack_thickness(cell: Battery, v: Values) -> Floats:
    """Of sheets upon each other in m, unpressed; coatings of unknown thickness are left out."""
    whole = facing_pairs(cell) * v["separator.thickness"]
    for side in SIDES:
        faces, sheets = _coated(cell, side)
        if f"{side}.thickness" in v:
            whole = whole + faces * v[f"{side}.thickness"]
        if f"{side}.collector_thickness" in v:
            whole = whole + sheets * v[f"{side}.collector_thickness"]
    return whole
