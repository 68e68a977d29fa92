"""Money and time of a facility, against values worked out by hand or by decimal arithmetic."""

from __future__ import annotations

from datetime import date

import pytest

from poliqi.lab.facility.localtime import Month, day_s, instant, local_text, wall_s
from poliqi.lab.facility.money import cents_of, money, percent_of, percent_text, rounded, share_text, vat_of
from poliqi.lab.facility.opening import Opening
from poliqi.lab.facility.refusal import Reason, Refused


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(1, 2, 1), (-1, 2, -1), (149, 100, 1), (150, 100, 2), (-150, 100, -2), (5, 3, 2), (0, 7, 0), (25, 10, 3)],
)
def test_halves_go_away_from_zero(numerator: int, denominator: int, expected: int) -> None:
    assert rounded(numerator, denominator) == expected


def test_tax_of_a_sum() -> None:
    assert vat_of(30_506, 2200) == 6711  # 67.1132
    assert vat_of(25, 2200) == 6  # 5.5
    assert vat_of(-25, 2200) == -6
    assert vat_of(1_000, 450) == 45


@pytest.mark.parametrize(
    "text", ["-1", "1.005", "nan", "inf", "1e3", "1_000", "", "1,50", "1.250", "٣", "0x10", "9" * 30]
)
def test_amounts_that_are_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        cents_of(text)
    assert refused.value.reason is Reason.BAD_VALUE


def test_amounts_in_words() -> None:
    assert (cents_of("1250.5"), cents_of("0"), percent_of("22"), percent_of("4.5 %")) == (125_050, 0, 2200, 450)
    assert (money(125_050), money(-5), percent_text(2200), percent_text(450)) == (
        "1,250.50 EUR",
        "-0.05 EUR",
        "22 %",
        "4.5 %",
    )
    assert (share_text(1, 3), share_text(2, 3), share_text(1, 8), share_text(0, 0)) == (
        "33.33 %",
        "66.67 %",
        "12.50 %",
        "-",
    )


def test_the_hour_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Refused, match="does not exist"):
        instant("2026-03-29 02:30")
    assert instant("2026-03-29 03:00") - instant("2026-03-29 01:59") == 60


def test_the_hour_that_exists_twice_wants_its_offset() -> None:
    with pytest.raises(Refused, match=r"02:30\+02:00 for the first, 2026-10-25 02:30\+01:00 for the second"):
        instant("2026-10-25 02:30")
    first, second = instant("2026-10-25 02:30+02:00"), instant("2026-10-25 02:30+01:00")
    assert second - first == 3600
    assert local_text(first) == "2026-10-25 02:30+02:00"
    assert local_text(second) == "2026-10-25 02:30+01:00"


def test_an_instant_against_a_published_one() -> None:
    assert instant("2001-09-09 03:46:40") == 1_000_000_000  # 01:46:40 UTC, summer time
    assert instant("2001-09-09 01:46:40Z") == 1_000_000_000
    assert local_text(1_000_000_000) == "2001-09-09 03:46:40"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2026-02-30 10:00",
        "2026-01-01",
        "2026-01-01 25:00",
        "1999-01-01 10:00",
        "２０２６-01-01 10:00",
    ],
)
def test_times_that_are_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        instant(text)
    assert refused.value.reason is Reason.BAD_TIME


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "2026", "26-01", "2026-1", "1999-12", "١٢٣٤-01"])
def test_months_that_are_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        Month.parse(text)
    assert refused.value.reason is Reason.WRONG_MONTH


def test_months_with_a_night_of_23_or_25_hours() -> None:
    hours = {str(m): (m.end_s - m.begin_s) / 3600 for m in (Month(2026, 3), Month(2026, 10), Month(2026, 12))}
    assert hours == {"2026-03": 31 * 24 - 1, "2026-10": 31 * 24 + 1, "2026-12": 31 * 24}
    assert Month(2026, 12).end_s == Month(2027, 1).begin_s


def test_opening_hours_over_both_nights() -> None:
    always = Opening.parse("mon-sun 00:00-24:00")
    for day, hours in ((date(2026, 3, 29), 23), (date(2026, 10, 25), 25)):
        assert always.seconds(day_s(day), wall_s(day, 1440)) == hours * 3600
        assert always.covers(day_s(day) - 5000, wall_s(day, 1440) + 5000)
    night = Opening.parse("sun 01:00-04:00")
    assert night.seconds(day_s(date(2026, 3, 29)), wall_s(date(2026, 3, 29), 1440)) == 2 * 3600
    assert night.seconds(day_s(date(2026, 10, 25)), wall_s(date(2026, 10, 25), 1440)) == 4 * 3600


def test_parts_that_meet_in_the_skipped_hour_are_counted_once() -> None:
    day, midnight = day_s(date(2026, 3, 29)), wall_s(date(2026, 3, 29), 1440)
    for text in ("sun 01:00-02:30; sun 03:00-04:00", "sun 01:00-02:00; sun 02:30-02:45; sun 03:00-04:00"):
        parts = Opening.parse(text)
        assert parts.intervals(day, midnight) == [(day + 3600, day + 3 * 3600)]  # 03:00 is two hours after midnight
        assert parts.covers(instant("2026-03-29 03:00"), instant("2026-03-29 04:00"))


def test_opening_hours_in_words() -> None:
    week = Opening.parse(" MON-fri 08:00-18:00 ;sat 09:00-13:00;")
    assert week.text == "mon-fri 08:00-18:00; sat 09:00-13:00"
    assert week.covers(instant("2026-06-01 08:00"), instant("2026-06-01 18:00"))
    assert not week.covers(instant("2026-06-01 17:00"), instant("2026-06-01 18:01"))
    assert not week.covers(instant("2026-06-07 10:00"), instant("2026-06-07 11:00"))
    assert not week.covers(instant("2026-06-01 10:00"), instant("2026-06-02 11:00"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mon",
        "mon 8:00-9:00",
        "fri-mon 08:00-09:00",
        "mon 09:00-08:00",
        "mon 00:00-24:01",
        "mon 00:00-10:00; mon 09:00-11:00",
    ],
)
def test_opening_hours_that_are_refused(text: str) -> None:
    with pytest.raises(Refused):
        Opening.parse(text)
