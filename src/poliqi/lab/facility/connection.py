"""Connections to the file of a facility: how they are opened, how they wait, and those kept to read with."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, cast

import apsw

__all__ = ["PATIENCE_S", "Readers", "Row", "Sql", "connect"]

PATIENCE_S: Final = 30.0
_SHORT_S, _LONG_S = 0.001, 0.012
_WRITING: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF")
_READING: Final = ("query_only=ON", "trusted_schema=OFF")
_IDLE: Final = 8
"""So many connections are kept open to read with; of more readers at once the others' are closed again."""
Row = tuple[Any, ...]


class Sql(Protocol):
    """The part of apsw.Connection used here; apsw's own annotations leave the values unknown."""

    def execute(self, statements: str, bindings: Sequence[Any] = ()) -> Iterable[Row]: ...
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
            self._until_s = now_s + PATIENCE_S
        time.sleep((0.5 + random.random()) * (_SHORT_S if asked < 2 else _LONG_S))  # noqa: S311 - no secret
        return now_s < self._until_s


def connect(path: Path, vfs: str | None, settings: Iterable[str] = _WRITING) -> Sql:
    """Open the file, to write as it is."""
    opened = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    opened.set_busy_handler(_Patience())
    sql = cast("Sql", opened)
    for line in settings:
        list(sql.execute(f"PRAGMA {line}"))
    return sql


class Readers:
    """Connections that can only read, one for each thread that reads at the moment: no reader waits for another."""

    def __init__(self, path: Path, vfs: str | None) -> None:
        self._path: Final = path
        self._vfs: Final = vfs
        self._lock: Final = threading.Lock()
        self._idle: list[Sql] = []
        self._is_closed = False

    @contextmanager
    def one(self) -> Generator[Sql]:
        """A connection of one's own until the block ends. Raises apsw.Error, also when closed."""
        sql = self._take()
        try:
            yield sql
        finally:
            self._give(sql)

    def _take(self) -> Sql:
        with self._lock:
            if self._is_closed:
                raise apsw.ConnectionClosedError("the facility is closed")
            if self._idle:
                return self._idle.pop()
        return connect(self._path, self._vfs, _READING)

    def _give(self, sql: Sql) -> None:
        with self._lock:
            if len(self._idle) < _IDLE and not self._is_closed:
                self._idle.append(sql)
                return
        sql.close()

    def close(self) -> None:
        """Those that are lent close when they come back."""
        with self._lock:
            idle, self._idle, self._is_closed = self._idle, [], True
        for sql in idle:
            sql.close()
