"""What a joint fit of polarisation curves tells: lines, a page with charts, findings, a table of all points."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from poliqi.base.csvcell import csv_cell
from poliqi.base.doubt import doubted
from poliqi.lab.echem.polarisation.curve import Curve
from poliqi.lab.echem.polarisation.fit import PolarisationFit
from poliqi.lab.echem.polarisation.leftout import LeftOut, Unpredicted
from poliqi.lab.echem.polarisation.model import (
    REFERENCE_K,
    TRANSPORT_WIDTH_A_M2,
    losses,
    operation_at,
)
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.onepage import BLUE, GREEN, GREY, ORANGE, Page, Panel
from poliqi.lab.store.findings import Finding, Findings

__all__ = [
    "assumptions_of",
    "findings_of_fit",
    "lines_of_fit",
    "page_of_fit",
    "record_of_fit",
    "table_of_fit",
]

_COLOURS: Final = (BLUE, ORANGE, GREEN, GREY, "#8a3f8f", "#b8860b", "#1a9c9c", "#7a4b2a")
_SHOWN: Final = 12
_A_CM2: Final = 1e4
_MOST_FINDINGS_TITLE: Final = 120
_PEOPLES_UNITS: Final = {"A/m2": (1e-4, "A/cm2"), "ohm m2": (1e4, "ohm cm2")}


def assumptions_of(fit: PolarisationFit) -> tuple[str, ...]:
    """What the numbers rest on, each a sentence."""
    told = [f"{one.name} held at {one.value:g} {_unit(one.unit)}({one.why})" for one in fit.held]
    told.append(f"parameters are told at {REFERENCE_K - 273.15:g} degC, partial pressures relative to 1 bar")
    if fit.device.gives_power:
        told.append(
            "transport loss is empirical: beyond its onset the curve is steeper, over "
            f"{TRANSPORT_WIDTH_A_M2 / _A_CM2:g} A/cm2; crossover and the anode's loss are not in the model"
        )
    else:
        told.append("both electrodes' losses are one activation term; all current makes hydrogen")
    told.append(_sigma_words(fit))
    return tuple(told)


def _sigma_words(fit: PolarisationFit) -> str:
    if fit.wider > 1:
        return f"sigma: scatter about the model, times {fit.wider:.2g} because neighbouring points lie off together"
    return "sigma: scatter about the model; neighbouring points lie off independently"


def _unit(unit: str) -> str:
    return "" if unit == "1" else f"{unit} "


def cautions_of(fit: PolarisationFit, left: Sequence[LeftOut | Unpredicted]) -> tuple[str, ...]:
    """What a reader has to know before using it."""
    told = [f"{one.name} is not identified: {one.why}; it has no value" for one in fit.fitted.verdicts if one.why]
    told += [note for one in fit.curves for note in one.notes]
    if not fit.fitted.converged:
        told.append("the fit did not converge within its limit of steps")
    told += [
        f"{one.name} is not predicted from the others: {one.why}" for one in left if isinstance(one, Unpredicted)
    ]
    told += [
        f"{one.name}, predicted from the others: {one.rms_v * 1e3:.1f} mV, outside them: {'; '.join(one.outside)}"
        for one in left
        if isinstance(one, LeftOut) and one.outside
    ]
    return tuple(told)


def record_of_fit(fit: PolarisationFit, left: Sequence[LeftOut | Unpredicted]) -> dict[str, Any]:
    """For --json. Parameters that are not identified have no value, but why."""
    parameters: list[dict[str, Any]] = []
    for parameter, verdict in zip(fit.fitted.parameters, fit.fitted.verdicts, strict=True):
        found = fit.fitted.quantity(parameter.name)
        told = {"unidentified": verdict.why} if found is None else {"value": found.value, "sigma": found.sigma}
        parameters.append({"name": parameter.name, "unit": parameter.unit, **told})
    return {
        "device": str(fit.device),
        "cell": fit.curves[0].cell,
        "points": int(sum(one.voltage_v.size for one in fit.curves)),
        "rms_v": fit.spread_v,
        "parameters": parameters,
        "held": [{"name": one.name, "value": one.value, "unit": one.unit, "why": one.why} for one in fit.held],
        "rank": fit.fitted.rank,
        "condition_number": fit.fitted.condition if np.isfinite(fit.fitted.condition) else None,
        "reference_temperature_k": REFERENCE_K,
        "curves": [
            {"name": one.name, "file": one.file, "points": int(one.voltage_v.size), "rms_v": fit.rms_v(one)}
            for one in fit.curves
        ],
        "left_out": [
            {
                "name": one.name,
                "rms_v": one.rms_v,
                "worst_v": one.worst_v,
                "rms_over_sigma": one.rms_over_sigma,
                "outside": list(one.outside),
            }
            for one in left
            if isinstance(one, LeftOut)
        ],
        "not_left_out": [{"name": one.name, "why": one.why} for one in left if isinstance(one, Unpredicted)],
        "sigma_times": fit.wider,
        "assumptions": list(assumptions_of(fit)),
        "cautions": list(cautions_of(fit, left)),
        "simulated": _is_simulated(fit),
    }


def _parameter_rows(fit: PolarisationFit) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for parameter, verdict in zip(fit.fitted.parameters, fit.fitted.verdicts, strict=True):
        found = fit.fitted.quantity(parameter.name)
        value = f"not identified ({verdict.why})" if found is None else _shown(found)
        rows.append((parameter.name.replace("_", " "), value))
    rows += [(one.name.replace("_", " "), f"{one.value:g} {_unit(one.unit)}(held)") for one in fit.held]
    return rows


def _shown(found: Quantity) -> str:
    factor, unit = _PEOPLES_UNITS.get(found.unit, (1.0, found.unit))
    return f"{doubted(found.value * factor, found.sigma * factor)} {_unit(unit)}".strip()


def _summary(fit: PolarisationFit) -> str:
    points = sum(one.voltage_v.size for one in fit.curves)
    return (
        f"{fit.device}, {len(fit.curves)} curve(s), {points} points; {fit.spread_v * 1e3:.2f} mV rms; condition "
        f"{fit.fitted.condition:.3g}, rank {fit.fitted.rank} of {len(fit.fitted.parameters)}"
    )


def _curve_rows(fit: PolarisationFit, left: Sequence[LeftOut | Unpredicted]) -> list[list[str]]:
    by_name = {one.name: one for one in left if isinstance(one, LeftOut)}
    head = ["curve", "points", "rms / mV", "left out: rms / mV", "worst / mV", "rms / sigma", "outside the others"]
    rows = [head]
    for one in fit.curves:
        out = by_name.get(one.name)
        told = (
            ["", "", "", ""]
            if out is None
            else [
                f"{out.rms_v * 1e3:.1f}",
                f"{out.worst_v * 1e3:.0f}",
                f"{out.rms_over_sigma:.1f}",
                "yes" if out.outside else "no",
            ]
        )
        rows.append([one.name[:40], str(one.voltage_v.size), f"{fit.rms_v(one) * 1e3:.1f}", *told])
    return rows


def lines_of_fit(fit: PolarisationFit, left: Sequence[LeftOut | Unpredicted]) -> list[str]:
    """For people at a terminal."""
    rows = _curve_rows(fit, left)
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    parameters = _parameter_rows(fit)
    wide = max(len(name) for name, _ in parameters)
    return [
        _summary(fit),
        *(f"  {name:<{wide}}  {value}" for name, value in parameters),
        *("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
        *(f"assumption: {one}" for one in assumptions_of(fit)),
        *(f"caution: {one}" for one in cautions_of(fit, left)),
    ]


def page_of_fit(fit: PolarisationFit, left: Sequence[LeftOut | Unpredicted]) -> Page:
    """One page: curves with the fit, what is left, what the voltage is made of."""
    cell = fit.curves[0].cell or fit.curves[0].file or "polarisation curves"
    data = "Simulated" if _is_simulated(fit) else "Measured"
    return Page(
        f"Polarisation of {cell}",
        _summary(fit),
        _parameter_rows(fit),
        [
            Panel(f"{data} (points) and joint fit", _draw_curves(fit)),
            Panel(f"{data} less fitted", _draw_left(fit)),
            Panel(f"What the voltage is made of: {_middle(fit).name[:40]}", _draw_parts(fit)),
        ],
        (*cautions_of(fit, left), *assumptions_of(fit)),
        _curve_rows(fit, left),
        _is_simulated(fit),
    )


def _is_simulated(fit: PolarisationFit) -> bool:
    return any(one.simulated for one in fit.curves)


def _middle(fit: PolarisationFit) -> Curve:
    """The curve of which the parts are drawn: that with most points."""
    return max(fit.curves, key=lambda one: one.voltage_v.size)


def _draw_curves(fit: PolarisationFit) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for at, one in enumerate(fit.curves):
            colour = _COLOURS[at % len(_COLOURS)]
            label = _label(one.name) if at < _SHOWN else None
            i = one.current_density_a_m2
            axes.plot(i / _A_CM2, one.voltage_v, ".", color=colour, markersize=5, label=label)
            fine = np.linspace(float(i.min()), float(i.max()), 200)
            axes.plot(fine / _A_CM2, fit.predict(one.conditions, fine)[0], color=colour, linewidth=1)
        axes.set_xlabel("current density / A/cm²")
        axes.set_ylabel("cell voltage / V")
        axes.legend(fontsize=7, frameon=False)

    return draw


def _label(name: str) -> str:
    """For a legend, where "$" begins a formula and "_" what is not shown."""
    return name.lstrip("_")[:28].replace("$", r"\$") or "curve"


def _draw_left(fit: PolarisationFit) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for at, one in enumerate(fit.curves):
            colour = _COLOURS[at % len(_COLOURS)]
            axes.plot(
                one.current_density_a_m2 / _A_CM2,
                fit.left_v(one) * 1e3,
                ".-",
                color=colour,
                markersize=4,
                linewidth=0.7,
            )
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set_xlabel("current density / A/cm²")
        axes.set_ylabel("left / mV")

    return draw


def _draw_parts(fit: PolarisationFit) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        one = _middle(fit)
        i = np.linspace(float(one.current_density_a_m2.min()), float(one.current_density_a_m2.max()), 200)
        at = operation_at(fit.device, one.conditions, i)
        sign = -1.0 if fit.device.gives_power else 1.0
        edge = at.reversible_v
        axes.plot(i / _A_CM2, edge, color=GREY, label="reversible")
        names = ("activation", "ohmic", "transport") if fit.device.gives_power else ("activation", "ohmic")
        for name, loss, colour in zip(names, losses(at, fit.values), (BLUE, ORANGE, GREEN), strict=False):
            axes.fill_between(
                i / _A_CM2, edge, edge + sign * loss, color=colour, alpha=0.35, label=name, linewidth=0
            )
            edge = edge + sign * loss
        data = "simulated" if one.simulated else "measured"
        axes.plot(one.current_density_a_m2 / _A_CM2, one.voltage_v, ".", color=GREY, markersize=4, label=data)
        axes.set_xlabel("current density / A/cm²")
        axes.set_ylabel("cell voltage / V")
        axes.legend(fontsize=7, frameon=False)

    return draw


def findings_of_fit(fit: PolarisationFit, left: Sequence[LeftOut | Unpredicted], program: str) -> Findings:
    """The identified parameters, for other tools."""
    found: list[Finding] = []
    for parameter in fit.fitted.parameters:
        one = fit.fitted.quantity(parameter.name)
        if one is not None:
            found.append(
                Finding(
                    parameter.name,
                    one.value,
                    one.unit,
                    one.sigma,
                    "joint fit of polarisation curves",
                    "scatter about the model, widened where neighbouring points lie off together",
                )
            )
    return Findings(
        tuple(found),
        program,
        (fit.curves[0].cell or fit.curves[0].file)[:_MOST_FINDINGS_TITLE],
        _is_simulated(fit),
        (*cautions_of(fit, left), *assumptions_of(fit)),
    )


def table_of_fit(fit: PolarisationFit) -> bytes:
    """Every point and what the fit has there, as CSV; the first line says where a curve is simulated."""
    text = io.StringIO()
    if _is_simulated(fit):
        text.write("# simulated: yes\n")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["curve", "current_density / A/m2", "voltage / V", "calculated / V", "sigma / V"])
    for one in fit.curves:
        found, sigma = fit.predict(one.conditions, one.current_density_a_m2)
        for line in zip(one.current_density_a_m2, one.voltage_v, found, sigma, strict=True):
            rows.writerow([csv_cell(one.name), *(f"{float(value):.9g}" for value in line)])
    return text.getvalue().encode()
