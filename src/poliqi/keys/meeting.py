"""Two sites meet: who are you, since when, what do you hold; and the life of segments from then on.

On every connection both ends say which start of which store they are and how far each segment is used. A range that
either end has seen used is used: a store that was set back or copied goes on where its peer remembers it to be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.desk_state import DeskState, EventKind
from poliqi.keys.grade import Authenticity
from poliqi.keys.marks import Ingested, PeerMemory, PeerRemembered, SecretKept, StoredState, Vault
from poliqi.keys.messages import VERSION, Ask, Give, Gone, Hello, Offer, Offers, PoolSecret
from poliqi.keys.peer import PeerLink
from poliqi.keys.requests import Accepted, Block, Outcome, Reason, Refused, Ticket
from poliqi.keys.segment import (
    SegmentName,
    SegmentRecord,
    SegmentState,
    comparison_tag,
    cut,
    first_usable,
    owner_of,
)
from poliqi.keys.stock import Pool

__all__ = ["Meetings"]

_OFFERS: Final = 1024
_ASK_S: Final = 5.0
_NO_TAG: Final = bytes(16)


class Meetings:
    """Hellos, offers of segments, ingest, and the sharing of stock."""

    def __init__(self, state: DeskState, stored: StoredState, vault: Vault) -> None:
        self._s: Final = state
        self._vault: Final = vault
        self._instance: Final = stored.instance
        self._generation: Final = stored.generation
        self._boots: Final = stored.boots
        self._remembered: Final = stored.peers
        self._asked_at: Final[dict[LinkId, float]] = {}
        self._told: Final[dict[KmeId, int]] = {}
        self._tags: Final[dict[int, tuple[bytes, bytes]]] = {}
        self._fresh: Final[set[tuple[LinkId, bytes]]] = set()
        """Blocks whose names are not durable yet."""
        self.is_awaited: Callable[[bytes], bool] = lambda _block: False
        """Whether a block of this name may still come by relay."""
        self.confirmed: Callable[[SegmentRecord], None] = lambda _record: None
        """Called when a segment turns out to be the same at both ends."""

    # ---------------------------------------------------------------- hello

    def hello(self, link: PeerLink) -> None:
        """Begin a connection."""
        pools = [(str(p.link_id), _digest(p.secret)) for p in self._s.pools_to.get(link.kme, [])]
        boots = list(self._boots)
        link.send(
            Hello(VERSION, VERSION, self._s.own, self._instance, self._generation, boots, pools),
            self._s.ledger.emitted,
        )

    def greeted(self, link: PeerLink, hello: Hello) -> None:
        """The peer says who it is: remember it, agree on pool secrets, offer what is held."""
        s = self._s
        if hello.kme != link.kme:
            raise ProtocolError(f"the peer calls itself {hello.kme}, its certificate says {link.kme}")
        if hello.lowest > VERSION or hello.highest < VERSION:
            raise ProtocolError(
                f"{link.kme} speaks versions {hello.lowest} to {hello.highest} of the protocol, this site "
                f"{VERSION}; upgrade the older of the two"
            )
        self._compare_with_memory(link, hello)
        boot = hello.boots[-1]
        memory = PeerMemory(hello.instance, boot, hello.generation)
        self._remembered[link.kme] = memory
        s.ledger.write(PeerRemembered(link.kme, memory))
        link.boot = boot
        link.pools = frozenset(LinkId(name) for name, _ in hello.pools)
        link.is_live = True
        theirs = dict(hello.pools)
        for pool in s.pools_to.get(link.kme, []):
            self._agree_on_secret(link, pool, theirs.get(pool.link_id))
        s.tell(EventKind.PEER_UP, f"connected with {link.kme} (start {hello.generation})", link.kme)
        for pool in s.pools_to.get(link.kme, []):
            self.offer(link, pool.segments.values())

    def _compare_with_memory(self, link: PeerLink, hello: Hello) -> None:
        before = self._remembered.get(link.kme)
        if before is None:
            return
        if before.instance != hello.instance:
            what = "has a new store, and keys that were under way with the old one are lost"
            for run in [r for r in self._s.runs if r.peer == link.kme]:
                self._s.forget_names(run)
                self._s.runs.drop(run)
        elif before.boot not in hello.boots:
            what = "does not know its own last start"
        else:
            return
        self._set_back(link, what)

    def _set_back(self, link: PeerLink, what: str) -> None:
        """Say it once for each connection."""
        if self._told.get(link.kme) == link.connection:
            return
        self._told[link.kme] = link.connection
        text = f"{link.kme} {what}: its store was replaced, set back to an old copy, or runs twice"
        self._s.audit("peer-set-back", peer=link.kme, what=what)
        self._s.tell(EventKind.PEER_ROLLED_BACK, text, link.kme)

    def _agree_on_secret(self, link: PeerLink, pool: Pool, digest: bytes | None) -> None:
        s = self._s
        if digest is None:
            s.tell(
                EventKind.PEER_UP,
                f"{link.kme} does not know link {pool.link_id}; name it in its site.toml",
                link.kme,
            )
            return
        if digest and digest == _digest(pool.secret):
            return
        if s.own < link.kme:
            if pool.secret is None:
                pool.secret = s.entropy.draw(32)
                s.ledger.write(SecretKept(link.kme, f"pool {pool.link_id}", SecretBytes(pool.secret)))
            link.send(PoolSecret(pool.link_id, pool.secret), s.ledger.emitted)
        else:
            pool.secret = None

    def pool_secret(self, link: PeerLink, message: PoolSecret) -> None:
        """The other end gives the pool's secret."""
        s = self._s
        pool = s.stock.pools.get(LinkId(message.pool))
        if pool is None or pool.peer != link.kme or s.own < link.kme:
            raise ProtocolError(f"{link.kme} gives a secret for pool {message.pool!r}, which is not its to give")
        pool.secret = message.secret
        s.ledger.write(SecretKept(link.kme, f"pool {pool.link_id}", SecretBytes(message.secret)))
        self.offer(link, [r for r in pool.segments.values() if not first_usable(r.size)])

    # ---------------------------------------------------------------- segments

    def ingest(self, block: Block) -> Ticket:
        """Take a block into stock; the same block again is accepted and changes nothing."""
        ticket = Ticket()
        s = self._s
        pool = s.stock.pools.get(block.pool)
        refused = self._ingest_refusal(block, pool)
        if refused is not None or pool is None:
            block.key.close()
            s.tell(EventKind.BLOCK_REFUSED, f"block for link {block.pool} refused: {refused and refused.message}")
            ticket.settle(refused or Refused(Reason.NO_ROUTE, "no such link"))
            return ticket
        if not self._is_known(pool, block.name):
            self._store(pool, block)
        block.key.close()
        outcome: Outcome = Accepted()
        s.ledger.when(s.ledger.emitted, lambda: ticket.settle(outcome))
        return ticket

    def _is_known(self, pool: Pool, name: bytes) -> bool:
        """True for a block that came before: here, on its way to the disk, or used up long ago."""
        if SegmentName(name, 0) in pool.segments or (pool.link_id, name) in self._fresh:
            return True
        return self._vault.has_seen(pool.link_id, name)

    def _ingest_refusal(self, block: Block, pool: Pool | None) -> Refused | None:
        s = self._s
        if s.failed:
            return Refused(Reason.UNAVAILABLE, s.failed, 5.0)
        if pool is None:
            return Refused(Reason.NO_ROUTE, f"no link {block.pool} is configured at {s.own}")
        if len(block.name) != 16 or len(block.key) == 0:
            return Refused(
                Reason.BAD_REQUEST, f"a block has a name of 16 bytes and some key, not {len(block.name)}"
            )
        why = s.policy.judge_origin(block.grade.origin)
        if why is not None:
            return Refused(Reason.NOT_PERMITTED, why)
        if pool.stored_bytes + len(block.key) > pool.capacity:
            text = (
                f"link {block.pool} holds {pool.stored_bytes} bytes of at most {pool.capacity}; keys wait outside"
            )
            return Refused(Reason.INSUFFICIENT, text, 10.0)
        return None

    def _store(self, pool: Pool, block: Block, owner: KmeId | None = None) -> None:
        """Cut a block into segments; each belongs to one end by the common rule, or all to `owner`."""
        s = self._s
        grade = block.grade
        if not grade.paths:
            ends = sorted((s.own, pool.peer))
            grade = replace(grade, paths=(tuple(ends),))
        if not first_usable(len(block.key)):  # too short for a one-time tag: compared by a computational one
            grade = replace(grade, epsilon=None, authenticity=Authenticity.COMPUTATIONAL)
        view = block.key.view()
        added: list[SegmentRecord] = []
        for part, (start, end) in enumerate(cut(len(view))):
            name = SegmentName(block.name, part)
            payload = SecretBytes(view[start:end])
            size = end - start
            tag = comparison_tag(payload, pool.link_id, name, grade, b"") if first_usable(size) else _NO_TAG
            whose = owner or owner_of(name, s.own, pool.peer)
            record = SegmentRecord(s.stock.new_number(), pool.link_id, name, whose, size, grade, tag)
            s.stock.add(record)
            pool.own_filled_bytes += size if whose == s.own else 0
            s.stock.hold(record, payload, s.ledger.write(Ingested(record, payload)))
            added.append(record)
        place = pool.link_id, block.name
        self._fresh.add(place)
        s.ledger.when(s.ledger.emitted, lambda: self._fresh.discard(place))
        s.count("blocks_ingested")
        s.count("bytes_ingested", len(view))
        pool.filled_bytes += len(view)
        link = s.links[pool.peer]
        if link.is_live:
            self.offer(link, added)

    def take_relayed(self, block: Block, owner: KmeId) -> None:
        """Store a block that came by relay: its initiator owns all of it."""
        pool = self._s.stock.pools[block.pool]
        if self._is_known(pool, block.name):
            return
        self._store(pool, block, owner)
        block.key.close()

    def offer(self, link: PeerLink, records: Iterable[SegmentRecord]) -> None:
        """Tell the peer which segments are held here; what was just stored must be durable first."""
        entries: list[Offer] = []
        for r in records:
            tag = self._tag(r)
            if tag is not None:
                entries.append(Offer(r.pool, r.name.block, r.name.part, r.size, r.owner, tag, r.leased))
        for start in range(0, len(entries), _OFFERS):
            link.send(Offers(entries[start : start + _OFFERS]), self._s.ledger.emitted)

    def _tag(self, record: SegmentRecord) -> bytes | None:
        """A segment's tag; that of an unproven one depends on the pool's secret."""
        if first_usable(record.size):
            return record.tag
        secret = self._s.stock.pools[record.pool].secret
        if secret is None:
            return None
        known = self._tags.get(record.number)
        if known is not None and known[0] == secret:
            return known[1]
        bits = self._s.stock.bits(record)
        if bits is None:
            return None
        tag = comparison_tag(SecretBytes(bits), record.pool, record.name, record.grade, secret)
        if len(self._tags) > 2 * len(self._s.stock.by_number) + 1024:
            self._tags.clear()
        self._tags[record.number] = secret, tag
        return tag

    def offered(self, link: PeerLink, offers: Offers) -> None:
        """The peer's segments: equal ones become usable, unequal ones are destroyed at both ends."""
        news: list[SegmentRecord] = []
        gone: list[tuple[str, bytes, int]] = []
        for entry in offers.entries:
            pool = self._s.stock.pools.get(LinkId(entry.pool))
            if pool is None or pool.peer != link.kme:
                continue
            record = pool.segments.get(SegmentName(entry.block, entry.part))
            if record is None:
                is_orphan = pool.is_relayed and entry.owner == self._s.own and not self.is_awaited(entry.block)
                if is_orphan or self._vault.has_seen(pool.link_id, entry.block):
                    gone.append((entry.pool, entry.block, entry.part))
            elif (tag := self._tag(record)) is None:
                continue  # nothing to compare it with yet
            elif not self._matches(link, record, entry, tag):
                gone.append((entry.pool, entry.block, entry.part))
            elif record.state is SegmentState.STORED:
                self._s.stock.ready(record)
                self.confirmed(record)
                news.append(record)
        if gone:
            link.send(Gone(gone), self._s.ledger.emitted)
        if news:
            self.offer(link, news)

    def _matches(self, link: PeerLink, record: SegmentRecord, entry: Offer, tag: bytes) -> bool:
        """Compare a segment with what the peer says of it, and burn what the peer has seen used."""
        s = self._s
        if tag != entry.tag or record.size != entry.size:
            place = f"{record.name.block.hex()}/{record.name.part} of {record.pool}"
            s.tell(EventKind.SEGMENT_MISMATCH, f"segment {place} differs at {link.kme}: destroyed", link.kme)
            s.audit("segment-mismatch", pool=record.pool, block=record.name.block.hex(), part=record.name.part)
            s.stock.drop(record)
            return False
        if entry.owner != record.owner and record.name not in link.given:
            if entry.leased or record.leased:
                s.stock.drop(record)
                return False
            rightful = owner_of(record.name, s.own, link.kme)  # a gift was lost: both ends decide alike
            if record.owner != rightful:
                s.stock.change_owner(record, rightful)
        if record.owner == s.own:
            s.stock.burn_to(record, entry.leased)
        elif entry.leased < record.leased:
            self._set_back(link, f"has forgotten the use of {record.leased - entry.leased} bytes of {record.pool}")
        link.met.add(record.number)
        return True

    def gone(self, link: PeerLink, message: Gone) -> None:
        """The peer no longer holds these segments."""
        for pool_id, block, part in message.entries:
            pool = self._s.stock.pools.get(LinkId(pool_id))
            record = None if pool is None or pool.peer != link.kme else pool.segments.get(SegmentName(block, part))
            if record is not None:
                self.retire(record)

    def retire(self, record: SegmentRecord) -> None:
        """Destroy a segment now, or once the last key in it was fetched."""
        s = self._s
        if s.runs.holds_segment(record.number) and record.owner != s.own:
            s.stock.retiring.add(record.number)
        else:
            s.stock.drop(record)

    # ---------------------------------------------------------------- sharing

    def ask_for_more(self, link: PeerLink, pool: Pool, now: float) -> None:
        """Ask the peer for some of its share where one's own runs low."""
        if (
            not link.is_live
            or pool.own_bytes >= pool.low_water
            or now - self._asked_at.get(pool.link_id, -9e9) < _ASK_S
        ):
            return
        self._asked_at[pool.link_id] = now
        link.send(Ask(pool.link_id, max(1, pool.low_water - pool.own_bytes)))

    def asked_for_more(self, link: PeerLink, message: Ask) -> None:
        """Give untouched segments away, as long as more than the low-water mark stays."""
        s = self._s
        pool = s.stock.pools.get(LinkId(message.pool))
        if pool is None or pool.peer != link.kme:
            return
        given: list[tuple[str, bytes, int]] = []
        size = 0
        for record in reversed(list(pool.own.values())):
            keeps = pool.own_bytes - record.size
            if size >= message.size or keeps < max(pool.low_water, size + record.size):
                break
            if s.stock.is_untouched(record):
                s.stock.change_owner(record, link.kme)
                link.given.add(record.name)
                given.append((pool.link_id, record.name.block, record.name.part))
                size += record.size
        if given:
            link.send(Give(given), s.ledger.emitted)

    def given(self, link: PeerLink, message: Give) -> None:
        """Segments that the peer gave away."""
        for pool_id, block, part in message.entries:
            pool = self._s.stock.pools.get(LinkId(pool_id))
            record = None if pool is None or pool.peer != link.kme else pool.segments.get(SegmentName(block, part))
            if record is not None and record.owner == link.kme and record.leased == 0:
                self._s.stock.change_owner(record, self._s.own)


def _digest(secret: bytes | None) -> bytes:
    return b"" if secret is None else hashlib.sha256(b"poliqi pool secret\x00" + secret).digest()[:16]
