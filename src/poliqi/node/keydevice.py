"""One end of a key device as a process: meets the other end again and again, feeds its site, stops when told."""

from __future__ import annotations

import asyncio
import resource
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError, KeyExhausted, LinkDown, ProtocolError
from poliqi.base.ids import Origin, Role
from poliqi.edge.devicestate import DeviceStore
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.framing import FrameStream
from poliqi.edge.ingest_light import tell_of_light
from poliqi.edge.ingest_sink import SiteSink
from poliqi.edge.memory import keep_freed_memory
from poliqi.edge.network import Address, Connector, Listener, Meeting
from poliqi.edge.sources.catalogue import Opener
from poliqi.keys.devices.judging import Judge, Memory
from poliqi.node.courier import MOST_WAITING_BYTES, Deliveries
from poliqi.node.devicefollow import Following
from poliqi.node.devicelead import Leading
from poliqi.node.devicelight import DeviceLight
from poliqi.node.devicetalk import Place, Progress, Terms
from poliqi.node.held_device import HeldDevice

__all__ = ["DeviceEnd", "DeviceSettings", "run_device"]

Say = Callable[[dict[str, Any]], None]

_RETRY_FIRST_S: Final = 0.25
_RETRY_MOST_S: Final = 5.0
_FRUITLESS_MOST_S: Final = 300.0
_DRY_S: Final = 120.0
_ROOM_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """What an end needs to run. Exactly one of `listen` and `connect`; `blocks` None means for ever."""

    opener: Opener
    state: Path
    site: Path
    terms: Terms
    listen: Address | None = None
    connect: Address | None = None
    blocks: int | None = None


def run_device(settings: DeviceSettings, say: Say) -> None:
    """Run one end until a signal, until its blocks are made, or until its pads are at their reserve.

    `say` gets a record for everything that happens. SIGTERM and SIGINT finish the block under way; a second one
    stops at once (KeyboardInterrupt). Raises ConfigError, StoreError, KeyExhausted.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_freed_memory()
    with closing(DeviceStore(settings.state, OperatingSystemEntropy())) as store:
        try:
            asyncio.run(_run_alone(DeviceEnd(settings, store, say)))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _run_alone(end: DeviceEnd) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.stop)
    await end.run()


class DeviceEnd:
    """The life of one end."""

    def __init__(self, settings: DeviceSettings, store: DeviceStore, say: Say) -> None:
        self._settings: Final = settings
        self._store: Final = store
        self._tell: Final = say
        self._began: Final = time.monotonic()
        self._stopping: Final = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._device: Final = HeldDevice(settings.opener)
        self._progress: Final = Progress()
        self._light: Final = DeviceLight(
            store.link.link_id,
            self._began,
            is_simulated=store.link.light is not Origin.PHOTONS,
            dry_s=_DRY_S + 2 * settings.terms.gather_s,
        )
        self._wait_s = 0.0

    def _say(self, event: str, text: str, **more: Any) -> None:
        elapsed = round(time.monotonic() - self._began, 3)
        self._tell({"event": event, "link": self._store.link.link_id, "time_s": elapsed, "text": text, **more})

    def stop(self) -> None:
        """Finish the block under way, then end; called again: end at once."""
        if self._stopping.is_set() and self._running is not None:
            self._running.cancel()
        self._stopping.set()

    async def run(self) -> None:
        """Until stopped. Raises KeyExhausted where the pads are at their reserve."""
        self._running = asyncio.current_task()
        s, link = self._settings, self._store.link
        meeting: Meeting = Connector(s.connect) if s.connect is not None else Listener(_listened(s))
        try:
            await self._open_device()
            address = await meeting.open()
        except BaseException:
            await self._device.close()
            raise
        verb = "connecting to" if s.connect is not None else "listening on"
        part = "leads" if link.role is Role.ALICE else "follows"
        self._say(verb.split()[0], f"{link.link_id}: this end {part}, {verb} {address}", address=str(address))
        sink = SiteSink(s.site, link.link_id, link.pair_id)
        deliveries = Deliveries(self._store, sink, self._say, MOST_WAITING_BYTES)
        carrying = asyncio.create_task(deliveries.run())
        carrying.add_done_callback(lambda _: self._stopping.set())
        telling = asyncio.create_task(tell_of_light(s.site, lambda: self._light.report(time.monotonic())))
        try:
            place = await self._place(deliveries)
            while not (self._stopping.is_set() or self._has_enough()):
                self._check_pads()
                if deliveries.is_full:
                    await self._wait_for_room(deliveries)
                else:
                    await self._once(meeting, place)
        except asyncio.CancelledError:
            deliveries.abort()
            raise
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            await meeting.close()
            await self._device.close()
            await deliveries.finish(carrying)
        left = deliveries.waiting_bytes
        text = f"; {left:,} bytes of key wait for the site" if left else ""
        self._say("stopped", f"stopped after {self._progress.blocks} blocks{text}", blocks=self._progress.blocks)

    async def _place(self, deliveries: Deliveries) -> Place:
        store = self._store
        memory = await asyncio.to_thread(lambda: Memory(store.salt, store.seen()))
        return Place(
            store=store,
            device=self._device,
            judge=Judge(memory),
            light=self._light,
            entropy=OperatingSystemEntropy(),
            terms=self._settings.terms,
            progress=self._progress,
            say=self._say,
            stored=deliveries.stored,
            is_full=lambda: deliveries.is_full,
            is_over=lambda: self._has_enough() or not self._store.totals().blocks_left,
            stopping=self._stopping,
        )

    def _has_enough(self) -> bool:
        wanted = self._settings.blocks
        return wanted is not None and self._progress.blocks >= wanted

    async def _open_device(self) -> None:
        """Settings that cannot work are found at once; a device that is away is tried again when it is needed."""
        try:
            self._say("opened", await self._device.open())
        except (LinkDown, ProtocolError) as error:
            self._light.device(str(error))
            self._say("device", f"{error}; it is tried again")

    def _check_pads(self) -> None:
        totals = self._store.totals()
        if not totals.blocks_left:
            text = (
                f"link {totals.link_id}: the pads are at their reserve, after {totals.blocks} blocks; keys of a "
                "device never refill them: pair both ends again, into new folders"
            )
            self._say("pad-low", text, blocks_left=0)
            raise KeyExhausted(text)

    async def _wait_for_room(self, deliveries: Deliveries) -> None:
        """Take no key while too much waits for the site."""
        self._light.fault(deliveries.why_full)
        self._say("full", deliveries.why_full, waiting_bytes=deliveries.waiting_bytes)
        while deliveries.is_full and not self._stopping.is_set():
            await self._pause(_ROOM_LOOK_S)

    # ---------------------------------------------------------------- connections

    async def _once(self, meeting: Meeting, place: Place) -> None:
        """One connection, from its beginning to its end; a pause where it brought nothing."""
        stream = await self._meet(meeting)
        if stream is None:
            return
        talk = (Leading if self._store.link.role is Role.ALICE else Following)(place, stream)
        why = "the connection ended"
        try:
            await talk.run()
        except (LinkDown, ProtocolError) as error:
            why = str(error)
        self._light.parted(why, time.monotonic())
        if self._stopping.is_set() or place.is_over():
            return
        if talk.blocks:
            self._wait_s = 0.0
        if self._store.link.role is Role.ALICE or talk.was_met:
            # every hello costs pad words: a line that brings no block must not drain them
            self._wait_s = min(max(2 * self._wait_s, _RETRY_FIRST_S), _FRUITLESS_MOST_S)
        self._say("link-down", f"{why}; trying again in {self._wait_s:g} s", retry_s=self._wait_s)
        if self._wait_s:
            await self._pause(self._wait_s)

    async def _meet(self, meeting: Meeting) -> FrameStream | None:
        """The next connection; None when stopping, or after a pause for an end that is not there."""
        meet = asyncio.create_task(meeting.next())
        stop = asyncio.create_task(self._stopping.wait())
        stream: FrameStream | None = None
        try:
            await asyncio.wait((meet, stop), return_when=asyncio.FIRST_COMPLETED)
            stream = meet.result() if meet.done() else None
            return stream
        except LinkDown as error:
            self._wait_s = min(max(2 * self._wait_s, _RETRY_FIRST_S), max(self._wait_s, _RETRY_MOST_S))
            self._light.parted(str(error), time.monotonic())
            self._say("link-down", f"{error}; trying again in {self._wait_s:g} s", retry_s=self._wait_s)
            await self._pause(self._wait_s)
            return None
        finally:
            meet.cancel()
            stop.cancel()
            came, _ = await asyncio.gather(meet, stop, return_exceptions=True)
            if isinstance(came, FrameStream) and came is not stream:
                came.abort()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


def _listened(settings: DeviceSettings) -> Address:
    if settings.listen is None or settings.connect is not None:
        raise ConfigError("give one of listen and connect: one end listens, the other connects")
    return settings.listen
