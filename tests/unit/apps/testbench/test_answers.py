"""Medians, table and picture of a bench."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.apps.testbench.answers import Middle, answer, rows, size_text, table
from poliqi.apps.testbench.outcome import Finding, RecordFigures, StreamFigures, Trial, Verdict
from poliqi.apps.testbench.picture import picture
from poliqi.apps.testbench.seams import Kind

GOOD = [Finding("flip", Verdict.PASSED)]


def stream(gbps: float, p50_s: float | None = 5e-5) -> StreamFigures:
    return StreamFigures(1 << 18, gbps, 1.5, 0.004, p50_s, p50_s and 2 * p50_s)


def records(gbps: float) -> list[RecordFigures]:
    return [RecordFigures(size, gbps * size / 1e5, gbps, 1e-6, 3e-6, 0.5) for size in (200, 16384, 1 << 20)]


def trials() -> list[Trial]:
    return [
        Trial(
            "mine & <yours>",
            Kind.RECORDS,
            "d",
            "mine.py",
            GOOD,
            None,
            records(3.0),
            [stream(g) for g in (1.0, 9.0, 4.0)],
        ),
        Trial("aes", Kind.RECORDS, "d", "built in", GOOD, None, records(5.0), [stream(8.0)]),
        Trial("age", Kind.STREAM, "d", "installed", GOOD, None, [], [stream(2.0, None)]),
        Trial("gone", Kind.STREAM, "d", "installed", [], "not installed: gone"),
        Trial("bad", Kind.RECORDS, "d", "mine.py", [Finding("nonce", Verdict.FAILED, "a nonce was used twice")]),
        Trial("dice", Kind.RANDOM, "d", "built in", GOOD, draw_gbps=[0.5, 1.5]),
        Trial("card", Kind.KEYS, "d", "built in", GOOD, keys_per_s=[1000.0]),
    ]


def test_the_middle_is_the_median_with_its_spread() -> None:
    assert Middle.of([4.0, 1.0, 9.0]) == Middle(4.0, 1.0, 9.0)
    assert Middle.of([None, 2.0]) == Middle(2.0, 2.0, 2.0)
    assert Middle.of([None]) is None


def test_the_verdicts() -> None:
    assert [row.verdict for row in rows(trials())] == [
        "passed", "passed", "passed", "skipped", "failed", "passed", "passed",
    ]  # fmt: skip


def test_the_table_says_who_failed_and_why_and_orders_by_speed() -> None:
    text = table(trials())
    assert "FAILED nonce: a nonce was used twice" in text
    assert "skipped: not installed: gone" in text
    assert "4.00 (1.00 to 9.00)" in text
    assert text.index("aes  ", text.index("STREAM")) < text.index("mine &", text.index("STREAM"))
    assert "1,000 keys/s" in text
    assert "bad" not in text[text.index("STREAM") :]


def test_the_json_has_every_round() -> None:
    told = json.loads(json.dumps(answer(trials(), {"load": 0.1})))
    mine = told["candidates"][0]
    assert mine["stream_gbps"] == {"median": 4.0, "least": 1.0, "most": 9.0}
    assert [one["gbps"] for one in mine["rounds"]["streams"]] == [1.0, 9.0, 4.0]
    assert told["candidates"][4]["failed"] == ["nonce"]


def test_the_picture_is_whole_and_names_everything() -> None:
    drawn = picture(rows(trials()), "3 rounds")
    texts = [text.text for text in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert "mine & <yours>" in texts
    assert any("bad" in str(text) for text in texts)
    assert "prefers-color-scheme:dark" in drawn


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=12))
def test_any_figures_can_be_drawn(rates: list[float]) -> None:
    made = [
        Trial(f"c{n}", Kind.RECORDS, "d", "built in", GOOD, None, records(rate), [stream(rate)])
        for n, rate in enumerate(rates)
    ]
    drawn = picture(rows(made), "")
    ET.fromstring(drawn)
    assert "nan" not in drawn
    assert "inf" not in drawn


@pytest.mark.parametrize(
    ("size", "text"), [(200, "200 B"), (1400, "1.4 kB"), (16384, "16 KiB"), (262144, "256 KiB"), (1 << 20, "1 MiB")]
)
def test_sizes_read_as_people_say_them(size: int, text: str) -> None:
    assert size_text(size) == text


@given(st.binary(max_size=300))
def test_what_a_child_answers_is_read_or_refused(data: bytes) -> None:
    from poliqi.apps.testbench.dialogue import Answer

    try:
        msgspec.json.decode(data, type=Answer)
    except msgspec.DecodeError:
        return
