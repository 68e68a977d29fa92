"""Large files that are there whole or not at all: made under a hidden name beside, renamed once all is on disk."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, Final

from poliqi.base.errors import ConfigError, StoreError

__all__ = ["check_target", "whole_file"]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Generator[BinaryIO]:
    """A new file to write, readable by its owner alone; it gets the name `path` where the body ends without an
    error.

    Raises ConfigError where `path` exists and `overwrite` is not set, StoreError where the disk does not take it.
    """
    check_target(path, overwrite=overwrite)
    try:
        with _beside(path) as (partial, file):
            yield file
            file.flush()
            os.fsync(file.fileno())
            check_target(path, overwrite=overwrite)
            partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        remedy = "make room, or name" if error.errno in _FULL else "name"
        raise StoreError(f"{path} cannot be written: {error.strerror or error}; {remedy} another place") from error


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a name that is taken, unless it may be replaced, and a folder that takes no file (ConfigError)."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is not a regular file; name a file that is still to be made")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists already; name another file, or allow it to be replaced (--force)")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{path} cannot be written: its folder {path.parent} is not there, or takes no files; make it, or name "
            "another place"
        )


@contextlib.contextmanager
def _beside(path: Path) -> Generator[tuple[Path, BinaryIO]]:
    """A private new file in the same folder; removed if it still has its own name at the end."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield partial, file
    finally:
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
