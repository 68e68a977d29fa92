"""One peer of a site: its connection, what waits to be sent to it, what waits for its answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.keys.messages import Message, encode
from poliqi.keys.requests import Key, Outcome, Refused, Ticket
from poliqi.keys.run import Run
from poliqi.keys.segment import SegmentName

if TYPE_CHECKING:
    from poliqi.keys.ledger import Ledger

_BATCH_BYTES: Final = 1 << 18

__all__ = ["FetchBatch", "Order", "OrderBatch", "PeerLink"]


@dataclass(slots=True)
class Order:
    """Keys on their way to a master: they go out when every site has answered and `mark` is durable."""

    ticket: Ticket
    keys: list[Key]
    outcome: Outcome | None = None
    runs: list[Run] = field(default_factory=list[Run])
    waiting: int = 0
    mark: int = 0
    refusal: Refused | None = None


@dataclass(slots=True)
class OrderBatch:
    """Runs that go to one peer in one frame, and the orders that need them."""

    runs: list[Run] = field(default_factory=list[Run])
    orders: list[tuple[Order, frozenset[int]]] = field(default_factory=list[tuple[Order, frozenset[int]]])
    """Each order with the places of its runs in the batch."""
    tags: dict[int, bytes] = field(default_factory=dict[int, bytes])
    names: dict[int, list[bytes]] = field(default_factory=dict[int, list[bytes]])
    """Names of the keys of runs that were worked out already, by the runs' places."""
    after: int = 0
    sent_at: float = 0.0

    weight: int = 0
    """About how many bytes the values, names and grades of `runs` take in a frame."""

    def add(self, run: Run) -> int:
        """One run more; its place."""
        self.runs.append(run)
        self.weight += len(run.ids or b"") + len(run.cipher or b"")
        if run.grade is not None:
            self.weight += len(run.grade.proof) + sum(len(site) for path in run.grade.paths for site in path)
        return len(self.runs) - 1

    @property
    def is_full(self) -> bool:
        """True where one order more might not fit into a frame."""
        return len(self.runs) > 1024 or self.weight > _BATCH_BYTES


@dataclass(slots=True)
class FetchBatch:
    """Keys of one peer's runs that are about to be delivered, and the tickets that wait."""

    runs: list[Run] = field(default_factory=list[Run])
    masks: list[int] = field(default_factory=list[int])
    again: list[bool] = field(default_factory=list[bool])
    tickets: list[tuple[Ticket, list[Key], frozenset[int], int]] = field(
        default_factory=list[tuple[Ticket, list[Key], frozenset[int], int]]
    )
    """Each with its keys, the places that it needs, and the mark that must be durable."""
    sent_at: float = 0.0


class PeerLink:
    """The state of the stream to one peer. `is_live` once both ends have said who they are."""

    __slots__ = (
        "_after",
        "_queue",
        "boot",
        "connection",
        "done",
        "fetch_batch",
        "fetching",
        "given",
        "is_live",
        "kem_epoch",
        "kme",
        "met",
        "next_batch",
        "order_batch",
        "ordering",
        "pools",
    )

    def __init__(self, kme: KmeId) -> None:
        self.kme: Final = kme
        self.connection = 0
        self.is_live = False
        self.boot = b""
        self.next_batch = 1
        self.order_batch: OrderBatch | None = None
        self.ordering: dict[int, OrderBatch] = {}
        self.fetch_batch: FetchBatch | None = None
        self.fetching: dict[int, FetchBatch] = {}
        self.done: list[int] = []
        """Runs of the peer that are delivered whole, which it has not been told."""
        self.pools: frozenset[LinkId] = frozenset()
        """Pools that the peer named in its hello."""
        self.met: set[int] = set()
        """Segments of which the peer has said, on this connection, how far they are used."""
        self.given: set[SegmentName] = set()
        """Segments given to the peer on this connection; its offers may not know of it yet."""
        self.kem_epoch = 0
        self._queue: list[tuple[int, bytes]] = []
        self._after = 0

    def open(self) -> int:
        """A connection was made; its number. What belonged to an earlier one is the caller's to clear first."""
        self.connection += 1
        self._queue.clear()
        self._after = 0
        self.given.clear()
        self.met.clear()
        return self.connection

    def close(self) -> None:
        """The connection is gone."""
        self.is_live = False
        self.boot = b""
        self._queue.clear()

    def new_batch(self) -> int:
        """A number for a batch, growing for ever."""
        self.next_batch += 1
        return self.next_batch - 1

    def send(self, message: Message, after: int = 0) -> None:
        """Queue a message that may leave once mark `after` is durable; messages keep their order."""
        self._after = max(self._after, after)
        self._queue.append((self._after, encode(message)))

    def take_frames(self, ledger: Ledger) -> list[bytes]:
        """The frames that may leave now."""
        due = 0
        for after, _ in self._queue:
            if after > ledger.committed:
                break
            due += 1
        frames = [frame for _, frame in self._queue[:due]]
        del self._queue[:due]
        return frames
