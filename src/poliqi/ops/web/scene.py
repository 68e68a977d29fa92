"""A snapshot as the pages of one language tell it: names for ids, moments for clock readings, how things stand."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.causes import cause_advice, cause_line
from poliqi.control.city import SpanId
from poliqi.control.events import EVENTS, CityEvent, Severity, event_line
from poliqi.control.lines import Value
from poliqi.control.messages import LightState
from poliqi.control.view import AlarmView, DemandView, LinkView, PoolView, SiteView
from poliqi.ops.web.snapshot import Snapshot
from poliqi.ops.web.source import Fault
from poliqi.ops.web.speaker import Speaker

__all__ = ["Level", "Scene"]


class Level(StrEnum):
    """How something stands; each has a colour and a word."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    OFF = "off"
    """Nothing is known."""


_LEVEL_OF_LIGHT: Final = {
    LightState.LIT: Level.GOOD,
    LightState.KEYLESS: Level.BAD,
    LightState.DARK: Level.BAD,
    LightState.SILENT: Level.WARN,
}
_LEVEL_OF_SEVERITY: Final = {
    Severity.INFO: Level.OFF,
    Severity.WARNING: Level.WARN,
    Severity.ERROR: Level.BAD,
    Severity.CRITICAL: Level.BAD,
}


class Scene:
    """A snapshot and who speaks of it."""

    def __init__(self, snapshot: Snapshot, say: Speaker) -> None:
        self.view: Final = snapshot.view
        self.say: Final = say
        self.past_alarms: Final = snapshot.past
        self.now_unix_s: Final = snapshot.unix_s
        self._faults: Final = snapshot.faults

    # ---- by name

    @cached_property
    def site(self) -> dict[KmeId, SiteView]:
        return {s.kme: s for s in self.view.sites}

    @cached_property
    def link(self) -> dict[LinkId, LinkView]:
        return {link.link: link for link in self.view.links}

    @cached_property
    def open_alarms(self) -> tuple[AlarmView, ...]:
        return tuple(a for a in self.view.alarms if a.cleared is None)

    # ---- names

    def site_name(self, kme: str) -> str:
        """A site's title; its id where the plan does not know it."""
        found = self.view.city.site.get(KmeId(kme))
        return found.title if found else kme

    def pair_name(self, ends: Sequence[str]) -> str:
        """Two sites' titles."""
        return " – ".join(self.site_name(end) for end in ends)

    def link_name(self, link: str) -> str:
        """The titles of a link's ends."""
        found = self.view.city.link.get(LinkId(link))
        return self.pair_name(found.ends) if found else link

    def span_name(self, span: str) -> str:
        """The titles of a span's ends."""
        found = self.view.city.span.get(SpanId(span))
        return self.pair_name(found.ends) if found else span

    def path_name(self, path: Sequence[str]) -> str:
        """Sites on the way."""
        return " → ".join(self.site_name(kme) for kme in path)

    # ---- how things stand

    def link_level(self, link: LinkView) -> Level:
        return _LEVEL_OF_LIGHT[link.state] if link.is_fresh else Level.OFF

    def link_word(self, link: LinkView) -> str:
        return self.say(f"light.{link.state}") if link.is_fresh else self.say("light.stale")

    def site_level(self, site: SiteView) -> Level:
        if not site.is_up:
            return Level.OFF if site.age_s is None else Level.BAD
        return Level.WARN if site.is_draining or site.peers_up < site.peers else Level.GOOD

    def site_word(self, site: SiteView) -> str:
        if not site.is_up:
            return self.say("site.never" if site.age_s is None else "site.down")
        return self.say("site.draining" if site.is_draining else "site.up")

    def demand_level(self, granted_bps: float, wanted_bps: float) -> Level:
        if granted_bps >= 0.999 * wanted_bps:
            return Level.GOOD
        return Level.WARN if granted_bps > 0.0 else Level.BAD

    @cached_property
    def short_demands(self) -> list[DemandView]:
        """Demands that get less than they want, the least served first."""
        short = [d for d in self.view.demands if self.demand_level(d.granted_bps, d.wanted_bps) is not Level.GOOD]
        return sorted(short, key=lambda d: (d.granted_bps / d.wanted_bps, d.name))

    def pool_level(self, pool: PoolView) -> Level:
        if pool.free_bits == 0:
            return Level.BAD
        return Level.WARN if pool.hours_left is not None and pool.hours_left < 1.0 else Level.GOOD

    def fault(self, span: str) -> Fault | None:
        """What was done to a simulated fibre."""
        return self._faults.get(SpanId(span))

    @cached_property
    def worst(self) -> Level:
        """The city in one word: bad with an open alarm, warn with anything that is not as it should be."""
        if self.open_alarms or not self.view.is_in_charge:
            return Level.BAD
        levels = {self.site_level(s) for s in self.view.sites} | {self.link_level(k) for k in self.view.links}
        levels |= {self.demand_level(d.granted_bps, d.wanted_bps) for d in self.view.demands}
        return Level.GOOD if levels <= {Level.GOOD} else Level.WARN

    # ---- events and times

    def unix_s(self, at: float) -> float:
        """Wall clock of a reading of the owner's clock."""
        return self.now_unix_s + at - self.view.now

    def when(self, at: float) -> str:
        """A moment for people."""
        return self.say.moment(self.unix_s(at), self.now_unix_s)

    def stamp(self, at: float) -> str:
        """A moment for machines."""
        return self.say.stamp(self.unix_s(at))

    def ago(self, at: float) -> str:
        return self.say.ago(self.view.now - at)

    def event_line(self, event: CityEvent) -> str:
        return event_line(event, self.say.language)

    def event_severity(self, event: CityEvent) -> Severity:
        return EVENTS[event.kind].severity

    def event_level(self, event: CityEvent) -> Level:
        return _LEVEL_OF_SEVERITY[EVENTS[event.kind].severity]

    # ---- alarms

    def alarm_title(self, alarm: AlarmView) -> str:
        """What the matter is."""
        line = cause_line(alarm.cause, self._alarm_values(alarm), self.say.language)
        return line[:1].upper() + line[1:]

    def alarm_advice(self, alarm: AlarmView) -> str:
        """What to do next."""
        return cause_advice(alarm.cause, self._alarm_values(alarm), self.say.language)

    def _alarm_values(self, alarm: AlarmView) -> dict[str, Value]:
        places = {"site": alarm.site and self.site_name(alarm.site), "link": alarm.link, "span": alarm.span}
        return {**{name: value for name, value in places.items() if value is not None}, **alarm.values}

    def alarm_of(self, event: CityEvent) -> AlarmView | None:
        """The alarm that explains an event."""
        return self._causes.get(id(event)) or next((a for a in self.alarms if event in a.explains), None)

    @cached_property
    def alarms(self) -> tuple[AlarmView, ...]:
        """All: open ones first."""
        return (*self.open_alarms, *self.past_alarms)

    @cached_property
    def _causes(self) -> dict[int, AlarmView]:
        return {id(event): alarm for alarm in reversed(self.alarms) for event in alarm.explains}

    def alarm(self, number: str) -> AlarmView | None:
        """An alarm by its number, open or over."""
        return next((a for a in self.alarms if str(a.number) == number), None)
