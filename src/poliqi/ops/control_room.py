"""What is put around a controller's core: the dashboard, the page for supervisors, where alarms go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from poliqi.base.errors import PoliqiError
from poliqi.base.ids import KmeId
from poliqi.control.city import SpanId
from poliqi.control.servicelevel import MonthReport
from poliqi.control.view import AlarmView, CityView
from poliqi.edge.asgi import Application
from poliqi.edge.outlet import Outlet, alarm_record
from poliqi.edge.syslog import SyslogOutlet
from poliqi.edge.webhook import WebhookOutlet, read_secret
from poliqi.node.control import ControlRoom, Surroundings
from poliqi.node.control_figures import METRICS, OutletCount, city_values
from poliqi.node.plant import SpanState, read_plant, steer
from poliqi.node.site_status import StatusApplication
from poliqi.ops.control_toml import ControllerFile
from poliqi.ops.month_report import read_report
from poliqi.ops.web.application import Dashboard
from poliqi.ops.web.settings import DashboardSettings, read_tokens
from poliqi.ops.web.source import Action, ActionKind, Fault

__all__ = ["RoomSource", "surround"]

_TAP: Final = "intercept=0.3"


class RoomSource:
    """A running controller as the dashboard sees it: satisfies `poliqi.ops.web.source.CitySource`."""

    def __init__(self, room: ControlRoom, plant: Path | None) -> None:
        self._room: Final = room
        self._plant: Final = plant

    @property
    def version(self) -> int:
        return self._room.version

    def view(self) -> CityView:
        return self._room.view()

    @property
    def past_alarms(self) -> tuple[AlarmView, ...]:
        return self._room.past_alarms

    async def changed(self, version: int) -> int:
        return await self._room.changed(version)

    def faults(self) -> Mapping[SpanId, Fault]:
        """What was done to the simulated fibres of a demonstration."""
        if self._plant is None:
            return {}
        spans = read_plant(self._plant)
        found = {SpanId(name): _fault(state) for name, state in spans.items()}
        return {span: fault for span, fault in found.items() if fault is not None}

    async def report(self, year: int, month: int) -> MonthReport | None:
        """The service of a month; read beside the loop, for a month's log is long."""
        state, city = self._room.settings.state, self._room.driver.core.city
        return await asyncio.to_thread(read_report, state, city, year, month, time.time_ns())

    async def act(self, action: Action) -> str:
        """Do what a person asks for. Nothing where it was done, else why not."""
        try:
            return self._act(action)
        except PoliqiError as error:
            return str(error)

    def _act(self, action: Action) -> str:
        subject, who, room = action.subject, action.who, self._room
        match action.kind:
            case ActionKind.DRAIN | ActionKind.UNDRAIN:
                room.drain(KmeId(subject), action.kind is ActionKind.DRAIN, who)
            case ActionKind.ACKNOWLEDGE:
                if not (subject.isdecimal() and len(subject) < 19 and room.acknowledge(int(subject), who)):
                    return f"alarm {subject[:20]} is over, or somebody has seen it"
            case ActionKind.CUT | ActionKind.MEND | ActionKind.LISTEN:
                if self._plant is None:
                    return "the fibres of this city are real: only those of a demonstration are cut here"
                states = {ActionKind.CUT: SpanState(cut=True), ActionKind.LISTEN: SpanState(eve=_TAP)}
                steer(self._plant, subject, states.get(action.kind, SpanState()))
                room.say("plant", f"{who}: {action.kind} {subject} (simulated fibre)", who=who)
        return ""


def _fault(state: SpanState) -> Fault | None:
    if state.cut:
        return Fault.CUT
    return Fault.TAPPED if state.eve else None


class _Figures:
    """What supervisors see of a controller."""

    def __init__(self, room: ControlRoom, outlets: Sequence[Outlet]) -> None:
        self._room: Final = room
        self._outlets: Final = outlets

    def values(self) -> Iterable[tuple[str, dict[str, str], float]]:
        """Figures for Prometheus."""
        counts = [OutletCount(o.name, o.sent, o.failed, o.dropped) for o in self._outlets]
        return city_values(
            self._room.view(), self._room.counts, counts, self._room.expiry.days_left(datetime.now(UTC))
        )

    def status(self) -> dict[str, Any]:
        """The city in a few lines."""
        view = self._room.view()
        return {
            "city": view.city.name,
            "controller": view.controller,
            "epoch": view.epoch,
            "in_charge": view.is_in_charge,
            "simulated": view.city.is_simulated,
            "sites_up": view.sites_up,
            "sites": {s.kme: "up" if s.is_up else "away" for s in view.sites},
            "key_rate_bps": view.key_rate_bps,
            "hours_left": view.hours_left,
            "links": {link.link: link.state.value for link in view.links},
            "demands": {d.name: {"wanted_bps": d.wanted_bps, "granted_bps": d.granted_bps} for d in view.demands},
            "alarms": [
                {"number": a.number, "cause": a.cause, "span": a.span, "link": a.link, "site": a.site}
                for a in view.alarms
            ],
        }


def surround(file: ControllerFile, room: ControlRoom) -> Surroundings:
    """Everything around a controller. Raises ConfigError where a file that it needs cannot be used."""

    def complain(line: str) -> None:
        room.say("outlet", line, level="warning")

    outlets: list[Outlet] = [
        SyslogOutlet(s.to, complain, None if s.authority is None else Path(s.authority)) for s in file.syslog
    ]
    outlets += [WebhookOutlet(w.url, read_secret(Path(w.secret_file)), complain) for w in file.webhooks]

    def alarmed(alarm: AlarmView) -> None:
        city = room.view().city  # simulated also where a link says so and the plan forgot
        names = city.name, file.settings.controller
        record = alarm_record(alarm, *names, room.wall_s, is_simulated=city.is_simulated)
        for outlet in outlets:
            outlet.send(record)

    status = StatusApplication(_Figures(room, outlets), lambda: room.driver.failure, METRICS)
    page: Dashboard | None = None
    if file.settings.web is not None:
        settings = _dashboard_settings(file)
        page = Dashboard(RoomSource(room, file.plant), settings, lambda line: room.say("web", line))

    def reload() -> None:
        if page is not None:
            page.change(_dashboard_settings(file))

    async def close() -> None:
        if page is not None:
            await page.close()
        await asyncio.gather(*(outlet.close() for outlet in outlets))

    web = cast("Application | None", page)  # ASGI's mappings are typed as Starlette types them
    return Surroundings(status, web, alarmed, reload, close)


def _dashboard_settings(file: ControllerFile) -> DashboardSettings:
    return DashboardSettings(
        open_role=file.web.local_role,
        certificates=file.web.certificates,
        tokens=() if file.tokens is None else read_tokens(file.tokens),
        is_demo=file.plant is not None,
        desks=file.web.desks,
        laboratories=file.web.laboratories,
    )
