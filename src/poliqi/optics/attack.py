"""What Eve lets arrive in place of Alice's pulses."""

from __future__ import annotations

import math
from typing import Final, NamedTuple, assert_never

from poliqi.base.errors import ConfigError
from poliqi.optics.parameters import Attack, AttackKind, BasisChoice, LinkParameters
from poliqi.optics.receiver import Optics
from poliqi.optics.source import intensity_nodes, photon_number_probability

__all__ = ["Delivered", "deliveries", "parse_attack", "splitting_yields"]

_FORMS: Final = "intercept=FRACTION, intercept-key=FRACTION (she measures in the key basis only) or pns"
_KINDS: Final = {
    "intercept": AttackKind.INTERCEPT_RESEND,
    "intercept-key": AttackKind.INTERCEPT_RESEND,
    "pns": AttackKind.PHOTON_NUMBER_SPLITTING,
}


class Delivered(NamedTuple):
    """One kind of pulse that reaches Bob: coherent light of mean `mu` at Alice's output, then one certain photon
    with probability `photon`. `eve_key` is None where nobody looked at it, else the chance that Eve measured it in
    the key basis and sent on what she found.
    """

    weight: float
    mu: float
    photon: float
    eve_key: float | None

    def basis_kept(self, *, in_key: bool) -> float:
        """Probability that the light still carries the bit in the basis in which Alice prepared it."""
        if self.eve_key is None:
            return 1.0
        return self.eve_key if in_key else 1.0 - self.eve_key


def parse_attack(text: str) -> Attack:
    """Read `intercept=0.2`, `intercept-key=0.2`, `pns` or `pns=0.2`. Raises ConfigError."""
    name, _, number = text.partition("=")
    if name not in _KINDS or (not number and name != "pns"):
        raise ConfigError(f"eve: {text[:40]!r} is not an attack; write {_FORMS}")
    try:
        fraction = float(number) if number else 1.0
    except ValueError:
        raise ConfigError(f"eve: {number[:40]!r} is not a fraction of the pulses; write {_FORMS}") from None
    return Attack(_KINDS[name], fraction, 1.0 if name == "intercept-key" else 0.5)


def deliveries(link: LinkParameters, optics: Optics) -> list[list[Delivered]]:
    """For each intensity, brightest first, the kinds of light that reach Bob's receiver.

    Intercept-resend: Eve measures without loss or error and sends the state she found with the mean photon
    number Alice used, so that no gain tells of her (more than she can know, hence an upper bound on her).
    Photon-number splitting: see `splitting_yields`.
    """
    source, attack = link.source, link.attack
    rows = [intensity_nodes(mu, source.intensity_noise) for mu in source.intensities]
    untouched = 1.0 - attack.fraction
    match attack.kind:
        case AttackKind.NONE:
            return [[Delivered(w, mu, 0.0, None) for w, mu in nodes] for nodes in rows]
        case AttackKind.INTERCEPT_RESEND:
            return [
                [Delivered(w * untouched, mu, 0.0, None) for w, mu in nodes]
                + [Delivered(w * attack.fraction, mu, 0.0, attack.key_basis) for w, mu in nodes]
                for nodes in rows
            ]
        case AttackKind.PHOTON_NUMBER_SPLITTING:
            one, many = splitting_yields(link, optics)
            return [
                [Delivered(w * untouched, mu, 0.0, None) for w, mu in nodes]
                + [Delivered(w * attack.fraction, 0.0, _passed(mu, one, many), None) for w, mu in nodes]
                for nodes in rows
            ]
    assert_never(attack.kind)


def splitting_yields(link: LinkParameters, optics: Optics) -> tuple[float, float]:
    """Probabilities with which Eve lets one photon of single-photon and of many-photon pulses click.

    She counts photons without disturbing them, blocks vacuum, keeps one photon of each pulse of two or more and
    sends one on through a line of her own, as often as the gain of the brightest intensity asks. Only where those
    are too few does she let single photons pass. The proof gives her Bob's losses too, so what she sends on clicks.
    """
    source = link.source
    mu, noise = source.intensities[0], source.intensity_noise
    both = 2.0 * (optics.key.even + optics.test.even)
    if optics.choice is BasisChoice.PASSIVE:
        ways = ((1.0, both),)
    else:
        ways = ((optics.key_basis, 2.0 * optics.key.even), (1.0 - optics.key_basis, 2.0 * optics.test.even))
    wanted = sum(-w * share * math.expm1(-m * eta) for w, m in intensity_nodes(mu, noise) for share, eta in ways)
    one = photon_number_probability(1, mu, noise)
    many = 1.0 - photon_number_probability(0, mu, noise) - one
    if wanted <= many:
        return 0.0, wanted / many
    return min(1.0, (wanted - many) / one), 1.0


def _passed(mu: float, one: float, many: float) -> float:
    single = mu * math.exp(-mu)
    return single * one + (1.0 - math.exp(-mu) - single) * many
