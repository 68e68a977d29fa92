"""Templates and files of pages: how a template becomes text, and under which address a file is kept for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.resources import files
from typing import Any, Final, cast
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from poliqi.control.events import Language

__all__ = ["LANGUAGES", "WEB", "Pieces", "Templating"]

LANGUAGES: Final = ((Language.ENGLISH, "English"), (Language.ITALIAN, "Italiano"))

WEB: Final = "poliqi.ops.web"
"""The package whose templates and files all pages share."""


class Templating:
    """Templates of some packages, the first that has one of a name; `kinds` are the media types of their files.

    `extra` is put behind the content of a file; `macros` are templates whose macros every template has, by a name.
    """

    def __init__(
        self,
        packages: tuple[str, ...],
        kinds: Mapping[str, str],
        extra: Mapping[str, str] | None = None,
        macros: Mapping[str, str] | None = None,
    ) -> None:
        self._packages: Final = packages
        self.kinds: Final = kinds
        self._extra: Final = extra or {}
        self._macros: Final = {"p": "pieces.html", **(macros or {})}
        self._files: Final[dict[str, bytes]] = {}

    def file(self, name: str) -> bytes:
        """A file of the pages, one of `kinds`."""
        if name not in self._files:
            places = (files(package).joinpath("static", name) for package in self._packages)
            found = next(place for place in places if place.is_file())
            self._files[name] = found.read_bytes() + self._extra.get(name, "").encode()
        return self._files[name]

    def _url(self, name: str) -> str:
        """Its address, another one for another content, so that browsers may keep it for ever."""
        return f"/static/{hashlib.sha256(self.file(name)).hexdigest()[:12]}/{name}"

    @cached_property
    def _environment(self) -> Environment:
        made = Environment(
            loader=ChoiceLoader([PackageLoader(package) for package in self._packages]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        made.filters["urlencode"] = lambda text: quote(str(text), safe="")
        names = cast("dict[str, Any]", made.globals)
        names["static"] = self._url
        for name, template in self._macros.items():
            names[name] = made.get_template(template).module
        return made

    def template(self, name: str) -> Template:
        """One of them."""
        return self._environment.get_template(name)

    def blocks(self, name: str, context: Mapping[str, Any]) -> str:
        """The content of a page without what stands around it; `live` in the context collects its pieces."""
        template, layout = self.template(name), self.template("layout.html")
        content = "".join(template.blocks["content"](template.new_context(dict(context))))
        for _ in layout.blocks["foot"](layout.new_context(dict(context))):
            pass
        return content


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
