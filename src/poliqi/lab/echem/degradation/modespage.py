"""Degradation modes in words, as a table and as charts."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from poliqi.base.doubt import doubted
from poliqi.lab.echem.degradation.halfcell import HalfCell
from poliqi.lab.echem.degradation.modes import CheckUp
from poliqi.lab.echem.degradation.trend import CAPACITY, LOSSES, Degradation
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.onepage import BLUE, GREEN, GREY, ORANGE, Page, Panel

__all__ = ["modes_cautions", "modes_csv", "modes_lines", "modes_page"]

_SHORT: Final = {
    CAPACITY: "capacity", "lithium_ah": "lithium", "negative_ah": "negative electrode",
    "positive_ah": "positive electrode",
}  # fmt: skip
_COLOURS: Final = {CAPACITY: GREY, "lithium_ah": BLUE, "negative_ah": ORANGE, "positive_ah": GREEN}
_BAD_RMS_V: Final = 0.01
_ASSUMED: Final = (
    "assumed: the half cells keep their curves as the cell ages; the sweep is at rest but for a constant "
    "overpotential"
)


def modes_cautions(found: Degradation, negative: HalfCell, positive: HalfCell) -> list[str]:
    """What a reader has to know beside the numbers."""
    said = [_ASSUMED, *negative.notes, *positive.notes]
    if not (negative.is_stoichiometry and positive.is_stoichiometry):
        said.append(
            "a half cell counts lithium as a share of its own charge: lithium is what lies within the half cells' "
            "windows, and an electrode's capacity is that of the window"
        )
    for at, one in zip(found.at, found.check_ups, strict=True):
        where = _when(at, found.unit)
        said += [f"{where}: {note}" for note in one.sweep.notes]
        said += [f"{where}: {_SHORT[name]} is not told: {why}" for name, why in one.why.items()]
        if one.why and one.capacities:
            others = ", ".join(_SHORT[name] for name in one.capacities)
            said.append(f"{where}: {others}: told with the above held where it stands; errors do not cover that")
        if one.rms_v > _BAD_RMS_V:
            said.append(
                f"{where}: the fit is off by {1e3 * one.rms_v:.1f} mV rms: are these the half cells of this cell?"
            )
        if one.widened > 1:
            factor = math.sqrt(one.widened)
            said.append(f"{where}: error bars are {factor:.1f} times wider: residuals are no independent noise")
    return list(dict.fromkeys(said))


def modes_lines(found: Degradation, negative: HalfCell, positive: HalfCell) -> list[str]:
    """For people."""
    lines = [f"half cells: {negative.source}; {positive.source}"]
    for at, one in zip(found.at, found.check_ups, strict=True):
        capacities = ", ".join(
            f"{_SHORT[name]} {doubted(q.value, q.sigma)} Ah" if (q := one.capacities.get(name)) else
            f"{_SHORT[name]} not identified"
            for name in LOSSES
        )  # fmt: skip
        eta = one.parameter("overpotential") if len(one.fitted.parameters) > len(LOSSES) + 1 else None
        eta_words = f", overpotential {doubted(1e3 * eta.value, 1e3 * eta.sigma)} mV" if eta is not None else ""
        lines.append(
            f"{_when(at, found.unit)}: {one.sweep.capacity_ah:.5g} Ah; {capacities}{eta_words}; "
            f"rms {1e3 * one.rms_v:.2f} mV"
        )
    for at, losses in zip(found.at[1:], found.losses, strict=True):
        told = ", ".join(f"{_SHORT[name]} {_told(losses[name], '%')}" for name in _SHORT)
        lines.append(f"lost by {_when(at, found.unit)}: {told}")
    if len(found.check_ups) > 1:
        for name in _SHORT:
            trend = found.trends[name]
            unit = f"%/{found.unit}"
            told = _told(trend.rate, unit) if trend.rate else f"no rate: {trend.why}"
            wide = f" (points scatter {trend.scatter:.1f} times their errors)" if trend.scatter > 1 else ""
            lines.append(f"{_SHORT[name]}: {told}{wide}")
    return [*lines, *(f"note: {one}" for one in modes_cautions(found, negative, positive))]


def _told(one: Quantity | None, unit: str) -> str:
    return "not identified" if one is None else f"{doubted(one.value, one.sigma or None)} {unit}"


def _when(at: float, unit: str) -> str:
    return f"{unit} {at:g}" if unit == "check-up" else f"{at:g} {unit}"


def modes_csv(found: Degradation) -> bytes:
    """A row a check-up; empty where something is not identified."""
    names = [name.removesuffix("_ah") for name in LOSSES]
    head = [f"At / {found.unit}", "Capacity / Ah"]
    head += [f"{name} {what}" for name in names for what in ("/ Ah", "sigma / Ah", "loss / %", "loss sigma / %")]
    rows = [",".join(head)]
    for at, one, losses in zip(found.at, found.check_ups, ({}, *found.losses), strict=True):
        cells = [f"{at:.10g}", f"{one.sweep.capacity_ah:.8g}"]
        for name in LOSSES:
            for q in (one.capacities.get(name), losses.get(name)):
                cells += ["", ""] if q is None else [f"{q.value:.8g}", f"{q.sigma:.4g}"]
        rows.append(",".join(cells))
    return ("\n".join(rows) + "\n").encode()


def modes_page(found: Degradation, negative: HalfCell, positive: HalfCell, title: str) -> Page:
    """Fit, electrodes and losses."""
    last = found.check_ups[-1]
    panels = [
        Panel("voltage and fit", lambda axes: _draw_fit(axes, found)),
        Panel("residual", lambda axes: _draw_residual(axes, found)),
        Panel(
            f"electrodes, {_when(found.at[-1], found.unit)}",
            lambda axes: _draw_electrodes(axes, last, negative, positive),
        ),
    ]
    if found.losses:
        panels.append(Panel("losses since the first check-up", lambda axes: _draw_losses(axes, found)))
    head = [found.unit, "capacity (Ah)", *(f"{_SHORT[name]} (Ah)" for name in LOSSES), "rms (mV)"]
    rows = [
        [
            f"{at:g}",
            f"{one.sweep.capacity_ah:.5g}",
            *(doubted(q.value, q.sigma) if (q := one.capacities.get(name)) else "-" for name in LOSSES),
            f"{1e3 * one.rms_v:.2f}",
        ]
        for at, one in zip(found.at, found.check_ups, strict=True)
    ]
    facts = [("negative", negative.source), ("positive", positive.source)]
    if found.losses:
        facts += [(LOSSES.get(name, "loss of capacity"), _told(q, "%")) for name, q in found.losses[-1].items()]
        facts += [
            (f"rate, {_SHORT[name]}", _told(trend.rate, f"%/{found.unit}") if trend.rate else trend.why)
            for name, trend in found.trends.items()
        ]
    return Page(
        title,
        f"{len(found.check_ups)} check-ups by half cells",
        facts,
        panels,
        modes_cautions(found, negative, positive),
        [head, *rows],
        found.simulated,
    )


def _shade(at: int, of: int) -> float:
    return 1.0 if of < 2 else 0.35 + 0.65 * at / (of - 1)


def _draw_fit(axes: Any, found: Degradation) -> None:
    for at, one in enumerate(found.check_ups):
        alpha = _shade(at, len(found.check_ups))
        label = _when(found.at[at], found.unit)
        axes.plot(one.sweep.charge_ah, one.sweep.voltage_v, ".", ms=2, color=BLUE, alpha=alpha, label=label)
        axes.plot(one.sweep.charge_ah, one.model_v, "-", lw=1, color=ORANGE, alpha=alpha)
    axes.set(xlabel="charge taken out (Ah)", ylabel="cell voltage (V)")
    axes.legend(fontsize=8, title="fit: orange", title_fontsize=8)


def _draw_residual(axes: Any, found: Degradation) -> None:
    for at, one in enumerate(found.check_ups):
        off = 1e3 * (one.model_v - one.sweep.voltage_v)
        share = (one.sweep.charge_ah - one.sweep.charge_ah[0]) / one.sweep.capacity_ah
        axes.plot(share, off, lw=0.8, color=BLUE, alpha=_shade(at, len(found.check_ups)))
    axes.set(xlabel="share of the charge", ylabel="fit - check-up (mV)")


def _draw_electrodes(axes: Any, one: CheckUp, negative: HalfCell, positive: HalfCell) -> None:
    """Both half cells over the cell's charge, and beyond its ends as far as they go."""
    charge = one.sweep.charge_ah
    for half, at, colour, name in (
        (positive, one.positive_at, GREEN, "positive"),
        (negative, one.negative_at, ORANGE, "negative"),
    ):
        slope = (at[-1] - at[0]) / (charge[-1] - charge[0])
        reach = charge[0] + (half.lithium - at[0]) / slope
        margin = 0.25 * one.sweep.capacity_ah
        near = (reach > charge[0] - margin) & (reach < charge[-1] + margin)
        axes.plot(reach[near], half.potential_v[near], color=colour, lw=1, ls=":")
        axes.plot(charge, half.at(at), color=colour, lw=1.6, label=name)
    axes.plot(charge, one.sweep.voltage_v, color=BLUE, lw=1, label="cell")
    for end in (charge[0], charge[-1]):
        axes.axvline(end, color=GREY, lw=0.6)
    axes.set(xlabel="charge taken out (Ah)", ylabel="potential (V), dotted: beyond the sweep")
    axes.set_ylim(-0.1, None)
    axes.legend(fontsize=8)


def _draw_losses(axes: Any, found: Degradation) -> None:
    for name, colour in _COLOURS.items():
        points = [(at, losses[name]) for at, losses in zip(found.at[1:], found.losses, strict=True)]
        told = [(at, q) for at, q in points if q is not None]
        if not told:
            continue
        axes.errorbar(
            [found.at[0], *(at for at, _ in told)],
            [0.0, *(q.value for _, q in told)],
            yerr=[0.0, *(q.sigma for _, q in told)],
            marker="o",
            ms=3,
            lw=1,
            capsize=2,
            color=colour,
            label=_SHORT[name],
        )
    axes.axhline(0, color=GREY, lw=0.6)
    axes.set(xlabel=found.unit, ylabel="lost (%)")
    axes.set_ylim(min(0.0, float(np.min(axes.get_ylim()))), None)
    axes.legend(fontsize=8)
