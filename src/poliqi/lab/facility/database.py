"""The file of a facility: many clients in threads and processes, each change whole and durable, each told in the
audit.

A change takes the file's only writing turn (BEGIN IMMEDIATE), looks, writes and commits to the disk; nobody writes
between its look and its commit. Who reads is never held up by it, nor by others who read: it sees the last commit
(WAL), on a connection of its own. What a change itself reads is as it has changed it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import apsw

from poliqi.base.errors import ConfigError, StoreError
from poliqi.edge.folder import check_private
from poliqi.lab.facility.audit import AuditChain
from poliqi.lab.facility.connection import PATIENCE_S, Readers, Row, Sql, connect
from poliqi.lab.facility.schema import APPLICATION, MIGRATIONS, SCHEMA, VERSION

__all__ = ["DATABASE_NAME", "Change", "Database"]

DATABASE_NAME: Final = "facility.sqlite"


class Change:
    """What one transaction does, and says about itself."""

    def __init__(self, sql: Sql, at_s: int, who: str, chain: AuditChain) -> None:
        self.at_s: Final = at_s
        self.who: Final = who
        self._sql: Final = sql
        self._chain: Final = chain
        self._added: dict[str, list[Row]] = {}
        self._gone: dict[str, list[Row]] = {}

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """One statement's rows."""
        return list(self._sql.execute(statement, values))

    def add(self, table: str, *values: Any) -> None:
        """A row, all columns in their order; the next line of the audit holds it."""
        statement = f"INSERT INTO {table} VALUES ({','.join('?' * len(values))}) RETURNING *"  # noqa: S608 - our own names
        self._added.setdefault(table, []).extend(self.run(statement, values))

    def remove(self, table: str, where: str, *values: Any) -> None:
        """Rows of the present state; the next line of the audit holds them."""
        gone = self.run(f"DELETE FROM {table} WHERE {where} RETURNING *", values)  # noqa: S608 - our own words
        if gone:
            self._gone.setdefault(table, []).extend(gone)

    def tell(self, what: str, **detail: Any) -> None:
        """A line of the audit, with the rows that came and went since the last."""
        whole = (
            detail | ({"rows": self._added} if self._added else {}) | ({"gone": self._gone} if self._gone else {})
        )
        self._chain.append(self.run, self.at_s, self.who, what, whole)
        self._added, self._gone = {}, {}

    def check_told(self) -> None:
        """Raises ValueError where a row came or went and no line of the audit holds it."""
        if self._added or self._gone:
            raise ValueError(f"untold in the audit: {sorted(self._added.keys() | self._gone.keys())}")


class Database:
    """The open file; threads may share it, and others may have it open too. Raises StoreError, ConfigError."""

    def __init__(
        self, root: Path, *, create: bool = False, now_s: Callable[[], int] | None = None, vfs: str | None = None
    ) -> None:
        self.path: Final = root / DATABASE_NAME
        self.now_s: Final = now_s if now_s is not None else lambda: int(time.time())
        self._turn: Final = threading.RLock()
        self._mine: Final = threading.local()
        self._broken: str | None = None
        if create:
            self._make(root)
        elif not self.path.is_file():
            raise ConfigError(f"{root} holds no facility; make one with `poliqi lab access init {root}`")
        check_private(self.path)
        self._readers: Final = Readers(self.path, vfs)
        with self._guarded():
            self._sql: Final = connect(self.path, vfs)
            try:
                self._check(create=create)
            except BaseException:
                self._sql.close()
                raise

    def _make(self, root: Path) -> None:
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be made: {error.strerror}; name another folder") from error

    def _check(self, *, create: bool) -> None:
        self._sql.execute("BEGIN IMMEDIATE" if create else "BEGIN")
        try:
            [(application,)] = self._sql.execute("PRAGMA application_id")
            [(version,)] = self._sql.execute("PRAGMA user_version")
            if create and (application, version) == (0, 0):
                list(self._sql.execute(SCHEMA))
                list(self._sql.execute(f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}"))
            elif (
                create and application == APPLICATION and not list(self._sql.execute("SELECT 1 FROM user LIMIT 1"))
            ):
                pass  # a crash came before its first operator was entered
            elif create:
                raise ConfigError(f"{self.path} stands already and is never overwritten: name another folder")
            elif (application, version) == (0, 0):
                raise ConfigError(f"{self.path} is empty: make the facility with `poliqi lab access init`")
            elif application != APPLICATION:
                raise StoreError(f"{self.path} is no facility (its application id is {application:#x})")
            elif version > VERSION:
                raise StoreError(
                    f"{self.path} has version {version}, this program knows versions up to {VERSION}: install the "
                    "newer program again"
                )
            elif version != VERSION and version not in MIGRATIONS:
                raise StoreError(f"{self.path} has version {version}, which no release made: use what made it")
            self._sql.execute("COMMIT")
        except BaseException:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise
        if 0 < version < VERSION:
            self._upgrade()

    def _upgrade(self) -> None:
        """Bring a file of an older version up to this one, in a turn of its own: all steps or none."""
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            [(version,)] = self._sql.execute("PRAGMA user_version")  # another process may have done it meanwhile
            for step in range(version, VERSION):
                list(self._sql.execute(MIGRATIONS[step]))
            list(self._sql.execute(f"PRAGMA user_version={max(version, VERSION)}"))
            self._sql.execute("COMMIT")
        except BaseException:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise

    @contextmanager
    def changing(self, who: str) -> Generator[Change]:
        """All of it or nothing, on the disk when the block ends; `who` stands in the audit."""
        with self._turn, self._guarded(), self._reading_from(self._sql):
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                change = Change(self._sql, self.now_s(), who, AuditChain())
                yield change
                change.check_told()
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:
                    with suppress(apsw.Error):  # the first error is the one to tell
                        self._sql.execute("ROLLBACK")
                raise

    @contextmanager
    def looking(self) -> Generator[None]:
        """Everything read inside is of one moment."""
        if self._own() is not None:
            yield
            return
        with self._guarded(), self._readers.one() as sql, self._reading_from(sql):
            sql.execute("BEGIN")
            try:
                yield
            finally:
                if sql.in_transaction:
                    sql.execute("ROLLBACK")

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """One statement's rows: of the change or the look that this thread is in, else as of the last commit."""
        own = self._own()
        with self._guarded():
            if own is not None:
                return list(own.execute(statement, values))
            with self._readers.one() as sql:
                return list(sql.execute(statement, values))

    def _own(self) -> Sql | None:
        """The connection in whose transaction this thread is."""
        return getattr(self._mine, "sql", None)

    @contextmanager
    def _reading_from(self, sql: Sql) -> Generator[None]:
        before = self._own()
        self._mine.sql = sql
        try:
            yield
        finally:
            self._mine.sql = before

    @contextmanager
    def _guarded(self) -> Generator[None]:
        if self._broken is not None:
            raise StoreError(f"{self.path} failed before ({self._broken}): mend the disk and start again")
        try:
            yield
        except apsw.FullError as error:
            raise StoreError(
                f"{self.path}: the disk is full; nothing of this change was kept: make room"
            ) from error
        except apsw.BusyError as error:
            raise StoreError(
                f"{self.path}: others kept it for {PATIENCE_S:g} s; nothing was changed: try again"
            ) from error
        except apsw.Error as error:
            if isinstance(error, apsw.IOError | apsw.CorruptError | apsw.NotADBError):
                self._broken = f"{type(error).__name__}: {error}"  # what reached the disk is unknown until reopened
            raise StoreError(
                f"{self.path}: {type(error).__name__}: {error}; nothing of this change was kept"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            try:
                self._readers.close()
                self._sql.close()
            except apsw.Error as error:
                raise StoreError(f"{self.path}: cannot be closed: {error}") from error
