"""The SQLite file of a link's state: private, locked by one process, durable at every commit.

The lock is taken on the folder itself, so there is no lock file that someone could tidy away. Readers
that only want figures (`read_only=True`) need no lock. Threads of the process take turns.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, cast

import apsw

from poliqi.base.errors import ConfigError, StoreError
from poliqi.edge.stateschema import APPLICATION, MIGRATIONS, SCHEMA, VERSION

__all__ = ["STATE_NAME", "StateFile"]

STATE_NAME: Final = "link.sqlite"


class _Sql(Protocol):
    """The part of apsw.Connection used here; apsw's own annotations leave the values unknown."""

    def execute(self, statements: str, bindings: Sequence[Any] = ()) -> Iterable[tuple[Any, ...]]: ...
    def executemany(self, statements: str, sequenceofbindings: Iterable[Sequence[Any]]) -> object: ...
    def close(self) -> None: ...
    @property
    def in_transaction(self) -> bool: ...


class StateFile:
    """An open state. Every database error comes out as StoreError, and after one nothing is written again."""

    def __init__(self, folder: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.folder: Final = folder
        self.path: Final = folder / STATE_NAME
        self._broken: str | None = None
        self._lock: int | None = None
        self._turn: Final = threading.RLock()
        if create:
            _make_private(folder, self.path)
        elif not self.path.exists():
            raise ConfigError(f"{folder} holds no state of a link; make one with `poliqi link pair`")
        if not read_only:
            self._lock = _lock_folder(folder)
        try:
            self._connection: Final = self._connect(create=create, read_only=read_only)
        except BaseException:
            self._unlock()
            raise
        if not create and not read_only:
            try:
                self.upgrade()
            except BaseException:
                self.close()
                raise

    def _connect(self, *, create: bool, read_only: bool) -> _Sql:
        for place, mode in ((self.folder, 0o700), (self.path, 0o600)):
            state = place.stat()
            if state.st_mode & 0o077 or state.st_uid != os.geteuid():
                raise StoreError(f"{place} is open to others or not yours; run: chmod {mode:o} {place}")
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
        with self._guarded():
            opened = apsw.Connection(str(self.path), flags=flags)
            opened.set_busy_timeout(5000)
            connection = cast("_Sql", opened)
            if not read_only:
                for line in ("secure_delete=ON", "journal_mode=WAL", "synchronous=FULL", "journal_size_limit=0"):
                    list(connection.execute(f"PRAGMA {line}"))
            self._check(connection, create=create)
        return connection

    def _check(self, connection: _Sql, *, create: bool) -> None:
        if list(connection.execute("PRAGMA quick_check(1)")) != [("ok",)]:
            raise StoreError(
                f"state {self.path} is damaged; keep it for study, check the disk and pair the link again"
            )
        [(application,)] = connection.execute("PRAGMA application_id")
        [(version,)] = connection.execute("PRAGMA user_version")
        if create:
            if (application, version) != (0, 0):
                raise ConfigError(
                    f"a state stands in {self.folder} already and is never overwritten: name another with --state"
                )
            return
        if application != APPLICATION or not 1 <= version <= VERSION:
            raise StoreError(
                f"{self.path} is not a state of version 1 to {VERSION} (found {application:#x}, {version})"
            )

    def upgrade(self) -> None:
        """Bring a state of an earlier version to this one, in one transaction."""
        [(version,)] = self.run("PRAGMA user_version")
        if version == VERSION:
            return
        with self.transaction():
            for migrate in MIGRATIONS[version - 1 :]:
                migrate(self.run)
            self.run(f"PRAGMA user_version={VERSION}")

    def install_schema(self) -> None:
        """Make the tables; inside the transaction that also fills them."""
        self.run(SCHEMA)
        self.run(f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}")

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing, durable when the block ends."""
        with self._guarded():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """One statement's rows."""
        with self._guarded():
            return list(self._connection.execute(statement, values))

    def run_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """The same statement for every row."""
        with self._guarded():
            self._connection.executemany(statement, rows)

    @contextmanager
    def _guarded(self) -> Generator[None]:
        with self._turn:
            if self._broken is not None:
                raise StoreError(
                    f"state {self.path} failed before ({self._broken}): stop, and start again once mended"
                )
            try:
                yield
            except apsw.Error as error:
                self._broken = f"{type(error).__name__}: {error}"
                raise StoreError(
                    f"state {self.path}: {self._broken}; free space or mend the disk and start again, "
                    "nothing is lost"
                ) from error

    def fold(self) -> None:
        """Move the write-ahead log into the file and empty it, so that deleted secrets leave both."""
        with self._guarded():
            list(self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))

    def close(self) -> None:
        """Close the file, then let go of the lock."""
        try:
            self._connection.close()
        except apsw.Error as error:
            raise StoreError(f"state {self.path}: cannot be closed: {error}") from error
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _make_private(folder: Path, path: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise StoreError(
            f"state {folder}: cannot be made: {error.strerror}; name another folder with --state"
        ) from error


def _lock_folder(folder: Path) -> int:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError(
            f"state {folder} is in use by another process: two ends never share a state; stop the other one first"
        ) from error
    return handle
