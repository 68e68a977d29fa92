"""Key streams (ETSI GS QKD 004) as framed msgpack over TLS; docs/spec/streams.md has the frames."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import suppress
from typing import Final

from poliqi.base.errors import ConfigError, LinkDown, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.edge.complaints import Complaints
from poliqi.edge.framing import FrameStream
from poliqi.edge.handover import take_over
from poliqi.edge.identity import Caller, identify
from poliqi.edge.network import Address
from poliqi.edge.streams import StreamService
from poliqi.edge.tls import ServerCredentials, TlsFiles, handshake_failure, load_credentials
from poliqi.keys.etsi004_messages import MESSAGE_BYTES, frame_of, read_request_frame

__all__ = ["StreamServer"]

_HANDSHAKE_S: Final = 10.0
_FRAME_S: Final = 30.0
_BREATH_S: Final = 0.1
_BACKLOG: Final = 128


class StreamServer:
    """Serves framed calls over TLS to applications with certificates; a connection is answered call by call.

    `start` opens it, `reload` takes new certificates and lists, `drain` ends it gracefully, `close` at once.
    """

    def __init__(
        self,
        service: StreamService,
        address: Address,
        tls: TlsFiles,
        *,
        connections: int = 1024,
        connections_of_one: int = 64,
        idle_s: float = 900.0,
        say: Complaints | None = None,
    ) -> None:
        self._service: Final = service
        self._address: Final = address
        self._tls: Final = tls
        self._most: Final = connections
        self._most_of_one: Final = connections_of_one
        self._idle_s: Final = idle_s
        self._complain: Final = say or Complaints(lambda _: None)
        self._credentials: ServerCredentials | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: Final[dict[asyncio.Task[None], Caller | None]] = {}
        self._busy: Final[set[asyncio.Task[None]]] = set()
        self._is_draining = False

    @property
    def listeners(self) -> tuple[socket.socket, ...]:
        """The sockets that it listens on."""
        return () if self._listener is None else (self._listener,)

    @property
    def connections(self) -> int:
        """How many are open now, those in their handshake included."""
        return len(self._tasks)

    async def start(self) -> Address:
        """Listen; the address with its real port. Raises ConfigError."""
        self.reload()
        a = self._address
        try:
            found = await asyncio.get_running_loop().getaddrinfo(a.host, a.port, type=socket.SOCK_STREAM)
            family, place = found[0][0], found[0][4]
            self._listener = take_over(family, str(place[0]), int(place[1])) or socket.create_server(
                place[:2], family=family, backlog=_BACKLOG
            )
        except OSError as error:
            raise ConfigError(f"cannot listen on {a}: {error.strerror or error}; choose another address") from error
        self._listener.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(self._listener))
        return Address(a.host, self._listener.getsockname()[1])

    def reload(self) -> None:
        """Meet new connections with the files as they are now; close those whose certificate is now revoked.

        Raises ConfigError where a file cannot be used; what was in force stays in force then.
        """
        self._credentials = load_credentials(self._tls)
        for task, caller in list(self._tasks.items()):
            if caller is not None and self._refuses(caller):
                task.cancel()

    def _refuses(self, caller: Caller) -> bool:
        assert self._credentials is not None
        return self._credentials.revocations.covers(caller) or caller.not_after_unix_s < time.time()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, at = await loop.sock_accept(listener)
            except OSError as error:
                self._complain(f"key streams: cannot accept connections: {error.strerror or error}", known=True)
                await asyncio.sleep(_BREATH_S)
                continue
            if len(self._tasks) >= self._most:
                self._complain(f"key streams: more than {self._most} connections: one was turned away")
                accepted.close()
                continue
            task = loop.create_task(self._meet(accepted, str(at[0])))
            self._tasks[task] = None
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    async def _meet(self, accepted: socket.socket, client: str) -> None:
        """One connection, from its handshake to its end; nothing that it does raises."""
        assert self._credentials is not None
        try:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = asyncio.StreamReader(2 * MESSAGE_BYTES)
            protocol = asyncio.StreamReaderProtocol(reader)
            loop = asyncio.get_running_loop()
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=self._credentials.context,
                ssl_handshake_timeout=_HANDSHAKE_S,
                ssl_shutdown_timeout=_HANDSHAKE_S,
            )
        except (OSError, ssl.SSLError) as error:
            self._complain(f"key streams: {client}: a handshake failed: {handshake_failure(error)}")
            accepted.close()
            return
        stream = FrameStream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        try:
            await self._serve(stream, transport.get_extra_info("ssl_object"))
        except (LinkDown, ProtocolError) as error:
            self._complain(f"key streams: {client}: a connection is closed: {error}", known=True)
        except TimeoutError:
            self._complain(f"key streams: {client}: a connection was too slow and is closed", known=True)
        finally:
            stream.abort()

    async def _serve(self, stream: FrameStream, tls: ssl.SSLObject) -> None:
        caller = identify(tls.getpeercert(binary_form=True) or b"")
        if caller is None or caller.sae is None or self._refuses(caller):
            raise ProtocolError("the certificate names no application, or has ended")
        task = asyncio.current_task()
        assert task is not None
        if sum(c is not None and c.name == caller.name for c in self._tasks.values()) >= self._most_of_one:
            raise ProtocolError(f"{caller.name} has {self._most_of_one} connections already")
        self._tasks[task] = caller
        frame = await self._read(stream)
        while frame is not None and not self._is_draining:
            if self._refuses(caller):
                raise ProtocolError(f"the certificate of {caller.name} has ended")
            self._busy.add(task)
            following = asyncio.ensure_future(self._read(stream))
            try:
                reply = await self._answer(caller.sae, frame, following)
                async with asyncio.timeout(_FRAME_S):
                    await stream.write((reply,))
                self._busy.discard(task)
                if self._is_draining:
                    await stream.close()
                    return
                frame = await following
            finally:
                self._busy.discard(task)
                following.cancel()
                with suppress(asyncio.CancelledError, LinkDown, ProtocolError, TimeoutError):
                    await following

    async def _answer(self, sae: SaeId, frame: bytes, following: asyncio.Future[bytes | None]) -> bytes:
        """The reply; the call is given up where the caller hangs up before it comes."""
        call = asyncio.ensure_future(self._service.call(sae, read_request_frame(frame)))
        try:
            await asyncio.wait((call, following), return_when=asyncio.FIRST_COMPLETED)
            if not call.done() and (following.exception() is not None or following.result() is None):
                raise LinkDown("the application hung up")
            return frame_of(await call)
        finally:
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call

    async def _read(self, stream: FrameStream) -> bytes | None:
        async with asyncio.timeout(self._idle_s) as deadline:

            def begun() -> int:
                deadline.reschedule(asyncio.get_running_loop().time() + _FRAME_S)
                return MESSAGE_BYTES

            return await stream.read(begun)

    async def drain(self, timeout_s: float = 10.0) -> None:
        """Take no more connections and no more calls, finish the calls under way, then close."""
        self._is_draining = True
        await self._stop_accepting()
        for task in set(self._tasks) - self._busy:
            task.cancel()
        if self._busy:
            await asyncio.wait(set(self._busy), timeout=timeout_s)
        await self.close()

    async def _stop_accepting(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    async def close(self) -> None:
        """Take no more connections and drop those that are open."""
        await self._stop_accepting()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
