"""`poliqi lab xray xrd size`: crystallite size and strain from the whole pattern."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poliqi.ops.lab_xrd import (
    CIFS,
    PATH,
    Outputs,
    deliver,
    outputs_options,
    parameters_of,
    pattern_options,
    read_asked,
    tell,
)

if TYPE_CHECKING:
    from poliqi.lab.xray.diffraction.microstructure import Microstructure

__all__ = ["command"]


@click.command(
    help="""Crystallite size and strain of each phase, and its lattice, from the whole of PATTERN.

    The instrument's own widths come from `xrd standard`. Sizes are volume-weighted column lengths (spheres of one
    diameter D have 3 D / 4), strain is delta d / d. Where the pattern shows neither, its limit is told.

    \b
      poliqi lab xray xrd standard lab6.xrdml --cif LaB6.cif -o instrument.json
      poliqi lab xray xrd size sample.xrdml --cif Ni.cif --instrument instrument.json -o size.json --plot size.svg
    """
)
@pattern_options
@CIFS
@click.option("--instrument", required=True, type=PATH, metavar="INSTRUMENT.json", help="widths, of `xrd standard`")
@click.option("--pawley", "method", flag_value="pawley", default="pawley", help="free intensities (the default)")
@click.option("--rietveld", "method", flag_value="rietveld", help="intensities of the structure")
@click.option("--lebail", "method", flag_value="lebail", help="intensities shared out: for many crowded lines")
@outputs_options
def command(
    file: Path,
    wavelength: str | None,
    geometry: str | None,
    monochromator: float | None,
    limits: tuple[float, float] | None,
    simulated: bool,
    cifs: tuple[Path, ...],
    instrument: Path,
    method: str,
    **where: Any,
) -> None:
    """Fit and print."""
    from poliqi.lab.xray.diffraction.chart import draw_fit
    from poliqi.lab.xray.diffraction.instrumentprofile import read_profile
    from poliqi.lab.xray.diffraction.microstructure import size_and_strain
    from poliqi.lab.xray.diffraction.refinement import Method
    from poliqi.lab.xray.diffraction.told import answer_of_fit, findings_of_fit
    from poliqi.ops.commands.lab_xray_xrd_refine import lines_of_fit

    outputs = Outputs(**where)
    outputs.check()
    profile = read_profile(instrument)
    filing = outputs.filing(file, cifs, instrument, simulated=simulated)
    pattern = read_asked(file, wavelength, geometry, monochromator, limits, simulated or filing.is_simulated)
    micro, fit = size_and_strain(pattern, cifs, profile, Method(method), progress=tell)
    head, *rest = lines_of_fit(fit)
    deliver(
        outputs,
        {"program": "poliqi lab xray xrd size", "title": fit.title, **answer_of_fit(fit, micro)},
        [head, *(f"  {line}" for one in micro for line in _lines(one)), *rest],
        what="size",
        filing=filing,
        parameters={**parameters_of(pattern, limits), "method": method},
        findings=findings_of_fit(fit, micro),
        draw=lambda path: draw_fit(fit, path, overwrite=outputs.force),
    )


def _lines(one: Microstructure) -> list[str]:
    from poliqi.lab.xray.diffraction.told import quoted

    if one.size_nm is not None:
        size = f"{quoted(one.size_nm)} nm"
    else:
        size = "not seen" + ("" if one.size_above_nm is None else f": above {one.size_above_nm:.3g} nm")
    if one.strain is not None:
        strain = quoted(one.strain)
    else:
        strain = "not seen" + ("" if one.strain_below is None else f": below {one.strain_below:.2g}")
    return [f"{one.phase}: column length {size}", f"{one.phase}: strain {strain}"]
