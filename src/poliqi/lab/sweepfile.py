"""The file that a sweep goes on from: a first line that says which sweep it is, then one line of JSON a result.

Lines are appended as results come, each on disk before the next. A last line that was torn by a crash is cut off;
any other damage is refused. One process at a time writes. What stands in it is believed: a file that others can
write is refused.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
from blake3 import blake3

from poliqi.base.errors import ConfigError, DataRefused, StoreError, words_of

__all__ = ["Line", "SweepFile", "key_of"]

_FORMAT: Final = "poliqi-sweep-1"
_MOST_BYTES: Final = 512 << 20
_OTHERS_WRITE: Final = 0o022


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which sweep it is: results of another task are not this one's."""

    task: str
    """BLAKE3 of what decides the results beside the input."""
    format: str = _FORMAT


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The outcome of one input: its result as JSON, or why there is none."""

    key: str
    result: msgspec.Raw = msgspec.Raw()
    failed: str = ""


def key_of(value: Any) -> str:
    """What an input is known by: BLAKE3 of its JSON, 32 digits. Raises TypeError for what cannot be written so."""
    return blake3(msgspec.json.encode(value, order="sorted")).hexdigest()[:32]


class SweepFile:
    """Open it, read `lines`, `append` to it, close it. Raises ConfigError where it is in use or others can write
    it, DataRefused where it is of another sweep or damaged, StoreError where the disk fails.
    """

    def __init__(self, path: Path, task: Mapping[str, Any]) -> None:
        self._path: Final = path
        self.rows: Final = dict[str, int]()
        """Where the line of each key stands, from 1."""
        try:
            self._file: Final = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"--resume {path} cannot be opened: {error.strerror}; name another file") from error
        try:
            self.lines: Final = self._begin(key_of(task))
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> SweepFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def no_outcome(self, row: int, why: str) -> DataRefused:
        """The refusal of one line."""
        return DataRefused(
            f"--resume {self._path}: row {row} is no outcome ({why}); remove that row, or name another file"
        )

    def append(self, line: Line) -> None:
        """One more outcome, on disk when this returns. Raises StoreError."""
        self._write(msgspec.json.encode(line))

    def _begin(self, task: str) -> dict[str, Line]:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"--resume {self._path} is in use by another sweep; wait for it or name another file"
            ) from error
        size = self._own_size()
        if size > _MOST_BYTES:
            raise DataRefused(
                f"--resume {self._path}: {size} bytes, must be at most {_MOST_BYTES}; name another file"
            )
        head = msgspec.json.encode(_Head(task))
        whole, newline, torn = os.pread(self._file, size, 0).rpartition(b"\n")
        if not newline and not head.startswith(torn):
            raise DataRefused(f"--resume {self._path} is no file of a sweep; name another, or a new one")
        lines = self._read(whole.split(b"\n"), task) if newline else {}
        os.ftruncate(self._file, size - len(torn))
        if not newline:
            self._write(head)
        return lines

    def _own_size(self) -> int:
        """Bytes of a regular file that this user alone writes. Raises ConfigError for any other."""
        state = os.fstat(self._file)
        if not stat.S_ISREG(state.st_mode):
            raise ConfigError(f"--resume {self._path} is no regular file; name another, or a new one")
        if state.st_uid != os.geteuid() or state.st_mode & _OTHERS_WRITE:
            raise ConfigError(
                f"--resume {self._path}: another user owns it or can write it (mode "
                f"{stat.S_IMODE(state.st_mode):o}), and its results would be believed; name a new file, or, where "
                "you trust its lines, copy it to one of your own (chmod 600)"
            )
        return state.st_size

    def _read(self, rows: list[bytes], task: str) -> dict[str, Line]:
        try:
            head = msgspec.json.decode(rows[0], type=_Head)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataRefused(
                f"--resume {self._path}: row 1 is no head of a sweep ({words_of(error)}); name another file"
            ) from error
        if head.format != _FORMAT:
            raise DataRefused(
                f"--resume {self._path}: its format is {head.format!a:.40}, must be {_FORMAT!r}; name another file"
            )
        if head.task != task:
            raise DataRefused(
                f"--resume {self._path} is of a sweep with other settings, or of another version; give those, or "
                "name another file"
            )
        read = msgspec.json.Decoder(Line)
        found: dict[str, Line] = {}
        for number, row in enumerate(rows[1:], 2):
            try:
                line = read.decode(row)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise self.no_outcome(number, words_of(error)) from error
            found[line.key] = line
            self.rows[line.key] = number
        return found

    def _write(self, row: bytes) -> None:
        try:
            short = len(row) + 1 - os.write(self._file, row + b"\n")
            os.fsync(self._file)
        except OSError as error:
            raise StoreError(
                f"--resume {self._path} cannot be written: {error.strerror}; make room and run again"
            ) from error
        if short:
            raise StoreError(f"--resume {self._path} cannot be written: the disk is full; make room and run again")
