"""What is told of a fitted cell model: lines, a record for programs, a table of the curve, findings, a page."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from poliqi.base.doubt import doubted
from poliqi.lab.echem.fitting import Parameter
from poliqi.lab.echem.models.modelcheck import ModelCheck
from poliqi.lab.echem.models.modelfit import ModelFit
from poliqi.lab.onepage import BLUE, GREEN, GREY, ORANGE, Page, Panel
from poliqi.lab.store.findings import Finding, Findings

__all__ = ["curve_csv", "model_cautions", "model_findings", "model_lines", "model_page", "model_record"]

_COLOURS = (BLUE, ORANGE, GREEN, "#7b4ea3", GREY, "#b8860b")
_SHIFTED = 1.0


def model_cautions(fit: ModelFit, check: ModelCheck | None) -> tuple[str, ...]:
    """What a reader has to know, the check of the model included."""
    said = list(fit.cautions)
    if check is None:
        return (*said, "the model was not held against a better one: its own error is not known")
    if check.ended:
        return (*said, f"model check: {check.reference} ends before the record does ({check.ended})")
    said += [f"{name}: {check.reference} takes it to a limit, or does not identify it" for name in check.beyond]
    for name, by in check.shift.items():
        found = fit.fitted.quantity(name)
        if found is not None and abs(by) > _SHIFTED * found.sigma:
            said.append(
                f"{name}: the error of {fit.kind.value} moves it by {_times(by, found.sigma)}; "
                f"{check.reference} finds {found.value + by:.5g}"
            )
    return tuple(said)


def _times(by: float, sigma: float) -> str:
    return f"{by:+.2g}, {abs(by) / sigma:.2g} sigma" if sigma > 0 else f"{by:+.2g}"


def model_lines(fit: ModelFit, check: ModelCheck | None) -> list[str]:
    """For people."""
    width = max(len(one.name) for one in fit.fitted.parameters)
    lines = [f"{fit.kind.value}, {fit.parameters.source}"]
    lines += [f"  {one.name:<{width}}  {_said(fit, one)}{_moved(fit, check, one)}" for one in fit.fitted.parameters]
    lines += [f"{label}: {text}" for label, text in _facts(fit, check)]
    lines += [f"assumed: {one}" for one in fit.notes]
    return lines + [f"caution: {one}" for one in model_cautions(fit, check)]


def _said(fit: ModelFit, one: Parameter) -> str:
    """A value with its doubt and unit; what is not identified has none."""
    found = fit.fitted.quantity(one.name)
    if found is None:
        why = next(verdict.why for verdict in fit.fitted.verdicts if verdict.name == one.name)
        return f"not identified: {why}"
    return f"{doubted(found.value, found.sigma)}{'' if found.unit == '1' else ' ' + found.unit}"


def _moved(fit: ModelFit, check: ModelCheck | None, one: Parameter) -> str:
    """How far the model's own error moves it."""
    found = fit.fitted.quantity(one.name)
    if check is None or found is None or one.name not in check.shift:
        return ""
    return f"   (model error: {_times(check.shift[one.name], found.sigma)})"


def _facts(fit: ModelFit, check: ModelCheck | None) -> list[tuple[str, str]]:
    fitted = fit.fitted
    facts = [("left over", f"{fit.rms_v * 1e3:.3g} mV rms over {fit.voltage_v.size} points")]
    if fit.sigma_v is not None:
        told = f"{fitted.reduced_chi2:.3g} per degree of freedom, sigma {fit.sigma_v * 1e3:.3g} mV as told"
        facts.append(("chi2", told))
    rank = f"rank {fitted.rank} of {len(fitted.parameters)}, condition {fitted.condition:.3g}"
    shared = f"correlate by {fit.correlation:.2f}; sigmas are widened by {fit.doubt_factor:.3g}"
    facts += [("identified", rank), ("neighbouring residuals", shared)]
    if check is not None and not check.ended:
        off = f"{check.rms_v * 1e3:.3g} mV rms, {check.worst_v * 1e3:.3g} mV at most from {check.reference}"
        facts.append(("model check", off))
    return [*facts, ("solved", f"{fit.runs} runs with sensitivities")]


def model_record(fit: ModelFit, check: ModelCheck | None) -> dict[str, Any]:
    """For programs: no number that is none."""
    fitted = fit.fitted
    shift = {} if check is None else check.shift
    rows: list[dict[str, Any]] = []
    for one, verdict in zip(fitted.parameters, fitted.verdicts, strict=True):
        found = fitted.quantity(one.name)
        rows.append(
            {
                "name": one.name,
                "unit": one.unit,
                "value": None if found is None else found.value,
                "sigma": None if found is None else found.sigma,
                "identified": verdict.is_identified,
                "why": verdict.why,
                "lower": _finite(one.lower),
                "upper": _finite(one.upper),
                "shift_by_model_error": shift.get(one.name),
                "lost_by_better_model": check is not None and one.name in check.beyond,
            }
        )
    return {
        "model": fit.kind.value,
        "parameter_set": fit.parameters.source,
        "parameters": rows,
        "covariance": [[_finite(float(cell)) for cell in row] for row in fitted.covariance],
        "points": int(fit.voltage_v.size),
        "rms_v": fit.rms_v,
        "sigma_v": fit.sigma_v,
        "reduced_chi2": None if fit.sigma_v is None else _finite(fitted.reduced_chi2),
        "rank": fitted.rank,
        "condition": _finite(fitted.condition),
        "residual_correlation": fit.correlation,
        "sigma_widened_by": fit.doubt_factor,
        "converged": fitted.converged,
        "model_check": None
        if check is None
        else {
            "reference": check.reference,
            "rms_v": _finite(check.rms_v),
            "worst_v": _finite(check.worst_v),
            "ended": check.ended,
        },
        "assumed": list(fit.notes),
        "cautions": list(model_cautions(fit, check)),
        "simulated": fit.simulated,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def curve_csv(fit: ModelFit, check: ModelCheck | None) -> bytes:
    """Time, measured and modelled voltage, and what the model is known to get wrong, in SI."""
    columns = [fit.drive.time_s, fit.voltage_v, fit.model_v, fit.residual_v]
    head = "time_s,voltage_v,model_v,residual_v"
    if check is not None and check.error_v.size:
        columns.append(check.error_v)
        head += ",model_error_v"
    rows = (",".join(f"{value:.9g}" for value in row) for row in np.stack(columns, axis=1).tolist())
    return ("\n".join([head, *rows]) + "\n").encode()


def model_findings(fit: ModelFit, check: ModelCheck | None, title: str, *, simulated: bool) -> Findings:
    """What is identified, by names such as negative_electrode_thickness."""
    covers = "residuals and what neighbours share; not an error of the model"
    found = [
        Finding(
            _name(one.name), quantity.value, _unit(quantity.unit), quantity.sigma, f"{fit.kind.value} fit", covers
        )
        for one in fit.fitted.parameters
        if (quantity := fit.fitted.quantity(one.name)) is not None
    ]
    return Findings(tuple(found), "poliqi lab echem fit model", title, simulated, tuple(model_cautions(fit, check)))


def _name(parameter: str) -> str:
    bare = re.sub(r"\[[^\]]*\]$", "", parameter).lower()
    return re.sub(r"[^a-z0-9]+", "_", bare).strip("_")[:64]


def _unit(unit: str) -> str:
    return "1" if unit == "times the set's" else unit


def model_page(fit: ModelFit, check: ModelCheck | None, title: str, *, simulated: bool) -> Page:
    """Curve, what is left over beside the model's own error, and what each parameter does."""
    return Page(
        title,
        f"{fit.kind.value}, {fit.parameters.source}",
        [
            *((one.name, _said(fit, one) + _moved(fit, check, one)) for one in fit.fitted.parameters),
            *_facts(fit, check),
            *(("assumed", one) for one in fit.notes),
        ],
        [
            Panel("Voltage", lambda axes: _curve(axes, fit), is_wide=True),
            Panel("Left over", lambda axes: _left(axes, fit, check)),
            Panel("What 1 % of each parameter does", lambda axes: _effects(axes, fit)),
        ],
        model_cautions(fit, check),
        simulated=simulated,
    )


def _curve(axes: Any, fit: ModelFit) -> None:
    hours = fit.drive.time_s / 3600
    axes.plot(
        hours, fit.voltage_v, ".", color=GREY, markersize=3, label="measured" if not fit.simulated else "record"
    )
    axes.plot(hours, fit.model_v, "-", color=BLUE, linewidth=1.3, label=f"{fit.kind.value} (simulated)")
    axes.set(xlabel="time / h", ylabel="voltage / V")
    axes.legend(loc="best")


def _left(axes: Any, fit: ModelFit, check: ModelCheck | None) -> None:
    hours = fit.drive.time_s / 3600
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.plot(hours, fit.residual_v * 1e3, ".", color=BLUE, markersize=3, label="record less model")
    if check is not None and check.error_v.size:
        label = f"{check.reference} less model"
        axes.plot(hours, -check.error_v * 1e3, "-", color=ORANGE, linewidth=1.2, label=label)
    axes.set(xlabel="time / h", ylabel="voltage / mV")
    axes.legend(loc="best")


def _effects(axes: Any, fit: ModelFit) -> None:
    hours = fit.drive.time_s / 3600
    for at, one in enumerate(fit.fitted.parameters):
        moved = fit.slopes[:, at] * abs(float(fit.fitted.value[at])) * 0.01 * 1e3
        axes.plot(hours, moved, color=_COLOURS[at % len(_COLOURS)], linewidth=1.2, label=_short(one.name))
    axes.set(xlabel="time / h", ylabel="voltage / mV (linear within 1)")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.legend(loc="best", fontsize=7)


def _short(name: str) -> str:
    """A name for the legend of a chart."""
    bare = re.sub(r" \[[^\]]*\]$", "", name)
    for long, brief in (("Negative", "Neg."), ("Positive", "Pos."), ("electrode ", ""), (" volume fraction", "")):
        bare = bare.replace(long, brief)
    return bare[:48]
