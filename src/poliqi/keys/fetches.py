"""The other side of a key: take promises of peers, and deliver each key once to its slave.

A key goes to its slave once this site has it marked used on disk and the owner's site has too.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Final

from poliqi.base.errors import AuthenticationError, ProtocolError
from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.keys.combine import MAX_KEY_BYTES
from poliqi.keys.desk_state import DeskState, EventKind
from poliqi.keys.grade import Combiner, Grade, is_sound, weakest
from poliqi.keys.marks import RunAdded
from poliqi.keys.messages import Promise, PromiseAnswer, Promised, Use, UseAnswer, Used, Void, VoidAnswer
from poliqi.keys.onetime import open_sealed, xor_bytes
from poliqi.keys.peer import FetchBatch, PeerLink
from poliqi.keys.requests import Delivered, Key, Outcome, Reason, Refused, Ticket
from poliqi.keys.run import Run, RunKey
from poliqi.keys.segment import HEAD_BYTES, SegmentName, SegmentRecord
from poliqi.keys.shipments import ship_context

__all__ = ["NOT_FOUND", "Fetches"]

NOT_FOUND: Final = "One or more keys specified are not found on KME"
_OUTSTANDING_MOST: Final = 2_000_000
_DONE_MOST: Final = 4096
_RETRY_S: Final = 1.0


class Fetches:
    """Promises of peers, and the deliveries to local slaves."""

    def __init__(self, state: DeskState) -> None:
        self._s: Final = state
        self._asked: Final[dict[RunKey, int]] = {}
        """Keys that were asked for in this start and whose answer never came: they may be asked for again."""
        self._allowed: dict[tuple[SaeId, tuple[str, ...], KmeId, Combiner, Grade], str | None] = {}

    def forget_policy(self) -> None:
        """The policy changed."""
        self._allowed.clear()

    # ---------------------------------------------------------------- promises

    def promised(self, link: PeerLink, promise: Promise, now: float) -> None:
        """Runs from a peer: each is taken or refused with a reason; the answer waits for the disk."""
        refused: list[tuple[int, str]] = []
        for place, wire in enumerate(promise.runs):
            why = self._take(link, wire, now)
            if why is not None:
                refused.append((place, why[:300]))
                self._s.tell(EventKind.PROMISE_REFUSED, f"keys from {link.kme} refused: {why}", link.kme)
        link.send(PromiseAnswer(promise.batch, refused), self._s.ledger.emitted)

    def _take(self, link: PeerLink, wire: Promised, now: float) -> str | None:
        """Take one run, or say why not. Its range counts as used from here on in either case."""
        s = self._s
        pool = s.stock.pools.get(LinkId(wire.pool))
        if pool is None or pool.peer != link.kme:
            return "segment of a pool that we do not share"
        record = pool.segments.get(SegmentName(wire.block, wire.part))
        if record is None:
            return "segment unknown here"
        start = wire.offset - (HEAD_BYTES if wire.cipher else 0)
        end = wire.offset + wire.size * wire.count
        if s.stock.peer_uses(record, start, end) is None:
            return f"bytes {start} to {end} are not yours to use, or were used before"
        why = self._objection(link, wire, record)
        if why is not None:
            return why
        key = RunKey(link.kme, wire.number)
        slaves = tuple(SaeId(name) for name in wire.slaves)
        run = Run(
            key,
            link.kme,
            record.number,
            wire.offset,
            wire.size,
            wire.count,
            SaeId(wire.master),
            slaves,
            ids=wire.ids or None,
            cipher=wire.cipher or None,
            grade=None if wire.grade is None else weakest([wire.grade, record.grade]),
            combiner=wire.combiner,
            kem_epoch=wire.kem_epoch,
        )
        if run.cipher is not None and not self._is_authentic(run, record, wire.tag):
            return "the one-time tag of a shipped key is wrong"
        names = s.names(run)
        if len(names) != run.count or any(s.runs.find(name) for name in names):
            return "a key of this name is here already"
        s.runs.add(run, names, now + s.policy.limits(run.slaves[0]).ttl_s)
        s.ledger.write(RunAdded(copy(run)))
        s.count("keys_received", run.count)
        return None

    def _objection(self, link: PeerLink, wire: Promised, record: SegmentRecord) -> str | None:
        s = self._s
        if s.runs.get(RunKey(link.kme, wire.number)) is not None:
            return "a run of this number is here already"
        if wire.count * len(wire.slaves) > 1 << 16 or (wire.ids and len(wire.ids) != 16 * wire.count):
            return "the run's numbers do not fit together"
        if wire.cipher and (len(wire.cipher) != wire.size * wire.count or not wire.ids or wire.grade is None):
            return "a shipped run lacks names, values or a grade"
        if not wire.cipher and wire.grade is not None:
            return "only shipped runs carry a grade of their own"
        if wire.grade is not None and not is_sound(wire.grade):
            return "the grade of a shipped run is none that a key can have"
        if wire.combiner is not Combiner.NONE and wire.size > MAX_KEY_BYTES:
            return f"keys of {wire.size} bytes cannot be combined; at most {MAX_KEY_BYTES} can"
        if s.runs.named_keys > _OUTSTANDING_MOST:
            return f"more than {_OUTSTANDING_MOST} keys wait to be fetched here"
        if wire.combiner is not Combiner.NONE and (link.kme, wire.kem_epoch) not in s.kem_secrets:
            return f"post-quantum secret {wire.kem_epoch} is not known here"
        grade = record.grade if wire.grade is None else weakest([wire.grade, record.grade])
        grade = grade if wire.combiner is Combiner.NONE else grade.with_combiner(wire.combiner)
        return self._not_allowed(link.kme, wire, grade)

    def _not_allowed(self, peer: KmeId, wire: Promised, grade: Grade) -> str | None:
        """What this site's own policy says; asked once for each pair and grade."""
        place = (SaeId(wire.master), tuple(wire.slaves), peer, wire.combiner, grade)
        if place in self._allowed:
            return self._allowed[place]
        policy, why = self._s.policy, None
        for name in wire.slaves:
            master, slave = SaeId(wire.master), SaeId(name)
            why = why or policy.judge_promise(master, slave, peer) or policy.judge_grade(master, slave, grade)
            if why is None and policy.combiner(master, slave) is not wire.combiner:
                why = f"{slave} wants keys combined as {policy.combiner(master, slave)}, not {wire.combiner}"
        if len(self._allowed) > 10_000:
            self._allowed.clear()
        self._allowed[place] = why
        return why

    def _is_authentic(self, run: Run, record: SegmentRecord, tag: bytes) -> bool:
        bits = self._s.stock.bits(record)
        if bits is None or run.cipher is None or run.ids is None:
            return False
        context = ship_context(run.master, run.slaves, run.ids, run.size)
        pad, mac_key = bits[run.offset : run.end], bits[run.offset - HEAD_BYTES : run.offset]
        try:
            open_sealed(run.cipher, tag, pad, mac_key, context).close()
        except AuthenticationError:
            return False
        return True

    def voided(self, link: PeerLink, void: Void) -> None:
        """A peer takes runs back."""
        gone: list[int] = []
        late: list[int] = []
        for number in void.numbers:
            run = self._s.runs.get(RunKey(link.kme, number))
            if run is not None and run.used:
                late.append(number)
            else:
                gone.append(number)
                if run is not None:
                    self.drop(run)
        link.send(VoidAnswer(gone, late), self._s.ledger.emitted)

    # ---------------------------------------------------------------- deliveries

    def fetch(self, caller: SaeId, master: SaeId, key_ids: Sequence[bytes], now: float) -> Ticket:
        """Deliver these keys of `master` to `caller`, all or none."""
        ticket = Ticket()
        found = self._find(caller, master, key_ids)
        if isinstance(found, Refused):
            ticket.settle(found)
            return ticket
        peers = {run.peer for run, _ in found}
        if len(peers) != 1:
            ticket.settle(Refused(Reason.NOT_FOUND, NOT_FOUND))
            return ticket
        link = self._s.links[peers.pop()]
        if not link.is_live:
            ticket.settle(Refused(Reason.PEER_DOWN, f"site {link.kme} is not connected; the keys wait", _RETRY_S))
            return ticket
        keys = self._values(found, key_ids)
        if keys is None:
            ticket.settle(Refused(Reason.UNAVAILABLE, "the keys' segment cannot be read", _RETRY_S))
            return ticket
        self._use(link, caller, found, keys, ticket, now)
        return ticket

    def _find(self, caller: SaeId, master: SaeId, key_ids: Sequence[bytes]) -> list[tuple[Run, int]] | Refused:
        s = self._s
        if s.failed:
            return Refused(Reason.UNAVAILABLE, s.failed, _RETRY_S)
        refused = s.policy.judge_fetch(caller, master)
        if refused is not None:
            return refused
        if len(set(key_ids)) != len(key_ids):
            return Refused(Reason.BAD_REQUEST, "a key is named twice in one request")
        found: list[tuple[Run, int]] = []
        for name in key_ids:
            place = s.runs.find(name)
            if place is None or place[0].master != master:
                return Refused(Reason.NOT_FOUND, NOT_FOUND)
            run, index = place
            if caller not in run.slaves:
                return Refused(Reason.NOT_PERMITTED, f"{caller} was not named when the key was ordered")
            bit = self._bit(run, index, caller)
            if run.used & bit and not self._asked.get(run.key, 0) & bit:
                return Refused(Reason.NOT_FOUND, NOT_FOUND)
            found.append(place)
        return found

    @staticmethod
    def _bit(run: Run, index: int, caller: SaeId) -> int:
        return 1 << (index * len(run.slaves) + run.slaves.index(caller))

    def _values(self, found: list[tuple[Run, int]], key_ids: Sequence[bytes]) -> list[Key] | None:
        s = self._s
        keys: list[Key] = []
        for (run, index), name in zip(found, key_ids, strict=True):
            record = s.stock.by_number.get(run.segment)
            bits = None if record is None else s.stock.bits(record)
            if record is None or bits is None:
                return None
            at = run.offset + index * run.size
            value = bytes(bits[at : at + run.size])
            if run.cipher is not None:
                value = xor_bytes(value, run.cipher[index * run.size : (index + 1) * run.size])
            combined = s.combined(value, run, name)
            if combined is None:
                return None
            keys.append(Key(name, combined, s.grade_of(run, record)))
        return keys

    def _use(
        self,
        link: PeerLink,
        caller: SaeId,
        found: list[tuple[Run, int]],
        keys: list[Key],
        ticket: Ticket,
        now: float,
    ) -> None:
        """Mark the keys used here and ask the owner to mark them too."""
        if link.fetch_batch is not None and len(link.fetch_batch.runs) > 1024:
            self.flush(link, now)
        if link.fetch_batch is None:
            link.fetch_batch = FetchBatch(sent_at=now)
        batch = link.fetch_batch
        masks: dict[RunKey, tuple[Run, int]] = {}
        for run, index in found:
            mask = masks.get(run.key, (run, 0))[1]
            masks[run.key] = (run, mask | self._bit(run, index, caller))
        places: set[int] = set()
        for run, mask in masks.values():
            before = self._asked.get(run.key, 0) & mask
            for part, again in ((mask & ~before, False), (before, True)):
                if part:
                    places.add(self._entry(batch, run, part, again=again))
            run.used |= mask
            if before:
                self._asked[run.key] &= ~mask
            self._s.runs.mark_used(run)
        names = b"".join(key.key_id for key in keys)
        mark = self._s.audit("released", master=keys and found[0][0].master, slave=caller, key_ids=names.hex())
        batch.tickets.append((ticket, keys, frozenset(places), mark))

    @staticmethod
    def _entry(batch: FetchBatch, run: Run, mask: int, *, again: bool) -> int:
        if batch.runs and batch.runs[-1] is run and batch.again[-1] is again and len(batch.runs) > 0:
            batch.masks[-1] |= mask
            return len(batch.runs) - 1
        batch.runs.append(run)
        batch.masks.append(mask)
        batch.again.append(again)
        return len(batch.runs) - 1

    def flush(self, link: PeerLink, now: float) -> None:
        """Close the open batch of a peer and queue its frame."""
        batch, link.fetch_batch = link.fetch_batch, None
        if batch is None:
            return
        entries = [
            Used(run.key.number, mask.to_bytes((mask.bit_length() + 7) // 8, "little"), again)
            for run, mask, again in zip(batch.runs, batch.masks, batch.again, strict=True)
        ]
        number = link.new_batch()
        batch.sent_at = now
        link.fetching[number] = batch
        link.send(Use(number, self._news(link), entries))

    def announce(self, link: PeerLink) -> None:
        """Tell the owner which runs are delivered whole, where no question will do it soon."""
        if link.is_live and link.done:
            link.send(Use(link.new_batch(), self._news(link), []))

    @staticmethod
    def _news(link: PeerLink) -> list[int]:
        news, link.done = link.done[:_DONE_MOST], link.done[_DONE_MOST:]
        return news

    def answered(self, link: PeerLink, answer: UseAnswer) -> None:
        """The owner has the keys of a batch marked used, but those that it refuses."""
        batch = link.fetching.pop(answer.batch, None)
        if batch is None:
            raise ProtocolError(f"{link.kme} answers question {answer.batch}, which was not asked or is answered")
        refused = set(answer.refused)
        for ticket, keys, places, mark in batch.tickets:
            outcome: Outcome = Refused(Reason.NOT_FOUND, NOT_FOUND) if places & refused else Delivered(keys)
            if isinstance(outcome, Delivered):
                self._s.count("keys_released", len(keys))
            else:
                self._withheld(link, keys)
            self._s.ledger.when(mark, lambda t=ticket, o=outcome: t.settle(o))
        waiting = _waiting(link)
        for run in batch.runs:
            if run.all_used and not self._asked.get(run.key, 0) and run.key not in waiting:
                link.done.append(run.key.number)
                self.drop(run)

    def drop(self, run: Run) -> None:
        """A peer's run is over; so is its segment where the owner is done with it."""
        self._asked.pop(run.key, None)
        self._s.runs.drop(run)

    def unsettled(self) -> set[int]:
        """Segments with keys that are marked used and may still be delivered: their bits must stay."""
        runs = [self._s.runs.get(key) for key, mask in self._asked.items() if mask]
        for link in self._s.links.values():
            for batch in (*link.fetching.values(), *([link.fetch_batch] if link.fetch_batch else [])):
                runs += batch.runs
        return {run.segment for run in runs if run is not None}

    def forget(self, run: Run) -> None:
        """A peer's run is over by its time."""
        self._asked.pop(run.key, None)

    def peer_lost(self, link: PeerLink) -> None:
        """Nobody got the keys whose question was not answered: they may be asked for again."""
        batches = [*link.fetching.values(), *([link.fetch_batch] if link.fetch_batch else [])]
        link.fetching.clear()
        link.fetch_batch = None
        for batch in batches:
            for run, mask in zip(batch.runs, batch.masks, strict=True):
                if self._s.runs.get(run.key) is run:
                    self._asked[run.key] = self._asked.get(run.key, 0) | mask
            text = f"the connection to {link.kme} broke; the keys wait"
            for ticket, keys, _, _ in batch.tickets:
                self._withheld(link, keys)
                ticket.settle(Refused(Reason.PEER_DOWN, text, _RETRY_S))

    def _withheld(self, link: PeerLink, keys: list[Key]) -> None:
        """Take the audit's "released" back: it was written before the owner was heard, and nobody got them."""
        self._s.audit("withheld", peer=link.kme, key_ids=b"".join(key.key_id for key in keys).hex())


def _waiting(link: PeerLink) -> set[RunKey]:
    """Runs about which some question waits for its answer or has not left yet."""
    batches = [*link.fetching.values(), *([link.fetch_batch] if link.fetch_batch else [])]
    return {run.key for batch in batches for run in batch.runs}
