"""Lines about refused input, few enough that whoever sends it cannot fill the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["Complaints"]

_EVERY_S: Final = 10.0
_AT_ONCE: Final = 5


class Complaints:
    """Passes on the first few lines of each ten seconds and counts the rest. `total` counts all of them."""

    __slots__ = ("_dropped", "_left", "_now", "_report", "_since", "total")

    def __init__(self, report: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self._report: Final = report
        self._now: Final = now
        self._since = -_EVERY_S
        self._left = 0
        self._dropped = 0
        self.total = 0

    def __call__(self, text: str) -> None:
        """Say one line, or count it."""
        self.total += 1
        if self._now() - self._since >= _EVERY_S:
            self._since, self._left = self._now(), _AT_ONCE
        if not self._left:
            self._dropped += 1
            return
        self._left -= 1
        more, self._dropped = self._dropped, 0
        self._report(f"{text} ({more} like it were not shown)" if more else text)
