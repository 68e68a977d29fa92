"""Light of a job against sums and closed forms: dose, ripple, seams, layers, inclined lumens, written radii."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from print_dose_cases import W_XY, W_Z, exposure, rod

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.domain import box
from poliqi.lab.print.dose.limits import check_lumens
from poliqi.lab.print.focus import largest_pitch_um, ripple_of, ripple_together
from poliqi.lab.print.hatch.settings import HatchSettings, Mode, settings_for
from poliqi.lab.print.hatch.slicepage import cautions_of
from poliqi.lab.print.hatch.slicing import prepare, slice_job
from poliqi.lab.print.network import Network, Port, Role
from poliqi.lab.print.vesselfile import vessels_bytes
from poliqi.ops.cli import cli
from poliqi.ops.print_profile_toml import read_profile

PROFILE = read_profile("illustrative")  # threshold .5 at 25 mW, 100 mm/s, lines .35 um and layers 1 um apart


def tube(folder: Path, radius: float = 4.0, **made: object) -> Path:
    """A block with a vessel through it."""
    path = folder / "tube.vessels.json"
    ports = (Port(0, Role.INLET, 100.0, 1e5), Port(1, Role.OUTLET, 0.0, 1e5))
    network = replace(rod([-20, 0, 0], [20, 0, 0], radius), ports=ports)
    path.write_bytes(vessels_bytes(network, box((40.0, 30.0, 30.0)), made))
    return path


def told(*words: str | Path) -> str:
    """What `poliqi lab print` prints, or the error that it ends with."""
    done = CliRunner().invoke(cli, ["lab", "print", *map(str, words)])
    if isinstance(done.exception, ConfigError | DataRefused):
        return str(done.exception)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


@pytest.mark.parametrize(
    ("power", "speed", "pitch", "layer", "wanted"),
    [
        (25.0, 100.0, 0.35, 1.0, 0.5),
        (25.0, 100.0, 0.175, 1.0, 0.25),
        (25.0, 100.0, 0.35, 0.5, 0.25),
        (50.0, 100.0, 0.35, 1.0, 0.125),
        (25.0, 150.0, 0.35, 1.0, 0.75),
        (50.0, 200.0, 0.7, 0.5, 0.25),
    ],
)
def test_a_stated_threshold_goes_with_the_dose_as_a_calibrated_one_does(
    power: float, speed: float, pitch: float, layer: float, wanted: float
) -> None:
    """Calibrated so that the profile's own point has the same threshold: K = .5 P^2/v pi w_xy w_z/(p h)."""
    constant = 0.5 * 25**2 / 100 * math.pi * PROFILE.w_xy_um * PROFILE.w_z_um / (0.35 * 1.0)
    material = replace(PROFILE.material, line_threshold_mw2_s_mm=constant)
    for machine in (PROFILE, replace(PROFILE, material=material)):
        assert machine.threshold_for(power, speed, pitch, layer) == pytest.approx(wanted)
    assert PROFILE.threshold_for() == PROFILE.material.threshold


def test_a_dose_that_cannot_print_is_refused_whatever_the_profile_knows(tmp_path: Path) -> None:
    """At 25 mW half of the dose is enough: so 25 sqrt(.5) = 17.68 mW at the least, or 200 mm/s at the most."""
    path, out = tube(tmp_path), tmp_path / "t.job"
    found = told("slice", path, "--profile", "illustrative", "--power-mw", "1", "-o", out)
    assert "1 mW at 100 mm/s gives 0.0032 of the dose" in found and "more than 17.7 mW" in found
    assert not out.exists()
    assert "more than 17.7 mW" in told("dose", path, "--profile", "illustrative", "--power", "17.6")
    found = told("slice", path, "--profile", "illustrative", "--speed-mm-s", "1000")
    assert "more than 55.9 mW" not in found and "a speed below 200 mm/s" in found  # 50 mW are the laser's most
    with pytest.raises(ConfigError, match=r"17\.7 mW"):
        prepare(
            box((9.0, 9.0, 9.0)), rod([-3, 0, 0], [3, 0, 0], 2.0), PROFILE, settings_for(PROFILE, power_mw=17.6)
        )


def test_a_threshold_that_was_scaled_is_told(tmp_path: Path) -> None:
    path = tube(tmp_path)
    words = "stated at 25 mW, 100 mm/s, lines 0.35 and layers 1 um apart; scaled by the dose it is 0.25 here"
    found = told("dose", path, "--profile", "illustrative", "--hatch", ".175")
    assert "threshold: 0.25 of the dose" in found and words in found
    assert words in told("slice", path, "--profile", "illustrative", "--hatch-um", ".175")
    assert "stated at" not in told(
        "dose", path, "--profile", "illustrative", "--hatch", ".175", "--threshold", ".4"
    )
    assert "stated at" not in told("slice", path, "--profile", "illustrative")


@pytest.mark.parametrize(("off", "is_cut"), [(0.0, True), (1.2, True), (3.5, True), (3.6, False)])
def test_a_thin_vessel_in_what_is_lit_twice_is_refused(off: float, is_cut: bool) -> None:
    """Tiles of 120 um with an overlap of 5: 2.5 um on either side of the seam at 0; a radius of 1.05 um."""
    domain, settings = box((200.0, 100.0, 40.0)), settings_for(PROFILE, tile_um=120.0)
    thin = rod([off, -51, 0], [off, 51, 0], 1.05)
    if not is_cut:
        assert prepare(domain, thin, PROFILE, settings).cuts == ()
        return
    with pytest.raises(DataRefused, match=rf"overlap of 5 um, which is lit twice.*2\.1 um, at \({off:.1f}, -51"):
        prepare(domain, thin, PROFILE, settings)


@pytest.mark.parametrize(("height", "words"), [(61.3, "61 layers of 1 um are 61 um"), (61.7, "62 layers")])
def test_a_layer_without_its_plane_in_the_domain_does_not_count_for_its_height(height: float, words: str) -> None:
    """Planes lie at .5, 1.5, ...: 61 of them below 61.3 um, 62 below 61.7."""
    settings = HatchSettings(Mode.SOLID, 0.35, 1.0)
    job = slice_job(prepare(box((12.0, 12.0, height)), rod([-9, 0, 0], [9, 0, 0], 3.0), PROFILE, settings))
    percent = 100 * (round(height) / height - 1)
    assert any(words in one and f"({percent:+.2g} %)" in one for one in cautions_of(job))
    assert job.lit_layers == round(height)


@pytest.mark.parametrize("pitch", [0.5, 1.8, 1.78, 3.0, 10.0, 40.0])
def test_the_ripple_is_that_of_summed_lines_at_any_pitch(pitch: float) -> None:
    """Of 401 Gaussians, largest in the middle of one; at 10 w a line's own 10/sqrt(pi) = 5.64 of the mean."""
    summed = np.exp(-((pitch * np.arange(-200, 201)) ** 2)).sum() * pitch / math.sqrt(math.pi)
    assert ripple_of(pitch, 1.0) == pytest.approx(summed - 1, rel=1e-12, abs=1e-14)
    assert largest_pitch_um(1.0, ripple_of(pitch, 1.0)) == pytest.approx(pitch, rel=0.02 if pitch < 1 else 1e-9)


def test_lines_and_layers_together_ripple_as_crossed_lines_do() -> None:
    """In a layer, over a line of the next: all lines and layers summed there, and as much nowhere around."""
    p, h, w, wz = 0.9, 2.6, 0.3, 1.1
    i, k = np.arange(-30, 31), np.arange(-12, 13)
    height = np.linspace(0, h, 9)[:, None] - h * k
    along = np.exp(-((height / wz) ** 2))
    one = np.exp(-(((np.linspace(0, p, 9)[:, None] - p * i) / w) ** 2)).sum(axis=1)
    even, odd = along[:, k % 2 == 0].sum(axis=1), along[:, k % 2 == 1].sum(axis=1)
    dose = (even[:, None, None] * one[:, None] + odd[:, None, None] * one) * p * h / (math.pi * w * wz)
    assert ripple_together(p, h, w, wz)[2] == pytest.approx(dose[0, 0, 0] - 1) == pytest.approx(dose.max() - 1)


@pytest.mark.parametrize("degrees", [0, 30, 60, 85])
def test_the_least_lumen_of_an_inclined_vessel_is_that_of_its_own_section(degrees: float) -> None:
    """Around the axis, by angle: the dose in the middle of a dark disc is 1 - mean((1 - exp(-g r^2))/g)/(a b)."""
    rise, angle = math.sin(math.radians(degrees)) ** 2, 2 * math.pi * (np.arange(2000) + 0.5) / 2000
    a, b = W_XY, math.sqrt(W_XY**2 * rise + W_Z**2 * (1 - rise))
    g = (np.cos(angle) / a) ** 2 + (np.sin(angle) / b) ** 2
    low, high = 0.01, 3.0
    for _ in range(50):
        r = (low + high) / 2
        low, high = (r, high) if 1 - np.mean((1 - np.exp(-g * r * r)) / g) / (a * b) > 0.3 else (low, r)
    up = 30 * np.array([math.sqrt(1 - rise), 0.0, math.sqrt(rise)])
    light = exposure(threshold=0.3)

    def vessel(radius: float) -> Network:
        return rod((-up).tolist(), up.tolist(), radius)

    check_lumens(vessel(1.001 * high), light)
    with pytest.raises(DataRefused, match=f"at least {high:.3g} um there"):
        check_lumens(vessel(0.999 * high), light)


def test_compensated_radii_are_not_taken_for_a_design(tmp_path: Path) -> None:
    plain, of = tube(tmp_path), "ab" * 32
    assert "compensated" not in told("perfuse", plain, "--no-oxygen")
    path = tube(tmp_path, dose_compensation={"vessels_blake3": of})
    page = tmp_path / "p.html"
    words = "the radii in this file are compensated: those to be written, not those that stay open"
    assert f"caution: {words}" in told("perfuse", path, "--no-oxygen", "--report", page)
    assert words in page.read_text(encoding="utf-8")
    record = json.loads(told("perfuse", path, "--no-oxygen", "--json"))
    assert record["cautions"][0].startswith(words)
    assert words in told("dose", path, "--profile", "illustrative")
    again = told("dose", path, "--profile", "illustrative", "--compensate", "1", "-o", tmp_path / "c.vessels.json")
    assert "compensated already" in again and of[:16] in again
    assert not (tmp_path / "c.vessels.json").exists()
