"""Grown trees: physics, room, contacts, bounds, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve
from vessel_contacts import contacts_by_definition

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.domain import box, sphere, torus
from poliqi.lab.print.growth.contacts import contacts
from poliqi.lab.print.growth.grow import grow, grow_to
from poliqi.lab.print.growth.radii import murray_residual, tree_radii
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.network import Kind, Network, Role

CUBE = box((1000.0, 1000.0, 1000.0))
WEST = (-500.0, 0.0, 0.0)
GAP, WALL = 4.0, 6.0


def _settings(*inlets: Inlet, **changes) -> GrowthSettings:
    return GrowthSettings(inlets or (Inlet(WEST),), **{"terminals": 80, "gap_um": GAP, "wall_um": WALL, **changes})


@pytest.fixture(scope="module")
def tree() -> Network:
    return grow(CUBE, _settings())


def _outwards(network: Network) -> np.ndarray:
    veins = network.kind == Kind.VEIN
    return np.where(veins[:, None], network.segments[:, ::-1], network.segments)


def _terminal_flows(network: Network, settings: GrowthSettings) -> np.ndarray:
    """Flow into each leaf held at the terminal pressure: Poiseuille and Kirchhoff, by scipy alone."""
    n = len(network.points_um)
    i, j = network.segments.T
    g = np.pi * network.radius_um**4 / (8 * settings.viscosity_pa_s * network.length_um)
    laplace = coo_matrix((np.r_[g, g, -g, -g], (np.r_[i, j, i, j], np.r_[i, j, j, i])), shape=(n, n)).tocsr()
    fixed = np.full(n, np.nan)
    fixed[network.degrees() == 1] = settings.terminal_pressure_pa
    for port in network.ports:
        fixed[port.node] = port.pressure_pa
    free = np.isnan(fixed)
    pressure = np.where(free, 0.0, fixed)
    pressure[free] = spsolve(laplace[free][:, free], -laplace[free][:, ~free] @ fixed[~free])
    inflow = laplace @ pressure
    leaf = (network.degrees() == 1) & ~np.isin(np.arange(n), [port.node for port in network.ports])
    return -inflow[leaf]


def test_terminals_flow_and_murray(tree: Network) -> None:
    settings = _settings()
    flows = _terminal_flows(tree, settings)
    assert len(flows) == 80
    assert flows == pytest.approx(settings.flow_um3_s / 80, rel=1e-9)
    assert flows.std() / flows.mean() < 1e-10
    assert murray_residual(tree.segments, tree.radius_um).max() < 1e-12


def test_recomputed_radii_are_those_of_the_tree(tree: Network) -> None:
    settings = _settings()
    radius = tree_radii(
        tree.points_um,
        tree.segments,
        terminal_flow_um3_s=settings.flow_um3_s / 80,
        pressure_drop_pa=settings.pressure_drop_pa,
        viscosity_pa_s=settings.viscosity_pa_s,
    )
    assert radius == pytest.approx(tree.radius_um, rel=1e-12)


def test_volume_is_well_below_that_of_terminals_joined_at_random(tree: Network) -> None:
    settings = _settings()
    leaves = np.flatnonzero(tree.degrees() == 1)[1:]
    draw = np.random.default_rng(4)
    points, segments = [tree.points_um[0], tree.points_um[leaves[0]]], [[0, 1]]
    for leaf in leaves[1:]:
        at = int(draw.integers(len(segments)))
        near, far = segments[at]
        points += [0.5 * (points[near] + points[far]), tree.points_um[leaf]]
        segments[at] = [near, len(points) - 2]
        segments += [[len(points) - 2, far], [len(points) - 2, len(points) - 1]]
    random = np.array(points), np.array(segments, dtype=np.int32)
    radius = tree_radii(
        *random,
        terminal_flow_um3_s=settings.flow_um3_s / 80,
        pressure_drop_pa=settings.pressure_drop_pa,
        viscosity_pa_s=settings.viscosity_pa_s,
    )
    length = np.linalg.norm(random[0][random[1][:, 1]] - random[0][random[1][:, 0]], axis=1)
    assert tree.cylinder_volume_um3 < 0.5 * np.pi * (radius**2 * length).sum()


def test_judge_agrees_with_all_pairs_on_a_tree_with_contacts(tree: Network) -> None:
    swollen = Network(tree.points_um, tree.segments, tree.radius_um * 3.0, tree.kind, tree.tree, tree.ports)
    found = contacts(swollen, 25.0)
    pairs = {tuple(pair) for pair in found.pairs.tolist()}
    sampled = contacts_by_definition(swollen, 25.0)
    assert sampled
    assert sampled <= pairs <= contacts_by_definition(swollen, 25.0, slack=12.0)
    assert len(pairs) < 1.1 * len(sampled)
    assert (found.distance_um < 25.0).all()


def test_what_is_in_contact_is_so_at_every_larger_gap(tree: Network) -> None:
    swollen = Network(tree.points_um, tree.segments, tree.radius_um * 3.0, tree.kind, tree.tree, tree.ports)
    before: set[tuple[int, ...]] = set()
    for gap in (0.0, 1.0, 5.0, 15.0, 40.0):
        pairs = {tuple(pair) for pair in contacts(swollen, gap).pairs.tolist()}
        assert before <= pairs
        before = pairs
    assert before


def test_judge_finds_none_in_what_was_grown(tree: Network) -> None:
    assert not len(contacts(tree, GAP))
    assert not contacts_by_definition(tree, GAP)


def test_judge_takes_meshes_and_parallel_vessels() -> None:
    points = np.array([[0.0, 0, 0], [100, 0, 0], [100, 8, 0], [0, 8, 0]])
    segments = np.array([[0, 1], [1, 2], [2, 3], [3, 0]], dtype=np.int32)
    ring = Network(points, segments, np.full(4, 3.0), np.zeros(4, np.uint8), np.full(4, -1, np.int32), ())
    found = contacts(ring, 3.0)  # the long sides: surfaces 2 um apart; where they are one lumen, they may be
    assert found.pairs.tolist() == [[0, 2]]
    assert found.distance_um[0] == pytest.approx(2.0)
    assert not len(contacts(ring, 1.9))
    with pytest.raises(ConfigError, match="gap_um"):
        contacts(ring, -1.0)


def _check_wall(domain, network: Network, wall: float) -> None:
    inner = np.ones(len(network.segments), dtype=bool)
    inner[: len(network.ports)] = False  # the stubs pierce the wall
    t = np.linspace(0, 1, 25)
    along = network.start_um[inner, None] + t[:, None] * (network.end_um - network.start_um)[inner, None]
    clear = domain.clearance_um(along.reshape(-1, 3)).reshape(-1, 25)
    assert (clear >= network.radius_um[inner, None] + wall - 1e-6).all()


@pytest.mark.parametrize(
    ("domain", "inlet"),
    [
        (CUBE, WEST),
        (sphere(600.0), (0.0, 0.0, 600.0)),
        (torus(700.0, 250.0), (950.0, 0.0, 0.0)),
        (
            box((1000.0, 1000.0, 400.0)).minus(box((600.0, 600.0, 500.0), (250.0, 250.0, 0.0))),
            (-500.0, -300.0, 0.0),
        ),
    ],
)
def test_walls_are_kept_and_the_trunk_opens_outside(domain, inlet) -> None:
    network = grow(domain, _settings(Inlet(inlet), seed=3))
    _check_wall(domain, network, WALL)
    assert not len(contacts(network, GAP))
    port = network.ports[0]
    outside = -float(domain.clearance_um(network.points_um[port.node][None])[0])
    assert outside >= network.radius_um[0]


def test_obstacles_and_vessels_that_are_there_are_kept_clear_of(tree: Network) -> None:
    domain = CUBE.minus(sphere(200.0))
    network = grow(domain, _settings(Inlet((500.0, 0.0, 0.0)), terminals=60, seed=2), avoid=tree)
    _check_wall(domain, network, WALL)
    both = Network(
        np.concatenate((tree.points_um, network.points_um)),
        np.concatenate((tree.segments, network.segments + len(tree.points_um))).astype(np.int32),
        np.concatenate((tree.radius_um, network.radius_um)),
        np.concatenate((tree.kind, network.kind)),
        np.concatenate((tree.tree, network.tree + 1)).astype(np.int32),
        (*tree.ports, *network.ports),
    )
    assert not len(contacts(both, GAP))


def test_trees_of_several_inlets_share_the_tissue() -> None:
    inlets = (Inlet(WEST, 0.25), Inlet((500.0, 0.0, 0.0), 0.75), Inlet((0.0, 500.0, 0.0), role=Role.OUTLET))
    settings = _settings(*inlets, terminals=60)
    network = grow(CUBE, settings)
    assert not len(contacts(network, GAP))
    assert [round(port.flow_um3_s / settings.flow_um3_s * 60) for port in network.ports] == [15, 45, 60]
    vein = network.ports[2].node
    assert vein in network.segments[:, 1]
    assert vein not in network.segments[:, 0]
    assert (network.kind[network.tree == 2] == Kind.VEIN).all()
    flows = _terminal_flows(network, settings)
    assert np.sort(flows)[:60] == pytest.approx(-settings.flow_um3_s / 60, rel=1e-9)
    assert np.sort(flows)[60:] == pytest.approx(settings.flow_um3_s / 60, rel=1e-9)
    for tree_at in range(3):
        own = _outwards(network)[network.tree == tree_at]
        assert murray_residual(own, network.radius_um[network.tree == tree_at]).max() < 1e-12


def test_the_same_seed_gives_the_same_tree(tree: Network) -> None:
    again, other = grow(CUBE, _settings()), grow(CUBE, _settings(seed=2))
    assert np.array_equal(again.points_um, tree.points_um)
    assert np.array_equal(again.radius_um, tree.radius_um)
    assert len(other.points_um) != len(tree.points_um) or not np.array_equal(other.points_um, tree.points_um)


def test_leaves_end_exactly_at_targets() -> None:
    targets = np.random.default_rng(5).uniform(-450, 450, (60, 3))
    targets[7] = [2000.0, 0.0, 0.0]  # outside
    network, reached = grow_to(CUBE, _settings(), targets)
    assert not reached[7]
    assert reached.sum() >= 57
    ends = {tuple(point) for point in network.points_um[network.degrees() == 1].tolist()}
    assert all((tuple(target) in ends) == hit for target, hit in zip(targets.tolist(), reached, strict=True))
    assert network.ports[0].flow_um3_s == pytest.approx(_settings().flow_um3_s * reached.sum() / 60)
    assert not len(contacts(network, GAP))


def test_no_growth_freezes() -> None:
    for seed in range(12):
        assert len(_terminal_flows(grow(CUBE, _settings(terminals=40, seed=100 + seed)), _settings())) == 40


@pytest.mark.parametrize(
    ("inlet", "changes", "words"),
    [
        ((-520.0, 0.0, 0.0), {}, r"lies 20 um outside"),
        ((-490.0, 0.0, 0.0), {}, r"is 10 um from the wall"),
        (WEST, {"flow_um3_s": 1e14}, "too narrow there"),
        (WEST, {"gap_um": 400.0}, "starts failed"),
        (WEST, {"least_radius_um": 5.0}, "narrowest lumen has a radius"),
        (WEST, {"largest_radius_um": 5.0}, "trunk has a radius"),
    ],
)
def test_what_cannot_be_grown_is_refused_with_numbers(inlet, changes, words) -> None:
    with pytest.raises(DataRefused, match=words):
        grow(CUBE, _settings(Inlet(inlet), **changes))


def test_growth_can_be_stopped() -> None:
    def stop(done: int, total: int) -> None:
        assert 0 < done <= total == 80
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow(CUBE, _settings(), progress=stop)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(200))
def test_no_growth_freezes_over_many_seeds(seed: int) -> None:
    network = grow(CUBE, _settings(terminals=300, seed=1000 + seed))
    assert not len(contacts(network, GAP))


def test_small_trees_are_relaxed_too() -> None:
    """Sixty terminals: joints move to less volume, which a tree that nobody relaxed still has in it."""
    grown = grow(box((1000.0, 1000.0, 1000.0)), _settings(terminals=60))
    pulls = []
    for node in np.flatnonzero(grown.degrees() == 3):
        ends = np.concatenate(
            (grown.end_um[grown.segments[:, 0] == node], grown.start_um[grown.segments[:, 1] == node])
        )
        thick = np.concatenate(
            (grown.radius_um[grown.segments[:, 0] == node], grown.radius_um[grown.segments[:, 1] == node])
        )
        way = ends - grown.points_um[node]
        pull = (thick**2)[:, None] * way / np.linalg.norm(way, axis=1)[:, None]
        pulls.append(np.linalg.norm(pull.sum(axis=0)) / (thick**2).sum())
    assert np.median(pulls) < 0.1  # of forces r^2 along the vessels, nought at the least sum of r^2 l


@pytest.mark.parametrize(
    ("inlet", "told"),
    [
        ((-600.0, 40.0, 30.0), r"100 um outside .*such as \(-500, 40, 30\)\)"),
        ((-490.0, 10.0, 0.0), r"such as \(-500, 10, 0\)"),
    ],
)
def test_an_inlet_beside_the_surface_is_told_the_nearest_point_of_it(
    inlet: tuple[float, float, float], told: str
) -> None:
    with pytest.raises(DataRefused, match=told):
        grow(CUBE, _settings(Inlet(inlet)))
