"""A campaign and the facility's calendar: what is taken is not planned on, what is planned can be booked.

A channel whose `instrument` is known to the facility can be used when that instrument is open and free. Channels of
one instrument are booked together, since the facility books instruments whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.campaign.plan import Campaign, Span
from poliqi.lab.echem.campaign.spans import merged
from poliqi.lab.facility.localtime import local_text
from poliqi.lab.facility.records import Instrument, SlotState

if TYPE_CHECKING:
    from poliqi.lab.echem.campaign.schedule import Schedule
    from poliqi.lab.facility.facility import Facility
    from poliqi.lab.facility.quotes import Quote
    from poliqi.lab.facility.records import Booking, User

__all__ = ["Wanted", "book_all", "calendars_told", "quote_all", "request_for", "wanted_bookings", "with_calendars"]

_MOST_BOOKINGS: Final = 500
_TOLD: Final = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """Time at an instrument that the schedule needs."""

    instrument: str
    begin_s: int
    end_s: int


def with_calendars(campaign: Campaign, facility: Facility, viewer: User, days: int) -> Campaign:
    """The campaign with what is booked, busy or closed as blocked, and an end after so many days: no calendar is
    known beyond. Raises ConfigError where no channel names an instrument, Refused for one that there is not.
    """
    names = sorted({one.instrument for one in campaign.channels if one.instrument is not None})
    if not names:
        raise ConfigError(f"{campaign.title!r}: no channel names its instrument at the facility (instrument = ...)")
    until_s = campaign.start_s + days * 86_400
    if campaign.horizon_s is not None:
        until_s = min(until_s, campaign.horizon_s)
    taken = {
        name: _taken(facility, facility.instruments.get(name), campaign.start_s, until_s, viewer) for name in names
    }
    channels = tuple(
        one if one.instrument is None else replace(one, blocked=(*one.blocked, *taken[one.instrument]))
        for one in campaign.channels
    )
    return replace(campaign, channels=channels, horizon_s=until_s)


def calendars_told(planned: Campaign, around: Campaign) -> dict[str, list[list[int]]]:
    """What the calendars said, since a plan rests on it: begin and end of all that was taken, by instrument.

    `planned` is what `with_calendars` made `around` of.
    """
    found: dict[str, list[list[int]]] = {}
    for before, after in zip(planned.channels, around.channels, strict=True):
        if after.instrument is not None and after.instrument not in found:
            taken = after.blocked[len(before.blocked) :]
            found[after.instrument] = [[span.begin_s, span.end_s] for span in taken]
    return found


def _taken(facility: Facility, instrument: Instrument, from_s: int, to_s: int, viewer: User) -> tuple[Span, ...]:
    """Before a booking of others as much stays free as after one's own."""
    spans: list[Span] = []
    for slot in facility.calendar(instrument.name, from_s, to_s, viewer):
        early = 0 if slot.state is SlotState.CLOSED else instrument.buffer_s
        spans.append(Span(slot.begin_s - early, slot.end_s, slot.state.value))
    return tuple(spans)


def wanted_bookings(made: Schedule, facility: Facility) -> list[Wanted]:
    """What has to be booked, in order of time. Raises DataRefused where the facility's rules leave no way."""
    by: dict[str, list[tuple[int, int]]] = {}
    for one in made.placed:
        name = made.campaign.channels[one.channel].instrument
        if name is not None:
            by.setdefault(name, []).append((one.mount_s, one.end_s))
    found: list[Wanted] = []
    for name, spans in by.items():
        instrument = facility.instruments.get(name)
        for begin_s, end_s in _joined(merged(spans), instrument):
            found += [Wanted(name, *piece) for piece in _pieces(begin_s, end_s, instrument)]
    if len(found) > _MOST_BOOKINGS:
        raise DataRefused(f"{len(found)} bookings, at most {_MOST_BOOKINGS} at once; plan the campaign in parts")
    return sorted(found, key=lambda one: (one.begin_s, one.instrument))


def _joined(spans: Sequence[tuple[int, int]], instrument: Instrument) -> list[tuple[int, int]]:
    """Spans between which nobody could book are one, where the instrument stays open."""
    found: list[tuple[int, int]] = []
    for begin_s, end_s in spans:
        if found:
            first_s, last_s = found[-1]
            useless = 2 * instrument.buffer_s + instrument.shortest_s
            if begin_s - last_s < useless and instrument.opening.covers(first_s, end_s):
                found[-1] = (first_s, end_s)
                continue
        found.append((begin_s, end_s))
    return found


def _pieces(begin_s: int, end_s: int, instrument: Instrument) -> list[tuple[int, int]]:
    """No shorter and no longer than a booking may be; one test may run through several that touch."""
    end_s = max(end_s, begin_s + instrument.shortest_s)
    long_s = end_s - begin_s
    count = -(-long_s // instrument.longest_s)
    if count > 1 and instrument.buffer_s:
        raise DataRefused(
            f"{instrument.name} is needed from {local_text(begin_s)} to {local_text(end_s)} without a break, and a "
            f"booking of it lasts {instrument.longest_s / 3600:g} hours at most, with {instrument.buffer_s / 60:g} "
            "minutes free behind: ask its operator for longer bookings, or give the campaign shorter protocols"
        )
    unit_s = 1 if long_s % 60 or instrument.longest_s % 60 else 60
    return list(pairwise(begin_s + long_s // unit_s * at // count * unit_s for at in range(count + 1)))


def quote_all(facility: Facility, wanted: Sequence[Wanted], by: User, login: str) -> list[Quote]:
    """What each costs, for `login`. Nothing is taken by it. Raises Refused, naming the instrument and time."""
    return [
        facility.quote(one.instrument, one.begin_s, one.end_s, by=by, login=None if login == by.login else login)
        for one in wanted
    ]


def request_for(facility: Facility, campaign: Campaign, by: User, login: str, *, again: bool) -> str:
    """What a campaign's bookings are asked for as: its title and start name it, as they name its events.

    Raises DataRefused where bookings of it stand already, unless it is to be booked `again`; Refused where `by` may
    not act for `login`.
    """
    told = f"{campaign.title}\0{campaign.start_s}"
    name = f"campaign {blake3(told.encode()).hexdigest(length=16)}"
    made = facility.bookings.of_requests(name, by=by, login=login)
    standing = [one for one in made if one.cancelled_s is None]
    if standing and not again:
        named = [f"{one.instrument} {local_text(one.begin_s)} ({one.id})" for one in standing[:_TOLD]]
        named += ["..."] if len(standing) > _TOLD else []
        raise DataRefused(
            f"{campaign.title!r} of {local_text(campaign.start_s)} is booked already for {login}: "
            f"{', '.join(named)}; nothing more was booked. Cancel those (poliqi lab access cancel ID), or book a "
            "second set by --again"
        )
    return f"{name}.{len(made)}"


def book_all(
    facility: Facility, quotes: Sequence[Quote], by: User, title: str, request: str | None = None
) -> list[Booking]:
    """All of the quotes as bookings, in one change: where one is refused none is made."""
    try:
        return facility.bookings.accept_all([one.id for one in quotes], by=by, title=title[:200], request=request)
    except DataRefused as error:
        raise DataRefused(f"nothing was booked, not one of {len(quotes)}: {error}; plan again") from error
