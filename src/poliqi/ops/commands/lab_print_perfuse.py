"""`poliqi lab print perfuse`: flow, wall shear and oxygen of a vessels file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.lab_outputs import PATH, Result, deliver, outputs_of, outputs_options, tell

if TYPE_CHECKING:
    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.oxygen.tissue import Carrier, Tissue

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab print perfuse"
_BEAT_S: Final = 1.0
_DEFAULT_TISSUE: Final = "fibrin-1e13"


@click.command(
    help="""Flow through vessels, shear at their walls, and oxygen of the tissue around them.

    Oxygen diffuses, is consumed after Michaelis and Menten, and is carried by what flows: a vessel that has given
    what it had gives no more. Grids up to 128 cells along the longest side take about two seconds.

    \b
    Examples:
      poliqi lab print perfuse tissue.vessels.json --report perfusion.html
      poliqi lab print perfuse tissue.vessels.json --tissue hepatocytes-5.14e13 --fluid blood --json
      poliqi lab print perfuse tissue.vessels.json --consumption 0.02 --km 0.005 --diffusivity 2e-9 --bath 0.2
    """
)
@click.argument("file", type=PATH, metavar="FILE.vessels.json")
@click.option("--fluid", type=click.Choice(("medium", "blood")), help="The design's; medium without.")
@click.option("--hematocrit", type=float, metavar="H", help="Of blood, 0 to 0.75 (0.45).")
@click.option("--viscosity", type=float, metavar="PA_S", help="Of the medium (0.0007) or the plasma (0.0012).")
@click.option("--terminal-pressure", type=float, metavar="PA", help="Of open ends (else the designed flow).")
@click.option("--tissue", metavar="NAME", help=f"Tissue with a source ({_DEFAULT_TISSUE}); a wrong one lists all.")
@click.option("--consumption", type=float, metavar="MOL_M3_S", help="M0, in place of a tissue's.")
@click.option("--km", type=float, metavar="MOL_M3", help="Michaelis constant, in place of the tissue's.")
@click.option("--diffusivity", type=float, metavar="M2_S", help="Of oxygen, in place of the tissue's.")
@click.option("--inlet-oxygen", type=float, metavar="MOL_M3", help="Dissolved in what flows in (0.2).")
@click.option("--hypoxic-below", type=float, metavar="MOL_M3", help="Limit of hypoxia (0.0135, about 10 mmHg).")
@click.option("--bath", type=float, metavar="MOL_M3", help="Hold the outer boundary; else nothing passes it.")
@click.option("--sherwood", type=float, metavar="SH", help="Resistance in the vessels (4); 0 leaves it out.")
@click.option("--cells", type=int, metavar="N", help="Cells along the longest side (128).")
@click.option("--spacing", type=float, metavar="UM", help="Size of a cell, in place of --cells.")
@click.option("--reach", type=float, default=200.0, show_default=True, metavar="UM", help="Of coverage.")
@click.option("--no-oxygen", is_flag=True, help="Flow, shear and coverage alone.")
@outputs_options
def command(file: Path, **options: Any) -> None:
    """Read, calculate, write, print."""
    from poliqi.lab.print.coverage import coverage
    from poliqi.lab.print.dose.written import written_cautions
    from poliqi.lab.print.flow.designed import designed_fluid
    from poliqi.lab.print.flow.solve import solve_flow
    from poliqi.lab.print.oxygen.oxygen import oxygen
    from poliqi.lab.print.oxygen.page import perfusion_page
    from poliqi.lab.print.oxygen.perfusion import Perfusion
    from poliqi.lab.print.oxygen.perfusionfile import perfusion_bytes
    from poliqi.lab.print.vesselfile import read_vessels
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.print_perfuse_text import perfusion_lines, perfusion_record

    outputs = outputs_of(options)
    tissue = _tissue(options)
    filing = Filing(outputs.store, outputs.tenant, [Read("vessels", (file,), is_simulated=True)])
    vessels = read_vessels(file)
    fluid = _fluid(options, designed_fluid(vessels.made))
    carrier = None if tissue is None else _carrier(options, fluid)
    network, domain = vessels.network, vessels.domain
    tell("flow and coverage")
    flow = solve_flow(network, fluid, terminal_pressure_pa=options["terminal_pressure"])
    covered = coverage(domain, network, options["reach"])
    found = None
    if tissue is not None:
        tell("oxygen")
        found = oxygen(
            domain,
            network,
            flow,
            tissue,
            carrier=carrier,
            cells=options["cells"],
            spacing_um=options["spacing"],
            progress=_progress(),
        )
    perfusion = Perfusion(network, domain, fluid, flow, covered, tissue, carrier, found)
    record = perfusion_record(perfusion, vessels.digest)
    written = written_cautions(
        vessels.made, "flow, shear and oxygen are of other radii than the print's: give the design"
    )
    record["cautions"] = [*written, *record["cautions"]]
    page = perfusion_page(perfusion, file.name)
    deliver(
        outputs,
        Result(
            record,
            [*perfusion_lines(perfusion), *(f"caution: {one}" for one in written)],
            replace(page, cautions=[*written, *page.cautions]),
            {"perfusion.npz": perfusion_bytes(perfusion, record)},
            True,
        ),
        filing,
        program=_PROGRAM,
        title=f"Perfusion of {file.name}",
        parameters=options,
        keywords=("perfusion", "simulation"),
    )


def _fluid(options: dict[str, Any], designed: Fluid | None) -> Fluid:
    """What the options say; of the fluid that the vessels were designed for what they leave open."""
    from poliqi.lab.print.flow.fluid import Fluid

    viscosity, hematocrit = options["viscosity"], options["hematocrit"]
    kind = options["fluid"]
    if designed is not None and kind in (None, "blood" if designed.is_blood else "medium"):
        if hematocrit is not None and not designed.is_blood:
            raise ConfigError(f"--hematocrit {hematocrit:g}: medium has no red cells; give --fluid blood with it")
        given = {"viscosity_pa_s": viscosity, "hematocrit": hematocrit}
        return replace(designed, **{name: value for name, value in given.items() if value is not None})
    if kind == "blood":
        blood = Fluid.blood() if hematocrit is None else Fluid.blood(hematocrit)
        return blood if viscosity is None else Fluid(viscosity, blood.hematocrit, blood.density_kg_m3)
    if hematocrit is not None:
        raise ConfigError(f"--hematocrit {hematocrit:g}: medium has no red cells; give --fluid blood with it")
    return Fluid() if viscosity is None else Fluid(viscosity)


def _tissue(options: dict[str, Any]) -> Tissue | None:
    """The named one with what was given in its place; None with --no-oxygen."""
    from poliqi.lab.print.oxygen.tissue import PRESETS

    given = {
        "consumption_mol_m3_s": options["consumption"],
        "km_mol_m3": options["km"],
        "diffusivity_m2_s": options["diffusivity"],
        "inlet_mol_m3": options["inlet_oxygen"],
        "hypoxic_below_mol_m3": options["hypoxic_below"],
        "bath_mol_m3": options["bath"],
    }
    given = {name: value for name, value in given.items() if value is not None}
    if options["no_oxygen"]:
        other = [name for name in ("tissue", "cells", "spacing", "sherwood") if options[name] is not None]
        if given or other:
            raise ConfigError(f"--no-oxygen: {[*given, *other][0]} was given too; leave one of them out")
        return None
    name = options["tissue"] or _DEFAULT_TISSUE
    if name not in PRESETS:
        raise ConfigError(f"--tissue {name!a:.60}: give one of {', '.join(PRESETS)}")
    replaced = {"consumption_mol_m3_s", "km_mol_m3", "diffusivity_m2_s"} & set(given)
    if replaced:
        given["source"] = f"{name} with {', '.join(sorted(replaced))} given"
    return replace(PRESETS[name], **given)


def _carrier(options: dict[str, Any], fluid: Fluid) -> Carrier:
    from poliqi.lab.print.oxygen.tissue import Carrier

    carrier = Carrier() if fluid.hematocrit is None else Carrier.blood(fluid.hematocrit)
    if options["sherwood"] is None:
        return carrier
    return replace(carrier, sherwood=options["sherwood"] or None)


def _progress() -> Callable[[int, int], None]:
    """A line a second on standard error where the work is long."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT_S:
            last = time.monotonic()
            click.echo(f"oxygen: cycle {done} of about {total}", err=True)

    return progress
