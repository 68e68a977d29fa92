"""`poliqi lab print calibrate`: lines to print and measure, and what their widths tell of the machine."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.lab_outputs import PATH, Result, deliver, outputs_of, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.print.calibrate.array import Array
    from poliqi.lab.print.calibrate.fit import LineFit

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab print calibrate"


@click.group(
    help="""Measure what a profile cannot guess: the focus and the dose at which the material acts.

    Print an array of lone lines, power by speed; measure their widths (from above) and heights (from the side) and
    put them into the sheet; fit.

    \b
    Examples:
      poliqi lab print calibrate array --profile mine.toml --power 5:30:6 --speed 10,50,100 -o array.job
      poliqi lab print calibrate fit array.csv --profile mine.toml -o calibrated.toml
    """
)
def command() -> None:
    """Holds the two steps."""


@command.command(
    "array", help="Lines of every power and speed, hung between rails: a print job, and a sheet to fill."
)
@click.option("--profile", required=True, metavar="FILE.toml|NAME", help="Machine and material, or an example.")
@click.option("--power", required=True, metavar="LOW:HIGH:COUNT", help="mW at the sample; or 5,10,20.")
@click.option("--speed", required=True, metavar="LOW:HIGH:COUNT", help="mm/s; or 10,50,100.")
@click.option("--lines", type=int, default=3, show_default=True, help="Lines of each power and speed.")
@click.option("--length", type=float, default=20.0, show_default=True, metavar="UM", help="Free length of a line.")
@click.option("--sheet", type=PATH, metavar="FILE.csv", help="Sheet to fill (default: beside -o, as .csv).")
@outputs_options
def array_command(**options: Any) -> None:
    """Lay out, write, print."""
    from poliqi.edge.wholefile import check_target, whole_file
    from poliqi.lab.print.calibrate.array import array_of, values_of, write_array
    from poliqi.lab.print.calibrate.sheet import sheet_bytes
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.print_profile_toml import profile_digest, read_profile

    outputs = outputs_of(options)
    sheet: Path | None = options.pop("sheet")
    if sheet is None and outputs.output is not None:
        sheet = outputs.output.with_suffix(".csv")
    if sheet is not None:
        if sheet == outputs.output:
            raise ConfigError(f"--sheet {sheet}: the job has the same name; name another")
        check_target(sheet, overwrite=outputs.force)
        _ensure_unfilled(sheet)
    profile = read_profile(options["profile"])
    array = array_of(
        profile,
        values_of(options["power"], "--power"),
        values_of(options["speed"], "--speed"),
        lines=options["lines"],
        length_um=options["length"],
    )
    job = io.BytesIO()
    digest = write_array(array, profile, job)
    rows = sheet_bytes(array.rows)
    if sheet is not None:
        _ensure_unfilled(sheet)
        with whole_file(sheet, overwrite=outputs.force) as file:
            file.write(rows)
    reads = [Read("profile", (Path(options["profile"]),))] if Path(options["profile"]).is_file() else []
    record = {
        "program": f"{_PROGRAM} array",
        "simulated": True,
        "profile": profile.name,
        "profile_blake3": profile_digest(options["profile"]),
        "job_blake3": digest,
        "powers_mw": list(array.powers_mw),
        "speeds_mm_s": list(array.speeds_mm_s),
        "lines": len(array.rows),
        "size_um": [*array.size_um, array.layers * profile.hatch.layer_um],
    }
    size = (
        f"{array.size_um[0]:.0f} x {array.size_um[1]:.0f} um, {array.layers} layers; lines {array.length_um:g} um "
        f"long, {array.spacing_um:.3g} um apart; the block in the corner marks A1"
    )
    lines = [
        f"{len(array.rows)} lines: {len(array.powers_mw)} powers x {len(array.speeds_mm_s)} speeds x {array.lines}",
        size,
    ]
    if sheet is not None:
        lines.append(f"fill {sheet}: width_um from above, height_um from the side, 0 where nothing printed")
    deliver(
        outputs,
        Result(
            record, lines, _array_page(array, profile.name), {"array.job": job.getvalue(), "array.csv": rows}, True
        ),
        Filing(outputs.store, outputs.tenant, reads),
        program=f"{_PROGRAM} array",
        title=f"Calibration array of {profile.name}",
        parameters={
            **options,
            "profile": Path(options["profile"]).name,
            "profile_blake3": record["profile_blake3"],
        },
        keywords=("multiphoton printing", "calibration"),
    )


def _ensure_unfilled(sheet: Path) -> None:
    """Refuse (ConfigError) to replace a sheet in which somebody put a measurement."""
    from poliqi.edge.regularfile import open_regular
    from poliqi.lab.print.calibrate.sheet import MOST_BYTES, read_sheet

    if not sheet.exists():
        return
    remedy = "it is not replaced, not even with --force: name another --sheet, or move it away"
    try:
        with open_regular(sheet) as file:
            data = file.read(MOST_BYTES + 1)
        rows = read_sheet(data, str(sheet)) if data else []
    except OSError as error:
        raise ConfigError(f"{sheet} cannot be read ({error.strerror or error}), so {remedy}") from None
    except DataRefused as error:
        raise ConfigError(f"{error}; it may hold measurements, so {remedy}") from None
    filled = [row for row in rows if row.width_um is not None or row.height_um is not None]
    if filled:
        raise ConfigError(f"{sheet} holds measurements of {len(filled)} lines; {remedy}")


@command.command("fit", help="Focus and threshold from the sheet's widths and heights, into a profile.")
@click.argument("sheet", type=PATH)
@click.option("--profile", required=True, metavar="FILE.toml|NAME", help="Profile that gets them.")
@click.option("--keep-length", is_flag=True, help="Keep the profile's w_z: no heights were measured.")
@click.option("--simulated", is_flag=True, help="The sheet was calculated, not measured.")
@outputs_options
def fit_command(**options: Any) -> None:
    """Read, fit, write, print."""
    from blake3 import blake3

    from poliqi.edge.regularfile import open_regular
    from poliqi.lab.print.calibrate.fit import fit_lines
    from poliqi.lab.print.calibrate.page import (
        calibrated,
        calibration_cautions,
        calibration_facts,
        calibration_page,
    )
    from poliqi.lab.print.calibrate.sheet import MOST_BYTES, read_sheet
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.print_profile_toml import profile_digest, profile_toml, read_profile

    outputs = outputs_of(options)
    path: Path = options.pop("sheet")
    try:
        with open_regular(path) as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataRefused(f"{path}: cannot be read ({error.strerror or error}); name the filled sheet") from None
    profile = read_profile(options["profile"])
    reads = [Read("sheet", (path,), options["simulated"])]
    if Path(options["profile"]).is_file():
        reads.append(Read("profile", (Path(options["profile"]),), profile.is_simulated))
    filing = Filing(outputs.store, outputs.tenant, reads)
    is_calculated: bool = options["simulated"] or filing.is_simulated
    is_simulated = is_calculated or (options["keep_length"] and profile.is_simulated)
    rows = read_sheet(data, str(path))
    fit = fit_lines(rows, profile.w_z_um if options["keep_length"] else None)
    digest = blake3(data).hexdigest()
    name = f"{path.name}, simulated" if is_calculated else path.name
    made = calibrated(profile, fit, rows, name, digest, is_simulated=is_simulated)
    cautions = calibration_cautions(fit, made)
    deliver(
        outputs,
        Result(
            {**_fit_record(fit, digest), "simulated": is_simulated, "cautions": cautions},
            [
                *(f"{label}: {words}" for label, words in calibration_facts(fit)),
                *(f"caution: {one}" for one in cautions),
            ],
            calibration_page(fit, rows, made, path.name, is_simulated=is_simulated),
            {"calibrated.toml": profile_toml(made)},
            is_simulated,
        ),
        filing,
        program=f"{_PROGRAM} fit",
        title=f"Calibration of {profile.name} from {path.name}",
        parameters={
            **options,
            "profile": Path(options["profile"]).name,
            "profile_blake3": profile_digest(options["profile"]),
        },
        keywords=("multiphoton printing", "calibration"),
        said=("sheet",) if options["simulated"] else (),
    )


def _fit_record(fit: LineFit, digest: str) -> dict[str, Any]:
    sigma = fit.sigmas
    return {
        "program": f"{_PROGRAM} fit",
        "sheet_blake3": digest,
        "w_xy_um": fit.w_xy_um,
        "w_xy_sigma_um": sigma[0],
        "w_z_um": fit.w_z_um,
        "w_z_sigma_um": sigma[1],
        "line_threshold_mw2_s_mm": fit.line_threshold_mw2_s_mm,
        "line_threshold_sigma_mw2_s_mm": sigma[2],
        "covariance_of_logarithms": fit.covariance.tolist(),
        "chi2": fit.chi2,
        "degrees": fit.degrees,
        "p_value": fit.p_value,
        "repeats_p_value": fit.repeats_p,
        "doubts_raised": fit.raised,
        "dose_scatter": fit.dose_scatter,
        "left_out": len(fit.left_out),
        "widths": len(fit.width_rows),
        "heights": len(fit.height_rows),
    }


def _array_page(array: Array, name: str) -> Any:
    from poliqi.lab.onepage import BLUE, Page, Panel

    def draw(axes: Any) -> None:
        half = array.length_um / 2
        for row in array.rows:
            x, y = row.x_um or 0.0, row.y_um or 0.0
            axes.plot([x - half, x + half], [y, y], color=BLUE, lw=1)
        for row in array.rows[:: array.lines]:
            words = f"{row.label.partition('.')[0]}: {row.power_mw:g} mW, {row.speed_mm_s:g} mm/s"
            axes.text((row.x_um or 0.0) - half, (row.y_um or 0.0) - 1, words, fontsize=5, va="top")
        axes.set_aspect("equal")
        axes.set_xlabel("x (um)")
        axes.set_ylabel("y (um)")

    return Page(f"Calibration array of {name}", panels=[Panel("Lines", draw, is_wide=True)], simulated=True)
