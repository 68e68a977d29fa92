"""What a booking costs: pure functions of its tariff, its time and what was metered.

The rules, in the order of the lines:

1. metered time inside the booking: its price;
2. metered time outside (before or after): `overrun_percent` of its price;
3. booked time that was not used: `unused_percent` of its price;
4. where 1 to 3 come to less than `minimum_cents`: the difference;
5. `setup_cents`.

Never metered: `no_show_percent` of the price of the booked time, and nothing else. Cancelled too late:
`late_percent` of it, and nothing else. Cancelled in time: nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from poliqi.lab.facility.money import rounded
from poliqi.lab.facility.records import Booking, Session, Tariff

__all__ = ["Line", "LineKind", "charge", "quoted", "total"]


class LineKind(StrEnum):
    """Why a line stands on an invoice."""

    USE = "use"
    OVERRUN = "overrun"
    UNUSED = "unused"
    MINIMUM = "minimum"
    SETUP = "setup"
    NO_SHOW = "no-show"
    CANCELLATION = "cancellation"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class Line:
    """`percent` of `cents_per_hour` for `seconds`; for a sum alone, those three are 0."""

    kind: LineKind
    seconds: int
    cents_per_hour: int
    percent: int
    cents: int


def _timed(kind: LineKind, seconds: int, tariff: Tariff, percent: int) -> Line:
    cents = rounded(seconds * tariff.cents_per_hour * percent, 3600 * 100)
    return Line(kind, seconds, tariff.cents_per_hour, percent, cents)


def charge(booking: Booking, tariff: Tariff, sessions: Sequence[Session]) -> tuple[Line, ...]:
    """The lines of a booking that is over; empty where nothing is due. Every session has stopped."""
    if booking.cancelled_s is not None:
        due = _timed(LineKind.CANCELLATION, booking.seconds, tariff, tariff.late_percent)
        return _shown([due]) if booking.is_cancellation_charged else ()
    if not sessions:
        return _shown([_timed(LineKind.NO_SHOW, booking.seconds, tariff, tariff.no_show_percent)])
    inside = outside = 0
    for session in sessions:
        assert session.stop_s is not None
        within = max(0, min(session.stop_s, booking.end_s) - max(session.start_s, booking.begin_s))
        inside += within
        outside += session.stop_s - session.start_s - within
    return _used(tariff, inside, outside, booking.seconds - inside)


def quoted(tariff: Tariff, seconds: int) -> tuple[Line, ...]:
    """The lines where the time is used as it is booked."""
    return _used(tariff, seconds, 0, 0)


def _used(tariff: Tariff, inside: int, outside: int, unused: int) -> tuple[Line, ...]:
    lines = [
        _timed(LineKind.USE, inside, tariff, 100),
        _timed(LineKind.OVERRUN, outside, tariff, tariff.overrun_percent),
        _timed(LineKind.UNUSED, unused, tariff, tariff.unused_percent),
    ]
    lacking = tariff.minimum_cents - total(lines)
    lines.append(Line(LineKind.MINIMUM, 0, 0, 0, max(0, lacking)))
    lines.append(Line(LineKind.SETUP, 0, 0, 0, tariff.setup_cents))
    return _shown(lines)


def _shown(lines: list[Line]) -> tuple[Line, ...]:
    """What was used stands on the invoice also where it is free."""
    return tuple(line for line in lines if line.cents or (line.kind is LineKind.USE and line.seconds))


def total(lines: Iterable[Line]) -> int:
    """In cents."""
    return sum(line.cents for line in lines)
