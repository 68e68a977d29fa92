"""What an owner does with its secrets: put, read, renew, delete, check. One command at a time.

Each change is prepared at every site, decided in the catalogue in one transaction, then told to the sites; a crash
before the decision leaves the old, one after it the new, and `settle` tells the sites what they have not heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from poliqi.apps.envelope.call import pad_bytes
from poliqi.apps.envelope.pads import Outlook
from poliqi.apps.envelope.rule import PadNote
from poliqi.apps.vault.catalogue import Catalogue, Phase, Record, Site
from poliqi.apps.vault.keepers import HERE, Keeper, Keepers
from poliqi.apps.vault.parcel import BLOCK_BYTES, SHARES_MOST, KeyMatrix, parcel_bytes, tagged, tags_change
from poliqi.apps.vault.reading import Found, Reading, Source, contradicting, listed, most_agreed
from poliqi.apps.vault.requests import (
    DONE,
    SIZE_MOST,
    Commit,
    Drop,
    Entry,
    Keep,
    Request,
    Stage,
    make_record_id,
    numbers_of,
)
from poliqi.apps.vault.sharing import split, split_zero
from poliqi.apps.vault.shelf import block_count, share_bytes
from poliqi.base.errors import ConfigError, DataRefused, PoliqiError, StoreError
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy

__all__ = ["Health", "Need", "Owner", "Progress", "needed_pads"]

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

_ASK_BYTES: Final = 64
"""About the longest question beside its parcel."""


def needed_pads(size: int, count: int) -> list[tuple[int, int]]:
    """About the pads towards each site, to put, renew or get a secret of so many bytes at `count` sites.

    Each is (bytes, how many of them).
    """
    last = max(1, block_count(size)) - 1
    shares = [(BLOCK_BYTES, last), (share_bytes(size, last), 1)]
    parcels = [(pad_bytes(_ASK_BYTES + parcel_bytes(share, count), len(DONE)), times) for share, times in shares]
    return [*parcels, (pad_bytes(_ASK_BYTES, len(DONE)), 2)]


@dataclass(frozen=True, slots=True)
class Need:
    """The key that something takes towards one site. `outlook` is None where none travels."""

    place: str
    outlook: Outlook | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How a secret is. `there`: sites that keep the epoch that counts; `missing`: site and why."""

    record: Record
    there: tuple[str, ...]
    missing: dict[str, str]
    lying: tuple[str, ...] = ()

    @property
    def spare(self) -> int:
        """How many more sites may be lost; negative: the secret cannot be had now."""
        return len(self.there) - self.record.threshold


class Owner:
    """One application's secrets. Raises StoreError throughout; ConfigError, DataRefused, LinkDown... as said."""

    def __init__(
        self, catalogue: Catalogue, keepers: Keepers, entropy: Entropy, progress: Progress | None = None
    ) -> None:
        self._catalogue: Final = catalogue
        self._keepers: Final = keepers
        self._entropy: Final = entropy
        self._progress: Final[Progress] = progress or (lambda _done, _all: None)

    def close(self) -> None:
        """Hang up, close the files."""
        self._keepers.close()
        self._catalogue.close()

    def records(self) -> list[Record]:
        """All that the catalogue knows."""
        return self._catalogue.all()

    def needs(self, size: int, sites: Sequence[str]) -> list[Need]:
        """The key that a secret of so many bytes takes towards each site, and whether it is there."""
        found: list[Need] = []
        for name in sites:
            keeper = self._keepers.named(name)
            try:
                found.append(Need(keeper.place, keeper.outlook(needed_pads(size, len(sites)))))
            except StoreError:
                raise
            except PoliqiError as error:
                found.append(Need(keeper.place, None, str(error)))
        return found

    def put(
        self,
        name: str,
        size: int,
        blocks: Iterable[bytes],
        threshold: int,
        sites: Sequence[str],
        readers: tuple[str, ...] = (),
        replaces: Record | None = None,
    ) -> Record:
        """Share `size` bytes over the sites: all of them keep a share when this returns, or nothing changed.

        Raises ConfigError (names, numbers), KeysNotReady, LinkDown, DataRefused (a site says no, or `blocks` has
        another size), and what calling a site raises.
        """
        keepers = self._distinct(sites, threshold)
        if replaces is None and any(r.name == name and r.phase is Phase.KEPT for r in self._catalogue.all()):
            raise ConfigError(f"{name} is kept already: delete it first, or give another --name")
        head = _header(name)
        total = len(head) + size
        if total > SIZE_MOST:
            raise ConfigError(f"{size:,} bytes: a vault keeps at most {SIZE_MOST:,}")
        record = self._catalogue.begin(
            make_record_id(threshold, len(keepers), self._entropy), name, threshold, total,
            [k.sae for k in keepers], readers,
        )  # fmt: skip
        try:
            self._stage(record, keepers, 0)
            for number, block in enumerate(_exactly(head, blocks, total)):
                matrix = KeyMatrix.draw(record.count, self._entropy)
                parcels = tagged(split(block, threshold, record.count, self._entropy), matrix)
                self._keep(record, keepers, number, [p.encode() for p in parcels], matrix)
            decided = self._catalogue.decide(record, _notes(keepers), replaces)
        except BaseException:
            with suppress(PoliqiError):
                self._settle(record, keepers)
            raise
        self._settle(decided, keepers)
        return self._catalogue.get(decided.record)

    def read(self, name: str) -> Reading:
        """A kept secret, judged by the owner's own keys. Raises ConfigError where nothing is called so."""
        record = self._catalogue.find(name)
        return self._reading(record, record.sites)

    def recover(self, record: bytes, silent: dict[str, str]) -> Reading:
        """A secret of which this application has no keys: its own after a loss, or one that it may read.

        `silent` is filled with the sites that do not answer. How many sites have to agree stands in the id: an id
        that liars gave leads to what liars say. Raises ConfigError where it is no id, DataRefused where too few
        sites keep it.
        """
        try:
            numbers_of(record)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        told = self.elsewhere(silent)
        lying = contradicting(record, told)
        found = most_agreed(record, told)
        if found is None:
            why = [f"{name}: {reason}" for name, reason in sorted(silent.items())]
            why += [f"{name}: contradicts the id or itself" for name in sorted(lying)]
            raise DataRefused(
                f"too few sites keep {record.hex()} whole for this application ({'; '.join(why) or 'all answer'})"
            )
        return Reading(found, None, lying=set(lying))

    def elsewhere(self, silent: dict[str, str]) -> list[tuple[Keeper, Entry]]:
        """All that any site keeps for this application."""
        told: list[tuple[Keeper, Entry]] = []
        for keeper in self._keepers.all():
            try:
                told += [(keeper, entry) for entry in listed(keeper)]
            except StoreError:
                raise
            except PoliqiError as error:
                silent[keeper.place] = str(error)
        return told

    def renew(self, name: str) -> Record:
        """Give every site another share of the same secret, and destroy the old ones; nobody sees the secret.

        All sites have to be there: one that is lost is replaced by `rebuild`. Raises as `put`.
        """
        record = self._catalogue.find(name)
        keepers = self._named(record)
        self._settle(record, keepers)
        record = self._catalogue.stage(record.record)
        try:
            self._stage(record, keepers, record.epoch)
            for block in range(block_count(record.size)):
                old = self._catalogue.keys(record, record.epoch, block)
                new = old.masked_anew(self._entropy)
                size = share_bytes(record.size, block)
                zeros = split_zero(size, record.threshold, record.count, self._entropy)
                parcels = [p.encode() for p in tags_change(zeros, old, new)]
                self._keep(record, keepers, block, parcels, new)
            decided = self._catalogue.decide(record, _notes(keepers))
        except BaseException:
            with suppress(PoliqiError):
                self._settle(self._catalogue.get(record.record), keepers)
            raise
        self._settle(decided, keepers)
        return self._catalogue.get(decided.record)

    def rebuild(self, name: str, threshold: int, sites: Sequence[str]) -> tuple[Record, Reading]:
        """Read the secret and share it anew, over other sites; the old shares are destroyed. Raises as `put`."""
        old = self._catalogue.find(name)
        reading = self.read(name)
        size = old.size - len(_header(name))
        record = self.put(name, size, reading.blocks(), threshold, sites, old.readers, replaces=old)
        with suppress(PoliqiError):
            self.settle()
        return record, reading

    def delete(self, name: str) -> dict[str, str]:
        """Have every site destroy its share; those that have not heard of it yet, and why."""
        record = self._catalogue.drop(self._catalogue.find(name))
        return self._settle(record, self._named(record))

    def settle(self) -> dict[str, str]:
        """Tell the sites what they have not heard, after crashes and losses; sites that do not answer, and why."""
        unheard: dict[str, str] = {}
        for record in self._catalogue.all():
            is_open = record.phase is not Phase.KEPT or record.staged
            if is_open or any(site.told != record.epoch for site in record.sites):
                unheard |= self._settle(record, self._named(record))
        return unheard

    def check(self, name: str | None = None, *, is_deep: bool = False) -> list[Health]:
        """How secrets are: which sites keep their share. `is_deep` reads every share and judges it."""
        silent = self.settle()
        told = self.elsewhere(silent)
        records = self._catalogue.all() if name is None else [self._catalogue.find(name)]
        return [self._health(r, told, silent, is_deep) for r in records if r.phase is Phase.KEPT]

    def _health(
        self, record: Record, told: list[tuple[Keeper, Entry]], silent: dict[str, str], is_deep: bool
    ) -> Health:
        kept = {k.sae for k, e in told if (e.record, e.epoch, e.is_whole) == (record.record, record.epoch, True)}
        reading = self._reading(record, [site for site in record.sites if site.sae in kept])
        if is_deep:
            reading.judge()
        missing = dict(reading.silent)
        for keeper in self._named(record):
            if keeper.sae not in kept:
                missing[keeper.place] = silent.get(keeper.place, "has no whole share of it")
        names = [source.keeper.place for source in reading.found.sources]
        there = tuple(name for name in names if name not in reading.lying and name not in missing)
        return Health(record, there, missing, tuple(sorted(reading.lying)))

    def _reading(self, record: Record, sites: Sequence[Site]) -> Reading:
        sources = [Source(self._keepers.named(site.sae), site.place) for site in sites]
        near_first = tuple(sorted(sources, key=lambda source: source.keeper.place != HERE))
        found = Found(record.record, record.epoch, "", record.count, record.threshold, record.size, near_first)
        return Reading(found, lambda block: self._catalogue.keys(record, record.epoch, block))

    def _named(self, record: Record) -> list[Keeper]:
        return [self._keepers.named(site.sae) for site in record.sites]

    def _distinct(self, sites: Sequence[str], threshold: int) -> list[Keeper]:
        keepers = [self._keepers.named(name) for name in sites]
        names = [keeper.sae for keeper in keepers]
        if len(set(names)) != len(names):
            raise ConfigError(f"sites {', '.join(sites)}: one of them is named twice")
        if not 2 <= threshold <= len(keepers) <= SHARES_MOST:
            raise ConfigError(
                f"{threshold} of {len(keepers)} sites: from 2 to their number, which is at most {SHARES_MOST}"
            )
        return keepers

    def _stage(self, record: Record, keepers: Sequence[Keeper], base: int) -> None:
        for site, keeper in zip(record.sites, keepers, strict=True):
            keeper.note = None
            _done(keeper, Stage(record.record, record.staged, base, site.place, record.count, record.threshold,
                                record.size, record.readers))  # fmt: skip

    def _keep(
        self, record: Record, keepers: Sequence[Keeper], block: int, parcels: Sequence[bytes], matrix: KeyMatrix
    ) -> None:
        self._catalogue.keep_keys(record.record, record.staged, block, matrix)
        for keeper, parcel in zip(keepers, parcels, strict=True):
            _done(keeper, Keep(record.record, record.staged, block, parcel))
        self._progress(min((block + 1) * BLOCK_BYTES, record.size), record.size)

    def _settle(self, record: Record, keepers: Sequence[Keeper]) -> dict[str, str]:
        """Bring the sites of one record to what the catalogue says."""
        unheard: dict[str, str] = {}
        for site, keeper in zip(record.sites, keepers, strict=True):
            try:
                if record.phase is not Phase.KEPT:
                    _done(keeper, Drop(record.record, 0))
                    self._catalogue.dropped(record, site)
                    continue
                if record.staged:
                    _done(keeper, Drop(record.record, record.staged))
                if site.told != record.epoch:
                    _done(keeper, Commit(record.record, record.epoch))
                    self._catalogue.told(record, site)
            except StoreError:
                raise
            except PoliqiError as error:
                unheard[keeper.place] = str(error)
        if record.phase is Phase.KEPT and record.staged:
            self._catalogue.unstage(record)
        return unheard


def _done(keeper: Keeper, request: Request) -> None:
    try:
        if keeper.ask(request, len(DONE)) != DONE:
            raise DataRefused("its answer is not the one to this")
    except DataRefused as error:
        raise DataRefused(f"{keeper.place}: {error}") from None


def _notes(keepers: Sequence[Keeper]) -> dict[SaeId, PadNote | None]:
    return {keeper.sae: keeper.note for keeper in keepers}


def _header(name: str) -> bytes:
    """The name travels inside the secret: the sites do not learn it."""
    data = name.encode()
    if not 1 <= len(data) <= 1024:
        raise ConfigError(f"a name of {len(data)} bytes: from 1 to 1024")
    return len(data).to_bytes(2, "big") + data


def _exactly(head: bytes, pieces: Iterable[bytes], total: int) -> Iterable[bytes]:
    """Blocks of BLOCK_BYTES. Raises DataRefused where there is more or less than was said."""
    held = bytearray(head)
    given = 0
    for piece in pieces:
        held += piece
        while len(held) >= BLOCK_BYTES and given + BLOCK_BYTES < total:
            given += BLOCK_BYTES
            yield bytes(held[:BLOCK_BYTES])
            del held[:BLOCK_BYTES]
        if given + len(held) > total:
            break
    if given + len(held) != total:
        came = f"{'more' if given + len(held) > total else f'only {given + len(held) - len(head):,}'} came"
        raise DataRefused(f"{total - len(head):,} bytes were said to come, {came}: did the file change?")
    yield bytes(held)
