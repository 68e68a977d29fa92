"""Attacks on the light against closed forms, and what the meters and the truth say of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from optical_links import class_table, make_link, z_scores

from poliqi.base.errors import ConfigError
from poliqi.optics.attack import attack_text, parse_attack, shifted
from poliqi.optics.channel import expectation
from poliqi.optics.instruments import Instruments
from poliqi.optics.parameters import (
    Attack,
    AttackKind,
    BasisChoice,
    Block,
    DetectorKind,
    FrontEnd,
    LinkParameters,
)
from poliqi.optics.prediction import predict
from poliqi.optics.receiver import background_per_slot
from poliqi.optics.sampler import Sampler, plan_of
from poliqi.optics.signature import signature
from poliqi.optics.states import alice_states
from poliqi.optics.truth import binary_entropy, trojan_information, truth
from poliqi.proof import ProofName

KINDS = [kind for kind in AttackKind if kind is not AttackKind.NONE]
NOISY = make_link(
    detector__dark_rate_hz=1e5,
    detector__jitter_fwhm_s=60e-12,
    detector__dead_time_s=20e-9,
    source__key_basis=0.8,
)
ACTIVE = make_link(NOISY, receiver__basis_choice=BasisChoice.ACTIVE)
WEAK = make_link(detector__efficiency=1e-3, fibre__length_m=20e3)
"""So dark that a pulse hardly ever makes two clicks: closed forms to first order hold."""


def attacked(text: str, base: LinkParameters = NOISY, **changes: Any) -> LinkParameters:
    return make_link(base, attack=parse_attack(text), **changes)


# ---------------------------------------------------------------- the words


@pytest.mark.parametrize(
    ("text", "kind", "strength"),
    [
        ("intercept=0.2", AttackKind.INTERCEPT_RESEND, 0.2),
        ("pns", AttackKind.PHOTON_NUMBER_SPLITTING, 1.0),
        ("pns=.5", AttackKind.PHOTON_NUMBER_SPLITTING, 0.5),
        ("blinding", AttackKind.BLINDING, 1.0),
        ("blinding=0.3", AttackKind.BLINDING, 0.3),
        ("time-shift=0.5", AttackKind.TIME_SHIFT, 0.5),
        ("trojan=1e-6", AttackKind.TROJAN_HORSE, 1e-6),
        ("tap=0.25", AttackKind.TAP, 0.25),
        ("tap=10dB", AttackKind.TAP, 0.9),
        ("cut", AttackKind.CUT, 1.0),
        ("jam=0.01", AttackKind.JAMMING, 0.01),
    ],
)
def test_attacks_are_read_and_written(text: str, kind: AttackKind, strength: float) -> None:
    attack = parse_attack(text)
    assert attack.kind is kind
    assert attack.fraction == pytest.approx(strength, rel=1e-12)
    again = attack_text(attack)
    assert again is not None
    assert parse_attack(again).kind is kind
    assert parse_attack(again).fraction == pytest.approx(strength, rel=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "listen",
        "tap",
        "trojan",
        "jam=",
        "intercept",
        "tap=3 m",
        "blinding=2",
        "tap=-3dB",
        "jam=nan",
        "tap=nandB",
    ],
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_attack(text)


# ---------------------------------------------------------------- strength 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", [NOISY, ACTIVE], ids=["passive", "active"])
def test_an_eve_of_no_strength_is_not_there(kind: AttackKind, base: LinkParameters) -> None:
    quiet = replace(base, attack=Attack(kind, 0.0))
    assert expectation(quiet) == expectation(base)
    assert signature(quiet) == signature(base)
    assert truth(quiet).unknown == truth(base).unknown
    plan, honest = plan_of(quiet), plan_of(base)
    assert np.array_equal(plan.outcome_ends, honest.outcome_ends)
    assert plan.slots_per_deviate == honest.slots_per_deviate


# ---------------------------------------------------------------- counts


def test_an_eve_in_the_key_basis_leaves_it_clean_and_puts_f_half_on_the_other() -> None:
    """Bases 90 to 10: QBER of the test basis e + (f/2)(1 - 2e), of the key basis e."""
    link = attacked("intercept-key=0.2", WEAK, source__key_basis=0.9)
    mean, honest = expectation(link), expectation(make_link(WEAK, source__key_basis=0.9))
    assert mean.qber_key == pytest.approx(honest.qber_key, rel=1e-4)
    e = honest.qber_test
    assert mean.qber_test == pytest.approx(e + 0.1 * (1 - 2 * e), rel=1e-4)


@pytest.mark.parametrize("f", [0.3, 1.0])
def test_blinding_a_passive_receiver_changes_no_count_but_double_clicks(f: float) -> None:
    mean, honest = expectation(attacked(f"blinding={f}")), expectation(NOISY)
    for seen, usual in ((mean.key, honest.key), (mean.test, honest.test)):
        assert seen.detections == pytest.approx(usual.detections, rel=1e-12)
        assert seen.errors == pytest.approx(usual.errors, rel=1e-12)
    assert mean.doubles == pytest.approx((1 - f) * honest.doubles, rel=1e-9, abs=1e-18)


def test_blinding_an_active_receiver_squares_the_shares_of_the_bases() -> None:
    """He clicks only where his basis, z : 1 - z, is Eve's, chosen in the same way; the gain stays."""
    mean, honest = expectation(attacked("blinding", ACTIVE)), expectation(ACTIVE)
    assert mean.click == pytest.approx(honest.click, rel=0.02)
    usual = honest.key.total_detections / honest.test.total_detections
    assert mean.key.total_detections / mean.test.total_detections == pytest.approx(usual * 0.8 / 0.2, rel=1e-9)
    assert mean.qber_key == pytest.approx(honest.qber_key, rel=1e-9)
    assert mean.qber_test == pytest.approx(honest.qber_test, rel=1e-9)
    assert mean.doubles == pytest.approx(0.0, abs=1e-15)


def test_a_controlled_receiver_never_clicks_more_often_than_always() -> None:
    bright = attacked("blinding", ACTIVE, source__intensities=(9.0, 5.0), fibre__length_m=0.0)
    for in_key, in_test in ((a, b) for a, b in _table(bright)):
        assert max(in_key.click, in_test.click) <= 1.0 + 1e-12


def _table(link: LinkParameters) -> Any:
    from poliqi.optics.receiver import bob_optics
    from poliqi.optics.response import responses

    return responses(link, bob_optics(link))


@pytest.mark.parametrize("f", [0.2, 1.0])
def test_a_time_shift_leaves_gains_and_errors(f: float) -> None:
    mean, honest = expectation(attacked(f"time-shift={f}", WEAK)), expectation(WEAK)
    assert mean.gains == pytest.approx(honest.gains, rel=1e-4)
    assert mean.qber_key == pytest.approx(honest.qber_key, rel=1e-3)
    assert mean.qber_test == pytest.approx(honest.qber_test, rel=1e-3)


def test_a_fibre_without_loss_leaves_eve_nothing_to_make_up_with() -> None:
    link = attacked("time-shift", WEAK, fibre__length_m=0.0, instruments=Instruments(mismatch=0.5))
    assert shifted(link) == (1.0, 0.5)
    honest = expectation(make_link(WEAK, fibre__length_m=0.0))
    assert expectation(link).gains == pytest.approx([0.75 * g for g in honest.gains], rel=1e-3)


def test_a_trojan_horse_changes_no_count() -> None:
    assert expectation(attacked("trojan=0.1")) == expectation(NOISY)


@pytest.mark.parametrize("word", ["tap", "cut"])
def test_a_tap_is_more_loss(word: str) -> None:
    db = 2.5
    tapped = expectation(attacked(f"{word}={1 - 10 ** (-db / 10):.17g}"))
    longer = expectation(make_link(NOISY, fibre__connectors_db=db))
    assert tapped.key.detections == pytest.approx(longer.key.detections, rel=1e-12)
    assert tapped.test.errors == pytest.approx(longer.test.errors, rel=1e-12)


def test_a_cut_leaves_dark_counts() -> None:
    """Four outcomes of 1e5/s in windows of 1 ns; half of what counts is wrong."""
    mean = expectation(attacked("cut"))
    assert mean.click == pytest.approx(1 - math.exp(-4 * 1e5 * 1e-9), rel=1e-9)
    assert mean.qber_key == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("front_end", FrontEnd)
def test_jamming_adds_the_clicks_of_its_photons(front_end: FrontEnd) -> None:
    """j photons a slot at the fibre's end; 3 dB of receiver and a detector of 0.5 leave j/4, all over the slot."""
    link = attacked("jam=0.02", make_link(), receiver__loss_db=10 * math.log10(2.0), receiver__front_end=front_end)
    if front_end is FrontEnd.POLARISATION:
        assert background_per_slot(link) == pytest.approx(-math.expm1(-0.02 / 4), rel=1e-9)
    else:  # two bins in the key arm see all of their half slots, the test arm's window is half a slot
        key, test = 0.9 * 0.02 / 4, 0.1 * 0.02 / 4 / 2
        assert background_per_slot(link) == pytest.approx(-math.expm1(-key - test), rel=1e-9)


# ---------------------------------------------------------------- the three tiers


@pytest.mark.parametrize(
    "text", ["blinding=0.6", "time-shift=0.7", "trojan=0.1", "tap=3dB", "cut", "jam=0.02"], ids=str
)
@pytest.mark.parametrize("base", [NOISY, ACTIVE], ids=["passive", "active"])
def test_the_event_stream_is_that_of_the_closed_form(base: LinkParameters, text: str) -> None:
    link = attacked(text, base)
    mean = expectation(link)
    pulses = int(150_000 / mean.clicks)
    clicks = Sampler(link, 5).take(pulses)
    states = alice_states(link.source, 5, clicks.slots)
    observed = class_table(states, clicks.outcomes, len(link.source.intensities))
    assert np.abs(z_scores(observed, mean, pulses)).max() < 4
    assert abs(clicks.doubles - mean.doubles * pulses) < 4 * math.sqrt(mean.doubles * pulses) + 1


# ---------------------------------------------------------------- the meters


def test_meters_of_an_honest_link() -> None:
    link = make_link(fibre__connectors_db=1.5, detector__jitter_fwhm_s=235.482e-12)
    means = signature(link)
    assert means.pilot_loss_db == pytest.approx(10 * 0.2 + 1.5)
    assert means.spread_s == pytest.approx(math.hypot(100e-12, 20e-12), rel=1e-4)
    assert (means.current_a, means.arrival_s, means.back_light_w) == (0.0, 0.0, 0.0)


def test_light_that_was_moved_arrives_apart() -> None:
    """Of a fraction f, half come T early, seen by the two detectors as 1 to r: means -+ f T (1 - r)/(1 + r)."""
    link = attacked("time-shift=0.4", WEAK, instruments=Instruments(mismatch=0.2, mismatch_time_s=100e-12))
    mean = -0.4 * 100e-12 * 0.8 / 1.2
    means = signature(link)
    assert means.arrival_s == pytest.approx(mean, rel=1e-6)
    assert means.spread_s == pytest.approx(math.sqrt(0.4 * 100e-12**2 + 20e-12**2 - mean**2), rel=1e-6)


def test_bright_light_draws_a_current() -> None:
    link = attacked("blinding=0.1", instruments=Instruments(blinded_current_a=1e-3))
    assert signature(link).current_a == pytest.approx(1e-4)


def test_photons_that_come_back_were_many_more_on_their_way_in() -> None:
    """1e-6 photons a pulse at 1 GHz and 1550 nm behind 100 dB: 1e13 photons of 1.2816e-19 J a second."""
    link = attacked("trojan=1e-6", instruments=Instruments(isolation_db=100.0))
    assert signature(link).back_light_w == pytest.approx(1.2816e-6, rel=1e-4)


def test_a_tap_takes_the_pilot_too_and_a_cut_fibre_has_none() -> None:
    assert signature(attacked("tap=3dB")).pilot_loss_db == pytest.approx(2.0 + 3.0)
    assert signature(attacked("cut")).pilot_loss_db == pytest.approx(2.0 + 60.0)


@pytest.mark.parametrize("base", [NOISY, ACTIVE], ids=["passive", "active"])
def test_firings_of_double_clicks_are_those_of_all_patterns(base: LinkParameters) -> None:
    """Bright light, one intensity, bases alike: firings beyond the first, by going through sixteen patterns."""
    link = make_link(base, source__intensities=(3.0,), source__probabilities=(1.0,), fibre__length_m=0.0)
    from itertools import product

    from poliqi.optics.attack import deliveries
    from poliqi.optics.receiver import bob_optics
    from poliqi.optics.response import silences

    optics = bob_optics(link)
    extra = np.zeros(2)
    for share, in_key in ((0.8, True), (0.2, False)):
        for weight, silent in silences(optics, deliveries(link, optics)[0], in_key=in_key):
            for pattern in product((0, 1), repeat=4):
                p = math.prod((1 - q) if hit else q for q, hit in zip(silent, pattern, strict=True))
                own, other = pattern[0] + pattern[1], pattern[2] + pattern[3]
                bases = (own > 0) + (other > 0)
                beyond = [n - (n > 0) / max(1, bases) for n in (own, other)]
                key, test = beyond if in_key else beyond[::-1]
                extra += share * weight * p * np.array([key, test])
    means = signature(link)
    assert (means.extra_key, means.extra_test) == pytest.approx(tuple(extra / extra.sum()), rel=1e-9)


# ---------------------------------------------------------------- the truth


def test_shares_of_photon_numbers_are_poissons() -> None:
    """No background, everything weak: a pulse of n photons clicks n times as often as one of one photon."""
    true = truth(WEAK)
    clicks = [p * mu for p, mu in zip((0.7, 0.3), (0.5, 0.15), strict=True)]
    singles = [p * mu * math.exp(-mu) for p, mu in zip((0.7, 0.3), (0.5, 0.15), strict=True)]
    assert true.untouched == pytest.approx(sum(singles) / sum(clicks), rel=1e-3)
    assert (true.vacuum, true.touched) == (0.0, 0.0)
    assert true.phase_error == pytest.approx(0.02, rel=1e-9)
    assert true.unknown == pytest.approx(true.untouched * (1 - binary_entropy(0.02)), rel=1e-9)


def test_dark_counts_are_of_empty_pulses_mostly() -> None:
    """In a cut fibre empty pulses click as all others do: they are as many of the clicks as of the pulses."""
    true = truth(attacked("cut"))
    weights = [p * math.exp(-mu) for p, mu in zip((0.7, 0.3), (0.5, 0.15), strict=True)]
    assert true.vacuum == pytest.approx(sum(weights), rel=1e-9)
    assert true.phase_error == pytest.approx(0.5, rel=1e-6)
    assert true.unknown == pytest.approx(true.vacuum, abs=1e-6)


@pytest.mark.parametrize("f", [0.25, 1.0])
def test_blinding_leaves_only_what_is_not_attacked(f: float) -> None:
    assert truth(attacked(f"blinding={f}")).unknown == pytest.approx((1 - f) * truth(NOISY).unknown, rel=1e-9)


def test_an_eve_in_the_key_basis_knows_what_she_measured() -> None:
    assert truth(attacked("intercept-key=0.3")).unknown == pytest.approx(0.7 * truth(NOISY).unknown, rel=1e-3)


def test_splitting_every_pulse_leaves_nothing() -> None:
    long = make_link(NOISY, fibre__length_m=40e3)
    assert truth(replace(long, attack=parse_attack("pns"))).unknown == 0.0


def test_single_photons_that_eve_needs_and_lets_pass_stay_unknown() -> None:
    short = make_link(NOISY, fibre__length_m=0.0, detector__efficiency=0.9)
    assert 0.0 < truth(replace(short, attack=parse_attack("pns"))).unknown < truth(short).unknown


def test_a_time_shift_leaves_the_entropy_of_unequal_detectors() -> None:
    """B. Qi et al., Quantum Inf. Comput. 7, 73 (2007): knowing the shift, bits come as 1 to r."""
    true = truth(attacked("time-shift", WEAK, instruments=Instruments(mismatch=0.25)))
    assert true.entropy == pytest.approx(-0.2 * math.log2(0.2) - 0.8 * math.log2(0.8), rel=1e-12)
    assert true.touched == pytest.approx(truth(WEAK).untouched, rel=1e-3)
    assert true.untouched == 0.0


@pytest.mark.parametrize("photons", [1e-6, 0.01, 0.3, 2.0])
def test_a_trojan_horse_tells_holevos_quantity(photons: float) -> None:
    """The entropy of the equal mixture of two coherent states of opposite phase, in the photon-number basis."""
    n = np.arange(60)
    log = np.array([math.lgamma(k + 1) for k in n])
    up = np.exp(-photons / 2 + n / 2 * math.log(photons) - log / 2)
    down = up * (-1.0) ** n
    eigenvalues = np.linalg.eigvalsh((np.outer(up, up) + np.outer(down, down)) / 2)
    kept = eigenvalues[eigenvalues > 1e-15]
    assert trojan_information(photons) == pytest.approx(float(-(kept * np.log2(kept)).sum()), rel=1e-6, abs=1e-9)
    assert truth(attacked(f"trojan={min(photons, 1.0)}")).entropy <= 1.0


BLOCKS = {
    ProofName.WIESEMANN: make_link(block=Block(10**8)),
    ProofName.RUSCA: make_link(block=Block(10**8, ProofName.RUSCA)),
    ProofName.LIM: make_link(
        source__intensities=(0.5, 0.1, 0.001),
        source__probabilities=(0.7, 0.2, 0.1),
        block=Block(10**8, ProofName.LIM),
    ),
}
INSIDE = ("intercept", "intercept-key", "pns", "tap", "jam")


@pytest.mark.parametrize("proof", BLOCKS)
@pytest.mark.parametrize("word", INSIDE)
def test_inside_its_assumptions_a_proof_never_grants_more_than_there_is(proof: ProofName, word: str) -> None:
    for strength in (0.0, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9):
        link = make_link(BLOCKS[proof], attack=parse_attack(f"{word}={strength}"))
        found = predict(link)
        sifted = found.counts.key.total_detections
        leak = found.key.leak_bits
        assert not truth(link).is_unsafe(found.key.length, sifted, leak), strength


@pytest.mark.parametrize("text", ["blinding=0.5", "time-shift", "trojan=0.3"])
def test_outside_its_assumptions_a_proof_grants_more_than_there_is(text: str) -> None:
    """Why the meters are there: the counts alone would make an unsafe key."""
    link = make_link(BLOCKS[ProofName.WIESEMANN], attack=parse_attack(text))
    found = predict(link)
    assert truth(link).is_unsafe(found.key.length, found.counts.key.total_detections, found.key.leak_bits)


def test_no_key_is_never_unsafe() -> None:
    assert not truth(attacked("blinding")).is_unsafe(0, 1e6, 1e5)
    assert truth(attacked("blinding")).is_unsafe(1, 1e6, 0.0)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "changes", [{"mismatch": 1.1}, {"isolation_db": -1.0}, {"click_charge_c": 1.0}, {"time_noise_s": math.nan}]
)
def test_meters_that_make_no_sense_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"instruments\."):
        Instruments(**changes)


def test_the_mismatch_stands_at_a_quarter_of_a_bin_unless_said_otherwise() -> None:
    assert make_link().mismatch_time_s == pytest.approx(250e-12)
    gated = make_link(receiver__front_end=FrontEnd.TIME_BIN, detector__kind=DetectorKind.GATED_APD)
    assert gated.mismatch_time_s == pytest.approx(125e-12)
