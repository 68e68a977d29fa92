"""What stands on a map besides the city: the circle that it may not outgrow, scale, north, key and warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from poliqi.control.city import City, Span
from poliqi.ops.mapplace import Box, nice_length, text_width
from poliqi.ops.mapshape import DOT, Shape

__all__ = ["circle", "foot", "north", "notes"]

_ROW: Final = 18.0
_TEXT: Final = 12.0
_LIVE: Final = ("lit", "keyless", "dark", "silent")
_PLANNED: Final = ("plan", "new", "weak")


def north(words: dict[str, str], shape: Shape) -> str:
    """An arrow in the upper left corner, of which labels keep clear."""
    shape.placing.taken.append(Box(20.0, 34.0, 34.0, 64.0))
    return (
        '<g class="north"><path class="thin" d="M20 58V22m-6 10l6 -12l6 12"/>'
        f'<text class="soft" x="20" y="10">{words["north"]}</text></g>'
    )


def circle(words: dict[str, str], shape: Shape) -> str:
    """The city's circle: around the map, or small in a corner with the sites as dots."""
    rim = shape.city.diameter_km / 2.0
    label = words["circle"].format(km=f"{shape.city.diameter_km:g}")
    (cx, cy), (x, y) = shape.centre_km, shape.centre
    if shape.is_wide:
        spot = Box(x, y - rim * shape.scale - 10.0, text_width(label, 13.0), 16.0)
        shape.placing.taken.append(spot)
        return (
            f'<g class="circle"><circle class="rim" cx="{x:.1f}" cy="{y:.1f}" r="{rim * shape.scale:.1f}"/>'
            f'<text class="soft" x="{spot.x:.1f}" y="{spot.y:.1f}">⌀ {label}</text></g>'
        )
    size = 0.085 * shape.width
    box = shape.placing.best(
        Box(x, y, 2.0 * size + 12.0, 2.0 * size + 30.0)
        for y in (size + 22.0, shape.height - size - 16.0)
        for x in (shape.width - size - 10.0, size + 48.0)
    )
    if box is None:
        return ""
    x, y = box.x, box.y - 8.0
    small = size / rim
    dots = "".join(
        f'<circle class="grain" cx="{x + (px - cx) * small:.1f}" cy="{y + (py - cy) * small:.1f}" r="1.6"/>'
        for px, py in shape.km.values()
    )
    return (
        f'<g class="circle"><circle class="rim" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>{dots}'
        f'<text class="soft" x="{x:.1f}" y="{y + size + 11.0:.1f}">⌀ {label}</text></g>'
    )


def _scale_bar(shape: Shape) -> str:
    """A bar of a round length under the map."""
    km = nice_length(0.28 * shape.width / shape.scale)
    y, long = shape.height + 18.0, km * shape.scale
    return (
        f'<g class="scale"><path class="thin" d="M16 {y - 5:.1f}v10m0 -5h{long:.1f}m0 -5v10"/>'
        f'<text class="soft" x="{16 + long / 2.0:.1f}" y="{y - 12:.1f}">{km:g} km</text></g>'
    )


def foot(words: dict[str, str], shape: Shape, states: Iterable[str]) -> tuple[str, float]:
    """Scale, keys and warnings under the map, side by side where there is room; and how high all is."""
    y = shape.height + 18.0
    said = notes(words, shape.city, shape.candidates)
    sites, links = _site_rows(words, shape), _link_rows(words, shape, states)
    wide, wider = _key_width(sites), _key_width(links)
    parts = [_scale_bar(shape), _key(sites, 0.0, y + 24.0)]
    low = y + 24.0 + _ROW * len(sites)
    if wide + wider <= shape.width:
        parts.append(_key(links, wide, y + 24.0))
        low = max(low, y + 24.0 + _ROW * len(links))
        free = shape.width - wide - wider
    else:
        parts.append(_key(links, 0.0, low))
        low, free = low + _ROW * len(links), 0.0
    if max((text_width(text, _TEXT) for _, text in said), default=0.0) > free:
        y = low
    lines = "".join(
        f'<text class="soft note note-{kind}" x="{shape.width - 12:g}" y="{y + _ROW * i:g}">{escape(text)}</text>'
        for i, (kind, text) in enumerate(said)
    )
    parts.append(f'<g class="notes">{lines}</g>')
    return "".join(parts), max(low, y + _ROW * len(said)) + 2.0


def _site_rows(words: dict[str, str], shape: Shape) -> list[tuple[str, str]]:
    """What the marks of sites mean; only those that are there."""
    sites = shape.city.sites
    rows = [
        ("relay", any(s.is_relay for s in sites), f'<circle class="dot" cx="22" cy="{{y}}" r="{DOT - 3:g}"/>'),
        ("end-only", any(not s.is_relay for s in sites), '<circle class="dot end-only" cx="22" cy="{y}" r="5"/>'),
        (
            "switch",
            any(s.switch_loss_db is not None for s in sites),
            '<path class="switch" d="M22 {y}m0 -8l8 8l-8 8l-8 -8z"/>',
        ),
    ]
    return [(words[word], mark) for word, is_there, mark in rows if is_there]


def _link_rows(words: dict[str, str], shape: Shape, states: Iterable[str]) -> list[tuple[str, str]]:
    """What colours and strokes of links mean. Where one is live, all states that it could take are named."""
    there = set(states)
    named = [s for s in _PLANNED if s in there] + (list(_LIVE) if there & set(_LIVE) else [])
    line = '<path class="light" d="M12 {y}h22"/>'
    rows = [(words[state], f'<g class="state-{state}">{line}</g>') for state in named]
    if any(link.is_bypass for link in shape.city.links):
        rows.append((words["passing"], f'<g class="bypass">{line}</g>'))
    if shape.candidates:
        rows.append((words["candidate"], '<g class="candidate"><path class="fibre" d="M14 {y}h22"/></g>'))
    return rows


def _key_width(rows: Sequence[tuple[str, str]]) -> float:
    return 54.0 + max((text_width(word, _TEXT) for word, _ in rows), default=0.0)


def _key(rows: Sequence[tuple[str, str]], x: float, y: float) -> str:
    lines = "".join(
        f"{mark.format(y=f'{y + _ROW * i:g}')}"
        f'<text class="soft key" x="42" y="{y + _ROW * i:g}">{escape(word)}</text>'
        for i, (word, mark) in enumerate(rows)
    )
    return f'<g class="legend" transform="translate({x:.0f} 0)">{lines}</g>'


def notes(words: dict[str, str], city: City, candidates: Sequence[Span]) -> list[tuple[str, str]]:
    """What to know about the figures: simulated, invented, approximate."""
    said: list[tuple[str, str]] = []
    if city.is_simulated:
        said.append(("simulated", words["simulated"]))
    if any(s.is_invented for s in (*city.spans, *candidates)):
        said.append(("invented", words["invented"]))
    if any(s.is_approximate for s in city.sites):
        said.append(("approximate", words["approximate"]))
    return said
