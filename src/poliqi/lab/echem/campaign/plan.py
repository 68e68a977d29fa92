"""A campaign: cells that go through protocols, channels with limits, times that are taken.

Instants are integer seconds of UTC since 1970, spans half-open. Durations are rounded up to whole minutes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.campaign.protocol import Need, Protocol, need_of, predicted_s

__all__ = [
    "MOST_CHANNELS",
    "MOST_JOBS",
    "Campaign",
    "Cell",
    "Chamber",
    "Channel",
    "Job",
    "Span",
    "eligible",
    "jobs_of",
]

MOST_JOBS: Final = 20_000
MOST_CHANNELS: Final = 2_000
_MINUTE: Final = 60
_WEEK: Final = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Span:
    """Time that cannot be used, and why."""

    begin_s: int
    end_s: int
    why: str


@dataclass(frozen=True, slots=True)
class Chamber:
    """Holds the cells of its channels at one temperature at a time; a change takes `change_s`."""

    name: str
    low_c: float
    high_c: float
    change_s: int = 0


@dataclass(frozen=True, slots=True)
class Channel:
    """One place for one cell. Without a chamber it is as warm as its room: `room_c`, where that is stated."""

    name: str
    group: str
    most_a: float
    low_v: float
    high_v: float
    impedance: bool = False
    chamber: str | None = None
    room_c: float | None = None
    changeover_s: int = 0
    """To take one cell off and put the next one on; before each test but those that follow on the same cell."""
    instrument: str | None = None
    """What is booked for it at the facility."""
    blocked: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A cell in one protocol: from `seconds` on a channel, without interruption."""

    cell: int
    order: int
    protocol: str
    seconds: int
    need: Need


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell and its protocols, which are done in their order. `priority` 1 is the first."""

    name: str
    capacity_ah: float
    protocols: tuple[Protocol, ...]
    priority: int = 1
    ready_s: int | None = None
    deadline_s: int | None = None
    same_channel: bool = False
    """All its protocols on one channel."""
    groups: tuple[str, ...] = ()
    """Of channels that it may use; none: all."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is to be planned. Nothing is planned past `horizon_s`, up to which calendars are known."""

    title: str
    start_s: int
    channels: tuple[Channel, ...]
    cells: tuple[Cell, ...]
    chambers: tuple[Chamber, ...] = ()
    horizon_s: int | None = None
    margin: float = 0.0
    """Share that is added to every predicted duration."""
    jobs: tuple[tuple[Job, ...], ...] = field(init=False)
    """Of each cell, in their order."""

    def __post_init__(self) -> None:
        """Raises DataRefused where names repeat, numbers are none, or a protocol cannot be predicted."""
        for kind, names in (
            ("channels", [one.name for one in self.channels]),
            ("cells", [one.name for one in self.cells]),
            ("chambers", [one.name for one in self.chambers]),
        ):
            twice = (
                {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set[str]()
            )
            if twice:
                raise DataRefused(f"{self.title!r}: two {kind} are called {min(twice)!r}; each has its own name")
        if not self.channels or not self.cells:
            raise DataRefused(f"{self.title!r}: a campaign has at least one channel and one cell")
        if len(self.channels) > MOST_CHANNELS:
            raise DataRefused(f"{self.title!r}: {len(self.channels)} channels, at most {MOST_CHANNELS}")
        if not 0 <= self.margin <= 10:
            raise DataRefused(f"{self.title!r}: a margin of {100 * self.margin:g} %, must be from 0 to 1000")
        for one in self.chambers:
            if not one.low_c <= one.high_c or not 0 <= one.change_s <= _WEEK:
                raise DataRefused(
                    f"chamber {one.name!r}: {one.low_c} to {one.high_c} degC, {one.change_s} s to change; "
                    "temperatures that rise, from 0 s to a week"
                )
        for channel in self.channels:
            _check_channel(channel, {one.name for one in self.chambers})
        object.__setattr__(self, "jobs", jobs_of(self))

    @property
    def span_s(self) -> int:
        """The last instant at which something may end."""
        return self.start_s + 20 * 366 * 86_400 if self.horizon_s is None else self.horizon_s


def jobs_of(campaign: Campaign) -> tuple[tuple[Job, ...], ...]:
    """The jobs of each cell, in order. Raises DataRefused."""
    count = sum(len(cell.protocols) for cell in campaign.cells)
    if count > MOST_JOBS:
        raise DataRefused(f"{campaign.title!r}: {count} tests, at most {MOST_JOBS}; plan it in parts")
    known: dict[tuple[int, float], tuple[int, Need]] = {}
    found: list[tuple[Job, ...]] = []
    for at, cell in enumerate(campaign.cells):
        if not cell.protocols:
            raise DataRefused(f"cell {cell.name!r} has no protocol")
        mine: list[Job] = []
        for order, protocol in enumerate(cell.protocols):
            key = (id(protocol), cell.capacity_ah)
            if key not in known:
                try:
                    seconds = predicted_s(protocol, cell.capacity_ah) * (1 + campaign.margin)
                except DataRefused as error:
                    raise DataRefused(f"cell {cell.name!r}: {error}") from None
                rounded = math.ceil(round(seconds / _MINUTE, 6)) * _MINUTE
                known[key] = (rounded, need_of(protocol, cell.capacity_ah))
            mine.append(Job(at, order, protocol.name, *known[key]))
        found.append(tuple(mine))
    return tuple(found)


def eligible(campaign: Campaign, job: Job) -> tuple[list[int], str]:
    """The channels that can do it; where there is none, why the nearest cannot."""
    cell, need = campaign.cells[job.cell], job.need
    chambers = {one.name: one for one in campaign.chambers}
    found, whys = list[int](), dict[str, list[str]]()
    for at, channel in enumerate(campaign.channels):
        lacks = _lacks(channel, cell, need, chambers)
        if not lacks:
            found.append(at)
        elif len(lacks) < len(whys.get("", [])) or "" not in whys:
            whys[""] = [f"channel {channel.name}: {lack}" for lack in lacks]
    return found, "" if found else "; ".join(whys[""])


def _lacks(channel: Channel, cell: Cell, need: Need, chambers: dict[str, Chamber]) -> list[str]:
    lacks: list[str] = []
    if cell.groups and channel.group not in cell.groups:
        lacks.append(f"is of {channel.group}, not of {', '.join(cell.groups)}")
    if need.current_a > channel.most_a * (1 + 1e-9):
        lacks.append(f"{need.current_a:.4g} A is above its {channel.most_a:.4g} A")
    if need.low_v is not None and need.low_v < channel.low_v:
        lacks.append(f"{need.low_v:g} V is below its {channel.low_v:g} V")
    if need.high_v is not None and need.high_v > channel.high_v:
        lacks.append(f"{need.high_v:g} V is above its {channel.high_v:g} V")
    if need.impedance and not channel.impedance:
        lacks.append("measures no impedance")
    if need.temperature_c is not None:
        lacks += _lacks_warmth(channel, need.temperature_c, chambers)
    return lacks


def _lacks_warmth(channel: Channel, wanted_c: float, chambers: dict[str, Chamber]) -> list[str]:
    if channel.chamber is None:
        if channel.room_c is None:
            return [f"has no chamber for {wanted_c:g} degC, and its room's temperature is not stated (room_c)"]
        return [] if channel.room_c == wanted_c else [f"stands at {channel.room_c:g} degC, not at {wanted_c:g}"]
    chamber = chambers[channel.chamber]
    if chamber.low_c <= wanted_c <= chamber.high_c:
        return []
    return [f"its chamber goes from {chamber.low_c:g} to {chamber.high_c:g} degC, not to {wanted_c:g}"]


def _check_channel(channel: Channel, chambers: set[str]) -> None:
    numbers: Sequence[float] = (channel.most_a, channel.low_v, channel.high_v)
    if not all(math.isfinite(one) for one in numbers) or channel.most_a <= 0 or channel.low_v >= channel.high_v:
        raise DataRefused(
            f"channel {channel.name!r}: {channel.most_a} A, {channel.low_v} to {channel.high_v} V; a current above "
            "0, and voltages that rise"
        )
    if channel.chamber is not None and channel.chamber not in chambers:
        raise DataRefused(f"channel {channel.name!r}: no chamber is called {channel.chamber!r}")
    if not 0 <= channel.changeover_s <= _WEEK:
        raise DataRefused(f"channel {channel.name!r}: a changeover of {channel.changeover_s} s; from 0 to a week")
    for span in channel.blocked:
        if span.begin_s >= span.end_s:
            raise DataRefused(f"channel {channel.name!r}: {span.why!r} ends before it begins")
