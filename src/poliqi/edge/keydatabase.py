"""The SQLite file of a site's keys: private, locked by one process, durable at every commit.

One connection writes, another reads beside it. Every error of the database comes out as StoreError, and after one
that met a writer nothing is written again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, cast

import apsw

from poliqi.base.errors import ConfigError, StoreError
from poliqi.edge.folder import check_private, lock_folder, make_private_folder
from poliqi.edge.keyschema import APPLICATION, SCHEMA, VERSION, migrate

__all__ = ["DATABASE_NAME", "KeyDatabase", "open_beside"]

DATABASE_NAME: Final = "keys.sqlite"
_SMALL_TABLES: Final = ("site", "epoch", "pool", "grade", "segment", "dek", "run", "peer", "secret")
_COPIED_AT_A_TIME: Final = 1 << 16  # SQLite writes less than 128 KiB at once
_SETTINGS: Final = (
    "secure_delete=ON",
    "cell_size_check=ON",
    "trusted_schema=OFF",
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


class KeyDatabase:
    """The open file. `vfs` names another file layer of SQLite, for tests of faults."""

    def __init__(self, folder: Path, *, create: bool = False, vfs: str | None = None) -> None:
        self.path: Final = folder / DATABASE_NAME
        self._broken: str | None = None
        self._writing: Final = threading.RLock()
        self._reading: Final = threading.Lock()
        fresh = _make(folder, self.path) if create else False
        if not self.path.exists():
            raise ConfigError(f"{folder} holds no key store; `poliqi site run` makes one")
        check_private(folder)
        check_private(self.path)
        self._lock: int | None = lock_folder(folder, "two sites never share a key store; stop the other one first")
        self._writer: _Sql | None = None
        self._reader: _Sql | None = None
        try:
            with self._guarded():
                _save_log(self.path, vfs)
                self._writer = _connect(self.path, apsw.SQLITE_OPEN_READWRITE, vfs, _SETTINGS)
                self._check(fresh=fresh)
                self._reader = _connect(self.path, apsw.SQLITE_OPEN_READWRITE, vfs, ("query_only=ON",))
        except BaseException:
            self.close()
            raise

    def _check(self, *, fresh: bool) -> None:
        [(application,)] = self.run("PRAGMA application_id")
        [(version,)] = self.run("PRAGMA user_version")
        if (application, version) == (0, 0) and not self.run("SELECT 1 FROM sqlite_schema"):
            if not fresh:  # a crash while it was made leaves an empty file
                raise ConfigError(f"{self.path} holds no key store yet; `poliqi site run` makes one")
            return
        if application != APPLICATION:
            raise StoreError(f"{self.path} is no key store of POLIQI (its application id is {application:#x})")
        if version > VERSION:
            raise StoreError(
                f"{self.path} has version {version}, this program knows versions up to {VERSION}: install the "
                "newer program again"
            )
        if version < VERSION:
            with self.transaction():
                for step in migrate(version):
                    self.run(step)
                self.run(f"PRAGMA user_version={VERSION}")
        self.run("PRAGMA ignore_check_constraints=ON")  # a row that contradicts itself is dropped, not the store
        for table in _SMALL_TABLES:
            if self.run(f"PRAGMA quick_check({table})") != [("ok",)]:
                raise StoreError(
                    f"{self.path} is damaged in its table {table}: check the disk, move the folder away and start "
                    "with an empty store (`poliqi site run` makes one); its keys are lost, none is given twice"
                )
        self.run("PRAGMA ignore_check_constraints=OFF")

    @property
    def is_empty(self) -> bool:
        """True where the tables are still to be made."""
        return not self.run("SELECT 1 FROM sqlite_schema")

    def install_schema(self) -> None:
        """Make the tables; inside the transaction that also fills them."""
        self.run(SCHEMA)
        self.run(f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}")

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing, durable when the block ends; whatever goes wrong inside, nothing is written after it."""
        with self._writing, self._guarded():
            writer = self._open_writer()
            try:
                writer.execute("BEGIN IMMEDIATE")
                yield
                writer.execute("COMMIT")
            except BaseException as error:
                self._broken = self._broken or f"{type(error).__name__}: {error}"
                with suppress(apsw.Error):
                    if writer.in_transaction:
                        writer.execute("ROLLBACK")
                raise

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """One statement's rows, on the writing connection."""
        with self._guarded():
            return list(self._open_writer().execute(statement, values))

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """The same statement for every row, on the writing connection."""
        with self._guarded():
            self._open_writer().executemany(statement, rows)

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """One statement's rows as of the last commit, from any thread, while another writes."""
        with self._reading:
            if self._reader is None:
                raise StoreError(f"key store {self.path} is closed")
            try:
                return list(self._reader.execute(statement, values))
            except apsw.Error as error:
                raise StoreError(
                    f"key store {self.path} cannot be read: {type(error).__name__}: {error}; check the disk"
                ) from error

    def fold(self) -> bool:
        """Move the write-ahead log into the file and empty it; False where a reader was in the way."""
        with self._writing, self._guarded():
            [(busy, _, _)] = self.run("PRAGMA wal_checkpoint(TRUNCATE)")
            return not busy

    def _open_writer(self) -> _Sql:
        if self._writer is None:
            raise StoreError(f"key store {self.path} is closed")
        return self._writer

    @contextmanager
    def _guarded(self) -> Generator[None]:
        if self._broken is not None:
            raise StoreError(f"key store {self.path} failed before ({self._broken}): mend it and start again")
        try:
            yield
        except apsw.Error as error:
            self._broken = f"{type(error).__name__}: {error}"
            raise StoreError(f"key store {self.path}: {self._broken}; {_remedy(error)}") from error

    def close(self) -> None:
        """Close the file, then let go of the lock; a log that cannot be folded in now is at the next start."""
        with self._writing, self._reading:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    with suppress(apsw.Error):
                        connection.close()
            self._reader = self._writer = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


@contextmanager
def open_beside(folder: Path) -> Generator[KeyReader]:
    """Look at a store while its site may be running: only reads, takes no lock. Raises StoreError."""
    path = folder / DATABASE_NAME
    if not path.exists():
        raise ConfigError(f"{folder} holds no key store")
    try:
        connection = _connect(path, apsw.SQLITE_OPEN_READONLY, None, ())
    except apsw.Error as error:
        raise StoreError(f"key store {path} cannot be read: {error}; check the disk") from error
    try:
        yield KeyReader(path, connection)
    finally:
        connection.close()


class KeyReader:
    """A store that is looked at from beside."""

    def __init__(self, path: Path, connection: _Sql) -> None:
        self.path: Final = path
        self._connection: Final = connection

    def read(self, statement: str, values: Sequence[Any] = ()) -> Generator[tuple[Any, ...]]:
        """One statement's rows, one after another. Raises StoreError."""
        try:
            yield from self._connection.execute(statement, values)
        except apsw.Error as error:
            raise StoreError(f"key store {self.path} cannot be read: {error}; check the disk") from error


def _connect(path: Path, flags: int, vfs: str | None, settings: Iterable[str]) -> _Sql:
    opened = apsw.Connection(str(path), flags=flags, vfs=vfs)
    opened.set_busy_timeout(1000)
    connection = cast("_Sql", opened)
    for line in settings:
        list(connection.execute(f"PRAGMA {line}"))
    return connection


def _make(folder: Path, path: Path) -> bool:
    """Make an empty private file where there is none; True where it is empty."""
    try:
        make_private_folder(folder)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        return True
    except OSError as error:
        raise StoreError(f"key store {folder} cannot be made: {error.strerror}; name another folder") from error


def _save_log(path: Path, vfs: str | None) -> None:
    """Write the log that an earlier process left once more, in place, and wait for the disk.

    Where that process ended on a failed synchronisation, the system may show bytes that it will never save (Rebello
    et al., USENIX ATC 2020). SQLite would build on them.
    """
    log = path.with_name(path.name + "-wal")
    if not log.exists():
        return
    flags = [apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_WAL, 0]
    file: Any = apsw.VFSFile(vfs or "", str(log), flags)  # its annotations leave the bytes unknown
    try:
        size = file.xFileSize()
        for at in range(0, size, _COPIED_AT_A_TIME):
            file.xWrite(file.xRead(min(_COPIED_AT_A_TIME, size - at), at), at)
        file.xSync(apsw.SQLITE_SYNC_NORMAL)
    finally:
        file.xClose()


def _remedy(error: apsw.Error) -> str:
    match error:
        case apsw.FullError():
            return "the disk is full: free space and start again, nothing acknowledged is lost"
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError():
            return "it cannot be written: make its disk writable and start again"
        case apsw.CorruptError() | apsw.NotADBError():
            return (
                "the file is damaged: check the disk, move the folder away and start with an empty store "
                "(`poliqi site run` makes one); keys that were in it are lost, none is given twice"
            )
        case apsw.ConstraintError():
            return "what was to be written contradicts what stands there: this is a fault of the program, report it"
        case _:
            return "mend the disk and start again, nothing acknowledged is lost"
