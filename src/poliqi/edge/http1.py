"""HTTP/1.1 connections that call an ASGI application, for services of a site: small requests, known callers.

llhttp (by httptools) parses. A request is read whole, within a size and a time, before the application hears of
it, so no handler ever waits for a sender; requests of one connection are answered one at a time, in order.
`scope["state"]["caller"]` is whom the connection's certificate speaks for, found once for each connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol, cast, runtime_checkable
from urllib.parse import unquote

import httptools

from poliqi.edge.asgi import STATUS_LINES, Application, Exchange
from poliqi.edge.complaints import Complaints
from poliqi.edge.identity import Caller, identify

__all__ = ["HttpConnection", "HttpLimits", "HttpService", "SwiftApplication"]

_ASGI: Final = {"version": "3.0", "spec_version": "2.4"}
_NEVER: Final = float("inf")
_READ_BYTES: Final = 64 << 10
_MOST_FRAMING: Final = 8  # a body of one-byte chunks is six times as long on the wire
_TOO_MUCH: Final = (413, 431)
_BROKEN: Final = 500
_LINGER_S: Final = 1.0
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one caller may take. `request_s`: from a request's first byte to its last; `idle_s`: between them."""

    head_bytes: int = 16 << 10
    body_bytes: int = 64 << 10
    request_s: float = 10.0
    idle_s: float = 75.0
    handshake_s: float = 10.0
    connections: int = 12_000
    connections_of_one: int = 2_000
    tick_s: float = 1.0


@runtime_checkable
class SwiftApplication(Protocol):
    """An application that answers its most usual requests without a task for each."""

    def swift(
        self, path: bytes, query: bytes, caller: Caller | None, answer: Callable[[int, bytes], None]
    ) -> asyncio.Future[Any] | None:
        """Take a GET, or None: ask in the usual way.

        `answer` is called once, after this call, with a status and all that follows the status line and the date;
        status 0 breaks the connection. Who cancels what is returned wants no answer any more.
        """
        ...


class _SwiftExchange:
    """A request that a swift application took."""

    __slots__ = ("_connection", "_is_lost", "keeps", "status", "task")

    def __init__(self, connection: HttpConnection) -> None:
        self._connection: Final = connection
        self._is_lost = False
        self.keeps = True
        self.status = 0
        self.task: asyncio.Future[Any] | None = None

    def lose(self) -> None:
        """The connection is gone: nothing more is sent."""
        self._is_lost = True

    def answer(self, status: int, rest: bytes) -> None:
        """Send the answer, whole."""
        connection = self._connection
        if status and not self._is_lost:
            self.keeps = status != _BROKEN and not connection.is_draining
            if status == _BROKEN:
                connection.complain("a request failed inside")
            self.status = -1
            close = b"" if self.keeps else b"connection: close\r\n"
            connection.write(b"".join((STATUS_LINES[status], connection.date, close, rest)))
        connection.finish(self)


@dataclass(slots=True)
class HttpService:
    """What the connections of one listener share.

    `refuses` tells whether a caller's certificate has ended; `objection`, why a new caller with this certificate is
    turned away, or nothing.
    """

    application: Application
    limits: HttpLimits
    complain: Complaints
    refuses: Callable[[Caller], bool]
    objection: Callable[[Caller | None, bytes], str]
    swift: SwiftApplication | None = None
    date: bytes = b""
    is_draining: bool = False
    held: int = 0
    """Connections now, those in their handshake included."""
    requests: int = 0
    refused: int = 0
    """Connections that were turned away or failed their handshake."""
    open: set[HttpConnection] = field(default_factory=lambda: set[HttpConnection]())
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(_READ_BYTES)))
    """What is read at a time, by whichever connection's turn it is: each read is parsed before the next one."""
    running: set[Exchange | _SwiftExchange] = field(default_factory=lambda: set[Exchange | _SwiftExchange]())
    callers: dict[str, int] = field(default_factory=dict[str, int])

    def admit(self, caller: Caller) -> bool:
        """Count a connection of this caller; False where it has enough."""
        count = self.callers.get(caller.name, 0)
        if count >= self.limits.connections_of_one:
            return False
        self.callers[caller.name] = count + 1
        return True

    def release(self, caller: Caller) -> None:
        """A connection of this caller has ended."""
        self.callers[caller.name] -= 1
        if not self.callers[caller.name]:
            del self.callers[caller.name]


class HttpConnection(asyncio.BufferedProtocol):
    """One connection, from the end of its handshake on. `deadline` is when it is closed unless something comes."""

    __slots__ = (
        "_body",
        "_bytes",
        "_close_after",
        "_exchange",
        "_head_is_whole",
        "_headers",
        "_hosts",
        "_is_receiving",
        "_loop",
        "_parser",
        "_queue",
        "_refusal",
        "_scheme",
        "_service",
        "_url",
        "_writable",
        "caller",
        "client",
        "deadline",
        "server",
        "transport",
    )

    def __init__(self, service: HttpService, loop: asyncio.AbstractEventLoop) -> None:
        self._service: Final = service
        self._loop: Final = loop
        self._parser: Final = httptools.HttpRequestParser(self)
        self._queue: Final[deque[Exchange]] = deque()
        self._exchange: Exchange | _SwiftExchange | None = None
        self._writable: asyncio.Future[None] | None = None
        self._close_after = False
        self._refusal = 0
        self._bytes = 0
        self._head_is_whole = True
        self._is_receiving = False
        self.caller: Caller | None = None
        self.deadline = _NEVER

    # ---- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.client = _address(transport.get_extra_info("peername"))
        self.server = _address(transport.get_extra_info("sockname"))
        self.deadline = self._loop.time() + self._service.limits.idle_s
        self._scheme = "http" if transport.get_extra_info("ssl_object") is None else "https"
        certificate = self.certificate
        if certificate:
            caller = identify(certificate)
            objection = self._service.objection(caller, certificate)
            if not objection and caller is not None and not self._service.admit(caller):
                objection = f"too many connections of {caller.name}"
            if objection:
                self._service.refused += 1
                self._service.complain(f"{self.client[0]}: {objection}", known=True)
                self.transport.abort()
                return
            self.caller = caller
        self._service.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the event loop calls it so
        self._service.held -= 1
        if self.caller is not None:
            self._service.release(self.caller)
        self._service.open.discard(self)
        self._queue.clear()
        self.resume_writing()
        if self._exchange is not None:
            self._exchange.lose()

    def pause_writing(self) -> None:
        self.deadline = self._loop.time() + self._service.limits.request_s
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        waiting, self._writable = self._writable, None
        if self._exchange is not None:
            self.deadline = _NEVER
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # the event loop calls it so
        return self._service.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._refusal or self.transport.is_closing():
            return
        was_receiving = self._is_receiving
        try:
            self._parser.feed_data(self._service.buffer[:nbytes])
        except httptools.HttpParserUpgrade:
            self._close_after = True
        except httptools.HttpParserError:
            self._refusal = self._refusal or 400
        if was_receiving and self._is_receiving:
            self._bytes += nbytes
            limits = self._service.limits
            if not self._head_is_whole and self._bytes > limits.head_bytes:
                self._refusal = 431
            elif self._bytes > limits.head_bytes + _MOST_FRAMING * limits.body_bytes:
                self._refusal = 413
        if self._refusal:
            self._refuse()
        elif self._queue and self._exchange is not None:
            self.transport.pause_reading()

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self._bytes = 0
        self._hosts = 0
        self._head_is_whole = False
        self._is_receiving = True
        if self._exchange is None and not self._queue:
            self.deadline = self._loop.time() + self._service.limits.request_s

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        if self._head_is_whole:
            return  # a trailer: it says nothing that we act on
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._head_is_whole = True
        limits = self._service.limits
        size = len(self._url) + sum(len(name) + len(value) for name, value in self._headers)
        if size > limits.head_bytes:
            self._refusal = self._refusal or 431
        elif self._hosts != 1 and self._parser.get_http_version() == "1.1":
            self._refusal = self._refusal or 400
        for name, value in self._headers:
            if name == b"content-length" and int(value) > limits.body_bytes:
                self._refusal = self._refusal or 413
            elif name == b"expect" and value.lower() == b"100-continue" and not self._refusal:
                self.transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        if len(self._body) + len(body) > self._service.limits.body_bytes:
            self._refusal = self._refusal or 413
        if not self._refusal:
            self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        self._is_receiving = False
        if self._refusal or self._close_after:
            return
        path, _, query = self._url.partition(b"?")
        if not path.startswith(b"/"):
            path = _path_of(path)
            if path is None:
                self._refusal = 400
                return
        version = self._parser.get_http_version()
        method = self._parser.get_method()
        keeps = version == "1.1" and self._parser.should_keep_alive()
        if method == b"GET" and keeps and not self._body and self._take_swiftly(path, query):
            return
        text = path.decode("latin-1")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": method.decode("ascii"),
            "scheme": self._scheme,
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self.client,
            "server": self.server,
            "state": {"caller": self.caller},
        }
        self._queue.append(Exchange(self, scope, self._body, keeps))
        if self._exchange is None:
            self._next()

    # ---- requests and their answers

    def _next(self) -> None:
        self.deadline = _NEVER
        self._exchange = exchange = self._queue.popleft()
        self._service.running.add(exchange)
        exchange.task = self._loop.create_task(exchange.run(self._service.application))

    def _take_swiftly(self, path: bytes, query: bytes) -> bool:
        """Have a swift application take a request that waits for no other; False where it must go the usual way."""
        service = self._service
        if service.swift is None or self._exchange is not None or self._queue or self.transport.is_closing():
            return False
        exchange = _SwiftExchange(self)
        exchange.task = service.swift.swift(path, query, self.caller, exchange.answer)
        if exchange.task is None:
            return False
        self.deadline = _NEVER
        self._exchange = exchange
        service.running.add(exchange)
        return True

    def finish(self, exchange: _SwiftExchange) -> None:
        """Go on once what was written is on its way."""
        if self._writable is None:
            self.done(exchange)
        else:
            self._writable.add_done_callback(lambda _: self.done(exchange))

    def done(self, exchange: Exchange | _SwiftExchange) -> None:
        """An answer is out; go on with what waits."""
        self._exchange = None
        self._service.running.discard(exchange)
        self._service.requests += 1
        if self.transport.is_closing():
            return
        caller = self.caller
        if exchange.status >= 0:
            self.transport.abort()
        elif not exchange.keeps or self._close_after or (caller is not None and self._service.refuses(caller)):
            self._close()
        elif self._queue:
            self._next()
        elif self._refusal:
            self._refuse()
        else:
            limits = self._service.limits
            self.deadline = self._loop.time() + (limits.request_s if self._is_receiving else limits.idle_s)
            if not self.transport.is_reading():
                self.transport.resume_reading()

    def _refuse(self) -> None:
        """Answer what is no request that we take, after the answers that are still due, and hang up."""
        if self._exchange is not None:
            self.transport.pause_reading()
            return
        phrase = HTTPStatus(self._refusal).phrase
        self.complain(f"request refused: {self._refusal} {phrase}")
        body = b'{"message": "%s"}' % phrase.encode()
        head = b"content-type: application/json\r\ncache-control: no-store\r\nconnection: close\r\n"
        line = STATUS_LINES[self._refusal]
        self.transport.write(b"%bcontent-length: %d\r\n%b\r\n%b" % (line, len(body), head, body))
        if self._is_receiving and self._refusal in _TOO_MUCH:
            self.deadline = self._loop.time() + _LINGER_S  # a reset now could overtake the answer
            if not self.transport.is_reading():
                self.transport.resume_reading()
        else:
            self._close()

    def _close(self) -> None:
        """Close once everything is on its way, or after a while."""
        self.deadline = self._loop.time() + self._service.limits.request_s
        self.transport.close()

    def hang_up(self) -> None:
        """Close after the answer that is under way, at once where there is none."""
        if self._exchange is None:
            self._close()
        else:
            self._close_after = True

    @property
    def certificate(self) -> bytes:
        """The caller's, as the handshake verified it (DER); nothing where there is none."""
        secured = self.transport.get_extra_info("ssl_object")
        return b"" if secured is None else secured.getpeercert(True) or b""

    @property
    def is_draining(self) -> bool:
        """True where the answer under way is the last."""
        return self._close_after or self._service.is_draining

    @property
    def date(self) -> bytes:
        """The Date header line."""
        return self._service.date

    def complain(self, text: str) -> None:
        """Say something about this connection."""
        self._service.complain(f"{self.client[0]}: {text}", known=self.caller is not None)

    @property
    def is_full(self) -> bool:
        """True where the peer takes less than it is sent."""
        return self._writable is not None

    def write(self, data: bytes) -> None:
        """Send a part of an answer."""
        self.transport.write(data)

    async def drained(self) -> None:
        """Wait until what was written is on its way."""
        if self._writable is not None:
            await self._writable


def _address(name: Any) -> tuple[str, int]:
    parts = cast("tuple[Any, ...]", name) if isinstance(name, tuple) else ("", 0)
    return str(parts[0]), int(parts[1])


def _path_of(target: bytes) -> bytes | None:
    """The path of a target in absolute form (RFC 9112, section 3.2.2)."""
    try:
        parsed = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return None
    return parsed.path or b"/" if parsed.schema in (b"https", b"http") else None
