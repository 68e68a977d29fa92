"""A stack of equal cells at an operating point: how many, how large, how much power, hydrogen and heat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.constants import FARADAY_C_MOL, HIGHER_HEATING_J_MOL, LOWER_HEATING_J_MOL
from poliqi.lab.echem.polarisation.curve import Conditions
from poliqi.lab.echem.polarisation.fit import PolarisationFit
from poliqi.lab.echem.polarisation.water import HYDROGEN_KG_MOL, thermoneutral_voltage

__all__ = ["OperatingPoint", "Stack", "cell_at_efficiency", "cell_at_voltage", "hydrogen_kg_s", "sized"]

Floats = NDArray[np.float64]
_GRID: Final = 2001
_MOST_CELLS: Final = 100_000
_MOST_AREA_M2: Final = 100.0


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One stack at one current. Power is given by a fuel cell, taken by an electrolyser; both positive."""

    current_density_a_m2: float
    cell_voltage_v: float
    cell_voltage_sigma_v: float
    """Of one cell: doubt of the fit's parameters, and the scatter of its curves."""
    current_a: float
    stack_voltage_v: float
    power_w: float
    power_sigma_w: float
    """As if all cells deviated alike."""
    efficiency_lower: float
    """Over the lower heating value of the hydrogen that reacts or is made."""
    efficiency_higher: float
    hydrogen_kg_s: float
    heat_w: float
    """That has to be cooled away, water being liquid; below 0 where heat is needed."""


@dataclass(frozen=True, slots=True)
class Stack:
    """`cells` in series, each of `area_m2`, all as the fit says at these conditions."""

    fit: PolarisationFit
    conditions: Conditions
    cells: int
    area_m2: float

    def __post_init__(self) -> None:
        """Raises DataRefused for numbers of cells or areas that nobody builds."""
        if not 1 <= self.cells <= _MOST_CELLS:
            raise DataRefused(
                f"{self.cells} cells: must be 1 to {_MOST_CELLS}; check the power and the area of a cell"
            )
        if not 0 < self.area_m2 <= _MOST_AREA_M2:
            raise DataRefused(f"{self.area_m2 * 1e4:g} cm2 a cell: must be above 0, to {_MOST_AREA_M2 * 1e4:g} cm2")
        self.conditions.check(self.fit.device, "operation")

    def at_current_density(self, current_density_a_m2: float) -> OperatingPoint:
        """Raises DataRefused for a current density beyond the measured ones."""
        most = self.fit.most_current_a_m2()
        if not 0 < current_density_a_m2 <= most * (1 + 1e-9):
            raise DataRefused(
                f"{current_density_a_m2 / 1e4:g} A/cm2: the curves were measured up to {most / 1e4:g} A/cm2, and "
                "what lies beyond is not told; work within, or measure further"
            )
        volts, sigma = self.fit.predict(self.conditions, np.array([current_density_a_m2]))
        v, current = float(volts[0]), current_density_a_m2 * self.area_m2
        if v <= 0:
            raise DataRefused(
                f"{current_density_a_m2 / 1e4:g} A/cm2: no voltage is left of a cell; take less current"
            )
        neutral = float(thermoneutral_voltage(np.array(self.conditions.temperature_k)))
        gives = self.fit.device.gives_power
        ratio = [2 * FARADAY_C_MOL * v / heat for heat in (LOWER_HEATING_J_MOL, HIGHER_HEATING_J_MOL)]
        lower, higher = ratio if gives else [1 / one for one in ratio]
        return OperatingPoint(
            current_density_a_m2,
            v,
            float(sigma[0]),
            current,
            v * self.cells,
            v * current * self.cells,
            float(sigma[0]) * current * self.cells,
            lower,
            higher,
            hydrogen_kg_s(current, self.cells),
            (neutral - v if gives else v - neutral) * current * self.cells,
        )

    def at_power(self, power_w: float) -> OperatingPoint:
        """Raises DataRefused for more power than the measured range gives."""
        return self.at_current_density(float(self.current_density_of(np.array([power_w]))[0]))

    def current_density_of(self, power_w: Floats) -> Floats:
        """(n,) of powers of 0 or more. Raises DataRefused where one lies beyond the measured range."""
        grid, power = self.power_curve()
        if bool(np.any(power_w > power[-1] * (1 + 1e-9))) or bool(np.any(power_w < 0)):
            worst = float(power_w[int(np.argmax(np.abs(power_w - power[-1] / 2)))])
            raise DataRefused(
                f"{worst / 1e3:.4g} kW: {self.cells} cells of {self.area_m2 * 1e4:.4g} cm2 work from 0 to "
                f"{power[-1] / 1e3:.4g} kW; take more cells or a larger area"
            )
        return np.interp(power_w, power, grid)

    def power_curve(self) -> tuple[Floats, Floats]:
        """Current density and the stack's power (n,), both rising, from 0 to the most of the measured range."""
        grid = np.linspace(0.0, self.fit.most_current_a_m2(), _GRID)
        volts, _ = self.fit.predict(self.conditions, np.maximum(grid, 1e-6))
        power = volts * grid * self.area_m2 * self.cells
        top = int(np.argmax(power)) + 1
        return grid[:top], power[:top]


def hydrogen_kg_s(current_a: float, cells: int) -> float:
    """By Faraday's law, all current making or taking hydrogen."""
    return current_a * cells * HYDROGEN_KG_MOL / (2 * FARADAY_C_MOL)


def cell_at_voltage(fit: PolarisationFit, at: Conditions, voltage_v: float) -> float:
    """The current density in A/m2 at a cell's voltage. Raises DataRefused outside the measured range."""
    from scipy import optimize

    solver: Any = optimize  # its annotations are partial
    low = min(float(one.current_density_a_m2.min()) for one in fit.curves)
    high = fit.most_current_a_m2()

    def off(i: float) -> float:
        return float(fit.predict(at, np.array([i]))[0][0]) - voltage_v

    if not off(low) * off(high) <= 0:
        ends = sorted((off(low) + voltage_v, off(high) + voltage_v))
        raise DataRefused(
            f"{voltage_v:.4g} V a cell: between the measured {low / 1e4:.3g} and {high / 1e4:.3g} A/cm2 these "
            f"conditions give {ends[0]:.4g} to {ends[1]:.4g} V; choose a voltage within"
        )
    return float(solver.brentq(off, low, high, xtol=1e-6))


def cell_at_efficiency(fit: PolarisationFit, at: Conditions, efficiency: float) -> float:
    """The current density in A/m2 at an efficiency: a fuel cell's by lower, an electrolyser's by higher heating."""
    if not efficiency > 0:
        raise DataRefused(f"efficiency {efficiency:g}: must be above 0, such as 0.55")
    gives = fit.device.gives_power
    volts = (LOWER_HEATING_J_MOL * efficiency if gives else HIGHER_HEATING_J_MOL / efficiency) / (2 * FARADAY_C_MOL)
    return cell_at_voltage(fit, at, volts)


def sized(
    fit: PolarisationFit,
    at: Conditions,
    current_density_a_m2: float,
    *,
    power_w: float | None = None,
    hydrogen_kg_s: float | None = None,
    cells: int | None = None,
    area_m2: float | None = None,
) -> Stack:
    """The stack that gives this power or hydrogen at this current density: of so many cells, or of cells so large.

    Whole cells: the next number above, so that it works at a little less. Raises DataRefused.
    """
    if (cells is None) == (area_m2 is None) or (power_w is None) == (hydrogen_kg_s is None):
        raise ValueError("give one of power and hydrogen, and one of cells and area")
    demand = power_w if power_w is not None else hydrogen_kg_s
    if demand is None or not 0 < demand < math.inf:
        raise DataRefused(f"{demand} is no power or flow that a stack can be made for; give one above 0")
    one = Stack(fit, at, 1, 1.0).at_current_density(current_density_a_m2)
    square_metres = demand / (one.power_w if power_w is not None else one.hydrogen_kg_s)
    if area_m2 is not None:
        return Stack(fit, at, math.ceil(square_metres / area_m2 - 1e-9), area_m2)
    assert cells is not None
    return Stack(fit, at, cells, square_metres / cells)
