"""What a link will give: its averages, put through the proof for a block of the size it names.

A prediction is no contract: a block counts what it really detects and reveals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.base.ids import LeakModel
from poliqi.optics.attack import OUTSIDE_PROOFS
from poliqi.optics.channel import Expectation, expectation, stated_intensities
from poliqi.optics.fibre import transmittance
from poliqi.optics.parameters import Attack, AttackKind, BasisChoice, LinkParameters
from poliqi.proof import LARGEST_COUNT, BasisCounts, Counts, KeyLength, exact_length, secret_length, shannon_leak

__all__ = [
    "Prediction",
    "at_length",
    "caveats",
    "depends_on_basis",
    "endless_rate",
    "merit",
    "predict",
    "predicted_leak",
    "tolerated_error",
]

_SIGMAS: Final = 4.0
_LARGEST_ERROR: Final = 0.499999


@dataclass(frozen=True, slots=True)
class Prediction:
    """One block of `link` on average: `pulses` sent in `block_s` seconds give `key`, `rate_hz` bits per second.

    `endless_rate_hz` is the rate of the same link and proof if a block never ended.
    """

    link: LinkParameters
    expectation: Expectation
    counts: Counts
    pulses: float
    block_s: float
    key: KeyLength
    rate_hz: float
    endless_rate_hz: float


def predict(link: LinkParameters) -> Prediction:
    """The averages and the finite key of a block. Raises ConfigError where there are no key-basis clicks."""
    mean = expectation(link)
    pulses = _pulses(link, mean)
    counts = _counts(link, mean, pulses)
    block = link.block
    key = secret_length(
        counts,
        proof=block.proof,
        leak_bits=predicted_leak(counts, block.leak_model, block.efficiency),
        epsilon_sec=block.epsilon_sec,
        epsilon_cor=block.epsilon_cor,
        clamp=block.clamp,
        intensity_uncertainty=block.intensity_uncertainty or None,
        tolerated_error=tolerated_error(link, counts.test),
    )
    block_s = pulses / link.source.clock_hz
    return Prediction(link, mean, counts, pulses, block_s, key, key.length / block_s, endless_rate(link, mean))


def at_length(link: LinkParameters, length_m: float) -> LinkParameters:
    """The same link over another length of its fibre; its lump losses stay."""
    return replace(link, fibre=replace(link.fibre, length_m=length_m))


def caveats(link: LinkParameters) -> tuple[str, ...]:
    """What this link's prediction assumes beyond its proof, in words that stand beside the numbers."""
    block, detector = link.block, link.detector
    ways = (
        "in both directions, 2 f n h(q)" if block.leak_model is LeakModel.BOTH_DIRECTIONS else "one way, f n h(q)"
    )
    notes = [
        "Averages of a channel model, not a measurement: a block scatters about them and counts what it reveals.",
        f"Error correction is predicted to reveal, {ways}, with f = {block.efficiency:g}.",
    ]
    if link.pairs is not None:
        notes.append(
            "Entangled pairs: Alice's dead time lowers her rate of clicks; that her dead slots and Bob's tend to "
            "coincide is left out."
        )
    if link.dead_slots > 0:
        notes.append(f"One dead time of {link.dead_slots} slots, common to all of Bob's detectors.")
    if detector.pixels > 1:
        notes.append(
            f"{detector.pixels} pixels share the light and are taken as one detector of 1/{detector.pixels} of the "
            "dead time; the proof asks that rounds in which any of them is dead be dropped in both bases."
        )
    if depends := depends_on_basis(link):
        notes.append(f"{depends}: detection depends on the basis, which the proof excludes. No contract is made.")
    if detector.afterpulse > 0.0:
        notes.append("Afterpulses are counted as errors, but the proof asks for detectors without memory.")
    if link.source.intensity_noise > 0.0:
        notes.append(
            "The intensity's noise from pulse to pulse is in the counts, but the proof takes it as steady."
        )
    if block.leak_model is LeakModel.ERROR_STRING:
        notes.append("Leak model error-string: only one party's parities are counted as revealed.")
    if link.attack.kind is not AttackKind.NONE:
        notes.append(f"An attack is under way: {link.attack.kind}, {_strength(link.attack)}.")
    if link.attack.kind in OUTSIDE_PROOFS and link.attack.fraction > 0.0:
        notes.append(
            "THIS ATTACK BREAKS AN ASSUMPTION OF THE PROOF: what the counts would grant is shown, and Eve may know "
            "it. What sees her is the devices' own meters and the monitor that reads them."
        )
    return tuple(notes)


def _strength(attack: Attack) -> str:
    match attack.kind:
        case AttackKind.TROJAN_HORSE:
            return f"{attack.fraction:.3g} photons a pulse come back out of Alice's device"
        case AttackKind.JAMMING:
            return f"{attack.fraction:.3g} photons a slot are added at Bob's end of the fibre"
        case AttackKind.TAP | AttackKind.CUT:
            return f"on {attack.fraction:.0%} of the light"
        case _:
            return f"on {attack.fraction:.0%} of the pulses"


def depends_on_basis(link: LinkParameters) -> str:
    """How the chance of a detection depends on the basis at either end, against the assumption of every proof here.

    Empty where it does not. Each end's detectors are alike, key and test have as many windows, and visibility moves
    errors alone. What is left: an active choice with a loss in one basis only; and a passive choice whose splitter
    favours the test basis. With a passive choice a loss in one arm only shifts the splitting ratio and the common
    loss, but dark counts and bright light fall on both arms alike, single photons as the ratio says: where the key
    arm has the smaller share of photons it has the larger share of such clicks, and the test basis says too little.
    """
    ends = [("receiver", link.receiver, link.receiver_key_basis)]
    if link.pairs is not None:
        own = link.pairs.receiver
        name = "pairs.receiver" if own is not None else "receiver (Alice's like Bob's)"
        ends.append((name, own or link.receiver, link.source.key_basis))
    for name, receiver, share in ends:
        if receiver.basis_choice is BasisChoice.ACTIVE:
            if receiver.test_loss_db > 0.0:
                return f"{name}.test_loss {receiver.test_loss_db:g} dB with an active basis choice"
        elif share < (1.0 - share) * transmittance(receiver.test_loss_db) * (1.0 - 1e-9):
            return f"{name}: a passive basis choice whose key arm gets less light ({share:g}) than its test arm"
    return ""


def predicted_leak(counts: Counts, leak_model: LeakModel, efficiency: float) -> float:
    """Bits that error correction is going to reveal: f n h(q) one way, twice that where both directions count.

    Each parity that Alice discloses in an interactive correction meets one of Bob's.
    """
    one_way = shannon_leak(counts, efficiency)
    return 2.0 * one_way if leak_model is LeakModel.BOTH_DIRECTIONS else one_way


def tolerated_error(link: LinkParameters, test: BasisCounts) -> float | None:
    """Q_tol that a block of pairs agrees on: the link's own, or what an honest block's `test` basis passes.

    The mean error rate and four standard deviations of it, of k independent rounds. None: no link of pairs.
    """
    if link.pairs is None:
        return None
    if link.block.tolerated_error is not None:
        return link.block.tolerated_error
    rounds = test.total_detections
    rate = test.total_errors / rounds if rounds > 0.0 else 0.0
    return min(rate + _SIGMAS * math.sqrt(rate * (1.0 - rate) / rounds), _LARGEST_ERROR) if rounds > 0.0 else 0.0


def merit(link: LinkParameters) -> float:
    """What an optimiser climbs: secret bits per pulse, or, without a key, the (negative) length per sifted bit.

    Both meet at 0. Per pulse, a link without a key would look best where it hardly ever clicks.
    """
    mean = expectation(link)
    pulses = _pulses(link, mean)
    length = _exact(link, _counts(link, mean, pulses))
    return length / pulses if length > 0.0 else length / link.block.sifted_key


def endless_rate(link: LinkParameters, mean: Expectation) -> float:
    """Secret bits per second of a block so long that counts stand for probabilities; at least 0."""
    pulses = 0.5 * LARGEST_COUNT / max(mean.clicks, 1e-300)
    pulses = min(pulses, 1e30)
    length = _exact(link, _counts(link, mean, pulses))
    return max(length, 0.0) * link.source.clock_hz / pulses


def _exact(link: LinkParameters, counts: Counts) -> float:
    block = link.block
    leak = predicted_leak(counts, block.leak_model, block.efficiency)
    if block.intensity_uncertainty > 0.0:
        return secret_length(
            counts,
            proof=block.proof,
            leak_bits=leak,
            epsilon_sec=block.epsilon_sec,
            epsilon_cor=block.epsilon_cor,
            clamp=block.clamp,
            intensity_uncertainty=block.intensity_uncertainty,
        ).exact_length
    return exact_length(
        counts,
        proof=block.proof,
        leak_bits=leak,
        epsilon_sec=block.epsilon_sec,
        epsilon_cor=block.epsilon_cor,
        clamp=block.clamp,
        tolerated_error=tolerated_error(link, counts.test),
    )


def _pulses(link: LinkParameters, mean: Expectation) -> float:
    per_pulse = mean.key.total_detections
    if per_pulse <= 0.0:
        raise ConfigError("source.key_basis: no click is ever sifted in the key basis; raise it above 0")
    return link.block.sifted_key / per_pulse


def _counts(link: LinkParameters, mean: Expectation, pulses: float) -> Counts:
    return Counts(*stated_intensities(link), mean.key.scaled(pulses), mean.test.scaled(pulses))
