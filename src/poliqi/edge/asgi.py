"""One HTTP request and its answer as ASGI 3 sees them: the body is whole before the application hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, Protocol

__all__ = ["STATUS_LINES", "Application", "Channel", "Exchange"]

Application = Callable[
    [
        dict[str, Any],
        Callable[[], Awaitable[dict[str, Any]]],
        Callable[[dict[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]

STATUS_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class Channel(Protocol):
    """The connection as one exchange sees it."""

    @property
    def is_draining(self) -> bool: ...
    @property
    def is_full(self) -> bool: ...
    @property
    def date(self) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    async def drained(self) -> None: ...
    def complain(self, text: str) -> None: ...
    def done(self, exchange: Exchange) -> None: ...


class Exchange:
    """One request and its answer, as ASGI sees them."""

    __slots__ = (
        "_body",
        "_channel",
        "_gone",
        "_head",
        "_is_begun",
        "_is_chunked",
        "_lost",
        "_scope",
        "keeps",
        "status",
        "task",
    )

    def __init__(self, channel: Channel, scope: dict[str, Any], body: bytes, keeps: bool) -> None:
        self._channel: Final = channel
        self._scope: Final = scope
        self._body: bytes | None = body
        self._head: list[tuple[bytes, bytes]] = []
        self._gone: asyncio.Future[None] | None = None
        self._lost = False
        self._is_begun = False
        self._is_chunked = False
        self.keeps = keeps
        self.status = 0
        self.task: asyncio.Task[None] | None = None

    async def run(self, application: Application) -> None:
        """Have the application answer; `status` is -1 once the answer is whole."""
        try:
            await application(self._scope, self.receive, self.send)
        except Exception as error:  # whatever a handler raises, its caller learns nothing of it
            if self._lost and isinstance(error, OSError):
                return
            self._channel.complain(f"a request failed inside: {type(error).__name__}")
            if not self._is_begun:
                await self._make_up()
        finally:
            self._channel.done(self)

    async def _make_up(self) -> None:
        self.status, self._head, self.keeps = 500, [(b"content-type", b"application/json")], False
        await self.send({"type": "http.response.body", "body": b'{"message": "Internal Server Error"}'})

    async def receive(self) -> dict[str, Any]:
        """The whole body, then, once the connection is lost, that."""
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        if not self._lost and self.status >= 0:
            self._gone = asyncio.get_running_loop().create_future()
            await self._gone
        return {"type": "http.disconnect"}

    def lose(self) -> None:
        """The connection is gone: nothing more is sent."""
        self._lost = True
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    async def send(self, message: dict[str, Any]) -> None:
        """Send a head or a part of the body. A whole answer leaves in one piece.

        Raises OSError once the connection is lost (ASGI 2.4), so that an endless answer ends.
        """
        if self._lost:
            raise ConnectionResetError("whoever asked is gone")
        if message["type"] == "http.response.start":
            self.status, self._head = message["status"], list(message.get("headers", ()))
            return
        if self.status <= 0:
            raise RuntimeError("the application sent a body where none was due")
        body, more = message.get("body", b""), message.get("more_body", False)
        has_body = self._scope["method"] != "HEAD" and self.status not in (204, 304)
        if not self._is_begun:
            self._is_begun = True
            data = self._start(body, more, has_body)
        elif self._is_chunked and has_body:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        else:
            data = body if has_body else b""
        if not more:
            data += b"0\r\n\r\n" if self._is_chunked and has_body else b""
            self.status = -1
        self._channel.write(data)
        if more or self._channel.is_full:
            await self._channel.drained()

    def _start(self, body: bytes, more: bool, has_body: bool) -> bytes:
        """The head and the first part of the body."""
        head, self._head = self._head, []
        lines = [STATUS_LINES[self.status], self._channel.date]
        sized = False
        for name, value in head:
            lines += (name, b": ", value, b"\r\n")
            sized = sized or name.lower() == b"content-length"
        if not sized and more:
            self._is_chunked = self._scope["http_version"] == "1.1"
            self.keeps = self.keeps and self._is_chunked
            lines.append(b"transfer-encoding: chunked\r\n" if self._is_chunked else b"")
        elif not sized:
            lines.append(b"content-length: %d\r\n" % len(body))
        if not self.keeps or self._channel.is_draining:
            self.keeps = False
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if has_body:
            lines.append(b"%x\r\n%b\r\n" % (len(body), body) if self._is_chunked and body else body)
        return b"".join(lines)
