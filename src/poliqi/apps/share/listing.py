"""The list of a transfer: one line for each folder and file, in the order of their paths (docs/spec/transfer.md).

```
d - - reports
f 1048576 1763883000000000000 reports/march.pdf
x 812 1763883000000000000 reports/rebuild.sh
```

It lives on disk at both ends, so that a million files take no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from poliqi.apps.share.names import DEPTH_MOST, PATH_BYTES, name_problem
from poliqi.base.errors import ProtocolError

__all__ = ["LINE_BYTES", "Entry", "ListChecker", "Totals", "path_order", "read_entries"]

LINE_BYTES: Final = PATH_BYTES + 64
"""The most bytes in one line, its end included."""
_SIZE_MOST: Final = 1 << 62
_KINDS: Final = ("d", "f", "x")


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder ("d"), a file ("f") or an executable file ("x"); `path` goes from the root of the transfer."""

    kind: str
    size_bytes: int
    mtime_ns: int
    path: str

    @property
    def is_folder(self) -> bool:
        """True for a folder."""
        return self.kind == "d"

    @property
    def names(self) -> list[str]:
        """The path in its parts."""
        return self.path.split("/")

    def line(self) -> bytes:
        """Its line, with the end."""
        if self.kind == "d":
            return f"d - - {self.path}\n".encode()
        return f"{self.kind} {self.size_bytes} {self.mtime_ns} {self.path}\n".encode()

    @classmethod
    def read(cls, line: bytes) -> Entry:
        """Read a line without its end; the path's names are not judged here. Raises ProtocolError."""
        try:
            kind, size, mtime, path = line.decode().split(" ", 3)
            if kind == "d" and size == mtime == "-":
                return cls("d", 0, 0, path)
            entry = cls(kind, int(size), int(mtime), path)
        except ValueError:
            raise ProtocolError(f"a line of the list ({line[:80]!r}) is none: drop the transfer") from None
        # the line that this entry would have is the one that came: no second spelling of a number is taken
        if kind not in _KINDS[1:] or not 0 <= entry.size_bytes < _SIZE_MOST or entry.line() != line + b"\n":
            raise ProtocolError(f"a line of the list ({line[:80]!r}) is not in its form: drop the transfer")
        return entry


def path_order(path: str) -> bytes:
    """Paths sort by this: a folder stands right before all that is in it."""
    return path.encode().replace(b"/", b"\x00")


@dataclass(slots=True)
class Totals:
    """What a list adds up to."""

    entries: int = 0
    files: int = 0
    size_bytes: int = 0

    def add(self, entry: Entry) -> None:
        """Count one more."""
        self.entries += 1
        if not entry.is_folder:
            self.files += 1
            self.size_bytes += entry.size_bytes


class ListChecker:
    """Takes entries in their order and refuses what is no tree: one root, each folder before what it holds, no name
    twice. Memory is that of one path.
    """

    def __init__(self) -> None:
        self.totals: Final = Totals()
        self._last: list[str] = []
        self._is_last_folder = True

    def add(self, entry: Entry) -> None:
        """Raises ProtocolError."""
        names, last = entry.names, self._last
        depth = len(names)
        if len(entry.path) > PATH_BYTES or depth > DEPTH_MOST or len(entry.path.encode()) > PATH_BYTES:
            raise ProtocolError(f"a path of {depth} names and {len(entry.path)} characters is too long")
        problem = name_problem(names[-1])
        if problem is not None:
            raise ProtocolError(f"a name in the list ({names[-1][:80]!r}) {problem}: drop the transfer")
        if not self._follows(names, last):
            raise ProtocolError(
                f"the list is no tree in order: {entry.path[:80]!r} after {'/'.join(last)[:80]!r}: drop it"
            )
        self._last, self._is_last_folder = names, entry.is_folder
        self.totals.add(entry)

    def _follows(self, names: list[str], last: list[str]) -> bool:
        """A child of the last folder, or a later sibling of the last entry or of one of the folders it is in."""
        depth = len(names)
        if depth == len(last) + 1:
            return self._is_last_folder and names[:-1] == last
        if not 1 < depth <= len(last):
            return False
        return names[:-1] == last[: depth - 1] and names[-1].encode() > last[depth - 1].encode()


def read_entries(file: BinaryIO) -> Iterator[Entry]:
    """The entries of a list file, opened to read bytes. Raises ProtocolError."""
    while line := file.readline(LINE_BYTES + 1):
        if not line.endswith(b"\n"):
            raise ProtocolError(f"a line of the list ({line[:80]!r}) has no end, or is too long: drop the transfer")
        yield Entry.read(line[:-1])
