"""What faint and blank lines tell of the threshold, sheets that are kept, and what stands in each mode."""

from __future__ import annotations

import io
import itertools
import json
import math
import tomllib
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.calibrate.array import array_of
from poliqi.lab.print.calibrate.fit import LineFit, fit_lines
from poliqi.lab.print.calibrate.sheet import COLUMNS, Row, read_sheet, sheet_bytes
from poliqi.lab.print.domain.domain import box
from poliqi.lab.print.dose.field import Grid, design_volume_um3
from poliqi.lab.print.hatch.settings import Mode
from poliqi.lab.print.network import Network, Port, Role
from poliqi.lab.print.printability.check import Settings, check, settings_of
from poliqi.lab.print.printability.problem import Flaw, Problem, Severity
from poliqi.lab.print.profile import Action
from poliqi.ops.commands.lab_print_calibrate import command
from poliqi.ops.print_profile_toml import read_profile

W_XY, W_Z, K = 0.24, 1.3, 3.9
PROFILE = read_profile("illustrative")
GEL = replace(PROFILE, material=replace(PROFILE.material, action=Action.DEGRADE))


def lines(
    seed: int, *, told: bool = False, off: float = 0.0, changed: dict[tuple[float, float, int], float] | None = None
) -> list[Row]:
    """Three lines of each power and speed by Serbin's formula; `off`: normal scatter of ln dose by cell."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for power, speed in itertools.product(np.linspace(5.0, 30.0, 11).tolist(), (10.0, 50.0, 100.0)):
        excess = math.log(power**2 / speed / K) + off * rng.normal()
        for line in range(3):
            name = f"{power:g}/{speed:g}.{line}"
            if excess > 0:
                root = 2 * math.sqrt(excess)
                wide, high = W_XY * root + 0.005 * rng.normal(), W_Z * root + 0.03 * rng.normal()
                row = Row(name, power, speed, max(wide, 1e-3), 0.005, max(high, 1e-3), 0.03)
            else:
                row = Row(name, power, speed, 0.0)
            if changed and (power, speed, line) in changed:
                row = Row(name, power, speed, changed[power, speed, line], 0.005 if told else None)
            rows.append(row if told else replace(row, width_sigma_um=None, height_sigma_um=None))
    return rows


def off(fit: LineFit) -> np.ndarray:
    """How far from the truth, in told deviations."""
    found = (fit.w_xy_um, fit.w_z_um, fit.line_threshold_mw2_s_mm)
    return np.array([(a - b) / s for a, b, s in zip(found, (W_XY, W_Z, K), fit.sigmas, strict=True)])


@pytest.mark.parametrize("told", [True, False])
def test_a_faint_line_below_the_threshold_does_not_move_it(*, told: bool) -> None:
    """It prints .03 um at 17.5 mW and 100 mm/s, a dose of 3.06 where lines begin at 3.9."""
    fit = fit_lines(lines(2, told=told, changed={(17.5, 100.0, 0): 0.03}))
    assert np.abs(off(fit)).max() < 3
    assert [one for one in fit.contradictions if "left out: 17.5/100.0;" in one]
    clean = fit_lines(lines(2, told=told))
    assert fit.line_threshold_mw2_s_mm == pytest.approx(clean.line_threshold_mw2_s_mm, rel=1e-9)
    assert clean.contradictions == () and clean.left_out == ()


def test_clean_lines_keep_their_coverage() -> None:
    """Deviations of 40 seeds are of unit scatter, with doubts told and not; misfits come by chance alone."""
    for told in (True, False):
        fits = [fit_lines(lines(seed, told=told)) for seed in range(40)]
        assert np.std([off(fit) for fit in fits], axis=0) == pytest.approx(1.0, abs=0.3)
        assert sum(fit.dose_scatter > 0 for fit in fits) <= 12
        assert np.mean([fit.repeats_p for fit in fits if fit.repeats_p is not None]) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("told", [True, False])
def test_doubts_hold_where_cells_scatter_more_than_their_lines(*, told: bool) -> None:
    """A power that is off by 1 % from cell to cell: by the lines' scatter alone K would be 10 of its doubts off."""
    fits = [fit_lines(lines(seed, told=told, off=0.02)) for seed in range(14)]
    assert all(fit.repeats_p is not None and fit.repeats_p < 0.02 for fit in fits)
    assert np.mean([fit.dose_scatter for fit in fits]) == pytest.approx(0.02, rel=0.35)
    assert sum(fit.raised > 1 for fit in fits) <= 3
    assert np.std([off(fit) for fit in fits], axis=0) == pytest.approx(1.0, abs=0.55)


def test_lines_against_the_threshold_are_told() -> None:
    blank = {(20.0, 50.0, line): 0.0 for line in range(3)}  # a dose of 8
    said = fit_lines(lines(3, told=True, changed=blank)).contradictions
    assert any("3 lines above the threshold were not printed: 20/50.0, 20/50.1" in one for one in said)
    thin = fit_lines(lines(3, changed={(15.0, 10.0, 1): 0.3})).contradictions  # .64 by the formula
    assert any("the width of line 15/10.1 is" in one and "doubts off the fit" in one for one in thin)
    faint = [Row(f"{dose:g}", math.sqrt(dose), 1.0, width) for dose, width in
             ((4.0, 0.07), (4.3, 0.17), (5.0, 0.21), (6.5, 0.37), (8.0, 0.38))]  # fmt: skip
    assert any("the faintest fitted line is" in one for one in fit_lines(faint, 1.3).contradictions)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1e-200,1,.2,,1,", "power_mw 1e-200 is outside 1e-06 to 1e"),
        ("1,1e-320,.2,,1,", "speed_mm_s 9.99989e-321 is outside 0.0001 to"),
        ("1,1,.2,1e-300,1,1e-300", "width_sigma_um 1e-300 is outside 1e-06"),
        ("1,1,.2,.1,1,1e-160", "height_sigma_um 1e-160 is outside"),
        ("1,1,1e-300,,1,", "width_um 1e-300 is outside 0.0001"),
        ("1,1,.2,,1e5,", "height_um 100000 is outside"),
    ],
)
def test_values_that_no_machine_has_are_refused_on_reading(row: str, said: str) -> None:
    head = "power_mw,speed_mm_s,width_um,width_sigma_um,height_um,height_sigma_um\n"
    with pytest.raises(DataRefused, match=f"line 2: {said}"):
        read_sheet((head + row + "\n").encode())


def test_the_widest_values_that_are_read_give_a_fit_or_an_error_in_words() -> None:
    ends = {"power_mw": (1e-6, 1e6), "speed_mm_s": (1e-4, 1e6), "width_um": (1e-4, 1e4), "doubt": (1e-6, 1e4)}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows: list[Row] = []
        for _ in range(5):
            power, speed, width, doubt = (float(rng.choice(pair)) for pair in ends.values())
            rows.append(Row("", power, speed, width, doubt, width, doubt))
        try:
            fit = fit_lines(rows)
        except DataRefused:
            continue
        assert np.isfinite([*fit.sigmas, fit.w_xy_um, fit.line_threshold_mw2_s_mm]).all()


def test_a_calculated_sheet_measures_nothing(tmp_path: Path) -> None:
    sheet, made, page = tmp_path / "a.csv", tmp_path / "made.toml", tmp_path / "fit.html"
    sheet.write_bytes(sheet_bytes(lines(5, told=True)))
    for more, is_simulated in (["--simulated"], True), ([], False):
        asked = ["fit", str(sheet), "--profile", "illustrative", "-o", str(made), "--report", str(page), "--json",
                 "--force", *more]  # fmt: skip
        done = CliRunner().invoke(command, asked, catch_exceptions=False)
        assert json.loads(done.stdout)["simulated"] is is_simulated
        table = tomllib.loads(made.read_text(encoding="utf-8"))
        assert table["focus"].get("is_measured", False) is not is_simulated
        assert ("simulated" in table["focus"]["source"]) is is_simulated
        assert ("class=simulated>" in page.read_text(encoding="utf-8")) is is_simulated
        assert any("is not measured" in one for one in read_profile(made).cautions) is is_simulated
        assert any("calculated, not measured" in one for one in read_profile(made).cautions) is is_simulated


def test_a_filled_sheet_is_never_replaced(tmp_path: Path) -> None:
    job, sheet = tmp_path / "a.job", tmp_path / "a.csv"
    asked = ["array", "--profile", "illustrative", "--power", "10,20", "--speed", "50", "-o", str(job), "--force"]
    for _ in range(2):  # an empty one is
        assert CliRunner().invoke(command, asked).exit_code == 0
    rows = read_sheet(sheet.read_bytes())
    for filled in (
        sheet_bytes([replace(rows[0], width_um=0.0), *rows[1:]]),
        sheet_bytes([*rows[:-1], replace(rows[-1], height_um=1.0)]),
        sheet.read_bytes().replace(b",", b";"),
    ):
        sheet.write_bytes(filled)
        found = CliRunner().invoke(command, asked).exception
        assert isinstance(found, ConfigError)
        assert str(sheet) in str(found) and "not even with --force: name another --sheet" in str(found)
        assert sheet.read_bytes() == filled
    other = [*asked, "--sheet", str(tmp_path / "b.csv")]
    assert CliRunner().invoke(command, other).exit_code == 0


def test_every_line_has_its_own_label() -> None:
    wide = replace(PROFILE, objective=replace(PROFILE.objective, field_um=5000.0))
    array = array_of(wide, np.linspace(1, 40, 30).tolist(), np.linspace(1, 100, 13).tolist(), lines=2)
    labels = [row.label for row in array.rows]
    assert len(set(labels)) == len(labels) == 30 * 13 * 2
    assert (labels[0], labels[25 * 26], labels[26 * 26], labels[-1]) == ("A1.1", "Z1.1", "AA1.1", "AD13.2")


CUBE = box((80.0, 80.0, 60.0))


def vessel(z: float, radius: float = 6.0) -> Network:
    """Straight along x from side to side."""
    nothing = np.zeros(1)
    return Network(
        np.array([[-40.0, 0.0, z], [40.0, 0.0, z]]),
        np.array([[0, 1]], dtype=np.int32),
        np.array([radius]),
        nothing.astype(np.uint8),
        nothing.astype(np.int32),
        (Port(0, Role.INLET, 100.0, 1e6), Port(1, Role.OUTLET, 0.0, 1e6)),
    )


def loose(network: Network, mode: Mode | None, profile: object = PROFILE, **more: float) -> list[Problem]:
    settings = replace(settings_of(PROFILE), min_wall_um=0.0, mode=mode, **more)
    found = check(CUBE, network, profile, settings)  # type: ignore[arg-type]
    return [one for one in found if one.what is Flaw.ISLAND]


def test_a_tube_in_the_middle_of_the_tissue_stands_nowhere() -> None:
    """Its wall of 5 um round a lumen of 6 um is pi (11^2 - 6^2) 80 um3, 19 um above the ground."""
    (problem,) = loose(vessel(0.0), Mode.WALL)
    assert problem.severity is Severity.REFUSE and problem.count == 1
    assert problem.value == pytest.approx(math.pi * (11**2 - 6**2) * 80, rel=0.05)
    assert abs(problem.place_um[2]) <= 11 and "--mode solid or shell" in problem.remedy
    assert "z = -11" in problem.detail and "begins at -30" in problem.detail
    (plug,) = loose(vessel(0.0), Mode.LUMEN)
    assert plug.value == pytest.approx(math.pi * 6**2 * 80, rel=0.05)


@pytest.mark.parametrize(
    ("z", "is_loose"),
    [(-19.2, False), (-18.0, True), (-18.9, False)],
    ids=["in the ground", "a layer above", "just in the lowest layer"],
)
def test_a_tube_stands_where_its_wall_meets_the_lowest_layer(z: float, *, is_loose: bool) -> None:
    """The lowest layer is lit in its middle, .5 um above z = -30; the wall's lowest line lies at z - 11."""
    assert bool(loose(vessel(z), Mode.WALL, voxel_um=1.0)) is is_loose


def test_what_hangs_together_with_the_ground_stands() -> None:
    assert loose(vessel(0.0), None) == loose(vessel(0.0), Mode.SOLID) == []
    assert loose(vessel(0.0), Mode.SHELL, lattice_period_um=20.0, lattice_beam_um=4.0) == []
    short = replace(vessel(0.0, 3.0), points_um=np.array([[-20.0, 0.0, 0.0], [20.0, 0.0, 0.0]]))
    (tube,) = loose(short, Mode.SHELL, wall_um=4.0, skin_um=1.0, lattice_period_um=1e4)
    assert "mode shell lights" in tube.detail
    down = Network(
        np.array([[-40.0, 0.0, 0.0], [40.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, -30.0]]),
        np.array([[0, 2], [2, 1], [2, 3]], dtype=np.int32),
        np.full(3, 6.0),
        np.zeros(3, dtype=np.uint8),
        np.zeros(3, dtype=np.int32),
        (Port(0, Role.INLET, 100.0, 1e6), Port(1, Role.OUTLET, 0.0, 1e6), Port(3, Role.OUTLET, 0.0, 1e6)),
    )
    assert loose(down, Mode.WALL) == []


def test_islands_of_a_gel_are_of_what_stays_dark() -> None:
    """Lit are lumens; a wall that were lit round a tube would leave its core, pi 6^2 80 um3."""
    assert loose(vessel(0.0), None, GEL) == loose(vessel(0.0), Mode.LUMEN, GEL) == []
    (core,) = loose(vessel(0.0), Mode.WALL, GEL)
    assert core.value == pytest.approx(math.pi * 6**2 * 80, rel=0.05)


def test_settings_of_the_scaffold_are_checked() -> None:
    with pytest.raises(ConfigError, match="wall_um = nan"):
        Settings(0.3, 1.0, 5.0, 1.0, wall_um=math.nan)


def test_a_designed_lumen_ends_with_the_tissue() -> None:
    """At a port the vessel goes 10 um beyond a box that ends at x = 0: pi r^2 by the 7 um within the region."""
    tissue = box((80.0, 80.0, 60.0), (-40.0, 0.0, 0.0))
    points = np.array([[-60.0, 0.0, 0.0], [10.0, 0.0, 0.0]])
    network = replace(vessel(0.0), points_um=points)
    grid = Grid((-6.75, -7.975, -7.975), (0.5, 0.05, 0.05), (320, 320, 40))
    found = design_volume_um3(network, grid, tissue)
    assert found == pytest.approx(math.pi * 6**2 * 7, rel=1e-3)


@pytest.mark.skipif(find_spec("npxpy") is None, reason="needs npxpy")
def test_a_nano_project_stands_on_the_substrate() -> None:
    """A triangle from z = -30.25 up: it is moved by 30.25."""
    from poliqi.lab.print.export.nano import nano_bytes

    corners = np.array([[0, 0, -30.25], [1, 0, 4.0], [0, 1, 30.25]], dtype="<f4")
    stl = (
        b"a test".ljust(80) + (1).to_bytes(4, "little") + np.zeros(3, "<f4").tobytes() + corners.tobytes() + b"\0\0"
    )
    with zipfile.ZipFile(io.BytesIO(nano_bytes(stl, PROFILE, "00ff"))) as archive:
        (mesh,) = tomllib.loads(archive.read("__main__.toml").decode())["resources"]
    assert mesh["properties"]["translation"] if "translation" in mesh["properties"] else mesh["translation"]
    told = mesh.get("translation", mesh["properties"].get("translation"))
    assert told == [0.0, 0.0, 30.25]


def test_the_sheet_names_its_columns() -> None:
    assert read_sheet((",".join(COLUMNS) + "\n").encode()) == []
