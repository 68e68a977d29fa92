"""Closed networks: guarantees checked by independent graph code, and the pieces they are made with."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.closure.capsules import capsules_of, distances, distances_numpy
from poliqi.lab.print.closure.close import close
from poliqi.lab.print.closure.join import cut_back
from poliqi.lab.print.closure.report import closure_report
from poliqi.lab.print.closure.settings import ClosureSettings
from poliqi.lab.print.domain.domain import Domain, box, sphere, torus
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.flow.solve import solve_flow
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.network import Kind, Network, Port, Role

SHORT = ClosureSettings(most_left_out=0.3)


def in_and_out(
    inlet: tuple[float, float, float], outlet: tuple[float, float, float], n: int, seed: int
) -> GrowthSettings:
    return GrowthSettings(
        (Inlet(inlet), Inlet(outlet, role=Role.OUTLET)), terminals=n, flow_um3_s=5e4 * n, seed=seed
    )


@cache
def cube(seed: int, terminals: int = 40) -> Network:
    domain = box((800.0, 800.0, 800.0))
    return close(domain, in_and_out((-400.0, 0.0, 0.0), (400.0, 0.0, 0.0), terminals, seed), SHORT)


def shapes() -> dict[str, tuple[Domain, GrowthSettings]]:
    return {
        "cube": (box((800.0,) * 3), in_and_out((-400.0, 0.0, 0.0), (400.0, 0.0, 0.0), 40, 3)),
        "sphere": (sphere(450.0), in_and_out((-450.0, 0.0, 0.0), (450.0, 0.0, 0.0), 40, 4)),
        "torus": (torus(600.0, 300.0), in_and_out((-900.0, 0.0, 0.0), (900.0, 0.0, 0.0), 40, 5)),
    }


def bridges_to_nowhere(network: Network) -> set[int]:
    """Segments on no simple way from an inlet to an outlet, by lowpoints (Tarjan) with all ports joined in one.

    Ports are joined by one more node; what lies on a way from port to port is then in a ring through that node.
    """
    hub = len(network.points_um)
    edges = [(int(a), int(b)) for a, b in network.segments] + [(port.node, hub) for port in network.ports]
    around: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, (a, b) in enumerate(edges):
        around[a].append((b, number))
        around[b].append((a, number))
    seen, low = {hub: 0}, {hub: 0}
    stack, path, good = [(hub, -1, iter(around[hub]))], [], set()
    while stack:
        node, by, rest = stack[-1]
        for other, number in rest:
            if number == by:
                continue
            if other not in seen:
                seen[other] = low[other] = len(seen)
                path.append(number)
                stack.append((other, number, iter(around[other])))
                break
            if seen[other] < seen[node]:
                path.append(number)
                low[node] = min(low[node], seen[other])
        else:
            stack.pop()
            if stack:
                above = stack[-1][0]
                low[above] = min(low[above], low[node])
                if low[node] >= seen[above]:  # a block ends here; those at the hub are the good ones
                    cut = path.index(by)
                    if above == hub and len(path) - cut > 1:
                        good |= set(path[cut:])
                    del path[cut:]
    return {number for number in range(len(network.segments)) if number not in good}


def least_gap(network: Network, gap: float) -> float:
    """Least distance between lumens of vessels whose ends are far apart along the lumens, by sampling all axes."""
    n = len(network.points_um)
    graph = sparse.coo_array((network.length_um, tuple(network.segments.T)), shape=(n, n))
    ways = csgraph.dijkstra(graph, directed=False)
    t = np.linspace(0.0, 1.0, 15)
    samples = network.start_um[:, None] + t[:, None] * (network.end_um - network.start_um)[:, None]
    least = np.inf
    for k in range(len(network.segments)):
        way = ways[network.segments[k]].min(axis=0)[network.segments].min(axis=1)
        apart = way > 3.0 * (network.radius_um + network.radius_um[k] + gap)
        if not apart.any():
            continue
        one = replace_by(network, k)
        away = distances_numpy(one, samples[apart].reshape(-1, 3)).reshape(-1, len(t)).min(axis=1)
        least = min(least, float((away - network.radius_um[apart]).min()))
    return least


def replace_by(network: Network, k: int) -> Network:
    """The network of segment k alone."""
    return Network(
        network.points_um[network.segments[k]], np.array([[0, 1]], np.int32), network.radius_um[k : k + 1],
        network.kind[k : k + 1], np.array([-1], np.int32), (),
    )  # fmt: skip


def assert_closed(network: Network, domain: Domain, growth: GrowthSettings) -> None:
    n = len(network.points_um)
    graph = sparse.coo_array((np.ones(len(network.segments)), tuple(network.segments.T)), shape=(n, n))
    assert csgraph.connected_components(graph, directed=False)[0] == 1
    assert bridges_to_nowhere(network) == set()
    flow = solve_flow(network, Fluid(growth.viscosity_pa_s))
    assert flow.flow_um3_s.min() > 0.0  # everywhere, and the way that was designed
    capillaries = flow.flow_um3_s[network.kind == Kind.CAPILLARY]
    assert capillaries == pytest.approx(np.full(len(capillaries), 5e4), rel=1e-6)
    assert len(capillaries) >= 0.7 * growth.terminals
    assert least_gap(network, growth.gap_um) >= growth.gap_um - 0.2
    inside = domain.clearance_um((network.start_um + network.end_um)[network.kind == Kind.CAPILLARY] / 2.0)
    assert np.all(inside >= growth.wall_um)
    report = closure_report(network, Fluid(growth.viscosity_pa_s), gap_um=growth.gap_um)
    assert report.is_whole
    assert report.gap_um >= growth.gap_um
    assert report.capillary_cv < 1e-6
    assert report.capillaries == len(capillaries)


@pytest.mark.parametrize("name", ["cube", "sphere", "torus"])
def test_a_closed_network_is_one_without_dead_ends(name: str) -> None:
    domain, growth = shapes()[name]
    assert_closed(close(domain, growth, SHORT), domain, growth)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 22))
@pytest.mark.parametrize("name", ["cube", "sphere", "torus"])
def test_closing_over_seeds(name: str, seed: int) -> None:
    domain, growth = shapes()[name]
    growth = replace(growth, seed=seed)
    assert_closed(close(domain, growth, SHORT), domain, growth)


@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.soak), pytest.param(3, marks=pytest.mark.soak)]
)
def test_dense_terminals_are_joined(seed: int) -> None:
    """150 in 1 mm3 at 2 uL/min, terminals of about 5 um radius: nearly all get their vein."""
    growth = GrowthSettings(
        (
            Inlet((-500.0, 0.0, 0.0), pressure_pa=1500.0),
            Inlet((500.0, 0.0, 0.0), role=Role.OUTLET, pressure_pa=500.0),
        ),
        terminals=150, flow_um3_s=2e9 / 60.0, gap_um=10.0, wall_um=10.0, terminal_pressure_pa=1000.0, seed=seed,
    )  # fmt: skip
    network = close(box((1000.0,) * 3), growth, ClosureSettings())
    report = closure_report(network, Fluid(growth.viscosity_pa_s), gap_um=10.0)
    assert report.is_whole
    assert report.gap_um >= 10.0
    assert report.capillary_cv < 1e-6
    assert report.capillaries >= 0.95 * 150


def test_the_same_seed_gives_the_same_network() -> None:
    domain, growth = shapes()["cube"]
    one, other = close(domain, growth, SHORT), close(domain, growth, SHORT)
    assert np.array_equal(one.points_um, other.points_um)
    assert np.array_equal(one.radius_um, other.radius_um)


def test_blood_is_shared_evenly_too() -> None:
    growth = in_and_out((-400.0, 0.0, 0.0), (400.0, 0.0, 0.0), 30, 7)
    fluid = Fluid.blood(0.3)
    network = close(box((800.0,) * 3), replace(growth, flow_um3_s=30 * 1e4), SHORT, fluid=fluid)
    report = closure_report(network, fluid)
    assert report.is_whole
    assert report.capillary_cv < 1e-6


def test_several_inlets_and_outlets() -> None:
    growth = GrowthSettings(
        (Inlet((-400.0, -150.0, 0.0)), Inlet((-400.0, 150.0, 0.0)), Inlet((400.0, 0.0, 0.0), role=Role.OUTLET)),
        terminals=40, flow_um3_s=40 * 5e4, seed=2,
    )  # fmt: skip
    domain = box((800.0,) * 3)
    network = close(domain, growth, SHORT)
    assert_closed(network, domain, growth)
    assert len(network.ports) == 3


def test_a_branch_that_leads_nowhere_is_told() -> None:
    """What the checks of this file and the report say of a network with a dead end put on."""
    network = cube(3)
    tip = network.points_um[network.segments[5, 1]] + [3.0, 4.0, 12.0]
    spoiled = Network(
        np.concatenate([network.points_um, tip[None]]),
        np.concatenate([network.segments, [[network.segments[5, 1], len(network.points_um)]]]).astype(np.int32),
        np.append(network.radius_um, 2.0), np.append(network.kind, network.kind[5]).astype(np.uint8),
        np.append(network.tree, network.tree[5]).astype(np.int32), network.ports,
    )  # fmt: skip
    report = closure_report(spoiled)
    assert report.dead_ends_um.tolist() == [tip.tolist()]
    assert report.still == 1
    assert not report.is_whole
    assert bridges_to_nowhere(spoiled) == {len(network.segments)}


def test_cutting_back_removes_all_that_leads_nowhere() -> None:
    """A trunk that forks twice: without both ends of one fork, its stem goes too."""
    points = np.array([[0, 0, k] for k in range(7)], np.float64) * 50.0
    segments = np.array([[0, 1], [1, 2], [1, 3], [3, 4], [3, 5], [2, 6]], np.int32)
    tree = Network(points, segments, np.full(6, 3.0), np.zeros(6, np.uint8), np.zeros(6, np.int32),
                   (Port(0, Role.INLET, 1.0, 1.0),))  # fmt: skip
    kept = cut_back(tree, np.array([3, 4]))
    assert kept.points_um[:, 2].tolist() == [0.0, 50.0, 100.0, 300.0]
    assert kept.segments.tolist() == [[0, 1], [1, 2], [2, 3]]
    with pytest.raises(DataRefused, match=r"nothing that hangs on the inlet at \(0\.0, 0\.0, 0\.0\)"):
        cut_back(tree, np.array([3, 4, 5]))


@pytest.mark.parametrize("seed", [0, 1])
def test_distances_to_capsules_are_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.uniform(0.0, 1000.0, (300, 3))
    end = start + rng.normal(0.0, 80.0, (300, 3))
    end[0] = start[0] + 1e-9  # a sphere
    segments = np.stack([np.arange(300), np.arange(300) + 300], 1).astype(np.int32)
    network = Network(
        np.concatenate([start, end]), segments, rng.uniform(0.5, 60.0, 300), np.zeros(300, np.uint8),
        np.full(300, -1, np.int32), (),
    )  # fmt: skip
    points = np.concatenate([rng.uniform(-500.0, 1500.0, (3000, 3)), start])  # also outside the grid and on axes
    expected = distances_numpy(network, points)
    assert np.abs(distances(capsules_of(network), points) - expected).max() < 1e-9
    assert np.array_equal(distances(capsules_of(network), points, 50.0), np.minimum(expected, 50.0)) or np.allclose(
        distances(capsules_of(network), points, 50.0), np.minimum(expected, 50.0), atol=1e-9
    )


def growth_with(**settings: object) -> GrowthSettings:
    return replace(in_and_out((-400.0, 0.0, 0.0), (400.0, 0.0, 0.0), 20, 1), **settings)  # type: ignore[arg-type]


def test_what_cannot_be_closed_is_refused_before_growing() -> None:
    domain = box((800.0,) * 3)
    with pytest.raises(ConfigError, match="1 inlets and 0 outlets"):
        close(domain, growth_with(inlets=(Inlet((-400.0, 0.0, 0.0)),)), SHORT)
    with pytest.raises(DataRefused, match=r"capillaries of 4 um radius and 40 um take .* Pa of the 2000 Pa"):
        close(domain, growth_with(flow_um3_s=20 * 1e7), SHORT)


def test_too_long_a_gap_is_told_with_the_place() -> None:
    with pytest.raises(
        DataRefused, match=r"um, by capillaries of 40 to 45 um|could be joined|could not be joined|growth"
    ):
        close(box((800.0,) * 3), growth_with(gap_um=60.0), replace(SHORT, longest_um=45.0))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"capillary_radius_um": 0.0}, "capillary_radius_um = 0"),
        ({"longest_um": float("nan")}, "longest_um = nan"),
        ({"shortest_um": 200.0}, "above longest_um"),
        ({"capillary_radius_um": 25.0}, "no more than the diameter"),
        ({"arterial_share": 1.0}, "arterial_share = 1"),
        ({"tries": 0}, "tries = 0"),
        ({"surplus": 1.5}, "surplus = 1.5"),
        ({"most_left_out": 1.0}, "most_left_out = 1"),
    ],
)
def test_settings_that_cannot_be(changed: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ClosureSettings(**changed)  # type: ignore[arg-type]


def test_least_gap_sees_two_vessels_side_by_side() -> None:
    """The independent check itself: a ladder's rails, 30 um apart, radius 4: 22 um."""
    rail = [(float(x), y, 0.0) for y in (0.0, 30.0) for x in range(0, 900, 100)]
    segments = [(k, k + 1) for k in range(8)] + [(9 + k, 10 + k) for k in range(8)]
    points: NDArray[np.float64] = np.array(rail)
    network = Network(points, np.array(segments, np.int32), np.full(16, 4.0), np.zeros(16, np.uint8),
                      np.full(16, -1, np.int32), ())  # fmt: skip
    assert least_gap(network, 1.0) == pytest.approx(22.0)
