"""Pulses in words, as a table and as charts against state of charge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from poliqi.base.doubt import doubted
from poliqi.lab.echem.pulses.pulsefit import Circuit
from poliqi.lab.echem.pulses.pulses import Pulse
from poliqi.lab.echem.pulses.stateofcharge import StateOfCharge
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.onepage import BLUE, GREY, ORANGE, Page, Panel

__all__ = ["PulseTable", "pulses_cautions", "pulses_csv", "pulses_lines", "pulses_page"]

_MILLI: Final = 1e3
_BAD: Final = 2.0
_COLOUR: Final = {False: BLUE, True: ORANGE}
_WAY: Final = {False: "discharge", True: "charge"}


@dataclass(frozen=True, slots=True)
class PulseTable:
    """All pulses and what was found of each; `resistances` by "first", "end" and times such as "10 s"."""

    title: str
    pulses: Sequence[Pulse]
    resistances: Sequence[Mapping[str, Quantity]]
    circuits: Sequence[Circuit]
    powers_w: Sequence[Quantity | None]
    limits_v: tuple[float, float] | None
    soc: StateOfCharge | None
    sigma_v: float
    sigma_from: str
    notes: Sequence[str]
    """What was left out, and what reading the file has decided."""
    simulated: bool

    def place(self, one: Pulse) -> float:
        """State of charge in percent, or charge in Ah where that is not known."""
        return one.charge_ah if self.soc is None else 100 * self.soc.at(one.charge_ah)

    @property
    def place_words(self) -> str:
        """Of the axis."""
        return "charge taken since the start (Ah)" if self.soc is None else "state of charge (%)"


def pulses_cautions(table: PulseTable) -> list[str]:
    """What a reader has to know beside the numbers."""
    said = [f"assumed: noise of the voltage is at least {1e3 * table.sigma_v:.3g} mV ({table.sigma_from})"]
    if table.soc is None:
        said.append(
            "no state of charge: give --soc-window or --capacity-ah with --start-soc; shown is charge in Ah"
        )
    else:
        said.append(f"state of charge: {table.soc.source}")
    if all(one.ocv_slope_v_ah is None for one in table.circuits):
        said.append(
            "the open-circuit voltage moves during a pulse; fewer than two long rests tell by how much: it "
            "counts as "
            "part of R1 and C1"
        )
    else:
        said.append("circuits: the drift of the open-circuit voltage is taken off by the slope between the rests")
    said.append("resistances at a time: as measured, with that drift in them")
    firsts = sorted({float(f"{one.time_s[0]:.3g}") for one in table.pulses})
    times = f"{firsts[0]:g}" if len(firsts) == 1 else f"{firsts[0]:g} to {firsts[-1]:g}"
    said.append(f"R0 holds all that is faster than the first point, {times} s after the step")
    short = [one for one in table.pulses if not one.is_rested]
    if short:
        said.append(
            f"{len(short)} of {len(table.pulses)} pulses begin less than ten minutes after a current: the voltage "
            "before them is not at rest"
        )
    bad = [k for k, one in enumerate(table.circuits) if one.rms_v > _BAD * table.sigma_v]
    if bad:
        worst = max(bad, key=lambda k: table.circuits[k].rms_v)
        said.append(
            f"{len(bad)} circuits leave more than the noise, pulse {table.pulses[worst].number} "
            f"{1e3 * table.circuits[worst].rms_v:.2f} mV rms: errors are widened by that; see --pairs"
        )
    for pulse, one in zip(table.pulses, table.circuits, strict=True):
        said += [f"pulse {pulse.number}: {name} is not told: {why}" for name, why in one.why.items()]
    return [*said, *table.notes]


def _each(table: PulseTable) -> Iterator[tuple[Pulse, Mapping[str, Quantity], Circuit, Quantity | None]]:
    return zip(table.pulses, table.resistances, table.circuits, table.powers_w, strict=True)


def _ohm(one: Quantity | None) -> str:
    return "-" if one is None else doubted(_MILLI * one.value, _MILLI * one.sigma)


def _plain(one: Quantity | None) -> str:
    return "-" if one is None else doubted(one.value, one.sigma)


def _rows(table: PulseTable, *, is_narrow: bool = False) -> list[list[str]]:
    times = list(dict.fromkeys(name for one in table.resistances for name in one))
    times = [name for name in times if not is_narrow or name != "first"]
    pairs = max((one.pairs for one in table.circuits), default=1)
    names = [name for k in range(1, pairs + 1) for name in (f"R{k}", f"C{k}", f"tau{k}")]
    names = [name for name in names if not is_narrow or name[0] != "C"]
    head = ["pulse", "soc (%)" if table.soc is not None else "charge (Ah)", "A", "rest (V)"]
    head += [f"R {name} (mohm)" for name in times] + ["R0 (mohm)"]
    head += [f"{name} ({'mohm' if name[0] == 'R' else 'F' if name[0] == 'C' else 's'})" for name in names]
    head += ["power (W)"] if table.limits_v is not None else []
    rows = [head]
    for pulse, direct, circuit, power in _each(table):
        row = [str(pulse.number), f"{table.place(pulse):.1f}" if table.soc else f"{table.place(pulse):.4g}"]
        row += [f"{pulse.mean_current_a:.4g}", f"{pulse.rest_v:.4g}"]
        row += [_ohm(direct.get(name)) for name in times] + [_ohm(circuit.values.get("R0"))]
        row += [(_ohm if name[0] == "R" else _plain)(circuit.values.get(name)) for name in names]
        rows.append([*row, _plain(power)] if table.limits_v is not None else row)
    return rows


def pulses_lines(table: PulseTable) -> list[str]:
    """For people: the table in columns of equal width, then the notes."""
    rows = _rows(table)
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *(f"note: {one}" for one in pulses_cautions(table))]


def pulses_csv(table: PulseTable) -> bytes:
    """A row a pulse, SI; empty where something is not identified."""
    times = list(dict.fromkeys(name for one in table.resistances for name in one))
    pairs = max((one.pairs for one in table.circuits), default=1)
    names = ["R0", *(name for k in range(1, pairs + 1) for name in (f"R{k}", f"C{k}", f"tau{k}"))]
    units = {"R": "ohm", "C": "F", "t": "s"}
    head = ["Pulse / 1", "Test Time / s", "State of Charge / 1", "Charge / Ah", "Current / A", "Rest Voltage / V"]
    head += [text for name in times for text in (f"R {name} / ohm", f"R {name} sigma / ohm")]
    head += [text for name in names for text in (f"{name} / {units[name[0]]}", f"{name} sigma / {units[name[0]]}")]
    head += ["Power / W", "Power sigma / W"] if table.limits_v is not None else []
    lines = [",".join(head)]
    for pulse, direct, circuit, power in _each(table):
        soc = "" if table.soc is None else f"{table.soc.at(pulse.charge_ah):.6g}"
        cells = [str(pulse.number), f"{pulse.begin_s:.10g}", soc, f"{pulse.charge_ah:.8g}"]
        cells += [f"{pulse.mean_current_a:.8g}", f"{pulse.rest_v:.8g}"]
        told = [direct.get(name) for name in times] + [circuit.values.get(name) for name in names]
        told += [power] if table.limits_v is not None else []
        for q in told:
            cells += ["", ""] if q is None else [f"{q.value:.8g}", f"{q.sigma:.4g}"]
        lines.append(",".join(cells))
    return ("\n".join(lines) + "\n").encode()


def pulses_page(table: PulseTable) -> Page:
    """Resistances against state of charge, and every pulse with its fit."""
    panels = [
        Panel("resistance at the end and R0", lambda axes: _draw_ohms(axes, table)),
        Panel("R1 by the fit", lambda axes: _draw_value(axes, table, "R1", _MILLI, "R1 (mohm)")),
        Panel("time constant", lambda axes: _draw_value(axes, table, "tau1", 1.0, "tau1 (s)")),
        Panel("pulses and fits", lambda axes: _draw_pulses(axes, table)),
    ]
    if table.limits_v is not None:
        panels.append(Panel("power capability", lambda axes: _draw_power(axes, table)))
    ways = {way: sum(one.is_charge is way for one in table.pulses) for way in (False, True)}
    facts = [("pulses", ", ".join(f"{count} {_WAY[way]}" for way, count in ways.items() if count))]
    if table.soc is not None:
        facts.append(("state of charge", table.soc.source))
    if table.limits_v is not None:
        facts.append(("power", f"at {table.limits_v[0]:g} V (discharge) and {table.limits_v[1]:g} V (charge)"))
    pairs = max((one.pairs for one in table.circuits), default=1)
    circuit = "R0" + "".join(f" + (R{k} | C{k})" for k in range(1, pairs + 1))
    return Page(
        table.title, f"circuit {circuit} of each pulse", facts, panels, pulses_cautions(table),
        _rows(table, is_narrow=True), table.simulated,
    )  # fmt: skip


def _scatter(
    axes: Any, table: PulseTable, told: Sequence[Quantity | None], scale: float, name: str, mark: str
) -> None:
    for way in (False, True):
        points = [
            (table.place(pulse), q)
            for pulse, q in zip(table.pulses, told, strict=True)
            if q is not None and pulse.is_charge is way
        ]
        if points:
            axes.errorbar(
                [x for x, _ in points],
                [scale * q.value for _, q in points],
                yerr=[scale * q.sigma for _, q in points],
                fmt=mark,
                ms=4,
                lw=1,
                capsize=2,
                color=_COLOUR[way],
                mfc="none" if mark == "s" else _COLOUR[way],
                label=f"{name}, {_WAY[way]}",
            )
    axes.set_xlabel(table.place_words)


def _draw_ohms(axes: Any, table: PulseTable) -> None:
    _scatter(axes, table, [one.get("end") for one in table.resistances], _MILLI, "at the end", "o-")
    _scatter(axes, table, [one.values.get("R0") for one in table.circuits], _MILLI, "R0", "s")
    axes.set_ylabel("resistance (mohm)")
    axes.set_ylim(0, None)
    axes.legend(fontsize=8)


def _draw_value(axes: Any, table: PulseTable, name: str, scale: float, words: str) -> None:
    _scatter(axes, table, [one.values.get(name) for one in table.circuits], scale, name, "o")
    axes.set_ylabel(words)
    axes.set_ylim(0, None)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def _draw_pulses(axes: Any, table: PulseTable) -> None:
    for pulse, circuit in zip(table.pulses, table.circuits, strict=True):
        over = 1 / pulse.mean_current_a
        axes.plot(
            pulse.time_s,
            _MILLI * over * (pulse.voltage_v - pulse.rest_v),
            ".",
            ms=2,
            color=_COLOUR[pulse.is_charge],
        )
        axes.plot(pulse.time_s, _MILLI * over * (circuit.model_v - pulse.rest_v), "-", lw=0.7, color=GREY)
    axes.set(xlabel="time since the step (s)", ylabel="(V - V at rest) / I (mohm), fits grey")


def _draw_power(axes: Any, table: PulseTable) -> None:
    _scatter(axes, table, table.powers_w, 1.0, "power", "o-")
    axes.set_ylabel("pulse power (W)")
    axes.legend(fontsize=8)
