"""The runs that are outstanding: promised and not yet delivered to everyone, one's own and the peers'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from poliqi.keys.ledger import Ledger
from poliqi.keys.marks import RunDropped, RunUsed
from poliqi.keys.run import Run, RunKey

__all__ = ["Runs"]

_EXPIRED_AT_A_TIME: Final = 1000


class Runs:
    """Every outstanding run, found by its key or by the name of one of its keys."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger: Final = ledger
        self._runs: Final[dict[RunKey, Run]] = {}
        self._places: Final[dict[bytes, tuple[Run, int]]] = {}
        self._names: Final[dict[RunKey, tuple[bytes, ...]]] = {}
        self._deadlines: Final[list[tuple[float, RunKey]]] = []
        self._in_segment: Final[dict[int, int]] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    @property
    def named_keys(self) -> int:
        """How many keys can be found by name."""
        return len(self._places)

    def add(self, run: Run, names: Iterable[bytes], deadline: float) -> None:
        """Know a run until `deadline`; `names` are those of its keys that may be asked for here."""
        self._runs[run.key] = run
        self._names[run.key] = listed = tuple(names)
        for place, name in enumerate(listed):
            self._places[name] = (run, place)
        self._in_segment[run.segment] = self._in_segment.get(run.segment, 0) + 1
        heappush(self._deadlines, (deadline, run.key))

    def get(self, key: RunKey) -> Run | None:
        """A run by its key."""
        return self._runs.get(key)

    def find(self, name: bytes) -> tuple[Run, int] | None:
        """The run of a key by the key's name, and the key's place in it."""
        return self._places.get(name)

    def mark_used(self, run: Run) -> int:
        """Write down how a run stands; the number of the mark."""
        return self._ledger.write(RunUsed(run.key, run.used, run.user, run.user_used))

    def drop(self, run: Run) -> None:
        """Forget a run and have it deleted."""
        if self._runs.pop(run.key, None) is None:
            return
        for name in self._names.pop(run.key):
            self._places.pop(name, None)
        left = self._in_segment[run.segment] - 1
        if left:
            self._in_segment[run.segment] = left
        else:
            del self._in_segment[run.segment]
        self._ledger.write(RunDropped(run.key))
        if len(self._deadlines) > 2 * len(self._runs) + 1024:
            self._deadlines[:] = [entry for entry in self._deadlines if entry[1] in self._runs]
            heapify(self._deadlines)

    def holds_segment(self, number: int) -> bool:
        """True while some run lies in this segment."""
        return number in self._in_segment

    def expire(self, now: float, gone: Callable[[Run], None]) -> None:
        """Drop the runs whose time is over, telling `gone` of each."""
        for _ in range(_EXPIRED_AT_A_TIME):
            if not self._deadlines or self._deadlines[0][0] > now:
                return
            _, key = heappop(self._deadlines)
            run = self._runs.get(key)
            if run is not None:
                gone(run)
                self.drop(run)

    def next_deadline(self) -> float | None:
        """When the next run ends."""
        return self._deadlines[0][0] if self._deadlines else None
