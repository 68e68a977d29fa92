"""What hours of an instrument cost, for whom, from which day to which."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from poliqi.lab.facility.database import Database
from poliqi.lab.facility.localtime import day_of
from poliqi.lab.facility.money import MOST_CENTS, money
from poliqi.lab.facility.people import People
from poliqi.lab.facility.records import Category, Tariff, TariffId, User
from poliqi.lab.facility.refusal import Reason, Refused
from poliqi.lab.store.naming import new_id

__all__ = ["Tariffs"]

_MOST_PERCENT: Final = 1000
_TARIFF: Final = "SELECT t.*, EXISTS (SELECT 1 FROM tariff_withdrawn w WHERE w.tariff = t.id) FROM tariff t"


class Tariffs:
    """Prices with their days. None is ever changed: another begins, or one is withdrawn."""

    def __init__(self, database: Database, people: People) -> None:
        self._database: Final = database
        self._people: Final = people

    def all(self, instrument: str | None = None) -> list[Tariff]:
        """Also withdrawn ones, by instrument, category and first day."""
        where, values = ("", ()) if instrument is None else (" WHERE instrument = ?", (instrument,))
        return [_tariff(row) for row in self._database.read(f"{_TARIFF}{where} ORDER BY 2, 3, 4", values)]

    def get(self, tariff: str) -> Tariff:
        """Raises Refused where there is none."""
        for row in self._database.read(f"{_TARIFF} WHERE id = ?", (tariff,)):
            return _tariff(row)
        raise Refused(Reason.UNKNOWN, f"no tariff has the id {tariff[:40]!a}")

    def on(self, instrument: str, category: Category, begin_s: int) -> Tariff:
        """What counts on the day when a booking begins. Raises Refused where nothing does."""
        day = day_of(begin_s).isoformat()
        rows = self._database.read(
            f"{_TARIFF} WHERE instrument = ? AND category = ? AND first_day <= ? "  # noqa: S608 - a literal of ours
            "AND (last_day IS NULL OR last_day >= ?) "
            "AND NOT EXISTS (SELECT 1 FROM tariff_withdrawn w WHERE w.tariff = t.id) "
            "ORDER BY first_day DESC LIMIT 1",
            (instrument, category.value, day, day),
        )
        if not rows:
            raise Refused(
                Reason.NO_TARIFF,
                f"{instrument} has no tariff for the category {category.value} on {day}: an operator "
                "gives one with `poliqi lab access tariff add`",
            )
        return _tariff(rows[0])

    def add(
        self,
        instrument: str,
        category: Category,
        first_day: date,
        cents_per_hour: int,
        *,
        last_day: date | None = None,
        setup_cents: int = 0,
        minimum_cents: int = 0,
        notice_s: int = 86_400,
        late_percent: int = 50,
        no_show_percent: int = 100,
        unused_percent: int = 0,
        overrun_percent: int = 100,
        by: User,
    ) -> Tariff:
        """What an hour costs; see `Tariff` for the words. Bookings that stand keep their price."""
        operator = self._people.operator(by)
        made = Tariff(
            TariffId(new_id()),
            instrument,
            category,
            first_day,
            last_day,
            cents_per_hour,
            setup_cents,
            minimum_cents,
            notice_s,
            late_percent,
            no_show_percent,
            unused_percent,
            overrun_percent,
        )
        _check(made)
        with self._database.changing(operator.login) as change:
            if not change.run("SELECT 1 FROM instrument WHERE name = ?", (instrument,)):
                raise Refused(Reason.UNKNOWN, f"no instrument is called {instrument[:63]!a}")
            standing = next((t for t in self.all(instrument) if _same_place(t, made)), None)
            if standing is not None:
                raise Refused(
                    Reason.TAKEN_NAME,
                    f"{instrument} has a tariff for {category.value} from {first_day} already "
                    f"({standing.id}): withdraw that one first, or let this one begin on another day",
                )
            change.add("tariff", *_row(made))
            change.tell(
                "tariff added",
                tariff=made.id,
                instrument=instrument,
                category=category.value,
                first_day=first_day.isoformat(),
                last_day=None if last_day is None else last_day.isoformat(),
                cents_per_hour=cents_per_hour,
            )
        return made

    def withdraw(self, tariff: str, *, by: User) -> Tariff:
        """It counts for no further booking."""
        operator = self._people.operator(by)
        with self._database.changing(operator.login) as change:
            found = self.get(tariff)
            if not found.is_withdrawn:
                change.add("tariff_withdrawn", found.id, change.at_s)
                change.tell("tariff withdrawn", tariff=found.id)
        return self.get(tariff)


def _check(made: Tariff) -> None:
    for what, cents in (
        ("price of an hour", made.cents_per_hour),
        ("setup fee", made.setup_cents),
        ("minimum", made.minimum_cents),
    ):
        if not 0 <= cents <= MOST_CENTS // 10_000:
            raise Refused(Reason.BAD_VALUE, f"{what}: from 0 to {money(MOST_CENTS // 10_000)}, not {money(cents)}")
    for what, percent in (
        ("late cancellation", made.late_percent),
        ("no-show", made.no_show_percent),
        ("unused time", made.unused_percent),
        ("overrun", made.overrun_percent),
    ):
        if not 0 <= percent <= _MOST_PERCENT:
            raise Refused(Reason.BAD_VALUE, f"{what}: from 0 to {_MOST_PERCENT} %, not {percent}")
    if not 0 <= made.notice_s <= 366 * 86_400:
        raise Refused(Reason.BAD_VALUE, f"notice: from 0 to 366 days, not {made.notice_s / 3600:g} hours")
    if made.last_day is not None and made.last_day < made.first_day:
        raise Refused(Reason.BAD_VALUE, f"a tariff from {made.first_day} cannot end on {made.last_day}")


def _same_place(one: Tariff, other: Tariff) -> bool:
    return not one.is_withdrawn and (one.category, one.first_day) == (other.category, other.first_day)


def _row(t: Tariff) -> tuple[Any, ...]:
    last = None if t.last_day is None else t.last_day.isoformat()
    prices = (t.cents_per_hour, t.setup_cents, t.minimum_cents, t.notice_s)
    percents = (t.late_percent, t.no_show_percent, t.unused_percent, t.overrun_percent)
    return (t.id, t.instrument, t.category.value, t.first_day.isoformat(), last, *prices, *percents)


def _tariff(row: tuple[Any, ...]) -> Tariff:
    tariff, instrument, category, first, last, *numbers, is_withdrawn = row
    last_day = None if last is None else date.fromisoformat(last)
    return Tariff(
        tariff,
        instrument,
        Category(category),
        date.fromisoformat(first),
        last_day,
        *numbers,
        is_withdrawn=bool(is_withdrawn),
    )
