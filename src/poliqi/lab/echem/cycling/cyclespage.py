"""The page of a record's cycles: capacity and efficiency, voltage curves, dQ/dV, dV/dQ, health."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from poliqi.base.doubt import doubted
from poliqi.lab.echem.chargeflow import flows
from poliqi.lab.echem.cycling.cyclecautions import cautions
from poliqi.lab.echem.cycling.cycles import Cycle, Cycles
from poliqi.lab.echem.cycling.differential import Differential, Incremental
from poliqi.lab.echem.cycling.halfcycles import Direction, HalfCycle
from poliqi.lab.echem.cycling.health import Health, told_fade
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.onepage import BLUE, GREY, ORANGE, Page, Panel

__all__ = ["Curves", "Scale", "cycle_lines", "cycles_page", "shown_cycles"]

_MOST_SHOWN: Final = 6
_MOST_LINES: Final = 60
_MOST_POINTS: Final = 2000


@dataclass(frozen=True, slots=True)
class Scale:
    """In what capacities are told: `unit` and how much of it an Ah is; `of` is what it is divided by."""

    unit: str
    per_ah: float
    of: Quantity | None = None

    def text(self, capacity_ah: float) -> str:
        return f"{capacity_ah * self.per_ah:.5g}"


@dataclass(frozen=True, slots=True)
class Curves:
    """Differential curves of the cycles that are shown."""

    incremental: Sequence[tuple[int, Incremental]]
    differential: Sequence[tuple[int, Differential]]


def shown_cycles(found: Cycles, asked: Sequence[int] = ()) -> list[Cycle]:
    """The cycles asked for, else at most six pairs spread evenly over the record."""
    if asked:
        return [one for one in found.cycles if one.number in asked]
    pairs = [one for one in found.cycles if len(one.halves) > 1] or list(found.cycles)
    at = np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), _MOST_SHOWN)).round().astype(int))
    return [pairs[int(one)] for one in at]


def cycles_page(found: Cycles, curves: Curves, trend: Health | None, scale: Scale, shown: Sequence[Cycle]) -> Page:
    """All of it. Curves are those of `shown`."""
    panels = [Panel("Capacity and efficiency", lambda axes: _draw_capacity(axes, found, scale))]
    panels.append(Panel("Voltage", lambda axes: _draw_voltage(axes, found, scale, shown)))
    if curves.incremental:
        panels.append(Panel("Incremental capacity", lambda axes: _draw_incremental(axes, curves, scale)))
    if curves.differential:
        panels.append(Panel("Differential voltage", lambda axes: _draw_differential(axes, curves, scale)))
    if trend is not None:
        panels.append(Panel("State of health", _drawing_health(trend)))
    record = found.record
    pair = "charge, then discharge" if found.first is Direction.CHARGE else "discharge, then charge"
    facts = [
        ("cycles", f"{sum(len(one.halves) > 1 for one in found.cycles)} pairs, each {pair}"),
        ("rest", f"below {found.found.rest_current_a:.3g} A"),
        ("turns", f"of less than {found.found.least_swing_ah * 1e3:.3g} mAh end no half cycle"),
    ]
    if scale.of is not None:
        facts.append(("capacity in", f"{scale.unit}, by {_of(scale.of)}"))
    if trend is not None:
        facts += [("health" if at == 0 else "", line) for at, line in enumerate(told_fade(trend))]
    told = [*cautions(found), *(f"left out of health: {one}" for one in (trend.left_out if trend else ())[:4])]
    subtitle = f"{record.time_s.size} rows" + (f" of {record.source_format}" if record.source_format else "")
    return Page(
        f"Cycles of {record.title or 'a record'}",
        subtitle,
        facts,
        panels,
        [*told, *record.notes],
        _table(found, scale),
        record.simulated,
    )


def _of(what: Quantity) -> str:
    return f"{doubted(what.value, what.sigma or None)} {what.unit}"


def _table(found: Cycles, scale: Scale) -> list[list[str]]:
    head = ["cycle", f"charge {scale.unit}", f"discharge {scale.unit}", "coulombic %", "energy %", "gap mV"]
    return [head, *(_row(one, scale) for one in found.cycles)]


def _row(one: Cycle, scale: Scale) -> list[str]:
    return [
        str(one.number),
        "-" if one.charge is None else scale.text(one.charge.capacity_ah),
        "-" if one.discharge is None else scale.text(one.discharge.capacity_ah),
        _efficiency(one),
        "-" if one.energy_efficiency is None else f"{100 * one.energy_efficiency:.2f}",
        "-" if one.voltage_gap_v is None else f"{1e3 * one.voltage_gap_v:.1f}",
    ]


def _efficiency(one: Cycle) -> str:
    """No more digits than the ends of the steps bear."""
    if one.coulombic_efficiency is None or one.coulombic_doubt is None:
        return "-"
    digits = 1 if one.coulombic_doubt > 1e-3 else 2 if one.coulombic_doubt > 1e-4 else 3
    return f"{100 * one.coulombic_efficiency:.{digits}f}"


def cycle_lines(page: Page) -> list[str]:
    """The page's words for a terminal."""
    wide = [max(len(row[at]) for row in page.table) for at in range(len(page.table[0]))]
    lines = [page.title + (" (simulated)" if page.simulated else ""), page.subtitle]
    lines += [f"{label:<12} {text}" for label, text in page.facts]
    rows = ["  ".join(f"{cell:>{w}}" for cell, w in zip(row, wide, strict=True)) for row in page.table]
    if len(rows) > _MOST_LINES:
        half = _MOST_LINES // 2
        rows = [*rows[:half], f"... {len(rows) - 2 * half} more cycles, which -o writes ...", *rows[-half:]]
    lines += rows
    return lines + [f"caution: {said}" for said in page.cautions]


def _draw_capacity(axes: Any, found: Cycles, scale: Scale) -> None:
    for direction, colour in ((Direction.CHARGE, ORANGE), (Direction.DISCHARGE, BLUE)):
        for is_paired, style in ((True, "o-"), (False, "o")):
            points = [
                (one.number, half.capacity_ah * scale.per_ah)
                for one in found.cycles
                for half in one.halves
                if half.direction is direction and (len(one.halves) > 1) is is_paired
            ]
            face, label = (colour, direction.value) if is_paired else ("none", f"{direction.value}, unpaired")
            if points:
                axes.plot(*zip(*points, strict=True), style, ms=4, lw=1, color=colour, mfc=face, label=label)
    axes.set_xlabel("cycle")
    axes.set_ylabel(f"capacity / {scale.unit}")
    axes.set_ylim(0, 1.08 * axes.dataLim.ymax)
    axes.xaxis.get_major_locator().set_params(integer=True)
    pairs = [
        (one.number, 100 * one.coulombic_efficiency) for one in found.cycles if one.coulombic_efficiency is not None
    ]
    if pairs:
        right = axes.twinx()
        right.plot(*zip(*pairs, strict=True), "x", ms=5, color=GREY, label="coulombic efficiency")
        right.set_ylabel("coulombic efficiency / %", color=GREY)
        right.ticklabel_format(useOffset=False)
        right.grid(visible=False)
        right.spines["right"].set_visible(True)
    axes.legend(loc="lower right", fontsize=8)


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["viridis"](0.9 * at / max(count - 1, 1)) for at in range(count)]


def _draw_voltage(axes: Any, found: Cycles, scale: Scale, shown: Sequence[Cycle]) -> None:
    for one, colour in zip(shown, _colours(len(shown)), strict=True):
        for at, half in enumerate(one.halves):
            charge, voltage = _through(found, half)
            axes.plot(
                charge * scale.per_ah, voltage, lw=1, color=colour, label=f"cycle {one.number}" if at == 0 else None
            )
    axes.set_xlabel(f"capacity / {scale.unit}")
    axes.set_ylabel("voltage / V")
    axes.legend(fontsize=8)


def _through(found: Cycles, half: HalfCycle) -> tuple[Any, Any]:
    """Charge since the begin of the half cycle and voltage, thinned to what a chart shows."""
    charge, _, _ = flows(found.record, half.first, half.last + 1, found.found.rest_current_a)
    voltage = found.record.voltage_v[half.first : half.last + 1]
    thin = max(1, charge.size // _MOST_POINTS)
    return half.direction.sign * np.cumsum(charge)[::thin] / 3600, voltage[::thin]


def _draw_incremental(axes: Any, curves: Curves, scale: Scale) -> None:
    numbers = sorted({number for number, _ in curves.incremental})
    colours = dict(zip(numbers, _colours(len(numbers)), strict=True))
    for number, one in curves.incremental:
        axes.plot(
            one.voltage_v,
            one.direction.sign * one.dq_dv_ah_v * scale.per_ah,
            lw=1,
            color=colours[number],
            label=f"cycle {number}" if one.direction is Direction.CHARGE else None,
        )
    axes.axhline(0, color=GREY, lw=0.6)
    axes.set_xlabel("voltage / V")
    axes.set_ylabel(f"dQ/dV / {scale.unit} V$^{{-1}}$ (charge above 0)")
    axes.legend(fontsize=8)


def _draw_differential(axes: Any, curves: Curves, scale: Scale) -> None:
    numbers = sorted({number for number, _ in curves.differential})
    colours = dict(zip(numbers, _colours(len(numbers)), strict=True))
    tallest: list[float] = []
    for number, one in curves.differential:
        if one.direction is Direction.DISCHARGE:
            height = one.dv_dq_v_ah / scale.per_ah
            axes.plot(one.charge_ah * scale.per_ah, height, lw=1, color=colours[number], label=f"cycle {number}")
            tallest.append(float(np.quantile(height, 0.9)))
    if tallest:
        axes.set_ylim(0, 2.5 * max(tallest))
    axes.set_xlabel(f"charge taken out / {scale.unit}")
    axes.set_ylabel(f"-dV/dQ / V per {scale.unit} (discharge)")
    axes.legend(fontsize=8)


def _drawing_health(trend: Health) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        axes.plot(trend.cycle, 100 * trend.capacity_ah / trend.reference_ah, "o", ms=4, color=BLUE)
        if trend.line_ah is not None:
            x = np.array([trend.cycle[0], trend.cycle[-1]], dtype=float)
            line = (trend.line_ah[0] + trend.line_ah[1] * x) / trend.reference_ah
            axes.plot(x, 100 * line, color=ORANGE, lw=1, label="straight line")
            axes.legend(fontsize=8)
        axes.set_xlabel("cycle")
        axes.set_ylabel("health / %")
        axes.xaxis.get_major_locator().set_params(integer=True)

    return draw
