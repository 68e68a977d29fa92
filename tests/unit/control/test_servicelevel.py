"""The month report against a count minute by minute that knows nothing of it."""

from __future__ import annotations

import datetime
import json

import pytest
from alarm_faults import ring
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.control.lines import Language
from poliqi.control.messages import LightState
from poliqi.control.records import (
    Demanded,
    Drained,
    LinkChanged,
    LinkServed,
    Record,
    Served,
    SiteChanged,
    Standing,
    Started,
)
from poliqi.control.reporttext import WORDS, report_lines, report_tables, utc_text
from poliqi.control.servicelevel import MonthReport, month_ns, month_report, report_json

S = 1_000_000_000
CITY = ring()
START, END = month_ns(2026, 11)
NAME, LINK = "leonardo-aria", "aria-leonardo"
MINUTE = 60 * S


def served(minute: float, available_s: float = 60.0, lit_s: float = 60.0, seconds: float = 60.0) -> Served:
    return Served(
        n=1,
        wall_ns=START + round(minute * MINUTE),
        seconds=seconds,
        demands=(
            Demanded(
                demand=NAME, available_s=available_s, wanted_bps=1000.0, granted_bps=900.0, delivered_bps=10.0
            ),
        ),
        links=(LinkServed(link=LINK, lit_s=lit_s, key_bits=100.0 * lit_s),),
        keys_delivered=3,
        requests=5,
        requests_refused=1,
    )


def report_of(records: list[Record], minutes: float | None = None) -> MonthReport:
    return month_report(records, CITY, START, END if minutes is None else START + round(minutes * MINUTE))


def line_of(report: MonthReport):
    return next(line for line in report.demands if line.name == NAME)


MINUTES = 60


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(["seen", "seen", "seen", "unseen"]), min_size=MINUTES, max_size=MINUTES),
    st.lists(st.integers(0, 60), min_size=MINUTES, max_size=MINUTES),
    st.lists(st.booleans(), min_size=MINUTES, max_size=MINUTES),
)
def test_it_agrees_with_a_count_minute_by_minute(
    seen: list[str], available: list[int], drained: list[bool]
) -> None:
    records: list[Record] = []
    was = False
    for minute in range(MINUTES):
        if drained[minute] != was:
            was = drained[minute]
            records.append(Drained(n=1, wall_ns=START + minute * MINUTE, site="aria", is_draining=was))
        if seen[minute] == "seen":
            records.append(served(minute + 1, available_s=available[minute]))
    report = report_of(records, MINUTES)
    counted = [m for m in range(MINUTES) if seen[m] == "seen" and not drained[m]]
    line = line_of(report)
    assert line.seen_s == pytest.approx(60.0 * len(counted))
    assert line.available_s == pytest.approx(sum(available[m] for m in counted))
    assert report.unknown_s == pytest.approx(60.0 * seen.count("unseen"))
    assert sum(gap.seconds for gap in report.gaps) == pytest.approx(report.unknown_s)
    assert sum(outage.seconds for outage in line.outages) == pytest.approx(
        sum(60 - available[m] for m in counted), abs=60.0
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(0.0, 120.0)), max_size=20))
def test_no_second_counts_twice_however_the_clock_jumps(steps: list[tuple[float, float]]) -> None:
    at, records = 50.0, list[Record]()
    for step_min, seconds in steps:
        at += step_min / 10.0
        records.append(served(max(at, 0.0), available_s=seconds, seconds=seconds))
    report = report_of(records, 100.0)
    assert report.seen_s <= 6000.0 + 1e-6
    worst, best = report.bounds(line_of(report))
    assert 0.0 <= worst <= best <= 1.0


def test_what_was_not_seen_is_neither_good_nor_bad() -> None:
    report = report_of([served(1), served(2), served(9), served(10)], 10)
    line = line_of(report)
    assert line.availability == 1.0
    assert report.unknown_s == 360.0
    assert [gap.seconds for gap in report.gaps] == [360.0]
    assert report.bounds(line) == (0.4, 1.0)
    assert report.is_met(line) is None


def test_a_level_is_kept_or_missed_where_nothing_unseen_decides() -> None:
    good = report_of([served(m + 1) for m in range(10)], 10)
    assert good.is_met(line_of(good)) is True
    bad = report_of([served(m + 1, available_s=30.0 if m < 5 else 60.0) for m in range(10)], 10)
    assert bad.is_met(line_of(bad)) is False


def test_an_outage_has_length_and_cause() -> None:
    at = START + 2 * MINUTE
    report = report_of(
        [
            served(1),
            LinkChanged(n=1, wall_ns=at - 30 * S, link=LINK, state=LightState.DARK),
            served(2, available_s=40.0, lit_s=30.0),
            SiteChanged(n=1, wall_ns=at + S, site="aria", is_up=False),
            served(3, available_s=0.0, lit_s=0.0),
            LinkChanged(n=1, wall_ns=at + 90 * S, link=LINK, state=LightState.LIT),
            SiteChanged(n=1, wall_ns=at + 90 * S, site="aria", is_up=True),
            served(4, available_s=30.0, lit_s=30.0),
            served(5),
        ],
        5,
    )
    (outage,) = line_of(report).outages
    assert outage.seconds == pytest.approx(20.0 + 60.0 + 30.0)
    assert set(outage.causes) == {("link-dark", LINK), ("site-away", "aria")}
    link = next(each for each in report.links if each.name == LINK)
    assert link.availability == pytest.approx(1.0 - 120.0 / 300.0)
    assert [o.causes for o in link.outages] == [(("link-dark", LINK),)]


def test_an_outage_without_a_fault_is_too_little_key() -> None:
    report = report_of([served(1, available_s=10.0)], 1)
    assert line_of(report).outages[0].causes == (("short", NAME),)


def test_a_new_start_forgets_states_and_a_standing_record_forgets_drains() -> None:
    head = {"city": "milan", "controller": "c", "instance": "i", "epoch": 2}
    report = report_of(
        [
            Drained(n=1, wall_ns=START, site="aria", is_draining=True),
            LinkChanged(n=1, wall_ns=START, link=LINK, state=LightState.DARK),
            served(1),
            Standing(n=1, wall_ns=START + MINUTE, **head),
            Started(n=1, wall_ns=START + MINUTE, **head),
            served(2, available_s=0.0),
        ],
        2,
    )
    line = line_of(report)
    assert (line.planned_s, line.seen_s) == (60.0, 60.0)
    assert line.outages[0].causes == (("short", NAME),)


def test_only_the_month_counts() -> None:
    report = report_of([served(0.0), served(0.5), served(100_000.0)])
    assert report.seen_s == pytest.approx(30.0)


@pytest.mark.parametrize(("year", "month"), [(1970, 1), (2000, 2), (2024, 2), (2026, 11), (2026, 12), (2100, 3)])
def test_months_are_those_of_the_calendar(year: int, month: int) -> None:
    begins = datetime.datetime(year, month, 1, tzinfo=datetime.UTC)
    follows = datetime.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=datetime.UTC)
    assert month_ns(year, month) == (int(begins.timestamp()) * S, int(follows.timestamp()) * S)


@given(st.integers(0, 4_000_000_000))
def test_moments_are_written_as_the_calendar_has_them(seconds: int) -> None:
    told = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")
    assert utc_text(seconds * S) == told


@pytest.mark.parametrize("language", Language)
def test_the_lines_say_it_all(language: Language) -> None:
    report = report_of([served(1), served(2, available_s=0.0), served(9)], 10)
    text = "\n".join(report_lines(report, language))
    assert "2026-11-01 00:00" in text
    assert NAME in text
    assert "99.900%" in text
    assert "6 min" in text
    assert [len(row) for t in report_tables(report, language) for row in t.rows] == [
        len(t.header) for t in report_tables(report, language) for _ in t.rows
    ]


def test_every_word_is_in_both_languages_with_the_same_places() -> None:
    for english, italian in WORDS.values():
        assert english
        assert italian
        assert {p.split("}")[0] for p in english.split("{")[1:]} == {
            p.split("}")[0] for p in italian.split("{")[1:]
        }


def test_the_json_says_the_same() -> None:
    report = report_of([served(1), served(2, available_s=0.0)], 4)
    told = json.loads(report_json(report))
    line = next(each for each in told["demands"] if each["name"] == NAME)
    assert line["availability"] == 0.5
    assert line["bounds"] == [0.25, 0.75]
    assert line["is_met"] is False
    assert told["unknown_s"] == 120.0


def test_nothing_seen_is_said() -> None:
    assert "nothing was seen" in "\n".join(report_lines(report_of([], 10)))
