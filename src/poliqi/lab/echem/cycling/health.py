"""State of health: capacity against a stated reference, and its trend with error bars.

The trend is a straight line through discharges of like current, by least squares with equal weights (Seber and Lee,
Linear Regression Analysis, 2003, ch. 6.1): its sigma takes the scatter about the line as independent from cycle to
cycle. Where a parabola fits clearly better the line is told, and nothing is extrapolated from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.cycling.cycles import Cycle, Cycles, is_cut
from poliqi.lab.echem.cycling.halfcycles import HalfCycle
from poliqi.lab.echem.quantity import Quantity

__all__ = ["END_OF_LIFE", "Health", "health", "told_fade"]

END_OF_LIFE: Final = 0.8
_LIKE: Final = 0.1
_LEAST: Final = 4
_CLEAR: Final = 3.0
_FARTHEST: Final = 3.0
_ROUNDING: Final = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Health:
    """`cycle` (k,) and `capacity_ah` (k,) are the discharges that count; the rest is what follows from them."""

    reference_ah: float
    reference_from: str
    current_a: float
    """Around which the discharges that count lie."""
    cycle: NDArray[np.int64]
    capacity_ah: Floats
    left_out: tuple[str, ...]
    """Each a cycle, and why it does not count."""
    now: Quantity | None
    """State of health at the last cycle, by the line."""
    fade: Quantity | None
    """Loss of capacity per cycle as a share of the reference, above 0 where it is lost."""
    line_ah: tuple[float, float] | None
    """Capacity at cycle 0 and change per cycle, of the line."""
    end_of_life: Quantity | None
    """Cycle at which the line reaches `END_OF_LIFE`."""
    verdict: str
    """Why there is no trend, or no end of life; empty where both are told."""


def health(found: Cycles, *, nominal_ah: float | None = None, nominal_from: str = "stated") -> Health:
    """State of health of the cell. Raises DataRefused where no discharge can count.

    The reference is `nominal_ah`, else the first discharge that counts.
    """
    if nominal_ah is not None and not 0 < nominal_ah < math.inf:
        raise DataRefused(f"nominal capacity {nominal_ah} Ah: give a number above 0")
    counted, current, left_out = _counted(found)
    if not counted:
        raise DataRefused(
            f"{found.record.title!r}: no complete discharge after a charge; health has nothing to count"
        )
    cycle = np.array([one.number for one, _ in counted], dtype=np.int64)
    capacity = np.array([half.capacity_ah for _, half in counted])
    reference = float(capacity[0]) if nominal_ah is None else nominal_ah
    named = f"discharge of cycle {cycle[0]}" if nominal_ah is None else nominal_from
    if cycle.size < _LEAST:
        why = f"{cycle.size} discharges count: a trend with error bars needs {_LEAST}"
        return Health(reference, named, current, cycle, capacity, left_out, None, None, None, None, why)
    (at_zero, slope), covariance, bent = _line(cycle.astype(float), capacity)
    last = float(cycle[-1])
    now = Quantity(
        (at_zero + slope * last) / reference,
        math.sqrt(covariance[0, 0] + 2 * last * covariance[0, 1] + last * last * covariance[1, 1]) / reference,
        "1",
        "straight line",
    )
    fade = Quantity(-slope / reference, math.sqrt(covariance[1, 1]) / reference, "1/cycle", "straight line")
    end, why = _end(at_zero, slope, covariance, reference, last, bent)
    line = (at_zero, slope)
    return Health(reference, named, current, cycle, capacity, left_out, now, fade, line, end, why)


def _counted(found: Cycles) -> tuple[list[tuple[Cycle, HalfCycle]], float, tuple[str, ...]]:
    """Discharges of the most usual current that are whole; that current; who is left out and why."""
    left_out, whole = list[str](), list[tuple[Cycle, HalfCycle]]()
    for cycle, half in found.discharges():
        if len(cycle.halves) == 1:
            left_out.append(f"cycle {cycle.number}: no charge beside it")
        elif is_cut(found, half):
            left_out.append(f"cycle {cycle.number}: the record ends in it")
        else:
            whole.append((cycle, half))
    if not whole:
        return [], math.nan, tuple(left_out)
    currents = np.array([abs(half.mean_current_a) for _, half in whole])
    ordered = np.sort(currents)
    near = [np.searchsorted(ordered, currents * (1 + side * _LIKE)) for side in (1, -1)]
    usual = float(currents[int(np.argmax(near[0] - near[1]))])
    counted = list[tuple[Cycle, HalfCycle]]()
    for (cycle, half), current in zip(whole, currents.tolist(), strict=True):
        if abs(current / usual - 1) < _LIKE:
            counted.append((cycle, half))
        else:
            left_out.append(f"cycle {cycle.number}: at {current:.3g} A instead of {usual:.3g} A")
    return counted, usual, tuple(left_out)


def _line(x: Floats, y: Floats) -> tuple[tuple[float, float], Floats, bool]:
    """Value at 0 and slope, their covariance (2, 2), and whether a parabola is clearly better."""
    middle = float(x.mean())
    design = np.stack((np.ones_like(x), x - middle), axis=1)
    inverse = np.linalg.inv(design.T @ design)
    value, slope = inverse @ design.T @ y
    residual = y - design @ np.array([value, slope])
    covariance = inverse * float(residual @ residual) / (x.size - 2)
    shift = np.array([[1.0, -middle], [0.0, 1.0]])
    at_zero = float(value) - float(slope) * middle
    return (at_zero, float(slope)), shift @ covariance @ shift.T, _is_bent(x - middle, y)


def _is_bent(x: Floats, y: Floats) -> bool:
    if x.size < _LEAST + 1:
        return False
    scale = float(np.abs(x).max())
    design = np.stack((np.ones_like(x), x / scale, (x / scale) ** 2), axis=1)
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ design.T @ y
    residual = y - design @ found
    sigma = math.sqrt(float(inverse[2, 2]) * float(residual @ residual) / (x.size - 3))
    return abs(float(found[2])) > max(_CLEAR * sigma, _ROUNDING * float(np.abs(y).max()))


def _end(
    at_zero: float, slope: float, covariance: Floats, reference: float, last: float, bent: bool
) -> tuple[Quantity | None, str]:
    """The cycle at which the line is at the end of life, with sigma to first order; or why it is not told."""
    if bent:
        return None, "the capacity does not fall along a straight line: nothing is extrapolated"
    if slope >= 0 or -slope < _CLEAR * math.sqrt(covariance[1, 1]):
        return None, f"the capacity does not fall by more than {_CLEAR:g} sigma: no end of life to tell"
    end = (END_OF_LIFE * reference - at_zero) / slope
    if end > _FARTHEST * last:
        return None, f"the line reaches {100 * END_OF_LIFE:g} % past {_FARTHEST:g} times the cycles seen: not told"
    by_zero, by_slope = -1 / slope, -end / slope
    variance = (
        by_zero**2 * covariance[0, 0] + 2 * by_zero * by_slope * covariance[0, 1] + by_slope**2 * covariance[1, 1]
    )
    return Quantity(end, math.sqrt(variance), "cycle", "straight line, extrapolated"), ""


def told_fade(one: Health) -> Sequence[str]:
    """The trend in words, a line each."""
    from poliqi.base.doubt import doubted

    lines = [f"reference {one.reference_ah * 1e3:.5g} mAh ({one.reference_from})"]
    if one.now is not None and one.fade is not None:
        lines.append(f"health {doubted(100 * one.now.value, 100 * one.now.sigma)} % at cycle {one.cycle[-1]}")
        lines.append(f"fade {doubted(100 * one.fade.value, 100 * one.fade.sigma)} % a cycle")
    if one.end_of_life is not None:
        end = doubted(one.end_of_life.value, one.end_of_life.sigma)
        lines.append(f"{100 * END_OF_LIFE:g} % at cycle {end}, if it goes on so")
    return [*lines, one.verdict] if one.verdict else lines
