"""`poliqi lab echem fit voltammogram`: active area, hydrogen crossover and electronic short."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.commands.doubted import NUMBER
from poliqi.ops.lab_outputs import PATH, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.echem.voltammetry.activearea import ActiveArea
    from poliqi.lab.echem.voltammetry.crossover import Crossover
    from poliqi.lab.echem.voltammetry.voltammogram import Voltammogram
    from poliqi.lab.store.findings import Findings

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab echem fit voltammogram"
_RANGE: Final[dict[str, Any]] = {"nargs": 2, "type": float, "metavar": "LOW HIGH"}
_LIMITS: Final = {"hydrogen": (0.05, 0.4), "co": (0.5, 1.0), "crossover": (0.3, 0.5)}
_DOUBLE_LAYER: Final = (0.42, 0.5)
_TITLES: Final = {
    "hydrogen": "Active area by hydrogen",
    "co": "Active area by CO",
    "crossover": "Crossover and short",
}


@click.command()
@click.argument("file", type=PATH)
@click.option(
    "--find",
    type=click.Choice(["hydrogen", "co", "crossover"]),
    required=True,
    help="active area by deposited hydrogen or by stripped CO; or hydrogen crossover and electronic short",
)
@click.option(
    "--to-rhe",
    type=float,
    required=True,
    metavar="V",
    help="what makes potentials of FILE ones against RHE: 0 in a fuel cell with hydrogen on the other side",
)
@click.option("--scan-rate", type=float, metavar="MV/S", help="[by the times of FILE]")
@click.option("--limits", **_RANGE, help="V of the integral or the line [0.05 0.4; CO 0.5 1.0; crossover 0.3 0.5]")
@click.option("--double-layer", **_RANGE, help="V where only the double layer is charged [0.42 0.5]")
@click.option("--adsorption", is_flag=True, help="hydrogen by the sweep down in place of the sweep up")
@click.option("--clean", type=PATH, metavar="FILE", help="CO: the sweep without CO [the second of FILE]")
@click.option("--charge-density", type=NUMBER, metavar="UC/CM2", help="of a covered surface [210; CO 420]")
@click.option("--area-cm2", type=float, metavar="CM2", help="geometric area of the electrode")
@click.option("--loading-mg-cm2", type=NUMBER, metavar="NUMBER", help="platinum, such as 0.10(1): gives m2/g")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="'FIELD=NAME [unit]'",
    help="time, potential or current, where the header does not say, such as 'current=3 [mA]'",
)
@click.option("--simulated", is_flag=True, help="the curve was calculated: say so wherever it is shown")
@outputs_options
def command(file: Path, **options: Any) -> None:
    """What a voltammogram tells of a platinum electrode or a membrane, with every assumption printed.

    FILE is text (CSV, BioLogic .mpt, ...) with potential and current, and time or a stated scan rate. An anodic
    current (oxidation) is positive.

    \b
      poliqi lab echem fit voltammogram cv.csv --find hydrogen --to-rhe 0 --area-cm2 25 --loading-mg-cm2 "0.10(1)"
      poliqi lab echem fit voltammogram strip.csv --find co --to-rhe 0.93 --limits 0.55 0.95
      poliqi lab echem fit voltammogram lsv.csv --find crossover --to-rhe 0 --area-cm2 25 --report lsv.html
    """
    from dataclasses import replace

    from poliqi.lab.echem.voltammetry.voltammogrampage import (
        voltammogram_csv,
        voltammogram_lines,
        voltammogram_page,
    )
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.lab_outputs import Result, deliver, outputs_of

    outputs = outputs_of(options)
    _check(options)
    reads = [Read("voltammogram", (file,), options["simulated"])]
    if options["clean"] is not None:
        reads.append(Read("voltammogram without CO", (options["clean"],), options["simulated"]))
    filing = Filing(outputs.store, outputs.tenant, reads)
    one = _read(file, options)
    clean = None if options["clean"] is None else _read(options["clean"], options)
    says_so = [read.role for read, told in zip(reads, (one, clean), strict=False) if told and told.simulated]
    one = replace(one, simulated=options["simulated"] or filing.is_simulated or bool(says_so))
    found = _found(one, clean, options)
    title = f"{_TITLES[options['find']]}: {one.title}"
    page = voltammogram_page(one, found, title)
    lines = [*(["simulated"] if one.simulated else []), *voltammogram_lines(found)]
    result = Result(
        _record(one, found, list(page.cautions)),
        lines,
        page,
        {"voltammogram.csv": voltammogram_csv(found)},
        one.simulated,
        _findings(one, found, title, tuple(page.cautions)),
    )
    deliver(
        outputs,
        result,
        filing,
        program=_PROGRAM,
        title=title,
        parameters={name: value for name, value in options.items() if name != "clean"},
        keywords=("voltammetry", "fuel cell"),
        said=says_so,
    )


def _check(options: dict[str, Any]) -> None:
    """Options that belong to another evaluation are refused, not passed over."""
    allowed = {
        "hydrogen": {"double_layer", "adsorption", "charge_density", "loading_mg_cm2"},
        "co": {"clean", "charge_density", "loading_mg_cm2"},
        "crossover": set[str](),
    }[options["find"]]
    for name in ("double_layer", "adsorption", "clean", "charge_density", "loading_mg_cm2"):
        if options[name] not in (None, False) and name not in allowed:
            raise ConfigError(f"--{name.replace('_', '-')}: has no part in --find {options['find']}")


def _read(path: Path, options: dict[str, Any]) -> Voltammogram:
    from poliqi.lab.echem.unittable import read_stated
    from poliqi.lab.echem.voltammetry.voltammogram import FIELDS, read_voltammogram

    return read_voltammogram(
        path,
        offset_v=options["to_rhe"],
        scan_rate_v_s=None if options["scan_rate"] is None else options["scan_rate"] / 1e3,
        area_cm2=options["area_cm2"],
        stated=read_stated(options["columns"], FIELDS),
    )


def _found(one: Voltammogram, clean: Voltammogram | None, options: dict[str, Any]) -> ActiveArea | Crossover:
    from poliqi.lab.echem.voltammetry.activearea import CO_UC_CM2, HYDROGEN_UC_CM2, area_by_co, area_by_hydrogen
    from poliqi.lab.echem.voltammetry.crossover import crossover

    limits = options["limits"] or _LIMITS[options["find"]]
    density, loading = options["charge_density"], options["loading_mg_cm2"]
    match options["find"]:
        case "hydrogen":
            return area_by_hydrogen(
                one,
                limits_v=limits,
                double_layer_v=options["double_layer"] or _DOUBLE_LAYER,
                density_uc_cm2=density or (HYDROGEN_UC_CM2, 0.0),
                loading_mg_cm2=loading,
                is_adsorption=options["adsorption"],
            )
        case "co":
            return area_by_co(
                one,
                limits_v=limits,
                density_uc_cm2=density or (CO_UC_CM2, 0.0),
                loading_mg_cm2=loading,
                clean=clean,
            )
        case _:
            return crossover(one, limits_v=limits)


def _record(one: Voltammogram, found: ActiveArea | Crossover, cautions: list[str]) -> dict[str, Any]:
    """As --json prints it: SI, areas in cm2."""
    from poliqi.lab.echem.voltammetry.activearea import ActiveArea

    record: dict[str, Any] = {
        "title": one.title,
        "limits_v": list(found.limits_v),
        "scan_rate_v_s": one.scan_rate_v_s,
        "offset_v": one.offset_v,
        "found": {name: {"value": q.value, "sigma": q.sigma, "unit": q.unit} for name, q in found.values.items()},
    }
    if isinstance(found, ActiveArea):
        record["error_of_charge_c"] = dict(found.parts_c)
    else:
        record["not_told"] = dict(found.why)
    return {**record, "assumed": list(found.assumed), "cautions": cautions, "simulated": one.simulated}


def _findings(one: Voltammogram, found: ActiveArea | Crossover, title: str, cautions: tuple[str, ...]) -> Findings:
    from poliqi.lab.echem.voltammetry.activearea import ActiveArea
    from poliqi.lab.echem.voltammetry.voltammogrampage import findings_of
    from poliqi.lab.store.findings import Finding, Findings

    covers = "baseline and limits" if isinstance(found, ActiveArea) else "scatter about the line"
    method = "voltammogram, " + ("integral" if isinstance(found, ActiveArea) else "straight line")
    told = tuple(Finding(name, q.value, q.unit, q.sigma or None, method, covers) for name, q in findings_of(found))
    return Findings(told, _PROGRAM, title, one.simulated, cautions)
