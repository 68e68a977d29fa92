"""A SQLite file of the laboratory: private, several processes and threads at once, durable at every commit.

One connection writes, another reads beside it as of the last commit. Every error of SQLite comes out as StoreError,
with nothing of the transaction written; the store can be used on once the disk is mended.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, cast

import apsw

from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.edge.folder import check_private

__all__ = ["Database", "Schema"]

_BUSY_MS: Final = 60_000
_PAGE_BYTES: Final = 1 << 16
"""The log's shared memory grows by 32 KiB."""
_SETTINGS: Final = (
    "foreign_keys=ON",
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "journal_mode=WAL",
    "synchronous=FULL",
    "cache_size=-16000",
)


class _Sql(Protocol):
    """The part of apsw.Connection used here; apsw's own annotations leave the values unknown."""

    def execute(self, statements: str, bindings: Sequence[Any] = ()) -> Iterable[tuple[Any, ...]]: ...
    def executemany(self, statements: str, sequenceofbindings: Iterable[Sequence[Any]]) -> object: ...
    def close(self) -> None: ...
    @property
    def in_transaction(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a file. `migrations` bring a file of version n to n + 1, the first one from version 1."""

    what: str
    application: int
    version: int
    tables: str
    migrations: tuple[str, ...] = ()


class Database:
    """The open file; `create` makes it where it is missing. Raises ConfigError, StoreError."""

    def __init__(self, path: Path, schema: Schema, *, create: bool = False, vfs: str | None = None) -> None:
        self.path: Final = path
        self._schema: Final = schema
        self._writing: Final = threading.RLock()
        self._reading: Final = threading.Lock()
        self._writer: _Sql | None = None
        self._reader: _Sql | None = None
        if create:
            self._make()
        elif not path.is_file():
            raise ConfigError(f"{path} is missing: there is no {schema.what}; name another folder")
        check_private(path)
        try:
            with self._guarded():
                self._writer = _connect(path, vfs, _SETTINGS)
                self._prepare()
                self._reader = _connect(path, vfs, ("query_only=ON", "trusted_schema=OFF", "cache_size=-16000"))
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be made: {error.strerror}; name another folder") from error

    def _prepare(self) -> None:
        """Check whose file it is; make its tables, or bring them up to date."""
        schema = self._schema
        if self._is_current():
            return
        with self.transaction():
            [(application,)] = self.run("PRAGMA application_id")
            [(version,)] = self.run("PRAGMA user_version")
            if (application, version) == (0, 0) and not self.run("SELECT 1 FROM sqlite_schema"):
                self.run(schema.tables)
                self.run(f"PRAGMA application_id={schema.application}")
            elif application != schema.application or version < 1:
                raise StoreError(f"{self.path} is no {schema.what} (its application id is {application:#x})")
            elif version > schema.version:
                raise StoreError(
                    f"{self.path} has version {version}, this program knows versions up to {schema.version}: "
                    "install the newer program again"
                )
            else:
                for step in schema.migrations[version - 1 :]:
                    self.run(step)
            self.run(f"PRAGMA user_version={schema.version}")

    def _is_current(self) -> bool:
        [(application,)] = self.run("PRAGMA application_id")
        [(version,)] = self.run("PRAGMA user_version")
        return (application, version) == (self._schema.application, self._schema.version)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing, durable when the block ends; other processes and threads that write wait for it."""
        with self._writing, self._guarded():
            writer = self._open(self._writer)
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                writer.execute("COMMIT")
            except BaseException:
                with suppress(apsw.Error):
                    if writer.in_transaction:
                        writer.execute("ROLLBACK")
                raise

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """One statement's rows, on the writing connection: what its transaction did is seen."""
        with self._writing, self._guarded():
            return list(self._open(self._writer).execute(statement, values))

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """The same statement for every row, on the writing connection."""
        with self._writing, self._guarded():
            self._open(self._writer).executemany(statement, rows)

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """One statement's rows as of the last commit, from any thread, while another writes."""
        with self._reading, self._guarded():
            return list(self._open(self._reader).execute(statement, values))

    def _open(self, connection: _Sql | None) -> _Sql:
        if connection is None:
            raise StoreError(f"{self.path} is closed")
        return connection

    @contextmanager
    def _guarded(self) -> Generator[None]:
        try:
            yield
        except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
            raise StoreError(
                f"{self.path} cannot be opened for writing ({error}): a read-only medium, or a snapshot? copy it "
                "to a disk first"
            ) from error
        except (apsw.FullError, apsw.IOError) as error:
            if isinstance(error, apsw.IOError) and not _is_full(self.path):
                raise StoreError(f"{self.path}: {error}; nothing was written, check the disk") from error
            raise StoreError(
                f"{self.path}: the disk is full; nothing was written, make room and try again"
            ) from error
        except apsw.BusyError as error:
            raise StoreError(
                f"{self.path} is held by another process for more than {_BUSY_MS // 1000} s; nothing was written, "
                "try again"
            ) from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise StoreError(
                f"{self.path} is damaged ({error}): keep it for study, check the disk, bring it back from a backup"
            ) from error
        except UnicodeEncodeError:
            raise DataRefused("a text in it is not UTF-8: write it anew") from None
        except apsw.Error as error:
            raise StoreError(f"{self.path}: {type(error).__name__}: {error}; nothing was written") from error

    def close(self) -> None:
        """Close both connections."""
        with self._reading:
            reader, self._reader = self._reader, None
        with self._writing:
            writer, self._writer = self._writer, None
        with self._guarded():
            for connection in (reader, writer):
                if connection is not None:
                    connection.close()


def _is_full(path: Path) -> bool:
    """Whether there is no room for a page: where the shared memory of the log cannot grow, SQLite says IOError."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _PAGE_BYTES


def _connect(path: Path, vfs: str | None, settings: Iterable[str]) -> _Sql:
    opened = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    opened.set_busy_timeout(_BUSY_MS)
    connection = cast("_Sql", opened)
    for line in settings:
        list(connection.execute(f"PRAGMA {line}"))
    return connection
