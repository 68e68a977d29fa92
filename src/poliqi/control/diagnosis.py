"""Which causes explain what is wrong: the likeliest first, then the likeliest of what it leaves unexplained.

Each suspect's score is the logarithm of how much likelier it makes the signs than chance does (suspects.py). The
best is taken, the signs that it shows are explained, and the rest are scored again without them, until no suspect
scores above zero. Scores only fall on the way, so that a suspect is scored again only when it comes to the top.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from poliqi.control.causes import Cause
from poliqi.control.city import City, SpanId
from poliqi.control.signs import MERE, Sign, SignKind, Signs
from poliqi.control.suspects import Suspect, suspects

__all__ = ["Finding", "diagnose"]

_INERTIA = 1.5
"""Added to what was found before, so that two causes of near equal score do not take turns."""
_RIVALS = 3
_RIVALS_OF = 16
"""Rivals are sought of so many causes: in a catastrophe nobody reads them, and the search would be slow."""
_RIVAL_WITHIN = 3.0
_SITES = frozenset(
    {SignKind.NONSENSE, SignKind.LOST, SignKind.CLOCK, SignKind.STORE, SignKind.DAMAGE, SignKind.RIVAL}
)

_UNHEARD = frozenset({SignKind.SILENT, SignKind.AWAY})


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause, the signs it explains, and what else would explain the same ones nearly as well."""

    suspect: Suspect
    score: float
    signs: frozenset[Sign]
    is_whole: bool
    """No sign is missing that the cause should show."""
    rivals: tuple[Cause, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """Tells the cause and its place from all others."""
        return (self.suspect.cause, *self.suspect.key)


def diagnose(
    city: City, signs: Signs, newly_lit: Iterable[SpanId] = (), before: Iterable[tuple[str, ...]] = ()
) -> list[Finding]:
    """The causes of all signs that are up, likeliest first. `before`: keys of what was found before."""
    left = set(signs.up)
    all_suspects, known = suspects(city, signs, set(newly_lit)), set(before)
    explained: set[Sign] = set()
    unknown = _unknown(all_suspects, signs)
    seen_or_unseeable = left | unknown

    def scored(suspect: Suspect) -> float:
        bonus = _INERTIA if (suspect.cause, *suspect.key) in known else 0.0
        return suspect.score(left, explained, unknown) + bonus

    heap = [(-scored(suspect), place, suspect) for place, suspect in enumerate(all_suspects)]
    heapq.heapify(heap)
    found: list[Finding] = []
    while heap:
        _, place, suspect = heapq.heappop(heap)
        score = scored(suspect)
        shown = left.intersection(suspect.expects)
        if score <= 0.0 or all(sign.kind in MERE for sign in shown):
            continue
        if heap and -heap[0][0] > score:
            heapq.heappush(heap, (-score, place, suspect))
            continue
        is_early = len(found) < _RIVALS_OF
        close = [entry[2] for entry in heap if -entry[0] >= score - _RIVAL_WITHIN] if is_early else []
        rivals = sorted({(-scored(s), s.cause) for s in close if shown.intersection(s.expects) == shown})
        causes = dict.fromkeys(cause for minus, cause in rivals if -minus >= score - _RIVAL_WITHIN)
        causes.pop(suspect.cause, None)
        is_whole = all(s in seen_or_unseeable for s, grade in suspect.expects.items() if grade.missing)
        found.append(Finding(suspect, score, frozenset(shown), is_whole, tuple(causes)[:_RIVALS]))
        left -= shown
        explained |= shown
    return found


def _unknown(all_suspects: list[Suspect], signs: Signs) -> set[Sign]:
    """Signs whose absence means nothing, as nobody could report them."""
    lost = {sign.subject[0] for sign in signs.up if sign.kind is SignKind.LOST}

    mute = {sign.subject[0] for sign in signs.up if sign.kind is SignKind.SILENT}

    def cannot_be_seen(sign: Sign) -> bool:
        if sign.kind in _SITES or sign.kind in _UNHEARD:
            return False
        if sign.kind is SignKind.PARTED:
            return lost.issuperset(sign.subject)
        if sign.kind is SignKind.DARK:
            return sign.subject[0] in mute or sign.subject[0] not in signs.known
        return sign.subject[0] not in signs.live

    return {sign for suspect in all_suspects for sign in suspect.expects if cannot_be_seen(sign)}
