"""Lines about refused input, few enough that whoever sends it cannot fill the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["Complaints"]

_EVERY_S: Final = 10.0
_AT_ONCE: Final = 5


class Complaints:
    """Passes on the first few lines of each ten seconds and counts the rest. `total` counts all of them.

    What strangers cause and what known callers cause (or this side itself) are counted apart: noise that anybody
    can make hides no alarm.
    """

    __slots__ = ("_known", "_report", "_strangers", "total")

    def __init__(self, report: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self._report: Final = report
        self._known: Final = _Budget(now)
        self._strangers: Final = _Budget(now)
        self.total = 0

    def __call__(self, text: str, *, known: bool = False) -> None:
        """Say one line, or count it; `known`: no stranger can cause it."""
        self.total += 1
        more = (self._known if known else self._strangers).spend()
        if more is not None:
            self._report(f"{text} ({more} like it were not shown)" if more else text)


class _Budget:
    """A few lines every ten seconds."""

    __slots__ = ("_dropped", "_left", "_now", "_since")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now: Final = now
        self._since = -_EVERY_S
        self._left = 0
        self._dropped = 0

    def spend(self) -> int | None:
        """How many lines were dropped before this one; None where it is dropped too."""
        if self._now() - self._since >= _EVERY_S:
            self._since, self._left = self._now(), _AT_ONCE
        if not self._left:
            self._dropped += 1
            return None
        self._left -= 1
        more, self._dropped = self._dropped, 0
        return more
