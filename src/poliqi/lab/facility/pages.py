"""The month report and an invoice as pages that stand alone: printable, dark and light, no script, escaped."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from poliqi.lab.facility.cofunding import sum_of
from poliqi.lab.facility.invoice import LABEL, Invoice
from poliqi.lab.facility.localtime import local_text
from poliqi.lab.facility.money import money, percent_text, share_text
from poliqi.lab.facility.report import MonthReport

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["clock_text", "hours_text", "invoice_page", "month_page"]


def hours_text(seconds: int) -> str:
    """Hours with two decimals, halves upwards."""
    hundredths = (seconds + 18) // 36
    return f"{hundredths // 100:,}.{hundredths % 100:02d}"


def clock_text(seconds: int) -> str:
    """`12:05:00`, exact."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("poliqi.lab.facility"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names: dict[str, Any] = {
        "money": money,
        "local": local_text,
        "hours": hours_text,
        "clock": clock_text,
        "percent": share_text,
        "rate": percent_text,
        "label": LABEL,
    }
    made.globals.update(names)  # pyright: ignore[reportUnknownMemberType] - jinja2 leaves its values open
    return made


def month_page(report: MonthReport) -> str:
    """HTML of a whole page."""
    threshold = percent_text(report.threshold_hundredths)
    words: dict[str, Any] = {"report": report, "threshold": threshold, "total": sum_of(list(report.accounts))}
    return _environment().get_template("month.html").render(words)


def invoice_page(invoice: Invoice) -> str:
    """HTML of a whole page."""
    return _environment().get_template("invoice.html").render(invoice=invoice)
