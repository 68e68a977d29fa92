"""One page of a result, as HTML in one file or as a picture: its numbers, its charts, its cautions."""

from __future__ import annotations

import html
import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from poliqi.base.chartstyle import CHART_STYLE, check_format
from poliqi.base.errors import ConfigError
from poliqi.edge.wholefile import whole_file

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "Page",
    "Panel",
    "check_page",
    "draw_panels",
    "page_bytes",
    "write_page",
]

GREY: Final = "#5b6b7a"
BLUE: Final = "#1b6ca8"
ORANGE: Final = "#c05a1c"
GREEN: Final = "#2a7d3f"
_PAGES: Final = (".html", ".png")
_COLUMNS: Final = 2
_INCH: Final = (5.4, 3.9)
_ROWS_SHOWN: Final = 24
_CHARACTER_INCH: Final = 0.602 * 9 / 72  # of the fixed font at 9 points
_TITLE_INCH: Final = 0.7 * 12 / 72  # of a letter of a title, on the wide side
_TITLE_LINE_INCH: Final = 0.2
_MOST_TITLE_LINES: Final = 3
_STYLE: Final = (
    "body{font:16px/1.45 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1d252c;"
    "background:#fff}h1{font-size:1.5rem;margin:0}p.sub{color:#51606d;margin:.2rem 0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .9rem .2rem 0;text-align:left;"
    "vertical-align:top;border-bottom:1px solid #dde3e8}.charts{display:grid;gap:1rem;"
    "grid-template-columns:repeat(auto-fit,minmax(24rem,1fr))}.charts svg{max-width:100%;height:auto}"
    "figure{margin:0}figure.wide{grid-column:1/-1}"
    ".note{border-left:4px solid #c05a1c;padding:.2rem .8rem;margin:.4rem 0}.simulated{background:#fbe9d0;"
    "padding:.3rem .8rem;display:inline-block;font-weight:600}@media print{body{margin:0}}"
)


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: `draw` is given empty axes of matplotlib."""

    title: str
    draw: Callable[[Any], None]
    is_wide: bool = False
    """Whether it takes a whole row."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page tells. `facts` are label and words; `table` has its head in the first row."""

    title: str
    subtitle: str = ""
    facts: Sequence[tuple[str, str]] = ()
    panels: Sequence[Panel] = ()
    cautions: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    simulated: bool = False


def check_page(path: Path) -> None:
    """Refuse a name whose ending is none of a page (ConfigError)."""
    if path.suffix.lower() not in _PAGES:
        raise ConfigError(f"--report {path}: give a name that ends in {' or '.join(_PAGES)}")


def write_page(page: Page, path: Path, *, overwrite: bool = False) -> None:
    """As .html or .png. Raises ConfigError, StoreError."""
    check_page(path)
    with whole_file(path, overwrite=overwrite) as file:
        file.write(page_bytes(page, path.suffix.lower()))


def draw_panels(page: Page, path: Path, *, overwrite: bool = False) -> None:
    """The charts alone, as .svg or .png. Raises ConfigError (also where there is none), StoreError."""
    check_format(path)
    if not page.panels:
        raise ConfigError(f"--plot {path}: there is nothing to draw of {page.title!r}")
    kind = path.suffix.lower().lstrip(".")
    with whole_file(path, overwrite=overwrite) as file:
        file.write(_figure(page, kind, with_words=False))


def page_bytes(page: Page, suffix: str) -> bytes:
    """The page in the format of that ending."""
    return _html(page).encode() if suffix == ".html" else _figure(page, "png", with_words=True)


def _rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    rows: list[list[Panel]] = []
    for panel in panels:
        if panel.is_wide or not rows or rows[-1][0].is_wide or len(rows[-1]) == _COLUMNS:
            rows.append([panel])
        else:
            rows[-1].append(panel)
    return rows


def _figure(page: Page, kind: str, *, with_words: bool) -> bytes:
    """All panels; above them the page's words, where asked."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = matplotlib  # its annotations are partial
    rows = _rows(page.panels)
    words = _words(page) if with_words else []
    words_inch = 0.19 * len(words) + 0.25 if words else 0.0
    is_wide = with_words or any(panel.is_wide for panel in page.panels)
    columns = max([len(row) for row in rows] + [_COLUMNS if is_wide else 1])
    title = _title(page, _INCH[0] * columns)
    size = (_INCH[0] * columns, _INCH[1] * len(rows) + words_inch + 0.35 + _TITLE_LINE_INCH * len(title))
    with style.rc_context(CHART_STYLE):
        figure: Any = Figure(figsize=size, layout="constrained")
        heights = [words_inch] * bool(words) + [_INCH[1]] * len(rows)
        parts = (
            list(figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]) if heights else []
        )
        if words:
            text = "\n".join(line.replace("$", r"\$") for line in words)
            parts.pop(0).text(0.012, 0.98, text, va="top", fontsize=9, family="monospace", linespacing=1.35)
        for part, row in zip(parts, rows, strict=True):
            for axes, panel in zip(part.subplots(1, len(row), squeeze=False)[0], row, strict=True):
                panel.draw(axes)
                axes.set_title(panel.title.replace("$", r"\$"), fontsize=10, loc="left")
        figure.suptitle("\n".join(title).replace("$", r"\$"), x=0.01, ha="left", fontsize=12)
        out = io.BytesIO()
        figure.savefig(out, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return out.getvalue()


def _title(page: Page, wide_inch: float) -> list[str]:
    """In lines that the picture is wide enough for, at most three; `simulated` is never cut."""
    letters = int(wide_inch / _TITLE_INCH)
    lines = textwrap.wrap(page.title, letters, max_lines=_MOST_TITLE_LINES, placeholder=" ...")
    return [*lines[:-1], *textwrap.wrap(f"{lines[-1]} (simulated)", letters)] if page.simulated and lines else lines


def _words(page: Page) -> list[str]:
    width = max((len(label) for label, _ in page.facts), default=0)
    lines = [page.subtitle] if page.subtitle else []
    for label, text in page.facts:
        lines += _wrapped(f"{label:<{width}}  ", text, page)
    if page.table:
        shown = [list(row) for row in page.table[: _ROWS_SHOWN + 1]]
        widths = [max(len(row[at]) for row in shown) for at in range(len(shown[0]))]
        lines += [
            "",
            *("  ".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)) for row in shown),
        ]
        if len(page.table) > len(shown):
            lines.append(f"... and {len(page.table) - len(shown)} more rows")
    for said in page.cautions:
        lines += _wrapped("caution: ", said, page)
    return lines


def _wrapped(head: str, text: str, page: Page) -> list[str]:
    """Words in lines that the picture is wide enough for, below each other."""
    columns = max([len(row) for row in _rows(page.panels)] + [2])
    return textwrap.wrap(
        text, int(columns * _INCH[0] / _CHARACTER_INCH) - 3, initial_indent=head, subsequent_indent=" " * len(head)
    ) or [head]


def _html(page: Page) -> str:
    said = html.escape
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<meta name=viewport content='width=device-width'><title>{said(page.title)}</title>",
        f"<style>{_STYLE}</style>",
        f"<h1>{said(page.title)}</h1><p class=sub>{said(page.subtitle)}</p>",
        "<p class=simulated>simulated</p>" if page.simulated else "",
    ]
    if page.facts:
        parts.append(
            "<table>"
            + "".join(f"<tr><th>{said(a)}</th><td>{said(b)}</td></tr>" for a, b in page.facts)
            + "</table>"
        )
    parts += [f"<p class=note>{said(one)}</p>" for one in page.cautions]
    if page.panels:
        parts.append(f"<div class=charts>{''.join(_chart(panel) for panel in page.panels)}</div>")
    if page.table:
        head, *body = page.table
        cells = "".join(f"<th>{said(cell)}</th>" for cell in head)
        rows = "".join("<tr>" + "".join(f"<td>{said(cell)}</td>" for cell in row) + "</tr>" for row in body)
        parts.append(f"<table><tr>{cells}</tr>{rows}</table>")
    return "\n".join(part for part in parts if part) + "\n"


def _chart(panel: Panel) -> str:
    chart = _svg(Page(panel.title, panels=[Panel("", panel.draw, panel.is_wide)]))
    return f"<figure{' class=wide' if panel.is_wide else ''}>{chart}</figure>"


def _svg(page: Page) -> str:
    """One chart as an element of HTML: from its <svg on."""
    text = _figure(page, "svg", with_words=False).decode()
    return text[text.index("<svg") :]
