"""What a voltammogram tells, in words and as charts: every assumption beside its number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from poliqi.base.doubt import doubted
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.echem.voltammetry.activearea import ActiveArea
from poliqi.lab.echem.voltammetry.crossover import Crossover
from poliqi.lab.echem.voltammetry.voltammogram import Voltammogram
from poliqi.lab.onepage import BLUE, GREY, ORANGE, Page, Panel

__all__ = [
    "findings_of",
    "told_values",
    "voltammogram_cautions",
    "voltammogram_csv",
    "voltammogram_lines",
    "voltammogram_page",
]

_WORDS: Final[Mapping[str, tuple[str, str, float]]] = {
    "charge": ("charge", "uC", 1e6),
    "area": ("active area", "cm2", 1.0),
    "roughness": ("active area per area of the electrode", "1", 1.0),
    "specific_area": ("active area per mass", "m2/g", 1.0),
    "capacitance": ("capacitance of the double layer", "uF", 1e6),
    "peak": ("peak of the CO", "V", 1.0),
    "crossover_current": ("hydrogen crossover", "mA", 1e3),
    "crossover_density": ("hydrogen crossover", "mA/cm2", 1.0),
    "hydrogen_flow": ("hydrogen that crosses", "nmol/s", 1e9),
    "hydrogen_flux": ("hydrogen that crosses", "mol/(m2 s)", 1.0),
    "short_resistance": ("electronic short", "ohm", 1.0),
    "short_area_resistance": ("electronic short", "ohm cm2", 1.0),
}
"""Name: words, unit shown, factor to it."""
_MICRO: Final = 1e6


def told_values(found: ActiveArea | Crossover) -> list[tuple[str, str]]:
    """Label and number with its doubt."""
    lines: list[tuple[str, str]] = []
    for name, one in found.values.items():
        words, unit, factor = _WORDS[name]
        shown = doubted(factor * one.value, factor * one.sigma or None)
        lines.append((words, f"{shown} {unit}" if unit != "1" else shown))
    return lines


def voltammogram_cautions(found: ActiveArea | Crossover) -> list[str]:
    """Assumptions first."""
    why = [f"{_WORDS[name][0]} is not told: {text}" for name, text in _why(found).items()]
    return [*(f"assumed: {one}" for one in found.assumed), *why, *found.cautions]


def _why(found: ActiveArea | Crossover) -> Mapping[str, str]:
    return found.why if isinstance(found, Crossover) else {}


def voltammogram_lines(found: ActiveArea | Crossover) -> list[str]:
    """For people."""
    lines = [f"{label}: {text}" for label, text in told_values(found)]
    if isinstance(found, ActiveArea):
        whole = math.sqrt(sum(part * part for part in found.parts_c.values()))
        parts = ", ".join(f"{name} {_MICRO * part:.3g} uC" for name, part in found.parts_c.items())
        lines.append(f"error of the charge, {_MICRO * whole:.3g} uC: {parts}")
    return [*lines, *(f"note: {one}" for one in voltammogram_cautions(found))]


def voltammogram_csv(found: ActiveArea | Crossover) -> bytes:
    """A row a quantity, in the units of `Quantity`; what is not told is not in it."""
    rows = ["quantity,value,sigma,unit"]
    rows += [f"{name},{one.value:.8g},{one.sigma:.4g},{one.unit}" for name, one in found.values.items()]
    return ("\n".join(rows) + "\n").encode()


def voltammogram_page(one: Voltammogram, found: ActiveArea | Crossover, title: str) -> Page:
    """The whole curve, and the part that was evaluated."""
    panels = [Panel("voltammogram", lambda axes: _draw_all(axes, one, found))]
    if isinstance(found, ActiveArea):
        panels.append(Panel("charge", lambda axes: _draw_charge(axes, found)))
    else:
        panels.append(
            Panel("line between the limits", lambda axes: _draw_line(axes, found, is_simulated=one.simulated))
        )
    return Page(
        title,
        f"{one.title}, {1e3 * one.scan_rate_v_s:.5g} mV/s",
        told_values(found),
        panels,
        voltammogram_cautions(found),
        [],
        one.simulated,
    )


def _scaled(current_a: Any) -> tuple[float, str]:
    most = float(np.max(np.abs(current_a)))
    return (1.0, "A") if most >= 1 else (1e3, "mA") if most >= 1e-3 else (_MICRO, "uA")


def _draw_all(axes: Any, one: Voltammogram, found: ActiveArea | Crossover) -> None:
    factor, unit = _scaled(one.current_a)
    axes.plot(one.potential_v, factor * one.current_a, lw=0.8, color=BLUE)
    axes.axhline(0, color=GREY, lw=0.5)
    axes.axvspan(*found.limits_v, color=ORANGE, alpha=0.12, lw=0)
    axes.set(xlabel="potential against RHE (V)", ylabel=f"current ({unit})")


def _draw_charge(axes: Any, found: ActiveArea) -> None:
    factor, unit = _scaled(found.sweep.current_a)
    low, high = found.limits_v
    near = (found.sweep.potential_v > low - 0.15) & (found.sweep.potential_v < high + 0.25)
    axes.plot(found.sweep.potential_v[near], factor * found.sweep.current_a[near], lw=1, color=BLUE)
    axes.plot(found.grid_v, factor * found.baseline_a, "--", lw=1, color=GREY, label="baseline")
    axes.fill_between(
        found.grid_v,
        factor * found.baseline_a,
        factor * found.current_a,
        color=ORANGE,
        alpha=0.3,
        lw=0,
        label="charge",
    )
    axes.set(xlabel="potential against RHE (V)", ylabel=f"current ({unit})")
    axes.legend(fontsize=8)


def _draw_line(axes: Any, found: Crossover, *, is_simulated: bool) -> None:
    factor, unit = _scaled(found.current_a)
    at_zero, slope = found.line_a
    x = np.array([0.0, found.limits_v[1]])
    data = "simulated" if is_simulated else "measured"
    axes.plot(found.potential_v, factor * found.current_a, ".", ms=3, color=BLUE, label=data)
    axes.plot(x, factor * (at_zero + slope * x), "-", lw=1, color=ORANGE, label="line, to 0 V")
    axes.set(xlabel="potential against RHE (V)", ylabel=f"current ({unit})")
    axes.set_ylim(min(0.0, factor * float(found.current_a.min())), None)
    axes.legend(fontsize=8)


def findings_of(found: ActiveArea | Crossover) -> list[tuple[str, Quantity]]:
    """Names of findings with their quantities."""
    names = {"area": "active_area", "charge": "adsorption_charge", "roughness": "roughness_factor"}
    return [(names.get(name, name), one) for name, one in found.values.items()]
