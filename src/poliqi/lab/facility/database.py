"""The file of a facility: many clients in threads and processes, each change whole and durable, each told in the
audit.

A change takes the file's only writing turn (BEGIN IMMEDIATE), looks, writes and commits to the disk; nobody writes
between its look and its commit. Readers are never held up (WAL).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, cast

import apsw

from poliqi.base.errors import ConfigError, StoreError
from poliqi.edge.folder import check_private
from poliqi.lab.facility.audit import AuditChain
from poliqi.lab.facility.schema import APPLICATION, SCHEMA, VERSION

__all__ = ["DATABASE_NAME", "Change", "Database"]

DATABASE_NAME: Final = "facility.sqlite"
_PATIENCE_S: Final = 30.0
_SHORT_S, _LONG_S = 0.001, 0.012
_Row = tuple[Any, ...]


class _Sql(Protocol):
    """The part of apsw.Connection used here; apsw's own annotations leave the values unknown."""

    def execute(self, statements: str, bindings: Sequence[Any] = ()) -> Iterable[_Row]: ...
    def close(self) -> None: ...
    @property
    def in_transaction(self) -> bool: ...


class _Patience:
    """How a client waits for its turn.

    SQLite's own way lets a client that has waited for long ask ever more rarely, so that under a hundred clients
    newcomers overtake it until it gives up. Here all ask alike, at random moments.
    """

    def __init__(self) -> None:
        self._until_s = 0.0

    def __call__(self, asked: int) -> bool:
        """SQLite asks after the `asked`-th vain attempt whether to try again."""
        now_s = time.monotonic()
        if asked == 0:
            self._until_s = now_s + _PATIENCE_S
        time.sleep((0.5 + random.random()) * (_SHORT_S if asked < 2 else _LONG_S))  # noqa: S311 - no secret
        return now_s < self._until_s


class Change:
    """What one transaction does, and says about itself."""

    def __init__(self, sql: _Sql, at_s: int, who: str, chain: AuditChain) -> None:
        self.at_s: Final = at_s
        self.who: Final = who
        self._sql: Final = sql
        self._chain: Final = chain

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[_Row]:
        """One statement's rows."""
        return list(self._sql.execute(statement, values))

    def add(self, table: str, *values: Any) -> None:
        """A row, all columns in their order."""
        self.run(f"INSERT INTO {table} VALUES ({','.join('?' * len(values))})", values)  # noqa: S608 - our own names

    def tell(self, what: str, **detail: Any) -> None:
        """A line of the audit."""
        self._chain.append(self.run, self.at_s, self.who, what, detail)


class Database:
    """The open file; threads may share it, and others may have it open too. Raises StoreError, ConfigError."""

    def __init__(
        self, root: Path, *, create: bool = False, now_s: Callable[[], int] | None = None, vfs: str | None = None
    ) -> None:
        self.path: Final = root / DATABASE_NAME
        self.now_s: Final = now_s if now_s is not None else lambda: int(time.time())
        self._turn: Final = threading.RLock()
        self._broken: str | None = None
        if create:
            self._make(root)
        elif not self.path.is_file():
            raise ConfigError(f"{root} holds no facility; make one with `poliqi lab access init {root}`")
        check_private(self.path)
        with self._guarded():
            self._sql: Final = self._connect(vfs)
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

    def _connect(self, vfs: str | None) -> _Sql:
        opened = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
        opened.set_busy_handler(_Patience())
        sql = cast("_Sql", opened)
        for line in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
            list(sql.execute(f"PRAGMA {line}"))
        return sql

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
            elif application != APPLICATION or version != VERSION:
                raise StoreError(
                    f"{self.path} is no facility of version {VERSION} (found {application:#x}, {version}): use the "
                    "POLIQI that made it"
                )
            self._sql.execute("COMMIT")
        except BaseException:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise

    @contextmanager
    def changing(self, who: str) -> Generator[Change]:
        """All of it or nothing, on the disk when the block ends; `who` stands in the audit."""
        with self._guarded():
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield Change(self._sql, self.now_s(), who, AuditChain())
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:
                    with suppress(apsw.Error):  # the first error is the one to tell
                        self._sql.execute("ROLLBACK")
                raise

    @contextmanager
    def looking(self) -> Generator[None]:
        """Everything read inside is of one moment."""
        with self._guarded():
            if self._sql.in_transaction:
                yield
                return
            self._sql.execute("BEGIN")
            try:
                yield
            finally:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[_Row]:
        """One statement's rows."""
        with self._guarded():
            return list(self._sql.execute(statement, values))

    @contextmanager
    def _guarded(self) -> Generator[None]:
        with self._turn:
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
                    f"{self.path}: others kept it for {_PATIENCE_S:g} s; nothing was changed: try again"
                ) from error
            except apsw.Error as error:
                if isinstance(error, apsw.IOError | apsw.CorruptError | apsw.NotADBError):
                    self._broken = (
                        f"{type(error).__name__}: {error}"  # what reached the disk is unknown until reopened
                    )
                raise StoreError(
                    f"{self.path}: {type(error).__name__}: {error}; nothing of this change was kept"
                ) from error

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            try:
                self._sql.close()
            except apsw.Error as error:
                raise StoreError(f"{self.path}: cannot be closed: {error}") from error
