"""`poliqi lab echem eis`: Kramers-Kronig, relaxation times, circuit of one impedance spectrum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.lab_filing import Filing, Read
from poliqi.ops.lab_outputs import PATH, Outputs, Result, deliver, outputs_of, outputs_options, tell

if TYPE_CHECKING:
    from poliqi.lab.echem.eis.analysis import Analysis, Wanted
    from poliqi.lab.echem.spectrum import Spectrum

__all__ = ["command"]


@click.command(
    help="""Judge an impedance spectrum, then evaluate it: no guesses are asked for.

    FILE is of BioLogic (.mpt, .mpr), Gamry, ZPlot, VersaStudio, Parstat, PowerSuite, CH Instruments, Autolab, Eco
    Chemie, Ivium, PalmSens, or a table whose heads have units. A spectrum that fails Kramers-Kronig is refused; a
    parameter that the spectrum does not tell has no value.

    \b
    Examples:
      poliqi lab echem eis cell.mpt --report cell.html
      poliqi lab echem eis cell.csv --columns "frequency/Hz,Re(Z)/Ohm,-Im(Z)/Ohm" --plot cell.svg
      poliqi lab echem eis cell.DTA --only-kk --plot residuals.png
      poliqi lab echem eis cell.z --circuit "L-R-(R|CPE)-(R-Wo|CPE)" --hold CPE1_n=1 --json

    Circuits: - in series, | in parallel; of R, L, C, CPE, W, Wo (reflecting), Ws (transmitting), G (Gerischer).
    """
)
@click.argument("file", type=PATH)
@click.option("--columns", default="", metavar="HEADS", help="What the columns are, with units; x for others.")
@click.option("--sweep", type=click.IntRange(1), help="Which sweep of a file with several.")
@click.option("--range", "limits", nargs=2, type=float, metavar="LOW HIGH", help="Use these frequencies, in Hz.")
@click.option("--area", type=float, metavar="CM2", help="Of the electrode: also gives ohm cm2.")
@click.option("--circuit", "circuits", multiple=True, help="In place of those tried; several compete.")
@click.option("--start", "starts", multiple=True, metavar="NAME=VALUE", help="With --circuit: where a fit begins.")
@click.option("--hold", "holds", multiple=True, metavar="NAME=VALUE", help="With --circuit: not fitted.")
@click.option("--kk-limit", default=2.0, show_default=True, metavar="PERCENT", help="Rms of |Z| that is refused.")
@click.option("--only-kk", is_flag=True, help="Judge the spectrum, fit nothing.")
@click.option("--despite-kk", is_flag=True, help="Evaluate what Kramers-Kronig refuses; the caution stays.")
@click.option("--drt-lambda", type=float, help="Smoothness of the relaxation times in place of the one found.")
@click.option("--simulated", is_flag=True, help="The spectrum was calculated: say so wherever it is shown.")
@outputs_options
def command(file: Path, **options: Any) -> None:
    """Read, judge, evaluate, write, print."""
    from poliqi.lab.echem.eis.analysis import analyse

    outputs = outputs_of(options)
    wanted = _wanted(options)
    filing = Filing(outputs.store, outputs.tenant, [Read("spectrum", (file,), options["simulated"])])
    spectrum = _spectrum(file, options)
    said = ["spectrum"] if spectrum.simulated else []
    is_simulated = bool(said) or options["simulated"] or filing.is_simulated
    _deliver(outputs, analyse(replace(spectrum, simulated=is_simulated), wanted), filing, options, said)


def _wanted(options: dict[str, Any]) -> Wanted:
    from poliqi.lab.echem.eis.analysis import Wanted
    from poliqi.lab.echem.eis.circuit import parse_circuit

    for text in options["circuits"]:
        parse_circuit(text)
    if (options["starts"] or options["holds"]) and len(options["circuits"]) != 1:
        raise ConfigError("--start and --hold: name the one --circuit whose parameters they are")
    if not 0 < options["kk_limit"] <= 100:
        raise ConfigError(f"--kk-limit {options['kk_limit']:g}: give percent above 0, up to 100")
    if options["drt_lambda"] is not None and not 0 < options["drt_lambda"] < 1e6:
        raise ConfigError(f"--drt-lambda {options['drt_lambda']:g}: give a number above 0, such as 1e-6")
    if options["area"] is not None and not 0 < options["area"] < 1e6:
        raise ConfigError(f"--area {options['area']:g} cm2: give an area above 0")
    return Wanted(
        options["circuits"],
        _values("--start", options["starts"]),
        _values("--hold", options["holds"]),
        options["kk_limit"] / 100,
        options["drt_lambda"],
        options["only_kk"],
        options["despite_kk"],
    )


def _values(option: str, texts: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise ConfigError(f"{option} {text!a:.60}: write NAME=VALUE, such as R1=0.015") from None
    return found


def _spectrum(file: Path, options: dict[str, Any]) -> Spectrum:
    from poliqi.lab.echem.eis.reading import read_spectrum

    tell("evaluating")
    heads = [head.strip() for head in options["columns"].split(",")] if options["columns"] else []
    spectrum = read_spectrum(file, columns=heads, sweep=options["sweep"], limits_hz=options["limits"])
    return replace(spectrum, area_m2=None if options["area"] is None else options["area"] * 1e-4)


def _deliver(
    outputs: Outputs, analysis: Analysis, filing: Filing, options: dict[str, Any], said: list[str]
) -> None:
    from poliqi.lab.echem.eis.analysis import PROGRAM, findings_of
    from poliqi.lab.echem.eis.drawing import page_of, table_bytes
    from poliqi.lab.store.findings import findings_bytes
    from poliqi.ops.lab_eis import eis_lines, eis_record

    findings = findings_of(analysis)
    deliver(
        outputs,
        Result(
            eis_record(analysis),
            eis_lines(analysis),
            page_of(analysis),
            {"findings.json": findings_bytes(findings), "spectrum.csv": table_bytes(analysis)},
            analysis.spectrum.simulated,
            findings,
        ),
        filing,
        program=PROGRAM,
        title=f"Impedance of {analysis.spectrum.title}",
        parameters=options,
        keywords=("impedance",),
        said=said,
    )
