"""Every attack of the library from full strength to none against the monitor, which sees what devices report.

Played at count level: a block costs some 200 us. What becomes of a block is decided by one rule (`outcome_of`),
with Eve's true knowledge on the other side of it; docs/explanation/monitor.md states it in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from poliqi.base.ids import LinkId, Origin
from poliqi.distill.plan import block_pulses, plan_contract
from poliqi.link.monitor import SIGNATURES, Baseline, Level, Monitor, Observation, Suspected, Verdict
from poliqi.link.monitor.tails import clopper_pearson
from poliqi.link.played import PlayedLink
from poliqi.optics.attack import attack_text
from poliqi.optics.parameters import Attack, AttackKind, LinkParameters
from poliqi.optics.prediction import predicted_leak
from poliqi.optics.truth import Truth, truth
from poliqi.proof import Counts, exact_length

__all__ = ["STRENGTHS", "Bench", "Outcome", "Point", "classical_points", "outcome_of", "sweep"]

_K = AttackKind
STRENGTHS: Final[dict[AttackKind, tuple[float, ...]]] = {
    _K.INTERCEPT_RESEND: (1.0, 0.3, 0.1, 0.05, 0.03, 0.0),
    _K.PHOTON_NUMBER_SPLITTING: (1.0, 0.3, 0.2, 0.1, 0.03, 0.0),
    _K.BLINDING: (1.0, 0.3, 0.1, 0.03, 0.01, 0.0),
    _K.TIME_SHIFT: (1.0, 0.3, 0.1, 0.05, 0.02, 0.0),
    _K.TROJAN_HORSE: (1.0, 1e-3, 1e-6, 1e-11, 3e-12, 0.0),
    _K.TAP: (0.9, 0.5, 0.2, 0.1, 0.05, 0.0),
    _K.CUT: (1.0, 0.999, 0.9, 0.5, 0.1, 0.0),
    _K.JAMMING: (1.0, 0.1, 0.01, 1e-3, 1e-4, 0.0),
}
"""From full to none, dense where detection begins."""
_SUSPECTED: Final = {
    _K.INTERCEPT_RESEND: Suspected.INTERCEPT_RESEND,
    _K.PHOTON_NUMBER_SPLITTING: Suspected.PHOTON_SPLITTING,
    _K.BLINDING: Suspected.BLINDING,
    _K.TIME_SHIFT: Suspected.TIME_SHIFT,
    _K.TROJAN_HORSE: Suspected.TROJAN_HORSE,
    _K.TAP: Suspected.TAP,
    _K.CUT: Suspected.TAP,
    _K.JAMMING: Suspected.JAMMING,
}
_FORGERIES: Final = (1.0, 0.5, 0.3, 0.1, 0.03, 0.0)
_SESSIONS: Final = 20
_COMMISSIONING: Final = 40


class Outcome(StrEnum):
    """What became of a block."""

    DETECTED = "detected"
    HARMLESS = "harmless"
    OUTSIDE = "outside the proof's assumptions"
    WRONG = "wrong secure"


@dataclass(frozen=True, slots=True)
class Point:
    """One attack at one strength: how many of `seeds` blocks had which outcome, what was seen, and how many met the
    contract (a detected one may; what it gives is then a matter of policy).
    """

    attack: str
    strength: float
    text: str
    seeds: int
    outcomes: dict[Outcome, int]
    with_key: int
    too_long: int
    """Of those that were not detected, keys longer than the entropy that Eve is known to leave."""
    named: int
    """Of the detected ones, those in which the attack's own name stood among the candidates."""
    signs: tuple[tuple[str, int], ...]

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper-Pearson interval of the probability of detection, 95 %."""
        return clopper_pearson(self.outcomes[Outcome.DETECTED], self.seeds)


def outcome_of(
    verdict: Verdict, length: float, known: Truth, sifted_key: float, leak_bits: float, *, is_covered: bool
) -> Outcome:
    """The rule. `length` is what the contract gives (0: no key), `known` what Eve leaves, `is_covered` whether the
    proof claims to pay for this attack: one that it does not pay for is outside it, however little Eve learns.
    """
    if verdict.level is Level.ATTACK:
        return Outcome.DETECTED
    if length == 0:
        return Outcome.HARMLESS
    if not is_covered:
        return Outcome.OUTSIDE
    return Outcome.WRONG if known.is_unsafe(length, sifted_key, leak_bits) else Outcome.HARMLESS


class Bench:
    """One link with its contract and a monitor that was commissioned on clean blocks of it."""

    def __init__(self, link: LinkParameters, *, alpha: float = 1e-6, seed: int = 0) -> None:
        self.link: Final = replace(link, attack=Attack())
        self.pulses: Final = block_pulses(self.link)
        contract = plan_contract(
            self.link,
            self.pulses,
            link_id=LinkId("sweep"),
            origin=Origin.SIMULATED,
            entropy="none",
            reconciler="cascade",
        )
        self._length: Final = contract.length
        self._cap: Final = contract.leak_cap
        clean, dice = PlayedLink(self.link), np.random.default_rng([seed, 1])
        blocks = [clean.block(self.pulses, dice).observation() for _ in range(_COMMISSIONING)]
        self.monitor: Final = Monitor(Baseline.of(self.link).commissioned(blocks), alpha=alpha)

    def granted(self, counts: Counts) -> tuple[int, float]:
        """Bits that the contract gives for these counts, and the bits that correction revealed."""
        block = self.link.block
        leak = predicted_leak(counts, block.leak_model, block.efficiency)
        if self._length == 0 or leak > self._cap:
            return 0, leak
        exact = exact_length(
            counts,
            proof=block.proof,
            leak_bits=self._cap,
            epsilon_sec=block.epsilon_sec,
            epsilon_cor=block.epsilon_cor,
            clamp=block.clamp,
        )
        return (self._length if exact >= self._length else 0), leak

    def point(self, attack: Attack, seeds: int, seed: int = 0) -> Point:
        """`seeds` blocks under an attack, each the first that the monitor sees of it."""
        suspected = _SUSPECTED[attack.kind]
        is_covered = SIGNATURES[suspected].is_covered or attack.fraction == 0.0
        link = replace(self.link, attack=attack)
        played, known = PlayedLink(link), truth(link)
        outcomes: Counter[Outcome] = Counter()
        signs: Counter[str] = Counter()
        with_key = named = too_long = 0
        for each in range(seeds):
            dice = np.random.default_rng([seed, list(AttackKind).index(attack.kind), each])
            block = played.block(self.pulses, dice)
            self.monitor.forget()
            verdict = self.monitor.see(block.observation(), 0.0)
            length, leak = self.granted(block.counts)
            with_key += length > 0
            sifted = block.counts.key.total_detections
            outcome = outcome_of(verdict, length, known, sifted, leak, is_covered=is_covered)
            outcomes[outcome] += 1
            if outcome is Outcome.DETECTED:
                named += any(candidate.attack is suspected for candidate in verdict.candidates)
                signs.update({row.sign for row in verdict.evidence})
            else:
                too_long += known.is_unsafe(length, sifted, leak)
        text = attack_text(attack) or ""
        return _point(str(attack.kind), attack.fraction, text, outcomes, (with_key, too_long, named), signs)


def sweep(bench: Bench, seeds: int, seed: int = 0) -> Iterator[Point]:
    """Every attack at every strength; those on the classical channel last."""
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            yield bench.point(Attack(kind, strength), seeds, seed)
    yield from classical_points(bench, seeds, seed)


def classical_points(bench: Bench, seeds: int, seed: int = 0) -> Iterator[Point]:
    """Somebody changes or repeats messages of a part of all sessions, for twenty sessions.

    Either way a tag does not fit, or a message comes out of turn, and the session gives no key: what is not
    detected is harmless.
    """
    for strength in _FORGERIES:
        outcomes: Counter[Outcome] = Counter()
        signs: Counter[str] = Counter()
        named = 0
        for each in range(seeds):
            dice = np.random.default_rng([seed, 100, each])
            bench.monitor.forget()
            found = Outcome.HARMLESS
            for is_hit in (dice.random(_SESSIONS) < strength).tolist():
                verdict = bench.monitor.see(Observation(sessions=1, forged=int(is_hit)), 0.0)
                if verdict.level is Level.ATTACK:
                    found = Outcome.DETECTED
                    named += any(candidate.attack is Suspected.TAMPERING for candidate in verdict.candidates)
                    signs.update({row.sign for row in verdict.evidence})
                    break
            outcomes[found] += 1
        text = f"{strength:g} of {_SESSIONS} sessions"
        yield _point("tampering or replay", strength, text, outcomes, (0, 0, named), signs)


def _point(
    attack: str,
    strength: float,
    text: str,
    outcomes: Counter[Outcome],
    counted: tuple[int, int, int],
    signs: Counter[str],
) -> Point:
    """`counted`: `with_key`, `too_long`, `named`."""
    found = {outcome: outcomes[outcome] for outcome in Outcome}
    shown = sorted(signs.items(), key=lambda sign: (-sign[1], sign[0]))[:4]
    return Point(attack, strength, text, outcomes.total(), found, *counted, tuple(shown))
