"""Whose hours an instrument ran: metered time by category, and the commercial share of what the public co-funded.

Public money for an instrument stays clear of state aid while commercial use is ancillary: the framework for
research (Commission communication 2022/C 414/01, paragraph 21) draws the line at 20 % of the yearly capacity. What
is compared with the threshold here is the stricter share: commercial hours in the hours that were used since the
year began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from poliqi.lab.facility.database import Database
from poliqi.lab.facility.instruments import Instruments
from poliqi.lab.facility.records import Category, Instrument

__all__ = ["Ancillary", "Usage", "Uses", "ancillary_of"]


@dataclass(frozen=True, slots=True)
class Usage:
    """An instrument over a span of time, in seconds; `booked_s` and `metered_s` by category, cut to the span.

    `open_s` counts the hours that it had then. `is_cofunded`: at any time in the span.
    """

    instrument: str
    is_cofunded: bool
    open_s: int
    booked_s: Mapping[Category, int]
    metered_s: Mapping[Category, int]
    bookings: int
    no_shows: int
    cancelled: int

    @property
    def used_s(self) -> int:
        return sum(self.metered_s.values())


@dataclass(frozen=True, slots=True)
class Ancillary:
    """Commercial against research use of a co-funded instrument since the year began, in metered seconds."""

    instrument: str
    research_s: int
    commercial_s: int
    open_s: int
    threshold_hundredths: int

    @property
    def is_over(self) -> bool:
        """Commercial use above the threshold: exactly the threshold is still ancillary."""
        used_s = self.research_s + self.commercial_s
        return self.commercial_s * 10_000 > self.threshold_hundredths * used_s


class Uses:
    """Counts; no look at who asks: reports check that."""

    def __init__(self, database: Database, instruments: Instruments) -> None:
        self._database: Final = database
        self._instruments: Final = instruments

    def of(self, instrument: Instrument, from_s: int, to_s: int) -> Usage:
        """Within [from_s, to_s). A session that runs counts up to now; a cancelled booking takes no time."""
        now_s = self._database.now_s()
        name = instrument.name
        booked = dict.fromkeys(Category, 0)
        bookings = no_shows = 0
        for category, begin_s, end_s, is_missed in self._database.read(
            "SELECT t.category, b.begin_s, b.end_s, NOT EXISTS (SELECT 1 FROM session s WHERE s.booking = b.id) "
            "FROM occupied o JOIN booking b ON b.id = o.booking JOIN tenant t ON t.name = b.tenant "
            "WHERE o.instrument = ? AND o.begin_s < ? AND o.until_s > ? AND b.end_s > ?",
            (name, to_s, from_s, from_s),
        ):
            booked[Category(category)] += min(end_s, to_s) - max(begin_s, from_s)
            bookings += 1
            no_shows += is_missed and end_s <= now_s
        metered = dict.fromkeys(Category, 0)
        for category, start_s, stop_s in self._database.read(
            "SELECT t.category, s.start_s, coalesce(s.stop_s, max(?, s.start_s)) FROM session s "
            "JOIN booking b ON b.id = s.booking JOIN tenant t ON t.name = b.tenant "
            "WHERE s.instrument = ? AND s.start_s < ? AND coalesce(s.stop_s, ?) > ?",
            (now_s, name, to_s, now_s, from_s),
        ):
            metered[Category(category)] += min(stop_s, to_s) - max(start_s, from_s)
        [(cancelled,)] = self._database.read(
            "SELECT count(*) FROM cancellation c JOIN booking b ON b.id = c.booking "
            "WHERE b.instrument = ? AND b.begin_s < ? AND b.end_s > ?",
            (name, to_s, from_s),
        )
        versions = self._instruments.versions(name, from_s, to_s)
        open_s = sum(version.opening.seconds(begin_s, end_s) for begin_s, end_s, version in versions)
        is_cofunded = any(version.is_cofunded for _, _, version in versions)
        return Usage(name, is_cofunded, open_s, booked, metered, bookings, no_shows, cancelled)


def ancillary_of(usage: Usage, threshold_hundredths: int) -> Ancillary:
    """The shares of a usage over the year."""
    commercial_s = usage.metered_s[Category.COMPANY]
    return Ancillary(
        usage.instrument, usage.used_s - commercial_s, commercial_s, usage.open_s, threshold_hundredths
    )
