"""Flow through vessels against closed forms, dense linear algebra and the published table of blood's viscosity."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.flow.fluid import Fluid, pries_in_vivo
from poliqi.lab.print.flow.solve import Flow, conductance_um3_s_pa, solve_flow
from poliqi.lab.print.network import Kind, Network, Port, Role

MEDIUM = Fluid()


def network_of(
    points: list[tuple[float, float, float]] | NDArray[np.float64],
    segments: list[tuple[int, int]] | NDArray[np.int64],
    radii: list[float] | NDArray[np.float64],
    ports: tuple[Port, ...],
) -> Network:
    m = len(segments)
    return Network(
        np.asarray(points, np.float64),
        np.asarray(segments, np.int32),
        np.asarray(radii, np.float64),
        np.full(m, Kind.ARTERY, np.uint8),
        np.full(m, 0 if ports else -1, np.int32),
        ports,
    )


def between(first: float, last: float, end: int, flow: float = 0.0) -> tuple[Port, ...]:
    return Port(0, Role.INLET, first, flow), Port(end, Role.OUTLET, last, flow)


def random_tree(seed: int, terminals: int) -> Network:
    """A binary tree with random places and radii; its root is point 0."""
    rng = np.random.default_rng(seed)
    segments, leaves, n = [(0, 1)], [1], 2
    while len(leaves) < terminals:
        at = leaves.pop(int(rng.integers(len(leaves))))
        segments += [(at, n), (at, n + 1)]
        leaves += [n, n + 1]
        n += 2
    points = rng.uniform(0.0, 1000.0, (n, 3))
    return network_of(points, segments, rng.uniform(5.0, 60.0, len(segments)), (Port(0, Role.INLET, 900.0, 1e7),))


def worst_imbalance(network: Network, flow: Flow) -> float:
    """Largest |in - out| over |in| + |out| at points that are neither ports nor ends."""
    held = {port.node for port in network.ports}
    count = Counter(network.segments.ravel().tolist())
    net: Counter[int] = Counter()
    through: Counter[int] = Counter()
    for (a, b), q in zip(network.segments.tolist(), flow.flow_um3_s.tolist(), strict=True):
        net[a] -= q
        net[b] += q
        through[a] += abs(q)
        through[b] += abs(q)
    return max((abs(net[k]) / through[k] for k in count if count[k] > 1 and k not in held), default=0.0)


def test_a_single_tube_follows_poiseuille() -> None:
    # 10 mm of 100 um radius, 1 kPa, .7 mPa s: Q = pi r^4 dp/(8 mu l) = 5.61e9 um^3/s, shear = dp r/(2 l) = 5 Pa
    tube = network_of([(0, 0, 0), (10_000, 0, 0)], [(0, 1)], [100.0], between(1000.0, 0.0, 1))
    flow = solve_flow(tube, Fluid(viscosity_pa_s=0.7e-3, density_kg_m3=1000.0))
    assert flow.flow_um3_s[0] == pytest.approx(5.609986e9, rel=1e-6)
    assert flow.wall_shear_pa[0] == pytest.approx(5.0, rel=1e-12)
    assert flow.port_flow_um3_s == pytest.approx([5.609986e9, -5.609986e9], rel=1e-6)
    assert flow.transit_s[0] == pytest.approx(np.pi * 1e4 * 1e4 / 5.609986e9, rel=1e-6)
    # mean speed .17857 m/s, so Re = rho v 2r/mu = 1000 * .17857 * 2e-4/.7e-3 = 51.02
    assert flow.reynolds[0] == pytest.approx(51.0204, rel=1e-5)


def test_a_segment_against_the_flow_is_negative() -> None:
    tube = network_of([(0, 0, 0), (100, 0, 0)], [(1, 0)], [5.0], between(10.0, 0.0, 1))
    flow = solve_flow(tube, MEDIUM)
    assert flow.flow_um3_s[0] < 0.0
    assert flow.wall_shear_pa[0] > 0.0


def test_resistors_in_series_and_in_parallel() -> None:
    series = network_of(
        [(0, 0, 0), (100, 0, 0), (300, 0, 0)], [(0, 1), (1, 2)], [10.0, 10.0], between(30.0, 0.0, 2)
    )
    assert solve_flow(series, MEDIUM).pressure_pa == pytest.approx([30.0, 20.0, 0.0])  # lengths 1 : 2
    # two equal arms (over y = +-30) between ports, one of twice the radius: 16 times the flow
    points = [(0, 0, 0), (40, 30, 0), (40, -30, 0), (80, 0, 0)]
    ring = network_of(points, [(0, 1), (1, 3), (0, 2), (2, 3)], [10.0, 10.0, 5.0, 5.0], between(1.0, 0.0, 3))
    flow = solve_flow(ring, MEDIUM).flow_um3_s
    assert flow[0] == pytest.approx(16.0 * flow[2])
    assert flow[0] == pytest.approx(flow[1])


def symmetric_tree(generations: int, ratio: float) -> Network:
    """Every branching into two alike: lengths halve, radii shrink by `ratio`; the root's is 32 um."""
    points, segments, radii = [(0.0, 0.0, 0.0)], [], []
    ends = [0]
    for g in range(generations):
        grown = []
        for at in ends:
            for side in (0,) if g == 0 else (-1, 1):
                x, y, z = points[at]
                step = 512.0 / 2**g
                way = [(0, 0, 1), (1, 0, 0), (0, 1, 0)][g % 3] if g else (0, 0, 1)
                sign = side if g else 1
                points.append((x + sign * step * way[0], y + sign * step * way[1], z + sign * step * way[2]))
                segments.append((at, len(points) - 1))
                radii.append(32.0 * ratio**g)
                grown.append(len(points) - 1)
        ends = grown
    return network_of(points, segments, radii, (Port(0, Role.INLET, 1000.0, 2.0**20),))


def test_a_symmetric_tree_in_closed_form() -> None:
    """With Murray's radii r 2^(-g/3) and lengths l 2^-g a generation's drop is 2^(-2g/3) of the first."""
    tree = symmetric_tree(6, 2.0 ** (-1.0 / 3.0))
    flow = solve_flow(tree, MEDIUM)
    first = 8 * 0.7e-3 * 512.0 * 2.0**20 / (np.pi * 32.0**4)
    expected = 1000.0 - first * sum(2.0 ** (-2 * g / 3) for g in range(6))
    ends = tree.degrees() == 1
    ends[0] = False
    assert flow.pressure_pa[ends] == pytest.approx(np.full(32, expected), rel=1e-12)
    assert flow.flow_um3_s[-32:] == pytest.approx(np.full(32, 2.0**15), rel=1e-12)
    assert np.ptp(flow.wall_shear_pa) < 1e-12 * flow.wall_shear_pa[0]  # Murray's law: one shear everywhere


def test_open_ends_can_be_held_at_a_pressure() -> None:
    tree = symmetric_tree(4, 0.8)
    flow = solve_flow(tree, MEDIUM, terminal_pressure_pa=250.0)
    ends = tree.degrees() == 1
    ends[0] = False
    assert np.all(flow.pressure_pa[ends] == 250.0)
    designed = solve_flow(tree, MEDIUM)
    drop = 1000.0 - designed.pressure_pa[ends][0]
    assert flow.port_flow_um3_s[0] == pytest.approx(2.0**20 * 750.0 / drop)  # in proportion to the pressure


def test_a_vein_flows_towards_its_port() -> None:
    tree = symmetric_tree(3, 0.8)
    vein = replace(tree, segments=tree.segments[:, ::-1].copy(), ports=(Port(0, Role.OUTLET, 100.0, 5e5),))
    flow = solve_flow(vein, MEDIUM)
    assert np.all(flow.flow_um3_s > 0.0)
    assert flow.port_flow_um3_s[0] == pytest.approx(-5e5)
    assert flow.pressure_pa.min() == 100.0


def ladder(rungs: int, seed: int) -> Network:
    rng = np.random.default_rng(seed)
    points = [(50.0 * k, 60.0 * side, 0.0) for k in range(rungs) for side in (0, 1)]
    segments = [(2 * k, 2 * k + 1) for k in range(rungs)]
    segments += [(2 * k + side, 2 * k + 2 + side) for k in range(rungs - 1) for side in (0, 1)]
    return network_of(points, segments, rng.uniform(2.0, 30.0, len(segments)), between(500.0, 20.0, 2 * rungs - 1))


@pytest.mark.parametrize("fluid", [MEDIUM, Fluid.blood(0.3)])
def test_a_ladder_against_a_dense_matrix(fluid: Fluid) -> None:
    network = ladder(12, 3)
    flow = solve_flow(network, fluid)
    g = np.pi * network.radius_um**4 / (8.0 * flow.viscosity_pa_s * network.length_um)
    n = len(network.points_um)
    matrix, right = np.zeros((n, n)), np.zeros(n)
    for (a, b), c in zip(network.segments, g, strict=True):
        matrix[[a, b], [a, b]] += c
        matrix[[a, b], [b, a]] -= c
    for node, pressure in ((0, 500.0), (n - 1, 20.0)):
        matrix[node], matrix[node, node], right[node] = 0.0, 1.0, pressure
    assert flow.pressure_pa == pytest.approx(scipy.linalg.solve(matrix, right), rel=1e-9)


def test_power_in_is_power_dissipated() -> None:
    network = ladder(20, 5)
    flow = solve_flow(network, MEDIUM)
    dissipated = (flow.flow_um3_s**2 / conductance_um3_s_pa(network, flow.viscosity_pa_s)).sum()
    given_in = sum(port.pressure_pa * q for port, q in zip(network.ports, flow.port_flow_um3_s, strict=True))
    assert dissipated == pytest.approx(given_in, rel=1e-9)


@given(seed=st.integers(0, 2**32 - 1), terminals=st.integers(1, 60), blood=st.booleans())
@settings(max_examples=40, deadline=None)
def test_flow_is_conserved_in_random_trees(seed: int, terminals: int, blood: bool) -> None:
    tree = random_tree(seed, terminals)
    flow = solve_flow(tree, Fluid.blood() if blood else MEDIUM)
    assert worst_imbalance(tree, flow) < 1e-12
    assert flow.port_flow_um3_s[0] == pytest.approx(1e7, rel=1e-9)
    assert np.all(flow.flow_um3_s >= -1e-15 * 1e7)  # the least are below what rounding leaves of 1e7


@given(seed=st.integers(0, 2**32 - 1), rungs=st.integers(2, 30))
@settings(max_examples=20, deadline=None)
def test_flow_is_conserved_where_radii_differ_a_thousandfold(seed: int, rungs: int) -> None:
    network = ladder(rungs, seed)
    rng = np.random.default_rng(seed)
    network = replace(network, radius_um=10.0 ** rng.uniform(-1.0, 2.0, len(network.radius_um)))
    assert worst_imbalance(network, solve_flow(network, MEDIUM)) < 1e-12


def test_a_blind_end_of_a_closed_network_carries_nothing() -> None:
    points = [(0, 0, 0), (100, 0, 0), (200, 0, 0), (100, 50, 0), (100, 90, 0)]
    network = network_of(points, [(0, 1), (1, 2), (1, 3), (3, 4)], [5.0] * 4, between(10.0, 0.0, 2))
    flow = solve_flow(network, MEDIUM)
    assert flow.flow_um3_s[2:] == pytest.approx([0.0, 0.0], abs=1e-12 * flow.flow_um3_s[0])
    assert flow.pressure_pa[4] == pytest.approx(5.0)


def test_two_open_trees_each_carry_their_own_flow() -> None:
    tree = symmetric_tree(3, 0.7)
    n = len(tree.points_um)
    both = Network(
        np.concatenate([tree.points_um, tree.points_um + 3000.0]),
        np.concatenate([tree.segments, tree.segments + n]).astype(np.int32),
        np.concatenate([tree.radius_um, tree.radius_um]),
        np.zeros(2 * len(tree.radius_um), np.uint8),
        np.repeat([0, 1], len(tree.radius_um)).astype(np.int32),
        (Port(0, Role.INLET, 1000.0, 1e6), Port(n, Role.INLET, 700.0, 3e6)),
    )
    assert solve_flow(both, MEDIUM).port_flow_um3_s == pytest.approx([1e6, 3e6])


PRIES = [(5, 12.62), (10, 5.872), (20, 3.231), (40, 2.314), (100, 2.532), (1000, 3.198)]


@pytest.mark.parametrize(("diameter", "relative"), PRIES)
def test_blood_in_vivo_by_pries(diameter: float, relative: float) -> None:
    assert float(pries_in_vivo(diameter, 0.45)) == pytest.approx(relative, rel=5e-4)
    blood = Fluid.blood(0.45, plasma_pa_s=1e-3)
    assert float(blood.viscosity_in(np.array([diameter / 2.0]))[0]) == pytest.approx(relative * 1e-3, rel=5e-4)


def test_plasma_alone_is_only_squeezed_by_the_wall_layer() -> None:
    """Without red cells the law leaves f = (D/(D - 1.1))^2."""
    assert float(pries_in_vivo(11.0, 0.0)) == pytest.approx((11.0 / 9.9) ** 2)


def test_the_law_is_smooth_where_its_exponent_vanishes() -> None:
    diameters = np.linspace(8.0, 12.0, 400_001)  # C goes through 0 in between
    assert np.abs(np.diff(pries_in_vivo(diameters, 0.3))).max() < 2e-5


def test_blood_does_not_pass_the_narrowest_vessels() -> None:
    tube = network_of([(10, 20, 30), (50, 20, 30)], [(0, 1)], [0.55], between(1.0, 0.0, 1))
    with pytest.raises(
        DataRefused, match=r"1\.1 um or less: segment 0 \(1\.1 um wide\) at \(30\.0, 20\.0, 30\.0\) um"
    ):
        solve_flow(tube, Fluid.blood())
    assert solve_flow(tube, MEDIUM).flow_um3_s[0] > 0.0
    assert solve_flow(replace(tube, radius_um=np.array([0.56])), Fluid.blood()).flow_um3_s[0] > 0.0


@pytest.mark.parametrize("hematocrit", [-0.01, 0.76, 45.0, float("nan")])
def test_a_hematocrit_that_no_blood_has(hematocrit: float) -> None:
    with pytest.raises(ConfigError, match=r"hematocrit .* not within 0 to 0\.75"):
        Fluid.blood(hematocrit)


@pytest.mark.parametrize("viscosity", [0.0, -1.0, 0.7, 100.0, float("nan"), float("inf")])
def test_a_viscosity_that_no_medium_has(viscosity: float) -> None:
    if viscosity == 0.7:
        Fluid(viscosity)  # glycerol
        return
    with pytest.raises(ConfigError, match="viscosity"):
        Fluid(viscosity)


def tube_with(*ports: Port) -> Network:
    return network_of([(0, 0, 0), (100, 0, 0)], [(0, 1)], [5.0], ports)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (tube_with(), r"around \(0\.0, 0\.0, 0\.0\) um have no port"),
        (tube_with(Port(0, Role.INLET, 1.0, 0.0)), "designed flow is 0"),
        (tube_with(Port(0, Role.INLET, float("nan"), 1.0)), "pressure is nan"),
        (tube_with(Port(0, Role.INLET, 1e12, 1.0)), r"pressure is 1000000000000\.0"),
        (tube_with(Port(0, Role.INLET, 1.0, 1.0), Port(0, Role.INLET, 2.0, 1.0)), "held at 1 and at 2 Pa"),
        (tube_with(Port(0, Role.INLET, 2.0, 1.0), Port(1, Role.INLET, 1.0, 1.0)), "no open end"),
        (network_of([(0, 0, 0), (0, 0, 0)], [(0, 1)], [5.0], between(1.0, 0.0, 1)), "segment 0 .* has no length"),
    ],
)
def test_what_cannot_flow_is_refused(network: Network, told: str) -> None:
    with pytest.raises(DataRefused, match=told):
        solve_flow(network, MEDIUM)


@pytest.mark.parametrize("pressure", [float("nan"), float("inf"), -2e9])
def test_a_terminal_pressure_that_is_none_is_refused(pressure: float) -> None:
    with pytest.raises(ConfigError, match="terminal pressure is"):
        solve_flow(random_tree(1, 4), Fluid(), terminal_pressure_pa=pressure)


def test_a_terminal_pressure_without_an_open_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="no effect on a closed network"):
        solve_flow(tube_with(Port(0, Role.INLET, 9.0, 0.0), Port(1, Role.OUTLET, 1.0, 0.0)), Fluid(),
                   terminal_pressure_pa=3.0)  # fmt: skip


@pytest.mark.parametrize("diameter", [1.0, 1.1, 0.0, float("nan")])
def test_the_law_of_blood_ends_at_its_pole(diameter: float) -> None:
    with pytest.raises(DataRefused, match=r"above 1\.1 um"):
        pries_in_vivo(np.array([5.0, diameter]), 0.45)
