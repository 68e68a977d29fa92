"""Bookings, quotes and invoices of one's own tenant, and for who runs the facility the month report."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote as quoted

from starlette.responses import Response

from poliqi.lab.facility.charging import Line, LineKind
from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.invoices import Invoice, InvoiceLine
from poliqi.lab.facility.localtime import Month, local_text
from poliqi.lab.facility.quotes import Quote
from poliqi.lab.facility.records import Booking, User
from poliqi.lab.facility.refusal import Reason, Refused
from poliqi.ops.lab_web.call import Call
from poliqi.ops.sae_web.taking import attachment
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.visit import json_answer, see

__all__ = [
    "accept",
    "bookings_json",
    "bookings_page",
    "cancel",
    "cancel_page",
    "invoice_json",
    "invoice_page",
    "invoices_json",
    "invoices_page",
    "quote_json",
    "quote_page",
    "quotes_json",
    "quotes_page",
    "report_csv",
    "report_page",
]

_AHEAD_S: Final = 366 * 86_400
_BACK_S: Final = 92 * 86_400
_QUOTES: Final = 200


def _facility(call: Call) -> tuple[Facility, User] | None:
    if call.room.facility is None or call.guest.member is None:
        return None
    return call.room.facility, call.guest.member


# ---- bookings


def _bookings(call: Call, facility: Facility, member: User) -> list[Booking]:
    now_s = int(call.pages.wall())
    return facility.bookings.between(now_s - _BACK_S, now_s + _AHEAD_S, member)


def bookings_page(call: Call) -> Response:
    """From three months ago to a year ahead; also what was cancelled."""
    known = _facility(call)
    if known is None:
        return call.missing()
    now_s = int(call.pages.wall())
    found = _bookings(call, *known)
    more: dict[str, Any] = {
        "coming": [b for b in found if b.end_s > now_s],
        "past": [b for b in reversed(found) if b.end_s <= now_s],
        "now_s": now_s,
        "subtab": "/lab/bookings",
        "json": "/api/lab/bookings",
    }
    return call.page("lab_bookings.html", call.say("lab.bookings"), **more)


def bookings_json(call: Call) -> Response:
    known = _facility(call)
    if known is None:
        return call.missing()
    return json_answer([_booking(booking) for booking in _bookings(call, *known)])


def _booking(b: Booking) -> dict[str, Any]:
    return {
        "id": b.id,
        "instrument": b.instrument,
        "tenant": b.tenant,
        "who": b.login,
        "begin": Speaker.stamp(b.begin_s),
        "end": Speaker.stamp(b.end_s),
        "title": b.title,
        "note": b.note,
        "cancelled": None if b.cancelled_s is None else Speaker.stamp(b.cancelled_s),
        "cancellation_charged": b.is_cancellation_charged,
    }


def _own(call: Call) -> tuple[Facility, User, Booking] | None:
    known = _facility(call)
    if known is None:
        return None
    facility, member = known
    try:
        return facility, member, facility.bookings.get(call.visit.names["booking"], member)
    except Refused:
        return None


def cancel_page(call: Call) -> Response:
    """Asks whether to cancel, and says what it costs."""
    found = _own(call)
    if found is None or found[2].cancelled_s is not None:
        return call.missing()
    facility, _, booking = found
    tariff = facility.tariffs.get(booking.tariff)
    is_late = int(call.pages.wall()) > booking.begin_s - tariff.notice_s
    question = call.say("lab.cancel_question", instrument=booking.instrument, begin=local_text(booking.begin_s))
    more = {"booking": booking, "is_late": is_late, "percent": tariff.late_percent}
    return call.page("lab_cancel.html", question, **more)


def cancel(call: Call) -> Response:
    """Frees its time."""
    found = _own(call)
    if found is None:
        return call.missing()
    facility, member, booking = found
    try:
        facility.cancel(booking.id, by=member, reason=call.visit.form.get("reason", ""))
    except Refused as error:
        return _refused(call, error)
    call.note("lab-cancel", booking.id)
    return see("/lab/bookings")


def _refused(call: Call, error: Refused) -> Response:
    if error.reason is Reason.UNKNOWN:
        return call.missing()
    return call.refused(error, call.say(f"lab_refused.{error.reason}"), HTTPStatus.CONFLICT)


# ---- quotes


def _quotes(facility: Facility, member: User) -> list[Quote]:
    """Of the own tenant, also for who runs the facility: whose quotes they are is said nowhere on the page."""
    return [quote for quote in facility.quotes.all(member) if quote.tenant == member.tenant][:_QUOTES]


def quotes_page(call: Call) -> Response:
    """The newest first, 200 of them."""
    known = _facility(call)
    if known is None:
        return call.missing()
    more: dict[str, Any] = {
        "quotes": _quotes(*known),
        "now_s": int(call.pages.wall()),
        "subtab": "/lab/quotes",
        "json": "/api/lab/quotes",
    }
    return call.page("lab_quotes.html", call.say("lab.quotes"), **more)


def quotes_json(call: Call) -> Response:
    known = _facility(call)
    if known is None:
        return call.missing()
    return json_answer([_quote_record(quote) for quote in _quotes(*known)])


def _quote(call: Call) -> tuple[Facility, User, Quote] | None:
    known = _facility(call)
    if known is None:
        return None
    facility, member = known
    try:
        return facility, member, facility.quotes.get(call.visit.names["quote"], member)
    except Refused:
        return None


def quote_page(call: Call) -> Response:
    """What a booking will cost, and the button that takes it."""
    found = _quote(call)
    if found is None:
        return call.missing()
    quote = found[2]
    more: dict[str, Any] = {
        "quote": quote,
        "lines": [(call.say(f"lab_line.{line.kind}"), line) for line in quote.lines],
        "is_over": int(call.pages.wall()) > quote.valid_until_s,
        "may_book": call.may_work,
        "subtab": "/lab/quotes",
        "json": f"/api/lab/quotes/{quote.id}",
    }
    return call.page("lab_quote.html", call.say("lab.quote"), **more)


def quote_json(call: Call) -> Response:
    found = _quote(call)
    if found is None:
        return call.missing()
    return json_answer(_quote_record(found[2]))


def _quote_record(q: Quote) -> dict[str, Any]:
    return {
        "id": q.id,
        "instrument": q.instrument,
        "tenant": q.tenant,
        "who": q.login,
        "begin": Speaker.stamp(q.begin_s),
        "end": Speaker.stamp(q.end_s),
        "net_cents": q.net_cents,
        "valid_until": Speaker.stamp(q.valid_until_s),
        "lines": [_line(line) for line in q.lines],
    }


def accept(call: Call) -> Response:
    """Makes a quote a booking."""
    found = _quote(call)
    if found is None:
        return call.missing()
    facility, member, quote = found
    try:
        facility.accept(quote.id, by=member, title=call.visit.form.get("title", ""))
    except Refused as error:
        return _refused(call, error)
    call.note("lab-book", quote.instrument)
    return see("/lab/bookings")


def _line(line: Line) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "seconds": line.seconds,
        "cents_per_hour": line.cents_per_hour,
        "percent": line.percent,
        "cents": line.cents,
    }


# ---- invoices


def invoices_page(call: Call) -> Response:
    """Pro forma, the newest first."""
    known = _facility(call)
    if known is None:
        return call.missing()
    facility, member = known
    more = {"invoices": facility.invoices(member), "subtab": "/lab/invoices", "json": "/api/lab/invoices"}
    return call.page("lab_invoices.html", call.say("lab.invoices"), **more)


def invoices_json(call: Call) -> Response:
    known = _facility(call)
    if known is None:
        return call.missing()
    facility, member = known
    return json_answer([_invoice(invoice) for invoice in facility.invoices(member)])


def _invoice(i: Invoice) -> dict[str, Any]:
    return {
        "number": i.number,
        "kind": i.kind,
        "label": i.label,
        "tenant": i.tenant,
        "month": str(i.month),
        "issued": Speaker.stamp(i.issued_s),
        "issuer": i.issuer,
        "legal_name": i.legal_name,
        "net_cents": i.net_cents,
        "vat_hundredths": i.vat_hundredths,
        "vat_cents": i.vat_cents,
        "gross_cents": i.gross_cents,
        "lines": [{"booking": line.booking, "text": line.text, **_line(line.line)} for line in i.lines],
    }


def _one_invoice(call: Call) -> Invoice | None:
    known = _facility(call)
    if known is None:
        return None
    facility, member = known
    try:
        return facility.invoicing.get(call.visit.names["invoice"], member)
    except Refused:
        return None


def invoice_page(call: Call) -> Response:
    """With its lines."""
    found = _one_invoice(call)
    if found is None:
        return call.missing()
    more: dict[str, Any] = {
        "invoice": found,
        "lines": [(_words(call, line), line.line) for line in found.lines],
        "subtab": "/lab/invoices",
        "json": f"/api/lab/invoices/{quoted(found.number, safe='')}",
    }
    return call.page("lab_invoice.html", found.number, **more)


def _words(call: Call, line: InvoiceLine) -> str:
    """What a line is for; what it says of a credit was written by a person and stays as it is."""
    if line.line.kind is LineKind.CREDIT:
        return line.text
    what = line.text.rpartition(": ")[0].replace(" to ", " – ")
    return f"{what}: {call.say(f'lab_line.{line.line.kind}')}"


def invoice_json(call: Call) -> Response:
    found = _one_invoice(call)
    return call.missing() if found is None else json_answer(_invoice(found))


# ---- for who runs the facility


def _month(call: Call) -> Month | None:
    text = call.visit.query.get("month", "")
    try:
        return Month.parse(text) if text else Month.of(int(call.pages.wall()))
    except Refused:
        return None


def report_page(call: Call) -> Response:
    """Use of every instrument by category, invoices of all tenants, co-funding."""
    known, month = _facility(call), _month(call)
    if known is None or month is None or not call.may_see_books:
        return call.missing()
    facility, member = known
    try:
        report = facility.report(month, member)
    except Refused as error:
        return _refused(call, error)
    months = month_before(month), month_after(month)
    more = {"report": report, "months": months, "subtab": "/lab/report", "json": f"/lab/report.csv?month={month}"}
    return call.page("lab_report.html", f"{call.say('lab.report')} {month}", **more)


def month_before(month: Month) -> Month:
    return Month(month.year - (month.month == 1), (month.month - 2) % 12 + 1)


def month_after(month: Month) -> Month:
    return Month(month.year + (month.month == 12), month.month % 12 + 1)


def report_csv(call: Call) -> Response:
    """The same as CSV, to be saved."""
    from poliqi.lab.facility.tables import month_table

    known, month = _facility(call), _month(call)
    if known is None or month is None or not call.may_see_books:
        return call.missing()
    facility, member = known
    try:
        report = facility.report(month, member)
    except Refused as error:
        return _refused(call, error)
    return Response(month_table(report), 200, attachment(f"report-{month}.csv"), "text/csv; charset=utf-8")
