"""Line charts as SVG, drawn on the server. Labels are text of the page around the drawing, so that they keep their
size at any width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

__all__ = ["Chart", "Series", "Spread", "chart", "spark", "spread"]

WIDTH: Final = 600
HEIGHT: Final = 160
_POINTS: Final = 150
_SPARK: Final = (96, 24, 32)


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time; None is a gap. `style` is its class in the style sheet."""

    name: str
    style: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Spread:
    """The lower and the upper end of an axis; its middle is a round number too."""

    low: float
    high: float

    @property
    def ticks(self) -> tuple[float, float, float]:
        """From above."""
        return self.high, (self.low + self.high) / 2.0, self.low


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart's drawing and the words around it. `y` from above, `x` from the left."""

    title: str
    now: str
    series: tuple[Series, ...]
    drawing: Markup
    y: tuple[str, ...]
    x: tuple[str, ...]
    is_empty: bool


def spread(values: Sequence[float], from_zero: bool = True) -> Spread:
    """Ends of an axis that holds all values: two round steps apart."""
    top = max(values, default=1.0)
    bottom = 0.0 if from_zero else min(values, default=0.0)
    need = max(top - bottom, abs(top) * 0.02, 1e-12)
    base = 10.0 ** math.floor(math.log10(need / 2.0))
    for step in (base, 2.0 * base, 2.5 * base, 5.0 * base, 10.0 * base, 20.0 * base):
        low = math.floor(bottom / step + 1e-9) * step
        if low + 2.0 * step >= top - 1e-9 * abs(top):
            return Spread(low, low + 2.0 * step)
    raise AssertionError("the last step holds everything")


def thinned(points: Sequence[tuple[float, float | None]], most: int) -> list[tuple[float, float | None]]:
    """At most so many points: means of neighbours, at the time of the last; a stretch of gaps stays a gap."""
    size = math.ceil(len(points) / most)
    if size <= 1:
        return list(points)
    found: list[tuple[float, float | None]] = []
    for first in range(0, len(points), size):
        group = points[first : first + size]
        values = [v for _, v in group if v is not None]
        found.append((group[-1][0], sum(values) / len(values) if values else None))
    return found


def _path(
    points: Sequence[tuple[float, float | None]], x0: float, x1: float, y: Spread, width: float, height: float
) -> str:
    """An SVG path; a lonely point between gaps is a short dash."""
    parts: list[str] = []
    is_open = False
    along = width / max(x1 - x0, 1e-9)
    up = height / max(y.high - y.low, 1e-300)
    for at, value in points:
        if value is None:
            is_open = False
            continue
        place = f"{(at - x0) * along:.1f} {height - (value - y.low) * up:.1f}"
        parts.append(f"L{place}" if is_open else f"M{place}h.5")
        is_open = True
    return "".join(parts)


def chart(
    title: str,
    now: str,
    series: Sequence[Series],
    span: tuple[float, float],
    label: Callable[[float], str],
    moment: Callable[[float], str],
    from_zero: bool = True,
) -> Chart:
    """Draw series over the time span (s)."""
    values = [v for s in series for _, v in s.points if v is not None]
    ends = spread(values, from_zero)
    x0, x1 = span
    lines = Markup().join(
        Markup('<path class="{}" d="{}"/>').format(
            s.style, _path(thinned(s.points, _POINTS), x0, x1, ends, WIDTH, HEIGHT)
        )
        for s in series
    )
    drawing = Markup(
        '<svg viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<path class="grid" d="M0 .5H{w}M0 {m}H{w}M0 {b}H{w}"/>{lines}</svg>'
    ).format(w=WIDTH, h=HEIGHT, m=HEIGHT / 2, b=HEIGHT - 0.5, label=f"{title}: {now}", lines=lines)
    middle = (x0 + x1) / 2.0
    times = tuple(moment(at) for at in (x0, middle, x1))
    return Chart(title, now, tuple(series), drawing, tuple(label(v) for v in ends.ticks), times, not values)


def spark(points: Sequence[tuple[float, float | None]]) -> Markup:
    """A line as small as a word, from zero up; nothing where nothing was measured."""
    width, height, most = _SPARK
    few = thinned(points, most)
    values = [v for _, v in few if v is not None]
    if len(values) < 2:
        return Markup("")
    top = Spread(0.0, max(values) * 1.1 or 1.0)
    line = _path(few, few[0][0], few[-1][0], top, width, height)
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true"><path d="{}"/></svg>'
    ).format(width, height, line)
