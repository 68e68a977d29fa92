"""`poliqi lab echem design`: energy against power over what may be chosen of a cell."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.lab_outputs import PATH, Result, deliver, outputs_of, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.echem.design.feed import Inflow
    from poliqi.lab.echem.design.tradeoff import Study
    from poliqi.lab.store.findings import Findings

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab echem design"
_BEAT_S: Final = 1.0


@click.command(
    help="""Calculate designs of a lithium-ion cell: what each gives at several rates, and which none beats.

    Begins with the cell of a parameter set (Chen2020, ...) or a BPX file, and varies thickness, porosity, particle
    radius, N/P ratio and more: names tell the unit, a wrong one lists all. Electrodes are balanced anew for each
    design, every layer is weighed, discharges are simulated by PyBaMM.

    What X-rays found goes in from the store (--dataset) or a file (--findings): the particle radius, and by --phase
    density and places for lithium of the crystal. Its sigma becomes that of the energies, and the dataset stands in
    the provenance of the result. Numbers with a doubt are written 0.29(1) or 0.29+-0.01.

    \b
    Examples:
      poliqi lab echem design --parameters Chen2020 \\
          --vary positive_thickness_um=60:110:6 --vary positive_porosity=0.25,0.29,0.335 --report designs.html
      poliqi lab echem design --parameters Chen2020 --vary positive_thickness_um=60:110:6 \\
          --store ~/lab --dataset 3f2a --electrode positive --set positive_porosity=0.30(1)
    """
)
@click.option("--parameters", required=True, metavar="SET|FILE.json", help="Parameter set of PyBaMM, or BPX file.")
@click.option(
    "--vary", "ranges", multiple=True, metavar="NAME=LOW:HIGH:COUNT", help="Or NAME=60,75,94; may be repeated."
)
@click.option("--samples", type=int, metavar="N", help="N designs spread over the ranges, in place of a grid.")
@click.option("--set", "held", multiple=True, metavar="NAME=VALUE", help="Hold a variable; may have a doubt.")
@click.option("--rates", default="0.5,1,2,3", show_default=True, metavar="PER_HOUR", help="1: empty in an hour.")
@click.option("--model", type=click.Choice(("SPM", "SPMe", "DFN")), default="DFN", show_default=True)
@click.option("--both-sides", is_flag=True, help="Collectors are coated on both sides: half of each is weighed.")
@click.option(
    "--by", type=click.Choice(("mass", "volume")), default="mass", show_default=True, help="Of the front."
)
@click.option("--dataset", "datasets", multiple=True, metavar="ID", help="Findings in the store; may be repeated.")
@click.option("--findings", "files", multiple=True, type=PATH, metavar="FILE.json", help="Findings in a file.")
@click.option(
    "--electrode", type=click.Choice(("positive", "negative")), help="Whose material the findings are of."
)
@click.option(
    "--particle", default="", metavar="FINDING", help="What tells the radius, crystallite_size@PHASE too."
)
@click.option("--phase", default="", help="Phase of the active material, for its density.")
@click.option("--formula", default="", help="With --phase: its formula, such as LiNi0.8Mn0.1Co0.1O2.")
@click.option("--formula-units", type=int, default=0, help="With --phase: formula units in its cell.")
@click.option("--lithium", type=float, default=0.0, help="With --phase: places for lithium in a formula unit.")
@click.option("--resume", type=PATH, metavar="FILE", help="Keep designs here; go on from it after a stop.")
@click.option("--workers", type=click.IntRange(1), help="Processes (default: one a core, where it is worth it).")
@click.option("--cluster", metavar="ADDRESS", help="Dask scheduler to work on, such as tcp://10.0.0.5:8786.")
@outputs_options
def command(**options: Any) -> None:
    """Read, calculate, write, print."""
    from poliqi.lab.echem.design.page import design_page
    from poliqi.lab.echem.design.tradeoff import check_of, designs_csv
    from poliqi.lab.echem.models.cellparameters import NAMED_SETS
    from poliqi.ops.echem_design_text import design_lines, design_record
    from poliqi.ops.lab_filing import Filing, Read

    outputs = outputs_of(options)
    reads = [Read(_role(at), (path,)) for at, path in enumerate(options["files"])]
    if options["parameters"] not in NAMED_SETS and Path(options["parameters"]).is_file():
        reads.append(Read("parameters", (Path(options["parameters"]),)))
    filing = Filing(outputs.store, outputs.tenant, reads)
    sources, inputs = _findings(options, outputs.store, outputs.tenant)
    chosen = _inflow(options, sources)
    of_files = [findings for _, findings in sources[len(inputs) :]]
    try:
        click.echo("setting the model up, and calculating the set's own cell", err=True)
        study = _study(options, chosen)
        click.echo("checking by the full model on twice the grid", err=True)
        checks = check_of(study)
    except KeyboardInterrupt:
        _say_kept(options["resume"])
        raise
    record = design_record(study, checks, chosen.chosen)
    unsaid = ("resume", "workers", "cluster", "files")
    deliver(
        outputs,
        Result(
            record,
            design_lines(study, checks),
            design_page(study, checks),
            {"designs.csv": designs_csv(study)},
            True,
        ),
        filing,
        program=_PROGRAM,
        title=f"Designs over {', '.join(study.varied)}: {Path(options['parameters']).name}",
        parameters={name: value for name, value in options.items() if name not in unsaid}
        | {"parameters": Path(options["parameters"]).name}
        | ({} if study.taken is None else {"resumed": study.taken.digest}),
        keywords=("battery", "design", "simulation"),
        said=[_role(at) for at, findings in enumerate(of_files) if findings.simulated],
        inputs=inputs,
    )


def _role(at: int) -> str:
    return "findings" if not at else f"findings {at + 1}"


def _study(options: dict[str, Any], chosen: Inflow) -> Study:
    from poliqi.lab.echem.design.run import Settings
    from poliqi.lab.echem.design.tradeoff import study_of
    from poliqi.lab.echem.design.variables import grid_of, read_range, sampled
    from poliqi.lab.echem.models.cellmodel import ModelKind
    from poliqi.ops.lab_filing import computing

    ranges = [read_range(one) for one in options["ranges"]]
    wanted = grid_of(ranges) if options["samples"] is None else sampled(ranges, options["samples"])
    both = sorted({one.name for one in ranges} & set(chosen.chosen))
    if both:
        raise ConfigError(f"{both[0]} is varied, and set by --set or the findings too; leave one of them out")
    settings = Settings(options["parameters"], ModelKind(options["model"]), _rates(options), options["both_sides"])
    return study_of(
        settings,
        wanted,
        fixed=chosen.chosen,
        doubts=chosen.doubts,
        assumed=chosen.assumed,
        by_volume=options["by"] == "volume",
        software=computing(),
        resume=options["resume"],
        workers=options["workers"],
        cluster=options["cluster"],
        progress=_progress(),
    )


def _rates(options: dict[str, Any]) -> tuple[float, ...]:
    try:
        return tuple(float(one) for one in options["rates"].split(","))
    except ValueError:
        raise ConfigError(f"--rates {options['rates']!a:.60}: give numbers per hour, such as 0.5,1,2,3") from None


def _findings(
    options: dict[str, Any], store: Path | None, tenant: str
) -> tuple[list[tuple[str, Findings]], list[str]]:
    """Findings with who says so, and the datasets among them."""
    from poliqi.lab.store.findings import findings_in, read_findings

    found: list[tuple[str, Findings]] = []
    inputs: list[str] = []
    if options["datasets"]:
        from poliqi.ops.commands.lab_store_open import open_tenant

        with open_tenant(store, tenant) as part:
            for start in options["datasets"]:
                dataset, findings = findings_in(part, start)
                found.append((f"dataset {dataset.id}", findings))
                inputs.append(str(dataset.id))
    found += [(path.name, read_findings(path)) for path in options["files"]]
    return found, inputs


def _inflow(options: dict[str, Any], sources: list[tuple[str, Findings]]) -> Inflow:
    """What is set by hand and what X-rays found, together."""
    from poliqi.base.doubt import read_doubted
    from poliqi.lab.echem.design.feed import Asked, Inflow, inflow_of, inflow_of_values

    held: dict[str, tuple[float, float]] = {}
    for text in options["held"]:
        name, equals, number = text.partition("=")
        try:
            held[name] = read_doubted(number)
        except ValueError as error:
            raise ConfigError(f"--set {text!a:.80}: give NAME=VALUE, such as positive_porosity=0.30(1)") from error
        if not equals:
            raise ConfigError(f"--set {text!a:.80}: give NAME=VALUE")
    by_hand = inflow_of_values(held)
    names = ("particle", "phase", "formula", "formula_units", "lithium")
    if not sources:
        given = [name for name in ("electrode", *names) if options[name]]
        if given:
            raise ConfigError(f"--{given[0].replace('_', '-')} belongs to findings: give --dataset or --findings")
        return by_hand
    if options["electrode"] is None:
        raise ConfigError("--electrode: say whether the findings are of the positive or the negative electrode")
    fed = inflow_of(sources, Asked(options["electrode"], **{name: options[name] for name in names}))
    both = sorted(set(fed.chosen) & set(by_hand.chosen))
    if both:
        raise ConfigError(f"--set {both[0]}: the findings tell it too; leave one of them out")
    return Inflow({**by_hand.chosen, **fed.chosen}, (*by_hand.doubts, *fed.doubts), fed.assumed, fed.simulated)


def _say_kept(resume: Path | None) -> None:
    """What is left of work that was stopped."""
    if resume is None:
        click.echo("stopped, and nothing was kept; --resume FILE keeps designs as they are done", err=True)
    else:
        click.echo(f"stopped; what was done is kept in {resume}, and the same command goes on from it", err=True)


def _progress() -> Callable[[int, int], None]:
    """A line a second on standard error, where somebody watches or the work is long."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT_S:
            last = time.monotonic()
            click.echo(f"designs: {done} of {total}", err=True)

    return progress
