"""What sizing a stack tells: lines, record, charts, and its course over a load as a table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.doubt import doubted
from poliqi.lab.echem.polarisation.curve import Conditions, condition_words
from poliqi.lab.echem.stack.design import OperatingPoint, Stack, hydrogen_kg_s
from poliqi.lab.echem.stack.hybrid import Split
from poliqi.lab.echem.stack.load import Load
from poliqi.lab.onepage import BLUE, GREEN, GREY, ORANGE, Page, Panel
from poliqi.lab.store.findings import Finding, Findings

__all__ = ["Sizing", "course_of", "findings_of_stack", "lines_of_stack", "page_of_stack", "record_of_stack"]

Floats = NDArray[np.float64]
_HOUR: Final = 3600.0
_KM: Final = 1e3


@dataclass(frozen=True, slots=True)
class Sizing:
    """A stack, the point it was made for, and its course over a load where one was given.

    `stack_w` (n,) is the stack's power over the load's spans, `unused_w` (n,) what is offered to an electrolyser
    beyond what it takes.
    """

    stack: Stack
    point: OperatingPoint
    load: Load | None = None
    stack_w: Floats | None = None
    unused_w: Floats | None = None
    split: Split | None = None
    assumptions: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def is_extrapolated(self) -> bool:
        """Whether the point lies outside the curves, so that its sigma is a lower limit."""
        fit, at = self.stack.fit, self.stack.conditions
        return bool(fit.outside(at) or fit.beyond(at, self.point.current_density_a_m2))

    @property
    def hydrogen_kg(self) -> float:
        """Over the load."""
        assert self.load is not None
        assert self.stack_w is not None
        flow = hydrogen_kg_s(self.stack.area_m2, self.stack.cells)
        return float(np.sum(self.stack.current_density_of(self.stack_w) * self.load.duration_s)) * flow


def _facts(sizing: Sizing) -> list[tuple[str, str]]:
    stack, point = sizing.stack, sizing.point
    gives = stack.fit.device.gives_power
    heat = point.heat_w / 1e3
    volts = _told(sizing, point.cell_voltage_v, point.cell_voltage_sigma_v)
    facts = [
        ("cells", f"{stack.cells} of {stack.area_m2 * 1e4:.5g} cm2"),
        ("operating at", _conditions(stack.conditions)),
        ("current", f"{point.current_density_a_m2 / 1e4:.4g} A/cm2, {point.current_a:.4g} A"),
        ("voltage", f"{volts} V a cell, {point.stack_voltage_v:.4g} V"),
        (
            "power given" if gives else "power taken",
            f"{_told(sizing, point.power_w / 1e3, point.power_sigma_w / 1e3)} kW",
        ),
        ("hydrogen used" if gives else "hydrogen made", f"{point.hydrogen_kg_s * _HOUR:.4g} kg/h"),
        (
            "efficiency",
            f"{point.efficiency_lower:.1%} by lower, {point.efficiency_higher:.1%} by higher heating value",
        ),
        ("heat to take away" if heat >= 0 else "heat to supply", f"{abs(heat):.4g} kW"),
    ]
    return facts + (_load_facts(sizing) if sizing.load is not None else [])


def _told(sizing: Sizing, value: float, sigma: float) -> str:
    """With its doubt, told as a lower limit where nobody knows more."""
    return doubted(value, sigma).replace(" +-", ", at least +-" if sizing.is_extrapolated else " +-")


def _conditions(at: Conditions) -> str:
    known = {name: float(getattr(at, name)) for name in Conditions.__slots__}
    return ", ".join(
        condition_words(name, value) for name, value in known.items() if math.isfinite(value) and value
    )


def _load_facts(sizing: Sizing) -> list[tuple[str, str]]:
    load, split = sizing.load, sizing.split
    assert load is not None
    energy = float(np.sum(load.power_w * load.duration_s)) / _HOUR / 1e3
    peak = f"peak {load.power_w.max() / 1e3:.4g} kW"
    used = f"{sizing.hydrogen_kg:.4g} kg"
    if load.distance_m:
        peak += f", {load.distance_m / _KM:.4g} km"
        used += f", {sizing.hydrogen_kg / load.distance_m * 1e5:.3g} kg/100 km"
    facts = [
        ("load", f"{load.title}: {load.seconds:.5g} s, {energy:.4g} kWh, {peak}"),
        ("hydrogen over it", used),
    ]
    if split is not None:
        given = float(np.sum(split.discharge_w * load.duration_s)) / _HOUR / 1e3
        most = max(split.charge_w.max(), split.discharge_w.max()) / 1e3
        span = f"{split.stored_wh.min() / 1e3:.4g} to {split.stored_wh.max() / 1e3:.4g} kWh"
        facts += [
            (
                "split",
                f"at most {split.gap:.2%} above the least that is possible ({split.bound_kg:.4g} kg, proven)",
            ),
            ("battery", f"{span}, {given:.4g} kWh given, up to {most:.4g} kW"),
        ]
    if sizing.unused_w is not None and bool(np.any(sizing.unused_w > 0)):
        unused = float(np.sum(sizing.unused_w * load.duration_s)) / _HOUR / 1e3
        facts.append(("not used", f"{unused:.4g} kWh offered above what the stack takes"))
    return facts


def lines_of_stack(sizing: Sizing) -> list[str]:
    """For people at a terminal."""
    facts = _facts(sizing)
    wide = max(len(name) for name, _ in facts)
    return [
        f"{sizing.stack.fit.device}: simulated, from measured curves"
        if not any(one.simulated for one in sizing.stack.fit.curves)
        else f"{sizing.stack.fit.device}: simulated, from simulated curves",
        *(f"  {name:<{wide}}  {text}" for name, text in facts),
        *(f"assumption: {one}" for one in sizing.assumptions),
        *(f"caution: {one}" for one in sizing.cautions),
    ]


def record_of_stack(sizing: Sizing) -> dict[str, Any]:
    """For --json; everything in SI."""
    stack, load, split = sizing.stack, sizing.load, sizing.split
    conditions = {name: float(getattr(stack.conditions, name)) for name in Conditions.__slots__}
    record: dict[str, Any] = {
        "device": str(stack.fit.device),
        "cells": stack.cells,
        "area_m2": stack.area_m2,
        "conditions": {name: value for name, value in conditions.items() if math.isfinite(value)},
        "point": _point_record(sizing),
        "is_extrapolated": sizing.is_extrapolated,
        "assumptions": list(sizing.assumptions),
        "cautions": list(sizing.cautions),
        "simulated": True,
    }
    if load is not None:
        record["load"] = {
            "title": load.title,
            "seconds": load.seconds,
            "energy_j": float(np.sum(load.power_w * load.duration_s)),
            "peak_w": float(load.power_w.max()),
            "distance_m": load.distance_m,
            "hydrogen_kg": sizing.hydrogen_kg,
        }
    if split is not None:
        record["split"] = {"hydrogen_kg": split.hydrogen_kg, "bound_kg": split.bound_kg, "gap": split.gap}
    return record


def _point_record(sizing: Sizing) -> dict[str, float | None]:
    """Sigmas are None where only a lower limit of them is known; that stands beside them."""
    point = sizing.point
    told: dict[str, float | None] = {name: getattr(point, name) for name in OperatingPoint.__slots__}
    if sizing.is_extrapolated:
        told |= {"cell_voltage_sigma_v": None, "power_sigma_w": None}
    return told | {
        "cell_voltage_sigma_at_least_v": point.cell_voltage_sigma_v,
        "power_sigma_at_least_w": point.power_sigma_w,
    }


def page_of_stack(sizing: Sizing) -> Page:
    """One page: the operating point on its curve, and the course over the load."""
    panels = [Panel("One cell", _draw_cell(sizing)), Panel("The stack", _draw_power(sizing))]
    if sizing.load is not None:
        panels.append(Panel("Over the load", _draw_course(sizing), is_wide=True))
    if sizing.split is not None:
        panels.append(Panel("In the battery", _draw_stored(sizing), is_wide=True))
    return Page(
        f"{sizing.stack.fit.device}: stack of {sizing.stack.cells} cells",
        sizing.stack.fit.curves[0].cell,
        _facts(sizing),
        panels,
        (*sizing.cautions, *sizing.assumptions),
        simulated=True,  # no such stack was measured
    )


def _draw_cell(sizing: Sizing) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        fit = sizing.stack.fit
        i = np.linspace(fit.most_current_a_m2() / 500, fit.most_current_a_m2(), 300)
        volts, sigma = fit.predict(sizing.stack.conditions, i)
        axes.plot(i / 1e4, volts, color=BLUE)
        band = "one sigma, at least" if sizing.is_extrapolated else "one sigma"
        axes.fill_between(i / 1e4, volts - sigma, volts + sigma, color=BLUE, alpha=0.2, linewidth=0, label=band)
        axes.plot(sizing.point.current_density_a_m2 / 1e4, sizing.point.cell_voltage_v, "o", color=ORANGE)
        axes.set_xlabel("current density / A/cm²")
        axes.set_ylabel("cell voltage / V")
        axes.legend(fontsize=7, frameon=False)

    return draw


def _draw_power(sizing: Sizing) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        density, power = sizing.stack.power_curve()
        axes.plot(
            power / 1e3, density * hydrogen_kg_s(sizing.stack.area_m2, sizing.stack.cells) * _HOUR, color=GREEN
        )
        axes.plot(sizing.point.power_w / 1e3, sizing.point.hydrogen_kg_s * _HOUR, "o", color=ORANGE)
        axes.set_xlabel("power / kW")
        axes.set_ylabel("hydrogen / kg/h")

    return draw


def _times(load: Load) -> Floats:
    return np.concatenate([[0.0], np.cumsum(load.duration_s)])


def _draw_course(sizing: Sizing) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        load = sizing.load
        assert load is not None
        assert sizing.stack_w is not None
        edges = _times(load)
        axes.stairs(load.power_w / 1e3, edges, color=GREY, linewidth=0.8, label="load", baseline=None)
        if sizing.split is not None:
            battery = (sizing.split.discharge_w - sizing.split.charge_w) / 1e3
            axes.stairs(battery, edges, color=BLUE, linewidth=0.8, label="battery", baseline=None)
        axes.stairs(sizing.stack_w / 1e3, edges, color=ORANGE, linewidth=1.3, label="stack", baseline=None)
        axes.set_xlabel("time / s")
        axes.set_ylabel("power / kW")
        axes.legend(fontsize=7, frameon=False, ncols=3)

    return draw


def _draw_stored(sizing: Sizing) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        assert sizing.load is not None
        assert sizing.split is not None
        axes.plot(_times(sizing.load), sizing.split.stored_wh / 1e3, color=BLUE)
        axes.set_xlabel("time / s")
        axes.set_ylabel("energy / kWh")

    return draw


def findings_of_stack(sizing: Sizing, program: str) -> Findings:
    """What other tools may want of it. Outside the curves voltage and power have no sigma: nobody knows it."""
    point = sizing.point
    voltage_sigma, power_sigma = (
        (None, None) if sizing.is_extrapolated else (point.cell_voltage_sigma_v, point.power_sigma_w)
    )
    told: Sequence[tuple[str, float, str, float | None]] = (
        ("stack_cells", float(sizing.stack.cells), "1", 0.0),
        ("cell_area", sizing.stack.area_m2, "m2", 0.0),
        ("cell_voltage", point.cell_voltage_v, "V", voltage_sigma),
        ("current_density", point.current_density_a_m2, "A/m2", 0.0),
        ("stack_power", point.power_w, "W", power_sigma),
        ("hydrogen_flow", point.hydrogen_kg_s, "kg/s", None),
    )
    return Findings(
        tuple(
            Finding(name, value, unit, sigma, "joint fit of polarisation curves")
            for name, value, unit, sigma in told
        ),
        program,
        sizing.stack.fit.curves[0].cell[:100],
        simulated=True,
        cautions=(*sizing.cautions, *sizing.assumptions),
    )


def course_of(sizing: Sizing) -> bytes:
    """Over the load as CSV; without a load, the stack's curve."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    if sizing.load is None or sizing.stack_w is None:
        density, power = sizing.stack.power_curve()
        flow = hydrogen_kg_s(sizing.stack.area_m2, sizing.stack.cells)
        rows.writerow(["current_density / A/m2", "power / W", "hydrogen / kg/s"])
        rows.writerows(
            [f"{i:.9g}", f"{p:.9g}", f"{i * flow:.9g}"]
            for i, p in zip(density.tolist(), power.tolist(), strict=True)
        )
        return text.getvalue().encode()
    edges, load = _times(sizing.load), sizing.load
    columns = [edges[:-1], load.duration_s, load.power_w, sizing.stack_w]
    head = ["time / s", "duration / s", "load / W", "stack / W"]
    if sizing.split is not None:
        split = sizing.split
        columns += [split.discharge_w, split.charge_w, split.friction_w, split.stored_wh[1:]]
        head += ["discharge / W", "charge / W", "friction / W", "stored at its end / Wh"]
    rows.writerow(head)
    rows.writerows([f"{value:.9g}" for value in row] for row in np.stack(columns, axis=1).tolist())
    return text.getvalue().encode()
