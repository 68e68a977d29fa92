"""A hatched job in words, JSON and pictures: numbers, some layers with their vectors, where its time goes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.lab.onepage import BLUE, GREEN, GREY, ORANGE, Page, Panel
from poliqi.lab.print.focus import MOST_RIPPLE, ripple_together
from poliqi.lab.print.hatch.duration import time_cautions
from poliqi.lab.print.hatch.settings import HatchSettings, Mode, Order
from poliqi.lab.print.hatch.tiling import Part
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from poliqi.lab.print.hatch.slicing import Prepared, Sliced

__all__ = ["cautions_of", "slice_lines", "slice_page", "slice_record"]

_MOST_DRAWN: Final = 40_000
_WINDOW_PITCHES: Final = 100
_DOUBTFUL: Final = 0.02
_UNEVEN: Final = 1e-3
_SLACK: Final = 1e-9
_TIMES: Final = (
    ("lit", "lit_s", ORANGE),
    ("dark", "dark_s", GREY),
    ("jumps", "jump_s", "#9aa7b3"),
    ("turns", "turn_s", BLUE),
    ("layers", "layer_s", GREEN),
    ("tiles", "tile_s", "#7d4fa8"),
)


def slice_record(sliced: Sliced) -> dict[str, Any]:
    """The job as JSON's values."""
    prepared, plan, expected = sliced.prepared, sliced.prepared.plan, sliced.expected
    return {
        "mode": str(prepared.settings.mode),
        "settings": prepared.settings.record,
        "profile": prepared.profile.name,
        "power_mw": prepared.power_mw,
        "speed_mm_s": prepared.speed_mm_s,
        "ripple": dict(zip(("lines", "layers", "together"), _ripple(prepared), strict=True)),
        "layers": plan.layers,
        "layers_lit": sliced.lit_layers,
        "tiles": list(plan.grid),
        "tile_moves": sliced.moves,
        "blocks": plan.blocks,
        "direction": "up" if plan.is_up else "down",
        "vectors": sliced.vectors,
        "lines": sliced.sums.lines,
        "shutter_switches": 2 * sliced.vectors,
        "length_mm": sliced.sums.length_nm * 1e-6,
        "short_left_out": sliced.sums.short,
        "short_left_out_mm": sliced.sums.short_nm * 1e-6,
        "volume_um3": sliced.lit_um3,
        "volume_twice_um3": sliced.twice_um3,
        "volume_expected_um3": None if expected is None else expected.um3,
        "volume_expected_sigma_um3": None if expected is None else expected.sigma_um3,
        "duration": sliced.duration.record,
        "job_bytes": sliced.job_bytes,
        "job_blake3": sliced.blake3,
        "seam_cuts": [
            {"segment": cut.segment, "diameter_um": cut.diameter_um, "point_um": list(cut.point_um)}
            for cut in prepared.cuts
        ],
        "simulated": True,
    }


def slice_lines(sliced: Sliced, name: str) -> list[str]:
    """The job in a few lines for people."""
    plan, time = sliced.prepared.plan, sliced.duration
    prepared, settings, sums = sliced.prepared, sliced.prepared.settings, sliced.sums
    grid = f"{plan.grid[0]} x {plan.grid[1]} tiles" if plan.tiles > 1 else "one tile"
    parts = ", ".join(f"{label} {_words(getattr(time, name))}" for label, name, _ in _TIMES)
    order = f"um apart, {grid}, {'bottom' if plan.is_up else 'top'} first"
    switched = f"light switched {2 * sliced.vectors:,}"
    lines = [
        f"{name}: {settings.mode}, {plan.layers} layers of {plan.layer_um:g} um, lines {plan.hatch_um:g} {order}",
        f"{sliced.vectors:,} vectors on {sums.lines:,} lines, {sums.length_nm * 1e-9:,.2f} m; {switched} times",
        _volume_line(sliced),
        _ripple_line(prepared),
        f"time at {sliced.prepared.speed_mm_s:g} mm/s: {_words(time.total_s)} ({parts})",
    ]
    if sliced.job_bytes:
        lines.append(f"job: {sliced.job_bytes / 1e6:,.1f} MB, BLAKE3 {sliced.blake3[:16]}...")
    return lines


def _ripple(prepared: Prepared) -> tuple[float, float, float]:
    one = prepared.profile
    return ripple_together(prepared.plan.hatch_um, prepared.plan.layer_um, one.w_xy_um, one.w_z_um)


def _ripple_line(prepared: Prepared) -> str:
    lines, layers, together = (100 * one for one in _ripple(prepared))
    return f"dose ripples by {lines:.2g} % between lines, {layers:.2g} % between layers, {together:.2g} % together"


def _volume_line(sliced: Sliced) -> str:
    told = f"volume by lines {sliced.lit_um3 * 1e-9:.6f} mm3"
    if sliced.twice_um3:
        told += f" and {sliced.twice_um3 * 1e-9:.6f} mm3 twice (overlaps)"
    if sliced.expected is None or sliced.deviation is None:
        return told
    sigma = 100 * sliced.expected.sigma_um3 / sliced.expected.um3
    known = f"without lines {sliced.expected.um3 * 1e-9:.6f} mm3 +- {sigma:.2g} %"
    return f"{told}; {known} ({100 * sliced.deviation:+.2g} %)"


def _words(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def cautions_of(sliced: Sliced) -> list[str]:
    """What somebody has to know before printing."""
    prepared, plan = sliced.prepared, sliced.prepared.plan
    settings = prepared.settings
    said = [*_material(settings, prepared), *_evenness(prepared), *_seams(prepared)]
    if settings.merge_gap_um > 0:
        said.append(f"gaps shorter than {settings.merge_gap_um:g} um are lit too: lumens lose their edges there")
    if sliced.sums.short:
        lost = 100 * sliced.sums.short_nm / max(1, sliced.sums.length_nm)
        said.append(f"{sliced.sums.short:,} vectors below {settings.min_length_um:g} um are left out, {lost:.2g} %")
    if sliced.deviation is not None and abs(sliced.deviation) > _DOUBTFUL:
        said.append(
            f"the hatched volume is {100 * sliced.deviation:+.2g} % off: the pitch is coarse for these vessels"
        )
    if sliced.lit_layers < plan.layers:
        said.append(f"{plan.layers - sliced.lit_layers} of {plan.layers} layers are empty")
    return [*said, *prepared.profile.cautions, *_assumed(prepared)]


def _evenness(prepared: Prepared) -> list[str]:
    """A dose that ripples more than 10 %, and layers that do not add up to the height."""
    plan, said = prepared.plan, list[str]()
    together = _ripple(prepared)[2]
    if together > MOST_RIPPLE:
        said.append(f"the dose ripples by {100 * together:.3g} %, above {100 * MOST_RIPPLE:g} %: walls print rough")
    height = float(plan.bounds_um[1, 2] - plan.bounds_um[0, 2])
    planes = min(plan.layers, max(1, math.ceil(height / plan.layer_um - 0.5 - _SLACK)))  # below the domain's top
    printed = planes * plan.layer_um
    if abs(printed / height - 1) > _UNEVEN:
        said.append(
            f"{planes} layers of {plan.layer_um:g} um are {printed:.6g} um, and the domain is {height:.6g} um "
            f"high ({100 * (printed / height - 1):+.2g} %): take a layer that divides the height"
        )
    return said


def _assumed(prepared: Prepared) -> list[str]:
    """Figures of the job that rest on what the profile assumes of the machine."""
    profile, settings = prepared.profile, prepared.settings
    said = time_cautions(profile)
    said += profile.scaled(prepared.power_mw, prepared.speed_mm_s, settings.hatch_um, settings.layer_um)
    if settings.power_mw is None:
        said += profile.assumed("laser", "the power")
    if prepared.plan.tiles > 1:
        said += profile.assumed("objective", "the division into tiles")
    return said


def _material(settings: HatchSettings, prepared: Prepared) -> list[str]:
    degrades = prepared.profile.material.action is Action.DEGRADE
    if degrades and settings.mode is not Mode.LUMEN:
        return [f"light degrades {prepared.profile.material.name}: mode {settings.mode} removes what is to stay"]
    if not degrades and settings.mode is Mode.LUMEN:
        return [f"light solidifies {prepared.profile.material.name}: mode lumen prints plugs, not vessels"]
    return []


def _seams(prepared: Prepared) -> list[str]:
    plan, said = prepared.plan, list[str]()
    if plan.tiles == 1:
        return said
    if plan.overlap_um == 0:
        said.append("tiles do not overlap: what the stage is off by opens gaps at seams")
    if prepared.cuts:
        cut = prepared.cuts[0]
        x, y, z = cut.point_um
        said.append(
            f"seams cut {len({one.segment for one in prepared.cuts})} vessels narrower than the overlap, which is "
            f"lit twice, the narrowest {cut.diameter_um:.3g} um at ({x:.1f}, {y:.1f}, {z:.1f}) um"
        )
    lens = prepared.profile.objective
    height = plan.block_layers * plan.layer_um
    reach = height * float(np.tan(np.arcsin(lens.na / lens.immersion_index)))
    if plan.order is Order.TILE and reach > plan.overlap_um:
        said.append(
            f"tiles are finished {height:.4g} um high one after the other: light within {reach:.3g} um of a seam "
            "goes through what is done (--order layer, or lower blocks)"
        )
    return said


def slice_page(sliced: Sliced, title: str, cautions: Sequence[str]) -> Page:
    """Three layers with their vectors, a corner of one closer, and the time."""
    plan = sliced.prepared.plan
    chosen = sorted({int(at * (plan.layers - 1)) for at in (0.25, 0.5, 0.75)})
    panels = [Panel(f"Layer {layer}", _drawer(sliced.prepared, layer, None)) for layer in chosen]
    network = sliced.prepared.network
    narrowest = int(np.argmin(network.radius_um))
    x, y, z = (0.5 * (network.start_um[narrowest] + network.end_um[narrowest])).tolist()
    half = _WINDOW_PITCHES * plan.hatch_um / 2
    layer = min(max(int((z - plan.bounds_um[0, 2]) / plan.layer_um), 0), plan.layers - 1)
    near = _drawer(sliced.prepared, layer, (x - half, y - half, x + half, y + half))
    panels.append(Panel(f"Layer {layer} at the narrowest lumen, {2 * network.radius_um[narrowest]:.3g} um", near))
    panels.append(Panel("Where the time goes", lambda axes: _draw_time(axes, sliced), is_wide=True))
    facts = [
        (label, text) for label, _, text in (line.partition(": ") for line in slice_lines(sliced, title)) if text
    ]
    vectors = next(line for line in slice_lines(sliced, title) if " vectors on " in line)
    return Page(
        f"Print job: {title}",
        "Vectors of the focus; colours are tiles",
        [*facts, ("vectors", vectors), ("volume", _volume_line(sliced))],
        panels,
        cautions,
        simulated=True,
    )


def _drawer(prepared: Prepared, layer: int, close: tuple[float, float, float, float] | None) -> Any:
    """Draws the vectors of a layer, each tile in its colour; at most 40,000, evenly picked."""
    plan = prepared.plan

    def draw(axes: Any) -> None:
        from matplotlib.collections import LineCollection

        slicer = prepared.slicer()
        for tile in range(plan.tiles):
            (one,) = slicer.part(Part(0, tile, range(layer, layer + 1)))
            ends = one.vectors.reshape(-1, 2, 2) / 1000.0
            ends = _picked(ends, close, _MOST_DRAWN // plan.tiles + 1)
            colour = (BLUE, ORANGE, GREEN, "#7d4fa8")[int(plan.cells[tile, 0] % 2 + 2 * (plan.cells[tile, 1] % 2))]
            axes.add_collection(LineCollection(list(ends), colors=colour, linewidths=0.9 if close else 0.3))
        low, high = plan.bounds_um[:, :2]
        least_x, least_y, most_x, most_y = close or (low[0], low[1], high[0], high[1])
        axes.set_xlim(least_x, most_x)
        axes.set_ylim(least_y, most_y)
        axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.set_xlabel(f"x in um, z = {plan.z_um(np.array([layer]))[0]:.4g} um")
        axes.set_ylabel("y in um")
        axes.set_rasterized(True)

    return draw


def _picked(
    ends: NDArray[np.float64], close: tuple[float, float, float, float] | None, most: int
) -> NDArray[np.float64]:
    if close is not None:
        low, high = ends.min(axis=1), ends.max(axis=1)
        inside = (low[:, 0] < close[2]) & (high[:, 0] > close[0]) & (low[:, 1] < close[3]) & (high[:, 1] > close[1])
        ends = ends[inside]
    return ends[:: max(1, -(-len(ends) // most))]


def _draw_time(axes: Any, sliced: Sliced) -> None:
    left = 0.0
    for label, name, colour in _TIMES:
        hours = getattr(sliced.duration, name) / 3600
        axes.barh(["job"], [hours], left=left, color=colour, label=f"{label} {_words(3600 * hours)}")
        left += hours
    axes.set_ylim(-1.2, 1.2)
    axes.set_xlabel(f"hours, {_words(sliced.duration.total_s)} in all")
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.18))
