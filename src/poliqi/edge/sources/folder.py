"""A folder into which a device drops finished keys as files: `NAME.key` holds the key's bytes, and nothing else.

A file counts once it has that name: write it under another one and rename it. It is deleted once both ends have
stored its key. What is no plain file of the right size stays where it lies, and is told once.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError, LinkDown
from poliqi.base.secret import SecretBytes
from poliqi.link.keydevice import MOST_KEY_BYTES, DeviceKey

__all__ = ["FolderDevice", "Options", "open_device"]

_SUFFIX: Final = ".key"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_LOOK_S: Final = 0.1
_MOST_TOLD: Final = 1000


class Options(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The settings."""

    folder: Path


def open_device(options: Options) -> FolderDevice:
    """The folder, which must stand. Raises ConfigError."""
    return FolderDevice(options.folder)


class FolderDevice:
    """One end's folder of key files; no other user may write into it or read it."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._given: Final[dict[str, tuple[int, int]]] = {}
        """Names that were given, each with the device and inode of the file that was read."""
        self._refused: Final[dict[str, str]] = {}
        self._closed: Final = threading.Event()
        try:
            self._handle: Final = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"folder {folder}: {error.strerror}; make it, and name it") from None
        if os.fstat(self._handle).st_mode & 0o007:
            os.close(self._handle)
            raise ConfigError(f"folder {folder} is open to others, and keys lie in it; run: chmod o= {folder}")

    @property
    def description(self) -> str:
        """What it is, and how much lies there that is no key."""
        left = f"; {len(self._refused)} files in it are no keys" if self._refused else ""
        why = f" ({next(reversed(self._refused.values()))})" if self._refused else ""
        return f"key files in {self._folder}{left}{why}"

    def fresh(self, most: int, timeout_s: float) -> list[DeviceKey]:
        """Keys of files that were not given before, oldest first."""
        until = time.monotonic() + timeout_s
        while True:
            found = self._take([name for name in self._names() if name not in self._given], most)
            if found or not self._wait(until):
                return found

    def named(self, names: Sequence[str], timeout_s: float) -> list[DeviceKey | None]:
        """Keys of these files, once they are there."""
        until = time.monotonic() + timeout_s
        found: dict[str, DeviceKey] = {}
        while True:
            wanted = [name for name in names if name not in found and _NAME.fullmatch(name)]
            found |= {key.name: key for key in self._take(wanted, len(wanted))}
            if len(found) == len(set(names)) or not self._wait(until):
                return [found.get(name) for name in names]

    def settled(self, names: Sequence[str]) -> None:
        """Overwrite and delete these files. What cannot be deleted is told of, and not given again."""
        for name in names:
            if _NAME.fullmatch(name):
                read = self._given.pop(name, None)
                try:
                    self._wipe(name + _SUFFIX, read)
                    os.unlink(name + _SUFFIX, dir_fd=self._handle)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    self._refuse(name, f"its key is stored, and it cannot be deleted: {error.strerror}")

    def close(self) -> None:
        """Ends whatever waits."""
        self._closed.set()

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):
            os.close(self._handle)

    def _wait(self, until: float) -> bool:
        left = until - time.monotonic()
        if left > 0:
            self._closed.wait(min(left, _LOOK_S))
        self._check()
        return left > 0

    def _check(self) -> None:
        if self._closed.is_set():
            raise LinkDown(f"folder {self._folder} was let go")

    def _names(self) -> list[str]:
        """Names of complete files, in the order of their times."""
        self._check()
        found: list[tuple[int, str]] = []
        try:
            with os.scandir(self._handle) as entries:
                for entry in entries:
                    name = entry.name.removesuffix(_SUFFIX)
                    if name != entry.name and name not in self._refused:
                        if _NAME.fullmatch(name):
                            with suppress(FileNotFoundError):
                                found.append((entry.stat(follow_symlinks=False).st_mtime_ns, name))
                        else:
                            self._refuse(name, "its name is not 1 to 120 of A-Z a-z 0-9 . _ -")
        except OSError as error:
            raise LinkDown(f"folder {self._folder} cannot be read: {error.strerror}") from error
        return [name for _, name in sorted(found)]

    def _take(self, names: Sequence[str], most: int) -> list[DeviceKey]:
        taken: list[DeviceKey] = []
        for name in names:
            if len(taken) == most:
                break
            key = self._read(name)
            if key is not None:
                taken.append(key)
        return taken

    def _read(self, name: str) -> DeviceKey | None:
        self._check()
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # no link, and no wait for a pipe
            handle = os.open(name + _SUFFIX, flags, dir_fd=self._handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._refuse(name, f"it cannot be opened: {error.strerror}")
        try:
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode) or before.st_nlink != 1:
                return self._refuse(name, "it is no plain file of one name")
            if not 0 < before.st_size <= MOST_KEY_BYTES:
                return self._refuse(name, f"it has {before.st_size} bytes, 1 to {MOST_KEY_BYTES} are taken")
            data = os.pread(handle, MOST_KEY_BYTES + 1, 0)
            after = os.fstat(handle)
        except OSError as error:
            raise LinkDown(f"folder {self._folder}: {name}{_SUFFIX} cannot be read: {error.strerror}") from error
        finally:
            os.close(handle)
        if len(data) != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
            return self._refuse(name, "it was written to after it had its name: rename it when it is complete")
        self._given[name] = before.st_dev, before.st_ino
        return DeviceKey(name, SecretBytes(data))

    def _refuse(self, name: str, why: str) -> None:
        if len(self._refused) < _MOST_TOLD:
            shown = "".join(c if c.isprintable() else "?" for c in name[:40])
            self._refused[name] = f"{shown}{_SUFFIX}: {why}"

    def _wipe(self, file_name: str, read: tuple[int, int] | None) -> None:
        """Overwrite the file that was read; one of an earlier life, if it is plain. Whatever else has the name by
        now, a link or a pipe, is not written to.
        """
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            handle = os.open(file_name, flags, dir_fd=self._handle)
        except OSError:
            return  # no plain file that may be written to: its name goes all the same
        try:
            found = os.fstat(handle)
            is_plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
            if is_plain and read in (None, (found.st_dev, found.st_ino)):
                os.pwrite(handle, bytes(min(found.st_size, MOST_KEY_BYTES)), 0)
                os.fsync(handle)
        finally:
            os.close(handle)
