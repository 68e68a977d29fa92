"""Calibration: the array to print, the sheet to fill, and what a fit of known truth finds."""

from __future__ import annotations

import io
import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.calibrate.array import array_of, values_of, write_array
from poliqi.lab.print.calibrate.fit import LineFit, fit_lines
from poliqi.lab.print.calibrate.sheet import COLUMNS, MOST_BYTES, Row, read_sheet, sheet_bytes
from poliqi.lab.print.hatch.jobreader import read_job
from poliqi.ops.commands.lab_print_calibrate import command
from poliqi.ops.print_profile_toml import profile_toml, read_profile

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "lab-print-calibrate.md").read_text(
    encoding="utf-8"
)
W_XY, W_Z, K = 0.24, 1.3, 3.6
PROFILE = read_profile("illustrative")
POWERS, SPEEDS = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0), (10.0, 50.0, 100.0)


def simulated(seed: int, width: float = 0.02, height: float = 0.1, *, told: bool = True) -> list[Row]:
    """Lines of a known truth by Serbin's formula, in math alone, with normal scatter."""
    rng = np.random.default_rng(seed)
    rows = []
    for row in array_of(PROFILE, POWERS, SPEEDS).rows:
        excess = row.power_mw**2 / row.speed_mm_s / K
        if excess <= 1:
            rows.append(replace(row, width_um=0.0))
            continue
        root = 2 * math.sqrt(math.log(excess))
        seen = replace(
            row, width_um=W_XY * root + rng.normal(0, width), height_um=W_Z * root + rng.normal(0, height)
        )
        rows.append(replace(seen, width_sigma_um=width, height_sigma_um=height) if told else seen)
    return rows


def off(fit: LineFit) -> list[float]:
    """How far from the truth, in told deviations."""
    found = (fit.w_xy_um, fit.w_z_um, fit.line_threshold_mw2_s_mm)
    return [(a - b) / s for a, b, s in zip(found, (W_XY, W_Z, K), fit.sigmas, strict=True)]


def test_exact_lines_give_the_truth() -> None:
    fit = fit_lines(simulated(0, 1e-9, 1e-9))
    assert (fit.w_xy_um, fit.w_z_um, fit.line_threshold_mw2_s_mm) == pytest.approx((W_XY, W_Z, K), rel=1e-6)


def coverage(seeds: range, *, told: bool) -> tuple[np.ndarray, list[LineFit]]:
    fits = [fit_lines(simulated(seed, told=told)) for seed in seeds]
    return np.abs([off(fit) for fit in fits]), fits


def test_doubts_cover_the_truth_as_often_as_they_say() -> None:
    """Of 60 seeds 68 % within one and 95 % within two; chi2 is what its degrees say on the mean."""
    far, fits = coverage(range(60), told=True)
    assert np.abs((far < 1).mean() - 0.68) < 0.11
    assert (far < 2).mean() > 0.89
    degrees = fits[0].degrees
    assert np.mean([fit.chi2 for fit in fits]) == pytest.approx(degrees, abs=4 * math.sqrt(2 * degrees / 60))
    assert np.mean([fit.p_value for fit in fits if fit.p_value is not None]) == pytest.approx(0.5, abs=0.16)


def test_estimated_doubts_cover_it_too() -> None:
    far, fits = coverage(range(40), told=False)
    assert (far < 2).mean() > 0.86
    assert all(fit.p_value is None for fit in fits)


@pytest.mark.soak
def test_doubts_cover_the_truth_over_many_seeds() -> None:
    far, _ = coverage(range(1000), told=True)
    assert np.abs((far < 1).mean(axis=0) - 0.683).max() < 0.06
    assert np.abs((far < 2).mean(axis=0) - 0.954).max() < 0.03


def test_covariance_of_width_and_threshold_is_positive() -> None:
    """A wider focus needs a higher threshold for the same lines."""
    fit = fit_lines(simulated(1))
    assert fit.covariance[0, 2] > 0
    assert np.all(np.linalg.eigvalsh(fit.covariance) > 0)


def test_lines_that_do_not_follow_the_model_are_told() -> None:
    from poliqi.lab.print.calibrate.page import calibration_cautions

    rows = [replace(row, width_um=row.width_um * (1.4 if row.speed_mm_s == 10 else 1)) for row in simulated(2)
            if row.width_um]  # fmt: skip
    fit = fit_lines(rows)
    assert fit.p_value is not None
    assert fit.p_value < 1e-6
    assert any("do not follow the model" in one for one in calibration_cautions(fit, PROFILE))


def test_a_line_that_should_have_printed_is_told() -> None:
    rows = [*simulated(3), Row("Z9", 30.0, 10.0, width_um=0.0)]
    assert "Z9" in fit_lines(rows).contradictions[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[-2:], "2 lines have a width; 3 or more"),
        (lambda rows: [row for row in rows if row.dose == rows[-1].dose], "from a factor of 1.5 on"),
        (lambda rows: [replace(row, height_um=None) for row in rows], "0 printed lines have a.*--keep-length"),
        (lambda rows: [replace(rows[-1], width_sigma_um=None), *rows[:-1]], "give all or none"),
        (lambda rows: [replace(row, width_um=5 - row.width_um) for row in rows if row.width_um], "do not grow"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused_with_what_is_missing(change: object, said: str) -> None:
    with pytest.raises(DataRefused, match=said):
        fit_lines(change(simulated(4)))  # type: ignore[operator]


def test_a_kept_length_stays() -> None:
    rows = [replace(row, height_um=None, height_sigma_um=None) for row in simulated(5)]
    fit = fit_lines(rows, kept_w_z_um=1.1)
    assert (fit.w_z_um, fit.sigmas[1], fit.is_length_kept) == (1.1, 0.0, True)
    assert fit.w_xy_um == pytest.approx(W_XY, abs=4 * fit.sigmas[0])


def test_widths_alone_are_fitted_whatever_their_scatter() -> None:
    """Of w_xy and K alone: what nothing tells must not wander off. Against the closed form 2 w sqrt(ln(D/K))."""
    far = []
    for seed in (*range(100), 167, 310, 465, 554, 579, 596):  # where w_z, left free, grew without end
        rng = np.random.default_rng(seed)
        rows = []
        for power, speed in itertools.product((14, 17, 20, 24, 28), (50, 100)):
            for _ in range(3):
                size = 2 * math.sqrt(max(math.log(power**2 / speed / 2.2), 0))
                width = round(max(0.31 * size + rng.normal() * 0.02, 0.001), 4) if size else 0.0
                rows.append(Row("", power, speed, width))
        fit = fit_lines(rows, kept_w_z_um=1.1)
        far.append((fit.w_xy_um - 0.31) / fit.sigmas[0])
        assert (fit.w_z_um, fit.covariance[1].tolist()) == (1.1, [0, 0, 0])
    assert np.std(far) == pytest.approx(1, abs=0.25)


def test_a_sheet_is_written_and_read_to_the_same() -> None:
    rows = simulated(6)
    assert read_sheet(sheet_bytes(rows)) == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("power_mw;speed_mm_s;width_um\n1;2;3\n", "semicolons"),
        ("power_mw,speed_mm_s\n1,2\n", "column width_um is missing"),
        ("power_mw,speed_mm_s,width_um,colour\n", "'colour' is not known"),
        ("power_mw,speed_mm_s,width_um,width_um\n", "twice"),
        ("power_mw,speed_mm_s,width_um\n1,2\n", "line 2: 2 values for 3 columns"),
        ("power_mw,speed_mm_s,width_um\n1,0,3\n", "above 0"),
        ("power_mw,speed_mm_s,width_um\n1,,3\n", "above 0"),
        ("power_mw,speed_mm_s,width_um\n1,2,nan\n", "line 2: width_um 'nan' is not a number"),
        ("power_mw,speed_mm_s,width_um\n1,2,-1\n", "below 0"),
        ("power_mw,speed_mm_s,width_um,width_sigma_um\n1,2,1,0\n", "not above 0"),
        ('power_mw,speed_mm_s,width_um\n"1,2,1\n', "not CSV"),
    ],
)
def test_a_bad_sheet_is_refused(text: str, said: str) -> None:
    with pytest.raises(DataRefused, match=said):
        read_sheet(text.encode(), "mine.csv")


def test_a_sheet_too_large_is_refused() -> None:
    with pytest.raises(DataRefused, match="more than"):
        read_sheet(b" " * (MOST_BYTES + 1))
    with pytest.raises(DataRefused, match="10001 lines"):
        read_sheet(b"power_mw,speed_mm_s,width_um\n" + b"1,2,3\n" * 10_001)


@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet="power_mw,sdth1.\n\"';\0-e", max_size=200).map(str.encode))
)
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    for start in (b"", b"power_mw,speed_mm_s,width_um\n"):
        try:
            found = read_sheet(start + data)
        except DataRefused:
            continue
        assert all(row.power_mw > 0 for row in found)


def test_the_job_has_each_line_once_with_its_power_and_speed() -> None:
    """Read back by the reader of jobs: lone lines in one layer, rails under their ends, all within the field."""
    array = array_of(PROFILE, POWERS, SPEEDS, lines=2)
    job = io.BytesIO()
    write_array(array, PROFILE, job)
    job.seek(0)
    records = list(read_job(job).records())
    lone = [one for one in records if len(one.vectors) == 1]
    assert sorted((one.power_mw, one.speed_mm_s) for one in lone) == sorted(
        (power, speed) for power in POWERS for speed in SPEEDS for _ in range(2)
    )
    assert {one.layer for one in lone} == {array.line_layer}
    for one, row in zip(lone, array.rows, strict=True):
        x0, y0, x1, y1 = (one.vectors[0] / 1000.0).tolist()
        assert ((x0 + x1) / 2, y0, y1) == pytest.approx((row.x_um, row.y_um, row.y_um), abs=2e-3)
        below = next(r for r in records if r.layer == array.line_layer - 2 and len(r.vectors) > 1)
        rails = below.vectors / 1000.0
        for x in (x0 + 0.5, x1 - 0.5):
            assert np.any((rails[:, 0] <= x) & (rails[:, 2] >= x) & (np.abs(rails[:, 1] - y0) < 0.4))
        free = (rails[:, 0] < (x0 + x1) / 2) & (rails[:, 2] > (x0 + x1) / 2)
        assert not np.any(free), "nothing is printed under a lone line"
    assert np.diff(sorted({row.y_um for row in array.rows})).min() > 10 * PROFILE.w_xy_um


def test_what_light_cuts_needs_no_rails() -> None:
    from poliqi.lab.print.profile import Action

    gel = replace(PROFILE, material=replace(PROFILE.material, action=Action.DEGRADE))
    job = io.BytesIO()
    array = array_of(gel, (10.0,), (50.0,), lines=1)
    write_array(array, gel, job)
    job.seek(0)
    read = read_job(job)
    assert read.header.mode == "lumen"
    assert all(one.vectors.max() <= 2000 for one in read.records() if len(one.vectors) > 1)


@pytest.mark.parametrize(
    ("powers", "speeds", "length", "said"),
    [
        ((60.0,), (10.0,), 20.0, "--power 60: at most 50"),
        ((10.0,), (2000.0,), 20.0, "--speed 2000: at most 1000"),
        ((10.0,), (10.0,), 1.0, "--length 1"),
        ((10.0,), tuple(range(1, 30)), 20.0, "more than the field of 400 um"),
        (tuple(range(1, 31)), tuple(range(1, 31)), 20.0, "at most 400 cells"),
    ],
)
def test_an_array_beyond_the_machine_is_refused(
    powers: tuple[float, ...], speeds: tuple[float, ...], length: float, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        array_of(PROFILE, powers, speeds, length_um=length)


def test_values_are_a_range_or_a_list() -> None:
    assert values_of("5:30:6", "--power") == (5, 10, 15, 20, 25, 30)
    assert values_of("10,50", "--speed") == (10, 50)
    for bad in ("", "5:30", "5:30:0", "5:30:1e9", "a", "3,2", "0,1", "nan", "1,inf", "5:30:99999999999"):
        with pytest.raises(ConfigError, match="--power"):
            values_of(bad, "--power")


def test_the_commands_from_array_to_profile(tmp_path: Path) -> None:
    """What is fitted goes into a profile that later commands read, with the sheet's digest as its source."""
    run, job, sheet, made = CliRunner(), tmp_path / "a.job", tmp_path / "a.csv", tmp_path / "made.toml"
    first = run.invoke(
        command,
        ["array", "--profile", "illustrative", "--power", "5:30:6", "--speed", "10,50,100", "-o", str(job)],
    )
    assert first.exit_code == 0, first.output
    assert len(read_sheet(sheet.read_bytes())) == 54
    assert run.invoke(command, ["fit", str(sheet), "--profile", "illustrative"]).exception is not None
    sheet.write_bytes(sheet_bytes(simulated(7)))
    told = run.invoke(
        command,
        ["fit", str(sheet), "--profile", "illustrative", "--simulated", "-o", str(made),
         "--report", str(tmp_path / "fit.html")],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    profile = read_profile(made)
    assert profile.w_xy_um == pytest.approx(W_XY, abs=0.02)
    assert "calibrated from a.csv, simulated (blake3 " in profile.focus.source
    assert not profile.focus.is_measured
    assert len(profile.material.measured) == 54
    assert profile.material.threshold == pytest.approx(profile.threshold_for())
    assert read_profile(made) == profile
    assert b"measured" in profile_toml(profile)


def test_every_option_and_column_is_on_the_page() -> None:
    for step in command.commands.values():
        for option in step.params:
            if option.param_type_name == "option":
                assert any(f"`{name}" in PAGE for name in option.opts), option.name
    for column in COLUMNS:
        assert f"`{column}`" in PAGE
