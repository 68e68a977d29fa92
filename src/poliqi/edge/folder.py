"""Private folders: made, checked, locked by one process, made durable."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from poliqi.base.errors import StoreError

__all__ = ["check_private", "lock_folder", "make_private_folder", "sync_folder"]


def make_private_folder(folder: Path) -> None:
    """Make it with its parents, for this user alone. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def check_private(place: Path) -> None:
    """Raises StoreError where a file or folder is open to others, not ours, or not there."""
    try:
        state = place.stat()
    except OSError as error:
        raise StoreError(f"{place} cannot be looked at: {error.strerror}") from error
    if state.st_mode & 0o077 or state.st_uid != os.geteuid():
        mode = "700" if place.is_dir() else "600"
        raise StoreError(f"{place} is open to others or not yours; run: chmod {mode} {place}")


def lock_folder(folder: Path, remedy: str) -> int:
    """Hold the folder for this process, until the handle that is returned is closed. Raises StoreError.

    The lock is taken on the folder itself, so there is no lock file that someone could tidy away.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{folder} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError(f"{folder} is in use by another process: {remedy}") from error
    return handle


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
