"""What the head of a column in an impedance file means: frequency/Hz, Re(Z)/Ohm, -Im(Z)/Ohm, Zmod (ohm) ...

A head without a unit means nothing: ohm and milliohm look alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["Column", "Kind", "NoUnit", "column_of", "columns_of"]


class Kind(StrEnum):
    """What a column holds."""

    FREQUENCY = "frequency"
    REAL = "Re Z"
    IMAGINARY = "Im Z"
    MODULUS = "|Z|"
    PHASE = "phase of Z"
    CYCLE = "cycle"
    SIMULATED = "simulated"
    """1 where the point was calculated, as POLIQI writes it."""


@dataclass(frozen=True, slots=True)
class Column:
    """`factor` makes Hz, ohm, with the sign of Im Z, or degrees of its numbers."""

    kind: Kind
    factor: float


@dataclass(frozen=True, slots=True)
class NoUnit:
    """A head whose quantity is known and whose unit is missing or foreign."""

    kind: Kind
    unit: str


_NAMES: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("freq", "frequency", "f"), Kind.FREQUENCY),
    **dict.fromkeys(("re(z)", "z'", "z'(a)", "zre", "zreal", "rez", "real(z)", "zr"), Kind.REAL),
    **dict.fromkeys(
        ("im(z)", "z''", 'z"', "z''(b)", "zim", "zimag", "zimg", "imz", "imag(z)", "zi"), Kind.IMAGINARY
    ),
    **dict.fromkeys(("|z|", "zmod", "z", "mod(z)"), Kind.MODULUS),
    **dict.fromkeys(("phase(z)", "phase", "zphz", "phase(z)"), Kind.PHASE),
    **dict.fromkeys(("cyclenumber", "cycle"), Kind.CYCLE),
    "simulated": Kind.SIMULATED,
}
_HERTZ: Final = {"hz": 1.0, "khz": 1e3}
_OHMS: Final = {"ohm": 1.0, "ohms": 1.0, "kohm": 1e3, "uohm": 1e-6, "µohm": 1e-6}
_DEGREES: Final = {"deg": 1.0, "°": 1.0, "degree": 1.0, "degrees": 1.0}
_LARGE_AND_SMALL: Final = {"mhz": (1e-3, 1e6), "mohm": (1e-3, 1e6), "mohms": (1e-3, 1e6)}
_UNIT: Final = re.compile(r"(?P<name>.+?)(?:/(?P<slash>[^/()\[\]]+)|\[(?P<square>[^\]]+)\]|\((?P<round>[^()]+)\))")
_LONGEST: Final = 80
_UNITLESS: Final = frozenset({Kind.CYCLE, Kind.SIMULATED})


def column_of(head: str, units: Mapping[Kind, str] | None = None) -> Column | NoUnit | None:
    """What a head says; None where it is no quantity of an impedance. `units` hold for heads without one."""
    if len(head) > _LONGEST:
        return None
    word = head.strip().strip('"').strip()
    squeezed = "".join(word.split()).replace("_", "").replace("\N{OHM SIGN}", "Ohm").replace("Ω", "Ohm")
    kind, unit, negative = _named(squeezed, "")
    if kind is None and (found := _UNIT.fullmatch(squeezed)):
        kind, unit, negative = _named(found["name"], found["slash"] or found["square"] or found["round"])
    if kind is None:
        return None
    if kind in _UNITLESS:
        return Column(kind, 1.0)
    unit = unit or (units or {}).get(kind, "")
    factor = _factor(kind, unit)
    return NoUnit(kind, unit) if factor is None else Column(kind, -factor if negative else factor)


def columns_of(
    heads: Sequence[str], units: Mapping[Kind, str] | None = None
) -> tuple[dict[Kind, tuple[int, float]], list[str]]:
    """Place and factor of each kind (the first that is told), and heads that lack a unit."""
    found: dict[Kind, tuple[int, float]] = {}
    lacking: list[str] = []
    for at, head in enumerate(heads):
        match column_of(head, units):
            case Column(kind, factor):
                found.setdefault(kind, (at, factor))
            case NoUnit(kind, unit):
                lacking.append(f"{head.strip()!a:.40}" + (f" (unit {unit!a:.20})" if unit else ""))
            case None:
                pass
    return found, lacking


def _named(name: str, unit: str) -> tuple[Kind | None, str, bool]:
    lower = name.lower()
    negative = lower.startswith("-")
    kind = _NAMES.get(lower.removeprefix("-"))
    if negative and kind not in {Kind.IMAGINARY, Kind.PHASE}:
        return None, unit, False
    return kind, unit, negative


def _factor(kind: Kind, unit: str) -> float | None:
    known = {Kind.FREQUENCY: _HERTZ, Kind.PHASE: _DEGREES}.get(kind, _OHMS)
    lower = unit.lower()
    if lower in known:
        return known[lower]
    if lower in _LARGE_AND_SMALL and ("hz" in lower) is (kind is Kind.FREQUENCY) and kind is not Kind.PHASE:
        return _LARGE_AND_SMALL[lower][unit.startswith("M")]
    return None
