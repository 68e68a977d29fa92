"""Source, fibre, detector, Raman light and receiver against values worked out by hand or by quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from optical_links import PLAIN, make_link
from scipy import integrate, stats

from poliqi.optics.detector import dark_probability, live_fraction, release_probability, timing
from poliqi.optics.fibre import dispersion_s, link_loss_db, loss_budget_db, transmittance
from poliqi.optics.parameters import ClassicalChannel, Detector, DetectorKind, Direction, Fibre, FrontEnd, Receiver
from poliqi.optics.raman import detected_noise_rate_hz, raman_power_w
from poliqi.optics.receiver import basis_errors, bob_optics, error_from_extinction, error_from_visibility
from poliqi.optics.source import intensity_nodes, photon_number_probability


def test_transmittance() -> None:
    assert transmittance(10.0) == pytest.approx(0.1)
    assert transmittance(3.0) == pytest.approx(0.501187, rel=1e-6)


def test_loss_budget_adds_up() -> None:
    link = make_link(
        fibre=Fibre(25e3, 0.5, connectors_db=1.0, mux_db=1.5, switch_db=2.0),
        receiver__loss_db=3.0,
        receiver__filter_db=1.25,
    )
    assert loss_budget_db(link)["fibre"] == pytest.approx(12.5)
    assert link_loss_db(link) == pytest.approx(21.25)


def test_dispersion_of_17_ps_per_nm_km() -> None:
    assert dispersion_s(Fibre(25e3), 0.1e-9) == pytest.approx(42.5e-12)


def test_intensity_nodes_have_normal_moments() -> None:
    nodes = intensity_nodes(0.5, 0.02)
    law = stats.norm(0.5, 0.01)
    for power in range(6):
        assert sum(w * mu**power for w, mu in nodes) == pytest.approx(law.moment(power), rel=1e-12)


def test_photon_numbers_under_noise() -> None:
    def pmf(mu: float) -> float:
        return float(stats.poisson.pmf(2, mu) * stats.norm.pdf(mu, 0.5, 0.025))

    exact, _ = integrate.quad(pmf, 0.2, 0.8, epsabs=1e-13)
    assert photon_number_probability(2, 0.5, 0.05) == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("front_end", FrontEnd)
def test_leak_into_a_neighbour_bin_is_a_normal_tail(front_end: FrontEnd) -> None:
    link = make_link(
        receiver__front_end=front_end,
        detector__jitter_fwhm_s=200e-12,
        source__pulse_fwhm_s=100e-12,
        source__linewidth_m=0.2e-9,
    )
    spread = math.hypot(200e-12, 100e-12, 17e-12 * 10 * 0.2) / 2.3548200450309493
    half = (0.25 if front_end is FrontEnd.TIME_BIN else 0.5) * 1e-9
    assert timing(link).leaked_per_side == pytest.approx(stats.norm.sf(half, scale=spread), rel=1e-9)
    assert timing(link).kept == pytest.approx(1 - 2 * stats.norm.sf(half, scale=spread), rel=1e-12)


def test_narrow_window_keeps_less_and_leaks_less() -> None:
    link = make_link(
        receiver__front_end=FrontEnd.TIME_BIN, detector__jitter_fwhm_s=300e-12, detector__window_s=200e-12
    )
    law = stats.norm(0, 300e-12 / 2.3548200450309493)
    assert timing(link).kept == pytest.approx(law.cdf(100e-12) - law.cdf(-100e-12), rel=1e-9)
    assert timing(link).leaked_per_side == pytest.approx(law.sf(400e-12), rel=1e-9)


def test_dark_counts_per_window_and_per_gate() -> None:
    free = make_link(detector__dark_rate_hz=1000.0, detector__window_s=0.5e-9)
    gated = make_link(detector=Detector(DetectorKind.GATED_APD, 0.2, dark_per_gate=5e-6))
    assert dark_probability(free) == pytest.approx(5e-7, rel=1e-6)
    assert dark_probability(gated) == 5e-6


def test_release_has_the_stated_mean_delay() -> None:
    link = make_link(detector__afterpulse=0.1, detector__afterpulse_time_s=50e-9)
    p = release_probability(link)
    assert (1 - p) ** 50 == pytest.approx(math.exp(-1), rel=1e-12)


def test_live_fractions() -> None:
    assert live_fraction(0.01, 50) == pytest.approx(1 / 1.5)
    assert live_fraction(0.01, 50, paralysable=True) == pytest.approx(0.99**50)


def test_raman_power_of_the_formulas() -> None:
    fibre = Fibre(25e3, 0.2)
    a = 0.2 * math.log(10) / 10  # 1/km
    forward = ClassicalChannel(0.0, Direction.FORWARD, 3e-9)
    backward = ClassicalChannel(0.0, Direction.BACKWARD, 3e-9)
    assert raman_power_w(forward, fibre, 0.8e-9) == pytest.approx(1e-3 * 3e-9 * 0.8 * 25 * math.exp(-25 * a))
    assert raman_power_w(backward, fibre, 0.8e-9) == pytest.approx(
        1e-3 * 3e-9 * 0.8 * (1 - math.exp(-50 * a)) / (2 * a)
    )


def test_raman_power_is_the_integral_along_the_fibre() -> None:
    fibre, a = Fibre(40e3, 0.25), 0.25 * math.log(10) / 10
    # light scattered at z has travelled z and has the rest of the way, or the way back, before it
    forward, _ = integrate.quad(lambda z: math.exp(-a * z) * math.exp(-a * (40 - z)), 0, 40)
    backward, _ = integrate.quad(lambda z: math.exp(-2 * a * z), 0, 40)
    for direction, length in ((Direction.FORWARD, forward), (Direction.BACKWARD, backward)):
        power = raman_power_w(ClassicalChannel(-10.0, direction, 2e-9), fibre, 1e-9)
        assert power == pytest.approx(1e-4 * 2e-9 * length, rel=1e-9)


def test_detected_raman_photons() -> None:
    link = make_link(
        fibre=Fibre(10e3, 0.3, connectors_db=3.0, mux_db=1.0),
        receiver__loss_db=3.0,
        receiver__filter_db=2.0,
        detector__efficiency=0.85,
        classical_channels=(ClassicalChannel(0.0),),
    )
    photon_j = 6.62607015e-34 * 299792458 / 1550e-9
    power = 1e-3 * 2e-9 * 0.8 * 10 * 10**-0.3
    assert detected_noise_rate_hz(link) == pytest.approx(power / photon_j * 10**-0.6 * 0.85, rel=1e-9)


def test_extinction_and_visibility() -> None:
    assert error_from_extinction(20.0) == pytest.approx(1 / 101)
    assert error_from_visibility(0.98) == pytest.approx(0.01)


def test_phase_drift_is_averaged_over_a_normal_law() -> None:
    receiver = Receiver(0.01, 0.02, front_end=FrontEnd.TIME_BIN, drift_rad_per_sqrt_s=1.0, tracking_time_s=0.1)
    s = math.sqrt(0.1 / 2)
    drift, _ = integrate.quad(lambda x: math.sin(x / 2) ** 2 * stats.norm.pdf(x, scale=s), -3, 3)
    e_key, e_test = basis_errors(receiver)
    assert e_key == 0.01
    assert e_test == pytest.approx(0.02 * (1 - drift) + 0.98 * drift, rel=1e-9)


def test_loop_residual_is_that_of_a_simulated_loop() -> None:
    """A random walk pulled back with time constant tau settles at variance drift^2 tau / 2."""
    rng = np.random.default_rng(4)
    drift, tau, step, walks = 1.0, 0.1, 1e-3, 4000
    phase = np.zeros(walks)
    for _ in range(1000):
        phase += -phase * step / tau + drift * math.sqrt(step) * rng.standard_normal(walks)
    receiver = Receiver(0.0, 0.0, front_end=FrontEnd.TIME_BIN, drift_rad_per_sqrt_s=drift, tracking_time_s=tau)
    simulated = float((np.sin(phase / 2) ** 2).mean())
    assert basis_errors(receiver)[1] == pytest.approx(simulated, rel=0.1)


def test_polarisation_drift_of_random_small_rotations() -> None:
    """States of either basis, turned by a random rotation vector with variance s^2 per component."""
    rng = np.random.default_rng(5)
    s2 = 0.02
    turns = rng.normal(0, math.sqrt(s2), (200_000, 3))
    angle = np.linalg.norm(turns, axis=1)
    axis_z = turns[:, 2] / angle
    cosine = np.cos(angle) + (1 - np.cos(angle)) * axis_z**2  # of a Bloch vector along z before and after
    receiver = Receiver(0.0, 0.0, drift_rad_per_sqrt_s=1.0, tracking_time_s=2 * s2)
    e_key, e_test = basis_errors(receiver)
    assert e_key == e_test == pytest.approx(float((1 - cosine).mean() / 2), rel=0.03)


def test_arms_share_the_light() -> None:
    optics = bob_optics(make_link(receiver__key_basis=0.75, receiver__test_loss_db=3.0))
    eta = 10**-0.2 * 0.5
    assert optics.key.right + optics.key.wrong == pytest.approx(0.75 * eta)
    assert optics.key.wrong / (2 * optics.key.even) == pytest.approx(0.01)
    assert optics.test.right + optics.test.wrong == pytest.approx(0.25 * eta * 10**-0.3)


def test_receiver_follows_the_source_unless_told() -> None:
    assert PLAIN.receiver_key_basis == PLAIN.source.key_basis
    assert make_link(receiver__key_basis=0.5).receiver_key_basis == 0.5


def test_a_saturated_paralysable_detector_is_named_and_not_divided_by() -> None:
    from poliqi.base.errors import ConfigError
    from poliqi.optics.renewal import paralysable_cycle

    for click in (1.0, 0.5):
        with pytest.raises(ConfigError, match="saturated"):
            paralysable_cycle(click, 50_000)
