"""Images on their way: each a file and a row, both durable before the machine that sent it is told so.

What a crash leaves: a file without a row was never acknowledged, so the machine sends it again; it is deleted when
the queue opens. A row is settled only when the far machine has answered; a crash before that sends the image again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from poliqi.apps.dicom.images import Answer, Head, Held, Outcome, Stage
from poliqi.apps.dicom.store import Store
from poliqi.base.errors import DataRefused, StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.folder import sync_folder

__all__ = ["Counts", "NoRoom", "Queue"]

_KEPT_FREE: Final = 64 << 20
"""So that what was delivered can always be written down, and its file deleted."""
_COLUMNS: Final = (
    "seq, id, ae, class_uid, instance_uid, syntax_uid, peer, calling, offset, size, digest, taken_s, state, status,"
    " said, done_s"
)


class NoRoom(StoreError):
    """The queue is as large as it may be; free space, or let it empty."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Images towards one title. `oldest_s` is when the oldest that waits was taken (Unix time)."""

    ae: str
    peer: SaeId
    waiting: int
    waiting_bytes: int
    refused: int
    delivered: int
    oldest_s: float | None


class Queue:
    """The images of one gateway, in the order in which they came. Any thread may call."""

    def __init__(self, store: Store, most_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._store: Final = store
        self._folder: Final = store.folder / "images"
        self._most: Final = most_bytes
        self._clock: Final = clock
        self._news: Final = threading.Condition()
        self._number = 0

    def recover(self) -> int:
        """Tidy up after a crash; how many files nobody had been told of. For the queue's owner alone."""
        held = {row[0] for row in self._store.rows("SELECT id FROM image WHERE state <> 'delivered'")}
        lost = 0
        for path in list(self._folder.iterdir()):
            if path.suffix != ".dcm" or path.stem not in held:
                path.unlink()
                lost += 1
        there = {path.stem for path in self._folder.iterdir()}
        for name in held - there:
            self._settle(name, Stage.REFUSED, None, "its file is gone from the queue")
        return lost

    def take(self, head: Head, peer: SaeId, calling: str, preface: bytes, data: memoryview) -> str:
        """Keep an image; its name, once it is durable. The same one that waits already is not kept twice.

        `preface` goes before the data set in the file, so that any viewer opens it. Raises NoRoom, StoreError.
        """
        digest = hashlib.sha256(data).digest()
        again = self._store.rows(
            "SELECT id FROM image WHERE ae = ? AND instance_uid = ? AND digest = ? AND state = 'waiting'",
            (head.ae, head.instance_uid, digest),
        )
        if again:
            return str(again[0][0])
        held = self._store.rows("SELECT coalesce(sum(size), 0) FROM image WHERE state <> 'delivered'")[0][0]
        if held + len(data) > self._most:
            raise NoRoom(f"the queue holds {held} bytes and may hold {self._most}: let it empty, or raise queue_mb")
        if shutil.disk_usage(self._folder).free < len(data) + _KEPT_FREE:
            raise NoRoom(f"{self._folder}: less than {_KEPT_FREE} bytes would be free: free space there")
        name = uuid.uuid4().hex
        self._write(name, preface, data)
        self._store.change(
            "INSERT INTO image (id, ae, class_uid, instance_uid, syntax_uid, peer, calling, offset, size, digest,"
            " taken_s, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
            (
                *(name, head.ae, head.class_uid, head.instance_uid, head.syntax_uid, peer, calling),
                *(len(preface), len(data), digest, self._clock()),
            ),
        )
        self.tell()
        return name

    def _write(self, name: str, preface: bytes, data: memoryview) -> None:
        draft = self._folder / f"{name}.part"
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(preface)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path(name))
            sync_folder(self._folder)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise StoreError(f"{self._folder}: cannot be written: {error.strerror}; free space there") from error

    def path(self, name: str) -> Path:
        """Where the image `name` lies while it is held."""
        return self._folder / f"{name}.dcm"

    def open(self, image: Held) -> BinaryIO:
        """The image's file, at its data set. Raises StoreError."""
        try:
            file = self.path(image.id).open("rb")
            file.seek(image.offset)
        except OSError as error:
            raise StoreError(f"{self.path(image.id)}: cannot be read: {error.strerror}") from error
        return file

    def waiting(self, peer: SaeId, but_not: Collection[str] = (), after: int = 0, most: int = 16) -> list[Held]:
        """Images for `peer` past `after`, oldest first, but for the titles `but_not`."""
        marks = ", ".join("?" * len(but_not))
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM image WHERE peer = ? AND state = 'waiting' AND seq > ?"  # noqa: S608  # marks only
            f" AND ae NOT IN ({marks}) ORDER BY seq LIMIT ?",
            (peer, after, *but_not, most),
        )
        return [_held(row) for row in rows]

    def settle(self, answer: Answer) -> None:
        """What became of an image. Its file goes once it is delivered; one that is refused stays for people."""
        match answer.outcome:
            case Outcome.DELIVERED:
                self._settle(answer.id, Stage.DELIVERED, answer.status, answer.said)
                self._drop(answer.id)
            case Outcome.REFUSED:
                self._settle(answer.id, Stage.REFUSED, answer.status, answer.said)
            case Outcome.LATER:
                self._store.change(
                    "UPDATE image SET status = ?, said = ? WHERE id = ? AND state = 'waiting'",
                    (answer.status, answer.said, answer.id),
                )

    def _settle(self, name: str, stage: Stage, status: int | None, said: str) -> None:
        self._store.change(
            "UPDATE image SET state = ?, status = ?, said = ?, done_s = ? WHERE id = ? AND state = 'waiting'",
            (stage.value, status, said, self._clock(), name),
        )
        self.tell()

    def _drop(self, name: str) -> None:
        """Forget the bytes; a file that stays for an error goes at the next start."""
        with suppress(OSError):
            self.path(name).unlink(missing_ok=True)

    def retry(self, start: str = "") -> int:
        """Refused images wait again: those whose name begins with `start`. How many."""
        return self._store.change(
            "UPDATE image SET state = 'waiting', said = '', status = NULL, done_s = NULL"
            " WHERE state = 'refused' AND substr(id, 1, ?) = ?",
            (len(start), start),
        )

    def discard(self, name: str) -> Held:
        """Give up a refused image for good. Raises DataRefused where it is not refused."""
        found = self.held(Stage.REFUSED, start=name)
        if len(found) != 1:
            raise DataRefused(f"{name[:32]!r} names {len(found)} refused images; name one by its letters")
        self._store.change("DELETE FROM image WHERE id = ? AND state = 'refused'", (found[0].id,))
        self._drop(found[0].id)
        return found[0]

    def held(self, stage: Stage, start: str = "", most: int = 1000) -> list[Held]:
        """Images of a stage whose names begin with `start`, oldest first."""
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM image WHERE state = ? AND substr(id, 1, ?) = ? ORDER BY seq LIMIT ?",  # noqa: S608  # names of columns
            (stage.value, len(start), start, most),
        )
        return [_held(row) for row in rows]

    def counts(self) -> list[Counts]:
        """For each title, how much there is."""
        rows = self._store.rows(
            "SELECT ae, peer, sum(state = 'waiting'), coalesce(sum(size) FILTER (WHERE state = 'waiting'), 0),"
            " sum(state = 'refused'), sum(state = 'delivered'), min(taken_s) FILTER (WHERE state = 'waiting')"
            " FROM image GROUP BY ae, peer ORDER BY ae"
        )
        return [Counts(row[0], SaeId(row[1]), *row[2:]) for row in rows]

    def newest(self, ae: str, instances: Collection[str]) -> Mapping[str, Held]:
        """The newest image with each of these instance UIDs that came for `ae`."""
        found: dict[str, Held] = {}
        for instance in instances:
            rows = self._store.rows(
                f"SELECT {_COLUMNS} FROM image WHERE ae = ? AND instance_uid = ? ORDER BY seq DESC LIMIT 1",  # noqa: S608  # names of columns
                (ae, instance),
            )
            if rows:
                found[instance] = _held(rows[0])
        return found

    def forget(self, before_s: float) -> int:
        """Delete the rows of what was delivered before then. How many."""
        return self._store.change("DELETE FROM image WHERE state = 'delivered' AND done_s < ?", (before_s,))

    def tell(self) -> None:
        """Wake up whoever waits for news."""
        with self._news:
            self._number += 1
            self._news.notify_all()

    def await_news(self, seen: int, timeout_s: float) -> int:
        """Wait until something happened after `seen`, or for so long; what to pass the next time."""
        with self._news:
            self._news.wait_for(lambda: self._number != seen, timeout_s)
            return self._number


def _held(row: tuple[Any, ...]) -> Held:
    seq, name, ae, class_uid, instance_uid, syntax_uid, peer, calling, *rest = row
    offset, size, digest, taken_s, state, status, said, done_s = rest
    head = Head(ae, class_uid, instance_uid, syntax_uid)
    return Held(
        seq, name, head, SaeId(peer), calling, offset, size, digest, taken_s, Stage(state), status, said, done_s
    )
