"""Key streams (ETSI GS QKD 004) with their clock and their desk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, SaeId
from poliqi.base.secret import Entropy
from poliqi.edge.complaints import Complaints
from poliqi.edge.desk import KeyDesk
from poliqi.keys.etsi004 import TICK_S, Streams
from poliqi.keys.etsi004_messages import (
    Close,
    CloseReply,
    GetKey,
    GetKeyReply,
    OpenConnect,
    OpenConnectReply,
    Reply,
    Request,
    Status,
)
from poliqi.keys.etsi004_notices import NOTICE_KIND
from poliqi.keys.etsi004_table import Answer, FetchChunk, PlaceOrder, SendNotice, StreamSettings, VoidChunks
from poliqi.keys.requests import Outcome, Reason, Refused

__all__ = ["StreamService"]


class StreamService:
    """The key streams of a site, in a running event loop: `call` answers for whoever a server verified."""

    def __init__(
        self,
        desk: KeyDesk,
        entropy: Entropy,
        settings: StreamSettings | None = None,
        say: Complaints | None = None,
    ) -> None:
        self._desk: Final = desk
        self._core: Final = Streams(desk.kme_id, entropy, settings)
        self._complain: Final = say or Complaints(lambda _: None)
        self._calls: Final[dict[int, asyncio.Future[Reply]]] = {}
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._last_call = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_pumping = False
        self._is_closed = False
        desk.on_notice(NOTICE_KIND, self._heard)

    @property
    def count(self) -> int:
        """How many streams there are."""
        return self._core.count

    async def call(self, caller: SaeId, request: Request) -> Reply:
        """Answer one call. When the waiting task is cancelled, nothing is taken for it."""
        if self._is_closed:
            return _none(request)
        self._last_call += 1
        number, now = self._last_call, time.monotonic()
        future = self._calls[number] = asyncio.get_running_loop().create_future()
        try:
            match request:
                case OpenConnect():
                    self._open(number, caller, request, now)
                case GetKey():
                    self._core.get_key(number, caller, request, now)
                case Close():
                    self._core.close(number, caller, request, now)
            self._pump()
            return await future
        finally:
            del self._calls[number]
            if future.cancelled():
                self._core.cancel(number, time.monotonic())
                self._pump()

    def _open(self, number: int, caller: SaeId, asked: OpenConnect, now: float) -> None:
        other = asked.other_than(caller)
        report = Refused(Reason.NOT_PERMITTED, "") if other is None else self._desk.report(caller, other)
        self._core.open_connect(number, caller, asked, report, self._desk.limits(caller), now)

    def _heard(self, peer: KmeId, body: bytes) -> None:
        if self._is_closed:
            return
        try:
            self._core.heard(peer, body, time.monotonic())
        except ProtocolError as error:
            self._complain(f"notice from {peer} dropped: {error}")
        self._pump()

    def _pump(self) -> None:
        """Do what the core wants done; it may be told things meanwhile, and is asked again then."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while output := self._core.take_output():
                for action in output:
                    self._do(action)
        finally:
            self._is_pumping = False
        if self._timer is None and self._core.is_busy and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _do(self, action: Answer | PlaceOrder | FetchChunk | VoidChunks | SendNotice) -> None:
        match action:
            case Answer(call, reply):
                future = self._calls.get(call)
                if future is not None and not future.done():
                    future.set_result(reply)
            case SendNotice(peer, body):
                self._desk.notify(peer, NOTICE_KIND, body)
            case PlaceOrder():
                self._start(self._order(action))
            case FetchChunk():
                self._start(self._fetch(action))
            case VoidChunks():
                self._start(self._void(action))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._is_closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _order(self, action: PlaceOrder) -> None:
        outcome = await self._outcome(self._desk.order(action.order))
        self._core.ordered(action.job, outcome, time.monotonic())
        self._pump()

    async def _fetch(self, action: FetchChunk) -> None:
        outcome = await self._outcome(self._desk.fetch(action.caller, action.master, (action.key_id,)))
        self._core.fetched(action.job, outcome, time.monotonic())
        self._pump()

    async def _void(self, action: VoidChunks) -> None:
        await self._outcome(self._desk.void(action.master, (action.slave,), action.key_ids))

    async def _outcome(self, asked: Any) -> Outcome:
        try:
            return await asked
        except Exception as error:  # a stream must not hang on what broke elsewhere
            self._complain(f"key streams: the desk failed: {type(error).__name__}")
            return Refused(Reason.UNAVAILABLE, "the key management failed")

    def _tick(self) -> None:
        self._timer = None
        self._core.tick(time.monotonic())
        self._pump()

    async def close(self) -> None:
        """Wipe what waits here and answer no more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for future in list(self._calls.values()):
            future.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._core.stop()


def _none(request: Request) -> Reply:
    """There is no connection any more."""
    match request:
        case OpenConnect():
            return OpenConnectReply(Status.NO_CONNECTION, request.stream_id)
        case GetKey():
            return GetKeyReply(Status.NO_CONNECTION, request.index)
        case Close():
            return CloseReply(Status.NO_CONNECTION)
