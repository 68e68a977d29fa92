"""Which process runs on a folder, and how to send it a signal without ever hitting another one.

The running process holds a record lock on `running`; the kernel tells whose it is and forgets it with the process,
so there is no number in a file that could be stale.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError, StoreError

__all__ = ["LOCK_NAME", "mark_running", "running_pid", "signal_running"]

LOCK_NAME: Final = "running"
_FLOCK: Final = struct.Struct("hhqqi4x")
"""struct flock of Linux on 64 bits: type, whence, start, length, pid."""


@contextmanager
def mark_running(folder: Path) -> Generator[None]:
    """Say that this process runs on `folder`, until the block ends. Raises StoreError where another one does.

    Nothing else in this process may open the file meanwhile: closing it would drop the lock.
    """
    try:
        handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(f"{folder / LOCK_NAME} cannot be made: {error.strerror}") from error
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(f"a process runs on {folder} already: stop it first") from error
        yield
    finally:
        os.close(handle)


def running_pid(folder: Path) -> int | None:
    """The process that runs on `folder`, None where none does. Raises ConfigError where it cannot be told."""
    try:
        handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{folder / LOCK_NAME}: {error.strerror}; run this as its own user") from error
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(handle, fcntl.F_GETLK, asked))
    finally:
        os.close(handle)
    if kind == fcntl.F_UNLCK:
        return None
    if pid <= 0:
        raise ConfigError(
            f"{folder}: its site runs in another container or on another machine; give the order there"
        )
    return pid


def signal_running(folder: Path, number: signal.Signals, start: str = "poliqi site run") -> int:
    """Send a signal to the process that runs on `folder`; its pid. Raises ConfigError where none does."""
    pid = running_pid(folder)
    if pid is None:
        raise ConfigError(f"nothing runs on {folder}: start it with `{start}`")
    try:
        handle = os.pidfd_open(pid)
        try:
            if running_pid(folder) != pid:  # it ended meanwhile, and its number may be another's
                raise ProcessLookupError
            signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)
    except ProcessLookupError:
        raise ConfigError(f"the process on {folder} has just stopped") from None
    except PermissionError as error:
        raise ConfigError(f"process {pid}: {error.strerror}; run this as its own user") from error
    return pid
