"""The key management entity of a site: commands and frames in, frames and outcomes out; no IO, no clock.

Its owner hands over what peers send and what applications ask, makes the marks durable in between, and sends what
`take_frames` gives. Both sites of a key have it on disk as used before it leaves either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.base.secret import Entropy
from poliqi.keys.agreeing import Agreements
from poliqi.keys.desk_state import DeskState, EventKind, KmeEvent
from poliqi.keys.fetches import Fetches
from poliqi.keys.grade import Grade
from poliqi.keys.kem import KemSecret
from poliqi.keys.ledger import Ledger
from poliqi.keys.marks import Mark, StoredState, Vault
from poliqi.keys.meeting import Meetings
from poliqi.keys.messages import (
    Ask,
    Give,
    Gone,
    Hello,
    KemMessage,
    Message,
    Notice,
    Offers,
    ParcelMessage,
    PoolSecret,
    Promise,
    PromiseAnswer,
    Use,
    UseAnswer,
    Void,
    VoidAnswer,
    decode,
)
from poliqi.keys.orders import Orders
from poliqi.keys.peer import PeerLink
from poliqi.keys.policy import KeyLimits, Policy, RateLimiter
from poliqi.keys.relaying import RelayRoute, Relays
from poliqi.keys.requests import (
    Accepted,
    Block,
    Delivered,
    KeyOrder,
    Reason,
    Refused,
    Shipment,
    StockReport,
    Ticket,
)
from poliqi.keys.run import Run
from poliqi.keys.runs import Runs
from poliqi.keys.shipments import Shipments
from poliqi.keys.stock import Pool, Stock

__all__ = ["Kme", "SharedPool"]

_ANSWER_S: Final = 10.0
_TICK_S: Final = 0.25
_LEAST_TICK_S: Final = 0.01
_READBACK: Final = 100


@dataclass(frozen=True, slots=True)
class SharedPool:
    """A pool that this site shares with a peer. Sizes in bytes."""

    link_id: LinkId
    peer: KmeId
    capacity: int = 1 << 32
    low_water: int = 1 << 17
    is_relayed: bool = False


class Kme:
    """One start of one site's key management."""

    def __init__(
        self,
        site: KmeId,
        pools: Sequence[SharedPool],
        policy: Policy,
        stored: StoredState,
        vault: Vault,
        entropy: Entropy,
        now: float,
        peers: Sequence[KmeId] = (),
    ) -> None:
        """`peers` are sites to talk to beside those that a pool is shared with."""
        self.site: Final = site
        self.ledger: Final = Ledger()
        self._s: Final = DeskState(
            own=site,
            policy=policy,
            limiter=RateLimiter(policy),
            ledger=self.ledger,
            stock=Stock(site, self.ledger, vault, {}, stored.next_segment),
            runs=Runs(self.ledger),
            entropy=entropy,
            links={},
            pools_to={},
            kem_secrets={},
            next_run=int.from_bytes(entropy.draw(8), "big") >> 1,
        )
        self._orders: Final = Orders(self._s)
        self._fetches: Final = Fetches(self._s)
        self._shipments: Final = Shipments(self._s, self._orders, vault)
        self._meetings: Final = Meetings(self._s, stored, vault)
        self._relays: Final = Relays(self._s, self._meetings)
        self._agreements: Final = Agreements(self._s)
        self._low: Final[set[LinkId]] = set()
        self._own_tickets: Final[dict[SaeId, deque[Ticket]]] = {}
        self._notices: Final[list[tuple[KmeId, str, bytes]]] = []
        self.extend(pools, peers)
        self._remember(stored, now)

    def extend(self, pools: Sequence[SharedPool], peers: Sequence[KmeId] = ()) -> None:
        """Know more pools and peers from now on; a pool with a connected peer waits for the next connection.

        Raises ValueError for a pool that exists with another peer.
        """
        s = self._s
        for peer in [*(p.peer for p in pools), *peers]:
            s.links.setdefault(peer, PeerLink(peer))
            s.pools_to.setdefault(peer, [])
        for p in pools:
            known = s.stock.pools.get(p.link_id)
            if known is not None and known.peer != p.peer:
                raise ValueError(f"pool {p.link_id} is shared with {known.peer}, not with {p.peer}")
            if known is None:
                pool = Pool(p.link_id, p.peer, p.capacity, p.low_water, p.is_relayed)
                s.stock.pools[p.link_id] = pool
                s.pools_to[p.peer].append(pool)
        self._orders.forget_policy()

    def _remember(self, stored: StoredState, now: float) -> None:
        """Take over what the last start left."""
        s = self._s
        for (peer, name), secret in stored.secrets.items():
            kind, _, rest = name.partition(" ")
            pool = s.stock.pools.get(LinkId(rest))
            if kind == "pool" and pool is not None and pool.peer == peer:
                pool.secret = bytes(secret.view())
            elif kind == "kem" and rest.isdecimal():
                s.kem_secrets[peer, int(rest)] = KemSecret.from_kept(secret)
        for record in stored.segments:
            if record.pool in s.stock.pools:
                s.stock.add(record)
        for run in stored.runs:
            ttl_s = s.policy.limits(run.master).ttl_s
            mine = run.key.owner == self.site
            names = s.names(run)
            s.runs.add(run, () if mine else names, now + ttl_s)
            if mine and run.ids is not None:
                s.know_names(names, run)

    # ---------------------------------------------------------------- applications

    def limits(self, master: SaeId) -> KeyLimits:
        """What an application may ask for."""
        return self._s.policy.limits(master)

    def order(self, order: KeyOrder, now: float) -> Ticket:
        """Fresh keys; the caller has been identified as the order's master and the numbers checked."""
        home = self._s.policy.home
        is_one_site = len(order.slaves) == 1 or len({home(slave) for slave in order.slaves}) == 1
        ticket = self._orders.place(order, now) if is_one_site else self._shipments.place(order, now)
        if self._s.policy.initiator_readback(order.master, order.slaves[0]):
            self._own_tickets.setdefault(order.master, deque(maxlen=_READBACK)).append(ticket)
        return ticket

    def judge(self, order: KeyOrder, now: float) -> Refused | None:
        """Whether an order that others will fill may be: permitted, and within its application's rates."""
        return self._orders.judge(order, now)

    def handed_over(self, order: KeyOrder, key_ids: Sequence[bytes], neighbour: KmeId) -> Ticket:
        """Write down that keys made for a neighbour go to their master: Accepted once it is durable."""
        ticket, s = Ticket(), self._s
        names = b"".join(key_ids).hex()
        mark = s.audit(
            "handed-over", master=order.master, slaves=list(order.slaves), neighbour=neighbour, key_ids=names
        )
        s.ledger.when(mark, lambda: ticket.settle(Accepted()))
        return ticket

    def fetch(self, caller: SaeId, master: SaeId, key_ids: Sequence[bytes], now: float) -> Ticket:
        """Keys by name, each once."""
        own = self._read_back(caller, key_ids)
        if own is not None:
            return own
        return self._fetches.fetch(caller, master, key_ids, now)

    def _read_back(self, caller: SaeId, key_ids: Sequence[bytes]) -> Ticket | None:
        """A master's own keys, each once, where a test asks for that (`initiator_readback`); in memory only."""
        outcomes = [t.outcome for t in self._own_tickets.get(caller, ())]
        delivered = [outcome for outcome in outcomes if isinstance(outcome, Delivered)]
        keys = {key.key_id: key for outcome in delivered for key in outcome.keys}
        if not key_ids or len(set(key_ids)) < len(key_ids) or not all(key_id in keys for key_id in key_ids):
            return None
        for outcome in delivered:
            outcome.keys[:] = [key for key in outcome.keys if key.key_id not in key_ids]
        ticket = Ticket()
        ticket.settle(Delivered([keys[key_id] for key_id in key_ids]))
        return ticket

    def ship(self, shipment: Shipment, now: float) -> Ticket:
        """Carry keys made elsewhere."""
        return self._shipments.ship(shipment, now)

    def void(self, master: SaeId, slaves: Sequence[SaeId], key_ids: Sequence[bytes] | None) -> Ticket:
        """Take undelivered shipped keys back."""
        return self._shipments.void(master, slaves, key_ids)

    def ingest(self, block: Block) -> Ticket:
        """Take a block into stock."""
        return self._meetings.ingest(block)

    def report(self, caller: SaeId, other: SaeId) -> StockReport | Refused:
        """What is in stock between two applications, seen from `caller`, master or slave."""
        s = self._s
        refused = s.policy.judge_pair(caller, (other,))
        if refused is not None:
            return refused
        home, limits = s.policy.home(other), s.policy.limits(caller)
        link = None if home is None else s.links.get(home)
        if link is None:
            return Refused(Reason.NO_ROUTE, f"{self.site} has no link to the site of {other}")
        combiner = s.policy.combiner(caller, other)

        known: dict[int, bool] = {}

        def acceptable(grade: Grade) -> bool:
            found = known.get(id(grade))
            if found is None:
                found = known[id(grade)] = self._orders.acceptable(caller, (other,), combiner, grade)
            return found

        pools, size = s.pools_for(link.kme, None), limits.key_size_bits // 8
        stocked = {id(r.grade): r.grade for pool in pools for r in pool.own.values()}
        grades = {grade: None for grade in stocked.values() if acceptable(grade)}
        return StockReport(
            source_kme=self.site,
            target_kme=link.kme,
            master=caller,
            slave=other,
            key_size_bits=limits.key_size_bits,
            stored_keys=sum(s.stock.free(pool, acceptable, size) for pool in pools),
            capacity_keys=sum(pool.capacity for pool in pools) // (2 * size),
            max_keys_per_request=limits.max_number,
            max_size_bits=limits.max_size_bits,
            min_size_bits=limits.min_size_bits,
            max_slaves=limits.max_slaves,
            connected=link.is_live,
            grades=tuple(grades),
            filled_bytes=sum(pool.own_filled_bytes for pool in pools),
        )

    # ---------------------------------------------------------------- peers

    def connected(self, peer: KmeId) -> int:
        """A stream to a peer stands; its number. An earlier one counts as lost. Raises KeyError for a stranger."""
        link = self._s.links[peer]
        self._lost(link)
        number = link.open()
        self._meetings.hello(link)
        return number

    def disconnected(self, peer: KmeId, connection: int) -> None:
        """The stream is gone; what an earlier connection says about its end changes nothing."""
        link = self._s.links[peer]
        if link.connection == connection:
            if link.is_live:
                self._s.tell(EventKind.PEER_DOWN, f"lost the connection to {peer}", peer)
            self._lost(link)

    def _lost(self, link: PeerLink) -> None:
        link.close()
        self._orders.peer_lost(link)
        self._fetches.peer_lost(link)
        self._shipments.peer_lost(link)
        self._agreements.peer_lost(link)

    def received(self, peer: KmeId, connection: int, frame: bytes | memoryview, now: float) -> None:
        """A frame from a peer. Raises ProtocolError: drop the stream."""
        link = self._s.links[peer]
        if link.connection != connection:
            return
        message = decode(frame)
        if message is None:
            return
        if isinstance(message, Hello):
            if link.is_live:
                raise ProtocolError(f"{peer} says hello twice on one connection")
            self._meetings.greeted(link, message)
        elif not link.is_live:
            raise ProtocolError(f"{peer} begins with {type(message).__name__} and not with a hello")
        else:
            self._heed(link, message, now)

    def _heed(self, link: PeerLink, message: Message, now: float) -> None:
        match message:
            case Promise():
                self._fetches.promised(link, message, now)
            case PromiseAnswer():
                self._orders.answered(link, message)
            case Use():
                self._orders.asked(link, message)
            case UseAnswer():
                self._fetches.answered(link, message)
            case Offers():
                self._meetings.offered(link, message)
            case Gone():
                self._meetings.gone(link, message)
            case PoolSecret():
                self._meetings.pool_secret(link, message)
            case Ask():
                self._meetings.asked_for_more(link, message)
            case Give():
                self._meetings.given(link, message)
            case Void():
                self._fetches.voided(link, message)
            case VoidAnswer():
                self._shipments.void_answered(link, message)
            case Notice():
                self._notices.append((link.kme, message.kind, message.body))
            case ParcelMessage():
                self._relays.heed(link, message.body, now)
            case KemMessage():
                self._agreements.heed(link, message, now)
            case Hello():
                raise ProtocolError("a hello in the middle")
            case _:
                assert_never(message)

    def notify(self, peer: KmeId, kind: str, body: bytes) -> bool:
        """Send a notice to another site; False where it is not connected."""
        link = self._s.links.get(peer)
        if link is None or not link.is_live:
            return False
        link.send(Notice(kind, body))
        return True

    # ---------------------------------------------------------------- time

    def tick(self, now: float) -> list[KmeId]:
        """Let time pass; the peers whose stream should be dropped because they do not answer."""
        s = self._s
        s.runs.expire(now, self._expired)
        for record in [r for number in s.stock.retiring if (r := s.stock.by_number.get(number)) is not None]:
            if not s.runs.holds_segment(record.number):
                s.stock.drop(record)
        while s.stock.damaged:
            self._damaged()
        filled = {route.pool for route in self._relays.routes}
        for link in s.links.values():
            self._fetches.announce(link)
            self._finish_segments(link)
            self._agreements.tick(link, now)
            for pool in s.pools_to[link.kme]:
                if not pool.is_relayed or pool.link_id in filled:
                    self._watch(pool)
                if not pool.is_relayed:
                    self._meetings.ask_for_more(link, pool, now)
        self._relays.tick(now)
        return [link.kme for link in s.links.values() if link.is_live and self._is_stuck(link, now)]

    def _watch(self, pool: Pool) -> None:
        """Say once that a stock is low, and again only after it was twice as high."""
        if pool.own_bytes < pool.low_water and pool.link_id not in self._low:
            self._low.add(pool.link_id)
            text = f"{8 * pool.own_bytes} bits left for {pool.link_id}, low-water mark {8 * pool.low_water}"
            self._s.tell(EventKind.LOW_STOCK, text, pool.peer)
        elif pool.own_bytes >= 2 * pool.low_water:
            self._low.discard(pool.link_id)

    def _expired(self, run: Run) -> None:
        s = self._s
        if run.key.owner == self.site:
            s.forget_names(run)
            return
        self._fetches.forget(run)
        if not run.all_used:
            unused = run.count * len(run.slaves) - run.used.bit_count()
            s.count("keys_expired", unused)
            s.audit("expired", master=run.master, slaves=list(run.slaves), peer=run.peer, keys=unused)

    def _damaged(self) -> None:
        s = self._s
        record = s.stock.damaged.pop()
        if record.number not in s.stock.by_number:
            return
        text = f"segment {record.number} of {record.pool} cannot be read: destroyed at both ends; check the disk"
        s.tell(EventKind.SEGMENT_DAMAGED, text)
        s.audit("segment-damaged", pool=record.pool, number=record.number)
        for run in [r for r in s.runs if r.segment == record.number and r.key.owner != self.site]:
            self._fetches.drop(run)
        s.stock.drop(record)
        link = s.links[s.stock.pools[record.pool].peer]
        if link.is_live:
            link.send(Gone([(record.pool, record.name.block, record.name.part)]), s.ledger.emitted)

    def _finish_segments(self, link: PeerLink) -> None:
        """Segments of one's own that are used up, with nothing unanswered in them, are destroyed at both ends."""
        s = self._s
        if not link.is_live:
            return
        batches = [*link.ordering.values(), *([link.order_batch] if link.order_batch else [])]
        busy = {run.segment for batch in batches for run in batch.runs}
        gone: list[tuple[str, bytes, int]] = []
        for pool in s.pools_to[link.kme]:
            for record in s.stock.finished(pool, busy):
                s.stock.drop(record)
                gone.append((pool.link_id, record.name.block, record.name.part))
        for start in range(0, len(gone), 1024):
            link.send(Gone(gone[start : start + 1024]), s.ledger.emitted)

    @staticmethod
    def _is_stuck(link: PeerLink, now: float) -> bool:
        sent = [b.sent_at for b in link.ordering.values()] + [b.sent_at for b in link.fetching.values()]
        return bool(sent) and now - min(sent) > _ANSWER_S

    def next_timeout(self, now: float) -> float:
        """When to call `tick` next."""
        deadline = self._s.runs.next_deadline()
        return now + _TICK_S if deadline is None else min(now + _TICK_S, max(now + _LEAST_TICK_S, deadline))

    # ---------------------------------------------------------------- what goes out

    def flush(self, now: float) -> None:
        """Close the batches that are open; call it once for a group of calls."""
        for link in self._s.links.values():
            if link.order_batch is not None:
                self._orders.flush(link, now)
            if link.fetch_batch is not None:
                self._fetches.flush(link, now)

    def take_marks(self) -> tuple[list[Mark], int]:
        """The marks to make durable now, and what to tell `committed` afterwards."""
        return self.ledger.take()

    def committed(self, upto: int) -> None:
        """Marks up to this number are durable: tickets that waited for them are settled."""
        self.ledger.settle(upto)

    def take_frames(self) -> dict[KmeId, list[bytes]]:
        """The frames that may leave now, for each connected peer."""
        out: dict[KmeId, list[bytes]] = {}
        for link in self._s.links.values():
            frames = link.take_frames(self.ledger)
            if frames:
                out[link.kme] = frames
        return out

    def take_events(self) -> list[KmeEvent]:
        """What an operator may want to know."""
        events, self._s.events = self._s.events, []
        return events

    def take_notices(self) -> list[tuple[KmeId, str, bytes]]:
        """Notices of other sites: sender, kind, body."""
        notices = self._notices[:]
        self._notices.clear()
        return notices

    def used_up(self) -> dict[int, int]:
        """For each segment that is in use: below which byte everything is used up, or stands in a durable run."""
        kept = self._fetches.unsettled()
        return {number: upto for number, upto in self._s.stock.used_up().items() if number not in kept}

    def fill(self, routes: tuple[RelayRoute, ...]) -> None:
        """Fill virtual pools over these routes from now on, and no others."""
        self._relays.routes = routes

    @property
    def routes(self) -> tuple[RelayRoute, ...]:
        """How virtual pools are filled from this end."""
        return self._relays.routes

    def fail(self, reason: str) -> None:
        """Serve nothing any more: the store cannot be trusted."""
        s = self._s
        s.failed = reason
        for link in s.links.values():
            self._lost(link)

    def reload(self, policy: Policy, now: float) -> None:
        """Go by another policy from now on; what applications have drawn from their rates stays drawn."""
        s = self._s
        s.policy = policy
        s.limiter.adopt(policy, now)
        self._own_tickets.clear()
        self._orders.forget_policy()
        self._fetches.forget_policy()

    @property
    def state(self) -> DeskState:
        """The state that the site's figures are read from."""
        return self._s

    def close(self) -> None:
        """Wipe what is held in memory."""
        self._s.stock.close()
        for secret in self._s.kem_secrets.values():
            secret.secret.close()
