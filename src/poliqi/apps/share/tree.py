"""Files below one open folder, reached name by name: no symlink is followed, whoever swaps what meanwhile.

A folder that was opened stays the one that was opened, so what is renamed or replaced beside it changes nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import Final

__all__ = ["Tree", "open_folder"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_STANDING: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_folder(name: str, inside: int) -> int:
    """A handle of the folder `name` in the folder `inside`. Raises OSError, also for a symlink."""
    return os.open(name, _FOLDER, dir_fd=inside)


class Tree:
    """Paths are sequences of names; every call raises OSError. One thread; the handle given is closed with it."""

    def __init__(self, root: int) -> None:
        self._root: Final = root
        self._names: list[str] = []
        self._handles: list[int] = []

    def parent(self, path: Sequence[str]) -> int:
        """The open folder that holds the last name of `path`; the way there is kept open for the next call."""
        folders = path[:-1]
        same = 0
        for mine, wanted in zip(self._names, folders, strict=False):
            if mine != wanted:
                break
            same += 1
        self._leave(same)
        for name in folders[same:]:
            handle = open_folder(name, self._handles[-1] if self._handles else self._root)
            self._names.append(name)
            self._handles.append(handle)
        return self._handles[-1] if self._handles else self._root

    def _leave(self, keep: int) -> None:
        while len(self._handles) > keep:
            os.close(self._handles.pop())
            self._names.pop()

    def open_file(self, path: Sequence[str]) -> int:
        """A regular file, to read."""
        return _regular(os.open(path[-1], _READ, dir_fd=self.parent(path)), path)

    def open_standing(self, path: Sequence[str]) -> int:
        """A regular file that is there, to read and write."""
        return _regular(os.open(path[-1], _STANDING, dir_fd=self.parent(path)), path)

    def new_file(self, path: Sequence[str], mode: int) -> int:
        """A new regular file; what stood under its name, but for a folder, is taken away."""
        parent = self.parent(path)
        try:
            return os.open(path[-1], _NEW, mode, dir_fd=parent)
        except FileExistsError:
            os.unlink(path[-1], dir_fd=parent)
            return os.open(path[-1], _NEW, mode, dir_fd=parent)

    def make_folder(self, path: Sequence[str]) -> None:
        """A folder, if it is not there."""
        parent = self.parent(path)
        try:
            os.mkdir(path[-1], 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(path[-1], dir_fd=parent, follow_symlinks=False).st_mode):
                os.unlink(path[-1], dir_fd=parent)
                os.mkdir(path[-1], 0o700, dir_fd=parent)

    def remove(self, path: Sequence[str]) -> None:
        """Take a file away, or an empty folder; nothing there is fine, and a folder that is not empty stays."""
        try:
            parent = self.parent(path)
            try:
                os.unlink(path[-1], dir_fd=parent)
            except (IsADirectoryError, PermissionError):
                self._leave(len(path) - 1)
                os.rmdir(path[-1], dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def close(self) -> None:
        """Close every handle."""
        self._leave(0)
        os.close(self._root)


def _regular(handle: int, path: Sequence[str]) -> int:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "is no regular file", path[-1])
    return handle
