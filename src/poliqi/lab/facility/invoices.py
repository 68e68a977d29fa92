"""Invoices, pro forma: one a month and tenant, never changed; what was wrong is credited and invoiced again.

Numbers count from 1 for each tenant and year, without gaps, credit notes among them: no tenant learns from its
numbers how much others are invoiced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from poliqi.lab.facility.bookings import BOOKING, booking_of
from poliqi.lab.facility.charging import Line, LineKind, charge, total
from poliqi.lab.facility.database import Change, Database
from poliqi.lab.facility.invoice import Invoice, InvoiceKind, InvoiceLine
from poliqi.lab.facility.localtime import Month, day_of, local_text
from poliqi.lab.facility.metering import Meter
from poliqi.lab.facility.money import money, vat_of
from poliqi.lab.facility.people import People
from poliqi.lab.facility.records import Booking, BookingId, User
from poliqi.lab.facility.refusal import Reason, Refused, checked_text
from poliqi.lab.facility.settings import Settings
from poliqi.lab.facility.tariffs import Tariffs
from poliqi.lab.store.naming import new_id

__all__ = ["Invoices"]

_WORDS: Final = {
    LineKind.USE: "use",
    LineKind.OVERRUN: "use outside the booked time",
    LineKind.UNUSED: "booked time not used",
    LineKind.MINIMUM: "up to the minimum",
    LineKind.SETUP: "setup",
    LineKind.NO_SHOW: "booked, not used",
    LineKind.CANCELLATION: "cancelled late",
}
_INVOICE: Final = "SELECT * FROM invoice"


class Invoices:
    """Draft, issue, credit, list."""

    def __init__(
        self, database: Database, people: People, tariffs: Tariffs, meter: Meter, settings: Settings
    ) -> None:
        self._database: Final = database
        self._people: Final = people
        self._tariffs: Final = tariffs
        self._meter: Final = meter
        self._settings: Final = settings

    def draft(self, tenant: str, month: Month, *, by: User) -> list[InvoiceLine]:
        """What an invoice would hold now; empty where nothing is due."""
        self._people.operator(by)
        with self._database.looking():
            self._people.tenant(tenant)
            return [line for _, lines in self._due(tenant, month) for line in lines]

    def issue(self, tenant: str, month: Month, *, by: User) -> Invoice:
        """Invoice every booking of a month that is not invoiced yet.

        A booking is of the month of its last second, or of the one in which it was cancelled.

        Raises Refused where the month has not ended, a meter still runs, no VAT rate is set or nothing is due.
        """
        operator = self._people.operator(by)
        with self._database.changing(operator.login) as change:
            if month.end_s > change.at_s:
                raise Refused(
                    Reason.WRONG_MONTH, f"{month} ends on {local_text(month.end_s)}: it is invoiced after that"
                )
            holder = self._people.tenant(tenant)
            vat_hundredths = self._settings.get().vat_for(holder.category)
            due = self._due(tenant, month)
            lines = [line for _, found in due for line in found]
            if not lines:
                raise Refused(Reason.NOTHING_DUE, f"nothing is left to invoice to {tenant} for {month}")
            net = total(line.line for line in lines)
            return self._put(
                change,
                InvoiceKind.INVOICE,
                (tenant, holder.legal_name, holder.address),
                month,
                vat_hundredths,
                net,
                vat_of(net, vat_hundredths),
                lines,
                billed=[booking for booking, _ in due],
            )

    def credit(
        self, invoice: str, reason: str, *, by: User, net_cents: int | None = None, is_written_off: bool = False
    ) -> Invoice:
        """A credit note: of `net_cents` and the tax on them, or of all that is left of an invoice.

        Where all is credited its bookings can be metered and are invoiced again, unless they are written off: then
        nothing is ever charged for them. Raises Refused beyond what is left.
        """
        operator = self._people.operator(by)
        reason = checked_text("reason", reason, 500)
        with self._database.changing(operator.login) as change:
            wrong = self.get(invoice, operator)
            if wrong.kind is not InvoiceKind.INVOICE:
                raise Refused(Reason.BAD_VALUE, f"{wrong.number} is a credit note: invoices are credited")
            notes = [self._invoice(row) for row in change.run(f"{_INVOICE} WHERE credits = ?", (wrong.id,))]
            net_left = wrong.net_cents + sum(note.net_cents for note in notes)
            vat_left = wrong.vat_cents + sum(note.vat_cents for note in notes)
            if notes and net_left == 0:
                raise Refused(Reason.TOO_LATE, f"all of {wrong.number} is credited already")
            net = net_left if net_cents is None else net_cents
            if net_cents is not None and not 0 < net <= net_left:
                raise Refused(
                    Reason.BAD_VALUE,
                    f"{money(net)} cannot be credited: {money(net_left)} are left of {wrong.number}",
                )
            vat = vat_left if net == net_left else min(vat_left, vat_of(net, wrong.vat_hundredths))
            text = InvoiceLine(None, f"credit of {wrong.number}: {reason}", Line(LineKind.CREDIT, 0, 0, 0, -net))
            if net == net_left and not is_written_off:
                change.remove("billed", "invoice = ?", wrong.id)
            return self._put(
                change,
                InvoiceKind.CREDIT_NOTE,
                (wrong.tenant, wrong.legal_name, wrong.address),
                wrong.month,
                wrong.vat_hundredths,
                -net,
                -vat,
                [text],
                credited=wrong.id,
                reason=reason,
                is_written_off=is_written_off,
            )

    def all(self, viewer: User, month: Month | None = None) -> list[Invoice]:
        """Of the viewer's tenant, for an operator all; the newest first; of what was done in `month` only."""
        seen = self._people.acting(viewer)
        with self._database.looking():
            rows = self._database.read(
                f"{_INVOICE} WHERE (? OR tenant = ?) AND (? IS NULL OR month = ?) "
                "ORDER BY issued_s DESC, tenant, year DESC, number DESC",
                (int(seen.is_operator), seen.tenant, None if month is None else "", str(month)),
            )
            return [self._invoice(row) for row in rows]

    def get(self, invoice: str, viewer: User) -> Invoice:
        """By id or number. Raises Refused, in the same words for what there is not and what is others'."""
        seen = self._people.acting(viewer)
        with self._database.looking():
            for row in self._database.read(
                f"{_INVOICE} WHERE id = ? OR printf('PF-%s-%d-%04d', tenant, year, number) = ?",
                (invoice, invoice),
            ):
                if seen.is_operator or row[1] == seen.tenant:
                    return self._invoice(row)
        raise Refused(Reason.UNKNOWN, f"no invoice has the number {invoice[:100]!a}")

    # -------------------------------------------------------------- within

    def _due(self, tenant: str, month: Month) -> list[tuple[BookingId, list[InvoiceLine]]]:
        now_s = self._database.now_s()
        rows = self._database.read(
            f"{BOOKING} WHERE b.tenant = ? "  # noqa: S608 - a literal of ours
            "AND coalesce(c.at_s, b.end_s - 1) >= ? AND coalesce(c.at_s, b.end_s - 1) < ? "
            "AND coalesce(c.at_s, b.end_s) <= ? AND NOT EXISTS (SELECT 1 FROM billed WHERE booking = b.id) "
            "ORDER BY b.begin_s, b.instrument, b.made_s",
            (tenant, month.begin_s, month.end_s, now_s),
        )
        due: list[tuple[BookingId, list[InvoiceLine]]] = []
        for row in rows:
            booking = booking_of(row)
            sessions = self._meter.sessions(booking.id)
            if any(session.stop_s is None for session in sessions):
                raise Refused(
                    Reason.METER,
                    f"the meter of booking {booking.id} ({booking.instrument}) still runs: stop it first",
                )
            lines = charge(booking, self._tariffs.get(booking.tariff), sessions)
            if lines:
                due.append((booking.id, [InvoiceLine(booking.id, _text(booking, line), line) for line in lines]))
        return due

    def _put(
        self,
        change: Change,
        kind: InvoiceKind,
        whom: tuple[str, str, str],
        month: Month,
        vat_hundredths: int,
        net: int,
        vat: int,
        lines: list[InvoiceLine],
        *,
        billed: Sequence[BookingId] = (),
        credited: str | None = None,
        reason: str = "",
        is_written_off: bool = False,
    ) -> Invoice:
        tenant, legal_name, address = whom
        year = day_of(change.at_s).year
        [(newest,)] = change.run(
            "SELECT coalesce(max(number), 0) FROM invoice WHERE tenant = ? AND year = ?", (tenant, year)
        )
        made = Invoice(
            new_id(),
            tenant,
            year,
            newest + 1,
            kind,
            month,
            change.at_s,
            legal_name,
            address,
            self._settings.get().issuer,
            vat_hundredths,
            net,
            vat,
            credited,
            reason,
            tuple(lines),
        )
        change.add(
            "invoice",
            made.id,
            tenant,
            year,
            made.sequence,
            kind.value,
            str(month),
            change.at_s,
            legal_name,
            address,
            made.issuer,
            vat_hundredths,
            net,
            vat,
            credited,
            reason,
        )
        for place, each in enumerate(lines, 1):
            line = each.line
            numbers = (line.seconds, line.cents_per_hour, line.percent, line.cents)
            change.add("invoice_line", made.id, place, each.booking, line.kind.value, each.text, *numbers)
        for booking in billed:
            change.add("billed", booking, made.id)
        sums = {"net_cents": net, "vat_cents": vat}
        change.tell(
            kind.value, invoice=made.id, number=made.number, **sums, credits=credited, is_written_off=is_written_off
        )
        return made

    def _invoice(self, row: tuple[Any, ...]) -> Invoice:
        invoice, tenant, year, number, kind, month, *others = row
        lines = tuple(
            InvoiceLine(booking, text, Line(LineKind(what), *numbers))
            for booking, what, text, *numbers in self._database.read(
                "SELECT booking, kind, text, seconds, cents_per_hour, percent, cents FROM invoice_line "
                "WHERE invoice = ? ORDER BY position",
                (invoice,),
            )
        )
        named = (invoice, tenant, year, number, InvoiceKind(kind), Month.parse(month))
        return Invoice(*named, *others, lines=lines)


def _text(booking: Booking, line: Line) -> str:
    when = f"{local_text(booking.begin_s)} to {local_text(booking.end_s)}"
    return f"{booking.instrument}, {when}: {_WORDS[line.kind]}"
