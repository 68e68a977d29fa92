"""Money: integers of cents, and the one rule by which anything is rounded to them.

Every amount is an exact fraction until it becomes a line of an invoice; there it is rounded once, to the nearest
cent, half a cent upwards (away from zero for what is credited). Sums add rounded lines. Value-added tax is taken of
the sum and rounded once more by the same rule. No binary floating point takes part.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from poliqi.lab.facility.refusal import Reason, Refused

__all__ = [
    "MOST_CENTS",
    "cents_of",
    "money",
    "percent_of",
    "percent_text",
    "rounded",
    "share_hundredths",
    "share_text",
    "vat_of",
]

MOST_CENTS: Final = 10**13
"""A hundred thousand million euro: larger amounts are a slip of the hand."""


def rounded(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest integer, halves away from zero; `denominator` > 0."""
    size = (2 * abs(numerator) + denominator) // (2 * denominator)
    return size if numerator >= 0 else -size


def vat_of(net_cents: int, vat_hundredths: int) -> int:
    """The tax in cents on `net_cents` at `vat_hundredths` hundredths of a percent (22 % is 2200)."""
    return rounded(net_cents * vat_hundredths, 10_000)


def cents_of(text: str, what: str = "amount") -> int:
    """Cents of euro that a person wrote: `1250`, `1250.50`. Nothing is rounded here. Raises Refused."""
    cents = _hundredths(text, what)
    if cents > MOST_CENTS:
        raise Refused(Reason.BAD_VALUE, f"{what} {text[:40]}: more than {money(MOST_CENTS)}")
    return cents


def percent_of(text: str, what: str = "percentage") -> int:
    """Hundredths of a percent from `22` or `22.5`; 0 to 100. Raises Refused."""
    hundredths = _hundredths(text.strip().removesuffix("%"), what)
    if hundredths > 10_000:
        raise Refused(Reason.BAD_VALUE, f"{what} {text[:40]}: from 0 to 100")
    return hundredths


def _hundredths(text: str, what: str) -> int:
    plain = text.strip()
    try:
        number = Decimal(plain) if len(plain) <= 24 and plain.isascii() and "_" not in plain else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or "e" in plain.lower():
        raise Refused(Reason.BAD_VALUE, f"{what} {text[:40]!a} is no number; write it as 1250.50")
    if number < 0:
        raise Refused(Reason.BAD_VALUE, f"{what} {text[:40]} is negative: give 0 or more")
    if int(number.as_tuple().exponent) < -2:  # also 1.250, by which some people mean a thousand
        raise Refused(
            Reason.BAD_VALUE,
            f"{what} {text[:40]} has more than two decimals; write thousands without a sign between them: 1250",
        )
    return int(number * 100)


def money(cents: int) -> str:
    """For people: `1,250.50 EUR`."""
    sign, size = ("-", -cents) if cents < 0 else ("", cents)
    return f"{sign}{size // 100:,}.{size % 100:02d} EUR"


def percent_text(hundredths: int) -> str:
    """For people: `22 %`, `22.5 %`."""
    return f"{(Decimal(hundredths) / 100).normalize():f} %"


def share_hundredths(part: int, whole: int) -> int:
    """part / whole in hundredths of a percent, by the same rule; `whole` > 0."""
    return rounded(10_000 * part, whole)


def share_text(part: int, whole: int) -> str:
    """part / whole in percent with two decimals, `40.53 %`; `-` of nothing."""
    if whole <= 0:
        return "-"
    whole_percent, hundredths = divmod(share_hundredths(part, whole), 100)
    return f"{whole_percent}.{hundredths:02d} %"
