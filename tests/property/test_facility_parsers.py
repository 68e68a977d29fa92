"""What people write for a facility: read and written back the same, or refused; nothing else ever happens."""

from __future__ import annotations

import csv
import io
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from poliqi.lab.facility.localtime import Month, day_of, instant, local_text, parse_day
from poliqi.lab.facility.money import cents_of, percent_of, rounded
from poliqi.lab.facility.opening import Opening
from poliqi.lab.facility.people import checked_name
from poliqi.lab.facility.refusal import Refused, checked_text
from poliqi.lab.facility.tables import _table  # pyright: ignore[reportPrivateUsage] - the cells are what is tested

INSTANTS = st.integers(946_684_800 + 86_400, 7_258_118_400 - 2 * 86_400)  # 2000 to 2199


@given(st.text(max_size=40) | st.from_regex(r"[-+0-9.:TZ e;a-z]{0,30}", fullmatch=True))
def test_any_words_are_read_or_refused(text: str) -> None:
    for read in (
        instant,
        parse_day,
        Month.parse,
        cents_of,
        percent_of,
        Opening.parse,
        lambda words: checked_name("name", words),
        lambda words: checked_text("text", words, 20),
    ):
        try:
            read(text)
        except Refused as refused:
            assert len(str(refused)) < 400
            assert str(refused).isprintable()


@given(INSTANTS)
def test_an_instant_is_written_and_read_back(unix_s: int) -> None:
    assert instant(local_text(unix_s)) == unix_s


@given(INSTANTS)
def test_an_instant_lies_in_its_month(unix_s: int) -> None:
    month = Month.of(unix_s)
    assert month.begin_s <= unix_s < month.end_s
    assert Month.parse(str(month)) == month
    assert day_of(unix_s).month == month.month


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_rounding_is_that_of_decimal_arithmetic(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    expected = (Decimal(exact.numerator * 10**6) / exact.denominator / 10**6) if 10**6 % denominator == 0 else None
    found = rounded(numerator, denominator)
    if expected is not None:
        assert found == int(expected.quantize(Decimal(1), ROUND_HALF_UP))
    assert abs(exact - found) <= Fraction(1, 2)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 47), st.integers(1, 48)), min_size=1, max_size=4),
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.integers(0, 5000),
)
def test_open_time_adds_up_and_what_is_written_reads_the_same(
    parts: list[tuple[int, int, int]], day: date, minutes: int
) -> None:
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    words = [
        f"{days[on]} {first // 2:02d}:{first % 2 * 30:02d}-{last // 2:02d}:{last % 2 * 30:02d}"
        for on, first, last in parts
    ]
    try:
        opening = Opening.parse("; ".join(words))
    except Refused:
        return
    assert Opening.parse(opening.text) == opening
    from_s = instant(f"{day} 00:00")
    to_s = from_s + 60 * minutes
    found = opening.intervals(from_s, to_s)
    assert all(begin < end for begin, end in found)
    assert all(one[1] < other[0] for one, other in pairwise(found))
    assert opening.seconds(from_s, from_s + 60 * (minutes // 2)) + opening.seconds(
        from_s + 60 * (minutes // 2), to_s
    ) == sum(end - begin for begin, end in found)
    assert all(opening.covers(begin, end) for begin, end in found)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_no_cell_is_a_formula_and_no_word_is_lost(cells: list[str]) -> None:
    [row] = csv.reader(io.StringIO(_table([cells]), newline=""))
    assert not any(cell.lstrip()[:1] in tuple("=+-@") for cell in row if cell.strip())
    assert [cell.removeprefix("'") for cell in row] == [cell.removeprefix("'") for cell in cells]
