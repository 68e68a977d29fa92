"""`poliqi lab xray reduce`: frames of a detector to curves with sigma."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from poliqi.ops.commands.lab_store_open import filing_options

__all__ = ["command"]

PATH: Final = click.Path(path_type=Path)
_UNITS: Final = {"1/nm": "1/nm", "1/A": "1/A", "2theta": "2theta_deg"}


@click.command()
@click.argument("frames", nargs=-1, type=PATH)
@click.option("--geometry", type=PATH, required=True, metavar="FILE.poni", help="where the detector stands")
@click.option(
    "--mask", "masks", multiple=True, metavar="FILE", help="pixels to leave out (not 0); several add up; or none"
)
@click.option("--mask-keeps", is_flag=True, help="masks name the pixels to keep instead")
@click.option("--unit", type=click.Choice(list(_UNITS)), default="1/nm", show_default=True, help="of the axis")
@click.option("--bins", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="points of a curve")
@click.option("--range", "x_range", nargs=2, type=float, metavar="FROM TO", help="part of the axis (all of it)")
@click.option(
    "--splitting",
    type=click.Choice(["no", "bbox"]),
    default="no",
    show_default=True,
    help="share a pixel among the bins it lies across",
)
@click.option("--polarisation", type=float, metavar="FACTOR", help="correct for it: 0.99 synchrotron, 0 tube")
@click.option("--flat", type=PATH, metavar="FILE", help="flat field that counts are divided by")
@click.option("--dark", type=PATH, metavar="FILE", help="dark frames, whose mean is subtracted")
@click.option("--dark-exposure", type=float, metavar="S", help="count time of a dark frame")
@click.option("--dead-time", type=float, metavar="S", help="dead time of a pixel in seconds, such as 2.5e-7")
@click.option("--exposure", type=float, metavar="S", help="count time of a frame, in place of the file's")
@click.option("--per-second", is_flag=True, help="counts a second in place of counts a frame")
@click.option("--wavelength", type=float, metavar="A", help="in angstrom, in place of the geometry's")
@click.option("--energy", type=float, metavar="KEV", help="in keV, in place of the geometry's")
@click.option("--dataset", metavar="PATH", help="which stack of an HDF5 file with several")
@click.option("--per-frame", type=PATH, metavar="FILE.h5", help="write the curve of every frame, too")
@click.option("--workers", type=click.IntRange(1), help="processes (a core each, where the stack is long)")
@click.option("--cluster", metavar="ADDRESS|N", help="a Dask scheduler (tcp://10.0.0.5:8786), or N processes")
@click.option("--live", type=PATH, metavar="FOLDER", help="reduce frames as they appear there; -o is a folder")
@click.option("--pattern", default="", metavar="GLOB", help="live: which files, such as '*_master.h5'")
@click.option("--idle", type=float, metavar="S", help="live: stop when nothing has come for so long")
@click.option("--title", default="", help="of the curve")
@click.option("--simulated", is_flag=True, help="the frames were calculated, not measured")
@filing_options
@click.option("--leave-frames", is_flag=True, help="with --store: put no files in that were read, the curve alone")
@click.option("--input", "inputs", multiple=True, metavar="DATASET", help="of the store: what the frames are from")
@click.option("-o", "--output", type=PATH, metavar="FILE.h5", help="the curve, as NXcanSAS")
@click.option("--force", is_flag=True, help="replace the output")
@click.option("--plot", type=PATH, metavar="FILE", help="draw the curve into this .svg or .png")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(frames: tuple[Path, ...], **options: Any) -> None:
    """Reduce FRAMES to one curve: I with sigma against q or 2theta. Needs: pip install "poliqi[xray]".

    FRAMES are HDF5 (Eiger, NeXus; linked files too), TIFF, CBF, EDF or NumPy files of one detector; all their
    frames are averaged. Counts that overflow, and masked pixels, are left out of sums and normalisation alike. A
    run that was stopped goes on where it was. Corrections: solid angle always; dead time, dark, flat field and
    polarisation where asked. Each is recorded in the file.

    \b
    Examples:
      poliqi lab xray reduce frames.h5 --geometry setup.poni -o curve.h5 --plot curve.svg
      poliqi lab xray reduce run*.cbf --geometry setup.poni --mask beamstop.edf --unit 1/A -o curve.h5
      poliqi lab xray reduce --live /data/today --geometry setup.poni -o /data/today-curves
    """
    from poliqi.base.chartstyle import check_format
    from poliqi.base.errors import ConfigError

    if options["plot"] is not None:
        check_format(options["plot"])
    if options["live"] is not None:
        from poliqi.ops.lab_reduce_live import run_live

        if click.get_current_context().get_parameter_source("store") is ParameterSource.ENVIRONMENT:
            options["store"] = None  # POLIQI_LAB is no wish to put in what comes while it comes
        if frames:
            raise ConfigError("--live takes the frames of its folder; leave out the files")
        run_live(**options)
        return
    if not frames:
        raise ConfigError("which frames? name one file or more, or --live FOLDER")
    from poliqi.ops.lab_reduce import run_reduce

    run_reduce(frames, **options)
