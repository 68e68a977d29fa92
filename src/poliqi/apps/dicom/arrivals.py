"""Which images the machines of this site already have, so that one that is sent again is not stored twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from poliqi.apps.dicom.images import Answer, Outcome
from poliqi.apps.dicom.store import Store
from poliqi.base.ids import SaeId

__all__ = ["Arrivals"]


class Arrivals:
    """Deliveries at this site. Any thread may call."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store: Final = store
        self._clock: Final = clock

    def note(self, peer: SaeId, answer: Answer) -> None:
        """Keep that an image was delivered, durably. Raises StoreError."""
        self._store.change(
            "INSERT OR REPLACE INTO arrival VALUES (?, ?, ?, ?, ?)",
            (peer, answer.id, answer.status, answer.said, self._clock()),
        )

    def find(self, peer: SaeId, name: str) -> Answer | None:
        """What `peer` was answered, or would have been, where it was delivered."""
        rows = self._store.rows("SELECT status, said FROM arrival WHERE peer = ? AND id = ?", (peer, name))
        return Answer(name, Outcome.DELIVERED, rows[0][0], rows[0][1]) if rows else None

    def number(self) -> int:
        """How many are remembered."""
        return int(self._store.rows("SELECT count(*) FROM arrival")[0][0])

    def forget(self, before_s: float) -> int:
        """Delete what was delivered before then. How many."""
        return self._store.change("DELETE FROM arrival WHERE at_s < ?", (before_s,))
