"""Keys that one end of an emulated QSN-d-1 has in stock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.secret import SecretBytes

__all__ = ["MOST_STORED", "KeyStore", "StoredKey"]

MOST_STORED: Final = 4_096


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key, when it was made on the wall clock (milliseconds since 1970) and on the caller's (seconds)."""

    key_id: str
    time_ms: int
    born_s: float
    key: SecretBytes = field(repr=False)


class KeyStore:
    """In the order in which they were made. `keeps` is a device that forgets no key for having given it out."""

    __slots__ = ("_keys", "keeps")

    def __init__(self, *, keeps: bool = False) -> None:
        self._keys: Final[dict[str, StoredKey]] = {}
        self.keeps: Final = keeps

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def is_full(self) -> bool:
        """Whether no more keys should be made."""
        return len(self._keys) >= MOST_STORED

    def add(self, key: StoredKey) -> None:
        """Put a new key behind the others; one of an ID that is here is wiped, the first stays."""
        if key.key_id in self._keys:
            key.key.close()
            return
        self._keys[key.key_id] = key

    def give(self, most: int) -> list[StoredKey]:
        """Up to `most` of the oldest."""
        return [self._given(name) for name in list(self._keys)[:most]]

    def give_named(self, key_id: str) -> StoredKey | None:
        """The key of that ID."""
        return self._given(key_id) if key_id in self._keys else None

    def _given(self, key_id: str) -> StoredKey:
        return self._keys[key_id] if self.keeps else self._keys.pop(key_id)

    def delete(self, key_ids: Iterable[str]) -> None:
        """Wipe the keys of these IDs, where there are any."""
        for name in key_ids:
            stored = self._keys.pop(name, None)
            if stored is not None:
                stored.key.close()

    def flush(self) -> None:
        """Wipe all."""
        self.delete(list(self._keys))

    def expired(self, now_s: float, ttl_s: int) -> list[str]:
        """IDs of the keys that are older than `ttl_s`."""
        return [name for name, stored in self._keys.items() if now_s - stored.born_s > ttl_s]
