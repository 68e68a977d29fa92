"""The controller's log on disk: one file of JSON lines a month, appended to and synced, never rewritten.

A line cut short by a crash at the end of the newest file is taken away at the next start. Of the two newest
files is read, at a start, what follows the last record of what stands; all of them stay for reports.
"""

from __future__ import annotations

import os
import re
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError, StoreError
from poliqi.edge.folder import sync_folder

__all__ = ["ControlLog", "read_month"]

_NAME: Final = re.compile(r"city-[0-9]{4}-[0-9]{2}\.log\Z")
_READ: Final = 2
_LARGEST: Final = 1 << 30
_LINE: Final = 1 << 20


class ControlLog:
    """Appends to the file of the month. `folder` is the controller's own; its owner lets one process at it."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._path: Path | None = None
        self._file = -1

    def load(self) -> list[bytes]:
        """The lines of the two newest files, oldest first. Raises StoreError, ConfigError for a file too large."""
        found = self._files()[-_READ:]
        lines: list[bytes] = []
        for path in found:
            lines += self._mend(path) if path is found[-1] else _lines(path)
        return _since_standing(lines)

    def _files(self) -> list[Path]:
        return sorted(p for p in self._folder.iterdir() if _NAME.fullmatch(p.name))

    def _mend(self, path: Path) -> list[bytes]:
        """The whole lines of a file; what a crash cut short is taken away."""
        data = _read(path)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            try:
                os.truncate(path, whole)
            except OSError as error:
                raise StoreError(f"{path}: cannot be mended: {error.strerror}") from error
        return data[:whole].splitlines()

    def append(self, lines: list[bytes], wall_ns: int) -> None:
        """Write lines, durably. Raises StoreError; the log must not be used after that."""
        name = datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).strftime("city-%Y-%m.log")
        data = b"".join(line + b"\n" for line in lines)
        if any(len(line) > _LINE or b"\n" in line for line in lines):
            raise StoreError(f"{name}: a record over {_LINE} bytes, or of two lines")
        try:
            self._open(self._folder / name)
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fdatasync(self._file)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written: {error.strerror}; see to the disk") from error

    def _open(self, path: Path) -> None:
        if self._path == path:
            return
        latest = self._files()[-1:]
        if latest and latest[0] > path:
            path = latest[0]  # a clock set back: go on where the log is
        if self._path == path:
            return
        self.close()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._path = path
        sync_folder(self._folder)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._path = -1, None


def _since_standing(lines: list[bytes]) -> list[bytes]:
    """From the last line on after which all that stands was written anew (control.records); else all."""
    for number in range(len(lines) - 1, -1, -1):
        if b'"type":"standing"' in lines[number][:80]:
            return lines[number:]
    return lines


def read_month(folder: Path, month: str) -> list[bytes]:
    """The whole lines of a month ("2026-11"), empty where nothing was written. Raises StoreError, ConfigError."""
    path = folder / f"city-{month}.log"
    if not _NAME.fullmatch(path.name):
        raise ConfigError(f"month {month[:20]!r}: write it as 2026-11")
    return _lines(path) if path.exists() else []


def _lines(path: Path) -> list[bytes]:
    data = _read(path)
    return data[: data.rfind(b"\n") + 1].splitlines()


def _read(path: Path) -> bytes:
    try:
        with closing(path.open("rb")) as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise ConfigError(f"{path}: over {_LARGEST} bytes; move it away, the controller starts with the plan alone")
    return data
