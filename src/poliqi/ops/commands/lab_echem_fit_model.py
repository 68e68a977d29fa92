"""`poliqi lab echem fit model`: parameters of a physical cell model from a record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.lab_echem_reading import reading_options
from poliqi.ops.lab_outputs import PATH, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.echem.fitting import Parameter
    from poliqi.lab.echem.models.cellparameters import ParameterSet
    from poliqi.lab.echem.models.modelfit import ModelFit
    from poliqi.lab.echem.record import CyclingRecord

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab echem fit model"
_MANY_PIECES: Final = 300


@click.command()
@click.argument("file", type=PATH)
@click.option(
    "--parameters",
    required=True,
    metavar="SET",
    help="what is not fitted: a published set such as Chen2020, or a BPX file (.json)",
)
@click.option(
    "--vary",
    multiple=True,
    required=True,
    metavar="NAME[=START:LOW:HIGH]",
    help="fit this parameter; enough words of its name; may be repeated",
)
@click.option("--model", type=click.Choice(["SPM", "SPMe", "DFN"]), default="DFN", show_default=True)
@click.option("--start", metavar="SOC|VOLT", help="state at the start: 0.95, or 4.1V at rest [as the set says]")
@click.option("--temperature", type=float, metavar="C", help="of the cell, in degrees Celsius [as the set says]")
@click.option("--from", "from_s", type=float, metavar="S", help="leave out what comes before this time")
@click.option("--to", "to_s", type=float, metavar="S", help="leave out what comes after this time")
@click.option(
    "--sigma-mv", type=click.FloatRange(0, min_open=True), help="standard deviation of a voltage, where known"
)
@click.option("--points", type=click.IntRange(20, 20_000), default=400, show_default=True, help="compared at most")
@click.option("--no-check", is_flag=True, help="do not hold the model against a better one")
@click.option("--bpx", type=PATH, metavar="FILE.json", help="write the fitted cell in Battery Parameter eXchange")
@reading_options
@outputs_options
def command(file: Path, **options: Any) -> None:
    """Fit parameters of a cell model (PyBaMM) to the voltage of FILE, driven by its current.

    FILE is a record that `poliqi lab echem read` has written, or that it can read. Parameters have PyBaMM's names;
    of a parameter that is a function, such as an exchange current, a factor is fitted. Each comes with its standard
    deviation, or with why the record does not tell it. Then a better model is run at the same values: SPM and SPMe
    against DFN, DFN against itself on a finer grid.

    \b
      poliqi lab echem fit model discharge.csv --parameters Chen2020 \\
          --vary "negative active material" --vary "positive active material" --report fit.html
      poliqi lab echem fit model pulse.csv --parameters cell.json --start 3.9V --model SPMe \\
          --vary "positive particle diffusivity=4e-15:1e-16:1e-13" --sigma-mv 1 --bpx fitted.json
    """
    from dataclasses import replace

    from poliqi.edge.wholefile import check_target, whole_file
    from poliqi.lab.echem.models.cellmodel import ModelKind
    from poliqi.lab.echem.models.cellparameters import parameter_set
    from poliqi.lab.echem.models.drive import chosen_points, drive_of, part_of
    from poliqi.lab.echem.models.modelcheck import check_model
    from poliqi.lab.echem.models.modelfit import fit_model
    from poliqi.lab.echem.models.modelpage import curve_csv, model_findings, model_lines, model_page, model_record
    from poliqi.ops.lab_echem_reading import read_asked
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.lab_outputs import Result, deliver, outputs_of, tell

    outputs = outputs_of(options)
    bpx: Path | None = options.pop("bpx")
    if bpx is not None:
        check_target(bpx, overwrite=outputs.force)
    reads = [Read("record", (file,))]
    if Path(options["parameters"]).is_file():
        reads.append(Read("parameters", (Path(options["parameters"]),)))
    filing = Filing(outputs.store, outputs.tenant, reads)
    whole, said = read_asked(file, options)
    says_so = ["record"] if whole.simulated else []
    whole = replace(whole, simulated=whole.simulated or filing.is_simulated)
    record = part_of(whole, options["from_s"], options["to_s"])
    parameters = _prepared(parameter_set(options["parameters"]), options)
    vary = [_varied(parameters, text) for text in options["vary"]]
    sigma_v = None if options["sigma_mv"] is None else options["sigma_mv"] * 1e-3
    pieces = drive_of(record, chosen_points(record, options["points"])).knot_s.size - 1
    tell(f"fitting {options['model']}; pieces in which the current is straight: {pieces}")
    if options["model"] == "DFN" and pieces > _MANY_PIECES:
        words = "the solver begins anew at each, --model SPMe is faster by far"
        click.echo(f"the current has {pieces} straight pieces: {words}", err=True)
    fit = fit_model(
        record,
        parameters,
        vary,
        kind=ModelKind(options["model"]),
        sigma_v=sigma_v,
        most_points=options["points"],
        progress=_ran,
    )
    if not options["no_check"]:
        tell("holding it against a better model")
    check = None if options["no_check"] else check_model(fit)
    title = f"{fit.kind.value} fitted to {record.title or file.name}"
    files = {"curve.csv": curve_csv(fit, check)}
    refused: DataRefused | None = None
    if bpx is not None:
        try:
            files["cell.bpx.json"] = _bpx(fit, record, title)
        except DataRefused as error:  # what was found is told first
            refused = error
        else:
            with whole_file(bpx, overwrite=outputs.force) as out:
                out.write(files["cell.bpx.json"])
    result = Result(
        model_record(fit, check),
        [*model_lines(fit, check), *([f"fitted cell: {bpx}"] if "cell.bpx.json" in files else [])],
        model_page(fit, check, title, simulated=fit.simulated),
        files,
        fit.simulated,
        model_findings(fit, check, title, simulated=fit.simulated),
    )
    deliver(
        outputs,
        result,
        filing,
        program=_PROGRAM,
        title=title,
        parameters={
            **options,
            **said,
            "file": file.name,
            "parameters": Path(options["parameters"]).name,
            "bpx": bpx is not None,
        },
        keywords=("battery", "model"),
        said=says_so,
    )
    if refused is not None:
        raise DataRefused(f"--bpx {bpx}: {refused}") from refused


def _ran(runs: int) -> None:
    """How often the model was run, where somebody watches."""
    if sys.stderr.isatty():
        click.echo(f"\r{runs} runs ", err=True, nl=False)


def _prepared(parameters: ParameterSet, options: dict[str, Any]) -> ParameterSet:
    if options["temperature"] is not None:
        parameters = parameters.at_temperature(options["temperature"])
    return parameters if options["start"] is None else parameters.at_start(options["start"])


def _varied(parameters: ParameterSet, text: str) -> Parameter:
    """NAME, NAME=START or NAME=START:LOW:HIGH."""
    from poliqi.lab.echem.models.cellparameters import parameter_named, varied

    words, equals, numbers = text.partition("=")
    name = parameter_named(parameters, words.strip())
    if not equals:
        return varied(parameters, name)
    try:
        told = [float(number) for number in numbers.split(":")]
    except ValueError:
        told = []
    if len(told) not in {1, 3}:
        raise ConfigError(f"--vary {text!a:.120}: write NAME, NAME=START or NAME=START:LOW:HIGH")
    return varied(parameters, name, *told)


def _bpx(fit: ModelFit, record: CyclingRecord, title: str) -> bytes:
    """The fitted cell; what is not identified has no place in it."""
    from poliqi.lab.echem.models.bpxexport import bpx_bytes

    data = "a simulated record" if record.simulated else "a record"
    names = ", ".join(one.name for one in fit.fitted.parameters)
    return bpx_bytes(
        fit.fitted_set(),
        title=title,
        description=f"{names}: fitted by {fit.kind.value} to {data}, {fit.rms_v * 1e3:.3g} mV rms; the rest as the "
        f"{fit.parameters.source} says",
    )
