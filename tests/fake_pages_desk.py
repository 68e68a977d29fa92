"""An application's desk in memory, for tests of its pages: nothing is sent, everything can be set."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from poliqi.apps.keygrade import Knowledge
from poliqi.apps.keysource import Supply
from poliqi.apps.stream.terms import Mode, Policy
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.ops.sae_web import (
    Arrival,
    ArrivedFile,
    DeskView,
    Direction,
    Estimate,
    Neighbour,
    ReceiptView,
    Transfer,
    TransferState,
)

__all__ = ["NOW_S", "FakePagesDesk", "sample_view"]

NOW_S = 1_790_000_000.0


def supply(available_bytes: int, rate_bps: float | None, is_connected: bool = True) -> Supply:
    return Supply(available_bytes, rate_bps, 8, 1024, 128, is_connected)


def neighbours() -> tuple[Neighbour, ...]:
    return (
        Neighbour(SaeId("hospital"), "Bovisa", True, Policy.STRICT, supply(1_250_000, 24_000.0)),
        Neighbour(SaeId("defence"), "Santa Barbara", True, Policy.ITS, supply(40_000, 8_000.0)),
        Neighbour(SaeId("bank"), "Intesa", True, Policy.HYBRID, supply(0, None)),
        Neighbour(SaeId("region"), "ARIA", True, Policy.PQC_FALLBACK, None, "the site does not answer"),
    )


KEYS = ("3f0a1e6c-7d6b-4f4e-9d6c-0d8e5a0a1b2c", "8a4b3c2d-1e0f-4a5b-8c7d-6e5f4a3b2c1d")
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def sample_view() -> DeskView:
    """Something of everything."""
    going = Transfer(
        "t1", SaeId("hospital"), "Bovisa", ("ct-thorax.dcm",), 180_000_000, Mode.QUANTUM, TransferState.SENDING,
        61_000_000, NOW_S - 2, "anna", 950e6, 1.0, None, "", True,
    )  # fmt: skip
    waiting = replace(
        going, id="t2", names=("key.pdf", "b.pdf"), state=TransferState.WAITING_FOR_KEY,
        mode=Mode.ONE_TIME, wait_s=130.0, sent_bytes=0, rate_bps=None, left_s=None,
    )  # fmt: skip
    done = replace(going, id="t3", state=TransferState.DONE, sent_bytes=180_000_000, receipt="r1")
    sent = ReceiptView(
        "r1", Direction.SENT, SaeId("hospital"), "Bovisa", NOW_S - 60, "lab", "anna", Mode.QUANTUM,
        "ct-thorax.dcm", 1, 180_000_000, 2, KEYS, None, HASH, True, Knowledge.RELAYED,
    )  # fmt: skip
    received = replace(
        sent, id="r2", direction=Direction.RECEIVED, mode=Mode.ONE_TIME, epsilon=1.2e-9, name="referto.pdf +1",
        size_bytes=14, who="", sender="hospital", count=2,
    )  # fmt: skip
    files = (ArrivedFile(0, "referto.pdf", 9), ArrivedFile(1, "images/<b>1.dcm", 5))
    arrival = Arrival(
        "a1", "referto.pdf +1", SaeId("hospital"), "Bovisa", NOW_S - 3600, 2, 14, Mode.ONE_TIME, True, files, "r2"
    )  # fmt: skip
    return DeskView(
        SaeId("lab"), "Leonardo", True, NOW_S, neighbours(), (going, waiting, done), (arrival,), (sent, received)
    )


@dataclass
class FakePagesDesk:
    """`sent` is what was begun: names and contents, peer, one-time or not, who; `release` ends them."""

    now: DeskView = field(default_factory=sample_view)
    sent: list[tuple[dict[str, bytes], str, bool, str]] = field(default_factory=list)
    done: list[Callable[[], None]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    contents: dict[int, bytes] = field(default_factory=lambda: {0: b"%PDF-1.7\n", 1: b"<b>hi"})
    refuses: str = ""
    looks: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def view(self) -> DeskView:
        with self.lock:
            self.looks += 1
            return self.now

    def set(self, **more: object) -> None:
        with self.lock:
            self.now = replace(self.now, **more)

    def _peer(self, peer: SaeId) -> Neighbour:
        found = next((n for n in self.now.neighbours if n.sae == peer), None)
        if found is None:
            raise ConfigError(f"{peer}: no application of this name")
        return found

    def estimate(self, peer: SaeId, size_bytes: int, one_time: bool) -> Estimate:
        found = self._peer(peer)
        is_pad = one_time or found.policy is Policy.ITS
        needed = size_bytes + 64 if is_pad else 64
        mode = Mode.ONE_TIME if is_pad else Mode.HYBRID if found.policy is Policy.HYBRID else Mode.QUANTUM
        if found.supply is None:
            return Estimate(mode, needed, None, None)
        return Estimate(mode, needed, found.supply.available_bytes, found.supply.seconds_until(needed))

    def begin(self, files: Sequence[Path], peer: SaeId, one_time: bool, who: str, done: Callable[[], None]) -> str:
        if self.refuses:
            raise ConfigError(self.refuses)
        place = self._peer(peer).place
        contents = {file.name: file.read_bytes() for file in files}
        self.sent.append((contents, str(peer), one_time, who))
        self.done.append(done)
        made = Transfer(
            f"new{len(self.sent)}", peer, place, tuple(contents), sum(map(len, contents.values())), Mode.QUANTUM,
            TransferState.SENDING, 0, NOW_S, who, is_simulated=True,
        )  # fmt: skip
        self.set(transfers=(made, *self.now.transfers))
        return made.id

    def finish(self) -> None:
        """The newest transfer arrives."""
        newest, *rest = self.now.transfers
        receipt = replace(
            self.now.receipts[0], id="new-receipt", name=newest.names[0], place=newest.place, who=newest.who
        )
        over = replace(newest, state=TransferState.DONE, sent_bytes=newest.size_bytes, receipt=receipt.id)
        self.set(transfers=(over, *rest), receipts=(receipt, *self.now.receipts))
        self.done[-1]()

    def stop(self, transfer: str) -> bool:
        self.stopped.append(transfer)
        return True

    def receipt(self, receipt: str) -> bytes | None:
        known = any(r.id == receipt for r in self.now.receipts)
        return json.dumps({"receipt": receipt}).encode() if known else None

    def open(self, arrival: str, number: int) -> BinaryIO | None:
        return io.BytesIO(self.contents[number]) if arrival == "a1" and number in self.contents else None
