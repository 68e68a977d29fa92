"""`poliqi lab xray xrd standard`: the instrument's own widths, from a standard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from poliqi.ops.commands.lab_store_open import filing_options
from poliqi.ops.lab_xrd import PATH, Outputs, deliver, parameters_of, pattern_options, read_asked, tell

__all__ = ["command"]


@click.command(
    help="""Measure the instrument's own line widths on a standard (LaB6, NIST SRM 660), for `xrd size`.

    The lattice of the CIF is held: write the certified one into it (SRM 660c: 4.156826 A). Measure the standard
    with the slits and the beam that samples are measured with.

    \b
      poliqi lab xray xrd standard lab6.xrdml --cif LaB6.cif -o instrument.json --plot standard.svg
    """
)
@pattern_options
@click.option("--cif", required=True, type=PATH, metavar="STANDARD.cif", help="the standard, its certified lattice")
@click.option("-o", "--output", required=True, type=PATH, metavar="INSTRUMENT.json", help="file to write")
@click.option("--plot", type=PATH, metavar="FILE.svg|png", help="draw the fit")
@click.option("--force", is_flag=True, help="replace files of that name")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@filing_options
def command(
    file: Path,
    wavelength: str | None,
    geometry: str | None,
    monochromator: float | None,
    limits: tuple[float, float] | None,
    simulated: bool,
    cif: Path,
    output: Path,
    **where: Any,
) -> None:
    """Fit, write, print."""
    from poliqi.edge.wholefile import whole_file
    from poliqi.lab.xray.diffraction.chart import draw_fit
    from poliqi.lab.xray.diffraction.instrumentprofile import profile_bytes
    from poliqi.lab.xray.diffraction.microstructure import measure_profile
    from poliqi.lab.xray.diffraction.told import answer_of_fit

    outputs = Outputs(output=output, **where)
    outputs.check()
    filing = outputs.filing(file, [cif], simulated=simulated)
    pattern = read_asked(file, wavelength, geometry, monochromator, limits, simulated or filing.is_simulated)
    profile, fit = measure_profile(pattern, cif, progress=tell)
    with whole_file(output, overwrite=outputs.force) as written:
        written.write(profile_bytes(profile))
    low, high = profile.range_deg
    places = [low + (high - low) * part / 4 for part in range(5)]
    widths = [{"two_theta_deg": at, "fwhm_deg": profile.fwhm_deg(at)} for at in places]
    answer = {
        "program": "poliqi lab xray xrd standard",
        "title": fit.title,
        "standard": profile.standard,
        "widths": widths,
        **answer_of_fit(fit),
    }
    deliver(
        outputs,
        answer,
        [
            f"{fit.title}{' (simulated)' if fit.simulated else ''}: {profile.standard}, Rwp {fit.rwp:.4f}",
            *(f"  FWHM at {one['two_theta_deg']:7.2f} degrees: {one['fwhm_deg']:.4f}" for one in widths),
            *(f"note: {caution}" for caution in fit.cautions),
            f"written: {output}",
        ],
        what="standard",
        filing=filing,
        parameters=parameters_of(pattern, limits),
        draw=lambda path: draw_fit(fit, path, overwrite=outputs.force),
        more={"instrument.json": profile_bytes(profile)},
    )
