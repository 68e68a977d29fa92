"""A file that has content only while it is read: a FIFO, served from memory.

A program that takes secrets from a file alone gets them through the kernel; no disk and no memory file system ever
holds them.
"""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError, LinkDown

__all__ = ["SecretFifo"]

_MODE: Final = 0o600
_TRIES: Final = 20
_TRY_S: Final = 0.05
_MOST_BYTES: Final = 4096  # a pipe takes as much at once (POSIX, PIPE_BUF on Linux)


class SecretFifo:
    """Serves its content to each reader of `path` (mode 600) anew. One thread; calls from any."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._content: bytearray = bytearray()
        self._changed: Final = threading.Condition()
        self._count = 0
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def open(self, content: bytearray) -> None:
        """Begin to serve. Raises ConfigError where a FIFO cannot be there."""
        self.put(content)
        if not self._is_there():
            self._renew()
        self._thread = threading.Thread(target=self._serve, name="secrets", daemon=True)
        self._thread.start()

    @property
    def count(self) -> int:
        """How often it was read."""
        with self._changed:
            return self._count

    def put(self, content: bytearray) -> None:
        """What is served from now on; the content before is wiped."""
        if len(content) > _MOST_BYTES:
            raise ValueError(f"{len(content)} bytes do not fit into a FIFO at once")
        with self._changed:
            self._content[:] = bytes(len(self._content))
            self._content = content

    def wait(self, count: int, timeout_s: float) -> None:
        """Return when it was read more than `count` times. Raises LinkDown."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count > count, timeout_s):
                raise LinkDown(f"{self._path}: nobody read it within {timeout_s:g} s; is it named as PSKsecrets?")

    def close(self) -> None:
        """Serve no more, wipe, take the FIFO away."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._content[:] = bytes(len(self._content))
        if self._thread is None:
            return
        for _ in range(_TRIES):
            with suppress(OSError):
                # the thread waits for a reader: be one, until it has seen it
                reader = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
                self._thread.join(_TRY_S)
                os.close(reader)
            if not self._thread.is_alive():
                break
        with suppress(OSError):
            self._path.unlink()

    def _serve(self) -> None:
        while True:
            try:
                # a path that its owner chose; opened for as long as there is no reader
                writer = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                return
            try:
                is_own = _is_private(os.fstat(writer))
                # the next reader finds another FIFO: never two of them at one
                self._renew()
                with self._changed:
                    if self._is_closed:
                        return
                    if not is_own:
                        # somebody put something else there
                        continue
                    with suppress(BrokenPipeError):
                        os.write(writer, self._content)
            finally:
                os.close(writer)
            with self._changed:
                self._count += 1
                self._changed.notify_all()

    def _is_there(self) -> bool:
        """True where an earlier run left a FIFO that is private: its reader may be waiting. Raises ConfigError."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}; name another path") from None
        if not stat.S_ISFIFO(found.st_mode):
            raise ConfigError(f"{self._path}: is there already, and is no FIFO; name another path")
        return _is_private(found)

    def _renew(self) -> None:
        draft = self._path.with_name(f".{self._path.name}.new")
        try:
            draft.unlink(missing_ok=True)
            os.mkfifo(draft, _MODE)
            draft.replace(self._path)
        except OSError as error:
            raise ConfigError(f"{self._path}: no FIFO can be made there ({error.strerror}); name another") from None


def _is_private(found: os.stat_result) -> bool:
    is_closed = stat.S_IMODE(found.st_mode) == _MODE and found.st_uid == os.geteuid()
    return stat.S_ISFIFO(found.st_mode) and is_closed
