"""Oxygen in a tissue and its vessels: from domain, network and flow to a field and what it means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.flow.solve import Flow
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.oxygen.exchange import Exchange
    from poliqi.lab.print.oxygen.grid import Grid
    from poliqi.lab.print.oxygen.newton import Steady, System
    from poliqi.lab.print.oxygen.tissue import Carrier, Tissue

__all__ = ["Balance", "Oxygen", "Vesselwise", "oxygen"]

_LEAST_COARSE: Final = 12
_CELLS: Final = 128
_ACROSS: Final = 8
_LEAST_ACROSS: Final = 4
_MOST_CHOSEN: Final = 4_000_000
"""Cells, where nobody says how many."""
_TOLERANCE: Final = 5e-4
"""Sum of all cells' |residual| over the consumption; the net residual is far smaller."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Oxygen in mol/s: carried in and out by the fluid, given by the bath, and consumed."""

    carried_in_mol_s: float
    carried_out_mol_s: float
    bath_mol_s: float
    consumed_mol_s: float

    @property
    def residual(self) -> float:
        """What does not add up, over the consumption."""
        lost = self.carried_in_mol_s - self.carried_out_mol_s + self.bath_mol_s - self.consumed_mol_s
        return lost / max(abs(self.consumed_mol_s), abs(self.bath_mol_s), 1e-300)


@dataclass(frozen=True, slots=True)
class Vesselwise:
    """Dissolved oxygen in the vessels, mol/m3: at each point of the network (n,), as mean of each segment (m,), and
    what each segment gives to its tissue, mol/s (m,)."""

    point_mol_m3: NDArray[np.float64]
    segment_mol_m3: NDArray[np.float64]
    given_mol_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Oxygen:
    """A steady state. `c_mol_m3` float32 (nx, ny, nz): tissue, and in lumens the fluid's; nan outside.

    `kind` uint8: 0 outside, 1 tissue, 2 lumen. `low_um`: corner of the first cell; its centre is half a spacing
    further. `hypoxic` is the share of the tissue below the limit, `hypoxic_doubt` by how much it differs from that
    on cells of twice the size (nan on a single grid). `volume_um3` float32: tissue of each cell.
    """

    spacing_um: float
    low_um: tuple[float, float, float]
    c_mol_m3: NDArray[np.float32]
    kind: NDArray[np.uint8]
    volume_um3: NDArray[np.float32]
    hypoxic: float
    hypoxic_doubt: float
    minimum_mol_m3: float
    minimum_at_um: tuple[float, float, float]
    mean_mol_m3: float
    vessels: Vesselwise | None
    balance: Balance
    steps: int
    cycles: int


@dataclass(slots=True)
class _Solved:
    grid: Grid
    system: System
    exchange: Exchange | None
    steady: Steady


def oxygen(
    domain: Domain,
    network: Network | None,
    flow: Flow | None,
    tissue: Tissue,
    *,
    carrier: Carrier | None = None,
    cells: int | None = None,
    spacing_um: float | None = None,
    threads: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Oxygen:
    """Steady oxygen in `domain`, fed by `network` and, where the tissue says so, by a bath around it.

    Give `cells` along the longest side (128, or as many as 8 across the shortest ask for) or `spacing_um`; with
    vessels at least 4 across. `carrier`: what the fluid holds (medium). `progress` gets the number of V-cycles, and
    an estimate of all. Raises ConfigError, DataRefused before any long work.
    """
    spacing = _spacing(domain, cells, spacing_um)
    if network is not None:
        _ensure_thick(domain, spacing)
    if (network is None) != (flow is None):
        raise ConfigError("oxygen: give a network together with its flow, or neither")
    if network is None and tissue.bath_mol_m3 is None:
        raise ConfigError("oxygen: neither vessels nor a bath; give one of them")
    if network is not None and flow is not None:
        _check(network, flow)
    from poliqi.base.jit import load_compiler

    load_compiler()
    from poliqi.lab.print.oxygen.multigrid import Team
    from poliqi.lab.print.oxygen.tissue import Carrier

    done = 0

    def beat() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, max(60, done))

    with Team(threads) as team:
        before: list[_Solved] = []
        for step in _spacings(domain, spacing):
            made = _assembled(domain, network, flow, tissue, carrier or Carrier(), step, team)
            before.append(_solved(*made, tissue, before[-1] if before else None, beat))
            del before[:-2]
        return _outcome(before, network, tissue)


def _spacing(domain: Domain, cells: int | None, spacing_um: float | None) -> float:
    from poliqi.lab.print.oxygen.grid import shape_of

    bounds = np.asarray(domain.bounds_um, np.float64)
    if cells is not None and spacing_um is not None:
        raise ConfigError("oxygen: give cells or a spacing, not both")
    if cells is not None and not 4 <= cells <= 4096:
        raise ConfigError(f"oxygen: {cells} cells along the longest side; give 4 to 4096")
    sides: list[float] = (bounds[1] - bounds[0]).tolist()
    if spacing_um is None and cells is None:
        fine = min(max(sides) / _CELLS, min(sides) / _ACROSS)
        spacing_um = max(fine, (math.prod(sides) / _MOST_CHOSEN) ** (1 / 3))
    spacing = spacing_um if spacing_um is not None else max(sides) / (cells or _CELLS)
    shape_of(bounds, spacing)
    return spacing


def _ensure_thick(domain: Domain, spacing: float) -> None:
    """Vessels thinner than a cell are spread over several: the tissue has to hold these."""
    from poliqi.lab.print.oxygen.grid import shape_of

    shape = shape_of(np.asarray(domain.bounds_um, np.float64), spacing)
    if min(shape) < _LEAST_ACROSS:
        sides: list[float] = np.ptp(np.asarray(domain.bounds_um, np.float64), axis=0).tolist()
        needed = math.ceil(_LEAST_ACROSS * max(sides) / min(sides))
        raise ConfigError(
            f"oxygen: {min(shape)} cells of {spacing:.3g} um across the tissue's shortest side, below "
            f"{_LEAST_ACROSS}; give at least {needed} cells along the longest"
        )


def _spacings(domain: Domain, spacing: float) -> list[float]:
    """Grids to solve on, coarse ones first."""
    from poliqi.lab.print.oxygen.grid import shape_of

    found = [spacing]
    while min(shape_of(np.asarray(domain.bounds_um), found[0])) >= 2 * _LEAST_COARSE and len(found) < 4:
        found.insert(0, 2 * found[0])
    return found


def _check(network: Network, flow: Flow) -> None:
    for name, size in (("flow_um3_s", len(network.segments)), ("pressure_pa", len(network.points_um))):
        value = np.asarray(getattr(flow, name))
        if value.shape != (size,) or not bool(np.isfinite(value).all()):
            raise DataRefused(
                f"oxygen: {name} of the flow has shape {value.shape} or is not finite; {size} are needed"
            )


def _assembled(
    domain: Domain,
    network: Network | None,
    flow: Flow | None,
    tissue: Tissue,
    carrier: Carrier,
    spacing: float,
    team: Any,
) -> tuple[Grid, System, Exchange | None]:
    """Equations on one grid."""
    from poliqi.lab.print.oxygen.elements import elements_of
    from poliqi.lab.print.oxygen.exchange import Exchange
    from poliqi.lab.print.oxygen.grid import grid_of, links_of
    from poliqi.lab.print.oxygen.lines import lines_of, spread_lines
    from poliqi.lab.print.oxygen.multigrid import hierarchy_of
    from poliqi.lab.print.oxygen.newton import System
    from poliqi.lab.print.oxygen.walls import walls_of

    grid = grid_of(domain, spacing, is_held=tissue.bath_mol_m3 is not None)
    there, volume, ground = grid.inside.copy(), grid.volume.copy(), grid.ground.copy()
    links = links_of(grid)
    taken = tissue.consumption_mol_m3_s * (spacing * 1e-6) ** 2 / tissue.diffusivity_m2_s
    level = tissue.inlet_mol_m3 if network is not None else tissue.bath_mol_m3 or 0.0
    held = grid.ground * np.float32((tissue.bath_mol_m3 or 0.0) - level)
    exchange: Exchange | None = None
    if network is not None and flow is not None:
        film = None
        if carrier.sherwood is not None:
            film = carrier.sherwood * carrier.diffusivity_m2_s / tissue.diffusivity_m2_s / 2
        elements = elements_of(network, flow, grid.low_um, spacing, tissue.diffusivity_m2_s)
        walls = walls_of(elements, grid.inside, there, links, film)
        np.multiply.at(volume.reshape(-1), walls.cell, 0.5 + 0.5 * walls.share)
        np.add.at(ground.reshape(-1), walls.cell, walls.g)
        lines = lines_of(elements, there, film)
        tubes = np.zeros_like(volume)
        spread_lines(lines.tube, lines.base, lines.weight, lines.scale, tubes)
        volume = np.maximum(volume - tubes, np.float32(0.05) * volume)
        exchange = Exchange(elements, walls, lines, carrier, tissue.inlet_mol_m3, taken, tissue.km_mol_m3)
    for array in (volume, ground, held):
        array *= there
    hierarchy = hierarchy_of(links, there, team)
    return (
        grid,
        System(hierarchy, there, volume, ground, grid.ground, held, taken, tissue.km_mol_m3, level, exchange),
        exchange,
    )


def _solved(
    grid: Grid,
    system: System,
    exchange: Exchange | None,
    tissue: Tissue,
    before: _Solved | None,
    beat: Callable[[], None],
) -> _Solved:
    from poliqi.lab.print.oxygen.newton import solve
    from poliqi.lab.print.oxygen.stencil import lift_planes

    c = np.zeros_like(system.there)
    if before is not None:
        lift_planes(before.steady.c, before.system.there, system.there, c, 1, c.shape[0] - 1)
    elif tissue.bath_mol_m3 is not None and exchange is not None:
        c[:] = np.float32(max(tissue.bath_mol_m3 - tissue.inlet_mol_m3, 0.0)) * system.there
    return _Solved(grid, system, exchange, solve(system, c, _TOLERANCE, beat))


def _share(solved: _Solved, below: float) -> float:
    volume = solved.system.volume.astype(np.float64)
    total = float(volume.sum())
    if total <= 0:
        raise DataRefused("oxygen: vessels fill the whole domain; there is no tissue")
    return float(volume[solved.steady.c < below - solved.system.level].sum()) / total


def _outcome(solved: list[_Solved], network: Network | None, tissue: Tissue) -> Oxygen:
    last = solved[-1]
    grid, system, exchange, h = last.grid, last.system, last.exchange, last.grid.spacing_um
    hypoxic = _share(last, tissue.hypoxic_below_mol_m3)
    coarse = _share(solved[0], tissue.hypoxic_below_mol_m3) if len(solved) > 1 else float("nan")
    found = last.steady.c + np.float32(system.level)
    found = np.maximum(found, 0)
    c = np.where(system.there > 0, found, np.float32(np.nan))
    kind = (system.there > 0).astype(np.uint8)
    if exchange is not None:
        c.reshape(-1)[exchange.walls.lumen] = np.maximum(exchange.mean, 0)[exchange.walls.lumen_owner]
        kind.reshape(-1)[exchange.walls.lumen] = 2
    core = (slice(1, -1),) * 3
    in_tissue = np.where(system.there[core] > 0, found[core], np.inf)
    at = tuple(int(i) for i in np.unravel_index(int(np.argmin(in_tissue)), in_tissue.shape))
    low_x, low_y, low_z = grid.low_um.tolist()
    volume = system.volume[core].astype(np.float64)
    return Oxygen(
        h,
        (low_x, low_y, low_z),
        c[core].copy(),
        kind[core].copy(),
        (volume * h**3).astype(np.float32),
        hypoxic,
        abs(hypoxic - coarse),
        float(in_tissue[at]),
        grid.place_um(at),
        float((volume * found[core]).sum() / volume.sum()),
        None if exchange is None or network is None else _vesselwise(exchange, network, tissue, h),
        _balance(last, tissue),
        sum(one.steady.steps for one in solved[-1:]),
        last.steady.cycles,
    )


def _vesselwise(exchange: Exchange, network: Network, tissue: Tissue, h: float) -> Vesselwise:
    e = exchange.elements
    scale = tissue.diffusivity_m2_s * h * 1e-6
    mean, given = np.empty(len(network.segments)), np.empty(len(network.segments))
    count = np.diff(e.first)
    mean[e.segment] = np.bincount(e.owner, exchange.mean, len(count)) / count
    given[e.segment] = np.bincount(e.owner, exchange.given, len(count)) * scale
    return Vesselwise(np.maximum(exchange.point, 0), np.maximum(mean, 0), given)


def _balance(solved: _Solved, tissue: Tissue) -> Balance:
    """Sums in mol/s; what the vessels gave is counted by the fluid, consumption by the cells."""
    system, exchange, c = solved.system, solved.exchange, solved.steady.c
    scale = tissue.diffusivity_m2_s * solved.grid.spacing_um * 1e-6
    bath = float((system.held - (solved.grid.ground * system.there) * c).sum(dtype=np.float64))
    if exchange is None:
        return Balance(0.0, 0.0, bath * scale, solved.steady.consumed * scale)
    consumed = solved.steady.consumed + float(exchange.beside.sum())
    out = exchange.into - float(exchange.given.sum())
    return Balance(exchange.into * scale, out * scale, bath * scale, consumed * scale)
