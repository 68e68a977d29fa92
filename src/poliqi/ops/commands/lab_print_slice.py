"""`poliqi lab print slice`: scan vectors of a printer's focus from a vessels file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.lab_outputs import PATH, Outputs, Result, deliver, outputs_of, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.print.hatch.slicing import Prepared, Sliced
    from poliqi.lab.print.printability.problem import Problem
    from poliqi.lab.print.vesselfile import Vessels

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab print slice"
_BEAT_S: Final = 1.0
_MB: Final = 1_000_000
_CHOSEN: Final = (
    "hatch_um",
    "layer_um",
    "wall_um",
    "skin_um",
    "lattice_period_um",
    "lattice_beam_um",
    "merge_gap_um",
    "min_length_um",
    "tile_um",
    "overlap_um",
    "stagger_um",
    "block_um",
    "power_mw",
    "speed_mm_s",
)


@click.command(
    help="""Scan vectors of the laser's focus from a vessels file, layer by layer: a job for a multiphoton printer.

    Each line is met with each vessel exactly; there is no mesh. The job is written as it is made, and refused
    before it begins where the machine, the pitch or the budget does not allow it.

    \b
    Examples:
      poliqi lab print slice tissue.vessels.json --profile machine.toml -o tissue.job
      poliqi lab print slice tissue.vessels.json --profile machine.toml --mode shell --wall-um 8 --report slice.html
    """
)
@click.argument("vessels", type=PATH, metavar="FILE.vessels.json")
@click.option("--profile", "profile_name", required=True, metavar="NAME|FILE.toml", help="the machine")
@click.option(
    "--mode",
    type=click.Choice(("solid", "wall", "lumen", "shell")),
    help="what is lit (default: lumen of a gel that light degrades, else solid)",
)
@click.option("--hatch-um", type=float, help="between lines (default: the profile's)")
@click.option("--layer-um", type=float, help="between layers (default: the profile's)")
@click.option("--wall-um", type=float, help="walls of wall and shell (default 5)")
@click.option("--skin-um", type=float, help="outer skin of shell (default 10)")
@click.option("--lattice-period-um", type=float, help="between beams of shell (default 100)")
@click.option("--lattice-beam-um", type=float, help="side of those beams (default 10)")
@click.option("--merge-gap-um", type=float, help="light shorter gaps too (default 0: none)")
@click.option("--min-length-um", type=float, help="leave shorter vectors out (default 0: none)")
@click.option("--tile-um", type=float, help="side of a tile (default: the field of view)")
@click.option("--overlap-um", type=float, help="of neighbouring tiles (default: the profile's)")
@click.option("--stagger-um", type=float, help="how far seams move between layers (default 0)")
@click.option("--block-um", type=float, help="height that is finished before the next begins (default: all)")
@click.option("--order", type=click.Choice(("tile", "layer")), default="tile", show_default=True, help="first")
@click.option("--tile-order", type=click.Choice(("serpentine", "nearest")), default="serpentine", show_default=True)
@click.option("--direction", type=click.Choice(("auto", "up", "down")), default="auto", show_default=True)
@click.option("--light-from", type=click.Choice(("above", "below")), default="above", show_default=True)
@click.option("--power-mw", type=float, help="at the sample (default: the profile's)")
@click.option("--speed-mm-s", type=float, help="of the focus (default: the profile's)")
@click.option("--least-lumen-pitches", type=float, default=2.0, show_default=True, help="in a lumen's diameter")
@click.option("--cut-vessels", is_flag=True, help="allow seams across vessels narrower than the overlap")
@click.option("--allow-ripple", type=float, metavar="PERCENT", help="a dose more uneven than 10 %")
@click.option("--despite-problems", is_flag=True, help="go on where the design is not printable")
@click.option("--budget-mb", type=click.IntRange(1), default=8000, show_default=True, help="of the job")
@click.option("--memory-mb", type=click.IntRange(1), default=1000, show_default=True, help="while it is made")
@outputs_options
def command(**options: Any) -> None:
    """Read, refuse, hatch, write, tell."""
    from poliqi.lab.print.hatch.slicepage import cautions_of, slice_lines, slice_page, slice_record
    from poliqi.lab.print.vesselfile import read_vessels
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.print_profile_toml import profile_digest

    outputs = outputs_of(options)
    path, profile_name = options.pop("vessels"), options["profile_name"]
    reads = [Read("vessels", (path,), is_simulated=True)]
    if Path(profile_name).is_file():
        reads.append(Read("profile", (Path(profile_name),)))
    filing = Filing(outputs.store, outputs.tenant, reads)
    vessels = read_vessels(path)
    prepared = _prepared(vessels, options)
    found = _problems(vessels, prepared, despite=options["despite_problems"])
    sliced = _sliced(prepared, vessels, outputs)
    cautions = [*found, *cautions_of(sliced)]
    record = {**slice_record(sliced), "vessels_blake3": vessels.digest, "cautions": cautions}
    title = path.name.removesuffix(".vessels.json")
    deliver(
        replace(outputs, output=None),
        Result(
            record,
            [*slice_lines(sliced, title), *(f"caution: {one}" for one in cautions)],
            slice_page(sliced, title, cautions),
            {},
            True,
        ),
        filing,
        program=_PROGRAM,
        title=f"Print job: {title}, {prepared.settings.mode}",
        parameters=prepared.settings.record
        | {
            "profile": Path(profile_name).name,
            "profile_blake3": profile_digest(profile_name),
            "is_written": outputs.output is not None,
        },
        keywords=("print", "simulation"),
    )


def _prepared(vessels: Vessels, options: dict[str, Any]) -> Prepared:
    from poliqi.lab.print.hatch.settings import Direction, LightFrom, Mode, Order, TileOrder, settings_for
    from poliqi.lab.print.hatch.slicing import prepare
    from poliqi.ops.print_profile_toml import read_profile

    profile = read_profile(options["profile_name"])
    mode = None if options["mode"] is None else Mode(options["mode"])
    settings = settings_for(
        profile,
        mode,
        order=Order(options["order"]),
        tile_order=TileOrder(options["tile_order"]),
        direction=Direction(options["direction"]),
        light_from=LightFrom(options["light_from"]),
        least_lumen_pitches=options["least_lumen_pitches"],
        cut_vessels=options["cut_vessels"],
        most_ripple=None if options["allow_ripple"] is None else options["allow_ripple"] / 100,
        **{name: options[name] for name in _CHOSEN},
    )
    return prepare(
        vessels.domain,
        vessels.network,
        profile,
        settings,
        most_job_bytes=options["budget_mb"] * _MB,
        most_memory_bytes=options["memory_mb"] * _MB,
    )


def _problems(vessels: Vessels, prepared: Prepared, *, despite: bool) -> list[str]:
    """What speaks against printing the design itself: refused, or told where that is allowed."""
    from poliqi.lab.print.printability.check import Settings, check
    from poliqi.lab.print.printability.problem import Severity

    plan, chosen = prepared.plan, prepared.settings
    wanted = Settings(
        chosen.hatch_um,
        chosen.layer_um,
        plan.overlap_um,
        prepared.profile.material.min_wall_um,
        plan.field_um,
        mode=chosen.mode,
        wall_um=chosen.wall_um,
        skin_um=chosen.skin_um,
        lattice_period_um=chosen.lattice_period_um,
        lattice_beam_um=chosen.lattice_beam_um,
    )
    problems = [*check(vessels.domain, vessels.network, prepared.profile, wanted), *_dose_walls(prepared)]
    refused = [one for one in problems if one.severity is Severity.REFUSE]
    if refused and not despite:
        more = f"; and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise DataRefused(f"not printable: {refused[0].line}{more}; or go on all the same (--despite-problems)")
    return [one.line for one in problems]


def _dose_walls(prepared: Prepared) -> list[Problem]:
    """Walls between lumens that the dose does not print, however the profile's min_wall_um is."""
    from poliqi.lab.print.dose.walls import thin_walls
    from poliqi.lab.print.hatch.limits import dose_limit
    from poliqi.lab.print.printability.problem import Flaw, Problem, Severity

    limit = dose_limit(prepared.profile, prepared.settings)
    thin = thin_walls(prepared.network, limit)
    if not len(thin.pairs):
        return []
    at = int((thin.wall_um - thin.least_um).argmin())
    x, y, z = thin.place_um[at].tolist()
    return [
        Problem(
            Severity.REFUSE,
            Flaw.THIN_WALL,
            float(thin.wall_um[at]),
            float(thin.least_um[at]),
            (x, y, z),
            "grow with a wider gap between vessels",
            len(thin.pairs),
            "um",
            f"the least that the dose prints in that direction at threshold {limit.threshold:.2g}",
        )
    ]


def _sliced(prepared: Prepared, vessels: Vessels, outputs: Outputs) -> Sliced:
    from importlib.metadata import version

    from poliqi.edge.wholefile import whole_file
    from poliqi.lab.print.hatch.slicing import slice_job

    progress = _progress()
    if outputs.output is None:
        return slice_job(prepared, progress=progress)
    free, most = shutil.disk_usage(outputs.output.parent).free, prepared.bound.job_bytes
    if most > free:
        raise ConfigError(
            f"{outputs.output}: the job takes up to {most / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free; make "
            "room or name another disk"
        )
    program = f"poliqi {version('poliqi')}"
    with whole_file(outputs.output, overwrite=outputs.force) as file:
        return slice_job(prepared, file, program=program, vessels_blake3=vessels.digest, progress=progress)


def _progress() -> Callable[[int, int], None]:
    """A line a second on standard error."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT_S:
            last = time.monotonic()
            click.echo(f"layers of tiles: {done} of {total}", err=True)

    return progress
