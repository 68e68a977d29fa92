"""Brings a link's confirmed blocks to its site while the link goes on; what the site does not take waits.

One block at a time, oldest first, in a thread. A site that is away costs the link nothing until so many bytes wait
that no further block is begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from poliqi.distill.outcome import Confirm, Mark
from poliqi.edge.ingest_sink import SiteSink
from poliqi.edge.keysink import Postponed
from poliqi.edge.store import LinkStore

__all__ = ["MOST_WAITING_BYTES", "Courier", "Deliveries", "Outbox"]

MOST_WAITING_BYTES: Final = 64 << 20
_FIRST_S: Final = 0.1
_MOST_S: Final = 5.0
_LASTING_FIRST_S: Final = 5.0
_LASTING_MOST_S: Final = 300.0
_LAST_TRY_S: Final = 10.0

Say = Callable[..., None]


class Outbox(Protocol):
    """What holds finished blocks until a site does."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes of key that wait."""
        ...

    def deliver_one(self, sink: SiteSink) -> int | Postponed | None:
        """Bring the oldest block: its number, why not now, or None where none waits."""
        ...


class Deliveries:
    """The way of one state's blocks to its site. `say(event, text, **fields)` gets what an operator should know."""

    def __init__(self, store: Outbox, sink: SiteSink, say: Say, most_bytes: int) -> None:
        self._store: Final = store
        self._sink: Final = sink
        self._say: Final = say
        self._most: Final = most_bytes
        self._wake: Final = asyncio.Event()
        self._room: Final = asyncio.Event()
        self._room.set()
        self._loop: Final = asyncio.get_running_loop()
        self._stopping = False
        self._waiting = store.waiting_bytes
        self._postponed: Postponed | None = None
        self._wait_s = 0.0
        self._settle_room()

    @property
    def waiting_bytes(self) -> int:
        """Bytes of key that the site does not hold yet."""
        return self._waiting

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no block may be begun."""
        return not self._room.is_set()

    @property
    def why_full(self) -> str:
        """For people, and for the other end."""
        reason = "" if self._postponed is None else f" ({self._postponed.reason})"
        return f"{self._waiting:,} bytes of key wait for the site{reason}: no block is begun until it takes them"

    async def room(self) -> None:
        """Wait until blocks may be begun again."""
        await self._room.wait()

    def stored(self) -> None:
        """A block was put into the store: it is on its way. Called in any thread."""
        self._waiting = self._store.waiting_bytes
        self._loop.call_soon_threadsafe(self._noticed)

    def _noticed(self) -> None:
        self._settle_room()
        self._wake.set()

    def _settle_room(self) -> None:
        """Full from the limit on; open again from half of it down."""
        if self._waiting >= self._most:
            self._room.clear()
        elif self._waiting <= self._most // 2:
            self._room.set()

    async def run(self) -> None:
        """Deliver until told to stop. Raises StoreError."""
        reached = await asyncio.to_thread(self._sink.reach)
        if isinstance(reached, Postponed):
            await self._pause(reached)
        else:
            self._say("site", f"keys go to {reached}", waiting_bytes=self._waiting)
        while not self._stopping:
            self._wake.clear()
            outcome = await asyncio.to_thread(self._store.deliver_one, self._sink)
            self._waiting = await asyncio.to_thread(lambda: self._store.waiting_bytes)
            if isinstance(outcome, Postponed):
                await self._pause(outcome)
                continue
            self._settle_room()
            if outcome is not None:
                self._on_delivered()
            elif not self._stopping:
                await self._wake.wait()

    def _on_delivered(self) -> None:
        if self._postponed is not None:
            self._say("site", "the site takes keys", waiting_bytes=self._waiting)
        self._postponed, self._wait_s = None, 0.0

    async def _pause(self, why: Postponed) -> None:
        """Wait longer and longer; say why once, and again when the reason changes."""
        news = self._postponed is None or self._postponed.reason != why.reason
        if news:
            self._wait_s = 0.0
        self._postponed = why
        self._settle_room()
        first, most = (_LASTING_FIRST_S, _LASTING_MOST_S) if why.lasting else (_FIRST_S, _MOST_S)
        self._wait_s = max(min(max(2 * self._wait_s, first), most), min(why.retry_s, _LASTING_MOST_S))
        if news and not self._stopping:
            until = "it is tried again, less and less often" if why.lasting else "they are brought when it is back"
            text = f"{why.reason}; {self._waiting:,} bytes of key wait in the state, {until}"
            self._say("site", text, waiting_bytes=self._waiting, reason=why.reason, lasting=why.lasting)
        if not self._stopping:
            await self._sleep(self._wait_s)

    async def _sleep(self, seconds: float) -> None:
        """Only the end of this process cuts a pause short: a new block changes nothing at the site."""
        until = self._loop.time() + seconds
        while not self._stopping and (left := until - self._loop.time()) > 0:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except TimeoutError:
                return

    def abort(self) -> None:
        """Wait for the site no more."""
        self._stopping = True
        self._wake.set()
        self._sink.abort()

    async def finish(self, running: asyncio.Task[None]) -> None:
        """End `running` (a task of `run`); bring what waits while the site takes it, for ten seconds at most."""
        self._stopping = True
        self._wake.set()
        aborting = self._loop.call_later(_LAST_TRY_S, self._sink.abort)
        try:
            await running
            while isinstance(await asyncio.to_thread(self._store.deliver_one, self._sink), int):
                pass
            self._sink.close()
        finally:
            aborting.cancel()
            self._sink.abort()
            self._waiting = self._store.waiting_bytes


class Courier(Deliveries):
    """The way of one distilling link's blocks to its site."""

    def __init__(self, store: LinkStore, sink: SiteSink, say: Say, most_bytes: int) -> None:
        super().__init__(store, sink, say, most_bytes)
        self._link: Final = store

    def apply(self, marks: list[Mark]) -> None:
        """`LinkStore.apply`, after which new keys are on their way. Called in a thread."""
        self._link.apply(marks)
        if any(isinstance(mark, Confirm) for mark in marks):
            self.stored()
