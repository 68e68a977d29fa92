"""The printed surface along rays, its errors, and radii that print as designed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from print_dose_cases import W_XY, W_Z, bush, exposure, network, rod
from scipy.special import erfinv

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.dose.capsulelines import capsule_table, line_in_capsule
from poliqi.lab.print.dose.compensate import compensate
from poliqi.lab.print.dose.limits import (
    check_lumens,
    even_power_mw,
    least_radius_um,
    least_wall_um,
    limit_of,
)
from poliqi.lab.print.dose.pointdose import dose_at_points
from poliqi.lab.print.dose.segmentcells import cells_of
from poliqi.lab.print.dose.surface import Place, printed_um, rays_of, rmse_um, statistics
from poliqi.lab.print.dose.walls import check_between, check_round
from poliqi.lab.print.growth.contacts import contacts
from poliqi.lab.print.hatch.settings import Mode
from poliqi.lab.print.network import Network, Port, Role


@given(
    seed=st.integers(0, 100_000),
    kind=st.sampled_from(["random", "parallel", "across", "through the end", "tiny"]),
)
@settings(max_examples=150)
def test_a_line_is_in_a_capsule_where_its_points_are(seed: int, kind: str) -> None:
    """Against the distance of many points of the line from the segment."""
    rng = np.random.default_rng(seed)
    a, b, radius = rng.normal(size=3) * 3, rng.normal(size=3) * 3, rng.uniform(0.2, 2)
    if kind == "tiny":
        b = a + 1e-9
    p, d = rng.normal(size=3) * 2, rng.normal(size=3)
    if kind == "parallel":
        d = b - a
    if kind == "across":
        d = np.cross(b - a, d)
    if kind == "through the end":
        p = b - 3 * d
    d /= np.linalg.norm(d)
    row = capsule_table(rod(a.tolist(), b.tolist(), radius))[0]
    low, high = line_in_capsule(row, radius, *p, *d)
    t = np.linspace(-15, 15, 3001)
    points = p + t[:, None] * d
    along = np.clip((points - a) @ (b - a) / max(np.sum((b - a) ** 2), 1e-300), 0, 1)
    away = np.linalg.norm(points - a - along[:, None] * (b - a), axis=1)
    inside = (t >= low) & (t <= high)
    sure = np.abs(away - radius) > 1e-6
    assert np.array_equal(inside[sure], (away < radius)[sure])


def test_designed_distances_are_the_radius_along_a_lone_rod() -> None:
    rays = rays_of(rod([-30, 1, 2], [30, 4, -5], 3.0))
    assert np.abs(rays.distance_um - 3.0).max() < 1e-9
    assert set(rays.place.tolist()) == {Place.ALONG, Place.END}


def test_rays_that_run_along_a_lumen_are_left_out() -> None:
    """At a branching most of a sphere looks into vessels; what is left meets the wall within 2.5 radii."""
    vessels = bush(1)
    rays = rays_of(vessels)
    assert (rays.place == Place.BRANCHING).any()
    assert (rays.distance_um <= 2.5 * vessels.radius_um.max() + 1e-9).all()
    assert (rays.distance_um > 0).all()


def test_the_printed_surface_has_the_dose_of_the_threshold() -> None:
    vessels, light = bush(2), exposure(0.6)
    rays = rays_of(vessels)
    printed = printed_um(vessels, light, rays)
    there = np.isfinite(printed) & (printed > 0)
    points = rays.origin_um[there] + printed[there, None] * rays.unit[there]
    dose = dose_at_points(vessels, light, points)
    assert there.mean() > 0.98
    assert np.abs(dose - 0.6).max() < 2e-3


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_a_wide_upright_vessel_moves_by_the_inverse_error_function(threshold: float) -> None:
    """A nearly flat wall: dose .5 (1 + erf(d/w)) outside, so d = w erfinv(2 threshold - 1); fine lines."""
    light = exposure(threshold, hatch=0.07, layer=0.5, w_xy=0.4)
    vessels = rod([0.3, 0.2, -60], [0.3, 0.2, 60], 40.0)
    rays = rays_of(vessels)
    along = rays.place == Place.ALONG
    moved = (printed_um(vessels, light, rays) - rays.distance_um)[along]
    assert moved.mean() == pytest.approx(0.4 * float(erfinv(2 * threshold - 1)), abs=0.015)


def test_what_hardens_at_some_threshold_is_cut_at_the_rest() -> None:
    """Of even light, 1 - dose of the lumen is that of the solid: thresholds t and 1 - t print the same."""
    vessels = bush(4)
    rays = rays_of(vessels)
    solid = printed_um(vessels, exposure(0.4, hatch=0.2), rays)
    cut = printed_um(vessels, exposure(0.6, Mode.LUMEN, hatch=0.2), rays)
    assert np.median(np.abs(solid - cut)) < 1e-3


def test_a_vessel_too_narrow_prints_closed_and_is_refused() -> None:
    light = exposure(0.3)
    narrow = rod([-20, 0, 0], [20, 0, 0], 0.5)
    printed = printed_um(narrow, light, rays_of(narrow))
    assert (printed == 0).any()
    with pytest.raises(DataRefused, match=r"vessel 0 at \(0\.0, 0\.0, 0\.0\) um has a radius of 0\.5 um"):
        check_lumens(narrow, light)


@pytest.mark.parametrize(("mode", "threshold"), [(Mode.SOLID, 0.4), (Mode.LUMEN, 0.6), (Mode.SOLID, 0.8)])
def test_the_least_radii_just_open_in_the_middle(mode: Mode, threshold: float) -> None:
    light = exposure(threshold, mode, hatch=0.02, layer=0.1)
    for least, end in zip(least_radius_um(light), ([0, 0, 30], [30, 0, 0]), strict=True):
        for factor, is_open in ((0.93, False), (1.07, True)):
            vessels = rod([-float(one) for one in end], [float(one) for one in end], factor * least)
            dose = dose_at_points(vessels, light, np.zeros((1, 3)))[0]
            assert (dose < threshold if mode is Mode.SOLID else dose > threshold) == is_open


def test_the_thinnest_wall_just_reaches_the_threshold() -> None:
    """A wall between two wide upright lumens, its middle from the sum of lines."""
    light = exposure(0.6, hatch=0.02, layer=0.5)
    least = least_wall_um(light)[0]
    assert least == pytest.approx(2 * W_XY * float(erfinv(0.6)))
    for factor, is_solid in ((0.93, False), (1.07, True)):
        off = 40 + factor * least / 2
        vessels = network(
            [[-off, 0, -60], [-off, 0, 60], [off, 0, -60], [off, 0, 60]], [[0, 1], [2, 3]], [40.0, 40.0]
        )
        assert (dose_at_points(vessels, light, np.zeros((1, 3)))[0] >= 0.6) == is_solid


def two_rods(angle: float, wall: float, radius: float = 4.0) -> Network:
    """Along x, one beside the other, the gap between them at `angle` from upright light: 0 lies across it."""
    half = (radius + wall / 2) * np.array([0.0, math.cos(angle), math.sin(angle)])
    points = [(side * half + (end, 0, 0)).tolist() for side in (-1, 1) for end in (-60.0, 60.0)]
    return network(points, [[0, 1], [2, 3]], [radius, radius])


@pytest.mark.parametrize("angle", [0.0, 0.4, 0.9, math.pi / 2])
@pytest.mark.parametrize("mode", [Mode.SOLID, Mode.LUMEN])
def test_a_wall_is_held_against_the_least_of_its_direction(angle: float, mode: Mode) -> None:
    """2 w(n) erfinv(t) with w(n)^2 = w_xy^2 cos^2 + w_z^2 sin^2, in plain numbers; just above it passes."""
    light = exposure(0.6 if mode is Mode.SOLID else 0.4, mode)
    least = 2 * math.hypot(W_XY * math.cos(angle), W_Z * math.sin(angle)) * float(erfinv(0.6))
    check_between(two_rods(angle, 1.01 * least), limit_of(light))
    with pytest.raises(DataRefused, match=rf"\(1 such\); at least {least:.3g} um in its direction"):
        check_between(two_rods(angle, 0.99 * least), limit_of(light))


def test_a_lying_wall_that_stays_soft_is_refused() -> None:
    """.6 um along the light: in its middle the sum of lines is below the threshold."""
    light = exposure(0.5)
    vessels = two_rods(math.pi / 2, 0.6)
    assert dose_at_points(vessels, light, np.zeros((1, 3)))[0] < 0.5
    with pytest.raises(DataRefused, match=r"wall at \(.*\) um is 0\.6 um thick"):
        check_between(vessels, limit_of(light))


@pytest.mark.parametrize(("end", "w"), [([0, 0, 60], W_XY), ([60, 0, 0], W_Z)])
def test_a_wall_round_a_vessel_is_held_against_the_dose(end: list[float], w: float) -> None:
    vessel = rod([0, 0, 0], end, 4.0)
    least = 2 * w * float(erfinv(0.5))
    check_round(vessel, limit_of(exposure(0.5)), 1.01 * least)
    with pytest.raises(ConfigError, match="the least that prints round"):
        check_round(vessel, limit_of(exposure(0.5)), 0.99 * least)


def test_the_power_for_walls_in_place_makes_the_threshold_a_half() -> None:
    """The dose goes with the square: at P sqrt(2 t) the threshold is t/(2 t) of the bulk dose."""
    power = even_power_mw(exposure(0.7, power=20.0))
    assert 0.7 * (20.0 / power) ** 2 == pytest.approx(0.5)


def test_statistics_add_up() -> None:
    vessels = bush(5)
    rays = rays_of(vessels)
    printed = printed_um(vessels, exposure(0.6), rays)
    rows = {row.name: row for row in statistics(vessels, rays, printed, 3.0)}
    assert (
        rows["all"].rays
        == len(rays.owner)
        == sum(row.rays for name, row in rows.items() if name in ("along vessels", "at branchings", "at ends"))
    )
    errors = np.where(np.isfinite(printed), printed - rays.distance_um, 3.0)
    assert rows["all"].rmse_um == pytest.approx(math.sqrt(np.mean(errors**2)))
    assert rows["all"].rays == sum(row.rays for name, row in rows.items() if name.startswith("radius"))


@pytest.mark.parametrize("mode", [Mode.SOLID, Mode.WALL, Mode.LUMEN])
@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.85])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_of_two_loops_lowers_the_error(mode: Mode, threshold: float, seed: int) -> None:
    vessels = bush(seed)
    found = compensate(vessels, exposure(threshold, mode), 2, least_um=0.2)
    assert len(found.rmse_um) == 3
    assert found.rmse_um[0] > found.rmse_um[1] > found.rmse_um[2]
    errors = printed_um(found.network, exposure(threshold, mode), found.rays) - found.rays.distance_um
    assert rmse_um(errors[np.isfinite(errors)]) <= found.rmse_um[-1] + 1e-9


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.6, 0.9])
@pytest.mark.parametrize("mode", [Mode.SOLID, Mode.LUMEN])
def test_no_loop_raises_the_error(mode: Mode, threshold: float, seed: int) -> None:
    found = compensate(bush(seed), exposure(threshold, mode), 3, least_um=0.1)
    assert all(a > b for a, b in zip(found.rmse_um, found.rmse_um[1:], strict=False))
    assert len(found.rmse_um) == 4 or found.is_settled


def test_compensation_shrinks_what_would_print_wide() -> None:
    """At 0.7 of the bulk dose solid recedes: the lumen is written narrower, by about the shift of a flat wall."""
    ends = (Port(0, Role.INLET, 0.0, 0.0), Port(1, Role.OUTLET, 0.0, 0.0))
    vessels = replace(rod([0.3, 0.2, -60], [0.3, 0.2, 60], 8.0), ports=ends)
    light = exposure(0.7, hatch=0.07, layer=0.5)
    found = compensate(vessels, light, 2, least_um=0.1)
    assert float(found.moved_um(vessels)[0]) == pytest.approx(-W_XY * float(erfinv(0.4)), abs=0.02)


def test_a_radius_below_the_least_is_refused_with_its_place() -> None:
    vessels = rod([0.3, 0.2, -60], [0.3, 0.2, 60], 1.0)
    with pytest.raises(DataRefused, match=r"vessel 0 at \(0\.3, 0\.2, 0\.0\) um would be written with a radius of"):
        compensate(vessels, exposure(0.9), 1, least_um=0.99)


def test_thickened_vessels_do_not_touch() -> None:
    """Two rods .35 um apart that a low threshold would thicken into each other are held apart."""
    vessels = network([[-30, 0, 0], [30, 0, 0], [-30, 8.35, 0], [30, 8.35, 0]], [[0, 1], [2, 3]], [4.0, 4.0])

    def pairs(one: object, gap: float) -> np.ndarray:
        return contacts(one, gap).pairs.astype(np.int64)

    free = compensate(vessels, exposure(0.2), 1, least_um=0.1)
    assert len(contacts(free.network, 0.2)) == 1
    held = compensate(vessels, exposure(0.2), 1, least_um=0.1, gap_um=0.2, contacts=pairs)
    assert len(contacts(held.network, 0.2)) == 0


def test_nothing_is_drawn_at_random() -> None:
    vessels, light = bush(6), exposure(0.7)
    one, two = (compensate(vessels, light, 1, least_um=0.1) for _ in range(2))
    assert np.array_equal(one.network.radius_um, two.network.radius_um)


@given(seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_cells_list_every_capsule_near_a_place(seed: int) -> None:
    """Against the distance of the point from every segment."""
    rng = np.random.default_rng(seed)
    count = 30
    points = rng.uniform(-50, 50, (2 * count, 3))
    points[1::2] = points[::2] + rng.normal(size=(count, 3)) * rng.choice([1, 40], (count, 1))
    vessels = network(
        points.tolist(), [[2 * n, 2 * n + 1] for n in range(count)], rng.uniform(0.5, 9, count).tolist()
    )
    table = capsule_table(vessels)
    cells = cells_of(table, 0.0)
    assert sorted(set(cells.entry.tolist())) == list(range(count))
    for n, row in enumerate(table):
        middle = row[:3] + row[3:6] * row[6] * rng.uniform()
        at = np.clip(((middle - cells.low) // cells.edge).astype(int), 0, cells.shape - 1)
        cell = (at[0] * cells.shape[1] + at[1]) * cells.shape[2] + at[2]
        assert n in cells.entry[cells.offset[cell] : cells.offset[cell + 1]]
