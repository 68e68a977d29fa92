"""Free time of a channel, and the times at which a chamber has which temperature."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from poliqi.lab.echem.campaign.plan import Span

__all__ = ["ChamberTime", "FreeTime", "merged"]


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, those that overlap or touch as one."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif begin < end:
            found.append((begin, end))
    return found


class FreeTime:
    """Spans of a channel that are not taken, in order."""

    __slots__ = ("begins", "ends")

    def __init__(self, begins: list[int], ends: list[int]) -> None:
        self.begins = begins
        self.ends = ends

    @classmethod
    def between(cls, start_s: int, end_s: int, blocked: Iterable[Span]) -> FreeTime:
        """All that is not blocked."""
        begins, ends, at = list[int](), list[int](), start_s
        for begin, end in merged((span.begin_s, span.end_s) for span in blocked):
            if begin > at:
                begins.append(at)
                ends.append(min(begin, end_s))
            at = max(at, end)
            if at >= end_s:
                break
        if at < end_s:
            begins.append(at)
            ends.append(end_s)
        return cls(begins, ends)

    def copy(self) -> FreeTime:
        return FreeTime(self.begins.copy(), self.ends.copy())

    def first(self, ready_s: int, seconds: int) -> int | None:
        """When the first free span of that length begins, not before `ready_s`."""
        begins, ends = self.begins, self.ends
        for at in range(bisect_right(ends, ready_s), len(begins)):
            begin = begins[at] if begins[at] > ready_s else ready_s
            if begin + seconds <= ends[at]:
                return begin
        return None

    def take(self, begin_s: int, end_s: int) -> None:
        """It must be free."""
        at = bisect_right(self.begins, begin_s) - 1
        was_begin, was_end = self.begins[at], self.ends[at]
        if begin_s < was_begin or end_s > was_end:
            raise ValueError(f"{begin_s} to {end_s} is not free")
        pieces = [piece for piece in ((was_begin, begin_s), (end_s, was_end)) if piece[0] < piece[1]]
        self.begins[at : at + 1] = [piece[0] for piece in pieces]
        self.ends[at : at + 1] = [piece[1] for piece in pieces]

    def seconds(self, from_s: int, to_s: int, shortest_s: int = 1) -> int:
        """Free time in [from_s, to_s), of pieces that are long enough."""
        total = 0
        for begin, end in zip(self.begins, self.ends, strict=True):
            piece = min(end, to_s) - max(begin, from_s)
            if piece >= shortest_s:
                total += piece
        return total


class ChamberTime:
    """At what temperature a chamber is needed when. Spans of one temperature that overlap or touch are one."""

    __slots__ = ("_begins", "_change_s", "_ends", "_temperatures")

    def __init__(self, change_s: int) -> None:
        self._change_s = change_s
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._temperatures: list[float] = []

    def conflict_end(self, temperature_c: float, begin_s: int, end_s: int) -> int | None:
        """When the last thing in the way of that temperature is over; None where nothing is in the way."""
        change, last = self._change_s, None
        for at in range(bisect_right(self._ends, begin_s - change), len(self._begins)):
            if self._begins[at] - change >= end_s:
                break
            if self._temperatures[at] != temperature_c:
                last = self._ends[at] + change
        return last

    def take(self, temperature_c: float, begin_s: int, end_s: int) -> None:
        """Must be without a conflict."""
        low = bisect_left(self._ends, begin_s)
        high = low
        while high < len(self._begins) and self._begins[high] <= end_s:
            if self._temperatures[high] != temperature_c:  # touches, without a change between
                if self._begins[high] == end_s:
                    break
                low = high + 1
            else:
                begin_s, end_s = min(begin_s, self._begins[high]), max(end_s, self._ends[high])
            high += 1
        self._begins[low:high] = [begin_s]
        self._ends[low:high] = [end_s]
        self._temperatures[low:high] = [temperature_c]
