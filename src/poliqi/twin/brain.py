"""The controller's process in a twin, with its log, its allocations and its book of alarms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId
from poliqi.control.alarms import AlarmBook
from poliqi.control.allocation import AllocationProblem, allocate
from poliqi.control.city import City
from poliqi.control.controller import Controller
from poliqi.control.events import CityEvent, Language, event_line
from poliqi.control.view import CityView
from poliqi.twin.clock import Clock
from poliqi.twin.invariants import Watch
from poliqi.twin.marked import stretch
from poliqi.twin.network import Network, Stream

__all__ = ["Brain"]

_WALL_NS: Final = 1_750_000_000_000_000_000
_WRITE_S: Final = 2e-3
_LEAST_TICK_S: Final = 1e-3
_FINE_S: Final = 1.0
"""Ticks that are further apart come at their pace, whatever is due in between."""
_PLAN_S: Final = 0.05
"""How long an allocation takes: the time of its thread is not part of a twin."""


class Brain:
    """One controller through all its starts; its log outlives them. `on_events` gets what it and its book say."""

    def __init__(
        self,
        name: str,
        city: City,
        seed: int,
        clock: Clock,
        network: Network,
        watch: Watch,
        on_events: Callable[[str, list[CityEvent]], None],
        tick_s: float,
    ) -> None:
        self.name: str = name
        self.city = city
        self.log: list[bytes] = []
        self.is_alive = False
        self.starts = 0
        self.core: Controller
        self.book: AlarmBook
        self._seed: Final = seed
        self._clock: Final = clock
        self._network: Final = network
        self._watch: Final = watch
        self._on_events: Final = on_events
        self._tick_s: Final = tick_s
        self._streams: Final[dict[KmeId, Stream]] = {}
        self._is_writing = self._is_planning = False

    def start(self) -> None:
        """Start on the log as it is."""
        self.starts += 1
        now = self._clock.now
        instance = stretch(f"{self._seed}/{self.name}/{self.starts}", 8).hex()
        self.core = Controller(self.city, KmeId("controller"), instance, tuple(self.log), now, self._wall())
        self.book = AlarmBook(self.city)
        self._is_writing = self._is_planning = False
        self.is_alive = True
        self._turn()
        self._clock.after(0.0, partial(self._tick, self.starts))

    def kill(self) -> None:
        """End the process; what is not in the log is forgotten."""
        if self.is_alive:
            self.is_alive = False
            self._streams.clear()
            self._network.lose(self, is_noticed=True, patience_s=5.0)

    def _wall(self) -> int:
        return _WALL_NS + round(self._clock.now * 1e9)

    # ---------------------------------------------------------------- streams

    def began(self, stream: Stream) -> None:
        """An agent calls."""
        if not self.is_alive:
            return
        site = KmeId(stream.other(self).name)
        before = self._streams.get(site)
        self._streams[site] = stream
        if before is not None:
            before.close(self)
        stream.number[self.name] = self.core.connected(site, self._clock.now)
        self._turn()

    def heard(self, stream: Stream, frame: bytes) -> None:
        """An agent says something."""
        site = KmeId(stream.other(self).name)
        if self._streams.get(site) is not stream:
            return
        try:
            self.core.received(site, stream.number[self.name], frame, self._clock.now, self._wall())
        except ProtocolError:
            stream.close(self)
        self._turn()

    def ended(self, stream: Stream) -> None:
        """An agent's stream is over."""
        site = KmeId(stream.other(self).name)
        if self.is_alive and stream.number.get(self.name) is not None:
            if self._streams.get(site) is stream:
                del self._streams[site]
            self.core.disconnected(site, stream.number[self.name], self._clock.now)
            self._turn()

    # ---------------------------------------------------------------- the owner's part

    def _turn(self) -> None:
        """What the core decided is in the log before any site hears of it."""
        if not self._is_planning:
            problem = self.core.take_problem()
            if problem is not None:
                self._is_planning = True
                self._clock.after(_PLAN_S, partial(self._planned, self.starts, problem))
        if not self._is_writing:
            records, frames = self.core.take_records(), self.core.take_frames()
            if records:
                self._is_writing = True
                self._clock.after(_WRITE_S, partial(self._written, self.starts, records, frames))
            else:
                self._send(frames)
        events = self.core.take_events()
        if events:
            self._heed(events)

    def _planned(self, start: int, problem: AllocationProblem) -> None:
        if start != self.starts or not self.is_alive:
            return
        self._is_planning = False
        self.core.planned(allocate(problem), self._clock.now)
        self._turn()

    def _written(self, start: int, records: list[bytes], frames: dict[KmeId, list[bytes]]) -> None:
        if start != self.starts or not self.is_alive:
            return
        self._is_writing = False
        for record in records:
            self._watch.told(record, "the controller's log")
        self.log.extend(records)
        self._send(frames)
        self._turn()

    def _send(self, frames: dict[KmeId, list[bytes]]) -> None:
        for site, listed in frames.items():
            stream = self._streams.get(site)
            for frame in listed:
                self._watch.told(frame, f"what the controller tells {site}")
                if stream is not None:
                    stream.send(self, frame)

    def _heed(self, events: list[CityEvent]) -> None:
        now = self._clock.now
        for event in events:
            self._watch.told(event_line(event, Language.ENGLISH).encode(), "an event")
            self.book.heed(event, now)
        self._on_events(self.name, events)

    # ---------------------------------------------------------------- time

    def _tick(self, start: int) -> None:
        if start != self.starts or not self.is_alive:
            return
        now = self._clock.now
        for site in self.core.tick(now, self._wall()):
            stream = self._streams.get(site)
            if stream is not None:
                stream.close(self)
        self._turn()
        raised = self.book.tick(now)
        if raised:
            for event in raised:
                self._watch.told(event_line(event, Language.ENGLISH).encode(), "an alarm")
            self._on_events(self.name, raised)
        due = now + self._tick_s
        if self._tick_s <= _FINE_S:
            due = min(self.core.next_timeout(now), self.book.next_timeout(now), now + 1.0)
        self._clock.after(max(_LEAST_TICK_S, due - now), partial(self._tick, start))

    def view(self) -> CityView:
        """The city as the controller sees it, looked through for key."""
        view = self.core.view(self._clock.now)
        self._watch.told(msgspec.json.encode(view, enc_hook=_plain, order="deterministic"), "the view of the city")
        return view


def _plain(value: object) -> object:
    """What JSON has no word for."""
    if isinstance(value, frozenset | set):
        return sorted(str(one) for one in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)
