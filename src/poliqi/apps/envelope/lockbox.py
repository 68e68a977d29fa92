"""What waits on disk: one SQLite file, and a key file that seals what is secret in it.

AES-256-GCM with random nonces (NIST SP 800-38D, section 8.2.2: at most 2^32 values under one key). This is
computational, and only as good as the key file: whoever copies the whole folder reads everything. What is deleted
is overwritten in the database; flash memory, copying file systems and backups may keep old bytes.

Several processes of the application may have the same folder open.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, cast

import apsw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poliqi.base.errors import StoreError
from poliqi.base.secret import Entropy
from poliqi.edge.durable import write_new
from poliqi.edge.folder import check_private, make_private_folder, sync_folder
from poliqi.keys.combine import lengthed

__all__ = ["Lockbox"]

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_PATIENCE_MS: Final = 10_000
_FORMAT: Final = b"poliqi lockbox 1"


class _Sql(Protocol):
    """The part of apsw.Connection used here; apsw's own annotations leave the values unknown."""

    def execute(self, statements: str, bindings: Sequence[Any] = ()) -> Iterable[tuple[Any, ...]]: ...
    def close(self) -> None: ...
    def changes(self) -> int: ...
    @property
    def in_transaction(self) -> bool: ...


class Lockbox:
    """An open folder. Threads take turns; each commit is durable. Raises StoreError throughout."""

    def __init__(self, folder: Path, name: str, schema: str, version: int, entropy: Entropy) -> None:
        """Opens or makes `folder`/`name`; `schema` is run where the file is new."""
        self.path: Final = folder / name
        self._entropy: Final = entropy
        self._turn: Final = threading.RLock()
        try:
            make_private_folder(folder)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be made: {error.strerror}; mend or free the disk") from error
        check_private(folder)
        check_private(self.path)
        self._sql, key = self._open(schema, version)
        self._cipher: Final = AESGCM(key)

    def _open(self, schema: str, version: int) -> tuple[_Sql, bytes]:
        """The database, made where it is new, and its key: one process at a time."""
        with self._guarded():
            opened = apsw.Connection(str(self.path))
            opened.set_busy_timeout(_PATIENCE_MS)
            sql = cast("_Sql", opened)
            for line in ("secure_delete=ON", "journal_mode=WAL", "synchronous=FULL"):
                list(sql.execute(f"PRAGMA {line}"))
            sql.execute("BEGIN IMMEDIATE")
            [(found,)] = sql.execute("PRAGMA user_version")
            if found not in (0, version):
                raise StoreError(f"{self.path} has version {found}, not {version}: use the POLIQI that made it")
            key = self._key(self.path.with_suffix(".key"), is_new=found == 0)
            if found == 0:
                list(sql.execute(schema))
                list(sql.execute(f"PRAGMA user_version={version}"))
            sql.execute("COMMIT")
            return sql, key

    def _key(self, path: Path, *, is_new: bool) -> bytes:
        """The key stands before the first thing is sealed with it."""
        try:
            if is_new and not path.exists():
                partial = path.with_name(path.name + ".new")
                partial.unlink(missing_ok=True)
                write_new(partial, self._entropy.draw(_KEY_BYTES), 0o600)
                partial.rename(path)
                sync_folder(path.parent)
            check_private(path)
            key = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; what {self.path} holds opens with it alone") from error
        if len(key) != _KEY_BYTES:
            raise StoreError(
                f"{path} has {len(key)} bytes, not {_KEY_BYTES}: it is damaged, put back the right one"
            )
        return key

    def seal(self, data: bytes, *place: bytes) -> bytes:
        """Sealed bytes that open in this place only."""
        nonce = self._entropy.draw(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, lengthed([_FORMAT, *place]))

    def open(self, sealed: bytes, *place: bytes) -> bytes:
        """What was sealed in this place."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], lengthed([_FORMAT, *place]))
        except (InvalidTag, ValueError) as error:
            raise StoreError(
                f"{self.path}: a sealed value does not open: it, or the key file beside it, was changed"
            ) from error

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing, durable when the block ends."""
        with self._guarded():
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
                raise

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """One statement's rows."""
        with self._guarded():
            return list(self._sql.execute(statement, values))

    def changed(self) -> int:
        """How many rows the last statement changed."""
        return self._sql.changes()

    def fold(self) -> None:
        """Move the write-ahead log into the file and empty it, so that what was deleted leaves both."""
        self.run("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _guarded(self) -> Generator[None]:
        with self._turn:
            try:
                yield
            except apsw.Error as error:
                raise StoreError(
                    f"{self.path}: {type(error).__name__}: {error}; free space or mend the disk and try again, "
                    "nothing that was acknowledged is lost"
                ) from error

    def close(self) -> None:
        """Close the file."""
        with self._guarded():
            self._sql.close()
