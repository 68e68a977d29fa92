"""The meter: when an instrument was really used for a booking, told by an operator or by the instrument itself.

Each event stays as it was told. What was told wrongly is voided and told again, until the booking is invoiced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final

from poliqi.lab.facility.bookings import Bookings
from poliqi.lab.facility.database import Change, Database
from poliqi.lab.facility.localtime import local_text
from poliqi.lab.facility.people import People
from poliqi.lab.facility.records import Booking, BookingId, Session, User
from poliqi.lab.facility.refusal import Reason, Refused

__all__ = ["Meter", "Source", "clash"]

_EARLY_S: Final = 86_400
_LATE_S: Final = 7 * 86_400
_AHEAD_S: Final = 60


_CLASH: Final = """
SELECT * FROM (SELECT booking, instrument, start_s, stop_s FROM session
    WHERE instrument = ?1 AND stop_s IS NULL AND NOT (?2 AND start_s = ?3) LIMIT 1)
UNION ALL
SELECT * FROM (SELECT booking, instrument, start_s, stop_s FROM session
    WHERE instrument = ?1 AND start_s < ?4 AND NOT (?2 AND start_s = ?3) ORDER BY start_s DESC LIMIT 1)
    WHERE stop_s > ?3
LIMIT 1
"""


class Source(StrEnum):
    """Who told an event."""

    OPERATOR = "operator"
    INSTRUMENT = "instrument"


class Meter:
    """Start, stop, void, read. An instrument's program tells its events with an operator's login."""

    def __init__(self, database: Database, people: People, bookings: Bookings) -> None:
        self._database: Final = database
        self._people: Final = people
        self._bookings: Final = bookings

    def start(
        self, booking: str, *, by: User, at_s: int | None = None, source: Source = Source.OPERATOR
    ) -> Session:
        """Use begins. Raises Refused where the instrument is still in use, or that time is metered already."""
        operator = self._people.operator(by)
        with self._database.changing(operator.login) as change:
            found, at_s = self._open(change, booking, at_s, operator)
            if not found.begin_s - _EARLY_S <= at_s < found.end_s:
                raise Refused(
                    Reason.METER,
                    f"use cannot begin on {local_text(at_s)}: booked from "
                    f"{local_text(found.begin_s)} to {local_text(found.end_s)}",
                )
            self._check_apart(change, found.instrument, at_s, None)
            change.add("session", found.id, found.instrument, at_s, None)
            self._note(change, found, "start", at_s, source)
        return Session(found.id, found.instrument, at_s, None)

    def stop(self, booking: str, *, by: User, at_s: int | None = None, source: Source = Source.OPERATOR) -> Session:
        """Use ends."""
        operator = self._people.operator(by)
        with self._database.changing(operator.login) as change:
            found, at_s = self._open(change, booking, at_s, operator)
            rows = change.run("SELECT start_s FROM session WHERE booking = ? AND stop_s IS NULL", (found.id,))
            if not rows:
                raise Refused(Reason.METER, f"booking {found.id} is not being metered: start it first")
            [(start_s,)] = rows
            if not start_s < at_s <= max(found.end_s, start_s) + _LATE_S:
                raise Refused(
                    Reason.METER,
                    f"use began on {local_text(start_s)} and cannot end on {local_text(at_s)}: after it, and "
                    f"at most {_LATE_S // 86_400} days after the booking; void it and meter again, if "
                    "a stop was forgotten",
                )
            self._check_apart(change, found.instrument, start_s, at_s)
            change.remove("session", "instrument = ? AND start_s = ?", found.instrument, start_s)
            change.add("session", found.id, found.instrument, start_s, at_s)
            self._note(change, found, "stop", at_s, source)
        return Session(found.id, found.instrument, start_s, at_s)

    def void(self, booking: str, *, by: User) -> None:
        """What was told of a booking counts no more; tell it again."""
        operator = self._people.operator(by)
        with self._database.changing(operator.login) as change:
            found, at_s = self._open(change, booking, None, operator)
            change.remove("session", "booking = ?", found.id)
            self._note(change, found, "void", at_s, Source.OPERATOR)

    def sessions(self, booking: BookingId) -> list[Session]:
        """In order. No look at who asks: what shows it to people checks that they may see the booking."""
        rows = self._database.read(
            "SELECT booking, instrument, start_s, stop_s FROM session WHERE booking = ? ORDER BY start_s",
            (booking,),
        )
        return [Session(*row) for row in rows]

    # -------------------------------------------------------------- inside a transaction

    def _open(self, change: Change, booking: str, at_s: int | None, operator: User) -> tuple[Booking, int]:
        """A booking that can still be metered, and when."""
        found = self._bookings.get(booking, operator)
        if found.cancelled_s is not None:
            raise Refused(Reason.METER, f"booking {found.id} was cancelled: book the time that was used")
        if change.run("SELECT 1 FROM billed WHERE booking = ?", (found.id,)):
            raise Refused(
                Reason.TOO_LATE,
                f"booking {found.id} is invoiced: credit all of that invoice first; what was written off stays so",
            )
        at_s = change.at_s if at_s is None else at_s
        if at_s > change.at_s + _AHEAD_S:
            raise Refused(Reason.METER, f"{local_text(at_s)} is still to come: it is {local_text(change.at_s)}")
        return found, at_s

    def _check_apart(self, change: Change, instrument: str, start_s: int, stop_s: int | None) -> None:
        """No two sessions of an instrument overlap, and one alone runs; of that one only its start is known."""
        other = clash(change.run, instrument, start_s, stop_s)
        if other is None:
            return
        until = ", still running: stop it first" if other.stop_s is None else f" to {local_text(other.stop_s)}"
        raise Refused(
            Reason.METER,
            f"{instrument} is metered for booking {other.booking} from {local_text(other.start_s)}{until}",
        )

    def _note(self, change: Change, booking: Booking, kind: str, at_s: int, source: Source) -> None:
        change.add("meter", None, booking.id, kind, at_s, source.value)
        change.tell(f"meter {kind}", booking=booking.id, at_s=at_s, source=source.value)


def clash(
    run: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]], instrument: str, start_s: int, stop_s: int | None
) -> Session | None:
    """Another session of the instrument: one that runs, or one that overlaps. Without `stop_s` one is to begin.

    As no two overlap so far, of those that began earlier the last alone can reach into it: two short looks, however
    many sessions there are.
    """
    last_s = start_s + 1 if stop_s is None else stop_s
    rows = run(_CLASH, (instrument, int(stop_s is not None), start_s, last_s))
    return Session(*rows[0]) if rows else None
