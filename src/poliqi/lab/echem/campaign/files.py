"""A schedule for other programs: a table, a calendar, JSON; and how much each channel is used."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from blake3 import blake3

from poliqi.lab.echem.campaign.schedule import Placed, Schedule
from poliqi.lab.echem.campaign.spans import FreeTime

__all__ = ["COLUMNS", "Use", "channel_use", "schedule_csv", "schedule_ics", "schedule_record", "utc_text"]

_FOLD: Final = 73
COLUMNS: Final = ("Channel", "Cell", "Protocol", "Mount", "Begin", "End", "Duration / s", "Begin / unix s")
"""Of the table of a schedule."""


@dataclass(frozen=True, slots=True)
class Use:
    """Of one channel, from the campaign's begin to its end: taken by tests, and free of blocked spans at all."""

    channel: str
    busy_s: int
    available_s: int

    @property
    def share(self) -> float:
        return self.busy_s / self.available_s if self.available_s else 0.0


def utc_text(unix_s: int) -> str:
    """2026-12-01T08:00:00Z."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def channel_use(made: Schedule) -> list[Use]:
    """Of each channel in the campaign's order; changeovers count as use."""
    busy = [0] * len(made.campaign.channels)
    for one in made.placed:
        busy[one.channel] += one.end_s - one.mount_s
    found: list[Use] = []
    for at, channel in enumerate(made.campaign.channels):
        free = FreeTime.between(made.campaign.start_s, made.campaign.span_s, channel.blocked)
        found.append(Use(channel.name, busy[at], free.seconds(made.campaign.start_s, made.end_s)))
    return found


def schedule_csv(made: Schedule, when: Callable[[int], str] = utc_text) -> bytes:
    """One test a row, by channel and time; `when` writes instants."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in sorted(made.placed, key=lambda one: (one.channel, one.mount_s)):
        names = (made.campaign.channels[one.channel].name, made.campaign.cells[one.job.cell].name, one.job.protocol)
        times = (when(one.mount_s), when(one.begin_s), when(one.end_s))
        writer.writerow((*names, *times, one.job.seconds, one.begin_s))
    return out.getvalue().encode()


def schedule_record(made: Schedule) -> dict[str, Any]:
    """As JSON has it; instants are unix seconds."""
    campaign = made.campaign
    return {
        "title": campaign.title,
        "start_s": campaign.start_s,
        "end_s": made.end_s,
        "bound_s": made.bound_s,
        "gap": made.gap,
        "tries": made.tries,
        "margin": campaign.margin,
        "tests": [_test_record(made, one) for one in made.placed],
        "unplaced": [
            {"cell": campaign.cells[job.cell].name, "protocol": job.protocol, "seconds": job.seconds}
            for job in made.unplaced
        ],
        "late": [{"cell": name, "seconds": seconds} for name, seconds in made.late()],
        "channels": [
            {"channel": one.channel, "busy_s": one.busy_s, "available_s": one.available_s, "share": one.share}
            for one in channel_use(made)
        ],
    }


def _test_record(made: Schedule, one: Placed) -> dict[str, Any]:
    return {
        "cell": made.campaign.cells[one.job.cell].name,
        "protocol": one.job.protocol,
        "channel": made.campaign.channels[one.channel].name,
        "mount_s": one.mount_s,
        "begin_s": one.begin_s,
        "end_s": one.end_s,
    }


def schedule_ics(made: Schedule, now_s: int) -> bytes:
    """A calendar (RFC 5545), an event each test; `now_s` is when it was made."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//POLIQI//lab echem campaign//EN"]
    for one in made.placed:
        lines += _event(made, one, now_s)
    lines.append("END:VCALENDAR")
    return b"".join(part + b"\r\n" for line in lines for part in _folded(line))


def _event(made: Schedule, one: Placed, now_s: int) -> list[str]:
    cell, channel = made.campaign.cells[one.job.cell].name, made.campaign.channels[one.channel].name
    told = f"{made.campaign.title}\0{made.campaign.start_s}\0{cell}\0{one.job.order}"
    uid = blake3(told.encode()).hexdigest(length=16)  # stays where the campaign is planned anew
    return [
        "BEGIN:VEVENT",
        f"UID:{uid}@campaign.poliqi",
        f"DTSTAMP:{_stamp(now_s)}",
        f"DTSTART:{_stamp(one.mount_s)}",
        f"DTEND:{_stamp(one.end_s)}",
        f"SUMMARY:{_escaped(f'{cell}: {one.job.protocol}')}",
        f"LOCATION:{_escaped(channel)}",
        f"DESCRIPTION:{_escaped(f'{made.campaign.title}; begins at {utc_text(one.begin_s)}')}",
        "END:VEVENT",
    ]


def _stamp(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y%m%dT%H%M%SZ")


def _escaped(text: str) -> str:
    for sign in "\\;,":
        text = text.replace(sign, "\\" + sign)
    return text.replace("\n", "\\n").replace("\r", "")


def _folded(line: str) -> Iterator[bytes]:
    """At most 75 octets a line, no character cut in two; what goes on begins with a blank."""
    part = b""
    for sign in line:
        octets = sign.encode()
        if len(part) + len(octets) > _FOLD:
            yield part
            part = b" "
        part += octets
    yield part
