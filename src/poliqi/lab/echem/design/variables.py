"""What of a pair of electrodes may be chosen: names that tell the unit, limits, and how designs are listed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ConfigError, DataRefused

__all__ = ["MOST_DESIGNS", "VARIABLES", "Range", "Variable", "check_chosen", "grid_of", "read_range", "sampled"]

MOST_DESIGNS: Final = 20_000
_MOST_VALUES: Final = 1000


@dataclass(frozen=True, slots=True)
class Variable:
    """From `lower` to `upper`. `parameter` is the set's name for it, in SI: times `factor`."""

    lower: float
    upper: float
    what: str
    parameter: str = ""
    factor: float = 1.0


def _sides(
    stem: str, lower: float, upper: float, what: str, parameter: str = "", factor: float = 1.0
) -> dict[str, Variable]:
    return {
        f"{side.lower()}_{stem}": Variable(
            lower, upper, what.format(side=side.lower()), parameter.format(Side=side, side=side.lower()), factor
        )
        for side in ("Positive", "Negative")
    }


VARIABLES: Final[Mapping[str, Variable]] = {
    **_sides("thickness_um", 5, 1000, "coat of the {side} electrode", "{Side} electrode thickness [m]", 1e6),
    "np_ratio": Variable(0.3, 5, "places of the negative over those that the positive electrode uses"),
    **_sides("porosity", 0.05, 0.8, "share of pores in the {side} electrode", "{Side} electrode porosity"),
    **_sides("radius_um", 1e-3, 100, "particles of the {side} electrode", "{Side} particle radius [m]", 1e6),
    **_sides(
        "sites_mol_m3",
        1e3,
        4e5,
        "places for lithium in the {side} material",
        "Maximum concentration in {side} electrode [mol.m-3]",
    ),
    "separator_thickness_um": Variable(2, 500, "separator", "Separator thickness [m]", 1e6),
    **_sides("collector_um", 1, 500, "{side} collector", "{Side} current collector thickness [m]", 1e6),
    **_sides("density_kg_m3", 100, 12_000, "{side} active material without pores"),
    **_sides("inert_density_kg_m3", 500, 12_000, "binder and carbon of the {side} electrode without pores"),
    **_sides(
        "collector_density_kg_m3", 100, 25_000, "{side} collector", "{Side} current collector density [kg.m-3]"
    ),
    "separator_density_kg_m3": Variable(20, 5000, "dry separator with its pores", "Separator density [kg.m-3]"),
    "electrolyte_density_kg_m3": Variable(500, 3000, "electrolyte"),
}
"""By name. Of `np_ratio` and `negative_thickness_um` one is chosen and the other follows."""


@dataclass(frozen=True, slots=True)
class Range:
    """A variable and its values; `values` is empty where any from `low` to `high` may be drawn."""

    name: str
    low: float
    high: float
    values: tuple[float, ...] = ()


def check_chosen(chosen: Mapping[str, float]) -> None:
    """Raises ConfigError for what cannot be chosen, DataRefused for what is out of its limits."""
    for name, value in chosen.items():
        limit = VARIABLES.get(name)
        if limit is None:
            raise ConfigError(f"{name!a:.60} cannot be chosen; these can: {', '.join(VARIABLES)}")
        if not limit.lower <= value <= limit.upper:
            raise DataRefused(f"{name} is {value:g}, must lie from {limit.lower:g} to {limit.upper:g}")
    if "np_ratio" in chosen and "negative_thickness_um" in chosen:
        raise ConfigError("np_ratio and negative_thickness_um: choose one of them, the other follows")


def read_range(text: str) -> Range:
    """NAME=60,75,94 or NAME=60:120:7 (low, high, how many) or NAME=60:120. Raises ConfigError."""
    name, equals, words = text.partition("=")
    parts = words.split(":")
    try:
        if not equals or len(parts) > 3 or name not in VARIABLES:
            raise ValueError
        if len(parts) == 1:
            values = tuple(dict.fromkeys(float(one) for one in words.split(",")))
        else:
            low, high = float(parts[0]), float(parts[1])
            count = int(parts[2]) if len(parts) > 2 else 0
            if not low < high or not math.isfinite(high - low) or not (0 <= count <= _MOST_VALUES and count != 1):
                raise ValueError
            values = tuple(low + (high - low) * at / (count - 1) for at in range(count))
            if not values:
                check_chosen({name: low})
                check_chosen({name: high})
                return Range(name, low, high)
        for one in values:
            check_chosen({name: one})
    except (ValueError, DataRefused) as error:
        why = f" ({error})" if isinstance(error, DataRefused) else ""
        raise ConfigError(
            f"--vary {text!a:.80}{why}: give NAME=LOW:HIGH:COUNT or NAME=VALUE,VALUE,..., such as "
            f"positive_thickness_um=60:120:7; names are {', '.join(VARIABLES)}"
        ) from error
    return Range(name, min(values), max(values), values)


def grid_of(ranges: Sequence[Range]) -> list[dict[str, float]]:
    """Every combination. Raises ConfigError where there are none or too many."""
    _check(ranges)
    loose = [one.name for one in ranges if not one.values]
    if loose:
        raise ConfigError(f"--vary {loose[0]}: say how many values, as LOW:HIGH:COUNT, or give --samples")
    total = math.prod(len(one.values) for one in ranges)
    if total > MOST_DESIGNS:
        raise ConfigError(
            f"--vary: {total} combinations, at most {MOST_DESIGNS}; give fewer values, or --samples with LOW:HIGH"
        )
    names = [one.name for one in ranges]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(one.values for one in ranges))]


def sampled(ranges: Sequence[Range], count: int) -> list[dict[str, float]]:
    """So many designs, evenly over all ranges by a Halton sequence (Numerische Mathematik 2, 84, 1960)."""
    from scipy.stats import qmc

    _check(ranges)
    if not 1 <= count <= MOST_DESIGNS:
        raise ConfigError(f"--samples {count}: must be 1 to {MOST_DESIGNS}")
    unit = qmc.Halton(len(ranges), scramble=False).random(count + 1)[1:]  # the first is a corner
    return [
        {one.name: one.low + (one.high - one.low) * float(share) for one, share in zip(ranges, row, strict=True)}
        for row in unit
    ]


def _check(ranges: Sequence[Range]) -> None:
    names = [one.name for one in ranges]
    if not names:
        raise ConfigError("--vary: say what to vary, such as --vary positive_thickness_um=60:120:7")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"--vary {twice[0]} is given twice; give all its values at once")
    if {"np_ratio", "negative_thickness_um"} <= set(names):
        raise ConfigError("--vary np_ratio and negative_thickness_um: choose one of them, the other follows")
