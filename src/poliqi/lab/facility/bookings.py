"""Bookings: made whole or not at all, never two at a time, once for each request however often it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from poliqi.lab.facility.database import Change, Database
from poliqi.lab.facility.instruments import Instruments
from poliqi.lab.facility.localtime import local_text
from poliqi.lab.facility.people import People
from poliqi.lab.facility.records import Booking, BookingId, Instrument, Tariff, User
from poliqi.lab.facility.refusal import Reason, Refused, checked_text
from poliqi.lab.facility.tariffs import Tariffs
from poliqi.lab.store.naming import new_id

__all__ = ["BOOKING", "Bookings", "booking_of", "check_time"]

BOOKING: Final = (
    "SELECT b.id, b.login, b.tenant, b.instrument, b.tariff, b.begin_s, b.end_s, b.title, b.note, b.quote, "
    "b.replaces, b.made_s, c.at_s, coalesce(c.is_charged, 0) AND w.booking IS NULL "
    "FROM booking b LEFT JOIN cancellation c ON c.booking = b.id LEFT JOIN waiver w ON w.booking = b.id"
)
_OF_REQUESTS: Final = (
    "WITH RECURSIVE mine(id) AS (SELECT id FROM booking WHERE login = ? AND substr(request, 1, ?) = ? "
    "UNION SELECT n.id FROM booking n JOIN mine ON n.replaces = mine.id) SELECT id FROM mine"
)
_LAST_S: Final = 7_258_118_400  # the year 2200


def check_time(instrument: Instrument, begin_s: int, end_s: int, now_s: int) -> None:
    """Raises Refused where nobody may book that, whoever asks."""
    if not 0 <= begin_s < end_s <= _LAST_S:
        raise Refused(
            Reason.BAD_TIME,
            f"a booking of {(end_s - begin_s) / 3600:g} hours: it ends after it begins, and before 2200",
        )
    if begin_s < now_s:
        raise Refused(Reason.BAD_TIME, f"{local_text(begin_s)} has passed: it is {local_text(now_s)}")
    long_s = end_s - begin_s
    if long_s < instrument.shortest_s:
        raise Refused(
            Reason.TOO_SHORT,
            f"{instrument.name} is booked for {instrument.shortest_s / 60:g} minutes at least, not {long_s / 60:g}",
        )
    if long_s > instrument.longest_s:
        raise Refused(
            Reason.TOO_LONG,
            f"{instrument.name} is booked for {instrument.longest_s / 3600:g} hours at most, not {long_s / 3600:g}",
        )
    if not instrument.opening.covers(begin_s, end_s):
        raise Refused(
            Reason.CLOSED,
            f"{instrument.name} is open {instrument.opening.text}: not all of {local_text(begin_s)} "
            f"to {local_text(end_s)}",
        )


def booking_of(row: tuple[Any, ...]) -> Booking:
    """From a row that `BOOKING` selects."""
    *fields, is_charged = row
    return Booking(*fields, is_cancellation_charged=bool(is_charged))


class Bookings:
    """Book, cancel, change, find."""

    def __init__(self, database: Database, people: People, instruments: Instruments, tariffs: Tariffs) -> None:
        self._database: Final = database
        self._people: Final = people
        self._instruments: Final = instruments
        self._tariffs: Final = tariffs

    def get(self, booking: str, viewer: User) -> Booking:
        """Of the viewer's tenant; an operator sees all. Raises Refused, in the same words for what there is not and
        what is others'.
        """
        seen = self._people.acting(viewer)
        for row in self._database.read(f"{BOOKING} WHERE b.id = ?", (booking,)):
            found = booking_of(row)
            if seen.is_operator or found.tenant == seen.tenant:
                return found
        raise Refused(Reason.UNKNOWN, f"no booking has the id {booking[:40]!a}")

    def between(self, from_s: int, to_s: int, viewer: User, instrument: str | None = None) -> list[Booking]:
        """What overlaps [from_s, to_s), also where cancelled, of the viewer's tenant or for an operator all."""
        seen = self._people.acting(viewer)
        rows = self._database.read(
            f"{BOOKING} WHERE b.end_s > ? AND b.begin_s < ? AND (? OR b.tenant = ?) "
            "AND (? IS NULL OR b.instrument = ?) ORDER BY b.begin_s, b.instrument, b.made_s",
            (from_s, to_s, int(seen.is_operator), seen.tenant, instrument, instrument),
        )
        return [booking_of(row) for row in rows]

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
        """Time for `by`, or for `login` where an operator asks. The same `request` again gives the same booking."""
        title, note = _checked_words(title, note, request)
        with self._database.changing(by.login) as change:
            holder = self._holder(by, login)
            standing = self._of_request(change, holder, request)
            if standing is not None:
                return _same(standing, (instrument, begin_s, end_s, title, note, None, None), request)
            category = self._people.tenant(holder.tenant).category
            found = self._instruments.get(instrument)
            check_time(found, begin_s, end_s, change.at_s)
            tariff = self._tariffs.on(instrument, category, begin_s)
            return self._put(change, holder, found, tariff, begin_s, end_s, title, note, request=request)

    def accept(
        self, quote: str, *, by: User, title: str = "", note: str = "", request: str | None = None
    ) -> Booking:
        """The booking that a quote offers, at its prices. Raises Refused where the time was taken meanwhile."""
        words = _checked_words(title, note, request)
        with self._database.changing(by.login) as change:
            return self._accept(change, quote, request, by, words)

    def accept_all(
        self, quotes: Sequence[str], *, by: User, title: str = "", note: str = "", request: str | None = None
    ) -> list[Booking]:
        """The bookings that several quotes offer, in one change: all of them, or none where one is Refused.

        The request of each is `request` with its number behind; other quotes under the same one are Refused.
        """
        requests = [None if request is None else f"{request} {at}" for at in range(len(quotes))]
        words = _checked_words(title, note, requests[-1] if requests else None)
        with self._database.changing(by.login) as change:
            return [self._accept(change, *one, by, words) for one in zip(quotes, requests, strict=True)]

    def of_requests(self, beginning: str, *, by: User, login: str | None = None) -> list[Booking]:
        """The bookings of `by`, or of `login`, whose request begins so, and what replaced them, in order of time;
        also cancelled ones.
        """
        holder = login or by.login
        self._may_act_for(by, holder)
        rows = self._database.read(
            f"{BOOKING} WHERE b.id IN ({_OF_REQUESTS}) ORDER BY b.begin_s, b.instrument",
            (holder, len(beginning), beginning),
        )
        return [booking_of(row) for row in rows]

    def cancel(self, booking: str, *, by: User, reason: str = "", is_waived: bool = False) -> Booking:
        """Free its time. Charged where its tariff's notice has passed, unless an operator waives that, with a
        reason; that can be done later too, until it is invoiced.
        """
        reason = checked_text("reason", reason, 500, is_needed=is_waived)
        with self._database.changing(by.login) as change:
            found = self.get(booking, by)
            self._may_act_for(by, found.login)  # also where that person has left
            if is_waived:
                self._people.operator(by)
            if found.cancelled_s is not None:
                if is_waived and found.is_cancellation_charged:
                    self._waive(change, found, reason)
                return self.get(booking, by)
            is_late = self._is_late(change, found)
            self._release(change, found, is_charged=is_late and not is_waived, reason=reason)
            return self.get(booking, by)

    def change(self, booking: str, begin_s: int, end_s: int, *, by: User, request: str | None = None) -> Booking:
        """Other times for a booking: it is cancelled and another made, at the tariff of today, or nothing happens.

        The cancellation is charged by the rule of `cancel`, unless the new time covers all of the old.
        """
        _checked_words("", "", request)
        with self._database.changing(by.login) as change:
            old = self.get(booking, by)
            holder = self._holder(by, old.login)
            standing = self._of_request(change, holder, request)
            if standing is not None:
                asked = (old.instrument, begin_s, end_s, old.title, old.note, None, old.id)
                return _same(standing, asked, request)
            if old.cancelled_s is not None:
                raise Refused(
                    Reason.TOO_LATE,
                    f"booking {booking} was cancelled on {local_text(old.cancelled_s)}: make another",
                )
            is_late = self._is_late(change, old)
            found = self._instruments.get(old.instrument)
            check_time(found, begin_s, end_s, change.at_s)
            tariff = self._tariffs.on(old.instrument, self._people.tenant(holder.tenant).category, begin_s)
            is_covered = begin_s <= old.begin_s and old.end_s <= end_s
            self._release(change, old, is_charged=is_late and not is_covered, reason="changed")
            words = (old.title, old.note)
            return self._put(
                change, holder, found, tariff, begin_s, end_s, *words, request=request, replaces=old.id
            )

    # -------------------------------------------------------------- inside a transaction

    def _accept(self, change: Change, quote: str, request: str | None, by: User, words: tuple[str, str]) -> Booking:
        acting = self._people.acting(by)
        rows = change.run("SELECT * FROM quote WHERE id = ?", (quote,))
        if not rows or not (acting.is_operator or rows[0][2] == acting.tenant):
            raise Refused(Reason.UNKNOWN, f"no quote has the id {quote[:40]!a}")
        _, login, _, instrument, tariff, begin_s, end_s, _, _, valid_until_s = rows[0]
        holder = self._holder(by, login)
        standing = self._of_request(change, holder, request)
        if standing is not None:
            return _same(standing, (instrument, begin_s, end_s, *words, quote, None), request)
        if change.at_s > valid_until_s:
            raise Refused(
                Reason.QUOTE_OVER, f"quote {quote} was valid until {local_text(valid_until_s)}: ask for another"
            )
        if change.run("SELECT 1 FROM booking WHERE quote = ?", (quote,)):
            raise Refused(Reason.QUOTE_OVER, f"quote {quote} has become a booking already")
        found = self._instruments.get(instrument)
        check_time(found, begin_s, end_s, change.at_s)
        at = self._tariffs.get(tariff)
        return self._put(change, holder, found, at, begin_s, end_s, *words, request=request, quote=quote)

    def _holder(self, by: User, login: str | None) -> User:
        """Whose booking it is: of the person who asks, or for an operator anybody's."""
        acting = self._may_act_for(by, login or by.login)
        return acting if login in (None, acting.login) else self._people.acting(self._people.user(login))

    def _may_act_for(self, by: User, login: str) -> User:
        acting = self._people.acting(by)
        if login != acting.login and not acting.is_operator:
            raise Refused(Reason.NOT_ALLOWED, f"{acting.login} is no operator: only for oneself")
        return acting

    def _of_request(self, change: Change, holder: User, request: str | None) -> Booking | None:
        if request is None:
            return None
        rows = change.run(f"{BOOKING} WHERE b.login = ? AND b.request = ?", (holder.login, request))
        return booking_of(rows[0]) if rows else None

    def _put(
        self,
        change: Change,
        holder: User,
        instrument: Instrument,
        tariff: Tariff,
        begin_s: int,
        end_s: int,
        title: str,
        note: str,
        *,
        request: str | None,
        quote: str | None = None,
        replaces: BookingId | None = None,
    ) -> Booking:
        if instrument.needs_training:
            self._people.check_training(holder.login, instrument.name, end_s)
        until_s = end_s + instrument.buffer_s
        taken = change.run(
            "SELECT begin_s, until_s FROM occupied WHERE instrument = ? AND begin_s < ? "
            "ORDER BY begin_s DESC LIMIT 1",
            (instrument.name, until_s),
        )
        if taken and taken[0][1] > begin_s:
            raise Refused(
                Reason.OVERLAP,
                f"{instrument.name} is taken within {local_text(begin_s)} to {local_text(until_s)}: look at its "
                "calendar",
            )
        made = BookingId(new_id())
        names = (made, holder.login, holder.tenant, instrument.name, tariff.id)
        change.add("booking", *names, begin_s, end_s, title, note, quote, replaces, change.at_s, request)
        change.add("occupied", instrument.name, begin_s, until_s, made)
        change.tell(
            "booked",
            booking=made,
            login=holder.login,
            instrument=instrument.name,
            begin_s=begin_s,
            end_s=end_s,
            tariff=tariff.id,
            quote=quote,
            replaces=replaces,
        )
        return Booking(*names, begin_s, end_s, title, note, quote, replaces, change.at_s)

    def _is_late(self, change: Change, booking: Booking) -> bool:
        """Whether the notice has passed. Raises Refused where the booking has begun."""
        if change.run("SELECT 1 FROM session WHERE booking = ?", (booking.id,)) or booking.begin_s <= change.at_s:
            raise Refused(
                Reason.TOO_LATE,
                f"booking {booking.id} has begun on {local_text(booking.begin_s)}: it cannot be taken back",
            )
        return change.at_s > booking.begin_s - self._tariffs.get(booking.tariff).notice_s

    def _release(self, change: Change, booking: Booking, *, is_charged: bool, reason: str) -> None:
        change.add("cancellation", booking.id, change.at_s, int(is_charged), reason)
        change.remove("occupied", "booking = ?", booking.id)
        change.tell("cancelled", booking=booking.id, is_charged=is_charged, reason=reason)

    def _waive(self, change: Change, booking: Booking, reason: str) -> None:
        if change.run("SELECT 1 FROM billed WHERE booking = ?", (booking.id,)):
            raise Refused(
                Reason.TOO_LATE,
                f"the late cancellation of {booking.id} is invoiced already: credit it, nothing is waived any more",
            )
        change.add("waiver", booking.id, change.at_s, reason)
        change.tell("waived", booking=booking.id, reason=reason)


def _checked_words(title: str, note: str, request: str | None) -> tuple[str, str]:
    if request is not None and not (1 <= len(request) <= 64 and request.isascii() and request.isprintable()):
        raise Refused(Reason.BAD_VALUE, "a request's id has 1 to 64 letters, digits and signs")
    note = " ".join(note.splitlines())  # people write notes of several lines; kept is one
    return checked_text("title", title, 200, is_needed=False), checked_text("note", note, 2000, is_needed=False)


def _same(standing: Booking, asked: tuple[Any, ...], request: str | None) -> Booking:
    names = ("instrument", "begin_s", "end_s", "title", "note", "quote", "replaces")
    if tuple(getattr(standing, name) for name in names) != asked:
        raise Refused(
            Reason.REQUEST_REUSED, f"request {request} made another booking ({standing.id}): give each its own id"
        )
    return standing
