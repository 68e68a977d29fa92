"""`poliqi lab echem campaign`: which cell is tested when on which channel, and until when."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.lab_outputs import PATH, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.echem.campaign.schedule import Schedule
    from poliqi.lab.facility.facility import Facility
    from poliqi.lab.facility.records import User

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab echem campaign"


@click.command()
@click.argument("plan", type=PATH)
@click.option("--facility", "root", type=PATH, metavar="ROOT", help="plan around the calendar of this facility")
@click.option(
    "--as", "viewer", envvar="POLIQI_LOGIN", metavar="LOGIN", help="who asks the facility (or POLIQI_LOGIN)"
)
@click.option(
    "--days",
    type=click.IntRange(1, 400),
    default=180,
    show_default=True,
    help="so far the facility's calendar is read",
)
@click.option("--book", metavar="LOGIN", help="book the instruments for LOGIN: all times or none, after a quote")
@click.option("--yes", is_flag=True, help="book without a question")
@click.option("--again", is_flag=True, help="book a second set of a campaign that is booked already")
@click.option("--tries", type=click.IntRange(1, 1000), help="orders of work that are tried [by the size]")
@click.option("--seed", type=int, default=0, show_default=True, help="of the random orders among them")
@click.option("--ics", type=PATH, metavar="FILE.ics", help="write it for a calendar program")
@outputs_options
def command(plan: Path, **options: Any) -> None:
    """Plan the tests of PLAN, a TOML file of protocols, channels and cells.

    Durations follow from capacities and currents. What no channel can do is refused with the limit that forbids it.
    Beside the expected end stands the end before which no plan at all could finish.

    \b
      poliqi lab echem campaign batch7.toml --plot batch7.svg -o batch7.csv --ics batch7.ics
      poliqi lab echem campaign batch7.toml --facility /srv/lab --as ugo --days 60
      poliqi lab echem campaign batch7.toml --facility /srv/lab --book ugo
    """
    import time
    from dataclasses import replace

    from poliqi.edge.wholefile import check_target, whole_file
    from poliqi.lab.echem.campaign.files import schedule_csv, schedule_ics, schedule_record
    from poliqi.lab.echem.campaign.schedule import schedule
    from poliqi.lab.facility.localtime import local_text
    from poliqi.ops.campaign_booking import calendars_told, request_for, with_calendars
    from poliqi.ops.campaign_page import lines_of, lines_of_tests, page_of
    from poliqi.ops.campaign_toml import read_campaign
    from poliqi.ops.lab_filing import Filing, Read
    from poliqi.ops.lab_outputs import Result, deliver, outputs_of, tell

    outputs = outputs_of(options)
    ics: Path | None = options["ics"]
    if ics is not None:
        check_target(ics, overwrite=outputs.force)
    if options["book"] and options["root"] is None:
        raise ConfigError("--book: at which facility? give --facility ROOT with it")
    filing = Filing(outputs.store, outputs.tenant, [Read("plan", (plan,))])
    campaign = planned = read_campaign(plan)
    with ExitStack() as held:
        opened: tuple[Facility, User] | None = None
        request = ""
        if options["root"] is not None:
            opened = _opened(held, options)
            if options["book"]:
                request = request_for(opened[0], campaign, opened[1], options["book"], again=options["again"])
            campaign = with_calendars(campaign, *opened, options["days"])
        tell(f"placing {sum(len(jobs) for jobs in campaign.jobs)} tests on {len(campaign.channels)} channels")
        made = schedule(campaign, seed=options["seed"], tries=options["tries"])
        page = page_of(made)
        files = {
            "schedule.csv": schedule_csv(made, local_text),
            "schedule.ics": schedule_ics(made, int(time.time())),
        }
        for path, data in ((outputs.output, files["schedule.csv"]), (ics, files["schedule.ics"])):
            if path is not None:  # before the bookings, which nothing may be lost of
                with whole_file(path, overwrite=outputs.force) as out:
                    out.write(data)
        booked = _booked(made, opened, request, options) if opened is not None and options["book"] else None
    try:
        record = schedule_record(made) | ({} if booked is None else {"bookings": booked[0]})
        lines = lines_of(made, page, every=bool(booked and booked[0])) + ([] if booked is None else booked[1])
        deliver(
            replace(outputs, output=None),
            Result(record, lines, page, files, simulated=False),
            filing,
            program=_PROGRAM,
            title=f"Test campaign {campaign.title}",
            parameters={name: options[name] for name in ("seed", "tries", "days")}
            | {
                "calendars": None if opened is None else calendars_told(planned, campaign),
                "bookings": None if booked is None else [one["id"] for one in booked[0]],
            },
            keywords=("battery", "test campaign"),
        )
    except BaseException:
        if booked is not None and booked[0]:
            told = ["the bookings stand, though this did not come to its end:", *booked[1], *lines_of_tests(made)]
            click.echo("\n".join(told), err=True)
        raise


def _opened(held: ExitStack, options: dict[str, Any]) -> tuple[Facility, User]:
    from poliqi.ops.commands.lab_access_open import open_facility

    facility, viewer = open_facility(options["root"], options["viewer"] or options["book"])
    held.enter_context(facility)
    if options["book"]:
        facility.user(options["book"])
    return facility, viewer


def _booked(
    made: Schedule, opened: tuple[Facility, User], request: str, options: dict[str, Any]
) -> tuple[list[Any], list[str]]:
    """Quote, question, bookings: as records and lines. Raises DataRefused where the plan is not whole."""
    from poliqi.lab.facility.money import money
    from poliqi.ops.campaign_booking import book_all, quote_all, wanted_bookings
    from poliqi.ops.commands.lab_access_book import booking_line, booking_record

    if made.unplaced:
        raise DataRefused(f"{len(made.unplaced)} tests have no place before the horizon; nothing is booked")
    facility, by = opened
    quotes = quote_all(facility, wanted_bookings(made, facility), by, options["book"])
    click.echo("\n".join(_quote_lines(quotes)), err=True)
    if not options["yes"] and not click.confirm(f"book all {len(quotes)} for {options['book']}?", err=True):
        return [], ["nothing was booked; the quotes stay valid"]
    bookings = book_all(facility, quotes, by, made.campaign.title, request)
    total = money(sum(one.net_cents for one in quotes))
    head = f"booked for {options['book']}: {len(bookings)} times, {total} without VAT"
    return [booking_record(one) for one in bookings], [head, *(booking_line(one) for one in bookings)]


def _quote_lines(quotes: Any) -> list[str]:
    from poliqi.lab.facility.localtime import local_text
    from poliqi.lab.facility.money import money

    lines = [
        f"{one.instrument}  {local_text(one.begin_s)} to {local_text(one.end_s)}  {money(one.net_cents)}"
        for one in quotes
    ]
    return [
        *lines,
        f"together {money(sum(one.net_cents for one in quotes))} without VAT, where it is used as booked",
    ]
