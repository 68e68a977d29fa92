"""Drives one session over one connection: the only place where a session meets sockets, clock and disk.

Every step of the session that takes long runs in a worker thread (its kernels release the interpreter lock)
and is followed, in this order, by: marks made durable, output sent, events acted on. A step at a time; meanwhile
the next frame is read and the next block's light is gathered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple, assert_never

import numpy as np

from poliqi.base.errors import DataRefused, LinkDown, PoliqiError, ProtocolError
from poliqi.base.ids import Origin
from poliqi.base.jit import load_compiler
from poliqi.distill.outcome import Aborted, BlockBegun, BlockConfirmed, Event, Mark, Ready, StatesWanted
from poliqi.distill.session import Session
from poliqi.distill.sift import PackedDetections
from poliqi.edge.framing import FrameStream
from poliqi.link.device import Receiver, Transmitter
from poliqi.link.health import Health, SelfMeasuring

__all__ = ["Alice", "Bob", "drive"]

_HELLO_S: Final = 20.0
_CLOSE_S: Final = 5.0
_SHORT_FRAME: Final = 8192
_BRISK_S: Final = 2e-3  # the loop may stand still that long


class _Gathered(NamedTuple):
    """A block's light, and what its device measured of itself meanwhile."""

    detections: PackedDetections
    health: Health | None


def _health(device: object) -> Health | None:
    """A device whose readings fail, or are no numbers, is one that gives none: the monitor is for noticing that."""
    if not isinstance(device, SelfMeasuring):
        return None
    try:
        return device.health().sound()
    except PoliqiError:
        return None


class Alice:
    """Alice's side of a session's owner: her device answers for the slots that Bob names."""

    __slots__ = ("_before", "_device")

    def __init__(self, device: Transmitter) -> None:
        self._device = device
        self._before: Health | None = None

    def health(self) -> Health | None:
        """What the device measured of itself since it was asked last; None where it tells nothing.

        The light of a block passes her while the one before it is corrected, and a session may break in between: of
        the light that came back the larger of this window and the one before it counts, so that none is used up by
        a block that was dropped, or thinned by a pause.
        """
        now, before = _health(self._device), self._before
        self._before = now
        if now is None or before is None or now.back_light_w is None or before.back_light_w is None:
            return now
        return replace(now, back_light_w=max(now.back_light_w, before.back_light_w))

    async def act(self, session: Session, event: Event, now: Callable[[], float]) -> None:
        """React to an event."""
        if isinstance(event, Ready):
            _check_light(session, self._device.origin)
            self.health()  # the pause before a session is a window of its own
        if not isinstance(event, StatesWanted):
            return
        slots = event.slots

        def answer() -> None:
            try:
                states = np.concatenate(
                    [np.empty(0, np.uint8), *(self._device.states(part) for part in slots.parts())]
                )
            except DataRefused as error:
                session.close(f"my device has no states for the slots you name: {error}")
            else:
                session.provide_states(states, now())

        await asyncio.to_thread(answer)

    def waiting(self) -> asyncio.Task[_Gathered] | None:
        """What may wake the session besides a frame: nothing."""
        return None

    async def begin(self, session: Session, now: Callable[[], float]) -> None:
        """Never called: Alice waits for no light."""
        raise AssertionError(f"Alice begins no block at {now()} in {session}")


class Bob:
    """Bob's side: gathers the next block's light while the last one is distilled.

    `more()` says whether one more block shall begin. One object serves all sessions of a link in turn, so
    light that was gathered when a connection broke is not lost. `dark` says why no more light will come.
    """

    __slots__ = ("_device", "_gathering", "_health", "_idle", "_more", "_pulses", "dark")

    def __init__(self, device: Receiver, more: Callable[[], bool]) -> None:
        self._device = device
        self._more = more
        self._gathering: asyncio.Task[_Gathered] | None = None
        self._health: Health | None = None
        self._idle = False
        self._pulses = 0
        self.dark: str | None = None

    def health(self) -> Health | None:
        """What the device measured of itself while it gathered the block under way; None where it tells nothing."""
        return self._health

    async def act(self, session: Session, event: Event, now: Callable[[], float]) -> None:  # noqa: ARG002 (same face)
        """React to an event."""
        match event:
            case Ready() | BlockConfirmed() | Aborted(fatal=False):
                if _check_light(session, self._device.origin):
                    self._idle = True
                    self._gather(session)
            case BlockBegun():
                self._idle = False
                self._gather(session)
            case StatesWanted() | Aborted():
                self._idle = False
            case _:
                assert_never(event)

    def forget(self) -> None:
        """Let go of light that was gathered before now: the next block is made of what comes."""
        self._pulses = 0

    def _gather(self, session: Session) -> None:
        if session.contract is None or self.dark is not None or not self._more():
            return
        pulses = session.contract.pulses
        if self._gathering is None or pulses != self._pulses:
            self._pulses = pulses
            self._gathering = asyncio.create_task(self._detect(self._gathering, pulses))
            self._gathering.add_done_callback(_look_at)

    async def _detect(self, unwanted: asyncio.Task[_Gathered] | None, pulses: int) -> _Gathered:
        """The next `pulses` slots, after light of another length that nobody wants any more: one at a time."""
        if unwanted is not None:
            await asyncio.wait((unwanted,))

        def gather() -> _Gathered:
            seen = PackedDetections.of(self._device.detect(pulses))
            return _Gathered(seen, _health(self._device))

        return await asyncio.to_thread(gather)

    def waiting(self) -> asyncio.Task[_Gathered] | None:
        """The light being gathered, while the session has nothing else to do."""
        return self._gathering if self._idle else None

    async def begin(self, session: Session, now: Callable[[], float]) -> None:
        """Begin a block with the light that was gathered."""
        assert self._gathering is not None
        gathered, self._gathering, self._idle = self._gathering, None, False
        try:
            detections, self._health = gathered.result()
        except DataRefused as error:
            self.dark = str(error)
            session.close("the light has ended")
            return
        await asyncio.to_thread(lambda: session.begin_block(detections, now()))


def _check_light(session: Session, origin: Origin) -> bool:
    """End a session whose contract names other light than this end's own device gives."""
    contract = session.contract
    if contract is None or contract.origin is origin:
        return contract is not None
    session.close(f"the contract is for {contract.origin} light, this end's device gives {origin}")
    return False


def _look_at(task: asyncio.Task[_Gathered]) -> None:
    """Light that nobody waits for any more may have failed without a word."""
    if not task.cancelled():
        task.exception()


async def drive(
    session: Session,
    stream: FrameStream,
    owner: Alice | Bob,
    *,
    durable: Callable[[list[Mark]], None],
    observe: Callable[[Event], None],
    stopping: asyncio.Event,
) -> None:
    """Run the session until it ends, then close the connection.

    `durable` makes marks durable (`LinkStore.apply`); what it raises ends everything, with nothing sent.
    `observe` sees every event. Once `stopping` is set the session ends as soon as no block is under way.
    A broken connection ends the session as a fatal `Aborted`, like everything else.
    """
    load_compiler()
    try:
        await _Drive(session, stream, owner, durable, observe, stopping).run()
        try:
            await asyncio.wait_for(stream.close(), _CLOSE_S)
        except TimeoutError:
            stream.abort()
    except BaseException:
        stream.abort()
        raise


class _Drive:
    def __init__(
        self,
        session: Session,
        stream: FrameStream,
        owner: Alice | Bob,
        durable: Callable[[list[Mark]], None],
        observe: Callable[[Event], None],
        stopping: asyncio.Event,
    ) -> None:
        self._session: Final = session
        self._stream: Final = stream
        self._owner: Final = owner
        self._durable: Final = durable
        self._observe: Final = observe
        self._stopping: Final = stopping
        self._now: Final = asyncio.get_running_loop().time
        self._reading: asyncio.Task[bytes | None] | None = None
        self._ready = False
        self._in_block = False
        self._brisk = False
        self._hello_by: Final = self._now() + _HELLO_S

    async def run(self) -> None:
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await self._step(lambda: self._session.start(self._now()))
            while not self._session.finished:
                await self._turn(stop)
        finally:
            for task in (stop, self._reading):
                if task is not None:
                    task.cancel()
            await asyncio.gather(stop, *([self._reading] if self._reading else []), return_exceptions=True)

    async def _turn(self, stop: asyncio.Task[bool]) -> None:
        """Wait for whatever comes first and let the session take it."""
        if self._stopping.is_set() and not self._in_block:
            await self._step(lambda: self._session.close("this end is stopping"))
            return
        if self._reading is None:
            self._reading = asyncio.create_task(self._stream.read(lambda: self._session.frame_limit))
        light = self._owner.waiting()
        waiting = [task for task in (self._reading, light, None if stop.done() else stop) if task is not None]
        done, _ = await asyncio.wait(waiting, timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED)
        if self._reading in done:
            reading, self._reading = self._reading, None
            await self._take(reading)
        elif light is not None and light in done:
            await self._owner.begin(self._session, self._now)
            await self._settle()
        elif not self._ready and self._now() >= self._hello_by:
            await self._step(lambda: self._session.close(f"no hello within {_HELLO_S:g} s"))
        else:
            await self._step(lambda: self._session.tick(self._now()))

    def _patience(self) -> float | None:
        due = [t for t in (self._session.next_timeout(), None if self._ready else self._hello_by) if t is not None]
        return max(0.0, min(due) - self._now()) if due else None

    async def _take(self, reading: asyncio.Task[bytes | None]) -> None:
        try:
            frame = reading.result()
        except (LinkDown, ProtocolError) as error:
            reason = str(error)
            await self._step(lambda: self._session.close(reason))
            return
        if frame is None:
            await self._step(lambda: self._session.close("the peer closed the connection"))
        else:
            await self._hear(frame)

    async def _hear(self, frame: bytes) -> None:
        """A frame like the many short ones of a reconciliation is heard at once: a thread would cost more."""
        began = self._now()
        if self._brisk and len(frame) <= _SHORT_FRAME:
            self._session.receive(frame, began)
        else:
            await asyncio.to_thread(lambda: self._session.receive(frame, began))
        self._brisk = self._now() - began < _BRISK_S
        await self._settle()

    async def _step(self, action: Callable[[], None]) -> None:
        await asyncio.to_thread(action)
        await self._settle()

    async def _settle(self) -> None:
        """Marks, output, events; again for what acting on an event brought; then what can be done ahead."""
        while True:
            marks = self._session.take_marks()
            if marks:
                await asyncio.to_thread(self._durable, marks)
            frames = self._session.take_output()
            await self._send(frames)
            events = self._session.take_events()
            for event in events:
                self._note(event)
                self._observe(event)
                await self._owner.act(self._session, event, self._now)
            if marks or frames or events:
                continue
            if not self._session.has_work:
                return
            await asyncio.to_thread(lambda: self._session.work(self._now()))

    async def _send(self, frames: list[bytes]) -> None:
        if not frames:
            return
        try:
            await self._stream.write(frames)
        except PoliqiError as error:
            self._session.close(str(error))

    def _note(self, event: Event) -> None:
        match event:
            case Ready():
                self._ready = True
            case BlockBegun():
                self._in_block = True
            case BlockConfirmed() | Aborted():
                self._in_block = False
            case StatesWanted():
                pass
            case _:
                assert_never(event)
