"""The count of slots as tags come: sought, held, checked in every window, lost and found again.

Nothing is handed out by a count that has not been found in a window since the last time that it was in doubt. What
was seen in between is dropped: to the session it looks like loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.link.sync.clock import FEWEST_TAGS, MANY_TAGS, Timeline, find_clock, look_for_clock
from poliqi.link.sync.offset import Offset
from poliqi.link.sync.recover import SyncSettings, arms_of, seek_slots
from poliqi.link.sync.tracking import Tracker
from poliqi.link.sync.window import Published, SyncWindows
from poliqi.link.timetags.tags import Tagging

__all__ = ["Numbered", "SlotCount"]

Times = NDArray[np.int64]
Codes = NDArray[np.uint8]

_PATIENCE_PS: Final = 20_000_000_000_000
_SHORTEST_PS: Final = 4_000_000_000
_AT_LEAST: Final = 4096
_SIGMAS: Final = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """Tags of detectors and the line on which they stand by Alice's count; `anew`: the count was just found."""

    times: Times
    codes: Codes
    line: Timeline
    anew: bool


class SlotCount:
    """From tags to numbered tags. `dark` says why the count is not held, empty while it is."""

    def __init__(
        self, tagging: Tagging, settings: SyncSettings, windows: SyncWindows, published: Published
    ) -> None:
        settings.check()
        self._tagging: Final = tagging
        self._settings: Final = settings
        self._windows: Final = windows
        self._published: Final = published
        self._times, self._codes = np.empty(0, np.int64), np.empty(0, np.uint8)
        self._tracker: Tracker | None = None
        self._kept: list[tuple[Times, Codes, Timeline]] = []
        self._window = 0
        self._expected_ps = settings.start_ps
        self._unsure_s = settings.uncertainty_s
        self._old: tuple[Timeline, Tracker] | None = None
        self._held = False
        self._found_once = False
        self._failure: DataRefused | None = None
        self._try_at = _AT_LEAST
        self.dark = "the light's clock is not found yet"
        self.offset: Offset | None = None
        self.losses = 0

    def take(self, times: Times, codes: Codes, *, last: bool = False) -> list[Numbered]:
        """What of these tags, and of those before, can be numbered now.

        Raises DataRefused by name where a count cannot be had: no periodic signal, no offset, swapped channels, or
        a count that was lost with no window left to find it in; after what could still be numbered was.
        """
        if self._failure is not None:
            raise self._failure
        self._times = np.concatenate([self._times, times]) if self._times.size else times
        self._codes = np.concatenate([self._codes, codes]) if self._codes.size else codes
        done: list[Numbered] = []
        try:
            self._advance(done, last=last)
        except DataRefused as error:
            self._failure = error
            if not done:
                raise
        return done

    def _advance(self, done: list[Numbered], *, last: bool) -> None:
        while self._times.size:
            if self._tracker is None and not self._lock(last=last):
                break
            before = self._times.size
            self._follow(done, last=last)
            if self._times.size == before:
                break
        if last and not self._held and self._kept:
            self._seek(done, ended=True)

    def doubt(self, why: str) -> None:
        """The count is not to be believed any more: seek it in the next window. DataRefused where none comes."""
        if self._tracker is None:
            return
        self._tracker, self._held, self.dark = None, False, why
        self._kept.clear()
        self.losses += 1
        if self._found_once and self._windows.every is None:
            raise DataRefused(
                f"the count of slots is lost: {why}. There is no further synchronisation window to find it in; "
                f"start the link anew, or let Alice publish windows at intervals"
            )

    def _lock(self, *, last: bool) -> bool:
        """Find the clock in the tags at hand; False: more are needed."""
        size, span = self._times.size, int(self._times[-1] - self._times[0])
        if not last and (size < self._try_at or span < _SHORTEST_PS):
            return False
        search = self._tagging.clock_hz, self._tagging.bins, self._settings.most_off
        patient = not last and size < MANY_TAGS and span < _PATIENCE_PS
        sure = size >= FEWEST_TAGS and look_for_clock(self._times, *search)[1]
        if sure or not (self._found_once or patient):
            tone = find_clock(self._times, *search)
            self._tracker = Tracker(tone, self._tagging.bins, self._settings.wander)
            self._drop(int(np.searchsorted(self._times, tone.from_ps)))
            self._try_at = _AT_LEAST
            self._aim(tone.rate)
            return True
        if patient:
            self._try_at = 2 * size
        else:
            self._drop(size if last else size // 2)
        return False

    def _aim(self, rate: float) -> None:
        """Which window to seek the count in: the first that begins surely after the tags at hand do."""
        settings, now = self._settings, int(self._times[0])
        unsure_s = settings.uncertainty_s
        if self._old is None:
            slot = math.floor((now - settings.start_ps) * rate - unsure_s * self._tagging.clock_hz)
            if slot <= 0 or self._windows.every is None:
                return  # the light may have begun with slot 0
            slot += 2 * math.ceil(unsure_s * self._tagging.clock_hz)
        else:
            line, tracker = self._old
            gap = max(0, now - int(line.at_ps[-1]))
            unsure_s += _SIGMAS * tracker.sigma_after(gap) / self._tagging.clock_hz
            slot = line.at(now)[0] + math.ceil(unsure_s * self._tagging.clock_hz)
        window = self._windows.first_from(slot)
        assert window is not None  # `doubt` refused to go on without
        self._window, self._unsure_s = window, unsure_s
        start_ps = settings.start_ps + round(window / rate)
        self._expected_ps = start_ps if self._old is None else self._old[0].time_of(window)

    def _follow(self, done: list[Numbered], *, last: bool) -> None:
        tracker = self._tracker
        assert tracker is not None
        tracking = tracker.follow(self._times, last=last)
        if tracking.line is not None:
            piece = self._times[: tracking.tags], self._codes[: tracking.tags], tracking.line
            if self._held:
                done.append(Numbered(*piece, anew=False))
                self._old = tracking.line, tracker
            else:
                self._kept.append(piece)
        self._drop(tracking.tags)
        if tracking.line is not None and not self._held:
            self._seek(done, ended=False)
        if tracking.lost:
            self._drop(min(self._times.size, _AT_LEAST // 4))  # what could not be followed once
            self.doubt(tracking.lost)

    def _seek(self, done: list[Numbered], *, ended: bool) -> None:
        """Once the window has gone by, find its offset and number all that was kept."""
        unsure = round(self._unsure_s * 1e12)
        length = round(self._windows.length * self._tagging.slot_ps * (1.0 + 2.0 * self._settings.most_off))
        while len(self._kept) > 1 and self._kept[0][2].at_ps[-1] < self._expected_ps - unsure:
            self._kept.pop(0)
        if not ended and int(self._kept[-1][2].at_ps[-1]) < self._expected_ps + unsure + length:
            return
        lines = [line for _, _, line in self._kept]
        line = lines[0] if len(lines) == 1 else _joined(lines)
        times, codes = (np.concatenate(part) for part in zip(*((t, c) for t, c, _ in self._kept), strict=True))
        if not self._found_once:
            arms_of(times, codes, line, self._tagging)
        states = self._published(self._window, self._windows.length)
        settings = replace(self._settings, start_ps=self._expected_ps, uncertainty_s=self._unsure_s)
        try:
            self.offset = seek_slots(times, codes, line, self._tagging, states, settings)
        except DataRefused as error:
            if not self._found_once or ended:
                raise
            self.doubt(f"the window at slot {self._window} did not tell the count: {error}")
            return
        bins = self._tagging.bins
        turns = self._window * bins - self.offset.bins
        slots, part = turns // bins, (turns % bins) / bins
        assert self._tracker is not None
        self._tracker.renumber(slots, part)
        moved = line.moved(slots, part)
        self._kept.clear()
        self._held, self._found_once, self.dark = True, True, ""
        self._old = moved, self._tracker
        done.append(Numbered(times, codes, moved, anew=True))

    def _drop(self, tags: int) -> None:
        self._times, self._codes = self._times[tags:], self._codes[tags:]


def _joined(lines: list[Timeline]) -> Timeline:
    """One line of several that follow each other: the end of each is the beginning of the next."""
    first = lines[0]
    return Timeline(
        np.concatenate([first.at_ps, *(line.at_ps[1:] for line in lines[1:])]),
        np.concatenate([first.slot, *(line.slot[1:] for line in lines[1:])]),
        np.concatenate([first.fraction, *(line.fraction[1:] for line in lines[1:])]),
        np.concatenate([line.rate for line in lines]),
    )
