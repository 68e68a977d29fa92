"""What check-ups of one cell say together: how much lithium and electrode is lost since the first, and how fast.

Losses are 1 - C / C_0 with the errors of both check-ups. A rate is the slope of a straight line through the
capacities themselves, whose errors are independent, over its value at the first check-up: so the error of the first
is not counted once for every later one. Where the points scatter more than their errors say, these are widened by
sqrt(chi^2 / degrees) (Birge, Phys. Rev. 40, 207, 1932).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.degradation.modes import CAPACITIES, CheckUp
from poliqi.lab.echem.quantity import Quantity

__all__ = ["CAPACITY", "LOSSES", "Degradation", "Trend", "degradation"]

Floats = NDArray[np.float64]
LOSSES: Final[Mapping[str, str]] = {
    "lithium_ah": "loss of lithium inventory",
    "negative_ah": "loss of active material, negative electrode",
    "positive_ah": "loss of active material, positive electrode",
}
"""Of `CAPACITIES`, in words."""
CAPACITY: Final = "capacity_ah"
"""The charge of the sweep itself, beside `LOSSES`."""
_LEAST: Final = 2


@dataclass(frozen=True, slots=True)
class Trend:
    """How fast a capacity goes: `rate` in percent of the first check-up per unit of `at`, above 0 for a loss."""

    rate: Quantity | None
    line_ah: tuple[float, float] | None
    """Value at `at` = 0 and slope."""
    scatter: float
    """sqrt(chi^2 / degrees) about the line; nan with two check-ups."""
    why: str = ""
    """Why no rate is told."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """Losses since the first of `check_ups`, in percent, by name of the capacity; None where not identified."""

    check_ups: tuple[CheckUp, ...]
    at: Floats
    """(k,) rising: cycles, days or what else the check-ups are counted in."""
    unit: str
    losses: tuple[Mapping[str, Quantity | None], ...]
    """Of each check-up but the first."""
    trends: Mapping[str, Trend]
    simulated: bool


def degradation(check_ups: Sequence[CheckUp], at: Sequence[float], unit: str) -> Degradation:
    """Losses and rates. `at` says when each check-up was. Raises DataRefused."""
    when = np.asarray(at, dtype=np.float64)
    if not check_ups or when.shape != (len(check_ups),):
        raise DataRefused(f"{when.size} places of {len(check_ups)} check-ups; say of each when it was (in {unit})")
    if not bool(np.all(np.isfinite(when)) and np.all(when[1:] > when[:-1])):
        raise DataRefused(f"check-ups at {', '.join(f'{one:g}' for one in when)} {unit}: must rise, first to last")
    first = check_ups[0]
    losses = tuple(_losses(first, one) for one in check_ups[1:])
    trends = {name: _trend(name, check_ups, when, unit) for name in (CAPACITY, *LOSSES)}
    return Degradation(tuple(check_ups), when, unit, losses, trends, any(one.sweep.simulated for one in check_ups))


def _of(one: CheckUp, name: str) -> Quantity | None:
    if name == CAPACITY:
        return Quantity(one.sweep.capacity_ah, 0.0, "Ah", one.sweep.title)
    return one.capacities.get(name)


def _losses(first: CheckUp, now: CheckUp) -> dict[str, Quantity | None]:
    """In percent, with sigma to first order of both."""
    found: dict[str, Quantity | None] = {}
    for name in (CAPACITY, *LOSSES):
        before, after = _of(first, name), _of(now, name)
        if before is None or after is None:
            found[name] = None
            continue
        share = after.value / before.value
        sigma = share * math.hypot(before.relative_sigma, after.relative_sigma)
        found[name] = Quantity(100 * (1 - share), 100 * sigma, "%", LOSSES.get(name, "charge of the sweep"))
    return found


def _trend(name: str, check_ups: Sequence[CheckUp], at: Floats, unit: str) -> Trend:
    found = [_of(one, name) for one in check_ups]
    told = [(float(x), one) for x, one in zip(at, found, strict=True) if one is not None]
    if len(told) < _LEAST:
        return Trend(None, None, math.nan, f"told by {len(told)} of {at.size} check-ups; a rate needs {_LEAST}")
    x = np.array([place for place, _ in told])
    y = np.array([one.value for _, one in told])
    sigma = np.array([one.sigma for _, one in told])
    is_known = bool(np.all(sigma > 0))
    weight = 1 / sigma**2 if is_known else np.ones_like(y)
    middle = float(weight @ x / weight.sum())
    design = np.stack((np.ones_like(x), x - middle), axis=1)
    covariance = np.linalg.inv(design.T @ (weight[:, None] * design))
    value, slope = (float(one) for one in covariance @ design.T @ (weight * y))
    off = y - value - slope * (x - middle)
    degrees = y.size - 2
    scatter = math.sqrt(float(off @ (weight * off)) / degrees) if degrees else math.nan
    if not is_known and not degrees:
        return Trend(None, (value - slope * middle, slope), scatter, "two check-ups without errors of their own")
    covariance = covariance * (scatter**2 if not is_known else max(scatter, 1.0) ** 2 if degrees else 1.0)
    begin = value + slope * (float(at[0]) - middle)
    by = np.array([slope, slope * (float(at[0]) - middle) - begin]) / begin**2  # of -slope / begin
    rate = Quantity(
        -100 * slope / begin, 100 * math.sqrt(float(by @ covariance @ by)), f"%/{unit}", "straight line"
    )
    return Trend(rate, (value - slope * middle, slope), scatter)


assert set(LOSSES) == set(CAPACITIES)
