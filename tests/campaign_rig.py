"""Campaigns for tests, and a checker of schedules that shares nothing with what makes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from poliqi.lab.echem.campaign.plan import Campaign, Cell, Chamber, Channel, Span
from poliqi.lab.echem.campaign.protocol import Block, Protocol, Step, StepKind
from poliqi.lab.echem.campaign.schedule import Schedule

HOUR = 3600
START = 1_764_547_200  # 2025-12-01 00:00 UTC


def rest(name: str, hours: float, **more: float | None) -> Protocol:
    """A protocol of nothing but rest: its duration is plain."""
    return Protocol(name, (Block((Step(StepKind.REST, hours=hours),)),), **more)  # type: ignore[arg-type]


def channel(name: str, *blocked: tuple[float, float], **more: object) -> Channel:
    """5 A, 0 to 5 V; blocked from and to, in hours after the start."""
    spans = tuple(Span(START + round(a * HOUR), START + round(b * HOUR), "busy") for a, b in blocked)
    return Channel(name, "bench", 5.0, 0.0, 5.0, blocked=spans, **more)  # type: ignore[arg-type]


def cell(name: str, *hours: float, **more: object) -> Cell:
    """With protocols of so many hours."""
    protocols = tuple(rest(f"p{at}", long) for at, long in enumerate(hours))
    return Cell(name, 1.0, protocols, **more)  # type: ignore[arg-type]


def campaign(channels: Sequence[Channel], cells: Sequence[Cell], **more: object) -> Campaign:
    """That begins at START."""
    return Campaign("test", START, tuple(channels), tuple(cells), **more)  # type: ignore[arg-type]


def faults(made: Schedule) -> list[str]:
    """What a laboratory would object to in a schedule."""
    plan, found = made.campaign, list[str]()
    by_channel, by_cell = defaultdict(list), defaultdict(list)
    for one in made.placed:
        by_channel[one.channel].append(one)
        by_cell[one.job.cell].append(one)
        where = plan.channels[one.channel]
        if one.end_s - one.begin_s != one.job.seconds:
            found.append(f"{one}: is not as long as its test")
        if one.mount_s < max(plan.start_s, plan.cells[one.job.cell].ready_s or 0) or one.end_s > plan.span_s:
            found.append(f"{one}: outside the time of the campaign")
        if any(one.mount_s < span.end_s and span.begin_s < one.end_s for span in where.blocked):
            found.append(f"{one}: in a blocked span")
        if one.job.need.current_a > where.most_a or (one.job.need.impedance and not where.impedance):
            found.append(f"{one}: the channel cannot")
    for ones in by_channel.values():
        ones.sort(key=lambda one: one.mount_s)
        for a, b in pairwise(ones):
            if a.end_s > b.mount_s:
                found.append(f"{a} and {b} at once")
            if a.job.cell != b.job.cell and b.begin_s - b.mount_s != plan.channels[b.channel].changeover_s:
                found.append(f"{b}: no changeover")
    for at, ones in by_cell.items():
        ones.sort(key=lambda one: one.mount_s)
        if [one.job.order for one in ones] != list(range(len(ones))):
            found.append(f"cell {at}: out of order")
        if any(a.end_s > b.mount_s for a, b in pairwise(ones)):
            found.append(f"cell {at} at two places")
        if plan.cells[at].same_channel and len({one.channel for one in ones}) > 1:
            found.append(f"cell {at} has moved")
    found += _warmth(made, plan.chambers)
    if len(made.placed) + len(made.unplaced) != sum(len(jobs) for jobs in plan.jobs):
        found.append("jobs are lost")
    if not made.unplaced and made.end_s < made.bound_s:
        found.append(f"ends at {made.end_s}, before the bound {made.bound_s}")
    return found


def _warmth(made: Schedule, chambers: Sequence[Chamber]) -> list[str]:
    found: list[str] = []
    for chamber in chambers:
        mine = [
            one
            for one in made.placed
            if made.campaign.channels[one.channel].chamber == chamber.name
            and one.job.need.temperature_c is not None
        ]
        for a in mine:
            for b in mine:
                apart = a.end_s + chamber.change_s <= b.mount_s or b.end_s + chamber.change_s <= a.mount_s
                if a.job.need.temperature_c != b.job.need.temperature_c and not apart:
                    found.append(f"{a} and {b} at two temperatures in {chamber.name}")
    return found
