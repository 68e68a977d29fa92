"""The stock of a site: segments by pool, which of them may be used, and how far.

A segment of one's own is used from its front. Bytes are leased, durably, before any of them is used; a restart
goes on after the lease and a rolled-back site after what its peer has seen, so no byte is ever used twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.errors import StoreError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade
from poliqi.keys.ledger import Ledger
from poliqi.keys.marks import Dropped, Leased, Owned, Readied, Vault
from poliqi.keys.segment import SegmentName, SegmentRecord, SegmentState, first_usable

__all__ = ["Piece", "Pool", "Stock"]

_LEASE_BYTES: Final = 8192
_OPEN_MOST: Final = 128
_LEAST_BYTES: Final = 8
"""Shortest key that anybody may ask for."""
_CRUMB: Final = 256
"""What is left of a segment and is less than this part of it is burnt: keys that people ask for rarely fit into it,
and segments that wait for one that does would fill the stock.
"""

Acceptable = Callable[[Grade], bool]


@dataclass(slots=True)
class Piece:
    """Room for `count` keys of one size in one segment; usable once mark `after` is durable."""

    segment: SegmentRecord
    offset: int
    count: int
    after: int


@dataclass(slots=True)
class Pool:
    """What two sites share under one link id. `secret` names its keys; None until both ends agreed on it."""

    link_id: LinkId
    peer: KmeId
    capacity: int
    low_water: int
    is_relayed: bool = False
    secret: bytes | None = field(default=None, repr=False)
    segments: dict[SegmentName, SegmentRecord] = field(default_factory=dict[SegmentName, SegmentRecord])
    own: OrderedDict[int, SegmentRecord] = field(default_factory=OrderedDict[int, SegmentRecord])
    """Ready segments of one's own with room left, in the order of use."""
    stored_bytes: int = 0
    own_bytes: int = 0
    """Bytes of `own` that are still free."""
    taken_bytes: int = 0
    """Given to applications from one's own share since the start."""
    filled_bytes: int = 0
    """Put in since the start, both shares."""
    own_filled_bytes: int = 0
    """Of them, one's own."""
    relayed_bytes: int = 0
    """Of one's own share, used since the start to carry other sites' key, or one's own by relay."""


class Stock:
    """Every segment of a site."""

    def __init__(
        self, own: KmeId, ledger: Ledger, vault: Vault, pools: dict[LinkId, Pool], next_number: int
    ) -> None:
        self._own: Final = own
        self._ledger: Final = ledger
        self._vault: Final = vault
        self.pools: Final = pools
        self.by_number: Final[dict[int, SegmentRecord]] = {}
        self._next: Final[dict[int, int]] = {}
        self._lease_mark: Final[dict[int, int]] = {}
        self._spent: Final[set[int]] = set()
        self._open: Final[OrderedDict[int, tuple[SecretBytes, memoryview]]] = OrderedDict()
        self._fresh: Final[dict[int, SecretBytes]] = {}
        """Bits that are not on disk yet."""
        self._next_number = next_number
        self.retiring: Final[set[int]] = set()
        """Segments that the owner is done with and in which keys still wait to be fetched."""
        self.damaged: list[SegmentRecord] = []
        """Segments whose bits could not be read: to be dropped at both ends."""

    # ---------------------------------------------------------------- coming and going

    def new_number(self) -> int:
        """A number for a segment, never given before."""
        self._next_number += 1
        return self._next_number - 1

    def add(self, record: SegmentRecord) -> None:
        """Know a segment from now on (its mark is the caller's affair)."""
        pool = self.pools[record.pool]
        self.by_number[record.number] = record
        pool.segments[record.name] = record
        pool.stored_bytes += record.size
        self._next[record.number] = max(record.leased, first_usable(record.size))
        self._offer_for_use(pool, record)

    def hold(self, record: SegmentRecord, payload: SecretBytes, mark: int) -> None:
        """Keep a segment's bits at hand until `mark`, which puts them on disk, is durable.

        The peer may have it stored and compared before: then its bits are asked for while they are on their way.
        """
        self._fresh[record.number] = SecretBytes(payload.view())
        self._ledger.when(mark, lambda: self._let_go(record.number))

    def _let_go(self, number: int) -> None:
        held = self._fresh.pop(number, None)
        if held is not None:
            held.close()

    def _offer_for_use(self, pool: Pool, record: SegmentRecord) -> None:
        if record.owner == self._own and record.state is SegmentState.READY and record.number not in pool.own:
            free = record.size - self._next[record.number]
            if not _is_crumb(record, free):
                pool.own[record.number] = record
                pool.own_bytes += free
            else:
                self._spent.add(record.number)

    def _withdraw(self, pool: Pool, record: SegmentRecord) -> None:
        if pool.own.pop(record.number, None) is not None:
            pool.own_bytes -= record.size - self._next[record.number]

    def ready(self, record: SegmentRecord) -> None:
        """Both ends hold it and it is the same."""
        record.state = SegmentState.READY
        self._ledger.write(Readied(record.number))
        self._offer_for_use(self.pools[record.pool], record)

    def drop(self, record: SegmentRecord) -> None:
        """Forget a segment and have it destroyed."""
        pool = self.pools[record.pool]
        self._withdraw(pool, record)
        if pool.segments.pop(record.name, None) is None:
            return
        pool.stored_bytes -= record.size
        del self.by_number[record.number], self._next[record.number]
        self._lease_mark.pop(record.number, None)
        self.retiring.discard(record.number)
        self._let_go(record.number)
        opened = self._open.pop(record.number, None)
        if opened is not None:
            opened[0].close()
        self._ledger.write(Dropped(record.number))

    def change_owner(self, record: SegmentRecord, owner: KmeId) -> int:
        """Give an untouched segment away, or take one that was given; the number of the mark."""
        pool = self.pools[record.pool]
        self._withdraw(pool, record)
        record.owner = owner
        number = self._ledger.write(Owned(record.number, owner))
        self._offer_for_use(pool, record)
        return number

    # ---------------------------------------------------------------- use of one's own share

    def burn_to(self, record: SegmentRecord, upto: int) -> None:
        """Never use bytes below `upto` of a segment of one's own: the peer has seen them used."""
        upto = min(upto, record.size)
        if record.owner != self._own or upto <= self._next[record.number]:
            return
        pool = self.pools[record.pool]
        if record.number in pool.own:
            pool.own_bytes -= upto - self._next[record.number]
        self._next[record.number] = upto
        if upto > record.leased:
            self._lease(record, upto)
        if _is_crumb(record, record.size - upto):
            self._spend(pool, record)

    def is_untouched(self, record: SegmentRecord) -> bool:
        """True where no byte of a segment of one's own was ever leased."""
        return record.leased == 0

    def finished(self, pool: Pool, busy: Collection[int] = ()) -> list[SegmentRecord]:
        """Segments of one's own of which nothing is left to use."""
        ended = [n for n in self._spent if n not in busy]
        found = [r for n in ended if (r := self.by_number.get(n)) and r.pool == pool.link_id]
        self._spent.difference_update(r.number for r in found)
        return found

    def free(self, pool: Pool, acceptable: Acceptable, size: int) -> int:
        """How many keys of `size` bytes one's own share gives now."""
        return sum(
            (record.size - self._next[number]) // size
            for number, record in pool.own.items()
            if acceptable(record.grade)
        )

    def take(
        self,
        pool: Pool,
        size: int,
        count: int,
        acceptable: Acceptable,
        among: set[int] | None = None,
        most: int | None = None,
    ) -> list[Piece] | None:
        """Room for `count` keys of `size` bytes out of one's own share, or None: all or nothing.

        `among`: only out of these segments. `most`: in so many pieces at most.
        """
        first = next(iter(pool.own.values()), None)
        has_room = among is None and first and first.size - self._next[first.number] >= size * count
        if first and has_room and acceptable(first.grade):
            return [self._use(pool, first, size, count)]
        found: list[tuple[SegmentRecord, int]] = []
        wanted = count
        for number, record in pool.own.items():
            room = (record.size - self._next[number]) // size
            if room and (among is None or number in among) and acceptable(record.grade):
                here = min(room, wanted)
                found.append((record, here))
                wanted -= here
                if not wanted:
                    break
        if wanted or (most is not None and len(found) > most):
            return None
        return [self._use(pool, record, size, here) for record, here in found]

    def _use(self, pool: Pool, record: SegmentRecord, size: int, count: int) -> Piece:
        number = record.number
        offset = self._next[number]
        end = offset + size * count
        if end > record.leased or (record.leased < record.size and record.leased - end < _LEASE_BYTES // 2):
            before = self._lease_mark.get(number, 0)
            needed = end > record.leased
            after = self._lease(record, min(record.size, end + _LEASE_BYTES))
            if not needed:
                after = before
        else:
            after = self._lease_mark.get(number, 0)
        self._next[number] = end
        pool.own_bytes -= end - offset
        if _is_crumb(record, record.size - end):
            self._spend(pool, record)
        return Piece(record, offset, count, after)

    def _spend(self, pool: Pool, record: SegmentRecord) -> None:
        """Nothing that anybody asks for fits into what is left."""
        self._withdraw(pool, record)
        self._spent.add(record.number)

    def _lease(self, record: SegmentRecord, upto: int) -> int:
        record.leased = upto
        mark = self._ledger.write(Leased(record.number, upto))
        self._lease_mark[record.number] = mark
        return mark

    # ---------------------------------------------------------------- use of the peer's share

    def peer_uses(self, record: SegmentRecord, offset: int, end: int) -> int | None:
        """Let the peer use bytes from `offset` to `end` of its segment: the mark's number; None where it may not.

        What the peer uses only ever moves forward, so no range is accepted twice.
        """
        if record.owner == self._own or record.state is not SegmentState.READY:
            return None
        if offset < max(record.leased, first_usable(record.size)) or end > record.size:
            return None
        record.leased = end
        return self._ledger.write(Leased(record.number, end))

    def used_up(self) -> dict[int, int]:
        """Below which byte touched segments are used up or stand in a durable run: their bits may be erased.

        The peer's segments are left out while marks are on their way to the disk.
        """
        is_quiet = self._ledger.committed == self._ledger.emitted
        return {
            number: self._next[number] if record.owner == self._own else record.leased
            for number, record in self.by_number.items()
            if record.leased and (is_quiet or record.owner == self._own)
        }

    # ---------------------------------------------------------------- bits

    def bits(self, record: SegmentRecord) -> memoryview | None:
        """The segment's bits, for use at once; None where the disk no longer has them (it is then in `damaged`)."""
        opened = self._open.get(record.number)
        if opened is not None:
            return opened[1]
        held = self._fresh.get(record.number)
        if held is not None:
            return held.view()
        try:
            secret = self._vault.read(record.number)
        except StoreError:
            self.damaged.append(record)
            return None
        view = secret.view()
        self._open[record.number] = secret, view
        if len(self._open) > _OPEN_MOST:
            self._open.popitem(last=False)[1][0].close()
        return view

    def close(self) -> None:
        """Wipe what is open."""
        for opened, _ in self._open.values():
            opened.close()
        self._open.clear()


def _is_crumb(record: SegmentRecord, left: int) -> bool:
    """True where so little is left of a segment that it is given up."""
    return left < max(_LEAST_BYTES, record.size // _CRUMB)
