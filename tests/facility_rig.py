"""A facility with a clock that tests turn: one institute, a second one, two companies, two instruments."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.localtime import instant
from poliqi.lab.facility.records import Booking, Category, User

HOUR = 3600
DAY = 86_400
START = instant("2026-06-01 00:00")  # a Monday
PEOPLE = {"op": "polimi", "ric": "polimi", "uni": "unimi", "ann": "acme", "amy": "acme", "bob": "bolt"}
TENANTS = {"unimi": Category.ACADEMIC, "acme": Category.COMPANY, "bolt": Category.COMPANY}
PRICES = {Category.OWN: 1000, Category.ACADEMIC: 3333, Category.COMPANY: 10_001}


@dataclass
class Clock:
    now: int = START

    def __call__(self) -> int:
        return self.now


@dataclass
class World:
    """`saxs` is co-funded, open always, without a buffer; `xrd` has hours, a buffer and limits."""

    facility: Facility
    clock: Clock
    root: Path
    users: dict[str, User] = field(default_factory=dict)

    def at(self, text: str) -> int:
        return instant(text)

    def book(
        self, by: str, begin_h: float, hours: float, /, *, instrument: str = "saxs", **more: object
    ) -> Booking:
        """From `begin_h` hours after the start."""
        begin = START + int(begin_h * HOUR)
        who = self.users[by]
        return self.facility.book(instrument, begin, begin + int(hours * HOUR), by=who, **more)  # type: ignore[arg-type]

    def meter(self, booking: Booking, start: int, seconds: int) -> None:
        self.facility.meter.start(booking.id, by=self.users["op"], at_s=start)
        self.facility.meter.stop(booking.id, by=self.users["op"], at_s=start + seconds)


def make_world(root: Path) -> World:
    clock = Clock()
    facility = Facility.create(
        root, tenant="polimi", legal_name="Politecnico di Milano", login="op", name="Olga", now_s=clock
    )
    op = facility.user("op")
    for name, category in TENANTS.items():
        facility.people.add_tenant(name, category, f"{name.upper()} S.p.A.", by=op)
    for login, tenant in PEOPLE.items():
        if login != "op":
            facility.people.add_user(login, login.capitalize(), tenant, by=op)
    facility.instruments.put("saxs", is_cofunded=True, shortest_s=60, longest_s=7 * DAY, by=op)
    facility.instruments.put(
        "xrd", opening="mon-fri 08:00-20:00", shortest_s=1800, longest_s=8 * HOUR, buffer_s=1800, by=op
    )
    for login in PEOPLE:
        facility.people.add_training(login, "saxs", date(2026, 12, 31), by=op)
        facility.people.add_training(login, "xrd", date(2026, 12, 31), by=op)
    for instrument in ("saxs", "xrd"):
        for category, cents in PRICES.items():
            facility.tariffs.add(instrument, category, date(2026, 1, 1), cents, by=op)
    for category, vat in zip(Category, (0, 2200, 2200), strict=True):
        facility.settings.set_vat(category, vat, by=op)
    return World(facility, clock, root, {login: facility.user(login) for login in PEOPLE})
