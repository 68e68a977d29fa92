"""The pages that anybody who may read sees: for each its address, its template and what it is filled with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from markupsafe import Markup

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.events import CityEvent, Severity
from poliqi.control.view import LinkView, Sample
from poliqi.ops.web.charts import Chart, Series, chart, spark
from poliqi.ops.web.mappainter import MapPainter
from poliqi.ops.web.scene import Level, Scene
from poliqi.ops.web.speaker import Quantity

__all__ = ["PAGES", "TABS", "Page", "page_at"]

Names = Mapping[str, str]
Build = Callable[[Scene, Names, Names], dict[str, Any] | None]
_EVENTS: Final = 200
_map: Final = MapPainter(640)
_narrow_map: Final = MapPainter(380, has_figures=False)


@dataclass(frozen=True, slots=True)
class Page:
    """`build` takes the scene, the names in the address and the query; None: there is no such thing.

    `tab` is the address of the page of the navigation to which this one belongs, `meaning` a line for the docs.
    """

    path: str
    template: str
    tab: str
    title: str
    build: Build
    json: str
    meaning: str


def _overview(scene: Scene, _names: Names, _query: Names) -> dict[str, Any]:
    view, say = scene.view, scene.say
    verdict = "overview.good" if scene.worst is Level.GOOD else "overview.warn"
    if not view.is_in_charge:
        verdict = "overview.not_in_charge"
    wide = _map(scene)
    return {
        "map": wide.drawing,
        "narrow_map": _narrow_map(scene).drawing,
        "pieces": wide.figures,
        "verdict": say(verdict),
        "short": scene.short_demands,
        "hours_why": say("overview.hours_why" if view.hours_left is not None else "overview.hours_none"),
    }


def _links(scene: Scene, _names: Names, query: Names) -> dict[str, Any]:
    wanted = query.get("q", "")
    found = [k for k in scene.view.links if _has(wanted, k.link, scene.link_name(k.link), scene.link_word(k))]
    return {"links": found, "query": wanted, "spark": _spark}


def _spark(link: LinkView) -> Markup:
    return spark([(s.at, s.key_rate_bps) for s in link.history])


def _link(scene: Scene, names: Names, _query: Names) -> dict[str, Any] | None:
    link, plan = scene.link.get(LinkId(names["link"])), scene.view.city.link.get(LinkId(names["link"]))
    if link is None or plan is None:
        return None
    spans = [scene.view.city.span[name] for name in plan.spans]
    return {
        "link": link,
        "plan": plan,
        "spans": spans,
        "alarms": [a for a in scene.open_alarms if a.link == link.link or (a.span and a.span in plan.spans)],
        "charts": _charts(scene, link),
        "events": [e for e in scene.view.events if e.link == link.link or (e.span and e.span in plan.spans)][:12],
        "page_title": scene.link_name(link.link),
    }


def _charts(scene: Scene, link: LinkView) -> list[Chart]:
    say, now = scene.say, scene.view.now
    first = min((s.at for s in link.history), default=now - 60.0)
    times = (min(first, now - 60.0), now)

    def line(name: str, style: str, pick: Callable[[Sample], float | None]) -> Series:
        return Series(name, style, [(s.at, pick(s)) for s in link.history])

    def draw(
        title: str, shown: Quantity, series: list[Series], label: Callable[[float], str], from_zero: bool = True
    ) -> Chart:
        return chart(
            title,
            str(shown),
            series,
            times,
            label,
            lambda at: say.moment(scene.unix_s(at), scene.now_unix_s),
            from_zero,
        )

    planned = Series(say("chart.planned"), "plan", [(times[0], link.planned_loss_db), (now, link.planned_loss_db)])
    return [
        draw(
            say("figure.key_rate"),
            say.rate(link.key_rate_bps),
            [line(say("figure.key_rate"), "one", lambda s: s.key_rate_bps)],
            lambda v: say.tick(v, "bit/s"),
        ),
        draw(
            say("figure.qber"),
            say.percent(link.qber_key),
            [
                line(say("figure.qber_key"), "one", lambda s: s.qber_key),
                line(say("figure.qber_test"), "two", lambda s: s.qber_test),
            ],
            lambda v: say.tick(100.0 * v, "%"),
        ),
        draw(
            say("figure.loss"),
            say.decibel(link.loss_db),
            [line(say("figure.loss"), "one", lambda s: s.loss_db), planned],
            lambda v: say.tick(v, "dB"),
            from_zero=False,
        ),
        draw(
            say("figure.stock"),
            say.bits(link.stock_bits),
            [line(say("figure.stock"), "one", lambda s: float(s.stock_bits))],
            lambda v: say.tick(v, "bit"),
        ),
    ]


def _sites(scene: Scene, _names: Names, query: Names) -> dict[str, Any]:
    wanted = query.get("q", "")
    found = [s for s in scene.view.sites if _has(wanted, s.kme, scene.site_name(s.kme), scene.site_word(s))]
    return {"sites": found, "query": wanted}


def _site(scene: Scene, names: Names, _query: Names) -> dict[str, Any] | None:
    kme = KmeId(names["site"])
    site, plan = scene.site.get(kme), scene.view.city.site.get(kme)
    if site is None or plan is None:
        return None
    pools = [(next(e for e in p.ends if e != kme), p) for p in scene.view.pools if kme in p.ends]
    links = [k for k in scene.view.links if kme in scene.view.city.link[k.link].ends]
    return {
        "site": site,
        "plan": plan,
        "pools": pools,
        "links": links,
        "alarms": [a for a in scene.open_alarms if a.site == kme],
        "events": [e for e in scene.view.events if kme in (e.site, e.values.get("other"))][:12],
        "page_title": plan.title,
    }


def _keys(scene: Scene, _names: Names, query: Names) -> dict[str, Any]:
    wanted = query.get("q", "")
    found = [p for p in scene.view.pools if _has(wanted, *p.ends, scene.pair_name(p.ends))]
    return {"pools": found, "query": wanted}


def _demands(scene: Scene, _names: Names, query: Names) -> dict[str, Any]:
    wanted = query.get("q", "")
    found = [d for d in scene.view.demands if _has(wanted, d.name, *d.ends, scene.pair_name(d.ends))]
    return {"demands": found, "query": wanted}


def _events(scene: Scene, _names: Names, query: Names) -> dict[str, Any]:
    wanted, chosen = query.get("q", ""), query.get("severity", "")

    def takes(event: CityEvent) -> bool:
        names = (event.site, event.link, event.span, event.demand, event.kind, scene.event_line(event))
        return (not chosen or scene.event_severity(event) == chosen) and _has(wanted, *(n or "" for n in names))

    found = [e for e in scene.view.events if takes(e)][:_EVENTS]
    return {
        "events": [(e, scene.alarm_of(e)) for e in found],
        "severities": list(Severity),
        "chosen": chosen,
        "query": wanted,
    }


def _alarms(scene: Scene, _names: Names, _query: Names) -> dict[str, Any]:
    return {"over": scene.past_alarms}


def _alarm(scene: Scene, names: Names, _query: Names) -> dict[str, Any] | None:
    found = scene.alarm(names["number"])
    return None if found is None else {"alarm": found, "page_title": scene.say("alarm.title", n=found.number)}


def _has(wanted: str, *texts: str) -> bool:
    """Every word of what is searched stands in one of the texts."""
    words = wanted.casefold().split()
    return all(any(word in text.casefold() for text in texts) for word in words)


PAGES: Final = (
    Page("/", "overview.html", "/", "overview.title", _overview, "/api/city", "the city at one glance"),
    Page(
        "/links", "links.html", "/links", "links.title", _links, "/api/links", "all quantum links; `?q=` searches"
    ),
    Page("/links/{link}", "link.html", "/links", "links.title", _link, "/api/links/{link}", "one link with charts"),
    Page("/sites", "sites.html", "/sites", "sites.title", _sites, "/api/sites", "all sites; `?q=` searches"),
    Page("/sites/{site}", "site.html", "/sites", "sites.title", _site, "/api/sites/{site}", "one site"),
    Page("/keys", "keys.html", "/keys", "keys.title", _keys, "/api/keys", "key left for each pair of sites"),
    Page(
        "/demands",
        "demands.html",
        "/demands",
        "demands.title",
        _demands,
        "/api/demands",
        "demands and their routes",
    ),
    Page(
        "/events",
        "events.html",
        "/events",
        "events.title",
        _events,
        "/api/events",
        "what happened and why; `?severity=` and `?q=` filter",
    ),
    Page("/alarms", "alarms.html", "/alarms", "alarms.title", _alarms, "/api/alarms", "open and past alarms"),
    Page("/alarms/{number}", "alarm.html", "/alarms", "alarms.title", _alarm, "/api/alarms/{number}", "one alarm"),
)
TABS: Final = tuple((page.path, page.title) for page in PAGES if page.path == page.tab)


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


def page_at(path: str) -> tuple[Page, dict[str, str]] | None:
    """The page of a decoded address, and the names in it."""
    for page in PAGES:
        if found := _pattern(page.path).fullmatch(path):
            return page, found.groupdict()
    return None
