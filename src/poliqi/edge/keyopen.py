"""A key store from its start to its close: what a start renews, what is erased, what is read.

Everything that writes here runs on the one thread that writes (see `poliqi.edge.keystore`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from poliqi.base.errors import DataRefused, StoreError
from poliqi.base.ids import KmeId
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.edge.audit import AuditChain, AuditHead
from poliqi.edge.kek import KekProvider
from poliqi.edge.keydatabase import KeyDatabase
from poliqi.edge.keyepochs import EpochKeys
from poliqi.edge.keyrows import WRAPPED, Interned, SegmentRow, WrappedRow, run_from_row, wrapped_row
from poliqi.edge.keysweep import StoredRange, by_segment, kept_ranges, without_used
from poliqi.edge.keywriter import KeyWriter
from poliqi.edge.sealing import KEY_BYTES, open_payload, place, seal_payload
from poliqi.keys.marks import Audited, PeerMemory, StoredState

__all__ = ["INSTANCE_BYTES", "OpenStore"]

INSTANCE_BYTES: Final = 16
_BOOTS_KEPT: Final = 64
_ROWS_AT_A_TIME: Final = 1000


class OpenStore:
    """A store between its start and its close."""

    def __init__(
        self, database: KeyDatabase, kek: KekProvider, entropy: Entropy, now_ns: Callable[[], int]
    ) -> None:
        self.database: Final = database
        self._entropy: Final = entropy
        [(self._instance, generation, boots, self._next)] = database.run(
            "SELECT instance, generation, boots, next_segment FROM site"
        )
        self._generation: Final[int] = generation + 1
        self._boots: Final[bytes] = (boots + entropy.draw(INSTANCE_BYTES))[-INSTANCE_BYTES * _BOOTS_KEPT :]
        newest = database.run("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        self.audit: Final = AuditChain(AuditHead(*(newest or database.run("SELECT seq, hash FROM anchor"))[0]))
        self.interned: Final = Interned(database)
        self.epochs: Final = EpochKeys(database, self._instance, kek, entropy)
        self.writer: Final = KeyWriter(
            *(database, self._instance, self._generation, self.epochs, self.interned, self.audit, entropy, now_ns)
        )

    # ---------------------------------------------------------------- start

    def start(self) -> StoredState:
        """One transaction: generation, boot name, new epoch, everything sealed again, used bytes erased."""
        seal, wrapped = self.epochs.prepare()
        database = self.database
        with database.transaction():
            database.run("UPDATE site SET generation = ?, boots = ?", (self._generation, self._boots))
            self.epochs.begin(seal, wrapped)
            rows = [wrapped_row(row) for row in database.run(WRAPPED + " ORDER BY s.number")]
            damaged = self._damaged(row for row, _, _ in rows)
            swept, unreadable = self._sweep([r for r in rows if r[0].leased and r[0].number not in damaged])
            damaged.update(unreadable)
            damaged.update(
                self.epochs.rewrap_deks(
                    (r for r in rows if r[0].number not in swept and r[0].number not in damaged), self.interned
                )
            )
            broken_runs = set(self.epochs.reseal_small())
            state = self._state(rows, damaged, broken_runs)
            self._forget_damaged(damaged, broken_runs)
            self.epochs.end_old()
            self.writer.audited([Audited("opened", {"generation": self._generation, "epoch": seal.epoch})])
        self.epochs.destroy_old()
        database.fold()
        return state

    def _damaged(self, rows: Iterable[SegmentRow]) -> set[int]:
        """Segments whose row contradicts itself, or speaks of a pool or grade that is gone."""
        found: set[int] = set()
        for row in rows:
            try:
                row.dek_parts(self.interned)
                row.record(self.interned)
            except DataRefused:
                found.add(row.number)
        return found

    def _state(self, rows: list[WrappedRow], damaged: set[int], broken_runs: set[tuple[str, str]]) -> StoredState:
        boots = self._boots
        state = StoredState(
            self._instance,
            self._generation,
            tuple(boots[i : i + INSTANCE_BYTES] for i in range(0, len(boots), INSTANCE_BYTES)),
            self._next,
            [row.record(self.interned) for row, _, _ in rows if row.number not in damaged],
        )
        for row in self.database.run("SELECT * FROM run"):
            try:
                run = run_from_row(row, self.interned, self.epochs.seals)
            except DataRefused:
                broken_runs.add((row[0], row[1]))
                continue
            if run.segment not in damaged:
                state.runs.append(run)
        for name, instance, boot, generation in self.database.run("SELECT * FROM peer"):
            state.peers[KmeId(name)] = PeerMemory(instance, boot, generation)
        for peer, name, epoch, sealed in self.database.run("SELECT * FROM secret"):
            secret = SecretBytes(self.epochs.seals[epoch].open("secret", sealed, peer, name))
            state.secrets[KmeId(peer), name] = secret
        return state

    def _forget_damaged(self, segments: set[int], runs: set[tuple[str, str]]) -> None:
        numbers = sorted(segments)
        self.writer.drop_segments(numbers)
        self.database.run_many("DELETE FROM run WHERE segment = ?", [(number,) for number in numbers])
        self.database.run_many("DELETE FROM run WHERE owner = ? AND number = ?", sorted(runs))
        lines = [Audited("damaged-segment-dropped", {"segment": number}) for number in numbers]
        lines += [Audited("damaged-run-dropped", {"owner": owner, "run": run}) for owner, run in sorted(runs)]
        self.writer.audited(lines)

    # ---------------------------------------------------------------- erasing and renewing

    def erase_used(self, upto: Mapping[int, int]) -> int:
        with self.database.transaction():
            rows = [
                wrapped_row(found[0])
                for number in upto
                if (found := self.database.run(WRAPPED + " WHERE s.number = ?", (number,)))
            ]
            swept, _ = self._sweep(rows, upto)
            return len(swept)

    def _sweep(self, rows: list[WrappedRow], upto: Mapping[int, int] | None = None) -> tuple[set[int], set[int]]:
        """Erase below `upto` (all that was leased); inside a transaction. Which were sealed anew, which damaged."""
        swept: set[int] = set()
        damaged: set[int] = set()
        runs = self._stored_ranges({row.number for row, _, _ in rows})
        for wrapped in rows:
            row = wrapped[0]
            bound = row.leased if upto is None else max(row.swept, min(upto[row.number], row.leased))
            kept = kept_ranges(runs.get(row.number, ()), bound)
            total = sum(end - start for start, end in kept)
            self.writer.swept[row.number] = max(bound, row.swept)
            if (bound, total) == (row.swept, row.kept):
                continue
            try:
                self._seal_anew(wrapped, bound, kept, total)
                swept.add(row.number)
            except DataRefused:
                damaged.add(row.number)
        return swept, damaged

    def _stored_ranges(self, wanted: set[int]) -> Mapping[int, list[StoredRange]]:
        found: list[tuple[int, StoredRange]] = []
        statement = "SELECT * FROM run WHERE segment IN (SELECT value FROM json_each(?))"
        for row in self.database.run(statement, (json.dumps(sorted(wanted)),)) if wanted else ():
            with suppress(DataRefused):  # a damaged run is dropped: nobody waits for its bytes
                run = run_from_row(row, self.interned, self.epochs.seals)
                stored = StoredRange(run.offset, run.size, run.count, len(run.slaves), run.used)
                found.append((run.segment, stored))
        return by_segment(found)

    def _seal_anew(self, wrapped: WrappedRow, bound: int, kept: list[tuple[int, int]], total: int) -> None:
        row, epoch, sealed = wrapped
        payload = self._open_payload(row, self.epochs.open_dek(row, epoch, sealed, self.interned))
        row = row._replace(sealing=self._generation, swept=bound, kept=total)
        dek, seal = self._entropy.draw(KEY_BYTES), self.epochs.current
        clean = without_used(payload.view(), bound, kept)
        bound_to = place("payload", self._instance, *row.payload_parts(self.interned))
        run = self.database.run
        run("UPDATE payload SET sealed = ? WHERE number = ?", (seal_payload(dek, clean, bound_to), row.number))
        run(
            "UPDATE segment SET sealing = ?, swept = ?, kept = ? WHERE number = ?",
            (row.sealing, row.swept, row.kept, row.number),
        )
        wrapped_dek = seal.seal("dek", dek, *row.dek_parts(self.interned))
        run("UPDATE dek SET epoch = ?, sealed = ? WHERE number = ?", (seal.epoch, wrapped_dek, row.number))
        clean[:] = bytes(len(clean))
        payload.close()

    def _open_payload(self, row: SegmentRow, dek: bytes) -> SecretBytes:
        found = self.database.run("SELECT sealed FROM payload WHERE number = ?", (row.number,))
        if not found:
            raise DataRefused(f"the bits of segment {row.number} are missing")
        return open_payload(dek, found[0][0], place("payload", self._instance, *row.payload_parts(self.interned)))

    def rotate(self) -> None:
        seal, wrapped = self.epochs.prepare()
        with self.database.transaction():
            self.epochs.begin(seal, wrapped)
            self.epochs.reseal_small()
        last = -1
        while rows := self._older(last):
            last = rows[-1][0].number
            with self.database.transaction():
                self.epochs.rewrap_deks(rows, self.interned)
        with self.database.transaction():
            self.epochs.end_old()
            self.writer.audited([Audited("kek-renewed", {"epoch": seal.epoch})])
        self.database.fold()
        self.epochs.destroy_old()

    def _older(self, last: int) -> list[WrappedRow]:
        return [
            wrapped_row(row)
            for row in self.database.run(
                WRAPPED + " WHERE s.number > ? AND d.epoch != ? ORDER BY s.number LIMIT ?",
                (last, self.epochs.current.epoch, _ROWS_AT_A_TIME),
            )
        ]

    # ---------------------------------------------------------------- reading, audit, end

    def read(self, number: int) -> SecretBytes:
        statement = WRAPPED.replace(" FROM", ", p.sealed FROM") + " LEFT JOIN payload p USING (number)"
        for last_try in (False, True):
            found = self.database.read(statement + " WHERE s.number = ?", (number,))
            if not found or found[0][-1] is None:
                raise StoreError(f"segment {number} is not in the key store {self.database.path}: drop it")
            row, epoch, sealed = wrapped_row(found[0][:-1])
            if epoch not in self.epochs.seals and not last_try:
                continue  # the epoch changed between the two looks
            try:
                dek = self.epochs.open_dek(row, epoch, sealed, self.interned)
                bound_to = place("payload", self._instance, *row.payload_parts(self.interned))
                return open_payload(dek, found[0][-1], bound_to)
            except DataRefused as error:
                raise StoreError(
                    f"segment {number} of the key store {self.database.path} is damaged ({error}): drop it, and "
                    "check the disk"
                ) from error
        raise AssertionError("the second look always ends")

    def prune_audit(self, before: int) -> int:
        with self.database.transaction():
            run = self.database.run
            last = run("SELECT seq, hash FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT 1", (before,))
            if not last:
                return 0
            [(count,)] = run("SELECT count(*) FROM audit WHERE seq <= ?", (last[0][0],))
            run("UPDATE anchor SET seq = ?, hash = ?", last[0])
            run("DELETE FROM audit WHERE seq <= ?", (last[0][0],))
            self.writer.audited([Audited("audit-pruned", {"lines": count, "upto": last[0][0]})])
            return count

    def close(self) -> None:
        self.epochs.close()
        self.database.close()
