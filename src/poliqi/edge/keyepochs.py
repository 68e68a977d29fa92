"""Epochs of a key store: every start, and every renewal, brings a new KEK and a new epoch key.

What was sealed is sealed again under the new epoch key; then the old KEK is destroyed, and with it every older copy
of every sector. The database names the epochs that it needs; any other KEK of this store is a leftover of a crash.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from poliqi.base.errors import DataRefused, StoreError
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.edge.kek import TOMBSTONE, KekProvider
from poliqi.edge.keydatabase import KeyDatabase
from poliqi.edge.keyrows import Interned, SegmentRow, WrappedRow
from poliqi.edge.sealing import KEY_BYTES, EpochSeal, place

__all__ = ["EpochKeys"]


class EpochKeys:
    """The epoch keys that a store needs at the moment: one, and its predecessor while it is replaced."""

    def __init__(self, database: KeyDatabase, instance: bytes, kek: KekProvider, entropy: Entropy) -> None:
        self._database: Final = database
        self._instance: Final = instance
        self._kek: Final = kek
        self._entropy: Final = entropy
        self.seals: Final[dict[int, EpochSeal]] = {}
        self._current: EpochSeal | None = None
        try:
            self._unwrap()
        except BaseException:
            self.close()
            raise

    @property
    def current(self) -> EpochSeal:
        """What new values are sealed with."""
        assert self._current is not None  # a store is used after its first epoch began
        return self._current

    def _unwrap(self) -> None:
        self.check_not_zeroised()
        wrapped = dict(self._database.run("SELECT number, wrapped FROM epoch ORDER BY number"))
        there, newest = self._kek.epochs(self._instance), max(wrapped, default=0)
        if missing := sorted(wrapped.keys() - there):
            raise StoreError(
                f"key store {self._database.path}: the KEK of epoch {missing[0]} is not in {self._kek.place}: put "
                "it back or mount its medium; if it was destroyed, or this database is an old copy, nothing in it "
                "can be read: move the folder away and start with an empty store"
            )
        if there and max(there) > newest + 1:
            raise StoreError(
                f"key store {self._database.path} is of epoch {newest}, but {self._kek.place} has the KEK of epoch "
                f"{max(there)}: this database is an old copy, and keys in it may have been used; put back the "
                "newest one"
            )
        for epoch in sorted(there - wrapped.keys()):
            self._kek.destroy(self._instance, epoch)
        for epoch, sealed in wrapped.items():
            key = self._kek.unwrap(self._instance, epoch, sealed, self._place(epoch))
            self.seals[epoch] = EpochSeal(self._instance, epoch, key, fresh=False)

    def _place(self, epoch: int) -> bytes:
        return place("epoch key", self._instance, epoch)

    def check_not_zeroised(self) -> None:
        """Raises StoreError where the tombstone stands."""
        tombstone = self._database.path.with_name(TOMBSTONE)
        if tombstone.exists():
            raise StoreError(
                f"key store {self._database.path} was zeroised: nothing in it can be read; move the folder away "
                "and start the site with an empty one"
            )

    def prepare(self) -> tuple[EpochSeal, bytes]:
        """Make the next KEK and the epoch key that it wraps; nothing of it is used yet."""
        epoch = max(self.seals, default=0) + 1
        if not self.seals.keys() <= self._kek.epochs(self._instance):
            raise StoreError(f"the KEK of epoch {epoch - 1} is gone from {self._kek.place}: stop this site")
        self._kek.create(self._instance, epoch)
        try:
            self.check_not_zeroised()  # again: everything else may have been destroyed meanwhile
            key = SecretBytes(self._entropy.draw(KEY_BYTES))
            wrapped = self._kek.wrap(self._instance, epoch, key, self._place(epoch))
        except BaseException:
            self._kek.destroy(self._instance, epoch)
            raise
        return EpochSeal(self._instance, epoch, key, fresh=True), wrapped

    def begin(self, seal: EpochSeal, wrapped: bytes) -> None:
        """Seal with the new epoch from now on; inside a transaction."""
        self._database.run("INSERT INTO epoch VALUES (?, ?)", (seal.epoch, wrapped))
        self.seals[seal.epoch] = self._current = seal

    def rewrap_deks(self, rows: Iterable[WrappedRow], interned: Interned) -> list[int]:
        """Wrap DEKs of older epochs again; inside a transaction. Returns the segments whose DEK does not open."""
        damaged: list[int] = []
        updates: list[tuple[int, bytes, int]] = []
        current = self.current
        for row, epoch, sealed in rows:
            try:
                parts = row.dek_parts(interned)
                dek = self.open_dek(row, epoch, sealed, interned)
                updates.append((current.epoch, current.seal("dek", dek, *parts), row.number))
            except DataRefused:
                damaged.append(row.number)
        self._database.run_many("UPDATE dek SET epoch = ?, sealed = ? WHERE number = ?", updates)
        return damaged

    def open_dek(self, row: SegmentRow, epoch: int | None, sealed: bytes | None, interned: Interned) -> bytes:
        """The key of a segment. Raises DataRefused."""
        seal = None if epoch is None else self.seals.get(epoch)
        if seal is None or sealed is None:
            raise DataRefused(f"the key of segment {row.number} is missing")
        return seal.open("dek", sealed, *row.dek_parts(interned))

    def reseal_small(self) -> list[tuple[str, str]]:
        """Seal shared secrets and ciphers of older epochs again; inside a transaction.

        Raises StoreError where a shared secret was changed: without it the peers cannot be understood.
        """
        current, database = self.current, self._database
        for peer, name, epoch, sealed in database.run("SELECT * FROM secret WHERE epoch != ?", (current.epoch,)):
            try:
                value = self._old(epoch).open("secret", sealed, peer, name)
            except DataRefused as error:
                raise StoreError(
                    f"key store {database.path}: the secret {name!r} shared with {peer} is damaged: check the "
                    "disk, move the folder away and start with an empty store"
                ) from error
            database.run(
                "UPDATE secret SET epoch = ?, sealed = ? WHERE peer = ? AND name = ?",
                (current.epoch, current.seal("secret", value, peer, name), peer, name),
            )
        damaged: list[tuple[str, str]] = []
        for owner, number, epoch, cipher, *where in database.run(
            "SELECT owner, number, epoch, cipher, segment, first, size, count FROM run"
            " WHERE epoch IS NOT NULL AND epoch != ?",
            (current.epoch,),
        ):
            parts = (owner, number & 0xFFFFFFFFFFFFFFFF, *where)
            try:
                value = self._old(epoch).open("cipher", cipher, *parts)
            except DataRefused:
                damaged.append((owner, number))
                continue
            database.run(
                "UPDATE run SET epoch = ?, cipher = ? WHERE owner = ? AND number = ?",
                (current.epoch, current.seal("cipher", value, *parts), owner, number),
            )
        return damaged

    def _old(self, epoch: int) -> EpochSeal:
        seal = self.seals.get(epoch)
        if seal is None:
            raise DataRefused(f"epoch {epoch} is gone")
        return seal

    def end_old(self) -> None:
        """Need the older epochs no longer; inside a transaction."""
        self._database.run("DELETE FROM epoch WHERE number != ?", (self.current.epoch,))

    def destroy_old(self) -> None:
        """Destroy the KEKs of older epochs, once that they are not needed is durable."""
        for epoch in [e for e in self.seals if e != self.current.epoch]:
            self._kek.destroy(self._instance, epoch)
            self.seals.pop(epoch).close()

    def close(self) -> None:
        """Wipe the epoch keys."""
        for seal in self.seals.values():
            seal.close()
        self.seals.clear()
