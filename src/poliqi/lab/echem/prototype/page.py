"""The one-page build sheet: what to make, how sure it is, what it is made of."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np

from poliqi.lab.echem.prototype.numbers import RESULTS, main_result, shown, words_of
from poliqi.lab.echem.prototype.parts import Battery, Kind
from poliqi.lab.echem.prototype.sheet import BuildSheet
from poliqi.lab.echem.prototype.steps import steps_of
from poliqi.lab.echem.prototype.told import bill_of
from poliqi.lab.onepage import BLUE, GREEN, GREY, ORANGE, Page, Panel

__all__ = ["page_of"]

_FACTS: Final = (
    "capacity", "energy", "np_ratio", "first charge ratio",
    "current", "current density", "power", "catalyst metal", "positive porosity",
    "negative porosity", "electrolyte volume", "cathode surface", "hydrogen", "air", "mass", "specific energy",
    "specific energy of the stack", "carbon", "carbon per kWh", "carbon per kW",
)  # fmt: skip
_BARS: Final = 7
_WORD: Final = 34


def page_of(sheet: BuildSheet) -> Page:
    """Facts, steps, four charts, the bill of materials."""
    facts = [(words_of(sheet, name), shown(sheet, name)) for name in _FACTS if name in sheet.tolerances.spreads]
    if sheet.carbon is not None and sheet.carbon.missing:
        facts.append(("carbon is partial, no factor for", ", ".join(sheet.carbon.missing)))
    if sheet.carbon is not None and not sheet.carbon.has_making:
        facts.append(("carbon is partial", "the energy of making it is not told ([[process]])"))
    listed = [f"{one.listed.entry}{' (strategic)' if one.listed.strategic else ''}" for one in sheet.raw]
    facts.append(("EU critical raw materials", ", ".join(listed) or "none"))
    facts += [(f"step {number}", step) for number, step in enumerate(steps_of(sheet), 1)]
    facts += [("assumed", said) for said in sheet.assumed]
    name = main_result(sheet)
    panels = [
        Panel(f"{RESULTS[name].words}: draws and first order", partial(_spread, sheet, name)),
        Panel(f"what moves {RESULTS[name].words}, by one sigma of each", partial(_moved, sheet, name)),
        Panel("mass by item", partial(_masses, sheet)),
    ]
    if isinstance(sheet.made, Battery):
        panels.append(Panel("one repeat of the stack, to scale", partial(_layers, sheet.made)))
    elif sheet.carbon is not None and sheet.carbon.each:
        panels.append(Panel("carbon", partial(_carbon, sheet)))
    kind = {"coin": "coin cell", "pouch": "pouch cell"}.get(sheet.made.kind.value, "fuel cell")
    return Page(
        sheet.made.name, f"build sheet of a {kind}", facts, panels, sheet.cautions, bill_of(sheet), sheet.simulated
    )


def _spread(sheet: BuildSheet, name: str, axes: Any) -> None:
    form, one = RESULTS[name], sheet.tolerances.spreads[name]
    drawn = sheet.tolerances.drawn[name] * form.factor
    axes.set_xlabel(f"{form.words} ({form.unit})")
    axes.set_ylabel("probability density")
    if one.sigma_drawn <= 0:
        axes.axvline(one.value * form.factor, color=BLUE)
        return
    axes.hist(drawn, 60, density=True, color=BLUE, alpha=0.35, label=f"{drawn.size} draws")
    sigma = one.sigma * form.factor
    x = np.linspace(float(np.percentile(drawn, 0.05)), float(np.percentile(drawn, 99.95)), 200)
    if sigma > 0:
        normal = np.exp(-0.5 * ((x - one.value * form.factor) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        axes.plot(x, normal, color=ORANGE, label="first order")
    axes.legend(frameon=False, fontsize=8)


def _moved(sheet: BuildSheet, name: str, axes: Any) -> None:
    form, one = RESULTS[name], sheet.tolerances.spreads[name]
    largest = sorted(one.moved.items(), key=lambda item: -abs(item[1]))[:_BARS][::-1]
    _bars(axes, [key for key, _ in largest], [part * form.factor for _, part in largest], BLUE)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.set_xlabel(form.unit or "1")


def _masses(sheet: BuildSheet, axes: Any) -> None:
    largest = sorted(sheet.items, key=lambda item: -item.mass.value)[: 2 * _BARS][::-1]
    names = [item.where.removeprefix("part.") for item in largest]
    _bars(axes, names, [item.mass.value * 1e6 for item in largest], GREEN)
    axes.set_xscale("log")
    axes.set_xlabel("mg")


def _carbon(sheet: BuildSheet, axes: Any) -> None:
    assert sheet.carbon is not None
    largest = sorted(sheet.carbon.each.items(), key=lambda item: -item[1])[: 2 * _BARS][::-1]
    _bars(axes, [name for name, _ in largest], [value for _, value in largest], GREY)
    axes.set_xlabel("kg CO2e" + (", partial" if sheet.carbon.is_partial else ""))


def _bars(axes: Any, names: list[str], values: list[float], colour: str) -> None:
    axes.barh(range(len(names)), values, color=colour)
    axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize=8)
    axes.grid(visible=False, axis="y")


def _short(name: str) -> str:
    text = name if len(name) <= _WORD else name[: _WORD - 1] + "…"
    return text.replace("$", r"\$")


def _layers(cell: Battery, axes: Any) -> None:
    """Thicknesses upon each other, with their names; of a pouch's collectors one half belongs to each side."""
    match cell.kind:
        case Kind.COIN:
            half = 1.0
        case Kind.POUCH:
            half = 0.5
    rows: list[tuple[str, float, str]] = []
    positive, negative, separator = cell.positive, cell.negative, cell.separator
    if positive.collector_thickness is not None:
        rows.append((positive.collector, half * positive.collector_thickness.value, GREY))
    if positive.thickness is not None:
        rows.append((f"positive: {positive.active}", positive.thickness.value, BLUE))
    rows.append((separator.material, separator.thickness.value, "#c9d3da"))
    if negative.thickness is not None:
        rows.append((f"negative: {negative.active}", negative.thickness.value, GREEN))
    if negative.collector_thickness is not None:
        rows.append((negative.collector, half * negative.collector_thickness.value, ORANGE))
    bottom = 0.0
    for name, thickness, colour in rows[::-1]:
        um = thickness * 1e6
        axes.bar(0, um, 1.0, bottom, color=colour)
        axes.text(0.58, bottom + um / 2, f"{_short(name)}, {um:.3g} um", va="center", fontsize=8)
        bottom += um
    axes.set_xlim(-0.6, 2.6)
    axes.set_xticks([])
    axes.set_ylabel("um")
    axes.grid(visible=False)
