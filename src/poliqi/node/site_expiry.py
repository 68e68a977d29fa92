"""When certificates and lists end that a site or a controller has in force: warnings, figures, readiness.

The files are read when the doors read them, at the start and at a reload: a renewed file that nobody has had
reloaded is in force nowhere. Wall-clock time is handed in, UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.edge.expiry import Expiring, Urgency, expiries

__all__ = ["ExpiryWatch"]

_AGAIN: Final = timedelta(days=1)


class ExpiryWatch:
    """Watches files of one's own, and those that others gave and have to renew."""

    def __init__(self, own: tuple[Path, ...], others: tuple[Path, ...]) -> None:
        self._own: Final = own
        self._others: Final = others
        self._ends: list[Expiring] = []
        self._unreadable: list[ConfigError] = []
        self._said: Final[dict[tuple[Path, Urgency], datetime]] = {}

    def read(self, now: datetime) -> None:
        """Take the files as they are now; one that cannot be read silences no other."""
        own, wrong = expiries(self._own, now)
        others, more = expiries(self._others, now)
        self._ends = own + [replace(e, is_foreign=True) for e in others]
        self._unreadable = wrong + more
        self._said.clear()

    def lines(self, now: datetime) -> list[str]:
        """What to warn of: each file once a day, and at once when it grows more urgent."""
        found = [str(error) for error in self._unreadable]
        self._unreadable = []
        for e in self._standing(now):
            said = self._said.get((e.path, e.urgency))
            if e.urgency is not Urgency.OK and (said is None or now - said >= _AGAIN):
                self._said[e.path, e.urgency] = now
                found.append(e.line)
        return found

    def days_left(self, now: datetime) -> Iterator[tuple[str, float]]:
        """Each file and the days until it ends, negative once it has."""
        for e in self._standing(now):
            yield str(e.path), e.days_left

    def closed(self, now: datetime) -> str:
        """Why nobody can get in, or nothing: every new handshake fails once a file of our own is over."""
        over = [e.line for e in self._standing(now) if e.urgency is Urgency.OVER and not e.is_foreign]
        return f"nobody can get in: {over[0]}, then reload the site" if over else ""

    def _standing(self, now: datetime) -> Iterator[Expiring]:
        for e in self._ends:
            yield replace(e, days_left=(e.until - now).total_seconds() / 86400)
