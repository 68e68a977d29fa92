"""Where alarms go besides the screen: what is told of one, and the queue in front of each place that is told.

`send` never waits and never raises. A place that is away is tried again with growing pauses; what finds no room in
its queue pushes out the oldest, and is counted.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from poliqi.control.causes import CAUSES, Cause, cause_advice, cause_line
from poliqi.control.events import Language, Severity, event_line
from poliqi.control.view import AlarmView

__all__ = ["AlarmRecord", "Outlet", "Refused", "alarm_record"]

_WAITING: Final = 256
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
_TOO_OLD_S: Final = 86_400.0
_CLOSING_S: Final = 2.0
_EXPLAINED: Final = 16


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """One alarm that was raised, or is over, as the outside is told. Times are Unix time (s)."""

    city: str
    controller: str
    number: int
    cause: str
    severity: Severity
    is_over: bool
    since_s: float
    at_s: float
    site: str | None
    link: str | None
    span: str | None
    text: dict[Language, str]
    advice: dict[Language, str]
    rivals: tuple[str, ...]
    explains: tuple[str, ...]
    """Lines (English) of the first events that it explains."""
    explained: int
    """How many there were."""
    is_simulated: bool


def alarm_record(
    alarm: AlarmView, city: str, controller: str, wall_s: Callable[[float], float], *, is_simulated: bool
) -> AlarmRecord:
    """What is told of an alarm. `wall_s` turns the alarm's clock into Unix time."""
    known = CAUSES.get(Cause(alarm.cause)) if alarm.cause in CAUSES else None
    return AlarmRecord(
        city=city,
        controller=controller,
        number=alarm.number,
        cause=alarm.cause,
        severity=Severity.ERROR if known is None else known.severity,
        is_over=alarm.cleared is not None,
        since_s=round(wall_s(alarm.since), 3),
        at_s=round(time.time(), 3),
        site=alarm.site,
        link=alarm.link,
        span=alarm.span,
        text={language: cause_line(alarm.cause, alarm.values, language) for language in Language},
        advice={language: cause_advice(alarm.cause, alarm.values, language) for language in Language},
        rivals=alarm.rivals,
        explains=tuple(event_line(event) for event in alarm.explains[:_EXPLAINED]),
        explained=len(alarm.explains),
        is_simulated=is_simulated,
    )


class Refused(Exception):
    """The place said no in a way that another try does not change."""


class Outlet(ABC):
    """One place that alarms are sent to. Made within a running event loop; `name` stands in metrics and lines."""

    def __init__(self, name: str, say: Callable[[str], None], waiting: int = _WAITING) -> None:
        self.name: Final = name
        self.sent = 0
        self.failed = 0
        """Attempts that came to nothing."""
        self.dropped = 0
        self._say: Final = say
        self._waiting: Final[deque[AlarmRecord]] = deque()
        self._most: Final = waiting
        self._come: Final = asyncio.Event()
        self._is_closing = False
        self._is_away = False
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def deliver(self, record: AlarmRecord) -> None:
        """Hand one over. Raises OSError or TimeoutError where another try may help, Refused where none does."""

    async def hang_up(self) -> None:  # noqa: B027  # most outlets hold nothing
        """Give back what is held."""

    def send(self, record: AlarmRecord) -> None:
        """Queue an alarm; it leaves as soon as it can."""
        if self._is_closing:
            self.dropped += 1
            return
        if len(self._waiting) >= self._most:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(record)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        self._come.set()

    async def close(self) -> None:
        """Take no more; what waits gets two seconds."""
        self._is_closing = True
        self._come.set()
        if self._task is not None:
            with suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._task, _CLOSING_S)
        self.dropped += len(self._waiting)
        self._waiting.clear()
        await self.hang_up()

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            if not self._waiting:
                if self._is_closing:
                    return
                self._come.clear()
                await self._come.wait()
                continue
            record = self._waiting[0]
            if await self._attempt(record):
                pause_s = _FIRST_PAUSE_S
                if self._waiting and self._waiting[0] is record:
                    self._waiting.popleft()
                continue
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # spreads retries, no secret
            pause_s = min(_LONGEST_PAUSE_S, 2.0 * pause_s)

    async def _attempt(self, record: AlarmRecord) -> bool:
        """Whether the record is done with."""
        try:
            await self.deliver(record)
        except Refused as error:
            self.failed += 1
            self.dropped += 1
            self._say(f"alarms to {self.name}: alarm {record.number} was refused: {error}")
            return True
        except (OSError, EOFError, ValueError) as error:
            self.failed += 1
            if not self._is_away:
                self._is_away = True
                self._say(f"alarms to {self.name}: {error or type(error).__name__}; tried again until it works")
            if time.time() - record.at_s > _TOO_OLD_S:
                self.dropped += 1
                return True
            return False
        self.sent += 1
        if self._is_away:
            self._is_away = False
            self._say(f"alarms to {self.name}: it works again")
        return True
