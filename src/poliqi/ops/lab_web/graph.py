"""Where a dataset comes from and went, as a small drawing: rows from the oldest at the top to the newest below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from markupsafe import Markup

__all__ = ["Node", "drawn_graph", "rows_of"]

WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 216, 50, 24, 34, 6
_LETTERS: Final = 28


@dataclass(frozen=True, slots=True)
class Node:
    """A box: `style` is its class (dataset, job, sample, instrument, action), `above` the ids it comes from."""

    id: str
    style: str
    kind: str
    title: str
    above: tuple[str, ...] = ()
    href: str = ""
    is_here: bool = False
    is_simulated: bool = False


def rows_of(nodes: Sequence[Node]) -> list[list[Node]]:
    """Each node below all that it comes from; ids that are not there are left out.

    What is in a circle, which no store of ours holds, is put into one last row.
    """
    known = {node.id for node in nodes}
    above = {node.id: {a for a in node.above if a in known and a != node.id} for node in nodes}
    rows: list[list[Node]] = []
    left = list(nodes)
    placed: set[str] = set()
    while left:
        row = [node for node in left if above[node.id] <= placed] or left
        rows.append(row)
        placed |= {node.id for node in row}
        left = [node for node in left if node.id not in placed]
    return _lowered(rows, above)


def _lowered(rows: list[list[Node]], above: Mapping[str, set[str]]) -> list[list[Node]]:
    """The same with what has nothing above it, such as an instrument, right above what comes from it."""
    place = {node.id: number for number, row in enumerate(rows) for node in row}
    below: dict[str, list[int]] = {}
    for one, sources in above.items():
        for source in sources:
            below.setdefault(source, []).append(place[one])
    for row in rows:
        for node in row:
            if not above[node.id] and node.id in below:
                place[node.id] = max(place[node.id], min(below[node.id]) - 1)
    nodes = [node for row in rows for node in row]
    return [found for n in range(len(rows)) if (found := [node for node in nodes if place[node.id] == n])]


def _ordered(rows: Sequence[Sequence[Node]]) -> list[list[Node]]:
    """Each row in the order of what stands above it, so that few lines cross."""
    middle: dict[str, float] = {}
    found: list[list[Node]] = []
    for row in rows:
        weights = {node.id: _mean([middle[a] for a in node.above if a in middle]) for node in row}
        order = sorted(row, key=lambda node: weights[node.id])
        for number, node in enumerate(order):
            middle[node.id] = (number + 0.5) / len(order)
        found.append(order)
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.5


def drawn_graph(nodes: Sequence[Node], label: str, simulated: str) -> Markup:
    """The drawing; `label` is what it is called, `simulated` the word on boxes of simulated data."""
    rows = _ordered(rows_of(nodes))
    width = max((len(row) for row in rows), default=1) * (WIDTH + GAP_X) - GAP_X + 2 * EDGE
    height = len(rows) * (HEIGHT + GAP_Y) - GAP_Y + 2 * EDGE
    place: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        left = (width - len(row) * (WIDTH + GAP_X) + GAP_X) // 2
        for column, node in enumerate(row):
            place[node.id] = left + column * (WIDTH + GAP_X), EDGE + number * (HEIGHT + GAP_Y)
    lines = _lines(nodes, place)
    boxes = Markup().join(_box(node, *place[node.id], simulated) for row in rows for node in row)
    return Markup(
        '<svg class="graph" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        '<path class="way" d="{lines}"/>{boxes}</svg>'
    ).format(w=width, h=height, label=label, lines=lines, boxes=boxes)


def _lines(nodes: Iterable[Node], place: Mapping[str, tuple[int, int]]) -> str:
    parts: list[str] = []
    for node in nodes:
        x, y = place[node.id]
        for source in node.above:
            if source in place and source != node.id:
                sx, sy = place[source]
                sx, sy, tx = sx + WIDTH // 2, sy + HEIGHT, x + WIDTH // 2
                half = (y - sy) // 2
                parts.append(f"M{sx} {sy}C{sx} {sy + half} {tx} {y - half} {tx} {y}")
    return "".join(parts)


def _box(node: Node, x: int, y: int, simulated: str) -> Markup:
    text = node.title if len(node.title) <= _LETTERS else f"{node.title[: _LETTERS - 1]}…"
    kind = f"{node.kind} · {simulated}" if node.is_simulated else node.kind
    box = Markup(
        '<g class="node {style}{here}"><title>{kind}: {title}</title>'
        '<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8"/>'
        '<text class="kind" x="{tx}" y="{ky}">{kind}</text><text x="{tx}" y="{ty}">{text}</text></g>'
    ).format(
        style=node.style,
        here=" here" if node.is_here else "",
        kind=kind,
        title=node.title,
        text=text,
        x=x,
        y=y,
        w=WIDTH,
        h=HEIGHT,
        tx=x + 12,
        ky=y + 19,
        ty=y + 38,
    )
    return Markup('<a href="{}">{}</a>').format(_address(node.href), box) if node.href else box


def _address(path: str) -> str:
    return quote(path, safe="/")
