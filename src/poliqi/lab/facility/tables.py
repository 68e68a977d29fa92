"""The month report and invoices as CSV (RFC 4180), for spreadsheets.

Words of people are never a formula to a spreadsheet; our own numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from poliqi.base.csvcell import csv_cell
from poliqi.lab.facility.cofunding import sum_of
from poliqi.lab.facility.invoice import Invoice
from poliqi.lab.facility.localtime import local_text
from poliqi.lab.facility.money import share_text
from poliqi.lab.facility.report import MonthReport

__all__ = ["invoice_table", "month_table"]

_INVOICE_HEAD: Final = (
    "label", "number", "kind", "tenant", "legal_name", "month", "issued", "line", "text", "seconds", "eur_per_hour",
    "percent", "net_eur", "vat_percent",
)  # fmt: skip


class _Number(str):
    """Digits of our own making: no words of anybody."""

    __slots__ = ()


def _euro(cents: int) -> _Number:
    sign, size = ("-", -cents) if cents < 0 else ("", cents)
    return _Number(f"{sign}{size // 100}.{size % 100:02d}")


def _table(rows: Iterable[Sequence[str | int]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    for row in rows:
        writer.writerow([value if isinstance(value, (int, _Number)) else csv_cell(value) for value in row])
    return out.getvalue()


def month_table(report: MonthReport) -> str:
    """One figure a row: month, section, name, figure, value, unit."""
    rows: list[tuple[str, str, str, str | int, str]] = []
    for use in report.usages:
        for category, seconds in use.metered_s.items():
            rows.append(("use", use.instrument, f"metered {category.value}", seconds, "s"))
        for category, seconds in use.booked_s.items():
            rows.append(("use", use.instrument, f"booked {category.value}", seconds, "s"))
        rows.append(("use", use.instrument, "open", use.open_s, "s"))
        counts = (("bookings", use.bookings), ("no-shows", use.no_shows), ("cancelled", use.cancelled))
        rows += [("use", use.instrument, what, count, "1") for what, count in counts]
    for share in report.ancillary:
        used_s = share.commercial_s + share.research_s
        part = _Number(share_text(share.commercial_s, used_s).removesuffix(" %") if used_s else "")
        rows.append(("commercial since January", share.instrument, "research", share.research_s, "s"))
        rows.append(("commercial since January", share.instrument, "commercial", share.commercial_s, "s"))
        rows.append(("commercial since January", share.instrument, "share", part, "%"))
        rows.append(("commercial since January", share.instrument, "above threshold", int(share.is_over), "1"))
    for invoice in report.invoices:
        name = f"{invoice.label} {invoice.number}"
        rows.append(("invoices", name, "net", _euro(invoice.net_cents), "EUR"))
        rows.append(("invoices", name, "VAT", _euro(invoice.vat_cents), "EUR"))
    for account in [*report.accounts, sum_of(list(report.accounts))] if report.accounts else []:
        rows.append(("co-funding", account.name, "agreed", _euro(account.agreed_cents), "EUR"))
        rows.append(("co-funding", account.name, "eligible cost", _euro(account.eligible_cents), "EUR"))
        rows.append(("co-funding", account.name, "contribution", _euro(account.contributed_cents), "EUR"))
        rows.append(("co-funding", account.name, "own share", _euro(account.own_cents), "EUR"))
    if report.audit is not None:
        rows.append(("audit", "trail", "head", report.audit.text, "line:SHA-256"))
    head = ("month", "section", "name", "figure", "value", "unit")
    return _table([head, *((str(report.month), *row) for row in rows)])


def invoice_table(invoices: Iterable[Invoice]) -> str:
    """One line of an invoice a row; every row says that it is pro forma."""
    rows: list[tuple[str | int, ...]] = [_INVOICE_HEAD]
    for invoice in invoices:
        issued, vat = local_text(invoice.issued_s), _euro(invoice.vat_hundredths)
        named = (invoice.label, invoice.number, invoice.kind.value, invoice.tenant, invoice.legal_name)
        for place, item in enumerate(invoice.lines, 1):
            line = item.line
            numbers = (line.seconds, _euro(line.cents_per_hour), line.percent, _euro(line.cents), vat)
            rows.append((*named, str(invoice.month), issued, place, item.text, *numbers))
    return _table(rows)
