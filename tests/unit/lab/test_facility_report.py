"""The month report: figures, the warning, hostile words in HTML and CSV; the commands."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from facility_rig import DAY, HOUR, START, World, make_world

from poliqi.base.errors import ConfigError
from poliqi.lab.facility.localtime import Month
from poliqi.lab.facility.pages import hours_text, invoice_page, month_page
from poliqi.lab.facility.records import Category
from poliqi.lab.facility.refusal import Refused
from poliqi.lab.facility.tables import invoice_table, month_table
from poliqi.lab.facility.usage import Ancillary
from poliqi.ops.commands.lab import command

JUNE = Month(2026, 6)
HOSTILE = '=HYPERLINK("http://x")<script>alert(1)</script>'


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    made = make_world(tmp_path / "lab")
    yield made
    made.facility.close()


def used(world: World) -> None:
    """8 h of the own institute, 1 h of another, 3 h of companies; a no-show of a company; a hostile name."""
    op = world.users["op"]
    world.facility.people.add_tenant("evil", Category.COMPANY, HOSTILE, address="+1 @SUM(A1)", by=op)
    world.facility.people.add_user("eve", "Eve", "evil", by=op)
    world.facility.people.add_training("eve", "saxs", world.facility.people.trainings("ann")[0].last_day, by=op)
    world.users["eve"] = world.facility.user("eve")
    made = [world.book(*words) for words in (("ric", 0, 8), ("uni", 8, 1), ("ann", 10, 2), ("eve", 12, 2))]
    world.book("bob", 20, 1)
    world.facility.cancel(world.book("bob", 200, 1).id, by=world.users["bob"])
    world.clock.now = JUNE.end_s
    for booking, hours in zip(made, (8, 1, 2, 1), strict=True):
        world.meter(booking, booking.begin_s, hours * HOUR)
    world.facility.invoicing.issue("evil", JUNE, by=op)
    world.facility.ledger.add_intervention("i", HOSTILE, 100, by=op)


def test_hours_of_a_month(world: World) -> None:
    used(world)
    report = world.facility.report(JUNE, world.users["op"])
    saxs = next(use for use in report.usages if use.instrument == "saxs")
    assert [saxs.metered_s[category] / HOUR for category in Category] == [8, 1, 3]
    assert (saxs.bookings, saxs.no_shows, saxs.cancelled) == (5, 1, 1)
    assert saxs.open_s == 30 * 24 * HOUR
    [share] = report.ancillary
    assert (share.commercial_s / HOUR, share.research_s / HOUR, share.is_over) == (3, 9, True)
    with pytest.raises(Refused):
        world.facility.report(JUNE, world.users["ann"])


def test_a_session_is_cut_at_the_month(world: World) -> None:
    begin = JUNE.end_s - HOUR
    booking = world.facility.book("saxs", begin, begin + 3 * HOUR, by=world.users["ann"])
    world.clock.now = begin + 5 * HOUR
    world.meter(booking, begin, 3 * HOUR)
    hours = [
        next(use.used_s for use in world.facility.report(month, world.users["op"]).usages if use.is_cofunded) / HOUR
        for month in (JUNE, Month(2026, 7))
    ]
    assert hours == [1, 2]


@pytest.mark.parametrize(("commercial", "is_over"), [(19, False), (20, False), (21, True)])
def test_exactly_the_threshold_is_ancillary(commercial: int, is_over: bool) -> None:
    assert Ancillary("x", 100 - commercial, commercial, 100, 2000).is_over is is_over


def test_the_threshold_is_a_setting(world: World) -> None:
    used(world)
    world.facility.settings.set_ancillary(2500, by=world.users["op"])
    assert not world.facility.report(JUNE, world.users["op"]).ancillary[0].is_over  # 3 of 12 h


def test_a_month_counts_what_an_instrument_was_then(world: World) -> None:
    used(world)
    op, put = world.users["op"], world.facility.instruments.put
    world.clock.now = Month(2026, 7).begin_s + 10 * DAY
    assert put("saxs", opening="mon-sun 00:00-12:00", by=op).is_cofunded  # nobody said otherwise
    reports = [world.facility.report(month, op) for month in (JUNE, Month(2026, 7))]
    opened = [next(use.open_s for use in one.usages if use.instrument == "saxs") / HOUR for one in reports]
    assert opened == [30 * 24, 10 * 24 + 21 * 12]
    world.clock.now += DAY
    assert not put("saxs", is_cofunded=False, by=op).is_cofunded
    july = world.facility.report(Month(2026, 7), op)
    assert [share.is_over for share in july.ancillary] == [True]  # it was, this year
    world.clock.now = Month(2027, 1).begin_s
    assert world.facility.report(Month(2027, 1), op).ancillary == ()


def test_every_form_of_the_report_has_the_head(world: World) -> None:
    report = world.facility.report(JUNE, world.users["op"])
    head = world.facility.verify_audit()
    noted = f"{head.seq}:{head.hash.hex()}"
    assert noted in month_page(report)
    assert ["2026-06", "audit", "trail", "head", noted, "line:SHA-256"] in list(
        csv.reader(io.StringIO(month_table(report)))
    )
    line = ["access", "report", "2026-06", "--store", str(world.root), "--as", "op"]
    assert noted in CliRunner().invoke(command, line, catch_exceptions=False).output
    line = ["access", "audit", "--noted", noted, "--store", str(world.root), "--as", "op"]
    said = CliRunner().invoke(command, line, catch_exceptions=False).output
    assert said.endswith(f"verified: {head.seq} lines and the records they tell of, head {noted}\n")


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_pages_escape_words_and_run_nothing(world: World) -> None:
    used(world)
    invoice = world.facility.invoices(world.users["eve"])[0]
    for page in (month_page(world.facility.report(JUNE, world.users["op"])), invoice_page(invoice)):
        seen = Tags(page)
        assert HOSTILE in seen.text
        assert "PRO FORMA" in seen.text
        assert not seen.tags & {"script", "iframe", "img", "link", "object", "form"}
        assert not {name for name in seen.attributes if name.startswith("on") or name in ("src", "href", "style")}
        assert "prefers-color-scheme:dark" in page
        assert "@media print" in page


def test_spreadsheets_find_no_formula(world: World) -> None:
    used(world)
    invoices = world.facility.invoices(world.users["op"])
    credit = world.facility.invoicing.credit(invoices[0].number, "-2+3", by=world.users["op"])
    tables = month_table(world.facility.report(JUNE, world.users["op"])), invoice_table([*invoices, credit])
    for table in tables:
        for row in csv.reader(io.StringIO(table)):
            for cell in row:
                assert not cell.lstrip().startswith(("=", "+", "@", "\t", "\r"))
                if cell.startswith("-"):
                    float(cell)  # a number of ours
    assert "'" + HOSTILE in next(row for row in csv.reader(io.StringIO(tables[1])) if "'" + HOSTILE in row)
    assert all(row[0] == "PRO FORMA" for row in list(csv.reader(io.StringIO(tables[1])))[1:])
    assert ["2026-06", "use", "saxs", "metered company", str(3 * HOUR), "s"] in list(
        csv.reader(io.StringIO(tables[0]))
    )


@pytest.mark.parametrize(
    "word", ["\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM(1)", "\t=1", "\tx", "\nx", "\rx", " =1", "\u3000=1"]
)
def test_spreadsheets_find_no_formula_behind_blanks_or_in_full_width(world: World, word: str) -> None:
    """Also of what an older release let in: a sheet takes full-width signs for formulas, and skips blanks."""
    used(world)
    invoice = replace(world.facility.invoices(world.users["op"])[0], legal_name=word)
    rows = list(csv.reader(io.StringIO(invoice_table([invoice]), newline="")))
    assert {row[4] for row in rows[1:]} == {"'" + word}


def test_hours_are_rounded_once() -> None:
    assert (hours_text(3600), hours_text(17), hours_text(18), hours_text(3600 * 1234)) == (
        "1.00",
        "0.00",
        "0.01",
        "1,234.00",
    )


# ------------------------------------------------------------------ commands


def say(world: World, *words: str, login: str = "op") -> Any:
    """What a command prints as JSON; its clock is the real one."""
    line = ["access", *words, "--store", str(world.root), "--as", login, "--json"]
    return json.loads(CliRunner().invoke(command, line, catch_exceptions=False).output)


def test_commands_from_tariff_to_calendar(world: World) -> None:
    for line in (
        ["tenant", "add", "new-co", "company", "--legal-name", "New"],
        ["user", "add", "nia", "--name", "Nia", "--tenant", "new-co"],
        ["instrument", "put", "sem", "--untrained", "--opening", "mon-sun 00:00-24:00"],
        ["tariff", "add", "sem", "company", "--from", "2026-01-01", "--hour", "80.50", "--notice", "2.5"],
        ["training", "give", "nia", "sem", "--until", "2100-01-01"],
    ):
        say(world, *line)
    quote = say(world, "quote", "ask", "sem", "2100-01-04 09:00", "2100-01-04 11:00", login="nia")
    assert quote["net_cents"] == 16_100
    booking = say(world, "quote", "accept", quote["id"], login="nia")
    seen = say(world, "calendar", "sem", "--from", "2100-01-04", "--days", "1", login="ann")
    assert [(slot["state"], slot["booking"]) for slot in seen] == [("busy", None)]
    moved = say(world, "change", booking["id"], "2100-01-05 09:00", "2100-01-05 10:00", login="nia")
    assert say(world, "cancel", moved["id"], login="nia")["cancelled_s"] is not None
    assert say(world, "tariff", "list", "sem")[0]["notice_s"] == 9000
    assert say(world, "audit")["lines"][-1]["what"] == "cancelled"


def test_commands_of_money(world: World, tmp_path: Path) -> None:
    used(world)
    assert say(world, "ledger", "add", "q", "--title", "Q", "--agreed", "1687500")["agreed_cents"] == 168_750_000
    say(world, "ledger", "cost", "q", "4163400", "--text", "all", "--day", "2024-12-31")
    assert say(world, "ledger", "show", "q")["contributed_share"] == "40.53 %"
    assert say(world, "settings", "--vat", "company=10", "--ancillary", "15")["ancillary_hundredths"] == 1500
    [invoice] = say(world, "invoice", "list", "--csv", str(tmp_path / "i.csv"))
    assert invoice["label"] == "PRO FORMA"
    say(world, "invoice", "show", invoice["number"], "--html", str(tmp_path / "i.html"))
    assert "PRO FORMA" in (tmp_path / "i.html").read_text()
    assert (tmp_path / "i.csv").read_text().startswith("label,number")


def test_who_leaves_leaves_bookings_and_that_is_told(world: World) -> None:
    begin = world.at("2100-01-04 09:00")
    op = world.users["op"]
    world.facility.people.add_training("ann", "saxs", date(2100, 12, 31), by=op)
    made = [
        world.facility.book("saxs", begin + at * HOUR, begin + (at + 1) * HOUR, by=world.users["ann"])
        for at in (0, 2, 4)
    ]
    world.facility.cancel(made[1].id, by=world.users["ann"])
    told = say(world, "user", "close", "ann")
    assert told["bookings_ahead"] == [made[0].id, made[2].id]


def test_commands_say_who_and_where() -> None:
    with pytest.raises(ConfigError, match="which laboratory"):
        CliRunner().invoke(command, ["access", "audit"], catch_exceptions=False, env={"POLIQI_LAB": ""})


def test_a_stranger_is_told_so(world: World) -> None:
    line = ["access", "audit", "--store", str(world.root), "--as", "nobody"]
    with pytest.raises(ConfigError, match="no login of this facility"):
        CliRunner().invoke(command, line, catch_exceptions=False)


def test_the_crowded_start_is_a_monday() -> None:
    assert (START // 86_400 + 4) % 7 == 0  # Sunday 22:00 UTC is Monday at Milan
