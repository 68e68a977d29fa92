"""What a design has to keep: limits on its measures, as `hypoxic<1%`, `print<2h` or `shear=0.5:2Pa`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ConfigError

__all__ = ["MEASURES", "Measure", "Target", "missed", "read_target", "shown"]

_TEXT: Final = re.compile(r"\s*([a-z_]+)\s*(<=?|>=?|=)\s*([-+.\d:eE]+)\s*([A-Za-z%0-9/]*)\s*")


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured: how people see it (`unit`, so many of it in one of the record), and what it is.

    `ends`: the measures that a range from low to high limits, where they are two. None is below 0, or above `most`.
    """

    what: str
    unit: str
    units: Mapping[str, float]
    ends: tuple[str, str] | None = None
    most: float = math.inf


_TIME: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
_PART: Final = {"%": 0.01, "": 1.0}
_PA: Final = {"Pa": 1.0, "": 1.0}
_UM: Final = {"um": 1.0, "": 1.0}
_COUNT: Final = {"": 1.0}

MEASURES: Final = {
    "hypoxic": Measure("share of the tissue below the limit of oxygen", "%", _PART, most=1.0),
    "print": Measure("time of the print", "h", _TIME),
    "volume": Measure("of all vessels", "um3", {"um3": 1.0, "mm3": 1e9, "": 1.0}),
    "power": Measure("that pumping takes: pressure times flow", "nW", {"nW": 1e-9, "uW": 1e-6, "W": 1.0}),
    "shear": Measure(
        "of the wall, at 5 and 95 % of the length of arteries and veins", "Pa", _PA, ("shear_low", "shear_high")
    ),
    "shear_low": Measure("wall shear at 5 % of the length", "Pa", _PA),
    "shear_high": Measure("wall shear at 95 % of the length", "Pa", _PA),
    "covered": Measure("share of the tissue within 200 um of a vessel", "%", _PART, most=1.0),
    "farthest": Measure("from tissue to a vessel", "um", _UM),
    "thinnest": Measure("least radius", "um", _UM),
    "drop": Measure("pressure from the highest to the lowest", "Pa", _PA),
    "flaws": Measure("kinds of flaws that refuse the print", "", _COUNT),
}
"""By name; `flaws` have to be 0 unless a target says otherwise."""


@dataclass(frozen=True, slots=True)
class Target:
    """`low` <= the measure <= `high`, in the unit of the record; infinite where there is none."""

    name: str
    low: float
    high: float
    text: str


def read_target(text: str) -> Target:
    """`NAME<VALUE UNIT`, `NAME>VALUE UNIT` or `NAME=LOW:HIGH UNIT`. Raises ConfigError."""
    found = _TEXT.fullmatch(text)
    measure = MEASURES.get(found[1]) if found else None
    if found is None or measure is None:
        raise ConfigError(
            f'target {text!a:.60}: give "hypoxic<1%", "print<2h" or "shear=0.5:2Pa"; names: {", ".join(MEASURES)}'
        )
    name, sign, numbers, unit = found.groups()
    if unit not in measure.units:
        units = ", ".join(one for one in measure.units if one)
        raise ConfigError(f"target {text!a:.60}: the unit {unit!a} is not one of {name}; give {units or 'none'}")
    try:
        values = [float(one) * measure.units[unit] for one in numbers.split(":")]
        if len(values) != (2 if sign == "=" else 1) or not all(math.isfinite(one) for one in values):
            raise ValueError
        low, high = values if sign == "=" else [-math.inf, values[0]] if sign[0] == "<" else [values[0], math.inf]
        if not low <= high:
            raise ValueError
    except ValueError:
        raise ConfigError(f'target {text!a:.60}: give one number, or LOW:HIGH with "="') from None
    return Target(name, low, high, text.strip())


def missed(measures: Mapping[str, float], targets: Sequence[Target]) -> list[tuple[str, float]]:
    """Targets that are not kept, in words, each with how far it is missed as a share of its limit."""
    found: list[tuple[str, float]] = []
    for target in targets:
        low_name, high_name = MEASURES[target.name].ends or (target.name, target.name)
        for name, limit, sign in ((low_name, target.low, 1), (high_name, target.high, -1)):
            value = measures.get(name)
            if value is None:
                found.append((f"{target.text}: not known", math.inf))
            elif sign * (limit - value) > 0:
                found.append(
                    (f"{target.text}: it is {shown(name, value)}", abs(limit - value) / max(abs(limit), 1e-12))
                )
    return list(dict.fromkeys(found))


def shown(name: str, value: float) -> str:
    """With its unit, for people."""
    measure = MEASURES[name]
    unit = "min" if name == "print" and value < measure.units["h"] else measure.unit
    return f"{value / measure.units[unit]:.3g} {unit}".strip()
