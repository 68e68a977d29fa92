"""Layers of scan vectors, one after the other: each line met with capsules and domain, on two threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from poliqi.lab.print.hatch.capsules import capsule_rows
from poliqi.lab.print.hatch.kernels import combine_kernel, count_kernel, join_kernel, meet_kernel, vectors_kernel
from poliqi.lab.print.hatch.scaffold import lattice_spans, skin_spans
from poliqi.lab.print.hatch.settings import HatchSettings, Mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain, Spans
    from poliqi.lab.print.hatch.tiling import Part, Plan
    from poliqi.lab.print.network import Network

__all__ = ["LAYERS_TOGETHER", "Layer", "Slicer", "Sums", "scan"]

LAYERS_TOGETHER: Final = 16
MOST_TOGETHER: Final = 2_000_000
_THREADS: Final = 2


class Sums(NamedTuple):
    """What a layer of a tile adds up to: lengths in nm, numbers of lines, jumps and vectors left out as too short.

    `dark_nm` are gaps that the focus goes through at its speed, `jump_nm` those that it jumps. `core_nm` is the lit
    length without what overlaps with neighbours.
    """

    length_nm: int = 0
    lines: int = 0
    dark_nm: int = 0
    jump_nm: int = 0
    jumps: int = 0
    short: int = 0
    short_nm: int = 0
    core_nm: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """Vectors of one layer of one tile, int32 (n, 4): x0, y0, x1, y1 in nm, in the order of scanning."""

    block: int
    tile: int
    layer: int
    z_um: float
    vectors: NDArray[np.int32]
    sums: Sums


Intervals = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.float64]", "NDArray[np.float64]"]
"""Offsets, counts, starts, ends."""


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of several layers in one tile that run the same way."""

    axis: int
    layers: NDArray[np.int64]
    z_um: NDArray[np.float64]
    across_um: NDArray[np.float64]
    window_um: NDArray[np.float64]
    """From where to where each line may be lit, (layers lines, 2)."""

    @property
    def all_across_um(self) -> NDArray[np.float64]:
        return np.tile(self.across_um, len(self.layers))

    @property
    def all_z_um(self) -> NDArray[np.float64]:
        return np.repeat(self.z_um, len(self.across_um))


class Slicer:
    """A domain with its vessels, ready to be cut into layers. Its methods may be called from several threads."""

    def __init__(
        self, domain: Domain, network: Network, settings: HatchSettings, plan: Plan, jump_um: float = np.inf
    ) -> None:
        self._domain: Final = domain
        self._settings: Final = settings
        self._plan: Final = plan
        self._jump_nm: Final = jump_um * 1000.0
        self._rows: Final = (capsule_rows(network, 0), capsule_rows(network, 1))
        reach = (network.radius_um + settings.wall_of_mode_um)[:, None]
        self._low: Final = np.minimum(network.start_um, network.end_um) - reach
        self._high: Final = np.maximum(network.start_um, network.end_um) + reach
        self._bins: Final = _binned(self._low[:, 2], self._high[:, 2], plan)

    def part(self, part: Part) -> list[Layer]:
        """The layers of a part, in its order; those without a vector too."""
        found: dict[int, Layer] = {}
        chosen = self._chosen(part)
        for axis in (0, 1):
            layers = np.array([layer for layer in part.layers if layer % 2 == axis], dtype=np.int64)
            if len(layers):
                self._fill(part, axis, layers, chosen, found)
        return [found[layer] for layer in part.layers]

    def _chosen(self, part: Part) -> NDArray[np.int64]:
        """Capsules that may reach into the layers and the tile."""
        offsets, owners = self._bins
        lowest, highest = min(part.layers), max(part.layers)
        first, last = lowest // LAYERS_TOGETHER, highest // LAYERS_TOGETHER
        chosen = np.unique(owners[offsets[first] : offsets[last + 1]])
        layers = np.array(part.layers, dtype=np.int64)
        for axis in (0, 1):
            window = self._plan.window_um(part.tile, axis, layers)
            inside = (self._low[chosen, axis] <= window[:, 1].max()) & (
                self._high[chosen, axis] >= window[:, 0].min()
            )
            chosen = chosen[inside]
        return chosen

    def _fill(
        self,
        part: Part,
        axis: int,
        layers: NDArray[np.int64],
        chosen: NDArray[np.int64],
        found: dict[int, Layer],
    ) -> None:
        """Work layers off that run along one axis; in halves where too much would stand in memory."""
        lines = self._lines(part, axis, layers)
        counts = np.zeros(len(lines.window_um), dtype=np.int64)
        total = 0
        if len(lines.across_um):
            wide, first = self._settings.wall_of_mode_um, lines.across_um[0]
            rows, n = self._rows[axis], len(lines.across_um)
            total = count_kernel(rows, chosen, wide, lines.z_um, first, self._plan.hatch_um, n, counts)
        if total > MOST_TOGETHER and len(layers) > 1:
            middle = len(layers) // 2
            self._fill(part, axis, layers[:middle], chosen, found)
            self._fill(part, axis, layers[middle:], chosen, found)
            return
        offsets, starts, ends = self._lit(lines, chosen, counts)
        n = len(lines.across_um)
        across_nm = np.rint(1000 * lines.across_um).astype(np.int64)
        along = self._plan.window_um(part.tile, axis, layers, is_core=True)
        sides = self._plan.window_um(part.tile, 1 - axis, layers, is_core=True)
        for at, layer in enumerate(layers.tolist()):
            core = (1000.0 * float(along[at, 0]), 1000.0 * float(along[at, 1]))
            is_core = (lines.across_um >= sides[at, 0]) & (lines.across_um < sides[at, 1])
            of_layer = offsets[at * n : (at + 1) * n + 1]
            vectors = np.empty((int(of_layer[-1] - of_layer[0]), 4), dtype=np.int32)
            sums = np.zeros(len(Sums._fields), dtype=np.int64)
            gap, least = self._settings.merge_gap_um, self._settings.min_length_um
            kept = vectors_kernel(
                of_layer, starts, ends, across_nm, axis, core, is_core, gap, least, self._jump_nm, vectors, sums
            )
            found[layer] = Layer(
                part.block, part.tile, layer, float(lines.z_um[at]), vectors[:kept], Sums(*sums.tolist())
            )

    def _lines(self, part: Part, axis: int, layers: NDArray[np.int64]) -> _Lines:
        along = self._plan.window_um(part.tile, axis, layers)
        sides = self._plan.window_um(part.tile, 1 - axis, layers)
        across = self._plan.across_um(axis)
        across = across[(across >= sides[:, 0].min()) & (across < sides[:, 1].max())]
        window = np.repeat(along, len(across), axis=0)
        tiled = np.tile(across, len(layers))
        beside = (tiled < np.repeat(sides[:, 0], len(across))) | (tiled >= np.repeat(sides[:, 1], len(across)))
        window[beside] = (np.inf, -np.inf)
        return _Lines(axis, layers, self._plan.z_um(layers), across, window)

    def _lit(
        self, lines: _Lines, chosen: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Offsets, starts and ends of what is lit, line by line. `counts` are of capsules with their walls."""
        mode = self._settings.mode
        inside = self._domain.spans(lines.axis, lines.all_across_um, lines.all_z_um)
        nothing = np.zeros(len(counts), dtype=np.int64)
        empty = (nothing, nothing, np.empty(0), np.empty(0))
        match mode:
            case Mode.SOLID:
                keep, cut = empty, self._met(lines, chosen, 0.0, counts)
            case Mode.LUMEN:
                keep, cut = self._met(lines, chosen, 0.0, counts), empty
            case Mode.WALL | Mode.SHELL:
                keep = self._met(lines, chosen, self._settings.wall_um, counts, self._scaffold(lines, inside))
                cut = self._met(lines, chosen, 0.0, None)
        room = len(inside.start_um) + int(keep[1].sum()) + int(cut[1].sum())
        offsets, starts, ends = np.empty(len(counts) + 1, dtype=np.int64), np.empty(room), np.empty(room)
        domain = (inside.offsets, inside.start_um, inside.end_um)
        combine_kernel(domain, lines.window_um, keep, mode is not Mode.SOLID, cut, offsets, starts, ends)
        return offsets, starts, ends

    def _met(
        self,
        lines: _Lines,
        chosen: NDArray[np.int64],
        wide: float,
        counts: NDArray[np.int64] | None,
        more: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> Intervals:
        """The union of capsules `wide` thicker, and of `more` intervals (line, start, end), on each line."""
        rows, z, pitch = self._rows[lines.axis], lines.z_um, self._plan.hatch_um
        n = len(lines.across_um)
        first = float(lines.across_um[0]) if n else 0.0
        if counts is None:
            counts = np.zeros(len(lines.window_um), dtype=np.int64)
            count_kernel(rows, chosen, wide, z, first, pitch, n, counts)
        filled = np.zeros(len(counts), dtype=np.int64)
        added = filled if more is None else np.bincount(more[0], minlength=len(counts))
        offsets = np.concatenate([[0], np.cumsum(counts + added)])
        starts, ends = np.empty(int(offsets[-1])), np.empty(int(offsets[-1]))
        window = (
            float(lines.window_um[:, 0].min(initial=np.inf)),
            float(lines.window_um[:, 1].max(initial=-np.inf)),
        )
        meet_kernel(rows, chosen, wide, z, first, pitch, n, window, offsets, filled, starts, ends)
        if more is not None:
            order = np.argsort(more[0], kind="stable")
            line = more[0][order]
            rank = np.arange(len(line)) - (np.cumsum(added) - added)[line]
            place = offsets[line] + filled[line] + rank
            starts[place], ends[place] = more[1][order], more[2][order]
            filled += added
        join_kernel(offsets, filled, starts, ends)
        return offsets, filled, starts, ends

    def _scaffold(
        self, lines: _Lines, inside: Spans
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]] | None:
        """Skin and lattice of a shell."""
        chosen = self._settings
        if chosen.mode is not Mode.SHELL:
            return None
        across, z = lines.all_across_um, lines.all_z_um
        skin = skin_spans(
            self._domain, lines.axis, across, z, inside, lines.window_um, chosen.skin_um, chosen.hatch_um
        )
        lattice = lattice_spans(
            lines.axis, across, z, self._plan.bounds_um, chosen.lattice_period_um, chosen.lattice_beam_um
        )
        return (
            np.concatenate([skin[0], lattice[0]]),
            np.concatenate([skin[1], lattice[1]]),
            np.concatenate([skin[2], lattice[2]]),
        )


def scan(
    slicer: Slicer,
    plan: Plan,
    *,
    threads: int = _THREADS,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Iterator[Layer]:
    """All layers of all tiles in the order of printing, those without a vector too.

    `progress` hears how many layers of tiles are done, of how many. Memory does not grow with the job.
    """
    total, done = plan.layers * plan.tiles, 0
    parts = plan.parts(LAYERS_TOGETHER)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        waiting: deque[Future[list[Layer]]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(slicer.part, part))
                if len(waiting) > 2 * threads:
                    layers = waiting.popleft().result()
                    yield from layers
                    done += len(layers)
                    progress(done, total)
            while waiting:
                layers = waiting.popleft().result()
                yield from layers
                done += len(layers)
                progress(done, total)
        finally:
            for future in waiting:
                future.cancel()


def _binned(
    low: NDArray[np.float64], high: NDArray[np.float64], plan: Plan
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Capsules by groups of `LAYERS_TOGETHER` layers: offsets of each group, numbers of capsules."""
    groups = -(-plan.layers // LAYERS_TOGETHER)
    height, base = plan.layer_um * LAYERS_TOGETHER, plan.bounds_um[0, 2]
    first = np.clip(np.floor((low - base) / height), 0, groups).astype(np.int64)
    last = np.clip(np.floor((high - base) / height), -1, groups - 1).astype(np.int64)
    many = np.maximum(last - first + 1, 0)
    owners = np.repeat(np.arange(len(low)), many)
    group = np.arange(len(owners)) - np.repeat(np.cumsum(many) - many, many) + np.repeat(first, many)
    order = np.argsort(group, kind="stable")
    offsets = np.zeros(groups + 1, dtype=np.int64)
    np.cumsum(np.bincount(group, minlength=groups), out=offsets[1:])
    return offsets, owners[order]
