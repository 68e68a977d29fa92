"""`poliqi lab print optimise`: designs within a budget, and which of them none beats."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.lab_outputs import PATH, Result, deliver, outputs_of, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.print.optimise.judge import Judge
    from poliqi.lab.print.optimise.study import Study
    from poliqi.lab.print.optimise.targets import Target
    from poliqi.ops.print_design_toml import Design

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab print optimise"
_BEAT_S: Final = 1.0
_MOST_BYTES: Final = 1 << 20
_DEFAULT_CELLS: Final = 32
_MOST_CELLS: Final = 256
_LEAST_ACROSS: Final = 4
"""Cells along the shortest side: vessels thinner than a cell are spread over as many."""


@click.command(
    help="""Grow many designs, keep those within a budget, and tell which of them none beats.

    Each design is grown and closed, perfused, its oxygen solved on a coarse grid, checked for flaws, and the time
    of its print estimated. Targets stand in [targets] of the design or come by --target; a design that cannot be
    grown is out, with the reason.

    \b
    Examples:
      poliqi lab print optimise tissue.toml --profile machine.toml --vary terminals=50:200:4 \\
          --target "hypoxic<1%" --target "print<2h" --target "shear=0.5:4Pa" --report designs.html
      poliqi lab print optimise tissue.toml --profile machine.toml --vary terminals=50:400 \\
          --vary flow_nl_min=50:500 --samples 64 --resume study.jsonl --best best.toml
    """
)
@click.argument("file", type=PATH, metavar="DESIGN.toml")
@click.option("--profile", required=True, metavar="NAME|FILE.toml", help="Machine that prints it.")
@click.option(
    "--vary", "ranges", multiple=True, metavar="NAME=LOW:HIGH:COUNT", help="Or NAME=A,B,C; may be repeated."
)
@click.option("--samples", type=int, metavar="N", help="N designs spread over the ranges, in place of a grid.")
@click.option("--target", "targets", multiple=True, metavar="TEXT", help='Such as "hypoxic<1%"; may be repeated.')
@click.option(
    "--least", "objectives", multiple=True, metavar="NAME", help="What is to be small (hypoxic, print, volume)."
)
@click.option("--mode", type=click.Choice(("solid", "wall", "lumen", "shell")), help="What is lit (the profile's).")
@click.option("--tissue", metavar="NAME", help="In place of the design's; a wrong one lists all.")
@click.option(
    "--cells",
    type=click.IntRange(8, _MOST_CELLS),
    help=f"Of the oxygen's grid, along the longest side ({_DEFAULT_CELLS}, more for thin tissue).",
)
@click.option("--best", type=PATH, metavar="FILE.toml|.vessels.json", help="Write the design to begin with.")
@click.option("--resume", type=PATH, metavar="FILE", help="Keep designs here; go on from it after a stop.")
@click.option("--workers", type=click.IntRange(1), help="Processes (default: one a core).")
@click.option("--cluster", metavar="ADDRESS", help="Dask scheduler to work on, such as tcp://10.0.0.5:8786.")
@outputs_options
def command(file: Path, **options: Any) -> None:
    """Read, grow all, write, print."""
    from poliqi.lab.print.optimise.page import study_page
    from poliqi.lab.print.optimise.study import study_csv
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.print_design_toml import design_files, read_design
    from poliqi.ops.print_optimise_text import study_lines, study_record
    from poliqi.ops.print_profile_toml import profile_digest
    from poliqi.ops.toml_file import file_bytes

    outputs = outputs_of(options)
    if outputs.output is not None and outputs.output.suffix.lower() not in (".csv", ".json"):
        raise ConfigError(f"-o {outputs.output}: give a name that ends in .csv or .json")
    _check_best(options["best"], force=outputs.force)
    named = design_files(file)
    reads = [Read("design", (file,)), Read("shape", named)]
    if Path(options["profile"]).is_file():
        reads.append(Read("profile", (Path(options["profile"]),)))
    filing = Filing(outputs.store, outputs.tenant, reads)
    data = file_bytes(file, _MOST_BYTES, "a design of a tissue")
    design = read_design(data, str(file), file.parent)
    options["cells"] = _cells(design, options["cells"])
    judge = _judge(design, options)
    if design.files != named:
        raise DataRefused(f"{file} changed while it was worked on; run it again")
    try:
        study = _study(judge, design, options)
    except KeyboardInterrupt:
        kept = (
            f"what was done is kept in {options['resume']}" if options["resume"] else "nothing was kept (--resume)"
        )
        click.echo(f"stopped; {kept}", err=True)
        raise
    lines = study_lines(study)
    if options["best"] is not None and study.best is not None:
        _write_best(data, file, design, judge, study, options["best"], force=outputs.force)
        lines.append(f"wrote design {study.best + 1} to {options['best']}")
    elif options["best"] is not None:
        lines.append(f"caution: {options['best']} was not written: there is no design to begin with")
    record = study_record(study)
    as_json = outputs.output is not None and outputs.output.suffix.lower() == ".json"
    files = {
        "designs.csv": study_csv(study),
        "designs.json": (json.dumps(record, indent=1, allow_nan=False) + "\n").encode(),
    }
    if as_json:  # what -o gets stands first
        files = dict(reversed(files.items()))
    unsaid = ("resume", "workers", "cluster", "best")
    deliver(
        outputs,
        Result(record, lines, study_page(study, file.name), files, True),
        filing,
        program=_PROGRAM,
        title=f"Designs of {file.name} over {', '.join(study.varied)}",
        parameters={name: value for name, value in options.items() if name not in unsaid}
        | {"profile": Path(options["profile"]).name, "profile_blake3": profile_digest(options["profile"])}
        | ({} if study.taken is None else {"resumed": study.taken.digest}),
        keywords=("design", "simulation"),
    )


def _check_best(best: Path | None, *, force: bool) -> None:
    from poliqi.edge.wholefile import check_target

    if best is None:
        return
    if not best.name.endswith((".toml", ".vessels.json")):
        raise ConfigError(f"--best {best}: give a name that ends in .toml or .vessels.json")
    check_target(best, overwrite=force)


def _judge(design: Design, options: dict[str, Any]) -> Judge:
    from poliqi.lab.print.optimise.judge import Judge
    from poliqi.lab.print.oxygen.tissue import PRESETS, Tissue
    from poliqi.ops.print_profile_toml import read_profile

    name = options["tissue"] or design.tissue.name or "fibrin-1e13"
    if name not in PRESETS:
        raise ConfigError(f"tissue {name!a:.60}: give one of {', '.join(PRESETS)}")
    tissue: Tissue = PRESETS[name]
    if options["tissue"] is None:
        from dataclasses import replace

        import msgspec

        keys = msgspec.structs.asdict(design.tissue)
        given = {key: value for key, value in keys.items() if key != "name" and value is not None}
        tissue = replace(tissue, **given)
    domain = json.dumps(design.domain.record)
    profile = read_profile(options["profile"])
    return Judge(
        domain, design.growth, design.closure, design.fluid, tissue, profile, options["mode"], options["cells"]
    )


def _cells(design: Design, asked: int | None) -> int:
    """Along the longest side; so many that the shortest has enough. Raises ConfigError."""
    low, high = design.domain.bounds_um
    sides = [float(b - a) for a, b in zip(low, high, strict=True)]
    needed = math.ceil(_LEAST_ACROSS * max(sides) / min(sides))
    cells = min(max(_DEFAULT_CELLS, needed), _MOST_CELLS) if asked is None else asked
    if cells < needed:
        told = " x ".join(f"{side:.4g}" for side in sides)
        raise ConfigError(
            f"--cells {cells}: a tissue of {told} um needs at least {needed}, {_LEAST_ACROSS} across its shortest "
            f"side" + (f"; above {_MOST_CELLS} use perfuse" if needed > _MOST_CELLS else "")
        )
    return cells


def _study(judge: Judge, design: Design, options: dict[str, Any]) -> Study:
    from poliqi.lab.print.optimise.study import OBJECTIVES, study_of
    from poliqi.lab.print.optimise.targets import MEASURES
    from poliqi.lab.print.optimise.variables import grid_of, read_range, sampled
    from poliqi.ops.lab_filing import computing

    ranges = [read_range(one) for one in options["ranges"]]
    objectives = tuple(dict.fromkeys(options["objectives"])) or OBJECTIVES
    wrong = [one for one in objectives if one not in MEASURES or MEASURES[one].ends is not None]
    if wrong:
        known = ", ".join(name for name, one in MEASURES.items() if one.ends is None)
        raise ConfigError(f"--least {wrong[0]!a:.40}: give one of {known}")
    if judge.closure is None and any(one.name in ("capillary_radius_um", "longest_um") for one in ranges):
        raise ConfigError("--vary: capillaries need an [[outlet]] in the design")
    wanted = grid_of(ranges) if options["samples"] is None else sampled(ranges, options["samples"])
    return study_of(
        judge,
        wanted,
        _targets(design, options["targets"]),
        objectives,
        software=computing(),
        resume=options["resume"],
        workers=options["workers"],
        cluster=options["cluster"],
        progress=_progress(),
    )


def _targets(design: Design, texts: tuple[str, ...]) -> list[Target]:
    """Those of the command line; of the design what they do not speak of."""
    from poliqi.lab.print.optimise.targets import read_target

    told = [read_target(text) for text in texts]
    named = {one.name for one in told}
    file = design.targets
    shear: list[str] = []
    if file.least_shear_pa is not None:
        shear.append(f"shear_low>{file.least_shear_pa:g}Pa")
    if file.most_shear_pa is not None:
        shear.append(f"shear_high<{file.most_shear_pa:g}Pa")
    stand: list[str] = [] if "shear" in named else shear
    if file.most_hypoxic is not None:
        stand.append(f"hypoxic<{file.most_hypoxic:g}")
    if file.most_print_s is not None:
        stand.append(f"print<{file.most_print_s:g}s")
    return [*told, *(one for one in map(read_target, stand) if one.name not in named)]


def _write_best(
    data: bytes, file: Path, design: Design, judge: Judge, study: Study, best: Path, *, force: bool
) -> None:
    """`data` is what was read from `file` before the study: it may have been edited since."""
    from poliqi.edge.wholefile import whole_file
    from poliqi.lab.print.flow.designed import fluid_record
    from poliqi.lab.print.optimise.judge import grown
    from poliqi.lab.print.vesselfile import vessels_bytes
    from poliqi.ops.print_best_design import best_toml
    from poliqi.ops.print_design_toml import read_design

    assert study.best is not None
    values = study.designs[study.best].values
    if best.suffix == ".toml":
        if design.files and read_design(data, str(file), file.parent).domain.record != design.domain.record:
            raise DataRefused(f"{file}: a file of its shape changed while it was worked on; run it again")
        written = best_toml(data, file, design, values)
    else:
        made = {"program": _PROGRAM, "design": file.name, "values": values, "fluid": fluid_record(design.fluid)}
        written = vessels_bytes(grown(judge, values), design.domain, made)
    with whole_file(best, overwrite=force) as out:
        out.write(written)


def _progress() -> Callable[[int, int], None]:
    """A line a second on standard error, with the time that is left."""
    begun = last = time.monotonic()
    first = -1

    def progress(done: int, total: int) -> None:
        nonlocal last, first
        first = done if first < 0 else first
        now = time.monotonic()
        if now - last > _BEAT_S and done > first:
            last = now
            left = (now - begun) / (done - first) * (total - done)
            click.echo(f"designs: {done} of {total}, about {left:.0f} s left", err=True)

    return progress
