"""What lies on the disk of an application for its pages: arrivals with their files, and receipts both ways."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from poliqi.apps.keygrade import Knowledge
from poliqi.apps.settings import SaeSettings
from poliqi.apps.share.inbox import Inbox, InboxRules
from poliqi.apps.share.names import peer_folder
from poliqi.apps.share.outbox import sent_receipts
from poliqi.apps.share.receipt import Receipt, read_receipt
from poliqi.apps.share.tree import Tree, open_folder
from poliqi.apps.stream.terms import Mode
from poliqi.base.errors import DataRefused
from poliqi.base.ids import SaeId
from poliqi.edge.durable import replace_file
from poliqi.edge.folder import make_private_folder
from poliqi.ops.sae_web.desk import Arrival, ArrivedFile, Direction, ReceiptView

__all__ = ["Shelf", "receipt_id"]

_NEWEST: Final = 500
_FILES: Final = 200
_RECEIPT_BYTES: Final = 1 << 20
_WHO_BYTES: Final = 256
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WORST_FIRST: Final = (Mode.PQC, Mode.QUANTUM, Mode.HYBRID, Mode.ONE_TIME)


def receipt_id(direction: Direction, peer: SaeId, transfer: str) -> str:
    """The address of a receipt on the pages: two peers may have chosen the same name for a transfer."""
    return hashlib.sha256(f"{direction}\n{peer}\n{transfer}".encode()).hexdigest()[:24]


class Shelf:
    """Receipts never change, so each is read once. One thread at a time looks; `open` may come from any.

    Receipts of what was sent under a name that `is_foreign` are another one's, and not there.
    """

    def __init__(self, settings: SaeSettings) -> None:
        self.settings = settings
        self.is_foreign: Callable[[str], bool] = lambda _: False
        self._who: Final = settings.state / "sent-by"
        self._inbox: Final = Inbox(settings.inbox, InboxRules.of(settings.extra))
        self._read: dict[Path, ReceiptView | None] = {}
        self._listed: dict[tuple[Path, int], tuple[int, tuple[ArrivedFile, ...]]] = {}
        self._paths: dict[str, Path] = {}
        self._places: dict[str, tuple[SaeId, str]] = {}
        make_private_folder(self._who)

    def note_sender(self, transfer: str, who: str) -> None:
        """Remember who sent it: receipts name applications only. Raises StoreError."""
        replace_file(self._who / transfer, who.encode())

    # ---- receipts

    def receipts(self) -> list[ReceiptView]:
        """The newest of both directions."""
        before, self._read = self._read, {}
        for path, way in self._receipt_files():
            self._read[path] = before[path] if path in before else self._parsed(path, way)
        self._paths = {view.id: path for path, view in self._read.items() if view is not None}
        found = [view for view in self._read.values() if view is not None]
        return sorted(found, key=lambda view: -view.at_unix_s)[:_NEWEST]

    def _receipt_files(self) -> Iterator[tuple[Path, Direction]]:
        for number, path in enumerate(sent_receipts(self.settings.state)):
            if number < _NEWEST:
                yield path, Direction.SENT
        for path in self._inbox.receipts()[:_NEWEST]:
            yield path, Direction.RECEIVED

    def _parsed(self, path: Path, direction: Direction) -> ReceiptView | None:
        try:
            with path.open("rb") as file:
                receipt = read_receipt(file.read(_RECEIPT_BYTES))
            moment = datetime.fromisoformat(receipt.received).timestamp()
        except (OSError, DataRefused, ValueError):
            return None
        if direction is Direction.SENT and self.is_foreign(receipt.name):
            return None
        other = SaeId(receipt.receiver if direction is Direction.SENT else receipt.sender)
        view_id = receipt_id(direction, other, receipt.transfer)
        if direction is Direction.RECEIVED:
            self._places[view_id] = (other, receipt.stored_as)
        return ReceiptView(
            id=view_id,
            direction=direction,
            sae=other,
            place=self._place(other),
            at_unix_s=moment,
            sender=receipt.sender,
            who=self._sent_by(receipt) if direction is Direction.SENT else "",
            mode=_worst(receipt.mode),
            name=receipt.name if direction is Direction.SENT else receipt.stored_as,
            count=receipt.files,
            size_bytes=receipt.size_bytes,
            keys=sum(stream.keys for stream in receipt.streams),
            key_ids=receipt.key_ids,
            epsilon=receipt.epsilon if isinstance(receipt.epsilon, float) else None,
            hash=receipt.manifest_sha256,
            is_simulated=receipt.simulated,
            knowledge=_known_to(receipt),
        )

    def _place(self, sae: SaeId) -> str:
        found = self.settings.peers.get(sae)
        return sae if found is None else found.place

    def _sent_by(self, receipt: Receipt) -> str:
        if not receipt.transfer.isalnum():
            return ""
        try:
            with (self._who / receipt.transfer).open("rb") as file:
                return file.read(_WHO_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def receipt_bytes(self, receipt: str) -> bytes | None:
        """A receipt as it is kept, signature and all."""
        path = self._paths.get(receipt)
        try:
            return None if path is None else path.read_bytes()
        except OSError:
            return None

    # ---- what came

    def arrivals(self, receipts: list[ReceiptView]) -> list[Arrival]:
        """What came and is still there, the newest first."""
        found: list[Arrival] = []
        before, self._listed = self._listed, {}
        for view in receipts:
            if view.direction is not Direction.RECEIVED:
                continue
            path = self._arrived(view.id)
            try:
                state = path.lstat()
            except OSError:
                continue
            key = path, state.st_mtime_ns
            count, files = self._listed[key] = before[key] if key in before else _files(path)
            arrival = Arrival(
                id=view.id,
                name=view.name,
                sae=view.sae,
                place=view.place,
                at_unix_s=view.at_unix_s,
                count=count,
                size_bytes=view.size_bytes,
                mode=view.mode,
                is_simulated=view.is_simulated,
                files=files,
                receipt=view.id,
            )
            found.append(arrival)
        return found

    def _arrived(self, arrival: str) -> Path:
        peer, name = self._places[arrival]
        return self.settings.inbox / peer_folder(peer) / name

    def open(self, arrival: Arrival, number: int) -> BinaryIO | None:
        """A file of what came; no symlink is followed on the way."""
        file = next((f for f in arrival.files if f.number == number), None)
        if file is None or arrival.id not in self._places:
            return None
        peer, name = self._places[arrival.id]
        inner = file.name.split("/")
        path = [name] if inner == [name] else [name, *inner]
        try:
            inbox = os.open(self.settings.inbox, _FOLDER)
            try:
                tree = Tree(open_folder(peer_folder(peer), inbox))
            finally:
                os.close(inbox)
            try:
                return os.fdopen(tree.open_file(path), "rb")
            finally:
                tree.close()
        except OSError:
            return None


def _known_to(receipt: Receipt) -> Knowledge:
    """At worst who beside the ends could know a key; what is not told counts, and streams that are not listed."""
    told = {grade.knowledge for stream in receipt.streams for grade in stream.grades}
    if not told or receipt.earlier_streams:
        return Knowledge.UNKNOWN
    return next((known for known in reversed(Knowledge) if known in told), Knowledge.UNKNOWN)


def _worst(modes: str) -> Mode:
    """Of the modes that a receipt names ("hybrid and pqc"), the one that protects least."""
    words = modes.split(" and ")
    return next((mode for mode in _WORST_FIRST if mode in words), Mode.PQC)


def _files(path: Path) -> tuple[int, tuple[ArrivedFile, ...]]:
    """How many there are, and the first of them."""
    names = sorted(_walk(path))
    return len(names), tuple(ArrivedFile(n, name, size) for n, (name, size) in enumerate(names[:_FILES]))


def _walk(path: Path) -> Iterator[tuple[str, int]]:
    """Files and sizes; names are paths inside of a folder, or that of the file itself."""
    if not path.is_dir() or path.is_symlink():
        yield path.name, path.lstat().st_size
        return
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder) / name
            try:
                yield file.relative_to(path).as_posix(), file.lstat().st_size
            except OSError:
                continue
