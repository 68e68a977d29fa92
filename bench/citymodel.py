"""A city that lives in memory: for benchmarks, tests and pictures of the dashboard. Its figures are made up."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City, ClassicalChannel, Demand, QuantumLink, Site, Span, SpanId
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.messages import LightState
from poliqi.control.servicelevel import Gap, LinkLevel, MonthReport, Outage, ServiceLine, month_ns
from poliqi.control.view import (
    AlarmView,
    CityView,
    DemandView,
    LinkView,
    PoolView,
    RouteView,
    Sample,
    SiteView,
)
from poliqi.ops.web.source import Action, ActionKind, Fault

__all__ = ["LiveCity", "milan", "sample_month", "sample_view"]

_SITES = (
    ("leonardo", "Polimi Leonardo", 45.4784, 9.2277),
    ("bovisa", "Polimi Bovisa", 45.503, 9.157),
    ("santa-barbara", "Caserma Santa Barbara", 45.467, 9.129),
    ("intesa", "Intesa Sanpaolo", 45.469, 9.190),
    ("aria", "ARIA", 45.492, 9.194),
)
_LENGTHS_KM = (7.0, 9.0, 6.0, 3.5, 5.0)
_HISTORY = 240


def milan() -> City:
    """Five sites in a ring; lengths and losses are invented."""
    names = [KmeId(name) for name, *_ in _SITES]
    sites = tuple(Site(KmeId(k), title, lat, lon, switch_loss_db=1.5) for k, title, lat, lon in _SITES)
    ring = [(names[i], names[(i + 1) % 5]) for i in range(5)]
    light = (ClassicalChannel(1550.12, -3.0),)
    spans = tuple(
        Span(
            SpanId(f"{a}-{b}"),
            (a, b),
            km,
            0.3,
            2.0,
            frozenset({"duct-north"}) if i in (0, 4) else frozenset(),
            light if i == 3 else (),
            is_invented=True,
        )
        for i, ((a, b), km) in enumerate(zip(ring, _LENGTHS_KM, strict=True))
    )
    links = tuple(QuantumLink(LinkId(s.span), s.ends, (s.span,), "simulated decoy BB84") for s in spans)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    demands = tuple(Demand(f"{a}-{b}", (a, b), 4000.0, priority=7 if b == "aria" else 3) for a, b in pairs)
    return City("Milano", sites, spans, links, demands, is_simulated=True)


def sample_view(
    city: City, now: float, faults: Mapping[SpanId, Fault] | None = None, since: float = 0.0
) -> CityView:
    """How such a city may look at a time; `faults` began at `since`."""
    faults = faults or {}
    names = [s.kme for s in city.sites]
    links = tuple(_link(city, link, i, now, faults, since) for i, link in enumerate(city.links))
    dark = {link.link for link in links if link.state is not LightState.LIT}
    events, alarms = _story(city, now, faults, since)
    return CityView(
        city=city,
        controller="control-milano",
        epoch=3,
        now=now,
        is_in_charge=True,
        sites=tuple(
            SiteView(
                k, True, False, now % 1.0, "poliqi 0.1.0", 17, 12_345 + i * 991 + int(now), 13_000, i * 3, 4, 4
            )
            for i, k in enumerate(names)
        ),
        links=links,
        pools=tuple(
            PoolView(
                d.ends, int(4e6 + 1e5 * i + 3e4 * math.sin(now / 7 + i)), 1_500_000, 310.0 + i, 420.0, 3.4 + 0.2 * i
            )
            for i, d in enumerate(city.demands)
        ),
        demands=tuple(_demand(city, d, dark) for d in city.demands),
        alarms=alarms,
        events=events,
        last_change_s=0.012,
    )


def _link(
    city: City, link: QuantumLink, number: int, now: float, faults: Mapping[SpanId, Fault], since: float
) -> LinkView:
    found = {faults[s] for s in link.spans if s in faults}
    state = LightState.DARK if Fault.CUT in found else LightState.KEYLESS if found else LightState.LIT
    loss = city.loss_db(link)

    def sample(at: float) -> Sample:
        ill = bool(found) and at >= since
        rate = 0.0 if ill else 9e4 * 10 ** (-loss / 12.0) * (1.0 + 0.06 * math.sin(at / 9.0 + number))
        qber = 0.011 + 0.002 * math.sin(at / 13.0 + number) + (0.17 if ill else 0.0)
        if ill and Fault.CUT in found:
            return Sample(at, None, None, None, None, 3_200_000)
        measured = loss + 0.08 * math.sin(at / 21.0 + 2 * number)
        stock = int(3.2e6 + 4e5 * math.sin(at / 90.0 + number))
        return Sample(at, rate, qber, qber * 1.15, measured, stock)

    history = tuple(sample(now - 2.0 * i) for i in range(_HISTORY - 1, -1, -1))
    last = history[-1]
    reason = {LightState.DARK: "no detections", LightState.KEYLESS: "QBER 18.2 % is above 11 %"}.get(state, "")
    return LinkView(
        link.link,
        state,
        True,
        0.4,
        last.key_rate_bps,
        last.qber_key,
        last.qber_test,
        last.loss_db,
        loss,
        None,
        482 + number,
        reason,
        last.stock_bits,
        0.0 if state is not LightState.LIT else 0.4 * (last.key_rate_bps or 0.0),
        history,
    )


def _demand(city: City, demand: Demand, dark: set[LinkId]) -> DemandView:
    """Round the ring, the way that is whole."""
    names = [s.kme for s in city.sites]
    a, b = (names.index(end) for end in demand.ends)
    ways = [names[a : b + 1], names[a::-1] + names[: b - 1 : -1] if b else names[a::-1]]
    whole = [
        way
        for way in ways
        if not any(LinkId(f"{x}-{y}") in dark or LinkId(f"{y}-{x}") in dark for x, y in pairwise(way))
    ]
    best = min(whole, key=len, default=None)
    is_direct = best is not None and len(best) == 2
    routes = () if best is None or is_direct else (RouteView((tuple(best),), demand.rate_bps),)
    granted = demand.rate_bps if best else 0.0
    return DemandView(
        demand.name, demand.ends, demand.rate_bps, granted, granted * 0.4, demand.priority, routes, is_direct
    )


def _story(
    city: City, now: float, faults: Mapping[SpanId, Fault], since: float
) -> tuple[tuple[CityEvent, ...], tuple[AlarmView, ...]]:
    kinds = CityEventKind
    start = min(now, since) - 600.0
    events = [CityEvent(kinds.CONTROLLER_STARTED, start, values={"controller": "control-milano", "epoch": 3})]
    events += [CityEvent(kinds.SITE_CONNECTED, start + i, site=s.kme) for i, s in enumerate(city.sites)]
    events += [CityEvent(kinds.LINK_LIT, start + 8 + i, link=k.link) for i, k in enumerate(city.links)]
    alarms: list[AlarmView] = []
    for number, (span, fault) in enumerate(faults.items(), 1):
        link = next(k for k in city.links if span in k.spans)
        if fault is Fault.CUT:
            cause = "span-cut"
            story = [
                CityEvent(kinds.LINK_DARK, since, site=link.ends[1], link=link.link, span=span),
                CityEvent(
                    kinds.REROUTED,
                    since + 0.4,
                    site=link.ends[0],
                    values={
                        "other": link.ends[1],
                        "path": " > ".join([link.ends[0], city.sites[4].kme, link.ends[1]]),
                    },
                ),
                CityEvent(
                    kinds.DEMAND_SHORT,
                    since + 0.5,
                    demand=city.demands[0].name,
                    values={"granted": 2000.0, "wanted": 4000.0},
                ),
            ]
        else:
            cause = "eavesdropper"
            story = [
                CityEvent(
                    kinds.LINK_QBER,
                    since,
                    link=link.link,
                    span=span,
                    values={"qber": 0.18, "usual": 0.011, "basis": "key"},
                ),
                CityEvent(kinds.LINK_KEYLESS, since + 0.2, link=link.link, span=span, values={"what": "QBER"}),
            ]
        events += story
        alarms.append(AlarmView(number, cause, since, None, link.link, span, {"links": link.link}, tuple(story)))
    return tuple(sorted(events, key=lambda e: -e.at)), tuple(alarms)


def sample_month(city: City, year: int, month: int) -> MonthReport:
    """How a month of such a city may have been: one demand did not get what was promised."""
    start_ns, end_ns = month_ns(year, month)
    seen_s = (end_ns - start_ns) / 1e9 - 90.0
    demands: list[ServiceLine] = []
    for i, d in enumerate(city.demands):
        missing_s = 5400.0 if i == 3 else 30.0
        cause = ("link-dark", "leonardo-bovisa")
        outage = Outage(start_ns + 86_400_000_000_000 * (i + 1), missing_s, (cause,))
        line = ServiceLine(
            d.name, seen_s, 0.0, seen_s - missing_s, d.rate_bps * seen_s, d.rate_bps * 0.9998 * seen_s
        )
        demands.append(replace(line, delivered_bits=310.0 * seen_s, outages=[outage]))
    links = [
        LinkLevel(k.link, seen_s, seen_s * (0.9991 - 1e-4 * i), 41e3 * seen_s) for i, k in enumerate(city.links)
    ]
    gaps = (Gap(start_ns + 7 * 86_400_000_000_000, 90.0),)
    return MonthReport(
        city.name,
        True,
        start_ns,
        end_ns,
        0.999,
        seen_s,
        gaps,
        tuple(demands),
        tuple(links),
        4_211_904,
        4_300_112,
        317,
    )


class LiveCity:
    """A `CitySource`: each reading of the view is newer; cut, mend and listen do what they say."""

    def __init__(self, city: City | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.city = city or milan()
        self.asked: list[Action] = []
        self.refuses = ""
        self.past: list[AlarmView] = []
        self.months: dict[tuple[int, int], MonthReport] = {}
        self.reported = 0
        self._clock = clock
        self._faults: dict[SpanId, Fault] = {}
        self._since = clock()
        self._version = 1
        self._changed = asyncio.Event()

    @property
    def version(self) -> int:
        return self._version

    def view(self) -> CityView:
        view = sample_view(self.city, self._clock(), self._faults, self._since)
        draining = {a.subject for a in self.asked if a.kind is ActionKind.DRAIN} - {
            a.subject for a in self.asked if a.kind is ActionKind.UNDRAIN
        }
        sites = tuple(replace(s, is_draining=s.kme in draining) for s in view.sites)
        seen = {a.subject: a.who for a in self.asked if a.kind is ActionKind.ACKNOWLEDGE}
        alarms = tuple(replace(a, seen_by=seen.get(str(a.number))) for a in view.alarms)
        return replace(view, sites=sites, alarms=alarms)

    def stir(self) -> None:
        """Say that something changed."""
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, version: int) -> int:
        while self._version == version:
            await self._changed.wait()
        return self._version

    @property
    def past_alarms(self) -> tuple[AlarmView, ...]:
        return tuple(self.past)

    def faults(self) -> Mapping[SpanId, Fault]:
        return self._faults

    async def report(self, year: int, month: int) -> MonthReport | None:
        self.reported += 1
        return self.months.get((year, month))

    async def act(self, action: Action) -> str:
        if self.refuses:
            return self.refuses
        self.asked.append(action)
        span = SpanId(action.subject)
        match action.kind:
            case ActionKind.CUT:
                self._faults[span], self._since = Fault.CUT, self._clock()
            case ActionKind.LISTEN:
                self._faults[span], self._since = Fault.TAPPED, self._clock()
            case ActionKind.MEND:
                over = [replace(a, cleared=self._clock()) for a in self.view().alarms if a.span == span]
                self.past = [*over, *self.past]
                self._faults.pop(span, None)
            case _:
                pass
        self.stir()
        return ""
