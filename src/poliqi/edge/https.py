"""HTTPS servers inside a running event loop: several in one process, reloaded and drained without losing a request.

Every listener accepts by itself, so that connections in their handshake count, and each new connection is met with
the newest certificates. Plain HTTP is served on loopback addresses only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from contextlib import suppress
from email.utils import formatdate
from typing import Final, Self

from poliqi.base.errors import ConfigError
from poliqi.edge.asgi import Application
from poliqi.edge.complaints import Complaints
from poliqi.edge.handover import take_over
from poliqi.edge.http1 import HttpConnection, HttpLimits, HttpService, SwiftApplication
from poliqi.edge.identity import Caller
from poliqi.edge.network import Address
from poliqi.edge.tls import ServerCredentials, TlsFiles, handshake_failure, load_credentials

__all__ = ["HttpsServer"]

_BACKLOG: Final = 1024
_BREATH_S: Final = 0.1
_GRACE_S: Final = 0.5
_SILENT_S: Final = 60


class HttpsServer:
    """One application behind one address. `tls` None: plain HTTP, on loopback only.

    `start` opens it, `reload` takes new certificates and lists, `drain` ends it gracefully, `close` at once.
    """

    def __init__(
        self,
        application: Application,
        address: Address,
        tls: TlsFiles | None,
        limits: HttpLimits | None = None,
        say: Complaints | None = None,
    ) -> None:
        self._tls = tls
        self._address: Final = address
        self._limits: Final = limits or HttpLimits()
        self._complain: Final = say or Complaints(lambda _: None)
        self._service: Final = HttpService(
            application,
            self._limits,
            self._complain,
            self._refuses,
            self._objection,
            application if isinstance(application, SwiftApplication) else None,
        )
        self._credentials: ServerCredentials | None = None
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshakes: set[asyncio.Task[None]] = set()

    @property
    def listeners(self) -> tuple[socket.socket, ...]:
        """The sockets that it listens on."""
        return tuple(self._listeners)

    @property
    def connections(self) -> int:
        """How many are open now, those in their handshake included."""
        return self._service.held

    @property
    def requests(self) -> int:
        """How many were answered."""
        return self._service.requests

    @property
    def refused(self) -> int:
        """Connections that were turned away or failed their handshake."""
        return self._service.refused

    async def start(self) -> Address:
        """Listen; the address with its real port. Raises ConfigError."""
        self.reload()
        loop = asyncio.get_running_loop()
        a = self._address
        try:
            found = await loop.getaddrinfo(a.host, a.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            places = list(dict.fromkeys((family, name[:2]) for family, _, _, _, name in found))
            for family, place in places if a.port else places[:1]:
                self._listeners.append(self._listen(family, str(place[0]), int(place[1])))
        except OSError as error:
            self._close_listeners()
            raise ConfigError(f"cannot listen on {a}: {error.strerror or error}; choose another address") from error
        except BaseException:
            self._close_listeners()
            raise
        self._tick()
        self._tasks = {loop.create_task(self._accept(listener)) for listener in self._listeners}
        self._tasks.add(loop.create_task(self._watch()))
        return Address(a.host, self._listeners[0].getsockname()[1])

    def _listen(self, family: int, host: str, port: int) -> socket.socket:
        if self._tls is None and not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            raise ConfigError(f"{self._address} is no loopback address: serve it with TLS, or listen on 127.0.0.1")
        left = take_over(family, host, port)
        if left is not None:
            left.setblocking(False)
            return left
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, port))
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def reload(self, tls: TlsFiles | None = None) -> None:
        """Meet new connections with the files as they are now, or with others (plain HTTP stays so); close those
        whose certificate is no longer believed.

        Raises ConfigError where a file cannot be used; what was in force stays in force then.
        """
        if self._tls is None:
            return
        self._credentials = load_credentials(tls or self._tls)
        self._tls = tls or self._tls
        self._hang_up_refused()
        for connection in list(self._service.open):
            objection = self._credentials.vouchers.objection(connection.caller, connection.certificate)
            if objection:
                self._complain(f"{connection.client[0]}: closed: {objection}", known=True)
                connection.hang_up()

    def _objection(self, caller: Caller | None, certificate: bytes) -> str:
        """Why a new caller is turned away, or nothing."""
        assert self._credentials is not None
        if caller is not None and self._refuses(caller):
            return f"certificate of {caller.name} was revoked or expired"
        return self._credentials.vouchers.objection(caller, certificate)

    def _refuses(self, caller: Caller) -> bool:
        revoked = self._credentials is not None and self._credentials.revocations.covers(caller)
        return revoked or caller.not_after_unix_s < time.time()

    def _hang_up_refused(self) -> None:
        for connection in list(self._service.open):
            if connection.caller is not None and self._refuses(connection.caller):
                line = f"{connection.client[0]}: closed: certificate of {connection.caller.name} ended"
                self._complain(line, known=True)
                connection.hang_up()

    async def _accept(self, listener: socket.socket) -> None:
        """Take connections for ever; running out of files or memory is waited out."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, at = await loop.sock_accept(listener)
            except OSError as error:
                self._complain(f"cannot accept connections: {error.strerror or error}", known=True)
                await asyncio.sleep(_BREATH_S)
                continue
            if self.connections >= self._limits.connections:
                self._service.refused += 1
                self._complain(f"more than {self._limits.connections} connections: one was turned away")
                accepted.close()
                continue
            self._service.held += 1
            task = loop.create_task(self._meet(accepted, str(at[0])))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _meet(self, accepted: socket.socket, client: str) -> None:
        """The handshake; the connection goes on by itself."""
        loop = asyncio.get_running_loop()
        try:
            _notice_silence(accepted)
            context = None if self._credentials is None else self._credentials.context
            handshake_s = None if context is None else self._limits.handshake_s
            await loop.connect_accepted_socket(
                lambda: HttpConnection(self._service, loop),
                accepted,
                ssl=context,
                ssl_handshake_timeout=handshake_s,
                ssl_shutdown_timeout=handshake_s,
            )
        except (OSError, ssl.SSLError) as error:
            self._service.held -= 1
            self._service.refused += 1
            self._complain(f"{client}: a handshake failed: {handshake_failure(error)}")
            accepted.close()

    async def _watch(self) -> None:
        """Close what is late and whose certificate has ended."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._limits.tick_s)
            self._tick()
            now = loop.time()
            for connection in [c for c in self._service.open if c.deadline < now]:
                connection.transport.abort()
            self._hang_up_refused()

    def _tick(self) -> None:
        self._service.date = f"date: {formatdate(usegmt=True)}\r\n".encode()

    async def drain(self, timeout_s: float = 10.0) -> None:
        """Take no more connections, finish the requests under way, then close.

        For a moment requests that are on their way are still answered, each as the last one of its connection: who
        sends one just as its connection closes would not know whether it was heard.
        """
        self._stop_accepting()
        self._service.is_draining = True
        end = time.monotonic() + timeout_s
        grace = min(end, time.monotonic() + _GRACE_S)
        while (self._service.open or self._handshakes) and time.monotonic() < grace:
            await asyncio.sleep(_BREATH_S / 10)
        for task in self._handshakes:
            task.cancel()
        for connection in list(self._service.open):
            connection.hang_up()
        while self._service.open and time.monotonic() < end:
            await asyncio.sleep(_BREATH_S / 10)
        await self.close()

    def _stop_accepting(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._close_listeners()

    async def close(self) -> None:
        """Drop everything."""
        self._stop_accepting()
        for task in self._handshakes:
            task.cancel()
        under_way = [e.task for e in self._service.running if e.task is not None]
        for task in under_way:
            task.cancel()
        for connection in list(self._service.open):
            connection.transport.abort()
        waiting, self._tasks = [*self._tasks, *self._handshakes, *under_way], set()
        for task in waiting:
            with suppress(asyncio.CancelledError):
                await task
        while self._service.open:
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _notice_silence(accepted: socket.socket) -> None:
    """Have the kernel notice within about a minute that a peer is gone, or takes nothing."""
    accepted.setblocking(False)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_S // 2)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _SILENT_S // 6)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * _SILENT_S)
