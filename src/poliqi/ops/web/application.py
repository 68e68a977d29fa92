"""The dashboard as an ASGI application: recognises who asks, holds every route to what it asks of a person."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from poliqi.base.errors import PoliqiError
from poliqi.control.city import SpanId
from poliqi.ops.web.guard import HEADERS, is_for_loopback, is_from_another_page, is_same_origin
from poliqi.ops.web.live import Broadcast, ChannelKey
from poliqi.ops.web.month import Reports
from poliqi.ops.web.pages import page_at
from poliqi.ops.web.people import People, Person, Way
from poliqi.ops.web.render import Frame, pieces_of, text_of
from poliqi.ops.web.route import Kind, RouteRow
from poliqi.ops.web.routes import routes
from poliqi.ops.web.scene import Scene
from poliqi.ops.web.settings import DashboardSettings
from poliqi.ops.web.snapshot import Snapshot
from poliqi.ops.web.source import CitySource, Fault
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.visit import Visit, form_of, json_answer, language_of, page_answer, see, session_cookie

__all__ = ["Dashboard", "dashboard"]

_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_LONGEST_AT: Final = 600


def dashboard(
    source: CitySource, doors: DashboardSettings, complain: Callable[[str], None] = lambda _: None
) -> Dashboard:
    """The dashboard of a city. Serve it with `HttpsServer`: plain HTTP on loopback, TLS elsewhere."""
    return Dashboard(source, doors, complain)


class Dashboard:
    """An ASGI 3 application. Close it before its server is drained: that ends the streams of live pages."""

    def __init__(
        self,
        source: CitySource,
        settings: DashboardSettings,
        complain: Callable[[str], None] = lambda _: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.source: Final = source
        self.settings = settings
        self.wall: Final = wall
        self.people: Final = People(settings, wall)
        self.reports: Final = Reports(source, wall, complain)
        self._complain: Final = complain
        self._broadcast: Final = Broadcast(source, self.look, self._render, settings.viewers, complain)
        self._application: Final = Starlette(
            routes=[Route(row.path, self._endpoint(row), methods=[row.method]) for row in routes(settings.is_demo)],
            exception_handlers={HTTPStatus.NOT_FOUND: self._lost, HTTPStatus.METHOD_NOT_ALLOWED: self._lost},
        )

    @property
    def viewers(self) -> int:
        """How many pages are live."""
        return self._broadcast.viewers

    def change(self, settings: DashboardSettings) -> None:
        """Other tokens, certificates or roles: logins that they no longer allow end. `is_demo` stays as it was."""
        self.settings = self.people.settings = settings

    async def close(self) -> None:
        """End all live streams; pages are still answered."""
        await self._broadcast.close()

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer one request (ASGI 3)."""

        async def dressed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(dict(message))

        host = next((v.decode("latin-1") for n, v in scope["headers"] if n == b"host"), "localhost")
        if scope["scheme"] == "http" and not is_for_loopback(host):
            misdirected = Response("ask for localhost\n", HTTPStatus.MISDIRECTED_REQUEST, media_type="text/plain")
            await misdirected(scope, receive, dressed)
        else:
            await self._application(scope, receive, dressed)

    # ---- who may pass

    def _endpoint(self, row: RouteRow) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            visit = await self._visit(request)
            if is_from_another_page(request) or (request.method == "POST" and not is_same_origin(request)):
                return self.refuse(visit, row.kind, HTTPStatus.FORBIDDEN)
            if row.permission is not None:
                if visit.person is None:
                    return self._send_to_login(visit, row.kind)
                if not visit.person.may(row.permission):
                    return self.refuse(visit, row.kind, HTTPStatus.FORBIDDEN)
                if not self._is_meant(row, visit, visit.person):
                    return self.refuse(visit, row.kind, HTTPStatus.FORBIDDEN)
            return await row.answer(self, visit)

        return endpoint

    def _is_meant(self, row: RouteRow, visit: Visit, person: Person) -> bool:
        """False where another site's page could have made a browser send this: a form without our token, or an
        object that is not declared as JSON (no form of another site can do that, and no script without our leave).
        """
        if row.method != "POST":
            return True
        if row.kind is Kind.JSON:
            return visit.request.headers.get("content-type", "").partition(";")[0] == "application/json"
        return self.people.is_form_token(person, visit.form.get("token", ""))

    def _person(self, request: Request) -> Person | None:
        """Who asks."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        return self.people.recognise(
            request.url.scheme,
            request.scope.get("state", {}).get("caller"),
            request.cookies.get(session_cookie(request)[0], ""),
            bearer if scheme.lower() == "bearer" else "",
        )

    async def _visit(self, request: Request) -> Visit:
        form: dict[str, str] = {}
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            try:
                form = form_of(await request.body())
            except ValueError:
                form = {}
        return Visit(request, self._person(request), Speaker(language_of(request)), form)

    def _send_to_login(self, visit: Visit, kind: Kind) -> Response:
        if kind is Kind.PAGE and visit.request.method == "GET":
            return see(f"/login?back={quote(visit.here, safe='')}")
        return self.refuse(visit, kind, HTTPStatus.UNAUTHORIZED)

    # ---- answers

    def refuse(self, visit: Visit, kind: Kind, status: HTTPStatus) -> Response:
        """An error, as a page or as an object."""
        if kind in (Kind.JSON, Kind.STREAM):
            answer = json_answer({"message": status.phrase}, status)
        else:
            heading, text = visit.say(f"message.e{status.value}"), visit.say(f"message.e{status.value}_why")
            answer = page_answer(self.text("message.html", visit, heading, heading=heading, text=text), status)
        if status is HTTPStatus.UNAUTHORIZED:
            answer.headers["www-authenticate"] = "Bearer"
        return answer

    async def _lost(self, request: Request, error: Exception) -> Response:
        visit = await self._visit(request)
        kind = Kind.JSON if request.url.path.startswith("/api/") else Kind.PAGE
        return self.refuse(visit, kind, HTTPStatus(getattr(error, "status_code", 404)))

    def frame(self, visit: Visit) -> Frame:
        """What stands around the content of this visit's page."""
        token = "" if visit.person is None else self.people.form_token(visit.person)
        return Frame(self.settings, visit.say, visit.here, visit.person, token)

    def text(self, template: str, visit: Visit, title: str, **more: Any) -> str:
        """A page that does not move. Who is not logged in sees nothing of the city around it."""
        scene = None if visit.person is None else self.scene(visit.say)
        return text_of(template, self.frame(visit), scene, title, **more)

    def look(self) -> Snapshot:
        """The city now."""
        faults: Mapping[SpanId, Fault] = {}
        try:
            faults = self.source.faults()
        except PoliqiError as error:
            self._complain(str(error))
        return Snapshot(self.source.view(), self.source.past_alarms, faults, self.wall())

    def scene(self, say: Speaker) -> Scene:
        """The city now, told in a language."""
        return Scene(self.look(), say)

    # ---- live pages

    def stream(self, visit: Visit) -> Response:
        """The patches of a page."""
        at = visit.query.get("at", "/")
        assert visit.person is not None
        if len(at) > _LONGEST_AT or page_at(unquote(at.partition("?")[0])) is None:
            return self.refuse(visit, Kind.STREAM, HTTPStatus.NOT_FOUND)
        key = ChannelKey(at, visit.say.language, visit.person.role)
        client = visit.request.client
        who = visit.person.name or visit.person.key, "" if client is None else client.host
        if not self._broadcast.has_room(key, who):
            return self.refuse(visit, Kind.STREAM, HTTPStatus.SERVICE_UNAVAILABLE)
        return _Stream(self._broadcast, key, lambda: self._person(visit.request) == visit.person, who)

    def _render(self, key: ChannelKey, snapshot: Snapshot) -> dict[str, str] | None:
        path, _, query = key.at.partition("?")
        found = page_at(unquote(path))
        if found is None:
            return None
        page, names = found
        say = Speaker(key.language)
        scene = Scene(snapshot, say)
        built = page.build(scene, names, dict(parse_qsl(query, max_num_fields=16)))
        if built is None:
            return None
        somebody = Person("", key.role, Way.HERE, "")
        return pieces_of(page, built, Frame(self.settings, say, key.at, somebody), scene)


class _Stream(Response):
    """Server-sent events. It ends with its browser, its login or the dashboard."""

    def __init__(
        self, broadcast: Broadcast, key: ChannelKey, holds: Callable[[], bool], who: tuple[str, str]
    ) -> None:
        self._broadcast: Final = broadcast
        self._key: Final = key
        self._holds: Final = holds
        self._who: Final = who

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:  # noqa: ARG002
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._broadcast.serve(self._key, self._holds, self._who, receive, send)


_HEADERS: Final = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
