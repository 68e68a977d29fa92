"""Amounts as people write them: a number, its doubt, its unit, such as "12.0(2) mg/cm2" or "25 +- 1 um"."""

from __future__ import annotations

import math
import re
from typing import Final

from poliqi.base.doubt import read_doubted
from poliqi.base.errors import ConfigError
from poliqi.lab.echem.quantity import Quantity

__all__ = ["UNITS", "amount_text", "parse_amount"]

_CM2: Final = 1e-4
UNITS: Final[dict[str, dict[str, float]]] = {
    "1": {"": 1.0, "%": 0.01},
    "m": {"nm": 1e-9, "um": 1e-6, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0},
    "kg": {"ug": 1e-9, "µg": 1e-9, "mg": 1e-6, "g": 1e-3, "kg": 1.0},
    "m3": {"uL": 1e-9, "µL": 1e-9, "mL": 1e-6, "L": 1e-3},
    "kg/m2": {"mg/cm2": 1e-6 / _CM2, "g/m2": 1e-3, "kg/m2": 1.0},
    "kg/m3": {"g/cm3": 1e3, "g/mL": 1e3, "kg/L": 1e3, "kg/m3": 1.0},
    "C/kg": {"mAh/g": 3.6e3, "Ah/kg": 3.6e3},
    "C/m2": {"mAh/cm2": 3.6 / _CM2, "Ah/m2": 3.6e3},
    "kg/C": {"g/Ah": 1e-3 / 3.6e3, "mg/mAh": 1e-3 / 3.6e3},
    "V": {"mV": 1e-3, "V": 1.0},
    "V/decade": {"mV/decade": 1e-3, "V/decade": 1.0},
    "ohm m2": {"mohm cm2": 1e-3 * _CM2, "ohm cm2": _CM2, "ohm m2": 1.0},
    "A/m2": {"uA/cm2": 1e-6 / _CM2, "µA/cm2": 1e-6 / _CM2, "mA/cm2": 1e-3 / _CM2, "A/cm2": 1 / _CM2, "A/m2": 1.0},
    "A/kg": {"A/mg": 1e6, "A/g": 1e3, "A/kg": 1.0},
    "m2/kg": {"m2/g": 1e3, "m2/kg": 1.0},
    "J": {"J": 1.0, "Wh": 3.6e3, "kWh": 3.6e6, "MJ": 1e6},
    "s": {"h": 3600.0, "d": 86_400.0},
}
"""By dimension, what people write and its factor to SI."""
_FORM: Final = re.compile(
    r"\s*([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?(?:\([0-9]+\)|\s*(?:\+-|±)\s*[0-9.]+(?:[eE][+-]?[0-9]+)?)?)\s*(.*?)\s*"
)
_LONGEST: Final = 80


def parse_amount(text: str | float, dimension: str, name: str) -> Quantity:
    """In SI; `dimension` is one of `UNITS`, `name` the setting's. A bare number is taken for shares alone.

    Raises ConfigError, which names the units that do.
    """
    units = UNITS[dimension]
    known = ", ".join(unit for unit in units if unit)
    want = f"{name}: write a number with a unit, such as 1.50(2) {known.partition(',')[0]} (units: {known})"
    if dimension == "1":
        want = f"{name}: write a number or a percentage, such as 0.96(1) or 96 %"
    if isinstance(text, bool):
        raise ConfigError(f"{want}; not {text}")
    if not isinstance(text, str):
        if dimension != "1":
            raise ConfigError(f"{want}; {text} has no unit")
        text = repr(text)
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise ConfigError(f"{want}; not {text!a:.90}")
    if found[2] not in units:
        raise ConfigError(f"{want}; {text!a:.90} has {'the unit ' + ascii(found[2]) if found[2] else 'no unit'}")
    try:
        value, sigma = read_doubted(found[1])
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    factor = units[found[2]]
    if not math.isfinite(value * factor) or not math.isfinite(sigma * factor):
        raise ConfigError(f"{name}: {text!a:.90} is out of range")
    return Quantity(value * factor, sigma * factor, dimension, name)


def amount_text(value: float, sigma: float, unit: str) -> str:
    """What `parse_amount` reads as the same value and doubt, given in `unit`."""
    return f"{value!r} +- {sigma!r} {unit}".rstrip() if sigma else f"{value!r} {unit}".rstrip()
