"""Campaigns and the facility: planned around its calendar, booked whole or not at all."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from campaign_rig import campaign, cell, channel, faults
from facility_rig import DAY, HOUR, START, World, make_world

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.campaign.plan import Campaign, Cell
from poliqi.lab.echem.campaign.schedule import schedule
from poliqi.lab.facility.records import Booking
from poliqi.lab.facility.refusal import Reason, Refused
from poliqi.ops.campaign_booking import (
    book_all,
    calendars_told,
    quote_all,
    request_for,
    wanted_bookings,
    with_calendars,
)


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    made = make_world(tmp_path / "lab")
    yield made
    made.facility.close()


def plan(instrument: str, cells: list[Cell], channels: int = 1) -> Campaign:
    made = campaign([channel(f"c{at}", instrument=instrument) for at in range(channels)], cells)
    return replace(made, start_s=START + 8 * HOUR)


def test_what_others_booked_is_planned_around_and_then_booked(world: World) -> None:
    world.book("bob", 10, 4)
    found = with_calendars(plan("saxs", [cell("a", 3.0), cell("b", 2.0)]), world.facility, world.users["ann"], 30)
    made = schedule(found)
    assert faults(made) == []
    wanted = wanted_bookings(made, world.facility)
    assert [(one.begin_s - START, one.end_s - START) for one in wanted] == [
        (8 * HOUR, 10 * HOUR),
        (14 * HOUR, 17 * HOUR),
    ]
    quotes = quote_all(world.facility, wanted, world.users["ann"], "ann")
    bookings = book_all(world.facility, quotes, world.users["ann"], "batch")
    assert [(one.begin_s, one.login, one.title) for one in bookings] == [
        (one.begin_s, "ann", "batch") for one in wanted
    ]
    again = schedule(with_calendars(plan("saxs", [cell("c", 1.0)]), world.facility, world.users["ann"], 30))
    assert again.placed[0].begin_s == START + 17 * HOUR  # what was booked is taken now


def test_opening_hours_and_the_free_time_around_bookings_are_kept(world: World) -> None:
    world.book("bob", 10, 2, instrument="xrd")  # and half an hour before and behind it stays free
    found = with_calendars(plan("xrd", [cell("a", 1.5), cell("b", 7.0)]), world.facility, world.users["uni"], 30)
    made = schedule(found)
    wanted = wanted_bookings(made, world.facility)
    assert [one.begin_s - START for one in wanted] == [8 * HOUR, 12.5 * HOUR]
    book_all(world.facility, quote_all(world.facility, wanted, world.users["uni"], "uni"), world.users["uni"], "")
    nights = schedule(with_calendars(plan("xrd", [cell("c", 13.0)]), world.facility, world.users["uni"], 30))
    assert len(nights.unplaced) == 1  # no day is that long


def test_where_one_time_is_taken_meanwhile_nothing_is_booked(world: World) -> None:
    asked = plan("saxs", [cell("a", 3.0, ready_s=START + 30 * HOUR), cell("b", 2.0)])
    found = with_calendars(asked, world.facility, world.users["ann"], 30)
    quotes = quote_all(world.facility, wanted_bookings(schedule(found), world.facility), world.users["ann"], "ann")
    assert len(quotes) == 2
    world.book("bob", 31, 1)
    with pytest.raises(DataRefused, match=r"nothing was booked, not one of 2: saxs is taken within .*; plan again"):
        book_all(world.facility, quotes, world.users["ann"], "batch")
    mine = world.facility.bookings.between(START, START + 30 * DAY, world.users["ann"])
    assert mine == []
    world.facility.verify_audit()


def test_all_quotes_are_accepted_in_one_change(world: World) -> None:
    ann, facility = world.users["ann"], world.facility
    quotes = [facility.quote("saxs", START + at * DAY, START + at * DAY + HOUR, by=ann).id for at in (1, 2, 3)]
    made = facility.bookings.accept_all(quotes, by=ann, title="three")
    assert [one.quote for one in made] == quotes
    with pytest.raises(Refused) as refused:
        facility.bookings.accept_all(quotes[:1], by=ann)
    assert refused.value.reason is Reason.QUOTE_OVER
    facility.verify_audit()


def booked(world: World, asked: Campaign, *, again: bool = False) -> list[Booking]:
    """Planned around the calendar and booked for ann, as the command does it."""
    ann = world.users["ann"]
    request = request_for(world.facility, asked, ann, "ann", again=again)
    made = schedule(with_calendars(asked, world.facility, ann, 30))
    quotes = quote_all(world.facility, wanted_bookings(made, world.facility), ann, "ann")
    return book_all(world.facility, quotes, ann, asked.title, request)


def test_a_campaign_is_booked_once_unless_it_is_to_be_booked_again(world: World) -> None:
    asked = plan("saxs", [cell("a", 3.0), cell("b", 2.0)])
    first = booked(world, asked)
    with pytest.raises(DataRefused, match=rf"'test' of .* is booked already for ann: saxs .* \({first[0].id}\)"):
        booked(world, asked)
    assert len(world.facility.bookings.between(START, START + 30 * DAY, world.users["ann"])) == len(first)
    (second,) = booked(world, asked, again=True)
    for one in (*first, second):
        world.facility.bookings.cancel(one.id, by=world.users["ann"])
    third = booked(world, asked)
    later = third[0].begin_s + 10 * DAY
    world.facility.change(third[0].id, later, later + DAY, by=world.users["ann"])
    with pytest.raises(DataRefused, match="is booked already"):
        booked(world, asked)  # at other times, but it stands
    booked(world, replace(asked, title="another"))
    world.facility.verify_audit()


def test_two_that_book_one_campaign_at_once_make_one_set(world: World) -> None:
    ann, facility = world.users["ann"], world.facility
    quotes = [facility.quote("saxs", START + at * DAY, START + at * DAY + HOUR, by=ann).id for at in (1, 2, 3, 4)]
    made = facility.bookings.accept_all(quotes[:2], by=ann, request="campaign 7")
    assert facility.bookings.accept_all(quotes[:2], by=ann, request="campaign 7") == made
    with pytest.raises(Refused) as refused:
        facility.bookings.accept_all(quotes[2:], by=ann, request="campaign 7")
    assert refused.value.reason is Reason.REQUEST_REUSED
    with pytest.raises(Refused):
        facility.bookings.of_requests("campaign", by=world.users["bob"], login="ann")


def test_an_operator_books_for_others_and_nobody_else_does(world: World) -> None:
    found = with_calendars(plan("saxs", [cell("a", 3.0)]), world.facility, world.users["op"], 30)
    wanted = wanted_bookings(schedule(found), world.facility)
    quotes = quote_all(world.facility, wanted, world.users["op"], "ann")
    (made,) = book_all(world.facility, quotes, world.users["op"], "for ann")
    assert made.login == "ann"
    with pytest.raises(Refused) as refused:
        quote_all(world.facility, wanted, world.users["bob"], "ann")
    assert refused.value.reason is Reason.NOT_ALLOWED


def test_channels_of_one_instrument_are_booked_once(world: World) -> None:
    cells = [cell("a", 3.0), cell("b", 2.0), cell("c", 4.0)]
    found = with_calendars(plan("saxs", cells, channels=3), world.facility, world.users["ann"], 30)
    (wanted,) = wanted_bookings(schedule(found), world.facility)
    assert (wanted.begin_s, wanted.end_s) == (START + 8 * HOUR, START + 12 * HOUR)


def test_a_test_longer_than_a_booking_takes_several_that_touch(world: World) -> None:
    found = with_calendars(plan("saxs", [cell("a", 400.0)]), world.facility, world.users["ann"], 60)
    wanted = wanted_bookings(schedule(found), world.facility)
    assert len(wanted) == 3  # of a week at most
    assert wanted[0].end_s == wanted[1].begin_s
    quotes = quote_all(world.facility, wanted, world.users["ann"], "ann")
    assert len(book_all(world.facility, quotes, world.users["ann"], "long")) == 3


def test_a_test_that_no_booking_can_hold_is_refused(world: World) -> None:
    made = schedule(plan("xrd", [cell("a", 9.0)]))
    with pytest.raises(DataRefused, match="a booking of it lasts 8 hours at most, with 30 minutes free behind"):
        wanted_bookings(made, world.facility)


def test_calendars_are_told_by_instrument_without_what_the_plan_blocks_itself(world: World) -> None:
    both = replace(
        campaign([channel("a", (0, 1), instrument="saxs"), channel("b", instrument="xrd")], [cell("c", 1.0)]),
        start_s=START,
    )
    world.book("bob", 10, 4)
    around = with_calendars(both, world.facility, world.users["ann"], 1)
    told = calendars_told(both, around)
    assert told["saxs"] == [[START + 10 * HOUR, START + 14 * HOUR]]
    assert all(begin_s != START + 10 * HOUR for begin_s, _ in told["xrd"])  # only closed


def test_instruments_have_to_be_named_and_known(world: World) -> None:
    with pytest.raises(ConfigError, match="names its instrument"):
        with_calendars(campaign([channel("c")], [cell("a", 1.0)]), world.facility, world.users["ann"], 30)
    with pytest.raises(Refused, match="no instrument is called 'vmp3'"):
        with_calendars(plan("vmp3", [cell("a", 1.0)]), world.facility, world.users["ann"], 30)
