"""The closed form against a simulation that knows nothing of it: photon by photon, detector by detector.

Numbers of photons are drawn, each photon takes its arm, its detector and its time of arrival; dark counts are
drawn per detector; then Bob's slots are walked through one after the other with dead time and traps.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from optical_links import make_link, z_scores

from poliqi.optics.attack import parse_attack
from poliqi.optics.channel import expectation
from poliqi.optics.fibre import link_loss_db
from poliqi.optics.parameters import (
    AttackKind,
    BasisChoice,
    Detector,
    DetectorKind,
    FrontEnd,
    LinkParameters,
)

PULSES = 400_000
BRIGHT = {"fibre__length_m": 0.0, "source__intensities": (0.6, 0.2), "source__key_basis": 0.7}
NOISY = {"detector__dark_rate_hz": 3e6, "receiver__error_key": 0.03, "receiver__error_test": 0.06}

CASES: dict[str, dict[str, Any]] = {
    "plain": BRIGHT,
    "dark counts": BRIGHT | NOISY,
    "dead time": BRIGHT | NOISY | {"detector__dead_time_s": 7e-9},
    "test arm darker": BRIGHT | NOISY | {"receiver__test_loss_db": 3.0, "receiver__key_basis": 0.6},
    "intensity noise": BRIGHT | {"source__intensity_noise": 0.2},
    "polarisation jitter": BRIGHT | NOISY | {"detector__jitter_fwhm_s": 500e-12},
    "time-bin jitter": BRIGHT | {"receiver__front_end": FrontEnd.TIME_BIN, "detector__jitter_fwhm_s": 300e-12},
    "time-bin narrow window": BRIGHT
    | {
        "receiver__front_end": FrontEnd.TIME_BIN,
        "detector__jitter_fwhm_s": 250e-12,
        "detector__window_s": 200e-12,
    },
    "phase drift": BRIGHT
    | {
        "receiver__front_end": FrontEnd.TIME_BIN,
        "receiver__drift_rad_per_sqrt_s": 1.0,
        "receiver__tracking_time_s": 0.2,
    },
    "active": BRIGHT | NOISY | {"receiver__basis_choice": BasisChoice.ACTIVE},
    "afterpulses": BRIGHT
    | {"detector__afterpulse": 0.2, "detector__afterpulse_time_s": 4e-9, "detector__dead_time_s": 5e-9},
    "time-bin afterpulses": BRIGHT
    | {
        "receiver__front_end": FrontEnd.TIME_BIN,
        "detector__jitter_fwhm_s": 250e-12,
        "detector__afterpulse": 0.8,
        "detector__afterpulse_time_s": 3e-9,
        "receiver__key_basis": 0.3,
    },
    "active afterpulses": BRIGHT
    | {
        "receiver__basis_choice": BasisChoice.ACTIVE,
        "detector__afterpulse": 0.8,
        "detector__afterpulse_time_s": 3e-9,
        "detector__dead_time_s": 2e-9,
    },
    "afterpulses, no dead time": BRIGHT | {"detector__afterpulse": 0.3, "detector__afterpulse_time_s": 20e-9},
    "intercept": BRIGHT | NOISY | {"attack": parse_attack("intercept=0.4")},
    "intercept-key": BRIGHT | {"attack": parse_attack("intercept-key=0.5")},
    "pns": BRIGHT
    | {"attack": parse_attack("pns=0.7"), "detector__efficiency": 0.15, "source__intensities": (0.6, 0.3)},
}


class Pulses:
    """What leaves Alice in each slot, and what Eve makes of it."""

    def __init__(self, link: LinkParameters, rng: np.random.Generator) -> None:
        source, n = link.source, PULSES
        self.level = rng.choice(len(source.intensities), n, p=source.probabilities)
        self.basis = (rng.random(n) >= source.key_basis).astype(int)
        self.bit = rng.integers(0, 2, n)
        mu = np.array(source.intensities)[self.level]
        mu = mu * (1 + source.intensity_noise * rng.standard_normal(n))
        # basis and bit that the light carries when it reaches Bob
        self.sent_basis, self.sent_bit = self.basis.copy(), self.bit.copy()
        eta = 10 ** (-link_loss_db(link) / 10)
        self.mean = np.maximum(mu, 0) * eta * link.detector.efficiency
        at_bob = rng.poisson(self.mean)
        attacked = rng.random(n) < link.attack.fraction
        if link.attack.kind is AttackKind.INTERCEPT_RESEND:
            eve = (rng.random(n) >= link.attack.key_basis).astype(int)
            guess = np.where(eve == self.basis, self.bit, rng.integers(0, 2, n))
            self.sent_basis = np.where(attacked, eve, self.basis)
            self.sent_bit = np.where(attacked, guess, self.bit)
        elif link.attack.kind is AttackKind.PHOTON_NUMBER_SPLITTING:
            bright = source.intensities[0]
            wanted = 1 - math.exp(-bright * eta * link.detector.efficiency)
            kappa = wanted / (1 - math.exp(-bright) * (1 + bright))
            split = (rng.poisson(mu) >= 2) & (rng.random(n) < kappa)
            at_bob = np.where(attacked, split.astype(int), at_bob)
        self.photons = at_bob


def hits(link: LinkParameters, pulses: Pulses, rng: np.random.Generator) -> np.ndarray:
    """bool[slots, 4]: which outcomes (key 0, key 1, test 0, test 1) clicked if all detectors were live."""
    receiver, slot_s = link.receiver, 1 / link.source.clock_hz
    slot = np.repeat(np.arange(PULSES), pulses.photons)
    n = slot.size
    share = link.receiver_key_basis
    chosen = (rng.random(PULSES) >= share).astype(int)  # of an active receiver
    arm = chosen[slot] if receiver.basis_choice is BasisChoice.ACTIVE else (rng.random(n) >= share).astype(int)
    kept = (arm == 0) | (rng.random(n) < 10 ** (-receiver.test_loss_db / 10))
    error = np.where(arm == 0, receiver.error_key, receiver.error_test)
    if receiver.drift_rad_per_sqrt_s:
        spread = receiver.drift_rad_per_sqrt_s * math.sqrt(receiver.tracking_time_s / 2)
        turned = np.sin(rng.normal(0, spread, PULSES) / 2) ** 2
        error = np.where(arm == 1, error * (1 - turned[slot]) + (1 - error) * turned[slot], error)
    matched = arm == pulses.sent_basis[slot]
    bit = np.where(matched, pulses.sent_bit[slot] ^ (rng.random(n) < error), rng.integers(0, 2, n))
    late = rng.normal(0, link.detector.jitter_fwhm_s / 2.3548200450309493, n)
    window = link.window_s
    if receiver.front_end is FrontEnd.TIME_BIN:
        # the key arm's bins lie at 1/4 and 3/4 of the slot; the test arm's light in its middle, between satellites
        at = np.where(arm == 0, np.where(bit == 0, 0.25, 0.75), 0.5) * slot_s + late
        beside, random_bit, beside_at = _satellites(link, pulses, rng)
        slot, at = np.concatenate([slot[kept], beside]), np.concatenate([at[kept], beside_at])
        arm = np.concatenate([arm[kept], np.ones(beside.size, int)])
        bit = np.concatenate([bit[kept], random_bit])
        away = np.floor(at / slot_s).astype(int)
        slot, within = slot + away, at - away * slot_s
        bit = np.where(arm == 0, (within > slot_s / 2).astype(int), bit)
        centre = np.where(arm == 0, np.where(bit == 0, 0.25, 0.75), 0.5) * slot_s
        kept = np.abs(within - centre) < window / 2
    else:
        away = np.rint(late / slot_s).astype(int)
        slot, kept = slot + away, kept & (np.abs(late - away * slot_s) < window / 2)
    kept &= (slot >= 0) & (slot < PULSES)
    table = rng.random((PULSES, 4)) < 1 - math.exp(-link.detector.dark_rate_hz * window)
    if receiver.basis_choice is BasisChoice.ACTIVE:
        table[np.arange(PULSES), (1 - chosen) * 2] = False
        table[np.arange(PULSES), (1 - chosen) * 2 + 1] = False
    table[slot[kept], arm[kept] * 2 + bit[kept]] = True
    return table


def _satellites(
    link: LinkParameters, pulses: Pulses, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(slots, bits, times in the slot) of light beside the test arm's central bin, half before and half after."""
    share = (1 - link.receiver_key_basis) * 10 ** (-link.receiver.test_loss_db / 10)
    slot = np.repeat(np.arange(PULSES), rng.poisson(pulses.mean * share))
    late = rng.normal(0, link.detector.jitter_fwhm_s / 2.3548200450309493, slot.size)
    at = rng.integers(0, 2, slot.size) / link.source.clock_hz + late
    return slot, rng.integers(0, 2, slot.size), at


def bob(link: LinkParameters, table: np.ndarray, rng: np.random.Generator) -> tuple[list[int], list[int], int]:
    """(slots, outcomes, doubles) after dead time, traps and the choice among several clicks."""
    detector = link.detector
    active = link.receiver.basis_choice is BasisChoice.ACTIVE
    dead = round(detector.dead_time_s * link.source.clock_hz)
    tau = detector.afterpulse_time_s * link.source.clock_hz
    fired = np.flatnonzero(table.any(axis=1)).tolist()
    slots: list[int] = []
    outcomes: list[int] = []
    doubles, free, i = 0, 0, 0
    release, trapped = -1, -1
    while i < len(fired) or release >= 0:
        light = fired[i] if i < len(fired) else PULSES
        slot = light if release < 0 else min(light, release)
        if slot >= PULSES:
            break
        i += slot == light
        if slot < free:
            continue
        clicked = np.flatnonzero(table[slot]).tolist() if slot == light else []
        false = slot == release
        choice = clicked
        if len({c >> 1 for c in choice}) == 2:
            basis = rng.integers(0, 2)
            choice = [c for c in choice if c >> 1 == basis]
        outcome = int(choice[rng.integers(0, len(choice))]) if choice else -1
        if false and not active:
            outcome = trapped if outcome < 0 or rng.random() < 0.5 else outcome
        elif false:  # the detector of a bit value serves both bases: the slot's own is what counts
            basis = outcome & 2 if outcome >= 0 else 2 * int(rng.random() >= link.receiver_key_basis)
            outcome = basis | (trapped & 1 if outcome < 0 or rng.random() < 0.5 else outcome & 1)
        doubles += len(clicked) + false > 1
        slots.append(slot)
        outcomes.append(outcome)
        free = slot + 1 + dead
        release = -1
        if rng.random() < detector.afterpulse:
            release, trapped = free + int(rng.exponential(tau)), outcome
    return slots, outcomes, doubles


@pytest.mark.parametrize("case", CASES)
def test_closed_form_is_what_photons_do(case: str) -> None:
    base = make_link(detector=Detector(DetectorKind.SNSPD, 0.5))
    link = make_link(base, **CASES[case])
    rng = np.random.default_rng([17, *case.encode()])
    pulses = Pulses(link, rng)
    slots, outcomes, doubles = bob(link, hits(link, pulses, rng), rng)
    at, seen = np.array(slots), np.array(outcomes)
    observed = np.zeros((2, 2, 2))
    sifted = seen >> 1 == pulses.basis[at]
    cell = (pulses.basis[at], pulses.level[at], (seen & 1) ^ pulses.bit[at])
    np.add.at(observed, tuple(c[sifted] for c in cell), 1)
    mean = expectation(link)
    assert np.abs(z_scores(observed, mean, PULSES)).max() < 4
    assert abs(len(slots) - mean.clicks * PULSES) < 4 * math.sqrt(PULSES * mean.cycle_variance / mean.cycle_mean**3)
    assert abs(doubles - mean.doubles * PULSES) < 4 * math.sqrt(mean.doubles * PULSES)


def test_attack_of_the_case_is_within_reach_of_split_pulses_alone() -> None:
    """The photon-by-photon Eve above blocks all single photons: the case must not need them."""
    link = make_link(**CASES["pns"])
    wanted = 1 - math.exp(-0.6 * 0.15)
    assert wanted < 1 - math.exp(-0.6) * 1.6
    assert replace(link).attack.fraction == 0.7
