"""`poliqi lab xray calibrate`: where the detector stands, from frames of a calibrant."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.commands.lab_store_open import filing_options
from poliqi.ops.lab_filing import Filing, Read, with_linked

if TYPE_CHECKING:
    from poliqi.lab.xray.calibration.intake import Exposure
    from poliqi.lab.xray.calibration.result import Calibration

__all__ = ["command"]

_PATH: Final = click.Path(dir_okay=False, path_type=Path)
_BEAT_S: Final = 0.5


@click.command(
    help="""Find distance, beam centre and tilt from frames of a calibrant: no clicks, no starting guess.

    All frames of all files are summed. Written are a PONI file, which `poliqi lab xray reduce` and pyFAI read, and
    beside it a .json report with the uncertainty of every parameter (docs: how-to/calibrate-a-detector). Fewer than
    two rings matched is an error, and so is a frame without rings.

    \b
    Examples:
      poliqi lab xray calibrate agbh.cbf --calibrant AgBh --wavelength-A 1.0 --detector Pilatus1M -o setup.poni
      poliqi lab xray calibrate lab6_*.tif --calibrant LaB6 --energy-keV 17.4 --pixel-um 75 \\
          --mask mask.npy -o setup.poni --plot rings.png
      poliqi lab xray calibrate run_master.h5 --calibrant my.D -o setup.poni   the header says the rest
    """
)
@click.argument("frames", nargs=-1, required=True, type=_PATH)
@click.option(
    "--calibrant",
    required=True,
    metavar="NAME|FILE.D",
    help="AgBh, LaB6, CeO2, Si, another name of pyFAI's, or a file of spacings (angstrom, one a line).",
)
@click.option(
    "--wavelength-A", "wavelength_a", type=float, metavar="ANGSTROM", help="Else from the frames' header."
)
@click.option("--energy-keV", "energy_kev", type=float, metavar="KEV", help="In place of the wavelength.")
@click.option("--pixel-um", "pixel_um", type=float, metavar="UM", help="Side of a pixel; else from the header.")
@click.option("--detector", metavar="NAME", help="As pyFAI calls it (Pilatus1M, Eiger4M): pixels, gaps and shape.")
@click.option("--mask", type=_PATH, help="Pixels to leave out: a frame that is not zero there.")
@click.option("-o", "--output", required=True, type=_PATH, metavar="SETUP.poni", help="The PONI file to write.")
@click.option("--force", is_flag=True, help="Replace files of that name.")
@click.option("--plot", type=_PATH, metavar="FILE.png|svg", help="Draw the frame with its rings, and residuals.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@filing_options
@click.option("--simulated", is_flag=True, help="Say of all results that the frames were simulated.")
def command(
    frames: tuple[Path, ...],
    calibrant: str,
    wavelength_a: float | None,
    energy_kev: float | None,
    pixel_um: float | None,
    detector: str | None,
    mask: Path | None,
    output: Path,
    force: bool,
    plot: Path | None,
    as_json: bool,
    store: Path | None,
    tenant: str,
    simulated: bool,
) -> None:
    """Calibrate, write, print."""
    from poliqi.base.chartstyle import check_format
    from poliqi.edge.wholefile import check_target
    from poliqi.lab.xray.calibration.intake import panel_for, read_exposure, wavelength_for
    from poliqi.lab.xray.geometry import chosen_wavelength

    if output.suffix.lower() != ".poni":
        raise ConfigError(f"--output {output}: give a name that ends in .poni")
    if plot is not None:
        check_format(plot)
    for path in (output, output.with_suffix(".json"), *([] if plot is None else [plot])):
        check_target(path, overwrite=force)
    asked = chosen_wavelength(
        None if wavelength_a is None else wavelength_a * 1e-10, None if energy_kev is None else energy_kev * 1e3
    )
    filing = Filing(store, tenant, _reads(frames, mask, calibrant, simulated) if store is not None else ())
    simulated = simulated or filing.is_simulated
    exposure = read_exposure(frames, mask, _told())
    panel, panel_words = panel_for(exposure, None if pixel_um is None else pixel_um * 1e-6, detector)
    wavelength_m, wave_words = wavelength_for(exposure, asked)
    found = _calibrated(exposure, panel, calibrant, wavelength_m, panel_words + wave_words, simulated)
    _write(found, exposure, output, plot, simulated, force)
    answer = _answer(found, simulated)
    parameters: dict[str, Any] = {
        "calibrant": found.calibrant,
        "wavelength_A": wavelength_m * 1e10,
        "detector": panel.name,
        "pixel_um": [side * 1e6 for side in panel.pixel_m],
        "figure": plot is not None,
    }
    dataset = _stored(filing, output, plot, parameters, simulated)
    if dataset is not None:
        answer["dataset"] = dataset
    if as_json:
        click.echo(json.dumps(answer, indent=2, allow_nan=False))
    else:
        _say(found, output, plot, simulated, answer.get("dataset"))


def _calibrated(
    exposure: Exposure, panel: Any, calibrant: str, wavelength_m: float, words: tuple[str, ...], simulated: bool
) -> Calibration:
    from poliqi.lab.xray.calibration.calibrants import load_calibrant
    from poliqi.lab.xray.calibration.procedure import calibrate

    cautions = tuple(said for said in exposure.cautions if panel.mask is None or not said.startswith("no mask"))
    return calibrate(
        exposure.counts,
        exposure.valid,
        panel,
        load_calibrant(calibrant),
        wavelength_m,
        frames=exposure.frames,
        cautions=(*(("simulated frames",) if simulated else ()), *words, *cautions),
    )


def _answer(found: Calibration, simulated: bool) -> dict[str, Any]:
    from poliqi.lab.xray.calibration.result import report

    return {"program": "poliqi lab xray calibrate", "is_simulated": simulated, **report(found)}


def _write(
    found: Calibration, exposure: Exposure, output: Path, plot: Path | None, simulated: bool, force: bool
) -> None:
    from poliqi.edge.wholefile import whole_file
    from poliqi.lab.xray.geometry import save_geometry

    words = f"{len(found.rings)} rings of {found.calibrant}, residual {found.rms_px:.3f} px"
    comment = f"poliqi lab xray calibrate: {'simulated frames, ' if simulated else ''}{words}"
    if plot is not None:
        from poliqi.lab.xray.calibration.plot import draw_calibration

        draw_calibration(found, exposure.counts, exposure.valid, plot, "simulated" if simulated else "")
    with whole_file(output.with_suffix(".json"), overwrite=force) as file:
        file.write(json.dumps(_answer(found, simulated), indent=2, allow_nan=False).encode() + b"\n")
    save_geometry(found.geometry, output, comment, overwrite=force)


def _reads(frames: tuple[Path, ...], mask: Path | None, calibrant: str, simulated: bool) -> list[Read]:
    """What decides the result, each part by its role."""
    from poliqi.lab.xray.calibration.calibrants import is_calibrant_file

    found = [Read("frames", with_linked(frames), simulated)]
    if mask is not None:
        found.append(Read("mask", with_linked([mask])))
    if is_calibrant_file(calibrant):
        found.append(Read("calibrant", (Path(calibrant),)))
    return found


def _stored(
    filing: Filing, output: Path, plot: Path | None, parameters: dict[str, Any], simulated: bool
) -> str | None:
    """The dataset of the calibration, its frames beside it as another; None where no store is named."""
    made = [output, output.with_suffix(".json"), *([] if plot is None else [plot])]

    def work(folder: Path) -> None:
        for path in made:
            (folder / path.name).write_bytes(path.read_bytes())

    return filing.put(
        "poliqi lab xray calibrate",
        parameters,
        work,
        title=f"Geometry of the detector by {parameters['calibrant']}",
        keywords=("calibration", "geometry"),
        simulated=simulated,
    )


def _say(found: Calibration, output: Path, plot: Path | None, simulated: bool, dataset: str | None) -> None:
    from poliqi.lab.xray.calibration.result import table

    if simulated:
        click.echo("simulated frames")
    click.echo(table(found))
    click.echo(f"written: {output}, {output.with_suffix('.json')}{'' if plot is None else f', {plot}'}")
    if dataset is not None:
        click.echo(f"dataset: {dataset}")


def _told() -> Any:
    """Progress on standard error: frames summed, where there are many."""
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT_S and sys.stderr.isatty():
            last = time.monotonic()
            click.echo(f"\r{done} frames summed", err=True, nl=False)

    return tell
