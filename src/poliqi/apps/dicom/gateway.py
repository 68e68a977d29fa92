"""A gateway, put together: the door for machines, the queue, a sender for each site, what arrives, commitments."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any, Final

from poliqi.apps.dial import dialling
from poliqi.apps.dicom.arrivals import Arrivals
from poliqi.apps.dicom.commitments import Commitments, Report, Request
from poliqi.apps.dicom.images import Head
from poliqi.apps.dicom.pace import Pace
from poliqi.apps.dicom.queue import Queue
from poliqi.apps.dicom.receiver import Receiver
from poliqi.apps.dicom.scp import StorageScp
from poliqi.apps.dicom.scu import report_commitment
from poliqi.apps.dicom.sender import Sender
from poliqi.apps.dicom.settings import DicomSettings, read_dicom
from poliqi.apps.dicom.store import Store
from poliqi.apps.dicom.toolkit import preface
from poliqi.apps.dicom.wire import PURPOSE
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.stream.channel import Channel
from poliqi.apps.stream.needs import needed_bytes
from poliqi.apps.stream.terms import Policy
from poliqi.base.errors import ConfigError, DataRefused, LinkDown, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.complaints import Complaints
from poliqi.edge.folder import lock_folder, make_private_folder
from poliqi.edge.keyanswers import KeysNotReady
from poliqi.edge.network import Address

__all__ = ["DicomService", "dicom_service"]

_TIDY_S: Final = 3600.0
_REPORT_FIRST_S: Final = 5.0
_REPORT_MOST_S: Final = 600.0


def dicom_service(settings: SaeSettings, keys: KeySource, say: Callable[..., None]) -> DicomService | None:
    """The running gateway of a SAE.toml; None where it has no [dicom]. Raises ConfigError, StoreError."""
    wanted = read_dicom(settings)
    if wanted is None:
        return None
    ways = _Ways(settings, keys, say)
    return DicomService(wanted, ways.call, say, room=ways.room, changed=ways.change)


class _Ways:
    """How other sites are reached: by the contacts and rules of the newest settings."""

    def __init__(self, settings: SaeSettings, keys: KeySource, say: Callable[..., None]) -> None:
        self._settings = settings
        self._keys: Final = keys
        self._warn: Final[Callable[[str], None]] = lambda text: say("no-quantum-key", text, level="warning")

    def change(self, settings: SaeSettings) -> set[SaeId]:
        """Take others; those peers whose contact, address or rule is another, or who are gone."""
        before, self._settings = self._settings.peers, settings
        return {sae for sae, peer in before.items() if _terms(settings.peers.get(sae)) != _terms(peer)}

    def call(self, sae: SaeId) -> Channel:
        """A stream to a peer. Raises ConfigError where it is none any more, and as `Dial`."""
        peer = self._peer(sae)
        channel = dialling(self._settings, self._keys, self._warn)(peer, peer.rule, PURPOSE)
        if _terms(self._settings.peers.get(sae)) != _terms(peer):  # changed during the handshake
            channel.close()
            raise LinkDown(f"the terms for {sae} have just changed: another stream is opened")
        return channel

    def room(self, sae: SaeId, size: int) -> None:
        """Is there key for so many bytes? Raises KeysNotReady, and as `call`."""
        if self._peer(sae).rule.policy is not Policy.ITS:
            return
        supply = self._keys.supply(sae)
        needed = needed_bytes(size, supply.most_bytes)
        if supply.available_bytes < needed:
            there = supply.available_bytes
            raise KeysNotReady(
                f"an image needs {needed} bytes of key, {there} are there", supply.seconds_until(needed)
            )

    def _peer(self, sae: SaeId) -> Peer:
        peer = self._settings.peers.get(sae)
        if peer is None:
            raise ConfigError(
                f"{sae} is no peer any more; to send them, take it up again (`poliqi sae meet`, then "
                "`poliqi sae reload`)"
            )
        return peer


def _terms(peer: Peer | None) -> tuple[object, ...] | None:
    return None if peer is None else (peer.contact.fingerprint, peer.address, peer.rule)


class DicomService:
    """A running gateway; an `apps.service.Service` for what other gateways send. Implements `scp.Desk`."""

    def __init__(
        self,
        settings: DicomSettings,
        call: Callable[[SaeId], Channel],
        say: Callable[..., None],
        pace: Pace | None = None,
        room: Callable[[SaeId, int], None] = lambda _sae, _size: None,
        changed: Callable[[SaeSettings], Collection[SaeId]] = lambda _settings: (),
    ) -> None:
        """`call` opens a stream to a peer; `say(event, text, ...)` tells people; `room` as that of a `Sender`.

        `changed` takes other settings, and names the peers whose open streams do not go on under them.
        Raises ConfigError, StoreError.
        """
        self._settings: Final = settings
        self._say: Final = say
        self._room: Final = room
        self._changed: Final = changed
        self._complain: Final = Complaints(lambda line: say("dicom-complaint", line, level="warning"))
        self._stopping: Final = threading.Event()
        self._ending: Final = ExitStack()
        with ExitStack() as stack:
            make_private_folder(settings.folder)
            stack.callback(os.close, lock_folder(settings.folder, "this gateway runs already; stop the other one"))
            self._store: Final = Store(settings.folder)
            stack.callback(self._store.close)
            self.queue: Final = Queue(self._store, settings.queue_bytes)
            self._arrivals: Final = Arrivals(self._store)
            self.commitments: Final = Commitments(self._store, self.queue)
            self._receiver: Final = Receiver(settings, self._arrivals, (pace or Pace()).rest_s)
            lost = self.queue.recover()
            if lost:
                say("dicom-recovered", f"{lost} files that no machine was told of are deleted", lost=lost)
            peers = sorted({route.peer for route in settings.routes.values()})
            self.senders: Final = {peer: self._sender(peer, call, pace) for peer in peers}
            self._scp: Final = None if settings.listen is None else StorageScp(settings, self)
            for sender in self.senders.values():
                sender.start()
                stack.callback(sender.close)
            if self._scp is not None:
                stack.callback(self._scp.close)
                say("listening", f"DICOM: {settings.ae} at {self._scp.address}", door="dicom")
            self._clerk: Final = threading.Thread(target=self._report, name="dicom-clerk", daemon=True)
            self._clerk.start()
            stack.callback(self._clerk.join)
            stack.callback(self.queue.tell)
            stack.callback(self._stopping.set)
            self._ending.enter_context(stack.pop_all())

    def _sender(self, peer: SaeId, call: Callable[[SaeId], Channel], pace: Pace | None) -> Sender:
        return Sender(peer, self.queue, lambda: call(peer), self._say, pace, lambda size: self._room(peer, size))

    @property
    def purpose(self) -> str:
        """What other gateways call for."""
        return PURPOSE

    @property
    def address(self) -> Address | None:
        """Where machines of this site call."""
        return None if self._scp is None else self._scp.address

    def serve(self, channel: Channel) -> None:
        """As `Service`."""
        self._receiver.serve(channel)

    def change(self, settings: SaeSettings) -> None:
        """As `Service`; nodes and routes are those of the start."""
        for sae in self._changed(settings):
            if sae in self.senders:
                self.senders[sae].hang_up()

    def close(self) -> None:
        """Stop: what waits in the queue stays there."""
        self._ending.close()

    def take(self, head: Head, calling: str, data: memoryview) -> None:
        """As `Desk`."""
        if len(data) > self._settings.largest_bytes:
            most = self._settings.largest_bytes
            raise DataRefused(
                f"{calling} sends an image of {len(data)} bytes; at most {most} are taken (largest_mb)"
            )
        self.queue.take(head, self._settings.routes[head.ae].peer, calling, preface(head), data)

    def commit(
        self, transaction_uid: str, requester: str, ae: str, references: Collection[tuple[str, str]]
    ) -> None:
        """As `Desk`."""
        if ae not in self._settings.routes:
            raise DataRefused(f"{requester} asks {ae} for a commitment; ask the title that it sent the images to")
        if requester not in self._settings.nodes:
            raise DataRefused(
                f"{requester} asks for a commitment and has no [[dicom.node]] to report to; write one"
            )
        self.commitments.ask(transaction_uid, requester, ae, references)

    def complain(self, line: str) -> None:
        """As `Desk`."""
        self._complain(line)

    def figures(self) -> dict[str, Any]:
        """How it stands, for pages and metrics."""
        counts = self.queue.counts()
        return {
            "ae": self._settings.ae,
            "associations": 0 if self._scp is None else self._scp.associations,
            "waiting": sum(c.waiting for c in counts),
            "waiting_bytes": sum(c.waiting_bytes for c in counts),
            "refused": sum(c.refused for c in counts),
            "delivered": sum(c.delivered for c in counts),
            "arrived": self._arrivals.number(),
            "commitments_open": len(self.commitments.open()),
            "trouble": {peer: sender.trouble for peer, sender in self.senders.items() if sender.trouble},
        }

    def _report(self) -> None:
        """Answer requests for commitment once they can be; forget what is old."""
        seen, tidy_s = 0, 0.0
        waits: dict[int, tuple[float, float]] = {}
        while not self._stopping.is_set():
            try:
                for request in self.commitments.open():
                    if self._stopping.is_set():
                        return
                    self._try(request, waits)
                if time.monotonic() >= tidy_s:
                    tidy_s = time.monotonic() + _TIDY_S
                    before_s = time.time() - self._settings.remember_s
                    for memory in (self.queue, self.commitments, self._arrivals):
                        memory.forget(before_s)
            except PoliqiError as error:
                self._complain(str(error))
            seen = self.queue.await_news(seen, 1.0)

    def _try(self, request: Request, waits: dict[int, tuple[float, float]]) -> None:
        until_s, wait_s = waits.get(request.seq, (0.0, 0.0))
        if time.monotonic() < until_s:
            return
        report = self.commitments.answer(request)
        if report is None:
            return
        try:
            self._tell(request, report)
        except LinkDown as error:
            wait_s = min(2 * wait_s, _REPORT_MOST_S) if wait_s else _REPORT_FIRST_S
            waits[request.seq] = time.monotonic() + wait_s, wait_s
            if time.time() - request.asked_s > self._settings.remember_s:
                self.commitments.close(request, f"given up: {error}")
            self._complain(f"a commitment waits: {error}")
            return
        waits.pop(request.seq, None)
        text = (
            f"{request.requester} is told: {len(report.kept)} images are at {request.ae}, {len(report.failed)} not"
        )
        self.commitments.close(request, text)
        self._say("dicom-committed", text, kept=len(report.kept), failed=len(report.failed))

    def _tell(self, request: Request, report: Report) -> None:
        node = self._settings.nodes.get(request.requester)
        if node is None:
            raise LinkDown(f"{request.requester} has no [[dicom.node]] any more")
        timeout_s = self._settings.timeout_s
        report_commitment(self._settings.ae, node, request.transaction_uid, report.kept, report.failed, timeout_s)
