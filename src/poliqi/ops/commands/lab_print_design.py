"""`poliqi lab print design`: vessels grown into a tissue."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.lab_outputs import PATH, Result, deliver, outputs_of, outputs_options

if TYPE_CHECKING:
    from poliqi.ops.print_design_toml import Design

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab print design"
_BEAT_S: Final = 1.0


@click.command(
    help="""Grow vessels into a tissue: trees of least volume without contacts, closed through capillaries.

    The design file says shape, inlets, outlets, flow, pressures and distances; --example prints one to begin with.
    Radii follow from flow and pressures: every terminal gets the same flow, every joint obeys Murray's law. With an
    outlet, veins and capillaries are grown too, so that all of it can be perfused.

    \b
    Examples:
      poliqi lab print design --example > tissue.toml
      poliqi lab print design tissue.toml -o tissue.vessels.json --report tissue.html
      poliqi lab print design tissue.toml --terminals 200 --seed 7 --json
    """
)
@click.argument("file", type=PATH, metavar="DESIGN.toml", required=False)
@click.option("--example", is_flag=True, help="Print a design file, and nothing else.")
@click.option("--seed", type=int, metavar="N", help="In place of the file's.")
@click.option("--terminals", type=int, metavar="N", help="In place of the file's.")
@click.option("--flow", metavar='"Q uL/min"', help="In place of the file's; nL, uL, mL a s, min, h.")
@click.option("--gap", type=float, metavar="UM", help="Least distance between lumens, in place of the file's.")
@click.option("--wall", type=float, metavar="UM", help="Least distance to the surface, in place of the file's.")
@outputs_options
def command(file: Path | None, **options: Any) -> None:
    """Read, grow, close, judge, write, print."""
    example = options.pop("example")
    if example:
        from poliqi.ops.print_design_toml import EXAMPLE

        click.echo(EXAMPLE, nl=False)
        return
    if file is None:
        raise ConfigError("give a design file; `poliqi lab print design --example > tissue.toml` writes one")
    from poliqi.lab.print.vesselfile import vessels_bytes
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.print_design_text import design_lines, design_page, design_record, made_record
    from poliqi.ops.print_design_toml import design_files

    outputs = outputs_of(options)
    named = design_files(file)
    filing = Filing(outputs.store, outputs.tenant, [Read("design", (file,)), Read("shape", named)])
    design = _design(file, options)
    if design.files != named:
        raise DataRefused(f"{file} changed while it was worked on; run it again")
    begun = time.perf_counter()
    try:
        network = _grown(design)
    except KeyboardInterrupt:
        click.echo("stopped; nothing was written", err=True)
        raise
    if sys.stderr.isatty():
        click.echo(f"grown in {time.perf_counter() - begun:.3g} s", err=True)
    record = design_record(design, network)
    deliver(
        outputs,
        Result(
            record,
            design_lines(record),
            design_page(record, design, network, file.name),
            {"tissue.vessels.json": vessels_bytes(network, design.domain, made_record(design))},
            True,
        ),
        filing,
        program=_PROGRAM,
        title=f"Vessels of {file.name}",
        parameters=options,
        keywords=("vessels", "simulation"),
    )


def _design(file: Path, options: dict[str, Any]) -> Design:
    """The file's design with what options change of it."""
    from poliqi.ops.print_design_toml import flow_of, load_design

    design = load_design(file)
    changes: dict[str, Any] = {}
    for option, name in (("seed", "seed"), ("terminals", "terminals"), ("gap", "gap_um"), ("wall", "wall_um")):
        if options[option] is not None:
            changes[name] = options[option]
    if options["flow"] is not None:
        changes["flow_um3_s"] = flow_of(options["flow"], "--flow")
    return design.with_growth(**changes) if changes else design


def _grown(design: Design) -> Any:
    progress = _progress()
    if design.closure is None:
        from poliqi.lab.print.flow.opentree import open_trees

        return open_trees(design.domain, design.growth, design.fluid, progress=progress)
    from poliqi.lab.print.closure.close import close

    return close(design.domain, design.growth, design.closure, fluid=design.fluid, progress=progress)


def _progress() -> Callable[[int, int], None]:
    """A line a second on standard error."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT_S:
            last = time.monotonic()
            click.echo(f"vessels: {done} of {total}", err=True)

    return progress
