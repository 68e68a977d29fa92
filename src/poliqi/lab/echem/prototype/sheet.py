"""The build sheet of a prototype: results with their doubts, amounts, bill of materials, raw materials, carbon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.prototype.battery import battery_model
from poliqi.lab.echem.prototype.carbontable import Carbon, CarbonTable
from poliqi.lab.echem.prototype.cautions import assumed_of, cautions_of
from poliqi.lab.echem.prototype.fuelcell import fuel_cell_model
from poliqi.lab.echem.prototype.parts import FuelCell, Prototype, amounts_of, is_mixed, material_named
from poliqi.lab.echem.prototype.rawmaterials import Listed, listed_in, mass_shares
from poliqi.lab.echem.prototype.tolerance import DRAWS, Model, Tolerances, spread_of
from poliqi.lab.echem.quantity import Quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BuildSheet", "Item", "Raw", "build_sheet"]

Floats = NDArray[np.float64]
_MASS: Final = "mass "
_SHARES: Final = ("share", "porosity", "loss")
_KWH_J: Final = 3.6e6
_GRAPHITE: Final = 'carbon: graphite is listed; say raw_materials = ["graphite"], or [] where it is none'


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the bill: `mass` in kg for one prototype, all pieces together.

    `taken`: in kg, what is taken for it, with the share of a mix that is lost.
    """

    where: str
    material: str
    count: int
    mass: Quantity
    listed: tuple[Listed, ...]
    taken: float


@dataclass(frozen=True, slots=True)
class Raw:
    """An entry of the EU's annexes. `mass`: its elements in all items whose formula tells, in kg."""

    listed: Listed
    mass: float
    materials: tuple[str, ...]
    unweighed: tuple[str, ...]
    """Materials that hold it in a share that is not known."""


@dataclass(frozen=True, slots=True)
class BuildSheet:
    """All that is told of one prototype. Results are SI, by the names of its model."""

    made: Prototype
    tolerances: Tolerances
    items: tuple[Item, ...]
    raw: tuple[Raw, ...]
    unjudged: Mapping[str, str]
    """Materials of which it is not known whether they are listed, and what to say."""
    carbon: Carbon | None
    assumed: tuple[str, ...]
    cautions: tuple[str, ...]
    simulated: bool

    def quantity(self, name: str, unit: str = "") -> Quantity:
        """A result, sigma to first order."""
        one = self.tolerances.spreads[name]
        return Quantity(one.value, one.sigma, unit, name)


def build_sheet(
    made: Prototype,
    *,
    carbon: CarbonTable | None = None,
    assumed: Sequence[str] = (),
    cautions: Sequence[str] = (),
    simulated: bool = False,
    draws: int = DRAWS,
    seed: int = 1,
) -> BuildSheet:
    """Everything of a prototype. `assumed`, `cautions` and `simulated` are of what its numbers come from.

    Raises DataRefused, naming what lacks or cannot be.
    """
    model = fuel_cell_model(made) if isinstance(made, FuelCell) else battery_model(made)
    amounts = amounts_of(made)
    whole, inputs = _with_carbon(made, model, amounts, carbon)
    shares = frozenset(name for name in amounts if name.endswith(_SHARES))
    tolerances = spread_of(whole, inputs, draws=draws, seed=seed, shares=shares)
    items = tuple(_items(made, tolerances))
    raw, unjudged = _raw(made, items)
    sheet = BuildSheet(made, tolerances, items, raw, unjudged, None, (), (), simulated)
    if carbon is not None:
        sheet = replace(sheet, carbon=_carbon(sheet, carbon))
    return replace(
        sheet,
        assumed=(*assumed_of(made), *assumed),
        cautions=(*cautions, *cautions_of(made, tolerances)),
    )


def _material_at(name: str) -> str:
    """Of a mass's name such as "positive.NMC811" or "negative.copper (collector)"."""
    return name.partition(".")[2].removesuffix(" (collector)")


def _items(made: Prototype, tolerances: Tolerances) -> list[Item]:
    parts = {part.name: part for part in made.parts}
    found: list[Item] = []
    for name, spread in tolerances.spreads.items():
        if not name.startswith(_MASS):
            continue
        where = name.removeprefix(_MASS)
        part = parts.get(where.removeprefix("part.")) if where.startswith("part.") else None
        material = _material_at(where) if part is None else part.material
        told = material_named(made, material, where)
        try:
            listed = listed_in(told.formula, told.raw_materials or ())
        except DataRefused as error:
            raise DataRefused(f"material.{material}: {error}") from None
        mass = Quantity(spread.value, spread.sigma, "kg", where)
        loss = made.loss.value if made.loss is not None and is_mixed(made, where) else 0.0
        count = 1 if part is None else part.count
        found.append(Item(where, material, count, mass, listed, mass.value / (1 - loss)))
    return found


def _raw(made: Prototype, items: Sequence[Item]) -> tuple[tuple[Raw, ...], dict[str, str]]:
    """Entries with the mass of their elements over all items; materials that nobody told enough of."""
    masses: dict[str, float] = {}
    listed: dict[str, Listed] = {}
    materials: dict[str, dict[str, bool]] = {}
    unjudged: dict[str, str] = {}
    for item in items:
        told = made.materials[item.material]
        if told.raw_materials is None and not told.formula:
            unjudged[item.material] = "give its formula, or raw_materials = [...] of the annexes"
        elif told.raw_materials is None and told.formula == "C":
            unjudged[item.material] = _GRAPHITE
        shares = mass_shares(told.formula) if told.formula else {}
        for one in item.listed:
            listed[one.entry] = one
            share = sum(shares.get(element, 0.0) for element in one.elements)
            materials.setdefault(one.entry, {})[item.material] = share > 0
            masses[one.entry] = masses.get(one.entry, 0.0) + share * item.mass.value
    raw = (
        Raw(
            one,
            masses[entry],
            tuple(materials[entry]),
            tuple(name for name, is_weighed in materials[entry].items() if not is_weighed),
        )
        for entry, one in listed.items()
    )
    return tuple(sorted(raw, key=lambda one: (not one.listed.strategic, one.listed.entry))), unjudged


def _with_carbon(
    made: Prototype, model: Model, amounts: Mapping[str, Quantity], table: CarbonTable | None
) -> tuple[Model, dict[str, Quantity]]:
    """The model with a carbon result for every material and process that the table has, and their sum."""
    inputs = dict(amounts)
    if table is None:
        return model, inputs
    inputs |= {f"factor.{name}": one.factor for name, one in table.materials.items() if name in made.materials}
    energies = {row.name for row in made.processes}
    inputs |= {f"factor.{name}": one.factor for name, one in table.energies.items() if name in energies}
    if len(inputs) == len(amounts):
        return model, inputs  # no factor is filled in: no sum

    def whole(v: Mapping[str, Floats]) -> Mapping[str, Floats]:
        found = dict(model(v))
        total = 0 * found["mass"]
        for name, mass in list(found.items()):
            if name.startswith(_MASS):
                material = _material_of(made, name.removeprefix(_MASS))
                if f"factor.{material}" in v:
                    part = mass * v[f"factor.{material}"]
                    if "loss" in v and is_mixed(made, name.removeprefix(_MASS)):
                        part = part / (1 - v["loss"])
                    found[f"carbon {material}"] = found.get(f"carbon {material}", 0.0) + part
                    total = total + part
        for row in made.processes:
            if row.name in table.energies:
                part = v[f"process.{row.name}.energy"] / _KWH_J * v[f"factor.{row.name}"]
                found[f"carbon {row.name}"] = part
                total = total + part
        found["carbon"] = total
        if "energy" in found:
            found["carbon per kWh"] = total / found["energy"] * _KWH_J
        if "power" in found:
            found["carbon per kW"] = total / found["power"] * 1e3
        return found

    return whole, inputs


def _material_of(made: Prototype, where: str) -> str:
    if where.startswith("part."):
        return next(part.material for part in made.parts if f"part.{part.name}" == where)
    return _material_at(where)


def _carbon(sheet: BuildSheet, table: CarbonTable) -> Carbon:
    spreads, made = sheet.tolerances.spreads, sheet.made
    names = dict.fromkeys(item.material for item in sheet.items)
    missing = [name for name in names if name not in table.materials]
    missing += [row.name for row in made.processes if row.name not in table.energies]
    covered = sum(item.mass.value for item in sheet.items if item.material in table.materials)
    factors = {name: table.materials[name] for name in names if name in table.materials}
    factors |= {row.name: table.energies[row.name] for row in made.processes if row.name in table.energies}
    return Carbon(
        sheet.quantity("carbon", "kg") if factors else None,
        {
            per: sheet.quantity(f"carbon per {per}", f"kg/{per}")
            for per in ("kWh", "kW")
            if f"carbon per {per}" in spreads
        },
        {name: spreads[f"carbon {name}"].value for name in factors},
        {name: one.source for name, one in factors.items()},
        missing,
        covered / spreads["mass"].value,
        bool(made.processes),
    )
