"""What an owner knows of its secrets: names, sites, epochs, and the keys by which it judges shares.

Every change of what counts is one transaction here: an epoch counts from the moment that this file says so, and
what the sites have still to be told is remembered until they confirmed it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from poliqi.apps.envelope.lockbox import Lockbox
from poliqi.apps.envelope.rule import PadNote
from poliqi.apps.vault.parcel import KeyMatrix
from poliqi.apps.vault.requests import numbers_of
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy

__all__ = ["Catalogue", "Phase", "Record", "Site"]

_SCHEMA: Final = """
CREATE TABLE records(
    record BLOB PRIMARY KEY, name TEXT NOT NULL, phase TEXT NOT NULL, threshold INTEGER NOT NULL,
    size INTEGER NOT NULL, epoch INTEGER NOT NULL, staged INTEGER NOT NULL, last INTEGER NOT NULL,
    readers TEXT NOT NULL, since_s REAL NOT NULL, renewed_s REAL NOT NULL);
CREATE UNIQUE INDEX kept_names ON records(name) WHERE phase = 'kept';
CREATE TABLE sites(
    record BLOB NOT NULL, place INTEGER NOT NULL, sae TEXT NOT NULL, told INTEGER NOT NULL DEFAULT 0, note BLOB,
    PRIMARY KEY(record, place));
CREATE TABLE keys(
    record BLOB NOT NULL, epoch INTEGER NOT NULL, block INTEGER NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY(record, epoch, block));
"""


class Phase(StrEnum):
    """Where a record is in its life."""

    PUTTING = "putting"
    KEPT = "kept"
    DROPPING = "dropping"


@dataclass(frozen=True, slots=True)
class Site:
    """A site that keeps a share. `told`: the epoch that it has confirmed to count."""

    place: int
    sae: SaeId
    told: int
    note: PadNote | None


@dataclass(frozen=True, slots=True)
class Record:
    """One secret. `epoch` counts (0: none yet), `staged` is being prepared (0: none); times are Unix times."""

    record: bytes
    name: str
    phase: Phase
    threshold: int
    size: int
    epoch: int
    staged: int
    readers: tuple[str, ...]
    since_s: float
    renewed_s: float
    sites: tuple[Site, ...]

    @property
    def count(self) -> int:
        """How many sites keep a share, also while some of them have destroyed theirs."""
        return numbers_of(self.record)[1]


class Catalogue:
    """The owner's file. Raises StoreError throughout."""

    def __init__(self, folder: Path, entropy: Entropy, clock: Callable[[], float]) -> None:
        self._box: Final = Lockbox(folder, "catalogue.sqlite", _SCHEMA, 1, entropy)
        self._clock: Final = clock

    def close(self) -> None:
        """Close the file."""
        self._box.close()

    def begin(
        self, record: bytes, name: str, threshold: int, size: int, sites: list[SaeId], readers: tuple[str, ...]
    ) -> Record:
        """Note a record of which nothing stands anywhere yet; its first epoch is staged."""
        now = self._clock()
        told = msgspec.json.encode(readers).decode()
        with self._box.transaction():
            self._run(
                "INSERT INTO records VALUES (?,?,?,?,?,0,1,1,?,?,?)",
                record, name, Phase.PUTTING, threshold, size, told, now, now,
            )  # fmt: skip
            for place, sae in enumerate(sites, start=1):
                self._run("INSERT INTO sites(record, place, sae) VALUES (?,?,?)", record, place, sae)
        return self.get(record)

    def stage(self, record: bytes) -> Record:
        """Note that the next epoch is being prepared."""
        self._run("UPDATE records SET last=last+1, staged=last+1 WHERE record=?", record)
        return self.get(record)

    def keep_keys(self, record: bytes, epoch: int, block: int, matrix: KeyMatrix) -> None:
        """The keys of a block."""
        sealed = self._box.seal(matrix.keys, *_place(record, epoch, block))
        self._run("INSERT OR REPLACE INTO keys VALUES (?,?,?,?)", record, epoch, block, sealed)

    def keys(self, record: Record, epoch: int, block: int) -> KeyMatrix:
        """The keys of a block."""
        [(sealed,)] = self._run(
            "SELECT sealed FROM keys WHERE record=? AND epoch=? AND block=?", record.record, epoch, block
        )
        return KeyMatrix(record.count, self._box.open(sealed, *_place(record.record, epoch, block)))

    def decide(self, record: Record, notes: dict[SaeId, PadNote | None], replaces: Record | None = None) -> Record:
        """The staged epoch counts from now on, whatever happens next. Raises ConfigError: the name is taken."""
        with self._box.transaction():
            if replaces is not None:
                self._run("UPDATE records SET phase=? WHERE record=?", Phase.DROPPING, replaces.record)
            elif self._run(
                "SELECT 1 FROM records WHERE name=? AND phase='kept' AND record<>?", record.name, record.record
            ):
                raise ConfigError(f"{record.name} is kept already: delete it, or put it under another --name")
            self._run(
                "UPDATE records SET phase=?, epoch=staged, staged=0, renewed_s=? WHERE record=?",
                Phase.KEPT, self._clock(), record.record,
            )  # fmt: skip
            self._run("DELETE FROM keys WHERE record=? AND epoch<?", record.record, record.staged)
            for site in record.sites:
                note = PadNote.joined(site.note, notes.get(site.sae))
                if note is not None:
                    self._run(
                        "UPDATE sites SET note=? WHERE record=? AND place=?",
                        msgspec.json.encode(note), record.record, site.place,
                    )  # fmt: skip
        self._box.fold()
        return self.get(record.record)

    def unstage(self, record: Record) -> None:
        """What was being prepared is not any more."""
        with self._box.transaction():
            self._run("DELETE FROM keys WHERE record=? AND epoch=?", record.record, record.staged)
            self._run("UPDATE records SET staged=0 WHERE record=?", record.record)

    def told(self, record: Record, site: Site) -> None:
        """A site has confirmed that the epoch counts."""
        self._run("UPDATE sites SET told=? WHERE record=? AND place=?", record.epoch, record.record, site.place)

    def drop(self, record: Record) -> Record:
        """From now on it is gone, once the sites have heard of it."""
        self._run("UPDATE records SET phase=? WHERE record=?", Phase.DROPPING, record.record)
        return self.get(record.record)

    def dropped(self, record: Record, site: Site) -> None:
        """A site has destroyed its share; after the last one nothing of the record stands here either."""
        with self._box.transaction():
            self._run("DELETE FROM sites WHERE record=? AND place=?", record.record, site.place)
            if not self._run("SELECT 1 FROM sites WHERE record=?", record.record):
                self._run("DELETE FROM keys WHERE record=?", record.record)
                self._run("DELETE FROM records WHERE record=?", record.record)

    def get(self, record: bytes) -> Record:
        """One by its id."""
        [found] = [each for each in self.all() if each.record == record]
        return found

    def find(self, name: str) -> Record:
        """A kept one by its name. Raises ConfigError."""
        for each in self.all():
            if each.name == name and each.phase is Phase.KEPT:
                return each
        raise ConfigError(f"nothing called {name[:80]!r} is kept; `poliqi vault list` shows what is")

    def all(self) -> list[Record]:
        """All, by name."""
        sites: dict[bytes, list[Site]] = {}
        for record, place, sae, told, note in self._run("SELECT * FROM sites ORDER BY record, place"):
            told_note = None if note is None else msgspec.json.decode(note, type=PadNote)
            sites.setdefault(record, []).append(Site(place, SaeId(sae), told, told_note))
        rows = self._run(
            "SELECT record, name, phase, threshold, size, epoch, staged, readers, since_s, renewed_s"
            " FROM records ORDER BY name, since_s"
        )
        return [_record(row, tuple(sites.get(row[0], ()))) for row in rows]

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._box.run(statement, values)


def _place(record: bytes, epoch: int, block: int) -> tuple[bytes, ...]:
    return b"keys", record, epoch.to_bytes(8, "big"), block.to_bytes(8, "big")


def _record(row: tuple[Any, ...], sites: tuple[Site, ...]) -> Record:
    record, name, phase, threshold, size, epoch, staged, readers, since_s, renewed_s = row
    allowed = tuple(msgspec.json.decode(readers, type=list[str]))
    return Record(record, name, Phase(phase), threshold, size, epoch, staged, allowed, since_s, renewed_s, sites)
