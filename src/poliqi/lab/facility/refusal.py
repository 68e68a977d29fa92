"""Why a request was refused: one error, with a reason that a page can put into its own words."""

from __future__ import annotations

from enum import StrEnum

from poliqi.base.errors import DataRefused

__all__ = ["Reason", "Refused", "checked_text"]


class Reason(StrEnum):
    """What stands against a request."""

    UNKNOWN = "unknown"
    """No such tenant, user, instrument, booking, quote or invoice; also what this person may not know of."""
    TAKEN_NAME = "taken-name"
    NOT_ALLOWED = "not-allowed"
    BAD_VALUE = "bad-value"
    """Negative, out of range, not a number, not a date."""
    BAD_TIME = "bad-time"
    """An end that is not after its beginning, the past, an hour that does not exist or exists twice."""
    TOO_SHORT = "too-short"
    TOO_LONG = "too-long"
    CLOSED = "closed"
    """Outside the opening hours."""
    OVERLAP = "overlap"
    TRAINING = "training"
    NO_TARIFF = "no-tariff"
    NO_VAT = "no-vat"
    QUOTE_OVER = "quote-over"
    """Its time has passed, or it was used."""
    REQUEST_REUSED = "request-reused"
    TOO_LATE = "too-late"
    """Begun, cancelled or invoiced already."""
    METER = "meter"
    """Start and stop do not fit what was metered before."""
    WRONG_MONTH = "wrong-month"
    NOTHING_DUE = "nothing-due"


class Refused(DataRefused):
    """The request does not stand; nothing was changed. `reason` says which rule, the words say the rest."""

    def __init__(self, reason: Reason, words: str) -> None:
        super().__init__(words)
        self.reason = reason


def checked_text(what: str, text: str, longest: int, *, is_needed: bool = True) -> str:
    """Text of one line for people, without blanks around it. Raises Refused."""
    text = text.strip()
    if is_needed and not text:
        raise Refused(Reason.BAD_VALUE, f"{what} is empty: give one")
    if len(text) > longest:
        raise Refused(Reason.BAD_VALUE, f"{what} has {len(text)} characters: at most {longest}")
    if not text.isprintable():
        raise Refused(
            Reason.BAD_VALUE, f"{what} {text[:40]!a} has characters that cannot be printed: one plain line"
        )
    return text
