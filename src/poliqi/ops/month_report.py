"""The month report of a city, from its controller's log: for the command line and for the dashboard."""

from __future__ import annotations

from pathlib import Path

from poliqi.control.city import City
from poliqi.control.records import decode_record
from poliqi.control.servicelevel import MonthReport, month_ns, month_report
from poliqi.edge.controllog import read_month

__all__ = ["read_report"]


def read_report(state: Path, city: City, year: int, month: int, now_ns: int) -> MonthReport | None:
    """The report of a month (UTC), up to now; None where the log is silent. Raises ConfigError, StoreError."""
    lines = read_month(state, f"{year:04d}-{month:02d}")
    if not lines:
        return None
    before = f"{year - (month == 1):04d}-{(month - 2) % 12 + 1:02d}"
    records = [decode_record(line) for line in (*read_month(state, before), *lines)]
    start_ns, end_ns = month_ns(year, month)
    return month_report(records, city, start_ns, max(start_ns + 1, min(end_ns, now_ns)))
