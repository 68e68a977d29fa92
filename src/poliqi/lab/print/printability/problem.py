"""A flaw of a design: what, how bad, where, and what helps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Flaw", "Problem", "Severity", "refused"]


class Severity(StrEnum):
    """What a flaw means for the print."""

    REFUSE = "refuse"
    """It cannot come out as designed."""
    CAUTION = "caution"
    """It may, and somebody has to look."""


class Flaw(StrEnum):
    """The kinds of flaws; docs/explanation/printability.md says how each is found."""

    DEAD_END = "dead-end channel"
    TRAPPED_RESIN = "trapped resin"
    CLOSED_PORT = "port below the surface"
    CAVITY = "closed cavity"
    ISLAND = "floating island"
    NARROW_LUMEN = "narrow lumen"
    THIN_WALL = "thin wall between vessels"
    THIN_SHELL = "thin wall to the outside"
    TOO_HIGH = "too high"
    TOO_WIDE = "tile too wide"
    STUBBY = "vessel shorter than its radius"


@dataclass(frozen=True, slots=True)
class Problem:
    """A flaw. `value` and `limit` are in `unit`; `place_um` is the worst place, `count` how many places have it."""

    severity: Severity
    what: Flaw
    value: float
    limit: float
    place_um: tuple[float, float, float]
    remedy: str
    count: int = 1
    unit: str = "um"
    detail: str = ""

    @property
    def line(self) -> str:
        """The flaw in one line for people."""
        x, y, z = self.place_um
        many = f" in {self.count} places, the worst" if self.count > 1 else ""
        more = f" ({self.detail})" if self.detail else ""
        return (
            f"{self.what}{many} at ({x:.1f}, {y:.1f}, {z:.1f}) um: {self.value:.3g} {self.unit}, "
            f"limit {self.limit:.3g}{more}; {self.remedy}"
        )

    @property
    def record(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "severity": str(self.severity),
            "what": str(self.what),
            "value": self.value,
            "limit": self.limit,
            "unit": self.unit,
            "place_um": list(self.place_um),
            "count": self.count,
            "detail": self.detail,
            "remedy": self.remedy,
        }


def refused(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Those for which the design cannot be printed."""
    return tuple(one for one in problems if one.severity is Severity.REFUSE)
