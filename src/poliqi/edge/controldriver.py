"""Drives the controller's core: agents' streams, the clock, the log's writer, the allocation's thread.

What the core decides is in the log before any site hears of it. An allocation is worked out beside the loop, so
that a city with many sites never holds up a report.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from poliqi.base.errors import PoliqiError, ProtocolError
from poliqi.base.ids import KmeId
from poliqi.control.allocation import Allocation, AllocationProblem, allocate
from poliqi.control.controller import Controller
from poliqi.control.events import CityEvent
from poliqi.control.view import CityView
from poliqi.edge.controllog import ControlLog
from poliqi.edge.peerstream import PeerStream

__all__ = ["ControlDriver"]


class ControlDriver:
    """One controller in a running event loop.

    `on_events` gets what happened, in order; `on_failure` the reason when the log fails: the controller gives no
    orders after that, and the sites go on with what they have.
    """

    def __init__(
        self,
        controller: Controller,
        log: ControlLog,
        on_events: Callable[[list[CityEvent]], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._core: Final = controller
        self._log: Final = log
        self._on_events: Final = on_events
        self._on_failure: Final = on_failure
        self._loop: Final = asyncio.get_running_loop()
        self._writer: Final = ThreadPoolExecutor(1, thread_name_prefix="city-log")
        self._planner: Final = ThreadPoolExecutor(1, thread_name_prefix="allocation")
        self._streams: Final[dict[KmeId, PeerStream]] = {}
        self._is_due = self._is_writing = self._is_planning = self._is_closed = False
        self._ticker: asyncio.TimerHandle | None = None
        self.failure = ""

    @property
    def core(self) -> Controller:
        """The core, for commands; `kick` after each."""
        return self._core

    def view(self) -> CityView:
        """The city as it is."""
        return self._core.view(self._loop.time())

    def start(self) -> None:
        """Let time pass."""
        self._tick()

    async def serve(self, stream: PeerStream) -> None:
        """Serve one agent's stream until it ends; a newer stream of the same site takes its place."""
        site = stream.peer
        before = self._streams.get(site)
        if before is not None:
            before.abort()
        self._streams[site] = stream
        number = self._core.connected(site, self._loop.time())
        self.kick()
        try:
            while (frame := await stream.read()) is not None:
                self._core.received(site, number, frame, self._loop.time(), time.time_ns())
                self.kick()
        finally:
            if self._streams.get(site) is stream:
                del self._streams[site]
            self._core.disconnected(site, number, self._loop.time())
            self.kick()

    def kick(self) -> None:
        """Something happened: see to it at the end of this turn of the loop."""
        if not self._is_due and not self._is_closed:
            self._is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_due = False
        if self._is_closed:
            return
        try:
            self._take_turn()
        except Exception as error:  # fail closed: a controller that stopped in the middle of a turn must not go on
            cause = str(error) if isinstance(error, PoliqiError) else f"{type(error).__name__}: {error}"
            self._fail(f"the controller failed: {cause}")

    def _take_turn(self) -> None:
        if not self._is_planning and not self.failure:
            problem = self._core.take_problem()
            if problem is not None:
                self._is_planning = True
                self._loop.run_in_executor(self._planner, allocate, problem).add_done_callback(
                    lambda done: self._planned(problem, done)
                )
        if not self._is_writing and not self.failure:
            records, frames = self._core.take_records(), self._core.take_frames()
            if records:
                self._is_writing = True
                writing = self._loop.run_in_executor(self._writer, self._log.append, records, time.time_ns())
                writing.add_done_callback(lambda done: self._written(done, frames))
            else:
                self._send(frames)
        events = self._core.take_events()
        if events:
            self._on_events(events)

    def _planned(self, _problem: AllocationProblem, done: asyncio.Future[Allocation]) -> None:
        self._is_planning = False
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._fail(f"the allocation failed: {type(error).__name__}: {error}")
        elif not done.cancelled():
            self._core.planned(done.result(), self._loop.time())
            self.kick()

    def _written(self, done: asyncio.Future[None], frames: dict[KmeId, list[bytes]]) -> None:
        self._is_writing = False
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._fail(str(error) if isinstance(error, PoliqiError) else f"the log failed: {type(error).__name__}")
            return
        self._send(frames)
        self.kick()

    def _send(self, frames: dict[KmeId, list[bytes]]) -> None:
        for site, listed in frames.items():
            stream = self._streams.get(site)
            if stream is not None:
                for frame in listed:
                    stream.send(frame)

    def _fail(self, reason: str) -> None:
        """Give no orders any more; the sites' agents notice and go on alone."""
        if self.failure:
            return
        self.failure = reason
        for stream in list(self._streams.values()):
            stream.abort()
        self._on_failure(reason)

    def _tick(self) -> None:
        if self._is_closed or self.failure:
            return
        now = self._loop.time()
        try:
            silent = self._core.tick(now, time.time_ns())
        except Exception as error:  # fail closed, as above
            self._fail(f"the controller failed: {type(error).__name__}: {error}")
            return
        for site in silent:
            stream = self._streams.get(site)
            if stream is not None:
                stream.abort(ProtocolError(f"the agent of {site} is silent"))
        self.kick()
        self._ticker = self._loop.call_at(self._core.next_timeout(now), self._tick)

    async def close(self) -> None:
        """Write what is left, then stop."""
        if self._ticker is not None:
            self._ticker.cancel()
        while self._is_writing:
            await asyncio.sleep(0.001)
        self._is_closed = True
        records = self._core.take_records()
        if records and not self.failure:
            await self._loop.run_in_executor(self._writer, self._log.append, records, time.time_ns())
        self._writer.shutdown(wait=True)
        self._planner.shutdown(wait=False, cancel_futures=True)
        self._log.close()
