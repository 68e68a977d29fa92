"""A transfer that is under way at its receiver: what is on disk of it, and going on after a crash.

```
state      one JSON object, replaced whole
list-ID    the list, by the first digits of its SHA-256; list-coming before it is there
facts-ID   a record for each entry
partial    the path of the large file that is being received
tree/      what came
```
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from poliqi.apps.share.content import holds
from poliqi.apps.share.facts import RECORD_BYTES, Fact, State
from poliqi.apps.share.kernel import sync_all
from poliqi.apps.share.ledger import Ledger
from poliqi.apps.share.listing import Entry, ListChecker, read_entries
from poliqi.apps.share.messages import Offer, Partial
from poliqi.apps.share.receipt import KeyUse
from poliqi.apps.share.stagedstate import StagedState, read_state
from poliqi.apps.share.tree import Tree
from poliqi.base.errors import ProtocolError, StoreError
from poliqi.edge.durable import replace_file
from poliqi.edge.folder import make_private_folder

__all__ = ["Staged"]

_STREAMS_MOST: Final = 32
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Staged:
    """One at a time for each transfer: the folder is locked. Raises OSError, StoreError where another holds it."""

    def __init__(self, folder: Path, now_ns: int, clock_ns: int) -> None:
        make_private_folder(folder)
        self.folder: Final = folder
        self._lock: Final = os.open(folder, _FOLDER)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StoreError(f"transfer {folder.name} is being received by another process") from error
        state = read_state(folder)
        self.is_new: Final = state is None
        self.state = state or StagedState(now_ns, now_ns - clock_ns, boot_id())
        try:
            make_private_folder(folder / "tree")
            self.tree = self._open_tree()
            self.ledger: Final = Ledger(folder, self.state.list_sha256, self.state.entries)
        except BaseException:
            os.close(self._lock)
            raise

    def recover(self) -> None:
        """After a crash: away with what no list in force speaks of; hash what may not have reached the disk.

        Raises OSError, StoreError, ProtocolError.
        """
        self.ledger.forget_others()
        if not self.state.list_sha256:
            self._empty_tree()
        elif not self.is_moved:
            self.state.placed = None
            # what was written before the machine went down may never have reached the disk; a machine that does not
            # say when it was started may have been started a moment ago
            if not boot_id() or self.state.boot != boot_id():
                self._verify_all()
                self.state.boot = boot_id()
                self.save()

    def _empty_tree(self) -> None:
        self.tree.close()
        shutil.rmtree(self.folder / "tree")
        make_private_folder(self.folder / "tree")
        self.tree = self._open_tree()

    def _open_tree(self) -> Tree:
        return Tree(os.open(self.folder / "tree", _FOLDER))

    def save(self) -> None:
        """Write the state down. Raises StoreError."""
        replace_file(self.folder / "state", msgspec.json.encode(self.state) + b"\n")

    @property
    def root(self) -> Entry:
        """The first entry: what the whole is called, and whether it is a folder."""
        return next(self.ledger.entries())

    @property
    def coming_list(self) -> Path:
        """Where a list is written as it comes."""
        return self.folder / "list-coming"

    def promise(self, offer: Offer) -> None:
        """Count what is offered; while one list replaces another, both are there. The caller saves."""
        state = self.state
        state.coming_bytes = 0
        if offer.list_sha256 != state.list_sha256:
            known = offer.list_bytes + offer.entries * RECORD_BYTES
            state.coming_bytes = known + max(0, offer.size_bytes - state.promised_bytes)

    def take_list(self, offer: Offer) -> None:
        """Check the list that has come in, keep of the old one what still holds. Raises ProtocolError, OSError."""
        path, checker = self.coming_list, ListChecker()
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != offer.list_sha256:
                raise ProtocolError("the list is not the one that was offered: drop the transfer")
            file.seek(0)
            for entry in read_entries(file):
                checker.add(entry)
        t = checker.totals
        if (t.entries, t.files, t.size_bytes) != (offer.entries, offer.files, offer.size_bytes):
            raise ProtocolError("the list does not add up to what was offered: drop the transfer")
        path.rename(self.ledger.place(offer.list_sha256))
        is_first = not self.state.list_sha256
        if not is_first:
            # a crash before the end of this: nothing is believed unhashed
            self.state.boot = ""
            self.save()
        self.ledger.adopt(offer.list_sha256, offer.entries, self._remove)
        if not is_first:
            self._sweep()
        self.state.list_sha256, self.state.entries = offer.list_sha256, offer.entries
        self.state.size_bytes, self.state.list_bytes = offer.size_bytes, offer.list_bytes
        self.state.grown_bytes = self.state.coming_bytes = 0
        self.state.boot = boot_id()
        self.save()
        self.ledger.forget_others()

    def _remove(self, entry: Entry) -> None:
        if not entry.is_folder:
            self.tree.remove(entry.names)
            return
        with suppress(FileNotFoundError, NotADirectoryError):
            parent = self.tree.parent(entry.names)
            shutil.rmtree(entry.names[-1], dir_fd=parent)
            self.tree.close()
            self.tree = self._open_tree()

    def _sweep(self) -> None:
        """Remove files that will come anew: their sizes are those of another list. One that goes on may stay."""
        partial = self.find_partial()
        for index, (entry, fact) in enumerate(zip(self.ledger.entries(), self.ledger.facts, strict=True)):
            is_going_on = index == partial.index and partial.size_bytes <= entry.size_bytes
            if not entry.is_folder and fact.state is not State.DONE and not is_going_on:
                self.tree.remove(entry.names)

    def _verify_all(self) -> None:
        """Hash every file that is said to be done; what does not fit is missing."""
        for index, entry in enumerate(self.ledger.entries()):
            fact = self.ledger.facts.get(index)
            if fact.state is State.DONE and not self._fits(entry, fact):
                self.ledger.facts.put(index, Fact(State.MISSING, size_bytes=fact.size_bytes))
        self.ledger.facts.flush()

    def _fits(self, entry: Entry, fact: Fact) -> bool:
        try:
            handle = self.tree.open_file(entry.names)
        except OSError:
            return False
        try:
            return holds(handle, fact.size_bytes, fact.digest)
        finally:
            os.close(handle)

    @property
    def is_moved(self) -> bool:
        """True where a crash came after what came was moved to its place, and before its receipt."""
        return self.state.placed is not None and not (self.folder / "tree" / self.root.path).exists()

    @property
    def partial_names(self) -> list[str]:
        """The path of the large file that was coming in. Raises OSError."""
        return (self.folder / "partial").read_text().split("/")

    def begin_file(self, path: str) -> None:
        """Note that a large file comes in, so that a crash does not lose what there is of it."""
        (self.folder / "partial").write_text(path)

    def find_partial(self) -> Partial:
        """The large file that was coming in when the last stream broke, and how much of it is there."""
        try:
            names = self.partial_names
            index = next((i for i, entry in enumerate(self.ledger.entries()) if entry.names == names), None)
            if index is None or self.ledger.facts.get(index).state is State.DONE:
                return Partial()
            handle = self.tree.open_file(names)
        except (OSError, ValueError):
            return Partial()
        try:
            return Partial(index, os.fstat(handle).st_size)
        finally:
            os.close(handle)

    def used(self, use: KeyUse, *, is_same_stream: bool) -> None:
        """Take down what the stream has used, for the receipt. Raises StoreError."""
        streams = self.state.streams
        if is_same_stream and streams:
            streams[-1] = use
        else:
            streams.append(use)
        while len(streams) > _STREAMS_MOST:
            self.state.forget(streams.pop(1))
        self.save()

    def sync(self) -> None:
        """Make all that came durable."""
        self.ledger.facts.flush()
        sync_all(self._lock)

    def remove(self) -> None:
        """Forget it: what came is in the inbox, or not wanted."""
        shutil.rmtree(self.folder)

    def close(self) -> None:
        """Let go of it; what came stays."""
        self.ledger.close()
        self.tree.close()
        os.close(self._lock)


def boot_id() -> str:
    """Changes whenever the machine starts; empty where there is none."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
