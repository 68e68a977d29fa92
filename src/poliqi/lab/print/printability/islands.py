"""Pieces that hang on nothing and hollows that open nowhere, found on a grid of exact scan lines.

Lines are `voxel_um` apart across and exact along. What is found is looked at again on lines four times as close,
and kept only where it stays apart: a bridge thinner than a quarter of the distance can still be overlooked, and so
can a piece that lies between lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.lab.print.export.scanlines import Runs, combine, lumen_runs
from poliqi.lab.print.printability.machine import place_of
from poliqi.lab.print.printability.problem import Flaw, Problem, Severity
from poliqi.lab.print.printability.regions import regions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.printability.check import Settings
    from poliqi.lab.print.profile import Profile

__all__ = ["Grid", "check_islands", "grid_over", "solid_runs", "void_runs"]

_LINES: Final = 40_000
_MOST_LINES: Final = 1_000_000
_LAYERS_AT_ONCE: Final = 64
_FINER: Final = 4
_LOOKED_AT: Final = 16


@dataclass(frozen=True, slots=True)
class Grid:
    """Lines parallel to x from `low_um` to `high_um`, at y[j] and z[k]; line k * len(y) + j."""

    low_um: float
    high_um: float
    ys_um: NDArray[np.float64]
    zs_um: NDArray[np.float64]
    voxel_um: float


def grid_over(bounds_um: NDArray[np.float64], voxel_um: float | None, margin: int = 0) -> Grid:
    """Lines through the middles of cells over a box (2, 3), and `margin` more on each side; None: about 40,000."""
    low, high = bounds_um
    wide, tall = high[1] - low[1], high[2] - low[2]
    voxel = max(float(np.sqrt(wide * tall / _LINES)), 1e-3) if voxel_um is None else voxel_um
    voxel = max(voxel, float(np.sqrt(wide * tall / _MOST_LINES)))
    axes: list[NDArray[np.float64]] = []
    for at, extent in ((1, wide), (2, tall)):
        count = max(int(np.ceil(extent / voxel - 1e-9)), 1)
        middle = 0.5 * (low[at] + high[at])
        axes.append(middle + voxel * (np.arange(-margin, count + margin) - 0.5 * (count - 1)))
    return Grid(float(low[0] - margin * voxel), float(high[0] + margin * voxel), axes[0], axes[1], voxel)


def _joined(parts: list[Runs]) -> Runs:
    ends = np.cumsum([0, *(len(part.start_um) for part in parts)])
    offsets = [part.offsets[1:] + at for part, at in zip(parts, ends[:-1].tolist(), strict=True)]
    return Runs(
        np.concatenate([[0], *offsets]),
        np.concatenate([part.start_um for part in parts]),
        np.concatenate([part.end_um for part in parts]),
    )


def _frame(grid: Grid) -> Runs:
    """The whole of each line."""
    lines = len(grid.ys_um) * len(grid.zs_um)
    return Runs(np.arange(lines + 1), np.full(lines, grid.low_um), np.full(lines, grid.high_um))


def _domain_runs(domain: Domain, grid: Grid) -> Runs:
    y, z = np.tile(grid.ys_um, len(grid.zs_um)), np.repeat(grid.zs_um, len(grid.ys_um))
    spans = domain.spans(0, y, z)
    found = Runs(
        np.asarray(spans.offsets, dtype=np.int64),
        np.ascontiguousarray(spans.start_um, dtype=np.float64),
        np.ascontiguousarray(spans.end_um, dtype=np.float64),
    )
    return combine(_frame(grid), found, is_within=True)


def solid_runs(domain: Domain, network: Network, grid: Grid) -> Runs:
    """Tissue on the lines: the domain without the lumen."""
    parts: list[Runs] = []
    for begin in range(0, len(grid.zs_um), _LAYERS_AT_ONCE):
        zs = grid.zs_um[begin : begin + _LAYERS_AT_ONCE]
        part = Grid(grid.low_um, grid.high_um, grid.ys_um, zs, grid.voxel_um)
        parts.append(combine(_domain_runs(domain, part), lumen_runs(network, part.ys_um, zs), is_within=False))
    return _joined(parts)


def void_runs(domain: Domain, grid: Grid) -> Runs:
    """What is not of the domain on the lines."""
    return combine(_frame(grid), _domain_runs(domain, grid), is_within=False)


def check_islands(domain: Domain, network: Network, profile: Profile, settings: Settings) -> list[Problem]:
    """Floating islands of tissue, and hollows of the domain that no lumen opens."""
    del profile
    return [*_islands(domain, network, settings), *_cavities(domain, network, settings)]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A region: its box, its volume, and a point within, near its centre."""

    bounds_um: NDArray[np.float64]
    volume_um3: float
    inner_um: NDArray[np.float64]


def _pieces(runs: Runs, grid: Grid, label: NDArray[np.int64], wanted: NDArray[np.int64]) -> list[_Piece]:
    """Of the regions `wanted`, largest first."""
    lines = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets))
    y, z = grid.ys_um[lines % len(grid.ys_um)], grid.zs_um[lines // len(grid.ys_um)]
    length = runs.end_um - runs.start_um
    found: list[_Piece] = []
    order = np.argsort(label, kind="stable")
    cuts = np.searchsorted(label[order], [wanted, wanted + 1])
    half = 0.5 * grid.voxel_um
    for begin, end in cuts.T.tolist():
        at = order[begin:end]
        low = (runs.start_um[at].min(), y[at].min() - half, z[at].min() - half)
        high = (runs.end_um[at].max(), y[at].max() + half, z[at].max() + half)
        middle = np.stack([0.5 * (runs.start_um[at] + runs.end_um[at]), y[at], z[at]], axis=1)
        away = np.linalg.norm(middle - np.average(middle, axis=0, weights=length[at]), axis=1)
        inner = middle[np.where(length[at] >= 0.5 * length[at].max(), away, np.inf).argmin()]
        found.append(_Piece(np.array([low, high]), float(length[at].sum()) * grid.voxel_um**2, inner))
    return sorted(found, key=lambda piece: -piece.volume_um3)


def _stays_apart(piece: _Piece, grid: Grid, domain: Domain, network: Network | None) -> bool:
    """Whether a piece reaches no side of a box around it on finer lines; without a network, of the void."""
    fine = grid_over(piece.bounds_um + np.array([[-2.0], [2.0]]) * grid.voxel_um, grid.voxel_um / _FINER)
    runs = void_runs(domain, fine) if network is None else solid_runs(domain, network, fine)
    wide = len(fine.ys_um)
    label = regions(runs, wide)
    line = int(np.abs(fine.zs_um - piece.inner_um[2]).argmin()) * wide
    line += int(np.abs(fine.ys_um - piece.inner_um[1]).argmin())
    own = slice(int(runs.offsets[line]), int(runs.offsets[line + 1]))
    if own.start == own.stop:
        return True
    middle = 0.5 * (runs.start_um[own] + runs.end_um[own])
    mine = label == label[own.start + int(np.abs(middle - piece.inner_um[0]).argmin())]
    lines = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets))[mine]
    row, layer = lines % wide, lines // wide
    touches = (
        (runs.start_um[mine] <= fine.low_um) | (runs.end_um[mine] >= fine.high_um) | (row == 0) | (row == wide - 1)
    )
    return not bool((touches | (layer == 0) | (layer == len(fine.zs_um) - 1)).any())


def _islands(domain: Domain, network: Network, settings: Settings) -> list[Problem]:
    grid = grid_over(domain.bounds_um, settings.voxel_um)
    runs = solid_runs(domain, network, grid)
    if not len(runs.start_um):
        return []
    label = regions(runs, len(grid.ys_um))
    volume = np.bincount(label, runs.end_um - runs.start_um)
    lines = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets))
    layer = lines // len(grid.ys_um)
    held = np.zeros(len(volume), dtype=bool)
    held[volume.argmax()] = True
    held[label[layer == layer.min()]] = True  # stands on the substrate
    pieces = _pieces(runs, grid, label, np.flatnonzero(~held))[:_LOOKED_AT]
    loose = [piece for piece in pieces if _stays_apart(piece, grid, domain, network)]
    if not loose:
        return []
    return [
        Problem(
            Severity.REFUSE,
            Flaw.ISLAND,
            loose[0].volume_um3,
            0.0,
            place_of(loose[0].inner_um),
            "join it to the tissue, or leave it out",
            len(loose),
            "um3",
            f"tissue that nothing holds, on lines {grid.voxel_um:.3g} um apart",
        )
    ]


def _cavities(domain: Domain, network: Network, settings: Settings) -> list[Problem]:
    grid = grid_over(domain.bounds_um, settings.voxel_um, margin=1)
    runs = void_runs(domain, grid)
    label = regions(runs, len(grid.ys_um))
    hollow = np.ones(int(label.max()) + 1, dtype=bool)
    hollow[label[0]] = False  # the outside
    hollow[_opened(network, runs, grid, label)] = False
    pieces = _pieces(runs, grid, label, np.flatnonzero(hollow))[:_LOOKED_AT]
    shut = [piece for piece in pieces if _stays_apart(piece, grid, domain, None)]
    if not shut:
        return []
    return [
        Problem(
            Severity.CAUTION,
            Flaw.CAVITY,
            shut[0].volume_um3,
            0.0,
            place_of(shut[0].inner_um),
            "open it by a vessel, unless something solid stands there",
            len(shut),
            "um3",
            "not printed, and no way leads out",
        )
    ]


def _opened(network: Network, runs: Runs, grid: Grid, label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Regions that the axis of a vessel passes, sampled twice in a voxel."""
    counts = np.minimum(np.ceil(network.length_um / (0.5 * grid.voxel_um)), 1000).astype(np.int64) + 1
    owner = np.repeat(np.arange(len(counts)), counts)
    share = (np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)) / (counts[owner] - 1)
    start, end = network.start_um[owner], network.end_um[owner]
    points = start + share[:, None] * (end - start)
    row = np.rint((points[:, 1] - grid.ys_um[0]) / grid.voxel_um).astype(np.int64)
    layer = np.rint((points[:, 2] - grid.zs_um[0]) / grid.voxel_um).astype(np.int64)
    on = (row >= 0) & (row < len(grid.ys_um)) & (layer >= 0) & (layer < len(grid.zs_um))
    lines = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets))
    width = grid.high_um - grid.low_um + 1.0  # one axis for all lines: each a width after the one before
    key = lines * width + (runs.start_um - grid.low_um)
    x = np.clip(points[on, 0] - grid.low_um, 0.0, width - 1.0)
    line = layer[on] * len(grid.ys_um) + row[on]
    at = np.asarray(np.searchsorted(key, line * width + x, side="right"), dtype=np.int64) - 1
    hit = (at >= 0) & (points[on, 0] <= runs.end_um[at])
    hit &= lines[at] == line
    return np.unique(label[at[hit]])
