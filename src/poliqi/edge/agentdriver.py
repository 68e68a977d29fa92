"""Drives a site's agent: the stream to the controller, the clock, and the file that remembers the routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from poliqi.base.errors import StoreError
from poliqi.control.agent import Agent
from poliqi.edge.durable import replace_file
from poliqi.edge.peerstream import PeerStream
from poliqi.keys.relaying import RelayRoute

__all__ = ["AgentDriver", "read_remembered"]

_LARGEST: Final = 4 << 20


def read_remembered(path: Path) -> bytes | None:
    """What the agent kept, None where there is nothing or too much of it: the controller says it again."""
    with suppress(OSError):
        if path.stat().st_size <= _LARGEST:
            return path.read_bytes()
    return None


class AgentDriver:
    """One agent in a running event loop. `fill` gets routes when they change, `say` a line for the operator."""

    def __init__(
        self,
        agent: Agent,
        remembered: Path,
        fill: Callable[[tuple[RelayRoute, ...]], None],
        say: Callable[[str], None],
    ) -> None:
        self._agent: Final = agent
        self._remembered: Final = remembered
        self._fill: Final = fill
        self._say: Final = say
        self._loop: Final = asyncio.get_running_loop()
        self._stream: PeerStream | None = None
        self._is_due = self._is_closed = False
        self._keeping: asyncio.Task[None] | None = None
        self._ticker: asyncio.TimerHandle | None = None

    @property
    def agent(self) -> Agent:
        """The core, for news; `kick` after each."""
        return self._agent

    def start(self) -> None:
        """Let time pass."""
        self._tick()

    async def serve(self, stream: PeerStream) -> None:
        """Talk to the controller until the stream ends."""
        if self._stream is not None:
            self._stream.abort()
        self._stream = stream
        self._agent.connected(self._loop.time())
        self.kick()
        try:
            while (frame := await stream.read()) is not None:
                self._agent.received(frame, self._loop.time())
                self.kick()
        finally:
            if self._stream is stream:
                self._stream = None
                self._agent.disconnected(self._loop.time())
                self.kick()

    def kick(self) -> None:
        """Something happened: see to it at the end of this turn of the loop."""
        if not self._is_due and not self._is_closed:
            self._is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_due = False
        routes = self._agent.take_routes()
        if routes is not None:
            self._fill(routes)
        self._hurry()
        if self._keeping is not None:
            return
        kept, frames = self._agent.take_remembered(), self._agent.take_frames()
        if kept is None:
            self._send(frames, self._stream)
        else:
            self._keeping = self._loop.create_task(self._keep(kept, frames, self._stream))

    def _send(self, frames: list[bytes], stream: PeerStream | None) -> None:
        """Send on the stream that the frames were made for."""
        for frame in frames:
            if stream is not None and stream is self._stream:
                stream.send(frame)

    async def _keep(self, data: bytes, frames: list[bytes], stream: PeerStream | None) -> None:
        """Write down whom the site obeys, then say so. A site that cannot goes on by what it was told, unsaid."""
        try:
            await asyncio.to_thread(_replace_private, self._remembered, data)
        except StoreError as error:
            self._say(f"the routes could not be kept for the next start: {error}")
        else:
            self._send(frames, stream)
        self._keeping = None
        self.kick()

    def _hurry(self) -> None:
        """News may be due before the clock would look."""
        due = self._agent.next_timeout(self._loop.time())
        if self._ticker is not None and not self._is_closed and due < self._ticker.when():
            self._ticker.cancel()
            self._ticker = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        if self._is_closed:
            return
        now = self._loop.time()
        self._agent.tick(now, time.time_ns())
        self.kick()
        self._ticker = self._loop.call_at(self._agent.next_timeout(now), self._tick)

    async def close(self) -> None:
        """Stop, once the file is written."""
        self._is_closed = True
        if self._ticker is not None:
            self._ticker.cancel()
        if self._keeping is not None:
            await self._keeping


def _replace_private(path: Path, data: bytes) -> None:
    replace_file(path, data)
    with suppress(OSError):
        path.chmod(0o600)
