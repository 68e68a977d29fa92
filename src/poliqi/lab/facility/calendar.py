"""What a viewer sees of an instrument's time.

Others' bookings are `busy` and nothing more. Pieces of busy time that touch are one: neither how many bookings
there are nor where one ends and another begins is told.
"""

from __future__ import annotations

from typing import Any, Final

from poliqi.lab.facility.database import Database
from poliqi.lab.facility.instruments import Instruments
from poliqi.lab.facility.localtime import local_text
from poliqi.lab.facility.people import People
from poliqi.lab.facility.records import BookingId, Slot, SlotState, User
from poliqi.lab.facility.refusal import Reason, Refused

__all__ = ["Calendar"]

_LONGEST_S: Final = 400 * 86_400


class Calendar:
    """Slots of an instrument."""

    def __init__(self, database: Database, people: People, instruments: Instruments) -> None:
        self._database: Final = database
        self._people: Final = people
        self._instruments: Final = instruments

    def slots(self, instrument: str, from_s: int, to_s: int, viewer: User) -> list[Slot]:
        """What is booked, busy or closed in [from_s, to_s), in order; between the slots it is free.

        A slot of one's own tenant has the booking's own beginning and end; the others are cut to the window.
        """
        if not 0 < to_s - from_s <= _LONGEST_S:
            raise Refused(
                Reason.BAD_TIME, f"a calendar from {local_text(from_s)} to {local_text(to_s)}: 1 s to 400 days"
            )
        with self._database.looking():
            seen = self._people.acting(viewer)
            opening = self._instruments.get(instrument).opening
            rows = self._database.read(
                "SELECT o.begin_s, o.until_s, b.end_s, b.id, b.login, b.tenant, b.title, b.note FROM occupied o "
                "JOIN booking b ON b.id = o.booking WHERE o.instrument = ? AND o.until_s > ? AND o.begin_s < ? "
                "ORDER BY o.begin_s",
                (instrument, from_s, to_s),
            )
        slots = _seen_slots(rows, seen, from_s, to_s)
        slots += _closed(opening.intervals(from_s, to_s), from_s, to_s)
        return sorted(slots, key=lambda slot: (slot.begin_s, slot.end_s))


def _seen_slots(rows: list[tuple[Any, ...]], viewer: User, from_s: int, to_s: int) -> list[Slot]:
    slots: list[Slot] = []
    for begin_s, until_s, end_s, booking, login, tenant, title, note in rows:
        if viewer.is_operator or tenant == viewer.tenant:
            if end_s > from_s:
                who = (BookingId(booking), login, tenant, title, note, login == viewer.login)
                slots.append(Slot(begin_s, end_s, SlotState.BOOKED, *who))
            begin_s = end_s  # what stays free behind it cannot be booked either
        begin_s, until_s = max(begin_s, from_s), min(until_s, to_s)
        if begin_s >= until_s:
            continue
        if slots and slots[-1].state is SlotState.BUSY and slots[-1].end_s == begin_s:
            begin_s = slots.pop().begin_s
        slots.append(Slot(begin_s, until_s, SlotState.BUSY))
    return slots


def _closed(is_open: list[tuple[int, int]], from_s: int, to_s: int) -> list[Slot]:
    edges = [from_s, *(edge for interval in is_open for edge in interval), to_s]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [Slot(begin_s, end_s, SlotState.CLOSED) for begin_s, end_s in pairs if begin_s < end_s]
