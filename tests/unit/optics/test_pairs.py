"""Entangled pairs: the closed form against published formulas, Gaussian states, and pairs followed one by one."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from optical_links import class_table, z_scores
from pair_links import PAIRED, pair_link

from poliqi.base.errors import ConfigError
from poliqi.optics.arms import alice_arm, bob_arm
from poliqi.optics.attack import parse_attack
from poliqi.optics.channel import expectation
from poliqi.optics.counts import CountSampler
from poliqi.optics.fibre import link_loss_db
from poliqi.optics.pairs import joint_probabilities, pair_probabilities, prepared
from poliqi.optics.parameters import (
    BasisChoice,
    ClassicalChannel,
    Detector,
    DetectorKind,
    FrontEnd,
    LinkParameters,
    Pairs,
    PairStatistics,
    Receiver,
)
from poliqi.optics.sampler import Sampler
from poliqi.optics.states import alice_states

ACTIVE = {"receiver__basis_choice": BasisChoice.ACTIVE, "receiver__error_key": 0.0, "receiver__error_test": 0.0}
SNSPD = Detector(DetectorKind.SNSPD, 0.6, dark_rate_hz=1e5)


def efficiency(link: LinkParameters) -> float:
    return 10 ** (-link_loss_db(link) / 10) * link.detector.efficiency


@pytest.mark.parametrize("mode", [0.003, 0.05, 0.4])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.8])
def test_thermal_gain_and_error_are_those_of_ma_fung_and_lo(mode: float, place: float) -> None:
    """Phys. Rev. A 76, 012307 (2007), equations (9) and (10): lambda the mean of a mode, both ends in one basis."""
    perfect = Pairs(PairStatistics.THERMAL, place)
    link = pair_link(source__intensities=(2 * mode,), source__key_basis=1.0, pairs=perfect, **ACTIVE)
    link = replace(link, detector=replace(link.detector, dark_rate_hz=0.0))
    a, b = efficiency(alice_arm(link)), efficiency(bob_arm(link))
    each, both = (1 + a * mode) * (1 + b * mode), 1 + a * mode + b * mode - a * b * mode
    gain = 1 - 1 / (1 + a * mode) ** 2 - 1 / (1 + b * mode) ** 2 + 1 / both**2
    error = gain / 2 - a * b * mode * (1 + mode) / (each * both)
    seen = joint_probabilities(link).both
    assert seen[:2, :2].sum() == pytest.approx(gain, rel=1e-9)
    assert seen[0, 1] + seen[1, 0] == pytest.approx(error, rel=1e-7)


def test_thermal_gain_with_dark_counts_is_that_of_ma_fung_and_lo() -> None:
    mode = 0.05
    link = pair_link(
        source__intensities=(2 * mode,), source__key_basis=1.0, pairs=Pairs(PairStatistics.THERMAL, 0.3), **ACTIVE
    )
    a, b = efficiency(alice_arm(link)), efficiency(bob_arm(link))
    dark = 1 - math.exp(-2 * 1e3 / 1e9)
    both = 1 + a * mode + b * mode - a * b * mode
    gain = 1 - (1 - dark) / (1 + a * mode) ** 2 - (1 - dark) / (1 + b * mode) ** 2 + (1 - dark) ** 2 / both**2
    assert joint_probabilities(link).both[:2, :2].sum() == pytest.approx(gain, rel=1e-9)


def silent_of_covariance(mode: float, seen: tuple[float, float, float, float], angle: float) -> float:
    """Vacuum probability behind losses (transmissions `seen`) of two squeezed states: Alice's two polarisations,
    then Bob's two, measured `angle` away from hers. Covariances are in units of the vacuum's.
    """
    n, c = 2 * mode + 1, 2 * math.sqrt(mode * (mode + 1))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    covariance = np.kron(np.eye(4), n * np.eye(2))
    correlated = np.kron(c * turn, np.diag([1, -1]))
    covariance[4:, :4], covariance[:4, 4:] = correlated, correlated.T
    root = np.sqrt(np.repeat(seen, 2))
    lossy = covariance * np.outer(root, root) + np.diag(1 - root**2)
    return 1 / math.sqrt(np.linalg.det((lossy + np.eye(8)) / 2))


@pytest.mark.parametrize(("bases", "angle"), [((0, 0), 0.0), ((0, 2), math.pi / 4), ((2, 2), 0.0)])
def test_thermal_outcomes_are_those_of_the_gaussian_state(bases: tuple[int, int], angle: float) -> None:
    """One detector alone, or both and a fair coin, at either end: from silences of covariance matrices."""
    mode, place = 0.3, 0.4
    ends = Receiver(0.0, 0.0, basis_choice=BasisChoice.ACTIVE)
    link = pair_link(receiver=ends, pairs=Pairs(PairStatistics.THERMAL, place), source__intensities=(2 * mode,))
    link = replace(link, detector=replace(link.detector, dark_rate_hz=0.0))
    a, b = efficiency(alice_arm(link)), efficiency(bob_arm(link))
    shares = [0.7 if basis == 0 else 0.3 for basis in bases]
    seen = joint_probabilities(link).both / math.prod(shares)
    outcome = {(0, 0): 0.5, (1, 0): -0.5, (0, 1): 0.5, (1, 1): -0.5}  # (1 - q_own)(1 + q_other)/2
    for one, other in product((0, 1), (0, 1)):
        expected = 0.0
        for (own_a, other_a), (own_b, other_b) in product(outcome, outcome):
            watched = [0.0] * 4
            watched[one], watched[1 - one] = a * own_a, a * other_a
            watched[2 + other], watched[3 - other] = b * own_b, b * other_b
            sign = outcome[own_a, other_a] * outcome[own_b, other_b]
            expected += sign * silent_of_covariance(mode, tuple(watched), angle)
        assert seen[bases[0] + one, bases[1] + other] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("statistics", PairStatistics)
def test_probabilities_of_all_that_may_be_seen_add_up(statistics: PairStatistics) -> None:
    link = pair_link(pairs__statistics=statistics, attack=parse_attack("intercept=0.3"))
    joint = joint_probabilities(link)
    assert joint.both.sum() == pytest.approx(1.0, abs=1e-12)
    assert joint.both.min() > 0.0
    assert (joint.single[:, :4] <= joint.both[:, :4] + 1e-15).all()


def test_few_pairs_have_the_errors_of_visibility_and_receivers_alone() -> None:
    link = pair_link(source__intensities=(1e-6,), detector__dark_rate_hz=0.0)
    mean = expectation(link)
    for seen, visibility, error in ((mean.qber_key, 0.98, 0.01), (mean.qber_test, 0.97, 0.02)):
        assert seen == pytest.approx((1 - visibility * (1 - 2 * error) ** 2) / 2, rel=1e-4)


def test_more_pairs_mean_accidental_coincidences() -> None:
    """Of independent pairs every further one errs half the time: e ~ e_0 + (1/2 - e_0) mu for small mu."""
    dim = {"detector__efficiency": 1e-3, "detector__dark_rate_hz": 0.0}
    few, more = (expectation(pair_link(source__intensities=(mu,), **dim)) for mu in (1e-6, 0.01))
    assert more.qber_key - few.qber_key == pytest.approx((0.5 - few.qber_key) * 0.01, rel=0.05)


class Walked:
    """Poissonian pairs followed one by one, each photon through loss, splitter and detector; true dead times."""

    def __init__(self, link: LinkParameters, slots: int, seed: int) -> None:
        rng, pairs = np.random.default_rng(seed), link.pairs
        assert pairs is not None
        slot = np.repeat(np.arange(slots), rng.poisson(link.source.intensities[0], slots))
        n = slot.size
        bit, basis = rng.integers(0, 2, (2, n))  # the pair as Alice's basis choice finds it
        table: list[np.ndarray] = []
        for arm, is_bob in ((alice_arm(link), False), (bob_arm(link), True)):
            share = link.receiver_key_basis if is_bob else link.source.key_basis
            own = (rng.random(n) >= share).astype(int)
            if not is_bob:
                basis = own
            light = basis
            if is_bob and link.attack.fraction and link.attack.kind != "none":
                attacked = (rng.random(slots) < link.attack.fraction)[slot]
                eve = (rng.random(slots) >= link.attack.key_basis).astype(int)[slot]
                visibility = np.where(eve == 0, pairs.visibility_key, pairs.visibility_test)
                found = np.where(eve == basis, bit ^ (rng.random(n) >= (1 + visibility) / 2), rng.integers(0, 2, n))
                light = np.where(attacked, eve, basis)
                sent = np.where(attacked, found, bit)
            else:
                attacked, sent = np.zeros(n, bool), bit
            error = np.where(own == 0, arm.receiver.error_key, arm.receiver.error_test)
            flip = rng.random(n) < error
            if is_bob:
                visibility = np.where(own == 0, pairs.visibility_key, pairs.visibility_test)
                flip = flip ^ (~attacked & (rng.random(n) >= (1 + visibility) / 2))
            seen = np.where(own == light, sent ^ flip, rng.integers(0, 2, n))
            kept = rng.random(n) < efficiency(arm)
            hits = rng.random((slots, 4)) < 1 - math.exp(-arm.detector.dark_rate_hz / link.source.clock_hz)
            hits[slot[kept], (own * 2 + seen)[kept]] = True
            table.append(self._outcomes(hits, arm.dead_slots, rng))
        self.alice, self.bob = table

    @staticmethod
    def _outcomes(hits: np.ndarray, dead: int, rng: np.random.Generator) -> np.ndarray:
        """One outcome a slot, 4 for none: several bases a random one, two clicks of it a random bit."""
        at = np.flatnonzero(hits.any(axis=1))
        if dead:
            live, kept = 0, []
            for slot in at.tolist():
                if slot >= live:
                    kept.append(slot)
                    live = slot + 1 + dead
            at = np.array(kept)
        seen, coins = hits[at], rng.integers(0, 2, (2, at.size))
        key, test = seen[:, :2].any(axis=1), seen[:, 2:].any(axis=1)
        basis = np.where(key & test, coins[0], test)
        low, high = seen[np.arange(at.size), 2 * basis], seen[np.arange(at.size), 2 * basis + 1]
        out = np.full(len(hits), 4)
        out[at] = 2 * basis + np.where(low & high, coins[1], high)
        return out

    def table(self) -> np.ndarray:
        """Sifted counts int64[2 bases, 2]: right and wrong."""
        both = (self.alice < 4) & (self.bob < 4) & (self.alice // 2 == self.bob // 2)
        cell = (self.alice // 2) * 2 + (self.alice != self.bob)
        return np.bincount(cell[both], minlength=4).reshape(2, 2)


BRIGHT: dict[str, Any] = {"source__intensities": (0.15,), "fibre__length_m": 0.0, "detector": SNSPD}
CASES: dict[str, dict[str, Any]] = {
    "at Alice": BRIGHT | {"fibre__length_m": 10e3},
    "in the middle, dark counts": BRIGHT
    | {"fibre__length_m": 20e3, "pairs__place": 0.5, "detector": replace(SNSPD, dark_rate_hz=5e6)},
    "Bob dead": BRIGHT | {"detector": replace(SNSPD, dead_time_s=9e-9), "pairs__detector": SNSPD},
    "other receiver at Alice": BRIGHT
    | {"pairs__receiver": Receiver(0.05, 0.1, loss_db=3.0), "receiver__key_basis": 0.4},
    "intercepted": BRIGHT | {"attack": parse_attack("intercept=0.6")},
    "intercepted in the key basis": BRIGHT | {"attack": parse_attack("intercept-key=0.5")},
}


def sifted(link: LinkParameters) -> np.ndarray:
    mean = expectation(link)
    return np.array([(b.total_detections - b.total_errors, b.total_errors) for b in (mean.key, mean.test)])


@pytest.mark.parametrize("case", CASES)
def test_pairs_followed_one_by_one_agree_with_the_closed_form(case: str) -> None:
    link, slots = pair_link(**CASES[case]), 200_000
    mean = sifted(link) * slots
    assert np.abs((Walked(link, slots, 5).table() - mean) / np.sqrt(mean)).max() < 4


def test_true_dead_times_at_both_ends_are_met_within_the_share_in_which_both_are_dead() -> None:
    dead = replace(SNSPD, dead_time_s=5e-9)
    link, slots = pair_link(**BRIGHT | {"detector": dead}), 300_000
    seen = Walked(link, slots, 6)
    expected = sifted(link).sum() * slots
    live = expectation(link).live
    alice_live = 1 / (1 + 5 * joint_probabilities(link).both[:4].sum())
    bound = (1 - live) * (1 - alice_live)
    walked = seen.table().sum()
    assert expected - 4 * math.sqrt(expected) < walked < expected * (1 + 2 * bound) + 4 * math.sqrt(expected)
    assert (seen.alice < 4).sum() == pytest.approx(pair_probabilities(link).alice * slots, rel=0.02)


GRID: dict[str, dict[str, Any]] = {
    "plain": {},
    "thermal, in the middle": {"pairs__statistics": PairStatistics.THERMAL, "pairs__place": 0.5},
    "at Bob, active": {"pairs__place": 1.0, "receiver__basis_choice": BasisChoice.ACTIVE},
    "dead times": {"detector__dead_time_s": 50e-9, "source__intensities": (0.1,)},
    "afterpulses": {
        "detector": Detector(
            DetectorKind.GATED_APD, 0.2, dark_per_gate=1e-4, afterpulse=0.05, afterpulse_time_s=20e-9
        ),
    },
    "time-bin, Raman": {
        "receiver__front_end": FrontEnd.TIME_BIN,
        "receiver__test_loss_db": 3.0,
        "detector__jitter_fwhm_s": 100e-12,
        "pairs__place": 0.3,
        "classical_channels": (ClassicalChannel(-10.0),),
    },
    "intercepted": {"attack": parse_attack("intercept=0.3")},
}


@pytest.mark.parametrize("name", GRID)
def test_event_stream_and_count_level_agree_with_the_closed_form(name: str) -> None:
    link = pair_link(**GRID[name])
    mean = expectation(link)
    pulses = int(300_000 / mean.clicks)
    clicks = Sampler(link, 3).take(pulses)
    states = alice_states(prepared(link), 3, clicks.slots)
    observed = class_table(states, clicks.outcomes, 2)[:, :1]
    assert np.abs(z_scores(observed, mean, pulses)).max() < 4
    assert abs(clicks.doubles - mean.doubles * pulses) < 4 * math.sqrt(mean.doubles * pulses) + 1
    counts = CountSampler(link).draw(10**10, np.random.default_rng(3))
    drawn = np.array([[(b.detections[0] - b.errors[0], b.errors[0])] for b in (counts.key, counts.test)])
    assert np.abs(z_scores(drawn, mean, 10**10)).max() < 4


def test_no_candidate_click_is_thrown_away() -> None:
    link = pair_link()
    plan = Sampler(link, 1).plan
    assert 1 - math.exp(-1 / plan.slots_per_deviate) == pytest.approx(expectation(link).click, rel=1e-9)


def test_an_eve_changes_what_bob_sees_and_never_what_alice_is_taken_to_have() -> None:
    assert prepared(pair_link(attack=parse_attack("intercept=1"))) == prepared(PAIRED)


def test_intercepting_all_puts_a_quarter_on_both_bases() -> None:
    honest, attacked = expectation(PAIRED), expectation(pair_link(attack=parse_attack("intercept=1")))
    for before, after in ((honest.qber_key, attacked.qber_key), (honest.qber_test, attacked.qber_test)):
        assert after == pytest.approx(before + (1 - 2 * before) / 4, rel=1e-6)
    assert attacked.clicks == pytest.approx(honest.clicks, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pairs": None}, "bbm92 does not fit weak pulses"),
        ({"source__intensities": (0.1, 0.05), "source__probabilities": (0.5, 0.5)}, "one mean number a slot"),
        ({"pairs__place": 1.5}, "pairs.place"),
        ({"pairs__receiver": Receiver(0.0, 0.0, key_basis=0.5)}, "source.key_basis"),
        ({"pairs__receiver": Receiver(0.0, 0.0, front_end=FrontEnd.TIME_BIN)}, "front_end"),
        ({"block__tolerated_error": 0.5}, "block.tolerated_error"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pair_link(**change)


@pytest.mark.parametrize("eve", ["pns", "time-shift"])
def test_attacks_on_weak_pulses_are_refused(eve: str) -> None:
    with pytest.raises(ConfigError, match="not modelled for pairs"):
        expectation(pair_link(attack=parse_attack(eve)))
