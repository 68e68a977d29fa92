"""The owner's side of a key: take room in one's own share, promise it, hand the keys to the master.

A key goes to its master once every site of a slave has the promise on disk and this site has it too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import SaeId
from poliqi.keys.buckets import UNLIMITED
from poliqi.keys.desk_state import DeskState, EventKind
from poliqi.keys.grade import Combiner, Grade
from poliqi.keys.keyid import derived_ids
from poliqi.keys.marks import RunAdded
from poliqi.keys.messages import Gone, Promise, PromiseAnswer, Promised, Use, UseAnswer, Void
from poliqi.keys.peer import Order, OrderBatch, PeerLink
from poliqi.keys.requests import Delivered, Key, KeyOrder, Outcome, Reason, Refused, Ticket
from poliqi.keys.run import Run, RunKey
from poliqi.keys.stock import Piece

__all__ = ["Orders"]

_MERGED_MOST: Final = 2048
_WAYS_MOST: Final = 10_000
_RETRY_S: Final = 1.0


@dataclass(slots=True)
class _Way:
    """What the policy says of a master and its slaves, worked out once. `combiner` None: they contradict."""

    link: PeerLink | None
    combiner: Combiner | None
    is_limited: bool
    is_minor: bool
    """Others have a priority and the master has none."""
    acceptable: Callable[[Grade], bool]


class Orders:
    """Orders of local masters, and the peers' questions about the keys that were promised."""

    def __init__(self, state: DeskState) -> None:
        self._s: Final = state
        self._allowed: dict[tuple[SaeId, tuple[SaeId, ...], Combiner, Grade], bool] = {}
        self._ways: dict[tuple[SaeId, tuple[SaeId, ...]], _Way] = {}

    def forget_policy(self) -> None:
        """The policy changed: nothing that was allowed is taken for granted."""
        self._allowed.clear()
        self._ways.clear()

    # ---------------------------------------------------------------- placing

    def place(self, order: KeyOrder, now: float) -> Ticket:
        """Take up an order whose caller is known to be its master."""
        ticket = Ticket()
        way = self._ways.get((order.master, order.slaves))
        refused = self.judge(order, now) if way is None or way.is_limited or self._s.failed else None
        if refused is None:
            way = way or self._way(order.master, order.slaves)
            refused = self._place(order, way, ticket, now)
        if refused is not None:
            ticket.settle(refused)
        return ticket

    def _way(self, master: SaeId, slaves: tuple[SaeId, ...]) -> _Way:
        """The way of a pair that the policy permits."""
        s = self._s
        home = s.policy.home(slaves[0])
        combiner = s.policy.combiner(master, slaves[0])
        quotas = [s.policy.quota(master, slave) for slave in (None, *slaves)]
        known: tuple[Grade | None, bool] = None, False

        def acceptable(grade: Grade) -> bool:
            nonlocal known
            if known[0] is not grade:
                known = grade, self.acceptable(master, slaves, combiner, grade)
            return known[1]

        way = _Way(
            link=None if home is None else s.links.get(home),
            combiner=combiner if all(s.policy.combiner(master, each) is combiner for each in slaves) else None,
            is_limited=any(quota != UNLIMITED for quota in quotas),
            is_minor=s.policy.limits(master).priority < 1 <= s.policy.top(),
            acceptable=acceptable,
        )
        if len(self._ways) >= _WAYS_MOST:
            self._ways.clear()
        self._ways[master, slaves] = way
        return way

    def _no_way(self, slave: SaeId) -> Refused:
        return Refused(Reason.NO_ROUTE, f"{self._s.own} has no link to the site of {slave}")

    def judge(self, order: KeyOrder, now: float) -> Refused | None:
        """Everything that can be said before stock is looked at."""
        s = self._s
        if s.failed:
            return Refused(Reason.UNAVAILABLE, s.failed, _RETRY_S)
        refused = s.policy.judge_pair(order.master, order.slaves)
        if refused is not None:
            return refused
        wait_s = s.limiter.take(order.master, order.slaves, order.number, order.number * order.size_bits, now)
        if wait_s is not None:
            s.count("rate_limited")
            return Refused(Reason.RATE_LIMITED, f"{order.master} asks faster than its limit allows", wait_s)
        return None

    def acceptable(self, master: SaeId, slaves: tuple[SaeId, ...], combiner: Combiner, grade: Grade) -> bool:
        """Whether keys of this grade, after combination, may serve these applications."""
        key = (master, slaves, combiner, grade)
        known = self._allowed.get(key)
        if known is None:
            after = grade if combiner is Combiner.NONE else grade.with_combiner(combiner)
            known = self._s.refusal_of_grade(master, slaves, after) is None
            if len(self._allowed) > 10_000:
                self._allowed.clear()
            self._allowed[key] = known
        return known

    def _place(self, order: KeyOrder, way: _Way, ticket: Ticket, now: float) -> Refused | None:
        s, link, combiner = self._s, way.link, way.combiner
        if link is None:
            return self._no_way(order.slaves[0])
        if not link.is_live:
            return Refused(Reason.PEER_DOWN, f"site {link.kme} is not connected", _RETRY_S)
        if combiner is None:
            return Refused(Reason.BAD_REQUEST, f"{', '.join(order.slaves)} want keys combined in different ways")
        if combiner is not Combiner.NONE and not link.kem_epoch:
            return Refused(Reason.UNAVAILABLE, f"no post-quantum secret is agreed with {link.kme} yet", _RETRY_S)
        for pool in s.pools_for(link.kme, order.pool):
            # below the low-water mark only applications with a priority are served
            if pool.secret is None or (way.is_minor and pool.own_bytes < pool.low_water):
                continue
            pieces = s.stock.take(pool, order.size_bits // 8, order.number, way.acceptable)
            if pieces is not None:
                s.took(order.master, pool, order.number * order.size_bits // 8)
                return self._promise(order, link, pool.secret, pieces, combiner, ticket, now)
        return self._no_stock(order, link)

    def _no_stock(self, order: KeyOrder, link: PeerLink) -> Refused:
        pools = self._s.pools_for(link.kme, order.pool)
        if not pools:
            what = "no link" if order.pool is None else f"no link {order.pool}"
            return Refused(
                Reason.NO_ROUTE, f"{self._s.own} has {what} to {link.kme}, the site of {order.slaves[0]}"
            )
        combiner = self._s.policy.combiner(order.master, order.slaves[0])
        stocked = {id(r.grade): r.grade for pool in pools for r in pool.own.values()}
        grades = {grade.with_combiner(combiner) for grade in stocked.values()}
        reasons = {self._s.refusal_of_grade(order.master, order.slaves, grade) for grade in grades} - {None}
        why = f" ({'; '.join(sorted(str(r) for r in reasons))})" if reasons else ""
        self._s.count("orders_without_stock")
        text = (
            f"not enough key to {link.kme} for {order.number} keys of {order.size_bits} bits{why}; try again later"
        )
        return Refused(Reason.INSUFFICIENT, text, _RETRY_S)

    # ---------------------------------------------------------------- promising

    def _promise(
        self,
        order: KeyOrder,
        link: PeerLink,
        secret: bytes,
        pieces: list[Piece],
        combiner: Combiner,
        ticket: Ticket,
        now: float,
    ) -> Refused | None:
        s, size = self._s, order.size_bits // 8
        taken = Order(ticket, [], waiting=1)
        batch = self.open_batch(link, now)
        places: set[int] = set()
        ids = order.key_ids
        for piece in pieces:
            names = None if ids is None else ids[len(taken.keys) : len(taken.keys) + piece.count]
            place = self._into_batch(batch, link, piece, order, size, combiner, names)
            places.add(place)
            run, record, at = batch.runs[-1], piece.segment, piece.offset
            if names is None:
                names = derived_ids(secret, record.pool, record.name, s.own, at, size, piece.count)
                batch.names.setdefault(place, []).extend(names)
            bits = s.stock.bits(record)
            if bits is None:
                return self._damaged(piece)
            grade = s.grade_of(run, record)
            for key_id in names:
                value = bits[at : at + size].tobytes()
                if combiner is not Combiner.NONE:
                    mixed = s.combined(value, run, key_id)
                    if mixed is None:
                        return Refused(Reason.UNAVAILABLE, "the post-quantum secret is gone", _RETRY_S)
                    value = mixed
                taken.keys.append(Key(key_id, value, grade))
                at += size
            batch.after = max(batch.after, piece.after)
        taken.outcome = Delivered(taken.keys)
        batch.orders.append((taken, frozenset(places)))
        return None

    def _damaged(self, piece: Piece) -> Refused:
        return Refused(Reason.UNAVAILABLE, f"segment {piece.segment.number} cannot be read; try again", _RETRY_S)

    def open_batch(self, link: PeerLink, now: float) -> OrderBatch:
        """The batch that goes out next to a peer; one that is large goes first."""
        if link.order_batch is not None and link.order_batch.is_full:
            self.flush(link, now)
        if link.order_batch is None:
            link.order_batch = OrderBatch(sent_at=now)
        return link.order_batch

    def _into_batch(
        self,
        batch: OrderBatch,
        link: PeerLink,
        piece: Piece,
        order: KeyOrder,
        size: int,
        combiner: Combiner,
        names: Sequence[bytes] | None,
    ) -> int:
        """Lengthen the batch's last run by a piece, or begin another; the run's place."""
        if batch.runs and names is None:
            last = batch.runs[-1]
            if (
                last.segment == piece.segment.number
                and last.end == piece.offset
                and last.size == size
                and last.ids is None
                and last.cipher is None
                and last.master == order.master
                and last.slaves == order.slaves
                and last.combiner is combiner
                and last.count + piece.count <= _MERGED_MOST
            ):
                last.count += piece.count
                return len(batch.runs) - 1
        key = RunKey(self._s.own, self._s.new_run_number())
        ids = None if names is None else b"".join(names)
        epoch = link.kem_epoch if combiner is not Combiner.NONE else 0
        return batch.add(
            Run(
                key,
                link.kme,
                piece.segment.number,
                piece.offset,
                size,
                piece.count,
                order.master,
                order.slaves,
                ids=ids,
                combiner=combiner,
                kem_epoch=epoch,
            )
        )

    def flush(self, link: PeerLink, now: float) -> None:
        """Close the open batch of a peer: marks written, frame queued."""
        batch, link.order_batch = link.order_batch, None
        if batch is None or not batch.runs:
            return
        if any(run.segment not in self._s.stock.by_number for run in batch.runs):  # destroyed since it was taken
            for order, _ in batch.orders:
                text = f"key shared with {link.kme} was destroyed while the keys were agreed; nothing was delivered"
                order.refusal = order.refusal or Refused(Reason.UNAVAILABLE, text, _RETRY_S)
                self.one_answer(order)
            return
        wires = [
            self._add(run, batch.tags.get(place, b""), batch.names.get(place), now)
            for place, run in enumerate(batch.runs)
        ]
        mark = self._s.ledger.emitted
        for order, _ in batch.orders:
            order.mark = max(order.mark, mark)
        number = link.new_batch()
        batch.sent_at = now
        link.ordering[number] = batch
        link.send(Promise(number, wires), batch.after)

    def _add(self, run: Run, tag: bytes, known: list[bytes] | None, now: float) -> Promised:
        s = self._s
        record = s.stock.by_number[run.segment]
        s.runs.add(run, (), now + s.policy.limits(run.master).ttl_s)
        s.ledger.write(RunAdded(copy(run)))
        names = s.names(run) if known is None else known
        s.audit(
            "promised", master=run.master, slaves=list(run.slaves), peer=run.peer, key_ids=b"".join(names).hex()
        )
        if run.ids is not None:
            s.know_names(names, run)
        s.count("keys_promised", run.count)
        return Promised(
            run.key.number,
            record.pool,
            record.name.block,
            record.name.part,
            run.offset,
            run.size,
            run.count,
            run.master,
            list(run.slaves),
            run.ids or b"",
            run.cipher or b"",
            tag,
            run.grade,
            run.combiner,
            run.kem_epoch,
        )

    # ---------------------------------------------------------------- what the peer says

    def answered(self, link: PeerLink, answer: PromiseAnswer) -> None:
        """The peer has the runs of a batch on disk, but those that it refuses."""
        batch = link.ordering.get(answer.batch)
        if batch is None:
            raise ProtocolError(f"{link.kme} answers batch {answer.batch}, which was not sent or is answered")
        refused = dict(answer.refused)
        if refused and max(refused) >= len(batch.runs):  # it stays open: the end of the stream answers its orders
            raise ProtocolError(f"{link.kme} refuses run {max(refused)} of {len(batch.runs)}")
        del link.ordering[answer.batch]
        for place, why in refused.items():
            self._refused_run(link, batch.runs[place], why)
        for order, places in batch.orders:
            whys = [refused[p] for p in places if p in refused]
            if whys and order.refusal is None:
                order.refusal = Refused(Reason.UNAVAILABLE, f"site {link.kme} refuses: {whys[0]}", _RETRY_S)
            self.one_answer(order)

    def _refused_run(self, link: PeerLink, run: Run, why: str) -> None:
        s = self._s
        s.tell(EventKind.PROMISE_REFUSED, f"{link.kme} refuses keys from {run.master}: {why}", link.kme)
        record = s.stock.by_number.get(run.segment)
        self.drop(run)
        if why.startswith("segment") and record is not None:
            s.stock.drop(record)
            link.send(Gone([(record.pool, record.name.block, record.name.part)]), s.ledger.emitted)

    def one_answer(self, order: Order) -> None:
        """One of those that an order waits for has answered."""
        order.waiting -= 1
        if order.waiting == 0:
            self._finish(order)

    def _finish(self, order: Order) -> None:
        outcome: Outcome | None = order.outcome if order.refusal is None else order.refusal
        assert outcome is not None
        if order.refusal is not None:
            for run in order.runs:
                self.drop(run)
                self._s.links[run.peer].send(Void([run.key.number]))
        self._s.count("keys_delivered" if order.refusal is None else "orders_refused", max(1, len(order.keys)))
        self._s.ledger.when(order.mark, lambda: order.ticket.settle(outcome))

    def drop(self, run: Run) -> None:
        """A run of one's own is over."""
        self._s.forget_names(run)
        self._s.runs.drop(run)

    def asked(self, link: PeerLink, use: Use) -> None:
        """The peer is about to deliver keys: mark them used, once and for its present start."""
        s = self._s
        self._forget(link, use.done)
        refused: list[int] = []
        for place, entry in enumerate(use.entries):
            run = s.runs.get(RunKey(s.own, entry.number))
            mask = int.from_bytes(entry.mask, "little")
            if run is None or run.peer != link.kme or not self._grant(run, mask, link.boot, again=entry.again):
                refused.append(place)
        if use.entries:
            if refused:
                s.count("uses_refused", len(refused))
            link.send(UseAnswer(use.batch, refused), s.ledger.emitted)

    def _grant(self, run: Run, mask: int, boot: bytes, *, again: bool) -> bool:
        if mask <= 0 or mask >> (run.count * len(run.slaves)):
            return False
        repeated = mask & run.used
        if repeated and not (again and run.user == boot and repeated & ~run.user_used == 0):
            return False
        if run.user != boot:
            run.user, run.user_used = boot, 0
        run.used |= mask
        run.user_used |= mask
        self._s.runs.mark_used(run)
        return True

    def _forget(self, link: PeerLink, numbers: Sequence[int]) -> None:
        """The peer has delivered these runs whole: they are no longer needed."""
        for number in numbers:
            run = self._s.runs.get(RunKey(self._s.own, number))
            if run is not None and run.peer == link.kme and run.all_used:
                self.drop(run)

    def peer_lost(self, link: PeerLink) -> None:
        """What was not answered is given up: nobody got those keys, and nobody will."""
        batches = [*link.ordering.values(), *([link.order_batch] if link.order_batch else [])]
        link.ordering.clear()
        link.order_batch = None
        for batch in batches:
            for run in batch.runs:
                self.drop(run)
            for order, _ in batch.orders:
                if order.refusal is None:
                    text = f"the connection to {link.kme} broke while the keys were agreed; nothing was delivered"
                    order.refusal = Refused(Reason.PEER_DOWN, text, _RETRY_S)
                self.one_answer(order)
