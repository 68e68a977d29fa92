"""`poliqi lab echem campaign`: which cell is tested when on which channel, and until when."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, DataRefused, PoliqiError
from poliqi.ops.lab_echem import PATH, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.echem.campaign.plan import Campaign
    from poliqi.lab.echem.campaign.schedule import Schedule
    from poliqi.lab.echem.onepage import Page
    from poliqi.lab.facility.facility import Facility
    from poliqi.lab.facility.records import User

__all__ = ["command"]

_PROGRAM: Final = "poliqi lab echem campaign"
_TOLD: Final = 8


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

    from poliqi.edge.wholefile import check_target, whole_file
    from poliqi.lab.echem.campaign.files import schedule_csv, schedule_ics, schedule_record
    from poliqi.lab.echem.campaign.schedule import schedule
    from poliqi.lab.facility.localtime import local_text
    from poliqi.ops.campaign_toml import read_campaign
    from poliqi.ops.lab_echem import Result, deliver, outputs_of, tell
    from poliqi.ops.lab_filing import Filing, Read

    outputs = outputs_of(options)
    ics: Path | None = options["ics"]
    if ics is not None:
        check_target(ics, overwrite=outputs.force)
    if options["book"] and options["root"] is None:
        raise ConfigError("--book: at which facility? give --facility ROOT with it")
    filing = Filing(outputs.store, outputs.tenant, [Read("plan", (plan,))])
    campaign = read_campaign(plan)
    with ExitStack() as held:
        opened: tuple[Facility, User] | None = None
        if options["root"] is not None:
            opened = _opened(held, options)
            campaign = _around(campaign, opened, options["days"])
        tell(f"placing {sum(len(jobs) for jobs in campaign.jobs)} tests on {len(campaign.channels)} channels")
        made = schedule(campaign, seed=options["seed"], tries=options["tries"])
        page = _page(made)
        booked = _booked(made, opened, options) if opened is not None and options["book"] else None
    record = schedule_record(made) | ({} if booked is None else {"bookings": booked[0]})
    files = {"schedule.csv": schedule_csv(made, local_text), "schedule.ics": schedule_ics(made, int(time.time()))}
    lines = [*_lines(made, page), *([] if booked is None else booked[1])]
    try:
        if ics is not None:
            with whole_file(ics, overwrite=outputs.force) as out:
                out.write(files["schedule.ics"])
        deliver(
            outputs,
            Result(record, lines, page, files, simulated=False),
            filing,
            program=_PROGRAM,
            title=f"Test campaign {campaign.title}",
            parameters={name: options[name] for name in ("seed", "tries", "days")}
            | {"blocked": _blocked(campaign) if opened is not None else None},
            keywords=("battery", "test campaign"),
        )
    except PoliqiError:
        if booked is not None:
            click.echo(
                "\n".join(["the bookings stand, though the plan could not be written:", *booked[1]]), err=True
            )
        raise


def _opened(held: ExitStack, options: dict[str, Any]) -> tuple[Facility, User]:
    from poliqi.ops.commands.lab_access_open import open_facility

    facility, viewer = open_facility(options["root"], options["viewer"] or options["book"])
    held.enter_context(facility)
    if options["book"]:
        facility.user(options["book"])
    return facility, viewer


def _around(campaign: Campaign, opened: tuple[Facility, User], days: int) -> Campaign:
    from poliqi.ops.campaign_booking import with_calendars

    return with_calendars(campaign, *opened, days)


def _blocked(campaign: Campaign) -> list[list[int]]:
    """What the facility's calendar said, since the plan rests on it."""
    spans = {(span.begin_s, span.end_s) for channel in campaign.channels for span in channel.blocked}
    return [list(span) for span in sorted(spans)]


def _booked(made: Schedule, opened: tuple[Facility, User], options: dict[str, Any]) -> tuple[list[Any], list[str]]:
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
    bookings = book_all(facility, quotes, by, made.campaign.title)
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


def _page(made: Schedule) -> Page:
    from collections import Counter

    from poliqi.lab.echem.campaign.files import channel_use
    from poliqi.lab.echem.campaign.gantt import gantt_panels
    from poliqi.lab.echem.onepage import Page
    from poliqi.lab.facility.localtime import local_text, zone

    campaign = made.campaign
    used = channel_use(made)
    busy, available = sum(one.busy_s for one in used), sum(one.available_s for one in used)
    gap = "" if made.unplaced else f": this one is at most {100 * made.gap:.2g} % longer"
    facts = [
        ("begins", local_text(campaign.start_s)),
        ("expected end", f"{local_text(made.end_s)}, after {_long(made.end_s - campaign.start_s)}"),
        ("no plan ends before", local_text(made.bound_s) + gap),
        ("tests", f"{len(made.placed)}, of {len(campaign.cells)} cells on {len(campaign.channels)} channels"),
        ("channels in use", f"{100 * busy / available:.0f} % of their free time" if available else "no free time"),
        (
            "durations",
            f"predicted, and {100 * campaign.margin:g} % added" if campaign.margin else "predicted, no margin",
        ),
    ]
    counts = Counter(placed.channel for placed in made.placed)
    rows = [[one.channel, str(counts[at]), f"{100 * one.share:.0f} %"] for at, one in enumerate(used)]
    head = ["channel", "tests", "in use"]
    return Page(campaign.title, "test campaign", facts, gantt_panels(made, zone()), _cautions(made), [head, *rows])


def _cautions(made: Schedule) -> list[str]:
    from poliqi.lab.facility.localtime import local_text

    told, cells = list[str](), made.campaign.cells
    late = sorted(made.late(), key=lambda one: -one[1])
    told += [f"{name} ends {_long(seconds)} after its deadline" for name, seconds in late[:_TOLD]]
    if len(late) > _TOLD:
        told.append(f"and {len(late) - _TOLD} more cells end after their deadline")
    for job in made.unplaced[:_TOLD]:
        why = f"{_long(job.seconds)} without interruption"
        told.append(
            f"{cells[job.cell].name}, {job.protocol}: no place before {local_text(made.campaign.span_s)} ({why})"
        )
    if len(made.unplaced) > _TOLD:
        told.append(f"and {len(made.unplaced) - _TOLD} more tests have no place")
    return told


def _long(seconds: int) -> str:
    return f"{seconds / 3600:.3g} h" if seconds < 3 * 86_400 else f"{seconds / 86_400:.3g} days"


def _lines(made: Schedule, page: Page) -> list[str]:
    wide = max(len(label) for label, _ in page.facts)
    lines = [page.title, *(f"{label:<{wide}}  {words}" for label, words in page.facts)]
    if len(made.placed) <= 24:
        lines += _test_lines(made)
    return lines + [f"caution: {said}" for said in page.cautions]


def _test_lines(made: Schedule) -> list[str]:
    from poliqi.lab.facility.localtime import local_text

    rows = [
        (
            made.campaign.channels[one.channel].name,
            f"{local_text(one.begin_s)} to {local_text(one.end_s)}",
            made.campaign.cells[one.job.cell].name,
            one.job.protocol,
        )
        for one in made.placed
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(4)] if rows else []
    return ["  ".join(f"{word:<{w}}" for word, w in zip(row, widths, strict=True)).rstrip() for row in rows]
