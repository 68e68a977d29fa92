"""Every route of a laboratory's pages in one table: what it is for, what it asks of a person, who answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response

from poliqi.ops.lab_web import bills, calendar, dataset, files, listing, sending
from poliqi.ops.lab_web.call import Call, lab_row
from poliqi.ops.lab_web.room import LabRoom
from poliqi.ops.sae_web.annex import Annex
from poliqi.ops.web.roles import Permission
from poliqi.ops.web.route import Kind, RouteRow

__all__ = ["PACKAGE", "ROWS", "lab_annex"]

PACKAGE: Final = "poliqi.ops.lab_web"
_READ, _WORK, _BOOKS = Permission.LAB, Permission.LAB_WORK, Permission.LAB_BOOKS
_DATASET: Final = "/lab/datasets/{dataset}"
_TRANSFER: Final = "/lab/transfers/{transfer}"
_INSTRUMENT: Final = "/lab/instruments/{instrument}"
_Row = tuple[str, str, Kind, Permission, Callable[[Call], Response], str]

ROWS: Final[tuple[_Row, ...]] = (
    (
        "GET",
        "/lab",
        Kind.PAGE,
        _READ,
        listing.list_page,
        "datasets; `?q=` searches, `?kind=`, `?sample=`, `?page=`",
    ),
    ("GET", _DATASET, Kind.PAGE, _READ, dataset.dataset_page, "one dataset; `?files=` is a page of its files"),
    ("GET", f"{_DATASET}/files/{{number}}", Kind.PAGE, _READ, files.file, "a file, to be saved"),
    ("GET", f"{_DATASET}/figures/{{number}}", Kind.PAGE, _READ, files.figure, "a PNG or SVG, for `<img>`"),
    ("GET", f"{_DATASET}/receipts/{{action}}", Kind.PAGE, _READ, files.receipt, "a receipt as it was signed"),
    ("POST", f"{_DATASET}/send", Kind.FORM, _WORK, sending.send, "says what sending needs, then sends"),
    ("GET", _TRANSFER, Kind.PAGE, _READ, sending.transfer_page, "how a dataset is sent"),
    ("GET", f"{_TRANSFER}/stop", Kind.PAGE, _WORK, sending.stop_page, "asks whether to give it up"),
    ("POST", f"{_TRANSFER}/stop", Kind.FORM, _WORK, sending.stop, "gives it up"),
    ("GET", "/lab/instruments", Kind.PAGE, _READ, calendar.instruments_page, "instruments that can be booked"),
    ("GET", _INSTRUMENT, Kind.PAGE, _READ, calendar.instrument_page, "a week of one; `?week=2026-W48`"),
    ("POST", f"{_INSTRUMENT}/book", Kind.FORM, _WORK, calendar.book, "books, or makes a quote"),
    ("GET", "/lab/bookings", Kind.PAGE, _READ, bills.bookings_page, "bookings of the own tenant"),
    (
        "GET",
        "/lab/bookings/{booking}/cancel",
        Kind.PAGE,
        _WORK,
        bills.cancel_page,
        "says what cancelling costs, and asks",
    ),
    ("POST", "/lab/bookings/{booking}/cancel", Kind.FORM, _WORK, bills.cancel, "cancels a booking"),
    ("GET", "/lab/quotes", Kind.PAGE, _READ, bills.quotes_page, "quotes of the own tenant, the newest 200"),
    ("GET", "/lab/quotes/{quote}", Kind.PAGE, _READ, bills.quote_page, "what a booking will cost"),
    ("POST", "/lab/quotes/{quote}", Kind.FORM, _WORK, bills.accept, "makes a quote a booking"),
    ("GET", "/lab/invoices", Kind.PAGE, _READ, bills.invoices_page, "invoices of the own tenant, pro forma"),
    ("GET", "/lab/invoices/{invoice}", Kind.PAGE, _READ, bills.invoice_page, "one of them"),
    ("GET", "/lab/report", Kind.PAGE, _BOOKS, bills.report_page, "the month of the facility; `?month=2026-11`"),
    ("GET", "/lab/report.csv", Kind.PAGE, _BOOKS, bills.report_csv, "the same as CSV"),
    ("GET", "/api/lab/datasets", Kind.JSON, _READ, listing.list_json, "datasets, as `/lab` finds them"),
    ("GET", f"/api{_DATASET}", Kind.JSON, _READ, dataset.dataset_json, "one dataset with files and provenance"),
    (
        "GET",
        f"/api{_DATASET}/estimate",
        Kind.JSON,
        _READ,
        sending.estimate_json,
        "key that sending needs; `?peer=`, `?one_time=1`",
    ),
    ("POST", f"/api{_DATASET}/send", Kind.JSON, _WORK, sending.send_json, "sends a dataset"),
    ("GET", f"/api{_TRANSFER}", Kind.JSON, _READ, sending.transfer_json, "how a dataset is sent"),
    ("GET", "/api/lab/instruments", Kind.JSON, _READ, calendar.instruments_json, "instruments that can be booked"),
    (
        "GET",
        f"/api{_INSTRUMENT}",
        Kind.JSON,
        _READ,
        calendar.instrument_json,
        "one with the slots of a week; `?week=`",
    ),
    ("POST", f"/api{_INSTRUMENT}/book", Kind.JSON, _WORK, calendar.book_json, "books"),
    ("GET", "/api/lab/bookings", Kind.JSON, _READ, bills.bookings_json, "bookings of the own tenant"),
    ("GET", "/api/lab/quotes", Kind.JSON, _READ, bills.quotes_json, "quotes of the own tenant, the newest 200"),
    ("GET", "/api/lab/quotes/{quote}", Kind.JSON, _READ, bills.quote_json, "one quote"),
    ("GET", "/api/lab/invoices", Kind.JSON, _READ, bills.invoices_json, "invoices of the own tenant"),
    ("GET", "/api/lab/invoices/{invoice}", Kind.JSON, _READ, bills.invoice_json, "one of them"),
)


def lab_annex(room: LabRoom) -> Annex:
    """A laboratory's pages under the door of an application."""
    rows: tuple[RouteRow[Any], ...] = tuple(lab_row(room, *row) for row in ROWS)
    return Annex(
        package=PACKAGE,
        rows=rows,
        tabs=(("/lab", "lab.tab", Permission.LAB),),
        kinds={"lab.css": "text/css; charset=utf-8"},
        styles=("lab.css",),
        macros={"l": "lab_parts.html"},
        judge=room.judge,
    )
