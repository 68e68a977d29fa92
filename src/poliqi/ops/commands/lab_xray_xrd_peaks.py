"""`poliqi lab xray xrd peaks`: where peaks stand, how wide they are, how much is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.ops.lab_xrd import PATH, Outputs, deliver, outputs_options, parameters_of, pattern_options, read_asked

if TYPE_CHECKING:
    from poliqi.lab.xray.diffraction.instrumentprofile import InstrumentProfile
    from poliqi.lab.xray.diffraction.peaks import Peak

__all__ = ["command"]

_COVERS: Final = "counting statistics; not the goniometer's zero, nor the height of the sample"


@click.command(
    help="""Find and fit the peaks of PATTERN: 2theta, d, width, area, each with its standard deviation in brackets.

    Each peak is a Voigt function for each wavelength of the beam. With --instrument the last column is Scherrer's
    size (K = 0.9), a lower bound, or why there is none: `poliqi lab xray xrd size` tells more.

    \b
      poliqi lab xray xrd peaks sample.xye --wavelength CuKa --range 20 90 --plot peaks.svg
    """
)
@pattern_options
@click.option("--instrument", type=PATH, metavar="INSTRUMENT.json", help="of `xrd standard`: Scherrer's sizes too")
@outputs_options
def command(
    file: Path,
    wavelength: str | None,
    geometry: str | None,
    monochromator: float | None,
    limits: tuple[float, float] | None,
    simulated: bool,
    instrument: Path | None,
    **where: Any,
) -> None:
    """Find, fit, print."""
    from poliqi.lab.store.findings import Finding, Findings
    from poliqi.lab.xray.diffraction.chart import draw_peaks
    from poliqi.lab.xray.diffraction.instrumentprofile import read_profile
    from poliqi.lab.xray.diffraction.peaks import find_peaks
    from poliqi.lab.xray.diffraction.told import answer_of_peaks

    outputs = Outputs(**where)
    outputs.check()
    filing = outputs.filing(file, (), instrument, simulated=simulated)
    pattern = read_asked(file, wavelength, geometry, monochromator, limits, simulated or filing.is_simulated)
    profile = None if instrument is None else read_profile(instrument)
    if profile is not None:
        profile.check_for(pattern.radiation, pattern.geometry)
    peaks = find_peaks(pattern)
    sizes = [_scherrer(peak, profile, pattern.wavelength_angstrom) for peak in peaks]
    records = answer_of_peaks(peaks)
    for record, (words, pair) in zip(records, sizes, strict=True):
        if profile is not None:
            record["scherrer_nm"], record["scherrer"] = pair, words
    answer = {
        "program": "poliqi lab xray xrd peaks",
        "title": pattern.title,
        "radiation": pattern.radiation.name,
        "wavelength_angstrom": pattern.wavelength_angstrom,
        "is_simulated": pattern.simulated,
        "cautions": list(pattern.cautions),
        "peaks": records,
    }
    findings = Findings(
        tuple(
            Finding(f"d_spacing@{at}", one.d_angstrom.value, "A", one.d_angstrom.sigma, "Voigt fit", _COVERS)
            for at, one in enumerate(peaks, 1)
        ),
        "poliqi lab xray xrd",
        pattern.title,
        pattern.simulated,
        pattern.cautions,
    )
    deliver(
        outputs,
        answer,
        _lines(pattern, peaks, sizes, profile),
        what="peaks",
        filing=filing,
        parameters=parameters_of(pattern, limits),
        findings=findings,
        draw=lambda path: draw_peaks(pattern, peaks, path, overwrite=outputs.force),
    )


def _scherrer(
    peak: Peak, profile: InstrumentProfile | None, wavelength_angstrom: float
) -> tuple[str, dict[str, float | None] | None]:
    from poliqi.base.errors import DataRefused
    from poliqi.lab.xray.diffraction.scherrer import SHAPE_FACTOR, scherrer_nm
    from poliqi.lab.xray.diffraction.told import quoted

    if profile is None:
        return "", None
    try:
        size = scherrer_nm(peak, profile, wavelength_angstrom)
    except DataRefused as error:
        return f"none: {error}", None
    words = f"{quoted(size)} nm or more (K = {SHAPE_FACTOR:g})"
    return words, {"value": size.value, "sigma": size.sigma, "shape_factor": SHAPE_FACTOR}


def _lines(pattern: Any, peaks: Any, sizes: list[tuple[str, Any]], profile: Any) -> list[str]:
    from poliqi.lab.xray.diffraction.told import quoted

    lines = [f"{pattern.title}{' (simulated)' if pattern.simulated else ''}, {pattern.radiation.name}"]
    lines.append(f"{'2theta (deg)':>16} {'d (A)':>16} {'FWHM (deg)':>14} {'area':>16} {'chi2':>6}")
    for peak, (size, _) in zip(peaks, sizes, strict=True):
        lines.append(
            f"{quoted(peak.two_theta_deg):>16} {quoted(peak.d_angstrom):>16} {quoted(peak.fwhm_deg):>14}"
            f" {quoted(peak.area):>16} {peak.goodness:6.2f}{'  ' + size if profile is not None else ''}"
        )
    if not peaks:
        lines.append("no peak stands out of the noise")
    return [*lines, *(f"note: {caution}" for caution in pattern.cautions)]
