"""How far a transfer is, for whoever looks: a terminal, a page, another thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["Phase", "Progress", "Snapshot"]

_WINDOW_S: Final = 5.0
_SAMPLE_S: Final = 0.1
_NOTES_MOST: Final = 100


class Phase(StrEnum):
    """What is being done."""

    LISTING = "listing"
    WAITING_FOR_KEY = "waiting for key"
    CONNECTING = "connecting"
    COMPARING = "comparing"
    SENDING = "sending"
    CONFIRMING = "confirming"
    WAITING_FOR_PEER = "waiting for peer"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look. `rate_bps` over the last seconds; `eta_s` for the rest at that rate; None: not known."""

    phase: Phase
    done_bytes: int
    total_bytes: int
    done_files: int
    total_files: int
    rate_bps: float | None
    eta_s: float | None
    note: str
    notes: tuple[str, ...]


class Progress:
    """Written by the transfer, read by any thread. `tell`, if given, is called at each change of phase or note."""

    def __init__(
        self, tell: Callable[[Snapshot], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lock: Final = threading.Lock()
        self._tell: Final = tell
        self._clock: Final = clock
        self._phase = Phase.LISTING
        self._done = self._total = self._files = self._files_total = 0
        self._seen: Final[deque[tuple[float, int]]] = deque()
        self._notes: list[str] = []
        self._stopping = threading.Event()

    def enter(self, phase: Phase) -> None:
        """Begin a phase."""
        with self._lock:
            self._phase = phase
            self._seen.clear()
        self._look()

    def note(self, text: str) -> None:
        """Something that whoever looks should know; the last hundred are kept."""
        with self._lock:
            self._notes = [*self._notes, text][-_NOTES_MOST:]
        self._look()

    def expect(self, total_bytes: int, total_files: int) -> None:
        """What the whole comes to."""
        with self._lock:
            self._total, self._files_total = total_bytes, total_files

    def start_from(self, done_bytes: int, done_files: int) -> None:
        """What was there already."""
        with self._lock:
            self._done, self._files = done_bytes, done_files
            self._seen.clear()

    def add(self, count_bytes: int, files: int = 0) -> None:
        """So much more is sent."""
        with self._lock:
            self._done += count_bytes
            self._files += files
            now = self._clock()
            if not self._seen or now - self._seen[-1][0] >= _SAMPLE_S:
                self._seen.append((now, self._done))
            while self._seen and now - self._seen[0][0] > _WINDOW_S:
                self._seen.popleft()

    def stop(self) -> None:
        """Ask the transfer to end at the next record; what the peer has is kept."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """True once it was asked to end."""
        return self._stopping.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait, less where it is asked to end; True where it was."""
        return self._stopping.wait(seconds)

    @property
    def done_bytes(self) -> int:
        """Bytes that are sent."""
        return self._done

    def snapshot(self) -> Snapshot:
        """How it stands now."""
        with self._lock:
            rate = None
            if len(self._seen) > 1 and self._seen[-1][0] > self._seen[0][0]:
                (then, before), (now, done) = self._seen[0], self._seen[-1]
                rate = 8.0 * (done - before) / (now - then)
            rest = self._total - self._done
            return Snapshot(
                phase=self._phase,
                done_bytes=self._done,
                total_bytes=self._total,
                done_files=self._files,
                total_files=self._files_total,
                rate_bps=rate,
                eta_s=8.0 * rest / rate if rate and rest >= 0 else None,
                note=self._notes[-1] if self._notes else "",
                notes=tuple(self._notes),
            )

    def _look(self) -> None:
        if self._tell is not None:
            self._tell(self.snapshot())
