"""What a rotation tells its owner: one record for each key, each failure, each shutting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Event", "Happening", "Report"]


class Happening(StrEnum):
    """What happened."""

    ROTATED = "rotated"
    """Both ends have begun a session with a new key."""
    FAILED = "failed"
    """No new key came into use; it is tried again."""
    SHUT = "shut"
    """The key was used for as long as it may be, or the adapter ends: no session can begin."""
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Event:
    """`latency_s` is from the offer until both ends had proof."""

    event: Happening
    tunnel: str
    peer: str
    text: str
    key_id: str | None = None
    grade: str | None = None
    simulated: bool | None = None
    latency_s: float | None = None

    def record(self) -> dict[str, Any]:
        """For JSON; what is not told is left out."""
        told = {name: value for name, value in asdict(self).items() if value is not None}
        level = "info" if self.event is Happening.ROTATED else "warning"
        return {**told, "event": self.event.value, "level": "error" if self.event is Happening.SHUT else level}

    def line(self) -> str:
        """For people."""
        return f"{self.event.value}: {self.tunnel} with {self.peer}: {self.text}"


Report = Callable[[Event], None]
