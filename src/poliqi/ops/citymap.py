"""A schematic map of a city as SVG, drawn from coordinates: sites, fibres, links with state and load.

Elements carry `data-site`, `data-span`, `data-link`; a page that patches the map changes the class of the group
(`state-lit`, `load-2`, `site-down`) and the text of its `.figure`, nothing else. Everything visible is done by
MAP_CSS: a page puts it into its stylesheet, a file carries it inside (`is_standalone`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from poliqi.base.ids import LinkId
from poliqi.control.city import City, Span
from poliqi.control.events import Language
from poliqi.control.view import CityView, LinkView, SiteView
from poliqi.ops.mapdraw import Drawing, LinkMark, stroke_of_load
from poliqi.ops.mapshape import Shape
from poliqi.ops.mapstyle import MAP_CSS, WORDS

__all__ = ["MAP_CSS", "LinkMark", "city_map", "link_mark", "rate_text", "site_state", "stroke_of_load"]


def rate_text(rate_bps: float | None) -> str:
    """A rate in few characters, "1.2 Mbit/s"; "0" where there is no key, "" where nothing is known."""
    if rate_bps is None:
        return ""
    for unit, factor in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if rate_bps >= 0.9995 * factor:
            return f"{rate_bps / factor:.3g} {unit}"
    return f"{rate_bps:.3g} bit/s" if rate_bps else "0"


def link_mark(view: LinkView) -> LinkMark:
    """How a link is drawn that reports: by its state, its load and its key rate."""
    state = view.state.value if view.is_fresh else "silent"
    rate = view.key_rate_bps if state == "lit" else None
    load = min(1.0, view.used_bps / max(rate, 1.0)) if rate else None
    return LinkMark(state, load, rate_text(rate))


def site_state(view: SiteView) -> str:
    """What stands after `site-` in a site's class: up, down or draining."""
    return "down" if not view.is_up else "draining" if view.is_draining else "up"


def city_map(
    what: City | CityView,
    *,
    marks: Mapping[LinkId, LinkMark] | None = None,
    candidates: Sequence[Span] = (),
    language: Language = Language.ENGLISH,
    width: int = 600,
    site_href: str = "",
    link_href: str = "",
    is_standalone: bool = False,
) -> str:
    """The map as an <svg> element.

    `marks` say how links are drawn where `what` is a plan; `candidates` are fibres that could be had. `site_href`
    and `link_href` ("/sites/{}") make sites and links clickable. `is_standalone`: a file of its own, style inside.
    """
    view = what if isinstance(what, CityView) else None
    city = what if isinstance(what, City) else what.city
    own = {v.link: link_mark(v) for v in view.links} if view else {}
    states = {v.kme: site_state(v) for v in view.sites} if view else {}
    drawing = Drawing(Shape(city, candidates, float(width)), WORDS[language], {**own, **(marks or {})}, states)
    return drawing.svg(site_href, link_href, is_standalone)
