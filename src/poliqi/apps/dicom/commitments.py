"""Storage commitment: what was asked for, and when it can be answered (PS3.4 J.3).

The gateway commits to an image when the machine at the other site has acknowledged its C-STORE, never before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from poliqi.apps.dicom.images import Stage
from poliqi.apps.dicom.queue import Queue
from poliqi.apps.dicom.store import Store

__all__ = ["Commitments", "Report", "Request"]

PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0112
CLASS_CONFLICT: Final = 0x0119


@dataclass(frozen=True, slots=True)
class Request:
    """What `requester` asked about images that it sent to `ae`. `asked_s` is Unix time."""

    seq: int
    transaction_uid: str
    requester: str
    ae: str
    asked_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """The answer: (class, instance) of what is kept; the same and a reason of PS3.3 C.14 of what is not."""

    kept: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str, int], ...]


class Commitments:
    """The requests of one gateway. Any thread may call."""

    def __init__(self, store: Store, queue: Queue, clock: Callable[[], float] = time.time) -> None:
        self._store: Final = store
        self._queue: Final = queue
        self._clock: Final = clock

    def ask(self, transaction_uid: str, requester: str, ae: str, references: Collection[tuple[str, str]]) -> None:
        """Keep a request, durably; the same transaction asked again is kept once. Raises StoreError."""
        with self._store.transaction():
            made = self._store.change(
                "INSERT OR IGNORE INTO commitment (transaction_uid, requester, ae, asked_s) VALUES (?, ?, ?, ?)",
                (transaction_uid, requester, ae, self._clock()),
            )
            if not made:
                return
            seq = self._store.rows("SELECT last_insert_rowid()")[0][0]
            for place, pair in enumerate(references):
                self._store.change("INSERT INTO reference VALUES (?, ?, ?, ?)", (seq, place, *pair))
        self._queue.tell()

    def open(self) -> list[Request]:
        """Requests without a report, oldest first."""
        rows = self._store.rows(
            "SELECT seq, transaction_uid, requester, ae, asked_s FROM commitment WHERE done_s IS NULL ORDER BY seq"
        )
        return [Request(*row) for row in rows]

    def answer(self, request: Request) -> Report | None:
        """The report, or None while one of the images is still on its way."""
        references = self._store.rows(
            "SELECT class_uid, instance_uid FROM reference WHERE commitment = ? ORDER BY place", (request.seq,)
        )
        newest = self._queue.newest(request.ae, [instance for _, instance in references])
        kept: list[tuple[str, str]] = []
        failed: list[tuple[str, str, int]] = []
        for class_uid, instance in references:
            image = newest.get(instance)
            if image is None:
                failed.append((class_uid, instance, NO_SUCH_INSTANCE))
            elif image.stage is Stage.WAITING:
                return None
            elif image.stage is Stage.REFUSED:
                failed.append((class_uid, instance, PROCESSING_FAILURE))
            elif image.head.class_uid != class_uid:
                failed.append((class_uid, instance, CLASS_CONFLICT))
            else:
                kept.append((class_uid, instance))
        return Report(tuple(kept), tuple(failed))

    def close(self, request: Request, said: str) -> None:
        """The report was given, or given up."""
        self._store.change(
            "UPDATE commitment SET done_s = ?, said = ? WHERE seq = ?", (self._clock(), said, request.seq)
        )

    def forget(self, before_s: float) -> int:
        """Delete what was answered before then. How many."""
        return self._store.change("DELETE FROM commitment WHERE done_s < ?", (before_s,))
