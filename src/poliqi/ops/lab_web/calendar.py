"""Instruments and their weeks: what is free, booking it, quotes for it."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import date, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote as quoted

import msgspec
from starlette.responses import Response

from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.localtime import day_of, day_s, instant, local_text, wall_s
from poliqi.lab.facility.records import Instrument, Slot, SlotState, User
from poliqi.lab.facility.refusal import Refused
from poliqi.ops.lab_web.call import Call
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.visit import json_answer, see

__all__ = [
    "Cell",
    "book",
    "book_json",
    "instrument_json",
    "instrument_page",
    "instruments_json",
    "instruments_page",
]

_WEEK: Final = re.compile(r"(\d{4})-W(\d{2})", re.ASCII)
_FIRST_HOUR, _LAST_HOUR = 7, 20
"""Shown also where nothing is booked; an earlier or later booking widens it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of a day in the calendar: `hours` rows high. `slots` are what stands in it, none: it is free."""

    hours: int
    state: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Week:
    """`rows`: for each hour a cell for each day, None where one above covers it."""

    monday: date
    days: tuple[date, ...]
    hours: tuple[int, ...]
    rows: tuple[tuple[Cell | None, ...], ...]

    @property
    def name(self) -> str:
        return week_name(self.monday)

    @property
    def before(self) -> str:
        return week_name(self.monday - timedelta(7))

    @property
    def after(self) -> str:
        return week_name(self.monday + timedelta(7))


def week_name(day: date) -> str:
    """ISO 8601: 2026-W48."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def monday_of(text: str, today: date) -> date:
    """The Monday of a week that is asked for; of this one where there is no such week."""
    found = _WEEK.fullmatch(text)
    if found is not None and 2000 <= int(found[1]) <= 2199:
        try:
            return date.fromisocalendar(int(found[1]), int(found[2]), 1)
        except ValueError:
            pass
    return today - timedelta(today.weekday())


def week_of(slots: list[Slot], monday: date) -> Week:
    """Slots as a table of whole hours; what fills a part of an hour stands in all of it, with its times."""
    days = tuple(monday + timedelta(n) for n in range(7))
    first, last = _FIRST_HOUR, _LAST_HOUR
    for slot in slots:
        if slot.state is not SlotState.CLOSED:
            for day in days:
                hours = [h for h in range(24) if _touches(slot, day, h)]
                if hours:
                    first, last = min(first, hours[0]), max(last, hours[-1] + 1)
    hours = tuple(range(first, last))
    columns = [_column(slots, day, hours) for day in days]
    rows = tuple(tuple(column[n] for column in columns) for n in range(len(hours)))
    return Week(monday, days, hours, rows)


def _touches(slot: Slot, day: date, hour: int) -> bool:
    return slot.begin_s < wall_s(day, (hour + 1) * 60) and slot.end_s > wall_s(day, hour * 60)


def _column(slots: list[Slot], day: date, hours: tuple[int, ...]) -> list[Cell | None]:
    inside = [_inside(slots, day, hour) for hour in hours]
    column: list[Cell | None] = []
    at = 0
    while at < len(hours):
        end = at + 1
        while inside[at] and end < len(hours) and inside[end] == inside[at]:
            end += 1
        column.append(Cell(end - at, _state(inside[at]), inside[at]))
        column += [None] * (end - at - 1)
        at = end
    return column


def _inside(slots: list[Slot], day: date, hour: int) -> tuple[Slot, ...]:
    """What touches an hour; closed time counts only where nothing else is there."""
    found = [slot for slot in slots if _touches(slot, day, hour)]
    taken = tuple(slot for slot in found if slot.state is not SlotState.CLOSED)
    whole = tuple(
        slot
        for slot in found
        if slot.begin_s <= wall_s(day, hour * 60) and slot.end_s >= wall_s(day, (hour + 1) * 60)
    )
    return taken or whole


def _state(slots: tuple[Slot, ...]) -> str:
    if not slots:
        return "free"
    if any(slot.state is SlotState.BOOKED for slot in slots):
        return "booked"
    return slots[0].state.value


# ---- pages


def _facility(call: Call) -> tuple[Facility, User] | None:
    """What bookings need; None for who is no user of the facility."""
    if call.room.facility is None or call.guest.member is None:
        return None
    return call.room.facility, call.guest.member


def instruments_page(call: Call) -> Response:
    """All that can be booked."""
    if call.room.facility is None:
        return call.missing()
    found = call.room.facility.instruments.all()
    more = {"instruments": found, "subtab": "/lab/instruments", "json": "/api/lab/instruments"}
    return call.page("lab_instruments.html", call.say("lab.instruments"), **more)


def instruments_json(call: Call) -> Response:
    if call.room.facility is None:
        return call.missing()
    return json_answer([_record(instrument) for instrument in call.room.facility.instruments.all()])


def _record(instrument: Instrument) -> dict[str, Any]:
    return {
        "name": instrument.name,
        "description": instrument.description,
        "place": instrument.place,
        "opening": instrument.opening.text,
        "shortest_s": instrument.shortest_s,
        "longest_s": instrument.longest_s,
        "buffer_s": instrument.buffer_s,
        "needs_training": instrument.needs_training,
    }


def instrument_page(call: Call) -> Response:
    """A week of one instrument, and the form to book it."""
    return _instrument(call, call.visit.names["instrument"], {}, "", HTTPStatus.OK)


def _instrument(call: Call, name: str, form: dict[str, str], refused: str, status: HTTPStatus) -> Response:
    known = _facility(call)
    if known is None:
        return call.missing()
    facility, member = known
    try:
        instrument = facility.instruments.get(name)
    except Refused:
        return call.missing()
    today = day_of(int(call.pages.wall()))
    monday = monday_of(call.visit.query.get("week", form.get("week", "")), today)
    slots = facility.calendar(instrument.name, day_s(monday), day_s(monday + timedelta(7)), member)
    answer = call.page(
        "lab_instrument.html",
        instrument.name,
        instrument=instrument,
        week=week_of(slots, monday),
        today=today,
        form=form,
        refused=refused,
        may_book=call.may_work,
        request=secrets.token_hex(16),
        subtab="/lab/instruments",
        json=f"/api/lab/instruments/{quoted(instrument.name, safe='')}?week={week_name(monday)}",
    )
    answer.status_code = status
    return answer


def instrument_json(call: Call) -> Response:
    """One with the slots of a week; between them it is free."""
    known = _facility(call)
    if known is None:
        return call.missing()
    facility, member = known
    try:
        instrument = facility.instruments.get(call.visit.names["instrument"])
    except Refused:
        return call.missing()
    monday = monday_of(call.visit.query.get("week", ""), day_of(int(call.pages.wall())))
    slots = facility.calendar(instrument.name, day_s(monday), day_s(monday + timedelta(7)), member)
    return json_answer({**_record(instrument), "week": week_name(monday), "slots": [_slot(slot) for slot in slots]})


def _slot(slot: Slot) -> dict[str, Any]:
    return {
        "begin": Speaker.stamp(slot.begin_s),
        "end": Speaker.stamp(slot.end_s),
        "state": slot.state,
        "booking": slot.booking,
        "who": slot.login,
        "title": slot.title,
    }


# ---- booking


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    begin: str
    end: str
    title: str = ""
    note: str = ""
    request: str | None = None


def book(call: Call) -> Response:
    """By the form: a quote first, where that button was pressed, else the booking."""
    known, form = _facility(call), dict(call.visit.form)
    if known is None:
        return call.missing()
    facility, member = known
    name = call.visit.names["instrument"]
    try:
        begin_s, end_s = (instant(form.get(word, ""), call.say(f"lab.{word}")) for word in ("begin", "end"))
        if form.get("quote") == "1":
            found = facility.quote(name, begin_s, end_s, by=member)
            return see(f"/lab/quotes/{found.id}")
        words = {"title": form.get("title", ""), "note": form.get("note", "")}
        facility.book(name, begin_s, end_s, by=member, request=form.get("request") or None, **words)
    except Refused as error:
        return _instrument(call, name, {**form, "reason": error.reason}, str(error), HTTPStatus.CONFLICT)
    call.note("lab-book", name)
    return see(f"/lab/instruments/{quoted(name, safe='')}?week={week_name(day_of(begin_s))}")


def book_json(call: Call) -> Response:
    """The same by an object."""
    known = _facility(call)
    if known is None:
        return call.missing()
    facility, member = known
    asked = call.body(_Asked)
    if asked is None:
        text = 'send {"begin": "2026-11-23 09:00", "end": "2026-11-23 11:00", "title": "", "request": "ID"}'
        return json_answer({"message": text}, HTTPStatus.BAD_REQUEST)
    name = call.visit.names["instrument"]
    try:
        facility.instruments.get(name)
    except Refused:
        return call.missing()
    try:
        made = facility.book(
            name,
            instant(asked.begin, "begin"),
            instant(asked.end, "end"),
            by=member,
            title=asked.title,
            note=asked.note,
            request=asked.request,
        )
    except Refused as error:
        return call.refused(error, call.say(f"lab_refused.{error.reason}"))
    call.note("lab-book", name)
    return json_answer(
        {"booking": made.id, "begin": local_text(made.begin_s), "end": local_text(made.end_s)}, HTTPStatus.CREATED
    )
