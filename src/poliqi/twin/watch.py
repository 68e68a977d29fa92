"""The monitor of a twin's link: it judges blocks while somebody does to it what its figures alone need not show.

Of interception, split photons, taps and cuts the city judges by the figures that links report; a monitor that
looked at every honest block as well would cost a twin much time, and its false alarms are measured elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from poliqi.link.monitor import Learned, Level, Observation
from poliqi.link.played import PlayedLink
from poliqi.link.response import Decision, Guard, WatchSettings
from poliqi.optics.attack import OUTSIDE_PROOFS
from poliqi.optics.parameters import AttackKind, LinkParameters
from poliqi.proof import Counts

__all__ = ["WATCHED", "Watch", "played"]

WATCHED: Final = OUTSIDE_PROOFS | {AttackKind.JAMMING}
"""Attacks that the monitor is asked about."""
_RELEASE_S: Final = 10.0
"""Nobody walks to a twin's link: a quarantine ends by itself after so long of clear blocks."""
_SETTINGS: Final = WatchSettings(release_after_s=_RELEASE_S)


class Watch:
    """One link's monitor, commissioned before the twin begins. `dice` is the meters' own."""

    def __init__(self, link: LinkParameters, pulses: int, dice: np.random.Generator) -> None:
        self._link: Final = link
        self._pulses: Final = pulses
        self._dice: Final = dice
        self._guard: Guard | None = None
        self.verdict: str = ""
        """Empty where nobody asked the monitor of the light as it is."""
        self.attack: str = ""
        self.evidence: str = ""

    @property
    def is_quarantined(self) -> bool:
        """No block gives key."""
        return self._guard is not None and self._guard.quarantine is not None

    def wants(self, kind: AttackKind) -> bool:
        """Whether to look at a block made under this attack."""
        return kind in WATCHED or self.is_quarantined or bool(self.attack)

    def block(self, under: LinkParameters, clicks: int, counts: Counts, now: float) -> str | None:
        """Judge a block; why it gives no key, None where it may."""
        block = played(under).read(self._pulses, clicks, counts, self._dice)
        return self._heed(self._made().see(block.observation(), now, now))

    def unasked(self) -> None:
        """A block went by at which nobody looked."""
        self.verdict = self.evidence = ""

    def forged(self, now: float) -> None:
        """A session ended because a tag did not fit."""
        self._heed(self._made().see(Observation(sessions=1, forged=1), now, now))

    def _made(self) -> Guard:
        if self._guard is None:
            self._guard = Guard(self._link, _SETTINGS, _learned(self._link, self._pulses))
        return self._guard

    def _heed(self, decision: Decision) -> str | None:
        held = None if self._guard is None else self._guard.quarantine
        verdict = decision.verdict
        self.verdict = Level.ATTACK.value if held is not None else verdict.level.value
        self.attack, self.evidence = "", verdict.text[:400]
        if held is not None:
            self.attack, self.evidence = held.attack, held.evidence
        elif verdict.level is Level.ATTACK:
            self.attack = str(verdict.attack or "unknown")
        return decision.refusal


@lru_cache(maxsize=512)
def played(link: LinkParameters) -> PlayedLink:
    """A link's meters."""
    return PlayedLink(link)


@lru_cache(maxsize=512)
def _learned(link: LinkParameters, pulses: int) -> Learned | None:
    """What commissioning on honest blocks finds."""
    guard, dice = Guard(link, _SETTINGS), np.random.Generator(np.random.PCG64(1))
    for number in range(4 * _SETTINGS.commissioning):
        decision = guard.see(played(link).block(pulses, dice).observation(), float(number), float(number))
        if decision.learned is not None:
            return decision.learned
    return None
