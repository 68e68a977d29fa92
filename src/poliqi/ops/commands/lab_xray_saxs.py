"""`poliqi lab xray saxs`: corrections, Guinier, Porod, form factors and sizes of one curve."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.commands.doubted import NUMBER
from poliqi.ops.commands.lab_store_open import filing_options
from poliqi.ops.lab_filing import Filing, Read

if TYPE_CHECKING:
    from poliqi.lab.xray.curve import Axis, Curve
    from poliqi.lab.xray.saxs import Analysis, Wanted

__all__ = ["command"]

Doubted = tuple[float, float]
"""A value and its standard deviation."""

_PATH: Final = click.Path(dir_okay=False, path_type=Path)
_RANGE: Final[dict[str, Any]] = {"nargs": 2, "type": float, "metavar": "LOW HIGH"}


@click.command(
    help="""Correct and evaluate a small-angle curve: Guinier, Porod, form factor, distribution of sizes.

    CURVE is NXcanSAS (as `poliqi lab xray reduce` writes it) or text with two to four columns: q, intensity, sigma,
    width of q. Without further options everything that the curve allows is done. Numbers with a doubt are written
    0.812(4) or 0.812+-0.004.

    \b
    Examples:
      poliqi lab xray saxs curve.h5 --plot report.svg
      poliqi lab xray saxs gold.dat --unit 1/nm --background solvent.dat \\
          --transmission 0.71(1) --background-transmission 0.74(1) --thickness 1.0(1) -o gold.h5
      poliqi lab xray saxs curve.h5 --model core_shell_sphere --set sld_solvent=9.4 --vary sld_shell
      poliqi lab xray saxs curve.h5 --sizes --findings sizes.json
    """
)
@click.argument("curve", type=_PATH)
@click.option("--unit", metavar="1/nm|1/A", help="What q is in, where the file does not say.")
@click.option("--entry", default=1, show_default=True, type=click.IntRange(1), help="Which curve of the file.")
@click.option("--q-range", **_RANGE, help="Use this part of the curve, in its unit.")
@click.option("--transmission", type=NUMBER, help="Share of the beam that the sample lets pass.")
@click.option("--thickness", type=NUMBER, metavar="MM", help="Of the sample, in mm.")
@click.option("--background", type=_PATH, metavar="FILE", help="Curve of solvent or empty cell, to be taken off.")
@click.option("--background-transmission", type=NUMBER, help="Share of the beam that the background lets pass.")
@click.option("--background-scale", type=NUMBER, default="1", show_default=True, help="How much of it to take off.")
@click.option("--scale", type=NUMBER, help="Factor that makes 1/cm of the corrected intensity.")
@click.option(
    "--standard-curve", type=_PATH, metavar="FILE", help="Curve of a standard: the factor is taken from it."
)
@click.option(
    "--standard", type=click.Choice(("glassy-carbon", "water")), default="glassy-carbon", show_default=True
)
@click.option("--standard-transmission", type=NUMBER, help="Share of the beam that the standard lets pass.")
@click.option("--standard-thickness", type=NUMBER, metavar="MM", help="Of the standard; 1.055 for glassy carbon.")
@click.option("--guinier", is_flag=True, help="Radius of gyration and forward intensity.")
@click.option("--shape", type=click.Choice(("globular", "rod", "sheet")), default="globular", show_default=True)
@click.option("--guinier-range", **_RANGE, help="In place of the range that is found.")
@click.option("--porod", is_flag=True, help="Exponent, invariant, specific surface.")
@click.option("--porod-range", **_RANGE, help="In place of the range that is found.")
@click.option("--model", default="", metavar="NAME", help="Fit a form factor of sasmodels: sphere, cylinder, ...")
@click.option("--set", "held", multiple=True, metavar="NAME=VALUE", help="With --model: hold a parameter.")
@click.option("--vary", multiple=True, metavar="NAME", help="With --model: fit a further parameter.")
@click.option("--monodisperse", is_flag=True, help="With --model: no distribution of its first length.")
@click.option("--sizes", is_flag=True, help="Distribution of diameters of spheres.")
@click.option("--d-range", **_RANGE, help="With --sizes: least and largest diameter.")
@click.option("--contrast", type=float, metavar="1/CM2", help="Difference of scattering length densities.")
@click.option("-o", "--output", type=_PATH, metavar="FILE.h5", help="Write the corrected curve as NXcanSAS.")
@click.option("--findings", type=_PATH, metavar="FILE.json", help="Write the numbers for other tools.")
@click.option("--plot", type=_PATH, metavar="FILE.svg|png", help="Draw curve, fits and sizes.")
@click.option("--force", is_flag=True, help="Replace files of that name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@filing_options
def command(curve: Path, unit: str | None, as_json: bool, **options: Any) -> None:
    """Read, correct, evaluate, write, print."""
    from poliqi.base.chartstyle import check_format
    from poliqi.edge.wholefile import check_target
    from poliqi.lab.xray.saxs import analyse, findings_of

    output, findings_path, plot = options["output"], options["findings"], options["plot"]
    if plot is not None:
        check_format(plot)
    for path in (output, findings_path, plot):
        if path is not None:
            check_target(path, overwrite=options["force"])
    wanted, axis = _wanted(options), _axis(unit)
    roles = {"curve": curve, "background": options["background"], "standard curve": options["standard_curve"]}
    filing = Filing(
        options.pop("store"),
        options.pop("tenant"),
        [Read(role, (path,)) for role, path in roles.items() if path is not None],
    )
    corrected = _corrected(curve, axis, options)
    said = _said(roles, axis, options["entry"]) if corrected.simulated else []
    analysis = analyse(replace(corrected, simulated=corrected.simulated or filing.is_simulated), wanted)
    _write(analysis, output, findings_path, plot, force=options["force"])
    dataset = _stored(filing, curve, analysis, {"unit": unit, **options}, said)
    if as_json:
        import msgspec

        record = msgspec.to_builtins(findings_of(analysis)) | {
            "refused": dict(analysis.refused),
            "steps": [{"name": step.name, **step.settings} for step in analysis.curve.steps],
            "dataset": dataset,
        }
        click.echo(json.dumps(record, allow_nan=False))
    else:
        from poliqi.ops.message_text import plain
        from poliqi.ops.saxs_report import report

        click.echo("\n".join(plain(line) for line in report(analysis)))
        if dataset is not None:
            click.echo(f"in the store: dataset {dataset}")


def _axis(unit: str | None) -> Axis | None:
    from poliqi.lab.xray.curve import Axis
    from poliqi.lab.xray.points import axis_of

    if unit is None:
        return None
    found = axis_of(unit)
    if found is None or found[1] != 1.0 or found[0] is Axis.TWO_THETA_DEG:
        raise ConfigError(f"--unit {unit!a}: q is in 1/nm or 1/A")
    return found[0]


def _wanted(options: dict[str, Any]) -> Wanted:
    from poliqi.lab.xray.guinier import Shape
    from poliqi.lab.xray.saxs import Wanted

    held: dict[str, float] = {}
    for text in options["held"]:
        name, equals, value = text.partition("=")
        try:
            held[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals or not math.isfinite(held.get(name.strip(), math.nan)):
            raise ConfigError(f"--set {text!a}: give NAME=VALUE, such as sld_solvent=9.4")
    if (held or options["vary"] or options["monodisperse"]) and not options["model"]:
        raise ConfigError("--set, --vary and --monodisperse belong to a fit: name its --model")
    return Wanted(
        guinier=options["guinier"] or options["guinier_range"] is not None,
        porod=options["porod"] or options["porod_range"] is not None,
        sizes=options["sizes"] or options["d_range"] is not None,
        model=options["model"],
        shape=Shape(options["shape"]),
        q_range=options["q_range"],
        guinier_range=options["guinier_range"],
        porod_range=options["porod_range"],
        d_range=options["d_range"],
        contrast_per_cm2=options["contrast"],
        held=held,
        vary=options["vary"],
        polydisperse=not options["monodisperse"],
    )


def _read(path: Path, unit: Axis | None, entry: int = 1) -> Curve:
    from poliqi.lab.xray.curvefiles import read_curve_file

    curves = read_curve_file(path, unit=unit)
    if entry > len(curves):
        raise ConfigError(f"--entry {entry}: {path} holds {len(curves)} curves")
    return curves[entry - 1]


def _corrected(path: Path, unit: Axis | None, options: dict[str, Any]) -> Curve:
    """In their order: transmission, thickness, background, absolute scale."""
    from poliqi.lab.xray.corrections import by_thickness, by_transmission, without_background
    from poliqi.lab.xray.standards import absolute

    def reduced(curve: Curve, transmission: Doubted | None, thickness: Doubted | None) -> Curve:
        curve = curve if transmission is None else by_transmission(curve, *transmission)
        return curve if thickness is None else by_thickness(curve, *thickness)

    curve = reduced(_read(path, unit, options["entry"]), options["transmission"], options["thickness"])
    background: Curve | None = None
    if options["background"] is not None:
        if (options["transmission"] is None) != (options["background_transmission"] is None):
            raise ConfigError(
                "--transmission and --background-transmission: give both, or neither where both curves are divided"
            )
        background = _read(options["background"], unit)
        taken = reduced(background, options["background_transmission"], options["thickness"])
        scale, sigma = options["background_scale"]
        curve = without_background(curve, taken, scale=scale, scale_sigma=sigma)
    elif options["background_transmission"] is not None:
        raise ConfigError("--background-transmission: give the --background that it is of")
    if options["scale"] is not None and options["standard_curve"] is not None:
        raise ConfigError("--scale and --standard-curve: give one of them")
    if options["scale"] is not None:
        return absolute(curve, options["scale"][0], options["scale"][1], "given")
    if options["standard_curve"] is not None:
        return _by_standard(curve, unit, options)
    return curve


def _by_standard(curve: Curve, unit: Axis | None, options: dict[str, Any]) -> Curve:
    """The factor of a standard that is corrected like the sample: here, or before, where its file has the steps."""
    from poliqi.lab.xray.corrections import by_thickness, by_transmission, check_alike, has_step
    from poliqi.lab.xray.standards import STANDARDS, Standard, absolute, scale_of

    if not has_step(curve, "thickness"):
        raise ConfigError("--standard-curve: an intensity in 1/cm needs the sample's --thickness")
    standard = Standard(options["standard"])
    measured = _read(options["standard_curve"], unit)
    if options["standard_transmission"] is not None:
        measured = by_transmission(measured, *options["standard_transmission"])
    if has_step(measured, "transmission") != has_step(curve, "transmission"):
        raise ConfigError(
            "--transmission and --standard-transmission: give both, or neither where both curves are divided"
        )
    thickness = options["standard_thickness"]
    if not has_step(measured, "thickness") and thickness is None:
        if (known := STANDARDS[standard].thickness_mm) is None:
            raise ConfigError(f"--standard {standard.value}: give its --standard-thickness")
        thickness = (known, 0.0)
    if thickness is not None:
        measured = by_thickness(measured, *thickness)
    times = check_alike(curve, measured, "standard")
    found = scale_of(measured, standard)
    made = absolute(curve, found.factor, found.sigma, STANDARDS[standard].source, times)
    return replace(made, simulated=made.simulated or measured.simulated)


def _write(
    analysis: Analysis, output: Path | None, findings_path: Path | None, plot: Path | None, *, force: bool
) -> None:
    from poliqi.edge.wholefile import whole_file
    from poliqi.lab.store.findings import findings_bytes
    from poliqi.lab.xray.nxcansas import write_curve
    from poliqi.lab.xray.saxs import findings_of
    from poliqi.lab.xray.saxsplot import draw_saxs

    if output is not None:
        write_curve(output, analysis.curve, overwrite=force)
    if findings_path is not None:
        with whole_file(findings_path, overwrite=force) as file:
            file.write(findings_bytes(findings_of(analysis)))
    if plot is not None:
        draw_saxs(analysis, plot, overwrite=force)


def _said(roles: dict[str, Path | None], unit: Axis | None, entry: int) -> list[str]:
    """The roles of the files that say of themselves that they are simulated."""
    read = {role: _read(path, unit, entry if role == "curve" else 1) for role, path in roles.items() if path}
    return [role for role, curve in read.items() if curve.simulated]


def _stored(filing: Filing, path: Path, analysis: Analysis, options: dict[str, Any], said: list[str]) -> str | None:
    """The dataset of the evaluation in the store, its input files beside it; None where no store is named."""
    unsaid = {"output", "findings", "plot", "force", "background", "standard_curve"}

    def work(folder: Path) -> None:
        _write(analysis, folder / "curve.h5", folder / "findings.json", folder / "report.svg", force=False)
        if (folder / "curve.h5").read_bytes() == path.read_bytes():  # nothing was corrected: the input holds it
            (folder / "curve.h5").unlink()

    return filing.put(
        "poliqi lab xray saxs",
        {name: value for name, value in options.items() if name not in unsaid},
        work,
        title=f"Small-angle evaluation of {analysis.curve.title or path.name}",
        keywords=("SAXS", "particle size") if analysis.sizes is not None else ("SAXS",),
        simulated=analysis.curve.simulated,
        said=said,
    )
