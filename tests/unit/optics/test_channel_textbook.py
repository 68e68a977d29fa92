"""The closed form against textbook formulas written out here, in the cases that textbooks treat."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from optical_links import PLAIN, make_link

from poliqi.base.errors import ConfigError
from poliqi.optics.attack import parse_attack, splitting_yields
from poliqi.optics.channel import expectation, expected_counts
from poliqi.optics.parameters import Attack, AttackKind, BasisChoice, DeadTimeModel, Detector, DetectorKind
from poliqi.optics.receiver import Arm, Optics, bob_optics
from poliqi.optics.response import responses

DARK, E_KEY, E_TEST = 1e-4, 0.01, 0.02
ETA = 10**-0.2 * 0.5  # 10 km at 0.2 dB/km, efficiency 0.5
ACTIVE = make_link(
    receiver__basis_choice=BasisChoice.ACTIVE,
    detector=Detector(DetectorKind.GATED_APD, 0.5, dark_per_gate=DARK),
)


def test_two_detectors_and_an_active_choice() -> None:
    """p_r = 1-(1-p_dc)exp(-mu eta (1-e)), p_w likewise, double clicks random."""
    mean = expectation(ACTIVE)
    for basis, e, share in ((mean.key, E_KEY, 0.9), (mean.test, E_TEST, 0.1)):
        for k, (mu, p) in enumerate(((0.5, 0.7), (0.15, 0.3))):
            p_r = 1 - (1 - DARK) * math.exp(-mu * ETA * (1 - e))
            p_w = 1 - (1 - DARK) * math.exp(-mu * ETA * e)
            gain = 1 - (1 - DARK) ** 2 * math.exp(-mu * ETA)
            assert basis.detections[k] == pytest.approx(p * share * share * gain, rel=1e-12)
            errors = p_w * (1 - p_r) + p_w * p_r / 2
            assert basis.errors[k] == pytest.approx(p * share * share * errors, rel=1e-12)


def test_gain_is_the_sum_over_photon_numbers() -> None:
    """D_mu = sum_n P_n Y_n with Y_n = 1 - (1 - p_dc)^2 (1 - eta)^n."""
    for mu, gain in zip((0.5, 0.15), expectation(ACTIVE).gains, strict=True):
        terms = (
            math.exp(-mu) * mu**n / math.factorial(n) * (1 - (1 - DARK) ** 2 * (1 - ETA) ** n) for n in range(40)
        )
        assert gain == pytest.approx(sum(terms), rel=1e-12)


def test_passive_choice_has_four_detectors() -> None:
    link = make_link(detector=Detector(DetectorKind.GATED_APD, 0.5, dark_per_gate=DARK))
    for mu, gain in zip((0.5, 0.15), expectation(link).gains, strict=True):
        assert gain == pytest.approx(1 - (1 - DARK) ** 4 * math.exp(-mu * ETA), rel=1e-12)


def test_outcomes_are_those_of_all_sixteen_click_patterns() -> None:
    """P(right), P(wrong), P(cross) by going through every pattern of four detectors."""
    optics = Optics(Arm(0.3, 0.05, 0.175, 0.98), Arm(0.2, 0.1, 0.15, 0.97), BasisChoice.PASSIVE, 0.5)
    link = make_link(source__intensities=(0.8, 0.2))
    seen = responses(link, optics)[0][0]
    click = [1 - q * math.exp(-0.8 * s) for q, s in ((0.98, 0.3), (0.98, 0.05), (0.97, 0.15), (0.97, 0.15))]
    expected = np.zeros(6)
    for pattern in product((0, 1), repeat=4):
        p = math.prod(c if hit else 1 - c for c, hit in zip(click, pattern, strict=True))
        right, wrong, cross = pattern[0], pattern[1], pattern[2] + pattern[3]
        own = (1.0 if not cross else 0.5) if right + wrong else 0.0
        share = right / (right + wrong) if right + wrong else 0.0
        outcome = np.array([own * share, own * (1 - share), (1 - own) if cross else 0.0])
        expected[:3] += p * outcome
        expected[3:] += p * outcome * (sum(pattern) == 1)
    assert np.array(seen) == pytest.approx(expected, rel=1e-12)


def test_dead_time_scales_every_count_by_the_live_fraction() -> None:
    free, dead = expectation(PLAIN), expectation(make_link(detector__dead_time_s=50e-9))
    live = 1 / (1 + free.click * 50)
    assert dead.live == pytest.approx(live, rel=1e-12)
    assert dead.key.detections == pytest.approx([n * live for n in free.key.detections], rel=1e-12)
    assert dead.test.errors == pytest.approx([m * live for m in free.test.errors], rel=1e-12)


def test_paralysable_dead_time() -> None:
    free = expectation(PLAIN)
    changes = {"detector__dead_time_s": 50e-9, "detector__dead_time_model": DeadTimeModel.PARALYSABLE}
    dead = expectation(make_link(**changes))
    assert dead.clicks == pytest.approx(free.click * (1 - free.click) ** 50, rel=1e-12)
    assert dead.qber_key == pytest.approx(free.qber_key, rel=1e-12)


def test_pixels_divide_the_dead_time() -> None:
    one = expectation(make_link(detector__dead_time_s=25e-9))
    two = expectation(make_link(detector__dead_time_s=50e-9, detector__pixels=2))
    assert one.clicks == two.clicks


def test_dead_slots_are_rounded_up() -> None:
    assert make_link(detector__dead_time_s=50e-9).dead_slots == 50
    assert make_link(detector__dead_time_s=50.2e-9).dead_slots == 51


def test_afterpulses_add_half_their_share_to_the_qber() -> None:
    """A share a of the clicks being false and random: QBER = (1 - a) e + a/2, for weak light."""
    weak = make_link(detector__efficiency=1e-3)
    noisy = make_link(weak, detector__afterpulse=0.04, detector__afterpulse_time_s=5e-9)
    mean = expectation(noisy)
    a = mean.afterpulses / mean.clicks
    assert a == pytest.approx(0.04, rel=0.01)
    assert mean.qber_key == pytest.approx((1 - a) * E_KEY + a / 2, rel=2e-3)


def test_afterpulses_are_lost_when_clicks_come_sooner() -> None:
    bright = make_link(detector__afterpulse=0.04, detector__afterpulse_time_s=100e-9)
    mean = expectation(bright)
    # one photon click every 1/D slots against a release every 100: a race of two geometric laws
    rho = 1 - math.exp(-0.01)
    expected = 0.04 * rho / (1 - (1 - mean.click) * (1 - rho))
    assert mean.afterpulses / mean.clicks == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("f", [0.0, 0.1, 0.5, 1.0])
def test_intercept_resend_adds_a_quarter(f: float) -> None:
    """QBER = e + (f/4)(1 - 2e), gains untouched."""
    weak = make_link(detector__efficiency=1e-4, receiver__error_test=0.01)
    attacked = expectation(replace(weak, attack=Attack(AttackKind.INTERCEPT_RESEND, f)))
    honest = expectation(weak)
    expected = 0.01 + f / 4 * (1 - 0.02)
    assert attacked.qber_key == pytest.approx(expected, rel=1e-4)
    assert attacked.qber_test == pytest.approx(expected, rel=1e-4)
    assert attacked.gains == pytest.approx(honest.gains, rel=1e-12)


def test_eve_in_the_key_basis_only_shows_in_the_test_basis() -> None:
    weak = make_link(detector__efficiency=1e-4)
    mean = expectation(replace(weak, attack=parse_attack("intercept-key=0.2")))
    assert mean.qber_key == pytest.approx(0.01, rel=1e-4)
    assert mean.qber_test == pytest.approx(0.02 + 0.2 / 2 * (1 - 0.04), rel=1e-4)


def test_photon_number_splitting_keeps_the_signal_and_starves_the_decoy() -> None:
    """At eta = 0.1: signal gain .04877 kept, decoy .00551 against an honest .01489."""
    link = make_link(fibre__length_m=0.0, detector__efficiency=0.1)
    honest = expectation(link)
    attacked = expectation(replace(link, attack=parse_attack("pns")))
    assert honest.gains == pytest.approx((0.04877, 0.01489), abs=5e-6)
    assert attacked.gains == pytest.approx((0.04877, 0.00551), abs=5e-6)
    assert attacked.qber_key == pytest.approx(honest.qber_key, abs=2e-4)


def test_splitting_lets_single_photons_pass_only_where_it_must() -> None:
    far = make_link(fibre__length_m=30e3)
    near = make_link(fibre__length_m=0.0)
    one, many = splitting_yields(far, bob_optics(far))
    assert one == 0.0
    assert 0.0 < many < 1.0
    one, many = splitting_yields(near, bob_optics(near))
    assert many == 1.0
    assert 0.0 < one < 1.0


def test_expected_counts_scale_with_pulses() -> None:
    small, large = expected_counts(PLAIN, 1e6), expected_counts(PLAIN, 1e9)
    assert large.key.detections == pytest.approx([1e3 * n for n in small.key.detections])
    assert large.intensities == PLAIN.source.intensities


def test_a_link_that_never_clicks_is_refused() -> None:
    with pytest.raises(ConfigError, match="ever clicks"):
        expectation(make_link(detector__efficiency=0.0))


@pytest.mark.parametrize("text", ["", "intercept", "intercept=", "intercept=x", "intercept=2", "pns=-1", "blind"])
def test_unknown_attacks_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_attack(text)
