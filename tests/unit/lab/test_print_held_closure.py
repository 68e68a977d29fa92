"""Closed networks against closed forms: pressures, flows, what is cut back, where capillaries go."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from poliqi.base.errors import DataRefused
from poliqi.lab.print.closure.close import _thinnest, _whole, _without, close
from poliqi.lab.print.closure.join import joined
from poliqi.lab.print.closure.plan import planned
from poliqi.lab.print.closure.reach import Needs, reach_out
from poliqi.lab.print.closure.report import closure_report
from poliqi.lab.print.closure.settings import ClosureSettings
from poliqi.lab.print.domain.domain import box, sphere
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.flow.solve import solve_flow
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.network import Kind, Network, Port, Role

EACH = 5e4


def growth(n: int = 32, **settings: Any) -> GrowthSettings:
    ports = (Inlet((-400.0, 0.0, 0.0)), Inlet((400.0, 0.0, 0.0), role=Role.OUTLET))
    return GrowthSettings(ports, terminals=n, flow_um3_s=EACH * n, **settings)


@cache
def closed(share: float = 0.5, surplus: float = 0.2, exponent: float = 3.0) -> Network:
    settings = ClosureSettings(arterial_share=share, surplus=surplus, most_left_out=0.3)
    return close(box((800.0,) * 3), growth(exponent=exponent), settings)


def ladder(artery: tuple[float, ...] = (5.0,) * 3, vein: tuple[float, ...] = (5.0,) * 3) -> Network:
    """A trunk (0), to a joint whose one branch (1) divides in two leaves (2, 3) and whose other (4) is a leaf;
    veins the same (5 to 9); capillaries 10, 11, 12 join the leaves."""
    half = [[-500, 0, 0], [-400, 0, 0], [-300, 100, 0], [-50, 200, 0], [-50, 50, 0], [-50, -200, 0]]
    points = np.array(half + [[-x, y, z] for x, y, z in half], float)
    tree = np.array([[0, 1], [1, 2], [2, 3], [2, 4], [1, 5]])
    between = np.array([[3, 9], [4, 10], [5, 11]])
    radius = [9.0, 8.0, *artery, 9.0, 8.0, *vein, 4.0, 4.0, 4.0]
    kind = np.repeat([Kind.ARTERY, Kind.VEIN, Kind.CAPILLARY], [5, 5, 3]).astype(np.uint8)
    return Network(
        points, np.concatenate([tree, tree[:, ::-1] + 6, between]).astype(np.int32), np.array(radius), kind,
        np.repeat([0, 1, -1], [5, 5, 3]).astype(np.int32),
        (Port(0, Role.INLET, 1500.0, 3.0), Port(6, Role.OUTLET, -500.0, 3.0)),
    )  # fmt: skip


def test_arteries_take_their_share_of_the_pressure_that_capillaries_leave() -> None:
    network = closed(share=0.3)
    pressure = solve_flow(network, Fluid(0.7e-3)).pressure_pa
    ends = network.segments[network.kind == Kind.CAPILLARY]
    inlet, outlet = (pressure[port.node] for port in network.ports)
    before, after = inlet - pressure[ends[:, 0]], pressure[ends[:, 1]] - outlet
    assert before / (before + after) == pytest.approx(np.full(len(ends), 0.3), rel=1e-6)


def test_both_trees_are_planned_for_the_pressures_at_the_ends_of_the_capillaries() -> None:
    """Hagen and Poiseuille: the shortest capillary takes 8 mu L Q/(pi r^4) of 2000 Pa."""
    plan = planned(growth(), ClosureSettings(arterial_share=0.3, surplus=0.25), Fluid(0.7e-3))
    left = 2000.0 - 8.0 * 0.7e-3 * 40.0 * EACH / (np.pi * 4.0**4)
    assert plan.arteries.terminal_pressure_pa == pytest.approx(1500.0 - 0.3 * left)
    assert plan.veins.terminal_pressure_pa == pytest.approx(-500.0 + 0.7 * left)
    assert plan.arteries.terminals == plan.veins.terminals == 40
    assert plan.arteries.flow_um3_s == pytest.approx(40 * EACH)
    assert [one.role for one in (*plan.arteries.inlets, *plan.veins.inlets)] == [Role.INLET, Role.OUTLET]
    assert min(plan.arteries.gap_um, plan.veins.gap_um) > 10.0


def test_the_least_inlet_and_the_highest_outlet_decide_what_can_be_spent() -> None:
    ports = (
        Inlet((-400.0, -150.0, 0.0), pressure_pa=1400.0), Inlet((-400.0, 150.0, 0.0), pressure_pa=1700.0),
        Inlet((400.0, -150.0, 0.0), role=Role.OUTLET, pressure_pa=100.0),
        Inlet((400.0, 150.0, 0.0), role=Role.OUTLET, pressure_pa=300.0),
    )  # fmt: skip
    plan = planned(replace(growth(), inlets=ports), ClosureSettings(), Fluid(0.7e-3))
    across = 8.0 * 0.7e-3 * 40.0 * EACH / (np.pi * 4.0**4)
    assert plan.arteries.terminal_pressure_pa == pytest.approx(1400.0 - 0.5 * (1100.0 - across))
    assert plan.veins.terminal_pressure_pa == pytest.approx(300.0 + 0.5 * (1100.0 - across))


@pytest.mark.parametrize(("part", "is_refused"), [(0.79, False), (0.81, True)])
def test_capillaries_may_take_four_fifths_of_the_pressure(part: float, is_refused: bool) -> None:
    flow = 32 * part * 2000.0 * np.pi * 4.0**4 / (8.0 * 0.7e-3 * 40.0)
    settings = replace(growth(), flow_um3_s=flow)
    if is_refused:
        with pytest.raises(DataRefused, match="at most 80% may"):
            planned(settings, ClosureSettings(), Fluid(0.7e-3))
    else:
        planned(settings, ClosureSettings(), Fluid(0.7e-3))


def test_what_is_grown_on_top_is_cut_back_to_what_was_asked_for() -> None:
    network = closed(surplus=1.0)
    assert (network.kind == Kind.CAPILLARY).sum() == 32
    assert [port.flow_um3_s for port in network.ports] == pytest.approx([32 * EACH] * 2)


def test_murrays_law_holds_with_the_exponent_asked_for() -> None:
    network = closed(exponent=2.6)
    checked = 0
    for at in range(len(network.points_um)):
        mine = np.flatnonzero((network.segments == at).any(axis=1))
        if len(mine) == 3 and not (network.kind[mine] == Kind.CAPILLARY).any():
            least, middle, most = np.sort(network.radius_um[mine]) ** 2.6
            assert least + middle == pytest.approx(most)
            checked += 1
    assert checked > 40


def test_capillaries_keep_their_bounds_and_resist_alike() -> None:
    for network in (closed(share=0.3), closed(surplus=1.0)):
        mine = network.kind == Kind.CAPILLARY
        length, radius = network.length_um[mine], network.radius_um[mine]
        assert length.min() >= 40.0
        assert length.max() <= 120.0
        assert length / radius**4 == pytest.approx(np.full(len(length), 40.0 / 4.0**4))


def test_each_capillary_keeps_its_flow_when_terminals_are_left_out() -> None:
    """No more than the part that may be left out, but that much."""
    domain, settings = box((800.0, 800.0, 160.0)), growth()
    loose = ClosureSettings(surplus=0.0, tries=1, most_left_out=0.9)
    network = close(domain, settings, loose)
    left = 32 - int((network.kind == Kind.CAPILLARY).sum())
    assert left > 0
    flow = solve_flow(network, Fluid(0.7e-3)).flow_um3_s[network.kind == Kind.CAPILLARY]
    assert flow == pytest.approx(np.full(32 - left, EACH), rel=1e-6)
    same = close(domain, settings, replace(loose, most_left_out=left / 32))
    assert np.array_equal(same.points_um, network.points_um)
    with pytest.raises(DataRefused, match=f"{left} of 32 terminals could not be joined"):
        close(domain, settings, replace(loose, most_left_out=(left - 0.5) / 32))


@pytest.mark.parametrize("pair", [[1, 4], [4, 1], [9, 6], [12, 1], [3, 12]])
def test_of_two_vessels_too_near_the_one_with_fewer_terminals_goes(pair: list[int]) -> None:
    left = _without(ladder(), np.array(pair), least=True)
    assert (left.kind == Kind.CAPILLARY).sum() == 2
    gone = 50.0 if pair == [3, 12] else -200.0
    assert gone not in left.points_um[:, 1]
    assert not len(closure_report(left).dead_ends_um)


def test_what_a_vessel_feeds_goes_with_it_on_both_sides() -> None:
    left = _without(ladder(), np.array([1]))
    assert sorted(left.points_um[:, 1].tolist()) == [-200.0, -200.0, 0.0, 0.0, 0.0, 0.0]
    assert [left.points_um[port.node, 0] for port in left.ports] == [-500.0, 500.0]
    with pytest.raises(DataRefused, match="no capillary keeps its distance"):
        _without(ladder(), np.array([5]))


def test_the_surplus_is_taken_where_artery_or_vein_is_thinnest() -> None:
    network = ladder((3.0, 6.0, 7.0), (9.0, 4.0, 5.0))
    assert _thinnest(network, 1).tolist() == [2]
    assert _thinnest(network, 2).tolist() == [2, 3]


def test_two_networks_that_share_no_vessel_are_refused() -> None:
    one = ladder()
    n = len(one.points_um)
    both = Network(
        np.concatenate([one.points_um, one.points_um + np.array([0.0, 0.0, 900.0])]),
        np.concatenate([one.segments, one.segments + n]).astype(np.int32), np.tile(one.radius_um, 2),
        np.tile(one.kind, 2), np.concatenate([one.tree, np.where(one.tree < 0, -1, one.tree + 2)]).astype(np.int32),
        one.ports + tuple(replace(port, node=port.node + n) for port in one.ports),
    )  # fmt: skip
    assert _whole(one, growth(3), ClosureSettings()) is one
    with pytest.raises(DataRefused, match="2 networks that share no vessel"):
        _whole(both, growth(6), ClosureSettings())
    report = closure_report(both)
    assert report.components == 2
    assert not report.is_whole


def test_capillaries_go_from_arteries_to_veins_each_with_its_own_port() -> None:
    way = np.array([[0, 1]], np.int32)
    artery = Network(
        np.array([[0.0, 0, 0], [100.0, 0, 0]]), way, np.array([6.0]), np.array([Kind.ARTERY], np.uint8),
        np.zeros(1, np.int32), (Port(0, Role.INLET, 1000.0, 1.0),),
    )  # fmt: skip
    vein = Network(
        np.array([[300.0, 0, 0], [160.0, 0, 0]]), way[:, ::-1], np.array([7.0]), np.array([Kind.VEIN], np.uint8),
        np.zeros(1, np.int32), (Port(0, Role.OUTLET, 0.0, 1.0),),
    )  # fmt: skip
    one = joined(artery, vein, np.array([1]), np.array([1]), np.array([4.0]))
    assert one.start_um[:, 0].tolist() == [0.0, 160.0, 100.0]
    assert one.end_um[:, 0].tolist() == [100.0, 300.0, 160.0]
    assert one.tree.tolist() == [0, 1, -1]
    assert [one.points_um[port.node, 0] for port in one.ports] == [0.0, 300.0]


def test_a_capillary_reaches_ahead_by_its_lengths_and_keeps_the_walls() -> None:
    """Vessels that end before an obstacle, in a slab: every place of every way, by the domain's own formula."""
    y, z = np.meshgrid(np.arange(-350.0, 351.0, 50.0), [-90.0, 0.0, 90.0])
    start = np.stack([np.full(y.size, -200.0), y.ravel(), z.ravel()], axis=1)
    end = start + np.array([60.0, 0.0, 0.0])
    n = len(start)
    twigs = Network(np.concatenate([start, end]), np.stack([np.arange(n), np.arange(n) + n], 1).astype(np.int32),
                    np.full(n, 5.0), np.zeros(n, np.uint8), np.full(n, -1, np.int32), ())  # fmt: skip
    domain = box((800.0, 800.0, 240.0)).minus(sphere(80.0))
    needs = Needs(10.0, 15.0, 40.0, 120.0, 4.0, 6.0)
    reach = reach_out(domain, twigs, np.arange(n), needs, np.random.default_rng(5))
    far, radius, at = reach.far_um[reach.found], reach.radius_um[reach.found], end[reach.found]
    assert len(far) > 0.7 * n
    length = np.linalg.norm(far - at, axis=1)
    assert length.min() >= 40.0
    assert length.max() <= 120.0
    assert radius == pytest.approx(4.0 * (length / 40.0) ** 0.25)
    assert (far[:, 0] >= at[:, 0]).all()

    def clearance(places: np.ndarray) -> np.ndarray:
        faces = np.minimum(400.0 - np.abs(places[..., :2]).max(axis=-1), 120.0 - np.abs(places[..., 2]))
        return np.minimum(faces, np.linalg.norm(places, axis=-1) - 80.0)

    t = np.linspace(0.0, 1.0, 301)[:, None, None]
    assert (clearance(at + t * (far - at)).min(axis=0) >= 15.0 + radius - 1e-6).all()
    assert (clearance(far) >= 15.0 + np.maximum(radius, 6.0) - 1e-6).all()


def two_ways(radius: float, apart: float = 100.0) -> Network:
    """One artery, two capillaries of 4 um and of `radius` beside each other, one vein."""
    points = np.array(
        [[-300, 0, 0], [-100, 0, 0], [-100, apart, 0], [100, 0, 0], [100, apart, 0], [300, 0, 0]], float
    )
    segments = np.array([[0, 1], [1, 2], [1, 3], [2, 4], [4, 3], [3, 5]], np.int32)
    kind = np.array([0, 0, 2, 2, 1, 1], np.uint8)
    return Network(points, segments, np.array([60.0, 60.0, 4.0, radius, 60.0, 60.0]), kind,
                   np.array([0, 0, -1, -1, 1, 1], np.int32),
                   (Port(0, Role.INLET, 1000.0, 1.0), Port(5, Role.OUTLET, 0.0, 1.0)))  # fmt: skip


def test_the_report_tells_the_spread_of_flows_by_poiseuille() -> None:
    """4 and 8 um: 1 to 16; mean 17/2, standard deviation 15/2. The wide vessels take 4e-4 of the pressure."""
    assert closure_report(two_ways(8.0)).capillary_cv == pytest.approx(15.0 / 17.0, rel=1e-3)
    assert closure_report(two_ways(4.0)).capillary_cv < 1e-3


@pytest.mark.parametrize(("gap", "expected"), [(200.0, 92.0), (50.0, 50.0)])
def test_the_report_tells_the_least_gap_up_to_what_was_searched(gap: float, expected: float) -> None:
    """Two straight lines 100 um apart, both of 4 um."""
    network = two_ways(4.0)
    rails = replace(network, points_um=network.points_um[[1, 3, 2, 4]],
                    segments=np.array([[0, 1], [2, 3]], np.int32), radius_um=np.full(2, 4.0),
                    kind=np.full(2, Kind.CAPILLARY, np.uint8), tree=np.full(2, -1, np.int32),
                    ports=tuple(Port(k, Role(("inlet", "outlet")[k % 2]), 100.0 * (1 - k % 2), 1.0)
                                for k in range(4)))  # fmt: skip
    report = closure_report(rails, gap_um=gap)
    assert (report.gap_um, report.searched_um) == (pytest.approx(expected), gap)
    assert report.components == 2


def test_lumens_that_overlap_are_no_whole_network() -> None:
    """Two capillaries of 4 um, 6 um apart: 2 um deep in each other."""
    report = closure_report(two_ways(4.0, apart=6.0))
    assert (report.components, report.still, len(report.dead_ends_um)) == (1, 0, 0)
    assert report.gap_um == pytest.approx(-2.0)
    assert not report.is_whole
