"""Which bytes of a segment still matter: everything that was used and waits in no run is overwritten with zeros."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["StoredRange", "by_segment", "kept_ranges", "without_used"]


@dataclass(frozen=True, slots=True)
class StoredRange:
    """Where the keys of a run lie, and which slaves have them (one bit a key and slave, key by key)."""

    offset: int
    size: int
    count: int
    slaves: int
    used: int


def kept_ranges(runs: Iterable[StoredRange], upto: int) -> list[tuple[int, int]]:
    """Ranges below `upto` that some slave still waits for, cut at `upto`, rising and apart."""
    found: list[tuple[int, int]] = []
    for run in runs:
        everyone = (1 << run.slaves) - 1
        for i in range(run.count):
            start = run.offset + i * run.size
            if start < upto and (run.used >> (i * run.slaves)) & everyone != everyone:
                found.append((start, min(upto, start + run.size)))
    found.sort()
    joined: list[tuple[int, int]] = []
    for start, end in found:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def without_used(payload: memoryview, upto: int, kept: Iterable[tuple[int, int]]) -> bytearray:
    """A copy in which all below `upto` is zero but the ranges that are kept."""
    clean = bytearray(payload)
    at = 0
    for start, end in [*kept, (upto, upto)]:
        clean[at:start] = bytes(max(0, start - at))
        at = max(at, end)
    return clean


def by_segment(rows: Iterable[tuple[int, StoredRange]]) -> Mapping[int, list[StoredRange]]:
    """Ranges listed by their segment."""
    found: dict[int, list[StoredRange]] = {}
    for number, stored in rows:
        found.setdefault(number, []).append(stored)
    return found
