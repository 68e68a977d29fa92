"""Opening hours: words of a person, and the intervals of UTC seconds that they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

from poliqi.lab.facility.localtime import day_of, wall_s
from poliqi.lab.facility.refusal import Reason, Refused

__all__ = ["ALWAYS", "Opening"]

ALWAYS: Final = "mon-sun 00:00-24:00"
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PART: Final = re.compile(
    r"(mon|tue|wed|thu|fri|sat|sun)(?:-(mon|tue|wed|thu|fri|sat|sun))? (\d\d):([0-5]\d)-(\d\d):([0-5]\d)", re.ASCII
)
_MOST_PARTS: Final = 50


@dataclass(frozen=True, slots=True)
class Opening:
    """`text` as it was written; `hours` are weekday (Monday 0), first and last minute of the day, in order."""

    text: str
    hours: tuple[tuple[int, int, int], ...]

    @classmethod
    def parse(cls, text: str) -> Opening:
        """From `mon-fri 08:00-18:00; sat 09:00-13:00`, Milan's time. Raises Refused."""
        plain = " ".join(text.lower().split())
        parts = [part.strip() for part in plain.split(";") if part.strip()]
        if not 1 <= len(parts) <= _MOST_PARTS:
            raise Refused(Reason.BAD_VALUE, "opening hours: 1 to 50 parts, such as mon-fri 08:00-18:00")
        hours = sorted(hour for part in parts for hour in _hours(part))
        for (day, _, last), (next_day, first, _) in pairwise(hours):
            if day == next_day and first < last:
                raise Refused(Reason.BAD_VALUE, f"opening hours: two parts overlap on {_DAYS[day]}")
        return cls("; ".join(parts), tuple(hours))

    def intervals(self, from_s: int, to_s: int) -> list[tuple[int, int]]:
        """What is open between two instants: half-open intervals in order; those that touch are one."""
        found: list[tuple[int, int]] = []
        day, last = day_of(from_s), day_of(to_s)
        while day <= last:
            for begin_s, end_s in self._of_day(day):
                begin_s, end_s = max(begin_s, from_s), min(end_s, to_s)
                if begin_s >= end_s:
                    continue
                if found and begin_s <= found[-1][1]:
                    found[-1] = (found[-1][0], max(found[-1][1], end_s))
                else:
                    found.append((begin_s, end_s))
            day += timedelta(1)
        return found

    def _of_day(self, day: date) -> list[tuple[int, int]]:
        """In order of time: on the night when an hour is skipped that is not the order of the clock."""
        mine = ((first, last) for on, first, last in self.hours if on == day.weekday())
        return sorted((wall_s(day, first), wall_s(day, last)) for first, last in mine)

    def covers(self, begin_s: int, end_s: int) -> bool:
        """True where all of the interval is open."""
        return self.intervals(begin_s, end_s) == [(begin_s, end_s)]

    def seconds(self, from_s: int, to_s: int) -> int:
        """How long it is open between two instants."""
        return sum(end_s - begin_s for begin_s, end_s in self.intervals(from_s, to_s))


def _hours(part: str) -> list[tuple[int, int, int]]:
    found = _PART.fullmatch(part)
    if found is None:
        raise Refused(Reason.BAD_VALUE, f"opening hours {part[:40]!a}: write such as mon-fri 08:00-18:00")
    first_day = _DAYS.index(found[1])
    last_day = first_day if found[2] is None else _DAYS.index(found[2])
    first, last = int(found[3]) * 60 + int(found[4]), int(found[5]) * 60 + int(found[6])
    if last_day < first_day or not 0 <= first < last <= 24 * 60:
        raise Refused(Reason.BAD_VALUE, f"opening hours {part!a}: days from mon to sun, hours from 00:00 to 24:00")
    return [(day, first, last) for day in range(first_day, last_day + 1)]
