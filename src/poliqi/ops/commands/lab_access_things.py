"""`poliqi lab access instrument`, `tariff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poliqi.ops.commands.lab_access_open import access_options, hours_s, minutes_s, open_facility, say

if TYPE_CHECKING:
    from poliqi.lab.facility.records import Instrument, Tariff

__all__ = ["instrument", "tariff"]

_MINUTES = click.IntRange(0, 31 * 24 * 60)
_PERCENT = click.IntRange(0, 1000)


@click.group()
def instrument() -> None:
    """What can be booked.

    \b
      poliqi lab access instrument put xeuss --opening "mon-fri 08:00-20:00; sat 09:00-13:00" --buffer 30 --cofunded
    """


@instrument.command()
@click.argument("name")
@click.option("--description", default="", help="in words")
@click.option("--place", default="", help="where it stands")
@click.option("--opening", default="mon-sun 00:00-24:00", show_default=True, help="hours, Milan's time")
@click.option("--shortest", type=_MINUTES, default=15, show_default=True, help="minutes a booking lasts at least")
@click.option("--longest", type=_MINUTES, default=1440, show_default=True, help="minutes it lasts at most")
@click.option("--buffer", type=_MINUTES, default=0, show_default=True, help="minutes that stay free behind it")
@click.option(
    "--cofunded/--not-cofunded",
    default=None,
    help="public money paid for it: its commercial hours are watched (as it was; not, for a new one)",
)
@click.option("--untrained", is_flag=True, help="needs no training")
@access_options
def put(
    name: str,
    description: str,
    place: str,
    opening: str,
    shortest: int,
    longest: int,
    buffer: int,
    cofunded: bool | None,
    untrained: bool,
    store: Path | None,
    login: str | None,
    as_json: bool,
) -> None:
    """Enter the instrument NAME, or a new version of it: give all options again but --cofunded. Bookings stay."""
    facility, by = open_facility(store, login)
    with facility:
        made = facility.instruments.put(
            name,
            description=description,
            place=place,
            opening=opening,
            shortest_s=minutes_s(shortest),
            longest_s=minutes_s(longest),
            buffer_s=minutes_s(buffer),
            is_cofunded=cofunded,
            needs_training=not untrained,
            by=by,
        )
    say(_instrument(made), [f"instrument {made.name} is open {made.opening.text}"], as_json=as_json)


@instrument.command(name="list")
@access_options
def list_instruments(store: Path | None, login: str | None, as_json: bool) -> None:
    """Name all instruments."""
    facility, by = open_facility(store, login)
    with facility:
        facility.people.acting(by)
        found = facility.instruments.all()
    lines = [f"{one.name:<20} {one.opening.text}{'  co-funded' if one.is_cofunded else ''}" for one in found]
    say([_instrument(one) for one in found], lines or ["no instrument yet"], as_json=as_json)


def _instrument(one: Instrument) -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(one) | {"opening": one.opening.text}


@click.group()
def tariff() -> None:
    """What an hour costs. A tariff is never changed: another begins, and bookings that stand keep their price.

    \b
      poliqi lab access tariff add xeuss company --from 2026-01-01 --hour 120.00 --setup 50 --minimum 60
      poliqi lab access tariff add xeuss own --from 2026-01-01 --hour 0
    """


@tariff.command(name="add")
@click.argument("instrument_name", metavar="INSTRUMENT")
@click.argument("category", type=click.Choice(["own", "academic", "company"]))
@click.option("--from", "first", required=True, metavar="YYYY-MM-DD", help="its first day")
@click.option("--until", "last", metavar="YYYY-MM-DD", help="its last day (open)")
@click.option("--hour", required=True, metavar="EUR", help="price of an hour, without VAT")
@click.option("--setup", default="0", metavar="EUR", help="for each booking that is used (0)")
@click.option("--minimum", default="0", metavar="EUR", help="a booking that is used costs this at least (0)")
@click.option(
    "--notice", default="24", metavar="HOURS", show_default=True, help="free cancellation up to this before"
)
@click.option("--late", type=_PERCENT, default=50, show_default=True, help="% of the price when cancelled later")
@click.option("--no-show", type=_PERCENT, default=100, show_default=True, help="% when never metered")
@click.option("--unused", type=_PERCENT, default=0, show_default=True, help="% for booked time that was not used")
@click.option("--overrun", type=_PERCENT, default=100, show_default=True, help="% for time outside the booking")
@access_options
def add_tariff(
    instrument_name: str,
    category: str,
    first: str,
    last: str | None,
    hour: str,
    setup: str,
    minimum: str,
    notice: str,
    late: int,
    no_show: int,
    unused: int,
    overrun: int,
    store: Path | None,
    login: str | None,
    as_json: bool,
) -> None:
    """What an hour of INSTRUMENT costs tenants of CATEGORY from a day on.

    Of two tariffs that cover a day, the one that began later counts.
    """
    from poliqi.lab.facility.localtime import parse_day
    from poliqi.lab.facility.money import cents_of
    from poliqi.lab.facility.records import Category

    facility, by = open_facility(store, login)
    with facility:
        made = facility.tariffs.add(
            instrument_name,
            Category(category),
            parse_day(first, "--from"),
            cents_of(hour, "--hour"),
            last_day=None if last is None else parse_day(last, "--until"),
            setup_cents=cents_of(setup, "--setup"),
            minimum_cents=cents_of(minimum, "--minimum"),
            notice_s=hours_s(notice, "--notice"),
            late_percent=late,
            no_show_percent=no_show,
            unused_percent=unused,
            overrun_percent=overrun,
            by=by,
        )
    say(_tariff(made), [_line(made)], as_json=as_json)


@tariff.command(name="list")
@click.argument("instrument_name", required=False, metavar="[INSTRUMENT]")
@access_options
def list_tariffs(instrument_name: str | None, store: Path | None, login: str | None, as_json: bool) -> None:
    """All tariffs, or those of INSTRUMENT."""
    facility, by = open_facility(store, login)
    with facility:
        facility.people.operator(by)
        found = facility.tariffs.all(instrument_name)
    say([_tariff(one) for one in found], [_line(one) for one in found] or ["no tariff yet"], as_json=as_json)


@tariff.command(name="withdraw")
@click.argument("tariff_id", metavar="TARIFF")
@access_options
def withdraw_tariff(tariff_id: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """TARIFF counts for no further booking."""
    facility, by = open_facility(store, login)
    with facility:
        made = facility.tariffs.withdraw(tariff_id, by=by)
    say(_tariff(made), [_line(made)], as_json=as_json)


def _tariff(one: Tariff) -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(one)


def _line(one: Tariff) -> str:
    from poliqi.lab.facility.money import money

    until = f" to {one.last_day}" if one.last_day is not None else ""
    gone = "  withdrawn" if one.is_withdrawn else ""
    price = f"{money(one.cents_per_hour)} an hour"
    return f"{one.id}  {one.instrument:<16} {one.category.value:<9} from {one.first_day}{until}  {price}{gone}"
