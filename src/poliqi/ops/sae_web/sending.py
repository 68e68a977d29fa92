"""Transfers that people began on the pages: each in a thread, a few at once, the others in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share.client import send
from poliqi.apps.share.progress import Phase, Progress
from poliqi.apps.share.receipt import Receipt
from poliqi.apps.share.sender import Stopped
from poliqi.apps.stream.terms import Mode
from poliqi.base.errors import PoliqiError
from poliqi.ops.sae_web.desk import Transfer, TransferState
from poliqi.ops.sae_web.trouble import Declined, Trouble, trouble_of

__all__ = ["Sending", "Sendings"]

_KEPT: Final = 200
_WAITING_MOST: Final = 64
_STATES: Final = {
    Phase.WAITING_FOR_KEY: TransferState.WAITING_FOR_KEY,
    Phase.WAITING_FOR_PEER: TransferState.WAITING_FOR_SITE,
}

Send = Callable[..., Receipt]


@dataclass(slots=True)
class Sending:
    """One of them. `on_receipt` is told of its receipt, before it is done."""

    id: str
    peer: Peer
    files: tuple[Path, ...]
    size_bytes: int
    one_time: bool
    mode: Mode
    who: str
    done: Callable[[], None]
    begun_unix_s: float
    on_receipt: Callable[[Receipt], None] | None = None
    progress: Progress = field(default_factory=Progress)
    state: TransferState | None = TransferState.QUEUED
    """None while its progress tells."""
    problem: str = ""
    trouble: Trouble | None = None
    receipt: Receipt | None = None

    def shown(self, wait_s: Callable[[Sending], float | None], is_simulated: bool, receipt: str) -> Transfer:
        """As pages show it."""
        seen = self.progress.snapshot()
        state = self.state or _STATES.get(seen.phase, TransferState.SENDING)
        is_over = state is TransferState.DONE
        return Transfer(
            id=self.id,
            sae=self.peer.sae,
            place=self.peer.place,
            names=tuple(file.name for file in self.files),
            size_bytes=self.size_bytes,
            mode=self.mode,
            state=state,
            sent_bytes=self.size_bytes if is_over else min(seen.done_bytes, self.size_bytes),
            begun_unix_s=self.begun_unix_s,
            who=self.who,
            rate_bps=seen.rate_bps,
            left_s=seen.eta_s,
            wait_s=wait_s(self) if state is TransferState.WAITING_FOR_KEY else None,
            problem=self.problem or (seen.note if state is TransferState.WAITING_FOR_SITE else ""),
            is_simulated=is_simulated,
            receipt=receipt,
            trouble=self.trouble,
        )


class Sendings:
    """All of them, the newest first. Any thread may call."""

    def __init__(
        self,
        keys: KeySource,
        at_once: int,
        on_receipt: Callable[[Sending, Receipt], None],
        complain: Callable[[str], None],
        sender: Send = send,
    ) -> None:
        self._keys: Final = keys
        self._turns: Final = threading.BoundedSemaphore(at_once)
        self._on_receipt: Final = on_receipt
        self._complain: Final = complain
        self._send: Final = sender
        self._lock: Final = threading.Lock()
        self._all: list[Sending] = []
        self._is_closed = False

    @property
    def all(self) -> Sequence[Sending]:
        with self._lock:
            return list(self._all)

    def begin(self, settings: SaeSettings, sending: Sending) -> None:
        """Send it in its turn. Raises Declined where too many wait."""
        with self._lock:
            waiting = sum(s.state is None or not s.state.is_over for s in self._all)
            if self._is_closed or waiting >= _WAITING_MOST:
                why = f"{waiting} transfers are on their way or wait already: try again in a while"
                raise Declined(Trouble.BUSY, why)
            over = [s for s in self._all if s.state is not None and s.state.is_over]
            for old in over[_KEPT:]:
                self._all.remove(old)
            self._all.insert(0, sending)
        threading.Thread(target=self._run, args=(settings, sending), name="sending", daemon=True).start()

    def stop(self, key: str) -> bool:
        """Ask one to end."""
        found = next((s for s in self.all if s.id == key), None)
        if found is None or (found.state is not None and found.state.is_over):
            return False
        found.progress.stop()
        return True

    def close(self) -> None:
        """Ask all to end; what they wait for is given up."""
        with self._lock:
            self._is_closed = True
        for sending in self.all:
            sending.progress.stop()

    def _run(self, settings: SaeSettings, sending: Sending) -> None:
        try:
            while not self._turns.acquire(timeout=0.2):
                if sending.progress.is_stopping:
                    sending.state = TransferState.STOPPED
                    return
            try:
                self._send_one(settings, sending)
            finally:
                self._turns.release()
        finally:
            sending.done()

    def _send_one(self, settings: SaeSettings, sending: Sending) -> None:
        sending.state = None
        try:
            receipt = self._send(
                settings,
                self._keys,
                sending.peer,
                sending.files,
                sending.progress,
                one_time=sending.one_time,
                when_ready=True,
            )
            sending.receipt = receipt
            self._on_receipt(sending, receipt)
            sending.state = TransferState.DONE
        except Stopped:
            sending.state = TransferState.STOPPED
        except PoliqiError as error:
            self._fail(sending, str(error), trouble_of(error))
        except Exception as error:
            # nobody else hears of what goes wrong in this thread
            self._fail(sending, f"failed inside: {type(error).__name__}", Trouble.INSIDE)

    def _fail(self, sending: Sending, why: str, trouble: Trouble) -> None:
        sending.problem, sending.trouble = why, trouble
        sending.state = TransferState.FAILED
        self._complain(f"{sending.id} to {sending.peer.sae}: {why}")
