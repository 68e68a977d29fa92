"""A schematic map of a city as SVG, drawn from coordinates: sites, fibres, links with state and load.

Elements carry `data-site`, `data-span`, `data-link`; a page that patches the map changes the class of the group
(`state-lit`, `load-2`, `site-down`) and the text of its `.figure`, nothing else. Everything visible is done by
MAP_CSS: a page puts it into its stylesheet, a file carries it inside (`is_standalone`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City, QuantumLink, Site, Span
from poliqi.control.events import Language
from poliqi.control.view import CityView, LinkView, SiteView
from poliqi.ops.mapplace import (
    Box,
    Placing,
    Point,
    Projection,
    clearance,
    crossings,
    enclosing_circle,
    nice_length,
    text_width,
)
from poliqi.ops.mapstyle import MAP_CSS, WORDS

__all__ = ["MAP_CSS", "LinkMark", "city_map", "link_mark", "rate_text", "site_state", "stroke_of_load"]

_SIDE: Final = 78.0
_TOP: Final = 46.0
_FOOT: Final = 92.0
_DOT: Final = 9.0
_APART: Final = 13.0
_BENDS: Final = (0.0, 26.0, -26.0, 40.0, -40.0, 60.0, -60.0, 90.0, -90.0)
_MOST_NAMES: Final = 80
_MOST_FIGURES: Final = 60


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
    load = view.used_bps / rate if rate else None
    return LinkMark(state, load, rate_text(rate))


def site_state(view: SiteView) -> str:
    """ "up", "down" or "draining", the class after `site-`."""
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
    draw = _Drawing(city, WORDS[language], float(width), {**own, **(marks or {})}, states, candidates)
    return draw.svg(site_href, link_href, is_standalone)


@dataclass(slots=True)
class _Drawing:
    """One map while it is drawn."""

    city: City
    words: dict[str, str]
    width: float
    marks: Mapping[LinkId, LinkMark]
    states: Mapping[KmeId, str]
    candidates: Sequence[Span]
    at: dict[KmeId, Point] = field(default_factory=dict[KmeId, Point])
    scale: float = 1.0
    """Pixels a km."""
    height: float = 0.0
    circle: tuple[Point, float] = ((0.0, 0.0), 0.0)
    """Centre of the sites in km and the radius that holds them all."""
    bends: dict[tuple[KmeId, KmeId], float] = field(default_factory=dict[tuple[KmeId, KmeId], float])
    """How far the fibres between two sites bend, so as to pass others."""
    km: dict[KmeId, Point] = field(default_factory=dict[KmeId, Point])
    placing: Placing = field(default_factory=lambda: Placing(0.0, 0.0))

    def svg(self, site_href: str, link_href: str, is_standalone: bool) -> str:
        """The whole element."""
        self._project()
        spans = [self._span(s) for s in self.city.spans] + [self._span(s, " candidate") for s in self.candidates]
        ways = {link.link: self._way(link) for link in self.city.links}
        for way in ways.values():
            self.placing.lines += list(itertools.pairwise(way))
        inset = self._inset()
        sites = [self._site(s, site_href) for s in self.city.sites]
        links = [self._link(link, ways[link.link], link_href) for link in self.city.links]
        notes = self._notes()
        name = escape(self.words["map"].format(city=self.city.name))
        about = self.words["sum"].format(
            sites=len(self.city.sites),
            spans=len(self.city.spans),
            links=len(self.city.links),
            notes="; ".join(text for _, text in notes),
        )
        role = "group" if site_href or link_href else "img"
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="city-map" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" role="{role}" aria-label="{name}"'
            + (f' width="{self.width:g}"' if is_standalone else "")
            + ">"
        )
        style = f"<style>{MAP_CSS}</style>" if is_standalone else ""
        paper = f'<rect class="paper" width="{self.width:g}" height="{self.height:g}"/>' if is_standalone else ""
        body = [f"<title>{name}</title><desc>{escape(about)}</desc>", style, paper]
        body += [f'<g class="fibres">{"".join(spans)}</g>', f'<g class="links">{"".join(links)}</g>']
        body += [f'<g class="sites">{"".join(sites)}</g>', inset, self._scale_bar(), self._foot(notes)]
        return head + "".join(body) + "</svg>"

    def _project(self) -> None:
        project = Projection.of(self.city.sites)
        self.km = {s.kme: project(s) for s in self.city.sites}
        points = list(self.km.values())
        self.circle = enclosing_circle(points)
        left, right = min(p[0] for p in points), max(p[0] for p in points)
        top, bottom = min(p[1] for p in points), max(p[1] for p in points)
        if self._is_wide:
            (cx, cy), rim = self.circle[0], self.city.diameter_km / 2.0
            left, right, top, bottom = cx - rim, cx + rim, cy - rim, cy + rim
        across, down = max(right - left, 0.2), max(bottom - top, 0.2)
        self.scale = min((self.width - 2.0 * _SIDE) / across, self.width / down)
        high = max(down * self.scale, 0.34 * self.width)
        self.height = round(high + 2.0 * _TOP + _FOOT)
        x0 = (self.width - (right - left) * self.scale) / 2.0 - left * self.scale
        y0 = _TOP + (high - (bottom - top) * self.scale) / 2.0 - top * self.scale
        self.at = {k: (x0 + x * self.scale, y0 + y * self.scale) for k, (x, y) in self.km.items()}
        self.placing = Placing(self.width, self.height - _FOOT)
        self.placing.taken = [Box(x, y, 3.7 * _DOT, 3.7 * _DOT) for x, y in self.at.values()]
        self.placing.taken.append(Box(20.0, 34.0, 34.0, 56.0))
        self._origin = (x0, y0)

    _origin: Point = (0.0, 0.0)

    @property
    def _is_wide(self) -> bool:
        """The sites fill so much of the circle that the map shows it at full size."""
        return 2.0 * self.circle[1] > 0.55 * self.city.diameter_km

    def _inset(self) -> str:
        """The circle that no city may outgrow: around the map, or small in a corner with the sites as dots."""
        rim = self.city.diameter_km / 2.0
        label = self.words["circle"].format(km=f"{self.city.diameter_km:g}")
        (cx, cy) = self.circle[0]
        if self._is_wide:
            x, y = self._origin[0] + cx * self.scale, self._origin[1] + cy * self.scale
            name = Box(x, y - rim * self.scale - 10.0, text_width(label, 13.0), 16.0)
            self.placing.taken.append(name)
            return (
                f'<g class="circle"><circle class="rim" cx="{x:.1f}" cy="{y:.1f}" r="{rim * self.scale:.1f}"/>'
                f'<text class="soft" x="{name.x:.1f}" y="{name.y:.1f}">{label}</text></g>'
            )
        size = 0.085 * self.width
        box = self.placing.best(
            Box(x, y, 2.0 * size + 12.0, 2.0 * size + 30.0)
            for y in (size + 22.0, self.height - _FOOT - size - 16.0)
            for x in (self.width - size - 10.0, size + 48.0)
        )
        if box is None:
            return ""
        x, y = box.x, box.y - 8.0
        dots = "".join(
            f'<circle class="dot" stroke="none" cx="{x + (px - cx) / rim * size:.1f}" '
            f'cy="{y + (py - cy) / rim * size:.1f}" r="2"/>'
            for px, py in self.km.values()
        )
        return (
            f'<g class="circle"><circle class="rim" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>{dots}'
            f'<text class="soft" x="{x:.1f}" y="{y + size + 11.0:.1f}">⌀ {label}</text></g>'
        )

    def _span(self, span: Span, kind: str = "") -> str:
        way = self._curve(span.ends, self._lane(span))
        self.placing.lines += list(itertools.pairwise(way))
        title = self.words["fibre"].format(span=span.span, km=f"{span.length_km:g}", db=f"{span.loss_db:.1f}")
        return (
            f'<g class="span{kind}" data-span="{escape(span.span)}"><title>{escape(title)}</title>'
            f'<path class="fibre" d="{_path(way)}"/></g>'
        )

    def _lane(self, span: Span) -> float:
        """Fibres between the same two sites lie side by side, and none runs through a third site."""
        same = [s.span for s in (*self.city.spans, *self.candidates) if set(s.ends) == set(span.ends)]
        place = same.index(span.span) - (len(same) - 1) / 2.0
        first = (min(span.ends), max(span.ends))
        if first not in self.bends:
            self.bends[first] = self._bend(first)
        side = 1.0 if span.ends == first else -1.0
        return (self.bends[first] + place * 2.4 * _APART) * side

    def _bend(self, ends: tuple[KmeId, KmeId]) -> float:
        """0 where the straight line passes no site; else the bend that clears them and crosses fewest fibres."""
        others = [at for kme, at in self.at.items() if kme not in ends]
        clear = [off for off in _BENDS if clearance(self._curve(ends, off), others) >= 2.6 * _DOT]
        if not clear or clear[0] == 0.0:
            return 0.0
        spans = (*self.city.spans, *self.candidates)
        fibres = [(self.at[s.ends[0]], self.at[s.ends[1]]) for s in spans if not set(s.ends) & set(ends)]
        return min(clear, key=lambda off: (crossings(self._curve(ends, off), fibres), abs(off)))

    def _curve(self, ends: tuple[KmeId, KmeId], off: float) -> list[Point]:
        """A line between two sites, bent sideways by `off` pixels in the middle."""
        a, b = self.at[ends[0]], self.at[ends[1]]
        if off == 0.0:
            return [a, b]
        length = math.hypot(b[0] - a[0], b[1] - a[1]) or 1.0
        nx, ny = (b[1] - a[1]) / length, (a[0] - b[0]) / length
        bend = [4.0 * t * (1.0 - t) * off for t in (i / 12.0 for i in range(13))]
        return [
            (a[0] + (b[0] - a[0]) * i / 12.0 + nx * d, a[1] + (b[1] - a[1]) * i / 12.0 + ny * d)
            for i, d in enumerate(bend)
        ]

    def _way(self, link: QuantumLink) -> list[Point]:
        """Where a link's light runs: along its fibre, or beside the sites that it passes."""
        a, b = self.at[link.ends[0]], self.at[link.ends[1]]
        if not link.is_bypass:
            span = self.city.span[link.spans[0]]
            same = [other.link for other in self.city.links if other.spans == link.spans]
            lane = self._lane(span) * (1.0 if span.ends == link.ends else -1.0)
            return self._curve(link.ends, lane + (same.index(link.link) - (len(same) - 1) / 2.0) * _APART)
        middle = ((a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0)
        way, here = [a], link.ends[0]
        for name in link.spans[:-1]:
            ends = self.city.span[name].ends
            here = ends[1] if here == ends[0] else ends[0]
            x, y = self.at[here]
            off = math.hypot(x - middle[0], y - middle[1]) or 1.0
            way.append((x - (x - middle[0]) / off * 2.2 * _APART, y - (y - middle[1]) / off * 2.2 * _APART))
        return [*way, b]

    def _link(self, link: QuantumLink, way: list[Point], href: str) -> str:
        mark = self.marks.get(link.link, LinkMark())
        width = max(text_width(mark.figure, 12.0), text_width("9.99 Mbit/s", 12.0)) + 6.0
        spot = self.placing.along(way, width, 16.0, 8.0) if len(self.city.links) <= _MOST_FIGURES else None
        figure = (
            ""
            if spot is None
            else f'<text class="figure" x="{spot.x:.1f}" y="{spot.y:.1f}">{escape(mark.figure)}</text>'
        )
        title = mark.title or self._link_title(link, mark)
        kind = " bypass" if link.is_bypass else ""
        x, y = _middle(way)
        group = (
            f'<g class="link{kind} state-{mark.state} {stroke_of_load(mark.load)}" data-link="{escape(link.link)}">'
            f'<title>{escape(title)}</title><path class="light" d="{_path(way)}"/>'
            f'<g class="cut"><circle cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
            f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/></g>{figure}</g>'
        )
        return _anchored(group, href, link.link)

    def _link_title(self, link: QuantumLink, mark: LinkMark) -> str:
        a, b = (self.city.site[end].title for end in link.ends)
        parts = [self.words["link"].format(link=link.link, a=a, b=b, db=f"{self.city.loss_db(link):.1f}")]
        if link.is_bypass:
            passed = {end for name in link.spans for end in self.city.span[name].ends} - set(link.ends)
            parts.append(self.words["bypass"].format(sites=", ".join(sorted(passed))))
        return "; ".join([*parts, self.words.get(mark.state, mark.state), *([mark.figure] if mark.figure else [])])

    def _site(self, site: Site, href: str) -> str:
        x, y = self.at[site.kme]
        state = self.states.get(site.kme, "up")
        parts = [site.title, self.words["relay" if site.is_relay else "end-only"]]
        if site.switch_loss_db is not None:
            parts.append(self.words["switch"])
        if site.kme in self.states:
            parts.append(self.words[state])
        if site.note:
            parts.append(site.note)
        spot = None
        if len(self.city.sites) <= _MOST_NAMES:
            spot = self.placing.beside((x, y), 1.08 * text_width(site.title, 15.0), 19.0, 2.2 * _DOT)
        name = (
            ""
            if spot is None
            else f'<text class="name" x="{spot.x:.1f}" y="{spot.y:.1f}">{escape(site.title)}</text>'
        )
        radius = _DOT if len(self.city.sites) <= _MOST_NAMES else _DOT / 3.0
        ring = 1.3 * radius
        switch = (
            ""
            if site.switch_loss_db is None
            else f'<rect class="switch" x="{x - ring:.1f}" y="{y - ring:.1f}" width="{2 * ring:.1f}" '
            f'height="{2 * ring:.1f}" transform="rotate(45 {x:.1f} {y:.1f})"/>'
        )
        kind = "dot" if site.is_relay else "dot end-only"
        group = (
            f'<g class="site site-{state}" data-site="{escape(site.kme)}"><title>{escape("; ".join(parts))}</title>'
            f'{switch}<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>{name}</g>'
        )
        return _anchored(group, href, site.kme)

    def _scale_bar(self) -> str:
        km = nice_length(0.28 * self.width / self.scale)
        x, y, long = 16.0, self.height - _FOOT + 18.0, km * self.scale
        return (
            f'<g class="scale"><path class="thin" d="M{x} {y - 5}v10m0 -5h{long:.1f}m0 -5v10"/>'
            f'<text class="soft" x="{x + long / 2.0:.1f}" y="{y - 12:.1f}">{km:g} km</text></g>'
            '<g class="north"><path class="thin" d="M20 58V22m-6 10l6 -12l6 12"/>'
            f'<text class="soft" x="20" y="10">{self.words["north"]}</text></g>'
        )

    def _notes(self) -> list[tuple[str, str]]:
        said: list[tuple[str, str]] = []
        if self.city.is_simulated:
            said.append(("simulated", self.words["simulated"]))
        if any(s.is_invented for s in (*self.city.spans, *self.candidates)):
            said.append(("invented", self.words["invented"]))
        if any(s.is_approximate for s in self.city.sites):
            said.append(("approximate", self.words["approximate"]))
        return said

    def _foot(self, notes: list[tuple[str, str]]) -> str:
        """What to know about the figures, each on a line of its own at the right."""
        lines = [
            f'<text class="soft note note-{kind}" x="{self.width - 12:g}" '
            f'y="{self.height - _FOOT + 18 + 19 * i:g}">{escape(text)}</text>'
            for i, (kind, text) in enumerate(notes)
        ]
        y, glyphs = self.height - _FOOT + 46.0, ""
        kinds = [
            ("relay", any(s.is_relay for s in self.city.sites), '<circle class="dot" cx="22" cy="{y}" r="6"/>')
        ]
        kinds.append(
            (
                "end-only",
                any(not s.is_relay for s in self.city.sites),
                '<circle class="dot end-only" cx="22" cy="{y}" r="5"/>',
            )
        )
        kinds.append(
            (
                "switch",
                any(s.switch_loss_db is not None for s in self.city.sites),
                '<rect class="switch" x="16" y="{top}" width="12" height="12" transform="rotate(45 22 {y})"/>',
            )
        )
        for word, is_there, glyph in kinds:
            if is_there:
                glyphs += glyph.format(y=f"{y:g}", top=f"{y - 6:g}")
                glyphs += f'<text class="soft key" x="38" y="{y:g}">{self.words[word]}</text>'
                y += 18.0
        return f'<g class="notes">{"".join(lines)}</g><g class="legend">{glyphs}</g>'


def _anchored(group: str, href: str, name: str) -> str:
    return group if not href else f'<a href="{escape(href.format(name))}">{group}</a>'


def _path(way: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in way)


def _middle(way: Sequence[Point]) -> Point:
    """The point half way along a line."""
    lengths = [math.hypot(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(way)]
    left = sum(lengths) / 2.0
    for (a, b), length in zip(itertools.pairwise(way), lengths, strict=True):
        if left <= length and length > 0.0:
            return a[0] + (b[0] - a[0]) * left / length, a[1] + (b[1] - a[1]) * left / length
        left -= length
    return way[0]
