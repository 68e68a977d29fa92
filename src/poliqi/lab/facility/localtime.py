"""Time for people at Milan, and integer UTC seconds inside.

Two nights a year a wall clock is no name of an instant: in spring 02:00 to 03:00 does not exist, in autumn it
exists twice. What a person writes is refused there, unless it carries its offset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from poliqi.base.errors import ConfigError
from poliqi.lab.facility.refusal import Reason, Refused

__all__ = ["ZONE_NAME", "Month", "day_of", "day_s", "instant", "local_text", "parse_day", "wall_s", "zone"]

ZONE_NAME: Final = "Europe/Rome"
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?")
_FIRST_YEAR, _LAST_YEAR = 2000, 2199


@cache
def zone() -> ZoneInfo:
    """The rules of Milan's clocks. Raises ConfigError where the machine has no table of time zones."""
    try:
        return ZoneInfo(ZONE_NAME)
    except ZoneInfoNotFoundError as error:
        raise ConfigError(
            f"this machine knows no time zone {ZONE_NAME}: install its time zones (apt install tzdata)"
        ) from error


def instant(text: str, what: str = "time") -> int:
    """UTC seconds of `2026-11-23 09:00` at Milan, or of `2026-10-25 02:30+01:00`. Raises Refused."""
    plain = text.strip()
    if not plain.isascii() or _INSTANT.fullmatch(plain) is None:
        raise Refused(Reason.BAD_TIME, f"{what} {text[:40]!a}: write YYYY-MM-DD HH:MM, Milan's time")
    try:
        found = datetime.fromisoformat(plain)
    except ValueError as error:
        raise Refused(Reason.BAD_TIME, f"{what} {plain}: there is no such day or hour") from error
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise Refused(Reason.BAD_TIME, f"{what} {plain}: years from {_FIRST_YEAR} to {_LAST_YEAR}")
    if found.tzinfo is not None:
        return int(found.timestamp())
    first, second = (found.replace(tzinfo=zone(), fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return int(first.timestamp())
    if first.timestamp() > second.timestamp():
        raise Refused(Reason.BAD_TIME, f"{what} {plain} does not exist: that night clocks leap an hour ahead")
    raise Refused(
        Reason.BAD_TIME,
        f"{what} {plain} exists twice, as clocks go back that night: write {plain}{_offset(first)} for the first, "
        f"{plain}{_offset(second)} for the second",
    )


def _offset(moment: datetime) -> str:
    return moment.isoformat()[-6:]


def local_text(unix_s: int) -> str:
    """`2026-11-23 09:00`, Milan's time; with seconds where there are any, with its offset where that hour exists
    twice.
    """
    moment = datetime.fromtimestamp(unix_s, zone())
    text = moment.strftime("%Y-%m-%d %H:%M:%S" if moment.second else "%Y-%m-%d %H:%M")
    twice = moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()
    return text + _offset(moment) if twice else text


def parse_day(text: str, what: str = "day") -> date:
    """A date `2026-11-23`. Raises Refused."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip(), re.ASCII) is None:
            raise ValueError(text)
        found = date.fromisoformat(text.strip())
    except ValueError as error:
        raise Refused(Reason.BAD_VALUE, f"{what} {text[:40]!a} is no date; write YYYY-MM-DD") from error
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise Refused(Reason.BAD_VALUE, f"{what} {found}: years from {_FIRST_YEAR} to {_LAST_YEAR}")
    return found


def day_of(unix_s: int) -> date:
    """The day at Milan."""
    return datetime.fromtimestamp(unix_s, zone()).date()


def day_s(day: date) -> int:
    """When it begins at Milan."""
    return wall_s(day, 0)


def wall_s(day: date, minute: int) -> int:
    """UTC seconds when Milan's clocks show that minute of the day, 1440 being the next midnight.

    The first of the two where it exists twice, an hour later on the clock where it does not exist.
    """
    if minute == 24 * 60:
        day, minute = day + timedelta(1), 0
    moment = datetime.combine(day, time(minute // 60, minute % 60), zone())
    return int(moment.astimezone(UTC).timestamp())


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month at Milan."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """From `2026-11`. Raises Refused."""
        plain = text.strip()
        if re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", plain, re.ASCII) is None:
            raise Refused(Reason.WRONG_MONTH, f"month {text[:40]!a}: write YYYY-MM, from 01 to 12")
        found = cls(int(plain[:4]), int(plain[5:]))
        if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
            raise Refused(Reason.WRONG_MONTH, f"month {plain}: years from {_FIRST_YEAR} to {_LAST_YEAR}")
        return found

    @classmethod
    def of(cls, unix_s: int) -> Month:
        """The one in which an instant lies."""
        day = day_of(unix_s)
        return cls(day.year, day.month)

    @property
    def begin_s(self) -> int:
        return day_s(date(self.year, self.month, 1))

    @property
    def end_s(self) -> int:
        """The next one's beginning."""
        return day_s(date(self.year + self.month // 12, self.month % 12 + 1, 1))

    @property
    def year_begin_s(self) -> int:
        """When its year began."""
        return day_s(date(self.year, 1, 1))

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"
