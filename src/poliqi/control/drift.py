"""Whether a measured figure left what is usual for it: steps at once, drifts once they add up.

Exponentially weighted means (S. W. Roberts, Technometrics 1 (1959) 239): a quick one of 3 s, one of 30 s that tells
ramps from steps, and a slow one of an hour, the usual value, with the mean distance of values from the quick one.
While the figure is called unusual the usual value stands still; after a day of it the figure is the new usual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

__all__ = ["Baseline", "Change", "Sensitivity"]

_QUICK_S: Final = 3.0
_MIDDLE_S: Final = 30.0
_SLOW_S: Final = 3600.0
_LEARN_S: Final = 10.0
"""Before that nothing is called unusual."""
_AGAIN_S: Final = 600.0
_NEW_USUAL_S: Final = 86_400.0
_SPREADS: Final = 6.0
_CALM: Final = 0.5
"""Usual again within this part of the threshold."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """A figure is unusual beyond the largest of `least`, `ratio` of the usual value, six mean distances."""

    least: float
    ratio: float
    is_rise: bool = True
    is_fall: bool = False


class Change(Enum):
    """What a new value makes of a figure."""

    UNUSUAL = auto()
    USUAL = auto()


class Baseline:
    """One figure's history, in five numbers."""

    __slots__ = (
        "_began",
        "_middle",
        "_quick",
        "_s",
        "_said_at",
        "_seen",
        "_since",
        "_spread",
        "is_ramp",
        "is_unusual",
        "usual",
    )

    def __init__(self, sensitivity: Sensitivity) -> None:
        self._s: Final = sensitivity
        self.usual = math.nan
        self._quick = self._middle = math.nan
        self._spread = 0.0
        self._began = self._seen = self._since = self._said_at = 0.0
        self.is_unusual = False
        self.is_ramp = False

    def see(self, value: float, now: float) -> Change | None:
        """Take a value; a change where there is one. UNUSUAL comes again every ten minutes."""
        if math.isnan(self.usual):
            self.usual = self._quick = self._middle = value
            self._began = self._seen = now
            return None
        passed, self._seen = max(0.0, now - self._seen), max(now, self._seen)
        scatter = abs(value - self._quick)
        self._quick += (value - self._quick) * -math.expm1(-passed / _QUICK_S)
        self._middle += (value - self._middle) * -math.expm1(-passed / _MIDDLE_S)
        threshold = max(self._s.least, self._s.ratio * self.usual, _SPREADS * self._spread)
        away = self._quick - self.usual
        is_far = (self._s.is_rise and away > threshold) or (self._s.is_fall and -away > threshold)
        if self.is_unusual:
            return self._while_unusual(abs(away) < _CALM * threshold, is_far, now)
        if is_far and now - self._began >= _LEARN_S:
            self.is_unusual = True
            self.is_ramp = abs(self._middle - self.usual) > _CALM * abs(away)
            self._since = self._said_at = now
            return Change.UNUSUAL
        if abs(value - self.usual) <= threshold or now - self._began < _LEARN_S:
            self._learn(value, scatter, passed, now)
        return None

    def _while_unusual(self, is_calm: bool, is_far: bool, now: float) -> Change | None:
        if is_calm or now - self._since >= _NEW_USUAL_S:
            if not is_calm:
                self.usual = self._quick
            self.is_unusual = False
            return Change.USUAL
        if is_far and now - self._said_at >= _AGAIN_S:
            self._said_at = now
            return Change.UNUSUAL
        return None

    def _learn(self, value: float, scatter: float, passed: float, now: float) -> None:
        weight = -math.expm1(-passed / min(_SLOW_S, max(_LEARN_S, now - self._began)))
        self._spread += (scatter - self._spread) * weight
        self.usual += (value - self.usual) * weight
