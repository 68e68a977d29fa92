"""Pages behind a guard, as an ASGI application: who asks is found out, and each route holds to what it asks."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from poliqi.control.events import Language
from poliqi.ops.web.guard import HEADERS, is_for_loopback, is_from_another_page, is_same_origin
from poliqi.ops.web.people import People, Person
from poliqi.ops.web.route import Kind, RouteRow
from poliqi.ops.web.settings import DashboardSettings
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.templating import Templating
from poliqi.ops.web.visit import Visit, form_of, json_answer, language_of, page_answer, see, session_cookie

__all__ = ["GuardedPages"]

_HEADERS: Final = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_FORM: Final = "application/x-www-form-urlencoded"


class GuardedPages(ABC):
    """An ASGI 3 application whose routes are rows. Serve it with `HttpsServer`: plain HTTP on loopback alone."""

    def __init__(
        self,
        settings: DashboardSettings,
        rows: Iterable[RouteRow[Any]],
        templating: Templating,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.templating: Final = templating
        self.wall: Final = wall
        self.people: Final = People(settings, wall)
        self._application: Final = Starlette(
            routes=[Route(row.path, self._endpoint(row), methods=[row.method]) for row in rows],
            exception_handlers={HTTPStatus.NOT_FOUND: self._lost, HTTPStatus.METHOD_NOT_ALLOWED: self._lost},
        )

    def change(self, settings: DashboardSettings) -> None:
        """Other tokens, certificates or roles: logins that they no longer allow end. `is_demo` stays as it was."""
        self.settings = self.people.settings = settings

    @abstractmethod
    def text(self, template: str, visit: Visit, title: str, **more: Any) -> str:
        """A page that does not move. Who is not logged in sees nothing but what it says."""

    def speaker(self, language: Language) -> Speaker:
        """Who speaks on these pages."""
        return Speaker(language)

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

    def _endpoint(self, row: RouteRow[Any]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            visit = await self._visit(request)
            if is_from_another_page(request) or (request.method != "GET" and not is_same_origin(request)):
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

    def _is_meant(self, row: RouteRow[Any], visit: Visit, person: Person) -> bool:
        """False where another site's page could have made a browser send this: a form without our token, or an
        object or a part of a file that is not declared as such (no form of another site can do that, and no script
        without our leave). An upload in a form carries the token in its body: whoever reads that compares it.
        """
        if row.method == "GET" or row.kind is Kind.UPLOAD:
            return True
        media = visit.request.headers.get("content-type", "").partition(";")[0]
        if row.kind in _MEDIA:
            return media == _MEDIA[row.kind]
        return self.people.is_form_token(person, visit.form.get("token", ""))

    def person(self, request: Request) -> Person | None:
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
        if request.headers.get("content-type", "").startswith(_FORM):
            try:
                form = form_of(await request.body())
            except ValueError:
                form = {}
        return Visit(request, self.person(request), self.speaker(language_of(request)), form)

    def _send_to_login(self, visit: Visit, kind: Kind) -> Response:
        if kind is Kind.PAGE and visit.request.method == "GET":
            return see(f"/login?back={quote(visit.here, safe='')}")
        return self.refuse(visit, kind, HTTPStatus.UNAUTHORIZED)

    # ---- answers

    def refuse(self, visit: Visit, kind: Kind, status: HTTPStatus) -> Response:
        """An error, as a page or as an object."""
        if kind in (Kind.JSON, Kind.PART, Kind.STREAM):
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


_MEDIA: Final = {Kind.JSON: "application/json", Kind.PART: "application/octet-stream"}
