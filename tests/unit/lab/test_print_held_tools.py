"""Doses, arrays, exports, findings, views and studies against geometry and sums by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from print_dose_cases import exposure, rod
from print_scenes import CUBE_UM, cube

from poliqi.base.errors import ConfigError
from poliqi.lab.print.calibrate.array import array_of, write_array
from poliqi.lab.print.calibrate.fit import fit_lines
from poliqi.lab.print.calibrate.sheet import Row
from poliqi.lab.print.domain.domain import box
from poliqi.lab.print.dose.capsulelines import capsule_table, line_in_capsule
from poliqi.lab.print.export.gwl import gwl_size, write_gwl
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.flow.solve import solve_flow
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.hatch.jobformat import FORMAT, Header, Record
from poliqi.lab.print.hatch.jobreader import read_job
from poliqi.lab.print.hatch.jobwriter import JobWriter
from poliqi.lab.print.network import Network, Port, Role
from poliqi.lab.print.optimise.front import knee_of
from poliqi.lab.print.optimise.judge import Judge, _flow_measures, grown
from poliqi.lab.print.oxygen.tissue import Tissue
from poliqi.lab.print.printability.check import check
from poliqi.lab.print.printability.problem import Flaw
from poliqi.lab.print.view.camera import Camera, frame_of
from poliqi.lab.print.view.shading import seen
from poliqi.ops.print_profile_toml import read_profile

PROFILE = read_profile("illustrative")
BLOCK = box((200.0, 200.0, 200.0), (100.0, 100.0, 100.0))


@pytest.mark.parametrize("turn", [False, True])
def test_a_line_across_the_axis_behind_an_end_meets_its_ball_alone(*, turn: bool) -> None:
    """A capsule from 0 to 10 of radius 3: at 2 behind either end sqrt(9 - 4) to both sides, at 4 nothing."""
    ends = [0.0, 0.0, 0.0], [10.0, 0.0, 0.0]
    table = capsule_table(rod(*(ends[::-1] if turn else ends), 3.0))
    for x, half in ((-2.0, 5**0.5), (12.0, 5**0.5), (-1.0, 8**0.5), (5.0, 3.0), (-4.0, None), (14.0, None)):
        low, high = line_in_capsule(table[0], 3.0, x, 0.0, 0.0, 0.0, 1.0, 0.0)
        if half is None:
            assert low > high
        else:
            assert (low, high) == pytest.approx((-half, half))


def test_thresholds_from_two_to_98_per_cent_can_be_worked_on() -> None:
    for inside, outside in ((0.02, 0.019), (0.98, 0.981)):
        assert exposure(threshold=inside).threshold == inside
        with pytest.raises(ConfigError, match="threshold"):
            exposure(threshold=outside)


def scattered(seed: int) -> list[Row]:
    """Lines by Serbin's formula with scatter of .02 and .1 um that the sheet does not tell."""
    rng = np.random.default_rng(seed)
    dose = np.geomspace(6.0, 60.0, 9)
    root = 2 * np.sqrt(np.log(dose / 3.6))
    wide, high = 0.24 * root + rng.normal(0, 0.02, 9), 1.3 * root + rng.normal(0, 0.1, 9)
    return [
        Row(f"A{k}", float(np.sqrt(d * 10.0)), 10.0, width_um=float(w), height_um=float(h))
        for k, (d, w, h) in enumerate(zip(dose, wide, high, strict=True))
    ]


def test_scatter_is_estimated_without_bias() -> None:
    """Three values are fitted to both kinds: residuals over the scatter have as many squares as degrees."""
    fits = [fit_lines(scattered(seed)) for seed in range(30)]
    assert {fit.degrees for fit in fits} == {15}
    assert np.mean([fit.chi2 for fit in fits]) == pytest.approx(15.0, abs=0.3)
    spread = [np.sum(fit.residuals_um[:9] ** 2) for fit in fits]  # the threshold is shared: 9 - 1.5 or so
    assert np.mean(spread) / 0.02**2 == pytest.approx(7.5, abs=4 * np.sqrt(15 / 30))


def test_lone_lines_lie_where_the_sheet_says_between_rails_of_both_directions() -> None:
    array = array_of(PROFILE, (10.0, 20.0), (50.0, 100.0), lines=1)
    file = io.BytesIO()
    write_array(array, PROFILE, file)
    file.seek(0)
    records = list(read_job(file).records())
    lone = [one for one in records if len(one.vectors) == 1]
    assert len(lone) == len(array.rows) == 4
    for one, row in zip(lone, array.rows, strict=True):
        assert row.z_um is not None
        assert one.z_nm == pytest.approx(1000 * row.z_um, abs=1.0)
        assert one.z_nm == pytest.approx(1000 * (one.layer + 0.5) * PROFILE.hatch.layer_um, abs=1.0)
        assert one.layer % 2 == 0  # it runs along x
    rails = [one for one in records if len(one.vectors) > 1]
    assert [one.layer for one in rails] == list(range(array.layers))
    for one in rails:
        way = np.abs(one.vectors[:, 2:] - one.vectors[:, :2])
        assert (way[:, one.layer % 2] > 0).all()
        assert (way[:, 1 - one.layer % 2] == 0).all()


def test_gwl_moves_the_stage_in_both_directions_to_each_tile(tmp_path: Path) -> None:
    """Two rows of two tiles whose middles have unlike x and y; the moves add up to each of them."""
    head = Header(
        FORMAT, "test", True, "solid", ((0, 0, 0), (90_000, 70_000, 1000)), (50_000, 50_000), 1, 4, 1, "tile", "up",
        0.0, 1.0, 0.5, {}, PROFILE.record, "",
    )  # fmt: skip
    centres = [(20_000, 15_000), (65_000, 15_000), (65_000, 50_000), (20_000, 50_000)]
    path = tmp_path / "a.job"
    with path.open("wb") as file:
        writer = JobWriter(file, head)
        for tile, (x, y) in enumerate(centres):
            vector = np.array([[x, y, x + 1000, y]], np.int32)
            writer.add(Record(0, tile, 0, 500, (x, y), 20.0, 100.0, vector))
        writer.finish()
    out = io.BytesIO()
    write_gwl(path, out, gwl_size(path, 10**9))
    stage, found = {"X": 0.0, "Y": 0.0}, list[tuple[int, int]]()
    for line in out.getvalue().decode("ascii").splitlines():
        words = line.split("%")[0].split()
        if words and words[0].startswith("MoveStage"):
            stage[words[0][-1]] += float(words[1])
        elif words == ["Write"]:
            found.append((round(1000 * stage["X"]), round(1000 * stage["Y"])))
    assert found == centres


def net(points: Sequence[Sequence[float]], segments: Sequence[tuple[int, int]], *ports: int) -> Network:
    """Vessels of 8 um; ports in turn inlet and outlet."""
    m = len(segments)
    return Network(
        np.asarray(points, dtype=float),
        np.asarray(segments, dtype=np.int32),
        np.full(m, 8.0),
        np.zeros(m, dtype=np.uint8),
        np.full(m, 0 if ports else -1, dtype=np.int32),
        tuple(Port(node, (Role.INLET, Role.OUTLET)[k % 2], 100.0, 1e6) for k, node in enumerate(ports)),
    )


@pytest.mark.parametrize(("part", "is_short"), [(0.9, True), (1.1, False), (1.5, False), (1.8, False)])
def test_a_vessel_is_stubby_below_its_radius(part: float, is_short: bool) -> None:
    points = [(0, 100, 100), (100, 100, 100), (100 + 8 * part, 100, 100), (200, 100, 100)]
    found = check(BLOCK, net(points, [(0, 1), (1, 2), (2, 3)], 0, 3), PROFILE)
    assert (Flaw.STUBBY in {one.what for one in found}) == is_short


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("y", "is_dead"), [(150.0, False), (180.0, True)])
def test_an_end_within_another_vessel_is_open(*, turned: bool, y: float, is_dead: bool) -> None:
    """A branch to (100, 150) ends in a channel there, or stops short of one at 180; whichever way it is told."""
    points = [(0, 100, 100), (100, 100, 100), (200, 100, 100), (100, 150, 100), (0, y, 100), (200, y, 100)]
    branch = (3, 1) if turned else (1, 3)
    for segments in ([(0, 1), (1, 2), branch, (4, 5)], [(4, 5), branch, (0, 1), (1, 2)]):
        found = check(BLOCK, net(points, segments, 0, 2, 4, 5), PROFILE)
        assert (Flaw.DEAD_END in {one.what for one in found}) == is_dead


@pytest.mark.parametrize(("azimuth", "elevation"), [(0.0, 0.0), (-58.0, 24.0), (130.0, -20.0)])
def test_up_is_z_and_right_is_right_of_the_way_one_looks(azimuth: float, elevation: float) -> None:
    """Right of a look along f with z up is f x z, as every map drawn from the south has the east on its right."""
    right, up, eye = Camera(azimuth, elevation).rotation
    assert up[2] == pytest.approx(np.cos(np.radians(elevation)))
    wanted = np.cross(-eye, [0.0, 0.0, 1.0])
    assert right == pytest.approx(wanted / np.linalg.norm(wanted))
    assert eye[2] == pytest.approx(np.sin(np.radians(elevation)))
    assert Camera(-90.0, 0.0).rotation[0] == pytest.approx([1.0, 0.0, 0.0], abs=1e-12)  # from the south


def test_a_vessel_high_in_the_east_is_seen_high_on_the_right_from_the_south() -> None:
    """And the middles of pixels are where the picture's edges put them."""
    vessels = net([(0, 0, 0), (4, 0, 0), (300, 0, 200), (304, 0, 200)], [(0, 1), (2, 3)])
    frame = frame_of(Camera(-90.0, 0.0).rotation, vessels.points_um + np.zeros(3), 200)
    _, owner, _ = seen(vessels, frame)
    rows, columns = np.nonzero(owner == 1)
    assert rows.mean() > 0.8 * owner.shape[0] and columns.mean() > 0.8 * owner.shape[1]
    left, right, low, high = frame.extent_um
    tall, wide = frame.shape
    x = left + (columns.mean() + 0.5) / wide * (right - left)
    z = low + (rows.mean() + 0.5) / tall * (high - low)
    at = frame.pixels(np.array([[302.0, 0.0, 200.0]]))[0]
    assert left + (at[0] + 0.5) / wide * (right - left) == pytest.approx(302.0, abs=1e-6)
    assert low + (at[1] + 0.5) / tall * (high - low) == pytest.approx(200.0, abs=1e-6)
    assert (x, z) == pytest.approx((302.0, 200.0), abs=0.4 * frame.um_per_pixel)


def test_shear_is_told_at_5_and_95_per_cent_of_the_length() -> None:
    """By laying vessels end to end in the order of their shear, 4 Q mu/(pi r^3) of a straight tube."""
    growth = GrowthSettings(
        (Inlet((0.0, CUBE_UM / 2, CUBE_UM / 2)),), 12, 2e7, 400.0, wall_um=12.0, gap_um=10.0, seed=2
    )
    tissue = Tissue(1.7e-9, 0.03, 8e-3)
    judge = Judge(json.dumps(cube().record), growth, None, Fluid(), tissue, PROFILE, "wall", 16)
    vessels = grown(judge, {})
    flow = solve_flow(vessels, Fluid())
    shear = 4 * np.abs(flow.flow_um3_s) * flow.viscosity_pa_s / (np.pi * vessels.radius_um**3)
    order = np.argsort(shear)
    ends = np.cumsum(vessels.length_um[order])
    found = _flow_measures(vessels, flow)
    for name, part in (("shear_low", 0.05), ("shear_high", 0.95)):
        at = next(k for k, end in enumerate(ends) if end >= part * ends[-1])
        assert found[name] == pytest.approx(shear[order][at], rel=1e-9), name


def test_the_knee_counts_each_measure_by_its_range() -> None:
    """100 to 101 is as far as 0 to 1: the middle row is the nearest, wherever the measures begin."""
    rows = np.array([[100.0, 1.0], [101.0, 0.0], [100.4, 0.4]])
    assert knee_of(rows) == 2
    assert knee_of(rows + np.array([1e4, 50.0])) == 2
    assert knee_of(rows[:, ::-1]) == 2
