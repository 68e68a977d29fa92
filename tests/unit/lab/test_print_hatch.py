"""Scan lines against closed forms, dense sampling and the plain definition."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poliqi.lab.print.domain.domain import Domain, box, sphere, torus
from poliqi.lab.print.hatch.capsules import (
    capsule_interval,
    capsule_rows,
    intersected,
    joined,
    subtracted,
)
from poliqi.lab.print.hatch.kernels import count_kernel, join_kernel, meet_kernel
from poliqi.lab.print.hatch.scan import Layer, Slicer, scan
from poliqi.lab.print.hatch.settings import HatchSettings, Mode, Order
from poliqi.lab.print.hatch.tiling import plan_of
from poliqi.lab.print.hatch.volume import lumen_volume
from poliqi.lab.print.network import Network
from poliqi.lab.print.profile import (
    Action,
    Focus,
    Hatching,
    Laser,
    Material,
    Objective,
    Profile,
    Scanner,
)

TOLD = "figures of a test"
PROFILE = Profile(
    "machine",
    Objective(0.8, 1.33, 780.0, 3000.0, 1000.0, TOLD),
    Scanner(100.0, 1000.0, 5.0, 1.0, "stage", TOLD, line_overhead_us=250.0),
    Laser(50.0, 100.0, TOLD),
    Focus(TOLD),
    Material("resin", Action.SOLIDIFY, 0.5, 0.1, TOLD),
    Hatching(0.5, 1.0, 5.0, TOLD),
)


def network(segments: list[tuple[Any, Any, float]]) -> Network:
    """Vessels from first and last points and radii; points are not shared."""
    points = np.array([point for a, b, _ in segments for point in (a, b)], dtype=np.float64)
    pairs = np.arange(2 * len(segments), dtype=np.int32).reshape(-1, 2)
    radius = np.array([one[2] for one in segments], dtype=np.float64)
    m = len(segments)
    return Network(points, pairs, radius, np.zeros(m, dtype=np.uint8), np.full(m, -1, dtype=np.int32), ())


def layers_of(domain: Domain, vessels: Network, settings: HatchSettings, **profile: Any) -> list[Layer]:
    plan = plan_of(domain, replace(PROFILE, **profile), settings)
    return list(scan(Slicer(domain, vessels, settings, plan), plan))


def volume_of(domain: Domain, vessels: Network, settings: HatchSettings) -> float:
    length = sum(layer.sums.length_nm for layer in layers_of(domain, vessels, settings))
    return length * 1e-3 * settings.hatch_um * settings.layer_um


def pitches(mode: Mode, hatch: float, layer: float, **more: Any) -> HatchSettings:
    return HatchSettings(mode, hatch, layer, **more)


AWKWARD = [
    ((0.0, 0.0, 0.0), (10.0, 0.0, 0.0), 3.0),  # along x, then y, then z
    ((0.0, 0.0, 0.0), (0.0, 10.0, 0.0), 3.0),
    ((0.0, 0.0, -5.0), (0.0, 0.0, 5.0), 3.0),
    ((0.0, 0.0, 0.0), (10.0, 0.0, 0.0), 3.0),  # the first one again
    ((10.0, 0.0, 0.0), (0.0, 0.0, 0.0), 3.0),  # and backwards
    ((5.0, 5.0, 0.0), (5.0, 5.0, 0.0), 4.0),  # no length: a ball
    ((0.0, 0.0, 0.0), (10.0, 1e-9, 0.0), 3.0),  # all but along x
    ((0.0, 0.0, 0.0), (1e-9, 10.0, 1e-9), 2.0),
    ((-5.0, -5.0, -5.0), (5.0, 5.0, 5.0), 0.5),
    ((0.0, 0.0, 0.0), (0.0, 0.0, 1e-7), 3.0),
    ((0.0, 0.0, 0.0), (1000.0, 3.0, 1.0), 2e-3),
    ((0.0, 0.0, 0.0), (3.0, 4.0, 0.0), 100.0),
]


def met(vessels: Network, axis: int, across: float, z: float) -> list[tuple[float, float]]:
    """All intervals of one line by the kernels, unsorted."""
    rows, chosen = capsule_rows(vessels, axis), np.arange(len(vessels.radius_um))
    counts, filled = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    planes = np.array([z])
    total = count_kernel(rows, chosen, 0.0, planes, across, 1.0, 1, counts)
    starts, ends = np.empty(total), np.empty(total)
    window = (-math.inf, math.inf)
    offsets = np.zeros(1, dtype=np.int64)
    meet_kernel(rows, chosen, 0.0, planes, across, 1.0, 1, window, offsets, filled, starts, ends)
    return list(zip(starts[: filled[0]].tolist(), ends[: filled[0]].tolist(), strict=True))


def defined(vessels: Network, axis: int, across: float, z: float) -> list[tuple[float, float]]:
    found = [capsule_interval(row, across, z) for row in capsule_rows(vessels, axis)]
    return [one for one in found if one is not None]


def covered(intervals: list[tuple[float, float]]) -> float:
    return sum(b - a for a, b in joined(intervals))


@pytest.mark.parametrize("axis", [0, 1])
def test_kernel_is_the_definition_on_awkward_capsules(axis: int) -> None:
    places = [-4.0, -3.0, -1.0, 0.0, 0.5, 3.0, 3.0 - 1e-12, 3.0 + 1e-12, 5.0, 9.0]
    for one in AWKWARD:
        vessels = network([one])
        for across in places:
            for z in places:
                less, more = (
                    defined(replace(vessels, radius_um=vessels.radius_um * factor), axis, across, z)
                    for factor in (1 - 1e-9, 1 + 1e-9)
                )  # a line that touches may be taken for inside or for outside
                found = covered(met(vessels, axis, across, z))
                assert covered(less) - 1e-6 <= found <= covered(more) + 1e-6, (one, across, z)


@pytest.mark.parametrize("axis", [0, 1])
def test_kernel_is_the_definition_at_random(axis: int) -> None:
    draw = np.random.default_rng(5)
    vessels = network([(draw.normal(0, 10, 3), draw.normal(0, 10, 3), float(r)) for r in draw.uniform(0.2, 6, 40)])
    for across, z in draw.normal(0, 8, (60, 2)):
        fast, plain = sorted(met(vessels, axis, across, z)), sorted(defined(vessels, axis, across, z))
        assert len(fast) == len(plain)
        assert np.allclose(fast, plain, atol=1e-7)


def test_definition_against_dense_sampling() -> None:
    draw = np.random.default_rng(6)
    x = np.linspace(-40, 40, 40_001)
    for _ in range(40):
        a, b, radius = draw.normal(0, 8, 3), draw.normal(0, 8, 3), float(draw.uniform(0.5, 6))
        across, z = draw.normal(0, 5, 2)
        places = np.column_stack([x, np.full_like(x, across), np.full_like(x, z)])
        way = b - a
        t = np.clip((places - a) @ way / (way @ way), 0, 1)
        inside = np.linalg.norm(places - a - t[:, None] * way, axis=1) <= radius
        (row,) = capsule_rows(network([(a, b, radius)]), 0)
        found = capsule_interval(row, across, z)
        if not inside.any():
            assert found is None or found[1] - found[0] < 2 * 0.002
            continue
        assert found is not None
        assert found == pytest.approx((x[inside][0], x[inside][-1]), abs=0.0021)


def test_intervals_are_combined() -> None:
    assert joined([(4, 5), (0, 1), (1, 2), (1.5, 1.7), (3, 3)]) == [(0, 2), (4, 5)]
    assert subtracted([(0, 10)], [(-1, 1), (3, 4), (9, 12)]) == [(1, 3), (4, 9)]
    assert intersected([(0, 2), (3, 5)], [(1, 4)]) == [(1, 2), (3, 4)]


@pytest.mark.parametrize("count", [0, 1, 5, 40, 400])
def test_sorting_and_joining_is_the_definition(count: int) -> None:
    draw = np.random.default_rng(count)
    starts = draw.uniform(0, 100, count).round(1)
    ends = starts + draw.uniform(0.1, 5, count).round(1)
    plain = joined(zip(starts.tolist(), ends.tolist(), strict=True))
    filled = np.array([count])
    total = join_kernel(np.zeros(1, dtype=np.int64), filled, starts, ends)
    assert total == len(plain)
    assert list(zip(starts[:total].tolist(), ends[:total].tolist(), strict=True)) == plain


def spans_by_definition(
    domain: Domain, vessels: Network, settings: HatchSettings, axis: int, across: float, z: float
) -> list[tuple[float, float]]:
    """What is lit on one line, in plain Python."""
    found = domain.spans(axis, np.array([across]), np.array([z]))
    inside = list(zip(found.start_um.tolist(), found.end_um.tolist(), strict=True))
    lumen = joined(defined(vessels, axis, across, z))
    thick = replace(vessels, radius_um=vessels.radius_um + settings.wall_um)
    match settings.mode:
        case Mode.SOLID:
            return subtracted(inside, lumen)
        case Mode.LUMEN:
            return intersected(inside, lumen)
        case _:
            return subtracted(intersected(inside, joined(defined(thick, axis, across, z))), lumen)


@pytest.mark.parametrize("mode", [Mode.SOLID, Mode.LUMEN, Mode.WALL])
def test_layers_are_what_the_definition_says(mode: Mode) -> None:
    draw = np.random.default_rng(7)
    vessels = network(
        [(draw.uniform(-5, 45, 3), draw.uniform(-5, 45, 3), float(r)) for r in draw.uniform(1, 4, 25)]
    )
    domain = box((40.0, 40.0, 10.0), (20.0, 20.0, 5.0)).minus(sphere(6.0, (20.0, 22.0, 5.0)))
    settings = pitches(mode, 1.0, 1.0, wall_um=1.5)
    for layer in layers_of(domain, vessels, settings):
        axis = layer.layer % 2
        for at in range(40):
            across = at + 0.5
            plain = spans_by_definition(domain, vessels, settings, axis, across, layer.z_um)
            on_line = layer.vectors[layer.vectors[:, 1 - axis] == round(1000 * across)]
            fast = sorted((min(a, b), max(a, b)) for a, b in on_line[:, [axis, 2 + axis]].tolist())
            wanted = [(round(1000 * a), round(1000 * b)) for a, b in plain]
            wanted = [one for one in wanted if one[1] > one[0]]
            assert len(fast) == len(wanted)
            assert np.abs(np.array(fast) - np.array(wanted)).max(initial=0) <= 1


CAPSULE = math.pi * 5**2 * 30 + 4 / 3 * math.pi * 5**3


@pytest.mark.parametrize(
    ("vessels", "volume"),
    [
        (network([((-20.0, 1.0, 2.0), (10.0, 1.0, 2.0), 5.0)]), CAPSULE),
        (network([((-10.0, -5.0, -10.0), (10.0, 5.0, 10.0), 5.0)]), CAPSULE),  # a length of 30 too
        (network([((1.0, 2.0, -15.0), (1.0, 2.0, 15.0), 5.0)]), CAPSULE),
        (network([((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 10.0)]), 4 / 3 * math.pi * 1000),
    ],
    ids=["along", "oblique", "upright", "ball"],
)
def test_volume_of_one_vessel(vessels: Network, volume: float) -> None:
    domain = box((60.0, 60.0, 60.0))
    assert volume_of(domain, vessels, pitches(Mode.LUMEN, 0.25, 0.25)) == pytest.approx(volume, rel=4e-3)
    assert volume_of(domain, vessels, pitches(Mode.SOLID, 0.25, 0.25)) == pytest.approx(60**3 - volume, rel=1e-4)


def test_volume_converges_with_the_pitch() -> None:
    """The midpoint rule in two dimensions of a body with a smooth edge: faster than the pitch itself."""
    vessels = network([((-10.3, -5.1, -10.2), (9.7, 4.9, 9.8), 5.0)])
    errors = []
    for pitch in (2.0, 1.0, 0.5, 0.25):
        shifted = [box((60.0,) * 3, (0.37 * k * pitch, 0.21 * k * pitch, 0.43 * k * pitch)) for k in range(4)]
        found = [volume_of(domain, vessels, pitches(Mode.LUMEN, pitch, pitch)) for domain in shifted]
        errors.append(float(np.sqrt(np.mean((np.array(found) - CAPSULE) ** 2))))
    order = np.polyfit(np.log([2.0, 1.0, 0.5, 0.25]), np.log(errors), 1)[0]
    assert errors[-1] < 1e-3 * CAPSULE
    assert order > 1.3


def test_wall_of_a_straight_tube_is_an_annulus() -> None:
    vessels = network([((-50.0, 0.3, 0.2), (50.0, 0.3, 0.2), 6.0)])
    found = volume_of(box((40.0, 40.0, 40.0)), vessels, pitches(Mode.WALL, 0.2, 0.2, wall_um=3.0))
    assert found == pytest.approx(math.pi * (9**2 - 6**2) * 40, rel=1e-3)


def test_a_torus_without_vessels_in_the_way() -> None:
    vessels = network([((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), 1.0)])
    found = volume_of(torus(20.0, 6.0), vessels, pitches(Mode.SOLID, 0.4, 0.4))
    assert found == pytest.approx(2 * math.pi**2 * 20 * 6**2, rel=3e-3)


def bifurcation() -> Network:
    return network(
        [
            ((-30.0, 0.0, 0.0), (0.0, 0.0, 0.0), 8.0),
            ((0.0, 0.0, 0.0), (25.0, 12.0, 5.0), 6.5),
            ((0.0, 0.0, 0.0), (25.0, -12.0, -5.0), 6.0),
        ]
    )


def sampled(vessels: Network, low: float, high: float, wide: float = 0.0) -> tuple[float, float]:
    """Volume of a union within a cube by plain Monte Carlo, and its sigma: nothing of the library."""
    points = np.random.default_rng(9).uniform(low, high, (400_000, 3))
    held = np.zeros(len(points), dtype=bool)
    for a, b, radius in zip(vessels.start_um, vessels.end_um, vessels.radius_um + wide, strict=True):
        way = b - a
        t = np.clip((points - a) @ way / (way @ way), 0, 1)
        held |= ((points - a - t[:, None] * way) ** 2).sum(axis=1) <= radius**2
    share, cube = held.mean(), (high - low) ** 3
    return float(cube * share), float(cube * math.sqrt(share * (1 - share) / len(points)))


def test_volume_of_a_branching_by_monte_carlo() -> None:
    vessels, domain = bifurcation(), box((50.0, 50.0, 50.0))
    volume, sigma = sampled(vessels, -25.0, 25.0)
    found = volume_of(domain, vessels, pitches(Mode.LUMEN, 0.4, 0.4))
    assert found == pytest.approx(volume, abs=4 * sigma)
    known = lumen_volume(domain, vessels, points=50_000)
    assert found == pytest.approx(known.um3, abs=4 * known.sigma_um3 + 1e-3 * volume)
    assert known.um3 == pytest.approx(volume, abs=4 * math.hypot(sigma, known.sigma_um3))
    outer, outer_sigma = sampled(vessels, -25.0, 25.0, 2.0)
    wall = volume_of(domain, vessels, pitches(Mode.WALL, 0.4, 0.4, wall_um=2.0))
    assert wall == pytest.approx(outer - volume, abs=4 * math.hypot(sigma, outer_sigma))


def test_union_volume_of_one_capsule_is_exact_on_average() -> None:
    vessels = network([((-10.0, -5.0, -10.0), (10.0, 5.0, 10.0), 5.0)])
    whole = lumen_volume(box((60.0, 60.0, 60.0)), vessels, points=1000)
    assert whole.um3 == pytest.approx(CAPSULE)
    twice = network([((-10.0, -5.0, -10.0), (10.0, 5.0, 10.0), 5.0)] * 2)
    assert lumen_volume(box((60.0, 60.0, 60.0)), twice, points=1000).um3 == pytest.approx(CAPSULE)
    half = lumen_volume(box((60.0, 60.0, 60.0), (30.0, 0.0, 0.0)), vessels, points=20_000)
    assert half.um3 == pytest.approx(CAPSULE / 2, abs=4 * half.sigma_um3)


def test_solid_and_lumen_together_are_the_domain() -> None:
    vessels, domain = bifurcation(), sphere(24.0)
    none = network([((0.0, 0.0, 100.0), (1.0, 0.0, 100.0), 1.0)])
    solid = layers_of(domain, vessels, pitches(Mode.SOLID, 0.7, 0.9))
    lumen = layers_of(domain, vessels, pitches(Mode.LUMEN, 0.7, 0.9))
    whole = layers_of(domain, none, pitches(Mode.SOLID, 0.7, 0.9))
    for a, b, c in zip(solid, lumen, whole, strict=True):
        assert a.sums.length_nm + b.sums.length_nm == c.sums.length_nm  # to the nanometre


def pixels(layer: Layer, size: int) -> NDArray[np.bool_]:
    """What is lit along a line's pixels of 1 um, for lines 1 um apart in a box from 0."""
    lit = np.zeros((size, size), dtype=bool)
    axis = layer.layer % 2
    for vector in layer.vectors / 1000.0:
        low, high = sorted((vector[axis], vector[2 + axis]))
        centres = np.arange(size) + 0.5
        where = (centres >= low) & (centres < high)
        across = int(vector[1 - axis])
        lit[(where, across) if axis == 0 else (across, where)] = True
    return lit


def test_shell_is_skin_walls_and_lattice() -> None:
    domain, size = box((60.0, 60.0, 60.0), (30.0, 30.0, 30.0)), 60
    vessels = network([((0.0, 31.0, 29.0), (60.0, 31.0, 29.0), 6.0)])
    settings = pitches(Mode.SHELL, 1.0, 1.0, wall_um=3.0, skin_um=4.0, lattice_period_um=20.0, lattice_beam_um=5.0)
    grid = np.stack(np.meshgrid(*[np.arange(size) + 0.5] * 3, indexing="ij"), axis=-1)
    skin = np.minimum(grid, 60 - grid).min(axis=-1) < 4
    near = grid % 20 < 5
    beams = (near.sum(axis=-1)) >= 2
    off = np.hypot(grid[..., 1] - 31, grid[..., 2] - 29)
    wanted = (skin | beams | (off < 9)) & (off >= 6)
    for layer in layers_of(domain, vessels, settings):
        assert (pixels(layer, size) == wanted[:, :, layer.layer]).mean() > 0.999


def test_skin_of_a_ball_is_exact() -> None:
    vessels = network([((0.0, 0.0, 0.0), (0.1, 0.0, 0.0), 1.0)])
    settings = pitches(
        Mode.SHELL, 0.5, 0.5, wall_um=1.0, skin_um=5.0, lattice_period_um=1000.0, lattice_beam_um=0.01
    )
    found = volume_of(sphere(20.0), vessels, settings)
    core = 4 / 3 * math.pi * (2**3 - 1) + math.pi * 0.1 * (2**2 - 1)
    assert found == pytest.approx(4 / 3 * math.pi * (20**3 - 15**3) + core, rel=2e-3)


def test_lines_go_to_and_fro_and_layers_cross() -> None:
    vessels = network([((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), 0.8)])
    layers = layers_of(box((10.0, 8.0, 4.0)), vessels, pitches(Mode.SOLID, 1.0, 1.0))
    assert [len(layer.vectors) >= (8, 10)[layer.layer % 2] for layer in layers] == [True] * 4
    along_x, along_y = layers[0].vectors, layers[3].vectors
    assert (along_x[:, 1] == along_x[:, 3]).all()
    assert (along_y[:, 0] == along_y[:, 2]).all()
    assert along_x[:, 0].tolist() == [-5000, 5000] * 4
    assert along_x[:, 1].tolist() == [-3500, -2500, -1500, -500, 500, 1500, 2500, 3500]
    cut = layers[1].vectors  # two lines meet the vessel's ends: both parts of a backward line run backwards
    for x in np.unique(cut[:, 0]):
        line = cut[cut[:, 0] == x]
        signs = np.sign(line[:, 3] - line[:, 1])
        assert len(set(signs.tolist())) == 1
        starts = line[:, 1] * signs
        assert (np.diff(starts) > 0).all()


def test_short_gaps_are_lit_and_short_vectors_left_out() -> None:
    vessels = network([((3.0, -20.0, 0.0), (3.0, 20.0, 0.0), 1.0)])
    domain = box((10.0, 10.0, 1.0))
    plain = layers_of(domain, vessels, pitches(Mode.SOLID, 1.0, 1.0))[0]
    assert plain.vectors[:2].tolist() == [[-5000, -4500, 2000, -4500], [4000, -4500, 5000, -4500]]
    assert plain.sums.dark_nm + plain.sums.jump_nm == 10 * 2000
    merged = layers_of(domain, vessels, pitches(Mode.SOLID, 1.0, 1.0, merge_gap_um=2.1))[0]
    assert merged.sums.length_nm == 10 * 10_000
    left = layers_of(domain, vessels, pitches(Mode.SOLID, 1.0, 1.0, min_length_um=1.1))[0]
    assert left.sums.length_nm == 10 * 7_000
    assert (left.sums.short, left.sums.short_nm) == (10, 10 * 1_000)


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("mode", list(Mode))
def test_tiles_without_overlap_light_what_one_tile_does(order: Order, mode: Mode) -> None:
    domain, vessels = sphere(24.0, (3.0, 1.0, 0.0)), bifurcation()
    chosen: dict[str, Any] = {"wall_um": 1.5, "skin_um": 3.0, "lattice_period_um": 12.0, "lattice_beam_um": 3.0}
    one = layers_of(domain, vessels, pitches(mode, 0.8, 1.1, **chosen))
    many = layers_of(
        domain, vessels, pitches(mode, 0.8, 1.1, tile_um=20.0, stagger_um=1.0, block_um=15.0, order=order, **chosen)
    )
    by_layer = np.zeros(len(one), dtype=np.int64)
    for layer in many:
        by_layer[layer.layer] += layer.sums.length_nm
        assert layer.sums.core_nm == layer.sums.length_nm
    slack = 2 * 40 * len(one[0].vectors) if mode is Mode.SHELL else 0  # ends of the skin are halved, not solved
    assert np.abs(by_layer - [layer.sums.length_nm for layer in one]).max() <= slack


def test_overlaps_are_told_apart() -> None:
    domain, vessels = box((60.0, 40.0, 4.0)), network([((0.0, 0.0, 90.0), (1.0, 0.0, 90.0), 1.0)])
    layers = layers_of(domain, vessels, pitches(Mode.SOLID, 1.0, 1.0, tile_um=40.0, overlap_um=4.0))
    core = sum(layer.sums.core_nm for layer in layers)
    length = sum(layer.sums.length_nm for layer in layers)
    assert core == 60 * 40 * 4 * 1000
    assert length == (60 + 4) * 40 * 4 * 1000  # two tiles along x


def test_one_thread_finds_the_same_as_two() -> None:
    domain, vessels = sphere(24.0), bifurcation()
    settings = pitches(Mode.WALL, 0.8, 0.5, tile_um=20.0, overlap_um=2.0)
    plan = plan_of(domain, PROFILE, settings)
    slicer = Slicer(domain, vessels, settings, plan)
    heard: list[tuple[int, int]] = []
    one = list(scan(slicer, plan, threads=1, progress=lambda done, total: heard.append((done, total))))
    two = list(scan(slicer, plan, threads=2))
    assert heard[-1] == (plan.layers * plan.tiles, plan.layers * plan.tiles)
    assert [a.vectors.tobytes() for a in one] == [b.vectors.tobytes() for b in two]


def test_much_in_a_layer_is_worked_off_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, vessels = sphere(24.0), bifurcation()
    whole = layers_of(domain, vessels, pitches(Mode.SOLID, 0.8, 0.5))
    monkeypatch.setattr("poliqi.lab.print.hatch.scan.MOST_TOGETHER", 10)
    halves = layers_of(domain, vessels, pitches(Mode.SOLID, 0.8, 0.5))
    assert [a.vectors.tobytes() for a in whole] == [b.vectors.tobytes() for b in halves]


def test_work_can_be_stopped() -> None:
    domain = box((100.0, 100.0, 2000.0))
    settings = pitches(Mode.SOLID, 1.0, 1.0)
    plan = plan_of(domain, PROFILE, settings)
    found = scan(Slicer(domain, bifurcation(), settings, plan), plan)
    next(found)
    found.close()  # what waits is dropped, no thread is left
