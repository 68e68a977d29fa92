"""Outbox and mailbox: what was written and waits, what came and is kept. Exactly once, in order, for each peer.

A letter has a number in its *line*: the peer takes number n + 1 after n, knows n when it comes again, and says so.
A line is as old as the state that numbers it; where the numbers of two states no longer fit (one was restored from
a backup) a new line is begun.
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
from poliqi.apps.messenger.letter import TEXT_MOST, Letter, Verdict
from poliqi.base.errors import DataRefused
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy

__all__ = ["LETTERS_MOST", "Direction", "Mailbox", "Message", "State", "Waiting"]

LETTERS_MOST: Final = 100_000
"""Letters of one peer that are kept, and that wait for it."""
_LINES_MOST: Final = 64
_ID_BYTES: Final = 16
_SCHEMA: Final = """
CREATE TABLE outgoing(
    number INTEGER PRIMARY KEY AUTOINCREMENT, peer TEXT NOT NULL, letter_id BLOB NOT NULL UNIQUE,
    line BLOB NOT NULL, sequence INTEGER NOT NULL, at_s REAL NOT NULL, sealed BLOB,
    burn INTEGER NOT NULL, why TEXT NOT NULL DEFAULT '',
    delivered_s REAL, note BLOB, UNIQUE(peer, line, sequence));
CREATE INDEX outgoing_waiting ON outgoing(peer, number) WHERE delivered_s IS NULL;
CREATE TABLE incoming(
    number INTEGER PRIMARY KEY AUTOINCREMENT, peer TEXT NOT NULL, letter_id BLOB NOT NULL, line BLOB NOT NULL,
    sequence INTEGER NOT NULL, at_s REAL NOT NULL, arrived_s REAL NOT NULL, sealed BLOB, read_s REAL, note BLOB,
    UNIQUE(peer, line, sequence));
CREATE TABLE lines(peer TEXT PRIMARY KEY, line BLOB NOT NULL, next INTEGER NOT NULL);
CREATE TABLE heard(peer TEXT NOT NULL, line BLOB NOT NULL, last INTEGER NOT NULL, turn INTEGER NOT NULL,
    PRIMARY KEY(peer, line));
CREATE TABLE counts(peer TEXT PRIMARY KEY, envelopes INTEGER NOT NULL);
"""


class Direction(StrEnum):
    """Whose words."""

    SENT = "sent"
    RECEIVED = "received"


class State(StrEnum):
    """How far a message is."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    UNREAD = "unread"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Message:
    """One message as people see it; `text` is None once it was burnt.

    Times are Unix times: `at_s` when it was written or came in here, `done_s` when it was delivered or read,
    `written_s` when it was written, by its writer's clock.
    """

    number: int
    direction: Direction
    peer: SaeId
    state: State
    at_s: float
    done_s: float | None
    written_s: float
    text: str | None
    why: str
    note: PadNote | None

    def __repr__(self) -> str:
        return f"<Message {self.number} {self.direction} {self.state}>"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The next letter that a peer has not acknowledged."""

    number: int
    letter: Letter


class Mailbox:
    """The state of the messenger of one application, shared by its processes. Raises StoreError throughout."""

    def __init__(self, folder: Path, entropy: Entropy, clock: Callable[[], float]) -> None:
        self._box: Final = Lockbox(folder, "messages.sqlite", _SCHEMA, 1, entropy)
        self._entropy: Final = entropy
        self._clock: Final = clock

    def close(self) -> None:
        """Close the files."""
        self._box.close()

    def write(self, peer: SaeId, text: str, *, burn: bool = False) -> int:
        """Put a message into the outbox; its number. With `burn` it is wiped once delivered. Raises DataRefused."""
        size = len(text.encode())
        if not text or size > TEXT_MOST:
            raise DataRefused(f"a message of {size} bytes: from 1 to {TEXT_MOST}; send a file with `poliqi send`")
        letter_id = self._entropy.draw(_ID_BYTES)
        with self._box.transaction():
            [(count,)] = self._run("SELECT count(*) FROM outgoing WHERE peer=? AND delivered_s IS NULL", peer)
            if count >= LETTERS_MOST:
                raise DataRefused(f"{count} messages wait for {peer} already; this one was not taken")
            line, sequence = self._next(peer)
            sealed = self._box.seal(text.encode(), b"outgoing", peer.encode(), letter_id)
            self._run(
                "INSERT INTO outgoing(peer, letter_id, line, sequence, at_s, sealed, burn) VALUES (?,?,?,?,?,?,?)",
                peer, letter_id, line, sequence, self._clock(), sealed, int(burn),
            )  # fmt: skip
            [(number,)] = self._run("SELECT last_insert_rowid()")
        return int(number)

    def _next(self, peer: SaeId) -> tuple[bytes, int]:
        if not self._run("SELECT 1 FROM lines WHERE peer=?", peer):
            self._run("INSERT INTO lines VALUES (?,?,1)", peer, self._entropy.draw(_ID_BYTES))
        [(line, sequence)] = self._run("UPDATE lines SET next=next+1 WHERE peer=? RETURNING line, next-1", peer)
        return line, sequence

    def waiting_peers(self) -> list[SaeId]:
        """Those for whom something waits."""
        return [SaeId(row[0]) for row in self._run("SELECT DISTINCT peer FROM outgoing WHERE delivered_s IS NULL")]

    def waiting(self, peer: SaeId) -> int:
        """How many letters wait for a peer."""
        [(count,)] = self._run("SELECT count(*) FROM outgoing WHERE peer=? AND delivered_s IS NULL", peer)
        return int(count)

    def first_waiting(self, peer: SaeId) -> Waiting | None:
        """The oldest letter that waits for a peer."""
        rows = self._run(
            "SELECT number, letter_id, line, sequence, at_s, sealed FROM outgoing"
            " WHERE peer=? AND delivered_s IS NULL ORDER BY number LIMIT 1",
            peer,
        )
        if not rows:
            return None
        number, letter_id, line, sequence, at_s, sealed = rows[0]
        text = self._box.open(sealed, b"outgoing", peer.encode(), letter_id).decode()
        return Waiting(number, Letter(line, letter_id, sequence, at_s, text))

    def delivered(self, waiting: Waiting, note: PadNote) -> None:
        """The peer acknowledged it."""
        with self._box.transaction():
            self._run(
                "UPDATE outgoing SET delivered_s=?, note=?, why='',"
                " sealed=CASE burn WHEN 1 THEN NULL ELSE sealed END"
                " WHERE number=? AND letter_id=? AND delivered_s IS NULL",
                self._clock(), msgspec.json.encode(note), waiting.number, waiting.letter.letter_id,
            )  # fmt: skip
            [(burn,)] = self._run("SELECT burn FROM outgoing WHERE number=?", waiting.number)
        if burn:
            self._box.fold()

    def undelivered(self, peer: SaeId, why: str) -> None:
        """Say with the first that waits why it does."""
        self._run(
            "UPDATE outgoing SET why=? WHERE number ="
            " (SELECT min(number) FROM outgoing WHERE peer=? AND delivered_s IS NULL)",
            why[:400], peer,
        )  # fmt: skip

    def renumber(self, peer: SaeId) -> None:
        """Begin a new line with all that wait."""
        line = self._entropy.draw(_ID_BYTES)
        with self._box.transaction():
            rows = self._run(
                "SELECT number FROM outgoing WHERE peer=? AND delivered_s IS NULL ORDER BY number", peer
            )
            for sequence, (number,) in enumerate(rows, start=1):
                self._run("UPDATE outgoing SET line=?, sequence=? WHERE number=?", line, sequence, number)
            self._run("INSERT OR REPLACE INTO lines VALUES (?,?,?)", peer, line, len(rows) + 1)

    def arrived(self, peer: SaeId, letter: Letter | None, note: PadNote) -> tuple[Verdict, int]:
        """Keep a letter (None: a dummy, which costs a commit all the same). Raises DataRefused: no room.

        What comes back may be told to the peer: it is durable.
        """
        with self._box.transaction():
            self._run("INSERT INTO counts VALUES (?,1) ON CONFLICT(peer) DO UPDATE SET envelopes=envelopes+1", peer)
            return (Verdict.STORED, 0) if letter is None else self._keep(peer, letter, note)

    def _keep(self, peer: SaeId, letter: Letter, note: PadNote) -> tuple[Verdict, int]:
        rows = self._run("SELECT last FROM heard WHERE peer=? AND line=?", peer, letter.line)
        last = int(rows[0][0]) if rows else 0
        if letter.sequence <= last:
            same = self._run(
                "SELECT 1 FROM incoming WHERE peer=? AND line=? AND sequence=? AND letter_id=?",
                peer, letter.line, letter.sequence, letter.letter_id,
            )  # fmt: skip
            return (Verdict.STORED if same else Verdict.RENUMBER), last
        if letter.sequence > last + 1:
            return Verdict.RENUMBER, last
        if self._run("SELECT 1 FROM incoming WHERE peer=? AND letter_id=?", peer, letter.letter_id):
            # it came in an older line, whose acknowledgement its sender lost with a restored state
            self._hear(peer, letter)
            return Verdict.STORED, letter.sequence
        [(count,)] = self._run("SELECT count(*) FROM incoming WHERE peer=? AND sealed IS NOT NULL", peer)
        if count >= LETTERS_MOST:
            raise DataRefused(f"the mailbox holds {count} messages of {peer}: read and burn some")
        sealed = self._box.seal(letter.text.encode(), b"incoming", peer.encode(), letter.letter_id)
        self._run(
            "INSERT INTO incoming(peer, letter_id, line, sequence, at_s, arrived_s, sealed, note)"
            " VALUES (?,?,?,?,?,?,?,?)",
            peer, letter.letter_id, letter.line, letter.sequence, letter.at_s, self._clock(), sealed,
            msgspec.json.encode(note),
        )  # fmt: skip
        self._hear(peer, letter)
        return Verdict.STORED, letter.sequence

    def _hear(self, peer: SaeId, letter: Letter) -> None:
        [(turn,)] = self._run("SELECT coalesce(max(turn), 0) + 1 FROM heard WHERE peer=?", peer)
        self._run("INSERT OR REPLACE INTO heard VALUES (?,?,?,?)", peer, letter.line, letter.sequence, turn)
        self._run(
            "DELETE FROM heard WHERE peer=? AND line NOT IN"
            " (SELECT line FROM heard WHERE peer=? ORDER BY turn DESC LIMIT ?)",
            peer, peer, _LINES_MOST,
        )  # fmt: skip

    def messages(self, peer: SaeId | None = None, most: int = 1000) -> list[Message]:
        """The latest, both directions, oldest first by this machine's clock."""
        sent = [self._sent(row) for row in self._latest("outgoing", "at_s", "delivered_s", "why", peer, most)]
        came = [self._came(row) for row in self._latest("incoming", "arrived_s", "read_s", "''", peer, most)]
        return sorted([*sent, *came], key=lambda m: (m.at_s, m.direction, m.number))[-most:]

    def unread(self, peer: SaeId | None = None) -> list[Message]:
        """What came and was not read yet, in order."""
        rows = self._run(
            "SELECT number, peer, letter_id, arrived_s, read_s, at_s, sealed, '', note FROM incoming"
            " WHERE read_s IS NULL AND (? IS NULL OR peer=?) ORDER BY number LIMIT 1000",
            peer, peer,
        )  # fmt: skip
        return [self._came(row) for row in rows]

    def read(self, number: int, *, burn: bool) -> None:
        """A person has seen message `number`; with `burn` its text is wiped."""
        self._run(
            "UPDATE incoming SET read_s=coalesce(read_s, ?), sealed=CASE ? WHEN 1 THEN NULL ELSE sealed END"
            " WHERE number=?",
            self._clock(), int(burn), number,
        )  # fmt: skip
        if burn:
            self._box.fold()

    def _latest(
        self, table: str, at: str, done: str, why: str, peer: SaeId | None, most: int
    ) -> list[tuple[Any, ...]]:
        names = f"number, peer, letter_id, {at}, {done}, at_s, sealed, {why}, note"
        return self._run(
            f"SELECT {names} FROM {table} WHERE ? IS NULL OR peer=? ORDER BY number DESC LIMIT ?",  # noqa: S608  # our names
            peer, peer, most,
        )  # fmt: skip

    def _sent(self, row: tuple[Any, ...]) -> Message:
        return self._message(row, Direction.SENT, State.WAITING if row[4] is None else State.DELIVERED, b"outgoing")

    def _came(self, row: tuple[Any, ...]) -> Message:
        return self._message(row, Direction.RECEIVED, State.UNREAD if row[4] is None else State.READ, b"incoming")

    def _message(self, row: tuple[Any, ...], direction: Direction, state: State, place: bytes) -> Message:
        number, peer, letter_id, at_s, done_s, written_s, sealed, why, note = row
        text = None if sealed is None else self._box.open(sealed, place, peer.encode(), letter_id).decode()
        told = None if note is None else msgspec.json.decode(note, type=PadNote)
        return Message(number, direction, SaeId(peer), state, at_s, done_s, written_s, text, why, told)

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._box.run(statement, values)
