"""Results of a build sheet in the units that people use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from poliqi.base.doubt import doubted
from poliqi.lab.echem.prototype.parts import FuelCell
from poliqi.lab.echem.prototype.sheet import BuildSheet

__all__ = ["RESULTS", "Shown", "interval", "main_result", "shown", "weight", "words_of"]


class Shown(NamedTuple):
    """How a result is shown: in words, in which unit, and what SI is multiplied with."""

    words: str
    unit: str
    factor: float


_NORMAL_LITRE: Final = 22.413969545
"""Of a mole at 0 degrees Celsius and 101,325 Pa (CODATA 2018)."""
_PER_MINUTE: Final = 60.0
RESULTS: Final[Mapping[str, Shown]] = {
    "capacity": Shown("capacity", "mAh", 1 / 3.6),
    "np_ratio": Shown("N/P ratio", "", 1.0),
    "first charge ratio": Shown("N/P ratio of the first charge", "", 1.0),
    "energy": Shown("energy", "Wh", 1 / 3600),
    "specific energy": Shown("energy per whole mass", "Wh/kg", 1 / 3600),
    "specific energy of the stack": Shown("energy per mass without parts", "Wh/kg", 1 / 3600),
    "positive areal capacity": Shown("positive, capacity per area", "mAh/cm2", 1 / 36_000),
    "negative areal capacity": Shown("negative, capacity per area", "mAh/cm2", 1 / 36_000),
    "positive porosity": Shown("positive, porosity", "%", 100.0),
    "negative porosity": Shown("negative, porosity", "%", 100.0),
    "positive coating": Shown("positive, coating of one face", "mg", 1e6),
    "negative coating": Shown("negative, coating of one face", "mg", 1e6),
    "positive sheet": Shown("positive, sheet with its coating", "mg", 1e6),
    "negative sheet": Shown("negative, sheet with its coating", "mg", 1e6),
    "pore volume": Shown("pores", "uL", 1e9),
    "electrolyte volume": Shown("electrolyte", "uL", 1e9),
    "electrolyte per capacity": Shown("electrolyte per capacity", "g/Ah", 3.6e6),
    "stack thickness": Shown("sheets upon each other", "mm", 1e3),
    "current": Shown("current", "A", 1.0),
    "current density": Shown("current density", "A/cm2", 1e-4),
    "power": Shown("power", "W", 1.0),
    "catalyst metal": Shown("catalyst metal, both sides", "mg", 1e6),
    "power per metal": Shown("power per catalyst metal", "W/mg", 1e-6),
    "cathode surface": Shown("cathode, surface of the metal", "m2/g", 1e-3),
    "anode surface": Shown("anode, surface of the metal", "m2/g", 1e-3),
    "cathode roughness": Shown("cathode, surface over area", "cm2/cm2", 1.0),
    "anode roughness": Shown("anode, surface over area", "cm2/cm2", 1.0),
    "cathode powder": Shown("cathode, catalyst with support", "mg", 1e6),
    "anode powder": Shown("anode, catalyst with support", "mg", 1e6),
    "hydrogen": Shown("hydrogen in", "NL/min", _NORMAL_LITRE * _PER_MINUTE),
    "air": Shown("air in", "NL/min", _NORMAL_LITRE * _PER_MINUTE),
    "water": Shown("water made", "g/h", 3.6e6),
    "heat": Shown("heat", "W", 1.0),
    "mass": Shown("mass", "g", 1e3),
    "carbon": Shown("carbon", "kg CO2e", 1.0),
    "carbon per kWh": Shown("carbon per kWh", "kg CO2e/kWh", 1.0),
    "carbon per kW": Shown("carbon per kW", "kg CO2e/kW", 1.0),
}
_LARGER: Final = {"mg": "g", "uL": "mL", "mAh": "Ah", "Wh": "kWh"}
_LONG: Final = 1000.0


def words_of(sheet: BuildSheet, name: str) -> str:
    """What a result is called; a sum in which something lacks says so wherever it stands."""
    is_part = sheet.carbon is not None and sheet.carbon.is_partial and name.startswith("carbon")
    return RESULTS[name].words + (" (PARTIAL)" if is_part else "")


def shown(sheet: BuildSheet, name: str) -> str:
    """A result with its doubt and unit."""
    one, form = sheet.tolerances.spreads[name], _form(sheet, name)
    return f"{doubted(one.value * form.factor, one.sigma * form.factor)} {form.unit}".rstrip()


def _form(sheet: BuildSheet, name: str) -> Shown:
    """In a larger unit where the number would be a long one."""
    form = RESULTS[name]
    if form.unit in _LARGER and sheet.tolerances.spreads[name].value * form.factor >= _LONG:
        return Shown(form.words, _LARGER[form.unit], form.factor * 1e-3)
    return form


def weight(mass_kg: float, sigma_kg: float) -> str:
    """A mass with its doubt and unit."""
    unit, factor = ("g", 1e3) if mass_kg * 1e6 >= _LONG else ("mg", 1e6)
    return f"{doubted(mass_kg * factor, sigma_kg * factor)} {unit}"


def interval(sheet: BuildSheet, name: str) -> str:
    """Where 95 % of the draws of a result are."""
    one, form = sheet.tolerances.spreads[name], _form(sheet, name)
    low, high = sorted((one.low * form.factor, one.high * form.factor))
    return f"95 % of draws {low:.4g} to {high:.4g}"


def main_result(sheet: BuildSheet) -> str:
    """What a prototype is built for."""
    return "current" if isinstance(sheet.made, FuelCell) else "capacity"
