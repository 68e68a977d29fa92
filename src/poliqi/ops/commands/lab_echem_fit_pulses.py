"""`poliqi lab echem fit pulses`: resistances and time constants of current pulses against state of charge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.lab_echem_reading import reading_options
from poliqi.ops.lab_outputs import PATH, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.echem.pulses.pulses import Pulse
    from poliqi.lab.echem.pulses.pulsespage import PulseTable
    from poliqi.lab.echem.pulses.stateofcharge import StateOfCharge
    from poliqi.lab.echem.quantity import Quantity
    from poliqi.lab.echem.record import CyclingRecord
    from poliqi.lab.store.findings import Findings

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab echem fit pulses"
_RANGE: Final[dict[str, Any]] = {"nargs": 2, "type": float, "metavar": "LOW HIGH"}


@click.command()
@click.argument("file", type=PATH)
@click.option("--soc-window", **_RANGE, help="V that are empty and full, both reached by the record")
@click.option("--capacity-ah", type=float, metavar="AH", help="with --start-soc: state of charge by what is stated")
@click.option("--start-soc", type=float, metavar="0..1", help="state of charge at the record's first row")
@click.option("--time", "times", type=float, multiple=True, metavar="S", help="resistance at that time; repeatable")
@click.option(
    "--pairs", type=click.IntRange(1, 2), default=1, show_default=True, help="of R and C behind R0 in the circuit"
)
@click.option("--longest", type=float, default=120.0, show_default=True, metavar="S", help="of what is a pulse")
@click.option("--least-rest", type=float, default=10.0, show_default=True, metavar="S", help="before a pulse")
@click.option("--rest-current", type=float, metavar="A", help="smaller currents are rest [1/1000 of the largest]")
@click.option("--sigma-mv", type=float, metavar="MV", help="noise of the voltage [resolution / sqrt(12)]")
@click.option("--limits", **_RANGE, help="V that a pulse may reach: gives the power")
@reading_options
@outputs_options
def command(file: Path, **options: Any) -> None:
    """Pulses of FILE (HPPC): resistances as test manuals take them, and a circuit R0 + (R1 | C1) by a fit.

    A pulse is a constant current of at most two minutes after a rest. The state of charge is told where its ends
    are stated or seen; otherwise values stand against the charge in Ah.

    \b
      poliqi lab echem fit pulses hppc.bdf.csv --soc-window 3.0 4.2 --time 10 --report pulses.html
      poliqi lab echem fit pulses hppc.mpr --capacity-ah 5.0 --start-soc 1 --limits 2.5 4.2 -o pulses.csv
    """
    from poliqi.lab.echem.pulses.pulsespage import pulses_csv, pulses_lines, pulses_page
    from poliqi.ops.lab_echem_reading import read_asked
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.lab_outputs import Result, deliver, outputs_of

    outputs = outputs_of(options)
    filing = Filing(outputs.store, outputs.tenant, [Read("record", (file,))])
    record, said = read_asked(file, options)
    title = f"Pulses of {record.title or file.name}"
    table = _table(record, title, options, simulated=record.simulated or filing.is_simulated)
    page = pulses_page(table)
    result = Result(
        _record(table, list(page.cautions)),
        [*(["simulated"] if table.simulated else []), *pulses_lines(table)],
        page,
        {"pulses.csv": pulses_csv(table)},
        table.simulated,
        _findings(table, tuple(page.cautions)),
    )
    deliver(
        outputs,
        result,
        filing,
        program=_PROGRAM,
        title=title,
        parameters={**said, **options, "file": file.name},
        keywords=("battery", "HPPC"),
        said=["record"] if record.simulated else [],
    )


def _table(record: CyclingRecord, title: str, options: dict[str, Any], *, simulated: bool) -> PulseTable:
    from poliqi.lab.echem.pulses.pulsefit import fit_pulse
    from poliqi.lab.echem.pulses.pulses import find_pulses, ocv_slopes, pulse_power, resistance_at, resolution_v
    from poliqi.lab.echem.pulses.pulsespage import PulseTable

    pulses, left = find_pulses(
        record,
        longest_s=options["longest"],
        least_rest_s=options["least_rest"],
        rest_current_a=options["rest_current"],
    )
    resolution = resolution_v(record)
    if options["sigma_mv"] is not None and not options["sigma_mv"] > 0:
        raise ConfigError(f"--sigma-mv {options['sigma_mv']}: give a number above 0")
    sigma = resolution / 12**0.5 if options["sigma_mv"] is None else options["sigma_mv"] / 1e3
    whence = f"a resolution of {1e3 * resolution:.3g} mV" if options["sigma_mv"] is None else "as stated"
    direct = [_resistances(one, options["times"], sigma, resistance_at) for one in pulses]
    circuits = [
        fit_pulse(one, pairs=options["pairs"], ocv_slope_v_ah=slope, sigma_v=sigma)
        for one, slope in zip(pulses, ocv_slopes(pulses), strict=True)
    ]
    limits = options["limits"]
    powers = [pulse_power(one, r["end"], limits) if limits else None for one, r in zip(pulses, direct, strict=True)]
    return PulseTable(
        title,
        pulses,
        direct,
        circuits,
        powers,
        limits,
        _soc(record, options, [one.begin_s for one in pulses]),
        sigma,
        whence,
        (*record.notes, *(f"left out: {one}" for one in left)),
        simulated,
    )


def _resistances(one: Pulse, times: tuple[float, ...], sigma: float, at: Any) -> dict[str, Quantity]:
    """At the first point, at the times asked for, at the end."""
    asked = {"first": float(one.time_s[0]), **{f"{t:g} s": t for t in times}, "end": float(one.time_s[-1])}
    found = {name: at(one, t, sigma) for name, t in asked.items()}
    return {name: q for name, q in found.items() if q is not None}


def _soc(record: CyclingRecord, options: dict[str, Any], begin_s: list[float]) -> StateOfCharge | None:
    from poliqi.lab.echem.pulses.stateofcharge import soc_of_window, soc_stated

    window, capacity, start = options["soc_window"], options["capacity_ah"], options["start_soc"]
    if (capacity is None) != (start is None):
        raise ConfigError("--capacity-ah and --start-soc: give both, or neither")
    if window is not None and capacity is not None:
        raise ConfigError("--soc-window and --capacity-ah: give one of them")
    if window is not None:
        low_v, high_v = window
        return soc_of_window(record, low_v, high_v, begin_s)
    return None if capacity is None else soc_stated(capacity, start)


def _record(table: PulseTable, cautions: list[str]) -> dict[str, Any]:
    """As --json prints it: SI."""
    return {
        "title": table.title,
        "state_of_charge": table.soc and {"capacity_ah": table.soc.capacity_ah, "source": table.soc.source},
        "sigma_v": table.sigma_v,
        "pulses": [
            {
                "number": pulse.number,
                "rows": list(pulse.rows),
                "begin_s": pulse.begin_s,
                "current_a": pulse.mean_current_a,
                "rest_v": pulse.rest_v,
                "rest_s": pulse.rest_s,
                "charge_ah": pulse.charge_ah,
                "soc": table.soc and table.soc.at(pulse.charge_ah),
                "resistances": {name: _told(q) for name, q in direct.items()},
                "circuit": {name: _told(q) for name, q in circuit.values.items()},
                "not_identified": dict(circuit.why),
                "rms_mv": 1e3 * circuit.rms_v,
                "sigma_widened": circuit.widened**0.5,
                "power": power and _told(power),
            }
            for pulse, direct, circuit, power in zip(
                table.pulses, table.resistances, table.circuits, table.powers_w, strict=True
            )
        ],
        "notes": list(table.notes),
        "cautions": cautions,
        "simulated": table.simulated,
    }


def _told(one: Quantity) -> dict[str, Any]:
    return {"value": one.value, "sigma": one.sigma, "unit": one.unit}


def _findings(table: PulseTable, cautions: tuple[str, ...]) -> Findings:
    """R0 and the resistance at the end, at the highest and the lowest place, of discharges and of charges."""
    from poliqi.lab.store.findings import Finding, Findings

    told: dict[str, Finding] = {}
    for pulse, direct, circuit in zip(table.pulses, table.resistances, table.circuits, strict=True):
        where = f"{100 * table.soc.at(pulse.charge_ah):.1f}%" if table.soc else f"{pulse.charge_ah:.4g}Ah"
        way = "charge" if pulse.is_charge else "discharge"
        for name, q, method in (
            ("r0", circuit.values.get("R0"), "circuit fit"),
            ("r1", circuit.values.get("R1"), "circuit fit"),
            ("c1", circuit.values.get("C1"), "circuit fit"),
            ("resistance", direct["end"], f"{pulse.time_s[-1]:g} s after the step"),
        ):
            key = f"{name}_{way}@{where}"
            if q is not None and key not in told:
                covers = "noise and misfit of the voltage"
                told[key] = Finding(key, q.value, q.unit, q.sigma, method, covers)
    return Findings(tuple(told.values()), _PROGRAM, table.title, table.simulated, cautions)
