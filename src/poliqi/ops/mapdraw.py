"""A map as SVG elements: fibres, links, sites, each in a group with the name of what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import QuantumLink, Site, Span
from poliqi.ops import mapfoot
from poliqi.ops.mapplace import Point, text_width
from poliqi.ops.mapshape import DOT, Shape, middle_of
from poliqi.ops.mapstyle import MAP_CSS

__all__ = ["Drawing", "LinkMark", "stroke_of_load"]

_MOST_NAMES: Final = 80
_MOST_FIGURES: Final = 60
_WIDEST_FIGURE: Final = "9.99 Mbit/s"


@dataclass(frozen=True, slots=True)
class LinkMark:
    """How a link is drawn: `state` and `load` become classes, `figure` stands beside it, `title` is read out."""

    state: str = "plan"
    load: float | None = None
    figure: str = ""
    title: str = ""


def stroke_of_load(load: float | None) -> str:
    """Class of a link of which the share `load` (0 to 1) is used."""
    return "load-1" if load is None else f"load-{min(3, max(0, int(load * 4.0)))}"


@dataclass(slots=True)
class Drawing:
    """One map while it is drawn. `states`: of sites that report, by name."""

    shape: Shape
    words: dict[str, str]
    marks: Mapping[LinkId, LinkMark]
    states: Mapping[KmeId, str]

    def svg(self, site_href: str, link_href: str, is_standalone: bool) -> str:
        """The whole element."""
        shape, city = self.shape, self.shape.city
        arrow = mapfoot.north(self.words, shape)
        spans = [self._span(s, "") for s in city.spans] + [self._span(s, " candidate") for s in shape.candidates]
        ways = {link.link: shape.light(link) for link in city.links}
        for way in ways.values():
            shape.placing.lines += list(pairwise(way))
        ring = mapfoot.circle(self.words, shape)
        sites = [self._site(s, site_href) for s in city.sites]
        links = [self._link(link, ways[link.link], link_href) for link in city.links]
        states = [self.marks.get(link.link, LinkMark()).state for link in city.links]
        foot, height = mapfoot.foot(self.words, shape, states)
        body = [
            f'<g class="fibres">{"".join(spans)}</g>',
            f'<g class="links">{"".join(links)}</g>',
            f'<g class="sites">{"".join(sites)}</g>',
            ring,
            arrow,
            foot,
        ]
        return self._head(height, bool(site_href or link_href), is_standalone) + "".join(body) + "</svg>"

    def _head(self, height: float, is_group: bool, is_standalone: bool) -> str:
        city, width = self.shape.city, self.shape.width
        name = escape(self.words["map"].format(city=city.name))
        about = self.words["sum"].format(
            sites=len(city.sites),
            spans=len(city.spans),
            links=len(city.links),
            notes="; ".join(text for _, text in mapfoot.notes(self.words, city, self.shape.candidates)),
        )
        own = f'<style>{MAP_CSS}</style><rect class="paper" width="{width:g}" height="{height:g}"/>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="city-map" viewBox="0 0 {width:g} {height:g}"'
            f"{f' width={chr(34)}{width:g}{chr(34)}' if is_standalone else ''} "
            f'role="{"group" if is_group else "img"}" aria-label="{name}">'
            f"<title>{name}</title><desc>{escape(about)}</desc>{own if is_standalone else ''}"
        )

    def _span(self, span: Span, kind: str) -> str:
        way = self.shape.fibre(span)
        self.shape.placing.lines += list(pairwise(way))
        title = self.words["fibre"].format(span=span.span, km=f"{span.length_km:g}", db=f"{span.loss_db:.1f}")
        return (
            f'<g class="span{kind}" data-span="{escape(span.span)}"><title>{escape(title)}</title>'
            f'<path class="fibre" d="{_path(way)}"/></g>'
        )

    def _link(self, link: QuantumLink, way: list[Point], href: str) -> str:
        mark = self.marks.get(link.link, LinkMark())
        figure = ""
        if len(self.shape.city.links) <= _MOST_FIGURES:
            width = 6.0 + max(text_width(text, 12.0) for text in (mark.figure, _WIDEST_FIGURE))
            spot = self.shape.placing.along(way, width, 16.0, 8.0)
            if spot is not None:
                figure = f'<text class="figure" x="{spot.x:.1f}" y="{spot.y:.1f}">{escape(mark.figure)}</text>'
        kind = " bypass" if link.is_bypass else ""
        x, y = middle_of(way)
        group = (
            f'<g class="link{kind} state-{mark.state} {stroke_of_load(mark.load)}" data-link="{escape(link.link)}">'
            f"<title>{escape(mark.title or self._link_title(link, mark))}</title>"
            f'<path class="light" d="{_path(way)}"/>'
            f'<g class="cut"><circle cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
            f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/></g>{figure}</g>'
        )
        return _anchored(group, href, link.link)

    def _link_title(self, link: QuantumLink, mark: LinkMark) -> str:
        city = self.shape.city
        a, b = (city.site[end].title for end in link.ends)
        parts = [self.words["link"].format(link=link.link, a=a, b=b, db=f"{city.loss_db(link):.1f}")]
        if link.is_bypass:
            passed = {end for name in link.spans for end in city.span[name].ends} - set(link.ends)
            parts.append(self.words["bypass"].format(sites=", ".join(sorted(passed))))
        return "; ".join([*parts, self.words.get(mark.state, mark.state), *([mark.figure] if mark.figure else [])])

    def _site(self, site: Site, href: str) -> str:
        x, y = self.shape.at[site.kme]
        is_named = len(self.shape.city.sites) <= _MOST_NAMES
        radius = DOT if is_named else DOT / 3.0
        switch, ring = "", 1.85 * radius
        if site.switch_loss_db is not None:
            d = f"M{x:.1f} {y - ring:.1f}l{ring:.1f} {ring:.1f}l{-ring:.1f} {ring:.1f}l{-ring:.1f} {-ring:.1f}z"
            switch = f'<path class="switch" d="{d}"/>'
        group = (
            f'<g class="site site-{self.states.get(site.kme, "up")}" data-site="{escape(site.kme)}">'
            f"<title>{escape('; '.join(self._site_words(site)))}</title>{switch}"
            f'<circle class="dot{"" if site.is_relay else " end-only"}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'
            f"{self._name(site) if is_named else ''}</g>"
        )
        return _anchored(group, href, site.kme)

    def _name(self, site: Site) -> str:
        middle = (self.shape.width / 2.0, self.shape.height / 2.0)
        width = 1.08 * text_width(site.title, 15.0)
        spot = self.shape.placing.beside(self.shape.at[site.kme], width, 19.0, 2.2 * DOT, middle)
        if spot is None:
            return ""
        return f'<text class="name" x="{spot.x:.1f}" y="{spot.y:.1f}">{escape(site.title)}</text>'

    def _site_words(self, site: Site) -> list[str]:
        said = [site.title, self.words["relay" if site.is_relay else "end-only"]]
        if site.switch_loss_db is not None:
            said.append(self.words["switch"])
        if site.kme in self.states:
            said.append(self.words[self.states[site.kme]])
        return [*said, site.note] if site.note else said


def _anchored(group: str, href: str, name: str) -> str:
    return f'<a href="{escape(href.format(name))}">{group}</a>' if href else group


def _path(way: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in way)
