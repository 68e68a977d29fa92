"""`poliqi lab print report`: one page about a design, with a view in three dimensions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.commands.lab_store_open import filing_options
from poliqi.ops.lab_outputs import PATH, Outputs, Result, deliver, ensure_apart, tell, tell_compiling

if TYPE_CHECKING:
    from poliqi.lab.print.oxygen.perfusion import Perfusion
    from poliqi.lab.print.profile import Profile
    from poliqi.lab.print.vesselfile import Vessels
    from poliqi.lab.print.view.printing import Printing
    from poliqi.lab.print.view.report import Report

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab print report"
_DEFAULT_CELLS: Final = 64


@click.command(
    help="""One page about a design: numbers, pictures, flaws with their places, and the vessels to turn and cut.

    The HTML is one file that fetches nothing: it can be mailed, and opened without a network. In it, vessels are
    coloured by kind, radius, pressure, flow, wall shear or oxygen; a click on a vessel or flaw tells and shows it.

    \b
    Examples:
      poliqi lab print report tissue.vessels.json --profile machine.toml -o report.html
      poliqi lab print report tissue.vessels.json --job tissue.job --tissue hepatocytes-5.14e13 -o report.html
      poliqi lab print report tissue.vessels.json --no-oxygen -o report.png
    """
)
@click.argument("file", type=PATH, metavar="FILE.vessels.json")
@click.option("-o", "--output", type=PATH, required=True, metavar="FILE.html|png", help="The page.")
@click.option("--profile", metavar="NAME|FILE.toml", help="Machine: flaws, and an estimate of the time.")
@click.option(
    "--mode", type=click.Choice(("solid", "wall", "lumen", "shell")), help="What is lit, for the estimate."
)
@click.option("--job", type=PATH, metavar="FILE.job", help="Job of these vessels: its machine, vectors and time.")
@click.option("--perfusion", type=PATH, metavar="FILE.npz", help="Flow and oxygen as `perfuse -o` wrote them.")
@click.option("--tissue", metavar="NAME", help="Of the oxygen (fibrin-1e13); a wrong one lists all.")
@click.option("--cells", type=click.IntRange(8, 512), help=f"Cells along the longest side ({_DEFAULT_CELLS}).")
@click.option("--no-oxygen", is_flag=True, help="Flow and coverage alone.")
@click.option("--gap", type=click.FloatRange(0), metavar="UM", help="Vessels nearer than this touch (0).")
@click.option("--force", is_flag=True, help="replace files of that name")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@filing_options
def command(file: Path, **options: Any) -> None:
    """Read, calculate, draw, write."""
    from poliqi.edge.wholefile import check_target
    from poliqi.lab.onepage import check_page, page_bytes
    from poliqi.lab.print.view.report import report_html, report_page, report_record
    from poliqi.ops.lab_filing import Filing, Read

    output: Path = options["output"]
    tell_compiling()
    check_page(output)
    check_target(output, overwrite=options["force"])
    ensure_apart()
    _check_asked(options)
    reads = [Read("vessels", (file,), is_simulated=True)]
    reads += [
        Read(name, (options[name],), is_simulated=True)
        for name in ("job", "perfusion")
        if options[name] is not None
    ]
    if options["profile"] and Path(options["profile"]).is_file():
        reads.append(Read("profile", (Path(options["profile"]),)))
    filing = Filing(options["store"], options["tenant"], reads)
    report = _report(file, options)
    tell("drawing")
    page = report_page(report)
    is_html = output.suffix.lower() == ".html"
    data = report_html(report) if is_html else page_bytes(page, ".png")
    outputs = Outputs(output, None, None, options["force"], options["as_json"], options["store"], options["tenant"])
    lines = [f"wrote {output}, {len(data) / 1e6:.2f} MB"]
    width = max(len(name) for name, _ in page.facts)
    lines += [f"{name:<{width}}  {words}" for name, words in page.facts]
    lines += [f"{one.severity}: {one.line}" for one in report.problems]
    lines += [f"caution: {one}" for one in page.cautions]
    unsaid = ("output", "force", "as_json", "store", "tenant", "job", "perfusion", "profile")
    deliver(
        outputs,
        Result(report_record(report), lines, page, {f"report{output.suffix.lower()}": data}, True),
        filing,
        program=_PROGRAM,
        title=f"Report on {file.name}",
        parameters={name: value for name, value in options.items() if name not in unsaid}
        | {"kind": output.suffix.lower(), **_named(options["profile"])},
        keywords=("report", "simulation"),
    )


def _named(profile: str | None) -> dict[str, str]:
    """Name and content of the profile: an example is no file that was read."""
    from poliqi.ops.print_profile_toml import profile_digest

    return {} if profile is None else {"profile": Path(profile).name, "profile_blake3": profile_digest(profile)}


def _check_asked(options: dict[str, Any]) -> None:
    """What contradicts itself is refused before any work."""
    if options["profile"] and options["job"]:
        raise ConfigError("--profile: a job has its own profile; leave one of them out")
    if options["mode"] and not options["profile"]:
        raise ConfigError("--mode: it is of the estimate; give --profile with it")
    for name in ("tissue", "cells"):
        if options[name] is not None and (options["no_oxygen"] or options["perfusion"]):
            other = "--no-oxygen" if options["no_oxygen"] else "--perfusion"
            raise ConfigError(f"--{name}: {other} was given too; leave one of them out")
    if options["no_oxygen"] and options["perfusion"]:
        raise ConfigError("--no-oxygen: --perfusion was given too; leave one of them out")


def _report(file: Path, options: dict[str, Any]) -> Report:
    from poliqi.lab.print.growth.contacts import contacts
    from poliqi.lab.print.hatch.duration import time_cautions
    from poliqi.lab.print.printability.check import check
    from poliqi.lab.print.vesselfile import read_vessels
    from poliqi.lab.print.view.printing import printing_of_job
    from poliqi.lab.print.view.report import Report
    from poliqi.ops.print_profile_toml import read_profile

    vessels = read_vessels(file)
    profile = read_profile(options["profile"]) if options["profile"] else None
    printing: Printing | None = None
    if options["job"] is not None:
        tell("reading the job")
        printing, profile = printing_of_job(options["job"], vessels.network, vessels.digest)
    perfusion = _perfusion(vessels, options)
    tell("contacts")
    gap = options["gap"] or 0.0
    near = contacts(vessels.network, gap)
    places = tuple((float(x), float(y), float(z)) for x, y, z in near.place_um)
    report = Report(file.name, vessels, perfusion, gap, places)
    if profile is None:
        return report
    tell("flaws")
    report = replace(
        report,
        problems=check(vessels.domain, vessels.network, profile),
        checked=profile.name,
        said=profile.cautions,
    )
    if printing is None:
        report = _estimated(report, profile, options["mode"])
    else:
        report = replace(report, printing=printing)
    return report if report.printing is None else replace(report, said=(*report.said, *time_cautions(profile)))


def _estimated(report: Report, profile: Profile, mode: str | None) -> Report:
    """With the time that a print takes, or why there is none."""
    from poliqi.lab.print.view.printing import printing_of

    try:
        printing = printing_of(report.vessels.domain, report.vessels.network, profile, mode)
    except (ConfigError, DataRefused) as refused:
        return replace(report, said=(*report.said, f"no estimate of the time: {refused}"))
    return replace(report, printing=printing)


def _perfusion(vessels: Vessels, options: dict[str, Any]) -> Perfusion:
    from poliqi.lab.print.view.perfused import perfused, perfused_from

    if options["perfusion"] is not None:
        return perfused_from(options["perfusion"], vessels)
    tell("flow and oxygen")
    name = None if options["no_oxygen"] else options["tissue"] or "fibrin-1e13"
    return perfused(vessels, name, options["cells"] or _DEFAULT_CELLS)
