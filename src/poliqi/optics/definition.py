"""What the sampler's kernels compute, in plain Python on integers: the definition they are tested against.

Slow (microseconds a candidate) and meant to be read. One candidate after the other:

1. candidate j waits floor(E_j / lambda) slots from the first free slot on, E_j being the exponential deviate of the
   upper 32 bits of word j of the candidate stream; its mark is the lower 32 bits;
2. the mark, set against the outcome ranges of the state that Alice prepared there, makes it an outcome or nothing;
3. a click blinds the next `dead_slots` slots; waiting starts after them (gaps have no memory);
4. click c may leave a carrier in a trap: word 2 c of the afterpulse stream decides whether (upper half) and for how
   many live slots (lower half); word 2 c + 1 decides a basis or a coin where the afterpulse needs one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from poliqi.optics.counter import LONGEST_GAP, exponential, one_word, stream_keys
from poliqi.optics.sampler import Plan

__all__ = ["DefinitionSampler"]

_LOW: Final = 0xFFFFFFFF
_NONE: Final = 8


@dataclass(slots=True)
class DefinitionSampler:
    """The event stream of `plan` under `seed`, one (slot, outcome, is_double) at a time."""

    plan: Plan
    seed: int
    candidate: int = 0
    base: int = 0
    blind: int = 0
    release: int | None = None
    trapped: int = 0
    clicks: int = 0

    def take(self, end: int) -> list[tuple[int, int, bool]]:
        """All clicks before slot `end` that were not taken yet."""
        found: list[tuple[int, int, bool]] = []
        while True:
            word = one_word(stream_keys(self.seed)[1], self.candidate)
            slot = self.base + self._wait(word >> 32, self.plan.slots_per_deviate)
            if self.release is not None and self.release < slot:
                if self.release >= end:
                    return found
                self.candidate += 1
                slot, outcome = self.release, self._false_click()
            else:
                if slot >= end:
                    return found
                self.candidate += 1
                outcome = self._outcome(slot, word & _LOW)
                if slot == self.release:
                    outcome = self._merge(outcome)
                self.base = slot + 1
                if outcome == _NONE:
                    continue
                if slot < self.blind:
                    self.blind = slot + 1 + self.plan.dead_slots
                    continue
            found.append((slot, outcome & 3, outcome > 3))
            self._clicked(slot, outcome & 3)

    def _clicked(self, slot: int, outcome: int) -> None:
        plan = self.plan
        self.base = slot + 1
        if plan.prolongs:
            self.blind = self.base + plan.dead_slots
        else:
            self.base += plan.dead_slots
        self.release, self.trapped = None, outcome
        if plan.trap_mark > 0:
            word = one_word(stream_keys(self.seed)[2], 2 * self.clicks)
            if word >> 32 < plan.trap_mark:
                self.release = self.base + self._wait(word & _LOW, plan.slots_per_release)
        self.clicks += 1

    def _outcome(self, slot: int, mark: int) -> int:
        state = self._state(slot)
        ends = self.plan.outcome_ends[state]
        return int(np.searchsorted(ends, mark, side="right"))

    def _state(self, slot: int) -> int:
        word = one_word(stream_keys(self.seed)[0], slot)
        pair = int(np.searchsorted(self.plan.state_ends, word >> 32, side="right"))
        return pair << 1 | word & 1

    def _false_click(self) -> int:
        if self.plan.active_mark < 0:
            return self.trapped
        word = one_word(stream_keys(self.seed)[2], 2 * self.clicks + 1)
        return self.trapped & 1 | int(word >> 32 >= self.plan.active_mark) << 1

    def _merge(self, outcome: int) -> int:
        if outcome == _NONE:
            return self._false_click()
        word = one_word(stream_keys(self.seed)[2], 2 * self.clicks + 1)
        chosen = outcome & 3 if word & 1 else self.trapped
        if self.plan.active_mark >= 0:
            chosen = outcome & 2 | chosen & 1
        return chosen | 4

    @staticmethod
    def _wait(bits: int, slots_per_deviate: float) -> int:
        deviate = float(exponential(np.array([bits], np.uint32))[0])
        return math.floor(min(deviate * slots_per_deviate, LONGEST_GAP))
