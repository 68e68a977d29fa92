"""Every route of the dashboard in one table: what it is for, what it asks of a person, who answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from poliqi.control.servicelevel import report_json
from poliqi.ops.web.actions import ACTIONS, confirmation
from poliqi.ops.web.api import RESOURCES, Resource
from poliqi.ops.web.entrance import ENTRANCE
from poliqi.ops.web.month import MonthName, month_page
from poliqi.ops.web.pages import PAGES, Page
from poliqi.ops.web.render import page_text
from poliqi.ops.web.roles import Permission
from poliqi.ops.web.route import Answer, Kind, RouteRow
from poliqi.ops.web.source import Action, ActionKind
from poliqi.ops.web.visit import Visit, json_answer, page_answer, see

if TYPE_CHECKING:
    from poliqi.ops.web.application import Dashboard

__all__ = ["routes"]


def routes(is_demo: bool) -> tuple[RouteRow[Any], ...]:
    """All routes; those that touch simulated fibres in a demo only."""
    return (
        *(RouteRow("GET", p.path, Kind.PAGE, Permission.READ, _page(p), p.meaning) for p in PAGES),
        *(RouteRow("GET", r.path, Kind.JSON, Permission.READ, _resource(r), r.meaning) for r in RESOURCES),
        *(row for kind in ActionKind if is_demo or not ACTIONS[kind].is_demo for row in _action_rows(kind)),
        *_OTHERS,
        *ENTRANCE,
    )


# ---- pages and objects


def _page(page: Page) -> Answer[Dashboard]:
    async def answer(dashboard: Dashboard, visit: Visit) -> Response:
        scene = dashboard.scene(visit.say)
        built = page.build(scene, visit.names, visit.query)
        if built is None:
            return dashboard.refuse(visit, Kind.PAGE, HTTPStatus.NOT_FOUND)
        json = page.json.format_map({name: quote(value, safe="") for name, value in visit.names.items()})
        return page_answer(page_text(page, built, dashboard.frame(visit), scene, json))

    return answer


def _resource(resource: Resource) -> Answer[Dashboard]:
    async def answer(dashboard: Dashboard, visit: Visit) -> Response:
        found = resource.build(dashboard.scene(visit.say), visit.names)
        return dashboard.refuse(visit, Kind.JSON, HTTPStatus.NOT_FOUND) if found is None else json_answer(found)

    return answer


async def _live(dashboard: Dashboard, visit: Visit) -> Response:
    return dashboard.stream(visit)


async def _desks(dashboard: Dashboard, visit: Visit) -> Response:
    more = {"tab": "/send", "desks": dashboard.settings.desks, "laboratories": dashboard.settings.laboratories}
    return page_answer(dashboard.text("desks.html", visit, visit.say("desks.title"), **more))


# ---- the month report


async def _report(dashboard: Dashboard, visit: Visit) -> Response:
    name = MonthName.read(visit.query.get("month", ""), dashboard.wall())
    if name is None:
        return dashboard.refuse(visit, Kind.PAGE, HTTPStatus.NOT_FOUND)
    found = await dashboard.reports.of(name)
    more = month_page(dashboard.scene(visit.say), name, found)
    json = f"/api/report?month={name}"
    return page_answer(
        dashboard.text("report.html", visit, visit.say("report.title"), tab="/report", json=json, **more)
    )


async def _report_json(dashboard: Dashboard, visit: Visit) -> Response:
    name = MonthName.read(visit.query.get("month", ""), dashboard.wall())
    found = None if name is None else await dashboard.reports.of(name)
    if found is None:
        return dashboard.refuse(visit, Kind.JSON, HTTPStatus.NOT_FOUND)
    return json_answer(msgspec.Raw(report_json(found)))


# ---- actions


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subject: str


def _action_rows(kind: ActionKind) -> tuple[RouteRow[Dashboard], ...]:
    may = ACTIONS[kind].permission

    async def ask(dashboard: Dashboard, visit: Visit) -> Response:
        return _question(dashboard, visit, kind, visit.names["subject"])

    async def act(dashboard: Dashboard, visit: Visit) -> Response:
        subject = visit.form.get("subject", "")
        asked = confirmation(dashboard.scene(visit.say), kind, subject)
        refused = "" if asked is None else await _do(dashboard, visit, kind, subject)
        if asked is None or refused:
            return _question(dashboard, visit, kind, subject, refused)
        return see(asked.back)

    async def act_json(dashboard: Dashboard, visit: Visit) -> Response:
        try:
            subject = msgspec.json.decode(await visit.request.body(), type=_Asked).subject
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return json_answer({"message": 'send {"subject": "NAME"}'}, HTTPStatus.BAD_REQUEST)
        if confirmation(dashboard.scene(visit.say), kind, subject) is None:
            return dashboard.refuse(visit, Kind.JSON, HTTPStatus.NOT_FOUND)
        refused = await _do(dashboard, visit, kind, subject)
        if refused:
            return json_answer({"message": refused}, HTTPStatus.CONFLICT)
        return json_answer({"done": kind, "subject": subject})

    return (
        RouteRow(
            "GET", f"/confirm/{kind}/{{subject}}", Kind.PAGE, may, ask, f"says what `{kind}` would do, and asks"
        ),
        RouteRow("POST", f"/act/{kind}", Kind.FORM, may, act, f"does `{kind}`"),
        RouteRow("POST", f"/api/act/{kind}", Kind.JSON, may, act_json, f"does `{kind}`"),
    )


def _question(dashboard: Dashboard, visit: Visit, kind: ActionKind, subject: str, refused: str = "") -> Response:
    asked = confirmation(dashboard.scene(visit.say), kind, subject)
    if asked is None:
        return dashboard.refuse(visit, Kind.PAGE, HTTPStatus.NOT_FOUND)
    text = dashboard.text(
        "confirm.html",
        visit,
        asked.question,
        question=asked.question,
        what_happens=asked.what_happens,
        back=asked.back,
        action=kind.value,
        subject=subject,
        is_danger=ACTIONS[kind].is_danger,
        refused=refused,
    )
    return page_answer(text, HTTPStatus.CONFLICT if refused else HTTPStatus.OK)


async def _do(dashboard: Dashboard, visit: Visit, kind: ActionKind, subject: str) -> str:
    """Have it done; why not, where it was not."""
    assert visit.person is not None
    who = visit.person.name or visit.person.role.value
    refused = await dashboard.source.act(Action(kind, subject, who))
    dashboard.people.note(who, kind.value, subject, refused)
    return refused


_OTHERS: Final = (
    RouteRow("GET", "/send", Kind.PAGE, Permission.READ, _desks, "where each place's own pages are, to send files"),
    RouteRow("GET", "/report", Kind.PAGE, Permission.READ, _report, "the month report; `?month=2026-11`"),
    RouteRow("GET", "/api/report", Kind.JSON, Permission.READ, _report_json, "the month report; `?month=2026-11`"),
    RouteRow(
        "GET", "/live", Kind.STREAM, Permission.READ, _live, "patches of the page `?at=`, as server-sent events"
    ),
)
