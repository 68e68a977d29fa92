"""What a sender remembers of a transfer, so that the same command, run again, goes on where it stopped.

`state/send/KEY/`: state, list, facts; KEY stands for peer, mode and paths. `state/receipts/` keeps the receipts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from poliqi.apps.share.estimate import Load
from poliqi.apps.share.ledger import Ledger
from poliqi.apps.share.listing import Totals
from poliqi.apps.share.manifest import close_manifest
from poliqi.apps.share.progress import Phase, Progress
from poliqi.apps.share.sender import Outgoing
from poliqi.apps.share.source import Source
from poliqi.base.errors import StoreError
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy
from poliqi.edge.durable import replace_file
from poliqi.edge.folder import make_private_folder

__all__ = ["Outbox", "sent_receipts"]

_SEND: Final = "send"
_RECEIPTS: Final = "receipts"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _State(msgspec.Struct, forbid_unknown_fields=True):
    transfer: str
    list_sha256: str
    entries: int
    files: int
    size_bytes: int


class Outbox:
    """One transfer at its sender; held by one process at a time. Raises StoreError, DataRefused of the source."""

    def __init__(self, state: Path, peer: SaeId, one_time: bool, source: Source, entropy: Entropy) -> None:
        named = hashlib.sha256("\n".join([peer, "one-time" if one_time else "", source.key]).encode())
        self._folder: Final = state / _SEND / named.hexdigest()[:32]
        self._receipts: Final = state / _RECEIPTS
        self._source: Final = source
        self._entropy: Final = entropy
        try:
            make_private_folder(self._folder)
            make_private_folder(self._receipts)
            self._lock: Final = os.open(self._folder, _FOLDER)
        except OSError as error:
            raise StoreError(f"{state}: {error.strerror}; the state folder must be writable") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StoreError(
                f"{source.name} is being sent to {peer} by another process already: let it end"
            ) from error
        self._ledger: Ledger | None = None

    def prepare(self, progress: Progress) -> Outgoing:
        """Walk the source; go on with what was sent before where it still holds."""
        progress.enter(Phase.LISTING)
        try:
            before = self._read()
            digest, totals = self._list()
            ledger = Ledger(self._folder, before.list_sha256 if before else "", before.entries if before else 0)
            self._ledger = ledger
            state = _State(
                before.transfer if before else self._entropy.draw(16).hex(),
                digest,
                totals.entries,
                totals.files,
                totals.size_bytes,
            )
            if ledger.list_sha256 != digest:
                for path in ledger.adopt(digest, totals.entries):
                    progress.note(f"{path} has changed since it was sent; it is sent anew")
            replace_file(self._folder / "state", msgspec.json.encode(state))
            ledger.forget_others()
        except OSError as error:
            raise StoreError(f"{self._folder}: {error.strerror}") from error
        for path in self._source.skipped:
            progress.note(f"skipped: {path} is neither a file nor a folder")
        if self._source.skipped_count > len(self._source.skipped):
            progress.note(f"skipped: {self._source.skipped_count} in all")
        progress.expect(totals.size_bytes, totals.files)
        return Outgoing(
            state.transfer,
            self._source,
            ledger.list_path,
            digest,
            totals.entries,
            totals.files,
            totals.size_bytes,
            ledger.facts,
            [],
        )

    def load(self, out: Outgoing) -> Load:
        """What is still to be sent, as far as is known here."""
        assert self._ledger is not None
        return Load(*self._ledger.missing(), list_bytes=out.list_path.stat().st_size)

    def _list(self) -> tuple[str, Totals]:
        digest, path = hashlib.sha256(), self._folder / "new"
        with path.open("wb", buffering=0) as file:

            def take(lines: bytes) -> None:
                digest.update(lines)
                file.write(lines)

            totals = self._source.write_list(take)
        path.replace(self._folder / f"list-{digest.hexdigest()[:16]}")
        return digest.hexdigest(), totals

    def _read(self) -> _State | None:
        try:
            return msgspec.json.decode((self._folder / "state").read_bytes(), type=_State)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def begin_anew(self) -> None:
        """Forget what was sent: the next `prepare` begins another transfer."""
        self._close_ledger()
        for path in self._folder.iterdir():
            path.unlink()

    def keep(self, out: Outgoing, receipt: bytes) -> Path:
        """Keep the receipt and the manifest, forget the rest; the receipt's file. Raises StoreError."""
        path = self._receipts / f"{out.transfer}.json"
        try:
            with path.with_suffix(".manifest").open("wb") as file:
                close_manifest(out.list_path, out.facts, file.write)
                file.flush()
                os.fsync(file.fileno())
            replace_file(path, receipt)
            self._close_ledger()
            # the state first: what is left of the rest after a crash is no transfer
            (self._folder / "state").unlink()
            shutil.rmtree(self._folder)
        except OSError as error:
            raise StoreError(
                f"{path}: {error.strerror}; everything has arrived, the receipt is at the receiver"
            ) from error
        return path

    def _close_ledger(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def close(self) -> None:
        """Let go of it; what is known stays."""
        self._close_ledger()
        os.close(self._lock)


def sent_receipts(state: Path) -> Iterator[Path]:
    """Receipts for what was sent, the newest first."""
    yield from sorted((state / _RECEIPTS).glob("*.json"), key=lambda path: -path.lstat().st_mtime_ns)
