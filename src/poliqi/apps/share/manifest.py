"""The manifest of a transfer: what was delivered, one line for each folder and file; its SHA-256 is in the receipt.

```
d - - - reports
f 1048576 1763883000000000000 9f86d081…0f00a08 reports/march.pdf
```
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poliqi.apps.share.facts import Fact, Facts, State
from poliqi.apps.share.listing import Entry, path_order, read_entries

__all__ = ["Manifest", "carry", "close_manifest", "manifest_line"]

_BUFFER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """SHA-256 over all lines, and what they add up to; `missing` files are neither done nor left out."""

    digest: str
    files: int
    folders: int
    size_bytes: int
    left_out: int
    missing: int


def manifest_line(entry: Entry, fact: Fact) -> bytes:
    """The line of an entry that was delivered."""
    if entry.is_folder:
        return f"d - - - {entry.path}\n".encode()
    return f"{fact.kind} {fact.size_bytes} {fact.mtime_ns} {fact.digest.hex()} {entry.path}\n".encode()


def close_manifest(list_path: Path, facts: Facts, out: Callable[[bytes], object] | None = None) -> Manifest:
    """Go through list and facts once. `out` gets the lines, some at a time. Raises OSError, ProtocolError."""
    digest, lines, waiting = hashlib.sha256(), list[bytes](), 0
    files = folders = size = left_out = missing = 0

    def drain() -> None:
        data = b"".join(lines)
        lines.clear()
        digest.update(data)
        if out is not None:
            out(data)

    with list_path.open("rb", buffering=_BUFFER) as file:
        for entry, fact in zip(read_entries(file), facts, strict=True):
            if entry.is_folder:
                folders += 1
            elif fact.state is State.DONE:
                files, size = files + 1, size + fact.size_bytes
            elif fact.state is State.LEFT_OUT:
                left_out += 1
                continue
            else:
                missing += 1
                continue
            lines.append(manifest_line(entry, fact))
            waiting += 1
            if waiting % 4096 == 0:
                drain()
    drain()
    return Manifest(digest.hexdigest(), files, folders, size, left_out, missing)


def carry(
    old_list: Path, old: Facts, new_list: Path, new: Facts, gone: Callable[[Entry], None] | None = None
) -> list[str]:
    """Carry over from an old list to a new one what is still the same; the first 20 paths of files that are not.

    `gone` gets each entry of the old list that the new one has not, or has as another kind of thing: children first
    of all that stand in a row. Raises OSError, ProtocolError.
    """
    changed: list[str] = []
    with old_list.open("rb", buffering=_BUFFER) as old_file, new_list.open("rb", buffering=_BUFFER) as new_file:
        known = zip(read_entries(old_file), old, strict=True)
        before = next(known, None)
        for index, entry in enumerate(read_entries(new_file)):
            place = path_order(entry.path)
            while before is not None and path_order(before[0].path) < place:
                _tell(gone, before[0])
                before = next(known, None)
            if before is None or before[0].path != entry.path:
                continue
            if before[0].is_folder != entry.is_folder:
                _tell(gone, before[0])
            elif not entry.is_folder and before[1].state is State.DONE:
                if _is_same(entry, before[1]):
                    new.put(index, before[1])
                elif len(changed) < 20:
                    changed.append(entry.path)
            before = next(known, None)
        while before is not None:
            _tell(gone, before[0])
            before = next(known, None)
    new.flush()
    return changed


def _tell(gone: Callable[[Entry], None] | None, entry: Entry) -> None:
    if gone is not None:
        gone(entry)


def _is_same(entry: Entry, fact: Fact) -> bool:
    return (entry.kind, entry.size_bytes, entry.mtime_ns) == (fact.kind, fact.size_bytes, fact.mtime_ns)
