"""Where things stand on a map: sites projected to a plane, labels put where they cover nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from poliqi.control.city import Site

__all__ = [
    "Box",
    "Placing",
    "Point",
    "Projection",
    "clearance",
    "crossings",
    "enclosing_circle",
    "nice_length",
    "text_width",
]

Point = tuple[float, float]
_KM_PER_DEGREE: Final = 6371.0088 * math.pi / 180.0


@dataclass(frozen=True, slots=True)
class Projection:
    """Equirectangular about the city's middle: within 25 km lengths are off by under 0.1 %. km, y southwards."""

    latitude: float
    longitude: float

    @classmethod
    def of(cls, sites: Sequence[Site]) -> Projection:
        """About the middle of the sites' bounds."""
        phis, lambdas = [s.latitude for s in sites], [s.longitude for s in sites]
        return cls((min(phis) + max(phis)) / 2.0, (min(lambdas) + max(lambdas)) / 2.0)

    def __call__(self, site: Site) -> Point:
        return (
            (site.longitude - self.longitude) * math.cos(math.radians(self.latitude)) * _KM_PER_DEGREE,
            (self.latitude - site.latitude) * _KM_PER_DEGREE,
        )


def enclosing_circle(points: Sequence[Point]) -> tuple[Point, float]:
    """Centre and radius of the smallest circle around the points, to 0.3 % (Badoiu and Clarkson 2003)."""
    x, y = points[0]
    for step in range(1, 400):
        far = max(points, key=lambda p: (p[0] - x) ** 2 + (p[1] - y) ** 2)
        x, y = x + (far[0] - x) / (step + 1), y + (far[1] - y) / (step + 1)
    return (x, y), max(math.hypot(p[0] - x, p[1] - y) for p in points)


def clearance(way: Sequence[Point], points: Iterable[Point]) -> float:
    """The least distance of any of the points from a line of straight pieces; inf without points."""
    least = math.inf
    for px, py in points:
        for (ax, ay), (bx, by) in itertools.pairwise(way):
            dx, dy = bx - ax, by - ay
            t = ((px - ax) * dx + (py - ay) * dy) / ((dx * dx + dy * dy) or 1.0)
            t = min(1.0, max(0.0, t))
            least = min(least, math.hypot(ax + t * dx - px, ay + t * dy - py))
    return least


def crossings(way: Sequence[Point], lines: Iterable[tuple[Point, Point]]) -> int:
    """How often a line of straight pieces crosses other lines."""

    def side(a: Point, b: Point, p: Point) -> bool:
        return (b[0] - a[0]) * (p[1] - a[1]) > (b[1] - a[1]) * (p[0] - a[0])

    pieces = list(itertools.pairwise(way))
    return sum(
        side(a, b, c) != side(a, b, d) and side(c, d, a) != side(c, d, b) for c, d in lines for a, b in pieces
    )


def nice_length(most: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is no longer than `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(f * power for f in (1.0, 2.0, 5.0) if f * power <= most)


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a sans-serif font, a little too wide rather than too narrow."""
    return size * sum(0.34 if c in " .,:;'|!il()" else 0.82 if c in "MWmw@%" else 0.6 for c in text)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by its middle."""

    x: float
    y: float
    width: float
    height: float

    def overlap(self, other: Box) -> float:
        """Area that both cover."""
        across = (self.width + other.width) / 2.0 - abs(self.x - other.x)
        down = (self.height + other.height) / 2.0 - abs(self.y - other.y)
        return across * down if across > 0.0 and down > 0.0 else 0.0

    def crossed(self, a: Point, b: Point) -> float:
        """Length of the segment from a to b inside the rectangle (Liang and Barsky)."""
        if abs(a[0] + b[0] - 2.0 * self.x) > abs(a[0] - b[0]) + self.width:
            return 0.0
        if abs(a[1] + b[1] - 2.0 * self.y) > abs(a[1] - b[1]) + self.height:
            return 0.0
        dx, dy = b[0] - a[0], b[1] - a[1]
        low, high = 0.0, 1.0
        for p, q in (
            (-dx, a[0] - (self.x - self.width / 2.0)),
            (dx, self.x + self.width / 2.0 - a[0]),
            (-dy, a[1] - (self.y - self.height / 2.0)),
            (dy, self.y + self.height / 2.0 - a[1]),
        ):
            if p == 0.0:
                if q < 0.0:
                    return 0.0
            elif p < 0.0:
                low = max(low, q / p)
            else:
                high = min(high, q / p)
        return math.hypot(dx, dy) * max(0.0, high - low)


@dataclass(slots=True)
class Placing:
    """Labels find their places one after the other; what stands already is never covered."""

    width: float
    height: float
    taken: list[Box] = field(default_factory=list[Box])
    lines: list[tuple[Point, Point]] = field(default_factory=list[tuple[Point, Point]])

    def best(self, places: Iterable[Box]) -> Box | None:
        """The place that hides fewest lines, the earlier the better; None where each would cover something."""
        best, least = None, math.inf
        for rank, box in enumerate(places):
            if rank * 2.0 >= least:
                break
            inside = (
                box.width / 2.0 <= box.x <= self.width - box.width / 2.0
                and box.height / 2.0 <= box.y <= self.height - box.height / 2.0
            )
            if not inside or any(box.overlap(other) > 0.0 for other in self.taken):
                continue
            cost = rank * 2.0 + 3.0 * sum(box.crossed(a, b) for a, b in self.lines)
            if cost < least:
                best, least = box, cost
        if best is not None:
            self.taken.append(best)
        return best

    def beside(self, at: Point, width: float, height: float, gap: float, middle: Point) -> Box | None:
        """A place next to a point, near or a little further off, rather on the side away from `middle`."""
        x, y = at
        away = math.hypot(x - middle[0], y - middle[1]) or 1.0
        ox, oy = (x - middle[0]) / away, (y - middle[1]) / away
        around = sorted(_AROUND, key=lambda d: -(d[0] * ox + d[1] * oy) / math.hypot(*d))
        return self.best(
            Box(x + c * (gap * far + width / 2.0), y + s * (gap * far + height / 2.0), width, height)
            for far in (1.0, 1.8, 3.0)
            for c, s in around
        )

    def along(self, points: Sequence[Point], width: float, height: float, gap: float) -> Box | None:
        """A place on either side of a line, near its middle first."""
        return self.best(self._sides(points, width, height, gap))

    def _sides(self, points: Sequence[Point], width: float, height: float, gap: float) -> Iterable[Box]:
        for share in (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74):
            place = share * (len(points) - 1)
            i = min(int(place), len(points) - 2)
            (ax, ay), (bx, by) = points[i], points[i + 1]
            x, y = ax + (bx - ax) * (place - i), ay + (by - ay) * (place - i)
            length = math.hypot(bx - ax, by - ay) or 1.0
            nx, ny = (by - ay) / length, (ax - bx) / length
            off = gap + abs(nx) * width / 2.0 + abs(ny) * height / 2.0
            for side in (1.0, -1.0):
                yield Box(x + side * nx * off, y + side * ny * off, width, height)


_AROUND: Final = (
    *((1.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (0.0, 1.0)),
    *((0.8, -0.8), (-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    *((0.4, -1.0), (-0.4, -1.0), (0.4, 1.0), (-0.4, 1.0)),
    *((1.0, -0.4), (-1.0, -0.4), (1.0, 0.4), (-1.0, 0.4)),
)
