"""What Eve really knows of a block: what a test holds against the key length that a proof grants.

A proof sees counts and bounds what Eve could know; here her strategy is known, so the entropy of the key that she
leaves is a number. docs/explanation/attacks.md says for each attack where it comes from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.optics.attack import Delivered, shifted, splitting_yields
from poliqi.optics.channel import expectation
from poliqi.optics.parameters import AttackKind, BasisChoice, LinkParameters
from poliqi.optics.receiver import Optics, bob_optics
from poliqi.optics.response import answer, responses
from poliqi.optics.source import intensity_nodes

__all__ = ["Truth", "binary_entropy", "trojan_information", "truth"]

_EMPTY: Final = Delivered(1.0, 0.0, 0.0, None)
_CERTAIN: Final = Delivered(1.0, 0.0, 1.0, None)
_WHOLE: Final = (AttackKind.NONE, AttackKind.TROJAN_HORSE, AttackKind.TAP, AttackKind.CUT, AttackKind.JAMMING)
"""Eve lets every pulse pass as it is, or what she lets pass of it."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Shares of the sifted detections in the key basis, afterpulses included in all of them.

    `vacuum`: Alice's pulse was empty and nobody touched it. `untouched`: it held one photon, which reached Bob as
    Alice sent it. `touched`: it held one photon, and Eve learnt of its bit all but `entropy` (mean, in bits). The
    rest is hers: pulses of more photons, whatever she did, and bits that she measured or forced. `phase_error` is
    the error rate that untouched photons have in the test basis.
    """

    vacuum: float
    untouched: float
    touched: float
    entropy: float
    phase_error: float

    @property
    def unknown(self) -> float:
        """Bits of entropy, per sifted bit, that Eve is left with before error correction.

        All phase errors of photons are counted as hers, whoever made them, as in the proofs.
        """
        phase = binary_entropy(self.phase_error)
        return self.vacuum + self.untouched * max(0.0, 1.0 - phase) + self.touched * max(0.0, self.entropy - phase)

    def length_bound(self, sifted_key: float, leak_bits: float) -> float:
        """The longest key that so many sifted bits hold once `leak_bits` were revealed; below 0 they hold none."""
        return sifted_key * self.unknown - leak_bits

    def is_unsafe(self, length: float, sifted_key: float, leak_bits: float) -> bool:
        """Whether a proof that grants `length` grants more than there is: no hash makes that entropy."""
        return length > 0.0 and length > self.length_bound(sifted_key, leak_bits)


def binary_entropy(p: float) -> float:
    """h(p) in bits, 1 beyond 1/2: an error rate that Eve may know the worst of."""
    if p <= 0.0:
        return 0.0
    return 1.0 if p >= 0.5 else -p * math.log2(p) - (1.0 - p) * math.log2(1.0 - p)


def trojan_information(photons: float) -> float:
    """Bits that `photons` of coherent light, come back out of Alice's modulator, tell of hers.

    The two states of a basis come back with opposite phases, an overlap of s = exp(-2 photons), and Eve keeps them
    until the basis is announced: Holevo's quantity of two pure states, h((1 - s)/2), which she can reach.
    """
    return binary_entropy(-math.expm1(-2.0 * photons) / 2.0)


def truth(link: LinkParameters) -> Truth:
    """What Eve knows of the key of `link`, a link of weak pulses.

    Raises ConfigError for one of pairs, or where no click is ever sifted in the key basis.
    """
    if link.pairs is not None:
        raise ConfigError("pairs: what Eve knows of a key is modelled for weak pulses only")
    optics = bob_optics(link)
    sifted = sum(
        p * (k.right + k.wrong)
        for p, (k, _) in zip(link.source.probabilities, responses(link, optics), strict=True)
    )
    mean = expectation(link)
    counted = mean.key.total_detections
    if sifted <= 0.0 or counted <= 0.0:
        raise ConfigError("source.key_basis: no click is ever sifted in the key basis; raise it above 0")
    vacuum, untouched, touched = _shares(link, optics)
    of_light = (mean.live - mean.afterpulses) * link.source.key_basis / counted
    vacuum, untouched, touched = vacuum * of_light, untouched * of_light, touched * of_light
    entropy = 1.0
    match link.attack.kind:
        case AttackKind.TROJAN_HORSE if link.attack.fraction > 0.0:
            entropy = 1.0 - trojan_information(link.attack.fraction)
            vacuum, untouched, touched = 0.0, 0.0, vacuum + untouched
        case AttackKind.TIME_SHIFT:
            good, bad = shifted(link)
            entropy = binary_entropy(bad / (good + bad))
        case _:
            pass
    seen = answer(optics, [_single(optics, in_key=False)], in_key=False)
    error = seen.wrong / (seen.right + seen.wrong) if seen.right + seen.wrong > 0.0 else 0.5
    return Truth(vacuum, untouched, touched, entropy, error)


def _shares(link: LinkParameters, optics: Optics) -> tuple[float, float, float]:
    """Sifted clicks a live slot, given Alice's key basis: of empty pulses, of untouched and of touched photons."""
    source, attack = link.source, link.attack
    vacuum = untouched = touched = 0.0
    one_passes = splitting_yields(link, optics)[0] if attack.kind is AttackKind.PHOTON_NUMBER_SPLITTING else 0.0
    none, one = _sifted(optics, _EMPTY), _sifted(optics, _single(optics, in_key=True))
    certain = _sifted(optics, _CERTAIN) if attack.kind is AttackKind.PHOTON_NUMBER_SPLITTING else 0.0
    good, bad = shifted(link)
    moved = (
        _sifted(optics, _single(optics, good, bad, in_key=True))
        + _sifted(optics, _single(optics, bad, good, in_key=True))
    ) / 2.0
    free = 1.0 if attack.kind in _WHOLE else 1.0 - attack.fraction
    for p, brightness in zip(source.probabilities, source.intensities, strict=True):
        for weight, mu in intensity_nodes(brightness, source.intensity_noise):
            empty, single = p * weight * math.exp(-mu), p * weight * mu * math.exp(-mu)
            vacuum += free * empty * none
            untouched += free * single * one
            match attack.kind:
                case AttackKind.INTERCEPT_RESEND:  # measured in the other basis: the bit is still Alice's secret
                    other = (1.0 - attack.key_basis) * _sifted(optics, Delivered(1.0, mu, 0.0, 0.0))
                    touched += attack.fraction * single * other
                case AttackKind.PHOTON_NUMBER_SPLITTING:  # lets it pass and keeps nothing
                    untouched += attack.fraction * single * one_passes * certain
                case AttackKind.TIME_SHIFT:
                    touched += attack.fraction * single * moved
                case _:
                    pass
    return vacuum, untouched, touched


def _sifted(optics: Optics, light: Delivered) -> float:
    seen = answer(optics, [light], in_key=True)
    return seen.right + seen.wrong


def _single(optics: Optics, same: float = 1.0, opposite: float = 1.0, *, in_key: bool) -> Delivered:
    """One photon at Alice's output; where Bob chooses actively, as the arm of her own basis sees it."""
    own, other = (optics.key, optics.test) if in_key else (optics.test, optics.key)
    seen = own.right * same + own.wrong * opposite
    if optics.choice is BasisChoice.PASSIVE:
        seen += other.even * (same + opposite)
    return Delivered(1.0, 0.0, min(1.0, seen), None, same, opposite)
