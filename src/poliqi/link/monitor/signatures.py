"""What each attack shows, in one table, and which attacks fit what is seen.

A sign is a figure and which way it left its place. An attack's score is the strength (minus the decimal logarithm
of the p-value, at most 20 each) of the signs that it would show, less that of the signs that it would not. Of each
group under `must` it has to show one, where any of them is looked at.

Scores name attacks; they grant nothing. Several attacks may act at once, and a loud one that the proof pays for
must not hide another: a sign of attack strength that breaks an assumption of the proof (`BREAKING`), or that no
attack which the proof pays for shows, leaves an attack among the candidates that it does not pay for, whatever else
is seen.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from poliqi.link.monitor.verdict import Candidate, Evidence, Suspected

__all__ = ["BREAKING", "SIGNATURES", "Signature", "candidates", "unwatched"]

_STRONGEST: Final = 20.0
_WITHIN: Final = 6.0
"""Attacks whose score is so near to the best one's may stand behind the same signs."""


@dataclass(frozen=True, slots=True)
class Signature:
    """`must`: groups of which each shows a sign; `may`: further signs. A star stands for any text.

    `is_covered`: the proof pays for it. `needs`: the attack can be seen only where one of these figures is known.
    """

    must: tuple[tuple[str, ...], ...]
    may: tuple[str, ...]
    is_covered: bool
    needs: tuple[str, ...]


_A = Suspected

SIGNATURES: Final[dict[Suspected, Signature]] = {
    _A.INTERCEPT_RESEND: Signature(
        (("qber-test+", "qber-key+"),), ("qber-*+", "sifted*", "doubles*", "arms*"), True, ("qber-test",)
    ),
    _A.PHOTON_SPLITTING: Signature(
        (("decoy-*",),),
        ("doubles-", "clicks*", "qber-*-", "pilot*", "basis*", "sifted*", "photocurrent-"),
        True,
        ("decoy-key-1",),
    ),
    _A.BLINDING: Signature(
        (("photocurrent+", "doubles-"),),
        ("doubles*", "qber-*", "clicks*", "basis*", "sifted*", "arms*", "detectors-*"),
        False,
        ("photocurrent", "doubles"),
    ),
    _A.TIME_SHIFT: Signature(
        (("arrival-*", "spread+", "detectors-*"),),
        ("arrival-*", "spread*", "detectors-*", "clicks*", "arms*", "basis*", "sifted*", "doubles*"),
        False,
        ("arrival-key-0", "spread"),
    ),
    _A.TROJAN_HORSE: Signature((("back-light+",),), (), False, ("back-light",)),
    _A.TAP: Signature((("clicks-", "pilot+"),), ("doubles-", "photocurrent-", "qber-*+"), True, ("clicks",)),
    _A.JAMMING: Signature(
        (("clicks+", "decoy-*+", "doubles+", "spread+"),),
        ("qber-*+", "photocurrent+", "sifted*", "basis*", "arms*", "arrival-*"),
        True,
        ("clicks",),
    ),
    _A.TAMPERING: Signature((("forged+",),), (), True, ("forged",)),
}

BREAKING: Final[dict[Suspected, tuple[str, ...]]] = {
    _A.BLINDING: ("photocurrent+", "doubles-"),
    _A.TIME_SHIFT: ("arrival-*", "spread*", "detectors-*"),
    _A.TROJAN_HORSE: ("back-light+",),
    _A.UNKNOWN: ("basis*", "arms*"),
}
"""Signs that an assumption of the proof is broken, and by what. Stray light that is strong enough also widens
arrival times, and a split or thinned line has fewer double clicks: such blocks are refused with the rest, since
nothing tells them from a second attack under the first. A bias current is judged against the clicks of its block,
so that more light of the usual kind does not raise it. Detection that depends on the basis is what proofs exclude,
whatever causes it."""


def candidates(
    evidence: Iterable[Evidence], watched: Collection[str], strong: Collection[str]
) -> tuple[Candidate, ...]:
    """Attacks that fit, likeliest first, then those that signs among `strong` leave possible beside them;
    `unknown`, of which nothing is known to be covered, where no attack fits. `strong`: signs beyond what an attack
    is called at.
    """
    signs = {row.sign: min(_STRONGEST, -math.log10(max(row.p_value, 1e-300))) for row in evidence}
    if not signs:
        return ()
    total = sum(signs.values())
    scored: list[tuple[float, Suspected]] = []
    for attack, signature in SIGNATURES.items():
        score = 2.0 * sum(strength for sign, strength in signs.items() if _is_in(sign, signature)) - total
        shows_all = all(
            any(_fits(sign, group) for sign in signs) for group in signature.must if _is_watched(group, watched)
        )
        if score > 0.0 and shows_all:
            scored.append((score, attack))
    if not scored:
        return (Candidate(Suspected.UNKNOWN, round(total, 1), False),)
    scored.sort(key=lambda pair: -pair[0])  # of equals the first in the table
    best = scored[0][0]
    near = [(score, attack) for score, attack in scored if score >= best - _WITHIN]
    found = [Candidate(attack, round(score, 1), SIGNATURES[attack].is_covered) for score, attack in near]
    return (*found, *_beside(found, {sign: signs[sign] for sign in strong if sign in signs}))


def _beside(found: Iterable[Candidate], strong: Mapping[str, float]) -> Iterator[Candidate]:
    """Attacks that may act beside the likeliest one: of each the strength of its own signs."""
    named = {candidate.attack for candidate in found}
    for attack, breaking in BREAKING.items():
        own = [strength for sign, strength in strong.items() if _fits(sign, breaking)]
        if own and attack not in named:
            named.add(attack)
            yield Candidate(attack, round(sum(own), 1), False)
    known = [row for attack, row in SIGNATURES.items() if attack in named]
    patterns = [pattern for breaking in BREAKING.values() for pattern in breaking]
    odd = [
        strength
        for sign, strength in strong.items()
        if not _fits(sign, patterns) and not any(_is_in(sign, row) for row in known)
    ]
    if odd and Suspected.UNKNOWN not in named:
        yield Candidate(Suspected.UNKNOWN, round(sum(odd), 1), False)


def unwatched(watched: Collection[str]) -> tuple[Suspected, ...]:
    """Attacks that none of the known figures would show."""
    return tuple(
        attack for attack, signature in SIGNATURES.items() if not any(name in watched for name in signature.needs)
    )


def _is_in(sign: str, signature: Signature) -> bool:
    return _fits(sign, signature.may) or any(_fits(sign, group) for group in signature.must)


def _fits(sign: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(sign, pattern) for pattern in patterns)


def _is_watched(group: tuple[str, ...], watched: Collection[str]) -> bool:
    """Whether some figure of a group is known here."""
    return any(fnmatchcase(figure, pattern.rstrip("+-")) for pattern in group for figure in watched)
