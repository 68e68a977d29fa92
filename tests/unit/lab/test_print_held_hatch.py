"""Seams, tiles, bounds and times of a job against geometry and counts by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poliqi.lab.print.domain.domain import box
from poliqi.lab.print.hatch.limits import bound_of, cuts_of
from poliqi.lab.print.hatch.scan import Slicer, scan
from poliqi.lab.print.hatch.settings import HatchSettings, Mode
from poliqi.lab.print.hatch.slicing import estimate_job, prepare, slice_job
from poliqi.lab.print.hatch.tiling import plan_of
from poliqi.lab.print.network import Network
from poliqi.ops.print_profile_toml import read_profile

PROFILE = read_profile("illustrative")


def vessels(segments: list[tuple[list[float], list[float], float]]) -> Network:
    """Capsules that share no points."""
    points = np.array([point for a, b, _ in segments for point in (a, b)], dtype=np.float64)
    m = len(segments)
    return Network(
        points,
        np.arange(2 * m, dtype=np.int32).reshape(-1, 2),
        np.array([one[2] for one in segments], dtype=np.float64),
        np.zeros(m, dtype=np.uint8),
        np.full(m, -1, dtype=np.int32),
        (),
    )


@pytest.mark.parametrize(("off", "is_cut"), [(-9.1, False), (-8.9, True), (0.0, True), (8.9, True), (9.1, False)])
def test_a_vessel_beside_a_seam_is_cut_where_it_reaches_over_it(off: float, is_cut: bool) -> None:
    """Two tiles of 160 um, a seam in the middle, lit twice 5 um to both sides; a vessel of 4 um radius along it."""
    settings = HatchSettings(Mode.SOLID, 0.5, 1.0, tile_um=170.0, overlap_um=10.0)
    plan = plan_of(box((320.0, 100.0, 50.0)), PROFILE, settings)
    assert plan.grid == (2, 1)
    found = cuts_of(vessels([([off, -30, 0], [off, 30, 0], 4.0)]), plan)
    assert bool(found) == is_cut
    assert all(cut.diameter_um == 8.0 for cut in found)


def test_seams_of_both_directions_move_there_and_back() -> None:
    """Even layers run along x, odd ones along y: each has its seams in both places."""
    settings = HatchSettings(Mode.SOLID, 0.5, 1.0, tile_um=100.0, stagger_um=6.0)
    plan = plan_of(box((180.0, 180.0, 8.0)), PROFILE, settings)
    assert plan.grid == (2, 2)
    for axis in (0, 1):
        along = np.arange(axis, plan.layers, 2)
        inner = plan.window_um(0, axis, along)[:, 1]
        assert set(np.round(inner, 9)) == {-3.0, 3.0}


@pytest.mark.parametrize(("overlap", "stagger", "columns"), [(0.0, 0.0, 2), (0.0, 10.0, 3), (10.0, 0.0, 3)])
def test_every_layer_of_a_tile_lies_in_its_field(overlap: float, stagger: float, columns: int) -> None:
    """A part of exactly two tiles: with an overlap or moving seams it takes three."""
    settings = HatchSettings(Mode.SOLID, 0.5, 1.0, tile_um=100.0, overlap_um=overlap, stagger_um=stagger)
    plan = plan_of(box((200.0, 80.0, 8.0)), PROFILE, settings)
    assert plan.grid == (columns, 1)
    low, high = plan.bounds_um[:, 0]
    for tile in range(plan.tiles):
        window = np.clip(plan.window_um(tile, 0, np.arange(plan.layers)), low, high)
        assert np.abs(window - plan.centre_um(tile)[0]).max() <= 50.0 + 1e-9


def test_the_bound_holds_for_balls_between_four_lines() -> None:
    """The centre of four lines a unit apart is .707 from each: a ball of .75 is met by all, two more across."""
    hatch, layer, radius = 1.0, 0.5, 0.75
    domain = box((40.0, 40.0, 4.0), (20.0, 20.0, 2.0))
    places = [[x, y, 1.75] for x in range(3, 38, 5) for y in range(3, 38, 5)]
    balls = vessels([(at, [at[0] + 1e-4, at[1], at[2]], radius) for at in places])
    settings = HatchSettings(Mode.LUMEN, hatch, layer, least_lumen_pitches=0.1)
    plan = plan_of(domain, PROFILE, settings)
    assert plan.grid == (1, 1)
    met = 0
    for k in range(8):  # layers 0 to 7, each with its 40 lines
        squares = (np.arange(40) + 0.5 - 3.0) ** 2 + ((k + 0.5) * layer - 1.75) ** 2
        met += int((squares < radius**2).sum())
    assert met == 6
    lines = sum(len(one.vectors) for one in scan(Slicer(domain, balls, settings, plan), plan))
    assert lines == met * len(places)
    bound = bound_of(domain, balls, settings, plan)
    assert lines <= bound.vectors <= 4 * lines


def test_an_estimate_counts_every_layer_of_an_even_part() -> None:
    """A block that is the same in all layers: what is estimated from 24 of 60 layers is what all take."""
    slow = replace(PROFILE, scanner=replace(PROFILE.scanner, layer_overhead_ms=70.0))
    domain = box((21.0, 21.0, 60.0))
    channel = vessels([([-5, -5, -35], [-5, -5, 35], 3.0)])
    ready = prepare(domain, channel, slow, HatchSettings(Mode.SOLID, 0.35, 1.0))
    _, estimate = estimate_job(ready)
    whole = slice_job(ready, threads=1)
    assert whole.duration.layer_s == pytest.approx(60 * 0.07)
    for name in ("lit_s", "dark_s", "jump_s", "turn_s", "layer_s", "tile_s", "total_s"):
        assert getattr(estimate, name) == pytest.approx(getattr(whole.duration, name), rel=1e-6), name
