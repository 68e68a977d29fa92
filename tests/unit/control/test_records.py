"""The controller's log: any prefix loads, what does not belong is refused with its line and a remedy."""

from __future__ import annotations

import pytest

from poliqi.base.errors import ConfigError
from poliqi.control.messages import LightState
from poliqi.control.records import (
    CityChanged,
    Drained,
    LinkChanged,
    LoggedWay,
    PairRoutes,
    Record,
    RoutesIntended,
    Served,
    SiteChanged,
    Standing,
    Started,
    decode_record,
    encode_record,
    load,
    whole_lines,
)

WAY = LoggedWay(paths=(("a", "b", "c"),), rate_bps=100.0)
ROUTES = PairRoutes(ends=("a", "c"), priority=3, granted_bps=100.0, ways=(WAY,))
AT = {"wall_ns": 1_700_000_000_000_000_000}

RECORDS: tuple[Record, ...] = (
    Started(n=1, **AT, city="milan", controller="control", instance="one", epoch=7),
    CityChanged(n=2, **AT, version=3, digest="d", change="the plan was read"),
    SiteChanged(n=3, **AT, site="a", is_up=True),
    RoutesIntended(n=4, **AT, pairs=(ROUTES,)),
    Drained(n=5, **AT, site="b", is_draining=True),
    LinkChanged(n=6, **AT, link="a-b", state=LightState.DARK),
    Served(n=7, **AT, seconds=60.0),
    RoutesIntended(n=8, **AT, pairs=(PairRoutes(ends=("a", "c"), priority=0, granted_bps=0.0),)),
    Drained(n=9, **AT, site="b", is_draining=False),
    Standing(n=10, **AT, city="milan", controller="control", instance="one", epoch=7),
)
LINES = [encode_record(record) for record in RECORDS]


def test_every_record_comes_back_from_its_line() -> None:
    assert [decode_record(line) for line in LINES] == list(RECORDS)


def test_a_log_leaves_epoch_plan_drains_and_routes() -> None:
    found = load(LINES[:7], "milan")
    assert (found.epoch, found.version, found.digest, found.number) == (7, 3, "d", 7)
    assert list(found.drained) == ["b"]
    assert found.routes == {("a", "c"): ROUTES}
    assert found.torn is None


def test_what_was_taken_back_is_gone() -> None:
    found = load(LINES[:9])
    assert not found.drained
    assert not found.routes


def test_what_stands_anew_takes_the_place_of_all_before() -> None:
    assert not load(
        [*LINES[:7], encode_record(Standing(n=8, **AT, city="m", controller="c", instance="i", epoch=7))]
    ).routes


@pytest.mark.parametrize("length", range(len(LINES) + 1))
def test_any_prefix_loads(length: int) -> None:
    assert load(LINES[:length], "milan").number == length


def test_a_log_may_begin_anywhere() -> None:
    assert load(LINES[4:]).number == len(LINES)


@pytest.mark.parametrize("cut", [1, 10, 40, len(LINES[-1]) - 1])
def test_a_last_line_cut_short_is_reported_and_not_used(cut: int) -> None:
    found = load([*LINES[:-1], LINES[-1][:cut]])
    assert (found.number, found.torn) == (9, LINES[-1][:cut])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"", "line 3"),
        (b"null", "line 3"),
        (b'{"type":"song"}', "line 3"),
        (LINES[2][:-4], "line 3"),
        (LINES[1], "number 2, 3 is next"),
        (LINES[3], "number 4, 3 is next"),
        (LINES[2].replace(b'"v":1', b'"v":2'), "line 3"),
        (encode_record(Started(n=3, **AT, city="rome", controller="c", instance="i", epoch=9)), "city 'rome'"),
        (encode_record(Started(n=3, **AT, city="milan", controller="c", instance="i", epoch=7)), "two controllers"),
        (b"x" * (2 << 20), "line 3"),
    ],
)
def test_a_line_that_does_not_belong_is_refused_with_its_number_and_a_remedy(bad: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        load([*LINES[:2], bad, *LINES[3:]], "milan")
    assert "move the log away" in str(refusal.value)


@pytest.mark.parametrize(
    "bad",
    [
        LINES[2],
        encode_record(Started(n=10, **AT, city="rome", controller="c", instance="i", epoch=9)),
        b'{"any":"json"}',
    ],
)
def test_a_last_line_that_is_whole_but_foreign_is_refused(bad: bytes) -> None:
    with pytest.raises(ConfigError, match="line 10"):
        load([*LINES[:9], bad], "milan")


def test_a_file_is_cut_behind_its_last_whole_line() -> None:
    assert whole_lines(b"one\ntwo\nthr") == ([b"one", b"two"], 8)
    assert whole_lines(b"thr") == ([], 0)
    assert whole_lines(b"") == ([], 0)
