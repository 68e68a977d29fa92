"""Calibration against simulated frames, whose truth comes from rays in space, and against pyFAI's geometry."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from calibration_scenes import AGBH, LAB6, SMALL, frame_of, small_scene

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.calibration.calibrants import Calibrant
from poliqi.lab.xray.calibration.controlpoints import Pieces
from poliqi.lab.xray.calibration.fit import fit_stand
from poliqi.lab.xray.calibration.panel import Stand
from poliqi.lab.xray.calibration.procedure import calibrate
from poliqi.lab.xray.calibration.result import Calibration, RunnerUp, geometry_of, report, table
from poliqi.lab.xray.calibration.simulated import Scene
from poliqi.lab.xray.calibration.verdict import Matched, verdict


def calibrated(scene: Scene, seed: int = 1, calibrant: Calibrant | None = None) -> Calibration:
    counts, valid = frame_of(scene, seed)
    return calibrate(counts, valid, scene.panel, calibrant or scene.calibrant, scene.wavelength_m)


@pytest.fixture(scope="module")
def lab6() -> Calibration:
    return calibrated(small_scene())


def test_wide_angle_is_found_without_a_guess(lab6: Calibration) -> None:
    x, y = lab6.beam_px
    assert math.hypot(x - 161.3, y - 148.8) < 0.05
    assert lab6.stand.distance_m == pytest.approx(0.06, rel=1e-4)
    assert math.degrees(lab6.stand.tilt_rad) == pytest.approx(2.0, abs=0.05)
    assert report(lab6)["tilt_plane_deg"] == pytest.approx(35.0, abs=1.5)


def test_every_ring_that_the_detector_shows_is_matched(lab6: Calibration) -> None:
    assert [ring.number for ring in lab6.rings] == list(range(1, len(lab6.rings) + 1))
    assert len(lab6.rings) >= 6
    assert lab6.missed == ()
    assert lab6.explained > 0.9
    assert lab6.rms_px < 0.1


def test_truth_lies_within_five_sigma(lab6: Calibration) -> None:
    told = report(lab6)
    assert abs(told["beam_x_px"] - 161.3) < 5 * told["beam_x_sigma_px"]
    assert abs(told["beam_y_px"] - 148.8) < 5 * told["beam_y_sigma_px"]
    assert abs(told["sample_to_beam_spot_m"] - 0.06) < 5 * told["sample_to_beam_spot_sigma_m"]
    assert told["beam_x_sigma_px"] < 0.05


def test_small_angle_with_the_beam_in_a_corner() -> None:
    scene = small_scene(AGBH, beam_x_px=12.4, beam_y_px=287.7, tilt_deg=0.3)
    found = calibrated(scene)
    x, y = found.beam_px
    assert math.hypot(x - 12.4, y - 287.7) < 0.1
    assert found.stand.distance_m == pytest.approx(0.3, rel=3e-4)


def test_the_beam_may_miss_the_detector() -> None:
    found = calibrated(small_scene(beam_x_px=-60.0, beam_y_px=150.0, tilt_deg=1.0))
    x, y = found.beam_px
    assert math.hypot(x + 60.0, y - 150.0) < 0.2
    assert any("misses the detector" in said for said in found.cautions)


def test_pyfai_sees_the_same_angles_and_the_same_beam(lab6: Calibration) -> None:
    integrator = lab6.geometry.integrator()
    theirs = integrator.center_array(SMALL.shape, unit="2th_rad")
    np.testing.assert_allclose(lab6.stand.two_theta(*SMALL.lines()), theirs, atol=1e-9)
    told: Any = integrator.getFit2D()
    assert told["directDist"] * 1e-3 == pytest.approx(lab6.stand.distance_m, rel=1e-9)
    assert (told["centerX"], told["centerY"]) == pytest.approx(lab6.beam_px, abs=1e-6)
    assert told["tilt"] == pytest.approx(math.degrees(lab6.stand.tilt_rad), abs=1e-6)
    assert told["tiltPlanRotation"] == pytest.approx(report(lab6)["tilt_plane_deg"], abs=1e-6)


def test_slopes_are_the_derivatives() -> None:
    stand = Stand(0.2, 0.03, 0.04, 0.08, -0.05)
    slow, fast = np.random.default_rng(2).random((2, 50)) * 0.1
    step = 1e-7
    numeric = [
        (
            Stand.of(stand.vector + step * e).two_theta(slow, fast)
            - Stand.of(stand.vector - step * e).two_theta(slow, fast)
        )
        / (2 * step)
        for e in np.eye(5)
    ]
    np.testing.assert_allclose(stand.slopes(slow, fast), np.stack(numeric, axis=1), rtol=1e-5, atol=1e-7)


def test_an_upright_stand_is_an_upright_geometry() -> None:
    geometry = geometry_of(Stand(0.3, 0.02, 0.01), SMALL, 1e-10)
    assert (geometry.distance_m, geometry.poni1_m, geometry.poni2_m) == (0.3, 0.02, 0.01)
    assert (geometry.rot1_rad, geometry.rot2_rad) == (0.0, 0.0)


def test_half_the_distance_is_not_taken_for_the_distance() -> None:
    """AgBh's rings are evenly spaced: at half the distance every second one fits all that is seen."""
    found = calibrated(small_scene(AGBH, tilt_deg=0.0))
    assert found.stand.distance_m == pytest.approx(0.3, rel=1e-3)
    assert found.runner_up is None or found.runner_up.share < 0.85


def test_another_calibrant_is_refused() -> None:
    with pytest.raises(DataRefused, match="matched"):
        calibrated(small_scene(AGBH), calibrant=LAB6)


def test_a_frame_of_one_ring_is_refused() -> None:
    one = Calibrant("one", np.array([4.0]))
    counts, valid = frame_of(replace(small_scene(), calibrant=one))
    with pytest.raises(DataRefused, match="at least 2 are needed"):
        calibrate(counts, valid, SMALL, LAB6, 0.7e-10)


def halo(width: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    y, x = np.indices(SMALL.shape)
    radius = np.hypot(x - 150, y - 140)
    expected = 40 + 400 * np.exp(-(((radius - 80) / width) ** 2)) + 90 * np.exp(-(((radius - 140) / width) ** 2))
    return np.random.default_rng(3).poisson(expected).astype(np.float64)


def test_an_amorphous_halo_is_refused() -> None:
    with pytest.raises(DataRefused, match="matched"):
        calibrate(halo(25.0), np.ones(SMALL.shape, bool), SMALL, AGBH, 0.9e-10)


def test_noise_alone_is_refused() -> None:
    counts = np.random.default_rng(4).poisson(2000.0, SMALL.shape).astype(np.float64)
    with pytest.raises(DataRefused, match="matched"):
        calibrate(counts, np.ones(SMALL.shape, bool), SMALL, LAB6, 0.7e-10)


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(DataRefused, match="the frame is empty"):
        calibrate(np.zeros(SMALL.shape), np.ones(SMALL.shape, bool), SMALL, LAB6, 0.7e-10)


def test_a_frame_without_valid_pixels_is_refused() -> None:
    with pytest.raises(DataRefused, match="at least 2 % must"):
        calibrate(np.ones(SMALL.shape), np.zeros(SMALL.shape, bool), SMALL, LAB6, 0.7e-10)


def test_a_wavelength_in_the_wrong_unit_is_refused() -> None:
    counts, valid = frame_of(small_scene())
    with pytest.raises(DataRefused, match="0 rings at"):
        calibrate(counts, valid, SMALL, LAB6, 0.7e-9 * 20)


def test_what_is_no_number_does_no_harm(lab6: Calibration) -> None:
    counts, valid = frame_of(small_scene())
    counts[100:120, 30:50] = np.nan
    counts[5, 5] = np.inf
    found = calibrate(counts, valid, SMALL, LAB6, 0.7e-10)
    assert found.stand.distance_m == pytest.approx(lab6.stand.distance_m, rel=1e-4)


def matched(rng: np.random.Generator) -> Matched:
    """Control points of three rings, each off by a draw of its own sigma: what a fit's covariance is made for."""
    truth = Stand(0.1, 0.03, 0.03, 0.02, -0.03)
    azimuth = np.tile(np.arange(80) * (2 * math.pi / 80), 3)
    ring = np.repeat(np.arange(3), 80)
    radius = 0.1 * np.tan(np.array([0.1, 0.16, 0.22]))[ring]
    slow, fast = 0.03 + radius * np.sin(azimuth), 0.03 + radius * np.cos(azimuth)
    sigma = np.full(ring.size, 1e-4)
    angle = truth.two_theta(slow, fast) + sigma * rng.standard_normal(ring.size)
    pieces = Pieces(slow, fast, angle, sigma, ring, np.full(3, 2e-4), np.full(3, 80))
    fit = fit_stand(truth, slow, fast, angle, sigma)
    assert fit is not None
    rings = np.array([0.1, 0.16, 0.22])
    return Matched(fit, pieces, np.ones(ring.size, np.bool_), np.arange(3), True, np.arange(3), rings)


def judged(one: Matched, runner_up: RunnerUp | None = None) -> Calibration:
    calibrant = Calibrant("three", np.array([6.0, 4.0, 3.0]))
    return verdict(one, 1.0, SMALL, calibrant, 0.7e-10, runner_up, 1, ())


def test_the_check_scatters_as_the_stand_does() -> None:
    """The jackknife's variance is on average about that with which the fit scatters from draw to draw."""
    rng = np.random.default_rng(5)
    draws = [matched(rng) for _ in range(60)]
    scatter = np.var([one.fit.stand.vector for one in draws], axis=0)
    said = np.mean([np.diag(judged(one).check_covariance) for one in draws], axis=0)
    assert all(1 / 3 < ratio < 3 for ratio in (said / scatter).tolist())  # sectors that are left out weigh more


def test_another_distance_that_agrees_as_well_is_told() -> None:
    one = matched(np.random.default_rng(6))
    assert any(
        said.startswith("ambiguous: a distance of 51") for said in judged(one, RunnerUp(0.051, 0.9)).cautions
    )
    for other in (None, RunnerUp(0.051, 0.8)):
        assert not any("ambiguous" in said for said in judged(one, other).cautions)


def test_a_table_says_rings_residual_and_cautions(lab6: Calibration) -> None:
    text = table(replace(lab6, cautions=("something",)))
    assert f"{len(lab6.rings)} of LaB6" in text
    assert "caution: something" in text
    assert "fit2d" in text
