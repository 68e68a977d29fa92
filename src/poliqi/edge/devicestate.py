"""What one end of a key device must never lose or use twice: pads, the block in hand, what came before.

The tables stand in the state that `poliqi link pair` made, beside the pads (docs/spec/key-devices.md). Each method
that changes something is one transaction, durable when it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.ids import LinkId, Origin, Role
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.distill.authenticate import Lane
from poliqi.distill.outcome import PadCursor
from poliqi.edge.ingest_sink import SiteSink
from poliqi.edge.keysink import Postponed
from poliqi.edge.linkrecord import LinkRecord, read_link, read_status
from poliqi.edge.pads import advance, check_lane, read_lane
from poliqi.edge.statefile import StateFile
from poliqi.edge.stateschema import row_digest
from poliqi.keys.devices.judging import MARK_BYTES, MOST_MARKS
from poliqi.keys.devices.pairing import JoinedKeys
from poliqi.keys.grade import Grade, KeyOrigin

__all__ = ["DeviceStore", "DeviceTotals", "device_totals"]

_VERSION: Final = 1
_SALT_BYTES: Final = 32
_HELD: Final = "held"
_STORED: Final = "stored"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS device (
  one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, salt BLOB NOT NULL,
  last INTEGER NOT NULL DEFAULT 0, highest INTEGER NOT NULL DEFAULT 0, blocks INTEGER NOT NULL DEFAULT 0,
  keys INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  faults INTEGER NOT NULL DEFAULT 0, fault TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE IF NOT EXISTS device_block (
  number INTEGER PRIMARY KEY, name BLOB NOT NULL, secret BLOB NOT NULL, names TEXT NOT NULL, marks BLOB NOT NULL,
  digest BLOB NOT NULL, stage TEXT NOT NULL, destination TEXT) STRICT;
CREATE TABLE IF NOT EXISTS device_seen (number INTEGER PRIMARY KEY, marks BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS device_settled (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class DeviceTotals:
    """Figures of a state, none of them secret. `words_left` counts in the emptier lane, above the reserve."""

    link_id: LinkId
    last: int
    blocks: int
    keys: int
    key_bytes: int
    faults: int
    fault: str
    waiting_bytes: int
    words_left: int
    capacity_words: int

    @property
    def blocks_left(self) -> int:
        """Blocks that the pads still carry on one connection: Alice's direction pays four words for it."""
        return max(0, self.words_left - 4)


def device_totals(folder: Path) -> DeviceTotals | None:
    """Figures of a state, also while a process uses it; None where no device used it yet. Raises ConfigError."""
    with closing(StateFile(folder, read_only=True)) as state:
        if not state.run("SELECT 1 FROM sqlite_master WHERE name = 'device'"):
            return None
        return _totals(state)


def _totals(state: StateFile) -> DeviceTotals:
    status = read_status(state)
    [(last, blocks, keys, size, faults, fault)] = state.run(
        "SELECT last, blocks, keys, bytes, faults, fault FROM device"
    )
    [(waiting,)] = state.run(
        "SELECT coalesce(sum(length(secret)), 0) FROM device_block WHERE stage = ?", (_STORED,)
    )
    left = max(0, min(status.words_left.values()) - status.link.reserve)
    return DeviceTotals(
        link_id=status.link.link_id,
        last=last,
        blocks=blocks,
        keys=keys,
        key_bytes=size,
        faults=faults,
        fault=fault,
        waiting_bytes=waiting,
        words_left=left,
        capacity_words=status.link.capacity,
    )


class DeviceStore:
    """The open state of one end of a key device, held by this process alone. Raises ConfigError, StoreError."""

    def __init__(self, folder: Path, entropy: Entropy) -> None:
        self._state: Final = StateFile(folder)
        try:
            self.link: Final[LinkRecord] = read_link(self._state)
            self._check_fit()
            for role in Role:
                check_lane(self._state, role)
            with self._state.transaction():
                self._state.run(_SCHEMA)
                salt = entropy.draw(_SALT_BYTES)
                self._state.run(
                    "INSERT OR IGNORE INTO device (one, version, salt) VALUES (1, ?, ?)", (_VERSION, salt)
                )
            [(version,)] = self._state.run("SELECT version FROM device")
            if version != _VERSION:
                raise StoreError(f"state {folder}: its tables of a device are of version {version}, not {_VERSION}")
            self._state.fold()
        except BaseException:
            self._state.close()
            raise

    def _check_fit(self) -> None:
        status, folder = read_status(self._state), self._state.folder
        if not status.has_pads:
            raise ConfigError(f"state {folder} has no pads: a key device's ends are paired by a pair file")
        if status.next_block > 1 or status.undelivered:
            raise ConfigError(
                f"state {folder} belongs to a link that distils; pair the device's ends into a folder of their own"
            )

    @property
    def origin(self) -> KeyOrigin:
        """What every key is: nobody proved anything of it. Simulated where the ends were paired so."""
        return KeyOrigin.UNPROVEN if self.link.light is Origin.PHOTONS else KeyOrigin.SIMULATED

    # ---------------------------------------------------------------- what a connection starts from

    def lanes(self) -> dict[Role, Lane]:
        """Both pads with their unused words. Raises KeyExhausted."""
        return {role: read_lane(self._state, role, self.link.capacity) for role in Role}

    def totals(self) -> DeviceTotals:
        """The figures of the moment."""
        return _totals(self._state)

    @property
    def last(self) -> int:
        """Number of the block that was stored last."""
        return self._number("last")

    @property
    def highest(self) -> int:
        """The highest number that was ever held or stored."""
        return self._number("highest")

    def _number(self, column: str) -> int:
        [(number,)] = self._state.run(f"SELECT {column} FROM device")  # noqa: S608 (a column's name)
        return int(number)

    @property
    def salt(self) -> bytes:
        """Key of the memory's marks."""
        [(salt,)] = self._state.run("SELECT salt FROM device")
        return bytes(salt)

    def seen(self) -> Iterator[bytes]:
        """The memory, oldest block first."""
        for (number,) in self._state.run("SELECT number FROM device_seen ORDER BY number"):
            [(marks,)] = self._state.run("SELECT marks FROM device_seen WHERE number = ?", (number,))
            yield bytes(marks)

    # ---------------------------------------------------------------- blocks

    def mark(self, cursors: Sequence[PadCursor]) -> None:
        """These pad words are used."""
        with self._state.transaction():
            self._mark(cursors)

    def _mark(self, cursors: Sequence[PadCursor]) -> None:
        for cursor in cursors:
            advance(self._state, cursor.sender, cursor.next_word)

    def hold(self, block: JoinedKeys, marks: bytes, cursors: Sequence[PadCursor]) -> None:
        """Keep a block until the leader says what becomes of it."""
        with self._state.transaction():
            self._mark(cursors)
            if self._state.run("SELECT 1 FROM device_block WHERE stage = ?", (_HELD,)):
                raise StoreError(f"state {self._state.path}: block {block.number} cannot be held beside another")
            self._put(block, marks, _HELD)

    def store(self, block: JoinedKeys, marks: bytes, cursors: Sequence[PadCursor]) -> None:
        """The leader's: the other end holds the same block."""
        with self._state.transaction():
            self._mark(cursors)
            self._put(block, marks, _STORED)
            self._count(block.number)
        self._state.fold()

    def settle(self, number: int | None, cursors: Sequence[PadCursor] = ()) -> bytes | None:
        """The follower's: what is held is stored where the leader stored this number, else burnt.

        The marks of what was stored; None where nothing was.
        """
        with self._state.transaction():
            self._mark(cursors)
            held = self._state.run("SELECT number FROM device_block WHERE stage = ?", (_HELD,))
            is_stored = number is not None and (number,) in held
            if number is not None and is_stored:
                self._state.run("UPDATE device_block SET stage = ? WHERE number = ?", (_STORED, number))
                self._count(number)
            self._state.run("DELETE FROM device_block WHERE stage = ?", (_HELD,))
        if held:
            self._state.fold()
        if not is_stored:
            return None
        return bytes(self._state.run("SELECT marks FROM device_seen WHERE number = ?", (number,))[0][0])

    def _put(self, block: JoinedKeys, marks: bytes, stage: str) -> None:
        names, secret = "\n".join(block.names), block.key.view()
        digest = row_digest(block.number, block.name, secret, names)
        self._state.run(
            "INSERT INTO device_block (number, name, secret, names, marks, digest, stage)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (block.number, block.name, secret, names, marks, digest, stage),
        )
        self._state.run("UPDATE device SET highest = max(highest, ?)", (block.number,))

    def _count(self, number: int) -> None:
        """A block is stored: it counts, it is remembered, the device may forget its keys."""
        _, secret, names = self._row(number)
        self._state.run(
            "UPDATE device SET last = ?, blocks = blocks + 1, keys = keys + ?, bytes = bytes + ?",
            (number, len(names), len(secret)),
        )
        secret.close()
        self._state.run_many("INSERT OR IGNORE INTO device_settled VALUES (?)", ((name,) for name in names))
        self._state.run(
            "INSERT INTO device_seen SELECT number, marks FROM device_block WHERE number = ?", (number,)
        )
        self._state.run("UPDATE device_block SET marks = x'' WHERE number = ?", (number,))
        [(total,)] = self._state.run("SELECT sum(length(marks)) FROM device_seen")
        while total > MARK_BYTES * MOST_MARKS:
            [(oldest, size)] = self._state.run("SELECT min(number), length(marks) FROM device_seen")
            self._state.run("DELETE FROM device_seen WHERE number = ?", (oldest,))
            total -= size

    def _row(self, number: int) -> tuple[bytes, SecretBytes, list[str]]:
        """Name, key and names of the keys of a block. Raises StoreError where it is damaged."""
        [(name, secret, names, digest)] = self._state.run(
            "SELECT name, secret, names, digest FROM device_block WHERE number = ?", (number,)
        )
        if row_digest(number, name, secret, names) != digest:
            raise StoreError(
                f"state {self._state.path}: block {number} of its device is damaged; pair the ends again"
            )
        return bytes(name), SecretBytes(secret), str(names).split("\n")

    # ---------------------------------------------------------------- the device

    def settled(self) -> list[str]:
        """Names of stored keys that the device was not told of yet."""
        return [row[0] for row in self._state.run("SELECT name FROM device_settled")]

    def told(self, names: Sequence[str]) -> None:
        """The device knows of these."""
        with self._state.transaction():
            self._state.run_many("DELETE FROM device_settled WHERE name = ?", ((name,) for name in names))

    def fault(self, text: str) -> None:
        """Remember that the device gave what was refused, and why."""
        with self._state.transaction():
            self._state.run("UPDATE device SET faults = faults + 1, fault = ?", (text,))

    # ---------------------------------------------------------------- the site

    @property
    def waiting_bytes(self) -> int:
        """Bytes of key that the site does not hold yet."""
        return self.totals().waiting_bytes

    def deliver_one(self, sink: SiteSink) -> int | Postponed | None:
        """Bring the oldest stored block to the site: its number, why not now, or None where none waits."""
        rows: list[tuple[Any, ...]] = self._state.run(
            "SELECT number, destination FROM device_block WHERE stage = ? ORDER BY number LIMIT 1", (_STORED,)
        )
        if not rows:
            return None
        number, bound = rows[0]
        place = sink.reach()
        if isinstance(place, Postponed):
            return place
        if bound is None:
            with self._state.transaction():
                self._state.run(
                    "UPDATE device_block SET destination = ? WHERE destination IS NULL AND stage = ?",
                    (place, _STORED),
                )
        elif bound != place:
            return Postponed(f"block {number} is on its way to {bound}, but this is {place}", lasting=True)
        name, key, _ = self._row(number)
        try:
            postponed = sink.hand(name, key, Grade(self.origin, "", None, paths=()), f"block {number}")
        finally:
            key.close()
        if postponed is not None:
            return postponed
        with self._state.transaction():
            self._state.run("DELETE FROM device_block WHERE number = ?", (number,))
        self._state.fold()
        return int(number)

    def close(self) -> None:
        """Let go of the state."""
        self._state.close()
