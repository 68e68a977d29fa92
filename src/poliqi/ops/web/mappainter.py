"""The overview's map. It is drawn anew only when a state changes; figures, which move often, are filled into the
drawing and are live pieces of their own.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from html import escape
from typing import Final

from markupsafe import Markup

from poliqi.control.view import LinkView
from poliqi.ops.citymap import LinkMark, city_map, link_mark
from poliqi.ops.web.scene import Scene

__all__ = ["MapPainter", "Painted"]

_KEPT: Final = 32
_BEGIN, _END = "\ue000", "\ue001"
"""Stand around the number of a link whose figure is still to be filled in; no name holds them."""
_PLACE: Final = re.compile(f'<text class="figure"([^>]*)>{_BEGIN}([0-9]+){_END}')
_TOLD: Final = re.compile(f"[; ]*{_BEGIN}[0-9]+{_END}(?=</title>)")


@dataclass(frozen=True, slots=True)
class Painted:
    """An <svg> element, and its figures by the ids of their places."""

    drawing: Markup
    figures: dict[str, str]


class MapPainter:
    """Draws maps of one width, with or without figures."""

    def __init__(self, width: int, has_figures: bool = True) -> None:
        self._width: Final = width
        self._has_figures: Final = has_figures
        self._drawn: Final[OrderedDict[object, tuple[str, str]]] = OrderedDict()

    def __call__(self, scene: Scene) -> Painted:
        """The map of a scene. Another drawing has other ids for its figures."""
        mark, text = self._drawing(scene)
        figures: dict[str, str] = {}
        for number, link in enumerate(scene.view.links):
            place = f"{_BEGIN}{number}{_END}"
            if place in text:
                figure = escape(str(scene.say.rate(link.key_rate_bps)))
                figures[f"{mark}{number}"] = figure
                text = text.replace(place, figure)
        return Painted(Markup(text), figures)  # noqa: S704  # city_map escapes names, figures are escaped above

    def _drawing(self, scene: Scene) -> tuple[str, str]:
        """The first part of its ids, and the drawing without figures."""
        view, language = scene.view, scene.say.language
        marks = {link.link: self._mark(link, number) for number, link in enumerate(view.links)}
        states = tuple((s.kme, s.is_up, s.is_draining) for s in view.sites)
        key = (view.city, language, tuple(marks.items()), states)
        found = self._drawn.get(key)
        if found is None:
            text = city_map(
                view,
                marks=marks,
                language=language,
                width=self._width,
                site_href="/sites/{}",
                link_href="/links/{}",
            )
            mark = f"map{self._width}-{hashlib.sha256(text.encode()).hexdigest()[:8]}-"
            text = _PLACE.sub(rf'<text class="figure" id="{mark}\2"\1>{_BEGIN}\2{_END}', _TOLD.sub("", text))
            found = self._drawn[key] = (mark, text)
            if len(self._drawn) > _KEPT:
                self._drawn.popitem(last=False)
        else:
            self._drawn.move_to_end(key)
        return found

    def _mark(self, link: LinkView, number: int) -> LinkMark:
        """Its load in quarters, as the map tells them apart; a place for its figure."""
        mark = link_mark(link)
        load = None if mark.load is None else min(3, int(mark.load * 4.0)) / 4.0
        has_figure = self._has_figures and mark.state == "lit"
        return LinkMark(mark.state, load, f"{_BEGIN}{number}{_END}" if has_figure else "")
