"""The pages of an application as an ASGI application: people send files here, and take out what came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import Response

from poliqi.control.events import Language
from poliqi.ops.sae_web.annex import Annex
from poliqi.ops.sae_web.desk import Desk, DeskView
from poliqi.ops.sae_web.limits import UploadLimits
from poliqi.ops.sae_web.pages import TABS, Page, page_at
from poliqi.ops.sae_web.routes import ROUTES
from poliqi.ops.sae_web.sight import Sight
from poliqi.ops.sae_web.spool import Spool
from poliqi.ops.sae_web.telling import Teller
from poliqi.ops.web.guarded import GuardedPages
from poliqi.ops.web.live import Broadcast, ChannelKey, LiveResponse
from poliqi.ops.web.people import Person, Way
from poliqi.ops.web.roles import Permission
from poliqi.ops.web.route import Kind
from poliqi.ops.web.settings import DashboardSettings
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.templating import LANGUAGES, WEB, Pieces, Templating
from poliqi.ops.web.visit import Visit, json_answer, see
from poliqi.ops.web.words import catalogue

__all__ = ["SaePages", "sae_pages"]

OWN: Final = "poliqi.ops.sae_web"
_LONGEST_AT: Final = 600
_AGE_S: Final = 0.5
_KINDS: Final = {
    "dashboard.css": "text/css; charset=utf-8",
    "desk.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "desk.js": "text/javascript; charset=utf-8",
    "poliqi.svg": "image/svg+xml",
}
_MACROS: Final = {"d": "parts.html"}
_TEMPLATING: Final = Templating((OWN, WEB), _KINDS, macros=_MACROS)
_WORDS: Final = {**catalogue(), **catalogue(OWN)}


def sae_pages(
    desk: Desk,
    spool: Path,
    settings: DashboardSettings,
    complain: Callable[[str], None] = lambda _: None,
    limits: UploadLimits | None = None,
    annex: Annex | None = None,
) -> SaePages:
    """The pages of an application. Serve them with `HttpsServer` and `PAGE_LIMITS`.

    `spool` is a folder of their own for files that wait to be sent; what lies in it is removed. Raises StoreError
    where another process uses it, OSError.
    """
    return SaePages(desk, spool, settings, complain, limits or UploadLimits(), annex=annex)


class SaePages(GuardedPages):
    """An ASGI 3 application. Close it before its server is drained: that ends the streams of live pages."""

    def __init__(
        self,
        desk: Desk,
        spool: Path,
        settings: DashboardSettings,
        complain: Callable[[str], None],
        limits: UploadLimits,
        wall: Callable[[], float] = time.time,
        annex: Annex | None = None,
    ) -> None:
        rows = ROUTES if annex is None else (*ROUTES, *annex.rows)
        super().__init__(settings, rows, _TEMPLATING if annex is None else _templating(annex), wall)
        self._annex: Final = annex
        self._words: Final = _WORDS if annex is None else {**_WORDS, **catalogue(annex.package)}
        self.desk: Final = desk
        self.spool: Final = Spool(spool, limits)
        self.complain: Final = complain
        self.sight: Final = Sight(desk, complain)
        self._broadcast: Final = Broadcast(self.sight, self.sight.look, self._render, settings.viewers, complain)

    @property
    def viewers(self) -> int:
        """How many pages are live."""
        return self._broadcast.viewers

    async def close(self) -> None:
        """End all live streams, unlink what waits to be sent; pages are still answered."""
        await self._broadcast.close()
        await asyncio.to_thread(self.spool.close)

    def speaker(self, language: Language) -> Speaker:
        """With the words of these pages."""
        return Speaker(language, self._words)

    def person(self, request: Request) -> Person | None:
        """Who asks, with the rights that are left by what else is under this door."""
        found = super().person(request)
        return found if found is None or self._annex is None else self._annex.judge(found)

    # ---- what is shown

    async def teller(self, say: Speaker) -> Teller:
        """The desk now, told in a language."""
        return Teller(await self.sight.fresh(_AGE_S), say)

    def text(self, template: str, visit: Visit, title: str, **more: Any) -> str:
        """A page that does not move."""
        token = "" if visit.person is None else self.people.form_token(visit.person)
        context = self._context(visit.say, visit.here, visit.person, token, title)
        return self.templating.template(template).render({**context, **more})

    def refuse(self, visit: Visit, kind: Kind, status: HTTPStatus) -> Response:
        """An error, as a page or as an object, which has it in words for people, too."""
        if status is HTTPStatus.FORBIDDEN and visit.request.url.path == "/" and (home := self._home(visit.person)):
            return see(home)
        if kind not in (Kind.JSON, Kind.PART) or f"message.e{status.value}_why" not in self._words:
            return super().refuse(visit, kind, status)
        answer = json_answer({"message": status.phrase, "text": visit.say(f"message.e{status.value}_why")}, status)
        if status is HTTPStatus.UNAUTHORIZED:
            answer.headers["www-authenticate"] = "Bearer"
        return answer

    def _home(self, person: Person | None) -> str:
        """Where somebody goes who may not see the first page; nothing where there is no such place."""
        tabs = () if self._annex is None else self._annex.tabs
        return next((path for path, _, needed in tabs if person is not None and person.may(needed)), "")

    def page_text(self, page: Page, built: dict[str, Any], visit: Visit, desk: Teller, json: str) -> str:
        """A page of the table."""
        assert visit.person is not None
        token = self.people.form_token(visit.person)
        context = self._page_context(page, built, desk, visit.here, visit.person, token)
        return self.templating.template(page.template).render({**context, "json": json})

    def _page_context(
        self, page: Page, built: dict[str, Any], desk: Teller, here: str, person: Person, token: str
    ) -> dict[str, Any]:
        title = built.get("page_title") or desk.say(page.title)
        context = self._context(desk.say, here, person, token, f"{title} · {desk.view.place}")
        place = {"place": desk.view.place, "is_simulated": desk.view.is_simulated, "desk": desk, "tab": page.tab}
        return {**context, **place, "is_live": True, **built}

    def _context(self, say: Speaker, here: str, person: Person | None, token: str, title: str) -> dict[str, Any]:
        may = {p.value: person is not None and person.may(p) for p in Permission}
        return {
            "say": say,
            "here": here,
            "person": person,
            "form_token": token,
            "tabs": self._tabs(person),
            "tab": "",
            "languages": LANGUAGES,
            "title": f"{title} · POLIQI",
            "styles": ("dashboard.css", "desk.css", *(() if self._annex is None else self._annex.styles)),
            "scripts": ("dashboard.js", "desk.js"),
            "lost": say("layout.lost"),
            "place": "",
            "is_simulated": False,
            "is_live": False,
            "refresh_s": 15,
            "scene": None,
            "desk": None,
            "json": "/api/status",
            "may": may,
            "live": Pieces(),
        }

    def _tabs(self, person: Person | None) -> list[tuple[str, str]]:
        annex = () if self._annex is None else self._annex.tabs
        every = (
            *((path, title, Permission.READ) for path, title in TABS),
            *annex,
            ("/access", "access.title", Permission.ACCESS),
        )
        return [(path, title) for path, title, needed in every if person is not None and person.may(needed)]

    # ---- live pages

    async def stream(self, visit: Visit) -> Response:
        """The patches of a page."""
        at = visit.query.get("at", "/")
        assert visit.person is not None
        if len(at) > _LONGEST_AT or page_at(unquote(at.partition("?")[0])) is None:
            return self.refuse(visit, Kind.STREAM, HTTPStatus.NOT_FOUND)
        await self.sight.fresh(_AGE_S)
        key = ChannelKey(at, visit.say.language, visit.person.role)
        client = visit.request.client
        who = visit.person.name or visit.person.key, "" if client is None else client.host
        if not self._broadcast.has_room(key, who):
            return self.refuse(visit, Kind.STREAM, HTTPStatus.SERVICE_UNAVAILABLE)
        return LiveResponse(self._broadcast, key, lambda: self.person(visit.request) == visit.person, who)

    def _render(self, key: ChannelKey, view: DeskView) -> dict[str, str] | None:
        path, _, query = key.at.partition("?")
        found = page_at(unquote(path))
        if found is None:
            return None
        page, names = found
        desk = Teller(view, self.speaker(key.language))
        built = page.build(desk, names, dict(parse_qsl(query, max_num_fields=16)))
        if built is None:
            return None
        context = self._page_context(page, built, desk, key.at, Person("", key.role, Way.HERE, ""), "")
        content = self.templating.blocks(page.template, context)
        return {**context["live"].found, "title": context["title"], "main": content}


def _templating(annex: Annex) -> Templating:
    return Templating((OWN, annex.package, WEB), {**_KINDS, **annex.kinds}, macros={**_MACROS, **annex.macros})
