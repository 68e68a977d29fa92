"""Layers, lines, tiles and blocks of a job: where each lies, and in which order they are printed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.lab.print.hatch.settings import HatchSettings, Order, TileOrder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.profile import Profile

__all__ = ["MOST_LAYERS", "MOST_LINES", "MOST_TILES", "Part", "Plan", "plan_of"]

MOST_LAYERS: Final = 1_000_000
MOST_LINES: Final = 1_000_000
MOST_TILES: Final = 100_000
_SLACK: Final = 1e-9


class Part(NamedTuple):
    """Layers `layers` of one tile, in the order of printing."""

    block: int
    tile: int
    layers: range


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything lies. Lengths in um.

    `bounds_um` (2, 3) is the box around the domain. `lines` is how many lie in a layer along x (even layers) and
    along y (odd ones). `cells` (tiles, 2) are the places of tiles in the grid of `grid` columns and rows, in the
    order of printing; inner edges of tiles are seams. `field_um` is the side of the field that may be used.
    """

    bounds_um: NDArray[np.float64]
    hatch_um: float
    layer_um: float
    layers: int
    lines: tuple[int, int]
    grid: tuple[int, int]
    cells: NDArray[np.int64]
    overlap_um: float
    stagger_um: float
    block_layers: int
    is_up: bool
    order: Order
    field_um: float

    @property
    def blocks(self) -> int:
        """How many."""
        return -(-self.layers // self.block_layers)

    @property
    def tiles(self) -> int:
        """How many in a block."""
        return len(self.cells)

    def z_um(self, layer: NDArray[np.int64]) -> NDArray[np.float64]:
        """Planes of layers."""
        return self.bounds_um[0, 2] + (layer + 0.5) * self.layer_um

    def across_um(self, axis: int) -> NDArray[np.float64]:
        """The other coordinate of each line that runs along `axis`."""
        return self.bounds_um[0, 1 - axis] + (np.arange(self.lines[axis]) + 0.5) * self.hatch_um

    def shift_um(self, layer: NDArray[np.int64]) -> NDArray[np.float64]:
        """How far seams are moved in a layer: there and back every two layers, so that both directions see both."""
        return np.where(layer // 2 % 2 == 0, -0.5, 0.5) * self.stagger_um

    def seams_um(self, axis: int) -> NDArray[np.float64]:
        """Inner edges between tiles along an axis, unshifted and without overlap."""
        low, high = self.bounds_um[:, axis]
        return low + (high - low) * np.arange(1, self.grid[axis]) / self.grid[axis]

    def window_um(
        self, tile: int, axis: int, layer: NDArray[np.int64], *, is_core: bool = False
    ) -> NDArray[np.float64]:
        """From where to where a tile reaches along an axis in each layer, (k, 2); outermost edges are open.

        `is_core`: only to the seams, so that cores of tiles share nothing.
        """
        place, last = int(self.cells[tile, axis]), self.grid[axis] - 1
        edges = self.seams_um(axis)
        over = 0.0 if is_core else self.overlap_um / 2
        found = np.empty((len(layer), 2))
        found[:, 0] = -np.inf if place == 0 else edges[place - 1] + self.shift_um(layer) - over
        found[:, 1] = np.inf if place == last else edges[place] + self.shift_um(layer) + over
        return found

    def centre_um(self, tile: int) -> NDArray[np.float64]:
        """Middle of a tile's field, (2,)."""
        low, high = self.bounds_um[:, :2]
        return low + (high - low) * (self.cells[tile] + 0.5) / np.array(self.grid)

    def parts(self, most_layers: int) -> Iterator[Part]:
        """All layers of all tiles in the order of printing, at most so many layers of a tile together."""
        for block in range(self.blocks):
            begin = block * self.block_layers
            end = min(begin + self.block_layers, self.layers)
            if not self.is_up:
                begin, end = self.layers - end, self.layers - begin
            inside = range(begin, end) if self.is_up else range(end - 1, begin - 1, -1)
            if self.order is Order.TILE:
                for tile in range(self.tiles):
                    for at in range(0, len(inside), most_layers):
                        yield Part(block, tile, inside[at : at + most_layers])
            else:
                for layer in inside:
                    for tile in range(self.tiles):
                        yield Part(block, tile, range(layer, layer + 1))


def plan_of(domain: Domain, profile: Profile, settings: HatchSettings) -> Plan:
    """Divide a domain. Raises ConfigError for tiles above the field, too many layers, lines or tiles."""
    bounds = np.asarray(domain.bounds_um, dtype=np.float64)
    size = bounds[1] - bounds[0]
    field = profile.objective.side_um
    tile = field if settings.tile_um is None else settings.tile_um
    if tile > field * (1 + _SLACK):
        words = f"{profile.objective.field_um:g} um across" if profile.objective.is_round else "its side"
        raise ConfigError(
            f"hatch: a tile of {tile:g} um is above the field of view of {profile.name!r}, a square of {field:.4g} "
            f"um ({words}); give tiles of at most that"
        )
    layers = _cells(size[2], settings.layer_um)
    lines = (_cells(size[1], settings.hatch_um), _cells(size[0], settings.hatch_um))
    if layers > MOST_LAYERS or max(lines) > MOST_LINES:
        raise ConfigError(
            f"hatch: {layers} layers of {settings.layer_um:g} um and {max(lines)} lines of {settings.hatch_um:g} "
            f"um; {MOST_LAYERS} and {MOST_LINES} are possible: give um, and check the domain's unit"
        )
    grid = (_tiles(size[0], tile, settings), _tiles(size[1], tile, settings))
    if grid[0] * grid[1] > MOST_TILES:
        raise ConfigError(f"hatch: {grid[0]} x {grid[1]} tiles; {MOST_TILES} are possible: give larger ones")
    per_block = layers if settings.block_um is None else int(settings.block_um / settings.layer_um + _SLACK)
    return Plan(
        bounds,
        settings.hatch_um,
        settings.layer_um,
        layers,
        lines,
        grid,
        _visited(grid, domain, settings.tile_order),
        settings.overlap_um if max(grid) > 1 else 0.0,
        settings.stagger_um if max(grid) > 1 else 0.0,
        max(1, min(per_block, layers)),
        settings.is_up,
        settings.order,
        tile,
    )


def _cells(size: float, pitch: float) -> int:
    return max(1, math.ceil(size / pitch - _SLACK))


def _tiles(size: float, tile: float, settings: HatchSettings) -> int:
    """How many equal tiles, each with the overlap and the way of its seams, no larger than `tile`."""
    if size <= tile * (1 + _SLACK):
        return 1
    room = tile - settings.overlap_um - settings.stagger_um
    if room <= 0:
        raise ConfigError(
            f"hatch: an overlap of {settings.overlap_um:g} um and a stagger of {settings.stagger_um:g} um leave "
            f"nothing of a tile of {tile:g} um; lower them"
        )
    return _cells(size, room)


def _visited(grid: tuple[int, int], domain: Domain, order: TileOrder) -> NDArray[np.int64]:
    """Places (tiles, 2) in the order of printing."""
    rows: list[tuple[int, int]] = []
    for j in range(grid[1]):
        columns = range(grid[0]) if j % 2 == 0 else range(grid[0] - 1, -1, -1)
        rows += [(i, j) for i in columns]
    if order is TileOrder.SERPENTINE or len(rows) == 1:
        return np.array(rows, dtype=np.int64)
    return _nearest(np.array(rows, dtype=np.int64), grid, domain)


def _nearest(cells: NDArray[np.int64], grid: tuple[int, int], domain: Domain) -> NDArray[np.int64]:
    """From the first tile with tissue always to the nearest left; tiles that look empty come last."""
    low, high = domain.bounds_um
    size = (high[:2] - low[:2]) / np.array(grid)
    offsets = (np.stack(np.meshgrid(*[np.arange(4)] * 2), axis=-1).reshape(-1, 2) + 0.5) / 4
    columns = (low[:2] + (cells[:, None, :] + offsets) * size).reshape(-1, 2)
    spans = domain.spans(2, columns[:, 0].copy(), columns[:, 1].copy())
    is_full = (np.diff(spans.offsets) > 0).reshape(len(cells), -1).any(axis=1)
    order: list[int] = []
    for group in (np.flatnonzero(is_full), np.flatnonzero(~is_full)):
        left = list(group)
        while left:
            here = cells[order[-1]] if order else cells[left[0]]
            gaps = (((cells[left] - here) * size) ** 2).sum(axis=1)
            order.append(int(left.pop(int(np.argmin(gaps)))))
    return cells[order]
