"""Getting a secret back: parcels from as few sites as give it, judged, joined block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from poliqi.apps.vault.keepers import Keeper
from poliqi.apps.vault.parcel import KeyMatrix, Parcel, accepted, parcel_bytes
from poliqi.apps.vault.requests import Entry, Give, Look, decode_listing, numbers_of
from poliqi.apps.vault.sharing import join
from poliqi.apps.vault.shelf import block_count, share_bytes
from poliqi.base.errors import DataRefused, PoliqiError, ProtocolError, StoreError

__all__ = ["LISTING_BYTES", "Found", "Reading", "Source", "contradicting", "listed", "most_agreed"]

LISTING_BYTES: Final = 2048
_LISTED_MOST: Final = 20_000
"""Entries after which a site that has still more is taken for a false one."""
_HEAD: Final = 2


@dataclass(frozen=True, slots=True)
class Source:
    """A site and the number of its share."""

    keeper: Keeper
    place: int


@dataclass(frozen=True, slots=True)
class Found:
    """One epoch of a record, as sites that agree tell it."""

    record: bytes
    epoch: int
    owner: str
    count: int
    threshold: int
    size: int
    sources: tuple[Source, ...] = ()


@dataclass(slots=True)
class Reading:
    """One secret on its way back. `lying` and `silent` name sites, and grow while `blocks` is read.

    `keys` gives the owner's keys of a block; None where they are lost: then the sites judge each other.
    """

    found: Found
    keys: Callable[[int], KeyMatrix] | None
    name: str = ""
    lying: set[str] = field(default_factory=set[str])
    silent: dict[str, str] = field(default_factory=dict[str, str])

    def blocks(self) -> Iterator[bytes]:
        """The content, in pieces. Raises DataRefused where too few sites give true shares; nothing is lost."""
        head = b""
        for block in range(block_count(self.found.size)):
            data = head + self._block(block)
            if block == 0:
                end = _HEAD + int.from_bytes(data[:_HEAD], "big")
                if end > len(data):
                    raise DataRefused("what the shares give has no name: it was not put here by `poliqi vault`")
                self.name = data[_HEAD:end].decode(errors="replace")
                data = data[end:]
            if data:
                yield data

    def judge(self) -> None:
        """Get every block of every share, and judge it by the owner's keys. Raises ValueError without those."""
        if self.keys is None:
            raise ValueError("shares are judged by the owner's keys")
        for block in range(block_count(self.found.size)):
            matrix = self.keys(block)
            for source in self.found.sources:
                name = source.keeper.place
                parcel = None if name in self.silent else self._parcel(source, block)
                if parcel is not None and not accepted({name: parcel}, 1, matrix):
                    self.lying.add(name)

    def _block(self, block: int) -> bytes:
        matrix = None if self.keys is None else self.keys(block)
        parcels: dict[str, Parcel] = {}
        believed: frozenset[str] = frozenset()
        for source in self.found.sources:
            name = source.keeper.place
            if len(believed) >= self.found.threshold:
                break
            if name in self.silent or name in self.lying:
                continue
            parcel = self._parcel(source, block)
            if parcel is not None:
                parcels[name] = parcel
                believed = accepted(parcels, self.found.threshold, matrix)
        if len(believed) < self.found.threshold:
            raise self._too_few(block, parcels, believed if matrix is not None else None)
        self.lying |= parcels.keys() - believed
        chosen = sorted(believed)[: self.found.threshold]
        return join({parcels[name].place: parcels[name].share for name in chosen})

    def _parcel(self, source: Source, block: int) -> Parcel | None:
        found = self.found
        share = share_bytes(found.size, block)
        try:
            data = source.keeper.ask(Give(found.record, found.epoch, block), parcel_bytes(share, found.count))
            return Parcel.decode(data, source.place, found.count, share)
        except StoreError:
            raise
        except PoliqiError as error:
            self.silent[source.keeper.place] = str(error)
            return None

    def _too_few(self, block: int, parcels: Mapping[str, Parcel], believed: frozenset[str] | None) -> DataRefused:
        """`believed` is None where the sites judge each other, which says nothing where too few agree."""
        needed = self.found.threshold
        if believed is not None:
            self.lying |= parcels.keys() - believed
        told = [f"{name}: {why}" for name, why in sorted(self.silent.items())]
        told += [f"{name}: lies about its share" for name in sorted(self.lying)]
        if believed is None and len(parcels) >= needed:
            told.append("the sites that answer contradict each other, and who lies cannot be told")
        count = len(parcels) if believed is None else len(believed)
        return DataRefused(
            f"{needed} true shares are needed and {count} are there (block {block}); " + "; ".join(told)
        )


def listed(keeper: Keeper) -> list[Entry]:
    """All that a site keeps for the caller. Raises as `Keeper.ask`."""
    entries: list[Entry] = []
    after = b""
    while True:
        page = decode_listing(keeper.ask(Look(after), LISTING_BYTES))
        entries += page.entries
        if page.is_last:
            return entries
        if not page.entries or page.entries[-1].record <= after or len(entries) > _LISTED_MOST:
            raise ProtocolError(f"{keeper.place} lists without end: {len(entries)} entries, and no last page")
        after = page.entries[-1].record


def contradicting(record: bytes, told: Sequence[tuple[Keeper, Entry]]) -> frozenset[str]:
    """Places of the sites that cannot be true about a record: other numbers than its id's, or one epoch twice.

    Raises ValueError where it is no id.
    """
    numbers = numbers_of(record)
    of_it = [(keeper.place, entry) for keeper, entry in told if entry.record == record]
    heard = Counter((place, entry.epoch) for place, entry in of_it)
    return frozenset(
        place
        for place, entry in of_it
        if (entry.threshold, entry.count) != numbers or entry.place > entry.count or heard[place, entry.epoch] > 1
    )


def most_agreed(record: bytes, told: Sequence[tuple[Keeper, Entry]]) -> Found | None:
    """The newest epoch that as many sites as its threshold keep whole and tell alike; None where there is none.

    Sites that contradict the id or themselves are left out: so each site counts once, and fewer liars than the
    threshold, which stands in the id, bring about no epoch. Raises ValueError where it is no id.
    """
    threshold, count = numbers_of(record)
    false = contradicting(record, told)
    whole = [(k, e) for k, e in told if e.record == record and e.is_whole and k.place not in false]
    alike = Counter((e.epoch, e.owner, e.size) for _keeper, e in whole)
    enough = [key for key, votes in alike.items() if votes >= threshold]
    if not enough:
        return None
    epoch, owner, size = max(enough)
    sources = tuple(Source(k, e.place) for k, e in whole if (e.epoch, e.owner, e.size) == max(enough))
    return Found(record, epoch, owner, count, threshold, size, sources)
