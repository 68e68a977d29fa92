"""The dashboard as an ASGI application: pages, live patches and JSON of one city."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from starlette.responses import Response

from poliqi.base.errors import PoliqiError
from poliqi.control.city import SpanId
from poliqi.ops.web.guarded import GuardedPages
from poliqi.ops.web.live import Broadcast, ChannelKey, LiveResponse
from poliqi.ops.web.month import Reports
from poliqi.ops.web.pages import page_at
from poliqi.ops.web.people import Person, Way
from poliqi.ops.web.render import TEMPLATING, Frame, pieces_of, text_of
from poliqi.ops.web.route import Kind
from poliqi.ops.web.routes import routes
from poliqi.ops.web.scene import Scene
from poliqi.ops.web.settings import DashboardSettings
from poliqi.ops.web.snapshot import Snapshot
from poliqi.ops.web.source import CitySource, Fault
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.visit import Visit

__all__ = ["Dashboard", "dashboard"]

_LONGEST_AT: Final = 600


def dashboard(
    source: CitySource, doors: DashboardSettings, complain: Callable[[str], None] = lambda _: None
) -> Dashboard:
    """The dashboard of a city. Serve it with `HttpsServer`: plain HTTP on loopback, TLS elsewhere."""
    return Dashboard(source, doors, complain)


class Dashboard(GuardedPages):
    """An ASGI 3 application. Close it before its server is drained: that ends the streams of live pages."""

    def __init__(
        self,
        source: CitySource,
        settings: DashboardSettings,
        complain: Callable[[str], None] = lambda _: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(settings, routes(settings.is_demo), TEMPLATING, wall)
        self.source: Final = source
        self.reports: Final = Reports(source, wall, complain)
        self._complain: Final = complain
        self._broadcast: Final = Broadcast(source, self.look, self._render, settings.viewers, complain)

    @property
    def viewers(self) -> int:
        """How many pages are live."""
        return self._broadcast.viewers

    async def close(self) -> None:
        """End all live streams; pages are still answered."""
        await self._broadcast.close()

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
        return LiveResponse(self._broadcast, key, lambda: self.person(visit.request) == visit.person, who)

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
