"""Figures as people write them, and the axes and lines of charts."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.control.events import Language
from poliqi.ops.web.charts import HEIGHT, WIDTH, Series, chart, spark, spread, thinned
from poliqi.ops.web.speaker import Speaker

EN, IT = Speaker(Language.ENGLISH), Speaker(Language.ITALIAN)


def plain(text: object) -> str:
    return str(text).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("bps", "english", "italian"),
    [
        (None, "–", "–"),
        (0.0, "0 bit/s", "0 bit/s"),
        (999.4, "999 bit/s", "999 bit/s"),
        (999.6, "1.00 kbit/s", "1,00 kbit/s"),
        (1234.0, "1.23 kbit/s", "1,23 kbit/s"),
        (41_234.0, "41.2 kbit/s", "41,2 kbit/s"),
        (220_049.0, "220 kbit/s", "220 kbit/s"),
        (10_400_000.0, "10.4 Mbit/s", "10,4 Mbit/s"),
        (math.inf, "–", "–"),
    ],
)
def test_rates(bps: float | None, english: str, italian: str) -> None:
    assert (plain(EN.rate(bps)), plain(IT.rate(bps))) == (english, italian)


def test_counts_part_their_thousands() -> None:
    assert (EN.count(1_234_567), IT.count(1_234_567)) == ("1,234,567", "1.234.567")


@pytest.mark.parametrize(
    ("hours", "said"),
    [(None, "–"), (0.0, "0 min"), (0.999, "59 min"), (3.46, "3.4 h"), (99.99, "99.9 h"), (240.0, "10 days")],
)
def test_what_is_left_is_never_rounded_up(hours: float | None, said: str) -> None:
    assert plain(EN.lasting(hours)) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (0.0, "0"), (1e-10, "10⁻¹⁰"), (1.23e-10, "1.2·10⁻¹⁰"), (9.97e-11, "10⁻¹⁰"), (5e-6, "5.0·10⁻⁶")],
)
def test_small_probabilities(value: float | None, said: str) -> None:
    assert EN.power(value) == said


@pytest.mark.parametrize(
    ("seconds", "english", "italian"),
    [
        (None, "–", "–"),
        (-3.0, "0 s ago", "0 s fa"),
        (59.9, "59 s ago", "59 s fa"),
        (3599.0, "59 min ago", "59 min fa"),
        (7300.0, "2 h ago", "2 h fa"),
        (3e5, "3 days ago", "3 giorni fa"),
    ],
)
def test_how_long_ago(seconds: float | None, english: str, italian: str) -> None:
    assert (EN.ago(seconds), IT.ago(seconds)) == (english, italian)


def test_a_moment_of_another_day_has_its_date() -> None:
    now = 1_790_000_000.0
    assert re.fullmatch(r"\d\d:\d\d:\d\d", EN.moment(now - 1.0, now))
    assert re.fullmatch(r"\d+ [a-z]{3}, \d\d:\d\d:\d\d", IT.moment(now - 5 * 86400.0, now))


def test_a_moment_for_machines() -> None:
    assert EN.stamp(1_700_000_000.0) == "2023-11-14T22:13:20Z"


VALUES = st.lists(st.floats(-1e6, 1e9).filter(lambda v: v == 0.0 or abs(v) > 1e-6), min_size=1, max_size=30)


@settings(max_examples=200)
@given(values=VALUES, from_zero=st.booleans())
def test_an_axis_holds_every_value_and_is_not_too_long(values: list[float], from_zero: bool) -> None:
    if from_zero:
        values = [abs(v) for v in values]
    ends = spread(values, from_zero)
    margin = 1e-6 * max(abs(v) for v in values) + 1e-12
    assert ends.low <= min(values) + margin
    assert ends.high >= max(values) - margin
    need = max(values) - (0.0 if from_zero else min(values))
    assert ends.high - ends.low <= max(10.0 * need, 0.25 * max(abs(v) for v in values), 1e-9)


def test_an_axis_has_round_ends() -> None:
    assert spread([41_000.0]).ticks == (50_000.0, 25_000.0, 0.0)
    assert spread([0.013]).ticks == pytest.approx((0.02, 0.01, 0.0))
    assert spread([4.02, 4.18], from_zero=False).ticks == pytest.approx((4.2, 4.1, 4.0))


def test_a_line_runs_where_its_values_are() -> None:
    points = [(0.0, 0.0), (5.0, 50.0), (10.0, 100.0)]
    drawn = chart("t", "now", [Series("a", "one", points)], (0.0, 10.0), str, str)
    assert f'd="M0.0 {HEIGHT:.1f}h.5L{WIDTH / 2:.1f} {HEIGHT / 2:.1f}L{WIDTH:.1f} 0.0"' in drawn.drawing
    assert (drawn.y, drawn.x) == (("100.0", "50.0", "0.0"), ("0.0", "5.0", "10.0"))


def test_what_was_not_measured_is_a_gap() -> None:
    points = [(0.0, 1.0), (1.0, None), (2.0, 1.0), (3.0, 1.0)]
    drawn = chart("t", "now", [Series("a", "one", points)], (0.0, 3.0), str, str)
    line = re.search(r'class="one" d="([^"]*)"', drawn.drawing)
    assert line is not None
    assert (line[1].count("M"), line[1].count("L")) == (2, 1)


def test_a_chart_of_nothing_says_so() -> None:
    assert chart("t", "–", [Series("a", "one", [(0.0, None)])], (0.0, 1.0), str, str).is_empty


def test_names_in_a_chart_are_escaped() -> None:
    drawn = chart('<b>"', "<i>", [Series("a", "one", [(0.0, 1.0)])], (0.0, 1.0), str, str).drawing
    assert "<b>" not in drawn
    assert "<i>" not in drawn


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.none() | st.floats(0, 1e6)), max_size=400), st.integers(1, 50))
def test_thinned_lines_stay_within_their_values(points: list[tuple[float, float | None]], most: int) -> None:
    few = thinned(points, most)
    assert len(few) <= most
    values = [v for _, v in points if v is not None]
    assert all(v is None or min(values) - 1e-6 <= v <= max(values) * (1 + 1e-9) + 1e-6 for _, v in few)


def test_a_spark_needs_two_values() -> None:
    assert spark([(0.0, 1.0), (1.0, None)]) == ""
    assert spark([(0.0, 0.0), (1.0, 0.0)]).startswith("<svg")
