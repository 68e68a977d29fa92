"""What a gateway remembers on disk: one SQLite file beside a folder of images. Durable when a call returns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import StoreError
from poliqi.edge.folder import make_private_folder

__all__ = ["Store"]

_VERSION: Final = 1
_BUSY_S: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE image (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, ae TEXT NOT NULL, peer TEXT NOT NULL,
  calling TEXT NOT NULL, class_uid TEXT NOT NULL, instance_uid TEXT NOT NULL, syntax_uid TEXT NOT NULL,
  offset INTEGER NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL, taken_s REAL NOT NULL,
  state TEXT NOT NULL, status INTEGER, said TEXT NOT NULL DEFAULT '', done_s REAL);
CREATE INDEX image_held ON image (peer, seq) WHERE state <> 'delivered';
CREATE INDEX image_instance ON image (ae, instance_uid, seq);
CREATE TABLE commitment (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, transaction_uid TEXT NOT NULL, requester TEXT NOT NULL, ae TEXT NOT NULL,
  asked_s REAL NOT NULL, done_s REAL, said TEXT NOT NULL DEFAULT '', UNIQUE (transaction_uid, requester));
CREATE TABLE reference (
  commitment INTEGER NOT NULL REFERENCES commitment (seq) ON DELETE CASCADE, place INTEGER NOT NULL,
  class_uid TEXT NOT NULL, instance_uid TEXT NOT NULL, PRIMARY KEY (commitment, place)) WITHOUT ROWID;
CREATE TABLE arrival (
  peer TEXT NOT NULL, id TEXT NOT NULL, status INTEGER, said TEXT NOT NULL, at_s REAL NOT NULL,
  PRIMARY KEY (peer, id)) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


class Store:
    """The tables of the queue, of commitments and of arrivals. Any thread may call."""

    def __init__(self, folder: Path, *, may_make: bool = True) -> None:
        """Open `folder`/gateway.sqlite, making it where `may_make`. Raises StoreError."""
        self.folder: Final = folder
        self._lock: Final = threading.RLock()
        path = folder / "gateway.sqlite"
        try:
            if may_make:
                make_private_folder(folder / "images")
                path.touch(mode=0o600)
            elif not path.exists():
                raise StoreError(
                    f"{folder} holds no gateway: it has never run here; start it with `poliqi sae run`"
                )
            self._base: Final = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            self._prepare(path)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: {error}; the gateway's queue must be readable and writable") from error

    def _prepare(self, path: Path) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            self._base.execute(f"PRAGMA {pragma}")
        version = self._base.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise StoreError(f"{path} is of version {version}, and this program knows {_VERSION}; use a newer one")
        if version == 0:
            self._base.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")

    def rows(self, question: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of an answer. Raises StoreError."""
        with self._lock, self._told():
            return self._base.execute(question, values).fetchall()

    def change(self, order: str, values: Sequence[object] = ()) -> int:
        """Change rows and say how many; durable outside a `transaction`, or at its end. Raises StoreError."""
        with self._lock, self._told():
            return self._base.execute(order, values).rowcount

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All changes inside, or none. Raises StoreError."""
        with self._lock, self._told():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.folder}/gateway.sqlite: {error}; free space, or look at the disk") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()
