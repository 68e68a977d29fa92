"""When a campaign ends at the earliest, whatever the schedule: a proven lower bound.

The largest of three: the longest chain of one cell, alone in the laboratory; the work of jobs that only some
channels can do, against the free time of those channels; and, of the n longest of such jobs, that some channel must
take several (Martello, Soumis and Toth, Discrete Appl. Math. 75, 169, 1997, for identical machines). Temperatures
of chambers are left out, which keeps it a bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.lab.echem.campaign.plan import Campaign, Job
from poliqi.lab.echem.campaign.spans import FreeTime

__all__ = ["lower_bound_s"]


_MOST_THRESHOLDS: Final = 12


@dataclass(frozen=True, slots=True)
class _Pool:
    """Jobs that only these channels can do: their times, the earliest begin, the least that follows any of them."""

    work_s: list[int]
    head_s: int
    tail_s: int


def lower_bound_s(campaign: Campaign, channels: Sequence[Sequence[Sequence[int]]]) -> int:
    """An instant before which no schedule of all jobs ends. `channels` are those of each job of each cell."""
    free = [FreeTime.between(campaign.start_s, campaign.span_s, one.blocked) for one in campaign.channels]
    heads, bound = _heads(campaign, channels, free)
    for allowed, pool in _pools(campaign, channels, heads):
        bound = max(bound, _by_load(allowed, pool, free, campaign.span_s) + pool.tail_s)
        bound = max(bound, _by_several(allowed, pool, free, campaign.span_s) + pool.tail_s)
    return bound


def _heads(
    campaign: Campaign, channels: Sequence[Sequence[Sequence[int]]], free: list[FreeTime]
) -> tuple[list[list[int]], int]:
    """When each job can begin at the earliest, and when the last cell is through, each alone."""
    alone: dict[tuple[object, ...], int] = {}
    heads, last = list[list[int]](), campaign.start_s
    kinds = {at: (tuple(one.begins), tuple(one.ends)) for at, one in enumerate(free)}
    unlike: dict[int, list[tuple[int, int]]] = {}
    for cell, jobs in enumerate(campaign.jobs):
        at = max(campaign.start_s, campaign.cells[cell].ready_s or 0)
        mine: list[int] = []
        for order, job in enumerate(jobs):
            mine.append(at)
            may = channels[cell][order]
            if id(may) not in unlike:  # channels alike in free time and changeover are one here
                kind = {(kinds[one], campaign.channels[one].changeover_s): one for one in may}
                unlike[id(may)] = [(one, changeover) for (_, changeover), one in kind.items()]
            key = (id(may), at, job.seconds, order == 0)
            if key not in alone:
                ends = (
                    (free[one].first(at, whole), whole)
                    for one, changeover in unlike[id(may)]
                    for whole in (job.seconds + (changeover if order == 0 else 0),)
                )
                alone[key] = min(
                    (begin + whole for begin, whole in ends if begin is not None), default=campaign.span_s
                )
            at = alone[key]
        heads.append(mine)
        last = max(last, at)
    return heads, last


def _pools(
    campaign: Campaign, channels: Sequence[Sequence[Sequence[int]]], heads: list[list[int]]
) -> Iterator[tuple[list[int], _Pool]]:
    """For each set of channels that some job is tied to, and for all: the jobs that can go nowhere else.

    And of these the longer ones alone, which only longer free spans can take.
    """
    sets: dict[int, frozenset[int]] = {}
    rows: list[tuple[frozenset[int], int, int, int]] = []
    for cell, jobs in enumerate(campaign.jobs):
        tail = sum(job.seconds for job in jobs)
        for order, job in enumerate(jobs):
            may = channels[cell][order]
            allowed = sets.setdefault(id(may), frozenset(may))
            tail -= job.seconds
            rows.append((allowed, _least(campaign, job, allowed), heads[cell][order], tail))
    for whole in {*sets.values(), frozenset(range(len(campaign.channels)))}:
        within = {one for one in sets.values() if one <= whole}
        mine = [row for row in rows if row[0] in within]
        lengths = sorted({row[1] for row in mine})
        for shortest in lengths[:: max(1, len(lengths) // _MOST_THRESHOLDS)]:
            long = [row for row in mine if row[1] >= shortest]
            pool = _Pool([row[1] for row in long], min(row[2] for row in long), min(row[3] for row in long))
            yield sorted(whole), pool


def _least(campaign: Campaign, job: Job, allowed: frozenset[int]) -> int:
    """Its time on a channel; the first of a cell has to be put on."""
    if job.order:
        return job.seconds
    return job.seconds + min(campaign.channels[at].changeover_s for at in allowed)


def _by_load(allowed: list[int], pool: _Pool, free: list[FreeTime], never: int) -> int:
    """The first instant until which the channels have as much free time as the pool has work."""
    work, shortest = sum(pool.work_s), min(pool.work_s)
    usable = [
        (max(begin, pool.head_s), end)
        for at in allowed
        for begin, end in zip(free[at].begins, free[at].ends, strict=True)
        if end - max(begin, pool.head_s) >= shortest
    ]
    events = sorted([(begin, 1) for begin, _ in usable] + [(end, -1) for _, end in usable])
    done, open_now, before = 0, 0, pool.head_s
    for instant, change in events:
        gained = open_now * (instant - before)
        if open_now and done + gained >= work:
            return before + -(-(work - done) // open_now)
        done, open_now, before = done + gained, open_now + change, instant
    return never


def _by_several(allowed: list[int], pool: _Pool, free: list[FreeTime], never: int) -> int:
    """Of k m + 1 jobs on m channels some channel takes k + 1, at least the shortest of them."""
    work, many, least = sorted(pool.work_s, reverse=True), len(allowed), pool.head_s
    for k in range(1, (len(work) - 1) // many + 1):
        top = work[: k * many + 1]
        together = sum(top[-(k + 1) :])
        least = max(
            least, min(_filled(free[at], pool.head_s, together, never) for at in _first_of_kind(allowed, free))
        )
    return least


def _first_of_kind(allowed: list[int], free: list[FreeTime]) -> list[int]:
    kinds = {(tuple(free[at].begins), tuple(free[at].ends)): at for at in allowed}
    return list(kinds.values())


def _filled(free: FreeTime, from_s: int, seconds: int, never: int) -> int:
    """When a channel has had that much free time."""
    for begin, end in zip(free.begins, free.ends, strict=True):
        piece = end - max(begin, from_s)
        if piece >= seconds:
            return max(begin, from_s) + seconds
        seconds -= max(piece, 0)
    return never
