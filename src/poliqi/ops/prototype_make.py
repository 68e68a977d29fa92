"""A prototype of its tables: amounts in SI, targets resolved.

An areal capacity or an N/P ratio becomes a loading here, a porosity a thickness. A target has no doubt of its own;
how well it is met is `loading_sigma` and `thickness_sigma`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.prototype.battery import loading_for, thickness_for
from poliqi.lab.echem.prototype.parts import (
    Battery,
    CatalystLayer,
    Diffusion,
    Electrode,
    Electrolyte,
    FuelCell,
    Kind,
    Material,
    Membrane,
    Operation,
    Part,
    Process,
    Prototype,
    Separator,
)
from poliqi.lab.echem.quantity import Quantity
from poliqi.ops.amount_text import parse_amount
from poliqi.ops.prototype_tables import (
    DIMENSIONS,
    BatteryTable,
    CatalystTable,
    ElectrodeTable,
    FuelCellTable,
    MaterialTable,
    PrototypeTable,
)

__all__ = ["prototype_of"]

_MOST_LAYERS: Final = 500
_ALSO_ZERO: Final = frozenset({"overhang", "loss", "loading_sigma", "thickness_sigma"})
_FRACTIONS: Final = frozenset({"active_share", "metal_share", "porosity", "solids_share", "loss"})


def prototype_of(table: PrototypeTable, where: str = "the prototype") -> Prototype:
    """Amounts in SI, targets resolved. Raises ConfigError, naming `where` and the key."""
    try:
        return _fuel_cell(table) if isinstance(table, FuelCellTable) else _battery(table)
    except (ConfigError, DataRefused) as error:
        raise ConfigError(f"{where}: {error}") from None


def _amounts(table: msgspec.Struct, prefix: str) -> dict[str, Any]:
    """Every key of a table that is an amount, by its name; checked against what it can be."""
    found: dict[str, Any] = {}
    for name in table.__struct_fields__:
        value = getattr(table, name)
        if name in DIMENSIONS and value is not None:
            one = parse_amount(value, DIMENSIONS[name], f"{prefix}{name}")
            if one.value < 0 or (one.value == 0 and (name not in _ALSO_ZERO or one.sigma > 0)):
                raise ConfigError(f"{prefix}{name}: {value} must be above 0")
            if name in _FRACTIONS and one.value > 1:
                raise ConfigError(f"{prefix}{name}: {value} is a share, at most 1 (or 100 %)")
            if name == "loss" and one.value >= 1:
                raise ConfigError(f"{prefix}loss: {value} leaves nothing of the mix; must be below 1")
            found[name] = one
    return found


def _battery(t: BatteryTable) -> Battery:
    kind = Kind(t.kind)
    assert kind is not Kind.FUEL_CELL  # has a table of its own
    if (t.layers is None) != (kind is Kind.COIN):
        raise ConfigError("layers: a pouch needs it (positive sheets coated on both sides), a coin cell has none")
    if t.layers is not None and not 1 <= t.layers <= _MOST_LAYERS:
        raise ConfigError(f"layers = {t.layers}, must be 1 to {_MOST_LAYERS}")
    separator, electrolyte = _amounts(t.separator, "separator."), _amounts(t.electrolyte, "electrolyte.")
    if separator["porosity"].value >= 1:
        raise ConfigError("separator.porosity: must be below 1")
    cell = Battery(
        kind,
        t.name,
        _electrode(t.positive, "positive"),
        _electrode(t.negative, "negative"),
        Separator(t.separator.material, **separator),
        Electrolyte(t.electrolyte.material, **electrolyte),
        _materials(t.material),
        _parts(t),
        _processes(t),
        layers=t.layers or 1,
        cells=t.cells,
        **_amounts(t, ""),
    )
    _check_shape(t, kind)
    cell = replace(cell, positive=_loaded(cell, t.positive, "positive"))
    cell = replace(cell, negative=_loaded(cell, t.negative, "negative"))
    cell = replace(cell, positive=_thick(cell, t.positive, "positive"))
    return replace(cell, negative=_thick(cell, t.negative, "negative"))


def _electrode(t: ElectrodeTable, side: str) -> Electrode:
    """What is stated; loading and thickness that follow of targets come after."""
    amounts = _amounts(t, f"{side}.")
    for target in ("areal_capacity", "np_ratio", "porosity", "loading_sigma", "thickness_sigma"):
        one = amounts.pop(target, None)
        if one is not None and one.sigma:
            instead = "thickness_sigma" if target == "porosity" else "loading_sigma"
            raise ConfigError(
                f"{side}.{target}: a target has no doubt; how well it is met goes into {side}.{instead}"
            )
    if t.foil:
        extra = [name for name in ("active_share", "additives", "loading", "porosity") if getattr(t, name)]
        if extra or t.thickness is None:
            raise ConfigError(f"{side}: a foil has a thickness, and no {extra[0] if extra else 'coating'}")
        amounts["active_share"] = Quantity(1.0, 0.0, "1", f"{side} is a foil")
    elif "active_share" not in amounts:
        raise ConfigError(
            f"{side}.active_share: how much of the solids' mass is active material? It is not assumed"
        )
    for name, share in t.additives.items():
        if not 0 < share < 1:
            raise ConfigError(f"{side}.additives.{name} = {share}, must be above 0 and below 1")
    amounts.setdefault("loading", Quantity(0.0, 0.0, "kg/m2"))
    return Electrode(
        t.active, additives=t.additives, collector=t.collector, is_foil=t.foil, solvent=t.solvent, **amounts
    )


def _loaded(cell: Battery, t: ElectrodeTable, side: str) -> Electrode:
    """The electrode with the loading that its table tells in one of four ways."""
    electrode = cell.positive if side == "positive" else cell.negative
    if t.foil:
        assert electrode.thickness is not None
        density = cell.materials[t.active].density if t.active in cell.materials else None
        if density is None:
            raise ConfigError(f"material.{t.active}.density: the foil's mass needs it; give it")
        loading = electrode.thickness.value * density.value
        doubt = loading * math.hypot(electrode.thickness.relative_sigma, density.relative_sigma)
        return replace(electrode, loading=Quantity(loading, doubt, "kg/m2", f"{side}.thickness"))
    given = [name for name in ("loading", "areal_capacity", "np_ratio") if getattr(t, name) is not None]
    if len(given) != 1 or (given == ["np_ratio"] and side == "positive"):
        raise ConfigError(
            f"{side}: give one of loading, areal_capacity{', np_ratio' if side == 'negative' else ''} "
            f"(given: {', '.join(given) or 'none'})"
        )
    if given == ["loading"]:
        if t.loading_sigma is not None:
            raise ConfigError(f"{side}.loading_sigma belongs to a target; write {side}.loading = 12.0(2) mg/cm2")
        return electrode
    areal = _target(t, given[0], side)
    if given == ["np_ratio"]:
        other = cell.positive
        areal *= other.loading.value * other.active_share.value * other.capacity.value
    sigma = 0.0 if t.loading_sigma is None else _target(t, "loading_sigma", side)
    return replace(electrode, loading=Quantity(loading_for(electrode, areal), sigma, "kg/m2", f"{side}.{given[0]}"))


def _thick(cell: Battery, t: ElectrodeTable, side: str) -> Electrode:
    electrode = cell.positive if side == "positive" else cell.negative
    if t.porosity is None:
        if t.thickness_sigma is not None:
            raise ConfigError(f"{side}.thickness_sigma belongs to a porosity; write {side}.thickness = 60(1) um")
        return electrode
    if t.thickness is not None:
        raise ConfigError(f"{side}: give thickness or porosity: one follows of the other")
    porosity = _target(t, "porosity", side)
    if porosity >= 1:
        raise ConfigError(f"{side}.porosity = {t.porosity}, must be below 1")
    sigma = 0.0 if t.thickness_sigma is None else _target(t, "thickness_sigma", side)
    return replace(
        electrode, thickness=Quantity(thickness_for(cell, side, porosity), sigma, "m", f"{side}.porosity")
    )


def _target(t: ElectrodeTable, name: str, side: str) -> float:
    return parse_amount(getattr(t, name), DIMENSIONS[name], f"{side}.{name}").value


def _check_shape(t: BatteryTable, kind: Kind) -> None:
    """A coin cell has discs, a pouch sheets; what belongs to the other is refused, what lacks is named."""
    shape = {
        "positive": (("diameter",), ("width", "height")),
        "negative": (("diameter",), ("overhang",)),
        "separator": (("diameter",), ("overhang",)),
    }
    for part, (coin, pouch) in shape.items():
        wanted, other = (coin, pouch) if kind is Kind.COIN else (pouch, coin)
        of = getattr(t, part)
        for name in wanted:
            if getattr(of, name) is None:
                raise ConfigError(f"{part}.{name} is missing; a {kind.value} cell needs it")
        for name in {*other, "width", "height", "overhang", "diameter"} - set(wanted):
            if getattr(of, name, None) is not None:
                raise ConfigError(f"{part}.{name}: a {kind.value} cell has none; take it out")


def _materials(tables: Mapping[str, MaterialTable]) -> dict[str, Material]:
    return {
        name: Material(
            t.formula, raw_materials=t.raw_materials, source=t.source, **_amounts(t, f"material.{name}.")
        )
        for name, t in tables.items()
    }


def _parts(t: PrototypeTable) -> tuple[Part, ...]:
    return tuple(
        Part(row.name, row.material, count=row.count, **_amounts(row, f"part.{row.name}.")) for row in t.part
    )


def _processes(t: PrototypeTable) -> tuple[Process, ...]:
    return tuple(Process(row.name, **_amounts(row, f"process.{row.name}.")) for row in t.process)


def _layer(t: CatalystTable, name: str) -> CatalystLayer:
    amounts = _amounts(t, f"{name}.")
    return CatalystLayer(metal=t.metal, support=t.support, ionomer=t.ionomer, solvent=t.solvent, **amounts)


def _fuel_cell(t: FuelCellTable) -> FuelCell:
    return FuelCell(
        t.name,
        cathode=_layer(t.cathode, "cathode"),
        anode=_layer(t.anode, "anode"),
        membrane=Membrane(t.membrane.material, **_amounts(t.membrane, "membrane.")),
        diffusion=Diffusion(t.diffusion.material, **_amounts(t.diffusion, "diffusion.")),
        operation=Operation(**_amounts(t.operation, "operation.")),
        materials=_materials(t.material),
        parts=_parts(t),
        processes=_processes(t),
        cells=t.cells,
        **_amounts(t, ""),
    )
