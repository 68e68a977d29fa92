"""A receiver made of time tags: satisfies `poliqi.link.device.Receiver` and `Watched`, and measures itself."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.base.secret import Entropy
from poliqi.link.device import Condition, Detections
from poliqi.link.health import Health
from poliqi.link.sync.count import Numbered, SlotCount
from poliqi.link.sync.gates import Aligner, gate_table
from poliqi.link.sync.ingest import Events, Ingest
from poliqi.link.sync.readings import Reading, background_per_slot, health_between
from poliqi.link.sync.recover import SyncSettings
from poliqi.link.sync.rows import Agreement
from poliqi.link.sync.window import Published, SyncWindows
from poliqi.link.timetags.tags import Tags, TagSource

__all__ = ["TagReceiver"]

_TOSSES: Final = 4.0
"""A window's score below this many standard deviations, with enough clicks to reach `_CLEAR`, is no agreement."""
_CLEAR: Final = 10.0
_NOISE_S: Final = 1e-3
"""Light over which the background is measured, at least."""
_NO_TAGS: Final = (np.empty(0, np.int64), np.empty(0, np.uint8))


class TagReceiver:
    """Bob's end over a source of tags. Slots count from Alice's slot 0; those of windows are never detected.

    `entropy` settles double clicks. A `detect` takes as long as its light does; a count of slots that came into
    doubt is found again in the next window, and until then nothing is detected. Of photons (`origin`) the common
    dead time must be stated in `settings.filters`, else DataRefused.
    """

    def __init__(
        self,
        source: TagSource,
        published: Published,
        windows: SyncWindows,
        entropy: Entropy,
        *,
        origin: Origin,
        settings: SyncSettings | None = None,
        first_slot: int = 0,
    ) -> None:
        settings = settings or SyncSettings()
        if origin is Origin.PHOTONS:
            settings.filters.check_stated()
        tagging = source.tagging
        self._source: Final = source
        self._origin: Final = origin
        self._published: Final = published
        self._windows: Final = windows
        self._bins: Final = tagging.bins
        self._slot_ps: Final = tagging.slot_ps
        self._gate: Final = gate_table(tagging)
        self._aligner: Final = Aligner(tagging)
        self._count: Final = SlotCount(tagging, settings, windows, published)
        self._ingest: Final = Ingest(tagging, settings.filters, entropy)
        self._waiting: list[Events] = []
        self._known = max(first_slot, windows.length)
        """Slots below this have been seen, or will never be."""
        self._next = self._known
        self._went_by = 0
        self._open: list[Events] = []
        self._reading = self._read_health = Reading(0, self._ingest.counters())
        self._noise: float | None = None
        self._noise_from = self._reading
        self._noise_slots: Final = _NOISE_S * tagging.clock_hz
        self._condition = Condition(self._count.dark)
        self._closed = False
        self._ended = False

    @property
    def origin(self) -> Origin:
        return self._origin

    @property
    def condition(self) -> Condition:
        return self._condition

    @property
    def next_slot(self) -> int:
        """The slot that the next call of `detect` starts at."""
        return self._next

    def detect(self, pulses: int) -> Detections:
        """The detections of the next `pulses` slots.

        Raises DataRefused where the tags end before (nothing is consumed then), where they cannot be used, and
        where the count of slots is lost for good.
        """
        if pulses < 1:
            raise DataRefused(f"tags: {pulses} pulses asked, must be at least 1")
        end = self._next + pulses
        while self._known < end:
            self._more(end)
        found = _together(self._waiting)
        cut = int(np.searchsorted(found.slots, end))
        self._waiting = [Events(found.slots[cut:], found.outcomes[cut:])]
        first, self._next = self._next, end
        return Detections(first, pulses, found.slots[:cut], found.outcomes[:cut])

    def health(self) -> Health:
        """Readings since the call before."""
        now, before = self._reading, self._read_health
        self._read_health = now
        return health_between(before, now, self._gate, self._bins, self._slot_ps)

    def close(self) -> None:
        """End a `detect` that waits, and let go of the source."""
        self._closed = True
        self._source.close()

    def _more(self, end: int) -> None:
        """Read one chunk and bring it as far as it goes."""
        if self._ended:
            self._count.take(*_NO_TAGS)  # says why the count was lost, if it was
            raise DataRefused(
                f"tags: they end before slot {end}; {max(0, self._known - self._next)} slots are left. Ask for "
                f"fewer, or record longer"
            )
        chunk = None if self._closed else self._source.read()
        if self._closed:
            raise DataRefused("tags: the device is closed")
        self._ended = chunk is None
        times, codes = self._aligner.take(chunk or Tags(*_NO_TAGS), last=self._ended)
        self._aligner.check_arms()
        was_dark = bool(self._count.dark)
        try:
            for part in self._count.take(times, codes, last=self._ended):
                if not self._number(part):
                    break
            if self._ended and not self._count.dark:
                self._release(self._ingest.finish(), self._went_by)
        finally:
            self._tell(changed=was_dark != bool(self._count.dark))

    def _number(self, part: Numbered) -> bool:
        """Take in what has a number; False: the count has come into doubt."""
        if part.anew:
            self._ingest.forget()
            self._open.clear()
        events = self._ingest.take(part.times, part.codes, part.line)
        frontier = int(part.line.slot[-1])
        why = self._check_windows(events, frontier)
        if why:
            self._count.doubt(why)
            return False
        self._went_by = max(self._went_by, frontier)
        self._release(events, min(self._ingest.under_way(frontier), frontier))
        return True

    def _release(self, events: Events, final: int) -> None:
        """Events of private slots are there to be detected; slots below `final` will get no more of them."""
        if self._some_public(events) or (events.slots.size and events.slots[0] < self._known):
            fresh = (events.slots >= self._known) & ~self._windows.held(events.slots)
            events = Events(events.slots[fresh], events.outcomes[fresh])
        self._waiting.append(events)
        self._known = max(self._known, final)

    def _some_public(self, events: Events) -> bool:
        """Whether a window reaches into where these events lie."""
        slots = events.slots
        return bool(slots.size) and self._windows.touch(int(slots[0]), int(slots[-1]) + 1)

    def _check_windows(self, events: Events, frontier: int) -> str:
        """Compare each window that has gone by with what Alice published; the reason for doubt, if there is one."""
        if self._some_public(events):
            public = self._windows.held(events.slots)
            self._open.append(Events(events.slots[public], events.outcomes[public]))
        while self._open:
            seen = _together(self._open)
            every = self._windows.every
            start = 0 if every is None else int(seen.slots[0]) // every * every
            end = start + self._windows.length
            if end >= frontier:
                return ""
            cut = int(np.searchsorted(seen.slots, end))
            rest = Events(seen.slots[cut:], seen.outcomes[cut:])
            self._open = [rest] if rest.slots.size else []
            states = self._published(start, self._windows.length)
            fits = _agree(Events(seen.slots[:cut], seen.outcomes[:cut]), states, start)
            if sum(fits.matched) > _CLEAR**2 and fits.score < _TOSSES:
                return (
                    f"in the window at slot {start} {sum(fits.wrong)} of {sum(fits.matched)} bits are wrong: the "
                    f"count of slots is not right any more"
                )
        return ""

    def _tell(self, *, changed: bool) -> None:
        """Publish what other threads may ask for: whole objects, never changed again."""
        self._reading = Reading(self._went_by, self._ingest.counters())
        if self._reading.slots - self._noise_from.slots > self._noise_slots:
            reading = self._noise_from, self._reading
            self._noise = background_per_slot(*reading, self._gate, self._bins)
            self._noise_from = self._reading
        dark = self._count.dark
        self._condition = Condition(dark, self._noise, self._condition.changes + int(changed))


def _agree(events: Events, states: NDArray[np.uint8], first_slot: int) -> Agreement:
    """How events fit the published states of slots from `first_slot` on."""
    state = states[events.slots - first_slot]
    basis = events.outcomes >> 1
    fits = basis == (state >> 1 & 1)
    wrong = fits & ((events.outcomes ^ state) & 1 == 1)
    return Agreement(
        (int(np.count_nonzero(fits & (basis == 0))), int(np.count_nonzero(fits & (basis == 1)))),
        (int(np.count_nonzero(wrong & (basis == 0))), int(np.count_nonzero(wrong & (basis == 1)))),
    )


def _together(parts: list[Events]) -> Events:
    if len(parts) == 1:
        return parts[0]
    return Events(
        np.concatenate([np.empty(0, np.int64), *(p.slots for p in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(p.outcomes for p in parts)]),
    )
