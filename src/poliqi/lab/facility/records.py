"""What the access to instruments remembers. Records stand as they are: a change is a further record.

Instants are integer seconds of UTC since 1970 (`_s`), intervals half-open: [begin_s, end_s). Money is in integer
cents. Identifiers of bookings, quotes and invoices are random: none tells how many others there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NewType

from poliqi.lab.facility.opening import Opening

__all__ = [
    "Booking",
    "BookingId",
    "Category",
    "Instrument",
    "Role",
    "Session",
    "Slot",
    "SlotState",
    "Tariff",
    "TariffId",
    "Tenant",
    "Training",
    "User",
]

BookingId = NewType("BookingId", str)
TariffId = NewType("TariffId", str)


class Category(StrEnum):
    """Who pays which tariff, and whose hours count as commercial."""

    OWN = "own"
    """The institute that runs the instruments."""
    ACADEMIC = "academic"
    """Another institute of research, public."""
    COMPANY = "company"
    """A company; its hours are the commercial ones."""


class Role(StrEnum):
    """What a person may do."""

    MEMBER = "member"
    """Book, see and pay for the own tenant."""
    OPERATOR = "operator"
    """Run the facility: sees every tenant. Only people of an own tenant."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """An institute or company; `name` equals the tenant's name in the laboratory's store."""

    name: str
    category: Category
    legal_name: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """A person with a login. `is_closed`: has left, may do nothing any more."""

    login: str
    name: str
    tenant: str
    role: Role
    is_closed: bool = False

    @property
    def is_operator(self) -> bool:
        return self.role is Role.OPERATOR and not self.is_closed


@dataclass(frozen=True, slots=True)
class Training:
    """Leave to use an instrument; `last_day` is the last day on which it is valid, at Milan."""

    login: str
    instrument: str
    last_day: date


@dataclass(frozen=True, slots=True)
class Instrument:
    """What can be booked, and by which rules. `buffer_s` stays free after each booking."""

    name: str
    description: str
    place: str
    opening: Opening
    shortest_s: int
    longest_s: int
    buffer_s: int
    is_cofunded: bool
    needs_training: bool


@dataclass(frozen=True, slots=True)
class Tariff:
    """What an hour of an instrument costs a category of tenants from `first_day` to `last_day` (both included).

    Of two that cover a day, the one that began later counts. Percentages are of the price of the time:
    `late_percent` of a booking that is cancelled less than `notice_s` before it begins, `no_show_percent` of one
    that was never metered, `unused_percent` of booked time that was not used, `overrun_percent` of time outside the
    booking.
    """

    id: TariffId
    instrument: str
    category: Category
    first_day: date
    last_day: date | None
    cents_per_hour: int
    setup_cents: int = 0
    minimum_cents: int = 0
    notice_s: int = 86_400
    late_percent: int = 50
    no_show_percent: int = 100
    unused_percent: int = 0
    overrun_percent: int = 100
    is_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Booking:
    """Time at an instrument, at the tariff that was frozen when it was made."""

    id: BookingId
    login: str
    tenant: str
    instrument: str
    tariff: TariffId
    begin_s: int
    end_s: int
    title: str
    note: str
    quote: str | None
    replaces: BookingId | None
    made_s: int
    cancelled_s: int | None = None
    is_cancellation_charged: bool = False

    @property
    def seconds(self) -> int:
        return self.end_s - self.begin_s


@dataclass(frozen=True, slots=True)
class Session:
    """Metered use of an instrument for a booking; `stop_s` is None while it runs."""

    booking: BookingId
    instrument: str
    start_s: int
    stop_s: int | None


class SlotState(StrEnum):
    """What a calendar shows of a piece of time."""

    BOOKED = "booked"
    BUSY = "busy"
    """Taken; by whom and for what is not this viewer's business."""
    CLOSED = "closed"
    """Outside the opening hours."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A piece of a calendar. Where `state` is not BOOKED, everything but the two instants is empty."""

    begin_s: int
    end_s: int
    state: SlotState
    booking: BookingId | None = None
    login: str = ""
    tenant: str = ""
    title: str = ""
    note: str = ""
    is_own: bool = False
    """The viewer made it."""
