"""The table of events: every kind has its row, both languages say the same, the page knows it."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from poliqi.base.ids import KmeId
from poliqi.control.events import (
    EVENTS,
    CityEvent,
    CityEventKind,
    Language,
    Severity,
    event_line,
    event_record,
    event_severity,
)
from poliqi.control.lines import WORDS, bits_text, fill, rate_text, time_text

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/events.md").read_text()
K = CityEventKind


def places(template: str) -> list[tuple[str, str | None]]:
    return sorted((name, spec) for _, name, spec, _ in string.Formatter().parse(template) if name)


@pytest.mark.parametrize("kind", CityEventKind)
def test_every_kind_has_a_row_in_both_languages(kind: CityEventKind) -> None:
    row = EVENTS[kind]
    assert row.parts
    assert places(row.english) == places(row.italian)
    assert row.english != row.italian or kind is K.SITE_NOTICE


@pytest.mark.parametrize("kind", CityEventKind)
def test_every_kind_is_on_the_page(kind: CityEventKind) -> None:
    row = EVENTS[kind]
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{kind.value}` |")]
    assert f"| {row.severity.value} |" in line
    for name, _ in places(row.english):
        assert f"`{name}`" in line
    for hint in row.hints:
        assert f"(`{hint}`)" in line


@pytest.mark.parametrize("kind", CityEventKind)
@pytest.mark.parametrize("language", Language)
def test_a_line_is_made_whatever_is_missing(kind: CityEventKind, language: Language) -> None:
    assert event_line(CityEvent(kind, 0.0), language)
    odd: dict[str, str | int | float] = {name: "text" for name, _ in places(EVENTS[kind].english)}
    assert "text" in event_line(CityEvent(kind, 0.0, values=odd), language) or not odd


def test_figures_get_their_units() -> None:
    event = CityEvent(K.DEMAND_SHORT, 0.0, demand="x", values={"granted": 1234.5, "wanted": 2e6})
    assert event_line(event) == "x gets 1.23 kbit/s of 2 Mbit/s"
    event = CityEvent(K.LINK_QBER, 0.0, values={"qber": 0.0512, "usual": 0.02, "basis": "key"})
    assert "5.12 %" in event_line(event)
    assert "base di chiave" in event_line(event, Language.ITALIAN)


def test_text_of_others_has_its_own_italian() -> None:
    event = CityEvent(K.ALARM_RAISED, 0.0, values={"number": 3, "what": "cut", "what_it": "taglio"})
    assert event_line(event) == "ALARM 3: cut"
    assert event_line(event, Language.ITALIAN) == "ALLARME 3: taglio"


def test_a_line_cannot_be_made_to_look_into_objects() -> None:
    event = CityEvent(K.SITE_NOTICE, 0.0, KmeId("a"), values={"what": "{site.__class__} {0}"})
    assert event_line(event) == "a: {site.__class__} {0}"


def test_the_record_keeps_its_own_fields() -> None:
    event = CityEvent(K.SITE_NOTICE, 5.0, KmeId("a"), values={"what": "x", "text": "spoof", "level": "info"})
    told = event_record(event, 1700000000.1234)
    assert told == {
        "event": "site-notice",
        "level": "warning",
        "text": "a: x",
        "wall_s": 1700000000.123,
        "site": "a",
        "what": "x",
    }


def test_an_alarm_is_as_bad_as_its_cause() -> None:
    assert event_severity(CityEvent(K.ALARM_RAISED, 0.0, values={"severity": "info"})) is Severity.INFO
    assert event_severity(CityEvent(K.ALARM_RAISED, 0.0, values={"severity": "odd"})) is Severity.CRITICAL
    assert event_severity(CityEvent(K.SITE_LOST, 0.0, values={"severity": "info"})) is Severity.ERROR


def test_words_are_in_both_languages() -> None:
    assert all(
        english and italian and english != italian for english, italian in list(WORDS.values()) if english != "test"
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (rate_text(0.0), "0 bit/s"),
        (rate_text(999.0), "999 bit/s"),
        (rate_text(1e9), "1 Gbit/s"),
        (bits_text(2_500_000), "2.5 Mbit"),
        (time_text(45.0), "45 s"),
        (time_text(90.0), "1.5 min"),
        (time_text(86_400.0), "24 h"),
        (time_text(200_000.0), "2.31 d"),
        (fill("{a:.1f} {b:percent}", {"a": 1.25, "b": "x"}, Language.ENGLISH), "1.2 x"),
    ],
)
def test_texts_of_figures(said: str, expected: str) -> None:
    assert said == expected
