"""What a prototype is made of: materials, electrodes, membranes, parts, each amount with its doubt.

Amounts are SI inside: kg/m2, m, C/kg, kg/m3, A/m2. Names of amounts in results are those of the file: where it says
`[positive]` `loading`, it is `positive.loading`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.quantity import Quantity

__all__ = [
    "Battery",
    "CatalystLayer",
    "Diffusion",
    "Electrode",
    "Electrolyte",
    "FuelCell",
    "Kind",
    "Material",
    "Membrane",
    "Operation",
    "Part",
    "Process",
    "Prototype",
    "Separator",
    "amounts_of",
    "is_mixed",
    "material_named",
]


class Kind(StrEnum):
    """What is built."""

    COIN = "coin"
    POUCH = "pouch"
    FUEL_CELL = "fuel-cell"


@dataclass(frozen=True, slots=True)
class Material:
    """What something is of. `raw_materials` are entries of the EU's annexes; None: nobody said."""

    formula: str = ""
    density: Quantity | None = None
    raw_materials: tuple[str, ...] | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What is bought as a piece: case, spacer, tab, plate. `mass` of one."""

    name: str
    material: str
    mass: Quantity
    count: int = 1


@dataclass(frozen=True, slots=True)
class Process:
    """Energy that making one prototype takes, for its carbon."""

    name: str
    energy: Quantity


@dataclass(frozen=True, slots=True)
class Electrode:
    """A coating on a collector, or a foil of the active material itself (`is_foil`).

    `loading`: solids on one side; `active_share`: of the solids' mass, as the `additives` are. `capacity` is
    reversible, `first_charge` what the first charge takes; both of active material.
    """

    active: str
    capacity: Quantity
    loading: Quantity
    active_share: Quantity
    additives: Mapping[str, float] = field(default_factory=dict[str, float])
    first_charge: Quantity | None = None
    thickness: Quantity | None = None
    collector: str = ""
    collector_thickness: Quantity | None = None
    diameter: Quantity | None = None
    width: Quantity | None = None
    height: Quantity | None = None
    overhang: Quantity | None = None
    particle_diameter: Quantity | None = None
    is_foil: bool = False
    solvent: str = ""
    solids_share: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Separator:
    """Sheets between electrodes; `overhang` over the negative's edge, at every side."""

    material: str
    thickness: Quantity
    porosity: Quantity
    diameter: Quantity | None = None
    overhang: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Electrolyte:
    """One of three: `excess` over the volume of all pores, `volume` of a cell, `per_capacity` (kg/C)."""

    material: str
    excess: Quantity | None = None
    volume: Quantity | None = None
    per_capacity: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Battery:
    """A coin or pouch cell. `layers`: positive sheets coated on both sides (pouch)."""

    kind: Literal[Kind.COIN, Kind.POUCH]
    name: str
    positive: Electrode
    negative: Electrode
    separator: Separator
    electrolyte: Electrolyte
    materials: Mapping[str, Material]
    parts: tuple[Part, ...] = ()
    processes: tuple[Process, ...] = ()
    voltage: Quantity | None = None
    """Mean over the discharge."""
    layers: int = 1
    cells: int = 1
    """How many are made in a batch."""
    loss: Quantity | None = None
    """Share of coating mix or ink that is lost in making."""


@dataclass(frozen=True, slots=True)
class CatalystLayer:
    """One side's catalyst: `loading` is of the metal; `metal_share` of the catalyst's mass, the rest support."""

    metal: str
    loading: Quantity
    metal_share: Quantity
    support: str
    ionomer: str
    ionomer_to_support: Quantity
    surface: Quantity | None = None
    """m2 of metal per kg of it."""
    particle_diameter: Quantity | None = None
    solvent: str = ""
    solids_share: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Membrane:
    """Of the fuel cell; `overhang` over the active area's edge, at every side."""

    material: str
    thickness: Quantity
    overhang: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Diffusion:
    """A gas diffusion layer, one on each side."""

    material: str
    areal_mass: Quantity
    thickness: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """Where the cell works: at `voltage`, with a `current_density` that is known, or one of Tafel's law.

    Tafel's law has `tafel_slope` (V a decade), `resistance` (ohm m2), and a current at `reference_voltage` that is
    free of resistance: `mass_activity` (A/kg of metal) or `specific_activity` (A/m2 of metal's surface).
    """

    voltage: Quantity
    current_density: Quantity | None = None
    reference_voltage: Quantity | None = None
    tafel_slope: Quantity | None = None
    resistance: Quantity | None = None
    mass_activity: Quantity | None = None
    specific_activity: Quantity | None = None
    hydrogen_stoichiometry: Quantity | None = None
    air_stoichiometry: Quantity | None = None
    lifetime: Quantity | None = None


@dataclass(frozen=True, slots=True)
class FuelCell:
    """A single cell: catalyst coated membrane, diffusion layers, parts."""

    name: str
    width: Quantity
    height: Quantity
    cathode: CatalystLayer
    anode: CatalystLayer
    membrane: Membrane
    diffusion: Diffusion
    operation: Operation
    materials: Mapping[str, Material]
    parts: tuple[Part, ...] = ()
    processes: tuple[Process, ...] = ()
    cells: int = 1
    loss: Quantity | None = None
    kind: Literal[Kind.FUEL_CELL] = Kind.FUEL_CELL


Prototype = Battery | FuelCell


def material_named(made: Prototype, name: str, where: str) -> Material:
    """Raises DataRefused where the prototype tells of no such material."""
    if name not in made.materials:
        raise DataRefused(
            f"{where} = {name!a:.80}: there is no [material] of that name; known are "
            f"{', '.join(sorted(made.materials))[:300] or 'none'}"
        )
    return made.materials[name]


def is_mixed(made: Prototype, where: str) -> bool:
    """Whether an item, such as "positive.NMC811", comes of a coating mix or an ink, of which `loss` is lost."""
    side = getattr(made, where.partition(".")[0], None)
    if isinstance(side, Electrode):
        return not side.is_foil and not where.endswith(" (collector)")
    return isinstance(side, CatalystLayer)


def amounts_of(made: Prototype) -> dict[str, Quantity]:
    """Every amount by the name that the file has for it."""
    found = _inside("", made)
    for one in fields(made):
        inner = getattr(made, one.name)
        if hasattr(inner, "__dataclass_fields__") and not isinstance(inner, Quantity):
            found |= _inside(f"{one.name}.", inner)
    for name, material in made.materials.items():
        found |= _inside(f"material.{name}.", material)
    for row in made.parts:
        found |= _inside(f"part.{row.name}.", row)
    for row in made.processes:
        found |= _inside(f"process.{row.name}.", row)
    return found


def _inside(prefix: str, thing: Any) -> dict[str, Quantity]:
    names = [one.name for one in fields(thing)]
    return {f"{prefix}{name}": value for name in names if isinstance(value := getattr(thing, name), Quantity)}
