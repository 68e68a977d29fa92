"""`poliqi lab access meter`: when an instrument was really used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poliqi.ops.commands.lab_access_open import access_options, open_facility, say

if TYPE_CHECKING:
    from poliqi.lab.facility.records import Session

__all__ = ["command"]

_AT = click.option("--at", metavar="TIME", help="when it was (now)")
_BY_INSTRUMENT = click.option("--instrument-event", is_flag=True, help="told by the instrument's own program")


@click.group()
def command() -> None:
    """What an invoice goes by. An event stays as it was told; what was told wrongly is voided and told again.

    \b
      poliqi lab access meter start BOOKING
      poliqi lab access meter stop BOOKING --at "2026-12-01 11:42"
    """


@command.command()
@click.argument("booking")
@_AT
@_BY_INSTRUMENT
@access_options
def start(
    booking: str, at: str | None, instrument_event: bool, store: Path | None, login: str | None, as_json: bool
) -> None:
    """Use for BOOKING begins."""
    _tell("start", booking, at, instrument_event, store, login, as_json)


@command.command()
@click.argument("booking")
@_AT
@_BY_INSTRUMENT
@access_options
def stop(
    booking: str, at: str | None, instrument_event: bool, store: Path | None, login: str | None, as_json: bool
) -> None:
    """Use for BOOKING ends."""
    _tell("stop", booking, at, instrument_event, store, login, as_json)


@command.command()
@click.argument("booking")
@access_options
def void(booking: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """All that was told of BOOKING counts no more; refused once it is invoiced."""
    facility, by = open_facility(store, login)
    with facility:
        facility.meter.void(booking, by=by)
    say({"voided": booking}, [f"what was metered for {booking} counts no more"], as_json=as_json)


@command.command()
@click.argument("booking")
@access_options
def show(booking: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """What was metered for BOOKING."""
    facility, by = open_facility(store, login)
    with facility:
        found = facility.meter.sessions(facility.bookings.get(booking, by).id)
    say([_record(one) for one in found], [_line(one) for one in found] or ["nothing metered"], as_json=as_json)


def _tell(
    what: str,
    booking: str,
    at: str | None,
    is_instrument: bool,
    store: Path | None,
    login: str | None,
    as_json: bool,
) -> None:
    from poliqi.lab.facility.localtime import instant
    from poliqi.lab.facility.metering import Source

    facility, by = open_facility(store, login)
    with facility:
        tell = facility.meter.start if what == "start" else facility.meter.stop
        source = Source.INSTRUMENT if is_instrument else Source.OPERATOR
        made = tell(booking, by=by, at_s=None if at is None else instant(at, "--at"), source=source)
    say(_record(made), [_line(made)], as_json=as_json)


def _record(one: Session) -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(one)


def _line(one: Session) -> str:
    from poliqi.lab.facility.localtime import local_text
    from poliqi.lab.facility.pages import clock_text

    if one.stop_s is None:
        return f"{one.instrument} in use from {local_text(one.start_s)}"
    seconds = clock_text(one.stop_s - one.start_s)
    return f"{one.instrument} used from {local_text(one.start_s)} to {local_text(one.stop_s)}: {seconds}"
