"""An invoice as it was issued: a value that stands for itself, whatever changes later."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from poliqi.lab.facility.charging import Line
from poliqi.lab.facility.localtime import Month
from poliqi.lab.facility.records import BookingId

__all__ = ["LABEL", "Invoice", "InvoiceKind", "InvoiceLine"]

LABEL: Final = "PRO FORMA"
"""Stands on everything that shows an invoice: it is none in the sense of tax law, the administration makes that."""


class InvoiceKind(StrEnum):
    """Which way the money goes."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit-note"


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A line, with the words that stand on it and the booking it is for."""

    booking: BookingId | None
    text: str
    line: Line


@dataclass(frozen=True, slots=True)
class Invoice:
    """As it was issued. Amounts of credit notes are negative."""

    id: str
    tenant: str
    year: int
    sequence: int
    kind: InvoiceKind
    month: Month
    issued_s: int
    legal_name: str
    address: str
    issuer: str
    vat_hundredths: int
    net_cents: int
    vat_cents: int
    credits: str | None
    reason: str
    lines: tuple[InvoiceLine, ...]
    label: str = LABEL

    @property
    def number(self) -> str:
        """`PF-TENANT-2026-0001`."""
        return f"PF-{self.tenant}-{self.year}-{self.sequence:04d}"

    @property
    def gross_cents(self) -> int:
        return self.net_cents + self.vat_cents
