"""What is refused before slicing, bounds, time, cautions, and the command itself."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.domain import Domain, box, cylinder
from poliqi.lab.print.hatch.duration import Clock, jump_limit_um, turn_s
from poliqi.lab.print.hatch.jobreader import check_job, open_job
from poliqi.lab.print.hatch.limits import bound_of, cuts_of
from poliqi.lab.print.hatch.scan import Sums
from poliqi.lab.print.hatch.settings import HatchSettings, LightFrom, Mode, Order, TileOrder, settings_for
from poliqi.lab.print.hatch.slicepage import cautions_of, slice_lines, slice_record
from poliqi.lab.print.hatch.slicing import Prepared, Sliced, estimate_job, prepare, slice_job
from poliqi.lab.print.hatch.tiling import plan_of
from poliqi.lab.print.network import Network, Port, Role
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
from poliqi.lab.print.vesselfile import vessels_bytes
from poliqi.ops.commands.lab_print_slice import command

TOLD = "figures of a test"
PROFILE = Profile(
    "machine",
    Objective(0.8, 1.33, 780.0, 500.0, 100.0, TOLD),
    Scanner(100.0, 1000.0, 5.0, 1.0, "stage", TOLD, line_overhead_us=250.0),
    Laser(50.0, 100.0, TOLD),
    Focus(TOLD, 0.3, 1.1, is_measured=True),
    Material("resin", Action.SOLIDIFY, 0.5, 2.0, TOLD),
    Hatching(0.5, 1.0, 5.0, TOLD),
)
PAGES = Path(__file__).resolve().parents[3] / "docs"
PAGE = (PAGES / "reference" / "lab-print-slice.md").read_text(encoding="utf-8")
BOX = box((80.0, 60.0, 40.0), (40.0, 30.0, 20.0))


def vessels(radius: float = 6.0) -> Network:
    """One vessel straight through the box along x."""
    ports = (Port(0, Role.INLET, 1000.0, 1e6), Port(1, Role.OUTLET, 0.0, 1e6))
    points = np.array([[0.0, 30.0, 20.0], [80.0, 30.0, 20.0]])
    pair = np.array([[0, 1]], dtype=np.int32)
    kind, tree = np.zeros(1, dtype=np.uint8), np.zeros(1, dtype=np.int32)
    return Network(points, pair, np.array([radius]), kind, tree, ports)


def profile(group: str, **changed: Any) -> Profile:
    return replace(PROFILE, **{group: replace(getattr(PROFILE, group), **changed)})


def prepared(settings: HatchSettings, machine: Profile = PROFILE, domain: Domain = BOX, **more: Any) -> Prepared:
    return prepare(domain, vessels(more.pop("radius", 6.0)), machine, settings, **more)


SOLID = settings_for(PROFILE)
COARSE = 1000.0  # ripple that tests of other things allow
COARSELY = ("--hatch-um", "1", "--allow-ripple", "200", "--power-mw", "50")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hatch_um": 0.0}, "hatch_um = 0"),
        ({"layer_um": -1.0}, "layer_um = -1"),
        ({"hatch_um": math.nan}, "hatch_um = nan"),
        ({"wall_um": math.inf}, "wall_um = inf"),
        ({"lattice_beam_um": 100.0}, "would be solid"),
        ({"block_um": 0.5}, "block_um 0.5 is below layer_um 1"),
        ({"overlap_um": -1.0}, "overlap_um = -1"),
    ],
)
def test_settings_that_cannot_be(changed: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings_for(PROFILE, **changed)


@pytest.mark.parametrize(
    ("changed", "machine", "words"),
    [
        ({"power_mw": 101.0}, PROFILE, "101 mW; 'machine' gives at most 100 mW"),
        ({"speed_mm_s": 2000.0}, PROFILE, "2000 mm/s; 'machine' scans at most 1000"),
        ({"tile_um": 120.0}, PROFILE, "a tile of 120 um is above the field of view .* 100 um"),
        ({"tile_um": 80.0}, profile("objective", is_round=True), r"70\.71 um \(100 um across\)"),
        ({"tile_um": 20.0, "overlap_um": 12.0, "stagger_um": 8.0}, PROFILE, "leave nothing of a tile of 20 um"),
        ({}, profile("objective", working_distance_um=39.0), "40 um high, above the working distance 39 um"),
        ({"hatch_um": 0.01, "tile_um": 0.1, "overlap_um": 0.0}, PROFILE, "800 x 600 tiles; 100000 are possible"),
        ({"hatch_um": 0.7}, PROFILE, r"the dose ripples by 33 % between lines.*at most 0.544 um.*--allow-ripple"),
        ({"layer_um": 2.5}, PROFILE, "layer 2.5 um: the dose ripples"),
        ({"hatch_um": 0.53, "layer_um": 1.94}, PROFILE, "8 % between lines and 8.4 % between layers"),
        ({"mode": Mode.WALL, "wall_um": 1.0}, profile("material", min_wall_um=0.1), "below 1.05 um.* dose prints"),
        ({"mode": Mode.SHELL, "skin_um": 1.0}, profile("material", min_wall_um=0.1), "skin_um 1 um is below 1.05"),
        ({"mode": Mode.WALL, "wall_um": 1.5}, PROFILE, "wall_um 1.5 um is below 2 um"),
        ({"mode": Mode.SHELL, "skin_um": 1.5}, PROFILE, "skin_um 1.5 um is below 2 um"),
    ],
)
def test_a_machine_that_cannot(changed: dict[str, Any], machine: Profile, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        prepared(settings_for(machine, **changed), machine)


def test_a_lumen_too_narrow_is_refused_with_its_place() -> None:
    with pytest.raises(
        DataRefused, match=r"segment 0 at \(40\.0, 30\.0, 20\.0\) um has a lumen of 1.98 um, below 2 x"
    ):
        prepared(SOLID, radius=0.99)
    assert prepared(SOLID, radius=1.0).plan.layers == 40
    assert prepared(settings_for(PROFILE, least_lumen_pitches=0.5), radius=0.3).plan.layers == 40


def test_a_job_above_the_budget_is_refused_with_numbers() -> None:
    bound = prepared(SOLID).bound
    with pytest.raises(
        ConfigError, match=rf"job takes up to .* MB \({bound.vectors:,} vectors\).*pitches 1\.5 times"
    ):
        prepared(SOLID, most_job_bytes=bound.job_bytes // 2)
    with pytest.raises(ConfigError, match="the memory takes up to"):
        prepared(SOLID, most_memory_bytes=bound.memory_bytes - 1)


def test_a_seam_that_cuts_a_narrow_vessel_is_refused_with_its_place() -> None:
    chosen = settings_for(PROFILE, tile_um=50.0)
    wide = prepared(chosen, radius=2.5)
    assert wide.plan.grid == (2, 2)
    assert cuts_of(vessels(2.5), wide.plan) == []
    with pytest.raises(
        DataRefused,
        match=r"1 vessels narrower .* 5 um, which is lit twice, such as segment 0, 4.98 um, at \(40\.0, 30\.0",
    ):
        prepared(chosen, radius=2.49)
    found = prepared(replace(chosen, cut_vessels=True), radius=2.49)
    assert {cut.segment for cut in found.cuts} == {0}
    assert any("seams cut 1 vessels" in line for line in cautions_of(slice_job(found)))


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("tile", [None, 45.0])
def test_the_bound_is_one(mode: Mode, tile: float | None) -> None:
    draw = np.random.default_rng(3)
    ends = draw.uniform(0, 60, (60, 3)) * (80 / 60, 1, 40 / 60)
    pairs = np.arange(60, dtype=np.int32).reshape(-1, 2)
    nothing = np.zeros(30, dtype=np.uint8)
    many = Network(ends, pairs, draw.uniform(1.1, 4, 30), nothing, np.full(30, -1, dtype=np.int32), ())
    settings = settings_for(
        PROFILE,
        mode,
        tile_um=tile,
        cut_vessels=True,
        hatch_um=1.0,
        lattice_period_um=20.0,
        most_ripple=COARSE,
        power_mw=100.0,
    )
    plan = plan_of(BOX, PROFILE, settings)
    found = slice_job(prepare(BOX, many, PROFILE, settings))
    bound = bound_of(BOX, many, settings, plan)
    assert found.vectors <= bound.vectors <= 12 * found.vectors


def test_tiles_layers_and_blocks_are_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.job"
    settings = settings_for(
        PROFILE,
        tile_um=50.0,
        block_um=15.0,
        hatch_um=2.0,
        layer_um=2.0,
        stagger_um=3.0,
        most_ripple=COARSE,
        speed_mm_s=10.0,
    )
    with path.open("wb") as file:
        slice_job(prepared(settings), file)
    with open_job(path) as job:
        places = [(one.block, one.tile, one.layer) for one in job.records()]
        assert job.header.blocks == 3
    wanted = [(b, t, k) for b in range(3) for t in range(4) for k in range(7 * b, min(7 * b + 7, 20))]
    assert places == wanted


@pytest.mark.parametrize(
    ("mode", "light", "first"),
    [(Mode.SOLID, LightFrom.BELOW, 0), (Mode.LUMEN, LightFrom.ABOVE, 14), (Mode.LUMEN, LightFrom.BELOW, 25)],
)
def test_what_is_degraded_begins_far_from_the_lens(
    mode: Mode, light: LightFrom, first: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.job"
    with path.open("wb") as file:
        slice_job(prepared(settings_for(PROFILE, mode, light_from=light)), file)
    with open_job(path) as job:
        layers = [one.layer for one in job.records()]
    assert layers[0] == first
    assert layers == sorted(layers, reverse=light is LightFrom.BELOW and mode is Mode.LUMEN)


def test_nearest_tiles_first_leaves_empty_ones_to_the_end() -> None:
    ring = cylinder(45.0, 20.0).minus(cylinder(30.0, 30.0))
    settings = settings_for(PROFILE, tile_um=20.0, overlap_um=2.0, tile_order=TileOrder.NEAREST)
    plan = plan_of(ring, PROFILE, settings)
    assert sorted(map(tuple, plan.cells.tolist())) == [(i, j) for i in range(5) for j in range(5)]
    assert set(map(tuple, plan.cells[-5:].tolist())) == {(2, 2), (1, 2), (3, 2), (2, 1), (2, 3)}  # in the hole
    steps = np.abs(np.diff(plan.cells, axis=0)).sum(axis=1)
    assert steps.mean() < 1.7


def test_round_fields_take_the_square_within() -> None:
    assert profile("objective", is_round=True).objective.side_um == pytest.approx(100 / math.sqrt(2))


def test_time_of_a_line_is_length_over_speed_and_what_is_stated() -> None:
    clock = Clock(PROFILE)
    clock.add((0, 0), Sums(length_nm=10**9, lines=100, dark_nm=10**8, jump_nm=10**9, jumps=3), 100.0)
    clock.add((0, 0), Sums(), 100.0)  # nothing is lit: no time
    clock.add((0, 1), Sums(length_nm=10**9, lines=1), 50.0)
    found = clock.duration()
    assert found.lit_s == pytest.approx(10 + 20)
    assert found.dark_s == pytest.approx(1)
    assert found.jump_s == pytest.approx(1 + 3 * 250e-6)
    assert found.turn_s == pytest.approx(101 * 250e-6)
    assert (found.layer_s, found.tile_s) == (pytest.approx(0.010), 2.0)
    assert found.total_s == pytest.approx(30 + 1 + 1 + 104 * 250e-6 + 0.010 + 2)


def test_turning_by_acceleration_and_jumps_where_they_are_quicker() -> None:
    machine = profile("scanner", acceleration_mm_s2=1e6)
    assert turn_s(machine.scanner, 100.0) == pytest.approx(2 * 100 / 1e6)
    limit = jump_limit_um(PROFILE, 100.0)
    assert limit * 1e-3 / 100 == pytest.approx(limit * 1e-3 / 1000 + 250e-6)
    assert jump_limit_um(profile("scanner", speed_mm_s=1000.0), 1000.0) == math.inf


def test_a_cubic_millimetre_takes_five_hours_and_a_half() -> None:
    """1 mm3 at .5 x 1 um and 100 mm/s is 2e9 um of line: 5.56 h, and 2e6 turns of 250 us: .14 h."""
    machine = profile("objective", field_um=1000.0, working_distance_um=1000.0)
    domain = box((1000.0, 1000.0, 1000.0), (500.0, 500.0, 500.0))
    narrow = replace(vessels(1.0), points_um=np.array([[0.0, 500.0, 500.0], [10.0, 500.0, 500.0]]))
    _, duration = estimate_job(prepare(domain, narrow, machine, settings_for(machine)), pairs=2)
    assert duration.lit_s / 3600 == pytest.approx(5.556, abs=0.001)
    assert duration.turn_s / 3600 == pytest.approx(0.139, abs=0.001)


@pytest.mark.parametrize("order", list(Order))
def test_the_estimate_is_near_the_job(order: Order) -> None:
    ready = prepared(settings_for(PROFILE, Mode.WALL, tile_um=50.0, order=order))
    job = slice_job(ready)
    vectors, duration = estimate_job(ready, pairs=20)
    assert vectors == pytest.approx(job.vectors, rel=0.02)
    assert duration.total_s == pytest.approx(job.duration.total_s, rel=0.02, abs=30)


def whole() -> Sliced:
    return slice_job(prepared(SOLID))


def test_volumes_agree_without_lines() -> None:
    job = whole()
    assert job.expected is not None
    assert job.expected.um3 == pytest.approx(80 * 60 * 40 - math.pi * 36 * 80, rel=1e-3)
    assert job.lit_um3 == pytest.approx(80 * 60 * 40 - math.pi * 36 * 80, rel=1e-3)
    assert job.lit_layers == 40


def test_light_may_differ_by_layer(tmp_path: Path) -> None:
    path = tmp_path / "a.job"
    with path.open("wb") as file:
        job = slice_job(prepared(SOLID), file, light=lambda layer: (10.0 + layer.layer, 50.0))
    with open_job(path) as read:
        assert [one.power_mw for one in read.records()] == [10.0 + k for k in range(40)]
    assert job.duration.lit_s == pytest.approx(2 * whole().duration.lit_s)


@pytest.mark.parametrize(
    ("machine", "changed", "words"),
    [
        (profile("material", action=Action.DEGRADE), {"mode": Mode.SOLID}, "removes what is to stay"),
        (PROFILE, {"mode": Mode.LUMEN}, "prints plugs"),
        (PROFILE, {"merge_gap_um": 3.0}, "gaps shorter than 3 um are lit"),
        (PROFILE, {"min_length_um": 30.0}, "are left out"),
        (PROFILE, {"tile_um": 50.0, "overlap_um": 0.0}, "tiles do not overlap"),
        (PROFILE, {"tile_um": 50.0}, "goes through what is done"),
        (profile("scanner", line_overhead_us=0.0), {}, "lower bound"),
        (profile("scanner", foci=9), {}, "9 foci"),
        (
            PROFILE,
            {"mode": Mode.LUMEN, "hatch_um": 6.0, "layer_um": 6.0, "most_ripple": COARSE, "speed_mm_s": 1.0},
            "the pitch is coarse",
        ),
    ],
)
def test_cautions(machine: Profile, changed: dict[str, Any], words: str) -> None:
    job = slice_job(prepared(settings_for(machine, **changed), machine))
    assert any(words in line for line in cautions_of(job)), cautions_of(job)


def test_what_the_profile_assumes_is_told_where_it_is_used() -> None:
    guess = "overheads: assumed"
    machine = replace(
        PROFILE, scanner=replace(PROFILE.scanner, source=guess), laser=replace(PROFILE.laser, source=guess)
    )
    said = cautions_of(slice_job(prepared(settings_for(machine), machine)))
    assert [one.partition(":")[0] for one in said] == [
        "profile 'machine' assumes its scanner, which the time rests on",
        "profile 'machine' assumes its laser, which the power rests on",
    ]
    own = cautions_of(slice_job(prepared(settings_for(machine, power_mw=40.0), machine)))
    assert own[0] == said[0]
    assert own[1].startswith("the threshold 0.5 of profile 'machine' is stated at 50 mW") and len(own) == 2


def test_layers_that_do_not_add_up_to_the_height_are_told() -> None:
    low = box((80.0, 60.0, 12.5), (40.0, 30.0, 20.0))
    said = cautions_of(slice_job(prepared(SOLID, domain=low, radius=3.0)))
    assert any("12 layers of 1 um are 12 um, and the domain is 12.5 um high (-4 %)" in one for one in said), said


def test_nothing_is_lit_twice_where_nothing_overlaps() -> None:
    chosen = settings_for(PROFILE, tile_um=37.0, overlap_um=0.0)
    assert slice_job(prepared(chosen)).twice_um3 == 0.0
    assert slice_job(prepared(replace(chosen, overlap_um=5.0))).twice_um3 > 0


def test_an_allowed_ripple_is_told() -> None:
    job = slice_job(prepared(settings_for(PROFILE, hatch_um=0.8, most_ripple=1.0)))
    assert any("the dose ripples by 50.7 %" in one for one in cautions_of(job)), cautions_of(job)
    lines = slice_record(job)["ripple"]["lines"]
    summed = np.exp(-((np.arange(-20, 21) * 0.8 / 0.3) ** 2)).sum() * 0.8 / (0.3 * math.sqrt(math.pi))
    assert lines == pytest.approx(summed - 1)
    assert "dose ripples by 51 % between lines" in "\n".join(slice_lines(job, "a"))


def test_a_plain_job_has_no_caution() -> None:
    assert cautions_of(whole()) == []


# ---------------------------------------------------------------- the command


def run(folder: Path, *arguments: str, radius: float = 6.0) -> Result:
    path = folder / "tube.vessels.json"
    path.write_bytes(vessels_bytes(vessels(radius), BOX, {}))
    return CliRunner().invoke(command, [str(path), "--profile", "illustrative", *arguments])


def test_command_writes_a_job_and_tells_of_it(tmp_path: Path) -> None:
    out, page = tmp_path / "tube.job", tmp_path / "tube.html"
    done = run(tmp_path, "-o", str(out), *COARSELY, "--report", str(page))
    assert done.exit_code == 0, (done.output, done.exception)
    totals = check_job(out)
    assert f"{totals.vectors:,} vectors" in done.output
    assert "caution: the focus of profile 'illustrative' is not measured" in done.output
    assert "without lines 0.000183 mm3" in done.output  # 80 x 60 x 40 um less pi 36 80
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 5
    assert "simulated" in text


def test_command_prints_json(tmp_path: Path) -> None:
    done = run(tmp_path, "--mode", "wall", *COARSELY, "--despite-problems", "--json")
    found = json.loads(done.stdout)
    assert found["simulated"] is True
    assert found["volume_um3"] == pytest.approx(math.pi * (11**2 - 6**2) * 80, rel=0.01)
    assert found["shutter_switches"] == 2 * found["vectors"]
    assert found["duration"]["total_s"] == pytest.approx(
        sum(value for name, value in found["duration"].items() if name != "total_s")
    )


def test_command_refuses_before_it_writes(tmp_path: Path) -> None:
    out = tmp_path / "tube.job"
    for arguments, words in (
        (("--hatch-um", "7", "--allow-ripple", "9000", "--speed-mm-s", "1"), "below 2 x hatch_um"),
        (("--power-mw", "1e6"), "at most 50 mW"),
        (("--hatch-um", ".01", "--layer-um", ".01", "--budget-mb", "1"), "above the budget"),
        (("--profile", "nobody"), "illustrative"),
    ):
        done = run(tmp_path, "-o", str(out), *arguments)
        assert words in str(done.exception)
        assert isinstance(done.exception, ConfigError | DataRefused)
        assert list(tmp_path.iterdir()) == [tmp_path / "tube.vessels.json"]


def test_command_refuses_what_is_not_printable(tmp_path: Path) -> None:
    beside = replace(vessels(), points_um=np.array([[0.0, 6.5, 20.0], [80.0, 6.5, 20.0]]))
    path = tmp_path / "beside.vessels.json"
    path.write_bytes(vessels_bytes(beside, BOX, {}))
    arguments = [str(path), "--profile", "illustrative", *COARSELY]
    done = CliRunner().invoke(command, arguments)
    assert isinstance(done.exception, DataRefused)
    assert "not printable: thin wall to the outside" in str(done.exception)
    allowed = CliRunner().invoke(command, [*arguments, "--despite-problems"])
    assert allowed.exit_code == 0
    assert "caution: thin wall to the outside" in allowed.output


def test_every_option_is_on_its_page() -> None:
    for option in command.params:
        if option.name != "vessels":
            assert any(f"`{name}" in PAGE for name in option.opts), option.name


def test_every_mode_is_explained() -> None:
    explained = (PAGES / "explanation" / "hatching.md").read_text(encoding="utf-8")
    for mode in Mode:
        assert f"**{mode}**" in explained


def test_command_refuses_a_lying_wall_that_the_dose_does_not_print(tmp_path: Path) -> None:
    """.5 um along the light, above min_wall_um, below 2 w_z erfinv(.5) = 1.05 um; also at what --hatch-um says."""
    ends = np.array([[0.0, 30, 24.25], [80, 30, 24.25], [0, 30, 15.75], [80, 30, 15.75]])
    ports = tuple(Port(at, Role.OUTLET if at % 2 else Role.INLET, 0.0, 1e6) for at in range(4))
    two = np.array([[0, 1], [2, 3]], dtype=np.int32)
    path, machine = tmp_path / "two.vessels.json", tmp_path / "m.toml"
    kind, tree = np.zeros(2, dtype=np.uint8), np.arange(2, dtype=np.int32)
    path.write_bytes(vessels_bytes(Network(ends, two, np.array([4.0, 4.0]), kind, tree, ports), BOX, {}))
    machine.write_text(illustrative().replace("min_wall_um = 1.0", "min_wall_um = 0.1"))
    done = CliRunner().invoke(command, [str(path), "--profile", str(machine)])
    assert isinstance(done.exception, DataRefused)
    assert "0.5 um" in str(done.exception) and "the least that the dose prints" in str(done.exception)


def illustrative() -> str:
    return (files("poliqi.lab.print.profiles") / "illustrative.toml").read_text(encoding="utf-8")
