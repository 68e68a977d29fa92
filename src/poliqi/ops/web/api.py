"""The same as JSON: an object for everything that has a page, with wall-clock times instead of clock readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import SpanId
from poliqi.control.events import CityEvent
from poliqi.control.view import AlarmView
from poliqi.ops.web.scene import Scene

__all__ = ["RESOURCES", "Resource"]

Names = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Resource:
    """`build` gives what is sent; None: there is no such thing."""

    path: str
    build: Callable[[Scene, Names], Any]
    meaning: str


def _plain(value: Any) -> dict[str, Any]:
    return msgspec.to_builtins(value)


def _city(scene: Scene, _names: Names) -> dict[str, Any]:
    view = scene.view
    return {
        "name": view.city.name,
        "version": view.city.version,
        "simulated": view.city.is_simulated,
        "time": scene.stamp(view.now),
        "controller": view.controller,
        "epoch": view.epoch,
        "in_charge": view.is_in_charge,
        "sites": len(view.sites),
        "sites_up": view.sites_up,
        "key_rate_bps": view.key_rate_bps,
        "hours_left": view.hours_left,
        "alarms_open": len(scene.open_alarms),
        "state": scene.worst.value,
        "last_change_s": view.last_change_s,
    }


def _site(scene: Scene, names: Names) -> dict[str, Any] | None:
    found, plan = scene.site.get(KmeId(names["site"])), scene.view.city.site.get(KmeId(names["site"]))
    return None if found is None else {**(_plain(plan) if plan else {}), **_plain(found)}


def _sites(scene: Scene, _names: Names) -> list[Any]:
    return [_site(scene, {"site": s.kme}) for s in scene.view.sites]


def _link(scene: Scene, names: Names) -> dict[str, Any] | None:
    found, plan = scene.link.get(LinkId(names["link"])), scene.view.city.link.get(LinkId(names["link"]))
    if found is None or plan is None:
        return None
    history = [_timed(scene, _plain(sample), "at") for sample in found.history]
    return {**_plain(plan), **_plain(found), "history": history}


def _links(scene: Scene, _names: Names) -> list[Any]:
    return [
        {k: v for k, v in (_link(scene, {"link": found.link}) or {}).items() if k != "history"}
        for found in scene.view.links
    ]


def _span(scene: Scene, names: Names) -> dict[str, Any] | None:
    found = scene.view.city.span.get(SpanId(names["span"]))
    if found is None:
        return None
    fault = scene.fault(found.span)
    return {**_plain(found), "groups": sorted(found.groups), "loss_db": found.loss_db, "fault": fault}


def _spans(scene: Scene, _names: Names) -> list[Any]:
    return [_span(scene, {"span": s.span}) for s in scene.view.city.spans]


def _keys(scene: Scene, _names: Names) -> list[Any]:
    return [_plain(pool) for pool in scene.view.pools]


def _demands(scene: Scene, _names: Names) -> list[Any]:
    return [_plain(demand) for demand in scene.view.demands]


def _demand(scene: Scene, names: Names) -> dict[str, Any] | None:
    return next((_plain(d) for d in scene.view.demands if d.name == names["demand"]), None)


def _event(scene: Scene, event: CityEvent) -> dict[str, Any]:
    return {
        **_timed(scene, _plain(event), "at"),
        "severity": scene.event_severity(event).value,
        "text": scene.event_line(event),
    }


def _events(scene: Scene, _names: Names) -> list[Any]:
    causes = [(event, scene.alarm_of(event)) for event in scene.view.events]
    return [{**_event(scene, event), "alarm": alarm and alarm.number} for event, alarm in causes]


def _alarm(scene: Scene, names: Names) -> dict[str, Any] | None:
    found = scene.alarm(names["number"])
    return None if found is None else _told(scene, found)


def _told(scene: Scene, alarm: AlarmView) -> dict[str, Any]:
    plain = _timed(scene, _plain(alarm), "since")
    for moment in ("cleared", "seen_at"):
        plain[moment] = None if plain[moment] is None else scene.stamp(plain[moment])
    plain["text"], plain["advice"] = scene.alarm_title(alarm), scene.alarm_advice(alarm)
    plain["explains"] = [_event(scene, e) for e in alarm.explains]
    return plain


def _alarms(scene: Scene, _names: Names) -> list[Any]:
    return [_told(scene, alarm) for alarm in scene.alarms]


def _timed(scene: Scene, plain: dict[str, Any], name: str) -> dict[str, Any]:
    """With a clock reading as a moment."""
    return {"time" if key == "at" else key: scene.stamp(v) if key == name else v for key, v in plain.items()}


RESOURCES: Final = (
    Resource("/api/city", _city, "the numbers of the overview"),
    Resource("/api/sites", _sites, "all sites"),
    Resource("/api/sites/{site}", _site, "one site: its plan and how it is"),
    Resource("/api/links", _links, "all quantum links, without their history"),
    Resource("/api/links/{link}", _link, "one link with its history"),
    Resource("/api/spans", _spans, "all fibres"),
    Resource("/api/spans/{span}", _span, "one fibre; `fault` is what was done to a simulated one"),
    Resource("/api/keys", _keys, "levels of key for each pair of sites, never bytes"),
    Resource("/api/demands", _demands, "all demands with their routes"),
    Resource("/api/demands/{demand}", _demand, "one demand"),
    Resource(
        "/api/events", _events, "the latest events, newest first; `alarm` is the number of the one that explains it"
    ),
    Resource("/api/alarms", _alarms, "open and past alarms"),
    Resource("/api/alarms/{number}", _alarm, "one alarm and the events that it explains"),
)
