"""Templates become pages, and the pieces of pages that are sent anew when they change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, Final, cast
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from poliqi.control.events import Language
from poliqi.ops.citymap import MAP_CSS
from poliqi.ops.web.pages import TABS, Page
from poliqi.ops.web.people import Person
from poliqi.ops.web.roles import Permission
from poliqi.ops.web.scene import Scene
from poliqi.ops.web.settings import DashboardSettings
from poliqi.ops.web.speaker import Speaker

__all__ = ["STATIC", "Frame", "page_text", "pieces_of", "static_file", "text_of"]

LANGUAGES: Final = ((Language.ENGLISH, "English"), (Language.ITALIAN, "Italiano"))
STATIC: Final = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "poliqi.svg": "image/svg+xml",
}


@cache
def static_file(name: str) -> bytes:
    """A file of the pages; the style sheet carries the map's."""
    data = files("poliqi.ops.web").joinpath("static", name).read_bytes()
    return data + MAP_CSS.encode() if name == "dashboard.css" else data


@cache
def _static_url(name: str) -> str:
    """Its address, another one for another content, so that browsers may keep it for ever."""
    return f"/static/{hashlib.sha256(static_file(name)).hexdigest()[:12]}/{name}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("poliqi.ops.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["urlencode"] = lambda text: quote(str(text), safe="")
    made.globals["static"] = _static_url
    cast("dict[str, Any]", made.globals)["p"] = made.get_template("pieces.html").module
    return made


class Pieces:
    """Collects what the template marks as live, by its id."""

    def __init__(self) -> None:
        self.found: Final[dict[str, str]] = {}

    def __call__(self, name: str, tag: str = "div", style: str = "", *, caller: Callable[[], Markup]) -> Markup:
        content = caller()
        self.found[f"live-{name}"] = str(content)
        css = Markup(' class="{}"').format(style) if style else Markup("")
        head = Markup('<{tag} id="live-{name}"{css}>').format(tag=Markup(tag), name=name, css=css)  # noqa: S704  # ours
        return head + content + Markup("</{}>").format(Markup(tag))  # noqa: S704  # a literal of our templates


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
        "tabs": [*TABS, ("/report", "report.tab"), *([("/access", "access.title")] if may.access else [])],
        "tab": "",
        "languages": LANGUAGES,
        "title": title,
        "city_name": scene.view.city.name if scene else "",
        "is_simulated": scene is not None and scene.view.city.is_simulated,
        "is_live": False,
        "scene": scene,
        "json": "/api/city",
        "may": may,
        "live": Pieces(),
        **more,
    }


def text_of(template: str, frame: Frame, scene: Scene | None, title: str, **more: Any) -> str:
    """A page that does not move: a form, a message."""
    context = _context(frame, scene, f"{title} · POLIQI", more)
    return _environment().get_template(template).render(context)


def _page_context(page: Page, built: Mapping[str, Any], frame: Frame, scene: Scene, json: str) -> dict[str, Any]:
    count = len(scene.open_alarms)
    title = f"{built.get('page_title') or frame.say(page.title)} · {scene.view.city.name} · POLIQI"
    if count:
        title = f"({count}) {title}"
    return _context(frame, scene, title, {"tab": page.tab, "is_live": True, "json": json, **built})


def page_text(page: Page, built: Mapping[str, Any], frame: Frame, scene: Scene, json: str) -> str:
    """A whole page."""
    return _environment().get_template(page.template).render(_page_context(page, built, frame, scene, json))


def pieces_of(page: Page, built: Mapping[str, Any], frame: Frame, scene: Scene) -> dict[str, str]:
    """The live pieces of a page, its title, and under "main" all of its content in case they are other pieces."""
    context = _page_context(page, built, frame, scene, "")
    template, layout = _environment().get_template(page.template), _environment().get_template("layout.html")
    content = "".join(template.blocks["content"](template.new_context(context)))
    for _ in layout.blocks["foot"](layout.new_context(context)):
        pass
    return {**context["live"].found, **built.get("pieces", {}), "title": context["title"], "main": content}
