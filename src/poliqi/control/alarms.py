"""The book of alarms: one for each cause, with all that it explains. Rules: docs/reference/alarms.md.

What is wrong is diagnosed anew whenever a sign comes or goes; a cause is raised once its first sign has waited for
company, and cleared once its signs have been gone for a while. Symptoms join an alarm, or become one where there is
none. Everything is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.causes import CAUSES, Cause, cause_line
from poliqi.control.city import City, SpanId
from poliqi.control.diagnosis import Finding, diagnose
from poliqi.control.events import CityEvent, CityEventKind, Severity
from poliqi.control.lines import Language, Value
from poliqi.control.signs import Sign, SignKind, Signs
from poliqi.control.symptoms import Complaint, Symptom, Symptoms
from poliqi.control.view import AlarmView

__all__ = ["AlarmBook"]

_QUIET_S: Final = 0.25
"""No new sign for so long, before a cause is named (twice its settling time at most)."""
_UNSURE_S: Final = 7.0
"""A cause waits so long for signs that it should show and does not: for the other end of a dark link to say so too,
for peers to lose patience with a site that is gone.
"""
_NEW_S: Final = 30.0
"""After the start: what was never well, and what runs short, is given so long to begin."""
_REPORTED_S: Final = 1.5
"""Sites report a second apart: so long after one site's news the others' must have come."""
_HOLD_S: Final = 3.0
"""An alarm whose signs are gone stays open for so long, in case they come back."""
_REMEMBERED_S: Final = 600.0
"""A symptom is explained by a cause for so long after the cause is over: stocks fill slowly."""
_NEWLY_LIT_S: Final = 600.0
_STEP_S: Final = 0.1
_IDLE_S: Final = 10.0
_OPEN: Final = 256
_RECENT: Final = 256
_EXPLAINED: Final = 64
_ACTORS: Final = 256
_RANK: Final = {severity: -place for place, severity in enumerate(Severity)}
_NETWORK: Final = frozenset(
    {Cause.SITE_DOWN, Cause.SITE_UNREACHED, Cause.CONTROLLER_CUT_OFF, Cause.PARTITION, Cause.PEERS_PARTED}
)
"""Causes that only the last of their signs tell apart: while one of them waits, the others do."""
_NO_FAULT: Final = frozenset({Cause.DEMAND_GROWTH, Cause.STOCK_LOW, Cause.CLOCK_SKEW, Cause.RIVAL_CONTROLLER})
"""Causes that take no key from anybody, so that no symptom is theirs."""


@dataclass(slots=True)
class _Alarm:
    number: int
    cause: Cause
    key: tuple[str, ...]
    since: float
    values: dict[str, Value]
    site: KmeId | None = None
    link: LinkId | None = None
    span: SpanId | None = None
    rivals: tuple[str, ...] = ()
    events: list[CityEvent] = field(default_factory=list[CityEvent])
    touches: set[str] = field(default_factory=set[str])
    gone: float | None = None
    cleared: float | None = None
    seen: tuple[str, float] | None = None

    def add(self, events: Iterable[CityEvent]) -> None:
        for event in events:
            if len(self.events) < _EXPLAINED and not any(event is known for known in self.events):
                self.events.append(event)

    def view(self) -> AlarmView:
        who, when = self.seen or (None, None)
        return AlarmView(
            number=self.number,
            cause=self.cause,
            since=self.since,
            site=self.site,
            link=self.link,
            span=self.span,
            values=dict(self.values),
            explains=tuple(self.events),
            cleared=self.cleared,
            rivals=self.rivals,
            seen_by=who,
            seen_at=when,
        )


class AlarmBook:
    """Turns events into alarms. The owner hands in each event, and calls `tick` when `next_timeout` says so."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._signs: Final = Signs()
        self._symptoms: Final = Symptoms()
        self._open: Final[dict[tuple[str, ...], _Alarm]] = {}
        self._recent: Final[deque[_Alarm]] = deque(maxlen=_RECENT)
        self._found: dict[tuple[str, ...], Finding] = {}
        self._unnamed: Final[dict[tuple[str, ...], tuple[Finding, float]]] = {}
        """Causes that were found and not named yet, and when they may be."""
        self._lit: dict[SpanId, float] = {}
        self._number = 0
        self._began: float | None = None
        self._now = 0.0
        self._is_stale = False
        self._is_waiting = False

    @property
    def city(self) -> City:
        """The plan by which causes are sought."""
        return self._city

    @city.setter
    def city(self, city: City) -> None:
        before = {span.span: set(span.classical) for span in self._city.spans}
        for span in city.spans:
            if span.span in before and set(span.classical) - before[span.span]:
                self._lit[span.span] = self._now
        self._city = city
        self._signs.keep(city)
        self._symptoms.keep(city)
        self._is_stale = True

    @property
    def open(self) -> tuple[AlarmView, ...]:
        """Alarms that are not over: the worst first, of equal ones the latest."""
        ranked = sorted(self._open.values(), key=lambda a: (_RANK[CAUSES[a.cause].severity], -a.number))
        return tuple(alarm.view() for alarm in ranked)

    @property
    def recent(self) -> tuple[AlarmView, ...]:
        """Alarms that are over, the latest first."""
        return tuple(alarm.view() for alarm in reversed(self._recent))

    def heed(self, event: CityEvent, now: float) -> None:
        """Take an event in. Events about alarms themselves are none."""
        self._now = now
        self._began = now if self._began is None else self._began
        if event.kind in (CityEventKind.ALARM_RAISED, CityEventKind.ALARM_CLEARED, CityEventKind.ALARM_SEEN):
            return
        is_sign, is_symptom = self._signs.heed(event, now), self._symptoms.heed(event, now, self._city)
        self._is_stale |= is_sign or is_symptom

    def acknowledge(self, number: int, who: str, now: float) -> CityEvent | None:
        """Somebody has seen an alarm; None where no such alarm is open, or it was seen before."""
        alarm = next((alarm for alarm in self._open.values() if alarm.number == number), None)
        if alarm is None or alarm.seen is not None:
            return None
        alarm.seen = (who[:_ACTORS], now)
        return self._event(CityEventKind.ALARM_SEEN, alarm, now, who=alarm.seen[0])

    def next_timeout(self, now: float) -> float:
        """When `tick` is due, unless an event comes before."""
        return now if self._is_stale else now + (_STEP_S if self._is_waiting else _IDLE_S)

    def tick(self, now: float) -> list[CityEvent]:
        """Raise and clear what is due; the events of that, which need not be handed to `heed`."""
        self._now = now
        events: list[CityEvent] = []
        if self._signs.fade(now) or self._is_stale:
            self._diagnose(now)
        self._is_stale = False
        self._name(now, events)
        self._is_waiting = bool(self._unnamed)
        self._claim(now)
        found = set(self._found)
        for complaint in self._symptoms.complaints(self._signs.draining):
            key = (complaint.cause, *complaint.key)
            if key not in found:
                found.add(key)
                self._complain(complaint, key, now, events)
        self._end(found, now, events)
        return events

    def _diagnose(self, now: float) -> None:
        """Seek the causes of what is wrong anew. What was named goes on; the others wait until they are due."""
        newly = [span for span, at in self._lit.items() if now - at < _NEWLY_LIT_S]
        before = self._found
        self._found = {f.key: f for f in diagnose(self._city, self._signs, newly, tuple(self._open))}
        for key, finding in before.items():
            if key in self._open and key not in self._found and self._is_over(finding):
                self._signs.refresh(finding.signs, now)
        self._unnamed.clear()
        for key, finding in self._found.items():
            signs = [sign for sign in finding.signs if sign in self._signs.up]
            if signs and (alarm := self._open.get(key)) is not None:
                self._explain(alarm, signs)
            elif signs:
                self._unnamed[key] = finding, self._due(finding, signs)

    def _name(self, now: float, events: list[CityEvent]) -> None:
        """Raise the causes that are due."""
        network = [
            at
            for finding, due in self._unnamed.values()
            if finding.suspect.cause in _NETWORK
            for at in (due, *(self._signs.since[s] + _REPORTED_S for s in finding.signs if s in self._signs.up))
        ]
        latest = max(network, default=0.0)
        for key, (finding, due) in list(self._unnamed.items()):
            at = min(latest, due + _UNSURE_S) if finding.suspect.cause in _NETWORK else due
            if now >= at and (alarm := self._raised(finding.suspect.cause, key, now)) is not None:
                del self._unnamed[key]
                self._raise(alarm, finding, now, events)

    def _raise(self, alarm: _Alarm, finding: Finding, now: float, events: list[CityEvent]) -> None:
        signs, suspect = [sign for sign in finding.signs if sign in self._signs.up], finding.suspect
        alarm.since = min(self._signs.since[sign] for sign in signs)
        alarm.site, alarm.link, alarm.span = suspect.site, suspect.link, suspect.span
        alarm.values = {**self._measured(signs), **_places(alarm), **suspect.values}
        alarm.rivals = tuple(finding.rivals)
        events.append(self._event(CityEventKind.ALARM_RAISED, alarm, now))
        self._explain(alarm, signs)

    def _explain(self, alarm: _Alarm, signs: Iterable[Sign]) -> None:
        alarm.gone = None
        alarm.add(self._signs.up[sign] for sign in sorted(signs, key=lambda sign: self._signs.since[sign]))
        alarm.touches |= {site for sign in signs for site in self._sites(sign)}

    def _is_over(self, finding: Finding) -> bool:
        """Whether one of the signs by which a cause was named is down again."""
        return any(sign not in self._signs.up for sign in finding.signs)

    def _due(self, finding: Finding, signs: list[Sign]) -> float:
        """When a finding may be named: its first sign has settled, and no new one came for a moment."""
        settle_s = CAUSES[finding.suspect.cause].settle_s
        dark = [sign for sign in signs if sign.kind is SignKind.DARK]
        if not finding.is_whole or (dark and not any(self._signs.is_sure(sign) for sign in dark)):
            settle_s = max(settle_s, _UNSURE_S)
        links = {sign.subject[0] for sign in signs if sign.subject and LinkId(sign.subject[0]) in self._city.link}
        if links and not links & self._signs.known:
            settle_s = max(settle_s, _NEW_S)
        return _settled([self._signs.since[sign] for sign in signs], settle_s)

    def _raised(self, cause: Cause, key: tuple[str, ...], since: float) -> _Alarm | None:
        if len(self._open) >= _OPEN:
            return None
        self._number += 1
        alarm = self._open[key] = _Alarm(self._number, cause, key, since, {})
        return alarm

    def _measured(self, signs: Iterable[Sign]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for sign in sorted(signs):
            values.update(self._signs.up[sign].values)
        return values

    def _sites(self, sign: Sign) -> set[str]:
        names: set[str] = set()
        for name in sign.subject:
            link = self._city.link.get(LinkId(name))
            names |= {name} if link is None else set(link.ends)
        return names

    def _claim(self, now: float) -> None:
        """Let symptoms join the alarm that explains them."""
        takers = [alarm for alarm in self._open.values() if alarm.cause not in _NO_FAULT]
        fresh = [a for a in self._recent if now - (a.cleared or now) < _REMEMBERED_S and a.cause not in _NO_FAULT]
        known = {alarm.number: alarm for alarm in (*takers, *fresh)}
        for symptom in self._symptoms.lasting.values():
            if symptom.claimed is not None and symptom.claimed not in known:
                symptom.claimed = None
            if symptom.claimed is None:
                near = takers or [a for a in fresh if symptom.since <= (a.cleared or now) + _HOLD_S]
                if near:
                    best = max(near, key=lambda alarm: (len(alarm.touches & symptom.sites), alarm.number))
                    symptom.claimed = best.number
                    best.add((symptom.event,))
        for event in self._symptoms.take_passing(now, bool(takers)):
            sites = {str(event.site), str(event.values.get("other"))}
            max(takers, key=lambda alarm: (len(alarm.touches & sites), alarm.number)).add((event,))

    def _complain(self, complaint: Complaint, key: tuple[str, ...], now: float, events: list[CityEvent]) -> None:
        times = [symptom.since for symptom in complaint.symptoms]
        alarm = self._open.get(key)
        if alarm is None:
            if any(key not in self._open for key in self._found):
                self._is_waiting = True
                return
            settle_s = max(CAUSES[complaint.cause].settle_s, _NEW_S - (min(times) - (self._began or 0.0)))
            if now < _settled(times, settle_s):
                self._is_waiting = True
                return
            alarm = self._raised(complaint.cause, key, min(times))
            if alarm is None:
                return
            alarm.site = complaint.site
            alarm.values = {**_measured(complaint.symptoms), **_places(alarm), **complaint.values}
            events.append(self._event(CityEventKind.ALARM_RAISED, alarm, now))
        alarm.gone = None
        alarm.add(symptom.event for symptom in complaint.symptoms)

    def _end(self, found: set[tuple[str, ...]], now: float, events: list[CityEvent]) -> None:
        for key, alarm in list(self._open.items()):
            if key in found:
                continue
            alarm.gone = now if alarm.gone is None else alarm.gone
            if now - alarm.gone < _HOLD_S and not self._is_superseded(alarm, found):
                self._is_waiting = True
                continue
            del self._open[key]
            alarm.cleared = now
            self._recent.append(alarm)
            events.append(self._event(CityEventKind.ALARM_CLEARED, alarm, now))

    def _is_superseded(self, alarm: _Alarm, found: set[tuple[str, ...]]) -> bool:
        """Whether open alarms of now explain what this one did."""
        theirs = [event for key in found & set(self._open) for event in self._open[key].events]
        still_up = [event for event in alarm.events if any(event is up for up in self._signs.up.values())]
        return bool(still_up) and all(any(event is other for other in theirs) for event in still_up)

    @staticmethod
    def _event(kind: CityEventKind, alarm: _Alarm, now: float, **more: Value) -> CityEvent:
        values: dict[str, Value] = {
            **alarm.values,
            "number": alarm.number,
            "cause": alarm.cause.value,
            "severity": CAUSES[alarm.cause].severity.value,
            "what": cause_line(alarm.cause, alarm.values),
            "what_it": cause_line(alarm.cause, alarm.values, Language.ITALIAN),
        }
        return CityEvent(kind, now, alarm.site, alarm.link, alarm.span, values={**values, **more})


def _settled(times: list[float], settle_s: float) -> float:
    """When signs of these times have settled."""
    first, newest = min(times, default=0.0), max(times, default=0.0)
    return min(max(first + settle_s, newest + _QUIET_S), first + 2.0 * settle_s)


def _places(alarm: _Alarm) -> dict[str, Value]:
    places = (("site", alarm.site), ("link", alarm.link), ("span", alarm.span))
    return {name: str(place) for name, place in places if place is not None}


def _measured(symptoms: Iterable[Symptom]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for symptom in symptoms:
        values.update(symptom.event.values)
    return values
