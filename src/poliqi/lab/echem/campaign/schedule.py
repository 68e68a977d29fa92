"""Who is tested when: list scheduling, tried with several orders, the best kept.

Jobs are placed one after another, each on the channel where it ends first, into gaps too (serial schedule
generation; Kolisch, Eur. J. Oper. Res. 90, 320, 1996). The orders are by remaining work, by slack before the
deadline, by readiness, then by remaining work with random weights of a fixed seed. The result is no proven optimum:
`bound_s` says how far from it the end can be at most.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.campaign.bound import lower_bound_s
from poliqi.lab.echem.campaign.plan import Campaign, Job, eligible
from poliqi.lab.echem.campaign.rules import Rule, rules_of
from poliqi.lab.echem.campaign.spans import ChamberTime, FreeTime

__all__ = ["Placed", "Schedule", "schedule"]

_EFFORT: Final = 1_500_000
"""Pairs of job and channel that are looked at, in all tries together."""
_MOST_TRIES: Final = 64


@dataclass(frozen=True, slots=True)
class Placed:
    """A job in its place. From `mount_s` the cell is put on, from `begin_s` to `end_s` it is tested."""

    job: Job
    channel: int
    mount_s: int
    begin_s: int
    end_s: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Jobs in order of their begin, jobs without a place, and the bound: no schedule of all jobs ends before it."""

    campaign: Campaign
    placed: tuple[Placed, ...]
    unplaced: tuple[Job, ...]
    bound_s: int
    tries: int

    @property
    def end_s(self) -> int:
        """When the last test ends."""
        return max((one.end_s for one in self.placed), default=self.campaign.start_s)

    @property
    def gap(self) -> float:
        """By how much of the bound's time the end may be later than the best possible one; 0 is proven optimal."""
        best = self.bound_s - self.campaign.start_s
        return max(0.0, (self.end_s - self.bound_s) / best) if best > 0 else 0.0

    def late(self) -> list[tuple[str, int]]:
        """Cells that end after their deadline, and by how many seconds."""
        ends: dict[int, int] = {}
        for one in self.placed:
            ends[one.job.cell] = max(ends.get(one.job.cell, 0), one.end_s)
        cells = self.campaign.cells
        by = ((at, end - (cells[at].deadline_s or end)) for at, end in sorted(ends.items()))
        return [(cells[at].name, late) for at, late in by if late > 0]


def schedule(campaign: Campaign, *, seed: int = 0, tries: int | None = None) -> Schedule:
    """Place all jobs. Raises DataRefused, naming cell, protocol and limit, where no channel can do a job.

    Jobs that find no place before the horizon are told in `unplaced`, with those that wait for them.
    """
    channels = _channels(campaign)
    evaluations = sum(len(one) for cell in channels for one in cell)
    least = 3 if evaluations < 2 * _EFFORT else 1
    many = min(max(_EFFORT // max(evaluations, 1), least), _MOST_TRIES) if tries is None else tries
    bound = lower_bound_s(campaign, channels)
    free = [FreeTime.between(campaign.start_s, campaign.span_s, one.blocked) for one in campaign.channels]
    best: Schedule | None = None
    best_cost: tuple[float, ...] = ()
    done = 0
    for rule in rules_of(campaign, max(many, 1), seed):
        done += 1
        placed, unplaced = _placed(campaign, channels, [one.copy() for one in free], rule)
        made = Schedule(campaign, placed, unplaced, bound, done)
        cost = _cost(made)
        if best is None or cost < best_cost:
            best, best_cost = made, cost
        if not unplaced and made.end_s == bound and not made.late():
            break
    assert best is not None
    return replace(best, tries=done)


def _channels(campaign: Campaign) -> list[list[list[int]]]:
    """For each job of each cell the channels that can do it, those that few others want first."""
    known: dict[object, tuple[list[int], str]] = {}
    found: list[list[list[int]]] = []
    for jobs in campaign.jobs:
        cell = campaign.cells[jobs[0].cell]
        mine: list[list[int]] = []
        for job in jobs:
            key = (job.need, cell.groups)
            if key not in known:
                known[key] = eligible(campaign, job)
            may, why = known[key]
            if not may:
                raise DataRefused(f"cell {cell.name!r}, protocol {job.protocol!r}: no channel can do it ({why})")
            mine.append(may)
        if cell.same_channel:
            common = set(mine[0]).intersection(*mine[1:])
            if not common:
                raise DataRefused(
                    f"cell {cell.name!r}: no one channel can do all its protocols; same_channel = false"
                )
            mine = [[at for at in one if at in common] for one in mine]
        found.append(mine)
    wanted = [0] * len(campaign.channels)
    for mine in found:
        for one in mine:
            for at in one:
                wanted[at] += 1
    sorted_once: dict[tuple[int, ...], list[int]] = {}
    for mine in found:
        for order, one in enumerate(mine):
            key = tuple(one)
            if key not in sorted_once:
                sorted_once[key] = sorted(one, key=lambda at: (wanted[at], campaign.channels[at].changeover_s, at))
            mine[order] = sorted_once[key]
    return found


def _cost(made: Schedule) -> tuple[float, ...]:
    """Jobs without a place, lateness, the end, mean end: smaller is better."""
    late = sum(seconds for _, seconds in made.late())
    return len(made.unplaced), late, made.end_s, sum(one.end_s for one in made.placed)


def _placed(
    campaign: Campaign, channels: list[list[list[int]]], free: list[FreeTime], rule: Rule
) -> tuple[tuple[Placed, ...], tuple[Job, ...]]:
    chambers = {one.name: ChamberTime(one.change_s) for one in campaign.chambers}
    left = [sum(job.seconds for job in jobs) for jobs in campaign.jobs]
    ready = [max(campaign.start_s, cell.ready_s or 0) for cell in campaign.cells]
    heap = [(rule(at, ready[at], left[at]), at, 0) for at in range(len(campaign.cells))]
    heapq.heapify(heap)
    last: list[Placed | None] = [None] * len(campaign.cells)
    placed, unplaced = list[Placed](), list[Job]()
    while heap:
        _, cell, order = heapq.heappop(heap)
        jobs, may = campaign.jobs[cell], channels[cell][order]
        if campaign.cells[cell].same_channel:
            ones = _best_chain(campaign, jobs, may, ready[cell], free, chambers)
        else:
            one = _best(campaign, jobs[order], may, ready[cell], last[cell], free, chambers)
            ones = [] if one is None else [one]
        if not ones:
            unplaced += jobs[order:]
            continue
        for one in ones:
            free[one.channel].take(one.mount_s, one.end_s)
            chamber, temperature = campaign.channels[one.channel].chamber, one.job.need.temperature_c
            if chamber is not None and temperature is not None:
                chambers[chamber].take(temperature, one.mount_s, one.end_s)
            left[cell] -= one.job.seconds
        placed += ones
        last[cell], ready[cell] = ones[-1], ones[-1].end_s
        if (order := order + len(ones)) < len(jobs):
            heapq.heappush(heap, (rule(cell, ready[cell], left[cell]), cell, order))
    placed.sort(key=lambda one: (one.mount_s, one.channel))
    return tuple(placed), tuple(unplaced)


def _best_chain(
    campaign: Campaign,
    jobs: Sequence[Job],
    may: Sequence[int],
    ready: int,
    free: list[FreeTime],
    chambers: dict[str, ChamberTime],
) -> list[Placed]:
    """All jobs of a cell one after another on the channel where the last ends first; none where none takes all."""
    changes = {one.name: one.change_s for one in campaign.chambers}
    best: list[Placed] = []
    for at in may:
        change = changes.get(campaign.channels[at].chamber or "", 0)
        chain: list[Placed] = []
        now, warm_c, warm_until = ready, math.nan, 0
        for job in jobs:
            temperature = job.need.temperature_c
            if temperature is not None and not math.isnan(warm_c) and temperature != warm_c:
                now = max(now, warm_until + change)
            one = _best(campaign, job, (at,), now, chain[-1] if chain else None, free, chambers)
            if one is None:
                break
            chain.append(one)
            now = one.end_s
            if temperature is not None:
                warm_c, warm_until = temperature, now
        if len(chain) == len(jobs) and (not best or chain[-1].end_s < best[-1].end_s):
            best = chain
    return best


def _best(
    campaign: Campaign,
    job: Job,
    may: Sequence[int],
    ready: int,
    before: Placed | None,
    free: list[FreeTime],
    chambers: dict[str, ChamberTime],
) -> Placed | None:
    """On the channel where it ends first; of several, the one that fewest others want."""
    best: Placed | None = None
    temperature = job.need.temperature_c
    stay = None if before is None else before.channel
    least = ready + job.seconds
    if stay is not None and stay in may:  # the cell is on it: nothing has to be changed, if it goes on at once
        may = [stay, *(at for at in may if at != stay)]
    else:
        least += campaign.channels[may[0]].changeover_s
    for at in may:
        channel = campaign.channels[at]
        chamber = chambers[channel.chamber] if channel.chamber is not None and temperature is not None else None
        for mount in (0, channel.changeover_s) if at == stay and channel.changeover_s else (channel.changeover_s,):
            whole = mount + job.seconds
            begin = free[at].first(ready, whole)
            while chamber is not None and begin is not None and temperature is not None:
                after = chamber.conflict_end(temperature, begin, begin + whole)
                if after is None:
                    break
                begin = free[at].first(after, whole)
            if begin is None or (at == stay and mount == 0 and channel.changeover_s and begin != ready):
                continue
            if best is None or begin + whole < best.end_s:
                best = Placed(job, at, begin, begin + mount, begin + whole)
            break
        if best is not None and best.end_s <= least:
            break
    return best
