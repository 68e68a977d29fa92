"""What light that lies in a file looks like: rates, arrival, errors over time, tables of bases and intensities.

Two ways lead to it: tags with Alice's states, whose slots are found first, and a recording, whose slots are known.
Both run in memory that does not grow with the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.base.secret import Entropy
from poliqi.link.device import Detections
from poliqi.link.recording import Recording
from poliqi.link.sync.clock import Timeline
from poliqi.link.sync.count import Numbered, SlotCount
from poliqi.link.sync.gates import Aligner
from poliqi.link.sync.ingest import Counters, Events, Ingest
from poliqi.link.sync.offset import Offset
from poliqi.link.sync.recover import Arm, SyncSettings, arms_of
from poliqi.link.sync.window import SyncWindows
from poliqi.link.timetags.tags import Tagging, Tags, TagSource

__all__ = ["Clock", "Course", "Known", "Sync", "TagPass", "Tally", "survey_recording"]

_PLACES: Final = 256
_CELLS: Final = 64
_NO_TAGS: Final = (np.empty(0, np.int64), np.empty(0, np.uint8))
_STRETCH: Final = 1 << 20
_MOST_LINES: Final = 4096
_FEWEST_FOR_DRIFT: Final = 8

_Segment: TypeAlias = tuple[int, float, float]
"""Middle (ps), relative error of the stated clock, and length (ps) of a stretch of the light's clock."""


class Known(Protocol):
    """Alice's states of the slots from `first_slot` on, `slots` of them."""

    @property
    def first_slot(self) -> int: ...

    @property
    def slots(self) -> int: ...

    def states(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """As `Transmitter.states`."""
        ...


class Course:
    """Counts of so many kinds over time in at most 256 places, each twice as wide when there would be more."""

    def __init__(self, width: int, kinds: int) -> None:
        self.width = max(1, width)
        self._counts = np.zeros((_PLACES, kinds), np.int64)
        self.until = 0

    def add(self, at: NDArray[np.int64], kind: NDArray[np.uint8]) -> None:
        """Count these, at 0 or later, each of its kind."""
        if at.size == 0:
            return
        self.reach(int(at[-1]) + 1)
        place = at // self.width
        kinds = self._counts.shape[1]
        self._counts += np.bincount(place * kinds + kind, minlength=_PLACES * kinds).reshape(self._counts.shape)

    def reach(self, until: int) -> None:
        """Nothing is to come below `until`: silence counts too."""
        self.until = max(self.until, until)
        while self.until > _PLACES * self.width:
            self.width *= 2
            pairs = self._counts.reshape(_PLACES // 2, 2, -1).sum(axis=1)
            self._counts[:] = 0
            self._counts[: _PLACES // 2] = pairs

    @property
    def counts(self) -> NDArray[np.int64]:
        """The places that have begun, int64 [places, kinds]; the last one may be short."""
        return self._counts[: -(-self.until // self.width)]


class Tally:
    """Detections by what Alice prepared and what Bob read, over time."""

    def __init__(self, width_slots: int) -> None:
        self.course: Final = Course(width_slots, _CELLS)

    def add(self, slots: NDArray[np.int64], states: NDArray[np.uint8], outcomes: NDArray[np.uint8]) -> None:
        """Count these detections."""
        self.course.add(slots, states << np.uint8(2) | outcomes)

    @property
    def cells(self) -> NDArray[np.int64]:
        """Detections int64 [level 4, Alice's basis 2, her bit 2, Bob's basis 2, his bit 2]."""
        return self.course.counts.sum(axis=0).reshape(4, 2, 2, 2, 2)

    @property
    def bases(self) -> NDArray[np.int64]:
        """Detections int64 [Alice's basis, Bob's basis]."""
        return self.cells.sum(axis=(0, 2, 4))

    @property
    def sifted(self) -> NDArray[np.int64]:
        """Detections and errors in matching bases, int64 [level 4, basis 2, (detections, errors)]."""
        return _sifted(self.cells)

    @property
    def errors_over_time(self) -> NDArray[np.int64]:
        """Detections and errors of each place, int64 [places, basis 2, (detections, errors)]."""
        return _sifted(self.course.counts.reshape(-1, 4, 2, 2, 2, 2)).sum(axis=1)


@dataclass(frozen=True, slots=True)
class Clock:
    """The light's clock by the tagger: where slot 0 begins, and the relative error of Alice's stated clock.

    `drift_per_s` is the change of that error in a second, with its standard deviation `drift_sigma`; None where the
    tags do not last long enough to tell.
    """

    start_ps: int
    error: float
    drift_per_s: float | None = None
    drift_sigma: float | None = None


@dataclass(frozen=True, slots=True)
class Sync:
    """How the slots were found. `course`: times (s) and relative clock errors, for a drawing."""

    clock: Clock
    offset: Offset
    arms: tuple[Arm, ...]
    course: tuple[tuple[float, float], ...] = field(repr=False)


class TagPass:
    """One pass over tags: finds the slots, counts, and hands out detections with Alice's states.

    After `run` has ended: `seen` int64 [256] tags by channel, `first_ps` and `last_ps` their times, `rates` their
    course (picoseconds, by channel), `tally` the detections, those of the public window among them, `counters` what
    the receiver saw, `sync` how the slots were found. `beyond` counts detections outside Alice's states.
    """

    def __init__(
        self,
        source: TagSource,
        known: Known,
        settings: SyncSettings,
        windows: SyncWindows,
        entropy: Entropy,
        watch: Callable[[int], None] = lambda _tags: None,
    ) -> None:
        tagging = source.tagging
        if known.first_slot > 0 or known.slots < windows.length:
            held = f"slots {known.first_slot} to {known.first_slot + known.slots - 1} are known"
            raise DataRefused(
                f"states: {held}, the synchronisation window is 0 to {windows.length - 1}; give a shorter "
                f"window, or states from slot 0 on"
            )
        self._source: Final = source
        self._tagging: Final[Tagging] = tagging
        self._known: Final = known
        self._windows: Final = windows
        self._watch: Final = watch
        self._aligner: Final = Aligner(tagging)
        self._count: Final = SlotCount(tagging, settings, windows, self._published)
        self._ingest: Final = Ingest(tagging, settings.filters, entropy)
        self._lines: list[_Segment] = []
        self._start: Clock | None = None
        self._arms: tuple[Arm, ...] = ()
        self.first_ps = self.last_ps = self.beyond = 0
        self.rates: Final = Course(10**9, 256)
        self.tally: Final = Tally(round(tagging.clock_hz / 1e3))

    @property
    def seen(self) -> NDArray[np.int64]:
        return self._aligner.seen

    @property
    def counters(self) -> Counters:
        return self._ingest.counters()

    def run(self) -> Iterator[tuple[Detections, NDArray[np.uint8]]]:
        """Detections of slots 0 on, each stretch with Alice's states of its slots, none of a public window.

        Raises DataRefused where the tags cannot be used or no slot can be found.
        """
        done = 0
        last = min(self._known.first_slot + self._known.slots, 1 << 62)
        waiting = Events(*_NO_TAGS)
        ended = False
        while not ended:
            chunk = self._source.read()
            ended = chunk is None
            final = done
            for events, until in self._events(chunk):
                slots = np.concatenate([waiting.slots, events.slots])
                waiting = Events(slots, np.concatenate([waiting.outcomes, events.outcomes]))
                final = max(final, min(until, last))
            if final > done:
                cut = int(np.searchsorted(waiting.slots, final))
                ready = Events(waiting.slots[:cut], waiting.outcomes[:cut])
                waiting = Events(waiting.slots[cut:], waiting.outcomes[cut:])
                yield self._counted(ready, done, final)
                done = final
            if done == last:  # what lies beyond the states is counted, not kept
                self.beyond += waiting.slots.size
                waiting = Events(*_NO_TAGS)
        self.beyond += waiting.slots.size

    @property
    def sync(self) -> Sync:
        """How the slots were found; DataRefused before they were."""
        if self._start is None or self._count.offset is None:
            raise DataRefused(f"tags: no slot was found: {self._count.dark}")
        at = np.array([time for time, _, _ in self._lines]) / 1e12
        error = np.array([value for _, value, _ in self._lines])
        weight = np.array([length for _, _, length in self._lines])
        mean = float(np.average(error, weights=weight))
        drift, sigma = _slope(at, error, weight) if at.size >= _FEWEST_FOR_DRIFT else (None, None)
        step = max(1, at.size // _PLACES)
        course = tuple(zip(at[::step].tolist(), error[::step].tolist(), strict=True))
        clock = Clock(self._start.start_ps, mean, drift, sigma)
        return Sync(clock, self._count.offset, self._arms, course)

    def _events(self, chunk: Tags | None) -> Iterator[tuple[Events, int]]:
        """Events of one chunk, each with the slot below which no more will come."""
        if chunk is not None:
            self.rates.add(chunk.times_ps, chunk.channels)
            self.first_ps = self.first_ps if self.last_ps else int(chunk.times_ps[0])
            self.last_ps = int(chunk.times_ps[-1])
            self._watch(chunk.times_ps.size)
        times, codes = self._aligner.take(chunk or Tags(*_NO_TAGS), last=chunk is None)
        if chunk is None:
            self._aligner.check_arms()
        until = 0
        for part in self._count.take(times, codes, last=chunk is None):
            self._follow(part)
            events = self._ingest.take(part.times, part.codes, part.line)
            until = int(part.line.slot[-1])
            yield _from_zero(events), self._ingest.under_way(until)
        if chunk is None:
            if self._count.dark:
                raise DataRefused(f"tags: {self._count.dark}; gather more, or see that light comes")
            events = self._ingest.finish()
            yield _from_zero(events), max(until, int(events.slots[-1]) + 1 if events.slots.size else 0)

    def _follow(self, part: Numbered) -> None:
        line = part.line
        if part.anew:
            self._ingest.forget()
            if self._start is None:
                self._arms = arms_of(part.times, part.codes, line, self._tagging)
                self._start = Clock(line.time_of(0), 0.0)
        self._lines += _errors(line, self._tagging.clock_hz)
        while len(self._lines) > _MOST_LINES:
            self._lines = [_mean(*pair) for pair in zip(self._lines[::2], self._lines[1::2], strict=False)]

    def _published(self, first_slot: int, count: int) -> NDArray[np.uint8]:
        return self._known.states(np.arange(first_slot, first_slot + count, dtype=np.int64))

    def _counted(self, events: Events, first: int, end: int) -> tuple[Detections, NDArray[np.uint8]]:
        states = self._known.states(events.slots)
        self.tally.add(events.slots, states, events.outcomes)
        self.tally.course.reach(end)
        private = ~self._windows.held(events.slots)
        found = Detections(first, end - first, events.slots[private], events.outcomes[private])
        return found, states[private]


def survey_recording(recording: Recording) -> Tally:
    """The tally of a recording; its times are its slots where it does not tell its clock."""
    tally = Tally(max(1, recording.pulses // _PLACES + 1))
    for start in range(0, recording.slots.size, _STRETCH):
        part = slice(start, start + _STRETCH)
        tally.add(recording.slots[part], recording.states[part], recording.outcomes[part])
    tally.course.reach(recording.pulses)
    return tally


def _sifted(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """[..., basis, (detections, errors)] of [..., basis, bit, basis, bit]."""
    same = np.stack([cells[..., basis, :, basis, :] for basis in (0, 1)], axis=-3)
    wrong = same[..., 0, 1] + same[..., 1, 0]
    return np.stack([same.sum(axis=(-2, -1)), wrong], axis=-1)


def _errors(line: Timeline, clock_hz: float) -> list[_Segment]:
    middle = (line.at_ps[1:] + line.at_ps[:-1]) // 2
    off = 1.0 / (line.rate * (1e12 / clock_hz)) - 1.0
    length = np.diff(line.at_ps).astype(np.float64)
    return list(zip(middle.tolist(), off.tolist(), length.tolist(), strict=True))


def _slope(at: NDArray[np.float64], value: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
    """The weighted straight line's slope and its standard deviation, by the points' own scatter about it."""
    away = at - float(np.average(at, weights=weight))
    off = value - float(np.average(value, weights=weight))
    lever = float((weight * away**2).sum())
    slope = float((weight * away * off).sum()) / lever
    scatter = float((weight**2 * away**2 * (off - slope * away) ** 2).sum())
    return slope, scatter**0.5 / lever


def _mean(one: _Segment, other: _Segment) -> _Segment:
    length = one[2] + other[2]
    share = other[2] / length
    return round(one[0] + share * (other[0] - one[0])), one[1] + share * (other[1] - one[1]), length


def _from_zero(events: Events) -> Events:
    first = int(np.searchsorted(events.slots, 0))
    return Events(events.slots[first:], events.outcomes[first:])
