"""Notifications as server-sent events (RFC 8040, section 6): many listeners, each with a short queue of its own.

Who reads too slowly for its queue is cut off, and learns by that that something was missed; nothing is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

__all__ = ["EventStream"]

_QUEUE: Final = 256
_MOST: Final = 64
_MOST_OF_ONE: Final = 8
_ALIVE_S: Final = 15.0
_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class EventStream:
    """One stream. `alive_s`: a comment is sent when nothing else was for so long, so that no proxy hangs up."""

    def __init__(self, alive_s: float = _ALIVE_S, most: int = _MOST, most_of_one: int = _MOST_OF_ONE) -> None:
        self._alive_s: Final = alive_s
        self._most: Final = most
        self._most_of_one: Final = most_of_one
        self._queues: Final[dict[asyncio.Queue[bytes | None], str]] = {}
        self._is_closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._queues)

    def has_room(self, caller: str) -> bool:
        """Whether one more of this caller's may listen."""
        of_one = sum(name == caller for name in self._queues.values())
        return not self._is_closed and len(self._queues) < self._most and of_one < self._most_of_one

    def publish(self, event_time: str, member: str, content: object) -> None:
        """Tell every listener of a notification `member` ("module:name"). `event_time` as in RFC 3339."""
        if not self._queues:
            return
        message = {"ietf-restconf:notification": {"eventTime": event_time, member: content}}
        data = b"data: %b\n\n" % msgspec.json.encode(message)
        for queue in list(self._queues):
            if queue.qsize() >= _QUEUE:
                self._end(queue)
            else:
                queue.put_nowait(data)

    def _end(self, queue: asyncio.Queue[bytes | None]) -> None:
        """Send this listener nothing more but the end."""
        self._queues.pop(queue, None)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def close(self) -> None:
        """End all that listen, and take no more."""
        self._is_closed = True
        for queue in list(self._queues):
            self._end(queue)

    async def serve(self, caller: str, receive: Receive, send: Send) -> None:
        """Send events until the listener is gone or cut off. Ask `has_room` before."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._queues[queue] = caller
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            data: bytes | None = b": listening\n\n"
            while data is not None:
                await send({"type": "http.response.body", "body": data, "more_body": True})
                data = await self._next(queue, gone)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._queues.pop(queue, None)
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _next(self, queue: asyncio.Queue[bytes | None], gone: asyncio.Future[None]) -> bytes | None:
        """The next thing to send; None where that is the end."""
        event = asyncio.ensure_future(queue.get())
        try:
            await asyncio.wait((event, gone), timeout=self._alive_s, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                return None
            return event.result() if event.done() else b": still here\n\n"
        finally:
            event.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
