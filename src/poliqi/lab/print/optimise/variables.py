"""What may be varied of a design, and the designs that ranges of it give."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.lab.print.hatch.settings import Mode

__all__ = ["MOST_DESIGNS", "VARIABLES", "Range", "Value", "Variable", "grid_of", "read_range", "sampled"]

MOST_DESIGNS: Final = 20_000
_MOST_VALUES: Final = 1000

Value = float | int | str


@dataclass(frozen=True, slots=True)
class Variable:
    """Limits of a variable and what it is, for people; `words`: one of these instead.

    `is_whole`: numbers between the ends of a range are rounded, those that are given have to be whole.
    """

    low: float
    high: float
    what: str
    is_whole: bool = False
    words: tuple[str, ...] = ()


VARIABLES: Final = {
    "terminals": Variable(1, 1e6, "ends of the arterial trees", is_whole=True),
    "flow_nl_min": Variable(1e-6, 1e9, "flow of all inlets together"),
    "pressure_drop_pa": Variable(1e-6, 1e7, "from each port to the terminals; pressures of ports give way"),
    "exponent": Variable(2, 4, "Murray's g"),
    "wall_um": Variable(0, 1e5, "from lumen to the tissue's surface"),
    "gap_um": Variable(0, 1e5, "between lumens"),
    "seed": Variable(0, 2**31, "of the growth", is_whole=True),
    "capillary_radius_um": Variable(0.1, 1e3, "of the closure"),
    "longest_um": Variable(1, 1e5, "longest capillary of the closure"),
    "hatch_um": Variable(0.01, 1e3, "between lines of the laser"),
    "layer_um": Variable(0.01, 1e3, "between layers"),
    "speed_mm_s": Variable(1e-3, 1e6, "of the laser's focus"),
    "hatch_wall_um": Variable(0.01, 1e5, "of walls, in the modes wall and shell"),
    "mode": Variable(0, 0, "what is lit", words=tuple(str(one) for one in Mode)),
}


@dataclass(frozen=True, slots=True)
class Range:
    """A variable and its values; `values` is empty where any from `low` to `high` may be drawn."""

    name: str
    low: float
    high: float
    values: tuple[Value, ...] = ()


def read_range(text: str) -> Range:
    """NAME=A,B,C or NAME=LOW:HIGH:COUNT or NAME=LOW:HIGH. Raises ConfigError."""
    name, equals, words = text.partition("=")
    known = VARIABLES.get(name)
    if known is None or not equals:
        raise ConfigError(f"--vary {text!a:.80}: give NAME=LOW:HIGH:COUNT; names are {', '.join(VARIABLES)}")
    try:
        if known.words:
            return Range(name, 0, 0, _worded(known, words))
        parts = words.split(":")
        if len(parts) == 1:
            values = tuple(dict.fromkeys(_given(known, one) for one in words.split(",")))
            return Range(name, float(min(values)), float(max(values)), values)
        low, high = (float(_given(known, one)) for one in parts[:2])
        count = int(parts[2]) if len(parts) == 3 else 0
        if not low < high or len(parts) > 3 or count == 1 or not 0 <= count <= _MOST_VALUES:
            raise ValueError("low, high and how many")
        values = tuple(_number(known, low + (high - low) * at / (count - 1)) for at in range(count))
        return Range(name, low, high, tuple(dict.fromkeys(values)))
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"--vary {text!a:.80} ({error}): give NAME=LOW:HIGH:COUNT or NAME=VALUE,VALUE, {_limits(known)}"
        ) from None


def grid_of(ranges: Sequence[Range]) -> list[dict[str, Value]]:
    """Every combination. Raises ConfigError where there are none or too many."""
    _check(ranges)
    loose = [one.name for one in ranges if not one.values]
    if loose:
        raise ConfigError(f"--vary {loose[0]}: say how many values, as LOW:HIGH:COUNT, or give --samples")
    total = math.prod(len(one.values) for one in ranges)
    if total > MOST_DESIGNS:
        raise ConfigError(f"--vary: {total} combinations, at most {MOST_DESIGNS}; give fewer values, or --samples")
    names = [one.name for one in ranges]
    return [dict(zip(names, row, strict=True)) for row in itertools.product(*(one.values for one in ranges))]


def sampled(ranges: Sequence[Range], count: int) -> list[dict[str, Value]]:
    """So many designs, evenly over all ranges by a Halton sequence (Numerische Mathematik 2, 84, 1960)."""
    from scipy.stats import qmc

    _check(ranges)
    if not 1 <= count <= MOST_DESIGNS:
        raise ConfigError(f"--samples {count}: must be 1 to {MOST_DESIGNS}")
    unit = qmc.Halton(len(ranges), scramble=False).random(count + 1)[1:]  # the first is a corner
    return [{one.name: _drawn(one, float(share)) for one, share in zip(ranges, row, strict=True)} for row in unit]


def _drawn(one: Range, share: float) -> Value:
    if one.values and (VARIABLES[one.name].words or len(one.values) == 1):
        return one.values[min(int(share * len(one.values)), len(one.values) - 1)]
    return _number(VARIABLES[one.name], one.low + (one.high - one.low) * share)


def _worded(known: Variable, words: str) -> tuple[Value, ...]:
    values = tuple(dict.fromkeys(words.split(",")))
    wrong = [one for one in values if one not in known.words]
    if wrong:
        raise ValueError(f"{wrong[0]!a:.40} is not known")
    return values


def _given(known: Variable, text: str) -> float | int:
    value = float(text)
    if known.is_whole and not value.is_integer():
        raise ValueError(f"{value:.15g} is no whole number")
    return _number(known, value)


def _number(known: Variable, value: float) -> float | int:
    if not known.low <= value <= known.high:
        raise ValueError(f"{value:g} is beyond its limits")
    return round(value) if known.is_whole else value


def _limits(known: Variable) -> str:
    if known.words:
        return f"of {', '.join(known.words)}"
    return f"{'whole, ' if known.is_whole else ''}from {known.low:g} to {known.high:g}"


def _check(ranges: Sequence[Range]) -> None:
    names = [one.name for one in ranges]
    if not names:
        raise ConfigError("--vary: say what to vary, such as --vary terminals=100:400:4")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"--vary {twice[0]} is given twice; give all its values at once")
