"""Balanced radii: equal terminal flows by an independent solve, Murray's law, bounds, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.domain import box
from poliqi.lab.print.flow.capillaries import capillary_radii
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.flow.levels import levels_of
from poliqi.lab.print.flow.opentree import open_trees
from poliqi.lab.print.flow.rebalance import flow_cv, rebalance, terminal_flows
from poliqi.lab.print.flow.solve import solve_flow
from poliqi.lab.print.growth.contacts import contacts
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.network import Kind, Network, Port, Role

MEDIUM = Fluid()
BLOOD = Fluid.blood()


def random_tree(seed: int, terminals: int) -> Network:
    """A binary tree with random places, radii and a bent vessel; its root is point 0."""
    rng = np.random.default_rng(seed)
    segments, leaves, n = [(0, 1)], [1], 2
    while len(leaves) < terminals:
        at = leaves.pop(int(rng.integers(len(leaves))))
        segments += [(at, n), (at, n + 1)]
        leaves += [n, n + 1]
        n += 2
    segments.append((leaves[0], n))  # a bend
    m = len(segments)
    return Network(
        rng.uniform(0.0, 1000.0, (n + 1, 3)),
        np.array(segments, np.int32),
        rng.uniform(4.0, 30.0, m),
        np.zeros(m, np.uint8),
        np.zeros(m, np.int32),
        (Port(0, Role.INLET, 900.0, 1e6),),
    )


def closed(seed: int, terminals: int) -> Network:
    """Two random trees, the ends of one joined with those of the other in random order, half of it by bent ways."""
    artery, vein = random_tree(seed, terminals), random_tree(seed + 1, terminals)
    rng = np.random.default_rng(seed)
    n, m = len(artery.points_um), len(artery.radius_um)
    ends, starts = levels_of(artery).leaf_point, n + rng.permutation(levels_of(vein).leaf_point)
    middle = 2 * n + np.arange(terminals)
    capillaries = np.concatenate([np.stack([ends, middle], 1), np.stack([middle, starts], 1)])
    return Network(
        np.concatenate([artery.points_um, vein.points_um, rng.uniform(0.0, 1000.0, (terminals, 3))]),
        np.concatenate([artery.segments, vein.segments[:, ::-1] + n, capillaries]).astype(np.int32),
        np.concatenate([artery.radius_um, vein.radius_um, np.full(2 * terminals, 8.0)]),
        np.repeat([Kind.ARTERY, Kind.VEIN, Kind.CAPILLARY], [m, m, 2 * terminals]).astype(np.uint8),
        np.repeat([0, 1, -1], [m, m, 2 * terminals]).astype(np.int32),
        (Port(0, Role.INLET, 9000.0, 1e4 * terminals), Port(n, Role.OUTLET, 500.0, 1e4 * terminals)),
    )


def worst_murray(network: Network, exponent: float = 3.0) -> float:
    """Largest deviation of r0^g from the sum of its branches, by a plain loop over the arteries."""
    worst = 0.0
    arteries = [k for k in range(len(network.kind)) if network.kind[k] == Kind.ARTERY]
    for one in arteries:
        below = [k for k in arteries if network.segments[k, 0] == network.segments[one, 1]]
        if below:
            power = network.radius_um[one] ** exponent
            worst = max(worst, abs(sum(network.radius_um[k] ** exponent for k in below) / power - 1.0))
    return worst


@given(seed=st.integers(0, 2**31), terminals=st.integers(2, 40), blood=st.booleans(), g=st.sampled_from([2.5, 3.0]))
@settings(max_examples=25, deadline=None)
def test_open_trees_share_their_flow(seed: int, terminals: int, blood: bool, g: float) -> None:
    tree, fluid = random_tree(seed, terminals), BLOOD if blood else MEDIUM
    balanced = rebalance(tree, fluid, exponent=g, gap_um=None)
    assert flow_cv(balanced, solve_flow(balanced, fluid)) < 1e-10
    assert worst_murray(balanced, g) < 1e-12
    assert balanced.radius_um[0] == tree.radius_um[0]  # the trunk stays
    assert balanced.points_um is tree.points_um


def test_blood_in_radii_for_a_medium_is_shared_unevenly() -> None:
    """The reason for it all: the spread of terminal flows in a balanced tree when blood replaces the medium."""
    tree = rebalance(random_tree(5, 200), MEDIUM, gap_um=None)
    tree = replace(tree, radius_um=tree.radius_um * 5.0 / tree.radius_um.min())
    assert flow_cv(tree, solve_flow(tree, MEDIUM)) < 1e-10
    assert flow_cv(tree, solve_flow(tree, BLOOD)) > 0.01
    assert flow_cv(tree, solve_flow(rebalance(tree, BLOOD, gap_um=None), BLOOD)) < 1e-10


@given(seed=st.integers(0, 2**31), terminals=st.integers(1, 30), blood=st.booleans())
@settings(max_examples=20, deadline=None)
def test_closed_networks_feed_all_capillaries_alike(seed: int, terminals: int, blood: bool) -> None:
    fluid = BLOOD if blood else MEDIUM
    network = rebalance(closed(seed, terminals), fluid, gap_um=None, flow_um3_s=2e3 * terminals)
    flow = solve_flow(network, fluid)
    capillaries = np.abs(flow.flow_um3_s[network.kind == Kind.CAPILLARY])
    assert capillaries == pytest.approx(np.full(2 * terminals, 2e3), rel=1e-8)  # both halves of each
    assert terminal_flows(network, flow) == pytest.approx(np.full(terminals, 2e3), rel=1e-8)
    assert [port.flow_um3_s for port in network.ports] == pytest.approx([2e3 * terminals] * 2)
    assert [port.pressure_pa for port in network.ports] == [9000.0, 500.0]
    assert worst_murray(network) < 1e-12


@pytest.mark.parametrize("fluid", [MEDIUM, BLOOD])
def test_capillaries_of_any_length_resist_alike(fluid: Fluid) -> None:
    lengths = np.array([40.0, 55.0, 120.0, 640.0])
    radii = capillary_radii(lengths, 4.0, 40.0, fluid)
    assert radii[0] == pytest.approx(4.0)
    resistance = fluid.viscosity_in(radii) * lengths / radii**4
    assert resistance == pytest.approx(np.full(4, resistance[0]), rel=1e-10)
    if not fluid.is_blood:
        assert radii[3] == pytest.approx(8.0)  # 16 times the length, twice the radius


def test_capillaries_may_not_take_all_the_pressure() -> None:
    with pytest.raises(DataRefused, match=r"capillaries alone take .* Pa of the 8500 Pa"):
        rebalance(closed(1, 5), MEDIUM, gap_um=None, flow_um3_s=1e12)


def test_bounds_are_kept() -> None:
    tree = random_tree(3, 30)
    with pytest.raises(DataRefused, match=r"below the radius of 10 um; the worst, .* at \("):
        rebalance(tree, MEDIUM, gap_um=None, lowest_um=10.0)
    with pytest.raises(DataRefused, match="above the radius of 3 um"):
        rebalance(tree, MEDIUM, gap_um=None, largest_um=3.0)
    trunk = float(tree.radius_um[0])
    assert rebalance(tree, MEDIUM, gap_um=None, largest_um=trunk).radius_um.max() == trunk


def test_vessels_that_come_to_touch_are_told() -> None:
    """Two parallel branches 30 um apart, from a trunk of 40 um: each gets 40/2^(1/3) = 31.7 um."""
    points = np.array(
        [[0, 0, 0], [0, 0, 100], [0, 15, 200], [0, -15, 200], [0, 15, 900], [0, -15, 900]], np.float64
    )
    segments = np.array([[0, 1], [1, 2], [1, 3], [2, 4], [3, 5]], np.int32)
    tree = Network(
        points, segments, np.array([40.0, 2.0, 2.0, 2.0, 2.0]), np.zeros(5, np.uint8), np.zeros(5, np.int32),
        (Port(0, Role.INLET, 900.0, 1e6),),
    )  # fmt: skip
    with pytest.raises(DataRefused, match=r"pairs of vessels come nearer than 0 um, first \d and \d at \("):
        rebalance(tree, MEDIUM)
    assert rebalance(tree, MEDIUM, gap_um=None).radius_um[1] == pytest.approx(40.0 / 2 ** (1 / 3))


def test_only_trees_can_be_balanced() -> None:
    tree = random_tree(2, 4)
    segments = np.concatenate([tree.segments[:-1], [[1, tree.segments[-1, 0]]]]).astype(np.int32)
    ring = replace(tree, segments=segments,
                   points_um=tree.points_um[:-1])  # fmt: skip
    with pytest.raises(DataRefused, match="closes a loop"):
        rebalance(ring, MEDIUM, gap_um=None)
    with pytest.raises(DataRefused, match="hangs on no port"):
        rebalance(replace(tree, ports=(Port(2, Role.INLET, 1.0, 1.0),)), MEDIUM, gap_um=None)


def test_a_capillary_that_joins_nothing_is_told() -> None:
    network = closed(4, 3)
    kind = network.kind.copy()
    keep = np.ones(len(kind), np.bool_)
    keep[-1] = False  # the second half of a capillary: its vein's end is left alone
    cut = Network(network.points_um, network.segments[keep], network.radius_um[keep], kind[keep],
                  network.tree[keep], network.ports)  # fmt: skip
    with pytest.raises(DataRefused, match=r"an end has no capillary|joins"):
        rebalance(cut, MEDIUM, gap_um=None)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="an open tree has its port's flow"):
        rebalance(random_tree(1, 3), MEDIUM, flow_um3_s=1.0)
    with pytest.raises(ConfigError, match="arterial_share = 1"):
        rebalance(closed(1, 3), MEDIUM, arterial_share=1.0, gap_um=None)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_large_trees_with_blood(seed: int) -> None:
    tree = random_tree(seed, 5000)
    balanced = rebalance(tree, BLOOD, gap_um=None)
    assert flow_cv(balanced, solve_flow(balanced, BLOOD)) < 1e-9


@given(seed=st.integers(0, 2**31), terminals=st.integers(2, 30), vein=st.booleans())
@settings(max_examples=20, deadline=None)
def test_open_trees_of_blood_take_the_pressure_they_are_given(seed: int, terminals: int, vein: bool) -> None:
    tree = random_tree(seed, terminals)
    if vein:
        tree = replace(
            tree, segments=tree.segments[:, ::-1].copy(), kind=np.full_like(tree.kind, Kind.VEIN),
            ports=(Port(0, Role.OUTLET, 100.0, 1e6),),
        )  # fmt: skip
    balanced = rebalance(tree, BLOOD, terminal_pressure_pa=500.0, gap_um=None)
    flow = solve_flow(balanced, BLOOD, terminal_pressure_pa=500.0)
    assert flow_cv(balanced, flow) < 1e-9
    assert flow.port_flow_um3_s[0] == pytest.approx(-1e6 if vein else 1e6, rel=1e-8)
    assert worst_murray(balanced) < 1e-12


def test_trees_grown_for_blood_carry_the_designed_flow_at_the_designed_pressure() -> None:
    """By a dense solution of Kirchhoff's equations that shares nothing with the package's solver."""
    growth = GrowthSettings(
        (Inlet((-500.0, 0.0, 0.0)),), terminals=30, flow_um3_s=1e7, pressure_drop_pa=800.0,
        terminal_pressure_pa=300.0, gap_um=8.0, wall_um=8.0,
    )  # fmt: skip
    domain = box((1000.0, 1000.0, 1000.0))
    tree = open_trees(domain, growth, BLOOD)
    g = np.pi * tree.radius_um**4 / (8.0 * BLOOD.viscosity_in(tree.radius_um) * tree.length_um)
    n = len(tree.points_um)
    laplace = np.zeros((n, n))
    for (a, b), k in zip(tree.segments.tolist(), g.tolist(), strict=True):
        laplace[a, a] += k
        laplace[b, b] += k
        laplace[a, b] -= k
        laplace[b, a] -= k
    port = tree.ports[0]
    ends = np.setdiff1d(np.flatnonzero(np.bincount(tree.segments.ravel()) == 1), [port.node])
    pressure = np.full(n, 300.0)
    pressure[port.node] = 1100.0
    free = np.setdiff1d(np.arange(n), [port.node, *ends])
    held = np.setdiff1d(np.arange(n), free)
    pressure[free] = np.linalg.solve(laplace[np.ix_(free, free)], -laplace[np.ix_(free, held)] @ pressure[held])
    out = -(laplace @ pressure)[ends]
    assert port.pressure_pa == 1100.0
    assert len(ends) == 30
    assert out == pytest.approx(np.full(30, 1e7 / 30), rel=1e-7)
    assert out.std() / out.mean() < 1e-9
    assert not len(contacts(tree, 8.0).pairs)
    middle = (tree.start_um + tree.end_um)[1:] / 2.0  # the first is the stub through the wall
    assert (domain.clearance_um(middle) - tree.radius_um[1:]).min() >= 8.0 - 1e-6


def test_an_open_tree_needs_a_flow_and_a_drop() -> None:
    tree = random_tree(1, 4)
    with pytest.raises(DataRefused, match="-100 Pa between port and terminals"):
        rebalance(tree, BLOOD, terminal_pressure_pa=1000.0, gap_um=None)
    with pytest.raises(DataRefused, match="0 um\\^3/s through its port"):
        rebalance(replace(tree, ports=(Port(0, Role.INLET, 900.0, 0.0),)), BLOOD, terminal_pressure_pa=1.0)
    with pytest.raises(ConfigError, match="a closed network has none"):
        rebalance(closed(1, 3), BLOOD, terminal_pressure_pa=1.0)


@pytest.mark.parametrize("exponent", [2.0, 2.19, 4.1])
def test_exponents_with_which_nothing_grows_are_refused(exponent: float) -> None:
    with pytest.raises(ConfigError, match="share a lumen"):
        GrowthSettings((Inlet((0.0, 0.0, 0.0)),), exponent=exponent)
