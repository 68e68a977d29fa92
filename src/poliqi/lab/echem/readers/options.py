"""What a reader may be told: columns, the sign of the current, and which faults of a file are to be let pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Positive", "ReadOptions", "Repeated"]


class Positive(StrEnum):
    """What the cell does while the file's current is positive."""

    CHARGE = "charge"
    DISCHARGE = "discharge"


class Repeated(StrEnum):
    """What becomes of points at the time of the point before, which cyclers write where a step begins."""

    REFUSE = "refuse"
    FIRST = "first"
    """Those after the first are left out."""
    LAST = "last"
    """Those before the last are left out."""
    APART = "apart"
    """All stay, each a microsecond after the one before: integrals over time keep their value."""
    SPREAD = "spread"
    """All stay, at equal distances up to the next time: for files whose times are rounded."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Nothing is taken for granted that is not set here: neither unit nor sign nor that a gap does not matter."""

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """For "time", "voltage", "current" and others of `Role`: the column's name or number, with "[unit]" behind it
    where the file states none, such as {"current": "Strom [mA]"}."""
    positive: Positive | None = None
    """In place of what the file's format says."""
    repeated: Repeated = Repeated.REFUSE
    keep_gaps: bool = False
    keep_resets: bool = False
    ignore_counters: bool = False
    """Current times time is not held against what the file counts as charge."""
    sheet: str = ""
    window_v: tuple[float, float] | None = None
    """Voltages outside it are refused."""
    window_of: str = ""
    """Whose window that is, for errors."""
