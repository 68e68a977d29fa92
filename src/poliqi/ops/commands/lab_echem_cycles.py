"""`poliqi lab echem cycles`: capacity, efficiency, dQ/dV, dV/dQ and health, cycle by cycle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.commands.doubted import NUMBER
from poliqi.ops.lab_echem_reading import reading_options
from poliqi.ops.lab_outputs import PATH, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.echem.cycling.cycles import Cycle, Cycles
    from poliqi.lab.echem.cycling.cyclespage import Curves, Scale
    from poliqi.lab.echem.cycling.health import Health

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab echem cycles"
_UNITS: Final = ("Ah", "mAh", "mAh/g", "mAh/cm2")


@click.command()
@click.argument("file", type=PATH)
@click.option(
    "--first",
    type=click.Choice(["charge", "discharge"]),
    default="charge",
    show_default=True,
    help="which half cycle begins a pair; discharge: a negative electrode against lithium",
)
@click.option("--rest-current", type=float, metavar="A", help="smaller currents are rest [1/1000 of the largest]")
@click.option(
    "--least-swing", type=float, metavar="AH", help="smaller turns end no half cycle [5 % of the largest]"
)
@click.option("--mass-mg", type=NUMBER, metavar="NUMBER", help="active material, such as 12.31(5); gives mAh/g")
@click.option("--area-cm2", type=NUMBER, metavar="NUMBER", help="electrode area, such as 1.131(9); gives mAh/cm2")
@click.option("--unit", type=click.Choice(_UNITS), help="of capacities [mAh/g with a mass, else mAh or Ah]")
@click.option("--nominal-ah", type=float, metavar="AH", help="100 % of health [first whole discharge]")
@click.option("--cycle", "asked", type=int, multiple=True, metavar="N", help="show its curves; may be repeated")
@click.option("--step-mv", type=float, default=2.0, show_default=True, help="grid of dQ/dV")
@click.option(
    "--smooth", nargs=2, type=int, default=(21, 3), show_default=True, metavar="POINTS ORDER", help="Savitzky-Golay"
)
@click.option("--ica", type=PATH, metavar="FILE.csv", help="write dQ/dV of the shown cycles")
@click.option("--dva", type=PATH, metavar="FILE.csv", help="write dV/dQ of the shown cycles")
@reading_options
@outputs_options
def command(file: Path, **options: Any) -> None:
    """Cycles of FILE, a record that `read` has written or that it can read.

    POLIQI counts by the charge that flows: what the cycler counted is not used, rests and pulses end no half cycle.
    A half cycle without its partner stands alone and has no efficiency.

    \b
      poliqi lab echem cycles cell.bdf.parquet -o cycles.csv --plot cycles.svg
      poliqi lab echem cycles cell.mpr --mass-mg "12.31(5)" --report cycles.html
      poliqi lab echem cycles graphite.mpr --first discharge --cycle 1 --ica ica.csv
    """
    from dataclasses import replace

    from poliqi.edge.wholefile import check_target, whole_file
    from poliqi.lab.echem.cycling.cycles import cycle_csv, cycles
    from poliqi.lab.echem.cycling.cyclespage import cycle_lines, cycles_page, shown_cycles
    from poliqi.lab.echem.cycling.halfcycles import Direction
    from poliqi.ops.echem_cycles_text import curves_csv, cycles_findings, cycles_record
    from poliqi.ops.lab_echem_reading import read_asked
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.lab_outputs import Result, deliver, outputs_of

    outputs = outputs_of(options)
    extra = {name: options.pop(name) for name in ("ica", "dva")}
    for path in extra.values():
        if path is not None:
            check_target(path, overwrite=outputs.force)
    filing = Filing(outputs.store, outputs.tenant, [Read("record", (file,))])
    record, said = read_asked(file, options)
    says_so = ["record"] if record.simulated else []
    record = replace(record, simulated=record.simulated or filing.is_simulated)
    found = cycles(
        record,
        first=Direction(options["first"]),
        rest_current_a=options["rest_current"],
        least_swing_ah=options["least_swing"],
    )
    missing = set(options["asked"]) - {one.number for one in found.cycles}
    if missing:
        raise ConfigError(
            f"--cycle {min(missing)}: {file} has cycles {found.cycles[0].number} to {found.cycles[-1].number}"
        )
    scale, shown = _scale(found, options), shown_cycles(found, options["asked"])
    curves, untold = _curves(found, shown, options)
    trend, why = _health(found, options["nominal_ah"])
    page = cycles_page(found, curves, trend, scale, shown)
    page = replace(page, cautions=[*page.cautions, *untold, *why])
    files = {
        "cycles.csv": cycle_csv(found),
        "dq-dv.csv": curves_csv(curves, "incremental"),
        "dv-dq.csv": curves_csv(curves, "differential"),
    }
    for path, name in ((extra["ica"], "dq-dv.csv"), (extra["dva"], "dv-dq.csv")):
        if path is not None:
            with whole_file(path, overwrite=outputs.force) as out:
                out.write(files[name])
    result = Result(
        cycles_record(found, trend, scale, page.cautions),
        cycle_lines(page),
        page,
        files,
        record.simulated,
        cycles_findings(found, trend, page.cautions, simulated=record.simulated),
    )
    deliver(
        outputs,
        result,
        filing,
        program=_PROGRAM,
        title=f"Cycles of {record.title or file.name}",
        parameters={**said, **options},
        keywords=("battery", "cycling"),
        said=says_so,
    )


def _scale(found: Cycles, options: dict[str, Any]) -> Scale:
    """In which unit capacities are told; per gram or per area only by what is stated."""
    from poliqi.lab.echem.cycling.cycles import per_area, per_mass
    from poliqi.lab.echem.cycling.cyclespage import Scale
    from poliqi.lab.echem.quantity import Quantity

    mass, area = options["mass_mg"], options["area_cm2"]
    of_mass = None if mass is None else Quantity(mass[0] / 1e3, mass[1] / 1e3, "g", "--mass-mg")
    of_area = None if area is None else Quantity(area[0], area[1], "cm2", "--area-cm2")
    unit = options["unit"]
    if unit is None:
        largest = max(half.capacity_ah for half in found.found.halves)
        unit = "mAh/g" if mass else "mAh/cm2" if area else "Ah" if largest >= 1 else "mAh"
    if unit == "mAh/g":
        return Scale(unit, per_mass(1.0, of_mass).value, of_mass)
    if unit == "mAh/cm2":
        return Scale(unit, per_area(1.0, of_area).value, of_area)
    return Scale(unit, 1.0 if unit == "Ah" else 1e3)


def _curves(found: Cycles, shown: list[Cycle], options: dict[str, Any]) -> tuple[Curves, list[str]]:
    """Differential curves; which half cycle has none, and why."""
    from poliqi.lab.echem.cycling.cyclespage import Curves
    from poliqi.lab.echem.cycling.differential import differential_voltage, incremental_capacity, smoothing

    window, order = options["smooth"]
    smoothing(window, order)  # an option that fits no half cycle is refused, once
    if not 0 < options["step_mv"] < 1e3:
        raise ConfigError(f"--step-mv {options['step_mv']}: give a number above 0, such as 2")
    rest = found.found.rest_current_a
    incremental, differential, untold = list[Any](), list[Any](), list[str]()
    for one in shown:
        for half in one.halves:
            try:
                made = incremental_capacity(
                    found.record, half, rest, step_v=options["step_mv"] / 1e3, window=window, order=order
                )
                incremental.append((one.number, made))
                differential.append(
                    (one.number, differential_voltage(found.record, half, rest, window=window, order=order))
                )
            except DataRefused as error:
                untold.append(str(error))
    return Curves(incremental, differential), untold


def _health(found: Cycles, nominal_ah: float | None) -> tuple[Health | None, list[str]]:
    from poliqi.lab.echem.cycling.health import health

    try:
        return health(found, nominal_ah=nominal_ah), []
    except DataRefused as error:
        if nominal_ah is not None and nominal_ah <= 0:
            raise
        return None, [str(error)]
