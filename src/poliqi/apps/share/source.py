"""What is to be sent: files and folders of this machine, walked in the order of the list, opened without a symlink.

Symlinks, sockets, pipes and devices below a folder are left where they are, with a note. A name that no receiver
takes is refused before anything is sent.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from poliqi.apps.share.listing import Entry, Totals
from poliqi.apps.share.messages import ENTRIES_MOST, LIST_BYTES_MOST
from poliqi.apps.share.names import DEPTH_MOST, NAME_BYTES, PATH_BYTES, name_problem
from poliqi.apps.share.tree import Tree, open_folder
from poliqi.base.errors import ConfigError, DataRefused

__all__ = ["Source"]

_NOTED: Final = 20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Source:
    """One file, one folder, or several under a folder named after the first, such as "scan.dcm +2"."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Raises ConfigError where a path cannot be sent at all."""
        if not paths:
            raise ConfigError("nothing to send: name a file or a folder")
        self._paths: Final = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100  # resolve() follows links
        self._names: Final = [_checked(path) for path in self._paths]
        if len(set(self._names)) < len(self._names):
            twice = next(name for name in self._names if self._names.count(name) > 1)
            raise ConfigError(f"{twice!r} is named twice: send things of one name one after the other")
        tail = f" +{len(paths) - 1}" if len(paths) > 1 else ""
        head = self._names[0].encode()[: NAME_BYTES - len(tail)].decode(errors="ignore")
        self.name: Final = head + tail
        """What it is called at the receiver."""
        self._trees: dict[str, Tree] = {}
        self.skipped: list[str] = []
        """What is no file and no folder: the first 20 paths."""
        self.skipped_count = 0

    @property
    def key(self) -> str:
        """Tells this source from others, on this machine."""
        return "\n".join(str(path) for path in sorted(self._paths))

    def write_list(self, out: Callable[[bytes], object], tell: Callable[[int], None] | None = None) -> Totals:
        """Walk it and write a line for each entry. Raises DataRefused, and OSError where `out` does.

        Memory: the names of the folders that the walk is in, about 60 bytes each.
        """
        totals, lines, size = Totals(), list[bytes](), 0
        self.skipped, self.skipped_count = [], 0
        for entry in self._entries():
            line = entry.line()
            totals.add(entry)
            size += len(line)
            lines.append(line)
            if len(lines) == 4096:
                out(b"".join(lines))
                lines.clear()
                if tell is not None:
                    tell(totals.entries)
            if totals.entries > ENTRIES_MOST or size > LIST_BYTES_MOST:
                raise DataRefused(
                    f"{self.name}: more than {ENTRIES_MOST:,} files and folders, or "
                    f"{LIST_BYTES_MOST:,} bytes of paths; send it in parts"
                )
        out(b"".join(lines))
        return totals

    def open(self, names: Sequence[str]) -> int:
        """A handle to read a file of the list. Raises OSError."""
        tree, inner = self._place(names)
        return tree.open_file(inner)

    def close(self) -> None:
        """Close what is open."""
        for tree in self._trees.values():
            tree.close()
        self._trees = {}

    def _place(self, names: Sequence[str]) -> tuple[Tree, Sequence[str]]:
        inner = names if len(self._paths) == 1 else names[1:]
        path = self._paths[self._names.index(inner[0])]
        tree = self._trees.get(inner[0])
        if tree is None:
            tree = self._trees[inner[0]] = Tree(os.open(path.parent, _FOLDER))
        return tree, inner

    def _entries(self) -> Iterator[Entry]:
        if len(self._paths) == 1:
            yield from self._below(self._paths[0], "")
            return
        yield Entry("d", 0, 0, self.name)
        for _, path in sorted((name.encode(), path) for name, path in zip(self._names, self._paths, strict=True)):
            yield from self._below(path, self.name + "/")

    def _below(self, path: Path, prefix: str) -> Iterator[Entry]:
        """`path` and all that is in it; folders are held open, so that nobody can lead the walk astray."""
        root = os.open(path.parent, _FOLDER)
        waiting: list[tuple[int, str, list[bytes]]] = [(root, prefix, [os.fsencode(path.name)])]
        try:
            while waiting:
                folder, above, names = waiting[-1]
                if not names:
                    os.close(waiting.pop()[0])
                    continue
                name = os.fsdecode(names.pop())
                entry = self._entry(folder, above, name)
                if entry is None:
                    continue
                yield entry
                if entry.is_folder:
                    inside = open_folder(name, folder)
                    waiting.append((inside, entry.path + "/", []))
                    self._fill(waiting[-1][2], inside, entry.path)
        except OSError as error:
            raise DataRefused(f"{path}: {error.filename or ''}: {error.strerror}: nothing was sent") from error
        finally:
            for folder, _, _ in waiting:
                os.close(folder)

    def _fill(self, names: list[bytes], folder: int, path: str) -> None:
        """The names in a folder, last first: they are taken from the end."""
        for name in os.listdir(folder):
            problem = name_problem(name)
            if problem is not None:
                raise DataRefused(f"in {path!r}: {name!r} {problem}: rename it, nothing was sent")
            names.append(os.fsencode(name))
        names.sort(reverse=True)

    def _entry(self, folder: int, above: str, name: str) -> Entry | None:
        path = above + name
        if path.count("/") >= DEPTH_MOST or len(path.encode()) > PATH_BYTES:
            raise DataRefused(f"{path[:200]!r}: deeper than {DEPTH_MOST} folders or longer than {PATH_BYTES} bytes")
        try:
            state = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None  # gone since its folder was read
        if stat.S_ISDIR(state.st_mode):
            return Entry("d", 0, 0, path)
        if stat.S_ISREG(state.st_mode):
            return Entry("x" if state.st_mode & 0o100 else "f", state.st_size, state.st_mtime_ns, path)
        self.skipped_count += 1
        if len(self.skipped) < _NOTED:
            self.skipped.append(path)
        return None


def _checked(path: Path) -> str:
    problem = name_problem(path.name)
    if problem is not None:
        raise ConfigError(f"{str(path)!r} {problem}; it cannot be sent under that name")
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a file or a folder") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        what = "a symlink: name what it points to" if stat.S_ISLNK(mode) else "neither a file nor a folder"
        raise ConfigError(f"{path} is {what}")
    return path.name
