"""How long a job takes on a machine, and what of it goes into what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from poliqi.lab.print.hatch.scan import Sums

if TYPE_CHECKING:
    from poliqi.lab.print.hatch.jobformat import Record
    from poliqi.lab.print.profile import Profile, Scanner

__all__ = ["Clock", "Duration", "job_clock", "jump_limit_um", "time_cautions", "turn_s"]


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds of a job: lit, dark at the same speed, jumping, turning at line ends, for layers, for tiles."""

    lit_s: float
    dark_s: float
    jump_s: float
    turn_s: float
    layer_s: float
    tile_s: float

    @property
    def total_s(self) -> float:
        """All of it."""
        return self.lit_s + self.dark_s + self.jump_s + self.turn_s + self.layer_s + self.tile_s

    @property
    def record(self) -> dict[str, float]:
        """Seconds by name, and their sum."""
        names = ("lit_s", "dark_s", "jump_s", "turn_s", "layer_s", "tile_s", "total_s")
        return {name: getattr(self, name) for name in names}


def turn_s(scanner: Scanner, speed_mm_s: float) -> float:
    """From the end of one line to the start of the next: 2 v/a where the acceleration a is known, else stated."""
    if scanner.acceleration_mm_s2 is None:
        return scanner.line_overhead_us * 1e-6
    return 2.0 * speed_mm_s / scanner.acceleration_mm_s2


def jump_limit_um(profile: Profile, speed_mm_s: float) -> float:
    """Gap within a line above which it is quicker to stop, jump at the highest speed and go on: inf for never.

    gap/v = gap/v_max + turn.
    """
    saved = 1.0 / speed_mm_s - 1.0 / profile.scanner.max_speed_mm_s
    return 1000.0 * turn_s(profile.scanner, speed_mm_s) / saved if saved > 0 else math.inf


def time_cautions(profile: Profile) -> list[str]:
    """What a time for this machine rests on."""
    scanner, said = profile.scanner, list[str]()
    if scanner.line_overhead_us == 0 and scanner.acceleration_mm_s2 is None:
        said.append(f"profile {profile.name!r} tells no time for turning at line ends: the time is a lower bound")
    if scanner.foci > 1:
        said.append(f"the time counts {scanner.foci} foci that write at once; a job holds the vectors of one")
    return [*said, *profile.assumed("scanner", "the time")]


class Clock:
    """Adds up a job's time as its layers go by. Several foci share the way along lines."""

    def __init__(self, profile: Profile) -> None:
        self._scanner = profile.scanner
        self._lit_s = self._dark_s = self._jump_s = self._turn_s = 0.0
        self._layers = self._moves = 0
        self._stood: tuple[int, int] | None = None

    def add(self, place: tuple[int, int], sums: Sums, speed_mm_s: float) -> None:
        """A layer of the tile at `place` (block, tile); one without a line takes no time."""
        if not sums.lines:
            return
        one_s = turn_s(self._scanner, speed_mm_s)
        self._lit_s += sums.length_nm * 1e-6 / speed_mm_s
        self._dark_s += sums.dark_nm * 1e-6 / speed_mm_s
        self._jump_s += sums.jump_nm * 1e-6 / self._scanner.max_speed_mm_s + sums.jumps * one_s
        self._turn_s += sums.lines * one_s
        self._layers += 1
        self._moves += self._stood != place
        self._stood = place

    @property
    def layers(self) -> int:
        """How many layers of tiles took time."""
        return self._layers

    @property
    def moves(self) -> int:
        """How often the stage goes to a tile, the first one too."""
        return self._moves

    def duration(self, scale: float = 1.0) -> Duration:
        """What it adds up to; `scale`: of a sample of layers."""
        part = scale / self._scanner.foci
        return Duration(
            self._lit_s * part,
            self._dark_s * part,
            self._jump_s * part,
            self._turn_s * part,
            self._layers * scale * self._scanner.layer_overhead_ms * 1e-3,
            self._moves * self._scanner.tile_overhead_s,
        )


def job_clock(records: Iterable[Record], clock: Clock, profile: Profile) -> Iterator[Record]:
    """The records as they pass, and their time added to `clock`.

    Vectors one after the other at the same height across are one line; a layer of a tile may have several records.
    """
    place: tuple[int, int, int] | None = None
    waiting, speed = Sums(), 0.0
    for record in records:
        here = (record.block, record.tile, record.layer)
        found = _sums(record, 1000.0 * jump_limit_um(profile, record.speed_mm_s))
        if here == place and record.speed_mm_s == speed:
            waiting = Sums(*(one + other for one, other in zip(waiting, found, strict=True)))
        else:
            if place is not None:
                clock.add(place[:2], waiting, speed)
            place, waiting, speed = here, found, record.speed_mm_s
        yield record
    if place is not None:
        clock.add(place[:2], waiting, speed)


def _sums(record: Record, jump_nm: float) -> Sums:
    """What the vectors of a record add up to; each is along x or y."""
    start, end = record.vectors[:, :2].astype(np.int64), record.vectors[:, 2:].astype(np.int64)
    if not len(start):
        return Sums()
    axis = (start[:, 0] == end[:, 0]).astype(np.int64)
    across = np.where(axis == 0, start[:, 1], start[:, 0])
    goes_on = (axis[1:] == axis[:-1]) & (across[1:] == across[:-1])
    gap = np.abs(start[1:] - end[:-1]).sum(axis=1)[goes_on]
    far = gap > jump_nm
    return Sums(
        length_nm=int(np.abs(end - start).sum()),
        lines=len(start) - int(goes_on.sum()),
        dark_nm=int(gap[~far].sum()),
        jump_nm=int(gap[far].sum()),
        jumps=int(far.sum()),
    )
