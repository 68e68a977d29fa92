"""`poliqi lab echem fit modes`: check-ups of one cell to lost lithium and lost electrode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.lab_echem_reading import reading_options
from poliqi.ops.lab_outputs import PATH, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.echem.degradation.halfcell import HalfCell
    from poliqi.lab.echem.degradation.modes import CheckUp
    from poliqi.lab.echem.degradation.pseudo_ocv import OpenCircuit
    from poliqi.lab.echem.degradation.trend import Degradation
    from poliqi.lab.echem.quantity import Quantity
    from poliqi.lab.store.findings import Finding, Findings

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab echem fit modes"
_MOST_CHECK_UPS: Final = 200


@click.command()
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option(
    "--half-cells", metavar="SET", help="a parameter set of PyBaMM that has both curves, such as Chen2020"
)
@click.option("--negative-half-cell", type=PATH, metavar="FILE.csv", help="half cell of the negative electrode")
@click.option("--positive-half-cell", type=PATH, metavar="FILE.csv", help="half cell of the positive electrode")
@click.option(
    "--half-cell-column",
    multiple=True,
    metavar="'FIELD=NAME [unit]'",
    help="lithium or potential, where the header does not say, such as 'potential=2 [V]'",
)
@click.option("--at", metavar="0,100,...", help="when each check-up was [1, 2, ...]")
@click.option("--unit", default="check-up", show_default=True, metavar="NAME", help="of --at: cycles, days, Ah ...")
@click.option(
    "--way",
    type=click.Choice(["discharge", "charge", "mean"]),
    default="discharge",
    show_default=True,
    help="which slow sweep is the open-circuit voltage; mean: the middle of both",
)
@click.option(
    "--most-current", type=float, metavar="A", help="sweeps above it are no check-up [the slowest's + 20 %]"
)
@click.option(
    "--no-overpotential", is_flag=True, help="hold the constant overpotential at 0 in place of fitting it"
)
@click.option("--sigma-mv", type=float, metavar="MV", help="noise of the voltage [what the residual tells]")
@reading_options
@outputs_options
def command(files: tuple[Path, ...], **options: Any) -> None:
    """Degradation modes: how much lithium and how much of each electrode is lost, with error bars.

    Each slow discharge (C/20 or so) in FILE... is a check-up, whose voltage is fitted by half cells of both
    electrodes. Losses count from the first. Half-cell files have two columns: stoichiometry / 1 (or a charge in Ah,
    mAh, mAh/g) and potential / V against lithium.

    \b
      poliqi lab echem fit modes new.bdf.csv aged.bdf.csv --half-cells Chen2020 --at 0,500 --unit cycles
      poliqi lab echem fit modes checkups.bdf.parquet --report modes.html \\
          --negative-half-cell graphite.csv --positive-half-cell nmc.csv
    """
    from poliqi.lab.echem.degradation.modes import fit_check_up
    from poliqi.lab.echem.degradation.modespage import modes_csv, modes_lines, modes_page
    from poliqi.lab.echem.degradation.trend import degradation
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.lab_outputs import Result, deliver, outputs_of, tell

    outputs = outputs_of(options)
    reads = [Read(_role(at), (path,)) for at, path in enumerate(files)]
    reads += [
        Read(f"{side} half cell", (options[f"{side}_half_cell"],))
        for side in ("negative", "positive")
        if options[f"{side}_half_cell"]
    ]
    filing = Filing(outputs.store, outputs.tenant, reads)
    tell("reading")
    sweeps, said, says_so = _sweeps(files, options)
    at = _at(options["at"], len(sweeps))
    negative, positive = _half_cells(options)
    sigma = None if options["sigma_mv"] is None else options["sigma_mv"] / 1e3
    tell(f"fitting {len(sweeps)} check-ups")
    fits = [
        fit_check_up(one, negative, positive, overpotential=not options["no_overpotential"], sigma_v=sigma)
        for one in sweeps
    ]
    found = degradation(fits, at, options["unit"])
    title = f"Degradation modes of {files[0].name}" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    says_so += [
        f"{side} half cell" for side, one in (("negative", negative), ("positive", positive)) if one.simulated
    ]
    simulated = bool(says_so) or filing.is_simulated
    page = replace(modes_page(found, negative, positive, title), simulated=simulated)
    lines = modes_lines(found, negative, positive)
    result = Result(
        _record(found, negative, positive, list(page.cautions), simulated=simulated),
        [*(["simulated"] if simulated else []), *lines],
        page,
        {"modes.csv": modes_csv(found)},
        simulated,
        _findings(found, title, tuple(page.cautions), simulated=simulated),
    )
    deliver(
        outputs,
        result,
        filing,
        program=_PROGRAM,
        title=title,
        parameters={**said, **{name: one for name, one in options.items() if not name.endswith("_half_cell")}},
        keywords=("battery", "degradation"),
        said=says_so,
    )


def _role(at: int) -> str:
    """Each file has one of its own, so that each can say of itself that it is simulated."""
    return "check-up" if not at else f"check-up {at + 1}"


def _sweeps(
    files: tuple[Path, ...], options: dict[str, Any]
) -> tuple[list[OpenCircuit], dict[str, Any], list[str]]:
    """The check-ups of all files; how these were read, which is taken out of the options; who is simulated."""
    from poliqi.lab.echem.degradation.pseudo_ocv import Way, slow_sweeps
    from poliqi.ops.lab_echem_reading import read_asked

    if options["most_current"] is not None and not options["most_current"] > 0:
        raise ConfigError(f"--most-current {options['most_current']}: give a number above 0, in A")
    way, limit = Way(options["way"]), options["most_current"]
    found: list[OpenCircuit] = []
    said: dict[str, Any] = {}
    says_so: list[str] = []
    for number, path in enumerate(files):
        asked = dict(options)
        record, said = read_asked(path, asked)
        found += slow_sweeps(record, way, most_current_a=limit)
        says_so += [_role(number)] if record.simulated else []
    for name in said:
        del options[name]
    if len(found) > _MOST_CHECK_UPS:
        raise ConfigError(
            f"{len(found)} check-ups, at most {_MOST_CHECK_UPS} are fitted; narrow them: --most-current"
        )
    return found, said, says_so


def _at(text: str | None, count: int) -> list[float]:
    if text is None:
        return [float(one + 1) for one in range(count)]
    try:
        at = [float(one) for one in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--at {text!a:.80}: give numbers with commas between, such as 0,100,200") from error
    if len(at) != count:
        raise ConfigError(f"--at {text!a:.80}: {len(at)} numbers for {count} check-ups that the files hold")
    return at


def _half_cells(options: dict[str, Any]) -> tuple[HalfCell, HalfCell]:
    from poliqi.lab.echem.degradation.halfcell import COLUMN_OPTION, FIELDS, half_cells_of_set, read_half_cell
    from poliqi.lab.echem.unittable import read_stated

    name, files = options["half_cells"], (options["negative_half_cell"], options["positive_half_cell"])
    if (name is None) == (files == (None, None)) or (name is None and None in files):
        raise ConfigError("give --half-cells SET, or both --negative-half-cell FILE and --positive-half-cell FILE")
    if name is not None:
        if options["half_cell_column"]:
            raise ConfigError("--half-cell-column: is of files of half cells, --half-cells has none")
        return half_cells_of_set(name)
    stated = read_stated(options["half_cell_column"], FIELDS, COLUMN_OPTION)
    return read_half_cell(files[0], stated), read_half_cell(files[1], stated)


def _record(
    found: Degradation, negative: HalfCell, positive: HalfCell, cautions: list[str], *, simulated: bool
) -> dict[str, Any]:
    """As --json prints it."""
    return {
        "half_cells": {"negative": negative.source, "positive": positive.source},
        "unit": found.unit,
        "check_ups": [
            _check_up(at, one, losses)
            for at, one, losses in zip(found.at, found.check_ups, ({}, *found.losses), strict=True)
        ],
        "rates": {
            name.removesuffix("_ah"): {
                **_told(trend.rate),
                "why": trend.why or None,
                "scatter": _number(trend.scatter),
            }
            for name, trend in found.trends.items()
        },
        "cautions": cautions,
        "simulated": simulated,
    }


def _check_up(at: float, one: CheckUp, losses: Any) -> dict[str, Any]:
    fitted = one.fitted
    return {
        "at": float(at),
        "title": one.sweep.title,
        "way": one.sweep.way.value,
        "current_a": one.sweep.current_a,
        "capacity_ah": one.sweep.capacity_ah,
        **{name: _told(q) for name, q in one.capacities.items()},
        "not_identified": dict(one.why),
        "losses_percent": {name.removesuffix("_ah"): _told(q) if q else None for name, q in losses.items()},
        "fit": {
            parameter.name: _told(one.parameter(parameter.name)) or {"why": verdict.why}
            for parameter, verdict in zip(fitted.parameters, fitted.verdicts, strict=True)
        },
        "rms_mv": 1e3 * one.rms_v,
        "rank": fitted.rank,
        "condition": _number(fitted.condition),
        "sigma_widened": one.widened**0.5,
    }


def _told(one: Quantity | None) -> dict[str, Any]:
    return {} if one is None else {"value": one.value, "sigma": one.sigma, "unit": one.unit}


def _number(value: float) -> float | None:
    import math

    return float(value) if math.isfinite(value) else None


def _findings(found: Degradation, title: str, cautions: tuple[str, ...], *, simulated: bool) -> Findings:
    from poliqi.lab.store.findings import Finding, Findings

    names = {
        "lithium_ah": "lithium_inventory",
        "negative_ah": "active_material_negative",
        "positive_ah": "active_material_positive",
    }
    method, covers = "half-cell fit", "noise and correlated residuals of the fit"
    told: list[Finding] = []
    for name, word in names.items():
        now = found.check_ups[-1].capacities.get(name)
        lost = found.losses[-1].get(name) if found.losses else None
        rate = found.trends[name].rate
        if now is not None:
            told.append(Finding(f"capacity_{word}", now.value, "Ah", now.sigma, method, covers))
        if lost is not None:
            told.append(Finding(f"loss_{word}", lost.value, "%", lost.sigma, method, covers))
        if rate is not None:
            told.append(Finding(f"loss_rate_{word}", rate.value, rate.unit, rate.sigma, "straight line", covers))
    return Findings(tuple(told), _PROGRAM, title, simulated, cautions)
