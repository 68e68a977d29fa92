"""Marks as rows: one batch, a handful of prepared statements.

Marks of a kind are written together, kinds in the order in which a thing can live: a segment comes before its
lease, a run before its use, its use before its end. A mark about something that is gone changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

from poliqi.base.errors import DataRefused, StoreError
from poliqi.base.secret import Entropy
from poliqi.edge.audit import AuditChain
from poliqi.edge.keydatabase import KeyDatabase
from poliqi.edge.keyepochs import EpochKeys
from poliqi.edge.keyrows import WRAPPED, Interned, SegmentRow, run_row, signed, use_blob, wrapped_row
from poliqi.edge.sealing import KEY_BYTES, place, seal_payload
from poliqi.keys.marks import (
    Audited,
    Dropped,
    Ingested,
    Leased,
    Mark,
    NameUsed,
    Owned,
    PeerRemembered,
    Readied,
    RunAdded,
    RunDropped,
    RunUsed,
    SecretKept,
)
from poliqi.keys.segment import SegmentState

__all__ = ["KeyWriter"]


class KeyWriter:
    """Writes batches of marks, each inside the transaction at hand."""

    def __init__(
        self,
        database: KeyDatabase,
        instance: bytes,
        generation: int,
        epochs: EpochKeys,
        interned: Interned,
        audit: AuditChain,
        entropy: Entropy,
        now_ns: Callable[[], int],
    ) -> None:
        self._database: Final = database
        self._instance: Final = instance
        self._generation: Final = generation
        self._epochs: Final = epochs
        self._interned: Final = interned
        self._audit: Final = audit
        self._entropy: Final = entropy
        self._now_ns: Final = now_ns
        self.swept: Final[dict[int, int]] = {}
        """Segments with erased bytes, and the byte below which all that is not in a run is zero."""
        self._kinds: Final[tuple[tuple[type, Callable[[list[Any]], None]], ...]] = (
            (Ingested, self._ingested),
            (Readied, self._readied),
            (Leased, self._leased),
            (Owned, self._owned),
            (RunAdded, self._runs_added),
            (RunUsed, self._runs_used),
            (RunDropped, self._runs_dropped),
            (Dropped, self._dropped),
            (NameUsed, self._names_used),
            (PeerRemembered, self._peers),
            (SecretKept, self._secrets),
            (Audited, self.audited),
        )

    def write(self, marks: Sequence[Mark]) -> None:
        """All of `marks`. Raises StoreError on what a store must not hold."""
        sorted_marks: dict[type, list[Any]] = {}
        for mark in marks:
            kind = type(mark)
            if kind in sorted_marks:
                sorted_marks[kind].append(mark)
            else:
                sorted_marks[kind] = [mark]
        for kind, writing in self._kinds:
            listed = sorted_marks.get(kind)
            if listed is not None:
                writing(listed)

    def _ingested(self, marks: list[Ingested]) -> None:
        interned, seal = self._interned, self._epochs.current
        segments: list[SegmentRow] = []
        deks: list[tuple[int, int, bytes]] = []
        payloads: list[tuple[int, bytes]] = []
        for mark in marks:
            s = mark.segment
            if len(mark.payload) != s.size:
                raise ValueError(f"segment {s.number} says {s.size} bytes and brings {len(mark.payload)}")
            row = SegmentRow(
                *(s.number, interned.pool(s.pool), s.name.block, s.name.part, s.owner, s.size),
                *(interned.grade(s.grade), s.tag, self._generation, SegmentState.STORED.value, 0, s.size, 0, 0),
            )
            dek = self._entropy.draw(KEY_BYTES)
            bound_to = place("payload", self._instance, *row.payload_parts(interned))
            segments.append(row)
            deks.append((s.number, seal.epoch, seal.seal("dek", dek, *row.dek_parts(interned))))
            payloads.append((s.number, seal_payload(dek, mark.payload.view(), bound_to)))
        run_many = self._database.run_many
        run_many("INSERT INTO seen VALUES (?, ?)", dict.fromkeys((row.pool, row.block) for row in segments))
        run_many("INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", segments)
        run_many("INSERT INTO dek VALUES (?, ?, ?)", deks)
        run_many("INSERT INTO payload VALUES (?, ?)", payloads)
        following = max(row.number for row in segments) + 1
        self._database.run("UPDATE site SET next_segment = max(next_segment, ?)", (following,))

    def _names_used(self, marks: list[NameUsed]) -> None:
        names = [(self._interned.pool(mark.space), mark.name) for mark in marks]
        self._database.run_many("INSERT OR IGNORE INTO seen VALUES (?, ?)", names)

    def _readied(self, marks: list[Readied]) -> None:
        self._database.run_many(
            "UPDATE segment SET state = 'ready' WHERE number = ?", [(mark.number,) for mark in marks]
        )

    def _leased(self, marks: list[Leased]) -> None:
        self._database.run_many(
            "UPDATE segment SET leased = ?2, unleased = size - ?2 WHERE number = ?1 AND leased < ?2",
            [(mark.number, mark.upto) for mark in marks],
        )

    def _owned(self, marks: list[Owned]) -> None:
        """A segment's key is bound to its owner too, so it is wrapped again."""
        seal = self._epochs.current
        for mark in marks:
            for found in self._database.run(WRAPPED + " WHERE s.number = ?", (mark.number,)):
                row, epoch, sealed = wrapped_row(found)
                try:
                    dek = self._epochs.open_dek(row, epoch, sealed, self._interned)
                except DataRefused as error:
                    raise StoreError(f"segment {mark.number} cannot change its owner: {error}; drop it") from error
                parts = row._replace(owner=mark.owner).dek_parts(self._interned)
                self._database.run("UPDATE segment SET owner = ? WHERE number = ?", (mark.owner, mark.number))
                self._database.run(
                    "UPDATE dek SET epoch = ?, sealed = ? WHERE number = ?",
                    (seal.epoch, seal.seal("dek", dek, *parts), mark.number),
                )

    def _dropped(self, marks: list[Dropped]) -> None:
        self.drop_segments([mark.number for mark in marks])

    def drop_segments(self, numbers: Sequence[int]) -> None:
        """Destroy segments with their keys."""
        listed = [(number,) for number in numbers]
        for table in ("dek", "payload", "segment"):
            self._database.run_many(f"DELETE FROM {table} WHERE number = ?", listed)  # noqa: S608  # three literals
        for number in numbers:
            self.swept.pop(number, None)

    def _runs_added(self, marks: list[RunAdded]) -> None:
        interned, seal = self._interned, self._epochs.current
        if self.swept:
            for mark in marks:
                self._check_not_swept(mark)
        self._database.run_many(
            "INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [run_row(mark.run, interned, seal) for mark in marks],
        )

    def _check_not_swept(self, mark: RunAdded) -> None:
        run = mark.run
        if run.key.owner != run.peer:  # one's own: its bits were read when it was promised and never are again
            return
        if run.offset >= self.swept.get(run.segment, 0):
            return
        known = "SELECT 1 FROM run WHERE owner = ? AND number = ?"
        if not self._database.run(known, (run.key.owner, signed(run.key.number))):
            raise StoreError(
                f"a run was promised at byte {run.offset} of segment {run.segment}, where used bytes were erased: "
                "this is a fault of the program, report it"
            )

    def _runs_used(self, marks: list[RunUsed]) -> None:
        """Each mark says all of how its run stands, so the last one of a run is enough."""
        self._database.run_many(
            "UPDATE run SET used = ? WHERE owner = ? AND number = ?",
            [
                (use_blob(m.key.number, m.used, m.user, m.user_used), m.key.owner, signed(m.key.number))
                for m in {m.key: m for m in marks}.values()
            ],
        )

    def _runs_dropped(self, marks: list[RunDropped]) -> None:
        self._database.run_many(
            "DELETE FROM run WHERE owner = ? AND number = ?", [(m.key.owner, signed(m.key.number)) for m in marks]
        )

    def _peers(self, marks: list[PeerRemembered]) -> None:
        self._database.run_many(
            "INSERT OR REPLACE INTO peer VALUES (?, ?, ?, ?)",
            [(m.peer, m.memory.instance, m.memory.boot, m.memory.generation) for m in marks],
        )

    def _secrets(self, marks: list[SecretKept]) -> None:
        seal = self._epochs.current
        for mark in marks:
            if mark.secret is None:
                self._database.run("DELETE FROM secret WHERE peer = ? AND name = ?", (mark.peer, mark.name))
                continue
            sealed = seal.seal("secret", mark.secret.view(), mark.peer, mark.name)
            self._database.run(
                "INSERT OR REPLACE INTO secret VALUES (?, ?, ?, ?)", (mark.peer, mark.name, seal.epoch, sealed)
            )

    def audited(self, marks: Sequence[Audited]) -> None:
        """Lines of the audit, with the time of now."""
        self._database.run_many(
            "INSERT INTO audit VALUES (?, ?, ?, ?, ?)", self._audit.rows(chain(marks), self._now_ns())
        )
