"""Templates become pages, and the pieces of pages that are sent anew when they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from poliqi.ops.citymap import MAP_CSS
from poliqi.ops.web.pages import TABS, Page
from poliqi.ops.web.people import Person
from poliqi.ops.web.roles import Permission
from poliqi.ops.web.scene import Scene
from poliqi.ops.web.settings import DashboardSettings
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.templating import LANGUAGES, WEB, Pieces, Templating

__all__ = ["STATIC", "TEMPLATING", "Frame", "page_text", "pieces_of", "text_of"]

STATIC: Final = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "poliqi.svg": "image/svg+xml",
}
TEMPLATING: Final = Templating((WEB,), STATIC, {"dashboard.css": MAP_CSS})


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around a page's content: who reads, in which language, from which address."""

    settings: DashboardSettings
    say: Speaker
    here: str
    person: Person | None = None
    form_token: str = ""


def allowed(person: Person | None, settings: DashboardSettings) -> SimpleNamespace:
    """What the person may do, for templates: may.drain, may.plant, ..."""
    may = {p.value: person is not None and person.may(p) for p in Permission}
    return SimpleNamespace(**{**may, "plant": may["plant"] and settings.is_demo})


def _context(frame: Frame, scene: Scene | None, title: str, more: Mapping[str, Any]) -> dict[str, Any]:
    may = allowed(frame.person, frame.settings)
    return {
        "say": frame.say,
        "here": frame.here,
        "person": frame.person,
        "form_token": frame.form_token,
        "tabs": [
            *TABS,
            ("/report", "report.tab"),
            *([("/send", "desks.tab")] if frame.settings.desks or frame.settings.laboratories else []),
            *([("/access", "access.title")] if may.access else []),
        ],
        "tab": "",
        "languages": LANGUAGES,
        "title": title,
        "styles": ("dashboard.css",),
        "scripts": ("dashboard.js",),
        "lost": frame.say("layout.lost"),
        "place": scene.view.city.name if scene else "",
        "is_simulated": scene is not None and scene.view.city.is_simulated,
        "is_live": False,
        "refresh_s": 15,
        "scene": scene,
        "json": "/api/city",
        "may": may,
        "live": Pieces(),
        **more,
    }


def text_of(template: str, frame: Frame, scene: Scene | None, title: str, **more: Any) -> str:
    """A page that does not move: a form, a message."""
    context = _context(frame, scene, f"{title} · POLIQI", more)
    return TEMPLATING.template(template).render(context)


def _page_context(page: Page, built: Mapping[str, Any], frame: Frame, scene: Scene, json: str) -> dict[str, Any]:
    count = len(scene.open_alarms)
    title = f"{built.get('page_title') or frame.say(page.title)} · {scene.view.city.name} · POLIQI"
    if count:
        title = f"({count}) {title}"
    return _context(frame, scene, title, {"tab": page.tab, "is_live": True, "json": json, **built})


def page_text(page: Page, built: Mapping[str, Any], frame: Frame, scene: Scene, json: str) -> str:
    """A whole page."""
    return TEMPLATING.template(page.template).render(_page_context(page, built, frame, scene, json))


def pieces_of(page: Page, built: Mapping[str, Any], frame: Frame, scene: Scene) -> dict[str, str]:
    """The live pieces of a page, its title, and under "main" all of its content in case they are other pieces."""
    context = _page_context(page, built, frame, scene, "")
    content = TEMPLATING.blocks(page.template, context)
    return {**context["live"].found, **built.get("pieces", {}), "title": context["title"], "main": content}
