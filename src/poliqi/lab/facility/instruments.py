"""Instruments that can be booked."""

from __future__ import annotations

from itertools import pairwise
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

    def versions(self, name: str, from_s: int, to_s: int) -> list[tuple[int, int, Instrument]]:
        """What counted from when to when, within [from_s, to_s), in order; the first counts as if from ever."""
        rows = self._database.read("SELECT * FROM instrument WHERE name = ? ORDER BY version", (name,))
        begins = [from_s, *(max(from_s, min(to_s, row[-1])) for row in rows[1:]), to_s]
        spans = zip(pairwise(begins), rows, strict=True)
        return [(begin_s, end_s, _instrument(row)) for (begin_s, end_s), row in spans if begin_s < end_s]

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
        is_cofunded: bool | None = None,
        needs_training: bool = True,
        by: User,
    ) -> Instrument:
        """A new instrument, or a further version of the one with this name, which counts from now on.

        Whether public money paid for it stays as it was where `is_cofunded` is None: no, for a new one.
        """
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
        checked_name("instrument", name)
        words = (
            checked_text("description", description, 500, is_needed=False),
            checked_text("place", place, 200, is_needed=False),
            Opening.parse(opening),
        )
        with self._database.changing(operator.login) as change:
            before = change.run(
                "SELECT version, is_cofunded FROM instrument WHERE name = ? ORDER BY version DESC LIMIT 1", (name,)
            )
            newest, was_cofunded = before[0] if before else (0, False)
            is_cofunded = bool(was_cofunded) if is_cofunded is None else is_cofunded
            made = Instrument(name, *words, shortest_s, longest_s, buffer_s, is_cofunded, needs_training)
            row = (made.description, made.place, made.opening.text, shortest_s, longest_s, buffer_s)
            change.add("instrument", name, newest + 1, *row, int(is_cofunded), int(needs_training), change.at_s)
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
    name, _, description, place, opening, shortest_s, longest_s, buffer_s, is_cofunded, needs_training, _ = row
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
