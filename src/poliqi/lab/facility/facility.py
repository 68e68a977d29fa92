"""A facility: the face of everything behind `ROOT/facility.sqlite`.

Everything is done by somebody (`by`) and shown to somebody (`viewer`), a `User`; their rights are looked up anew
each time. What the common ways need stands here; `people`, `instruments`, `tariffs`, `meter`, `invoicing`, `ledger`
and
`settings` hold the rest. Refusals are raised as `Refused`, with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.lab.facility.audit import AuditHead, AuditLine, verified
from poliqi.lab.facility.bookings import Bookings
from poliqi.lab.facility.calendar import Calendar
from poliqi.lab.facility.cofunding import Ledger
from poliqi.lab.facility.database import Database
from poliqi.lab.facility.instruments import Instruments
from poliqi.lab.facility.invoice import Invoice
from poliqi.lab.facility.invoices import Invoices
from poliqi.lab.facility.localtime import Month
from poliqi.lab.facility.metering import Meter
from poliqi.lab.facility.people import People
from poliqi.lab.facility.quotes import Quote, Quotes
from poliqi.lab.facility.records import Booking, Slot, User
from poliqi.lab.facility.replay import Told
from poliqi.lab.facility.report import MonthReport, Reports
from poliqi.lab.facility.settings import Settings
from poliqi.lab.facility.tariffs import Tariffs
from poliqi.lab.store.settings import FILE_NAME, read_settings

__all__ = ["Facility"]


class Facility:
    """An open facility; threads may share one, processes open their own. Raises StoreError and Refused."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database
        self.people: Final = People(database)
        self.settings: Final = Settings(database, self.people)
        self.instruments: Final = Instruments(database, self.people)
        self.tariffs: Final = Tariffs(database, self.people)
        self.bookings: Final = Bookings(database, self.people, self.instruments, self.tariffs)
        self.quotes: Final = Quotes(database, self.people, self.instruments, self.tariffs)
        self.meter: Final = Meter(database, self.people, self.bookings)
        self.invoicing: Final = Invoices(database, self.people, self.tariffs, self.meter, self.settings)
        self.ledger: Final = Ledger(database, self.people)
        self._calendar: Final = Calendar(database, self.people, self.instruments)
        self._reports: Final = Reports(
            database, self.people, self.instruments, self.invoicing, self.ledger, self.settings
        )

    @classmethod
    def create(
        cls,
        root: Path,
        *,
        tenant: str,
        legal_name: str,
        login: str,
        name: str,
        address: str = "",
        now_s: Callable[[], int] | None = None,
    ) -> Facility:
        """A new facility of the institute `tenant`, with its first operator `login`.

        Raises ConfigError where a store stands there whose own tenant is another: people of `tenant` would see
        nothing of it.
        """
        if (root / FILE_NAME).is_file():
            own = read_settings(root / FILE_NAME).tenant
            if own != tenant:
                raise ConfigError(
                    f"{root} is a store whose own tenant is {own}, the facility would be of {tenant[:40]!a}: they "
                    f"must be the same. Give --tenant {own}, or make another store with --tenant {tenant[:40]}"
                )
        made = cls(Database(root, create=True, now_s=now_s))
        try:
            made.people.found(tenant, legal_name, address, login, name)
        except BaseException:
            made.close()
            raise
        return made

    @classmethod
    def open(cls, root: Path, *, now_s: Callable[[], int] | None = None, vfs: str | None = None) -> Facility:
        """The facility in `root`. `now_s` is the clock, `vfs` another file layer of SQLite: both for tests."""
        return cls(Database(root, now_s=now_s, vfs=vfs))

    def close(self) -> None:
        """Let go of its file."""
        self._database.close()

    def __enter__(self) -> Facility:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -------------------------------------------------------------- people

    def user(self, login: str) -> User:
        """Raises Refused (Reason.UNKNOWN) where nobody has this login."""
        return self.people.user(login)

    # -------------------------------------------------------------- time

    def calendar(self, instrument: str, from_s: int, to_s: int, viewer: User) -> list[Slot]:
        """What is booked, busy or closed in [from_s, to_s), as far as the viewer may know."""
        return self._calendar.slots(instrument, from_s, to_s, viewer)

    def book(
        self,
        instrument: str,
        begin_s: int,
        end_s: int,
        *,
        by: User,
        login: str | None = None,
        title: str = "",
        note: str = "",
        request: str | None = None,
    ) -> Booking:
        """Time at an instrument; a `request` that is sent again gives the same booking."""
        return self.bookings.book(
            instrument, begin_s, end_s, by=by, login=login, title=title, note=note, request=request
        )

    def cancel(self, booking: str, *, by: User, reason: str = "") -> Booking:
        """Free its time; `Booking.is_cancellation_charged` says whether the notice had passed."""
        return self.bookings.cancel(booking, by=by, reason=reason)

    def change(self, booking: str, begin_s: int, end_s: int, *, by: User, request: str | None = None) -> Booking:
        """Other times: a further booking in its place, or nothing happens."""
        return self.bookings.change(booking, begin_s, end_s, by=by, request=request)

    def quote(self, instrument: str, begin_s: int, end_s: int, *, by: User, login: str | None = None) -> Quote:
        """What it will cost; `accept` takes it."""
        return self.quotes.quote(instrument, begin_s, end_s, by=by, login=login)

    def accept(
        self, quote: str, *, by: User, title: str = "", note: str = "", request: str | None = None
    ) -> Booking:
        """The booking that a quote offers, at its prices."""
        return self.bookings.accept(quote, by=by, title=title, note=note, request=request)

    # -------------------------------------------------------------- what was done

    def invoices(self, viewer: User) -> list[Invoice]:
        """Of the viewer's tenant, for an operator all; the newest first. All are pro forma (`Invoice.label`)."""
        return self.invoicing.all(viewer)

    def report(self, month: Month, viewer: User) -> MonthReport:
        """For operators alone: it names every tenant."""
        return self._reports.month(month, viewer)

    def audit(self, viewer: User, since: int = 0) -> list[AuditLine]:
        """Who did what, after a number; for operators."""
        self.people.operator(viewer)
        rows = self._database.read(
            "SELECT seq, at_s, who, what, detail FROM audit WHERE seq > ? ORDER BY seq", (since,)
        )
        return [AuditLine(*row) for row in rows]

    def verify_audit(self, noted: AuditHead | None = None) -> AuditHead:
        """Walk the whole trail and hold it against every record. Raises DataRefused at the first line that was
        changed, taken out or cut off, and at the first record that is not what the trail says.
        """
        with self._database.looking():
            told = Told()
            head = verified(self._database.read("SELECT * FROM audit ORDER BY seq"), noted, told.take)
            told.compare(self._database.read)
            return head
