"""Small steps added up over blocks: what a single block is too short to tell.

A likelihood ratio e of a block, of an alternative against the honest value nearest to it, has mean 1 at most on an
honest link. R = (1 + R) e is then a sum whose mean grows by 1 a block at most (Shiryaev 1963, Roberts 1966; for
composite hypotheses Shin, Ramdas and Rinaldo, arXiv:2203.03532): a link that is honest stays below 1 / alpha for
1 / alpha blocks on average, and passes it within n blocks with probability n alpha at most. Page's CUSUM
(Biometrika 41 (1954) 100) with the same ratio never exceeds it.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["Gathering"]

_STEP: Final = 1.1
"""The alternative: odds so many times those of the honest edge."""
_MOST: Final = 6.0
"""R is kept below e^6 times its limit, so that it falls again soon once a link is well."""


class Gathering:
    """One figure to one side. `weight` is R times alpha: 1 and more is an alarm."""

    __slots__ = ("_log", "_most", "alpha", "blocks", "hits", "trials")

    def __init__(self, alpha: float) -> None:
        self.alpha: Final = alpha
        self._most: Final = -math.log(alpha) + _MOST
        self.forget()

    def forget(self) -> None:
        """Begin anew. `blocks` counts since R was last below 1; `hits` of `trials` were counted in them."""
        self._log = -math.inf
        self.blocks = 0
        self.hits = 0.0
        self.trials = 0.0

    @property
    def weight(self) -> float:
        """How near the alarm is."""
        return math.exp(self._log) * self.alpha

    def add(self, hits: float, trials: float, edge: float, *, is_high: bool) -> None:
        """Take a block's share, whose honest values end at `edge` (upwards where `is_high`)."""
        if not is_high:
            hits, edge = trials - hits, 1.0 - edge
        if not 0.0 < edge < 1.0:
            return
        scale = 1.0 - edge + edge * _STEP
        ratio = hits * math.log(_STEP / scale) - (trials - hits) * math.log(scale)
        self._take(ratio, hits if is_high else trials - hits, trials)

    def add_rare(self, hits: int, trials: int, edge: float) -> None:
        """Take a share that is nearly 0 on an honest link and a half under attack."""
        ratio = hits * math.log(0.5 / edge) + (trials - hits) * math.log(0.5 / (1.0 - edge))
        self._take(ratio, hits, trials)

    def _take(self, ratio: float, hits: float, trials: float) -> None:
        before = self._log
        if before < 0.0:
            self.blocks, self.hits, self.trials = 0, 0.0, 0.0
        log = (math.log1p(math.exp(before)) if before < 30.0 else before) + ratio
        self._log = max(min(log, self._most), -self._most)
        self.blocks += 1
        self.hits += hits
        self.trials += trials
