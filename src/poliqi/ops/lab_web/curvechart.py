"""A measured curve as SVG, drawn on the server: logarithmic axes for scattering, error bars for sigmas."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

__all__ = ["Scale", "drawn_curve", "scale_of"]

_POINTS: Final = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 10, 42
_FAR: Final = 1e15
"""Figures further apart than this factor are no curve that anybody measured: the smallest are left out."""
_SMALLEST, _LARGEST = 1e-100, 1e100

Point = tuple[float, float, float]
"""x, intensity, sigma (0: not known)."""


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high` with its ticks; `is_log`: both ends positive."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one; what lies outside is put at the end."""
        if self.is_log:
            whole = math.log(self.high / self.low)
            found = math.log(max(value, self.low * 1e-3) / self.low) / whole
        else:
            found = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, found))


def scale_of(values: Iterable[float], is_log: bool) -> Scale:
    """An axis that holds all of these finite values, for a logarithmic one the positive ones."""
    found = [v for v in values if math.isfinite(v) and (v > 0.0 or not is_log)]
    if not found:
        found = [1.0]
    low, high = min(found), max(found)
    if is_log:
        low = max(low, high / _FAR)
        if high < low * 1.5:
            low, high = low / 1.5, high * 1.5
        return Scale(low, high, _decades(low, high), True)
    size = max(abs(high), abs(low))
    if high - low <= 1e-12 * size or size < _SMALLEST:
        half = 0.5 * size if size >= _SMALLEST else 0.5
        low, high = low - half, high + half
    step = _step(high - low)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Scale(low, high, tuple(low + n * step for n in range(round((high - low) / step) + 1)), False)


def _step(span: float) -> float:
    """A round step that fits 3 to 7 times into the span."""
    base = 10.0 ** math.floor(math.log10(span))
    return next(s * base for s in (0.2, 0.5, 1.0, 2.0) if span / (s * base) <= 6.5)


def _decades(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten between the ends, thinned to 8; with their 2 and 5 where there are few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = [10.0**n for n in range(first, last + 1)]
    if len(powers) > 2:
        return tuple(powers[:: math.ceil(len(powers) / 8)])
    fine = [m * 10.0**n for n in range(first - 1, last + 2) for m in (1.0, 2.0, 5.0)]
    return tuple(v for v in fine if low * (1 - 1e-9) <= v <= high * (1 + 1e-9))


def thinned(points: Sequence[Point], most: int = _POINTS) -> list[Point]:
    """At most so many points: each the mean of neighbours, its sigma that of the mean."""
    size = math.ceil(len(points) / most)
    if size <= 1:
        return list(points)
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    return [_mean(group) for group in groups]


def _mean(group: Sequence[Point]) -> Point:
    count = len(group)
    sigma = math.sqrt(sum(s * s for _, _, s in group)) / count
    return sum(x for x, _, _ in group) / count, sum(y for _, y, _ in group) / count, sigma


def drawn_curve(
    points: Sequence[Point], names: tuple[str, str], label: str, is_log: bool, width: int, height: int, style: str
) -> Markup:
    """`names` stand at the axes, `label` is what the drawing is called, `style` is its class."""
    kept = [p for p in points if _is_drawn(p, is_log)]
    few = thinned(kept)
    x = scale_of((p[0] for p in few), is_log)
    y = scale_of((p[1] for p in few), is_log)
    inner = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM

    def at(px: float, py: float) -> tuple[str, str]:
        return f"{_LEFT + x.share(px) * inner[0]:.1f}", f"{_TOP + (1.0 - y.share(py)) * inner[1]:.1f}"

    line = "".join(f"{'L' if n else 'M'}{' '.join(at(px, py))}" for n, (px, py, _) in enumerate(few))
    bars = "".join(_bar(at, p) for p in few if 0.0 < p[2] <= _LARGEST)
    return Markup(
        '<svg class="curve {style}" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        '{grid}<path class="bars" d="{bars}"/><path class="line" d="{line}"/>'
        '<text class="name" x="{nx}" y="{ny}">{xname}</text>'
        '<text class="name" x="14" y="{my}" transform="rotate(-90 14 {my})">{yname}</text></svg>'
    ).format(
        style=style,
        w=width,
        h=height,
        label=label,
        grid=_grid(x, y, inner),
        bars=bars,
        line=line,
        nx=_LEFT + inner[0] / 2,
        ny=height - 6,
        my=_TOP + inner[1] / 2,
        xname=names[0],
        yname=names[1],
    )


def _is_drawn(point: Point, is_log: bool) -> bool:
    """False also for what no instrument gives: figures at the ends of what a float holds."""
    least = _SMALLEST if is_log else -_LARGEST
    return all(least <= value <= _LARGEST for value in point[:2])


def _bar(at: Callable[[float, float], tuple[str, str]], point: Point) -> str:
    px, py, sigma = point
    left, top = at(px, py + sigma)
    _, bottom = at(px, max(py - sigma, py * 1e-3) if py > 0 else py - sigma)
    return f"M{left} {top}V{bottom}"


def _grid(x: Scale, y: Scale, inner: tuple[int, int]) -> Markup:
    lines: list[str] = []
    words: list[Markup] = []
    for tick in x.ticks:
        left = f"{_LEFT + x.share(tick) * inner[0]:.1f}"
        lines.append(f"M{left} {_TOP}v{inner[1]}")
        words.append(
            Markup('<text class="x" x="{}" y="{}">{}</text>').format(left, _TOP + inner[1] + 16, _tick(tick))
        )
    for tick in y.ticks:
        top = _TOP + (1.0 - y.share(tick)) * inner[1]
        lines.append(f"M{_LEFT} {top:.1f}h{inner[0]}")
        words.append(
            Markup('<text class="y" x="{}" y="{}">{}</text>').format(_LEFT - 7, f"{top + 4:.1f}", _tick(tick))
        )
    return Markup('<path class="grid" d="{}"/>{}').format("".join(lines), Markup().join(words))


_POWERS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _tick(value: float) -> str:
    """0.05, 20, 10⁴."""
    if value and not 1e-3 <= abs(value) < 1e4:
        exponent = math.floor(math.log10(abs(value)) + 1e-9)
        factor = value / 10.0**exponent
        power = f"10{str(exponent).translate(_POWERS)}"
        return power if abs(factor - 1.0) < 1e-6 else f"{factor:.3g}·{power}"
    return f"{0.0 if abs(value) < 1e-12 else value:.4g}"
