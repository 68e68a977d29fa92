"""Booking: every refusal, retries, cancellation, change, quotes; what others see of it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import date
from pathlib import Path

import pytest
from facility_rig import DAY, HOUR, PEOPLE, START, World, make_world

from poliqi.base.errors import ConfigError, StoreError
from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.records import Category, Role, SlotState
from poliqi.lab.facility.refusal import Reason, Refused


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    made = make_world(tmp_path / "lab")
    yield made
    made.facility.close()


def refusal(reason: Reason, call: object, /, *words: object, **more: object) -> str:
    with pytest.raises(Refused) as refused:
        call(*words, **more)  # type: ignore[operator]
    assert refused.value.reason is reason
    return str(refused.value)


def test_touching_bookings_stand_and_overlapping_ones_do_not(world: World) -> None:
    world.book("ann", 10, 2)
    world.book("bob", 12, 1)
    world.book("bob", 9, 1)
    for begin, hours in ((11, 2), (10, 2), (9.5, 4), (11.5, 0.25)):
        refusal(Reason.OVERLAP, world.book, "bob", begin, hours)


def test_the_buffer_stays_free(world: World) -> None:
    world.book("ann", 10, 1, instrument="xrd")
    refusal(Reason.OVERLAP, world.book, "bob", 11.25, 1, instrument="xrd")
    refusal(Reason.OVERLAP, world.book, "bob", 9, 1, instrument="xrd")
    world.book("bob", 11.5, 1, instrument="xrd")


def test_times_that_nobody_may_book(world: World) -> None:
    assert "after it begins" in refusal(Reason.BAD_TIME, world.book, "ann", 10, -1)
    refusal(Reason.BAD_TIME, world.book, "ann", 10, 0)
    assert "has passed" in refusal(Reason.BAD_TIME, world.book, "ann", -1, 2)
    assert "30 minutes at least" in refusal(Reason.TOO_SHORT, world.book, "ann", 10, 0.25, instrument="xrd")
    assert "8 hours at most" in refusal(Reason.TOO_LONG, world.book, "ann", 9, 9, instrument="xrd")
    refusal(Reason.CLOSED, world.book, "ann", 19, 2, instrument="xrd")
    refusal(Reason.CLOSED, world.book, "ann", 5 * 24 + 10, 1, instrument="xrd")  # a Saturday


def test_people_and_things_that_are_not_there(world: World) -> None:
    refusal(Reason.UNKNOWN, world.facility.user, "nobody")
    refusal(Reason.UNKNOWN, world.book, "ann", 10, 1, instrument="tem")
    refusal(Reason.UNKNOWN, world.book, "op", 10, 1, login="nobody")


def test_training_must_last_until_the_booking_ends(world: World) -> None:
    op, people = world.users["op"], world.facility.people
    people.add_user("new", "New", "acme", by=op)
    world.users["new"] = world.facility.user("new")
    assert "no training" in refusal(Reason.TRAINING, world.book, "new", 10, 1)
    people.add_training("new", "saxs", date(2026, 6, 1), by=op)
    world.book("new", 22, 2)  # ends at midnight: the last second is of the first of June
    assert "valid until 2026-06-01" in refusal(Reason.TRAINING, world.book, "new", 24, 1)
    people.withdraw_training("new", "saxs", by=op)
    refusal(Reason.TRAINING, world.book, "new", 12, 1)


def test_no_tariff_no_booking(world: World) -> None:
    op = world.users["op"]
    world.facility.instruments.put("tem", needs_training=False, by=op)
    assert "no tariff for the category company on 2026-06-01" in refusal(
        Reason.NO_TARIFF, world.book, "ann", 10, 1, instrument="tem"
    )
    world.facility.tariffs.add("tem", Category.COMPANY, date(2026, 6, 2), 5, last_day=date(2026, 6, 2), by=op)
    refusal(Reason.NO_TARIFF, world.book, "ann", 10, 1, instrument="tem")
    world.book("ann", 34, 1, instrument="tem")
    refusal(Reason.NO_TARIFF, world.book, "ann", 58, 1, instrument="tem")


def test_bad_tariffs_are_refused(world: World) -> None:
    op, add = world.users["op"], world.facility.tariffs.add
    day = date(2027, 1, 1)
    refusal(Reason.BAD_VALUE, add, "saxs", Category.OWN, day, -1, by=op)
    refusal(Reason.BAD_VALUE, add, "saxs", Category.OWN, day, 1, notice_s=-3600, by=op)
    refusal(Reason.BAD_VALUE, add, "saxs", Category.OWN, day, 1, overrun_percent=-1, by=op)
    refusal(Reason.BAD_VALUE, add, "saxs", Category.OWN, day, 1, last_day=date(2026, 12, 31), by=op)
    refusal(Reason.TAKEN_NAME, add, "saxs", Category.OWN, date(2026, 1, 1), 7, by=op)
    refusal(Reason.UNKNOWN, add, "tem", Category.OWN, day, 1, by=op)


def test_a_booking_keeps_its_price(world: World) -> None:
    op, tariffs = world.users["op"], world.facility.tariffs
    before = world.book("ann", 10, 1)
    tariffs.withdraw(before.tariff, by=op)
    dearer = tariffs.add("saxs", Category.COMPANY, date(2026, 1, 1), 99_999, by=op)
    after = world.book("ann", 12, 1)
    assert after.tariff == dearer.id
    assert tariffs.get(before.tariff).cents_per_hour == 10_001
    assert world.facility.bookings.get(before.id, op).tariff == before.tariff


def test_a_request_sent_again_books_once(world: World) -> None:
    first = world.book("ann", 10, 1, request="r-1", title="run")
    assert world.book("ann", 10, 1, request="r-1", title="run") == first
    refusal(Reason.REQUEST_REUSED, world.book, "ann", 11, 1, request="r-1", title="run")
    other = world.book("bob", 14, 1, request="r-1")  # another person's request
    assert other.id != first.id
    assert len(world.facility.bookings.between(START, START + DAY, world.users["op"])) == 2


def test_a_request_is_of_one_thing_alone(world: World) -> None:
    ann = world.users["ann"]
    world.book("ann", 10, 1, request="r-1")
    other = world.book("ann", 12, 1)
    for begin in (START + 14 * HOUR, START + 10 * HOUR):
        refusal(Reason.REQUEST_REUSED, world.facility.change, other.id, begin, begin + HOUR, by=ann, request="r-1")
    quotes = [world.facility.quote("saxs", START + h * HOUR, START + (h + 1) * HOUR, by=ann) for h in (20, 22)]
    refusal(Reason.REQUEST_REUSED, world.facility.accept, quotes[0].id, by=ann, request="r-1")
    world.facility.accept(quotes[0].id, by=ann, request="r-2")
    refusal(Reason.REQUEST_REUSED, world.facility.accept, quotes[1].id, by=ann, request="r-2")
    refusal(Reason.REQUEST_REUSED, world.book, "ann", 20, 1, request="r-2")


def test_a_note_of_several_lines_is_kept_as_one(world: World) -> None:
    made = world.book("ann", 10, 1, note="AgBh\r\nslits 2\n", request="r")
    assert made.note == "AgBh slits 2"
    assert world.book("ann", 10, 1, note="AgBh\r\nslits 2\n", request="r") == made


def test_cancelling_in_time_is_free_and_too_late_is_not(world: World) -> None:
    ann = world.users["ann"]
    early, late = world.book("ann", 48, 1), world.book("ann", 20, 1)
    assert not world.facility.cancel(early.id, by=ann).is_cancellation_charged
    assert world.facility.cancel(late.id, by=ann).is_cancellation_charged
    assert world.facility.cancel(late.id, by=ann).cancelled_s == START  # again: nothing new
    world.book("bob", 20, 1)


def test_the_notice_is_exact(world: World) -> None:
    ann = world.users["ann"]
    one, two = world.book("ann", 24, 1), world.book("ann", 26, 1)
    assert not world.facility.cancel(one.id, by=ann).is_cancellation_charged
    world.clock.now = two.begin_s - DAY + 1
    assert world.facility.cancel(two.id, by=ann).is_cancellation_charged


def test_an_operator_may_waive_with_a_reason(world: World) -> None:
    booking = world.book("ann", 1, 1)
    cancel = world.facility.bookings.cancel
    refusal(Reason.BAD_VALUE, cancel, booking.id, by=world.users["op"], is_waived=True)
    refusal(Reason.NOT_ALLOWED, cancel, booking.id, by=world.users["ann"], is_waived=True, reason="please")
    done = cancel(booking.id, by=world.users["op"], is_waived=True, reason="the tube failed")
    assert not done.is_cancellation_charged


def test_what_has_begun_is_not_taken_back(world: World) -> None:
    booking = world.book("ann", 1, 1)
    world.clock.now = booking.begin_s
    refusal(Reason.TOO_LATE, world.facility.cancel, booking.id, by=world.users["ann"])
    refusal(
        Reason.TOO_LATE, world.facility.change, booking.id, START + DAY, START + DAY + HOUR, by=world.users["ann"]
    )


def test_a_change_moves_all_or_nothing(world: World) -> None:
    ann, change = world.users["ann"], world.facility.change
    old = world.book("ann", 48, 1, title="run")
    world.book("bob", 50, 1)
    refusal(Reason.OVERLAP, change, old.id, START + 50 * HOUR, START + 51 * HOUR, by=ann)
    assert world.facility.bookings.get(old.id, ann).cancelled_s is None
    new = change(old.id, START + 48 * HOUR, START + 50 * HOUR, by=ann, request="c")
    assert (new.replaces, new.title, new.seconds) == (old.id, "run", 2 * HOUR)
    assert change(old.id, START + 48 * HOUR, START + 50 * HOUR, by=ann, request="c") == new
    assert not world.facility.bookings.get(old.id, ann).is_cancellation_charged
    refusal(Reason.TOO_LATE, change, old.id, START + 60 * HOUR, START + 61 * HOUR, by=ann)


def test_a_late_change_is_charged_unless_it_covers_the_old_time(world: World) -> None:
    ann, change, get = world.users["ann"], world.facility.change, world.facility.bookings.get
    one, two = world.book("ann", 5, 1), world.book("ann", 10, 1)
    change(one.id, one.begin_s, one.end_s + HOUR, by=ann)
    change(two.id, two.begin_s + HOUR, two.end_s + HOUR, by=ann)
    assert (get(one.id, ann).is_cancellation_charged, get(two.id, ann).is_cancellation_charged) == (False, True)


@pytest.mark.parametrize(("sooner_h", "shorter_h"), [(1, 1), (0, 1), (1, 2)])
def test_a_late_change_that_gives_back_the_end_is_charged(world: World, sooner_h: int, shorter_h: int) -> None:
    ann = world.users["ann"]
    old = world.book("ann", 5, 3)
    world.facility.change(old.id, old.begin_s - sooner_h * HOUR, old.end_s - shorter_h * HOUR, by=ann)
    assert world.facility.bookings.get(old.id, ann).is_cancellation_charged


def test_a_quote_becomes_one_booking_at_its_price(world: World) -> None:
    op, ann = world.users["op"], world.users["ann"]
    quote = world.facility.quote("saxs", START + DAY, START + DAY + 5400, by=ann)
    assert quote.net_cents == 15_002  # 1.5 h x 100.01 = 150.015
    world.facility.tariffs.withdraw(quote.tariff.id, by=op)
    world.facility.tariffs.add("saxs", Category.COMPANY, date(2026, 1, 1), 99_999, by=op)
    refusal(Reason.UNKNOWN, world.facility.accept, quote.id, by=world.users["bob"])
    made = world.facility.accept(quote.id, by=ann, request="q")
    assert (made.tariff, made.quote) == (quote.tariff.id, quote.id)
    assert world.facility.accept(quote.id, by=ann, request="q") == made
    refusal(Reason.QUOTE_OVER, world.facility.accept, quote.id, by=ann)


def test_a_quote_ends_and_takes_no_time(world: World) -> None:
    ann = world.users["ann"]
    quote = world.facility.quotes.quote("saxs", START + 3 * DAY, START + 3 * DAY + HOUR, by=ann, valid_days=1)
    world.clock.now = quote.valid_until_s + 1
    assert "was valid until" in refusal(Reason.QUOTE_OVER, world.facility.accept, quote.id, by=ann)
    other = world.facility.quote("saxs", START + 3 * DAY, START + 3 * DAY + HOUR, by=ann)
    world.book("bob", 72, 1)
    refusal(Reason.OVERLAP, world.facility.accept, other.id, by=ann)


def test_only_operators_act_for_others(world: World) -> None:
    refusal(Reason.NOT_ALLOWED, world.book, "ann", 10, 1, login="amy")
    made = world.book("op", 10, 1, login="ann")
    assert (made.login, made.tenant) == ("ann", "acme")
    refusal(Reason.NOT_ALLOWED, world.facility.cancel, made.id, by=world.users["amy"])
    refusal(Reason.UNKNOWN, world.facility.cancel, made.id, by=world.users["bob"])


def test_who_has_left_may_do_nothing(world: World) -> None:
    world.facility.people.close_user("ann", by=world.users["op"])
    refusal(Reason.NOT_ALLOWED, world.book, "ann", 10, 1)
    refusal(Reason.NOT_ALLOWED, world.facility.invoices, world.users["ann"])
    refusal(Reason.NOT_ALLOWED, world.facility.calendar, "saxs", START, START + DAY, world.users["ann"])


def test_an_operator_frees_the_time_of_who_has_left(world: World) -> None:
    made = world.book("ann", 10, 1)
    world.facility.people.close_user("ann", by=world.users["op"])
    refusal(Reason.UNKNOWN, world.facility.cancel, made.id, by=world.users["bob"])
    world.facility.cancel(made.id, by=world.users["op"])
    assert world.book("bob", 10, 1).begin_s == made.begin_s


def test_only_own_people_run_the_facility(world: World) -> None:
    add = world.facility.people.add_user
    refusal(Reason.NOT_ALLOWED, add, "spy", "Spy", "acme", Role.OPERATOR, by=world.users["op"])
    refusal(Reason.NOT_ALLOWED, add, "spy", "Spy", "acme", by=world.users["ric"])
    for name in ("Spy", "", "../x", "a b", "a" * 65):
        refusal(Reason.BAD_VALUE, add, name, "Spy", "acme", by=world.users["op"])


def test_a_company_sees_busy_and_nothing_more(world: World) -> None:
    world.book("ann", 10, 1, title="secret alloy", note="n" * 500)
    world.book("uni", 11, 2, title="thesis")
    world.book("bob", 15, 1, title="own")
    seen = world.facility.calendar("saxs", START, START + DAY, world.users["bob"])
    busy = [slot for slot in seen if slot.state is SlotState.BUSY]
    assert [(s.begin_s - START, s.end_s - START) for s in busy] == [(10 * HOUR, 13 * HOUR)]  # two of them, as one
    assert [(s.booking, s.login, s.tenant, s.title, s.note) for s in busy] == [(None, "", "", "", "")]
    [own] = [slot for slot in seen if slot.state is SlotState.BOOKED]
    assert (own.title, own.is_own) == ("own", True)
    assert "secret" not in repr(seen)


def test_colleagues_and_operators_see_titles(world: World) -> None:
    world.book("ann", 10, 1, title="secret alloy")
    for login in ("amy", "op"):
        seen = world.facility.calendar("saxs", START, START + DAY, world.users[login])
        assert [(slot.title, slot.is_own) for slot in seen] == [("secret alloy", False)]


def test_a_calendar_shows_closed_hours_and_buffers(world: World) -> None:
    world.book("ann", 10, 1, instrument="xrd")
    seen = world.facility.calendar("xrd", START, START + DAY, world.users["ann"])
    assert [(slot.state.value, (slot.begin_s - START) / HOUR, (slot.end_s - START) / HOUR) for slot in seen] == [
        ("closed", 0, 8),
        ("booked", 10, 11),
        ("busy", 11, 11.5),
        ("closed", 20, 24),
    ]


def test_refusals_tell_a_company_nothing_of_others(world: World) -> None:
    theirs = world.book("ann", 10, 1, title="secret alloy")
    quote = world.facility.quote("saxs", START + DAY, START + DAY + HOUR, by=world.users["ann"])
    bob = world.users["bob"]
    taken = refusal(Reason.OVERLAP, world.book, "bob", 9, 3)
    assert not any(word in taken for word in (*PEOPLE, "acme", "secret", theirs.id))
    assert "2026-06-01 09:00 to 2026-06-01 12:00" in taken  # what was asked for, not what stands
    absent = theirs.id[::-1]
    for find, real in ((world.facility.bookings.get, theirs.id), (world.facility.quotes.get, quote.id)):
        words = refusal(Reason.UNKNOWN, find, real, bob)
        assert words.replace(real, absent) == refusal(Reason.UNKNOWN, find, absent, bob)
    assert world.facility.bookings.between(START, START + DAY, bob) == []
    assert world.facility.quotes.all(bob) == []


def test_a_facility_stands_once(world: World, tmp_path: Path) -> None:
    words = {"tenant": "x", "legal_name": "X", "login": "x", "name": "X"}
    with pytest.raises(ConfigError, match="never overwritten"):
        Facility.create(world.root, **words)
    with pytest.raises(ConfigError, match="poliqi lab access init"):
        Facility.open(tmp_path / "elsewhere")


def test_what_a_crash_began_is_finished(tmp_path: Path) -> None:
    from poliqi.lab.facility.database import Database

    Database(tmp_path / "lab", create=True).close()
    words = {"tenant": "x", "legal_name": "X", "login": "x", "name": "X"}
    with Facility.create(tmp_path / "lab", **words) as made:
        assert made.user("x").is_operator


def test_a_file_that_others_can_read_is_refused(world: World) -> None:
    (world.root / "facility.sqlite").chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        Facility.open(world.root)


def test_the_hour_that_exists_twice_is_two_hours(world: World) -> None:
    first, second = world.at("2026-10-25 02:00+02:00"), world.at("2026-10-25 02:00+01:00")
    ann, bob = world.users["ann"], world.users["bob"]
    world.facility.book("saxs", first, first + HOUR, by=ann)
    world.facility.book("saxs", second, second + HOUR, by=bob)
    refusal(Reason.OVERLAP, world.facility.book, "saxs", second - 60, second, by=bob)


def test_a_booking_over_the_lost_hour_is_an_hour_shorter(world: World) -> None:
    begin, end = world.at("2027-03-28 01:00"), world.at("2027-03-28 04:00")
    world.facility.people.add_training("ann", "saxs", date(2027, 12, 31), by=world.users["op"])
    assert world.facility.quote("saxs", begin, end, by=world.users["ann"]).net_cents == 2 * 10_001
