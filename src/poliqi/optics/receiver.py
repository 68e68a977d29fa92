"""Bob's optics as four outcomes: how much of a pulse, and how much noise, each of them sees."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from poliqi.optics.arms import bob_arm
from poliqi.optics.detector import dark_probability, timing
from poliqi.optics.fibre import link_loss_db, transmittance
from poliqi.optics.parameters import AttackKind, BasisChoice, FrontEnd, LinkParameters, Receiver
from poliqi.optics.raman import detected_noise_rate_hz
from poliqi.optics.source import mean_intensity

__all__ = [
    "Arm",
    "Optics",
    "background_per_slot",
    "basis_errors",
    "bob_optics",
    "error_from_extinction",
    "error_from_visibility",
    "share_left",
]

_ALL_LOST_DB: Final = 100.0


class Arm(NamedTuple):
    """One basis of Bob's, per photon of mean photon number that Alice sends.

    `right` and `wrong` are the detected shares in the two outcomes for a state of this basis, `even` that in
    either of them for a state of the other basis; `quiet` is the probability that an outcome sees no
    background click (dark count, Raman photon, light leaked from neighbouring slots).
    """

    right: float
    wrong: float
    even: float
    quiet: float


@dataclass(frozen=True, slots=True)
class Optics:
    """Both arms and the chance that Bob measures in the key basis (of a slot, where he chooses actively)."""

    key: Arm
    test: Arm
    choice: BasisChoice
    key_basis: float


def error_from_extinction(extinction_db: float) -> float:
    """Share of the light in the wrong one of two bins, 1/(1 + 10^{ER/10})."""
    return float(1.0 / (1.0 + 10.0 ** (extinction_db / 10.0)))


def error_from_visibility(visibility: float) -> float:
    """Share of the light at the wrong output of an interferometer, (1 - V)/2."""
    return (1.0 - visibility) / 2.0


def basis_errors(receiver: Receiver) -> tuple[float, float]:
    """Wrong-detector probabilities in the key and the test basis, drift included.

    A random walk of `drift` rad/sqrt(s) followed by a first-order loop of time constant tau leaves a
    residual of variance s^2 = drift^2 tau / 2. It is averaged over, as if redrawn for each pulse, which
    leaves every mean count as it is once a block is much longer than tau:
    the phase of an interferometer gives <sin^2(phi/2)> = (1 - exp(-s^2/2))/2 in the test basis; for
    polarisation each rotation component has that variance, a state feels two of them, and both bases get
    (1 - exp(-s^2))/2 (exact for a walk on the sphere, and to first order in s^2 for a pulled-back one).
    """
    s2 = receiver.drift_rad_per_sqrt_s**2 * receiver.tracking_time_s / 2.0
    if receiver.front_end is FrontEnd.TIME_BIN:
        return receiver.error_key, _either(receiver.error_test, -math.expm1(-s2 / 2.0) / 2.0)
    drift = -math.expm1(-s2) / 2.0
    return _either(receiver.error_key, drift), _either(receiver.error_test, drift)


def bob_optics(link: LinkParameters) -> Optics:
    """Shares and background of the four outcomes.

    Light of neighbouring slots counts as background of Alice's mean intensity: its own clicks' correlation
    with this slot's is neglected, which moves a probability by at most the square of the leaked share. Of a link of
    pairs: per photon that the source sends into Bob's arm.
    """
    link = bob_arm(link)
    receiver = link.receiver
    eta = transmittance(link_loss_db(link)) * link.detector.efficiency * share_left(link)
    through = transmittance(receiver.test_loss_db)
    noise = detected_noise_rate_hz(link) * link.window_s
    if receiver.basis_choice is BasisChoice.PASSIVE:
        to_key, to_test = link.receiver_key_basis, 1.0 - link.receiver_key_basis
    else:
        to_key, to_test = 1.0, 1.0
    e_key, e_test = basis_errors(receiver)
    time_bin = receiver.front_end is FrontEnd.TIME_BIN
    # the two bins of a time-bin key arm are two windows of one detector: each sees all of the arm's noise
    key_noise = noise * to_key * (1.0 if time_bin else 0.5)
    key = _arm(link, eta * to_key, e_key, key_noise, in_time=time_bin)
    test = _arm(link, eta * to_test * through, e_test, noise * to_test * 0.5, in_time=False)
    return Optics(key, test, receiver.basis_choice, link.receiver_key_basis)


def share_left(link: LinkParameters) -> float:
    """The share of Alice's light that is left in the fibre where somebody taps, bends or cuts it."""
    attack = link.attack
    return 1.0 - attack.fraction if attack.kind in (AttackKind.TAP, AttackKind.CUT) else 1.0


def background_per_slot(link: LinkParameters) -> float:
    """Probability of a click in a live slot when no light of Alice's comes: dark counts and foreign light."""
    dark = bob_optics(replace(link, fibre=replace(link.fibre, connectors_db=_ALL_LOST_DB)))
    if dark.choice is BasisChoice.PASSIVE:
        return 1.0 - (dark.key.quiet * dark.test.quiet) ** 2
    return 1.0 - dark.key_basis * dark.key.quiet**2 - (1.0 - dark.key_basis) * dark.test.quiet**2


def _arm(link: LinkParameters, light: float, e: float, noise: float, *, in_time: bool) -> Arm:
    """Shares of one arm that gets `light` per photon sent; `in_time` where the bit is the time of arrival.

    What jitter takes out of a window, leaked_per_side a side, goes where the front end says:
    time-bin, key: to the slot's other bin, a wrong bit, and to the neighbouring slot;
    time-bin, test: to the satellites beside the central bin and is lost, while they, as bright together as
    the central bin and without interference, give as much back, half from this slot, half from its neighbours;
    polarisation: to the two neighbouring slots.
    """
    at = timing(link)
    kept, leaked = at.kept * light, at.leaked_per_side * light
    beside = mean_intensity(link.source) * leaked
    if in_time:
        right, wrong = kept * (1.0 - e) + leaked * e, kept * e + leaked * (1.0 - e)
        even, inflow = (kept + leaked) / 2.0, beside / 2.0
    elif link.receiver.front_end is FrontEnd.TIME_BIN:
        right, wrong = kept * (1.0 - e) + leaked / 2.0, kept * e + leaked / 2.0
        even, inflow = (kept + leaked) / 2.0, beside / 2.0
    else:
        right, wrong, even, inflow = kept * (1.0 - e), kept * e, kept / 2.0, beside
    quiet = (1.0 - dark_probability(link)) * math.exp(-noise - inflow)
    return Arm(right, wrong, even, quiet)


def _either(a: float, b: float) -> float:
    """Probability that exactly one of two independent flips happens."""
    return a * (1.0 - b) + b * (1.0 - a)
