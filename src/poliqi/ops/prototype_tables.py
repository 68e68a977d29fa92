"""The tables of a PROTOTYPE.toml, as people write them: amounts are text with unit and doubt."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = [
    "DIMENSIONS",
    "BatteryTable",
    "CatalystTable",
    "DiffusionTable",
    "ElectrodeTable",
    "ElectrolyteTable",
    "FuelCellTable",
    "MaterialTable",
    "MembraneTable",
    "OperationTable",
    "PartTable",
    "ProcessTable",
    "PrototypeTable",
    "SeparatorTable",
]

Amount = str | float
"""A number alone only for shares and ratios."""
DIMENSIONS: Final = {
    "active_share": "1",
    "air_stoichiometry": "1",
    "areal_capacity": "C/m2",
    "areal_mass": "kg/m2",
    "capacity": "C/kg",
    "collector_thickness": "m",
    "current_density": "A/m2",
    "density": "kg/m3",
    "diameter": "m",
    "energy": "J",
    "excess": "1",
    "first_charge": "C/kg",
    "height": "m",
    "hydrogen_stoichiometry": "1",
    "ionomer_to_support": "1",
    "lifetime": "s",
    "loading": "kg/m2",
    "loading_sigma": "kg/m2",
    "loss": "1",
    "mass": "kg",
    "mass_activity": "A/kg",
    "metal_share": "1",
    "np_ratio": "1",
    "overhang": "m",
    "particle_diameter": "m",
    "per_capacity": "kg/C",
    "porosity": "1",
    "reference_voltage": "V",
    "resistance": "ohm m2",
    "solids_share": "1",
    "specific_activity": "A/m2",
    "surface": "m2/kg",
    "tafel_slope": "V/decade",
    "thickness": "m",
    "thickness_sigma": "m",
    "voltage": "V",
    "volume": "m3",
    "width": "m",
}
"""Dimension of every key that is an amount."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class MaterialTable(_Table, frozen=True):
    """[material.NAME]. `phase` and `formula_units`: what X-rays call it, and Z of its cell."""

    formula: str = ""
    density: Amount | None = None
    raw_materials: tuple[str, ...] | None = None
    source: str = ""
    phase: str = ""
    formula_units: int | None = None


class PartTable(_Table, frozen=True):
    """[[part]]"""

    name: str
    material: str
    mass: Amount
    count: int = 1


class ProcessTable(_Table, frozen=True):
    """[[process]]"""

    name: str
    energy: Amount


class ElectrodeTable(_Table, frozen=True):
    """[positive], [negative]. One of loading, areal_capacity, np_ratio (negative) or foil with a thickness."""

    active: str
    capacity: Amount
    active_share: Amount | None = None
    additives: dict[str, float] = {}
    loading: Amount | None = None
    areal_capacity: Amount | None = None
    np_ratio: Amount | None = None
    loading_sigma: Amount | None = None
    first_charge: Amount | None = None
    thickness: Amount | None = None
    porosity: Amount | None = None
    thickness_sigma: Amount | None = None
    collector: str = ""
    collector_thickness: Amount | None = None
    diameter: Amount | None = None
    width: Amount | None = None
    height: Amount | None = None
    overhang: Amount | None = None
    particle_diameter: Amount | None = None
    particle_source: str = ""
    foil: bool = False
    solvent: str = ""
    solids_share: Amount | None = None


class SeparatorTable(_Table, frozen=True):
    """[separator]"""

    material: str
    thickness: Amount
    porosity: Amount
    diameter: Amount | None = None
    overhang: Amount | None = None


class ElectrolyteTable(_Table, frozen=True):
    """[electrolyte]"""

    material: str
    excess: Amount | None = None
    volume: Amount | None = None
    per_capacity: Amount | None = None


class BatteryTable(_Table, frozen=True, kw_only=True):
    """The whole file of a coin or pouch cell. `assumed`: sentences that belong beside its numbers."""

    kind: str
    name: str
    note: str = ""
    simulated: bool = False
    assumed: tuple[str, ...] = ()
    voltage: Amount | None = None
    layers: int | None = None
    cells: int = 1
    loss: Amount | None = None
    positive: ElectrodeTable
    negative: ElectrodeTable
    separator: SeparatorTable
    electrolyte: ElectrolyteTable
    part: tuple[PartTable, ...] = ()
    process: tuple[ProcessTable, ...] = ()
    material: dict[str, MaterialTable] = {}


class CatalystTable(_Table, frozen=True):
    """[cathode], [anode]"""

    metal: str
    loading: Amount
    metal_share: Amount
    support: str
    ionomer: str
    ionomer_to_support: Amount
    surface: Amount | None = None
    particle_diameter: Amount | None = None
    particle_source: str = ""
    solvent: str = ""
    solids_share: Amount | None = None


class MembraneTable(_Table, frozen=True):
    """[membrane]"""

    material: str
    thickness: Amount
    overhang: Amount | None = None


class DiffusionTable(_Table, frozen=True):
    """[diffusion]"""

    material: str
    areal_mass: Amount
    thickness: Amount | None = None


class OperationTable(_Table, frozen=True):
    """[operation]"""

    voltage: Amount
    current_density: Amount | None = None
    reference_voltage: Amount | None = None
    tafel_slope: Amount | None = None
    resistance: Amount | None = None
    mass_activity: Amount | None = None
    specific_activity: Amount | None = None
    hydrogen_stoichiometry: Amount | None = None
    air_stoichiometry: Amount | None = None
    lifetime: Amount | None = None


class FuelCellTable(_Table, frozen=True, kw_only=True):
    """The whole file of a single fuel cell."""

    kind: str
    name: str
    note: str = ""
    simulated: bool = False
    assumed: tuple[str, ...] = ()
    width: Amount
    height: Amount
    cells: int = 1
    loss: Amount | None = None
    cathode: CatalystTable
    anode: CatalystTable
    membrane: MembraneTable
    diffusion: DiffusionTable
    operation: OperationTable
    part: tuple[PartTable, ...] = ()
    process: tuple[ProcessTable, ...] = ()
    material: dict[str, MaterialTable] = {}


PrototypeTable = BatteryTable | FuelCellTable
