"""Hydrogen that crosses a membrane, and electrons that do, by a slow sweep over a cell with hydrogen and nitrogen.

Above 0.3 V all hydrogen that arrives is oxidised: the current is i_x + E / R, its slope the electronic short, what
is left at 0 V the crossover (Cooper, Ramani, Fenton, Kunz, Experimental Methods and Data Analyses for Polymer
Electrolyte Fuel Cells, Scribner, 2005). With a sweep up and one down the double layer's current, which changes sign
between them, cancels in their mean; with one alone it stays in the crossover.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.constants import FARADAY_C_MOL
from poliqi.lab.echem.correlated import widening
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.echem.voltammetry.voltammogram import Voltammogram, sweeps

__all__ = ["Crossover", "crossover"]

Floats = NDArray[np.float64]
"""C/mol, CODATA 2018."""
_FEWEST: Final = 10
_CLEAR: Final = 2.0
_LEAST_V: Final = 0.25


@dataclass(frozen=True, slots=True)
class Crossover:
    """`values`: crossover and short as far as they are told; `why` is of the others."""

    values: Mapping[str, Quantity]
    why: Mapping[str, str]
    potential_v: Floats
    current_a: Floats
    """What the line was fitted to (n,): the mean of both ways, or the one way."""
    line_a: tuple[float, float]
    """Current at 0 V and slope in A/V."""
    limits_v: tuple[float, float]
    assumed: tuple[str, ...]
    cautions: tuple[str, ...]


def crossover(one: Voltammogram, *, limits_v: tuple[float, float], hydrogen_v: float = 0.0) -> Crossover:
    """By a straight line through the currents between `limits_v`; `hydrogen_v` is the potential of no voltage.

    Raises DataRefused where no sweep spans the limits, or oxidation is not positive.
    """
    low, high = limits_v
    if not low < high:
        raise DataRefused(f"{one.title}: limits from {low} to {high} V: the first has to be the lower one")
    spanning = [two for two in sweeps(one) if two.potential_v[0] <= low and two.potential_v[-1] >= high]
    ups, downs = ([two for two in spanning if two.is_up is way] for way in (True, False))
    if not spanning:
        raise DataRefused(
            f"{one.title}: no sweep spans {low:g} to {high:g} V; the file goes from {one.potential_v.min():.4g} to "
            f"{one.potential_v.max():.4g} V"
        )
    cautions: list[str] = []
    lead = ups[-1] if ups else downs[-1]
    e, i = (column[1:-1] for column in lead.between(low, high))
    if ups and downs:
        other = np.interp(e, downs[-1].potential_v, downs[-1].current_a)
        apart = float(np.median(i - other)) / 2
        i = 0.5 * (i + other)
        layer = f"mean of a sweep up and one down: the double layer ({1e6 * abs(apart):.4g} uA either way) cancels"
    else:
        layer = "one sweep alone: the double layer's current is in the crossover"
        cautions.append(
            "only one way was swept: the double layer's current (capacitance times scan rate) is counted as "
            "crossover; "
            "sweep back as well, or slower"
        )
    if e.size < _FEWEST:
        raise DataRefused(f"{one.title}: {e.size} points between {low:g} and {high:g} V; give {_FEWEST} at least")
    if low < _LEAST_V:
        cautions.append(
            f"the line begins at {low:g} V: below {_LEAST_V:g} V hydrogen is not oxidised as it arrives"
        )
    x = e - hydrogen_v
    design = np.stack((np.ones_like(x), x), axis=1)
    inverse = np.linalg.inv(design.T @ design)
    at_zero, slope = (float(value) for value in inverse @ (design.T @ i))
    off = i - at_zero - slope * x
    wide = widening(off)
    covariance = inverse * (float(off @ off) / (x.size - 2)) * wide
    curved = _curved(x, i)
    if curved:
        cautions.append(
            "the current is clearly curved between the limits: a straight line does not hold; narrow them"
        )
    return _told(one, (at_zero, slope), covariance, e, i, limits_v, [layer], cautions)


def _curved(x: Floats, i: Floats) -> bool:
    """Whether a parabola bends by more than three standard errors and a hundredth of the current."""
    u = (x - x.mean()) / np.ptp(x)
    design = np.stack((np.ones_like(u), u, u * u), axis=1)
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ (design.T @ i)
    off = i - design @ found
    sigma = math.sqrt(float(inverse[2, 2]) * float(off @ off) / (x.size - 3))
    return abs(float(found[2])) > max(3 * sigma, 1e-2 * float(np.abs(i).max()))


def _told(
    one: Voltammogram, line: tuple[float, float], covariance: NDArray[np.floating[Any]], e: Floats, i: Floats,
    limits_v: tuple[float, float], assumed: list[str], cautions: list[str],
) -> Crossover:  # fmt: skip
    """Currents, flux, resistance; the short only where the slope is clear of 0."""
    at_zero, slope = line
    sigma, slope_sigma = math.sqrt(float(covariance[0, 0])), math.sqrt(float(covariance[1, 1]))
    values: dict[str, Quantity] = {}
    why: dict[str, str] = {}
    if at_zero > _CLEAR * sigma:
        values["crossover_current"] = Quantity(at_zero, sigma, "A", one.title)
        values["hydrogen_flow"] = Quantity(
            at_zero / (2 * FARADAY_C_MOL), sigma / (2 * FARADAY_C_MOL), "mol/s", one.title
        )
        if one.area_cm2 is not None:
            scale = 1e3 / one.area_cm2
            values["crossover_density"] = Quantity(at_zero * scale, sigma * scale, "mA/cm2", one.title)
            flux = 1e4 / (2 * FARADAY_C_MOL * one.area_cm2)
            values["hydrogen_flux"] = Quantity(at_zero * flux, sigma * flux, "mol/(m2 s)", one.title)
    else:
        reason = "must be above 0 and clear of it: is the current's sign right (oxidation positive)?"
        why["crossover_current"] = f"{at_zero:.3g} +- {sigma:.2g} A at 0 V, {reason}"
    if slope > _CLEAR * slope_sigma:
        values["short_resistance"] = Quantity(1 / slope, slope_sigma / slope**2, "ohm", one.title)
        if one.area_cm2 is not None:
            area = one.area_cm2
            values["short_area_resistance"] = Quantity(
                area / slope, area * slope_sigma / slope**2, "ohm cm2", one.title
            )
    else:
        least = max(slope, 0.0) + _CLEAR * slope_sigma
        bound = f"; above {1 / least:.3g} ohm by two sigma" if least > 0 else ""
        why["short_resistance"] = f"the slope {slope:.3g} +- {slope_sigma:.2g} A/V is not clear of 0{bound}"
        if slope < -_CLEAR * slope_sigma:
            cautions.append(f"the current falls with the potential ({slope:.3g} A/V), which no short does")
    told = (
        "all hydrogen that crosses is oxidised between the limits by two electrons; the other electrode stays put",
        *assumed,
        f"scan rate {1e3 * one.scan_rate_v_s:.5g} mV/s ({one.scan_rate_from})",
        f"potentials against RHE: {one.offset_v:+g} V on the file's",
    )
    return Crossover(values, why, e, i, line, limits_v, told, tuple(cautions))
