"""What `poliqi lab echem eis` prints: lines for people, a record for programs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from poliqi.base.doubt import doubted

if TYPE_CHECKING:
    from poliqi.lab.echem.eis.analysis import Analysis
    from poliqi.lab.echem.eis.circuitfit import CircuitFit

__all__ = ["eis_lines", "eis_record"]


def eis_lines(analysis: Analysis) -> list[str]:
    """The report."""
    from poliqi.lab.echem.eis.drawing import parameter_rows

    spectrum, test, relaxation, fit = (
        analysis.spectrum,
        analysis.kramers_kronig,
        analysis.relaxation,
        analysis.fit,
    )
    f = spectrum.frequency_hz
    simulated = " (simulated)" if spectrum.simulated else ""
    band = f"{f[-1]:.4g} to {f[0]:.4g} Hz"
    drift = doubted(100 * test.drift, 100 * test.drift_sigma)
    lines = [f"{spectrum.title}{simulated}: {f.size} points, {band}, read as {spectrum.source_format}"]
    lines.append(
        f"Kramers-Kronig: {test.validity.value}; rms {100 * test.rms:.2g} % of |Z| with {test.elements} time "
        f"constants; drift in the sweep {drift} %"
    )
    if analysis.intercept_ohm is not None:
        lines.append(f"Re Z where Im Z = 0: {analysis.intercept_ohm:.5g} ohm")
    if relaxation is not None and relaxation.follows:
        lines.append(
            f"relaxation times: rms {100 * relaxation.rms:.2g} % of |Z|, lambda {relaxation.weight:.1e}, ripples "
            "joined"
        )
        for peak in relaxation.peaks:
            joined = f" ({peak.joined} maxima joined)" if peak.joined > 1 else ""
            told = f"{peak.area_ohm:.4g} ohm{joined}" if peak.is_closed else "open: its area is no resistance"
            lines.append(f"  {peak.tau_s:10.3g} s  {told}")
    if fit is not None:
        of = f", chosen of {len(analysis.ranked)}" if len(analysis.ranked) > 1 else ""
        lines.append(
            f"circuit: {fit.circuit.text}{of}; rms {100 * fit.rms:.2g} % of |Z|; {fit.agreeing} of {fit.starts} "
            f"starts agree; condition {fit.fitted.condition:.1e}"
        )
        head, *rows = parameter_rows(analysis)
        widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
        lines += [
            "  " + "  ".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
    return lines + [f"caution: {words}" for words in analysis.cautions]


def eis_record(analysis: Analysis) -> dict[str, Any]:
    """What --json prints; parameters that are not identified have no value."""
    spectrum, test, relaxation, fit = (
        analysis.spectrum,
        analysis.kramers_kronig,
        analysis.relaxation,
        analysis.fit,
    )
    record: dict[str, Any] = {
        "title": spectrum.title,
        "format": spectrum.source_format,
        "simulated": spectrum.simulated,
        "points": int(spectrum.frequency_hz.size),
        "frequency_hz": [float(spectrum.frequency_hz[-1]), float(spectrum.frequency_hz[0])],
        "area_m2": spectrum.area_m2,
        "kramers_kronig": {
            "validity": test.validity.value,
            "rms": test.rms,
            "time_constants": test.elements,
            "drift": test.drift,
            "drift_sigma": _number(test.drift_sigma),
        },
        "intercept_ohm": analysis.intercept_ohm,
        "cautions": list(analysis.cautions),
    }
    if relaxation is not None:
        record["relaxation"] = {
            "rms": relaxation.rms,
            "lambda": relaxation.weight,
            "follows": relaxation.follows,
            "peaks": [
                {
                    "tau_s": peak.tau_s,
                    "area_ohm": peak.area_ohm if peak.is_closed else None,
                    "joined": peak.joined,
                    "closed": peak.is_closed,
                }
                for peak in relaxation.peaks
                if relaxation.follows
            ],
        }
    if fit is not None:
        record["circuit"] = _circuit(fit) | {
            "arcs": [
                {
                    "resistor": arc.resistor,
                    "tau_s": arc.tau_s.value,
                    "tau_sigma_s": arc.tau_s.sigma,
                    "capacitance_f": arc.capacitance_f.value,
                    "capacitance_sigma_f": arc.capacitance_f.sigma,
                }
                for arc in analysis.arcs
            ]
        }
        record["tried"] = [
            {
                "circuit": one.circuit.text,
                "parameters": len(one.fitted.parameters),
                "rms": one.rms,
                "criterion": one.criterion,
                "unidentified": list(one.fitted.unidentified),
            }
            for one in analysis.ranked
        ]
    return record


def _circuit(fit: CircuitFit) -> dict[str, Any]:
    whys = {verdict.name: verdict.why for verdict in fit.fitted.verdicts}
    parameters: list[dict[str, Any]] = []
    for name, law in fit.circuit.parameters:
        told = fit.quantity(name)
        parameters.append(
            {
                "name": name,
                "unit": law.unit,
                "value": None if told is None else told.value,
                "sigma": None if told is None or name in fit.held else told.sigma,
                "held": name in fit.held,
                "why_not": whys.get(name, "") or None,
            }
        )
    return {
        "text": fit.circuit.text,
        "rms": fit.rms,
        "criterion": fit.criterion,
        "rank": fit.fitted.rank,
        "condition": _number(fit.fitted.condition),
        "starts": fit.starts,
        "agreeing": fit.agreeing,
        "parameters": parameters,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
