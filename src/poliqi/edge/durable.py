"""Small files written whole: new ones that never stand in another's place, and ones replaced at once."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from poliqi.base.errors import ConfigError, StoreError
from poliqi.edge.folder import sync_folder

__all__ = ["replace_file", "write_new"]


def write_new(path: Path, data: bytes, mode: int) -> None:
    """A file that did not stand, durable. Raises ConfigError where one stands, StoreError where the disk fails."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except FileExistsError as error:
        raise ConfigError(f"{path}: stands already and is never overwritten") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be made: {error.strerror}") from error
    _fill(file, path, data)
    sync_folder(path.parent)


def replace_file(path: Path, data: bytes) -> None:
    """A file's content, all of it or what stood before. Raises StoreError."""
    draft = path.with_name(f".{path.name}.new")
    try:
        with suppress(FileNotFoundError):
            draft.unlink()
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        _fill(file, draft, data)
        draft.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
    sync_folder(path.parent)


def _fill(file: int, path: Path, data: bytes) -> None:
    try:
        with os.fdopen(file, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
