"""From a description of the receiver to tables: which tags are a detector's, how late, and what a click means."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.link.sync.kernels import CELLS, CODES, REFUSED_ORDER, align_kernel
from poliqi.link.timetags.tags import KEY_BY_BIN, UNKNOWN, Tagging, Tags, check_tagging, code_table

__all__ = ["Aligner", "Filters", "gate_table"]

_EMPTY_AFTER: Final = 100_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What Bob leaves out, besides what falls outside his gates.

    `dead_s`: after any tag of any detector so much time is dead for all of them. A proof of security wants
    detection in a slot not to depend, basis by basis, on what came before; one detector that is blind while the
    others see breaks that, and a slot without any of them does not. It is no shorter than the slowest detector's
    own, of one pixel where a detector has several; 0 says that no detector has any. None: nobody said, which counts
    as 0 and is refused where photons are to become key (`check_stated`). `afterpulse_s`: the same for as long as a
    detector's own afterpulses may come; longer than `dead_s`, it takes its place.
    """

    dead_s: float | None = None
    afterpulse_s: float = 0.0

    @property
    def common_s(self) -> float:
        """How long all detectors are dead after any tag."""
        return max(self.dead_s or 0.0, self.afterpulse_s)

    def dead_slots(self, clock_hz: float) -> int:
        """Dead slots after the slot of a tag: a slot that is dead in part is dead."""
        return math.ceil(self.common_s * clock_hz - 1e-6)

    def check_stated(self) -> None:
        """DataRefused where nobody said what dead time the detectors have."""
        if self.dead_s is None:
            raise DataRefused(
                "tags: filters.dead_s is not stated, and these are photons: the proofs count on dead slots being "
                "removed in both bases. Give the slowest detector's dead time, or 0 if none has any (as gated ones "
                "that are ready in every gate)"
            )

    def check(self, clock_hz: float) -> None:
        """DataRefused for a time that cannot be meant."""
        for name, value in (("dead_s", self.dead_s or 0.0), ("afterpulse_s", self.afterpulse_s)):
            if not 0.0 <= value <= 0.1 or value * clock_hz > 1 << 30:
                raise DataRefused(f"tags: {name} is {value} s; must be 0 to 0.1, and below 2^30 slots")


def gate_table(tagging: Tagging) -> NDArray[np.int8]:
    """Outcome of a click of each kind in each cell of a slot, -1 outside the gates: int8 [CODES, CELLS].

    Light stands in the middle of its bin. With two bins a slot a test click counts in the late one; a key click of
    the one detector of a time-bin arm in either, which is its bit; of two detectors in either.
    """
    table = np.full((CODES, CELLS), -1, np.int8)
    middle = (np.arange(CELLS) + 0.5) / CELLS * tagging.bins
    bin_of, away = np.floor(middle), np.abs(middle % 1.0 - 0.5)
    width = 1.0 if tagging.gate_ps is None else tagging.gate_ps * tagging.bins / tagging.slot_ps
    inside = away <= width / 2.0
    late = bin_of == tagging.bins - 1
    for outcome in range(4):
        table[outcome, inside & (late | (outcome < 2))] = outcome
    table[KEY_BY_BIN, inside & ~late] = 0
    table[KEY_BY_BIN, inside & late] = 1
    return table


@dataclass(slots=True)
class Aligner:
    """Tags of detectors in the order of their light: delays off, other channels out; refuses what is out of order.

    `seen` int64 [256] counts all tags by channel.
    """

    tagging: Tagging
    seen: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    _last: int = 0
    _count: int = 0
    _codes: NDArray[np.uint8] = field(init=False, repr=False)
    _delays: NDArray[np.int64] = field(init=False, repr=False)
    _spread: int = field(init=False)
    _slowest: int = field(init=False)
    _held_times: NDArray[np.int64] = field(init=False, repr=False)
    _held_codes: NDArray[np.uint8] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_tagging(self.tagging)
        self._codes = code_table(self.tagging)
        self._delays = np.zeros(256, np.int64)
        lit = [c for c in self.tagging.channels if self._codes[c.number] < CODES]
        for channel in lit:
            self._delays[channel.number] = channel.delay_ps
        self._slowest = max(c.delay_ps for c in lit)
        self._spread = self._slowest - min(c.delay_ps for c in lit)
        self._held_times, self._held_codes = np.empty(0, np.int64), np.empty(0, np.uint8)

    def take(self, tags: Tags, *, last: bool = False) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Times and codes of these tags, those held back by the call before in front.

        Tags that a later one may still overtake wait, unless these are the `last`. DataRefused names a tag that
        comes before its predecessor or is of a channel without a meaning; nothing is taken then.
        """
        n = tags.times_ps.size
        if tags.times_ps.dtype != np.int64 or tags.channels.dtype != np.uint8 or tags.channels.shape != (n,):
            raise DataRefused(f"tags: need {n} int64 times and as many uint8 channels, got {tags.channels.shape}")
        held = self._held_times.size
        times, codes = np.empty(held + n, np.int64), np.empty(held + n, np.uint8)
        found = np.zeros(257, np.int64)
        wanted = (self._codes, self._delays, times[held:], codes[held:], found)
        kept = int(align_kernel(tags.times_ps, tags.channels, self._last, *wanted))
        if kept < 0:
            raise DataRefused(self._refusal(tags, kept, int(found[0])))
        self.seen += found[1:]
        self._count += n
        self._last = int(tags.times_ps[-1]) if n else self._last
        times[:held], codes[:held] = self._held_times, self._held_codes
        times, codes = times[: held + kept], codes[: held + kept]
        if held and kept and times[held] < times[held - 1]:
            order = np.argsort(times, kind="stable")
            times, codes = times[order], codes[order]
        whole = times.size if last else int(np.searchsorted(times, self._last - self._slowest))
        if self._spread == 0:
            whole = times.size
        self._held_times, self._held_codes = times[whole:].copy(), codes[whole:].copy()
        return times[:whole], codes[:whole]

    def check_arms(self) -> None:
        """Refuse an arm that gives nothing while the others do (DataRefused)."""
        total = int(self.seen[self._codes < CODES].sum())
        for channel in self.tagging.channels:
            if self._codes[channel.number] < CODES and total >= _EMPTY_AFTER and not self.seen[channel.number]:
                raise DataRefused(
                    f"empty arm: channel {channel.number} ({channel.meaning}) gave no tag among {total}; see that "
                    f"its detector is on and its cable in input {channel.number}"
                )

    def _refusal(self, tags: Tags, why: int, at: int) -> str:
        number, time = self._count + at, int(tags.times_ps[at])
        if why == REFUSED_ORDER:
            before = int(tags.times_ps[at - 1]) if at else self._last
            return (
                f"tags out of order: tag {number} is at {time} ps after one at {before} ps; sort them by time, or "
                f"let the tagger sort its channels"
            )
        known = ", ".join(map(str, np.flatnonzero(self._codes != UNKNOWN)[:16]))
        return (
            f"tags: tag {number} is of channel {tags.channels[at]}, which has no meaning; known: {known}. Name it "
            f"in the channel table (unused, if it is)"
        )
