"""A job from vessels: refused before it begins where it cannot be, hatched, written, timed and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from poliqi.lab.print.hatch.duration import Clock, Duration, jump_limit_um
from poliqi.lab.print.hatch.jobformat import FORMAT, Header, Record
from poliqi.lab.print.hatch.jobwriter import JobWriter
from poliqi.lab.print.hatch.limits import (
    Bound,
    Cut,
    bound_of,
    check_budget,
    check_cuts,
    check_machine,
    check_vessels,
    cuts_of,
    light_of,
)
from poliqi.lab.print.hatch.scan import Layer, Slicer, Sums, scan
from poliqi.lab.print.hatch.settings import HatchSettings, Mode, Order
from poliqi.lab.print.hatch.tiling import Part, Plan, plan_of
from poliqi.lab.print.hatch.volume import Volume, lumen_volume

if TYPE_CHECKING:
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.profile import Profile

__all__ = ["MOST_JOB_BYTES", "MOST_MEMORY_BYTES", "Prepared", "Sliced", "estimate_job", "prepare", "slice_job"]

MOST_JOB_BYTES: Final = 8 << 30
MOST_MEMORY_BYTES: Final = 1 << 30
_PER_UM3: Final = 1e-3
"""um of a vector from its nm."""

Light = Callable[[Layer], tuple[float, float]]
"""Power in mW and speed in mm/s of a layer."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What may be printed: nothing speaks against it. `cuts` are vessels that seams cut, where that is allowed."""

    domain: Domain
    network: Network
    profile: Profile
    settings: HatchSettings
    plan: Plan
    power_mw: float
    speed_mm_s: float
    bound: Bound
    cuts: tuple[Cut, ...]

    def header(self, program: str, vessels_blake3: str) -> Header:
        """The beginning of the job's file."""
        plan = self.plan
        low = [int(one) for one in np.floor(1000 * plan.bounds_um[0]) - 1]
        high = [int(one) for one in np.ceil(1000 * plan.bounds_um[1]) + 1]
        side = int(np.ceil(1000 * plan.field_um)) + 2
        return Header(
            FORMAT,
            program,
            True,
            str(self.settings.mode),
            ((low[0], low[1], low[2]), (high[0], high[1], high[2])),
            (side, side),
            plan.blocks,
            plan.tiles,
            plan.layers,
            str(plan.order),
            "up" if plan.is_up else "down",
            float(plan.bounds_um[0, 2]),
            plan.layer_um,
            plan.hatch_um,
            self.settings.record,
            self.profile.record,
            vessels_blake3,
        )

    def slicer(self) -> Slicer:
        """What cuts it into layers."""
        jump = jump_limit_um(self.profile, self.speed_mm_s)
        return Slicer(self.domain, self.network, self.settings, self.plan, jump)


@dataclass(frozen=True, slots=True)
class Sliced:
    """A job that was hatched. Volumes in um^3: `lit_um3` is length x hatch x layer without overlaps, which stand in
    `twice_um3`; `expected` is the same volume found without lines, or None for a shell."""

    prepared: Prepared
    vectors: int
    sums: Sums
    duration: Duration
    moves: int
    lit_layers: int
    lit_um3: float
    twice_um3: float
    expected: Volume | None
    job_bytes: int
    blake3: str

    @property
    def deviation(self) -> float | None:
        """Of the hatched volume from the expected one, as a part of it."""
        return None if self.expected is None or not self.expected.um3 else self.lit_um3 / self.expected.um3 - 1.0


def prepare(
    domain: Domain,
    network: Network,
    profile: Profile,
    settings: HatchSettings,
    *,
    most_job_bytes: int = MOST_JOB_BYTES,
    most_memory_bytes: int = MOST_MEMORY_BYTES,
) -> Prepared:
    """Divide into layers, lines and tiles, and refuse what cannot be printed. Milliseconds to a second.

    Raises ConfigError (power, speed, dose, pitches, ripple, walls, tiles, height, budgets) or DataRefused (lumens,
    seams), with numbers and places.
    """
    power, speed = light_of(profile, settings)
    plan = plan_of(domain, profile, settings)
    check_machine(plan, profile, settings)
    check_vessels(network, profile, settings)
    cuts = cuts_of(network, plan)
    if not settings.cut_vessels:
        check_cuts(cuts, plan)
    bound = bound_of(domain, network, settings, plan)
    check_budget(bound, most_job_bytes, most_memory_bytes)
    return Prepared(domain, network, profile, settings, plan, power, speed, bound, tuple(cuts))


def slice_job(
    prepared: Prepared,
    file: BinaryIO | None = None,
    *,
    program: str = "poliqi",
    vessels_blake3: str = "",
    light: Light | None = None,
    threads: int = 2,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Sliced:
    """Hatch everything, and write the job into `file` where one is given.

    `light` tells power and speed of each layer, such as a pre-compensation; else they are the same everywhere.
    Raises DataRefused where nothing is lit.
    """
    plan = prepared.plan
    writer = None if file is None else JobWriter(file, prepared.header(program, vessels_blake3))
    clock = Clock(prepared.profile)
    sums = np.zeros(len(Sums._fields), dtype=np.int64)
    vectors, layers = 0, np.zeros(plan.layers, dtype=np.bool_)
    for layer in scan(prepared.slicer(), plan, threads=threads, progress=progress):
        power, speed = (prepared.power_mw, prepared.speed_mm_s) if light is None else light(layer)
        sums += layer.sums
        vectors += len(layer.vectors)
        layers[layer.layer] |= len(layer.vectors) > 0
        clock.add((layer.block, layer.tile), layer.sums, speed)
        if writer is not None:
            writer.add(_record(plan, layer, power, speed))
    digest = "" if writer is None else writer.finish()
    cell = plan.hatch_um * plan.layer_um * _PER_UM3
    total = Sums(*sums.tolist())
    return Sliced(
        prepared,
        vectors,
        total,
        clock.duration(),
        clock.moves,
        int(layers.sum()),
        total.core_nm * cell,
        (total.length_nm - total.core_nm) * cell if plan.tiles > 1 and plan.overlap_um > 0 else 0.0,
        _expected(prepared),
        0 if writer is None else writer.bytes,
        digest,
    )


def estimate_job(prepared: Prepared, pairs: int = 12) -> tuple[int, Duration]:
    """Vectors and time of a job from `pairs` of neighbouring layers, evenly spread: a part of its work.

    For comparing designs. A tile that is lit in one of these layers is taken to be so in every block.
    """
    plan = prepared.plan
    slicer, clock, vectors = prepared.slicer(), Clock(prepared.profile), 0
    heights = np.maximum(np.rint((np.arange(pairs) + 0.5) / pairs * plan.layers) - 1, 0)
    chosen = sorted({layer for at in heights.astype(int).tolist() for layer in (at, min(at + 1, plan.layers - 1))})
    for tile in range(plan.tiles):
        for layer in chosen:
            (one,) = slicer.part(Part(0, tile, range(layer, layer + 1)))
            vectors += len(one.vectors)
            clock.add((0, tile), one.sums, prepared.speed_mm_s)
    scale = plan.layers / len(chosen)
    found = clock.duration(scale)
    by_tile = plan.order is Order.TILE or plan.tiles == 1
    moves = clock.moves * plan.blocks if by_tile else clock.layers * scale
    tile_s = moves * prepared.profile.scanner.tile_overhead_s
    whole = Duration(found.lit_s, found.dark_s, found.jump_s, found.turn_s, found.layer_s, tile_s)
    return int(vectors * scale), whole


def _record(plan: Plan, layer: Layer, power: float, speed: float) -> Record:
    x, y = np.rint(1000 * plan.centre_um(layer.tile)).astype(int).tolist()
    z = round(1000 * layer.z_um)
    return Record(layer.block, layer.tile, layer.layer, z, (x, y), power, speed, layer.vectors)


def _expected(prepared: Prepared) -> Volume | None:
    domain, network, settings = prepared.domain, prepared.network, prepared.settings
    lumen = lumen_volume(domain, network)
    match settings.mode:
        case Mode.SOLID:
            return Volume(domain.volume_um3 - lumen.um3, lumen.sigma_um3)
        case Mode.LUMEN:
            return lumen
        case Mode.WALL:
            outer = lumen_volume(domain, network, settings.wall_um)
            return Volume(outer.um3 - lumen.um3, float(np.hypot(outer.sigma_um3, lumen.sigma_um3)))
        case Mode.SHELL:
            return None
