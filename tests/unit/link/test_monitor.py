"""The monitor: what it calls what, on what evidence, and how often it is wrong about a sound link."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest
from scipy import stats

from poliqi.base.errors import ConfigError
from poliqi.link.health import Health
from poliqi.link.monitor import (
    LEAST_BLOCKS,
    SIGNATURES,
    Baseline,
    Evidence,
    Learned,
    Level,
    Monitor,
    Observation,
    Suspected,
    Tolerance,
    Verdict,
)
from poliqi.link.played import PlayedLink
from poliqi.ops.config import default_link
from poliqi.optics.parameters import Attack, AttackKind, LinkParameters

LINK = default_link()
PULSES = 130_000_000  # a million sifted key bits


@cache
def played(link: LinkParameters) -> PlayedLink:
    return PlayedLink(link)


def blocks(count: int, seed: int, attack: Attack | None = None, pulses: int = PULSES) -> list[Observation]:
    dice = np.random.default_rng(seed)
    source = played(replace(LINK, attack=attack or Attack()))
    return [source.block(pulses, dice).observation() for _ in range(count)]


@cache
def commissioned() -> Baseline:
    return Baseline.of(LINK).commissioned(blocks(40, 1))


def verdict(attack: Attack, seed: int = 9) -> Verdict:
    return Monitor(commissioned()).see(blocks(1, seed, attack)[0], 0.0)


# ---------------------------------------------------------------- false alarms


@pytest.fixture(scope="module")
def clean() -> list[Observation]:
    return blocks(10_000, 11, pulses=20_000_000)


def most(count: int, alpha: float) -> int:
    """The largest number of false alarms that a rate of `alpha` explains, with 99.9 %."""
    return int(stats.binom.isf(0.001, count, alpha))


def test_false_alarms_stay_within_the_stated_rate_where_nothing_is_tolerated(clean: list[Observation]) -> None:
    """The model is the truth here and drifts are not let pass, so that every test is as sharp as it can be."""
    monitor = Monitor(Baseline.of(LINK, Tolerance.none()), alpha=1e-3, suspicion=1e-2)
    levels = [monitor.see(block, 0.0).level for block in clean]
    assert levels.count(Level.ATTACK) <= most(len(clean), 1e-3)
    alarms = len(clean) - levels.count(Level.CLEAR)
    assert 10 <= alarms <= most(len(clean), 1e-2), "a test that never fires tests nothing"


def test_no_false_alarm_among_ten_thousand_blocks_with_the_defaults(clean: list[Observation]) -> None:
    monitor = Monitor(Baseline.of(LINK).commissioned(clean[:20]))
    levels = [monitor.see(block, 0.0).level for block in clean]
    assert levels.count(Level.ATTACK) <= most(len(clean), 1e-6)
    assert levels.count(Level.SUSPECT) <= most(len(clean), 1e-3)


def test_false_alarms_stay_within_the_stated_rate_after_commissioning(clean: list[Observation]) -> None:
    baseline = Baseline.of(LINK, Tolerance.none()).commissioned(clean[:40])
    monitor = Monitor(baseline, alpha=1e-2, suspicion=1e-2)
    rest = clean[40:1500]
    assert sum(monitor.see(block, 0.0).level is Level.ATTACK for block in rest) <= most(len(rest), 1e-2)


def test_a_sound_link_that_drifts_within_its_tolerance_is_clear() -> None:
    monitor = Monitor(commissioned())
    dice = np.random.default_rng(4)
    for more_db in (-0.6, 0.0, 0.4, 0.7):
        fibre = replace(LINK.fibre, connectors_db=LINK.fibre.connectors_db + more_db)
        block = PlayedLink(replace(LINK, fibre=fibre)).block(PULSES, dice)
        seen = block.observation()
        assert seen.bob is not None
        seen = replace(seen, bob=replace(seen.bob, pilot_loss_db=seen.bob.pilot_loss_db - more_db + 0.3))  # type: ignore[operator]
        assert monitor.see(seen, 0.0).level is Level.CLEAR, more_db


# ---------------------------------------------------------------- attacks


@pytest.mark.parametrize(
    ("attack", "suspected", "sign"),
    [
        (Attack(AttackKind.INTERCEPT_RESEND, 0.3), Suspected.INTERCEPT_RESEND, "qber-test+"),
        (Attack(AttackKind.PHOTON_NUMBER_SPLITTING, 1.0), Suspected.PHOTON_SPLITTING, "decoy-key-1-"),
        (Attack(AttackKind.BLINDING, 0.5), Suspected.BLINDING, "photocurrent+"),
        (Attack(AttackKind.TIME_SHIFT, 1.0), Suspected.TIME_SHIFT, "arrival-key-0-"),
        (Attack(AttackKind.TROJAN_HORSE, 1e-6), Suspected.TROJAN_HORSE, "back-light+"),
        (Attack(AttackKind.TAP, 0.5), Suspected.TAP, "pilot+"),
        (Attack(AttackKind.JAMMING, 0.1), Suspected.JAMMING, "clicks+"),
    ],
)
def test_an_attack_is_named_with_its_evidence(attack: Attack, suspected: Suspected, sign: str) -> None:
    found = verdict(attack)
    assert found.level is Level.ATTACK
    assert found.attack is suspected
    assert sign in {row.sign for row in found.evidence}
    assert found.is_covered == all(SIGNATURES[c.attack].is_covered for c in found.candidates)
    for row in found.evidence:
        assert not row.low <= row.seen <= row.high
        assert (row.high < row.bound < row.seen) if row.is_high else (row.seen < row.bound < row.low)
        assert 0.0 <= row.p_value < 1e-6


def test_only_attacks_on_the_proofs_assumptions_are_not_covered() -> None:
    assert {attack for attack, row in SIGNATURES.items() if not row.is_covered} == {
        Suspected.BLINDING,
        Suspected.TIME_SHIFT,
        Suspected.TROJAN_HORSE,
    }


def test_signs_that_fit_nothing_are_unknown_and_not_covered() -> None:
    (seen,) = blocks(1, 3)
    assert seen.bob is not None
    strange = replace(seen, bob=replace(seen.bob, pilot_loss_db=0.0, photocurrent_a=0.0))
    found = Monitor(commissioned()).see(strange, 0.0)
    assert found.level is Level.ATTACK
    assert found.attack is Suspected.UNKNOWN
    assert not found.is_covered


def test_small_steps_add_up_over_blocks() -> None:
    """An error rate a little beyond its tolerance, in blocks too short to tell."""
    baseline = Baseline.of(LINK, Tolerance.none())
    monitor = Monitor(baseline, alpha=1e-6, suspicion=1e-6)
    levels = [
        monitor.see(b, 0.0).level for b in blocks(60, 5, Attack(AttackKind.INTERCEPT_RESEND, 0.01), 2_000_000)
    ]
    assert levels[0] is Level.CLEAR
    assert Level.ATTACK in levels
    monitor.forget()
    assert monitor.see(blocks(1, 6, pulses=2_000_000)[0], 0.0).level is Level.CLEAR


# ---------------------------------------------------------------- blindness


def test_a_reading_that_no_longer_comes_makes_it_blind() -> None:
    (seen,) = blocks(1, 3)
    assert seen.bob is not None
    for less in (
        replace(seen, bob=None),
        replace(seen, alice=None),
        replace(seen, bob=replace(seen.bob, photocurrent_a=None)),
        replace(seen, bob=Health(seen.pulses)),
    ):
        found = Monitor(commissioned()).see(less, 0.0)
        assert found.level is Level.BLIND
        assert found.missing


def test_too_few_detections_are_blind_and_darkness_is_a_loss() -> None:
    (seen,) = blocks(1, 3, pulses=20_000)
    assert seen.detections < 1000
    assert Monitor(Baseline.of(LINK)).see(seen, 0.0).level is Level.BLIND
    dark = verdict(Attack(AttackKind.CUT, 1.0))
    assert (dark.level, dark.attack) == (Level.ATTACK, Suspected.TAP)


def test_without_error_counts_the_test_basis_still_tells() -> None:
    (seen,) = blocks(1, 3, Attack(AttackKind.INTERCEPT_RESEND, 1.0))
    found = Monitor(commissioned()).see(replace(seen, counts=None), 0.0)
    assert (found.level, found.attack) == (Level.ATTACK, Suspected.INTERCEPT_RESEND)
    (seen,) = blocks(1, 3)
    assert Monitor(commissioned()).see(replace(seen, counts=None), 0.0).missing == ("error counts",)


def test_what_no_reading_shows_is_said() -> None:
    bare = [replace(b, bob=None, alice=None) for b in blocks(LEAST_BLOCKS, 2)]
    found = Monitor(Baseline.of(LINK).commissioned(bare)).see(bare[0], 0.0)
    assert found.level is Level.CLEAR
    assert {Suspected.TROJAN_HORSE, Suspected.TIME_SHIFT} <= set(found.unwatched)
    assert Monitor(commissioned()).see(blocks(1, 3)[0], 0.0).unwatched == ()


# ---------------------------------------------------------------- messages


def test_one_forged_session_is_suspect_two_in_a_row_are_an_attack() -> None:
    monitor = Monitor(commissioned())
    first, second = (monitor.see(Observation(sessions=1, forged=1), 0.0) for _ in range(2))
    assert first.level is Level.SUSPECT
    assert (second.level, second.attack) == (Level.ATTACK, Suspected.TAMPERING)
    for _ in range(40):
        monitor.see(Observation(sessions=1), 0.0)
    assert monitor.see(Observation(sessions=1), 0.0).level is Level.CLEAR


# ---------------------------------------------------------------- what is learned


def test_what_was_learned_survives_its_file() -> None:
    learned = commissioned().learned
    assert learned is not None
    assert msgspec.json.decode(msgspec.json.encode(learned), type=Learned) == learned


def test_commissioning_moves_the_baseline_to_the_real_devices() -> None:
    """Bob's real error rate is twice the file's: a sound link after commissioning, an odd one before."""
    worse = replace(LINK, receiver=replace(LINK.receiver, error_key=0.03, error_test=0.05))
    dice, source = np.random.default_rng(8), PlayedLink(worse)
    seen = [source.block(PULSES, dice).observation() for _ in range(20)]
    assert Monitor(Baseline.of(LINK)).see(seen[0], 0.0).level is Level.ATTACK
    assert Monitor(Baseline.of(LINK).commissioned(seen)).see(
        source.block(PULSES, dice).observation(), 0.0
    ).level is (Level.CLEAR)


def test_too_few_lessons_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 8"):
        Baseline.of(LINK).commissioned(blocks(3, 1))


def test_probabilities_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="alpha"):
        Monitor(Baseline.of(LINK), alpha=1e-2, suspicion=1e-3)
    with pytest.raises(ConfigError, match="qber"):
        Tolerance(qber=-0.1)


def test_evidence_says_how_often_its_bound_is_wrong() -> None:
    row = Evidence("qber-test", 0.01, 0.03, 0.2, 0.15, 1.0 - 1e-7, 1e-30, is_high=True)
    assert "at least 0.15, wrong with probability 1e-07" in str(row)
