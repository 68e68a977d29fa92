"""Symptoms: low stocks, short demands, missing routes. They follow from a cause; where all is well they are one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.control.causes import Cause
from poliqi.control.city import City
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.lines import Value
from poliqi.control.signs import signs_of

__all__ = ["Complaint", "Symptom", "Symptoms"]

_K = CityEventKind
_LASTING: Final = {_K.STOCK_LOW: "stock", _K.DEMAND_SHORT: "demand", _K.NO_ROUTE: "route"}
_ENDING: Final = {_K.STOCK_BACK: "stock", _K.DEMAND_MET: "demand", _K.REROUTED: "route"}
_PASSING: Final = frozenset({_K.REROUTED, _K.SITE_REFUSED, _K.SITE_NOTICE})
_WAIT_S: Final = 10.0
_WAITING: Final = 256
_LISTED: Final = 5


@dataclass(slots=True)
class Symptom:
    """A symptom that lasts. `claimed`: the number of the alarm that explains it."""

    event: CityEvent
    since: float
    sites: frozenset[str]
    claimed: int | None = None


@dataclass(frozen=True, slots=True)
class Complaint:
    """Symptoms that no fault explains, put together to one cause."""

    cause: Cause
    key: tuple[str, ...]
    symptoms: list[Symptom]
    site: KmeId | None = None
    values: dict[str, Value] = field(default_factory=dict[str, "Value"])


class Symptoms:
    """All symptoms that last, and those that passed and wait for their cause."""

    def __init__(self) -> None:
        self.lasting: Final[dict[tuple[str, ...], Symptom]] = {}
        self.passing: Final[deque[tuple[CityEvent, float]]] = deque(maxlen=_WAITING)

    def heed(self, event: CityEvent, now: float, city: City) -> bool:
        """Take an event in; whether it was a symptom, or the end of one."""
        key = _key(event, city)
        if event.kind in _ENDING:
            self.lasting.pop((_ENDING[event.kind], *key), None)
        elif event.kind in _LASTING:
            self.lasting.setdefault(
                (_LASTING[event.kind], *key), Symptom(event, now, frozenset(_sites(event, city)))
            )
        if event.kind in _PASSING and not signs_of(event):
            self.passing.append((event, now))
        return event.kind in _LASTING or event.kind in _ENDING or event.kind in _PASSING

    def take_passing(self, now: float, may_take: bool) -> list[CityEvent]:
        """Events that only passed, for an alarm; those that waited too long are dropped."""
        while self.passing and now - self.passing[0][1] > _WAIT_S:
            self.passing.popleft()
        taken = [event for event, _ in self.passing] if may_take else []
        if may_take:
            self.passing.clear()
        return taken

    def keep(self, city: City) -> None:
        """Forget what the plan no longer holds."""
        sites = {str(site.kme) for site in city.sites}
        for key, symptom in list(self.lasting.items()):
            if not symptom.sites <= sites or (key[0] == "demand" and not city.demand.keys() >= set(key[1:])):
                del self.lasting[key]

    def complaints(self, draining: Iterable[str]) -> Iterator[Complaint]:
        """What the symptoms that nothing explains come to."""
        free = [symptom for symptom in self.lasting.values() if symptom.claimed is None]
        if not free:
            return
        away = sorted(draining)
        if away:
            yield Complaint(Cause.PLANNED_WORK, (away[0],), free, KmeId(away[0]))
            return
        short = [s for s in free if s.event.kind is not _K.STOCK_LOW]
        if short:
            names = sorted({s.event.demand or "-".join(sorted(s.sites)) for s in short})
            more = f" (+{len(names) - _LISTED})" if len(names) > _LISTED else ""
            values: dict[str, Value] = {"demand": ", ".join(names[:_LISTED]) + more}
            yield Complaint(Cause.DEMAND_GROWTH, (), free, values=values)
            return
        for symptom in free:
            pair = tuple(sorted(symptom.sites))
            values = {"other": str(symptom.event.values.get("other", "?"))}
            yield Complaint(Cause.STOCK_LOW, pair, [symptom], symptom.event.site, values)


def _sites(event: CityEvent, city: City) -> tuple[str, ...]:
    known = city.demand.get(event.demand or "")
    if known is not None:
        return known.ends
    return tuple(sorted(str(s) for s in (event.site, event.values.get("other")) if s))


def _key(event: CityEvent, city: City) -> tuple[str, ...]:
    return (event.demand,) if event.demand else _sites(event, city)
