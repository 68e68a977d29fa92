"""A site's keys at rest: encrypted segments, leases, runs, peers and audit in one SQLite file.

`docs/spec/keystore.md` describes the tables, the hierarchy of keys, and what a crash after each step leaves.
`load` and `apply`, `erase_used`, `rotate` and `prune_audit` belong to one thread, the writer; `read` and `has_seen`
may be called from any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from poliqi.base.errors import StoreError
from poliqi.base.ids import LinkId
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.edge.audit import FIRST_HASH, AuditHead
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.kek import KekProvider
from poliqi.edge.keydatabase import KeyDatabase
from poliqi.edge.keyopen import INSTANCE_BYTES, OpenStore
from poliqi.keys.marks import Mark, StoredState

__all__ = ["KeyStore"]


class KeyStore:
    """The store of one site (`poliqi.keys.marks.Store`).

    `kek` holds the keys that everything here hangs on. With `create`, an empty store is made where there is none.
    `now_ns` is the wall clock of audit lines and of nothing else; `vfs` names another file layer of SQLite, for
    tests of faults.
    """

    def __init__(
        self,
        folder: Path,
        kek: KekProvider,
        *,
        create: bool = False,
        entropy: Entropy | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        vfs: str | None = None,
    ) -> None:
        self.folder: Final = folder
        self._kek: Final = kek
        self._create: Final = create
        self._entropy: Final[Entropy] = entropy if entropy is not None else OperatingSystemEntropy()
        self._now_ns: Final = now_ns
        self._vfs: Final = vfs
        self._open: OpenStore | None = None

    def load(self) -> StoredState:
        """Open for one more start: counts the generation, renews KEK and epoch key, erases what was used.

        Segments and runs whose rows were damaged are dropped, and the audit says so. Raises StoreError, and
        ConfigError where there is no store.
        """
        if self._open is not None:
            raise ValueError("a key store is loaded once")
        database = KeyDatabase(self.folder, create=self._create, vfs=self._vfs)
        try:
            if database.is_empty:
                self._install(database)
            self._open = OpenStore(database, self._kek, self._entropy, self._now_ns)
            return self._open.start()
        except BaseException:
            (self._open or database).close()
            self._open = None
            raise

    def _install(self, database: KeyDatabase) -> None:
        with database.transaction():
            database.install_schema()
            database.run(
                "INSERT INTO site VALUES (1, ?, 0, x'', 1, ?)", (self._entropy.draw(INSTANCE_BYTES), self._now_ns())
            )
            database.run("INSERT INTO anchor VALUES (1, 0, ?)", (FIRST_HASH,))

    def _opened(self) -> OpenStore:
        if self._open is None:
            raise StoreError(f"key store {self.folder} is not open")
        return self._open

    def apply(self, marks: Sequence[Mark]) -> None:
        """Make all of `marks` durable, or none. Raises StoreError; after one, nothing is written again.

        Payloads and secrets stay the caller's: they are copied, sealed, not wiped.
        """
        if marks:
            opened = self._opened()
            with opened.database.transaction():
                opened.writer.write(marks)

    def read(self, number: int) -> SecretBytes:
        """The bits of a segment that is stored. Raises StoreError where they are gone or damaged."""
        return self._opened().read(number)

    def has_seen(self, pool: LinkId, block: bytes) -> bool:
        """True where a block of this name was ever ingested into this pool, and that is durable."""
        opened = self._opened()
        known = opened.interned.pool_if_known(pool)
        return known is not None and bool(
            opened.database.read("SELECT 1 FROM seen WHERE pool = ? AND block = ?", (known, block))
        )

    def erase_used(self, upto: Mapping[int, int]) -> int:
        """Overwrite used bytes of these segments; how many segments were sealed anew.

        `upto` says, segment by segment, below which byte everything was used up or stands in a run that was
        applied before this call: bytes that are leased but not yet in a run must lie above it.
        """
        return self._opened().erase_used(upto)

    def rotate(self) -> None:
        """Renew KEK and epoch key while running: .3 to .5 s for 50,000 segments. Raises StoreError."""
        self._opened().rotate()

    def audit_head(self) -> AuditHead:
        """The newest audit line's number and hash."""
        return self._opened().audit.head

    def prune_audit(self, before: int) -> int:
        """Forget audit lines with numbers below `before`, but not their hash; how many. Export them first."""
        return self._opened().prune_audit(before)

    def close(self) -> None:
        """Let go of everything and wipe what is held in memory, as far as Python can."""
        if self._open is not None:
            self._open.close()
            self._open = None
