"""What must be durable before what: marks in order, and the things that wait for them.

Everything that leaves a site names the mark after which it may. The owner of a core takes the marks, makes them
durable, and says so; then the core lets go of whatever waited for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from poliqi.keys.marks import Mark

__all__ = ["Ledger"]


class Ledger:
    """Marks are counted from 1; number 0 stands for "nothing has to be durable first"."""

    __slots__ = ("_marks", "_waiting", "committed", "emitted")

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self.emitted = 0
        self.committed = 0

    def write(self, mark: Mark) -> int:
        """Add a mark; its number."""
        self._marks.append(mark)
        self.emitted += 1
        return self.emitted

    def when(self, number: int, action: Callable[[], None]) -> None:
        """Do `action` once the mark of this number and all before it are durable; at once if they are."""
        if number <= self.committed:
            action()
        else:
            self._waiting.append((number, action))

    def take(self) -> tuple[list[Mark], int]:
        """The marks to make durable now, and what to tell `settle` afterwards."""
        marks, self._marks = self._marks, []
        return marks, self.emitted

    def settle(self, upto: int) -> None:
        """All marks up to this number are durable."""
        self.committed = max(self.committed, upto)
        due: Final = [action for number, action in self._waiting if number <= self.committed]
        self._waiting = [entry for entry in self._waiting if entry[0] > self.committed]
        for action in due:
            action()
