"""List and facts of one transfer in a folder, at either end: replaced together when the list changes.

`list-ID` and `facts-ID` are named by the list, so that whoever owns the folder switches from one pair to the next
by writing down another SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from poliqi.apps.share.facts import Facts, State
from poliqi.apps.share.listing import Entry, read_entries
from poliqi.apps.share.manifest import carry
from poliqi.base.errors import StoreError

__all__ = ["Ledger"]


class Ledger:
    """Empty until it adopts a list. Raises OSError."""

    def __init__(self, folder: Path, list_sha256: str, entries: int) -> None:
        self._folder: Final = folder
        self.list_sha256 = list_sha256
        self._facts: Facts | None = None
        if list_sha256:
            self._facts = Facts.open(self._facts_path(list_sha256), entries)

    def place(self, list_sha256: str) -> Path:
        """Where the list of that SHA-256 goes."""
        return self._folder / f"list-{list_sha256[:16]}"

    def _facts_path(self, list_sha256: str) -> Path:
        return self._folder / f"facts-{list_sha256[:16]}"

    @property
    def list_path(self) -> Path:
        """The list in force."""
        return self.place(self.list_sha256)

    @property
    def facts(self) -> Facts:
        """The facts in force. Raises ValueError before there is a list."""
        if self._facts is None:
            raise ValueError("there is no list yet")
        return self._facts

    def entries(self) -> Iterator[Entry]:
        """The list in force."""
        with self.list_path.open("rb", buffering=1 << 20) as file:
            yield from read_entries(file)

    def adopt(self, list_sha256: str, entries: int, gone: Callable[[Entry], None] | None = None) -> list[str]:
        """Switch to a list that is in its place, keep what still holds; the files that were there and have changed.

        `gone` as for `carry`. The caller writes the new SHA-256 down, then calls `forget_others`.
        """
        path = self._facts_path(list_sha256)
        with suppress(FileNotFoundError):
            path.unlink()
        fresh, changed = Facts.open(path, entries), list[str]()
        if self._facts is not None:
            changed = carry(self.list_path, self._facts, self.place(list_sha256), fresh, gone)
            self._facts.close()
        self._facts, self.list_sha256 = fresh, list_sha256
        return changed

    def forget_others(self) -> None:
        """Remove lists and facts that are not in force."""
        for stale in [*self._folder.glob("list-*"), *self._folder.glob("facts-*")]:
            if not stale.name.endswith(f"-{self.list_sha256[:16]}"):
                stale.unlink()

    def missing(self) -> tuple[int, int]:
        """Files that are not done, and their bytes as listed."""
        files = size = 0
        for entry, fact in zip(self.entries(), self.facts, strict=True):
            if not entry.is_folder and fact.state is not State.DONE:
                files, size = files + 1, size + entry.size_bytes
        return files, size

    def close(self) -> None:
        """Close the files."""
        if self._facts is not None:
            with suppress(OSError, StoreError):
                self._facts.close()
            self._facts = None
