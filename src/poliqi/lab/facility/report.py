"""The month report: use of every instrument, the commercial share, invoices, co-funding; for operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from poliqi.lab.facility.audit import AuditHead
from poliqi.lab.facility.cofunding import Account, Ledger
from poliqi.lab.facility.database import Database
from poliqi.lab.facility.instruments import Instruments
from poliqi.lab.facility.invoice import Invoice
from poliqi.lab.facility.invoices import Invoices
from poliqi.lab.facility.localtime import Month, local_text
from poliqi.lab.facility.people import People
from poliqi.lab.facility.records import User
from poliqi.lab.facility.refusal import Reason, Refused
from poliqi.lab.facility.settings import Settings
from poliqi.lab.facility.usage import Ancillary, Usage, Uses, ancillary_of

__all__ = ["MonthReport", "Reports"]


@dataclass(frozen=True, slots=True)
class MonthReport:
    """Of one moment. `ancillary`: co-funded instruments alone, from the year's beginning to the month's end."""

    month: Month
    issuer: str
    made_s: int
    is_over: bool
    """False where the month has not ended: figures may still grow."""
    usages: tuple[Usage, ...]
    ancillary: tuple[Ancillary, ...]
    threshold_hundredths: int
    invoices: tuple[Invoice, ...]
    accounts: tuple[Account, ...]
    audit: AuditHead | None


class Reports:
    """Makes them."""

    def __init__(
        self,
        database: Database,
        people: People,
        instruments: Instruments,
        invoices: Invoices,
        ledger: Ledger,
        settings: Settings,
    ) -> None:
        self._database: Final = database
        self._people: Final = people
        self._instruments: Final = instruments
        self._invoices: Final = invoices
        self._ledger: Final = ledger
        self._settings: Final = settings

    def month(self, month: Month, viewer: User) -> MonthReport:
        """Raises Refused for anybody but operators, and for a month that has not begun."""
        operator = self._people.operator(viewer)
        now_s = self._database.now_s()
        if month.begin_s > now_s:
            raise Refused(
                Reason.WRONG_MONTH, f"{month} begins on {local_text(month.begin_s)}: there is nothing to tell yet"
            )
        with self._database.looking():
            settings = self._settings.get()
            uses, all_ = Uses(self._database, self._instruments), self._instruments.all()
            head = self._database.read("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
            threshold = settings.ancillary_hundredths
            return MonthReport(
                month,
                settings.issuer,
                now_s,
                month.end_s <= now_s,
                tuple(uses.of(instrument, month.begin_s, month.end_s) for instrument in all_),
                tuple(
                    ancillary_of(usage, threshold)
                    for usage in (uses.of(each, month.year_begin_s, month.end_s) for each in all_)
                    if usage.is_cofunded
                ),
                threshold,
                tuple(reversed(self._invoices.all(operator, month))),
                tuple(self._ledger.accounts(operator)),
                AuditHead(*head[0]) if head else None,
            )
