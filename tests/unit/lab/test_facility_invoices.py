"""The meter, charges, invoices, credit notes, the ledger, the audit trail."""

from __future__ import annotations

from collections.abc import Generator
from datetime import date
from pathlib import Path

import apsw
import pytest
from facility_rig import DAY, HOUR, START, World, make_world

from poliqi.base.errors import DataRefused
from poliqi.lab.facility.charging import LineKind, charge
from poliqi.lab.facility.cofunding import contribution, sum_of
from poliqi.lab.facility.invoice import Invoice
from poliqi.lab.facility.localtime import Month
from poliqi.lab.facility.records import Booking, BookingId, Category, Session, Tariff, TariffId
from poliqi.lab.facility.refusal import Reason, Refused

JUNE, JULY = Month(2026, 6), Month(2026, 7)
TARIFF = Tariff(TariffId("t"), "saxs", Category.COMPANY, date(2026, 1, 1), None, 9_000)


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


def due(sessions: list[tuple[int, int]], hours: int = 2, **rules: int) -> dict[str, int]:
    """Cents by kind of line, for a booking of the first `hours`."""
    tariff = Tariff(*(getattr(TARIFF, name) for name in TARIFF.__slots__[:6]), **rules)
    booking = Booking(BookingId("b"), "ann", "acme", "saxs", tariff.id, 0, hours * HOUR, "", "", None, None, 0)
    found = charge(booking, tariff, [Session(booking.id, "saxs", *each) for each in sessions])
    return {line.kind.value: line.cents for line in found}


def test_metered_time_is_charged_to_the_second() -> None:
    assert due([(0, HOUR)]) == {"use": 9000}
    assert due([(0, 1)]) == {"use": 3}  # 2.5
    assert due([(10, 40), (100, 101)]) == {"use": 78}  # 77.5


def test_overrun_and_unused_time_have_their_percentages() -> None:
    assert due([(HOUR, 3 * HOUR)], overrun_percent=150, unused_percent=40) == {
        "use": 9000,
        "overrun": 13_500,
        "unused": 3600,
    }
    assert due([(-HOUR, 2 * HOUR)], overrun_percent=0) == {"use": 18_000}


def test_minimum_and_setup() -> None:
    assert due([(0, 600)], minimum_cents=5000, setup_cents=200) == {"use": 1500, "minimum": 3500, "setup": 200}
    assert due([(0, HOUR)], minimum_cents=5000, setup_cents=200) == {"use": 9000, "setup": 200}


def test_a_no_show_pays_its_share_alone() -> None:
    assert due([], minimum_cents=99_999, setup_cents=200, no_show_percent=80) == {"no-show": 14_400}
    assert due([], no_show_percent=0) == {}


def issued(world: World) -> Invoice:
    """Two hours of acme, one and a second used; a booking of bolt."""
    ann = world.book("ann", 10, 2)
    world.book("bob", 14, 1)
    world.clock.now = JULY.begin_s
    world.meter(ann, ann.begin_s, HOUR + 1)
    return world.facility.invoicing.issue("acme", JUNE, by=world.users["op"])


def test_an_invoice_to_the_cent(world: World) -> None:
    invoice = issued(world)
    assert (invoice.net_cents, invoice.vat_cents, invoice.gross_cents) == (10_004, 2201, 12_205)  # 100.01 x 3601 s
    assert (invoice.number, invoice.label) == ("PF-acme-2026-0001", "PRO FORMA")
    assert world.facility.invoicing.get(invoice.number, world.users["amy"]) == invoice


def test_numbers_have_no_gaps_and_tell_nothing_of_others(world: World) -> None:
    first, op = issued(world), world.users["op"]
    issue, credit = world.facility.invoicing.issue, world.facility.invoicing.credit
    assert issue("bolt", JUNE, by=op).number == "PF-bolt-2026-0001"
    refusal(Reason.NOTHING_DUE, issue, "acme", JUNE, by=op)
    assert credit(first.number, "wrong hour", by=op).number == "PF-acme-2026-0002"
    assert issue("acme", JUNE, by=op).number == "PF-acme-2026-0003"
    assert world.facility.invoices(world.users["bob"])[0].number == "PF-bolt-2026-0001"
    assert len(world.facility.invoices(world.users["bob"])) == 1
    refusal(Reason.UNKNOWN, world.facility.invoicing.get, first.number, world.users["bob"])
    refusal(Reason.UNKNOWN, world.facility.invoicing.get, first.id, world.users["bob"])


def test_what_is_invoiced_is_metered_no_more_until_it_is_credited(world: World) -> None:
    invoice, op = issued(world), world.users["op"]
    booking = invoice.lines[0].booking
    assert booking is not None
    refusal(Reason.TOO_LATE, world.facility.meter.void, booking, by=op)
    world.facility.invoicing.credit(invoice.number, "the meter was wrong", by=op)
    world.facility.meter.void(booking, by=op)
    world.meter(world.facility.bookings.get(booking, op), START + 10 * HOUR, HOUR)
    again = world.facility.invoicing.issue("acme", JUNE, by=op)
    assert again.net_cents == 10_001
    assert sum(one.gross_cents for one in world.facility.invoices(world.users["ann"])) == again.gross_cents


def test_partial_credits_never_exceed_the_invoice(world: World) -> None:
    invoice, op, credit = issued(world), world.users["op"], world.facility.invoicing.credit
    refusal(Reason.BAD_VALUE, credit, invoice.number, "x", by=op, net_cents=invoice.net_cents + 1)
    refusal(Reason.BAD_VALUE, credit, invoice.number, "x", by=op, net_cents=0)
    notes = [credit(invoice.number, "part", by=op, net_cents=net) for net in (3333, 3333)]
    notes.append(credit(invoice.number, "rest", by=op))
    assert sum(note.net_cents for note in notes) == -invoice.net_cents
    assert sum(note.vat_cents for note in notes) == -invoice.vat_cents
    refusal(Reason.TOO_LATE, credit, invoice.number, "x", by=op)
    refusal(Reason.BAD_VALUE, credit, notes[0].number, "x", by=op)


def test_months_and_taxes_that_do_not_stand(world: World) -> None:
    op, issue = world.users["op"], world.facility.invoicing.issue
    world.book("ann", 10, 2)
    assert "ends on 2026-07-01 00:00" in refusal(Reason.WRONG_MONTH, issue, "acme", JUNE, by=op)
    refusal(Reason.NOTHING_DUE, issue, "acme", Month(2026, 5), by=op)
    refusal(Reason.WRONG_MONTH, world.facility.report, JULY, op)
    world.clock.now = JULY.begin_s
    refusal(Reason.NOT_ALLOWED, issue, "acme", JUNE, by=world.users["ann"])
    refusal(Reason.UNKNOWN, issue, "nobody", JUNE, by=op)


def test_no_tax_is_guessed(tmp_path: Path) -> None:
    from poliqi.lab.facility.facility import Facility

    made = Facility.create(
        tmp_path / "l", tenant="p", legal_name="P", login="o", name="O", now_s=lambda: JULY.begin_s
    )
    assert "--vat own=PERCENT" in refusal(Reason.NO_VAT, made.invoicing.issue, "p", JUNE, by=made.user("o"))
    made.close()


def test_a_late_cancellation_is_invoiced_in_the_month_of_the_cancellation(world: World) -> None:
    world.clock.now = JUNE.end_s - HOUR
    booking = world.facility.book("saxs", JULY.begin_s + HOUR, JULY.begin_s + 3 * HOUR, by=world.users["ann"])
    world.facility.cancel(booking.id, by=world.users["ann"])
    world.clock.now = JULY.begin_s
    invoice = world.facility.invoicing.issue("acme", JUNE, by=world.users["op"])
    assert [(item.line.kind, item.line.cents) for item in invoice.lines] == [(LineKind.CANCELLATION, 10_001)]


def test_what_ends_at_midnight_is_of_the_month_that_ends_then(world: World) -> None:
    op, begin = world.users["op"], JUNE.end_s - 4 * HOUR
    booking = world.facility.book("saxs", begin, JUNE.end_s, by=world.users["ann"])
    other = world.facility.book("saxs", JUNE.end_s, JUNE.end_s + 60, by=world.users["ann"])
    world.clock.now = JULY.end_s
    world.meter(booking, begin, 4 * HOUR)
    june = world.facility.invoicing.issue("acme", JUNE, by=op)
    assert {line.booking for line in june.lines} == {booking.id}
    assert {line.booking for line in world.facility.invoicing.draft("acme", JULY, by=op)} == {other.id}


def test_what_is_written_off_is_never_charged_again(world: World) -> None:
    invoice, op, invoicing = issued(world), world.users["op"], world.facility.invoicing
    invoicing.credit(invoice.number, "an hour", by=op, net_cents=1)
    note = invoicing.credit(invoice.number, "the tube failed", by=op, is_written_off=True)
    assert note.net_cents == 1 - invoice.net_cents
    refusal(Reason.NOTHING_DUE, invoicing.issue, "acme", JUNE, by=op)
    refusal(Reason.TOO_LATE, invoicing.credit, invoice.number, "again", by=op)
    assert '"is_written_off":true' in world.facility.audit(op)[-1].detail


def test_a_late_cancellation_is_waived_until_it_is_invoiced(world: World) -> None:
    op, cancel = world.users["op"], world.facility.bookings.cancel
    first, second = world.book("ann", 1, 1), world.book("ann", 3, 1)
    for booking in (first, second):
        assert cancel(booking.id, by=world.users["ann"]).is_cancellation_charged
    refusal(Reason.NOT_ALLOWED, cancel, first.id, by=world.users["ann"], is_waived=True, reason="please")
    assert not cancel(first.id, by=op, is_waived=True, reason="the lamp failed").is_cancellation_charged
    assert not cancel(
        first.id, by=op, is_waived=True, reason="the lamp failed"
    ).is_cancellation_charged  # once more
    assert [line.what for line in world.facility.audit(op)].count("waived") == 1
    world.clock.now = JULY.begin_s
    invoice = world.facility.invoicing.issue("acme", JUNE, by=op)
    assert [line.booking for line in invoice.lines] == [second.id]
    assert "invoiced" in refusal(Reason.TOO_LATE, cancel, second.id, by=op, is_waived=True, reason="too late")


def test_the_meter_refuses_what_cannot_be(world: World) -> None:
    op, meter = world.users["op"], world.facility.meter
    one, two = world.book("ann", 10, 1), world.book("bob", 11, 1)
    refusal(Reason.METER, meter.start, one.id, by=op, at_s=one.begin_s)  # still to come
    world.clock.now = START + 2 * DAY
    refusal(Reason.NOT_ALLOWED, meter.start, one.id, by=world.users["ann"])
    refusal(Reason.METER, meter.stop, one.id, by=op)
    refusal(Reason.METER, meter.start, one.id, by=op, at_s=one.end_s)
    meter.start(one.id, by=op, at_s=one.begin_s)
    refusal(Reason.METER, meter.start, one.id, by=op, at_s=one.begin_s + 5)
    assert "still running" in refusal(Reason.METER, meter.start, two.id, by=op, at_s=two.begin_s)
    refusal(Reason.METER, meter.stop, one.id, by=op, at_s=one.begin_s)  # no time at all, nor negative
    refusal(Reason.METER, meter.stop, one.id, by=op, at_s=one.begin_s - HOUR)
    refusal(Reason.METER, meter.stop, one.id, by=op, at_s=world.clock.now + HOUR)
    meter.stop(one.id, by=op, at_s=one.end_s + 600)
    refusal(Reason.METER, meter.start, two.id, by=op, at_s=two.begin_s)
    meter.start(two.id, by=op, at_s=two.begin_s + 600)
    world.clock.now = JULY.begin_s
    refusal(Reason.METER, world.facility.invoicing.issue, "bolt", JUNE, by=op)


def test_two_sessions_of_an_instrument_never_overlap(world: World) -> None:
    op, meter = world.users["op"], world.facility.meter
    one, two = world.book("ann", 10, 1), world.book("bob", 11, 1)
    world.clock.now = START + DAY
    world.meter(two, two.begin_s, 60)
    meter.start(one.id, by=op, at_s=one.begin_s)
    refusal(Reason.METER, meter.stop, one.id, by=op, at_s=two.begin_s + 30)
    meter.stop(one.id, by=op, at_s=two.begin_s)


def test_a_cancelled_booking_has_no_meter(world: World) -> None:
    booking = world.book("ann", 48, 1)
    world.facility.cancel(booking.id, by=world.users["ann"])
    refusal(Reason.METER, world.facility.meter.start, booking.id, by=world.users["op"])


def test_the_figures_of_the_agreement(world: World) -> None:
    op, ledger = world.users["op"], world.facility.ledger
    for number in range(1, 9):
        ledger.add_intervention(f"i{number}", f"Intervention {number}", 1_687_500_00, by=op)
    ledger.add_cost("i1", date(2024, 12, 31), "equipment", 4_000_000_00, by=op)
    ledger.add_cost("i1", date(2025, 1, 31), "work", 163_400_00, by=op)
    one = ledger.account("i1", op)
    assert (one.eligible_cents, one.contributed_cents, one.own_cents) == (4_163_400_00, 1_687_500_00, 2_475_900_00)
    assert (one.contributed_share, one.own_share) == ("40.53 %", "59.47 %")
    assert sum_of(ledger.accounts(op)).agreed_cents == 13_500_000_00


def test_the_contribution_is_capped_at_half_of_the_cost() -> None:
    assert contribution(1_687_500_00, 3_375_000_00, 5000) == 1_687_500_00
    assert contribution(1_687_500_00, 3_374_999_99, 5000) == 1_687_499_99
    assert contribution(1_687_500_00, 0, 5000) == 0
    assert contribution(1_000, 101, 5000) == 50


def test_a_cost_is_reversed_once_and_never_negative(world: World) -> None:
    op, ledger = world.users["op"], world.facility.ledger
    ledger.add_intervention("i", "I", 100, by=op)
    line = ledger.add_cost("i", date(2026, 1, 1), "a", 500, by=op)
    refusal(Reason.BAD_VALUE, ledger.add_cost, "i", date(2026, 1, 1), "b", -500, by=op)
    refusal(Reason.UNKNOWN, ledger.add_cost, "j", date(2026, 1, 1), "b", 500, by=op)
    back = ledger.reverse(line.id, "twice", by=op)
    refusal(Reason.TOO_LATE, ledger.reverse, line.id, "again", by=op)
    refusal(Reason.BAD_VALUE, ledger.reverse, back.id, "again", by=op)
    assert ledger.account("i", op).eligible_cents == 0
    refusal(Reason.NOT_ALLOWED, ledger.accounts, world.users["ann"])


def test_records_cannot_be_changed_in_the_file(world: World) -> None:
    issued(world)
    file = apsw.Connection(str(world.root / "facility.sqlite"))
    for table in ("booking", "invoice", "invoice_line", "meter", "audit", "tariff", "tenant", "user"):
        column = {"tenant": "address", "user": "name", "audit": "what", "meter": "at_s"}.get(table, "rowid")
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = 1"):
            with pytest.raises(apsw.ConstraintError, match="a record stays as it is"):
                file.execute(statement)
    with pytest.raises(apsw.ConstraintError, match="two bookings overlap"):
        file.execute("INSERT INTO occupied SELECT instrument, begin_s + 1, until_s, 'x' FROM occupied LIMIT 1")
    file.close()


def test_a_change_of_the_audit_is_seen(world: World) -> None:
    noted = world.facility.verify_audit()
    world.book("ann", 10, 1)
    assert world.facility.verify_audit(noted).seq == noted.seq + 1
    lines = world.facility.audit(world.users["op"], noted.seq)
    assert [(line.who, line.what) for line in lines] == [("ann", "booked")]
    refusal(Reason.NOT_ALLOWED, world.facility.audit, world.users["ann"])
    file = apsw.Connection(str(world.root / "facility.sqlite"))
    file.execute("DROP TRIGGER audit_no_update; UPDATE audit SET who = 'eve' WHERE seq = 3")
    with pytest.raises(DataRefused, match="line 3 does not continue the chain"):
        world.facility.verify_audit()
    file.execute("UPDATE audit SET who = 'op' WHERE seq = 3; DROP TRIGGER audit_no_delete")
    file.execute("DELETE FROM audit WHERE seq > 5")
    with pytest.raises(DataRefused, match="replaced or cut off"):
        world.facility.verify_audit(noted)
    file.close()
