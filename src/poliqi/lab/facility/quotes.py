"""Quotes: what a booking will cost, said before the work and kept until a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from poliqi.lab.facility.bookings import check_time
from poliqi.lab.facility.charging import Line, quoted, total
from poliqi.lab.facility.database import Database
from poliqi.lab.facility.instruments import Instruments
from poliqi.lab.facility.people import People
from poliqi.lab.facility.records import Tariff, User
from poliqi.lab.facility.refusal import Reason, Refused
from poliqi.lab.facility.tariffs import Tariffs
from poliqi.lab.store.naming import new_id

__all__ = ["Quote", "Quotes"]

_LONGEST_DAYS: Final = 366


@dataclass(frozen=True, slots=True)
class Quote:
    """An offer. It fixes the prices, not the time: that is taken when the quote becomes a booking.

    `net_cents` is due where the time is used as it is booked; an invoice follows the meter at the same prices.
    """

    id: str
    login: str
    tenant: str
    instrument: str
    tariff: Tariff
    begin_s: int
    end_s: int
    net_cents: int
    made_s: int
    valid_until_s: int

    @property
    def lines(self) -> tuple[Line, ...]:
        return quoted(self.tariff, self.end_s - self.begin_s)


class Quotes:
    """Ask for one, find one; `Bookings.accept` makes it a booking."""

    def __init__(self, database: Database, people: People, instruments: Instruments, tariffs: Tariffs) -> None:
        self._database: Final = database
        self._people: Final = people
        self._instruments: Final = instruments
        self._tariffs: Final = tariffs

    def quote(
        self, instrument: str, begin_s: int, end_s: int, *, by: User, login: str | None = None, valid_days: int = 14
    ) -> Quote:
        """For `by`, or for `login` where an operator asks."""
        if not 1 <= valid_days <= _LONGEST_DAYS:
            raise Refused(Reason.BAD_VALUE, f"a quote is valid for 1 to {_LONGEST_DAYS} days, not {valid_days}")
        with self._database.changing(by.login) as change:
            holder = self._people.acting(by)
            if login is not None and login != holder.login:
                self._people.operator(by)
                holder = self._people.acting(self._people.user(login))
            check_time(self._instruments.get(instrument), begin_s, end_s, change.at_s)
            tariff = self._tariffs.on(instrument, self._people.tenant(holder.tenant).category, begin_s)
            net = total(quoted(tariff, end_s - begin_s))
            until_s = change.at_s + valid_days * 86_400
            made = Quote(
                new_id(),
                holder.login,
                holder.tenant,
                instrument,
                tariff,
                begin_s,
                end_s,
                net,
                change.at_s,
                until_s,
            )
            names = (made.id, made.login, made.tenant, instrument, tariff.id)
            change.add("quote", *names, begin_s, end_s, net, change.at_s, until_s)
            change.tell("quoted", quote=made.id, login=made.login, instrument=instrument, net_cents=net)
        return made

    def all(self, viewer: User) -> list[Quote]:
        """Of the viewer's tenant, for an operator all; the newest first."""
        seen = self._people.acting(viewer)
        rows = self._database.read(
            "SELECT * FROM quote WHERE ? OR tenant = ? ORDER BY made_s DESC, id",
            (int(seen.is_operator), seen.tenant),
        )
        return [self._quote(row) for row in rows]

    def get(self, quote: str, viewer: User) -> Quote:
        """Raises Refused, in the same words for what there is not and what is others'."""
        seen = self._people.acting(viewer)
        for row in self._database.read("SELECT * FROM quote WHERE id = ?", (quote,)):
            if seen.is_operator or row[2] == seen.tenant:
                return self._quote(row)
        raise Refused(Reason.UNKNOWN, f"no quote has the id {quote[:40]!a}")

    def _quote(self, row: tuple[Any, ...]) -> Quote:
        quote, login, tenant, instrument, tariff, *numbers = row
        return Quote(quote, login, tenant, instrument, self._tariffs.get(tariff), *numbers)
