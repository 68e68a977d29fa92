"""The answer as a picture: bars for streams, lines for records. SVG, legible on light and on dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from poliqi.apps.testbench.answers import Middle, Row, size_text

__all__ = ["picture"]

_WIDTH: Final = 900
_LEFT: Final = 230
_RIGHT: Final = 110
_BAR: Final = 26
_LINES: Final = 300
_LINES_LEFT: Final = 60
_LEGEND: Final = 250
_STYLE: Final = """\
.bench{--ink:#1c2430;--soft:#5b6675;--grid:#dde2e9;--paper:#fff;--c0:#1b5fa8;--c1:#b4460f;--c2:#0b7a55;--c3:#8a2f9e;
--c4:#8a6d00;--c5:#c0182b;--c6:#00767f;--c7:#5b6675;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
@media (prefers-color-scheme:dark){.bench{--ink:#e8edf4;--soft:#a2adbb;--grid:#323b47;--paper:#12161c;--c0:#6bb0f5;
--c1:#ff9d5c;--c2:#3ecf9a;--c3:#dd8df0;--c4:#e0c34a;--c5:#ff6b78;--c6:#4fd2dc;--c7:#a2adbb}}
:root[data-theme=light] .bench{--ink:#1c2430;--soft:#5b6675;--grid:#dde2e9;--paper:#fff;--c0:#1b5fa8;--c1:#b4460f;
--c2:#0b7a55;--c3:#8a2f9e;--c4:#8a6d00;--c5:#c0182b;--c6:#00767f;--c7:#5b6675}
:root[data-theme=dark] .bench{--ink:#e8edf4;--soft:#a2adbb;--grid:#323b47;--paper:#12161c;--c0:#6bb0f5;--c1:#ff9d5c;
--c2:#3ecf9a;--c3:#dd8df0;--c4:#e0c34a;--c5:#ff6b78;--c6:#4fd2dc;--c7:#a2adbb}
.bench .paper{fill:var(--paper)}.bench text{fill:var(--ink);font-size:13px}
.bench .head{font-size:15px;font-weight:600}.bench .soft{fill:var(--soft);font-size:12px}
.bench .right{text-anchor:end}.bench .middle{text-anchor:middle}.bench .own{font-weight:700}
.bench .grid{stroke:var(--grid)}.bench .bar{fill:var(--c0)}.bench .bar.own{fill:var(--c1)}
.bench .bar.plain{fill:var(--c7)}.bench .spread{stroke:var(--ink);stroke-width:1.5}
.bench .line{fill:none;stroke-width:2}.bench .line.own{stroke-width:4}
""" + "".join(
    f".bench .s{n}{{stroke:var(--c{n})}}.bench .d{n}{{fill:var(--c{n});stroke:var(--paper)}}" for n in range(8)
)


def picture(rows: Sequence[Row], subtitle: str) -> str:
    """One SVG document. What was tried by its user, from a file or an entry point, stands out."""
    streams = sorted((row for row in rows if row.stream_gbps is not None), key=lambda row: -_rate(row.stream_gbps))
    records = [row for row in rows if row.seal_gbps]
    failed = [row.name for row in rows if row.verdict == "failed"]
    parts: list[str] = []
    top = 70.0
    if streams:
        parts.append(_bars(streams, top))
        top += 70.0 + _BAR * len(streams)
    if records:
        parts.append(_curves(records, top))
        top += 70.0 + max(_LINES, 22.0 * len(records)) + 30.0
    if failed:
        text = "failed its conformance and was not timed: " + ", ".join(failed)
        parts.append(_text(16, top, text, "soft"))
        top += 26.0
    about = ", ".join(f"{row.name} {_rate(row.stream_gbps):.2f} Gbit/s" for row in streams)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="bench" viewBox="0 0 {_WIDTH} {top:.0f}" role="img"'
        f' aria-label="{escape(f"Encryption compared. {about}")}"><style>{_STYLE}</style>'
        f'<rect class="paper" width="{_WIDTH}" height="{top:.0f}"/>'
        + _text(16, 26, "Encryption compared on the same load", "head")
        + _text(16, 45, subtitle, "soft")
        + "".join(parts)
        + "</svg>\n"
    )


def _rate(value: Middle | None) -> float:
    return 0.0 if value is None else value.median


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(text)}</text>'


def _is_own(row: Row) -> bool:
    return row.origin not in ("built in", "installed")


def _bars(rows: Sequence[Row], top: float) -> str:
    most = max(row.stream_gbps.most for row in rows if row.stream_gbps) or 1.0
    step = _round_step(most / 5.0)
    wide = _WIDTH - _LEFT - _RIGHT
    along = wide / max(most, step)
    foot = top + 26.0 + _BAR * len(rows)
    parts = [
        _text(16, top + 10, "Stream over TCP on this machine, Gbit/s (bar: median; line: least to most)", "head")
    ]
    for n in range(int(max(most, step) / step) + 1):
        x = _LEFT + n * step * along
        parts.append(f'<path class="grid" d="M{x:.1f} {top + 22:.1f}V{foot:.1f}"/>')
        parts.append(_text(x, foot + 16, f"{n * step:g}", "soft middle"))
    for place, row in enumerate(rows):
        rate = row.stream_gbps
        if rate is None:
            continue
        y = top + 26.0 + _BAR * place
        style = "own" if _is_own(row) else "plain" if row.verdict == "reference" else ""
        parts.append(_text(_LEFT - 10, y + 17, row.name, f"right {style}"))
        length, low, high = rate.median * along, _LEFT + rate.least * along, _LEFT + rate.most * along
        parts.append(
            f'<rect class="bar {style}" x="{_LEFT}" y="{y + 4:.1f}" width="{length:.1f}" height="{_BAR - 8}"/>'
        )
        parts.append(f'<path class="spread" d="M{low:.1f} {y + 13:.1f}H{high:.1f}"/>')
        parts.append(_text(max(_LEFT + length, high) + 8, y + 17, f"{rate.median:.2f}"))
    return "".join(parts)


def _round_step(least: float) -> float:
    base = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(base * factor for factor in (1.0, 2.0, 5.0, 10.0) if base * factor >= least * 0.999)


def _curves(rows: Sequence[Row], top: float) -> str:
    sizes = sorted({size for row in rows for size in row.seal_gbps})
    rates = [middle.median for row in rows for middle in row.seal_gbps.values() if middle.median > 0]
    low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))
    high = max(high, low + 1)
    head, foot = top + 30.0, top + 30.0 + _LINES
    wide = _WIDTH - _LINES_LEFT - _LEGEND
    begin, end = math.log2(sizes[0]), math.log2(sizes[-1])

    def x(size: int) -> float:
        return _LINES_LEFT + wide * ((math.log2(size) - begin) / (end - begin) if end > begin else 0.5)

    def y(rate: float) -> float:
        return foot - _LINES * (math.log10(max(rate, 10.0**low)) - low) / (high - low)

    parts = [_text(16, top + 10, "Records in memory, one thread, Gbit/s sealed (both scales logarithmic)", "head")]
    for power in range(low, high + 1):
        parts.append(f'<path class="grid" d="M{_LINES_LEFT} {y(10.0**power):.1f}H{_LINES_LEFT + wide}"/>')
        parts.append(_text(_LINES_LEFT - 8, y(10.0**power) + 4, f"{10.0**power:g}", "soft right"))
    parts += [_text(x(size), foot + 18, size_text(size), "soft middle") for size in sizes]
    ends: list[tuple[float, Row, int]] = []
    for place, row in enumerate(rows):
        points = [(x(size), y(middle.median)) for size, middle in sorted(row.seal_gbps.items())]
        own = " own" if _is_own(row) else ""
        way = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        parts.append(f'<path class="line s{place % 8}{own}" d="M{way}"/>')
        parts += [f'<circle class="d{place % 8}" cx="{a:.1f}" cy="{b:.1f}" r="4"/>' for a, b in points]
        ends.append((points[-1][1], row, place))
    return "".join(parts) + "".join(_labels(ends, _LINES_LEFT + wide + 18.0, head))


def _labels(ends: Iterable[tuple[float, Row, int]], x: float, head: float) -> list[str]:
    """A name at the end of each line, moved down where another stands."""
    parts: list[str] = []
    free = head
    for at, row, place in sorted(ends, key=lambda one: one[0]):
        y = max(at, free)
        free = y + 20.0
        text = f"{row.name} {row.seal_gbps[max(row.seal_gbps)].median:.3g}"
        parts.append(f'<path class="line s{place % 8}" d="M{x:.1f} {y:.1f}h14"/>')
        parts.append(_text(x + 20, y + 4, text, "own" if _is_own(row) else ""))
    return parts
