"""A thread that hashes what another one moves.

Speed goal: 1 GiB to another application at 8 Gbit/s, both ends hashing (`python -m bench send`). SHA-256 runs at
some 14 Gbit/s on one core, so it must not stand in line with the socket and the disk.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Final, Protocol

__all__ = ["SLOT_BYTES", "HashLane", "Hasher"]

SLOT_BYTES: Final = 1 << 20
_SLOTS: Final = 4


class Hasher(Protocol):
    """What hashlib makes."""

    def update(self, data: memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class HashLane:
    """Slots of memory in turn: `take` one, fill it, `give` it to be hashed; it comes back when that is done."""

    def __init__(self) -> None:
        self._free: Final[SimpleQueue[memoryview]] = SimpleQueue()
        self._work: Final[SimpleQueue[tuple[Hasher, memoryview, memoryview] | threading.Event | None]] = (
            SimpleQueue()
        )
        for _ in range(_SLOTS):
            self._free.put(memoryview(bytearray(SLOT_BYTES)))
        self._thread: Final = threading.Thread(target=self._run, name="hash", daemon=True)
        self._thread.start()

    def take(self) -> memoryview:
        """A slot of SLOT_BYTES; waits until one is free."""
        return self._free.get()

    def give(self, hasher: Hasher, slot: memoryview, size_bytes: int) -> None:
        """Hash its first bytes. It may still be read, until the next `take`."""
        self._work.put((hasher, slot, slot[:size_bytes]))

    def settle(self) -> None:
        """Wait until all that was given is hashed."""
        done = threading.Event()
        self._work.put(done)
        done.wait()

    def close(self) -> None:
        """End the thread."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            if isinstance(job, threading.Event):
                job.set()
                continue
            hasher, slot, filled = job
            hasher.update(filled)
            self._free.put(slot)
