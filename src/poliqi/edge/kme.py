"""Drives a site's key management: peers' streams, the one writer thread, the clock.

Everything that happens in one turn of the loop is answered together: one round of frames, one commit of the marks
that gathered while the last commit was on its way to the disk. Under load a turn is taken each millisecond.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import PoliqiError, ProtocolError
from poliqi.base.ids import KmeId, SaeId
from poliqi.edge.desk import NoticeHandler
from poliqi.edge.peerstream import PeerStream
from poliqi.keys.desk_state import EventKind, KmeEvent
from poliqi.keys.kme import Kme
from poliqi.keys.marks import Mark, Store
from poliqi.keys.policy import KeyLimits, Policy
from poliqi.keys.requests import Block, KeyOrder, Outcome, Reason, Refused, Shipment, StockReport, Ticket

__all__ = ["KmeDriver"]

_COMMITS_REMEMBERED: Final = 512
_PATIENCE_S: Final = 3.0  # a peer that went away may be starting anew: requests wait so long for it
_WAITING_MOST: Final = 1024
_PACE_S: Final = 3e-4  # under load, what comes within so long shares a frame and a commit


@dataclass(slots=True)
class _Request:
    """A call, whoever waits for its outcome, and until when it may wait for a peer that went away."""

    call: Callable[[], Ticket]
    future: asyncio.Future[Outcome]
    until: float = 0.0
    outcome: Refused | None = None


class KmeDriver:
    """One site's key management in a running event loop; it is the desk of the site's servers.

    `on_event` gets what an operator may want to know, `on_failure` the reason when the store fails: nothing is
    served after that.
    """

    def __init__(
        self,
        kme: Kme,
        store: Store,
        on_event: Callable[[KmeEvent], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._kme: Final = kme
        self._store: Final = store
        self._on_event: Final = on_event
        self._on_failure: Final = on_failure
        self._loop: Final = asyncio.get_running_loop()
        self._writer: Final = ThreadPoolExecutor(1, thread_name_prefix="key-store")
        self._streams: Final[dict[KmeId, PeerStream]] = {}
        self._handlers: Final[dict[str, NoticeHandler]] = {}
        self._is_due = self._is_writing = self._is_closed = False
        self._next_turn = 0.0
        self._waiting: list[_Request] = []
        self._patient_until = 0.0
        self._ticker: asyncio.TimerHandle | None = None
        self.failure = ""
        self.commits = 0
        self.marks_written = 0
        self.commit_s: Final[deque[float]] = deque(maxlen=_COMMITS_REMEMBERED)
        """How long the latest commits took."""

    @property
    def kme_id(self) -> KmeId:
        return self._kme.site

    @property
    def kme(self) -> Kme:
        """The core, for figures."""
        return self._kme

    def start(self) -> None:
        """Let time pass. Peers are being called: who asks meanwhile waits for them."""
        self._be_patient()
        self._tick()

    # ---------------------------------------------------------------- the desk

    def limits(self, master: SaeId) -> KeyLimits:
        return self._kme.limits(master)

    def report(self, caller: SaeId, other: SaeId) -> StockReport | Refused:
        return self._kme.report(caller, other)

    def order(self, order: KeyOrder) -> Awaitable[Outcome]:
        return self._outcome(lambda: self._kme.order(order, self._loop.time()))

    def judge(self, order: KeyOrder) -> Refused | None:
        """Whether an order that a neighbour will fill may be."""
        return self._kme.judge(order, self._loop.time())

    def handed_over(self, order: KeyOrder, key_ids: Sequence[bytes], neighbour: KmeId) -> Awaitable[Outcome]:
        """Have it on disk that a neighbour's keys go to their master."""
        return self._outcome(lambda: self._kme.handed_over(order, key_ids, neighbour))

    def fetch(self, caller: SaeId, master: SaeId, key_ids: Sequence[bytes]) -> Awaitable[Outcome]:
        return self._outcome(lambda: self._kme.fetch(caller, master, key_ids, self._loop.time()))

    def ship(self, shipment: Shipment) -> Awaitable[Outcome]:
        ticket = self._kme.ship(shipment, self._loop.time())  # its keys are handed over once
        return self._outcome(lambda: ticket)

    def void(self, master: SaeId, slaves: Sequence[SaeId], key_ids: Sequence[bytes] | None) -> Awaitable[Outcome]:
        return self._outcome(lambda: self._kme.void(master, slaves, key_ids))

    def ingest(self, block: Block) -> Awaitable[Outcome]:
        ticket = self._kme.ingest(block)  # its key is handed over once
        return self._outcome(lambda: ticket)

    def notify(self, peer: KmeId, kind: str, body: bytes) -> bool:
        self.kick()
        return self._kme.notify(peer, kind, body)

    def on_notice(self, kind: str, handler: NoticeHandler) -> None:
        self._handlers[kind] = handler

    def _outcome(self, call: Callable[[], Ticket]) -> Awaitable[Outcome]:
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._ask(_Request(call, future))
        return future

    def _ask(self, request: _Request) -> None:
        ticket = request.call()
        self.kick()
        if ticket.outcome is not None:
            self._answer(request, ticket.outcome)
        else:
            ticket.listener = lambda outcome: self._answer(request, outcome)

    def _answer(self, request: _Request, outcome: Outcome) -> None:
        """Answer, unless the peer has only just gone: it may be starting anew, so ask again when it is back.

        A request waits once, for at most so long, however many peers come and go.
        """
        if request.future.done():
            return
        now = self._loop.time()
        if isinstance(outcome, Refused) and outcome.reason is Reason.PEER_DOWN and now < self._patient_until:
            request.until = request.until or now + _PATIENCE_S
            if now < request.until and len(self._waiting) < _WAITING_MOST and not self._is_closed:
                request.outcome = outcome
                self._waiting.append(request)
                return
        request.future.set_result(outcome)

    def _be_patient(self) -> None:
        self._patient_until = self._loop.time() + _PATIENCE_S
        self._loop.call_at(self._patient_until, self._ask_again)

    def _ask_again(self) -> None:
        """A peer is back, or waited for long enough. Who gave up meanwhile gets no key made for nobody."""
        waiting, self._waiting = self._waiting, []
        now = self._loop.time()
        for request in waiting:
            if request.future.done() or request.outcome is None:
                continue
            if now < min(request.until, self._patient_until) and not self._is_closed:
                self._ask(request)
            else:
                request.future.set_result(request.outcome)

    # ---------------------------------------------------------------- peers

    async def serve(self, stream: PeerStream) -> None:
        """Serve one peer's stream until it ends; a newer stream of the same peer takes its place."""
        peer = stream.peer
        before = self._streams.get(peer)
        if before is not None:
            before.abort()
        self._streams[peer] = stream
        number = self._kme.connected(peer)
        self.kick()
        try:
            while (frame := await stream.read()) is not None:
                self._kme.received(peer, number, frame, self._loop.time())
                self.kick()
        finally:
            if self._streams.get(peer) is stream:
                del self._streams[peer]
                self._be_patient()
            self._kme.disconnected(peer, number)
            self.kick()

    # ---------------------------------------------------------------- turns

    def kick(self) -> None:
        """Something happened: see to it at the end of this turn of the loop, or soon where much happens."""
        if self._is_due or self._is_closed:
            return
        self._is_due = True
        wait_s = self._next_turn - self._loop.time()
        if wait_s > 0.0:
            self._loop.call_later(wait_s, self._turn)
        else:
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """One round; fail closed, for a site that stopped in the middle of one must not go on."""
        try:
            self._take_turn()
        except Exception as error:
            cause = str(error) if isinstance(error, PoliqiError) else type(error).__name__
            self.fail(f"the key management failed: {cause}")

    def _take_turn(self) -> None:
        self._is_due = False
        now = self._loop.time()
        self._next_turn = now + _PACE_S
        self._kme.flush(now)
        self._send()
        if not self._is_writing and not self.failure:
            marks, upto = self._kme.take_marks()
            if marks:
                self._is_writing = True
                began = self._loop.time()
                writing = self._loop.run_in_executor(self._writer, self._apply, marks)
                writing.add_done_callback(lambda done: self._written(done, upto, len(marks), began))
        for peer, kind, body in self._kme.take_notices():
            handler = self._handlers.get(kind)
            if handler is not None:
                handler(peer, body)
        for event in self._kme.take_events():
            self._on_event(event)
            if event.kind is EventKind.PEER_UP and self._waiting:
                self._loop.call_soon(self._ask_again)

    def _apply(self, marks: list[Mark]) -> str:
        """In the writer thread: the reason why it failed, or nothing."""
        try:
            self._store.apply(marks)
        except PoliqiError as error:
            return str(error)
        except Exception as error:  # fail closed, whatever it was
            return f"the key store failed: {type(error).__name__}"
        return ""

    def _written(self, done: asyncio.Future[str], upto: int, count: int, began: float) -> None:
        self._is_writing = False
        failure = "the key store's writer was stopped" if done.cancelled() else done.result()
        if failure:
            self.fail(failure)
            return
        self.commits += 1
        self.marks_written += count
        self.commit_s.append(self._loop.time() - began)
        self._kme.committed(upto)
        self._send()
        self.kick()

    def _send(self) -> None:
        for peer, frames in self._kme.take_frames().items():
            stream = self._streams.get(peer)
            if stream is not None:
                for frame in frames:
                    stream.send(frame)

    def fail(self, reason: str) -> None:
        """Serve nothing any more and drop every peer."""
        if self.failure:
            return
        self.failure = reason
        self._kme.fail(reason)
        for stream in list(self._streams.values()):
            stream.abort()
        self._on_failure(reason)

    def _tick(self) -> None:
        now = self._loop.time()
        try:
            stuck = self._kme.tick(now)
        except Exception as error:  # fail closed: a site whose clock stands still must not go on
            cause = str(error) if isinstance(error, PoliqiError) else type(error).__name__
            self.fail(f"the key management failed: {cause}")
            return
        for peer in stuck:
            stream = self._streams.get(peer)
            if stream is not None:
                stream.abort(ProtocolError(f"{peer} gave no answer in time"))
        self.kick()
        self._ticker = self._loop.call_at(self._kme.next_timeout(now), self._tick)

    # ---------------------------------------------------------------- care

    async def in_writer(self, work: Callable[[], object]) -> None:
        """Do something with the store in its writer thread, between two commits. Raises StoreError."""
        await self._loop.run_in_executor(self._writer, work)

    def reload(self, policy: Policy) -> None:
        """Go by another policy from now on."""
        self._kme.reload(policy, self._loop.time())
        self.kick()

    @property
    def is_idle(self) -> bool:
        """True where nothing waits for the disk or for a peer."""
        links = self._kme.state.links.values()
        return not self._is_writing and not any(link.ordering or link.fetching for link in links)

    async def close(self) -> None:
        """Write what is left, then stop."""
        if self._ticker is not None:
            self._ticker.cancel()
        while self._is_writing:
            await asyncio.sleep(0.001)
        self._is_closed = True
        self._ask_again()
        self._kme.flush(self._loop.time())
        marks, upto = self._kme.take_marks()
        if marks and not self.failure:
            failure = await self._loop.run_in_executor(self._writer, self._apply, marks)
            if not failure:
                self._kme.committed(upto)
        self._writer.shutdown(wait=True)
        self._kme.close()
