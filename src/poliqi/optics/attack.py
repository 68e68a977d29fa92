"""What Eve lets arrive in place of Alice's pulses. docs/explanation/attacks.md derives each of them."""

from __future__ import annotations

import math
from typing import Final, NamedTuple, assert_never

from poliqi.base.errors import ConfigError
from poliqi.optics.fibre import transmittance, way_loss_db
from poliqi.optics.parameters import Attack, AttackKind, BasisChoice, LinkParameters
from poliqi.optics.receiver import Optics
from poliqi.optics.source import intensity_nodes, photon_number_probability

__all__ = [
    "ATTACK_FORMS",
    "ATTACK_WORDS",
    "OUTSIDE_PROOFS",
    "Delivered",
    "attack_text",
    "deliveries",
    "parse_attack",
    "shifted",
    "splitting_yields",
]

ATTACK_FORMS: Final = (
    "intercept=FRACTION, intercept-key=FRACTION (she measures in the key basis only), pns, blinding or time-shift "
    "(each alone or with =FRACTION of the pulses), trojan=PHOTONS (that come back out of Alice's device, a pulse), "
    "tap=LOSS (such as 3dB, or a share of the light), cut, jam=PHOTONS (of false light at Bob's, a slot)"
)
ATTACK_WORDS: Final = {
    "intercept": AttackKind.INTERCEPT_RESEND,
    "intercept-key": AttackKind.INTERCEPT_RESEND,
    "pns": AttackKind.PHOTON_NUMBER_SPLITTING,
    "blinding": AttackKind.BLINDING,
    "time-shift": AttackKind.TIME_SHIFT,
    "trojan": AttackKind.TROJAN_HORSE,
    "tap": AttackKind.TAP,
    "cut": AttackKind.CUT,
    "jam": AttackKind.JAMMING,
}
"""Attacks as people write them."""
OUTSIDE_PROOFS: Final = frozenset({AttackKind.BLINDING, AttackKind.TIME_SHIFT, AttackKind.TROJAN_HORSE})
"""Attacks that break an assumption of every proof here: what a proof grants under them need not be secret."""
_WHOLE: Final = ("pns", "blinding", "time-shift", "cut")
"""They may stand without a number: then Eve does all that she can."""


class Delivered(NamedTuple):
    """One kind of pulse that reaches Bob: coherent light of mean `mu` at Alice's output, then one certain photon
    with probability `photon`. `eve_key` is None where nobody looked at it, else the chance that Eve measured it in
    the key basis and sent on what she found. `same` and `opposite` scale how well the outcomes of Alice's bit
    value, and those of the other value, see it: they are unequal where light was moved in time.
    """

    weight: float
    mu: float
    photon: float
    eve_key: float | None
    same: float = 1.0
    opposite: float = 1.0

    def basis_kept(self, *, in_key: bool) -> float:
        """Probability that the light still carries the bit in the basis in which Alice prepared it."""
        if self.eve_key is None:
            return 1.0
        return self.eve_key if in_key else 1.0 - self.eve_key


def parse_attack(text: str) -> Attack:
    """Read `intercept=0.2`, `pns`, `tap=3dB` and their like. Raises ConfigError."""
    name, _, number = text.partition("=")
    if name not in ATTACK_WORDS or (not number and name not in _WHOLE):
        raise ConfigError(f"eve: {text[:40]!r} is not an attack; write {ATTACK_FORMS}")
    in_db = name == "tap" and number.endswith("dB")
    try:
        strength = float(number.removesuffix("dB") if in_db else number or "1")
    except ValueError:
        raise ConfigError(f"eve: {number[:40]!r} is not a strength; write {ATTACK_FORMS}") from None
    if name == "tap" and not in_db and strength > 1.0:
        raise ConfigError(
            f"eve: tap={strength:g} is no share of the light, 0 to 1; did you mean tap={strength:g}dB?"
        )
    if in_db:
        if not 0.0 <= strength <= 100.0:
            raise ConfigError(f"eve: a tap of {strength:g} dB is outside 0 to 100 dB")
        strength = 1.0 - transmittance(strength)
    return Attack(ATTACK_WORDS[name], strength, 1.0 if name == "intercept-key" else 0.5)


def attack_text(attack: Attack) -> str | None:
    """An attack as `parse_attack` reads it (but for a basis that has no word of its own); None for none."""
    if attack.kind is AttackKind.NONE:
        return None
    name = next(word for word, kind in ATTACK_WORDS.items() if kind is attack.kind)
    if attack.kind is AttackKind.INTERCEPT_RESEND and attack.key_basis == 1.0:
        name = "intercept-key"
    elif attack.kind is AttackKind.INTERCEPT_RESEND and attack.key_basis != 0.5:
        return f"{name}={attack.fraction:.6g}, key basis {attack.key_basis:.6g}"
    return name if name in _WHOLE and attack.fraction == 1 else f"{name}={attack.fraction:.6g}"


def deliveries(link: LinkParameters, optics: Optics) -> list[list[Delivered]]:
    """For each intensity, brightest first, the kinds of light that reach Bob's receiver.

    Intercept-resend: Eve measures without loss or error and sends the state she found with the mean photon
    number Alice used, so that no gain tells of her (more than she can know, hence an upper bound on her).
    Photon-number splitting: see `splitting_yields`. Time shift: see `shifted`. A tap, a cut and a jammer stand in
    the optics (`bob_optics`), a blinded receiver in its response; a Trojan horse changes nothing of what Bob sees.
    """
    source, attack = link.source, link.attack
    rows = [intensity_nodes(mu, source.intensity_noise) for mu in source.intensities]
    plain = [[Delivered(w, mu, 0.0, None) for w, mu in nodes] for nodes in rows]
    if attack.fraction == 0.0:
        return plain
    left = [[Delivered(w * (1.0 - attack.fraction), mu, 0.0, None) for w, mu in nodes] for nodes in rows]
    touched: list[list[Delivered]]
    match attack.kind:
        case (
            AttackKind.NONE
            | AttackKind.BLINDING
            | AttackKind.TROJAN_HORSE
            | AttackKind.TAP
            | AttackKind.CUT
            | AttackKind.JAMMING
        ):
            return plain
        case AttackKind.INTERCEPT_RESEND:
            touched = [[Delivered(w * attack.fraction, mu, 0.0, attack.key_basis) for w, mu in ns] for ns in rows]
        case AttackKind.PHOTON_NUMBER_SPLITTING:
            one, many = splitting_yields(link, optics)
            touched = [
                [Delivered(w * attack.fraction, 0.0, _passed(mu, one, many), None) for w, mu in ns] for ns in rows
            ]
        case AttackKind.TIME_SHIFT:
            good, bad = shifted(link)
            half = attack.fraction / 2.0
            touched = [
                [Delivered(w * half, mu, 0.0, None, a, b) for w, mu in ns for a, b in ((good, bad), (bad, good))]
                for ns in rows
            ]
        case _:
            assert_never(attack.kind)
    return [a + b for a, b in zip(left, touched, strict=True)]


def shifted(link: LinkParameters) -> tuple[float, float]:
    """How well the better and the worse of two detectors see a pulse that Eve moved, against one that she did not.

    1 and r, r being the mismatch, times what Eve makes up for by a line with less loss: 2/(1 + r), which leaves the
    gain as it was, where the fibre's loss allows it.
    """
    r = link.instruments.mismatch
    gain = min(2.0 / (1.0 + r), 1.0 / transmittance(way_loss_db(link.fibre)))
    return gain, gain * r


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
