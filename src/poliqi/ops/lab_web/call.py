"""One request at a laboratory's pages: who asks, what of the laboratory they see, what all pages answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from starlette.responses import Response

from poliqi.apps.stream.terms import Mode
from poliqi.base.errors import PoliqiError
from poliqi.control.events import Language
from poliqi.lab.facility.localtime import local_text
from poliqi.lab.facility.money import percent_text, share_text
from poliqi.lab.store.records import Dataset
from poliqi.ops.lab_web.room import Guest, LabRoom
from poliqi.ops.sae_web.application import SaePages
from poliqi.ops.sae_web.telling import Teller
from poliqi.ops.sae_web.trouble import Trouble, trouble_of
from poliqi.ops.web.people import Person
from poliqi.ops.web.roles import Permission
from poliqi.ops.web.route import Kind, RouteRow
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.visit import Visit, json_answer, page_answer

__all__ = ["Call", "lab_row"]

TAB: Final = "/lab"
_Shape = TypeVar("_Shape")


@dataclass(frozen=True, slots=True)
class Call:
    """Handed to every page; it is used in a thread, so it may wait for disks. `desk` tells of sites and key."""

    pages: SaePages
    visit: Visit
    room: LabRoom
    guest: Guest
    desk: Teller
    kind: Kind
    raw: bytes
    """The body of a JSON request."""

    @property
    def say(self) -> Speaker:
        return self.visit.say

    @property
    def person(self) -> Person:
        return self.guest.person

    def page(self, template: str, title: str, **more: Any) -> Response:
        """A page; `title` is its heading and the window's."""
        return page_answer(self.text(template, title, **more))

    def text(self, template: str, title: str, **more: Any) -> str:
        around = {
            "tab": TAB,
            "place": self.desk.view.place,
            "is_simulated": self.desk.view.is_simulated,
            "desk": self.desk,
            "lab": self,
            "subtabs": self._subtabs(),
            "subtab": "",
            "json": "/api/lab/datasets",
            "heading": title,
            "money": self.money,
            "local": local_text,
            "clock": _clock,
            "percent": percent_text,
            "share": share_text,
        }
        return self.pages.text(template, self.visit, f"{title} · {self.desk.view.place}", **{**around, **more})

    def _subtabs(self) -> list[tuple[str, str]]:
        found = [("/lab", "lab.datasets")]
        if self.room.facility is not None:
            found.append(("/lab/instruments", "lab.instruments"))
            if self.guest.member is not None:
                found.append(("/lab/bookings", "lab.bookings"))
                found.append(("/lab/quotes", "lab.quotes"))
                found.append(("/lab/invoices", "lab.invoices"))
            if self.may_see_books:
                found.append(("/lab/report", "lab.report"))
        return found

    @property
    def may_see_books(self) -> bool:
        """Of all tenants: an operator of the facility, who has not lost the right at this door."""
        member = self.guest.member
        return member is not None and member.is_operator and self.person.may(Permission.LAB_BOOKS)

    @property
    def may_work(self) -> bool:
        return self.person.may(Permission.LAB_WORK)

    def money(self, cents: int) -> str:
        """As people of this language write it; never through a float."""
        sign, size = ("-", -cents) if cents < 0 else ("", cents)
        point = "," if self.say.language is Language.ITALIAN else "."
        return f"{sign}{self.say.count(size // 100)}{point}{size % 100:02d}\u00a0EUR"

    def modes(self, text: str) -> str:
        """The modes that a receipt names, such as "hybrid and pqc"."""
        return " + ".join(self.say(f"mode.{mode}") for mode in text.split(" and ") if mode in set(Mode))

    def missing(self) -> Response:
        """The one answer for what is not there and for what is somebody else's."""
        return self.pages.refuse(self.visit, self.kind, HTTPStatus.NOT_FOUND)

    def forbidden(self) -> Response:
        return self.pages.refuse(self.visit, self.kind, HTTPStatus.FORBIDDEN)

    def refused(self, error: PoliqiError, text: str, status: HTTPStatus = HTTPStatus.CONFLICT) -> Response:
        """What was asked for does not stand: `text` in words of this language, the error beside it."""
        if self.kind is Kind.JSON:
            return json_answer({"message": str(error), "text": text}, status)
        heading = self.say("lab.refused")
        return page_answer(self.text("refused.html", heading, text=text, detail=str(error)), status)

    def dataset(self) -> Dataset | None:
        """The one that the address names."""
        return self.room.dataset(self.guest, self.visit.names["dataset"])

    def body(self, shape: type[_Shape]) -> _Shape | None:
        """What a JSON request says; None where it does not fit."""
        try:
            return msgspec.json.decode(self.raw, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def note(self, what: str, subject: str, outcome: str = "") -> None:
        """Write down what was done."""
        self.pages.people.note(self.guest.who, what, subject, outcome)


def _clock(unix_s: int) -> str:
    """The hour at Milan."""
    return local_text(unix_s)[11:16]


def lab_row(
    room: LabRoom,
    method: str,
    path: str,
    kind: Kind,
    permission: Permission,
    answer: Callable[[Call], Response],
    meaning: str,
) -> RouteRow[Any]:
    """A route whose answer is made in a thread, for somebody who belongs to a tenant."""

    async def run(pages: SaePages, visit: Visit) -> Response:
        assert visit.person is not None
        desk = await pages.teller(visit.say)
        raw = await visit.request.body() if kind is Kind.JSON and method == "POST" else b""
        return await asyncio.to_thread(_answered, pages, visit, visit.person, desk, raw)

    def _answered(pages: SaePages, visit: Visit, person: Person, desk: Teller, raw: bytes) -> Response:
        try:
            guest = room.guest(person)
            if guest is None:
                return _nobody(pages, visit, kind)
            return answer(Call(pages, visit, room, guest, desk, kind, raw))
        except PoliqiError as error:
            # what a page cannot answer itself went wrong on this side: paths in it are not for everybody
            pages.complain(f"{visit.request.url.path}: {error}")
            return _broken(pages, visit, kind, trouble_of(error))

    made: Callable[[SaePages, Visit], Awaitable[Response]] = run
    return RouteRow(method, path, kind, permission, made, meaning)


def _nobody(pages: SaePages, visit: Visit, kind: Kind) -> Response:
    text = visit.say("lab.nobody_why")
    if kind is Kind.JSON:
        return json_answer({"message": "not a member of any tenant", "text": text}, HTTPStatus.FORBIDDEN)
    heading = visit.say("lab.nobody")
    more = {"heading": heading, "text": text, "detail": "", "tab": TAB}
    return page_answer(pages.text("refused.html", visit, heading, **more), HTTPStatus.FORBIDDEN)


def _broken(pages: SaePages, visit: Visit, kind: Kind, trouble: Trouble) -> Response:
    text = visit.say(f"trouble.{trouble}")
    if kind is Kind.JSON:
        return json_answer({"message": "failed inside", "text": text}, HTTPStatus.SERVICE_UNAVAILABLE)
    heading = visit.say("lab.broken")
    more = {"heading": heading, "text": text, "detail": "", "tab": TAB}
    return page_answer(pages.text("refused.html", visit, heading, **more), HTTPStatus.SERVICE_UNAVAILABLE)
