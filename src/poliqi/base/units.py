"""Quantities as people write them: "7 km", "0.3 dB/km", "50 ns", "1 %"."""

from __future__ import annotations

import math
import re
from typing import Final

from poliqi.base.errors import ConfigError

__all__ = ["parse_quantity"]

_SI: Final = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "": 1.0}
_UP: Final = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}

# unit text -> (dimension, factor to the unit that names the dimension)
_UNITS: Final[dict[str, tuple[str, float]]] = {
    **{f"{p}s": ("s", f) for p, f in _SI.items()},
    "min": ("s", 60.0),
    "h": ("s", 3600.0),
    "d": ("s", 86400.0),
    **{f"{p}Hz": ("Hz", f) for p, f in _UP.items()},
    **{f"{p}bit": ("bit", f) for p, f in _UP.items()},
    **{f"{p}bit/s": ("bit/s", f) for p, f in _UP.items()},
    "keys/s": ("keys/s", 1.0),
    "m": ("m", 1.0),
    "km": ("m", 1e3),
    **{f"{p}m": ("m", f) for p, f in _SI.items() if p in ("n", "p", "u", "µ")},
    **{f"{p}{unit}": (unit, f) for unit in "ACW" for p, f in _SI.items()},
    "dB": ("dB", 1.0),
    "dB/km": ("dB/km", 1.0),
    "dBm": ("dBm", 1.0),
    "%": ("1", 0.01),
    "": ("1", 1.0),
    "ps/(nm km)": ("ps/(nm km)", 1.0),
    "ps/nm/km": ("ps/(nm km)", 1.0),
    "/(nm km)": ("1/(nm km)", 1.0),
    "rad/sqrt(s)": ("rad/sqrt(s)", 1.0),
}
_QUANTITY: Final = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")
_LONGEST: Final = 64


def parse_quantity(text: str | float | int, dimension: str, name: str) -> float:
    """Read a quantity such as `"7 km"` and return it in the dimension's base unit.

    `dimension` is one of "s", "Hz", "bit", "bit/s", "keys/s", "m", "A", "C", "W", "dB", "dB/km", "dBm", "1",
    "ps/(nm km)", "1/(nm km)", "rad/sqrt(s)"; a bare number is taken only where the dimension is "1". `name` is the
    setting's name for the error. Raises ConfigError where the unit is missing or measures something else, or where
    the number is not finite.
    """
    known = [u for u, (d, _) in _UNITS.items() if d == dimension and u]
    want = f"{name}: write a number with a unit, one of {', '.join(known)}" if known else f"{name}: write a number"
    if isinstance(text, bool):
        raise ConfigError(f"{want} (got {text!r})")
    if isinstance(text, int | float):
        if dimension != "1":
            raise ConfigError(f"{want} (got {text!r}, which has no unit)")
        value = float(text)
    else:
        found = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            raise ConfigError(f"{want} (got {text[:_LONGEST]!r})")
        unit = found[2]
        if unit not in _UNITS:
            raise ConfigError(f"{want} (got {text!r}; unit {unit!r} is not known)")
        got, factor = _UNITS[unit]
        if got != dimension:
            missing = "which has no unit" if unit == "" else f"which measures {got}"
            raise ConfigError(f"{want} (got {text!r}, {missing})")
        value = float(found[1]) * factor
    if not math.isfinite(value):
        raise ConfigError(f"{want} (got {text!r}, which is not finite)")
    return value
