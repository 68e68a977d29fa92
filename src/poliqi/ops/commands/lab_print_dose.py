"""`poliqi lab print dose`: what the light prints of a design, and radii that print as designed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.lab_outputs import PATH, Result, deliver, outputs_of, outputs_options, tell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from poliqi.lab.print.dose.exposure import Exposure
    from poliqi.lab.print.dose.study import DoseStudy
    from poliqi.lab.print.hatch.settings import HatchSettings
    from poliqi.lab.print.profile import Profile
    from poliqi.lab.print.vesselfile import Vessels

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab print dose"
_BEAT_S: Final = 1.0


@click.command(
    help="""Simulate the dose of a print: where the wall of each vessel ends up, and by how much that is off.

    Every scan line deposits the squared intensity of the focus along its way; the material acts where the sum
    reaches the threshold. The printed surface is found along rays from the vessels' axes; the dose itself is
    calculated voxel by voxel in a region. With --compensate the radii are corrected, loop by loop, so that the
    lumen prints as designed, and -o writes the vessels to hatch.

    \b
    Examples:
      poliqi lab print dose tissue.vessels.json --profile illustrative --report dose.html
      poliqi lab print dose tissue.vessels.json --profile mine.toml --threshold 0.7 --compensate 2 \\
          -o compensated.vessels.json
    """
)
@click.argument("vessels", type=PATH)
@click.option("--profile", required=True, metavar="FILE.toml|NAME", help="Machine and material, or an example.")
@click.option("--mode", type=click.Choice(("solid", "wall", "lumen")), help="What is lit.")
@click.option("--hatch", type=float, metavar="UM", help="Distance between lines (default: the profile's).")
@click.option("--layer", type=float, metavar="UM", help="Distance between layers (default: the profile's).")
@click.option("--wall", type=float, metavar="UM", help="Thickness of walls, with --mode wall (default: 5).")
@click.option("--power", type=float, metavar="MW", help="At the sample (default: the profile's).")
@click.option("--speed", type=float, metavar="MM_S", help="Of the focus (default: the profile's).")
@click.option("--threshold", type=float, metavar="PART", help="Dose that acts, as a part of that within a solid.")
@click.option("--region", metavar="X0,Y0,Z0,X1,Y1,Z1", help="Box (um) in which the dose is calculated.")
@click.option("--around", type=int, metavar="SEGMENT", help="Or around a segment (default: of median radius).")
@click.option("--compensate", type=click.IntRange(1, 20), metavar="LOOPS", help="Correct the radii.")
@click.option("--allow-ripple", type=float, metavar="PERCENT", help="Print a dose more uneven than 10 %.")
@outputs_options
def command(**options: Any) -> None:
    """Read, simulate, write, print."""
    from poliqi.lab.print.dose.page import cautions_of, dose_page, facts_of
    from poliqi.lab.print.dose.study import dose_study
    from poliqi.lab.print.dose.written import COMPENSATION, check_design, written_cautions
    from poliqi.lab.print.vesselfile import read_vessels, vessels_bytes
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.print_profile_toml import profile_digest, read_profile

    outputs = outputs_of(options)
    path: Path = options.pop("vessels")
    if outputs.output is not None and options["compensate"] is None:
        raise ConfigError(
            "-o writes compensated vessels: say --compensate LOOPS; for numbers use --json or --report"
        )
    reads = [Read("vessels", (path,), is_simulated=True)]
    if Path(options["profile"]).is_file():
        reads.append(Read("profile", (Path(options["profile"]),)))
    profile = read_profile(options["profile"])
    vessels = read_vessels(path)
    if options["compensate"] is not None:
        check_design(vessels.made, str(path))
    settings = _settings(options, profile)
    exposure = _exposure(options, profile, settings, vessels)
    more = written_cautions(vessels.made, '"designed" means written here')
    if options["threshold"] is None:
        speed = profile.scanner.speed_mm_s if settings.speed_mm_s is None else settings.speed_mm_s
        more += profile.scaled(exposure.power_mw, speed, settings.hatch_um, settings.layer_um)
    box = _region(options, vessels, exposure)
    study = dose_study(
        vessels.domain,
        vessels.network,
        exposure,
        box,
        loops=options["compensate"] or 0,
        progress=_progress(),
        said=tell,
    )
    record = _record(study, profile, vessels, profile_digest(options["profile"]))
    files: dict[str, bytes] = {}
    if study.compensation is not None:
        made = {**vessels.made, COMPENSATION: {**record, "vessels_blake3": vessels.digest}}
        files["compensated.vessels.json"] = vessels_bytes(study.written, vessels.domain, made)
    lines = [f"{label}: {words}" for label, words in facts_of(study)]
    deliver(
        outputs,
        Result(
            record,
            [*lines, *(f"caution: {one}" for one in cautions_of(study, profile, more))],
            dose_page(study, profile, path.name, more),
            files,
            True,
        ),
        Filing(outputs.store, outputs.tenant, reads),
        program=_PROGRAM,
        title=f"Dose of {path.name} with {profile.name}",
        parameters={
            **options,
            "profile": Path(options["profile"]).name,
            "profile_blake3": record["profile_blake3"],
        },
        keywords=("multiphoton printing", "dose", "simulation"),
    )


def _settings(options: dict[str, Any], profile: Profile) -> HatchSettings:
    from poliqi.lab.print.hatch.settings import Mode, settings_for

    for name, most in (("power", profile.laser.max_power_mw), ("speed", profile.scanner.max_speed_mm_s)):
        value = options[name]
        if value is not None and not 0 < value <= most:
            raise ConfigError(f"--{name} {value:g}: above 0 and at most {most:g}, the profile's largest")
    settings = settings_for(
        profile,
        None if options["mode"] is None else Mode(options["mode"]),
        hatch_um=options["hatch"],
        layer_um=options["layer"],
        wall_um=options["wall"],
        power_mw=options["power"],
        speed_mm_s=options["speed"],
    )
    if options["wall"] is not None and settings.mode is not Mode.WALL:
        raise ConfigError("--wall belongs to --mode wall; leave one of them out")
    return settings


def _exposure(options: dict[str, Any], profile: Profile, settings: HatchSettings, vessels: Vessels) -> Exposure:
    from poliqi.lab.print.dose.exposure import exposure_of
    from poliqi.lab.print.focus import MOST_RIPPLE, WHOLE_RIPPLE

    allowed = options["allow_ripple"]
    if allowed is not None and not 0 < allowed <= 100 * WHOLE_RIPPLE:
        raise ConfigError(f"--allow-ripple {allowed:g}: above 0 and at most {100 * WHOLE_RIPPLE:g} percent")
    return exposure_of(
        profile,
        settings,
        vessels.domain.bounds_um,
        threshold=options["threshold"],
        most_ripple=MOST_RIPPLE if allowed is None else allowed / 100,
    )


def _region(options: dict[str, Any], vessels: Vessels, exposure: Exposure) -> NDArray[np.float64]:
    import numpy as np

    from poliqi.lab.print.dose.study import around_segment

    text: str | None = options["region"]
    if text is None:
        return around_segment(vessels.network, exposure, options["around"])
    if options["around"] is not None:
        raise ConfigError("--region and --around name two regions; leave one of them out")
    try:
        numbers = [float(one) for one in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 6:
        raise ConfigError(f"--region {text!a:.80}: give six numbers in um, x0,y0,z0,x1,y1,z1")
    return np.array(numbers).reshape(2, 3)


def _record(study: DoseStudy, profile: Profile, vessels: Vessels, digest: str) -> dict[str, Any]:
    from dataclasses import asdict

    from poliqi.lab.print.dose.limits import even_power_mw, least_radius_um, least_wall_um
    from poliqi.lab.print.focus import ripple_together

    one, found = study.exposure, study.compensation
    record: dict[str, Any] = {
        "program": _PROGRAM,
        "simulated": True,
        "vessels_blake3": vessels.digest,
        "profile": profile.name,
        "profile_blake3": digest,
        "mode": str(one.mode),
        "hatch_um": one.hatch_um,
        "layer_um": one.layer_um,
        "w_xy_um": one.w_xy_um,
        "w_z_um": one.w_z_um,
        "threshold": one.threshold,
        "power_mw": one.power_mw,
        "ripple": list(ripple_together(one.hatch_um, one.layer_um, one.w_xy_um, one.w_z_um)),
        "least_wall_um": list(least_wall_um(one)),
        "least_radius_um": list(least_radius_um(one)),
        "power_for_walls_in_place_mw": even_power_mw(one),
        "surface": [asdict(row) for row in study.rows],
        "designed_um3": study.designed_um3,
        "open_um3": study.open_um3,
    }
    if found is not None:
        moved = found.moved_um(study.design)
        record |= {
            "rmse_um_by_loop": list(found.rmse_um),
            "surface_compensated": [asdict(row) for row in study.rows_after],
            "open_compensated_um3": study.open_after_um3,
            "radius_moved_um": [float(moved.min()), float(moved.max())],
            "held": found.held,
            "settled": found.is_settled,
        }
    return record


def _progress() -> Callable[[int, int], None]:
    """A line a second on standard error, where the work is long."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT_S:
            last = time.monotonic()
            click.echo(f"dose: {done} of {total}", err=True)

    return progress
