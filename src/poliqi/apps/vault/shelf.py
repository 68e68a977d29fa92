"""What a site keeps for owners: staged and committed epochs of records, sealed on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from poliqi.apps.envelope.lockbox import Lockbox
from poliqi.apps.envelope.rule import PadNote
from poliqi.apps.vault.parcel import BLOCK_BYTES, parcel_bytes
from poliqi.apps.vault.requests import Commit, Drop, Entry, Give, Keep, Look, Stage
from poliqi.base.errors import DataRefused
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy
from poliqi.keys.onetime import xor_bytes

__all__ = ["Shelf", "block_count", "kept_bytes", "share_bytes"]

_RECORDS_MOST: Final = 10_000
_SCHEMA: Final = """
CREATE TABLE epochs(
    record BLOB NOT NULL, epoch INTEGER NOT NULL, base INTEGER NOT NULL, owner TEXT NOT NULL,
    place INTEGER NOT NULL, count INTEGER NOT NULL, threshold INTEGER NOT NULL, size INTEGER NOT NULL,
    readers TEXT NOT NULL,
    kept INTEGER NOT NULL DEFAULT 0, committed INTEGER NOT NULL DEFAULT 0, since_s REAL NOT NULL, note BLOB,
    PRIMARY KEY(record, epoch));
CREATE TABLE blocks(
    record BLOB NOT NULL, epoch INTEGER NOT NULL, block INTEGER NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY(record, epoch, block));
"""


def block_count(size: int) -> int:
    """Blocks of a secret of so many bytes."""
    return -(-size // BLOCK_BYTES)


def share_bytes(size: int, block: int) -> int:
    """Bytes of a share of one of its blocks."""
    return min(BLOCK_BYTES, size - block * BLOCK_BYTES)


def kept_bytes(size: int, count: int) -> int:
    """What one of `count` sites keeps of a secret of so many bytes."""
    return size + block_count(size) * parcel_bytes(0, count)


class Shelf:
    """The parcels at one site. Any thread may call. Raises StoreError throughout, DataRefused as said."""

    def __init__(self, folder: Path, room: int, entropy: Entropy, clock: Callable[[], float]) -> None:
        """`room`: bytes kept for each owner."""
        self._box: Final = Lockbox(folder, "shelf.sqlite", _SCHEMA, 1, entropy)
        self._room: Final = room
        self._clock: Final = clock

    def close(self) -> None:
        """Close the files."""
        self._box.close()

    def stage(self, owner: SaeId, ask: Stage) -> None:
        """Prepare an epoch; one of that number that was staged before goes. DataRefused: not its owner, no room."""
        needed = kept_bytes(ask.size, ask.count)
        with self._box.transaction():
            self._check_owner(owner, ask.record)
            rows = self._run("SELECT committed FROM epochs WHERE record=? AND epoch>=?", ask.record, ask.epoch)
            if any(committed for (committed,) in rows):
                raise DataRefused(f"epoch {ask.epoch} or a later one counts already")
            self._destroy(ask.record, ask.epoch)
            if ask.base and not self._is_whole(ask.record, ask.base):
                raise DataRefused(f"epoch {ask.base}, which is to be renewed, is not whole here")
            used, count = self._used(owner)
            if used + needed > self._room or count >= _RECORDS_MOST:
                raise DataRefused(
                    f"no room: {used:,} of {self._room:,} bytes are taken, {needed:,} more are needed"
                )
            self._run(
                "INSERT INTO epochs(record, epoch, base, owner, place, count, threshold, size, readers, since_s)"
                " VALUES (?,?,?,?,?,?,?,?,?,?)",
                ask.record, ask.epoch, ask.base, owner, ask.place, ask.count, ask.threshold, ask.size,
                msgspec.json.encode(ask.readers).decode(), self._clock(),
            )  # fmt: skip

    def keep(self, owner: SaeId, ask: Keep, note: PadNote | None) -> None:
        """A parcel of a staged epoch, added to that of its base. DataRefused where it does not fit."""
        with self._box.transaction():
            base, count, size, old = self._staged(owner, ask.record, ask.epoch)
            if ask.block >= block_count(size) or len(ask.parcel) != parcel_bytes(
                share_bytes(size, ask.block), count
            ):
                raise DataRefused(
                    f"block {ask.block} of {len(ask.parcel)} bytes does not fit {size:,} bytes in {count}"
                )
            parcel = ask.parcel
            if base:
                parcel = xor_bytes(parcel, self._parcel(ask.record, base, ask.block))
            sealed = self._box.seal(parcel, *_place(ask.record, ask.epoch, ask.block))
            self._run("INSERT OR REPLACE INTO blocks VALUES (?,?,?,?)", ask.record, ask.epoch, ask.block, sealed)
            joined = PadNote.joined(old, note)
            self._run(
                "UPDATE epochs SET note=?, kept=(SELECT count(*) FROM blocks b WHERE b.record=epochs.record"
                " AND b.epoch=epochs.epoch) WHERE record=? AND epoch=?",
                None if joined is None else msgspec.json.encode(joined), ask.record, ask.epoch,
            )  # fmt: skip

    def commit(self, owner: SaeId, ask: Commit) -> None:
        """The epoch counts, those before it are destroyed. Twice is once. DataRefused where it is not whole."""
        with self._box.transaction():
            self._check_owner(owner, ask.record)
            if not self._is_whole(ask.record, ask.epoch):
                raise DataRefused(f"epoch {ask.epoch} is not whole here")
            self._run("UPDATE epochs SET committed=1 WHERE record=? AND epoch=?", ask.record, ask.epoch)
            for (epoch,) in self._run("SELECT epoch FROM epochs WHERE record=? AND epoch<?", ask.record, ask.epoch):
                self._destroy(ask.record, epoch)
        self._box.fold()

    def drop(self, owner: SaeId, ask: Drop) -> None:
        """Destroy an epoch, or all. Nothing happens where there is none. DataRefused: not its owner."""
        with self._box.transaction():
            self._check_owner(owner, ask.record)
            for (epoch,) in self._run("SELECT epoch FROM epochs WHERE record=?", ask.record):
                if ask.epoch in (0, epoch):
                    self._destroy(ask.record, epoch)
        self._box.fold()

    def look(self, caller: SaeId, ask: Look) -> list[Entry]:
        """What the caller owns or may read, of the records behind `after`."""
        rows = self._run(
            "SELECT record, epoch, owner, place, count, threshold, size, kept, committed, readers FROM epochs"
            " WHERE record>? ORDER BY record, epoch",
            ask.after,
        )
        mine = [r for r in rows if caller == r[2] or caller in msgspec.json.decode(r[9], type=list[str])]
        return [
            Entry(record, epoch, owner, place, count, threshold, size, kept == block_count(size), bool(committed))
            for record, epoch, owner, place, count, threshold, size, kept, committed, _readers in mine
        ]

    def give(self, caller: SaeId, ask: Give) -> bytes:
        """A parcel. DataRefused where there is none for the caller: nobody learns what is kept for others."""
        rows = self._run("SELECT owner, readers FROM epochs WHERE record=? AND epoch=?", ask.record, ask.epoch)
        allowed = rows and (rows[0][0] == caller or caller in msgspec.json.decode(rows[0][1], type=list[str]))
        if not allowed:
            raise DataRefused(f"epoch {ask.epoch} of this record is not here for {caller}")
        return self._parcel(ask.record, ask.epoch, ask.block)

    def notes(self) -> list[tuple[str, bytes, int, bool, PadNote | None]]:
        """Owner, record, epoch, whether it counts, and what is told of the pads it came under."""
        rows = self._run("SELECT owner, record, epoch, committed, note FROM epochs ORDER BY owner, record, epoch")
        return [
            (o, r, e, bool(c), None if n is None else msgspec.json.decode(n, type=PadNote))
            for o, r, e, c, n in rows
        ]

    def _parcel(self, record: bytes, epoch: int, block: int) -> bytes:
        rows = self._run("SELECT sealed FROM blocks WHERE record=? AND epoch=? AND block=?", record, epoch, block)
        if not rows:
            raise DataRefused(f"block {block} of epoch {epoch} of this record is not here")
        return self._box.open(rows[0][0], *_place(record, epoch, block))

    def _check_owner(self, owner: SaeId, record: bytes) -> None:
        if self._run("SELECT 1 FROM epochs WHERE record=? AND owner<>?", record, owner):
            raise DataRefused("this record belongs to somebody else")

    def _staged(self, owner: SaeId, record: bytes, epoch: int) -> tuple[int, int, int, PadNote | None]:
        rows = self._run(
            "SELECT base, count, size, note FROM epochs WHERE record=? AND epoch=? AND owner=? AND committed=0",
            record, epoch, owner,
        )  # fmt: skip
        if not rows:
            raise DataRefused(f"epoch {epoch} of this record is not staged here")
        base, count, size, note = rows[0]
        return base, count, size, None if note is None else msgspec.json.decode(note, type=PadNote)

    def _is_whole(self, record: bytes, epoch: int) -> bool:
        rows = self._run("SELECT kept, size FROM epochs WHERE record=? AND epoch=?", record, epoch)
        return bool(rows) and rows[0][0] == block_count(rows[0][1])

    def _used(self, owner: SaeId) -> tuple[int, int]:
        """Bytes promised to what is staged and kept, and how many epochs."""
        rows = self._run("SELECT size, count FROM epochs WHERE owner=?", owner)
        return sum(kept_bytes(size, count) for size, count in rows), len(rows)

    def _destroy(self, record: bytes, epoch: int) -> None:
        self._run("DELETE FROM blocks WHERE record=? AND epoch=?", record, epoch)
        self._run("DELETE FROM epochs WHERE record=? AND epoch=?", record, epoch)

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._box.run(statement, values)


def _place(record: bytes, epoch: int, block: int) -> tuple[bytes, ...]:
    return b"parcel", record, epoch.to_bytes(8, "big"), block.to_bytes(8, "big")
