"""Where a map's sites and lines run: coordinates to pixels, fibres side by side and around sites that they miss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.control.city import City, QuantumLink, Span
from poliqi.ops.mapplace import Box, Placing, Point, Projection, clearance, crossings, enclosing_circle

__all__ = ["DOT", "Shape", "middle_of"]

DOT: Final = 9.0
_SIDE: Final = 0.13
_TOP: Final = 46.0
_APART: Final = 13.0
_LANE: Final = 2.4 * _APART
_FLATTEST: Final = 0.34
_CLEAR: Final = 2.6 * DOT
_BENDS: Final = (26.0, -26.0, 40.0, -40.0, 60.0, -60.0, 90.0, -90.0)
_PIECES: Final = 12
_MOST_BENT: Final = 80
_WIDE: Final = 0.55


@dataclass(slots=True)
class Shape:
    """The places of a city on a map `width` pixels wide. `candidates` are drawn, but belong to no city yet."""

    city: City
    candidates: Sequence[Span]
    width: float
    height: float = 0.0
    """Of the map alone; what stands under it comes after."""
    scale: float = 1.0
    """Pixels a km."""
    km: dict[KmeId, Point] = field(default_factory=dict[KmeId, Point])
    at: dict[KmeId, Point] = field(default_factory=dict[KmeId, Point])
    centre_km: Point = (0.0, 0.0)
    """Of the smallest circle around all sites."""
    centre: Point = (0.0, 0.0)
    is_wide: bool = False
    """The sites fill so much of the city's circle that the map shows it at full size."""
    placing: Placing = field(default_factory=lambda: Placing(0.0, 0.0))
    _bends: dict[tuple[KmeId, KmeId], float] = field(default_factory=dict[tuple[KmeId, KmeId], float])

    def __post_init__(self) -> None:
        project = Projection.of(self.city.sites)
        self.km = {s.kme: project(s) for s in self.city.sites}
        points = list(self.km.values())
        (cx, cy), radius = enclosing_circle(points)
        left, right = min(p[0] for p in points), max(p[0] for p in points)
        top, bottom = min(p[1] for p in points), max(p[1] for p in points)
        rim = self.city.diameter_km / 2.0
        self.centre_km, self.is_wide = (cx, cy), radius > _WIDE * rim
        if self.is_wide:
            left, right, top, bottom = cx - rim, cx + rim, cy - rim, cy + rim
        across, down = max(right - left, 0.2), max(bottom - top, 0.2)
        self.scale = min((self.width * (1.0 - 2.0 * _SIDE)) / across, self.width / down)
        high = max(down * self.scale, _FLATTEST * self.width)
        self.height = float(round(high + 2.0 * _TOP))
        x0 = (self.width - (right + left) * self.scale) / 2.0
        y0 = _TOP + (high - (bottom + top) * self.scale) / 2.0
        self.at = {k: (x0 + x * self.scale, y0 + y * self.scale) for k, (x, y) in self.km.items()}
        self.centre = (x0 + cx * self.scale, y0 + cy * self.scale)
        self.placing = Placing(self.width, self.height)
        self.placing.taken = [Box(x, y, 3.7 * DOT, 3.7 * DOT) for x, y in self.at.values()]

    @property
    def spans(self) -> tuple[Span, ...]:
        """All fibres that are drawn."""
        return (*self.city.spans, *self.candidates)

    def fibre(self, span: Span) -> list[Point]:
        """A fibre's line."""
        return self._curve(span.ends, self._lane(span))

    def light(self, link: QuantumLink) -> list[Point]:
        """Where a link's light runs: along its fibre, or beside the sites that it passes."""
        if not link.is_bypass:
            span = self.city.span[link.spans[0]]
            same = [other.link for other in self.city.links if other.spans == link.spans]
            lane = self._lane(span) * (1.0 if span.ends == link.ends else -1.0)
            return self._curve(link.ends, lane + (same.index(link.link) - (len(same) - 1) / 2.0) * _APART)
        (ax, ay), (bx, by) = self.at[link.ends[0]], self.at[link.ends[1]]
        mx, my, here = (ax + bx) / 2.0, (ay + by) / 2.0, link.ends[0]
        way = [(ax, ay)]
        for name in link.spans[:-1]:
            ends = self.city.span[name].ends
            here = ends[1] if here == ends[0] else ends[0]
            x, y = self.at[here]
            off = 2.2 * _APART / (math.hypot(x - mx, y - my) or 1.0)
            way.append((x - (x - mx) * off, y - (y - my) * off))
        return [*way, (bx, by)]

    def _lane(self, span: Span) -> float:
        """How far a fibre bends: beside others between the same two sites, and around a third site."""
        same = [s.span for s in self.spans if set(s.ends) == set(span.ends)]
        half = (len(same) - 1) / 2.0 * _LANE
        first = (min(span.ends), max(span.ends))
        if first not in self._bends:
            self._bends[first] = self._bend(first, half)
        side = 1.0 if span.ends == first else -1.0
        return (self._bends[first] + same.index(span.span) * _LANE - half) * side

    def _bend(self, ends: tuple[KmeId, KmeId], half: float) -> float:
        """0 where straight lines pass no site; else the bend that clears them and crosses fewest fibres.

        `half`: how far the outermost of several fibres lies from their middle. Large cities are drawn straight.
        """
        others = [at for kme, at in self.at.items() if kme not in ends]

        def free(off: float) -> float:
            return min(clearance(self._curve(ends, edge), others) for edge in {off - half, off + half})

        if len(others) > _MOST_BENT or free(0.0) >= _CLEAR:
            return 0.0
        clear = [off for off in _BENDS if free(off) >= _CLEAR]
        fibres = [(self.at[s.ends[0]], self.at[s.ends[1]]) for s in self.spans if not set(s.ends) & set(ends)]
        return min(clear, key=lambda off: (crossings(self._curve(ends, off), fibres), abs(off)), default=0.0)

    def _curve(self, ends: tuple[KmeId, KmeId], off: float) -> list[Point]:
        """A line between two sites, bent sideways by `off` pixels in the middle."""
        (ax, ay), (bx, by) = self.at[ends[0]], self.at[ends[1]]
        if off == 0.0:
            return [(ax, ay), (bx, by)]
        length = math.hypot(bx - ax, by - ay) or 1.0
        nx, ny = (by - ay) / length, (ax - bx) / length
        shares = [i / _PIECES for i in range(_PIECES + 1)]
        bends = [4.0 * t * (1.0 - t) * off for t in shares]
        return [
            (ax + (bx - ax) * t + nx * d, ay + (by - ay) * t + ny * d) for t, d in zip(shares, bends, strict=True)
        ]


def middle_of(way: Sequence[Point]) -> Point:
    """The point half way along a line."""
    pieces = list(pairwise(way))
    lengths = [math.hypot(b[0] - a[0], b[1] - a[1]) for a, b in pieces]
    left = sum(lengths) / 2.0
    for (a, b), length in zip(pieces, lengths, strict=True):
        if left <= length and length > 0.0:
            return a[0] + (b[0] - a[0]) * left / length, a[1] + (b[1] - a[1]) * left / length
        left -= length
    return way[0]
