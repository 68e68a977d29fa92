"""How a number with a standard deviation is written and read: 0.812(4), 0.812+-0.004, 49.995 +- 0.013."""

from __future__ import annotations

import math
import re
from typing import Final

__all__ = ["doubted", "read_doubted"]

_FORM: Final = re.compile(
    r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(?:\(([0-9]+)\)|\s*(?:\+-|±)\s*([0-9.]+(?:[eE][+-]?[0-9]+)?))?"
)


def doubted(value: float, sigma: float | None) -> str:
    """Value with its doubt, both to the second digit of the doubt: 49.995 +- 0.013."""
    if sigma is None or not math.isfinite(sigma):
        return f"{value:.5g}"
    if sigma <= 0:
        return f"{value:.6g} +- 0"
    places = 1 - math.floor(math.log10(sigma))
    if 0 <= places <= 8:
        return f"{value:.{places}f} +- {sigma:.{places}f}"
    digits = max(math.floor(math.log10(max(abs(value), sigma))) + places, 1)
    return f"{value:.{min(digits, 12)}e} +- {sigma:.1e}"


def read_doubted(text: str) -> tuple[float, float]:
    """Value and standard deviation, 0 where none is written. Raises ValueError for what is no number."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!a:.60} is no number with a doubt, such as 0.812, 0.812(4) or 0.812+-0.004")
    mantissa, _, power = found[1].lower().partition("e")
    places = len(mantissa.partition(".")[2]) - int(power or 0)
    sigma = float(found[3] or 0.0) if found[2] is None else float(f"{found[2]}e{-places}")
    value = float(found[1])
    if not math.isfinite(value) or not math.isfinite(sigma):
        raise ValueError(f"{text!a:.60} is out of range of a number")
    return value, sigma
