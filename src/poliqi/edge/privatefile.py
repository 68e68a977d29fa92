"""Small files that their owner alone can read: identities, pads, keys of a state folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError, StoreError

__all__ = ["read_private", "write_private"]

_LONGEST: Final = 4 << 20


def write_private(path: Path, data: bytes, what: str) -> None:
    """Write a new file that its owner alone can read; never over another one. Raises ConfigError, StoreError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"{what} {path} exists already and is never overwritten; name another file") from error
    except OSError as error:
        raise StoreError(f"{what} {path}: cannot be made: {error.strerror}; name another file") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StoreError(f"{what} {path}: cannot be written: {error.strerror}; free space and try again") from error


def read_private(path: Path, what: str, longest: int = _LONGEST) -> tuple[bytes, bool]:
    """A small file's bytes, and whether others than its owner can read it. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode) or state.st_size > longest:
                raise ConfigError(f"{what} {path} is no plain file of at most {longest} bytes; name the right one")
            return file.read(longest + 1), bool(state.st_mode & 0o077)
    except OSError as error:
        raise ConfigError(f"{what} {path}: cannot be read: {error.strerror}") from error
