"""What is refused before a single line is computed, with numbers and places."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.dose.walls import WallLimit, wall_limit
from poliqi.lab.print.focus import check_ripple
from poliqi.lab.print.hatch.scan import LAYERS_TOGETHER
from poliqi.lab.print.hatch.settings import HatchSettings, Mode
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.hatch.tiling import Plan
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.profile import Profile

__all__ = [
    "Bound",
    "Cut",
    "bound_of",
    "check_budget",
    "check_cuts",
    "check_machine",
    "check_vessels",
    "cuts_of",
    "dose_limit",
    "light_of",
]

_FARTHEST_UM: Final = 2_000_000.0
_SAMPLES: Final = 8
_MARGIN: Final = 1.25
_VECTOR_BYTES: Final = 16
_RECORD_BYTES: Final = 64
_MET_BYTES: Final = 64  # of an interval while layers are worked on, with sorting and vectors
_LINE_BYTES: Final = 160
_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class Bound:
    """At most so many vectors, bytes of the job, and bytes of memory beside the program's own."""

    vectors: int
    job_bytes: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A vessel narrower than the overlap that meets what is lit twice at a seam: segment, diameter, place."""

    segment: int
    diameter_um: float
    point_um: tuple[float, float, float]


def light_of(profile: Profile, settings: HatchSettings) -> tuple[float, float]:
    """Power in mW and speed in mm/s of a job: the settings', else the profile's. ConfigError above its limits."""
    power = profile.laser.power_mw if settings.power_mw is None else settings.power_mw
    speed = profile.scanner.speed_mm_s if settings.speed_mm_s is None else settings.speed_mm_s
    if power > profile.laser.max_power_mw:
        raise ConfigError(f"hatch: {power:g} mW; {profile.name!r} gives at most {profile.laser.max_power_mw:g} mW")
    if speed > profile.scanner.max_speed_mm_s:
        most = profile.scanner.max_speed_mm_s
        raise ConfigError(f"hatch: {speed:g} mm/s; {profile.name!r} scans at most {most:g} mm/s")
    return power, speed


def dose_limit(profile: Profile, settings: HatchSettings) -> WallLimit:
    """The thinnest walls that a job's dose prints. Raises ConfigError where it does not reach the threshold."""
    threshold = profile.threshold_for(settings.power_mw, settings.speed_mm_s, settings.hatch_um, settings.layer_um)
    return wall_limit(threshold, profile.material.action, profile.w_xy_um, profile.w_z_um)


def check_machine(plan: Plan, profile: Profile, settings: HatchSettings) -> None:
    """Refuse (ConfigError) a dose too uneven or too low, a part that the objective cannot reach through,
    coordinates beyond nanometres.
    """
    check_ripple(plan.hatch_um, plan.layer_um, profile.w_xy_um, profile.w_z_um, settings.most_ripple)
    dose_limit(profile, settings)
    low, high = plan.bounds_um
    height, most = float(high[2] - low[2]), profile.objective.working_distance_um
    if height > most:
        raise ConfigError(
            f"hatch: the domain is {height:g} um high, above the working distance {most:g} um of {profile.name!r}; "
            "lay it flat, divide it, or take another objective"
        )
    if np.abs(plan.bounds_um).max() > _FARTHEST_UM:
        raise ConfigError(f"hatch: the domain reaches beyond {_FARTHEST_UM:g} um from the origin; move it there")


def check_vessels(network: Network, profile: Profile, settings: HatchSettings) -> None:
    """Refuse lumens too narrow for the lines (DataRefused), walls too thin for lines or dose (ConfigError)."""
    at = int(np.argmin(network.radius_um))
    narrowest = 2 * float(network.radius_um[at])
    for name, pitch in (("hatch_um", settings.hatch_um), ("layer_um", settings.layer_um)):
        least = settings.least_lumen_pitches * pitch
        if narrowest < least:
            many = int((2 * network.radius_um < least).sum())
            place = 0.5 * (network.start_um[at] + network.end_um[at])
            raise DataRefused(
                f"hatch: segment {at} at {_place(place)} um has a lumen of {narrowest:.4g} um, below "
                f"{settings.least_lumen_pitches:g} x {name} = {least:.4g} um, as have {many} in all; lower the "
                "pitch or grow wider vessels"
            )
    if settings.mode in (Mode.WALL, Mode.SHELL):
        least = max(profile.material.min_wall_um, settings.hatch_um, settings.layer_um)
        for name, value in (("wall_um", settings.wall_um), ("skin_um", settings.skin_um)):
            if value < least and not (name == "skin_um" and settings.mode is Mode.WALL):
                raise ConfigError(
                    f"hatch: {name} {value:g} um is below {least:g} um, the least of hatch, layer and the "
                    "profile's [material] min_wall_um; make it thicker"
                )
        if profile.material.action is Action.SOLIDIFY:
            _check_dose(network, profile, settings)


def _check_dose(network: Network, profile: Profile, settings: HatchSettings) -> None:
    """Refuse (ConfigError) walls and skin too thin for their own dose to reach the threshold."""
    limit = dose_limit(profile, settings)
    asked = [("wall_um", settings.wall_um, limit.round_um(network))]
    if settings.mode is Mode.SHELL:
        asked.append(("skin_um", settings.skin_um, max(limit.lying_um, limit.upright_um)))
    for name, value, least in asked:
        if value < least:
            raise ConfigError(
                f"hatch: {name} {value:g} um is below {least:.3g} um, the least that the dose prints at threshold "
                f"{limit.threshold:.2g} (lying walls are blurred along the light); make it thicker"
            )


def cuts_of(network: Network, plan: Plan) -> list[Cut]:
    """Vessels narrower than the overlap that reach into it, the narrowest first.

    Lit twice is what lies within half of the overlap on either side of a seam.
    """
    found: list[Cut] = []
    narrow = np.flatnonzero(2 * network.radius_um < plan.overlap_um)
    start, end, radius = network.start_um[narrow], network.end_um[narrow], network.radius_um[narrow]
    reach = radius + plan.overlap_um / 2
    for axis in (0, 1):
        for seam in plan.seams_um(axis):
            for shift in {-0.5 * plan.stagger_um, 0.5 * plan.stagger_um}:
                a, b = start[:, axis] - seam - shift, end[:, axis] - seam - shift
                for at in np.flatnonzero((np.minimum(a, b) < reach) & (np.maximum(a, b) > -reach)):
                    way = float(a[at] - b[at])
                    t = min(max(float(a[at]) / way, 0.0), 1.0) if way else 0.0
                    x, y, z = (start[at] + t * (end[at] - start[at])).tolist()
                    found.append(Cut(int(narrow[at]), 2 * float(radius[at]), (x, y, z)))
    return sorted(found, key=lambda cut: (cut.diameter_um, cut.segment))


def check_cuts(cuts: list[Cut], plan: Plan) -> None:
    """Refuse (DataRefused) cut vessels, with the places of the narrowest."""
    if not cuts:
        return
    places = "; ".join(
        f"segment {cut.segment}, {cut.diameter_um:.3g} um, at {_place(cut.point_um)}" for cut in cuts[:_TOLD]
    )
    raise DataRefused(
        f"hatch: seams of tiles cut {len({cut.segment for cut in cuts})} vessels narrower than their overlap of "
        f"{plan.overlap_um:g} um, which is lit twice, such as {places} um; lower the overlap, set other tiles, or "
        "allow it (--cut-vessels)"
    )


def bound_of(domain: Domain, network: Network, settings: HatchSettings, plan: Plan) -> Bound:
    """What a job takes at most, in milliseconds.

    A convex body of area A and circumference P, seen along the lines, meets at most A + P/2 + 1 points of a lattice
    of unit cells (M. Nosarzewska, Coll. Math. 1 (1948) 305), so a capsule is met by at most so many lines, and each
    adds one vector at most (a wall one more). Intervals of the domain itself are counted on eight layers of either
    direction, and a quarter added. Lines cut by seams count for each tile.
    """
    radii = [network.radius_um] if settings.mode in (Mode.SOLID, Mode.LUMEN) else []
    radii = radii or [network.radius_um, network.radius_um + settings.wall_um]
    met = np.zeros(len(network.radius_um))
    for axis in (0, 1):
        for radius in radii:
            met += _crossings(network, radius, axis, settings.hatch_um, 2 * settings.layer_um)
    grid = plan.grid[0] * plan.grid[1]
    pieces = _domain_pieces(domain, plan) if settings.mode is not Mode.LUMEN else 0.0
    if settings.mode is Mode.SHELL:
        across = max(1, int(max(plan.bounds_um[1, :2] - plan.bounds_um[0, :2]) / settings.lattice_period_um) + 1)
        pieces *= 3 + across
    cut = 1 + 0.5 * (plan.grid[0] + plan.grid[1] - 2) / max(1, plan.grid[0] * plan.grid[1])
    seams = plan.layers * max(plan.lines) * (max(plan.grid) - 1)
    vectors = int(met.sum() * min(cut * 2, grid) + pieces + seams)
    bytes_ = vectors * _VECTOR_BYTES + plan.layers * grid * _RECORD_BYTES
    return Bound(vectors, bytes_, _memory(network, settings, plan, met, pieces))


def _crossings(
    network: Network, radius: NDArray[np.float64], axis: int, hatch: float, rise: float
) -> NDArray[np.float64]:
    """At most so many lines along `axis`, `hatch` apart in planes `rise` apart, meet each capsule."""
    way = np.abs(network.end_um - network.start_um)
    seen = np.hypot(way[:, 1 - axis], way[:, 2])
    area = (2 * radius * seen + np.pi * radius**2) / (hatch * rise)
    half_way_round = (way[:, 1 - axis] + 2 * radius) / hatch + (way[:, 2] + 2 * radius) / rise
    return area + half_way_round + 1


def _domain_pieces(domain: Domain, plan: Plan) -> float:
    """Intervals of the domain on all lines of all layers, from a few layers, with a margin."""
    some = np.unique(np.linspace(0, plan.layers - 1, 2 * _SAMPLES).astype(np.int64))
    total = 0
    for layer in some.tolist():
        axis = layer % 2
        across = plan.across_um(axis)
        spans = domain.spans(axis, across, np.full(len(across), plan.z_um(np.array([layer]))[0]))
        total += len(spans.start_um)
    return _MARGIN * total / len(some) * plan.layers + max(plan.lines)


def _memory(network: Network, settings: HatchSettings, plan: Plan, met: NDArray[np.float64], pieces: float) -> int:
    """Of the fullest group of layers, five times: two are worked on, and three wait at most."""
    low = np.minimum(network.start_um[:, 2], network.end_um[:, 2]) - network.radius_um - settings.wall_of_mode_um
    high = np.maximum(network.start_um[:, 2], network.end_um[:, 2]) + network.radius_um + settings.wall_of_mode_um
    base, height = plan.bounds_um[0, 2], plan.layer_um
    first = np.clip(np.floor((low - base) / height), 0, plan.layers - 1).astype(np.int64)
    last = np.clip(np.ceil((high - base) / height), 0, plan.layers - 1).astype(np.int64)
    each = met / (last - first + 1)
    steps = np.bincount(first, each, plan.layers + 1) - np.bincount(last + 1, each, plan.layers + 1)
    fullest = float(np.cumsum(steps).max())
    one = _MET_BYTES * (2 * fullest + pieces / plan.layers) + _LINE_BYTES * max(plan.lines)
    return int(5 * min(LAYERS_TOGETHER, plan.layers) * one) + 200 * len(network.radius_um)


def check_budget(bound: Bound, most_bytes: int, most_memory: int) -> None:
    """Refuse (ConfigError) a job above either budget."""
    for what, value, most in (("job", bound.job_bytes, most_bytes), ("memory", bound.memory_bytes, most_memory)):
        if value > most:
            factor = math.ceil(10 * math.sqrt(value / most)) / 10
            raise ConfigError(
                f"hatch: the {what} takes up to {value / 1e6:,.0f} MB ({bound.vectors:,} vectors), above the "
                f"budget of {most / 1e6:,.0f} MB; take pitches {factor:g} times as large, print a part, or raise "
                "the budget"
            )


def _place(point: NDArray[np.float64] | tuple[float, float, float]) -> str:
    return f"({point[0]:.1f}, {point[1]:.1f}, {point[2]:.1f})"
