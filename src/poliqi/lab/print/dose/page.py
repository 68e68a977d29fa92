"""Pictures of a dose study: sections of the dose with the designed and the printed lumen, errors, loops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.lab.onepage import BLUE, GREEN, GREY, ORANGE, Page, Panel
from poliqi.lab.print.dose.capsulelines import capsule_table
from poliqi.lab.print.dose.field import DoseField
from poliqi.lab.print.dose.limits import even_power_mw, least_radius_um, least_wall_um
from poliqi.lab.print.focus import ripple_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from poliqi.lab.print.dose.study import DoseStudy
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.profile import Profile

__all__ = ["cautions_of", "dose_page", "facts_of"]

_TABLE: Final = ("rays", "rmse (um)", "mean (um)", "worst (um)", "closed", "open")


def facts_of(study: DoseStudy) -> list[tuple[str, str]]:
    """Labels and words."""
    one, box = study.exposure, study.field.grid
    wall, radius = least_wall_um(one), least_radius_um(one)
    lines, layers, together = ripple_together(one.hatch_um, one.layer_um, one.w_xy_um, one.w_z_um)
    ripple = (
        f"{100 * lines:.2g} % between lines {one.hatch_um:g} um apart, {100 * layers:.2g} % between layers "
        f"{one.layer_um:g} um apart, {100 * together:.2g} % together"
    )
    facts = [
        ("focus", f"{one.w_xy_um:.3g} um across, {one.w_z_um:.3g} um along the light (1/e of I^2)"),
        ("ripple", ripple),
        ("threshold", f"{one.threshold:.3g} of the dose within a solid"),
        ("thinnest wall", f"{wall[0]:.3g} um upright, {wall[1]:.3g} um lying"),
        ("least radius", f"{radius[0]:.3g} um along the light, {radius[1]:.3g} um across it"),
        ("surface", _surface(study)),
        ("region", f"{math.prod(box.shape):,} voxels of {box.step_um[0]:.3g} x {box.step_um[2]:.3g} um"),
        ("lumen there", _volume(study)),
        ("walls in place at", f"{even_power_mw(one):.3g} mW"),
    ]
    if study.compensation is not None:
        moved = study.compensation.moved_um(study.design)
        facts.append(
            ("radii moved by", f"{moved.min():+.3f} to {moved.max():+.3f} um, {moved.mean():+.3f} on the mean")
        )
    return facts


def _surface(study: DoseStudy) -> str:
    row = study.rows[0]
    words = f"rmse {row.rmse_um:.3g} um, mean {row.mean_um:+.3g} um, worst {row.worst_um:.3g} um"
    if study.compensation is not None:
        words += "; rmse by loop " + ", ".join(f"{one:.3g}" for one in study.compensation.rmse_um) + " um"
    return words


def _volume(study: DoseStudy) -> str:
    if study.designed_um3 <= 0:
        return "none in the region"
    part = study.open_um3 / study.designed_um3
    words = f"{study.open_um3:.4g} um3 open of {study.designed_um3:.4g} designed ({part:.3f})"
    if study.open_after_um3 is not None:
        words += f", {study.open_after_um3 / study.designed_um3:.3f} as compensated"
    return words


def cautions_of(study: DoseStudy, profile: Profile, more: Sequence[str] = ()) -> list[str]:
    """What a reader has to know; `more` is known of what went in."""
    said, rows = [*profile.cautions, *more], study.rows_after or study.rows
    if study.exposure.power_mw == profile.laser.power_mw:
        said += profile.assumed("laser", "the power at which walls stay in place")
    field = profile.objective.side_um
    if max(study.size_um) > field:
        said.append(
            f"the domain of {study.size_um[0]:.4g} x {study.size_um[1]:.4g} um exceeds the field, {field:.4g} um: "
            "it is printed in tiles, whose overlaps are lit twice, and this dose knows nothing of them"
        )
    if rows[0].closed:
        said.append(f"{rows[0].closed} of {rows[0].rays} places print closed")
    if rows[0].open:
        said.append(f"{rows[0].open} of {rows[0].rays} places print without a wall")
    if study.off_edge:
        said.append(
            f"{study.off_edge} of {len(study.design.segments)} vessels come within the light's reach of the "
            "domain's edge; their surface is told as if the tissue went on"
        )
    if study.sampled < len(study.design.segments):
        said.append(f"the surface is told of {study.sampled} or fewer of {len(study.design.segments)} vessels")
    found = study.compensation
    if found is not None and found.is_settled:
        said.append("the last loop found nothing to gain: what is left is the shape of the focus")
    if found is not None and found.held:
        said.append(f"{found.held} vessels were not thickened as far as wanted: they would touch others")
    return said


def dose_page(study: DoseStudy, profile: Profile, name: str, more: Sequence[str] = ()) -> Page:
    """One page: sections of the region across and along, errors of the surface, errors by loop; `more` cautions."""
    panels = [
        Panel("Dose, upright section", lambda axes: _section(axes, study, study.field, study.design, 0)),
        Panel("Dose, lying section", lambda axes: _section(axes, study, study.field, study.design, 2)),
    ]
    if study.field_after is not None:
        field, written = study.field_after, study.written
        panels.append(Panel("As compensated", lambda axes: _section(axes, study, field, written, 0)))
        panels.append(Panel("Error of the surface by loop", lambda axes: _loops(axes, study)))
    panels.append(Panel("Error of the surface by place", lambda axes: _bars(axes, study)))
    table = [("place", *_TABLE)]
    for rows, tail in ((study.rows, ""), (study.rows_after, ", compensated")):
        table += [
            (
                one.name + tail,
                str(one.rays),
                f"{one.rmse_um:.3f}",
                f"{one.mean_um:+.3f}",
                f"{one.worst_um:.3f}",
                str(one.closed),
                str(one.open),
            )
            for one in rows
        ]
    return Page(
        f"Dose of {name}",
        f"profile {profile.name}, {study.exposure.mode}, {len(study.design.segments)} vessels",
        facts_of(study),
        panels,
        cautions_of(study, profile, more),
        table,
        simulated=True,
    )


def _section(axes: Any, study: DoseStudy, field: DoseField, written: Network, normal: int) -> None:
    """The dose in the plane through the region's middle, with what is designed, written and printed."""
    grid = field.grid
    across, up = [axis for axis in range(3) if axis != normal]
    at = grid.shape[2 - normal] // 2
    shown = np.take(field.values, at, axis=2 - normal)
    a, b = grid.places_um(across), grid.places_um(up)
    plane = float(grid.places_um(normal)[at])
    image = axes.imshow(
        shown, origin="lower", extent=(a[0], a[-1], b[0], b[-1]), cmap="Greys_r", vmin=0, vmax=1.3, aspect="equal"
    )
    axes.figure.colorbar(image, ax=axes, label="dose (mean within a solid)", shrink=0.8)
    if shown.min() < study.exposure.threshold < shown.max():
        axes.contour(a, b, shown, [study.exposure.threshold], colors=[ORANGE], linewidths=1.6)
    marks = [("printed", ORANGE)]
    drawn = [(study.design, BLUE, "designed")]
    if written is not study.design:
        drawn.append((written, GREEN, "written"))
    for network, colour, label in drawn:
        depth = _depth(network, normal, plane, a, b, across, up)
        if depth.min() < 0 < depth.max():
            axes.contour(a, b, depth, [0.0], colors=[colour], linewidths=1.0, linestyles="--")
        marks.append((label, colour))
    for label, colour in marks:
        axes.plot([], [], color=colour, label=label)
    axes.grid(visible=False)
    axes.set_xlabel(f"{'xyz'[across]} (um)")
    axes.set_ylabel(f"{'xyz'[up]} (um)")
    axes.legend(loc="upper right", fontsize=7)


def _depth(
    network: Network,
    normal: int,
    plane: float,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    across: int,
    up: int,
) -> NDArray[np.float64]:
    """Distance to the lumen in a plane, (b, a): below zero inside. Of the segments near the section alone."""
    table = capsule_table(network)
    one, two = table[:, :3], table[:, :3] + table[:, 3:6] * table[:, 6:7]
    low = np.minimum(one, two) - table[:, 7:8]
    high = np.maximum(one, two) + table[:, 7:8]
    near = (low[:, normal] <= plane) & (high[:, normal] >= plane)
    near &= (low[:, across] <= a[-1]) & (high[:, across] >= a[0]) & (low[:, up] <= b[-1]) & (high[:, up] >= b[0])
    places = np.empty((len(b), len(a), 3))
    places[..., normal] = plane
    places[..., across], places[..., up] = a[None, :], b[:, None]
    depth = np.full((len(b), len(a)), np.inf)
    for row in table[near]:
        away = places - row[:3]
        along = np.clip(away @ row[3:6], 0.0, row[6])
        depth = np.minimum(depth, np.linalg.norm(away - along[..., None] * row[3:6], axis=-1) - row[7])
    return np.where(np.isfinite(depth), depth, 1e9)


def _loops(axes: Any, study: DoseStudy) -> None:
    if study.compensation is None:
        return
    rmse = study.compensation.rmse_um
    axes.plot(range(len(rmse)), rmse, "o-", color=BLUE)
    axes.set_xticks(range(len(rmse)))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("loop")
    axes.set_ylabel("rmse of the surface (um)")


def _bars(axes: Any, study: DoseStudy) -> None:
    rows = {one.name: one for one in study.rows_after}
    at = np.arange(len(study.rows))
    width = 0.4 if rows else 0.8
    axes.barh(at, [one.rmse_um for one in study.rows], width, color=GREY, label="as designed")
    if rows:
        axes.barh(
            at + width, [rows[one.name].rmse_um for one in study.rows], width, color=BLUE, label="compensated"
        )
        axes.legend(fontsize=8)
    axes.set_yticks(at + (width / 2 if rows else 0), [one.name for one in study.rows])
    axes.invert_yaxis()
    axes.set_xlabel("rmse of the surface (um)")
