"""What the parts of a site's key management share: policy, stock, runs, peers, what to tell the owner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.base.secret import Entropy
from poliqi.keys.combine import combine, combiner_context
from poliqi.keys.grade import Combiner, Grade
from poliqi.keys.kem import ALGORITHM, KemSecret
from poliqi.keys.keyid import derived_ids
from poliqi.keys.ledger import Ledger
from poliqi.keys.marks import Audited
from poliqi.keys.peer import PeerLink
from poliqi.keys.run import Run
from poliqi.keys.runs import Runs
from poliqi.keys.segment import SegmentRecord
from poliqi.keys.stock import Pool, Stock

if TYPE_CHECKING:
    from poliqi.keys.policy import Policy, RateLimiter

__all__ = ["DeskState", "EventKind", "KmeEvent"]


class EventKind(StrEnum):
    """What an operator may want to know."""

    PEER_UP = "peer-up"
    PEER_DOWN = "peer-down"
    PEER_ROLLED_BACK = "peer-rolled-back"
    SEGMENT_MISMATCH = "segment-mismatch"
    SEGMENT_DAMAGED = "segment-damaged"
    PROMISE_REFUSED = "promise-refused"
    BLOCK_REFUSED = "block-refused"
    LOW_STOCK = "low-stock"
    RELAY_REFUSED = "relay-refused"
    RELAY_DONE = "relay-done"
    KEM_AGREED = "kem-agreed"


@dataclass(frozen=True, slots=True)
class KmeEvent:
    """Something happened; `text` is one line for people and never holds key material."""

    kind: EventKind
    text: str
    peer: KmeId | None = None


@dataclass(slots=True)
class DeskState:
    """The one state that orders, fetches and meetings work on."""

    own: KmeId
    policy: Policy
    limiter: RateLimiter
    ledger: Ledger
    stock: Stock
    runs: Runs
    entropy: Entropy
    links: dict[KmeId, PeerLink]
    pools_to: dict[KmeId, list[Pool]]
    kem_secrets: dict[tuple[KmeId, int], KemSecret]
    next_run: int
    own_ids: dict[bytes, list[Run]] = field(default_factory=dict[bytes, list[Run]])
    """Runs of one's own whose keys have names of their own."""
    events: list[KmeEvent] = field(default_factory=list[KmeEvent])
    failed: str = ""
    """Why nothing is served any more; empty while all is well."""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    taken: dict[tuple[SaeId, KmeId], int] = field(default_factory=dict[tuple[SaeId, KmeId], int])
    """Bytes given since the start to each master, by the site that holds their other end."""

    def tell(self, kind: EventKind, text: str, peer: KmeId | None = None) -> None:
        """Add an event; the list is bounded, for an owner who does not listen."""
        if len(self.events) < 10_000:
            self.events.append(KmeEvent(kind, text, peer))

    def count(self, what: str, amount: int = 1) -> None:
        """Count something for the metrics."""
        self.counts[what] = self.counts.get(what, 0) + amount

    def took(self, master: SaeId, pool: Pool, size: int) -> None:
        """Count bytes that a master gets out of a pool."""
        pool.taken_bytes += size
        place = master, pool.peer
        self.taken[place] = self.taken.get(place, 0) + size

    def audit(self, event: str, **detail: object) -> int:
        """Write a line of the audit; the number of its mark."""
        return self.ledger.write(Audited(event, detail))

    def new_run_number(self) -> int:
        """A number for a run of one's own."""
        self.next_run = (self.next_run + 1) & ((1 << 63) - 1)
        return self.next_run

    def know_names(self, names: Iterable[bytes], run: Run) -> None:
        """A run of one's own whose keys have names of their own; one key may go to several sites."""
        for name in names:
            self.own_ids.setdefault(name, []).append(run)

    def forget_names(self, run: Run) -> None:
        """The run is over."""
        for start in range(0, len(run.ids or b""), 16):
            name = (run.ids or b"")[start : start + 16]
            left = [other for other in self.own_ids.get(name, ()) if other is not run]
            if left:
                self.own_ids[name] = left
            else:
                self.own_ids.pop(name, None)

    def names(self, run: Run) -> list[bytes]:
        """Names of all keys of a run; empty where the pool's secret or the segment is gone."""
        if run.ids is not None:
            return [run.ids[i : i + 16] for i in range(0, len(run.ids), 16)]
        record = self.stock.by_number.get(run.segment)
        if record is None:
            return []
        secret = self.stock.pools[record.pool].secret
        if secret is None:
            return []
        place = (record.pool, record.name, record.owner, run.offset, run.size, run.count)
        return derived_ids(secret, *place)

    def grade_of(self, run: Run, record: SegmentRecord) -> Grade:
        """The grade that a run's keys have when delivered."""
        grade = record.grade if run.grade is None else run.grade
        return grade if run.combiner is Combiner.NONE else grade.with_combiner(run.combiner)

    def combined(self, value: bytes, run: Run, key_id: bytes) -> bytes | None:
        """The value with the run's post-quantum secret mixed in; None where that secret is gone."""
        if run.combiner is Combiner.NONE:
            return value
        kem = self.kem_secrets.get((run.peer, run.kem_epoch))
        if kem is None:
            return None
        first, second = sorted((self.own, run.peer))
        place = LinkId(f"{first}~{second}")
        context = combiner_context(ALGORITHM, place, run.kem_epoch, kem.transcript, run.master, run.slaves)
        return combine(run.combiner, value, bytes(kem.secret.view()), context + key_id)

    def pools_for(self, peer: KmeId, wanted: LinkId | None) -> list[Pool]:
        """The pools shared with a peer, or the one that is wanted."""
        pools = self.pools_to.get(peer, [])
        return pools if wanted is None else [p for p in pools if p.link_id == wanted]

    def refusal_of_grade(self, master: SaeId, slaves: tuple[SaeId, ...], grade: Grade) -> str | None:
        """Why some slave's association does not allow this grade; None where all do."""
        for slave in slaves:
            reason = self.policy.judge_grade(master, slave, grade)
            if reason is not None:
                return reason
        return None
