"""A thread that writes to the disk what another one receives, so that neither waits for the other.

Speed goal: 1 GiB to another application at 8 Gbit/s, both ends hashing (`python -m bench send`). Writing is half of
what a receiver does; hashing is done by whoever has the bytes in its cache.
"""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import Final

__all__ = ["SLOT_BYTES", "WriteLane", "write_all"]

SLOT_BYTES: Final = 1 << 20
_SLOTS: Final = 4


class WriteLane:
    """Slots of memory in turn: `take` one, fill it, `give` it to be written; it comes back when that is done.

    Bytes are written in the order of `give`, and none after the first that could not be: a file is always the
    beginning of what was given. Raises the OSError of a write, at the next call.
    """

    def __init__(self) -> None:
        self._free: Final[SimpleQueue[memoryview]] = SimpleQueue()
        self._work: Final[SimpleQueue[tuple[int, memoryview, memoryview] | threading.Event | None]] = SimpleQueue()
        self._error: OSError | None = None
        for _ in range(_SLOTS):
            self._free.put(memoryview(bytearray(SLOT_BYTES)))
        self._thread: Final = threading.Thread(target=self._run, name="write", daemon=True)
        self._thread.start()

    def take(self) -> memoryview:
        """A slot of SLOT_BYTES; waits until one is free."""
        self._check()
        return self._free.get()

    def give(self, handle: int, slot: memoryview, size_bytes: int) -> None:
        """Write its first bytes where the open file stands, which stays open until `settle`."""
        self._work.put((handle, slot, slot[:size_bytes]))

    def settle(self) -> None:
        """Wait until all that was given is written."""
        done = threading.Event()
        self._work.put(done)
        done.wait()
        self._check()

    def close(self) -> None:
        """End the thread."""
        self._work.put(None)
        self._thread.join()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            if isinstance(job, threading.Event):
                job.set()
                continue
            handle, slot, filled = job
            try:
                if self._error is None:
                    write_all(handle, filled)
            except OSError as error:
                self._error = error
            self._free.put(slot)


def write_all(handle: int, data: memoryview) -> None:
    """Write all of it where the open file stands. Raises OSError."""
    while data:
        data = data[os.write(handle, data) :]
