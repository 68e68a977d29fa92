"""`poliqi lab access book`, `change`, `cancel`, `calendar`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poliqi.ops.commands.lab_access_open import access_options, open_facility, say

if TYPE_CHECKING:
    from poliqi.lab.facility.records import Booking, Slot

__all__ = ["book", "booking_line", "booking_record", "calendar", "cancel", "change"]

_REQUEST = click.option(
    "--request", metavar="ID", help="your own name for this request: sent again, it makes no second booking"
)


@click.command()
@click.argument("instrument")
@click.argument("begin")
@click.argument("end")
@click.option("--for", "holder", metavar="LOGIN", help="whose booking it is, where an operator makes it")
@click.option("--title", default="", help="seen by your tenant and the operators")
@click.option("--note", default="", help="seen by your tenant and the operators")
@_REQUEST
@access_options
def book(
    instrument: str,
    begin: str,
    end: str,
    holder: str | None,
    title: str,
    note: str,
    request: str | None,
    store: Path | None,
    login: str | None,
    as_json: bool,
) -> None:
    """Book INSTRUMENT from BEGIN to END, at the tariff of today.

    \b
      poliqi lab access book xeuss "2026-12-01 09:00" "2026-12-01 12:00" --title "AgBh"
    """
    from poliqi.lab.facility.localtime import instant

    facility, by = open_facility(store, login)
    with facility:
        times = (instant(begin, "BEGIN"), instant(end, "END"))
        made = facility.book(instrument, *times, by=by, login=holder, title=title, note=note, request=request)
    say(booking_record(made), [booking_line(made)], as_json=as_json)


@click.command()
@click.argument("booking")
@click.argument("begin")
@click.argument("end")
@_REQUEST
@access_options
def change(
    booking: str,
    begin: str,
    end: str,
    request: str | None,
    store: Path | None,
    login: str | None,
    as_json: bool,
) -> None:
    """Other times for BOOKING: it is cancelled and another made at the tariff of today, or nothing happens.

    Where its notice has passed the cancellation is charged, unless the new time covers all of the old.
    """
    from poliqi.lab.facility.localtime import instant

    facility, by = open_facility(store, login)
    with facility:
        made = facility.change(booking, instant(begin, "BEGIN"), instant(end, "END"), by=by, request=request)
    say(booking_record(made), [booking_line(made)], as_json=as_json)


@click.command()
@click.argument("booking")
@click.option("--reason", default="", help="why")
@click.option(
    "--waive",
    is_flag=True,
    help="charge nothing though the notice has passed, also afterwards; operators, with --reason",
)
@access_options
def cancel(booking: str, reason: str, waive: bool, store: Path | None, login: str | None, as_json: bool) -> None:
    """Give the time of BOOKING back. Says whether that is charged.

    With --waive also where it was cancelled before and that was charged, until it is invoiced.
    """
    facility, by = open_facility(store, login)
    with facility:
        made = facility.bookings.cancel(booking, by=by, reason=reason, is_waived=waive)
    say(booking_record(made), [booking_line(made)], as_json=as_json)


@click.command()
@click.argument("instrument")
@click.option("--from", "first", metavar="YYYY-MM-DD", help="the first day (today)")
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True, help="so many days")
@access_options
def calendar(
    instrument: str, first: str | None, days: int, store: Path | None, login: str | None, as_json: bool
) -> None:
    """What is booked, busy, closed and free at INSTRUMENT, as far as --as may know.

    \b
      poliqi lab access calendar xeuss --from 2026-12-01 --days 1 --as ugo
    """
    import time
    from datetime import timedelta

    from poliqi.lab.facility.localtime import day_of, day_s, local_text, parse_day

    day = day_of(int(time.time())) if first is None else parse_day(first, "--from")
    from_s, to_s = day_s(day), day_s(day + timedelta(days))
    facility, by = open_facility(store, login)
    with facility:
        slots = facility.calendar(instrument, from_s, to_s, by)
    lines, at = list[str](), from_s
    for slot in slots:
        if slot.begin_s > at:
            lines.append(f"{local_text(at)} to {local_text(slot.begin_s)}  free")
        lines.append(_slot_line(slot))
        at = max(at, slot.end_s)
    if at < to_s:
        lines.append(f"{local_text(at)} to {local_text(to_s)}  free")
    say([_slot_record(slot) for slot in slots], lines, as_json=as_json)


def _slot_record(slot: Slot) -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(slot)


def _slot_line(slot: Slot) -> str:
    from poliqi.lab.facility.localtime import local_text

    words = [slot.state.value, slot.login, slot.title] if slot.booking else [slot.state.value]
    tail = f"  ({slot.booking})" if slot.booking else ""
    return f"{local_text(slot.begin_s)} to {local_text(slot.end_s)}  {' '.join(filter(None, words))}{tail}"


def booking_record(one: Booking) -> dict[str, Any]:
    """As JSON has it."""
    import msgspec

    return msgspec.to_builtins(one)


def booking_line(one: Booking) -> str:
    """As people read it."""
    from poliqi.lab.facility.localtime import local_text

    gone = ""
    if one.cancelled_s is not None:
        gone = "  cancelled, charged" if one.is_cancellation_charged else "  cancelled"
    when = f"{local_text(one.begin_s)} to {local_text(one.end_s)}"
    return f"{one.id}  {one.instrument}  {when}  {one.login}{gone}"
