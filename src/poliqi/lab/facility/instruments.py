"""Instruments that can be booked."""

from __future__ import annotations

from typing import Any, Final

from poliqi.lab.facility.database import Database
from poliqi.lab.facility.opening import ALWAYS, Opening
from poliqi.lab.facility.people import People, checked_name
from poliqi.lab.facility.records import Instrument, User
from poliqi.lab.facility.refusal import Reason, Refused, checked_text

__all__ = ["Instruments"]

_LONGEST_S: Final = 31 * 86_400


class Instruments:
    """Each change of an instrument is a further version; bookings that stand are not touched by it."""

    def __init__(self, database: Database, people: People) -> None:
        self._database: Final = database
        self._people: Final = people

    def all(self) -> list[Instrument]:
        """Their newest versions, by name."""
        rows = self._database.read(
            "SELECT * FROM instrument i WHERE version = (SELECT max(version) FROM instrument WHERE name = i.name) "
            "ORDER BY name"
        )
        return [_instrument(row) for row in rows]

    def get(self, name: str) -> Instrument:
        """Raises Refused where there is none."""
        for row in self._database.read(
            "SELECT * FROM instrument WHERE name = ? ORDER BY version DESC LIMIT 1", (name,)
        ):
            return _instrument(row)
        raise Refused(Reason.UNKNOWN, f"no instrument is called {name[:63]!a}")

    def put(
        self,
        name: str,
        *,
        description: str = "",
        place: str = "",
        opening: str = ALWAYS,
        shortest_s: int = 900,
        longest_s: int = 86_400,
        buffer_s: int = 0,
        is_cofunded: bool = False,
        needs_training: bool = True,
        by: User,
    ) -> Instrument:
        """A new instrument, or a further version of the one with this name."""
        operator = self._people.operator(by)
        if not 60 <= shortest_s <= longest_s <= _LONGEST_S:
            raise Refused(
                Reason.BAD_VALUE,
                f"{name}: bookings from 1 minute to 31 days, the shortest no longer than the longest",
            )
        if not 0 <= buffer_s <= 86_400:
            raise Refused(
                Reason.BAD_VALUE, f"{name}: from 0 to 24 hours stay free after a booking, not {buffer_s / 3600:g}"
            )
        made = Instrument(
            checked_name("instrument", name),
            checked_text("description", description, 500, is_needed=False),
            checked_text("place", place, 200, is_needed=False),
            Opening.parse(opening),
            shortest_s,
            longest_s,
            buffer_s,
            is_cofunded,
            needs_training,
        )
        with self._database.changing(operator.login) as change:
            [(newest,)] = change.run("SELECT coalesce(max(version), 0) FROM instrument WHERE name = ?", (name,))
            row = (made.description, made.place, made.opening.text, shortest_s, longest_s, buffer_s)
            change.add("instrument", name, newest + 1, *row, int(is_cofunded), int(needs_training))
            change.tell(
                "instrument",
                instrument=name,
                version=newest + 1,
                opening=made.opening.text,
                shortest_s=shortest_s,
                longest_s=longest_s,
                buffer_s=buffer_s,
                is_cofunded=is_cofunded,
                needs_training=needs_training,
            )
        return made


def _instrument(row: tuple[Any, ...]) -> Instrument:
    name, _, description, place, opening, shortest_s, longest_s, buffer_s, is_cofunded, needs_training = row
    return Instrument(
        name,
        description,
        place,
        Opening.parse(opening),
        shortest_s,
        longest_s,
        buffer_s,
        bool(is_cofunded),
        bool(needs_training),
    )
