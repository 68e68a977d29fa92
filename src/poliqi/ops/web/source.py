"""What a dashboard shows and may ask for: the controller's process provides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from poliqi.control.city import SpanId
from poliqi.control.servicelevel import MonthReport
from poliqi.control.view import AlarmView, CityView

__all__ = ["Action", "ActionKind", "CitySource", "Fault"]


class ActionKind(StrEnum):
    """What a person can ask for."""

    CUT = "cut"
    MEND = "mend"
    """Ends a cut and a tap."""
    LISTEN = "listen"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    ACKNOWLEDGE = "acknowledge"


class Fault(StrEnum):
    """What somebody did to a simulated fibre."""

    CUT = "cut"
    TAPPED = "tapped"


@dataclass(frozen=True, slots=True)
class Action:
    """A person's request. `subject`: a span (cut, mend, listen), a site (drain, undrain) or an alarm's number."""

    kind: ActionKind
    subject: str
    who: str


class CitySource(Protocol):
    """A city, as its controller's process knows it. All of it is called from the dashboard's event loop."""

    @property
    def version(self) -> int:
        """Another number after each change of the view."""
        ...

    def view(self) -> CityView:
        """The city now."""
        ...

    @property
    def past_alarms(self) -> tuple[AlarmView, ...]:
        """Alarms that are over, the latest first."""
        ...

    async def changed(self, version: int) -> int:
        """Wait until the version is another than this; the new one. It may be cancelled at any time."""
        ...

    def faults(self) -> Mapping[SpanId, Fault]:
        """What was done to simulated fibres; nothing in a real city."""
        ...

    async def report(self, year: int, month: int) -> MonthReport | None:
        """The service of a month of UTC; None where nothing of it is recorded. It may take a second, elsewhere."""
        ...

    async def act(self, action: Action) -> str:
        """Do it. Nothing where it was done, else why not, in words for the person."""
        ...
