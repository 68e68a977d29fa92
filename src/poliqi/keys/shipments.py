"""Keys whose values do not come out of a segment: for several sites at once, or made elsewhere.

Each site of a slave gets the values under a one-time pad and a one-time authentication key out of the pool that is
shared with it. All sites take them or nobody gets anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.keys.desk_state import DeskState
from poliqi.keys.grade import Combiner, Grade, weakest
from poliqi.keys.keyid import as_version_8
from poliqi.keys.marks import NameUsed, Vault
from poliqi.keys.messages import Void, VoidAnswer
from poliqi.keys.onetime import seal
from poliqi.keys.orders import Orders
from poliqi.keys.peer import Order, PeerLink
from poliqi.keys.requests import Accepted, Delivered, Key, KeyOrder, Reason, Refused, Shipment, Ticket
from poliqi.keys.run import Run, RunKey
from poliqi.keys.segment import HEAD_BYTES
from poliqi.keys.stock import Piece

__all__ = ["Shipments", "ship_context"]

_RUN_BYTES: Final = 8192
_VOIDS: Final = 1024
_RETRY_S: Final = 1.0
_SHIPPED: Final = LinkId("shipped names")


def ship_context(master: SaeId, slaves: Sequence[SaeId], ids: bytes, size: int) -> bytes:
    """What the one-time tag of a shipped run binds beside the values."""
    names = [name.encode() for name in (master, *slaves)]
    parts = [b"poliqi shipment", size.to_bytes(4, "big"), ids, *names]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@dataclass(slots=True)
class _Undoing:
    """A void under way: how many runs are undecided, how many came too late."""

    ticket: Ticket
    peers: dict[int, KmeId]
    left: int
    late: int = 0


class Shipments:
    """Orders for slaves at several sites, and keys that others made."""

    def __init__(self, state: DeskState, orders: Orders, vault: Vault) -> None:
        self._s: Final = state
        self._vault: Final = vault
        self._orders: Final = orders
        self._voids: Final[dict[int, _Undoing]] = {}
        self._fresh: Final[set[bytes]] = set()
        """Names that others chose and that are not durable yet."""

    # ---------------------------------------------------------------- out

    def place(self, order: KeyOrder, now: float) -> Ticket:
        """An order whose slaves live at more than one site: fresh random values, carried to each."""
        ticket = Ticket()
        refused = self._orders.judge(order, now)
        if refused is not None:
            ticket.settle(refused)
            return ticket
        entropy, size = self._s.entropy, order.size_bits // 8
        values = tuple(entropy.draw(size) for _ in range(order.number))
        ids = order.key_ids or tuple(as_version_8(entropy.draw(16)) for _ in values)
        self._carry(ticket, order.master, order.slaves, ids, values, None, now)
        return ticket

    def ship(self, shipment: Shipment, now: float) -> Ticket:
        """Carry keys that were made elsewhere to the sites of their slaves."""
        ticket = Ticket()
        sizes = {len(value) for value in shipment.values}
        if self._s.failed:
            ticket.settle(Refused(Reason.UNAVAILABLE, self._s.failed, _RETRY_S))
        elif len(sizes) != 1 or 0 in sizes or max(sizes) > _RUN_BYTES - HEAD_BYTES:
            most = _RUN_BYTES - HEAD_BYTES
            text = f"keys of {sorted(sizes)} bytes: all keys of a shipment have one size, 1 to {most} bytes"
            ticket.settle(Refused(Reason.BAD_REQUEST, text))
        elif any(self._is_used(name) for name in shipment.key_ids):
            ticket.settle(Refused(Reason.BAD_REQUEST, "a key of this name was shipped before"))
        else:
            s = shipment
            self._carry(ticket, s.master, s.slaves, s.key_ids, s.values, s.grade, now)
        return ticket

    def _is_used(self, name: bytes) -> bool:
        """Names that others chose may come again; a key of one name is carried once."""
        s = self._s
        if name in s.own_ids or name in self._fresh or s.runs.find(name) is not None:
            return True
        return self._vault.has_seen(_SHIPPED, name)

    def _carry(
        self,
        ticket: Ticket,
        master: SaeId,
        slaves: tuple[SaeId, ...],
        ids: Sequence[bytes],
        values: Sequence[bytes],
        grade: Grade | None,
        now: float,
    ) -> None:
        plan = self._plan(master, slaves, len(values[0]), len(values), grade)
        if isinstance(plan, Refused):
            ticket.settle(plan)
            return
        blocks = {(p.segment.pool, p.segment.name.block): p.segment.grade for _, _, ps, _ in plan for p in ps}
        whole = weakest(([] if grade is None else [grade]) + list(blocks.values()))  # one block fails once
        why = self._s.refusal_of_grade(master, slaves, whole)
        if why is not None:
            ticket.settle(Refused(Reason.NOT_PERMITTED, why))
            return
        if grade is not None:  # others chose these names and may choose them again
            mark = max(self._s.ledger.write(NameUsed(_SHIPPED, name)) for name in ids)
            self._fresh.update(ids)
            self._s.ledger.when(mark, lambda: self._fresh.difference_update(ids))
        waiting = 1 + sum(len(pieces) for _, _, pieces, _ in plan)
        order = Order(ticket, [Key(i, v, whole) for i, v in zip(ids, values, strict=True)], waiting=waiting)
        order.outcome = Delivered(order.keys) if grade is None else Accepted("relayed")
        for link, there, pieces, _ in plan:
            self._carry_to(order, link, there, pieces, master, whole, now)
        self._orders.one_answer(order)

    def _plan(
        self, master: SaeId, slaves: tuple[SaeId, ...], size: int, count: int, grade: Grade | None
    ) -> list[tuple[PeerLink, tuple[SaeId, ...], list[Piece], list[Grade]]] | Refused:
        """Where each site's pads come from, or why it cannot be done. Room taken before a refusal is burnt."""
        s = self._s
        homes: dict[KmeId, list[SaeId]] = {}
        for slave in slaves:
            home = s.policy.home(slave)
            if home is None or home not in s.links:
                return Refused(Reason.NO_ROUTE, f"{s.own} has no link to the site of {slave}")
            homes.setdefault(home, []).append(slave)
        for home, there in homes.items():
            if not s.links[home].is_live:
                return Refused(Reason.PEER_DOWN, f"site {home} is not connected", _RETRY_S)
            if any(s.policy.combiner(master, slave) is not Combiner.NONE for slave in there):
                return Refused(
                    Reason.NO_ROUTE, "keys for several sites cannot be combined with a post-quantum secret"
                )
        plan: list[tuple[PeerLink, tuple[SaeId, ...], list[Piece], list[Grade]]] = []
        for home, there in homes.items():
            found = self._room(master, tuple(there), home, size, count, grade)
            if found is None:
                return Refused(Reason.INSUFFICIENT, f"not enough key to {home} for {count} keys", _RETRY_S)
            plan.append((s.links[home], tuple(there), found, [piece.segment.grade for piece in found]))
        return plan

    def _room(
        self, master: SaeId, slaves: tuple[SaeId, ...], home: KmeId, size: int, count: int, grade: Grade | None
    ) -> list[Piece] | None:
        def acceptable(pads: Grade) -> bool:
            carried = pads if grade is None else weakest([grade, pads])
            return self._orders.acceptable(master, slaves, Combiner.NONE, carried)

        # keys that others made may be taken back one by one, so each is a run of its own
        met = self._s.links[home].met  # pads leave inside the promise: never before the peer's marks are known
        each = 1 if grade is not None else max(1, (_RUN_BYTES - HEAD_BYTES) // size)
        full, rest = divmod(count, each)
        for pool in self._s.pools_for(home, None):
            if pool.secret is None:
                continue
            pieces: list[Piece] | None = []
            for here in [each] * full + [rest] * (rest > 0):
                room = self._s.stock.take(pool, HEAD_BYTES + here * size, 1, acceptable, met)
                if room is None:
                    pieces = None
                    break
                pieces.append(Piece(room[0].segment, room[0].offset, here, room[0].after))
            if pieces is not None:
                self._s.took(master, pool, count * size)
                return pieces
        return None

    def _carry_to(
        self,
        order: Order,
        link: PeerLink,
        slaves: tuple[SaeId, ...],
        pieces: list[Piece],
        master: SaeId,
        grade: Grade,
        now: float,
    ) -> None:
        done = 0
        for place, piece in enumerate(pieces):
            keys = order.keys[done : done + piece.count]
            done += piece.count
            size = len(keys[0].value)
            bits = self._s.stock.bits(piece.segment)
            if bits is None:
                order.refusal = Refused(
                    Reason.UNAVAILABLE, f"a segment towards {link.kme} cannot be read", _RETRY_S
                )
                order.waiting -= len(pieces) - place
                break
            start = piece.offset + HEAD_BYTES
            ids = b"".join(key.key_id for key in keys)
            context = ship_context(master, slaves, ids, size)
            pad, mac_key = bits[start : start + size * piece.count], bits[piece.offset : start]
            cipher, tag = seal(b"".join(key.value for key in keys), pad, mac_key, context)
            run = Run(
                RunKey(self._s.own, self._s.new_run_number()),
                link.kme,
                piece.segment.number,
                start,
                size,
                piece.count,
                master,
                slaves,
                ids=ids,
                cipher=cipher,
                grade=grade,
            )
            batch = self._orders.open_batch(link, now)  # a large order goes in several frames
            at = batch.add(run)
            order.runs.append(run)
            batch.tags[at] = tag
            batch.after = max(batch.after, piece.after)
            batch.orders.append((order, frozenset({at})))

    # ---------------------------------------------------------------- taking back

    def void(self, master: SaeId, slaves: Sequence[SaeId], key_ids: Sequence[bytes] | None) -> Ticket:
        """Take undelivered shipped keys back from the sites of their slaves."""
        ticket = Ticket()
        own = self._s.own_ids
        names = list(own) if key_ids is None else list(dict.fromkeys(key_ids))
        runs = {
            run.key: run
            for name in names
            for run in own.get(name, ())
            if run.master == master and set(run.slaves) & set(slaves)
        }
        covered = {name for name in names if any(run.key in runs for run in own.get(name, ()))}
        if not runs or (key_ids is not None and len(covered) < len(names)):
            ticket.settle(Refused(Reason.NOT_FOUND, "key not present"))
            return ticket
        if any(key.number in self._voids for key in runs):
            ticket.settle(Refused(Reason.UNAVAILABLE, "these keys are being taken back already", _RETRY_S))
            return ticket
        peers: dict[KmeId, list[int]] = {}
        for run in runs.values():
            peers.setdefault(run.peer, []).append(run.key.number)
        down = [peer for peer in peers if not self._s.links[peer].is_live]
        if down:
            ticket.settle(Refused(Reason.PEER_DOWN, f"site {down[0]} is not connected", _RETRY_S))
            return ticket
        undoing = _Undoing(ticket, {run.key.number: run.peer for run in runs.values()}, len(runs))
        for peer, numbers in peers.items():
            for number in numbers:
                self._voids[number] = undoing
            for start in range(0, len(numbers), _VOIDS):
                self._s.links[peer].send(Void(numbers[start : start + _VOIDS]))
        return ticket

    def void_answered(self, link: PeerLink, answer: VoidAnswer) -> None:
        """A peer says what became of its runs that were taken back."""
        for number, late in [*((n, 0) for n in answer.voided), *((n, 1) for n in answer.late)]:
            undoing = self._voids.get(number)
            if undoing is None or undoing.peers[number] != link.kme:
                continue
            del self._voids[number]
            run = self._s.runs.get(RunKey(self._s.own, number))
            if run is not None and not late:  # it may have expired meanwhile
                self._orders.drop(run)
            undoing.left -= 1
            undoing.late += late
            if not undoing.left:
                self._settle_void(undoing.ticket, undoing.late)

    def _settle_void(self, ticket: Ticket, too_late: int) -> None:
        refused = Refused(Reason.BAD_REQUEST, f"failed to void: {too_late} runs of keys were delivered before")
        outcome = refused if too_late else Accepted("voided")
        self._s.ledger.when(self._s.ledger.emitted, lambda: ticket.settle(outcome))

    def peer_lost(self, link: PeerLink) -> None:
        """Voids that this peer did not answer are undecided; whoever asked may ask again."""
        for number in [n for n, undoing in self._voids.items() if undoing.peers[n] == link.kme]:
            undoing = self._voids.pop(number)
            undoing.ticket.settle(Refused(Reason.PEER_DOWN, f"site {link.kme} did not answer", _RETRY_S))
