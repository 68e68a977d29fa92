"""Each check finds the flaw that was built in, at its place, and says nothing of the same design without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from poliqi.base.errors import ConfigError
from poliqi.lab.print.domain.domain import Domain, box, sphere
from poliqi.lab.print.network import Network, Port, Role
from poliqi.lab.print.printability.check import Settings, check, settings_of
from poliqi.lab.print.printability.problem import Flaw, Problem, Severity, refused
from poliqi.lab.print.profile import Profile
from poliqi.ops.print_profile_toml import read_profile

Point = tuple[float, float, float]
CUBE = box((200.0, 200.0, 200.0), (100.0, 100.0, 100.0))


def net(
    points: Sequence[Point], segments: Sequence[tuple[int, int]], radius: float | Sequence[float], **ports: str
) -> Network:
    """Ports by point: p0="inlet"."""
    m = len(segments)
    radii = np.full(m, radius) if isinstance(radius, float) else np.asarray(radius)
    return Network(
        np.asarray(points, dtype=float),
        np.asarray(segments, dtype=np.int32),
        radii.astype(float),
        np.zeros(m, dtype=np.uint8),
        np.zeros(m, dtype=np.int32),
        tuple(Port(int(name[1:]), Role(role), 100.0, 1e6) for name, role in ports.items()),
    )


def through(z: float = 100.0, radius: float = 10.0) -> Network:
    """A straight channel from side to side: nothing is wrong with it."""
    return net([(0, 100, z), (200, 100, z)], [(0, 1)], radius, p0="inlet", p1="outlet")


@pytest.fixture(scope="module")
def profile() -> Profile:
    return read_profile("illustrative")


def of(found: Sequence[Problem], flaw: Flaw) -> Problem:
    """The one of its kind."""
    kind = [one for one in found if one.what is flaw]
    assert len(kind) == 1, [one.line for one in found]
    return kind[0]


def test_a_channel_from_side_to_side_is_printable(profile: Profile) -> None:
    assert check(CUBE, through(), profile) == ()


def near(problem: Problem, place: Point, within: float = 1.0) -> bool:
    return bool(np.linalg.norm(np.subtract(problem.place_um, place)) <= within)


def test_a_dead_end_is_a_caution_in_a_tree_and_refused_in_a_closed_design(profile: Profile) -> None:
    points = [(0, 100, 100), (100, 100, 100), (200, 100, 100), (100, 150, 100), (100, 180, 100)]
    closed = net(points, [(0, 1), (1, 2), (1, 3), (3, 4)], 8.0, p0="inlet", p2="outlet")
    problem = of(check(CUBE, closed, profile), Flaw.DEAD_END)
    assert problem.severity is Severity.REFUSE and near(problem, (100, 180, 100))
    assert problem.value == pytest.approx(80.0) and problem.count == 1
    assert problem.detail.startswith("length without flow; diffusion alone takes about 0.018 h")  # 80^2/100 s
    tree = net(points[:2] + points[3:], [(0, 1), (1, 2), (2, 3)], 8.0, p0="inlet")
    problem = of(check(CUBE, tree, profile), Flaw.DEAD_END)
    assert problem.severity is Severity.CAUTION and problem.value == pytest.approx(180.0)
    open_end = net([*points[:4], (100, 200, 100)], [(0, 1), (1, 2), (1, 3), (3, 4)], 8.0, p0="inlet", p2="outlet")
    assert all(one.what is not Flaw.DEAD_END for one in check(CUBE, open_end, profile))


def test_a_loop_has_no_dead_end(profile: Profile) -> None:
    points = [(0, 100, 100), (50, 100, 100), (100, 50, 100), (100, 150, 100), (150, 100, 100), (200, 100, 100)]
    loop = net(points, [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (4, 5)], 8.0, p0="inlet", p5="outlet")
    assert check(CUBE, loop, profile) == ()


def test_resin_is_trapped_in_vessels_without_a_port(profile: Profile) -> None:
    points = [(0, 100, 100), (200, 100, 100), (60, 60, 60), (140, 60, 60)]
    lost = net(points, [(0, 1), (2, 3)], 10.0, p0="inlet", p1="outlet")
    problem = of(check(CUBE, lost, profile), Flaw.TRAPPED_RESIN)
    assert problem.severity is Severity.REFUSE and near(problem, (60, 60, 60))
    assert problem.value == pytest.approx(np.pi * 100 * 80) and "resin in 1 vessels" in problem.detail
    touching = net([*points[:2], (60, 90, 100), (140, 85, 85)], [(0, 1), (2, 3)], 10.0, p0="inlet", p1="outlet")
    assert all(one.what is not Flaw.TRAPPED_RESIN for one in check(CUBE, touching, profile))


def test_a_port_within_the_tissue_is_closed(profile: Profile) -> None:
    inside = net([(30, 100, 100), (200, 100, 100)], [(0, 1)], 10.0, p0="inlet", p1="outlet")
    problem = of(check(CUBE, inside, profile), Flaw.CLOSED_PORT)
    assert problem.value == pytest.approx(20.0) and near(problem, (30, 100, 100))


def test_a_floating_island_is_what_nothing_holds(profile: Profile) -> None:
    apart = box((200.0, 200.0, 80.0), (100.0, 100.0, 40.0)).plus(box((40.0, 40.0, 30.0), (100.0, 100.0, 150.0)))
    low = through(40.0)
    problem = of(check(apart, low, profile), Flaw.ISLAND)
    assert problem.severity is Severity.REFUSE and problem.count == 1
    assert near(problem, (100, 100, 150), 25.0) and problem.value == pytest.approx(40 * 40 * 30, rel=0.1)
    beside = box((90.0, 200.0, 80.0), (45.0, 100.0, 40.0)).plus(box((40.0, 40.0, 30.0), (150.0, 100.0, 15.0)))
    across = net([(0, 100, 40), (90, 100, 40)], [(0, 1)], 10.0, p0="inlet", p1="outlet")
    assert check(beside, across, profile) == ()  # both stand on the substrate


def test_a_vessel_that_cuts_the_tissue_leaves_an_island(profile: Profile) -> None:
    """A post on a slab, and a lumen wider than the post where it stands."""
    slab = box((200.0, 200.0, 80.0), (100.0, 100.0, 40.0))
    post = slab.plus(box((20.0, 20.0, 120.0), (100.0, 100.0, 140.0)))
    cut = net([(50, 100, 120), (150, 100, 120)], [(0, 1)], 15.0, p0="inlet", p1="outlet")
    problem = of(check(post, cut, profile), Flaw.ISLAND)
    assert problem.value == pytest.approx(20 * 20 * 65, rel=0.15) and problem.place_um[2] > 135
    slim = net([(50, 100, 120), (150, 100, 120)], [(0, 1)], 6.0, p0="inlet", p1="outlet")
    assert all(one.what is not Flaw.ISLAND for one in check(post, slim, profile))


def test_a_bridge_thinner_than_the_lines_are_apart_still_holds(profile: Profile) -> None:
    apart = box((400.0, 400.0, 100.0), (200.0, 200.0, 50.0)).plus(box((80.0, 80.0, 60.0), (200.0, 200.0, 200.0)))
    leg = box((2.0, 2.0, 120.0), (201.0, 199.0, 130.0))
    channel = net([(0, 200, 50), (400, 200, 50)], [(0, 1)], 10.0, p0="inlet", p1="outlet")
    coarse = replace(settings_of(profile), voxel_um=6.0)
    assert of(check(apart, channel, profile, coarse), Flaw.ISLAND).count == 1
    assert all(one.what is not Flaw.ISLAND for one in check(apart.plus(leg), channel, profile, coarse))


def test_a_hollow_that_no_vessel_opens_is_told(profile: Profile) -> None:
    hollow = CUBE.minus(sphere(20.0, (100.0, 100.0, 150.0)))
    problem = of(check(hollow, through(60.0), profile), Flaw.CAVITY)
    assert problem.severity is Severity.CAUTION and near(problem, (100, 100, 150), 5.0)
    assert problem.value == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.1)
    opened = check(hollow, through(150.0), profile)
    assert all(one.what is not Flaw.CAVITY for one in opened)
    notch = CUBE.minus(sphere(20.0, (100.0, 100.0, 190.0)))  # open at the top
    assert all(one.what is not Flaw.CAVITY for one in check(notch, through(60.0), profile))


def test_walls_between_vessels(profile: Profile) -> None:
    def pair(gap: float) -> Network:
        points = [(0, 100, 100), (200, 100, 100), (0, 120 + gap, 100), (200, 120 + gap, 100)]
        return net(points, [(0, 1), (2, 3)], 10.0, p0="inlet", p1="outlet", p2="inlet", p3="outlet")

    problem = of(check(CUBE, pair(0.6), profile), Flaw.THIN_WALL)  # the profile asks for 1 um
    assert problem.severity is Severity.REFUSE and problem.value == pytest.approx(0.6)
    assert problem.place_um[1] == pytest.approx(110.3) and problem.limit == 1.0
    assert check(CUBE, pair(1.5), profile) == ()


def test_walls_to_the_outside(profile: Profile) -> None:
    def bent(y: float) -> Network:
        points = [(0, 100, 100), (100, y, 100), (200, 100, 100)]
        return net(points, [(0, 1), (1, 2)], 10.0, p0="inlet", p2="outlet")

    problem = of(check(CUBE, bent(10.4), profile), Flaw.THIN_SHELL)
    assert problem.severity is Severity.REFUSE and problem.value == pytest.approx(0.4, abs=1e-6)
    assert near(problem, (100, 10.4, 100))
    assert check(CUBE, bent(12.0), profile) == ()
    assert "open there" in of(check(CUBE, bent(9.0), profile), Flaw.THIN_SHELL).detail


def test_a_ports_own_mouth_is_no_thin_wall_also_where_it_sticks_out(profile: Profile) -> None:
    out = net([(-30, 100, 100), (50, 100, 100), (200, 100, 100)], [(0, 1), (1, 2)], 15.0, p0="inlet", p2="outlet")
    assert check(CUBE, out, profile) == ()
    edge = net(
        [(-30, 100, 15.5), (50, 100, 15.5), (200, 100, 15.5)], [(0, 1), (1, 2)], 15.0, p0="inlet", p2="outlet"
    )
    assert of(check(CUBE, edge, profile), Flaw.THIN_SHELL).value == pytest.approx(0.5)


def test_lumens_narrower_than_lines_or_focus(profile: Profile) -> None:
    problem = of(check(CUBE, through(radius=0.4), profile), Flaw.NARROW_LUMEN)
    assert problem.severity is Severity.REFUSE and (problem.value, problem.limit) == (0.8, 1.0)  # layers of 1 um
    focus = 2.0 * profile.w_z_um
    blurred = of(check(CUBE, through(radius=0.4 * focus), profile), Flaw.NARROW_LUMEN)
    assert blurred.severity is Severity.CAUTION and blurred.limit == pytest.approx(focus)
    assert check(CUBE, through(radius=0.6 * focus), profile) == ()


def test_height_and_tiles_against_the_objective(profile: Profile) -> None:
    near_lens = replace(profile, objective=replace(profile.objective, working_distance_um=150.0))
    problem = of(check(CUBE, through(), near_lens), Flaw.TOO_HIGH)
    assert problem.severity is Severity.REFUSE and (problem.value, problem.limit) == (200.0, 150.0)
    tiles = replace(settings_of(profile), tile_um=401.0)
    assert of(check(CUBE, through(), profile, tiles), Flaw.TOO_WIDE).limit == 400.0
    assert check(CUBE, through(), profile, replace(tiles, tile_um=400.0)) == ()
    round_lens = replace(profile, objective=replace(profile.objective, is_round=True))
    problem = of(check(CUBE, through(), round_lens, replace(tiles, tile_um=300.0)), Flaw.TOO_WIDE)
    assert problem.limit == pytest.approx(400 / 2**0.5)


def test_a_vessel_shorter_than_its_radius(profile: Profile) -> None:
    points = [(0, 100, 100), (96, 100, 100), (104, 100, 100), (200, 100, 100)]
    short = net(points, [(0, 1), (1, 2), (2, 3)], 10.0, p0="inlet", p3="outlet")
    problem = of(check(CUBE, short, profile), Flaw.STUBBY)
    assert (problem.value, problem.limit) == (8.0, 10.0) and near(problem, (100, 100, 100))


def test_refusals_come_first_and_lines_tell_place_value_limit_and_remedy(profile: Profile) -> None:
    points = [(0, 100, 100), (200, 100, 100), (60, 60, 60), (64, 60, 60)]
    found = check(CUBE, net(points, [(0, 1), (2, 3)], 10.0, p0="inlet", p1="outlet"), profile)
    assert [one.severity for one in found] == sorted((one.severity for one in found), key=lambda s: s != "refuse")
    assert {one.what for one in found} == {Flaw.TRAPPED_RESIN, Flaw.STUBBY} and len(refused(found)) == 1
    line = of(found, Flaw.STUBBY).line
    assert line.startswith("vessel shorter than its radius at (62.0, 60.0, 60.0) um: 4 um, limit 10")
    assert of(found, Flaw.STUBBY).remedy in line
    assert of(found, Flaw.STUBBY).record["place_um"] == [62.0, 60.0, 60.0]


@pytest.mark.parametrize(
    "change",
    [{"pitch_um": 0.0}, {"layer_um": -1.0}, {"overlap_um": float("nan")}, {"min_wall_um": 1e9}, {"voxel_um": 0.0}],
)
def test_settings_that_cannot_be_are_refused(profile: Profile, change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(settings_of(profile), **change)  # pyright: ignore[reportArgumentType]


def test_a_thousand_vessels_take_a_moment(profile: Profile) -> None:
    """Not a speed test: that nothing grows with the square of the number of vessels."""
    count = 1500
    rng = np.random.default_rng(5)
    start = rng.uniform(20, 980, (count, 3))
    points = np.concatenate([start, start + rng.normal(0, 8, (count, 3))])
    segments = [(i, i + count) for i in range(count)]
    network = net([tuple(p) for p in points.tolist()], segments, 2.0, p0="inlet")
    cube = box((1000.0, 1000.0, 1000.0), (500.0, 500.0, 500.0))
    check(cube, network, profile)
    begin = time.process_time()
    found = check(cube, network, profile)
    assert time.process_time() - begin < 5.0
    assert of(found, Flaw.TRAPPED_RESIN).count > 1000


_: Callable[[Domain, Network, Profile, Settings | None], tuple[Problem, ...]] = check
