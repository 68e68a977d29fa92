"""Growth, coverage and oxygen against closed forms, geometry and collocation."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from print_scenes import cube, thread
from scipy.integrate import solve_bvp

from poliqi.base.errors import DataRefused
from poliqi.lab.print.coverage import coverage
from poliqi.lab.print.domain.domain import box, cylinder, sphere
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.flow.solve import solve_flow
from poliqi.lab.print.growth.cells import enlist_all, make_cells
from poliqi.lab.print.growth.grow import network_of
from poliqi.lab.print.growth.growing import begin
from poliqi.lab.print.growth.relax import relax
from poliqi.lab.print.growth.roots import root_of
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.network import Network, Port, Role
from poliqi.lab.print.oxygen.grid import grid_of
from poliqi.lab.print.oxygen.oxygen import Balance, oxygen
from poliqi.lab.print.oxygen.perfusion import Perfusion, cautions_of
from poliqi.lab.print.oxygen.tissue import Carrier, Tissue

D, C0 = 2e-9, 0.2


def vessel(start: Any, end: Any, radius: float) -> Network:
    return Network(
        np.array([start, end], float),
        np.array([[0, 1]], np.int32),
        np.array([float(radius)]),
        np.zeros(1, np.uint8),
        np.zeros(1, np.int32),
        (Port(0, Role.INLET, 100.0, 1.0), Port(1, Role.OUTLET, 0.0, 1.0)),
    )


def pulls_left(tree: Network) -> np.ndarray:
    """At each joint what is left of its pulls r^2 u, over the largest."""
    left = []
    for at in np.flatnonzero(tree.degrees() == 3):
        mine = np.flatnonzero((tree.segments == at).any(axis=1))
        other = np.where(tree.segments[mine, 0] == at, tree.segments[mine, 1], tree.segments[mine, 0])
        way = tree.points_um[other] - tree.points_um[at]
        square = tree.radius_um[mine] ** 2
        pull = square[:, None] * way / np.linalg.norm(way, axis=1)[:, None]
        left.append(np.linalg.norm(pull.sum(axis=0)) / square.max())
    return np.array(left)


def test_joints_are_moved_to_where_the_pulls_of_their_vessels_balance() -> None:
    """r^2 l has its least sum where the vectors r^2 u add up to nothing (Kamiya and Togawa 1972)."""
    settings = GrowthSettings((Inlet((-500.0, 0.0, 0.0)),), 60, 1e5, 500.0, wall_um=1.0, gap_um=0.5)
    growing, _ = begin(box((1000.0, 1000.0, 1000.0)), settings, np.random.default_rng(3), None, 60)
    final = {Role.INLET: 60}
    growing.grow_role(Role.INLET, 60, final, None)
    before, moved = network_of(growing), 0
    trees = growing.trees
    for _ in range(8):
        growing.prepare(final)
        cells = make_cells(growing.bounds(), 150.0, len(trees.length), 1 << 16)  # there is always room in it
        enlist_all(cells, trees, growing.radius[: int(trees.used[0])] * 1.2)
        moved += relax(
            cells, trees, growing.domain.field, growing.first, growing.first, int(trees.used[0]), growing.radius,
            growing.wall_um, growing.gap_um, settings.exponent, growing.work,
        )  # fmt: skip
    after = network_of(growing)
    assert moved > 40
    assert after.cylinder_volume_um3 < 0.98 * before.cylinder_volume_um3
    assert np.median(pulls_left(after)) < 0.5 * np.median(pulls_left(before))


@pytest.mark.parametrize(("depth", "is_room"), [(12.0, False), (16.0, False), (22.0, False), (25.0, True)])
def test_an_inlet_inside_keeps_its_trunk_and_the_wall_from_the_surface(depth: float, is_room: bool) -> None:
    """A trunk of 10 um and 30 % more, and a wall of 10 um: 23 um."""
    settings = GrowthSettings((Inlet((-100.0 + depth, 0.0, 0.0)),), terminals=2, wall_um=10.0)
    domain = box((200.0, 200.0, 200.0))
    if not is_room:
        with pytest.raises(DataRefused, match="need 23 um"):
            root_of(domain, settings, 0, 10.0)
        return
    assert root_of(domain, settings, 0, 10.0).start_um.tolist() == [-75.0, 0.0, 0.0]


def test_a_stub_from_the_surface_ends_where_trunk_and_wall_have_room() -> None:
    settings = GrowthSettings((Inlet((-100.0, 0.0, 0.0)),), terminals=2, wall_um=10.0)
    root = root_of(box((200.0, 200.0, 200.0)), settings, 0, 10.0)
    assert root.start_um[0] < -110.0
    assert root.end_um[0] + 100.0 >= 23.0


@pytest.mark.parametrize("step", [s for s in itertools.product((-1, 0, 1), repeat=3) if s > (0, 0, 0)])
def test_voxels_that_touch_at_a_face_an_edge_or_a_corner_are_one_place(step: tuple[int, int, int]) -> None:
    """Two voxels of tissue, everything else outside; then the same two a voxel further apart."""
    far = vessel((1000.0, 0, 0), (1100.0, 0, 0), 5.0)
    for stretch, places in ((1, 1), (2, 2)):
        both = np.array([[2.5, 2.5, 2.5], np.add((2.5, 2.5, 2.5), np.multiply(step, stretch))])

        def clearance(points: np.ndarray, both: np.ndarray = both) -> np.ndarray:
            return 0.4 - np.linalg.norm(points[:, None] - both, axis=2).min(axis=1)

        domain: Any = SimpleNamespace(bounds_um=np.array([[0.0] * 3, [5.0] * 3]), clearance_um=clearance)
        found = coverage(domain, far, 10.0, 1.0)
        assert (found.voxels, found.places) == (2, places)
        assert sum(one.volume_um3 for one in found.largest) == pytest.approx(2.0)


def test_cells_at_a_bath_have_the_part_that_shortley_and_weller_give_them() -> None:
    """(1 + theta)/2 of a cell whose centre is theta cells from the boundary; one axis cut, by Pythagoras."""
    radius, h = 100.0, 12.5
    grid = grid_of(sphere(radius), h, is_held=True)
    centre = (np.arange(1, grid.inside.shape[0] - 1) - 0.5) * h - radius
    checked = 0
    for i, j, k in itertools.product(range(len(centre)), repeat=3):
        at = np.array([centre[i], centre[j], centre[k]])
        room = np.array([np.sqrt(max(radius**2 - (at**2).sum() + at[a] ** 2, 0.0)) - abs(at[a]) for a in range(3)])
        if (at**2).sum() >= radius**2 or (room < h).sum() != 1:
            continue
        assert grid.volume[i + 1, j + 1, k + 1] == pytest.approx(0.5 + 0.5 * room.min() / h, abs=1e-5)
        checked += 1
    assert checked > 100


def krogh(inner: float, outer: float, m0: float, km: float) -> Any:
    """Krogh's cylinder with Michaelis and Menten's consumption, by collocation (scipy)."""

    def rhs(r: Any, y: Any) -> Any:
        return np.vstack([y[1], m0 * 1e-12 / D * y[0] / (km + y[0]) - y[1] / r])

    r = np.geomspace(inner, outer, 200)
    return solve_bvp(
        rhs, lambda a, b: np.array([a[0] - C0, b[1]]), r, np.vstack([C0 + 0 * r, 0 * r]), tol=1e-8, max_nodes=20000
    ).sol


@pytest.mark.parametrize("radius", [2.4, 6.0])
def test_a_thin_vessel_in_a_narrow_cylinder_of_hungry_tissue(radius: float) -> None:
    """Cells of 8 um, tissue of 5 cells: what is consumed within the smeared source counts."""
    h, outer, m0, km = 8.0, 40.0, 0.15, 0.1
    network = vessel((1.0, -2.0, -110.0), (1.0, -2.0, 110.0), radius)
    domain = cylinder(outer, 200.0, (1.0, -2.0, 0.0), (0.0, 0.0, 1.0))
    flow: Any = SimpleNamespace(flow_um3_s=np.array([1e12]), pressure_pa=np.array([100.0, 0.0]))
    found = oxygen(domain, network, flow, Tissue(D, m0, km), carrier=Carrier(sherwood=None), spacing_um=h)
    place = np.array(found.low_um) + (np.argwhere(found.kind == 1) + 0.5) * h
    rho = np.hypot(place[:, 0] - 1.0, place[:, 1] + 2.0)
    exact = krogh(radius, outer, m0, km)
    judged = (rho > 3.2 * h) & (np.abs(place[:, 2]) < 40.0)
    drop = C0 - float(exact(outer)[0])
    error = (found.c_mol_m3[found.kind == 1][judged] - exact(rho[judged])[0]) / drop
    assert abs(error.mean()) < 0.0055


@pytest.mark.parametrize(("left", "is_told"), [(0.04, True), (0.5, False), (0.97, False)])
def test_a_fluid_that_comes_out_empty_is_told(left: float, is_told: bool) -> None:
    network = thread()
    found: Any = SimpleNamespace(
        balance=Balance(1.0, left, 0.0, 1.0 - left),
        hypoxic=0.0, hypoxic_doubt=0.0, spacing_um=5.0, minimum_at_um=(0.0, 0.0, 0.0),
    )  # fmt: skip
    tissue = Tissue(D, 0.01, 1e-3)
    flow, covered = solve_flow(network, Fluid()), coverage(cube(), network, 300.0, 40.0)
    perfusion = Perfusion(network, cube(), Fluid(), flow, covered, tissue, None, found)
    told = [line for line in cautions_of(perfusion) if "of its oxygen" in line]
    assert bool(told) == is_told
    assert not is_told or "96 %" in told[0]
