"""`poliqi lab echem stack`: cells, area, power, hydrogen and heat of a stack, sized to a load or a drive cycle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from poliqi.ops.lab_outputs import PATH, Result, deliver, outputs_of, outputs_options, tell
from poliqi.ops.lab_polarisation import curve_options, curves_read, held_values, reads_of

__all__ = ["command"]

_PROGRAM = "poliqi lab echem stack"


@click.command(
    help="""Size a stack of fuel cells or an electrolyser by the measured polarisation curves of one cell.

    CURVES are fitted jointly (see `poliqi lab echem fit polarisation --help`). Say what the stack is for (--power,
    --hydrogen or --load), where it works (--current-density, --cell-voltage or --efficiency) and either --cells or
    --area. With a battery in --plant the load is shared so that least hydrogen is used: an exact optimum, whose
    proven bound is printed.

    \b
    Examples:
      poliqi lab echem stack *.csv --like nominal --power 60 --cell-voltage 0.65 --area 273
      poliqi lab echem stack alkaline.csv --like 'temperature 80 degC' --hydrogen 2 --cell-voltage 1.65 --area 2500
      poliqi lab echem stack *.csv --like nominal --load us06.txt --plant car.toml --cell-voltage 0.65 --area 273

    \b
    car.toml; every field is needed, none has a default:
      [vehicle]
      mass_kg = 1900                  # with rotating parts
      drag_area_m2 = 0.6              # drag coefficient x frontal area
      rolling_coefficient = 0.009
      drivetrain_efficiency = 0.88
      regeneration = 0.6              # share of braking power that is taken back
      auxiliary_w = 800
      air_density_kg_m3 = 1.2
      [battery]                       # leave out: the stack follows the load alone
      capacity_wh = 1600
      lowest_charge = 0.3             # of the capacity
      highest_charge = 0.9
      start_charge = 0.6
      most_charge_w = 30000
      most_discharge_w = 80000
      charge_efficiency = 0.95
      discharge_efficiency = 0.95
      [stack]                         # leave out: as fast as the load
      ramp_w_s = 10000
    """
)
@curve_options
@click.option("--like", default="", metavar="CURVE", help="work at the conditions of this curve")
@click.option("--at", multiple=True, metavar="NAME=VALUE", help="but with this, such as 'temperature=70 degC'")
@click.option("--power", type=float, metavar="KW", help="that the stack gives or takes")
@click.option("--hydrogen", type=float, metavar="KG/H", help="that the stack uses or makes")
@click.option("--load", type=PATH, metavar="FILE", help="table of time and power, or of time and speed")
@click.option("--plant", type=PATH, metavar="FILE.toml", help="vehicle and battery of the load")
@click.option("--current-density", type=float, metavar="A/CM2", help="where it works")
@click.option("--cell-voltage", type=float, metavar="V", help="where it works")
@click.option(
    "--efficiency",
    type=float,
    metavar="SHARE",
    help="where it works; fuel cell: lower, electrolyser: higher heating",
)
@click.option("--cells", type=click.IntRange(1), help="how many in series")
@click.option("--area", type=float, metavar="CM2", help="of one cell")
@outputs_options
def command(curves: tuple[Path, ...], **options: Any) -> None:
    """Read, fit, size, write, print."""
    from poliqi.lab.echem.polarisation.fit import fit_polarisation
    from poliqi.lab.echem.stack.page import (
        course_of,
        findings_of_stack,
        lines_of_stack,
        page_of_stack,
        record_of_stack,
    )
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.lab_stack import sizing_of

    outputs = outputs_of(options)
    files = {name: options[name] for name in ("load", "plant") if options[name] is not None}
    parameters = {name: value for name, value in options.items() if name not in files}
    filing = Filing(
        outputs.store, outputs.tenant, [*reads_of(curves), *(Read(role, (path,)) for role, path in files.items())]
    )
    read, saying = curves_read(curves, options, filing)
    fit = fit_polarisation(read, hold=held_values(options["hold"]), free=options["free"])
    if options["load"] is not None:
        tell("sharing the load")
    sizing = sizing_of(fit, options)
    record = record_of_stack(sizing)
    deliver(
        outputs,
        Result(
            record,
            lines_of_stack(sizing),
            page_of_stack(sizing),
            {"course.csv": course_of(sizing)},
            True,  # simulated: no such stack was measured
            findings_of_stack(sizing, _PROGRAM),
        ),
        filing,
        program=_PROGRAM,
        title=f"Stack of {sizing.stack.cells} cells, {fit.curves[0].cell or fit.curves[0].file}",
        parameters=parameters,
        keywords=("stack", str(fit.device)),
        said=saying,
    )
