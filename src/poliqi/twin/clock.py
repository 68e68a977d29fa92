"""Virtual time: what is to happen is kept in order, and time jumps from one thing to the next."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

import numpy as np

__all__ = ["Clock", "generator"]

Action = Callable[[], None]


class Clock:
    """Things that happen at the same moment happen in the order in which they were planned."""

    __slots__ = ("_count", "_plan", "now", "steps")

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        """How many things have happened."""
        self._plan: Final[list[tuple[float, int, Action]]] = []
        self._count = 0

    def at(self, when: float, action: Action) -> None:
        """Do `action` at `when` (s), or now where that is past."""
        self._count += 1
        heappush(self._plan, (when if when > self.now else self.now, self._count, action))

    def after(self, delay_s: float, action: Action) -> None:
        """Do `action` in `delay_s`."""
        self.at(self.now + delay_s, action)

    def run(self, until: float) -> None:
        """Let everything happen that is planned up to `until` (s)."""
        plan = self._plan
        while plan and plan[0][0] <= until:
            self.now, _, action = heappop(plan)
            self.steps += 1
            action()
        self.now = max(self.now, until)


def generator(seed: int, *words: str) -> np.random.Generator:
    """The dice of one part of a world: what another part throws does not change them."""
    text = "\x00".join((str(seed), *words)).encode()
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(text).digest()[:16], "little")))
