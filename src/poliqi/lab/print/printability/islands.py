"""Pieces that hang on nothing and hollows that open nowhere, found on a grid of exact scan lines.

What hardens is what is lit, in the mode of the job; of a gel that light degrades it is what stays dark. Lines are
`voxel_um` apart across and exact along. What is found is looked at again on lines four times as close, and kept
only where it stays apart: a bridge thinner than a quarter of the distance can still be overlooked, and so can a
piece that lies between lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.lab.print.export.scanlines import Runs, combine, lumen_runs
from poliqi.lab.print.hatch.scaffold import lattice_spans, skin_spans
from poliqi.lab.print.hatch.settings import Mode
from poliqi.lab.print.printability.machine import place_of
from poliqi.lab.print.printability.problem import Flaw, Problem, Severity
from poliqi.lab.print.printability.regions import regions
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.printability.check import Settings
    from poliqi.lab.print.profile import Profile

__all__ = ["Grid", "check_islands", "grid_over", "hard_runs", "solid_runs", "void_runs"]

_LINES: Final = 40_000
_MOST_LINES: Final = 1_000_000
_LAYERS_AT_ONCE: Final = 64
_FINER: Final = 4
_LOOKED_AT: Final = 16
_WIDEST: Final = 1e6
_LINES_IN_ALL: Final = 3_000_000
"""Fine lines after which no further piece is looked at."""


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


def hard_runs(domain: Domain, network: Network, profile: Profile, settings: Settings, grid: Grid) -> Runs:
    """What hardens on the lines: what is lit, or the rest of the domain where light degrades."""
    is_gel = profile.material.action is Action.DEGRADE
    mode = settings.mode or (Mode.LUMEN if is_gel else Mode.SOLID)
    if mode is (Mode.LUMEN if is_gel else Mode.SOLID):
        return solid_runs(domain, network, grid)
    parts: list[Runs] = []
    for begin in range(0, len(grid.zs_um), _LAYERS_AT_ONCE):
        zs = grid.zs_um[begin : begin + _LAYERS_AT_ONCE]
        part = Grid(grid.low_um, grid.high_um, grid.ys_um, zs, grid.voxel_um)
        whole = _domain_runs(domain, part)
        lit = combine(whole, _lit_runs(domain, network, settings, mode, part), is_within=mode is not Mode.SOLID)
        if mode in (Mode.WALL, Mode.SHELL):
            lit = combine(lit, lumen_runs(network, part.ys_um, zs), is_within=False)
        parts.append(combine(whole, lit, is_within=False) if is_gel else lit)
    return _joined(parts)


def _lit_runs(domain: Domain, network: Network, settings: Settings, mode: Mode, grid: Grid) -> Runs:
    """Lumens, with the walls of wall and shell and the scaffold of shell, on the lines."""
    if mode in (Mode.LUMEN, Mode.SOLID):
        return lumen_runs(network, grid.ys_um, grid.zs_um)
    wide = replace(network, radius_um=np.minimum(network.radius_um + settings.wall_um, _WIDEST))
    found = lumen_runs(wide, grid.ys_um, grid.zs_um)
    if mode is Mode.WALL:
        return found
    y, z = np.tile(grid.ys_um, len(grid.zs_um)), np.repeat(grid.zs_um, len(grid.ys_um))
    window = np.tile([grid.low_um, grid.high_um], (len(y), 1))
    step = min(grid.voxel_um, 0.25 * settings.skin_um)
    skin = skin_spans(domain, 0, y, z, domain.spans(0, y, z), window, settings.skin_um, step)
    bounds = domain.bounds_um
    lattice = lattice_spans(0, y, z, bounds, settings.lattice_period_um, settings.lattice_beam_um)
    of_lumen = np.repeat(np.arange(len(y)), np.diff(found.offsets))
    line = np.concatenate([of_lumen, skin[0], lattice[0]])
    start = np.concatenate([found.start_um, skin[1], lattice[1]])
    end = np.concatenate([found.end_um, skin[2], lattice[2]])
    return _united(line, start, end, len(y))


def _united(line: NDArray[np.int64], start: NDArray[np.float64], end: NDArray[np.float64], lines: int) -> Runs:
    """The union of intervals on each of so many lines."""
    order = np.lexsort((start, line))
    line, start, end = line[order], start[order], end[order]
    far = float(np.ptp(np.concatenate([start, end]))) + 1.0 if len(start) else 1.0
    reach = np.asarray(np.maximum.accumulate(end + far * line) - far * line, dtype=np.float64)  # so far on the line
    begins = np.ones(len(start), dtype=bool)
    begins[1:] = (line[1:] != line[:-1]) | (start[1:] > reach[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(start)) - 1 if len(first) else first
    offsets = np.concatenate([[0], np.cumsum(np.bincount(line[first], minlength=lines))]).astype(np.int64)
    return Runs(offsets, start[first], reach[last])


def check_islands(domain: Domain, network: Network, profile: Profile, settings: Settings) -> list[Problem]:
    """Floating islands of what hardens, and hollows of the domain that no lumen opens."""
    return [*_islands(domain, network, profile, settings), *_cavities(domain, network, settings)]


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


def _stays_apart(piece: _Piece, grid: Grid, domain: Domain, runs_on: Callable[[Grid], Runs]) -> bool:
    """Whether a piece reaches no side of a box around it, nor the ground, on finer lines."""
    fine = _finer(piece, grid, domain)
    runs = runs_on(fine)
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


def _finer(piece: _Piece, grid: Grid, domain: Domain) -> Grid:
    """Finer lines in a box around a piece; at the bottom it ends where the domain does, so that what stands there
    reaches its side.
    """
    box = piece.bounds_um + np.array([[-2.0], [2.0]]) * grid.voxel_um
    box[0, 2] = max(box[0, 2], domain.bounds_um[0, 2])
    return grid_over(box, grid.voxel_um / _FINER)


def _really_apart(
    pieces: list[_Piece], grid: Grid, domain: Domain, runs_on: Callable[[Grid], Runs]
) -> list[_Piece]:
    """Of the largest pieces those that finer lines leave apart, as far as a budget of lines goes."""
    found: list[_Piece] = []
    lines = 0
    for piece in pieces[:_LOOKED_AT]:
        fine = _finer(piece, grid, domain)
        lines += len(fine.ys_um) * len(fine.zs_um)
        if _stays_apart(piece, grid, domain, runs_on):
            found.append(piece)
        if lines > _LINES_IN_ALL:
            break
    return found


def _spacing(domain: Domain, settings: Settings, mode: Mode) -> float | None:
    """Distance of lines: as told, else half of what is thin in this mode where that is closer than chosen."""
    if settings.voxel_um is not None or mode not in (Mode.WALL, Mode.SHELL):
        return settings.voxel_um
    thin = (settings.wall_um,) if mode is Mode.WALL else (settings.wall_um, settings.lattice_beam_um)
    return min(0.5 * min(thin), grid_over(domain.bounds_um, None).voxel_um)


def _islands(domain: Domain, network: Network, profile: Profile, settings: Settings) -> list[Problem]:
    is_gel = profile.material.action is Action.DEGRADE
    mode = settings.mode or (Mode.LUMEN if is_gel else Mode.SOLID)

    def runs_on(lines: Grid) -> Runs:
        return hard_runs(domain, network, profile, settings, lines)

    grid = _grounded(grid_over(domain.bounds_um, _spacing(domain, settings, mode)), domain, settings)
    runs = runs_on(grid)
    if not len(runs.start_um):
        return []
    label = regions(runs, len(grid.ys_um))
    volume = np.bincount(label, runs.end_um - runs.start_um)
    layer = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets)) // len(grid.ys_um)
    held = np.zeros(len(volume), dtype=bool)
    held[label[layer == _ground(domain, grid)]] = True
    if is_gel:
        held[volume.argmax()] = True  # it was cast, and lies in its mould
    pieces = _pieces(runs, grid, label, np.flatnonzero(~held))
    loose = _really_apart(pieces, grid, domain, runs_on)
    if not loose:
        return []
    own = "tissue" if is_gel or mode is Mode.SOLID else f"what mode {mode} lights"
    bottom = float(loose[0].bounds_um[0, 2])
    return [
        Problem(
            Severity.REFUSE,
            Flaw.ISLAND,
            loose[0].volume_um3,
            0.0,
            place_of(loose[0].inner_um),
            "join it to the tissue, or leave it out"
            if own == "tissue"
            else "lead a vessel to the lowest layer, or choose --mode solid or shell with a closer lattice",
            len(loose),
            "um3",
            f"{own} that nothing holds, from z = {bottom:.4g} um up where the domain begins at "
            f"{domain.bounds_um[0, 2]:.4g}, on lines {grid.voxel_um:.3g} um apart",
        )
    ]


def _grounded(grid: Grid, domain: Domain, settings: Settings) -> Grid:
    """With lines in the middle of the lowest layer of the print too, where those of the grid are higher."""
    ground = float(domain.bounds_um[0, 2]) + 0.5 * settings.layer_um
    if ground >= grid.zs_um[0]:
        return grid
    return replace(grid, zs_um=np.concatenate([[ground], grid.zs_um]))


def _ground(domain: Domain, grid: Grid) -> int:
    """The lowest layer of the grid in which lines meet the domain."""
    for at in range(len(grid.zs_um)):
        if domain.spans(0, grid.ys_um, np.full(len(grid.ys_um), grid.zs_um[at])).length_um > 0:
            return at
    return 0


def _cavities(domain: Domain, network: Network, settings: Settings) -> list[Problem]:
    grid = grid_over(domain.bounds_um, settings.voxel_um, margin=1)
    runs = void_runs(domain, grid)
    label = regions(runs, len(grid.ys_um))
    hollow = np.ones(int(label.max()) + 1, dtype=bool)
    hollow[label[0]] = False  # the outside
    hollow[_opened(network, runs, grid, label)] = False
    pieces = _pieces(runs, grid, label, np.flatnonzero(hollow))
    shut = _really_apart(pieces, grid, domain, lambda lines: void_runs(domain, lines))
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
