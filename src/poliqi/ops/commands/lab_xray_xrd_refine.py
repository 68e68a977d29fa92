"""`poliqi lab xray xrd refine`: lattices and shares of phases from the whole pattern."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poliqi.ops.lab_xrd import (
    CIFS,
    Outputs,
    deliver,
    outputs_options,
    parameters_of,
    pattern_options,
    read_asked,
    tell,
)

if TYPE_CHECKING:
    from poliqi.lab.xray.diffraction.refinement import Fit

__all__ = ["command", "lines_of_fit"]


@click.command(
    help="""Fit the whole of PATTERN with the phases that are named: Rietveld, Le Bail or Pawley, by rietx.

    Rietveld takes intensities from the structures and gives shares of phases; Le Bail and Pawley take them from the
    pattern, for lattices that no structure biases. Sigmas hold counting statistics, misfit and correlation of the
    residuals; not the wavelength's doubt, nor that of the model. Every phase must be named: see `xrd identify`.

    \b
      poliqi lab xray xrd refine sample.xrdml --cif Si.cif --plot fit.svg
      poliqi lab xray xrd refine 11BM_NAC.fxye --wavelength 0.413909A --range 2 24 --cif NAC.cif --cif CaF2.cif
    """
)
@pattern_options
@CIFS
@click.option("--rietveld", "method", flag_value="rietveld", default="rietveld", help="(the default)")
@click.option("--lebail", "method", flag_value="lebail", help="intensities shared out of the pattern")
@click.option("--pawley", "method", flag_value="pawley", help="intensities as parameters")
@click.option("--structure", is_flag=True, help="with Rietveld: coordinates and displacements, too")
@outputs_options
def command(
    file: Path,
    wavelength: str | None,
    geometry: str | None,
    monochromator: float | None,
    limits: tuple[float, float] | None,
    simulated: bool,
    cifs: tuple[Path, ...],
    method: str,
    structure: bool,
    **where: Any,
) -> None:
    """Fit and print."""
    from poliqi.lab.xray.diffraction.chart import draw_fit
    from poliqi.lab.xray.diffraction.refinement import Method, refine
    from poliqi.lab.xray.diffraction.told import answer_of_fit, findings_of_fit

    outputs = Outputs(**where)
    outputs.check()
    filing = outputs.filing(file, cifs, simulated=simulated)
    pattern = read_asked(file, wavelength, geometry, monochromator, limits, simulated or filing.is_simulated)
    fit = refine(pattern, cifs, Method(method), structure=structure, progress=tell)
    answer = {"program": "poliqi lab xray xrd refine", "title": fit.title, **answer_of_fit(fit)}
    deliver(
        outputs,
        answer,
        lines_of_fit(fit),
        what="refine",
        filing=filing,
        parameters={**parameters_of(pattern, limits), "method": method, "structure": structure},
        findings=findings_of_fit(fit),
        draw=lambda path: draw_fit(fit, path, overwrite=outputs.force),
    )


def lines_of_fit(fit: Fit) -> list[str]:
    """A fit for people."""
    from poliqi.lab.xray.diffraction.told import quoted

    said = "" if fit.usable else "  NOT CONVERGED: do not use these numbers"
    title = f"{fit.title}{' (simulated)' if fit.simulated else ''}"
    lines = [f"{title}: {fit.method.value}, Rwp {fit.rwp:.4f}, expected {fit.rexp:.4f}{said}"]
    for phase in fit.phases:
        cell = "  ".join(
            f"{name} = {quoted(quantity)} {'A' if len(name) == 1 else 'deg'}"
            for name, quantity in phase.lattice.items()
        )
        share = "" if phase.weight_fraction is None else f"  {100 * phase.weight_fraction.value:.1f} % by weight"
        lines.append(f"  {phase.name}: {cell}{share}")
    return [*lines, *(f"note: {caution}" for caution in fit.cautions)]
