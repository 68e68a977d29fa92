"""`poliqi lab print export`: a design or a job in other programs' formats."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.lab_outputs import PATH, Outputs, Result, deliver, outputs_of, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.print.export.targets import Target
    from poliqi.lab.print.export.writing import Choice, Written
    from poliqi.lab.print.printability.problem import Problem
    from poliqi.ops.print_export_text import Told

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab print export"
_MAGIC: Final = b"\x89POLIQJ\n"
_BEAT_S: Final = 1.0
_MOST_STORED: Final = 512 << 20


@click.command(
    help="""Write a design for other programs: meshes, a beam lattice, centre lines; or a job as text for a machine.

    Meshes are closed solids within --tolerance-um of the round vessels; their volume is held against exact scan
    lines, and a mesh that differs is refused. The ending of --to says the format: .stl, .3mf, .glb, .nano, .swc,
    .csv from a vessels file, .gwl from a job. GWL and .nano were never run on a machine: unverified.
    -o writes the record of what was written (JSON), not a design: files for other programs are named by --to.

    \b
    Examples:
      poliqi lab print export tissue.vessels.json --to tissue.3mf --to tissue.stl
      poliqi lab print export tissue.vessels.json --what beams --to vessels.3mf
      poliqi lab print export tissue.job --to tissue.gwl
    """
)
@click.argument("source", type=PATH, metavar="FILE.vessels.json|FILE.job")
@click.option("--to", "paths", multiple=True, type=PATH, metavar="FILE", help="File to write; may be repeated.")
@click.option(
    "--what",
    type=click.Choice(("tissue", "lumen", "both", "beams")),
    help="What .3mf, .glb, .stl and .nano hold (default: both, or tissue where only one can be held).",
)
@click.option(
    "--tolerance-um",
    type=float,
    default=0.5,
    show_default=True,
    help="How far flat triangles may part from round vessels.",
)
@click.option("--profile", metavar="NAME|FILE.toml", help="Machine: looks for what cannot be printed; for .nano.")
@click.option(
    "--most-gb",
    type=float,
    default=8.0,
    show_default=True,
    help="Largest file, and memory for meshes; else refused.",
)
@outputs_options
def command(**options: Any) -> None:
    """Read, refuse or write, print."""
    from poliqi.lab.print.export.targets import targets_of
    from poliqi.lab.print.export.writing import Choice
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.print_export_text import export_lines, export_page, export_record

    outputs = outputs_of(options)
    source: Path = options["source"]
    if not 0.001 <= options["most_gb"] <= 1000.0:
        raise ConfigError(f"--most-gb {options['most_gb']:g}; from 0.001 to 1000 is possible")
    is_job = _is_job(source)
    targets = targets_of(options["paths"], options["what"], is_job=is_job)
    reads = [Read("job" if is_job else "vessels", (source,), is_simulated=True)]
    profile = None
    if options["profile"] is not None:
        from poliqi.ops.print_profile_toml import read_profile

        profile = read_profile(options["profile"])
        if Path(options["profile"]).is_file():
            reads.append(Read("profile", (Path(options["profile"]),)))
    choice = Choice(options["tolerance_um"], int(options["most_gb"] * 1e9), outputs.force, profile)
    filing = Filing(outputs.store, outputs.tenant, reads)
    told = _of_job(source, targets, choice) if is_job else _of_vessels(source, targets, choice)
    record = export_record(told)
    deliver(
        outputs,
        Result(record, export_lines(told), export_page(told), _files(outputs, told.written, record), True),
        filing,
        program=_PROGRAM,
        title=f"Export: {', '.join(target.path.name for target in targets)}",
        parameters={
            "to": [target.path.name for target in targets],
            "what": [str(target.what) for target in targets],
            "tolerance_um": options["tolerance_um"],
            "profile": None if profile is None else profile.record,
        },
        keywords=("export", "simulation"),
    )


def _is_job(path: Path) -> bool:
    """By its first bytes."""
    from poliqi.base.errors import DataRefused
    from poliqi.edge.regularfile import open_regular

    try:
        with open_regular(path) as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise DataRefused(f"{path}: cannot be read ({error.strerror}); name a vessels file or a job") from error


def _of_vessels(source: Path, targets: tuple[Target, ...], choice: Choice) -> Told:
    """Meshes once, files one after another."""
    from poliqi.lab.print.export.targets import needs_mesh
    from poliqi.lab.print.export.writing import check_size, mesh_of, write_vessels
    from poliqi.lab.print.vesselfile import read_vessels
    from poliqi.ops.print_export_text import Told

    vessels = read_vessels(source)
    check_size(vessels, targets, choice)
    meshed = mesh_of(vessels, choice, _progress("Boolean operations")) if any(map(needs_mesh, targets)) else None
    problems: tuple[Problem, ...] = ()
    if choice.profile is not None:
        from poliqi.lab.print.printability.check import check

        problems = check(vessels.domain, vessels.network, choice.profile)
    written = write_vessels(vessels, targets, choice, meshed)
    return Told(source.name, vessels, meshed, None, written, problems)


def _of_job(source: Path, targets: tuple[Target, ...], choice: Choice) -> Told:
    from poliqi.lab.print.export.writing import write_job
    from poliqi.ops.print_export_text import Told

    if len(targets) != 1:
        raise ConfigError(f"--to: {len(targets)} files of one job would be the same; give one")
    written, size = write_job(source, targets[0], choice, _progress("records"))
    return Told(source.name, None, None, size, [written], ())


def _files(outputs: Outputs, written: Sequence[Written], record: dict[str, Any]) -> dict[str, bytes]:
    """What the dataset gets: the record, then files up to 512 MiB."""
    import json

    files = {"export.json": json.dumps(record, indent=1, allow_nan=False).encode() + b"\n"}
    if outputs.store is not None:
        kept = [one for one in written if one.bytes <= _MOST_STORED]
        files |= {one.target.path.name: one.target.path.read_bytes() for one in kept}
        for one in written:
            if one.bytes > _MOST_STORED:
                click.echo(
                    f"{one.target.path.name} is too large for the dataset, which tells its size alone", err=True
                )
    return files


def _progress(what: str) -> Callable[[int, int], None]:
    """A line a second on standard error, where the work is long."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT_S:
            last = time.monotonic()
            click.echo(f"{what}: {done} of {total}", err=True)

    return progress
