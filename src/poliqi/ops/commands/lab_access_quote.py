"""`poliqi lab access quote`: the price before the work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poliqi.ops.commands.lab_access_book import booking_line, booking_record
from poliqi.ops.commands.lab_access_open import access_options, open_facility, say

if TYPE_CHECKING:
    from poliqi.lab.facility.quotes import Quote

__all__ = ["command"]


@click.group()
def command() -> None:
    """The price before the work. A quote fixes prices until a day; the time is taken when it is accepted.

    \b
      poliqi lab access quote ask xeuss "2026-12-01 09:00" "2026-12-01 12:00" --for ugo
      poliqi lab access quote accept QUOTE --as ugo
    """


@command.command()
@click.argument("instrument")
@click.argument("begin")
@click.argument("end")
@click.option("--for", "holder", metavar="LOGIN", help="for whom, where an operator asks")
@click.option("--days", type=click.IntRange(1, 366), default=14, show_default=True, help="valid for so many days")
@access_options
def ask(
    instrument: str,
    begin: str,
    end: str,
    holder: str | None,
    days: int,
    store: Path | None,
    login: str | None,
    as_json: bool,
) -> None:
    """What INSTRUMENT from BEGIN to END costs, where it is used as it is booked."""
    from poliqi.lab.facility.localtime import instant

    facility, by = open_facility(store, login)
    with facility:
        times = (instant(begin, "BEGIN"), instant(end, "END"))
        made = facility.quotes.quote(instrument, *times, by=by, login=holder, valid_days=days)
    say(_record(made), _lines(made), as_json=as_json)


@command.command(name="list")
@access_options
def list_(store: Path | None, login: str | None, as_json: bool) -> None:
    """Quotes of your tenant, for an operator all; the newest first."""
    facility, by = open_facility(store, login)
    with facility:
        found = facility.quotes.all(by)
    lines = [_lines(one)[0] for one in found]
    say([_record(one) for one in found], lines or ["no quote yet"], as_json=as_json)


@command.command()
@click.argument("quote")
@click.option("--title", default="", help="seen by your tenant and the operators")
@click.option(
    "--request", metavar="ID", help="your own name for this request: sent again, it makes no second booking"
)
@access_options
def accept(
    quote: str, title: str, request: str | None, store: Path | None, login: str | None, as_json: bool
) -> None:
    """Make QUOTE a booking at its prices, where its time is still free."""
    facility, by = open_facility(store, login)
    with facility:
        made = facility.accept(quote, by=by, title=title, request=request)
    say(booking_record(made), [booking_line(made)], as_json=as_json)


def _record(one: Quote) -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(one) | {"lines": msgspec.to_builtins(one.lines)}


def _lines(one: Quote) -> list[str]:
    from poliqi.lab.facility.localtime import local_text
    from poliqi.lab.facility.money import money

    when = f"{local_text(one.begin_s)} to {local_text(one.end_s)}"
    head = f"{one.id}  {one.instrument}  {when}  {one.login}  {money(one.net_cents)} without VAT"
    tail = f"valid until {local_text(one.valid_until_s)}; takes no time until it is accepted"
    return [head, *(f"  {line.kind.value:<8} {money(line.cents)}" for line in one.lines), tail]
