"""A pair of electrodes as a design: how it is balanced, and what every layer of it weighs.

The layers are those of the model: a coat on each collector, a separator between them, electrolyte in all pores.
Case, tabs and margins are not in it. What is not chosen is as in the parameter set of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.constants import FARADAY_C_MOL
from poliqi.lab.echem.design.balance import OpenCircuit, open_circuit_of
from poliqi.lab.echem.design.variables import VARIABLES, check_chosen
from poliqi.lab.echem.models.cellparameters import ParameterSet

__all__ = ["SIDES", "Cell", "Reference", "Side", "reference_of"]

SIDES: Final = ("positive", "negative")
_ELECTROLYTE_KG_M3: Final = 1200.0
_WHOLE: Final = 0.999
_ANY: Final = 0.9999
"""A set's own negative electrode may be as full as it is: designs of it say so."""
_DRY: Final = ("Chen2020", "OKane2022")
"""Sets whose electrode densities are of the dry coat: its solid then has 2.2 (negative) and 4.9 g/cm3 (positive).
Those of others count the electrolyte in, or would need graphite of 3 to 4 g/cm3."""


@dataclass(frozen=True, slots=True)
class Side:
    """One electrode on its collector. `active` and `porosity` are shares of the coat's volume."""

    thickness_m: float
    porosity: float
    active: float
    radius_m: float
    sites_mol_m3: float
    coat_kg_m2: float
    """Dry."""
    collector_kg_m2: float
    collector_m: float

    @property
    def places_mol_m2(self) -> float:
        """Places for lithium by area."""
        return self.sites_mol_m3 * self.active * self.thickness_m


@dataclass(frozen=True, slots=True)
class Cell:
    """A balanced design. `full` and `empty` are the lithium contents of positive and negative electrode then."""

    positive: Side
    negative: Side
    separator_m: float
    values: Mapping[str, float]
    """Every variable."""
    full: tuple[float, float]
    empty: tuple[float, float]
    layers_kg_m2: Mapping[str, float]

    @property
    def capacity_ah_m2(self) -> float:
        """At rest between the set's voltage limits."""
        return self.positive.places_mol_m2 * (self.empty[0] - self.full[0]) * FARADAY_C_MOL / 3600

    @property
    def mass_kg_m2(self) -> float:
        """Of all layers."""
        return sum(self.layers_kg_m2.values())

    @property
    def thickness_m(self) -> float:
        """Of all layers."""
        return self.separator_m + sum(one.thickness_m + one.collector_m for one in (self.positive, self.negative))


@dataclass(frozen=True, slots=True)
class Reference:
    """The parameter set's own cell, from which designs depart."""

    parameters: ParameterSet
    values: Mapping[str, float]
    """The variables that are known."""
    active_of_solid: tuple[float, float]
    """Of the positive and the negative electrode; the rest is binder and carbon."""
    lithium_per_place: float
    """What cycles, over the places in the positive electrode."""
    swing: float
    """Share of its places that the positive electrode uses."""
    separator_porosity: float
    open_circuit: OpenCircuit
    area_m2: float
    assumed: tuple[str, ...]

    def cell(self, chosen: Mapping[str, float], *, both_sides: bool = False) -> Cell:
        """The design with these values; `both_sides`: collectors are coated on both, a half belongs to each pair.

        Raises ConfigError for what cannot be chosen, DataRefused for what makes no cell or is not known.
        """
        values = self._filled(chosen)
        positive, negative = (self._side(at, values, 0.5 if both_sides else 1.0) for at in (0, 1))
        lithium = self.lithium_per_place * positive.places_mol_m2
        contents = self.open_circuit.full_and_empty(positive.places_mol_m2, negative.places_mol_m2, lithium)
        full, empty = ((one, (lithium - positive.places_mol_m2 * one) / negative.places_mol_m2) for one in contents)
        separator_m = values["separator_thickness_um"] * 1e-6
        pores_m = sum(one.porosity * one.thickness_m for one in (positive, negative))
        pores_m += self.separator_porosity * separator_m
        layers = {
            "positive collector": positive.collector_kg_m2,
            "positive coat": positive.coat_kg_m2,
            "separator": values["separator_density_kg_m3"] * separator_m,
            "electrolyte": values["electrolyte_density_kg_m3"] * pores_m,
            "negative coat": negative.coat_kg_m2,
            "negative collector": negative.collector_kg_m2,
        }
        return Cell(positive, negative, separator_m, values, full, empty, layers)

    def _filled(self, chosen: Mapping[str, float]) -> dict[str, float]:
        check_chosen(chosen)
        values = {**self.values, **chosen}
        for at, side in enumerate(SIDES):
            if self.active_of_solid[at] > _WHOLE:
                values.setdefault(f"{side}_inert_density_kg_m3", values.get(f"{side}_density_kg_m3", 0.0))
        missing = [name for name in VARIABLES if name not in values and name != "np_ratio"]
        if missing:
            raise DataRefused(
                f"the {self.parameters.source} does not tell {', '.join(missing)} ({VARIABLES[missing[0]].what}); "
                f"give {' '.join(f'--set {name}=VALUE' for name in missing)}"
            )
        usable = self._places(values, 0) * values["positive_thickness_um"] * self.swing
        whole = self._places(values, 1)
        if "negative_thickness_um" in chosen or "np_ratio" not in values:
            values["np_ratio"] = whole * values["negative_thickness_um"] / usable
        else:
            values["negative_thickness_um"] = values["np_ratio"] * usable / whole
        return {name: values[name] for name in VARIABLES}

    def _places(self, values: Mapping[str, float], at: int) -> float:
        """Places for lithium in mol by cubic metre of the coat."""
        side = SIDES[at]
        return values[f"{side}_sites_mol_m3"] * self.active_of_solid[at] * (1 - values[f"{side}_porosity"])

    def _side(self, at: int, values: Mapping[str, float], collectors: float) -> Side:
        side, share = SIDES[at], self.active_of_solid[at]
        porosity, thickness_m = values[f"{side}_porosity"], values[f"{side}_thickness_um"] * 1e-6
        solid = share * values[f"{side}_density_kg_m3"] + (1 - share) * values[f"{side}_inert_density_kg_m3"]
        collector_m = values[f"{side}_collector_um"] * 1e-6 * collectors
        return Side(
            thickness_m,
            porosity,
            share * (1 - porosity),
            values[f"{side}_radius_um"] * 1e-6,
            values[f"{side}_sites_mol_m3"],
            (1 - porosity) * solid * thickness_m,
            collector_m * values[f"{side}_collector_density_kg_m3"],
            collector_m,
        )


def reference_of(parameters: ParameterSet) -> Reference:
    """The set's cell. Raises DataRefused for others, such as half cells or two materials in an electrode."""

    def both(name: str) -> list[float]:
        return [_number(parameters, name.format(side=side, Side=side.capitalize())) for side in SIDES]

    active, porosity = both("{Side} electrode active material volume fraction"), both("{Side} electrode porosity")
    thickness = both("{Side} electrode thickness [m]")
    most, held = (
        both(f"{which} concentration in {{side}} electrode [mol.m-3]") for which in ("Maximum", "Initial")
    )
    share = [one / (1 - pores) for one, pores in zip(active, porosity, strict=True)]
    if max(share) > 1 + 1e-9:
        raise DataRefused(f"the {parameters.source}: active material and pores fill more than an electrode")
    places = [a * b * c for a, b, c in zip(most, active, thickness, strict=True)]
    lithium = sum(a * b * c for a, b, c in zip(held, active, thickness, strict=True))
    circuit = open_circuit_of(parameters)
    try:
        full, empty = circuit.full_and_empty(places[0], places[1], lithium, fullest=_ANY)
    except DataRefused as error:
        raise DataRefused(
            f"the cell of the {parameters.source} is not balanced ({error}); name another set"
        ) from error
    values = {
        name: number * one.factor
        for name, one in VARIABLES.items()
        if one.parameter and (number := parameters.number(one.parameter)) is not None
    }
    values["np_ratio"] = places[1] / (places[0] * (empty - full))
    values["electrolyte_density_kg_m3"] = _ELECTROLYTE_KG_M3
    if parameters.name in _DRY:
        dry = both("{Side} electrode density [kg.m-3]")
        values |= {f"{side}_density_kg_m3": dry[at] / (1 - porosity[at]) for at, side in enumerate(SIDES)}
    return Reference(
        parameters,
        values,
        (share[0], share[1]),
        lithium / places[0],
        empty - full,
        _number(parameters, "Separator porosity"),
        circuit,
        _number(parameters, "Electrode height [m]") * _number(parameters, "Electrode width [m]"),
        _assumed(parameters, lithium / places[0], empty - full),
    )


def _assumed(parameters: ParameterSet, lithium: float, swing: float) -> tuple[str, ...]:
    """What stands beside every number of a design."""
    source = parameters.source
    celsius = _number(parameters, "Ambient temperature [K]") - 273.15
    densities = (f"electrode densities of the {source} are of dry coats with their pores",)
    return (
        "masses and volumes are those of the layers with electrolyte in all pores: no case, no tabs",
        f"lithium that cycles is {lithium:.4f} of the places in the positive electrode, as in the {source}",
        f"np_ratio is all places of the negative over those that the positive uses there, {swing:.4f} of all",
        "binder and carbon keep their share of the solid; pores conduct by the set's Bruggeman exponents",
        f"the cell stays at {celsius:.4g} degC",
        f"electrolyte has {_ELECTROLYTE_KG_M3:g} kg/m3, as 1 mol/l LiPF6 in carbonates about has, unless set",
        *(densities if parameters.name in _DRY else ()),
    )


def _number(parameters: ParameterSet, name: str) -> float:
    found = parameters.number(name)
    if found is None:
        raise DataRefused(
            f"the {parameters.source} has no number for {name!r}; a design needs a cell with one material in each "
            "electrode: name another set"
        )
    return found
