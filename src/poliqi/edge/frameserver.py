"""A server of length-prefixed frames: few connections, each one request at a time, none able to hold it up.

The next frame of a connection is read only when the last one is answered, so a sender is never ahead of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import PoliqiError
from poliqi.edge.complaints import Complaints
from poliqi.edge.framing import FrameStream

__all__ = ["Admit", "FrameService", "Serve", "ServiceLimits"]

_TURNS: Final = 4

Admit = Callable[[asyncio.StreamWriter], str | None]
"""Why whoever connected is turned away, or None."""

Serve = Callable[[bytes], Awaitable[bytes | None]]
"""Act on one frame; the frame to answer with, if any. Raises ProtocolError to end the connection."""


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """`frame_s`: from a frame's length to its end, and for an answer to be taken. `idle_s`: between frames."""

    frame_bytes: int
    connections: int = 16
    frame_s: float = 30.0
    idle_s: float | None = None


class FrameService:
    """Serves the connections of one listening socket; `accept` is the callback of asyncio's servers."""

    def __init__(
        self, name: str, admit: Admit, serve: Serve, limits: ServiceLimits, say: Complaints, greeting: bytes | None
    ) -> None:
        self._name: Final = name
        self._admit: Final = admit
        self._serve: Final = serve
        self._limits: Final = limits
        self._complain: Final = say
        self._greeting: Final = greeting
        self._busy: Final[set[asyncio.Task[None]]] = set()
        self._idle: Final[set[asyncio.Task[None]]] = set()
        self._closing = False

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._busy) + len(self._idle)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends; nothing that it does raises."""
        refusal = self._refusal(writer)
        if refusal is not None:
            self._complain(f"{self._name}: connection refused: {refusal}")
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._connection(FrameStream(reader, writer)))
        self._idle.add(task)
        task.add_done_callback(lambda done: self._ended(done, writer))

    def _ended(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        """Also for a task that was cancelled before it began."""
        self._idle.discard(task)
        self._busy.discard(task)
        writer.transport.abort()

    async def _connection(self, stream: FrameStream) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await self._converse(stream, task)
        except TimeoutError:
            self._complain(f"{self._name}: a connection was too slow and is closed")
        except PoliqiError as error:
            self._complain(f"{self._name}: a connection is closed: {error}")

    def _refusal(self, writer: asyncio.StreamWriter) -> str | None:
        if self._closing:
            return "the site is stopping"
        if self.connections >= self._limits.connections:
            return f"{self._limits.connections} connections are open already"
        return self._admit(writer)

    async def _converse(self, stream: FrameStream, task: asyncio.Task[None]) -> None:
        if self._greeting is not None:
            await self._write(stream, self._greeting)
        while not self._closing:
            frame = await self._read(stream)
            if frame is None:
                return
            self._idle.discard(task)
            self._busy.add(task)
            answer = await self._serve(frame)
            del frame
            if answer is not None:
                await self._write(stream, answer)
            self._busy.discard(task)
            self._idle.add(task)

    async def _read(self, stream: FrameStream) -> bytes | None:
        limits = self._limits
        async with asyncio.timeout(limits.idle_s) as deadline:

            def begun() -> int:
                deadline.reschedule(asyncio.get_running_loop().time() + limits.frame_s)
                return limits.frame_bytes

            return await stream.read(begun)

    async def _write(self, stream: FrameStream, frame: bytes) -> None:
        async with asyncio.timeout(self._limits.frame_s):
            await stream.write((frame,))

    async def close(self, server: asyncio.Server, grace_s: float) -> None:
        """Listen no more and take no more frames; let those being served finish for a while, then drop all."""
        self._closing = True
        await _stop_listening(server)
        for task in list(self._idle):
            task.cancel()
        waited = self._busy | self._idle
        if waited:
            _, late = await asyncio.wait(waited, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


async def _stop_listening(server: asyncio.Server) -> None:
    """Close a server, after asyncio has handed over the connections that it is just taking on.

    Python 3.11 leaves a connection open that it accepted in the turn in which its server was closed.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    server.close()
