"""A planned campaign in words and on one page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from poliqi.lab.echem.campaign.files import channel_use
from poliqi.lab.echem.campaign.gantt import gantt_panels
from poliqi.lab.facility.localtime import local_text, zone
from poliqi.lab.onepage import Page

if TYPE_CHECKING:
    from poliqi.lab.echem.campaign.schedule import Schedule

__all__ = ["lines_of", "lines_of_tests", "page_of"]

_TOLD: Final = 8
_FEW: Final = 24


def page_of(made: Schedule) -> Page:
    """The plan on one page."""
    campaign = made.campaign
    used = channel_use(made)
    busy, available = sum(one.busy_s for one in used), sum(one.available_s for one in used)
    gap = "" if made.unplaced else f": this one is at most {100 * made.gap:.2g} % longer"
    facts = [
        ("begins", local_text(campaign.start_s)),
        ("expected end", f"{local_text(made.end_s)}, after {_long(made.end_s - campaign.start_s)}"),
        ("no plan ends before", local_text(made.bound_s) + gap),
        ("tests", f"{len(made.placed)}, of {len(campaign.cells)} cells on {len(campaign.channels)} channels"),
        ("channels in use", f"{100 * busy / available:.0f} % of their free time" if available else "no free time"),
        (
            "durations",
            f"predicted, and {100 * campaign.margin:g} % added" if campaign.margin else "predicted, no margin",
        ),
    ]
    counts = Counter(placed.channel for placed in made.placed)
    rows = [[one.channel, str(counts[at]), f"{100 * one.share:.0f} %"] for at, one in enumerate(used)]
    head = ["channel", "tests", "in use"]
    return Page(campaign.title, "test campaign", facts, gantt_panels(made, zone()), _cautions(made), [head, *rows])


def _cautions(made: Schedule) -> list[str]:
    told, cells = list[str](), made.campaign.cells
    late = sorted(made.late(), key=lambda one: -one[1])
    told += [f"{name} ends {_long(seconds)} after its deadline" for name, seconds in late[:_TOLD]]
    if len(late) > _TOLD:
        told.append(f"and {len(late) - _TOLD} more cells end after their deadline")
    for job in made.unplaced[:_TOLD]:
        why = f"{_long(job.seconds)} without interruption"
        told.append(
            f"{cells[job.cell].name}, {job.protocol}: no place before {local_text(made.campaign.span_s)} ({why})"
        )
    if len(made.unplaced) > _TOLD:
        told.append(f"and {len(made.unplaced) - _TOLD} more tests have no place")
    return told


def _long(seconds: int) -> str:
    return f"{seconds / 3600:.3g} h" if seconds < 3 * 86_400 else f"{seconds / 86_400:.3g} days"


def lines_of(made: Schedule, page: Page, *, every: bool = False) -> list[str]:
    """What the command prints; `every`: each test, however many there are."""
    wide = max(len(label) for label, _ in page.facts)
    lines = [page.title, *(f"{label:<{wide}}  {words}" for label, words in page.facts)]
    if every or len(made.placed) <= _FEW:
        lines += lines_of_tests(made)
    return lines + [f"caution: {said}" for said in page.cautions]


def lines_of_tests(made: Schedule) -> list[str]:
    """A line each test: channel, time, cell, protocol."""
    rows = [
        (
            made.campaign.channels[one.channel].name,
            f"{local_text(one.begin_s)} to {local_text(one.end_s)}",
            made.campaign.cells[one.job.cell].name,
            one.job.protocol,
        )
        for one in made.placed
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(4)] if rows else []
    return ["  ".join(f"{word:<{w}}" for word, w in zip(row, widths, strict=True)).rstrip() for row in rows]
